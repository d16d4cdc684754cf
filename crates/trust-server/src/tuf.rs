//! The TUF repository that the server publishes at `/tuf`: the trusted root and the signing configuration, so that
//! clients learn of changes without being given files again.
//!
//! The root key signs root and targets and is needed only when one of them changes: it may be taken off the machine. The
//! online key signs snapshot and timestamp, which the server renews by itself. Thresholds are 1: one folder has all keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use proofmark_trust_root::tuf::canonical;
use proofmark_trust_root::{SIGNING_CONFIG, SIGNING_CONFIG_REKOR_V2, SigningConfig, TRUSTED_ROOT};
use proofmark_types::UnixTime;
use proofmark_verify::TrustRoot;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::folder::{self, FolderError, PUBLIC};
use crate::init::files;
use crate::key::{EcdsaKey, KeyFileError, pem};

/// Long lives for what a person may have to sign, renewed two months before the end; a private root that expired while
/// nobody looked is what ended other instances (cosign#4100). The timestamp lives a week and is signed daily: that is
/// how long a mirror can be kept from showing what is new.
const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
const RENEW_BEFORE: Duration = Duration::from_secs(60 * 24 * 3600);
const TIMESTAMP_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
const TIMESTAMP_RENEW_BEFORE: Duration = Duration::from_secs(6 * 24 * 3600);

/// Why the repository could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A file of the folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A file of the repository is not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A document that clients would refuse, such as one that is being edited.
    #[error("{path} is not published, because clients cannot read it: {reason}")]
    Document {
        /// The file.
        path: PathBuf,
        /// What a client would say.
        reason: String,
    },
    /// The folder has another key than the one that clients know from the root; what it signs they refuse.
    #[error("{path} is not the {role} key that the published root names")]
    OtherKey {
        /// The file.
        path: PathBuf,
        /// Of which role.
        role: &'static str,
    },
    /// Something must be signed that only the root key may sign, and it is not in the folder.
    #[error("{what} needs to be signed by {path}, which is not here")]
    RootKeyAway {
        /// What.
        what: &'static str,
        /// Where the key would be.
        path: PathBuf,
    },
}

impl PublishError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Damaged { .. } => "trust-tuf-damaged",
            Self::Document { .. } => "trust-tuf-document",
            Self::OtherKey { .. } => "trust-tuf-key-other",
            Self::RootKeyAway { .. } => "trust-tuf-root-key",
        }
    }
}

