//! One running trust domain, and what a signing client does with it.

use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_merkle::{NoteKey, SignedCheckpoint};
use proofmark_trust_server::{CiClaims, Clock, Config, DevIssuer, InitOptions, IssuerConfig, Server, init};
use proofmark_types::{Digest, UnixTime};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

pub(crate) const CI: CiClaims<'static> = CiClaims {
    repository: "acme/app",
    workflow: ".github/workflows/release.yml",
    reference: "refs/heads/main",
    sha: "0123456789abcdef0123456789abcdef01234567",
    run_id: 7,
};
pub(crate) const CI_IDENTITY: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main";
pub(crate) const EMAIL: &str = "alice@acme.test";

pub(crate) fn now() -> UnixTime {
    UnixTime::from_system(SystemTime::now())
}

/// A trust domain with the development issuer, serving.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) origin: String,
    pub(crate) dev: DevIssuer,
    pub(crate) http: reqwest::Client,
    server: Server,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Vec::new(), Clock::system()).await
    }

    pub(crate) async fn with(issuers: Vec<IssuerConfig>, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = format!("http://{address}");
        let directory = folder.path().join("trust");
        init(&directory, &options(&origin, issuers)).unwrap();
        let config = Config {
            clock,
            ..Config::new(&directory, address)
        };
        let server = Server::start_on(config, listener).await.unwrap();
        let dev = DevIssuer::open(&directory).unwrap();
        Self {
            folder,
            origin,
            dev,
            http: reqwest::Client::new(),
            server,
        }
    }

    pub(crate) fn directory(&self) -> std::path::PathBuf {
        self.folder.path().join("trust")
    }

    pub(crate) async fn stop(self) -> TempDir {
        self.server.stop().await;
        self.folder
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let response = self.http.get(format!("{}{path}", self.origin)).send().await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.origin);
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .body(body.to_string());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Asks for a certificate with the token in the body, as sigstore-js does.
    pub(crate) async fn certificate(&self, token: &str, key: &Key, challenge: &str) -> (u16, Value) {
        self.post("/api/v2/signingCert", &key.request(token, challenge)).await
    }

    pub(crate) fn log_key(&self) -> NoteKey {
        log_key(&self.directory())
    }
}

pub(crate) fn options(origin: &str, issuers: Vec<IssuerConfig>) -> InitOptions {
    InitOptions {
        origin: Url::parse(origin).unwrap(),
        operator: "acme".to_owned(),
        issuers,
        dev_issuer: true,
        now: now(),
    }
}

/// The log's key, as a client has it: from the trusted root, named by the host of its URL.
pub(crate) fn log_key(directory: &Path) -> NoteKey {
    let root: Value = serde_json::from_slice(&std::fs::read(directory.join("trusted_root.json")).unwrap()).unwrap();
    let log = &root["tlogs"][0];
    let spki = STANDARD.decode(log["publicKey"]["rawBytes"].as_str().unwrap()).unwrap();
    let host = Url::parse(log["baseUrl"].as_str().unwrap()).unwrap();
    let key = NoteKey::from_spki_der(host.host_str().unwrap(), &spki).unwrap();
    assert_eq!(STANDARD.encode(key.log_id()), log["logId"]["keyId"].as_str().unwrap());
    key
}

/// A client's key.
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    pub(crate) spki: Vec<u8>,
}

impl Key {
    pub(crate) fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let spki = spki.as_ref().to_vec();
        Self { pair, spki }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    pub(crate) fn pem(&self) -> String {
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(&self.spki)
        )
    }

    pub(crate) fn request(&self, token: &str, challenge: &str) -> Value {
        json!({
            "credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": self.pem()},
                "proofOfPossession": STANDARD.encode(self.sign(challenge.as_bytes())),
            },
        })
    }

    /// A request for a log entry over `message`.
    pub(crate) fn entry(&self, message: &[u8]) -> Value {
        json!({"hashedRekordRequestV002": {
            "digest": STANDARD.encode(Digest::sha256_of(message).as_bytes()),
            "signature": {
                "content": STANDARD.encode(self.sign(message)),
                "verifier": {
                    "publicKey": {"rawBytes": STANDARD.encode(&self.spki)},
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                },
            },
        }})
    }
}

/// Checks a log entry as a verifier does, and returns its index, its body and the checkpoint.
pub(crate) fn check_entry(entry: &Value, key: &NoteKey) -> (u64, Vec<u8>, SignedCheckpoint) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let hash = |value: &Value| proofmark_merkle::TreeHash::from_slice(&STANDARD.decode(text(value)).unwrap()).unwrap();
    let proof = &entry["inclusionProof"];
    let checkpoint = SignedCheckpoint::parse(text(&proof["checkpoint"]["envelope"]).as_bytes()).unwrap();
    let verified = checkpoint.verify_origin(key, key.name()).unwrap();
    assert_eq!(text(&proof["treeSize"]), verified.size().to_string());
    assert_eq!(hash(&proof["rootHash"]), *verified.root());
    assert_eq!(entry["logIndex"], proof["logIndex"]);
    assert_eq!(text(&entry["logId"]["keyId"]), STANDARD.encode(key.log_id()));
    let body = STANDARD.decode(text(&entry["canonicalizedBody"])).unwrap();
    let index: u64 = text(&entry["logIndex"]).parse().unwrap();
    let hashes: Vec<_> = proof["hashes"].as_array().unwrap().iter().map(hash).collect();
    let leaf = proofmark_merkle::leaf_hash(&body);
    proofmark_merkle::verify_inclusion(&leaf, index, verified.size(), &hashes, verified.root()).unwrap();
    (index, body, checkpoint)
}
