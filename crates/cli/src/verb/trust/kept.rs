//! `trust status`, `export`, `import` and `refresh`: what this machine keeps of trust repositories.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use proofmark_trust_root::tuf::Expiry;
use proofmark_trust_root::{Instance, Origin, Place, TRUSTED_ROOT, read_archive};
use serde_json::{Value, json};

use crate::context::{Context, read_file, variable, write_file};
use crate::failure::{Exit, Failure, chain};
use crate::trusting;
use crate::verb::initialize::{failed, hold, refresh, report, repository};

/// A refresh in the background gives up then; an answer takes tenths of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Show where trust comes from: which copy, its versions, its age
#[derive(Args, Debug)]
pub(crate) struct Status;

/// Write the repository kept here into one file, for a machine without a network
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The file: a tar with the layout of a mirror
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Which repository (default: the one that is used)
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

/// Take over such a file, checked as if it came from the repository itself
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The file that `trust export` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Which repository it is for (default: the one that is used)
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,

    /// The root that trust begins with (default: the one known for the repository)
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,

    /// Take it although it has expired since it was written. Signatures, versions and hashes are checked all the same
    #[arg(long)]
    insecure_allow_expired: bool,
}

/// Fetch what is newer than the copy kept here
#[derive(Args, Debug)]
pub(crate) struct Refresh {
    /// Which repository (default: the one that is used)
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,

    /// Only if it is due and nobody else is at it, and without a word
    #[arg(long, hide = true)]
    background: bool,
}

fn chosen(mirror: Option<&str>) -> Result<Place, Failure> {
    let nowhere = || {
        Failure::usage("no-cache-folder", "there is no folder to keep it in")
            .with_hint("set TUF_ROOT, XDG_CACHE_HOME or HOME")
    };
    match mirror {
        Some(mirror) => Ok(trusting::home().ok_or_else(nowhere)?.place(mirror)),
        None => trusting::place(),
    }
}

impl Status {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let used = trusting::place()?;
        let mut places: Vec<Place> = vec![used.clone()];
        if let Some(home) = trusting::home() {
            for instance in Instance::ALL {
                let place = home.place(instance.mirror());
                if !places.iter().any(|known| known.mirror() == place.mirror()) {
                    places.push(place);
                }
            }
        }
        let (mut text, mut values) = (String::new(), Vec::new());
        for place in &places {
            let is_used = used.mirror() == place.mirror();
            let (line, value) = describe(place, is_used);
            text.push_str(&line);
            values.push(value);
        }
        let names = [
            "SIGSTORE_ROOT_FILE",
            "SIGSTORE_REKOR_PUBLIC_KEY",
            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
            "SIGSTORE_TSA_CERTIFICATE_FILE",
            "TUF_MIRROR",
        ];
        let overriding: Vec<(&str, String)> = names.iter().filter_map(|name| Some((*name, variable(name)?))).collect();
        for (name, value) in &overriding {
            text.push_str(&format!("{name}={value} replaces a part of it\n"));
        }
        let overriding: serde_json::Map<String, Value> = overriding
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        context
            .output
            .result(&text, &json!({"repositories": values, "environment": overriding}));
        Ok(())
    }
}

fn describe(place: &Place, is_used: bool) -> (String, Value) {
    let now = Context::now();
    let mark = if is_used { "*" } else { " " };
    let mut text = format!("{mark} {}\n", place.mirror());
    let (state, document) = (place.state(), place.document(TRUSTED_ROOT));
    match &document {
        Err(error) => {
            let failure = trusting::refused(error);
            text.push_str(&format!("    REFUSED: {} [{}]\n", failure.message, failure.code));
            text.extend(failure.hint.map(|hint| format!("    {hint}\n")));
        }
        Ok(None) => text.push_str("    nothing is known of it\n"),
        Ok(Some(document)) => {
            let days = now.since(document.since).as_secs() / 86_400;
            match (&document.origin, document.versions) {
                (Origin::Kept { .. }, Some(versions)) => text.push_str(&format!(
                    "    refreshed {} ({days} days ago); root version {}, timestamp {}, targets {}; good until {}\n",
                    document.since,
                    versions.root,
                    versions.timestamp,
                    versions.targets,
                    document.expires.map_or_else(|| "never".to_owned(), |at| at.to_string()),
                )),
                _ => {
                    text.push_str(&format!(
                        "    this program's copy of {}, {days} days old\n",
                        document.since
                    ));
                }
            }
            if let Some(reason) = document.staleness(now) {
                text.push_str(&format!("    STALE: {reason}\n"));
            }
        }
    }
    if let Some((state, error)) = state
        .as_ref()
        .ok()
        .and_then(|state| Some((state, state.error.as_ref()?)))
    {
        text.push_str(&format!(
            "    the last {} attempts to refresh it failed: {error}\n",
            state.failures
        ));
    }
    let refused = document
        .as_ref()
        .err()
        .map(|error| json!({"code": error.code(), "message": chain(error)}));
    let value = json!({
        "mirror": place.mirror(), "used": is_used, "instance": place.instance().map(Instance::name),
        "folder": place.folder(), "state": state.ok(), "refused": refused,
        "trustedRoot": document.ok().flatten().map(|document| trusting::describe(&document, now)),
    });
    (text, value)
}

