//! A Rekor v1: verifies what is proposed as rekor does, keeps it in a tree, promises and proves. It is honest unless it
//! is told to answer something else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode, Encode};
use proofmark_evidence::dsse::{Envelope, pae};
use proofmark_evidence::encoding::pem_decode_all;
use proofmark_evidence::legacy::set_payload;
use proofmark_merkle::{MemoryTree, leaf_hash, prove_inclusion};
use proofmark_sign::SigningKey;
use proofmark_types::{Digest, DigestAlgorithm, UnixTime};
use proofmark_verify::{HashUsed, KeyAlgorithm, PublicKey};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use x509_cert::Certificate;

use crate::world::now;

/// The entries of earlier shards: the index over all shards is not the one in the tree.
pub(crate) const EARLIER: u64 = 1000;

/// The tree's id, the first part of every entry's.
const TREE: &str = "00c0ffee00c0ffee";

/// What the log does to its answer.
pub(crate) type Tamper = Box<dyn Fn(&mut Value, &[Value]) + Send>;

#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) url: Url,
    key: Arc<SigningKey>,
    state: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    tree: MemoryTree,
    entries: Vec<(Vec<u8>, UnixTime)>,
    written: Vec<Value>,
    odd: Odd,
}

/// What is not as it should be.
#[derive(Default)]
pub(crate) struct Odd {
    /// Changes an entry that is answered; also given are those answered before.
    pub(crate) entry: Option<Tamper>,
    /// Instead of the whole body.
    pub(crate) body: Option<String>,
    /// Where an entry is said to be, to which `{id}` is replaced.
    pub(crate) location: Option<&'static str>,
    /// Says that it has every entry.
    pub(crate) conflict: bool,
    /// How many answers to writes are lost.
    pub(crate) lose: usize,
    /// How often an entry is not there yet.
    pub(crate) late: usize,
}

impl Log {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let log = Self {
            // With a path, as behind a proxy: the log itself does not know of it.
            url: Url::parse(&format!("http://{}/rekor", listener.local_addr().unwrap())).unwrap(),
            key: Arc::new(SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap()),
            state: Arc::default(),
        };
        let mut inner = log.state.lock().unwrap();
        for earlier in [&b"one"[..], b"two", b"three"] {
            inner.tree.append(leaf_hash(earlier));
            inner.entries.push((earlier.to_vec(), now()));
        }
        drop(inner);
        let app = Router::new()
            .route("/rekor/api/v1/log/entries", post(write))
            .route("/rekor/api/v1/log/entries/{id}", get(read))
            .with_state(log.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        log
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    pub(crate) fn be(&self, odd: Odd) {
        self.state.lock().unwrap().odd = odd;
    }

    /// How many entries were written here.
    pub(crate) fn written(&self) -> usize {
        self.state.lock().unwrap().written.len()
    }

    fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(crate::world::at_once(self.key.sign(message)).unwrap())
    }

    /// The entry as it is answered.
    fn entry(&self, inner: &Inner, index: usize) -> Value {
        let (body, time) = &inner.entries[index];
        let (index, size) = (u64::try_from(index).unwrap(), inner.tree.size());
        let log_id = self.public_key().fingerprint();
        let set = set_payload(body, *time, log_id.as_bytes(), EARLIER + index);
        let hashes = prove_inclusion(index, size, &inner.tree).unwrap();
        let root = inner.tree.root();
        // Rekor's name is what it was configured with, and the tree's id follows it in the origin.
        let text = format!("rekor.acme.test - 42\n{size}\n{}\n", STANDARD.encode(root));
        let mut line = log_id.as_bytes()[..4].to_vec();
        line.extend(crate::world::at_once(self.key.sign(text.as_bytes())).unwrap());
        json!({
            "body": STANDARD.encode(body),
            "integratedTime": time.seconds(),
            "logID": log_id.hex(),
            "logIndex": EARLIER + index,
            "verification": {
                "inclusionProof": {
                    "checkpoint": format!("{text}\n\u{2014} rekor.acme.test {}\n", STANDARD.encode(line)),
                    "hashes": hashes.iter().map(hex::encode).collect::<Vec<_>>(),
                    "logIndex": index,
                    "rootHash": hex::encode(root),
                    "treeSize": size,
                },
                "signedEntryTimestamp": self.sign(&set),
            },
        })
    }

    fn answer(inner: &Inner, status: StatusCode, body: &[u8], mut entry: Value) -> Response {
        if let Some(tamper) = &inner.odd.entry {
            tamper(&mut entry, &inner.written);
        }
        match &inner.odd.body {
            Some(text) => (status, text.clone()).into_response(),
            None => (status, Json(json!({ id(body): entry }))).into_response(),
        }
    }
}

fn id(body: &[u8]) -> String {
    format!("{TREE}{}", hex::encode(leaf_hash(body)))
}

