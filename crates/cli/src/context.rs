//! What verbs run with: the output, the clock, files of trust, a registry client. The one place where the environment
//! and the clock are read.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use proofmark_registry::{Client, Credential, CredentialStore, RegistryError, Secret, Timeouts};
use proofmark_trust_root::SigningConfig;
use proofmark_types::{ImageRef, Repository, UnixTime};
use proofmark_verify::TrustRoot;

use crate::args::RegistryArgs;
use crate::cloud;
use crate::cosign::Manner;
use crate::failure::{Exit, Failure, chain};
use crate::output::{Format, Output};
use crate::trusting;

/// The largest key, predicate or policy file read, in bytes; trust roots have their own limit.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// What is said of `--k8s-keychain` is said once, however many registries are asked.
static KEYCHAIN: Once = Once::new();

/// The surroundings of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    /// Whose command line this is: ours, or cosign's.
    pub(crate) manner: Manner,
    /// The format that `-o` names, if it is given: under cosign's name `verify` prints JSON without it.
    pub(crate) asked: Option<Format>,
    /// Whether the cache of layers is left alone.
    pub(crate) no_cache: bool,
}

impl Context {
    pub(crate) fn new(output: Output, manner: Manner, asked: Option<Format>, no_cache: bool) -> Self {
        Self {
            output,
            manner,
            asked,
            no_cache,
        }
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

    /// A client with the user's credentials; for verbs that name no image, which `--registry-username` could be for.
    pub(crate) fn client(args: &RegistryArgs) -> Result<Client, Failure> {
        Self::client_for(args, &[])
    }

    /// What a verb did: cosign prints that nowhere or on standard error, where scripts do not take it for a result.
    pub(crate) fn done(&self, text: &str, value: &impl serde::Serialize) {
        if self.manner.is_cosign() {
            self.output.note(text.trim_end());
        } else {
            self.output.result(text, value);
        }
    }

    /// A client with the user's credentials. Those given on the command line are shown to the registries of `images` and
    /// to that of the evidence, and to nobody else.
    pub(crate) fn client_for(args: &RegistryArgs, images: &[&ImageRef]) -> Result<Client, Failure> {
        let evidence = evidence_repository(args)?;
        let mut hosts: Vec<_> = images.iter().map(|image| image.repository().registry()).collect();
        hosts.extend(evidence.as_ref().map(Repository::registry));
        let mut credentials = CredentialStore::from_environment().map_err(|error| registry_failure(error.into()))?;
        if let Some(given) = given_credential(args) {
            if hosts.is_empty() {
                return Err(Failure::usage(
                    "credentials-for-nobody",
                    "--registry-username, --registry-password and --registry-token are for the registry of an image, and none is named",
                ));
            }
            for host in hosts {
                credentials = credentials.with_host(host.clone(), given.clone());
            }
        }
        for name in &args.cloud_registry {
            credentials = credentials.with_provider(name.host().clone(), cloud::provider(name)?);
        }
        refuse_unsupported(args)?;
        if args.k8s_keychain {
            KEYCHAIN.call_once(|| {
                Output::new(Format::Text, false).warn(
                    "--k8s-keychain: credentials are those of Docker's and Podman's files and their helpers, with it and without; for a cloud's registry name its host with --cloud-registry",
                );
            });
        }
        let mut builder = Client::builder()
            .credentials(credentials)
            .allow_http(args.allow_http_registry || args.allow_insecure_registry);
        if let (Some(certificate), Some(key)) = (&args.registry_client_cert, &args.registry_client_key) {
            let pem = [read_file(certificate)?, b"\n".to_vec(), read_file(key)?].concat();
            builder = builder.client_certificate(&pem);
        }
        builder = builder.danger_accept_any_certificate(args.allow_insecure_registry);
        for host in &args.plain_http_registry {
            builder = builder.http_for(host.clone());
        }
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
        builder = builder.evidence_repository(evidence);
        builder.build().map_err(registry_failure)
    }

    /// Whom to believe: the file that is named, else what this machine has chosen, else the public instance. Reads and
    /// parses; never fetches. Not to be called where no certificate, log or timestamp is looked at.
    pub(crate) fn trust_root(given: Option<&Path>) -> Result<Option<Arc<TrustRoot>>, Failure> {
        let environment = variable("SIGSTORE_ROOT_FILE");
        let file = given.or_else(|| environment.as_deref().map(Path::new));
        let root = match file {
            // cosign's meaning of the variable: the certificates of an authority.
            Some(path)
                if given.is_none_or(|given| variable("SIGSTORE_ROOT_FILE").as_deref() == given.to_str())
                    && trusting::is_pem(path)? =>
            {
                trusting::trust_root(Some(path))?
            }
            Some(path) => trusting::trust_root_of(path)?,
            None => trusting::trust_root(None)?,
        };
        Ok(Some(Arc::new(root)))
    }

    /// Whom to ask when signing: the file that is named, else what this machine has chosen, else the public instance.
    /// Reads and parses; never fetches.
    pub(crate) fn signing_config(given: Option<&Path>) -> Result<SigningConfig, Failure> {
        let Some(path) = given else {
            return trusting::signing_config();
        };
        proofmark_trust_root::load_signing_config(path).map_err(|error| Failure::usage(error.code(), chain(&error)))
    }
}

/// What the environment says; a variable that is set to nothing is not set, as Go programs have it.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The folder of this user for what can be made again: `XDG_CACHE_HOME`, or `.cache` in `HOME`, and in it ours.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("proofmark"))
}

