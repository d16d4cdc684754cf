//! Vault's transit engine.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Fault;
use super::keys::{Key, KeyKind};
use super::server::{Asked, Reply, Running, Service, whole_fault};

/// A Vault server with a transit engine at `transit`, and another in the namespace `team` at `keys/signing`.
pub struct VaultTransit {
    running: Running<Transit>,
}

struct Transit {
    token: String,
    namespace: Option<String>,
    mount: String,
    keys: BTreeMap<String, Vec<Key>>,
    fault: Fault,
    signed: usize,
}

impl VaultTransit {
    /// Starts it at `transit`, without a namespace.
    #[must_use]
    pub fn start() -> Self {
        Self::at("transit", None)
    }

    /// Starts it at another path and in a namespace.
    #[must_use]
    pub fn at(mount: &str, namespace: Option<&str>) -> Self {
        let (mount, namespace) = (mount.to_owned(), namespace.map(str::to_owned));
        Self {
            running: Running::start(|_| Transit {
                token: "hvs.CAESITestTokenOfVault".to_owned(),
                namespace,
                mount,
                keys: BTreeMap::new(),
                fault: Fault::None,
                signed: 0,
            }),
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// The token that it takes.
    #[must_use]
    pub fn token(&self) -> String {
        self.running.lock().token.clone()
    }

    /// Makes a key, or a new version of it.
    pub fn add(&self, name: &str, kind: KeyKind) {
        let key = Key::generate(kind);
        self.running.lock().keys.entry(name.to_owned()).or_default().push(key);
    }

    /// Misbehaves from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.running.lock().fault = fault;
    }

    /// How many requests to sign came.
    #[must_use]
    pub fn signed(&self) -> usize {
        self.running.lock().signed
    }
}

impl Service for Transit {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let namespace = Some(asked.header("x-vault-namespace")).filter(|name| !name.is_empty());
        if asked.header("x-vault-token") != self.token || asked.header("x-vault-request") != "true" {
            return errors(403, "permission denied");
        }
        let prefix = format!("/v1/{}/", self.mount);
        let Some(path) = asked
            .path()
            .strip_prefix(&prefix)
            .filter(|_| namespace == self.namespace.as_deref())
        else {
            return errors(404, &format!("no handler for route {:?}", asked.path()));
        };
        let parts: Vec<&str> = path.split('/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["keys", name]) => self.describe(name),
            ("POST", ["keys", name]) => self.create(name, asked),
            ("POST", ["sign", name, rest @ ..]) => self.sign(name, rest.first().copied(), asked),
            _ => errors(405, "unsupported operation"),
        }
    }
}

impl Transit {
    fn describe(&self, name: &str) -> Reply {
        let Some(versions) = self.keys.get(name) else {
            return Reply::json(404, &json!({ "errors": [] }));
        };
        let kind = versions.last().map_or(KeyKind::P256, |key| key.kind);
        let described: BTreeMap<String, Value> = (1..)
            .zip(versions)
            .map(|(number, key)| {
                let public = match key.kind {
                    KeyKind::Ed25519 => STANDARD.encode(key.raw()),
                    _ => key.pem(),
                };
                let value = json!({ "creation_time": "2026-01-01T00:00:00Z", "name": type_name(key.kind), "public_key": public });
                (u32::to_string(&number), value)
            })
            .collect();
        Reply::json(
            200,
            &json!({ "request_id": "r", "data": {
                "name": name, "type": type_name(kind), "latest_version": versions.len(), "keys": described,
                "supports_signing": true, "min_decryption_version": 1,
            }}),
        )
    }

    fn create(&mut self, name: &str, asked: &Asked) -> Reply {
        let wanted = asked.json()["type"].as_str().unwrap_or("aes256-gcm96").to_owned();
        let Some(kind) = KINDS.iter().find(|kind| type_name(**kind) == wanted) else {
            return errors(400, &format!("unknown key type {wanted}"));
        };
        let versions = self.keys.entry(name.to_owned()).or_default();
        if versions.is_empty() {
            versions.push(Key::generate(*kind));
        }
        self.describe(name)
    }

    fn sign(&mut self, name: &str, hash: Option<&str>, asked: &Asked) -> Reply {
        self.signed += 1;
        let forbidden = json!({ "errors": ["1 error occurred:\n\t* permission denied\n\n"] });
        let later = json!({ "errors": ["request path \"transit\": rate limit quota exceeded"] });
        if let Some(reply) = whole_fault(&mut self.fault, &forbidden, (429, &later)) {
            return reply;
        }
        let Some(versions) = self.keys.get(name) else {
            return errors(400, "signing key not found");
        };
        let body = asked.json();
        let version = usize::try_from(body["key_version"].as_u64().unwrap_or_default()).unwrap_or(usize::MAX);
        let version = if version == 0 { versions.len() } else { version };
        let Some(key) = version.checked_sub(1).and_then(|index| versions.get(index)) else {
            return errors(
                400,
                "requested version for signing is higher than the latest key version",
            );
        };
        let Ok(input) = STANDARD.decode(body["input"].as_str().unwrap_or_default()) else {
            return errors(400, "unable to decode input as base64");
        };
        let other = (self.fault == Fault::OtherKey).then(|| Key::generate(key.kind));
        let key = other.as_ref().unwrap_or(key);
        let signature = if key.kind == KeyKind::Ed25519 {
            if body["prehashed"] == json!(true) {
                return errors(400, "only Pure Ed25519 signatures supported");
            }
            let mut input = input;
            if self.fault == Fault::OtherDigest {
                input.push(b'!');
            }
            key.sign_message(&input)
        } else {
            let expected = match key.digest_length() {
                48 => "sha2-384",
                64 => "sha2-512",
                _ => "sha2-256",
            };
            if hash != Some(expected) || body["prehashed"] != json!(true) || input.len() != key.digest_length() {
                return errors(400, &format!("expected a digest of {expected}, prehashed"));
            }
            if body["marshaling_algorithm"] != json!("asn1") || body["signature_algorithm"] != json!("pkcs1v15") {
                return errors(400, "expected asn1 and pkcs1v15");
            }
            let mut digest = input;
            if self.fault == Fault::OtherDigest {
                digest.reverse();
            }
            key.sign_digest(&digest)
        };
        let version = if self.fault == Fault::OtherName {
            version + 1
        } else {
            version
        };
        let text = format!("vault:v{version}:{}", STANDARD.encode(signature));
        Reply::json(200, &json!({ "data": { "signature": text, "key_version": version } }))
    }
}

const KINDS: [KeyKind; 7] = [
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::P521,
    KeyKind::Rsa2048,
    KeyKind::Rsa3072,
    KeyKind::Rsa4096,
    KeyKind::Ed25519,
];

fn type_name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::P256 => "ecdsa-p256",
        KeyKind::P384 => "ecdsa-p384",
        KeyKind::P521 => "ecdsa-p521",
        KeyKind::Rsa2048 | KeyKind::RsaPss2048 => "rsa-2048",
        KeyKind::Rsa3072 => "rsa-3072",
        KeyKind::Rsa4096 => "rsa-4096",
        KeyKind::Ed25519 => "ed25519",
    }
}

fn errors(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({ "errors": [text] }))
}
