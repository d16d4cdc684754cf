//! A Rekor v1 that promises and proves, and a Rekor v2 that proves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_evidence::bundle::{InclusionProof, LogEntry};
use proofmark_evidence::encoding::pem_encode;
use proofmark_evidence::legacy::{LegacyLogBundle, set_payload};
use proofmark_merkle::{Checkpoint, MemoryTree, NoteSigner, leaf_hash, prove_inclusion};
use proofmark_types::Digest;
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};

use super::{SIGNED, at, public};

/// The key or certificate that an entry names.
pub(crate) enum Verifier<'a> {
    Certificate(&'a [u8]),
    Key(&'a KeyPair),
}

impl Verifier<'_> {
    fn pem(&self) -> String {
        match self {
            Self::Certificate(der) => pem_encode("CERTIFICATE", der),
            Self::Key(key) => public(key).to_pem(),
        }
    }
}

/// Rekor v2 with a few entries before ours.
pub(crate) struct Tiles {
    signer: NoteSigner,
    origin: String,
    tree: MemoryTree,
}

impl Tiles {
    pub(crate) fn new(origin: &str) -> Self {
        let mut tree = MemoryTree::new();
        for earlier in 0..5_u8 {
            tree.append(leaf_hash(&[earlier]));
        }
        Self {
            signer: NoteSigner::from_seed(origin, &[7; 32]).unwrap(),
            origin: origin.to_owned(),
            tree,
        }
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        self.signer.key().spki_der().to_vec()
    }

    pub(crate) fn log_id(&self) -> Vec<u8> {
        self.signer.key().log_id().to_vec()
    }

    /// Logs a signature and answers as the server does.
    pub(crate) fn hashed_entry(&mut self, message: &[u8], signature: &[u8], verifier: &Verifier<'_>) -> LogEntry {
        self.entry(&hashed_v2(message, signature, verifier))
    }

    pub(crate) fn entry(&mut self, body: &Value) -> LogEntry {
        let body = serde_json::to_vec(body).unwrap();
        let index = self.tree.append(leaf_hash(&body));
        LogEntry {
            log_index: index,
            log_id: self.log_id(),
            kind: "hashedrekord".to_owned(),
            kind_version: "0.0.2".to_owned(),
            integrated_time: None,
            inclusion_promise: None,
            inclusion_proof: Some(self.prove(index)),
            canonicalized_body: body,
        }
    }

    fn prove(&self, index: u64) -> InclusionProof {
        let size = self.tree.size();
        let hashes = prove_inclusion(index, size, &self.tree).unwrap();
        let checkpoint = Checkpoint::new(&self.origin, size, self.tree.root())
            .unwrap()
            .sign(&[&self.signer]);
        InclusionProof {
            log_index: index,
            tree_size: size,
            root_hash: self.tree.root().as_ref().to_vec(),
            hashes: hashes.iter().map(|hash| hash.as_ref().to_vec()).collect(),
            checkpoint: checkpoint.encode(),
        }
    }
}

pub(crate) fn hashed_v2(message: &[u8], signature: &[u8], verifier: &Verifier<'_>) -> Value {
    let mut named = json!({"keyDetails": "PKIX_ECDSA_P256_SHA_256"});
    match verifier {
        Verifier::Certificate(der) => named["x509Certificate"] = json!({"rawBytes": STANDARD.encode(der)}),
        Verifier::Key(key) => named["publicKey"] = json!({"rawBytes": STANDARD.encode(public(key).spki_der())}),
    }
    json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
        "data": {"algorithm": "SHA2_256", "digest": STANDARD.encode(Digest::sha256_of(message).as_bytes())},
        "signature": {"content": STANDARD.encode(signature), "verifier": named},
    }}})
}

pub(crate) fn hashed_v1(message: &[u8], signature: &[u8], verifier: &Verifier<'_>) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": Digest::sha256_of(message).hex()}},
        "signature": {"content": STANDARD.encode(signature), "publicKey": {"content": STANDARD.encode(verifier.pem())}},
    }})
}

pub(crate) fn dsse_v1(payload: &[u8], signature: &[u8], verifier: &Verifier<'_>) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "envelopeHash": {"algorithm": "sha256", "value": "00".repeat(32)},
        "payloadHash": {"algorithm": "sha256", "value": Digest::sha256_of(payload).hex()},
        "signatures": [{"signature": STANDARD.encode(signature), "verifier": STANDARD.encode(verifier.pem())}],
    }})
}

pub(crate) fn intoto_v2(payload_type: &str, payload: &[u8], signature: &[u8], verifier: &Verifier<'_>) -> Value {
    json!({"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": {
        "envelope": {"payloadType": payload_type, "signatures": [{
            "publicKey": STANDARD.encode(verifier.pem()), "sig": STANDARD.encode(STANDARD.encode(signature)),
        }]},
        "hash": {"algorithm": "sha256", "value": "00".repeat(32)},
        "payloadHash": {"algorithm": "sha256", "value": Digest::sha256_of(payload).hex()},
    }}})
}

pub(crate) fn intoto_v1(envelope: &[u8], verifier: &Verifier<'_>) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "intoto", "spec": {
        "content": {"hash": {"algorithm": "sha256", "value": Digest::sha256_of(envelope).hex()}},
        "publicKey": STANDARD.encode(verifier.pem()),
    }})
}

/// What Rekor v1 answered in cosign's annotation.
pub(crate) fn promise(rekor: &KeyPair, body: &Value, seconds: i64) -> LegacyLogBundle {
    let body = serde_json::to_vec(body).unwrap();
    let log_id = public(rekor).fingerprint().as_bytes().to_vec();
    let payload = set_payload(&body, at(seconds), &log_id, 1234);
    LegacyLogBundle {
        set: rekor.sign(&payload).unwrap(),
        body,
        integrated_time: at(seconds),
        log_index: 1234,
        log_id,
    }
}

/// What Rekor v1 answered in a bundle: promise and proof, the latter with an origin that is not its address.
pub(crate) fn rekor_entry(rekor: &KeyPair, body: &Value) -> LogEntry {
    let bundle = promise(rekor, body, SIGNED + 3);
    let mut tree = MemoryTree::new();
    tree.append(leaf_hash(b"earlier"));
    let index = tree.append(leaf_hash(&bundle.body));
    let size = tree.size();
    let text = format!("rekor.example - 42\n{size}\n{}\n", STANDARD.encode(tree.root()));
    let mut line = public(rekor).fingerprint().as_bytes()[..4].to_vec();
    line.extend(rekor.sign(text.as_bytes()).unwrap());
    LogEntry {
        log_index: bundle.log_index,
        log_id: bundle.log_id,
        kind: body["kind"].as_str().unwrap().to_owned(),
        kind_version: body["apiVersion"].as_str().unwrap().to_owned(),
        integrated_time: Some(bundle.integrated_time),
        inclusion_promise: Some(bundle.set),
        inclusion_proof: Some(InclusionProof {
            log_index: index,
            tree_size: size,
            root_hash: tree.root().as_ref().to_vec(),
            hashes: prove_inclusion(index, size, &tree)
                .unwrap()
                .iter()
                .map(|hash| hash.as_ref().to_vec())
                .collect(),
            checkpoint: format!("{text}\n\u{2014} rekor.example {}\n", STANDARD.encode(line)),
        }),
        canonicalized_body: bundle.body,
    }
}
