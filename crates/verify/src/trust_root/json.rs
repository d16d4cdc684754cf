//! `trusted_root.json`: the ProtoJSON of `TrustedRoot`, read strictly and written in version 0.1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_types::UnixTime;
use serde::{Deserialize, Serialize};

use super::{Authority, LogKey, MAX_CHAIN, MAX_INSTANCES, MAX_TRUST_ROOT_BYTES, TrustRoot, TrustRootError, Validity};
use crate::chain::PreparedAuthority;
use crate::key::{KeyAlgorithm, KeyError, PublicKey};

/// The only one to publish: sigstore-python 4.5 refuses the other spellings.
const MEDIA_TYPE_01: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

const MEDIA_TYPES: [&str; 4] = [
    MEDIA_TYPE_01,
    "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// A log id is a SHA-256.
const LOG_ID_BYTES: usize = 32;

/// Addresses and names are shown to people.
const MAX_TEXT: usize = 1_024;

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(alias = "media_type")]
    media_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tlogs: Vec<Log>,
    #[serde(default, alias = "certificate_authorities", skip_serializing_if = "Vec::is_empty")]
    certificate_authorities: Vec<Ca>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ctlogs: Vec<Log>,
    #[serde(default, alias = "timestamp_authorities", skip_serializing_if = "Vec::is_empty")]
    timestamp_authorities: Vec<Ca>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Log {
    #[serde(default, alias = "base_url")]
    base_url: String,
    #[serde(default, alias = "hash_algorithm")]
    hash_algorithm: String,
    #[serde(alias = "public_key")]
    public_key: Key,
    #[serde(alias = "log_id")]
    log_id: LogId,
    #[serde(default, alias = "checkpoint_key_id", skip_serializing_if = "Option::is_none")]
    checkpoint_key_id: Option<LogId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Key {
    #[serde(alias = "raw_bytes")]
    raw_bytes: String,
    #[serde(alias = "key_details")]
    key_details: String,
    #[serde(default, alias = "valid_for", skip_serializing_if = "Option::is_none")]
    valid_for: Option<Range>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogId {
    #[serde(alias = "key_id")]
    key_id: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Ca {
    #[serde(default)]
    subject: Name,
    #[serde(default)]
    uri: String,
    #[serde(alias = "cert_chain")]
    cert_chain: Chain,
    #[serde(default, alias = "valid_for", skip_serializing_if = "Option::is_none")]
    valid_for: Option<Range>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Name {
    #[serde(default)]
    organization: String,
    #[serde(default, alias = "common_name")]
    common_name: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Chain {
    certificates: Vec<Der>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Der {
    #[serde(alias = "raw_bytes")]
    raw_bytes: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Range {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<UnixTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<UnixTime>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<TrustRoot, TrustRootError> {
    if bytes.len() > MAX_TRUST_ROOT_BYTES {
        return Err(TrustRootError::TooLarge {
            limit: MAX_TRUST_ROOT_BYTES,
            seen: bytes.len(),
        });
    }
    let document: Document = serde_json::from_slice(bytes).map_err(|error| TrustRootError::Malformed {
        detail: error.to_string(),
    })?;
    if !MEDIA_TYPES.contains(&document.media_type.as_str()) {
        return Err(TrustRootError::MediaType {
            seen: document.media_type.chars().take(MAX_TEXT).collect(),
        });
    }
    let mut unsupported = Vec::new();
    Ok(TrustRoot {
        authorities: authorities("certificateAuthorities", document.certificate_authorities)?,
        logs: logs("tlogs", document.tlogs, &mut unsupported)?,
        ct_logs: logs("ctlogs", document.ctlogs, &mut unsupported)?,
        timestamp_authorities: authorities("timestampAuthorities", document.timestamp_authorities)?,
        unsupported,
    })
}

fn logs(list: &str, logs: Vec<Log>, unsupported: &mut Vec<String>) -> Result<Vec<LogKey>, TrustRootError> {
    bounded(list, logs.len())?;
    let mut keys = Vec::with_capacity(logs.len());
    for (index, log) in logs.into_iter().enumerate() {
        let place = format!("{list}[{index}]");
        let hash = log.hash_algorithm.as_str();
        let known_hash = matches!(hash, "SHA2_256" | "" | "HASH_ALGORITHM_UNSPECIFIED");
        let details = log.public_key.key_details.as_str();
        let Some(kinds) = key_kinds(details).filter(|_| known_hash) else {
            unsupported.push(format!("{place}: key {} with hash {}", short(details), short(hash)));
            continue;
        };
        keys.push(log_key(&place, kinds, log)?);
    }
    Ok(keys)
}

fn log_key(place: &str, kinds: &[KeyAlgorithm], log: Log) -> Result<LogKey, TrustRootError> {
    let key_place = format!("{place}.publicKey.rawBytes");
    let spki = decode(&key_place, &log.public_key.raw_bytes)?;
    let key = PublicKey::from_spki_der(&spki).map_err(|source: KeyError| TrustRootError::Key {
        place: key_place.clone(),
        source,
    })?;
    if !kinds.contains(&key.algorithm()) {
        return Err(field(
            &key_place,
            format!(
                "keyDetails says {}, the key is {}",
                log.public_key.key_details,
                key.algorithm().name()
            ),
        ));
    }
    let id_place = format!("{place}.logId.keyId");
    let log_id = decode(&id_place, &log.log_id.key_id)?;
    if log_id.len() != LOG_ID_BYTES {
        return Err(field(
            &id_place,
            format!("expected {LOG_ID_BYTES} bytes, found {}", log_id.len()),
        ));
    }
    Ok(LogKey {
        base_url: text(&format!("{place}.baseUrl"), log.base_url)?,
        log_id,
        key,
        key_details: log.public_key.key_details,
        operator: operator(place, log.operator)?,
        validity: validity(&format!("{place}.publicKey.validFor"), log.public_key.valid_for)?,
    })
}

fn authorities(list: &str, authorities: Vec<Ca>) -> Result<Vec<Authority>, TrustRootError> {
    bounded(list, authorities.len())?;
    let mut read = Vec::with_capacity(authorities.len());
    for (index, authority) in authorities.into_iter().enumerate() {
        let place = format!("{list}[{index}]");
        let chain_place = format!("{place}.certChain");
        if authority.cert_chain.certificates.len() > MAX_CHAIN {
            return Err(TrustRootError::TooMany {
                place: chain_place,
                limit: MAX_CHAIN,
                seen: authority.cert_chain.certificates.len(),
            });
        }
        let certificates = authority
            .cert_chain
            .certificates
            .iter()
            .map(|certificate| decode(&chain_place, &certificate.raw_bytes))
            .collect::<Result<Vec<_>, _>>()?;
        read.push(Authority {
            uri: text(&format!("{place}.uri"), authority.uri)?,
            organization: text(&format!("{place}.subject.organization"), authority.subject.organization)?,
            common_name: text(&format!("{place}.subject.commonName"), authority.subject.common_name)?,
            operator: operator(&place, authority.operator)?,
            validity: validity(&format!("{place}.validFor"), authority.valid_for)?,
            prepared: PreparedAuthority::new(certificates).map_err(|detail| field(&chain_place, detail))?,
        });
    }
    Ok(read)
}

/// Which keys a `PublicKeyDetails` name stands for; none for those that this room cannot use.
fn key_kinds(details: &str) -> Option<&'static [KeyAlgorithm]> {
    use KeyAlgorithm::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048, Rsa3072, Rsa4096};
    match details {
        "PKIX_ECDSA_P256_SHA_256" | "PKIX_ECDSA_P256_HMAC_SHA_256" => Some(&[EcdsaP256]),
        "PKIX_ECDSA_P384_SHA_384" | "PKIX_ECDSA_P384_SHA_256" => Some(&[EcdsaP384]),
        "PKIX_ECDSA_P521_SHA_512" | "PKIX_ECDSA_P521_SHA_256" => Some(&[EcdsaP521]),
        "PKIX_ED25519" | "PKIX_ED25519_PH" => Some(&[Ed25519]),
        "PKIX_RSA_PKCS1V15_2048_SHA256" | "PKIX_RSA_PSS_2048_SHA256" => Some(&[Rsa2048]),
        "PKIX_RSA_PKCS1V15_3072_SHA256" | "PKIX_RSA_PSS_3072_SHA256" => Some(&[Rsa3072]),
        "PKIX_RSA_PKCS1V15_4096_SHA256" | "PKIX_RSA_PSS_4096_SHA256" => Some(&[Rsa4096]),
        // The older names say no length.
        _ if details.starts_with("PKIX_RSA_") => Some(&[Rsa2048, Rsa3072, Rsa4096]),
        _ => None,
    }
}

/// The start is required: a window that someone forgot to write must not be one that was always open
/// (sigstore-conformance, `trust-root-tlog-missing-validity-start`).
fn validity(place: &str, range: Option<Range>) -> Result<Validity, TrustRootError> {
    let Some((start, end)) = range.and_then(|range| Some((range.start?, range.end))) else {
        return Err(field(place, "the start of the validity is missing".to_owned()));
    };
    if let Some(end) = end
        && end < start
    {
        return Err(field(place, format!("ends ({end}) before it starts ({start})")));
    }
    Ok(Validity {
        start: Some(start),
        end,
    })
}

fn operator(place: &str, operator: Option<String>) -> Result<Option<String>, TrustRootError> {
    match operator {
        Some(name) if !name.is_empty() => text(&format!("{place}.operator"), name).map(Some),
        _ => Ok(None),
    }
}

fn text(place: &str, value: String) -> Result<String, TrustRootError> {
    if value.len() > MAX_TEXT || value.chars().any(char::is_control) {
        return Err(field(
            place,
            format!("expected at most {MAX_TEXT} printable characters"),
        ));
    }
    Ok(value)
}

fn decode(place: &str, value: &str) -> Result<Vec<u8>, TrustRootError> {
    STANDARD
        .decode(value)
        .map_err(|_| field(place, "expected standard base64 with padding".to_owned()))
}

fn bounded(place: &str, seen: usize) -> Result<(), TrustRootError> {
    if seen > MAX_INSTANCES {
        return Err(TrustRootError::TooMany {
            place: place.to_owned(),
            limit: MAX_INSTANCES,
            seen,
        });
    }
    Ok(())
}

fn field(place: &str, detail: String) -> TrustRootError {
    TrustRootError::Field {
        place: place.to_owned(),
        detail,
    }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

pub(super) fn write(root: &TrustRoot) -> Vec<u8> {
    let document = Document {
        media_type: MEDIA_TYPE_01.to_owned(),
        tlogs: root.logs.iter().map(write_log).collect(),
        certificate_authorities: root.authorities.iter().map(write_authority).collect(),
        ctlogs: root.ct_logs.iter().map(write_log).collect(),
        timestamp_authorities: root.timestamp_authorities.iter().map(write_authority).collect(),
    };
    // Strings and lists only: writing them cannot fail.
    serde_json::to_vec_pretty(&document).unwrap_or_default()
}

fn write_log(log: &LogKey) -> Log {
    Log {
        base_url: log.base_url.clone(),
        hash_algorithm: "SHA2_256".to_owned(),
        public_key: Key {
            raw_bytes: STANDARD.encode(log.key.spki_der()),
            key_details: log.key_details.clone(),
            valid_for: write_range(log.validity),
        },
        log_id: LogId {
            key_id: STANDARD.encode(&log.log_id),
        },
        checkpoint_key_id: None,
        operator: log.operator.clone(),
    }
}

fn write_authority(authority: &Authority) -> Ca {
    Ca {
        subject: Name {
            organization: authority.organization.clone(),
            common_name: authority.common_name.clone(),
        },
        uri: authority.uri.clone(),
        cert_chain: Chain {
            certificates: authority
                .certificates()
                .iter()
                .map(|der| Der {
                    raw_bytes: STANDARD.encode(der),
                })
                .collect(),
        },
        valid_for: write_range(authority.validity),
        operator: authority.operator.clone(),
    }
}

fn write_range(validity: Validity) -> Option<Range> {
    (validity != Validity::default()).then_some(Range {
        start: validity.start,
        end: validity.end,
    })
}
