//! Keeping a credential where Docker's clients and ours look for it: with the helper that the file names, or in the file.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_types::RegistryHost;
use serde_json::{Map, Value, json};

use super::auth_file::{AuthFile, places};
use super::{CredentialError, Secret, helper};
use crate::jitter;
use crate::limits::LOGIN_LOCK_TIME;

/// The file whose lock a login holds, beside the one that it writes.
const LOCK: &str = ".config.json.lock";

/// How soon a lock that another holds is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Where a credential was put.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kept {
    /// In this file, readable by its owner alone.
    File(PathBuf),
    /// With a credential helper, which this file names.
    Helper {
        /// Its name, without `docker-credential-`.
        helper: String,
        /// The file.
        file: PathBuf,
    },
}

/// Keeps user name and password for a registry in `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`; what else the
/// file says stays. Where the file names a credential helper for the registry, or for all, the helper gets it and the
/// file only notes that.
pub async fn store_login(registry: &RegistryHost, username: &str, password: &Secret) -> Result<Kept, CredentialError> {
    let path = docker_config().ok_or_else(|| CredentialError::File {
        path: "~/.docker/config.json".to_owned(),
        reason: "neither DOCKER_CONFIG nor HOME says where it is".to_owned(),
    })?;
    store_in(&path, registry, username, password).await
}

pub(super) async fn store_in(
    path: &Path,
    registry: &RegistryHost,
    username: &str,
    password: &Secret,
) -> Result<Kept, CredentialError> {
    let shown = path.display().to_string();
    let failed = |error: std::io::Error| CredentialError::File {
        path: shown.clone(),
        reason: error.to_string(),
    };
    // A link, as people who keep their settings in a repository have it, stays one.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // Two that read the same file and write it back would lose one entry.
    let _held = hold(&path).await.map_err(failed)?;
    let known = AuthFile::read(&path)?;
    let mut file = raw(&path, known.is_some())?;
    let key = AuthFile::key_of(registry);
    let helper = known.and_then(|known| known.helper_for(registry));
    let entry = match &helper {
        Some(helper) => {
            helper::store(helper, &key, username, password).await?;
            json!({})
        }
        None => json!({ "auth": STANDARD.encode(format!("{username}:{}", password.reveal())) }),
    };
    let auths = file.entry("auths").or_insert_with(|| json!({}));
    let Some(auths) = auths.as_object_mut() else {
        return Err(CredentialError::Malformed {
            path: shown,
            reason: "auths is not an object".to_owned(),
        });
    };
    // Other spellings of the same host would go on being found.
    auths.retain(|other, _| !AuthFile::is_for(other, registry));
    auths.insert(key, entry);
    write(&path, &file).map_err(failed)?;
    Ok(match helper {
        Some(helper) => Kept::Helper { helper, file: path },
        None => Kept::File(path),
    })
}

fn docker_config() -> Option<PathBuf> {
    let names = |name: &str| match name {
        "DOCKER_CONFIG" | "HOME" => std::env::var_os(name),
        _ => None,
    };
    // `$DOCKER_CONFIG` comes first, `~/.docker` last, Podman's between them.
    let all = places(names);
    let docker = |path: &&PathBuf| path.ends_with("config.json");
    all.iter().find(docker).cloned()
}

fn raw(path: &Path, exists: bool) -> Result<Map<String, Value>, CredentialError> {
    if !exists {
        return Ok(Map::new());
    }
    let bytes = std::fs::read(path).map_err(|error| CredentialError::File {
        path: path.display().to_string(),
        reason: error.to_string(),
    })?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    // It was read once already, so that this says nothing new; the parser's message may quote the content.
    serde_json::from_slice(&bytes).map_err(|_| CredentialError::Malformed {
        path: path.display().to_string(),
        reason: "not the JSON expected".to_owned(),
    })
}

