//! The client's workflow (specification 1.0.33, section 5), step by step.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proofmark_types::UnixTime;

use super::error::TufError;
use super::key::short;
use super::metadata::{Envelope, Head, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp};
use super::names::{TOP_LEVEL, segment, target_address};
use super::repository::Repository;
use super::store::Store;

/// The limits of python-tuf, which every repository that its clients read keeps.
const MAX_ROOT_BYTES: u64 = 512_000;
const MAX_TIMESTAMP_BYTES: u64 = 16_384;
const MAX_SNAPSHOT_BYTES: u64 = 2_000_000;
const MAX_TARGETS_BYTES: u64 = 5_000_000;
const MAX_ROOT_ROTATIONS: u64 = 256;
const MAX_DELEGATIONS: usize = 32;

/// What an expiry date means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Expired metadata is refused, as the specification says.
    Enforced,
    /// It is taken: for an archive that a person carries over an air gap and answers for. Signatures, versions and
    /// hashes are checked all the same.
    Waived,
}

/// One repository, what is kept of it, and where trust begins.
#[derive(Debug)]
pub struct Updater<'a> {
    repository: &'a Repository,
    store: &'a Store,
    pinned: &'a [u8],
    now: UnixTime,
    expiry: Expiry,
}

/// Top-level metadata that was checked whole.
#[derive(Debug)]
pub struct Trusted {
    root: Root,
    timestamp: Timestamp,
    snapshot: Snapshot,
    targets: Arc<Targets>,
}

impl Trusted {
    /// The version of the root.
    #[must_use]
    pub fn root_version(&self) -> u64 {
        self.root.head.version
    }

    /// The version of the top-level targets.
    #[must_use]
    pub fn targets_version(&self) -> u64 {
        self.targets.head.version
    }

    /// The version of the timestamp.
    #[must_use]
    pub fn timestamp_version(&self) -> u64 {
        self.timestamp.head.version
    }

    /// The first moment at which one of the four is expired.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        let others = [
            self.timestamp.head.expires,
            self.snapshot.head.expires,
            self.targets.head.expires,
        ];
        others.into_iter().fold(self.root.head.expires, UnixTime::min)
    }
}

impl<'a> Updater<'a> {
    /// `pinned` is a root that the caller has from elsewhere; `now` is the time of every check.
    #[must_use]
    pub fn new(repository: &'a Repository, store: &'a Store, pinned: &'a [u8], now: UnixTime) -> Self {
        Self {
            repository,
            store,
            pinned,
            now,
            expiry: Expiry::Enforced,
        }
    }

    /// The same with another meaning of expiry dates.
    #[must_use]
    pub fn with_expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// Sections 5.2 to 5.6: brings the top-level metadata up to date. Each file is kept as soon as it is accepted, so
    /// that a failure later does not undo what was learned.
    ///
    /// 1. The root that trust begins with, and those that followed it here already (5.2).
    /// 2. The roots that follow it there, each signed by the keys of the one before and by its own; then its expiry (5.3).
    /// 3. The timestamp: signed, not older than the one kept, nor the snapshot that it announces; then its expiry (5.4).
    /// 4. The snapshot: as announced, signed, no role older or gone; then its expiry (5.5).
    /// 5. The targets: as announced, signed; then their expiry (5.6).
    pub async fn refresh(&self) -> Result<Trusted, TufError> {
        // 1.
        let root = self.start()?;
        // 2.
        let root = self.root(root).await?;
        self.check_expiry("root", root.head)?;
        // 3.
        let timestamp = self.timestamp(&root).await?;
        // 4.
        let snapshot = self.snapshot(&root, &timestamp).await?;
        // 5.
        let meta = snapshot.role("targets")?;
        let signed = |envelope: &Envelope| root.check("targets", envelope);
        let targets = self.targets("targets", meta, root.consistent_snapshot, signed).await?;
        Ok(Trusted {
            root,
            timestamp,
            snapshot,
            targets: Arc::new(targets),
        })
    }

