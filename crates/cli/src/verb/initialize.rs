//! `initialize`: fetch the trust root of an instance through TUF, and use it from then on.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use proofmark_trust_root::tuf::{Expiry, Repository};
use proofmark_trust_root::{Document, HomeError, Instance, Place, State, TRUSTED_ROOT};
use serde_json::json;
use url::Url;

use crate::context::{Context, read_file, variable};
use crate::failure::{Exit, Failure, chain};
use crate::trusting;

/// The largest root read: python-tuf's limit.
const MAX_ROOT_BYTES: u64 = 512_000;

/// How long another process may have a place: one in the background gives up after a minute.
const PATIENCE: Duration = Duration::from_secs(70);
/// How often it is looked whether it is free.
const POLL: Duration = Duration::from_millis(50);

/// Fetch the newest trust root of an instance, and use it from then on
///
/// Without flags that is the public instance, whose root this program has. What is fetched is believed only if the root
/// leads to it; nothing else changes if it does not.
#[derive(Args, Debug)]
pub(crate) struct Initialize {
    /// The TUF repository: http(s)://… or file:///… (default: TUF_MIRROR, or the public instance's)
    #[arg(long, value_name = "URL", conflicts_with = "staging")]
    mirror: Option<String>,

    /// The root that trust begins with: a file, or an address together with --root-checksum (default: TUF_ROOT_JSON, or the one in this program)
    #[arg(long, value_name = "FILE|URL")]
    root: Option<String>,

    /// The SHA-256 of that root in hex, or sha512:… ; needed if it is an address
    #[arg(long, value_name = "CHECKSUM")]
    root_checksum: Option<String>,

    /// The public instance's staging copy, for tests: nothing that it vouches for is worth believing
    #[arg(long)]
    staging: bool,
}

impl Initialize {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mirror = match (self.mirror.clone(), self.staging) {
            (Some(mirror), _) => mirror,
            (None, true) => Instance::Staging.mirror().to_owned(),
            (None, false) => variable("TUF_MIRROR").unwrap_or_else(|| Instance::Public.mirror().to_owned()),
        };
        let home = trusting::home().ok_or_else(|| {
            Failure::usage("no-cache-folder", "there is no folder to keep it in")
                .with_hint("set TUF_ROOT, XDG_CACHE_HOME or HOME")
        })?;
        let place = home.place(&mirror);
        let repository = repository(place.mirror())?;
        let root = self.root.clone().or_else(|| variable("TUF_ROOT_JSON"));
        if root.is_none() && self.root_checksum.is_some() {
            return Err(Failure::usage(
                "root-checksum-without-root",
                "--root-checksum says what --root must be, and no root is given",
            )
            .with_hint("give --root FILE or ADDRESS beside it"));
        }
        let root = match root {
            Some(root) => Some(self.read_root(&root).await?),
            None => None,
        };
        // Two at once would share the place that is being made; the second one waits.
        let _held = hold(&place).await?;
        let pinned = match root {
            Some(root) => place.pin(&root).map_err(|error| failed(&error))?,
            None => place.clone(),
        };
        let state = refresh(&pinned, &repository, Expiry::Enforced).await?;
        place
            .adopt(&pinned)
            .and_then(|()| home.choose(&place))
            .map_err(|error| failed(&error))?;
        let document = place
            .document(TRUSTED_ROOT)
            .map_err(|error| failed(&error))?
            .ok_or_else(|| Failure::new(Exit::Undecided, "internal", "what was fetched is not there"))?;
        report(context, &place, &state, &document);
        Ok(())
    }

    async fn read_root(&self, root: &str) -> Result<Vec<u8>, Failure> {
        let remote = root.starts_with("http://") || root.starts_with("https://");
        let bytes = if remote {
            if self.root_checksum.is_none() {
                return Err(Failure::usage(
                    "root-checksum-missing",
                    "a root from an address is believed only if its checksum is known",
                )
                .with_hint("give --root-checksum SHA256, which came to you another way"));
            }
            let url = Url::parse(root).map_err(|error| Failure::usage("tuf-mirror", format!("\"{root}\": {error}")))?;
            Repository::download(&url, MAX_ROOT_BYTES)
                .await
                .map_err(|error| Failure::new(Exit::Undecided, error.code(), chain(&error)))?
                .ok_or_else(|| Failure::new(Exit::Undecided, "tuf-missing", format!("there is no {root}")))?
        } else {
            read_file(Path::new(root))?
        };
        match &self.root_checksum {
            Some(expected) => check(&bytes, expected).map(|()| bytes),
            None => Ok(bytes),
        }
    }
}

/// The mirror as a repository.
pub(crate) fn repository(mirror: &str) -> Result<Repository, Failure> {
    let unusable = |reason: String| Failure::usage("tuf-mirror", reason);
    let url = Url::parse(mirror).map_err(|error| unusable(format!("\"{mirror}\": {error}")))?;
    Repository::mirror(&url).map_err(|error| unusable(chain(&error)))
}

/// Takes a place, waiting for whoever has it now.
pub(crate) async fn hold(place: &Place) -> Result<File, Failure> {
    let started = Instant::now();
    loop {
        if let Some(lock) = place.lock().map_err(|error| failed(&error))? {
            return Ok(lock);
        }
        if started.elapsed() > PATIENCE {
            return Err(Failure::new(
                Exit::Undecided,
                "trust-busy",
                format!("another process refreshes {} now", place.mirror()),
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Brings a place that is held up to date.
pub(crate) async fn refresh(place: &Place, repository: &Repository, expiry: Expiry) -> Result<State, Failure> {
    let refreshed = place.refresh(repository, Context::now(), expiry).await;
    refreshed.map_err(|error| failed(&error))
}

/// Nothing could be kept or brought up to date.
pub(crate) fn failed(error: &HomeError) -> Failure {
    let failure = Failure::new(Exit::Undecided, error.code(), chain(error));
    match error.code() {
        "tuf-no-root" => failure.with_hint("give --root root.json, which came to you another way than the mirror"),
        "tuf-unreachable" => failure.with_hint("on a machine without a network: `proofmark trust import FILE`"),
        _ => match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        },
    }
}

/// What was fetched.
pub(crate) fn report(context: &Context, place: &Place, state: &State, document: &Document) {
    let expires = state.expires.map_or_else(|| "never".to_owned(), |at| at.to_string());
    context.done(
        &format!(
            "{} is trusted from now on\n  root version {}, targets version {}, good until {expires}\n  kept in {}",
            place.mirror(),
            state.root_version,
            state.targets_version,
            place.folder().display(),
        ),
        &json!({
            "mirror": place.mirror(), "folder": place.folder(), "state": state,
            "trustedRoot": trusting::describe(document, Context::now()),
        }),
    );
}

fn check(bytes: &[u8], expected: &str) -> Result<(), Failure> {
    use proofmark_types::{Digest, DigestAlgorithm};
    let (algorithm, text) = match expected.split_once(':') {
        Some(("sha512", text)) => (DigestAlgorithm::Sha512, text),
        Some(("sha256", text)) => (DigestAlgorithm::Sha256, text),
        Some((other, _)) => {
            return Err(Failure::usage(
                "root-checksum-malformed",
                format!("\"{other}\" is no checksum's name, expected sha256 or sha512"),
            ));
        }
        None => (DigestAlgorithm::Sha256, expected),
    };
    let seen = Digest::of(algorithm, bytes);
    if seen.hex().eq_ignore_ascii_case(text) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Undecided,
        "root-checksum-differs",
        format!("the root has {seen}, expected {expected}"),
    ))
}
