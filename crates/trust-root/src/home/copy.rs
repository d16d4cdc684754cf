//! The copy of a repository that was last accepted whole: one file with the layout of a mirror, replaced at once.
//!
//! It is read as a repository is: from the pinned root, through every signature, to the hash of the document. Whoever
//! changes a byte of it changes nothing but that it is refused. Only its age is taken as it is, and shown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use proofmark_types::UnixTime;
use proofmark_verify::TrustRoot;

use super::{
    Document, HomeError, Origin, Place, SIGNING_CONFIG, SIGNING_CONFIG_REKOR_V2, State, TRUSTED_ROOT, UNFINISHED,
    Versions, guard, json,
};
use crate::archive::{read_archive, write_archive};
use crate::signing_config::SigningConfig;
use crate::tuf::{Expiry, Repository, Store, Trusted, TufError, Updater, replace};

/// The largest target read: what a trust root may have.
const MAX_TARGET_BYTES: u64 = 1024 * 1024;

/// What is read of a repository.
const DOCUMENTS: [&str; 3] = [TRUSTED_ROOT, SIGNING_CONFIG, SIGNING_CONFIG_REKOR_V2];

impl Place {
    /// The newest copy of a document: what was refreshed, unless the program was built later than that. None if nothing
    /// is known of the mirror, or if it has no such document.
    ///
    /// A copy that is here and is not what the repository signed is an error, and nothing takes its place.
    pub fn document(&self, name: &str) -> Result<Option<Document>, HomeError> {
        let state = self.state()?;
        match (state.refreshed, self.instance) {
            (Some(since), Some(instance)) if since < instance.taken() => Ok(self.embedded(name)),
            (Some(since), _) => self.kept(name, since),
            (None, _) => Ok(self.embedded(name)),
        }
    }

    /// The copy as a file that other machines can import; none if nothing was fetched yet. It is checked before.
    pub fn export(&self) -> Result<Option<Vec<u8>>, HomeError> {
        let Some(since) = self.state()?.refreshed else {
            return Ok(None);
        };
        let bytes = self.copy()?;
        let copy = self.open(&bytes, since)?;
        for name in DOCUMENTS {
            self.document_of(&copy, name, since)?;
        }
        Ok(Some(bytes))
    }

    /// Brings the copy up to date from `repository`, which need not be the mirror itself: what counts is what the pinned
    /// root leads to. Documents that this program cannot read do not replace those that it can; those that the repository
    /// has withdrawn are gone.
    ///
    /// 1. The attempt is written down before it is made: one that is ended from outside counts as failed, and the next one
    ///    waits.
    /// 2. The repository is read to its end, and what it lists checked.
    /// 3. The copy is replaced, then its age. Metadata that is past its date (an archive's) makes nothing newer than that
    ///    date.
    pub async fn refresh(&self, repository: &Repository, now: UnixTime, expiry: Expiry) -> Result<State, HomeError> {
        self.guard()?;
        // One that cannot be read is mended by a refresh that succeeds, and not covered up by one that fails.
        let before = self.state().ok();
        let failed = |before: &State, error: String| State {
            attempted: Some(now),
            failures: before.failures.saturating_add(1),
            error: Some(error),
            ..before.clone()
        };
        let write = |state: &State| replace(&self.folder.join("state.json"), &json(state));
        // 1.
        if let Some(before) = &before {
            write(&failed(before, UNFINISHED.to_owned()))?;
        }
        // 2.
        let (trusted, copy) = match self.fetch(repository, now, expiry).await {
            Ok(fetched) => fetched,
            Err(error) => {
                if let Some(before) = &before {
                    write(&failed(before, error.to_string()))?;
                }
                return Err(error);
            }
        };
        // 3.
        replace(&self.copy_path(), &copy)?;
        let state = State {
            refreshed: Some(now.min(trusted.expires())),
            attempted: Some(now),
            failures: 0,
            error: None,
            root_version: trusted.root_version(),
            timestamp_version: trusted.timestamp_version(),
            targets_version: trusted.targets_version(),
            expires: Some(trusted.expires()),
        };
        write(&state)?;
        Ok(state)
    }