    /// 5.2. The store is not believed: each root in it must follow from the pinned one.
    fn start(&self) -> Result<Root, TufError> {
        let envelope = Envelope::read("root", self.pinned, MAX_ROOT_BYTES)?;
        let mut root = Root::read(&envelope)?;
        root.check("root", &envelope)?;
        self.store.put_root(root.head.version, self.pinned)?;
        for _ in 0..MAX_ROOT_ROTATIONS {
            let next = self.store.root(root.head.version.saturating_add(1));
            let Some(bytes) = next else { break };
            let Ok(following) = follow(&root, &bytes) else { break };
            self.store.put_metadata("root", &bytes)?;
            root = following;
        }
        Ok(root)
    }

    /// 5.3.2 to 5.3.9.
    async fn root(&self, mut root: Root) -> Result<Root, TufError> {
        for _ in 0..MAX_ROOT_ROTATIONS {
            let name = format!("{}.root.json", root.head.version.saturating_add(1));
            let Some(bytes) = self.repository.metadata(&name, MAX_ROOT_BYTES).await? else {
                break;
            };
            root = follow(&root, &bytes)?;
            self.store.put_root(root.head.version, &bytes)?;
        }
        Ok(root)
    }

    /// 5.4. What is kept but was signed by keys that the root no longer names is as good as not kept: that is how a
    /// repository recovers from versions that were driven up (5.3.11).
    async fn timestamp(&self, root: &Root) -> Result<Timestamp, TufError> {
        let read = |bytes: &[u8]| {
            let envelope = Envelope::read("timestamp", bytes, MAX_TIMESTAMP_BYTES)?;
            root.check("timestamp", &envelope)?;
            Timestamp::read(&envelope)
        };
        let kept = self.store.metadata("timestamp").and_then(|bytes| read(&bytes).ok());
        let bytes = self.fetch("timestamp.json", MAX_TIMESTAMP_BYTES).await?;
        let new = read(&bytes)?;
        if let Some(kept) = kept {
            no_rollback("timestamp", kept.head.version, new.head.version)?;
            if kept.head.version == new.head.version {
                self.check_expiry("timestamp", kept.head)?;
                return Ok(kept);
            }
            no_rollback("snapshot", kept.snapshot.version, new.snapshot.version)?;
        }
        self.check_expiry("timestamp", new.head)?;
        self.store.put_metadata("timestamp", &bytes)?;
        Ok(new)
    }

    /// 5.5.
    async fn snapshot(&self, root: &Root, timestamp: &Timestamp) -> Result<Snapshot, TufError> {
        let meta = &timestamp.snapshot;
        let read = |bytes: &[u8]| {
            let envelope = Envelope::read("snapshot", bytes, MAX_SNAPSHOT_BYTES)?;
            root.check("snapshot", &envelope)?;
            Snapshot::read(&envelope)
        };
        let kept = match self.store.metadata("snapshot") {
            Some(bytes) => read(&bytes).ok().map(|snapshot| (snapshot, bytes)),
            None => None,
        };
        if let Some((snapshot, bytes)) = &kept {
            let current = snapshot.head.version == meta.version
                && meta.check("snapshot.json", bytes).is_ok()
                && self.check_expiry("snapshot", snapshot.head).is_ok();
            if current {
                return Ok(snapshot.clone());
            }
        }
        let name = versioned("snapshot", meta.version, root.consistent_snapshot);
        let bytes = self.fetch(&name, limit(meta, MAX_SNAPSHOT_BYTES)).await?;
        // The hash before anything in it is looked at.
        meta.check(&name, &bytes)?;
        let new = read(&bytes)?;
        same_version("snapshot", meta.version, new.head.version)?;
        if let Some((kept, _)) = &kept {
            for (file, old) in &kept.meta {
                let role = file.strip_suffix(".json").unwrap_or(file);
                let now = new
                    .meta
                    .get(file)
                    .ok_or_else(|| TufError::RoleRemoved { role: short(role) })?;
                no_rollback(role, old.version, now.version)?;
            }
        }
        self.check_expiry("snapshot", new.head)?;
        self.store.put_metadata("snapshot", &bytes)?;
        Ok(new)
    }

