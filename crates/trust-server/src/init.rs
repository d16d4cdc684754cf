//! `trust init`: the keys, certificates and documents of a new trust domain, in a folder that has none.

use std::path::Path;
use std::time::Duration;

use proofmark_merkle::{NoteKey, NoteKeyError, NoteSigner};
use proofmark_types::UnixTime;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use crate::dev_issuer::{self, DevIssuer};
use crate::documents::Material;
use crate::folder::{self, FolderError, PUBLIC};
use crate::key::{self, EcdsaKey, KeyFileError, RsaKey, pem};
use crate::oidc::{self, IssuerConfig, IssuerConfigError};
use crate::tuf::{self, PublishError};
use crate::x509::{self, Certificate, Issuer};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Fulcio's specification: a root some ten years, an intermediate some three.
const ROOT_DAYS: u32 = 3650;
const INTERMEDIATE_DAYS: u32 = 1095;

/// The names of the files in the folder.
pub(crate) mod files {
    pub(crate) const CONFIG: &str = "trust.yaml";
    pub(crate) const LOCK: &str = "lock";
    pub(crate) const LOG: &str = "log";
    pub(crate) const KEYS: &str = "keys";
    pub(crate) const CA_ROOT_KEY: &str = "keys/ca-root.pem";
    pub(crate) const CA_KEY: &str = "keys/ca-intermediate.pem";
    pub(crate) const CT_KEY: &str = "keys/ct.pem";
    pub(crate) const LOG_KEY: &str = "keys/log.pem";
    pub(crate) const TSA_ROOT_KEY: &str = "keys/tsa-root.pem";
    pub(crate) const TSA_KEY: &str = "keys/tsa.pem";
    pub(crate) const DEV_KEY: &str = "keys/INSECURE-development-issuer.pem";
    pub(crate) const DEV_ORIGIN: &str = "INSECURE-development-issuer";
    pub(crate) const CA_CHAIN: &str = "ca-chain.pem";
    pub(crate) const TSA_CHAIN: &str = "tsa-chain.pem";
    pub(crate) const TRUSTED_ROOT: &str = "trusted_root.json";
    pub(crate) const SIGNING_CONFIG: &str = "signing_config.json";
    pub(crate) const TRUST_CONFIG: &str = "trust_config.json";
    pub(crate) const TUF: &str = "tuf";
    pub(crate) const TUF_ROOT: &str = "tuf_root.json";
    pub(crate) const TUF_ROOT_KEY: &str = "keys/tuf-root.pem";
    pub(crate) const TUF_ONLINE_KEY: &str = "keys/tuf-online.pem";
}

/// What a new trust domain is to be.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Where clients reach the server: scheme, host and port, without a path.
    pub origin: Url,
    /// Who runs it; shown in certificates and documents.
    pub operator: String,
    /// Whose identity tokens are believed.
    pub issuers: Vec<IssuerConfig>,
    /// Adds the INSECURE development issuer, which vouches for anything.
    pub dev_issuer: bool,
    /// The time at which everything begins to be valid.
    pub now: UnixTime,
}

/// The configuration in the folder, `trust.yaml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StoredConfig {
    pub(crate) origin: String,
    pub(crate) operator: String,
    #[serde(default)]
    pub(crate) oidc_issuers: Vec<IssuerConfig>,
}

/// Why no trust domain was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitError {
    /// A file of the folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The configuration of the issuers.
    #[error(transparent)]
    Issuer(#[from] IssuerConfigError),
    /// The TUF repository.
    #[error(transparent)]
    Tuf(#[from] PublishError),
    /// A path, query or other scheme: clients of the certificate authority only use the root of a host.
    #[error("{origin} is no origin: expected http:// or https://, a host, perhaps a port, and nothing else")]
    Origin {
        /// What was given.
        origin: String,
    },
    /// The development issuer on a public origin: whoever reaches it could be anybody.
    #[error(
        "{origin} is a public address, and the INSECURE development issuer vouches for anything: it is for http:// and this machine only"
    )]
    PublicDevelopmentIssuer {
        /// The origin.
        origin: String,
    },
    /// The host cannot name a log.
    #[error("the host of the origin cannot name a log")]
    LogName(#[from] NoteKeyError),
    /// The configuration could not be written as YAML.
    #[error("the configuration cannot be written")]
    Config {
        /// The writer's words.
        reason: String,
    },
}

