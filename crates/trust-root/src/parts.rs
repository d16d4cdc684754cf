//! Putting a trust root together from keys and certificates (`trusted-root create`), and replacing parts of one by files
//! that the environment names.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{DecodePem, Encode};
use proofmark_evidence::json::{self, JsonError};
use proofmark_types::UnixTime;
use proofmark_verify::{KeyAlgorithm, KeyError, PublicKey, TrustRoot, TrustRootError, Validity};
use serde_json::{Map, Value, json};
use thiserror::Error;
use x509_cert::Certificate;

/// What [`TrustRoot::parse`] takes.
const MAX_BYTES: u64 = 1024 * 1024;

/// The kinds of entries of a trust root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Certificate authorities.
    Authorities,
    /// Transparency logs.
    Logs,
    /// Certificate transparency logs.
    CtLogs,
    /// Timestamp authorities.
    TimestampAuthorities,
}

impl PartKind {
    fn field(self) -> &'static str {
        match self {
            Self::Authorities => "certificateAuthorities",
            Self::Logs => "tlogs",
            Self::CtLogs => "ctlogs",
            Self::TimestampAuthorities => "timestampAuthorities",
        }
    }
}

/// A trust root in the making: the document as it was read, so that what this program cannot use is kept.
#[derive(Clone, Debug)]
pub struct TrustRootParts {
    document: Map<String, Value>,
}

impl TrustRootParts {
    /// Nothing yet.
    #[must_use]
    pub fn empty() -> Self {
        let mut document = Map::new();
        let media_type = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
        document.insert("mediaType".to_owned(), json!(media_type));
        Self { document }
    }

    /// Those of a `trusted_root.json`.
    pub fn of(bytes: &[u8]) -> Result<Self, PartError> {
        TrustRoot::parse(bytes)?;
        match json::parse(bytes, MAX_BYTES)? {
            Value::Object(document) => Ok(Self { document }),
            _ => Err(PartError::Certificate),
        }
    }

    /// The same without the entries of a kind.
    #[must_use]
    pub fn without(mut self, kind: PartKind) -> Self {
        self.document.remove(kind.field());
        self
    }

    /// Adds a log. An origin matters to Ed25519 keys only: it is part of the id that checkpoints name them by.
    pub fn add_log(
        &mut self,
        kind: PartKind,
        url: &str,
        pem: &str,
        validity: Validity,
        origin: Option<&str>,
    ) -> Result<(), PartError> {
        let key = PublicKey::from_pem(pem)?;
        let spki = key.spki_der();
        let id = match (origin, key.algorithm()) {
            (Some(origin), KeyAlgorithm::Ed25519) => {
                let raw = spki.get(spki.len().saturating_sub(32)..).unwrap_or_default();
                digest(&SHA256, &[origin.as_bytes(), b"\n\x01", raw].concat())
            }
            _ => digest(&SHA256, spki),
        };
        self.push(
            kind,
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(spki),
                    "keyDetails": key_details(&key),
                    "validFor": window(validity),
                },
                "logId": {"keyId": STANDARD.encode(id)},
            }),
        );
        Ok(())
    }

    /// Adds an authority by its chain, the root last. Without a start it is valid from its first certificate's on.
    pub fn add_authority(&mut self, kind: PartKind, url: &str, pem: &str, validity: Validity) -> Result<(), PartError> {
        let blocks: Vec<&str> = pem
            .split_inclusive("-----END CERTIFICATE-----")
            .filter(|block| block.contains("-----BEGIN CERTIFICATE-----"))
            .collect();
        let mut certificates = Vec::new();
        for block in blocks {
            let begin = block.find("-----BEGIN").unwrap_or_default();
            let text = block.get(begin..).unwrap_or_default();
            certificates.push(Certificate::from_pem(text).map_err(|_| PartError::Certificate)?);
        }
        let (Some(first), Some(root)) = (certificates.first(), certificates.last()) else {
            return Err(PartError::Certificate);
        };
        let not_before = first.tbs_certificate.validity.not_before.to_system_time();
        let validity = Validity {
            start: validity.start.or_else(|| Some(UnixTime::from_system(not_before))),
            end: validity.end,
        };
        let mut raw = Vec::new();
        for certificate in &certificates {
            let der = certificate.to_der().map_err(|_| PartError::Certificate)?;
            raw.push(json!({"rawBytes": STANDARD.encode(der)}));
        }
        let entry = json!({
            "subject": {
                "organization": attribute(root, "2.5.4.10"), "commonName": attribute(root, "2.5.4.3"),
            },
            "uri": url,
            "certChain": {"certificates": raw},
            "validFor": window(validity),
        });
        self.push(kind, entry);
        Ok(())
    }

    /// The document, once it is one that can be read.
    pub fn to_json(&self) -> Result<Vec<u8>, PartError> {
        let bytes = serde_json::to_vec_pretty(&self.document)
            .unwrap_or_else(|error| unreachable!("own JSON always serializes: {error}"));
        TrustRoot::parse(&bytes)?;
        Ok(bytes)
    }

    fn push(&mut self, kind: PartKind, entry: Value) {
        let list = self.document.entry(kind.field()).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(entry);
        }
    }
}

fn window(validity: Validity) -> Value {
    let mut window = Map::new();
    for (name, time) in [("start", validity.start), ("end", validity.end)] {
        if let Some(time) = time {
            window.insert(name.to_owned(), json!(time));
        }
    }
    Value::Object(window)
}

fn attribute(certificate: &Certificate, oid: &str) -> String {
    let names = certificate
        .tbs_certificate
        .subject
        .0
        .iter()
        .flat_map(|set| set.0.iter());
    names
        .filter(|attribute| attribute.oid.to_string() == oid)
        .map(|attribute| String::from_utf8_lossy(attribute.value.value()).into_owned())
        .next()
        .unwrap_or_default()
}

/// protobuf-specs' name for a key with the hash that goes with it.
fn key_details(key: &PublicKey) -> &'static str {
    match key.algorithm() {
        KeyAlgorithm::EcdsaP256 => "PKIX_ECDSA_P256_SHA_256",
        KeyAlgorithm::EcdsaP384 => "PKIX_ECDSA_P384_SHA_384",
        KeyAlgorithm::EcdsaP521 => "PKIX_ECDSA_P521_SHA_512",
        KeyAlgorithm::Ed25519 => "PKIX_ED25519",
        KeyAlgorithm::Rsa2048 => "PKIX_RSA_PKCS1V15_2048_SHA256",
        KeyAlgorithm::Rsa3072 => "PKIX_RSA_PKCS1V15_3072_SHA256",
        KeyAlgorithm::Rsa4096 => "PKIX_RSA_PKCS1V15_4096_SHA256",
    }
}

/// Why something is no part of a trust root.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartError {
    /// Not a public key.
    #[error("expected a PEM block \"PUBLIC KEY\"")]
    Key(#[from] KeyError),
    /// Not certificates.
    #[error("expected PEM blocks \"CERTIFICATE\", the root last")]
    Certificate,
    /// The document it is added to is not JSON.
    #[error("the trust root cannot be read")]
    Json(#[from] JsonError),
    /// What came out is no trust root.
    #[error("this makes no usable trust root")]
    TrustRoot(#[from] TrustRootError),
}

impl PartError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::Certificate => "malformed-certificate",
            Self::Json(error) => error.code(),
            Self::TrustRoot(error) => error.code(),
        }
    }
}