    /// 5.6, for the top-level role and delegated ones: what is kept is used if it is what the snapshot announces and
    /// signed for whoever delegates here.
    async fn targets(
        &self,
        role: &str,
        meta: &MetaFile,
        consistent: bool,
        signed: impl Fn(&Envelope) -> Result<(), TufError>,
    ) -> Result<Targets, TufError> {
        let name = versioned(role, meta.version, consistent);
        let read = |bytes: &[u8]| {
            meta.check(&name, bytes)?;
            let envelope = Envelope::read(role, bytes, MAX_TARGETS_BYTES)?;
            signed(&envelope)?;
            let targets = Targets::read(role, &envelope)?;
            same_version(role, meta.version, targets.head.version)?;
            self.check_expiry(role, targets.head)?;
            Ok::<Targets, TufError>(targets)
        };
        if let Some(targets) = self.store.metadata(role).and_then(|bytes| read(&bytes).ok()) {
            return Ok(targets);
        }
        let bytes = self.fetch(&name, limit(meta, MAX_TARGETS_BYTES)).await?;
        let targets = read(&bytes)?;
        self.store.put_metadata(role, &bytes)?;
        Ok(targets)
    }

    /// 5.6.7: looks for a target through the delegations, the first role before the second and its delegates before
    /// its siblings. Roles are asked in the order in which they are written (CVE-2024-47534), each once.
    pub async fn find(&self, trusted: &Trusted, path: &str) -> Result<TargetFile, TufError> {
        let mut visited: HashSet<String> = HashSet::new();
        let mut left: Vec<(String, Arc<Targets>)> = Vec::new();
        let mut asked = Arc::clone(&trusted.targets);
        loop {
            if let Some(target) = asked.targets.get(path) {
                return Ok(target.clone());
            }
            let mut children = Vec::new();
            for (name, terminating) in asked.roles_for(path) {
                children.push((name, Arc::clone(&asked)));
                if terminating {
                    left.clear();
                    break;
                }
            }
            left.extend(children.into_iter().rev());
            let (name, delegator) = loop {
                let next = left.pop().ok_or_else(|| TufError::NoTarget { path: short(path) })?;
                if visited.insert(next.0.clone()) {
                    break next;
                }
            };
            if visited.len() > MAX_DELEGATIONS {
                return Err(TufError::TooManyRoles {
                    path: short(path),
                    limit: MAX_DELEGATIONS,
                });
            }
            let meta = trusted.snapshot.role(&name)?;
            let signed = |envelope: &Envelope| delegator.check(&name, envelope);
            let targets = self
                .targets(&name, meta, trusted.root.consistent_snapshot, signed)
                .await?;
            asked = Arc::new(targets);
        }
    }

    /// 5.7: the bytes of a target, `kept` being those that the caller has already, if any.
    pub async fn target(
        &self,
        trusted: &Trusted,
        path: &str,
        kept: Option<Vec<u8>>,
        limit: u64,
    ) -> Result<Vec<u8>, TufError> {
        let (_, bytes) = self.addressed_target(trusted, path, kept, limit).await?;
        Ok(bytes)
    }

