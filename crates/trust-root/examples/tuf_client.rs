//! The command line that the TUF conformance suite drives (its `CLIENT-CLI.md`): init, refresh, download.
//!
//! The root that `init` is given is kept as the place where trust begins, and every later run starts from it.
#![expect(clippy::print_stderr, reason = "the suite shows what a client says")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use proofmark_trust_root::tuf::{Repository, Store, Updater, file_name};
use proofmark_types::UnixTime;
use url::Url;

/// The suite's targets are small.
const MAX_TARGET_BYTES: u64 = 16 * 1024 * 1024;

struct Arguments {
    flags: BTreeMap<String, Vec<String>>,
    words: Vec<String>,
}

impl Arguments {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut arguments = Self {
            flags: BTreeMap::new(),
            words: Vec::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some(flag) => {
                    let value = words.next().ok_or("a flag without a value")?;
                    arguments.flags.entry(flag.to_owned()).or_default().push(value);
                }
                None => arguments.words.push(word),
            }
        }
        Ok(arguments)
    }

    fn flag(&self, name: &str) -> Result<&str, Box<dyn Error>> {
        let value = self.flags.get(name).and_then(|values| values.first());
        Ok(value.ok_or_else(|| format!("--{name} is missing"))?)
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read()?;
    let folder = PathBuf::from(arguments.flag("metadata-dir")?);
    let pinned = folder.join("root_history").join("pinned");
    match arguments.words.first().map(String::as_str) {
        Some("init") => {
            let root = std::fs::read(arguments.words.get(1).ok_or("which root?")?)?;
            std::fs::create_dir_all(folder.join("root_history"))?;
            std::fs::write(&pinned, &root)?;
            std::fs::write(folder.join("root.json"), &root)?;
            return Ok(());
        }
        Some("refresh" | "download") => {}
        other => return Err(format!("no command {other:?}").into()),
    }
    let metadata = Url::parse(arguments.flag("metadata-url")?)?;
    let targets = match arguments.flag("target-base-url") {
        Ok(url) => Url::parse(url)?,
        Err(_) => metadata.clone(),
    };
    let repository = Repository::web(metadata, targets)?;
    let (store, pinned) = (Store::new(folder), std::fs::read(&pinned)?);
    let now = UnixTime::from_system(SystemTime::now());
    let updater = Updater::new(&repository, &store, &pinned, now);
    let trusted = updater.refresh().await?;
    for name in arguments.flags.get("target-name").into_iter().flatten() {
        let file = PathBuf::from(arguments.flag("target-dir")?).join(file_name(name));
        let kept = std::fs::read(&file).ok();
        let bytes = updater.target(&trusted, name, kept.clone(), MAX_TARGET_BYTES).await?;
        if kept.as_ref() != Some(&bytes) {
            std::fs::write(&file, bytes)?;
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(inner) = cause {
                text.push_str(&format!(": {inner}"));
                cause = inner.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
