//! What this machine keeps of trust repositories, and which of them it has chosen.
//!
//! A folder for each mirror: the root that trust begins with, TUF metadata, the targets, and when it was brought up to
//! date. Reading never fetches: what is used is what is here, or what the program was built with, and its age is known.

use std::borrow::Cow;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proofmark_types::UnixTime;
use proofmark_verify::{TrustRoot, TrustRootError};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::instance::Instance;
use crate::signing_config::{SigningConfig, SigningConfigError};
use crate::tuf::{Expiry, Repository, Store, StoreError, Trusted, TufError, Updater, file_name, replace};

/// The targets that are kept.
pub const TRUSTED_ROOT: &str = "trusted_root.json";
/// The signing configuration.
pub const SIGNING_CONFIG: &str = "signing_config.v0.2.json";
/// The same with version 2 of the log, which the public instance publishes beside it.
pub const SIGNING_CONFIG_REKOR_V2: &str = "signing_config_rekor_v2.v0.2.json";

/// The largest target read: what a trust root may have.
const MAX_TARGET_BYTES: u64 = 1024 * 1024;

/// A copy is asked to be refreshed after a day: the public instance signs a new timestamp every three.
const REFRESH_AFTER: Duration = Duration::from_secs(24 * 3600);

/// After a failure the next attempt waits this long, twice as long after each further one, at most [`REFRESH_AFTER`].
const BACK_OFF: Duration = Duration::from_secs(15 * 60);

/// A copy that nobody refreshed for so long is called stale even if nothing in it says when it expires.
const STALE_AFTER: Duration = Duration::from_secs(90 * 24 * 3600);

/// The folder of all of them.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    mirror: String,
}

impl Home {
    /// A folder; made when something is kept.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder that the environment names: `TUF_ROOT/proofmark` (cosign keeps its own files in `TUF_ROOT`, in another
    /// format), or the user's cache folder.
    #[must_use]
    pub fn from_environment(environment: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let path = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = match path("TUF_ROOT") {
            Some(root) => root.join("proofmark"),
            None => {
                let home = || path("HOME").or_else(|| path("USERPROFILE"));
                let cache = match path("XDG_CACHE_HOME").or_else(|| path("LOCALAPPDATA")) {
                    Some(cache) => cache,
                    None if cfg!(target_os = "macos") => home()?.join("Library").join("Caches"),
                    None => home()?.join(".cache"),
                };
                cache.join("proofmark").join("tuf")
            }
        };
        Some(Self { folder })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is kept of a mirror.
    #[must_use]
    pub fn place(&self, mirror: &str) -> Place {
        let mirror = mirror.trim_end_matches('/').to_owned();
        Place {
            instance: Instance::ALL.into_iter().find(|known| known.mirror() == mirror),
            folder: self.folder.join(file_name(&mirror)),
            mirror,
        }
    }

    /// The mirror that `initialize` chose, or the public instance's.
    pub fn chosen(&self) -> Result<Place, HomeError> {
        let path = self.folder.join("chosen.json");
        // Only a file that is not there means that nothing was chosen: another error must not lead to the public instance.
        if path
            .symlink_metadata()
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            return Ok(self.place(Instance::Public.mirror()));
        }
        let Some(bytes) = crate::tuf::read(&path) else {
            return Err(HomeError::Choice {
                path,
                reason: "it is there and cannot be read".to_owned(),
            });
        };
        let choice: Choice = serde_json::from_slice(&bytes).map_err(|error| HomeError::Choice {
            path,
            reason: error.to_string(),
        })?;
        Ok(self.place(&choice.mirror))
    }

    /// Chooses a mirror for what comes after.
    pub fn choose(&self, place: &Place) -> Result<(), HomeError> {
        let choice = Choice {
            mirror: place.mirror.clone(),
        };
        Ok(replace(&self.folder.join("chosen.json"), &json(&choice))?)
    }
}

/// What is kept of one mirror.
#[derive(Clone, Debug)]
pub struct Place {
    mirror: String,
    instance: Option<Instance>,
    folder: PathBuf,
}

/// How the copy here came about.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// When the repository was last read to the end.
    pub refreshed: Option<UnixTime>,
    /// When that was last tried.
    pub attempted: Option<UnixTime>,
    /// How often it failed since it last succeeded.
    pub failures: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Versions of the root, the timestamp and the targets.
    pub root_version: u64,
    /// The version of the timestamp.
    pub timestamp_version: u64,
    /// The version of the targets.
    pub targets_version: u64,
    /// When the first of the metadata expires.
    pub expires: Option<UnixTime>,
}

/// Where a document comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a TUF repository, kept here.
    Kept {
        /// The mirror.
        mirror: String,
    },
    /// The copy in the program.
    Embedded(Instance),
}

/// A document, where it comes from, and how old it is.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its bytes.
    pub bytes: Cow<'static, [u8]>,
    /// Where it comes from.
    pub origin: Origin,
    /// When it was known to be the newest.
    pub since: UnixTime,
    /// When the metadata that it was announced by expires, where it came with some.
    pub expires: Option<UnixTime>,
    /// The versions of that metadata.
    pub versions: Option<Versions>,
}