impl Export {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = chosen(self.mirror.as_deref())?;
        let bytes = place
            .export()
            .map_err(|error| trusting::refused(&error))?
            .ok_or_else(|| {
                let message = format!("nothing of {} is kept on this machine", place.mirror());
                Failure::usage("trust-nothing-kept", message).with_hint("`proofmark initialize` fetches it")
            })?;
        write_file(&self.file, &bytes)?;
        let expires = place.state().map_err(|error| trusting::refused(&error))?.expires;
        let until = expires.map_or_else(|| "never".to_owned(), |at| at.to_string());
        context.output.result(
            &format!(
                "{} in {}, to be imported before {until}",
                place.mirror(),
                self.file.display()
            ),
            &json!({"mirror": place.mirror(), "file": self.file, "expires": expires, "bytes": bytes.len()}),
        );
        Ok(())
    }
}

impl Import {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (mirror, repository) = read_archive(&read_file(&self.file)?)
            .map_err(|error| Failure::usage(error.code(), format!("{}: {}", self.file.display(), chain(&error))))?;
        let place = chosen(self.mirror.as_deref())?;
        // What the file says of itself decides nothing; it only saves a mistake.
        if let Some(mirror) = mirror.filter(|mirror| mirror.trim_end_matches('/') != place.mirror()) {
            let message = format!(
                "{} was taken from {mirror}, and {} is used here",
                self.file.display(),
                place.mirror()
            );
            return Err(Failure::usage("trust-other-mirror", message).with_hint(format!(
                "--mirror {mirror} imports it as that, with its --root if this program has none"
            )));
        }
        let root = self.root.as_deref().map(read_file).transpose()?;
        let _held = hold(&place).await?;
        let pinned = match root {
            Some(root) => place.pin(&root).map_err(|error| failed(&error))?,
            None => place.clone(),
        };
        let expiry = if self.insecure_allow_expired {
            Expiry::Waived
        } else {
            Expiry::Enforced
        };
        let state = refresh(&pinned, &repository, expiry).await.map_err(|failure| {
            if failure.code == "tuf-expired" {
                return failure
                    .with_hint("export it anew; or --insecure-allow-expired, if its age is no matter to you");
            }
            failure
        })?;
        place.adopt(&pinned).map_err(|error| failed(&error))?;
        if let (Some(home), true) = (trusting::home(), self.mirror.is_some()) {
            home.choose(&place).map_err(|error| failed(&error))?;
        }
        let document = place
            .document(TRUSTED_ROOT)
            .map_err(|error| failed(&error))?
            .ok_or_else(|| Failure::new(Exit::Undecided, "internal", "what was imported is not there"))?;
        report(context, &place, &state, &document);
        Ok(())
    }
}

impl Refresh {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let place = chosen(self.mirror.as_deref())?;
        if self.background {
            // Held by another, or refreshed by it since: nothing to do.
            let held = place.lock().map_err(|error| failed(&error))?;
            if held.is_some() && place.is_due(Context::now()) {
                let repository = repository(place.mirror())?;
                // What fails is kept with the place, and shown by `trust status`.
                let work = refresh(&place, &repository, Expiry::Enforced);
                drop(tokio::time::timeout(PATIENCE, work).await);
            }
            return Ok(());
        }
        let repository = repository(place.mirror())?;
        let _held = hold(&place).await?;
        let state = refresh(&place, &repository, Expiry::Enforced).await?;
        let document = place
            .document(TRUSTED_ROOT)
            .map_err(|error| failed(&error))?
            .ok_or_else(|| Failure::new(Exit::Undecided, "internal", "what was fetched is not there"))?;
        report(context, &place, &state, &document);
        Ok(())
    }
}
