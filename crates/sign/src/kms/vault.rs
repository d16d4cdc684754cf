//! The transit engine of HashiCorp Vault and OpenBao (HTTP API v1, "Transit secrets engine").
//!
//! | setting | meaning |
//! |---|---|
//! | `VAULT_ADDR` | the server; https, or http on this machine |
//! | `VAULT_TOKEN`, `~/.vault-token` | who we are |
//! | `VAULT_NAMESPACE` | the namespace of the engine |
//! | `VAULT_CACERT` | certificates (PEM) believed beside the system's |
//! | `TRANSIT_SECRET_ENGINE_PATH` | where the engine is mounted, `transit` unless said |
//!
//! OpenBao's own names (`BAO_ADDR`, `BAO_TOKEN`, ..) are taken where `BAO_ADDR` is the address. Both addresses at once
//! are refused unless they are the same: a token is for one server.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_types::DigestAlgorithm;
use proofmark_verify::{KeyAlgorithm, PublicKey};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json as value};

use super::settings::{Secret, Settings, join, read_file};
use super::wire::{Wire, is_success, json, place};
use super::{Backend, KmsError, KmsKey, Setup, digest_for};
use crate::http::Answer;

/// The variables of one family.
struct Names {
    address: &'static str,
    token: &'static str,
    namespace: &'static str,
    certificates: &'static str,
}

const VAULT: Names = Names {
    address: "VAULT_ADDR",
    token: "VAULT_TOKEN",
    namespace: "VAULT_NAMESPACE",
    certificates: "VAULT_CACERT",
};

const BAO: Names = Names {
    address: "BAO_ADDR",
    token: "BAO_TOKEN",
    namespace: "BAO_NAMESPACE",
    certificates: "BAO_CACERT",
};

/// A transit engine.
#[derive(Debug)]
struct Engine {
    wire: Wire,
    address: Url,
    /// The path of the mount, in segments.
    mount: Vec<String>,
    token: Secret,
    namespace: Option<Secret>,
}

/// One version of a key of it.
#[derive(Debug)]
pub(super) struct Key {
    engine: Engine,
    name: String,
    version: u64,
}

/// Opens the newest version of a key.
pub(super) async fn open(name: &str, setup: &Setup<'_>) -> Result<KmsKey, KmsError> {
    engine(setup)?.open(name).await
}

/// Makes a key unless there is one of that name.
pub(super) async fn create(name: &str, algorithm: KeyAlgorithm, setup: &Setup<'_>) -> Result<KmsKey, KmsError> {
    let kind = match algorithm {
        KeyAlgorithm::EcdsaP256 => "ecdsa-p256",
        KeyAlgorithm::EcdsaP384 => "ecdsa-p384",
        KeyAlgorithm::EcdsaP521 => "ecdsa-p521",
        KeyAlgorithm::Rsa2048 => "rsa-2048",
        KeyAlgorithm::Rsa3072 => "rsa-3072",
        KeyAlgorithm::Rsa4096 => "rsa-4096",
        KeyAlgorithm::Ed25519 => "ed25519",
    };
    let engine = engine(setup)?;
    // The engine itself leaves a key that exists as it is, whatever its type: once is enough, and twice does no harm.
    let url = engine.url(&["keys", name]);
    engine.post(&url, &value!({ "type": kind })).await?;
    engine.open(name).await
}

fn engine(setup: &Setup<'_>) -> Result<Engine, KmsError> {
    let settings = &setup.settings;
    let (names, address) = address(settings)?;
    let token = match settings.secret(names.token) {
        Some(token) => token,
        None => token_file(settings)?,
    };
    let roots = match settings.get(names.certificates) {
        Some(path) => vec![read_file(path.as_ref())?.as_bytes().to_vec()],
        None => Vec::new(),
    };
    let path = settings
        .get("TRANSIT_SECRET_ENGINE_PATH")
        .unwrap_or_else(|| "transit".to_owned());
    let mount: Vec<String> = path.trim_matches('/').split('/').map(str::to_owned).collect();
    if mount.iter().any(|part| matches!(part.as_str(), "" | "." | "..")) {
        return Err(KmsError::Setting {
            name: "TRANSIT_SECRET_ENGINE_PATH",
            reason: format!("expected the path of a mount, seen {path:?}"),
        });
    }
    Ok(Engine {
        wire: Wire::new(setup.timing, &roots)?,
        address,
        mount,
        token,
        namespace: settings.secret(names.namespace),
    })
}

fn address(settings: &Settings<'_>) -> Result<(&'static Names, Url), KmsError> {
    match (settings.address(VAULT.address)?, settings.address(BAO.address)?) {
        (Some(vault), Some(bao)) if vault != bao => Err(KmsError::Setting {
            name: VAULT.address,
            reason: format!("it says {vault} and BAO_ADDR says {bao}: unset one of them"),
        }),
        (Some(url), _) => Ok((&VAULT, url)),
        (None, Some(url)) => Ok((&BAO, url)),
        (None, None) => Err(KmsError::Setting {
            name: VAULT.address,
            reason: "expected the address of the server (or BAO_ADDR), it is not set".to_owned(),
        }),
    }
}