/// Versions of the metadata that a document was announced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Versions {
    /// Of the root.
    pub root: u64,
    /// Of the timestamp.
    pub timestamp: u64,
    /// Of the targets.
    pub targets: u64,
}

impl Document {
    /// Where it comes from, which version it is, and when it was known to be the newest, in words.
    #[must_use]
    pub fn description(&self) -> String {
        match (&self.origin, self.versions) {
            (Origin::Kept { mirror }, Some(versions)) => format!(
                "{mirror}, root version {}, targets version {}, refreshed {}",
                versions.root, versions.targets, self.since
            ),
            (Origin::Kept { mirror }, None) => format!("{mirror}, refreshed {}", self.since),
            (Origin::Embedded(instance), _) => {
                format!("the {instance} instance's in this program, of {}", self.since)
            }
        }
    }

    /// Why it is not to be relied on without a thought, in words; none while it is fresh.
    #[must_use]
    pub fn staleness(&self, now: UnixTime) -> Option<String> {
        let days = now.since(self.since).as_secs() / 86_400;
        let what = match &self.origin {
            Origin::Kept { mirror } => format!("the trust root of {mirror}"),
            Origin::Embedded(instance) => format!("the trust root of the {instance} instance in this program"),
        };
        match self.expires {
            Some(expires) if expires <= now => Some(format!(
                "{what} was last refreshed {days} days ago, and its metadata expired at {expires}"
            )),
            _ if now.since(self.since) > STALE_AFTER => Some(format!("{what} is {days} days old")),
            _ => None,
        }
    }
}

impl Place {
    /// The mirror.
    #[must_use]
    pub fn mirror(&self) -> &str {
        &self.mirror
    }

    /// The instance, if it is one that is known by name.
    #[must_use]
    pub fn instance(&self) -> Option<Instance> {
        self.instance
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The root that trust begins with: the one given to `initialize`, or the one in the program.
    #[must_use]
    pub fn pinned(&self) -> Option<Cow<'static, [u8]>> {
        let path = self.folder.join("pinned-root.json");
        match crate::tuf::read(&path) {
            Some(bytes) => Some(Cow::Owned(bytes)),
            // It is there and cannot be read: the root in the program is not what was chosen.
            None if path.symlink_metadata().is_ok() => None,
            None => self.instance.map(|instance| Cow::Borrowed(instance.tuf_root())),
        }
    }

    /// The place with `root` as the root that trust begins with. If that is another one than before, it is a new place
    /// beside the old one until [`Place::adopt`]: the old trust stays whole while the new one may yet fail.
    pub fn pin(&self, root: &[u8]) -> Result<Self, HomeError> {
        if self.pinned().as_deref() == Some(root) {
            return Ok(self.clone());
        }
        let mut name = self.folder.clone().into_os_string();
        name.push(".new");
        let place = Self {
            folder: PathBuf::from(name),
            ..self.clone()
        };
        remove(&place.folder)?;
        replace(&place.folder.join("pinned-root.json"), root)?;
        Ok(place)
    }