/// Makes the folder and keeps other logins out until the answer is dropped. The lock is on a file of its own, which stays:
/// the file itself is replaced, and a lock that is removed is held by two.
async fn hold(path: &Path) -> std::io::Result<File> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(folder.join(LOCK))?;
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOGIN_LOCK_TIME => {
                tokio::time::sleep(LOOK_AGAIN + jitter::up_to(LOOK_AGAIN)).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(std::io::Error::other(format!(
                    "another login has held {LOCK} beside it for {} s",
                    LOGIN_LOCK_TIME.as_secs()
                )));
            }
            // A file system without locks: as it was before there were any.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Whole or not at all, and never readable by others, not even for a moment.
fn write(path: &Path, file: &Map<String, Value>) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".config-").tempfile_in(folder)?;
    let mut text = serde_json::to_vec_pretty(file).map_err(std::io::Error::other)?;
    text.push(b'\n');
    temporary.write_all(&text)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proofmark_types::Repository;

    use super::*;
    use crate::{Credential, CredentialStore};

    fn host(text: &str) -> RegistryHost {
        RegistryHost::parse(text).unwrap()
    }

    #[tokio::test]
    async fn the_file_keeps_all_else_and_its_owner_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/config.json");
        let password = Secret::new("p:w".to_owned());
        let kept = store_in(&path, &host("registry.example.com"), "alice", &password)
            .await
            .unwrap();
        assert_eq!(kept, Kept::File(path.clone()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o600);
            assert_eq!(mode(path.parent().unwrap()), 0o700);
        }
        let before = json!({
            "auths": {"https://registry.example.com/v1/": {"auth": "b2xkOm9sZA=="}, "other.example.com": {"auth": "YTpi", "email": "x"}},
            "psFormat": "table", "proxies": {"default": {"httpProxy": "http://p"}}
        });
        std::fs::write(&path, before.to_string()).unwrap();
        store_in(&path, &host("registry.example.com"), "alice", &password)
            .await
            .unwrap();
        let after: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(after["psFormat"], before["psFormat"]);
        assert_eq!(after["proxies"], before["proxies"]);
        assert_eq!(
            after["auths"]["other.example.com"],
            before["auths"]["other.example.com"]
        );
        assert_eq!(
            after["auths"].as_object().unwrap().len(),
            2,
            "one entry a host: {after}"
        );
        let store = CredentialStore::from_file(&path).unwrap();
        let repository = Repository::parse("registry.example.com/a").unwrap();
        let Some(Credential::Password { username, password }) = store.lookup(&repository).await.unwrap() else {
            panic!("a password");
        };
        assert_eq!((username.as_str(), password.reveal()), ("alice", "p:w"));
    }

    #[tokio::test]
    async fn a_login_waits_for_another_and_keeps_its_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let held = hold(&path).await.unwrap();
        let password = Secret::new("b".to_owned());
        let waiting = {
            let (path, password) = (path.clone(), password.clone());
            tokio::spawn(async move { store_in(&path, &host("one.example.com"), "a", &password).await })
        };
        tokio::time::sleep(LOOK_AGAIN * 10).await;
        assert!(!waiting.is_finished() && !path.exists());
        std::fs::write(&path, r#"{"auths":{"two.example.com":{"auth":"YTpi"}}}"#).unwrap();
        drop(held);
        waiting.await.unwrap().unwrap();
        let after: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(after["auths"].as_object().unwrap().len(), 2, "{after}");
    }

    #[tokio::test]
    async fn docker_hub_has_dockers_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        store_in(&path, &host("docker.io"), "a", &Secret::new("b".to_owned()))
            .await
            .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"https://index.docker.io/v1/\""), "{text}");
    }

    #[tokio::test]
    async fn a_file_that_is_none_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for bad in ["[]", "{\"auths\": []}", "{\"auths\": {\"x\": {\"auth\": \"!\"}}}", "{"] {
            std::fs::write(&path, bad).unwrap();
            let stored = store_in(&path, &host("a.example.com"), "a", &Secret::new("s3cret".to_owned())).await;
            let error = stored.unwrap_err();
            assert!(matches!(error, CredentialError::Malformed { .. }), "{bad}: {error}");
            assert!(!error.to_string().contains("s3cret"));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
        }
    }
}