async fn write(State(log): State<Log>, proposed: Bytes) -> Response {
    let Some(body) = canonicalize(&proposed) else {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({"code": 400, "message": "error processing entry"})),
        )
            .into_response();
    };
    let mut inner = log.state.lock().unwrap();
    if inner.odd.conflict || inner.entries.iter().any(|(held, _)| *held == body) {
        let location = inner.odd.location.unwrap_or("/api/v1/log/entries/{id}");
        let location = HeaderValue::from_str(&location.replace("{id}", &id(&body))).unwrap();
        let message = json!({"code": 409, "message": "an equivalent entry already exists in the transparency log"});
        return (
            StatusCode::CONFLICT,
            HeaderMap::from_iter([(LOCATION, location)]),
            Json(message),
        )
            .into_response();
    }
    let index = inner.entries.len();
    inner.tree.append(leaf_hash(&body));
    inner.entries.push((body.clone(), now()));
    let entry = log.entry(&inner, index);
    let answer = Log::answer(&inner, StatusCode::CREATED, &body, entry.clone());
    inner.written.push(entry);
    if inner.odd.lose > 0 {
        inner.odd.lose -= 1;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    answer
}

async fn read(State(log): State<Log>, Path(asked): Path<String>) -> Response {
    let mut inner = log.state.lock().unwrap();
    let found = inner.entries.iter().position(|(body, _)| id(body) == asked);
    match found {
        Some(index) if inner.odd.late == 0 => {
            let (entry, body) = (log.entry(&inner, index), inner.entries[index].0.clone());
            Log::answer(&inner, StatusCode::OK, &body, entry)
        }
        _ => {
            inner.odd.late = inner.odd.late.saturating_sub(1);
            StatusCode::NOT_FOUND.into_response()
        }
    }
}

/// The entry that rekor makes of a proposed one; none if it refuses it. Every signature is verified: those of envelopes
/// with SHA-256 whatever the key, those of hashes with the hash that is named.
fn canonicalize(proposed: &[u8]) -> Option<Vec<u8>> {
    let proposed: Value = serde_json::from_slice(proposed).ok()?;
    let (kind, spec) = (proposed["kind"].as_str()?, &proposed["spec"]);
    if proposed["apiVersion"] != "0.0.1" {
        return None;
    }
    let spec = match kind {
        "dsse" => dsse(&spec["proposedContent"])?,
        "hashedrekord" => hashed(spec)?,
        _ => return None,
    };
    let entry = BTreeMap::from([("apiVersion", json!("0.0.1")), ("kind", json!(kind)), ("spec", spec)]);
    serde_json::to_vec(&entry).ok()
}

fn dsse(content: &Value) -> Option<Value> {
    let text = content["envelope"].as_str()?;
    let envelope = Envelope::parse(text.as_bytes()).ok()?;
    let [verifier] = content["verifiers"].as_array()?.as_slice() else {
        return None;
    };
    let [signature] = envelope.signatures.as_slice() else {
        return None;
    };
    let used = public_key(verifier.as_str()?)?
        .verify(&pae(&envelope.payload_type, &envelope.payload), &signature.sig)
        .ok()?;
    if !matches!(used, HashUsed::Sha256 | HashUsed::Ed25519) {
        return None;
    }
    let hash = |bytes: &[u8]| json!({"algorithm": "sha256", "value": Digest::sha256_of(bytes).hex()});
    Some(json!({
        "envelopeHash": hash(text.as_bytes()),
        "payloadHash": hash(&envelope.payload),
        "signatures": [{"signature": STANDARD.encode(&signature.sig), "verifier": verifier}],
    }))
}

fn hashed(spec: &Value) -> Option<Value> {
    let (hash, signature) = (&spec["data"]["hash"], &spec["signature"]);
    let algorithm = DigestAlgorithm::parse(hash["algorithm"].as_str()?).ok()?;
    let digest = Digest::from_hex(algorithm, hash["value"].as_str()?).ok()?;
    let content = STANDARD.decode(signature["content"].as_str()?).ok()?;
    public_key(signature["publicKey"]["content"].as_str()?)?
        .verify_digest(&digest, &content)
        .ok()?;
    Some(spec.clone())
}

/// Of the PEM of a key or of a certificate.
fn public_key(content: &str) -> Option<PublicKey> {
    let pem = String::from_utf8(STANDARD.decode(content).ok()?).ok()?;
    let Some(certificates) = pem_decode_all("CERTIFICATE", &pem) else {
        return PublicKey::from_pem(&pem).ok();
    };
    let certificate = Certificate::from_der(certificates.first()?).ok()?;
    let key = certificate.tbs_certificate.subject_public_key_info.to_der().ok()?;
    PublicKey::from_spki_der(&key).ok()
}