    /// The same with the address below the targets of a mirror.
    pub(crate) async fn addressed_target(
        &self,
        trusted: &Trusted,
        path: &str,
        kept: Option<Vec<u8>>,
        limit: u64,
    ) -> Result<(String, Vec<u8>), TufError> {
        let target = self.find(trusted, path).await?;
        if target.length > limit {
            return Err(TufError::TargetTooLarge {
                path: short(path),
                limit,
                seen: target.length,
            });
        }
        let hash = target.name_hash(path)?;
        let address = target_address(path, trusted.root.consistent_snapshot.then_some(hash))?;
        if let Some(kept) = kept.filter(|kept| target.check(path, kept).is_ok()) {
            return Ok((address, kept));
        }
        let bytes = self.repository.target(&address, target.length).await?;
        let bytes = bytes.ok_or_else(|| TufError::Missing { file: address.clone() })?;
        target.check(path, &bytes)?;
        Ok((address, bytes))
    }

    /// The metadata that was accepted, under the names that a mirror has it under: every root that is kept, so that the
    /// copy follows from whichever root a program begins with, and of delegated roles those that were asked.
    pub(crate) fn files(&self, trusted: &Trusted) -> Result<BTreeMap<String, Vec<u8>>, TufError> {
        let mut files = BTreeMap::new();
        let kept = |role: &str| {
            let missing = || TufError::Missing { file: short(role) };
            self.store.metadata(role).ok_or_else(missing)
        };
        let consistent = trusted.root.consistent_snapshot;
        let last = trusted.root.head.version;
        for version in last.saturating_sub(MAX_ROOT_ROTATIONS).max(1)..=last {
            if let Some(bytes) = self.store.root(version) {
                files.insert(format!("{version}.root.json"), bytes);
            }
        }
        files.insert("timestamp.json".to_owned(), kept("timestamp")?);
        let snapshot = versioned("snapshot", trusted.snapshot.head.version, consistent);
        files.insert(snapshot, kept("snapshot")?);
        let targets = versioned("targets", trusted.targets.head.version, consistent);
        files.insert(targets, kept("targets")?);
        for (file, meta) in &trusted.snapshot.meta {
            let role = file.strip_suffix(".json").unwrap_or(file);
            if let Some(bytes) = self.store.metadata(role).filter(|_| !TOP_LEVEL.contains(&role)) {
                files.insert(versioned(role, meta.version, consistent), bytes);
            }
        }
        Ok(files)
    }

    async fn fetch(&self, name: &str, limit: u64) -> Result<Vec<u8>, TufError> {
        self.repository
            .metadata(name, limit)
            .await?
            .ok_or_else(|| TufError::Missing { file: name.to_owned() })
    }

    /// Metadata is good until its expiry, not at it (5.3.10).
    fn check_expiry(&self, role: &str, head: Head) -> Result<(), TufError> {
        if head.expires > self.now || self.expiry == Expiry::Waived {
            return Ok(());
        }
        Err(TufError::Expired {
            role: short(role),
            expires: head.expires,
            now: self.now,
        })
    }
}

/// 5.3.4 and 5.3.5: signed by enough keys of the root before and of its own, and one version on.
fn follow(before: &Root, bytes: &[u8]) -> Result<Root, TufError> {
    let envelope = Envelope::read("root", bytes, MAX_ROOT_BYTES)?;
    before.check("root", &envelope)?;
    let root = Root::read(&envelope)?;
    root.check("root", &envelope)?;
    same_version("root", before.head.version.saturating_add(1), root.head.version)?;
    Ok(root)
}

fn no_rollback(role: &str, trusted: u64, seen: u64) -> Result<(), TufError> {
    if seen >= trusted {
        return Ok(());
    }
    Err(TufError::Rollback {
        role: short(role),
        trusted,
        seen,
    })
}

fn same_version(role: &str, expected: u64, seen: u64) -> Result<(), TufError> {
    if seen == expected {
        return Ok(());
    }
    Err(TufError::Version {
        role: short(role),
        expected,
        seen,
    })
}

fn versioned(role: &str, version: u64, consistent: bool) -> String {
    let role = segment(role);
    if consistent {
        format!("{version}.{role}.json")
    } else {
        format!("{role}.json")
    }
}

fn limit(meta: &MetaFile, most: u64) -> u64 {
    meta.length.map_or(most, |length| length.min(most))
}
