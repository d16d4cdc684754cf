//! What this machine keeps of trust repositories, and which of them it has chosen.
//!
//! A folder for each mirror: the root that trust begins with, TUF metadata, the copy that was last accepted whole, and when
//! that was. Reading never fetches: what is used is what is here, or what the program was built with, and its age is known.
//! What is here is held against its signatures each time, and not read at all where another user could have written it.

use std::borrow::Cow;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proofmark_types::UnixTime;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::instance::Instance;
use crate::tuf::{Store, file_name, make_folder, replace};

mod copy;
mod document;
mod error;
mod guard;

pub use document::{Document, Origin, Versions};
pub use error::HomeError;
#[cfg(unix)]
pub use guard::written_by_others;

/// The targets that are kept.
pub const TRUSTED_ROOT: &str = "trusted_root.json";
/// The signing configuration.
pub const SIGNING_CONFIG: &str = "signing_config.v0.2.json";
/// The same with version 2 of the log, which the public instance publishes beside it.
pub const SIGNING_CONFIG_REKOR_V2: &str = "signing_config_rekor_v2.v0.2.json";

/// A copy is asked to be refreshed after a day: the public instance signs a new timestamp every three.
const REFRESH_AFTER: Duration = Duration::from_secs(24 * 3600);

/// After a failure the next attempt waits this long, twice as long after each further one, at most [`REFRESH_AFTER`].
const BACK_OFF: Duration = Duration::from_secs(15 * 60);

/// Why an attempt failed of which nothing else is known: it was ended from outside, or its time was over.
const UNFINISHED: &str = "it did not come to its end";

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
        guard::folder(&self.folder)?;
        // Only a file that is not there means that nothing was chosen: another error must not lead to the public instance.
        let Some(bytes) = guard::read(&path)? else {
            return Ok(self.place(Instance::Public.mirror()));
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
    pub fn pinned(&self) -> Result<Option<Cow<'static, [u8]>>, HomeError> {
        // Only one that is not there leaves the root in the program: another error must not lead to it.
        let given = guard::read(&self.folder.join("pinned-root.json"))?;
        Ok(match given {
            Some(bytes) => Some(Cow::Owned(bytes)),
            None => self.instance.map(|instance| Cow::Borrowed(instance.tuf_root())),
        })
    }

    /// The place with `root` as the root that trust begins with. If that is another one than before, it is a new place
    /// beside the old one until [`Place::adopt`]: the old trust stays whole while the new one may yet fail. To be called
    /// with the place locked, since there is one such new place.
    pub fn pin(&self, root: &[u8]) -> Result<Self, HomeError> {
        if self.pinned()?.as_deref() == Some(root) {
            return Ok(self.clone());
        }
        let place = Self {
            folder: self.beside("new"),
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
    pub fn state(&self) -> Result<State, HomeError> {
        self.guard()?;
        let path = self.folder.join("state.json");
        let Some(bytes) = guard::read(&path)? else {
            return Ok(State::default());
        };
        // Without it nobody knows that there is a copy: what cannot be read must not be as good as none.
        serde_json::from_slice(&bytes).map_err(|error| HomeError::Damaged {
            path,
            reason: error.to_string(),
        })
    }

    /// The metadata here.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(self.folder.join("metadata"))
    }

    /// Whether a refresh is worth trying now; never where the state here cannot be read, which a person has to see.
    #[must_use]
    pub fn is_due(&self, now: UnixTime) -> bool {
        let Ok(state) = self.state() else { return false };
        let old = state
            .refreshed
            .is_none_or(|at| at > now || now.since(at) > REFRESH_AFTER)
            || state.expires.is_some_and(|expires| expires <= now);
        let pause = BACK_OFF
            .saturating_mul(2_u32.saturating_pow(state.failures.saturating_sub(1).min(10)))
            .min(REFRESH_AFTER);
        let tired = state.failures > 0 && state.attempted.is_some_and(|at| now.since(at) < pause);
        old && !tired
    }

    /// Takes the place for a refresh or a choice, until the file is dropped; none while another process has it. It lies
    /// beside the folder, which [`Place::adopt`] exchanges.
    pub fn lock(&self) -> Result<Option<File>, HomeError> {
        let path = self.beside("lock");
        let failed = |source| HomeError::Lock {
            path: path.clone(),
            source,
        };
        if let Some(home) = path.parent() {
            make_folder(home).map_err(failed)?;
        }
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

    /// A name beside the folder that no mirror's folder has: theirs have `%` before two digits only ([`file_name`]).
    fn beside(&self, what: &str) -> PathBuf {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        self.folder.with_file_name(format!("%{what}-{name}"))
    }

    /// Refuses folders that another user could have written in.
    fn guard(&self) -> Result<(), HomeError> {
        let metadata = self.folder.join("metadata");
        for folder in [self.folder.parent().unwrap_or(&self.folder), &self.folder, &metadata] {
            guard::folder(folder)?;
        }
        Ok(())
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
