//! What verbs run with: the output, the clock, files of trust, a registry client. The one place where the environment
//! and the clock are read.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proofmark_registry::{Client, CredentialStore, RegistryError, Timeouts};
use proofmark_trust_root::{Instance, SigningConfig};
use proofmark_types::{ImageRef, UnixTime};
use proofmark_verify::{PublicKey, TrustRoot};

use crate::args::RegistryArgs;
use crate::failure::{Exit, Failure, chain};
use crate::output::Output;

/// The largest key, predicate or policy file read, in bytes; trust roots have their own limit.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// The surroundings of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
}

impl Context {
    pub(crate) fn new(output: Output) -> Self {
        Self { output }
    }

    /// The time now; `SOURCE_DATE_EPOCH` does not change it, since certificates are checked against it.
    pub(crate) fn now() -> UnixTime {
        UnixTime::from_system(SystemTime::now())
    }

    /// The time that documents are dated with: `SOURCE_DATE_EPOCH` where it is set, for reproducible output.
    pub(crate) fn document_time() -> Result<UnixTime, Failure> {
        match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => text
                .trim()
                .parse()
                .ok()
                .and_then(|seconds| UnixTime::from_seconds(seconds).ok())
                .ok_or_else(|| {
                    Failure::usage(
                        "malformed-source-date-epoch",
                        format!("SOURCE_DATE_EPOCH is to be seconds since 1970, got \"{text}\""),
                    )
                }),
            Err(_) => Ok(Self::now()),
        }
    }

    /// A client with the user's credentials.
    pub(crate) fn client(args: &RegistryArgs) -> Result<Client, Failure> {
        let credentials = CredentialStore::from_environment().map_err(|error| registry_failure(error.into()))?;
        let mut builder = Client::builder()
            .credentials(credentials)
            .allow_http(args.allow_http_registry);
        if let Some(path) = &args.registry_cacert {
            builder = builder.root_certificates(&read_file(path)?);
        }
        if let Some(seconds) = args.registry_timeout {
            let patience = Duration::from_secs(seconds);
            let usual = Timeouts::default();
            builder = builder.timeouts(Timeouts {
                connect: usual.connect.min(patience),
                first_byte: patience,
                idle: patience,
                document: 2 * patience,
                throttle: patience,
            });
        }
        builder = builder.evidence_repository(args.evidence_repository.clone());
        builder.build().map_err(registry_failure)
    }

    /// Whom to believe: the file that is named, else what this machine has chosen, else the public instance. Reads and
    /// parses; never fetches. Not to be called where no certificate, log or timestamp is looked at.
    pub(crate) fn trust_root(given: Option<&Path>) -> Result<Option<Arc<TrustRoot>>, Failure> {
        let root = match given {
            Some(path) => proofmark_trust_root::load_trust_root(path)
                .map_err(|error| Failure::usage("trusted-root-unusable", chain(&error)))?,
            None => TrustRoot::parse(Instance::Public.trusted_root()).map_err(anyhow::Error::from)?,
        };
        Ok(Some(Arc::new(root)))
    }

    /// Whom to ask when signing: the file that is named, else what this machine has chosen, else the public instance.
    /// Reads and parses; never fetches.
    #[allow(dead_code, reason = "signing takes it next")]
    pub(crate) fn signing_config(given: Option<&Path>) -> Result<Option<SigningConfig>, Failure> {
        let config = match (given, Instance::Public.signing_config()) {
            (Some(path), _) => proofmark_trust_root::load_signing_config(path)
                .map_err(|error| Failure::usage(error.code(), chain(&error)))?,
            (None, Some(bytes)) => SigningConfig::parse(bytes).map_err(anyhow::Error::from)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(config))
    }
}

/// Reads a file that the command line names.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let failure =
        |error: std::io::Error| Failure::usage("file-unreadable", format!("cannot read {}: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(failure)?.len();
    if size > MAX_FILE_BYTES {
        return Err(Failure::usage(
            "file-too-large",
            format!("{} has {size} bytes, at most {MAX_FILE_BYTES} are read", path.display()),
        ));
    }
    std::fs::read(path).map_err(failure)
}

/// Reads a text file that the command line names.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_file(path)?)
        .map_err(|_| Failure::usage("file-not-text", format!("{} is not UTF-8 text", path.display())))
}

/// Writes a file that the command line names, whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failure = |error: std::io::Error| {
        Failure::new(
            Exit::Undecided,
            "file-unwritable",
            format!("cannot write {}: {error}", path.display()),
        )
    };
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let mut builder = tempfile::Builder::new();
    // As any program's output: what the umask lets everyone read. Secrets are written elsewhere.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    std::fs::metadata(folder).map_err(failure)?;
    // The text of its error names the temporary file.
    let mut file = builder
        .tempfile_in(folder)
        .map_err(|error| failure(error.kind().into()))?;
    std::io::Write::write_all(&mut file, bytes).map_err(failure)?;
    file.persist(path).map_err(|error| failure(error.error))?;
    Ok(())
}

/// A public key file.
pub(crate) fn read_public_key(path: &Path) -> Result<PublicKey, Failure> {
    let text = read_text(path)?;
    PublicKey::from_pem(&text).map_err(|error| {
        Failure::usage(
            "public-key-unusable",
            format!("{} is not a usable public key: {}", path.display(), chain(&error)),
        )
        .with_hint(
            "expected a PEM block \"PUBLIC KEY\", as `proofmark key generate` and `cosign generate-key-pair` write it",
        )
    })
}

/// The image that the command line names.
pub(crate) fn parse_image(text: &str) -> Result<ImageRef, Failure> {
    ImageRef::parse(text)
        .map_err(|error| Failure::usage("malformed-reference", format!("\"{text}\": {}", chain(&error))))
}

/// What a registry said, as an exit code.
pub(crate) fn registry_failure(error: RegistryError) -> Failure {
    let exit = if error.is_not_found() {
        Exit::NotFound
    } else if error.is_unauthorized() {
        Exit::Credentials
    } else if matches!(
        error,
        RegistryError::NameNeeded { .. } | RegistryError::Reference(_) | RegistryError::Setup { .. }
    ) {
        Exit::Usage
    } else {
        Exit::Undecided
    };
    let failure = Failure::new(exit, error.code(), chain(&error));
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