impl InitError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Issuer(_) => "trust-issuer",
            Self::Tuf(error) => error.code(),
            Self::Origin { .. } => "trust-origin",
            Self::PublicDevelopmentIssuer { .. } => "trust-development-issuer-public",
            Self::LogName(_) => "trust-log-name",
            Self::Config { .. } => "trust-config",
        }
    }
}

/// Makes a trust domain in `directory`, which must not hold one. Nothing is overwritten, so that a second `init` can
/// destroy no key.
pub fn init(directory: &Path, options: &InitOptions) -> Result<(), InitError> {
    let origin = origin_text(&options.origin)?;
    let mut issuers = options.issuers.clone();
    if options.dev_issuer {
        if !dev_issuer::is_allowed_at(&options.origin) {
            return Err(InitError::PublicDevelopmentIssuer { origin });
        }
        tracing::warn!("the trust domain gets an INSECURE development issuer: whoever reads its key can be anybody");
        issuers.extend(DevIssuer::configs(&origin));
    }
    oidc::check(&issuers)?;
    let config = directory.join(files::CONFIG);
    if config.exists() {
        return Err(FolderError::Exists { path: config }.into());
    }
    folder::create_private(directory)?;
    folder::create_private(&directory.join(files::KEYS))?;
    folder::create_private(&directory.join(files::LOG))?;

    let (ca_chain, tsa_chain) = (
        certificate_authority(directory, options)?,
        timestamp_authority(directory, options)?,
    );
    let ct_key = EcdsaKey::create(&directory.join(files::CT_KEY))?;
    let seed = key::create_ed25519(&directory.join(files::LOG_KEY))?;
    let log_key: NoteKey = NoteSigner::from_seed(&log_name(&options.origin), &seed)?.key().clone();
    if options.dev_issuer {
        RsaKey::create(&directory.join(files::DEV_KEY))?;
        folder::create_new(&directory.join(files::DEV_ORIGIN), PUBLIC, origin.as_bytes())?;
    }
    let urls: Vec<String> = issuers.iter().map(|issuer| issuer.issuer_url.clone()).collect();
    let material = Material {
        origin: &origin,
        operator: &options.operator,
        start: options.now,
        log_key: &log_key,
        ct_spki: ct_key.spki(),
        ca_chain: &ca_chain,
        tsa_chain: &tsa_chain,
        issuers: &urls,
    };
    write_documents(directory, &material)?;
    tuf::publish(directory, options.now)?;
    // Last: a folder without it is not taken for a trust domain.
    let stored = StoredConfig {
        origin,
        operator: options.operator.clone(),
        oidc_issuers: issuers,
    };
    let text = serde_saphyr::to_string(&stored).map_err(|error| InitError::Config {
        reason: error.to_string(),
    })?;
    folder::create_new(&config, folder::PRIVATE, text.as_bytes())?;
    Ok(())
}

fn write_documents(directory: &Path, material: &Material<'_>) -> Result<(), InitError> {
    let chain =
        |certificates: &[Vec<u8>]| -> String { certificates.iter().map(|der| pem("CERTIFICATE", der)).collect() };
    let documents = [
        (files::CA_CHAIN, chain(material.ca_chain)),
        (files::TSA_CHAIN, chain(material.tsa_chain)),
        (files::TRUSTED_ROOT, format!("{:#}\n", material.trusted_root())),
        (files::SIGNING_CONFIG, format!("{:#}\n", material.signing_config())),
        (files::TRUST_CONFIG, format!("{:#}\n", material.trust_config())),
    ];
    for (name, text) in documents {
        folder::create_new(&directory.join(name), PUBLIC, text.as_bytes())?;
    }
    Ok(())
}

