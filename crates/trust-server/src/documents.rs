//! The three documents that clients are given: trusted root, signing configuration, and both in one.
//!
//! Media types and shapes are those that every client reads: sigstore-python refuses any spelling of the trusted root's
//! but `+json;version=0.1`, sigstore-js any selector but `ANY`.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_merkle::NoteKey;
use proofmark_types::UnixTime;
use serde_json::{Value, json};

/// The media type of a trusted root.
pub const TRUSTED_ROOT_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
/// The media type of a signing configuration.
pub const SIGNING_CONFIG_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
/// The media type of both together, which sigstore-python's `--trust-config` reads.
pub const TRUST_CONFIG_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";

/// What the documents state.
pub(crate) struct Material<'a> {
    pub(crate) origin: &'a str,
    pub(crate) operator: &'a str,
    pub(crate) start: UnixTime,
    pub(crate) log_key: &'a NoteKey,
    pub(crate) ct_spki: &'a [u8],
    /// Intermediate and root.
    pub(crate) ca_chain: &'a [Vec<u8>],
    /// Leaf and root.
    pub(crate) tsa_chain: &'a [Vec<u8>],
    pub(crate) issuers: &'a [String],
}

impl Material<'_> {
    pub(crate) fn trusted_root(&self) -> Value {
        let valid = json!({"start": self.start});
        json!({
            "mediaType": TRUSTED_ROOT_MEDIA_TYPE,
            "tlogs": [{
                "baseUrl": self.origin,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(self.log_key.spki_der()),
                    "keyDetails": "PKIX_ED25519",
                    "validFor": valid,
                },
                // All 32 bytes: four, or a hash of another form, is how private logs fail to verify.
                "logId": {"keyId": STANDARD.encode(self.log_key.log_id())},
            }],
            "certificateAuthorities": [self.authority("certificate authority", self.origin, self.ca_chain)],
            "ctlogs": [{
                "baseUrl": self.origin,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(self.ct_spki),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": valid,
                },
                "logId": {"keyId": STANDARD.encode(digest(&SHA256, self.ct_spki))},
            }],
            "timestampAuthorities": [self.authority("timestamp authority", &self.tsa_url(), self.tsa_chain)],
        })
    }

    fn authority(&self, name: &str, uri: &str, chain: &[Vec<u8>]) -> Value {
        let certificates: Vec<Value> = chain
            .iter()
            .map(|der| json!({"rawBytes": STANDARD.encode(der)}))
            .collect();
        json!({
            "subject": {"organization": self.operator, "commonName": name},
            "uri": uri,
            "certChain": {"certificates": certificates},
            "validFor": {"start": self.start},
        })
    }

    pub(crate) fn signing_config(&self) -> Value {
        let service = |url: &str, version: u32| {
            json!({
                "url": url,
                "majorApiVersion": version,
                "validFor": {"start": self.start},
                "operator": self.operator,
            })
        };
        let issuers: Vec<Value> = self.issuers.iter().map(|issuer| service(issuer, 1)).collect();
        json!({
            "mediaType": SIGNING_CONFIG_MEDIA_TYPE,
            "caUrls": [service(self.origin, 1)],
            "oidcUrls": issuers,
            "rekorTlogUrls": [service(self.origin, 2)],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": [service(&self.tsa_url(), 1)],
            "tsaConfig": {"selector": "ANY"},
        })
    }

    pub(crate) fn trust_config(&self) -> Value {
        json!({
            "mediaType": TRUST_CONFIG_MEDIA_TYPE,
            "trustedRoot": self.trusted_root(),
            "signingConfig": self.signing_config(),
        })
    }

    fn tsa_url(&self) -> String {
        format!("{}/api/v1/timestamp", self.origin)
    }
}
