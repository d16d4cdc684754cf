//! Keys of roles, and whether enough of them signed.

use std::collections::{BTreeMap, HashSet};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::error::TufError;
use super::metadata::Envelope;

/// SubjectPublicKeyInfo of a P-256 key up to its point: the public instance's first roots have the bare point in hex.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// SubjectPublicKeyInfo of an Ed25519 key up to its 32 bytes.
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[derive(Deserialize)]
pub(super) struct WireKey {
    keytype: String,
    scheme: String,
    keyval: WireValue,
}

#[derive(Deserialize)]
struct WireValue {
    public: String,
}

/// A public key; one of a type that is not known here never verifies anything.
#[derive(Clone, Debug)]
pub(super) struct Key(Option<(Scheme, Vec<u8>)>);

#[derive(Clone, Copy, Debug)]
enum Scheme {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    RsaPss,
}

impl Key {
    pub(super) fn read(wire: &WireKey) -> Self {
        let public = wire.keyval.public.as_str();
        let scheme = match (wire.keytype.as_str(), wire.scheme.as_str()) {
            ("ed25519", "ed25519") => Scheme::Ed25519,
            // "ecdsa-sha2-nistp256" as a type is what was written before specification 1.0.26.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => Scheme::EcdsaP256,
            ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => Scheme::EcdsaP384,
            ("rsa", "rsassa-pss-sha256") => Scheme::RsaPss,
            _ => return Self(None),
        };
        let bare = |prefix: &[u8], length: usize| {
            hex::decode(public)
                .ok()
                .filter(|raw| raw.len() == length)
                .map(|raw| [prefix, &raw].concat())
        };
        let der = match scheme {
            Scheme::Ed25519 => bare(&ED25519_PREFIX, 32),
            Scheme::EcdsaP256 => bare(&P256_PREFIX, 65).or_else(|| pem(public)),
            Scheme::EcdsaP384 | Scheme::RsaPss => pem(public),
        };
        Self(der.map(|der| (scheme, der)))
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((scheme, der)) = &self.0 else { return false };
        let algorithm: &'static dyn VerificationAlgorithm = match scheme {
            Scheme::Ed25519 => &ED25519,
            Scheme::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            Scheme::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
            Scheme::RsaPss => &RSA_PSS_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, der)
            .verify(message, signature)
            .is_ok()
    }
}

/// The one block of a PEM text that holds a public key.
fn pem(text: &str) -> Option<Vec<u8>> {
    ["PUBLIC KEY", "RSA PUBLIC KEY"].iter().find_map(|label| {
        let body = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
        let body = body.strip_suffix(&format!("-----END {label}-----"))?;
        let packed: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        STANDARD.decode(packed).ok()
    })
}

/// Which keys sign for a role, and how many of them must.
#[derive(Clone, Debug)]
pub(super) struct Role {
    keyids: Vec<String>,
    threshold: u64,
}

#[derive(Deserialize)]
pub(super) struct WireRole {
    keyids: Vec<String>,
    threshold: u64,
}

impl Role {
    pub(super) fn read(name: &str, wire: WireRole) -> Result<Self, TufError> {
        if wire.threshold == 0 {
            return Err(TufError::ThresholdZero { role: name.to_owned() });
        }
        let mut seen = HashSet::new();
        if let Some(keyid) = wire.keyids.iter().find(|keyid| !seen.insert(keyid.as_str())) {
            return Err(TufError::DuplicateKey {
                role: name.to_owned(),
                keyid: short(keyid),
            });
        }
        Ok(Self {
            keyids: wire.keyids,
            threshold: wire.threshold,
        })
    }

    /// Counts keys, not their names: a key that stands under two ids signs once (GHSA-3633-5h82-39pq). A signature that
    /// does not verify is not counted and does no harm.
    pub(super) fn check(&self, name: &str, keys: &BTreeMap<String, Key>, envelope: &Envelope) -> Result<(), TufError> {
        let mut signed: HashSet<&[u8]> = HashSet::new();
        for signature in &envelope.signatures {
            let Some(key) = keys
                .get(&signature.keyid)
                .filter(|_| self.keyids.contains(&signature.keyid))
            else {
                continue;
            };
            let Some((_, der)) = &key.0 else { continue };
            let valid = |bytes: Vec<u8>| key.verifies(&envelope.message, &bytes);
            if !signed.contains(der.as_slice()) && hex::decode(&signature.sig).is_ok_and(valid) {
                signed.insert(der);
            }
        }
        let seen = u64::try_from(signed.len()).unwrap_or(u64::MAX);
        if seen < self.threshold {
            return Err(TufError::Threshold {
                role: name.to_owned(),
                needed: self.threshold,
                seen,
            });
        }
        Ok(())
    }
}

/// Foreign text in messages.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