/// Intermediate and root, DER. P-256 for both: sigstore-python wants the SCT's issuer to be ECDSA or RSA, and P-384
/// would make every verification ten times slower for nothing that a private root needs.
fn certificate_authority(directory: &Path, options: &InitOptions) -> Result<Vec<Vec<u8>>, InitError> {
    let root_key = EcdsaKey::create(&directory.join(files::CA_ROOT_KEY))?;
    let key = EcdsaKey::create(&directory.join(files::CA_KEY))?;
    let root_name = x509::name(&options.operator, "root");
    let issuer = Issuer {
        key: &root_key,
        name: root_name.clone(),
    };
    let root = root_certificate(&root_key, root_name, options.now)?;
    let intermediate = Certificate {
        serial: x509::random_serial()?,
        not_before: options.now,
        not_after: options.now.plus(DAY * INTERMEDIATE_DAYS),
        subject: x509::name(&options.operator, "intermediate"),
        spki: key.spki(),
        extensions: vec![
            x509::usage_authority(),
            x509::purpose(x509::CODE_SIGNING, false),
            x509::authority(Some(0)),
            x509::subject_key_id(key.spki()),
            x509::authority_key_id(root_key.spki()),
        ],
    };
    Ok(vec![intermediate.sign(&issuer)?, root])
}

/// Leaf and root, DER. A root of its own: a key that dates things has no business in the path of one that names people.
fn timestamp_authority(directory: &Path, options: &InitOptions) -> Result<Vec<Vec<u8>>, InitError> {
    let root_key = EcdsaKey::create(&directory.join(files::TSA_ROOT_KEY))?;
    let key = EcdsaKey::create(&directory.join(files::TSA_KEY))?;
    let root_name = x509::name(&options.operator, "timestamp root");
    let issuer = Issuer {
        key: &root_key,
        name: root_name.clone(),
    };
    let root = root_certificate(&root_key, root_name, options.now)?;
    let leaf = Certificate {
        serial: x509::random_serial()?,
        not_before: options.now,
        not_after: options.now.plus(DAY * INTERMEDIATE_DAYS),
        subject: x509::name(&options.operator, "timestamp authority"),
        spki: key.spki(),
        extensions: vec![
            x509::usage_signature(),
            // Critical and alone (RFC 3161 section 2.3).
            x509::purpose(x509::TIME_STAMPING, true),
            x509::subject_key_id(key.spki()),
            x509::authority_key_id(root_key.spki()),
        ],
    };
    Ok(vec![leaf.sign(&issuer)?, root])
}

fn root_certificate(key: &EcdsaKey, name: Vec<u8>, now: UnixTime) -> Result<Vec<u8>, KeyFileError> {
    let issuer = Issuer {
        key,
        name: name.clone(),
    };
    let root = Certificate {
        serial: x509::random_serial()?,
        not_before: now,
        not_after: now.plus(DAY * ROOT_DAYS),
        subject: name,
        spki: key.spki(),
        extensions: vec![
            x509::usage_authority(),
            x509::authority(None),
            x509::subject_key_id(key.spki()),
        ],
    };
    root.sign(&issuer)
}

/// `scheme://host[:port]` without a slash, as clients join paths to it.
fn origin_text(url: &Url) -> Result<String, InitError> {
    let bare = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !bare {
        return Err(InitError::Origin {
            origin: url.to_string(),
        });
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The origin of the log's checkpoints: the host without its port, which cosign, sigstore-python and sigstore-js all
/// derive from the base URL in the trusted root.
pub(crate) fn log_name(origin: &Url) -> String {
    origin.host_str().unwrap_or_default().to_owned()
}