    async fn fetch(
        &self,
        repository: &Repository,
        now: UnixTime,
        expiry: Expiry,
    ) -> Result<(Trusted, Vec<u8>), HomeError> {
        let pinned = self.root()?;
        let store = self.store();
        let updater = Updater::new(repository, &store, &pinned, now).with_expiry(expiry);
        let trusted = updater.refresh().await?;
        let mut documents = BTreeMap::new();
        for name in DOCUMENTS {
            let kept = self.target(name);
            match updater.addressed_target(&trusted, name, kept, MAX_TARGET_BYTES).await {
                Ok((address, bytes)) => {
                    match name {
                        TRUSTED_ROOT => TrustRoot::parse(&bytes).map(|_| ())?,
                        _ => SigningConfig::parse(&bytes).map(|_| ())?,
                    }
                    documents.insert(format!("targets/{address}"), bytes);
                }
                // A verifier needs a trust root; an instance may have nothing to say to signers.
                Err(TufError::NoTarget { .. }) if name != TRUSTED_ROOT => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut files = updater.files(&trusted)?;
        files.extend(documents);
        Ok((trusted, write_archive(self.mirror(), &files)?))
    }

    /// A document of the copy, for a refresh that may have it already; whether it still counts is found out there.
    fn target(&self, name: &str) -> Option<Vec<u8>> {
        let since = self.state().ok()?.refreshed?;
        Some(self.kept(name, since).ok()??.bytes.into_owned())
    }

    fn embedded(&self, name: &str) -> Option<Document> {
        let instance = self.instance?;
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
    }

    fn kept(&self, name: &str, since: UnixTime) -> Result<Option<Document>, HomeError> {
        let bytes = self.copy()?;
        self.document_of(&self.open(&bytes, since)?, name, since)
    }

    fn document_of(&self, copy: &Opened, name: &str, since: UnixTime) -> Result<Option<Document>, HomeError> {
        let (pinned, nowhere) = (self.root()?, Store::nowhere());
        let updater = Updater::new(&copy.repository, &nowhere, &pinned, since).with_expiry(Expiry::Waived);
        match at_once(updater.target(&copy.trusted, name, None, MAX_TARGET_BYTES)) {
            Ok(bytes) => Ok(Some(Document {
                bytes: Cow::Owned(bytes),
                origin: Origin::Kept {
                    mirror: self.mirror().to_owned(),
                },
                since,
                expires: Some(copy.trusted.expires()),
                versions: Some(Versions {
                    root: copy.trusted.root_version(),
                    timestamp: copy.trusted.timestamp_version(),
                    targets: copy.trusted.targets_version(),
                }),
            })),
            Err(TufError::NoTarget { .. }) => Ok(None),
            Err(source) => Err(self.changed(source)),
        }
    }

    fn copy_path(&self) -> PathBuf {
        self.folder().join("copy.tar")
    }

    fn copy(&self) -> Result<Vec<u8>, HomeError> {
        guard::read(&self.copy_path())?.ok_or_else(|| HomeError::Damaged {
            path: self.copy_path(),
            reason: "it was fetched once, and is not there any more".to_owned(),
        })
    }

    /// Follows the signatures of a copy from the pinned root. Expiry is no matter here: age is shown.
    fn open(&self, bytes: &[u8], since: UnixTime) -> Result<Opened, HomeError> {
        let (_, repository) = read_archive(bytes).map_err(|error| HomeError::Damaged {
            path: self.copy_path(),
            reason: error.to_string(),
        })?;
        let (pinned, nowhere) = (self.root()?, Store::nowhere());
        let updater = Updater::new(&repository, &nowhere, &pinned, since).with_expiry(Expiry::Waived);
        let trusted = at_once(updater.refresh()).map_err(|source| self.changed(source))?;
        Ok(Opened { repository, trusted })
    }

    fn root(&self) -> Result<Cow<'static, [u8]>, HomeError> {
        self.pinned()?.ok_or_else(|| HomeError::NoRoot {
            mirror: self.mirror().to_owned(),
        })
    }

    fn changed(&self, source: TufError) -> HomeError {
        HomeError::Changed {
            path: self.copy_path(),
            mirror: self.mirror().to_owned(),
            source,
        }
    }
}

/// A copy whose signatures were followed.
struct Opened {
    repository: Repository,
    trusted: Trusted,
}

/// Runs what only reads memory: it never waits.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("files in memory are there at once"),
    }
}
