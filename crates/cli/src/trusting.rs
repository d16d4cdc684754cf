//! Whom this machine trusts when no file says so: what `initialize` chose or the public instance, as it was last
//! refreshed or as this program was built with it. What verbs use is read here and never fetched; a refresh that is due
//! runs afterwards, in a process of its own that nobody waits for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use proofmark_trust_root::{
    Document, Home, HomeError, Instance, Origin, PartKind, Place, SIGNING_CONFIG, SigningConfig, TRUSTED_ROOT,
    TrustRootParts,
};
use proofmark_types::UnixTime;
use proofmark_verify::{TrustRoot, Validity};
use serde_json::{Value, json};

use crate::context::{Context, read_file, read_text, variable};
use crate::failure::{Failure, chain};
use crate::output::Output;

/// What a verb of this process read, for a word about its age and for the refresh.
static USED: Mutex<Option<(Place, Document)>> = Mutex::new(None);

/// The trust root that a verb of this process checked with, for its result.
static CHECKED_WITH: Mutex<Option<Source>> = Mutex::new(None);

/// Where a trust root came from.
#[derive(Clone)]
enum Source {
    /// A file that was named.
    File(PathBuf),
    /// What this machine has chosen, some parts of it replaced by the files that variables name.
    Default {
        document: Document,
        replaced: Vec<(&'static str, String)>,
    },
}

/// The parts of the trust root that cosign's variables replace.
const REPLACING: [(&str, PartKind); 3] = [
    ("SIGSTORE_REKOR_PUBLIC_KEY", PartKind::Logs),
    ("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", PartKind::CtLogs),
    ("SIGSTORE_TSA_CERTIFICATE_FILE", PartKind::TimestampAuthorities),
];

/// The folder of what is kept.
pub(crate) fn home() -> Option<Home> {
    Home::from_environment(&variable)
}

/// The mirror that counts now: TUF_MIRROR's, or the chosen one.
///
/// Where no folder is known, nobody can say what was chosen: to fall back to the public instance could accept what the
/// chosen one would not. Only TUF_MIRROR is a choice then, of an instance that this program has built in.
pub(crate) fn place() -> Result<Place, Failure> {
    let home = home();
    match (variable("TUF_MIRROR"), home) {
        (Some(mirror), Some(home)) => Ok(home.place(&mirror)),
        (Some(mirror), None) => Ok(Home::new(PathBuf::from("/nonexistent/proofmark")).place(&mirror)),
        (None, Some(home)) => home.chosen().map_err(|error| refused(&error)),
        (None, None) => {
            let message = "there is no HOME, so nobody can say which instance was chosen on this machine";
            Err(Failure::usage("trust-choice-unknown", message).with_hint(format!(
                "set HOME, XDG_CACHE_HOME or TUF_ROOT; or say which: --trusted-root FILE, or TUF_MIRROR={} for the public \
                 instance as this program was built with it",
                Instance::Public.mirror()
            )))
        }
    }
}

/// What is kept here cannot be used.
pub(crate) fn refused(error: &HomeError) -> Failure {
    let failure = Failure::usage(error.code(), chain(error));
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// The trust root without a file. `root_file` is SIGSTORE_ROOT_FILE where that holds certificates, as cosign has it.
pub(crate) fn trust_root(root_file: Option<&Path>) -> Result<TrustRoot, Failure> {
    let document = document(TRUSTED_ROOT)?;
    let unusable = |error: &dyn std::error::Error| Failure::usage("trusted-root-unusable", chain(error));
    let mut files: Vec<(&'static str, String, PartKind)> = REPLACING
        .iter()
        .filter_map(|(name, kind)| Some((*name, variable(name)?, *kind)))
        .collect();
    files.extend(root_file.map(|path| {
        let path = path.display().to_string();
        ("SIGSTORE_ROOT_FILE", path, PartKind::Authorities)
    }));
    let source = Source::Default {
        document: document.clone(),
        replaced: files.iter().map(|(name, path, _)| (*name, path.clone())).collect(),
    };
    if files.is_empty() {
        let root = TrustRoot::parse(&document.bytes).map_err(|error| unusable(&error))?;
        checked_with(source);
        return Ok(root);
    }
    let mut parts = TrustRootParts::of(&document.bytes).map_err(|error| unusable(&error))?;
    let forever = Validity {
        start: UnixTime::from_seconds(0).ok(),
        end: None,
    };
    for (_, path, kind) in files {
        let text = read_text(Path::new(&path))?;
        parts = parts.without(kind);
        let added = match kind {
            PartKind::Logs | PartKind::CtLogs => parts.add_log(kind, "", &text, forever, None),
            _ => parts.add_authority(kind, "", &text, forever),
        };
        added.map_err(|error| Failure::usage("trusted-root-unusable", format!("{path}: {}", chain(&error))))?;
    }
    let bytes = parts.to_json().map_err(|error| unusable(&error))?;
    let root = TrustRoot::parse(&bytes).map_err(|error| unusable(&error))?;
    checked_with(source);
    Ok(root)
}

/// The trust root in a file that was named.
pub(crate) fn trust_root_of(path: &Path) -> Result<TrustRoot, Failure> {
    let root = proofmark_trust_root::load_trust_root(path)
        .map_err(|error| Failure::usage("trusted-root-unusable", chain(&error)))?;
    checked_with(Source::File(path.to_owned()));
    Ok(root)
}

fn checked_with(source: Source) {
    if let Ok(mut checked) = CHECKED_WITH.lock() {
        *checked = Some(source);
    }
}

/// The variable that replaces a part of the trust root, if one is set.
pub(crate) fn replacing_variable() -> Option<&'static str> {
    let mut names = REPLACING.iter().map(|(name, _)| *name);
    names.find(|name| variable(name).is_some())
}

/// Whether a file holds PEM blocks.
pub(crate) fn is_pem(path: &Path) -> Result<bool, Failure> {
    Ok(read_file(path)?.trim_ascii_start().starts_with(b"-----BEGIN"))
}

/// The signing configuration without a file. An instance may have none; the public one's does not take its place: what is
/// signed, and for whom, would be published where this machine has chosen not to.
pub(crate) fn signing_config() -> Result<SigningConfig, Failure> {
    let document = document(SIGNING_CONFIG).map_err(|failure| match failure.code.as_str() {
        "trust-no-document" => no_services(place().as_ref().map_or("the instance", Place::mirror)),
        _ => failure,
    })?;
    SigningConfig::parse(&document.bytes).map_err(|error| Failure::usage(error.code(), chain(&error)))
}

fn no_services(mirror: &str) -> Failure {
    let message = format!(
        "{mirror} is trusted here and names no services to sign with; nothing is sent to the public ones instead"
    );
    Failure::usage("signing-config-missing", message).with_hint(
        "--signing-config FILE, or all of --fulcio-url, --rekor-url and --oidc-issuer, name services; \
         `proofmark initialize` goes back to the public instance",
    )
}

/// The instance that counts now, if it is one that is known by name.
pub(crate) fn instance() -> Result<Option<Instance>, Failure> {
    Ok(place()?.instance())
}

/// The public services may stand in for one that no flag names only where the public instance is what is trusted.
pub(crate) fn may_stand_in(flag: &str) -> Result<(), Failure> {
    let place = place()?;
    if place.instance() == Some(Instance::Public) {
        return Ok(());
    }
    let mirror = place.mirror();
    let message =
        format!("{flag} is not given, and the public service does not stand in for it: {mirror} is trusted here");
    Err(Failure::usage("public-service-not-chosen", message).with_hint(format!(
        "give {flag}, or --signing-config FILE; `proofmark initialize` goes back to the public instance"
    )))
}

/// A document of the mirror that counts now; remembered, so that its age is shown.
pub(crate) fn document(name: &str) -> Result<Document, Failure> {
    let place = place()?;
    let read = |name: &str| place.document(name).map_err(|error| refused(&error));
    let Some(document) = read(name)? else {
        if name != TRUSTED_ROOT && read(TRUSTED_ROOT)?.is_some() {
            let message = format!("{} has no {name}, or it was never fetched", place.mirror());
            return Err(Failure::usage("trust-no-document", message));
        }
        let message = format!("nothing of {} is kept on this machine", place.mirror());
        return Err(Failure::usage("trust-not-initialized", message).with_hint(
            "`proofmark initialize --mirror URL --root root.json` fetches it; --trusted-root FILE does without",
        ));
    };
    if let Ok(mut used) = USED.lock() {
        *used = Some((place, document.clone()));
    }
    Ok(document)
}

/// Where a document comes from and how old it is, for scripts.
pub(crate) fn describe(document: &Document, now: UnixTime) -> Value {
    let origin = match &document.origin {
        Origin::Kept { mirror } => json!({"kind": "tuf", "mirror": mirror}),
        Origin::Embedded(instance) => json!({"kind": "embedded", "instance": instance.name()}),
    };
    json!({
        "origin": origin, "since": document.since, "expires": document.expires,
        "versions": document.versions, "ageSeconds": now.since(document.since).as_secs(), "stale": document.staleness(now),
    })
}

/// The trust root that a verb of this process checked with, for its result: a line for a person, a value for a script.
/// Nothing and `null` if it looked at none.
pub(crate) fn used() -> (String, Value) {
    let source = CHECKED_WITH.lock().ok().and_then(|source| source.clone());
    let now = Context::now();
    match source {
        None => (String::new(), Value::Null),
        Some(Source::File(path)) => (
            format!("trust root: the file {}\n", path.display()),
            json!({"origin": {"kind": "file", "path": path}, "stale": null}),
        ),
        Some(Source::Default { document, replaced }) => {
            let mut text = format!("trust root: {}\n", document.description());
            if let Some(reason) = document.staleness(now) {
                text.push_str(&format!("  STALE: {reason}\n"));
            }
            for (name, path) in &replaced {
                text.push_str(&format!("  a part of it replaced by {name}={path}\n"));
            }
            let mut value = describe(&document, now);
            value["replaced"] = replaced
                .into_iter()
                .map(|(name, path)| (name.to_owned(), path.into()))
                .collect::<serde_json::Map<_, _>>()
                .into();
            (text, value)
        }
    }
}

/// After a verb, its result written: a word if what it used is old, and a refresh in the background if one is due.
pub(crate) fn after(output: Output) {
    let Some((place, document)) = USED.lock().ok().and_then(|used| used.clone()) else {
        return;
    };
    let now = Context::now();
    if let Some(reason) = document.staleness(now) {
        output.warn(&format!("{reason}; `proofmark initialize` fetches the newest"));
    }
    if is_offline() || !place.is_due(now) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut command = Command::new(program);
    command
        .args(["trust", "refresh", "--background", "--mirror", place.mirror()])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // Its own group, so that a Ctrl-C for this command is not one for it; its usual name, whatever ours was.
        command.process_group(0).arg0("proofmark");
    }
    // A machine that cannot start it has an old trust root, which is shown; nothing else depends on it.
    drop(command.spawn());
}

/// PROOFMARK_OFFLINE, or --offline on the command line: nothing is fetched that was not asked for.
pub(crate) fn is_offline() -> bool {
    let set = variable("PROOFMARK_OFFLINE").is_some_and(|value| value != "0" && value != "false");
    set || std::env::args().any(|word| word == "--offline" || word == "--offline=true")
}