/// Brings the repository of a trust domain up to date; makes it, with its keys, where there is none. What has not
/// changed and is far from its end stays as it is, so this may run often.
///
/// 1. The root: made, or renewed before its end.
/// 2. The targets: listed anew if a document changed, or renewed.
/// 3. The snapshot, if the targets did.
/// 4. The timestamp, if the snapshot did, or daily; last, so that a client sees old or new, never a half.
pub(crate) fn publish(directory: &Path, now: UnixTime) -> Result<(), PublishError> {
    let folder = directory.join(files::TUF);
    fs::create_dir_all(folder.join("targets")).map_err(FolderError::io("create", &folder))?;
    let publisher = Publisher { folder: &folder, now };
    let first = !folder.join("1.root.json").exists();
    let root = if first { None } else { Some(publisher.newest_root()?) };
    let (root_key, online) = keys(directory, root.as_ref())?;
    let key_path = directory.join(files::TUF_ROOT_KEY);
    let away = |what| PublishError::RootKeyAway {
        what,
        path: key_path.clone(),
    };
    // 1.
    if root.as_ref().is_none_or(|root| publisher.is_ending(root, RENEW_BEFORE)) {
        match &root_key {
            Some(key) => publisher.root(root.as_ref(), key, &online)?,
            None => tracing::warn!(key = %key_path.display(), "the TUF root ends soon and its key is not here"),
        }
    }
    let begin = directory.join(files::TUF_ROOT);
    if first || !begin.exists() {
        folder::replace(&begin, PUBLIC, &folder::read(&folder.join("1.root.json"))?)?;
    }
    // 2.
    let old = publisher.read("targets.json")?;
    let listed = publisher.targets(directory)?;
    let changed = old.as_ref().and_then(|old| old.get("targets")) != Some(&listed);
    let ending = old.as_ref().is_some_and(|old| publisher.is_ending(old, RENEW_BEFORE));
    let targets_version = if changed || ending {
        let version = version(old.as_ref()) + 1;
        let key = root_key.as_ref().ok_or_else(|| away("the list of targets"))?;
        let body = json!({"targets": listed});
        publisher.write("targets", version, LIFE, body, key)?;
        version
    } else {
        version(old.as_ref())
    };
    // 3.
    let old = publisher.read("snapshot.json")?;
    let meta = json!({"meta": {"targets.json": {"version": targets_version}}});
    let stale = old
        .as_ref()
        .is_none_or(|old| old.get("meta") != meta.get("meta") || publisher.is_ending(old, RENEW_BEFORE));
    let snapshot_version = version(old.as_ref()) + u64::from(stale);
    if stale {
        publisher.write("snapshot", snapshot_version, LIFE, meta, &online)?;
    }
    // 4.
    let old = publisher.read("timestamp.json")?;
    let meta = json!({"meta": {"snapshot.json": {"version": snapshot_version}}});
    let stale = old
        .as_ref()
        .is_none_or(|old| old.get("meta") != meta.get("meta") || publisher.is_ending(old, TIMESTAMP_RENEW_BEFORE));
    if stale {
        publisher.write("timestamp", version(old.as_ref()) + 1, TIMESTAMP_LIFE, meta, &online)?;
    }
    Ok(())
}

/// The root key, unless it was taken away, and the online key: those that the root names, or new ones where there is no
/// root yet. A key that is there without a root is from a start that broke off, and is used.
fn keys(directory: &Path, root: Option<&Value>) -> Result<(Option<EcdsaKey>, EcdsaKey), PublishError> {
    let paths = [files::TUF_ROOT_KEY, files::TUF_ONLINE_KEY].map(|name| directory.join(name));
    let [root_path, online_path] = &paths;
    let Some(root) = root else {
        let one = |path: &Path| match path.exists() {
            true => EcdsaKey::load(path),
            false => EcdsaKey::create(path),
        };
        return Ok((Some(one(root_path)?), one(online_path)?));
    };
    let named = |path: &Path, role: &'static str| {
        let key = EcdsaKey::load(path)?;
        let keyids = root.pointer(&format!("/roles/{role}/keyids"));
        match keyids == Some(&json!([public(&key).1])) {
            true => Ok(key),
            false => Err(PublishError::OtherKey {
                path: path.to_owned(),
                role,
            }),
        }
    };
    let root_key = root_path.exists().then(|| named(root_path, "root")).transpose()?;
    Ok((root_key, named(online_path, "timestamp")?))
}

/// The file of a request below `/tuf/`, if it may be one: what was published has plain names in at most one folder, and
/// is JSON. A file on its way has another ending.
pub(crate) fn path_of(directory: &Path, asked: &str) -> Option<PathBuf> {
    let plain = |part: &str| {
        part.len() <= MAX_NAME
            && part.ends_with(".json")
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    let folder = directory.join(files::TUF);
    match asked.split_once('/') {
        None if plain(asked) => Some(folder.join(asked)),
        Some(("targets", name)) if plain(name) => Some(folder.join("targets").join(name)),
        _ => None,
    }
}

/// The longest name that is looked for: a SHA-256 in hex and the name of a document are 100 bytes.
const MAX_NAME: usize = 128;

struct Publisher<'a> {
    folder: &'a Path,
    now: UnixTime,
}