/// The repository of all evidence: the flag's, or cosign's COSIGN_REPOSITORY.
fn evidence_repository(args: &RegistryArgs) -> Result<Option<Repository>, Failure> {
    if args.evidence_repository.is_some() {
        return Ok(args.evidence_repository.clone());
    }
    variable("COSIGN_REPOSITORY")
        .map(|text| {
            text.parse::<Repository>().map_err(|error| {
                Failure::usage(
                    "malformed-reference",
                    format!(
                        "COSIGN_REPOSITORY is to be a repository, got \"{text}\": {}",
                        chain(&error)
                    ),
                )
            })
        })
        .transpose()
}

fn given_credential(args: &RegistryArgs) -> Option<Credential> {
    match (&args.registry_token, &args.registry_username, &args.registry_password) {
        (Some(token), ..) => Some(Credential::RegistryToken(Secret::new(token.clone()))),
        (None, Some(username), Some(password)) => Some(Credential::Password {
            username: username.clone(),
            password: Secret::new(password.clone()),
        }),
        _ => None,
    }
}

/// Flags that the client cannot honour yet are refused: a connection made otherwise than was asked for is not wanted.
fn refuse_unsupported(args: &RegistryArgs) -> Result<(), Failure> {
    let message = if args.registry_server_name.is_some() {
        "--registry-server-name: a certificate is held against the name of the host; name the host so, and map the name to its address"
    } else if args.attachment_tag_prefix.is_some() {
        "--attachment-tag-prefix: evidence is kept under the tags that every client looks at, or in another repository (COSIGN_REPOSITORY)"
    } else {
        return Ok(());
    };
    Err(Failure::usage("flag-not-supported", message))
}

/// Reads a file that the command line names.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    // What has no size beforehand, a pipe or a device, has a limit as well.
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Failure::usage(
            "file-too-large",
            format!(
                "{} is too large, at most {MAX_FILE_BYTES} bytes are read",
                path.display()
            ),
        ));
    }
    Ok(bytes)
}

/// Reads a text file that the command line names.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_file(path)?)
        .map_err(|_| Failure::usage("file-not-text", format!("{} is not UTF-8 text", path.display())))
}

/// Writes a file that the command line names, whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut builder = tempfile::Builder::new();
    // As any program's output: what the umask lets everyone read. Secrets are written with `write_secret`.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = written_beside(path, bytes, &builder)?;
    file.persist(path).map_err(|error| unwritable(path, &error.error))?;
    Ok(())
}

/// Writes a file that only its owner can read, whole or not at all, and there to stay. Unless it is to be replaced it must be
/// new, also if someone made it since it was looked at.
pub(crate) fn write_secret(path: &Path, bytes: &[u8], replace: bool) -> Result<(), Failure> {
    // Made with mode 0600.
    let file = written_beside(path, bytes, &tempfile::Builder::new())?;
    file.as_file().sync_all().map_err(|error| unwritable(path, &error))?;
    let kept = if replace {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    kept.map(|_| ()).map_err(|error| unwritable(path, &error.error))
}

/// A file in the same folder with all of it.
fn written_beside(
    path: &Path,
    bytes: &[u8],
    builder: &tempfile::Builder<'_, '_>,
) -> Result<tempfile::NamedTempFile, Failure> {
    let failure = |error: std::io::Error| unwritable(path, &error);
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    std::fs::metadata(folder).map_err(failure)?;
    // The text of its error names the temporary file.
    let mut file = builder
        .tempfile_in(folder)
        .map_err(|error| failure(error.kind().into()))?;
    std::io::Write::write_all(&mut file, bytes).map_err(failure)?;
    Ok(file)
}

/// A file or folder of the user's that could not be read.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage("file-unreadable", format!("cannot read {}: {error}", path.display()))
}

/// A file or folder that could not be made or written.
pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Undecided,
        "file-unwritable",
        format!("cannot write {}: {error}", path.display()),
    )
}

/// The image that the command line names.
pub(crate) fn parse_image(text: &str) -> Result<ImageRef, Failure> {
    ImageRef::parse(text)
        .map_err(|error| Failure::usage("malformed-reference", format!("\"{text}\": {}", chain(&error))))
}

/// The images that the command line names.
pub(crate) fn parse_images(names: &[String]) -> Result<Vec<ImageRef>, Failure> {
    names.iter().map(|name| parse_image(name)).collect()
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
    } else if matches!(error, RegistryError::FolderTaken { .. }) {
        Exit::Refused
    } else {
        Exit::Undecided
    };
    let failure = Failure::new(exit, error.code(), chain(&error));
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_has_no_size_is_read_to_the_limit() {
        let failure = read_file(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(failure.code, "file-too-large");
    }
}