    /// Takes over what [`Place::pin`] began.
    pub fn adopt(&self, pinned: &Self) -> Result<(), HomeError> {
        if pinned.folder == self.folder {
            return Ok(());
        }
        let failed = |source: std::io::Error| HomeError::Remove {
            path: self.folder.clone(),
            source,
        };
        if self.folder.symlink_metadata().is_ok() {
            // The two change places in one step. Were the old one removed first, a run that ends there would leave an
            // instance that is built in with the root of the program in place of the one that was chosen.
            let exchanged = renameat_with(CWD, &pinned.folder, CWD, &self.folder, RenameFlags::EXCHANGE);
            match exchanged {
                Ok(()) => return remove(&pinned.folder),
                // A file system that cannot: NFS, for one.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => remove(&self.folder)?,
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        std::fs::rename(&pinned.folder, &self.folder).map_err(failed)
    }

    /// How the copy here came about.
    #[must_use]
    pub fn state(&self) -> State {
        crate::tuf::read(&self.folder.join("state.json"))
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// The metadata here.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(self.folder.join("metadata"))
    }

    /// A target that is kept here; none of the copies in the program.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<Vec<u8>> {
        crate::tuf::read(&self.folder.join("targets").join(file_name(name)))
    }

    /// The newest copy of a document: what was refreshed, unless the program was built later than that.
    #[must_use]
    pub fn document(&self, name: &str) -> Option<Document> {
        let state = self.state();
        let embedded = self.instance.and_then(|instance| {
            let bytes = match name {
                TRUSTED_ROOT => Some(instance.trusted_root()),
                SIGNING_CONFIG => instance.signing_config(),
                _ => None,
            }?;
            Some(Document {
                bytes: Cow::Borrowed(bytes),
                origin: Origin::Embedded(instance),
                since: instance.taken(),
                expires: None,
                versions: None,
            })
        });
        let kept = state.refreshed.and_then(|since| {
            Some(Document {
                bytes: Cow::Owned(self.target(name)?),
                origin: Origin::Kept {
                    mirror: self.mirror.clone(),
                },
                since,
                expires: state.expires,
                versions: Some(Versions {
                    root: state.root_version,
                    timestamp: state.timestamp_version,
                    targets: state.targets_version,
                }),
            })
        });
        match (kept, embedded) {
            (Some(kept), Some(embedded)) if kept.since < embedded.since => Some(embedded),
            (Some(kept), _) => Some(kept),
            (None, embedded) => embedded,
        }
    }

    /// Whether a refresh is worth trying now.
    #[must_use]
    pub fn is_due(&self, now: UnixTime) -> bool {
        let state = self.state();
        let old = state.refreshed.is_none_or(|at| now.since(at) > REFRESH_AFTER)
            || state.expires.is_some_and(|expires| expires <= now);
        let pause = BACK_OFF
            .saturating_mul(2_u32.saturating_pow(state.failures.saturating_sub(1).min(10)))
            .min(REFRESH_AFTER);
        let tired = state.failures > 0 && state.attempted.is_some_and(|at| now.since(at) < pause);
        old && !tired
    }

    /// Takes the place for a refresh, until the file is dropped; none while another process has it.
    pub fn lock(&self) -> Result<Option<File>, HomeError> {
        let path = self.folder.join("lock");
        let failed = |source| HomeError::Lock {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Brings the copy up to date from `repository`, which need not be the mirror itself: what counts is what the pinned
    /// root leads to. Documents that this program cannot read do not replace those that it can.
    pub async fn refresh(&self, repository: &Repository, now: UnixTime, expiry: Expiry) -> Result<State, HomeError> {
        let outcome = self.fetch(repository, now, expiry).await;
        let state = match &outcome {
            Ok(trusted) => State {
                refreshed: Some(now),
                attempted: Some(now),
                failures: 0,
                error: None,
                root_version: trusted.root_version(),
                timestamp_version: trusted.timestamp_version(),
                targets_version: trusted.targets_version(),
                expires: Some(trusted.expires()),
            },
            Err(error) => {
                let before = self.state();
                State {
                    attempted: Some(now),
                    failures: before.failures.saturating_add(1),
                    error: Some(error.to_string()),
                    ..before
                }
            }
        };
        let written = replace(&self.folder.join("state.json"), &json(&state));
        outcome?;
        written?;
        Ok(state)
    }

    async fn fetch(&self, repository: &Repository, now: UnixTime, expiry: Expiry) -> Result<Trusted, HomeError> {
        let pinned = self.pinned().ok_or_else(|| HomeError::NoRoot {
            mirror: self.mirror.clone(),
        })?;
        let store = self.store();
        let updater = Updater::new(repository, &store, &pinned, now).with_expiry(expiry);
        let trusted = updater.refresh().await?;
        let mut documents = Vec::new();
        for name in [TRUSTED_ROOT, SIGNING_CONFIG, SIGNING_CONFIG_REKOR_V2] {
            match updater
                .target(&trusted, name, self.target(name), MAX_TARGET_BYTES)
                .await
            {
                Ok(bytes) => documents.push((name, bytes)),
                // A verifier needs a trust root; an instance may have nothing to say to signers.
                Err(TufError::NoTarget { .. }) if name != TRUSTED_ROOT => {}
                Err(error) => return Err(error.into()),
            }
        }
        for (name, bytes) in &documents {
            match *name {
                TRUSTED_ROOT => TrustRoot::parse(bytes).map(|_| ())?,
                _ => SigningConfig::parse(bytes).map(|_| ())?,
            }
        }
        for (name, bytes) in documents {
            replace(&self.folder.join("targets").join(file_name(name)), &bytes)?;
        }
        Ok(trusted)
    }
}

fn remove(folder: &Path) -> Result<(), HomeError> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(HomeError::Remove {
            path: folder.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).unwrap_or_else(|error| unreachable!("own types always serialize: {error}"))
}

/// Why nothing could be kept or brought up to date.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HomeError {
    /// The repository is not believed, or does not answer.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// A file here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing says where trust in this mirror begins.
    #[error("no root is known for {mirror}, so nothing that it says can be believed")]
    NoRoot {
        /// The mirror.
        mirror: String,
    },
    /// The file that says which mirror was chosen.
    #[error("{} is malformed: {reason}", path.display())]
    Choice {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A copy under another root could not be replaced.
    #[error("cannot replace {}", path.display())]
    Remove {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The place could not be locked.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A trust root that this program cannot read.
    #[error("the repository's trust root cannot be used")]
    TrustRoot(#[from] TrustRootError),
    /// A signing configuration that this program cannot read.
    #[error("the repository's signing configuration cannot be used")]
    SigningConfig(#[from] SigningConfigError),
}

impl HomeError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tuf(error) => error.code(),
            Self::Store(_) | Self::Remove { .. } | Self::Lock { .. } => "tuf-store",
            Self::NoRoot { .. } => "tuf-no-root",
            Self::Choice { .. } => "tuf-choice",
            Self::TrustRoot(error) => error.code(),
            Self::SigningConfig(error) => error.code(),
        }
    }
}