impl Publisher<'_> {
    fn root(&self, old: Option<&Value>, key: &EcdsaKey, online: &EcdsaKey) -> Result<(), PublishError> {
        let (root, root_id) = public(key);
        let (online, online_id) = public(online);
        let mut keys = Map::new();
        keys.insert(root_id.clone(), root);
        keys.insert(online_id.clone(), online);
        let role = |keyid: &str| json!({"keyids": [keyid], "threshold": 1});
        let body = json!({
            "consistent_snapshot": true,
            "keys": keys,
            "roles": {
                "root": role(&root_id), "targets": role(&root_id),
                "snapshot": role(&online_id), "timestamp": role(&online_id),
            },
        });
        self.write("root", version(old) + 1, LIFE, body, key)
    }

    /// What the targets are to list; their files are written first. Only what a client can read is: a document that was
    /// half written when the hourly look came would take everybody's trust away, signed.
    fn targets(&self, directory: &Path) -> Result<Value, PublishError> {
        let mut targets = Map::new();
        // cosign's --with-default-rekor-v2 asks for a name of its own; the log here is version 2 either way.
        let documents = [
            (TRUSTED_ROOT, files::TRUSTED_ROOT),
            (SIGNING_CONFIG, files::SIGNING_CONFIG),
            (SIGNING_CONFIG_REKOR_V2, files::SIGNING_CONFIG),
        ];
        for (name, file) in documents {
            let source = directory.join(file);
            let bytes = folder::read(&source)?;
            if let Err(reason) = readable(name, &bytes) {
                return Err(PublishError::Document { path: source, reason });
            }
            let hash = hex::encode(digest(&SHA256, &bytes));
            let path = self.folder.join("targets").join(format!("{hash}.{name}"));
            if !path.exists() {
                folder::replace(&path, PUBLIC, &bytes)?;
            }
            targets.insert(
                name.to_owned(),
                json!({
                    "length": bytes.len(), "hashes": {"sha256": hash},
                    "custom": {"sigstore": {"status": "Active", "usage": "Unknown"}},
                }),
            );
        }
        Ok(Value::Object(targets))
    }

    /// Signs and writes a role's metadata under its version and, for ourselves and for clients of the timestamp, without.
    fn write(&self, role: &str, version: u64, life: Duration, body: Value, key: &EcdsaKey) -> Result<(), PublishError> {
        let mut signed = body;
        if let Some(fields) = signed.as_object_mut() {
            fields.insert("_type".to_owned(), json!(role));
            fields.insert("spec_version".to_owned(), json!("1.0.31"));
            fields.insert("version".to_owned(), json!(version));
            fields.insert("expires".to_owned(), json!(self.now.plus(life)));
        }
        let message = canonical(&signed).unwrap_or_else(|error| unreachable!("own metadata is canonical: {error}"));
        let (_, keyid) = public(key);
        let signature = hex::encode(key.sign(&message)?);
        let text = format!(
            "{:#}\n",
            json!({"signatures": [{"keyid": keyid, "sig": signature}], "signed": signed})
        );
        if role != "timestamp" {
            let path = self.folder.join(format!("{version}.{role}.json"));
            folder::replace(&path, PUBLIC, text.as_bytes())?;
        }
        folder::replace(&self.folder.join(format!("{role}.json")), PUBLIC, text.as_bytes())?;
        Ok(())
    }

    fn newest_root(&self) -> Result<Value, PublishError> {
        self.read("root.json")?.ok_or_else(|| PublishError::Damaged {
            path: self.folder.join("root.json"),
        })
    }

    /// What a file of ours says, if it is there.
    fn read(&self, name: &str) -> Result<Option<Value>, PublishError> {
        let path = self.folder.join(name);
        if !path.exists() {
            return Ok(None);
        }
        let mut value: Value =
            serde_json::from_slice(&folder::read(&path)?).map_err(|_| PublishError::Damaged { path: path.clone() })?;
        match value.get_mut("signed").map(Value::take) {
            Some(signed) if signed.get("version").is_some_and(Value::is_u64) => Ok(Some(signed)),
            _ => Err(PublishError::Damaged { path }),
        }
    }

    fn is_ending(&self, signed: &Value, before: Duration) -> bool {
        let expires = signed.get("expires").and_then(Value::as_str).map(UnixTime::parse);
        !matches!(expires, Some(Ok(expires)) if expires > self.now.plus(before))
    }
}

