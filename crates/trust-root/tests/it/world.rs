//! A TUF repository in memory, signed by keys of its own, that can be made wrong in one place at a time.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use proofmark_trust_root::tuf::{Expiry, Repository, Store, Trusted, TufError, Updater, canonical};
use proofmark_types::UnixTime;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// When everything here happens.
pub(crate) fn now() -> UnixTime {
    UnixTime::parse("2026-06-01T00:00:00Z").unwrap()
}

/// An Ed25519 key and the id that it goes by.
pub(crate) struct Key {
    pub(crate) id: String,
    pair: Ed25519KeyPair,
}

impl Key {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            id: format!("{number:064x}"),
            pair: Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap(),
        }
    }

    /// The same key under another id.
    pub(crate) fn alias(&self, number: u8, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..Self::new(number)
        }
    }

    pub(crate) fn public(&self) -> Value {
        let public = hex::encode(self.pair.public_key().as_ref());
        json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}})
    }

    pub(crate) fn signature(&self, signed: &Value) -> Value {
        let signature = self.pair.sign(&canonical(signed).unwrap());
        json!({"keyid": self.id, "sig": hex::encode(signature.as_ref())})
    }
}

/// Metadata with signatures.
pub(crate) fn signed(keys: &[&Key], body: &Value) -> Value {
    let signatures: Vec<Value> = keys.iter().map(|key| key.signature(body)).collect();
    json!({"signatures": signatures, "signed": body})
}

pub(crate) fn keys(keys: &[&Key]) -> Value {
    let map: Map<String, Value> = keys.iter().map(|key| (key.id.clone(), key.public())).collect();
    Value::Object(map)
}

pub(crate) fn role(keys: &[&Key], threshold: u64) -> Value {
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    json!({"keyids": ids, "threshold": threshold})
}

/// The repository: one key for all roles unless a test changes that.
pub(crate) struct World {
    pub(crate) key: Key,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) pinned: Vec<u8>,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let key = Key::new(1);
        let mut world = Self {
            files: BTreeMap::new(),
            pinned: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            key,
        };
        let root = world.root(1);
        world.pinned = signed(&[&world.key], &root).to_string().into_bytes();
        world.publish(1, 1, 1);
        world
    }

    pub(crate) fn head(kind: &str, version: u64) -> Value {
        json!({"_type": kind, "spec_version": "1.0.31", "version": version, "expires": "2027-01-01T00:00:00Z"})
    }

    pub(crate) fn root(&self, version: u64) -> Value {
        let mut root = Self::head("root", version);
        let all = role(&[&self.key], 1);
        root["consistent_snapshot"] = json!(true);
        root["keys"] = keys(&[&self.key]);
        root["roles"] = json!({"root": all, "timestamp": all, "snapshot": all, "targets": all});
        root
    }

    /// A body, signed and put under its name.
    pub(crate) fn put(&mut self, name: &str, body: &Value) {
        let bytes = signed(&[&self.key], body).to_string().into_bytes();
        self.files.insert(name.to_owned(), bytes);
    }

    pub(crate) fn put_raw(&mut self, name: &str, document: &Value) {
        self.files.insert(name.to_owned(), document.to_string().into_bytes());
    }

    pub(crate) fn timestamp(version: u64, snapshot: u64) -> Value {
        let mut body = Self::head("timestamp", version);
        body["meta"] = json!({"snapshot.json": {"version": snapshot}});
        body
    }

    pub(crate) fn snapshot(version: u64, targets: u64) -> Value {
        let mut body = Self::head("snapshot", version);
        body["meta"] = json!({"targets.json": {"version": targets}});
        body
    }

    /// Lists the target `name` with `content`, and serves it.
    pub(crate) fn targets(&mut self, version: u64, name: &str, content: &[u8]) -> Value {
        let hash = hex::encode(digest(&SHA256, content));
        let mut body = Self::head("targets", version);
        body["targets"] = json!({name: {"length": content.len(), "hashes": {"sha256": hash}}});
        let (folder, last) = name
            .rsplit_once('/')
            .map_or((String::new(), name), |(folder, last)| (format!("{folder}/"), last));
        self.files
            .insert(format!("targets/{folder}{hash}.{last}"), content.to_vec());
        body
    }

    pub(crate) fn publish(&mut self, timestamp: u64, snapshot: u64, targets: u64) {
        let body = self.targets(targets, "file.txt", format!("content {targets}").as_bytes());
        self.put(&format!("{targets}.targets.json"), &body);
        self.put(&format!("{snapshot}.snapshot.json"), &Self::snapshot(snapshot, targets));
        self.put("timestamp.json", &Self::timestamp(timestamp, snapshot));
    }

    /// Puts delegated metadata of version 1 in, lists it in a new snapshot, and delegates from the targets.
    pub(crate) fn delegate(&mut self, delegations: Value, delegated: &[(&str, Value)], version: u64) {
        let mut targets = Self::head("targets", version);
        targets["targets"] = json!({});
        targets["delegations"] = delegations;
        self.put(&format!("{version}.targets.json"), &targets);
        let mut snapshot = Self::snapshot(version, version);
        for (name, body) in delegated {
            snapshot["meta"][format!("{name}.json")] = json!({"version": 1});
            self.put(&format!("1.{name}.json"), body);
        }
        self.put(&format!("{version}.snapshot.json"), &snapshot);
        self.put("timestamp.json", &Self::timestamp(version, version));
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(self.folder.path().join("metadata"))
    }

    pub(crate) async fn refresh(&self) -> Result<Trusted, TufError> {
        self.refresh_at(now(), Expiry::Enforced).await
    }

    pub(crate) async fn refresh_at(&self, now: UnixTime, expiry: Expiry) -> Result<Trusted, TufError> {
        let (repository, store) = (Repository::files(self.files.clone()), self.store());
        let updater = Updater::new(&repository, &store, &self.pinned, now).with_expiry(expiry);
        updater.refresh().await
    }

    /// Refreshes and reads a target.
    pub(crate) async fn target(&self, name: &str) -> Result<Vec<u8>, TufError> {
        let (repository, store) = (Repository::files(self.files.clone()), self.store());
        let updater = Updater::new(&repository, &store, &self.pinned, now());
        let trusted = updater.refresh().await?;
        updater.target(&trusted, name, None, 1_000).await
    }

    /// The code of the refusal.
    pub(crate) async fn refused(&self) -> &'static str {
        self.refresh().await.map(|_| ()).unwrap_err().code()
    }
}