/// Both programs keep the token of `login` in the same file.
fn token_file(settings: &Settings<'_>) -> Result<Secret, KmsError> {
    let none = KmsError::NoCredentials {
        service: "Vault",
        hint: "set VAULT_TOKEN (BAO_TOKEN with BAO_ADDR), or log in so that ~/.vault-token is written",
    };
    match settings.home(".vault-token") {
        Some(path) if path.is_file() => {
            let text = read_file(&path)?;
            match text.trim() {
                "" => Err(none),
                token => Ok(Secret::new(token)),
            }
        }
        _ => Err(none),
    }
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Described {
    #[serde(rename = "type")]
    kind: String,
    latest_version: u64,
    keys: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Version {
    public_key: String,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

#[derive(Default, Deserialize)]
struct Failure {
    #[serde(default)]
    errors: Vec<String>,
}

impl Engine {
    async fn open(self, name: &str) -> Result<KmsKey, KmsError> {
        let url = self.url(&["keys", name]);
        let answer = self
            .wire
            .ask(&url, |_| false, || self.request(&Method::GET, &url))
            .await?;
        let described: Data<Described> = json(&self.accept(answer, &url)?, &url)?;
        let described = described.data;
        let version = described.latest_version;
        let bad = |reason: String| KmsError::Answer {
            url: place(&url),
            reason,
        };
        let entry = described
            .keys
            .get(&version.to_string())
            .ok_or_else(|| bad(format!("it lists no version {version}, which it says is the latest")))?;
        // Symmetric keys have a time in its place.
        let entry: Version = serde_json::from_value(entry.clone()).map_err(|_| KmsError::KeyKind {
            expected: "ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa-2048, rsa-3072, rsa-4096 or ed25519",
            seen: described.kind.clone(),
        })?;
        let public = if described.kind == "ed25519" {
            let raw = STANDARD
                .decode(&entry.public_key)
                .ok()
                .and_then(|raw| <[u8; 32]>::try_from(raw).ok())
                .ok_or_else(|| bad("expected the 32 bytes of an Ed25519 key".to_owned()))?;
            PublicKey::from_ed25519(&raw)
        } else {
            PublicKey::from_pem(&entry.public_key)
        };
        let public = public.map_err(KmsError::PublicKey)?;
        Ok(KmsKey {
            public,
            backend: Backend::Vault(Key {
                engine: self,
                name: name.to_owned(),
                version,
            }),
        })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mount = self.mount.iter().map(String::as_str);
        join(
            &self.address,
            ["v1"].into_iter().chain(mount).chain(path.iter().copied()),
        )
    }

    fn request(&self, method: &Method, url: &Url) -> Result<RequestBuilder, KmsError> {
        let request = self
            .wire
            .request(method, url)
            // Proof that no browser was talked into this request.
            .header("x-vault-request", "true")
            .header("x-vault-token", self.token.header("")?);
        Ok(match &self.namespace {
            Some(namespace) => request.header("x-vault-namespace", namespace.header("")?),
            None => request,
        })
    }

    async fn post(&self, url: &Url, body: &Value) -> Result<Answer, KmsError> {
        let answer = self
            .wire
            .ask(url, |_| false, || Ok(self.request(&Method::POST, url)?.json(body)))
            .await?;
        self.accept(answer, url)
    }

    fn accept(&self, answer: Answer, url: &Url) -> Result<Answer, KmsError> {
        if is_success(&answer) {
            return Ok(answer);
        }
        let failure: Failure = serde_json::from_slice(&answer.body).unwrap_or_default();
        let said = match answer.status {
            StatusCode::TEMPORARY_REDIRECT => {
                "a standby that sends to another server, which is not followed: give the active one in the address"
                    .to_owned()
            }
            StatusCode::NOT_FOUND if failure.errors.is_empty() => {
                "there is no such key, or no transit engine at this path".to_owned()
            }
            _ => failure.errors.join("; "),
        };
        Err(KmsError::refused(url, &answer, "", &said))
    }
}

impl Key {
    pub(super) async fn sign(
        &self,
        public: &PublicKey,
        message: &[u8],
        hash: Option<DigestAlgorithm>,
    ) -> Result<Vec<u8>, KmsError> {
        let (url, input, prehashed) = if public.algorithm() == KeyAlgorithm::Ed25519 {
            if let Some(hash) = hash {
                return Err(KmsError::Hash {
                    algorithm: public.algorithm().name(),
                    hash: hash.name(),
                });
            }
            (self.engine.url(&["sign", &self.name]), message.to_vec(), false)
        } else {
            let (name, digest) = digest_for(public.algorithm(), hash, message)?;
            let name = match name {
                DigestAlgorithm::Sha256 => "sha2-256",
                DigestAlgorithm::Sha384 => "sha2-384",
                DigestAlgorithm::Sha512 => "sha2-512",
            };
            (self.engine.url(&["sign", &self.name, name]), digest, true)
        };
        let body = value!({
            "input": STANDARD.encode(&input),
            "prehashed": prehashed,
            "key_version": self.version,
            "signature_algorithm": "pkcs1v15",
            "marshaling_algorithm": "asn1",
        });
        let signed: Data<Signed> = json(&self.engine.post(&url, &body).await?, &url)?;
        let signature = signed.data.signature;
        // vault:v3:BASE64
        let bad = || KmsError::Answer {
            url: place(&url),
            reason: "expected a signature vault:vN:BASE64".to_owned(),
        };
        let rest = signature.strip_prefix("vault:v").ok_or_else(bad)?;
        let (version, encoded) = rest.split_once(':').ok_or_else(bad)?;
        if version != self.version.to_string() {
            return Err(KmsError::OtherKey {
                expected: format!("version {}", self.version),
                seen: format!("version {version}"),
            });
        }
        STANDARD.decode(encoded).map_err(|_| bad())
    }
}