fn readable(name: &str, bytes: &[u8]) -> Result<(), String> {
    if name == TRUSTED_ROOT {
        TrustRoot::parse(bytes).map(drop).map_err(|error| error.to_string())
    } else {
        SigningConfig::parse(bytes).map(drop).map_err(|error| error.to_string())
    }
}

fn version(signed: Option<&Value>) -> u64 {
    signed
        .and_then(|signed| signed.get("version"))
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

/// A key as TUF writes it, and the id that every client computes for it.
fn public(key: &EcdsaKey) -> (Value, String) {
    let value = json!({
        "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256",
        "keyval": {"public": pem("PUBLIC KEY", key.spki())},
    });
    let bytes = canonical(&value).unwrap_or_else(|error| unreachable!("own keys are canonical: {error}"));
    (value, hex::encode(digest(&SHA256, &bytes)))
}

/// How often the server looks whether something is to be renewed.
pub(crate) const LOOK: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use proofmark_trust_root::Home;
    use proofmark_trust_root::tuf::{Expiry, Repository};
    use url::Url;

    use super::*;
    use crate::{InitOptions, init};

    const ONE_DAY: Duration = Duration::from_secs(24 * 3600);

    struct World {
        folder: tempfile::TempDir,
        now: UnixTime,
    }

    impl World {
        fn new() -> Self {
            let now = UnixTime::parse("2026-01-01T00:00:00Z").unwrap();
            let folder = tempfile::tempdir().unwrap();
            let options = InitOptions {
                origin: Url::parse("http://127.0.0.1:5555").unwrap(),
                operator: "acme".to_owned(),
                issuers: Vec::new(),
                dev_issuer: false,
                now,
            };
            init(&folder.path().join("trust"), &options).unwrap();
            Self { folder, now }
        }

        fn trust(&self) -> PathBuf {
            self.folder.path().join("trust")
        }

        /// Changes a document; answers what it said before.
        fn edit(&self, name: &str, change: impl Fn(&str) -> String) -> String {
            let path = self.trust().join(name);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, change(&text)).unwrap();
            text
        }

        async fn refresh(&self, now: UnixTime) -> Result<proofmark_trust_root::State, proofmark_trust_root::HomeError> {
            let mirror = Url::from_directory_path(self.trust().join("tuf")).unwrap();
            let place = Home::new(self.folder.path().join("home")).place(mirror.as_str());
            let pinned = place
                .pin(&fs::read(self.trust().join("tuf_root.json")).unwrap())
                .unwrap();
            place.adopt(&pinned).unwrap();
            let repository = Repository::mirror(&mirror).unwrap();
            place.refresh(&repository, now, Expiry::Enforced).await
        }
    }

    #[tokio::test]
    async fn a_client_follows_what_is_published_and_renewed() {
        let world = World::new();
        let first = world.refresh(world.now).await.unwrap();
        assert_eq!(
            (first.root_version, first.timestamp_version, first.targets_version),
            (1, 1, 1)
        );
        // Nothing changed, nothing is signed anew.
        publish(&world.trust(), world.now.plus(Duration::from_secs(3600))).unwrap();
        assert_eq!(world.refresh(world.now).await.unwrap().timestamp_version, 1);
        // A week without a server is too long for a client; the next day's timestamp is not.
        let late = world.refresh(world.now.plus(ONE_DAY * 8)).await.unwrap_err();
        assert_eq!(late.code(), "tuf-expired");
        publish(&world.trust(), world.now.plus(ONE_DAY * 8)).unwrap();
        assert_eq!(
            world
                .refresh(world.now.plus(ONE_DAY * 8))
                .await
                .unwrap()
                .timestamp_version,
            2
        );
        // A changed document is a new list of targets.
        world.edit("trusted_root.json", |text| text.replace("acme", "acme-2"));
        publish(&world.trust(), world.now.plus(ONE_DAY * 8)).unwrap();
        assert_eq!(
            world
                .refresh(world.now.plus(ONE_DAY * 8))
                .await
                .unwrap()
                .targets_version,
            2
        );
        // The root is renewed before its end, signed by itself.
        publish(&world.trust(), world.now.plus(ONE_DAY * 310)).unwrap();
        let renewed = world.refresh(world.now.plus(ONE_DAY * 310)).await.unwrap();
        assert_eq!((renewed.root_version, renewed.targets_version), (2, 2));
    }

    #[tokio::test]
    async fn without_the_root_key_only_what_is_online_is_renewed() {
        let world = World::new();
        fs::rename(
            world.trust().join(files::TUF_ROOT_KEY),
            world.folder.path().join("safe"),
        )
        .unwrap();
        publish(&world.trust(), world.now.plus(ONE_DAY * 8)).unwrap();
        world.refresh(world.now.plus(ONE_DAY * 8)).await.unwrap();
        world.edit("signing_config.json", |text| text.replace("acme", "acme-2"));
        let refused = publish(&world.trust(), world.now.plus(ONE_DAY * 8)).unwrap_err();
        assert_eq!(refused.code(), "trust-tuf-root-key");
    }

    #[tokio::test]
    async fn what_clients_cannot_read_is_not_signed() {
        let world = World::new();
        for name in ["trusted_root.json", "signing_config.json"] {
            // As it is on disk while somebody's editor writes it.
            let whole = world.edit(name, |text| text[..text.len() / 2].to_owned());
            let refused = publish(&world.trust(), world.now).unwrap_err();
            assert_eq!(refused.code(), "trust-tuf-document", "{refused}");
            assert_eq!(world.refresh(world.now).await.unwrap().targets_version, 1);
            world.edit(name, |_| whole.clone());
            publish(&world.trust(), world.now).unwrap();
        }
    }

    #[test]
    fn keys_that_the_root_does_not_name_sign_nothing() {
        for name in [files::TUF_ROOT_KEY, files::TUF_ONLINE_KEY] {
            let world = World::new();
            let path = world.trust().join(name);
            fs::remove_file(&path).unwrap();
            EcdsaKey::create(&path).unwrap();
            let before = fs::read(world.trust().join("tuf/timestamp.json")).unwrap();
            let refused = publish(&world.trust(), world.now.plus(ONE_DAY * 310)).unwrap_err();
            assert_eq!(refused.code(), "trust-tuf-key-other", "{name}");
            assert_eq!(fs::read(world.trust().join("tuf/timestamp.json")).unwrap(), before);
        }
    }

    #[tokio::test]
    async fn a_first_start_that_broke_off_is_taken_up() {
        let world = World::new();
        // The keys are there and nothing else.
        fs::remove_dir_all(world.trust().join("tuf")).unwrap();
        fs::remove_file(world.trust().join("tuf_root.json")).unwrap();
        publish(&world.trust(), world.now).unwrap();
        world.refresh(world.now).await.unwrap();
        // The root is there, and what is handed out of it is not.
        fs::remove_file(world.trust().join("tuf_root.json")).unwrap();
        publish(&world.trust(), world.now).unwrap();
        world.refresh(world.now).await.unwrap();
    }

    #[test]
    fn only_published_files_are_served() {
        let folder = Path::new("trust");
        assert_eq!(path_of(folder, "1.root.json"), Some(folder.join("tuf/1.root.json")));
        assert!(path_of(folder, "targets/00.trusted_root.json").is_some());
        for asked in [
            "../keys/ca-root.pem",
            "targets/../../trust.yaml",
            "",
            "targets/",
            "a/b",
            ".x",
            "targets/..",
            "%2e",
            // Folders and files on their way are no files of the repository: a client is told 404, not of a failure.
            "targets",
            "1.root.tmp",
            &format!("{}.json", "a".repeat(300)),
        ] {
            assert_eq!(path_of(folder, asked), None, "{asked}");
        }
    }
}
