//! What decisions rest on: the policies (from disk, from the cluster, or both) and the trust root, compiled once, swapped
//! whole.
//!
//! A set that does not compile never replaces one that does: the old one stays in force, and that is said in the log,
//! in a metric and by `/readyz`. Keys that policies name by where they live are opened with them, and again from time to
//! time; one that cannot be opened is a set that does not compile. Nothing here is read on the path of a request.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use proofmark_policy::{KeyAnswers, KeyPlaces, Mode, NoMatch, PolicyError, PolicySet};
use proofmark_trust_root::{Document, HomeError, TRUSTED_ROOT};
use proofmark_types::{Digest, Hasher, UnixTime};
use proofmark_verify::{TrustRoot, TrustRootError, Verifier};
use thiserror::Error;

use crate::cluster::policies::PolicyObjects;
use crate::config::{OpenKeys, TrustSource};

/// The most files of a policy folder; a cluster with a policy a team has some hundred.
const MAX_POLICY_FILES: usize = 1000;

/// The largest policy file: a Kubernetes object has at most 1.5 MiB (etcd's request limit).
const MAX_POLICY_BYTES: u64 = 2 * 1024 * 1024;

/// All policy files together; they are kept compiled, and read again at every look.
const MAX_POLICIES_BYTES: usize = 32 * 1024 * 1024;

/// The largest trusted root; the public one has 7 KiB.
const MAX_TRUST_ROOT_BYTES: u64 = 4 * 1024 * 1024;

/// Where policies and trust root are.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) policies: Option<PathBuf>,
    /// The policies that are objects of the cluster; they and those of the folder are one set.
    pub(crate) cluster: Option<Arc<PolicyObjects>>,
    pub(crate) no_match: NoMatch,
    pub(crate) trust_root: Option<TrustSource>,
    /// Opens keys that policies name by where they live.
    pub(crate) open_keys: Option<OpenKeys>,
    /// How often they are opened again, and when after a failure.
    pub(crate) keys: Duration,
    pub(crate) keys_retry: Duration,
}

/// One generation of policies and trust anchors; immutable.
pub(crate) struct Basis {
    pub(crate) policies: PolicySet,
    pub(crate) verifier: Verifier,
    /// Of the trust root and of every key that policies name: proofs made under another generation are not used.
    pub(crate) generation: Digest,
    /// Whether policies name keys by where they live.
    pub(crate) names_keys: bool,
    /// How many policies there are.
    pub(crate) number: usize,
    /// Whether some image may be refused at all: not while every rule only warns or records.
    pub(crate) enforces: bool,
    /// The policies of the cluster are not known yet: nothing is let run, and this replica is not ready.
    pub(crate) closed: bool,
}

/// Why policies or the trust root cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BasisError {
    /// The folder or a file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file, or all together, is past a limit of this module.
    #[error("{path}: {what} is past the limit of {limit}")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The cluster has not said what its policies are.
    #[error("the policies of the cluster are not known: {reason}")]
    Cluster {
        /// Which, and why.
        reason: String,
    },
    /// A policy does not compile.
    #[error("the policies in {path} do not compile: {source}")]
    Policies {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: Box<PolicyError>,
    },
    /// A key that a policy names by where it lives could not be opened.
    #[error("the policies in {path} cannot be used: {source}")]
    Keys {
        /// The folder.
        path: PathBuf,
        /// Which policy, which key, and why.
        source: Box<PolicyError>,
    },
    /// The trust root does not parse.
    #[error("the trust root ({origin}) does not parse: {source}")]
    TrustRoot {
        /// Where it is from.
        origin: String,
        /// Why.
        source: TrustRootError,
    },
    /// What this machine keeps of the trust repository is not believed, or cannot be read.
    #[error("the trust root that is kept here cannot be used: {source}")]
    TrustKept {
        /// Why.
        source: Box<HomeError>,
    },
    /// Nothing was ever fetched of the trust repository.
    #[error("nothing of {mirror} is kept on this machine")]
    TrustAbsent {
        /// Its mirror.
        mirror: String,
    },
}

impl BasisError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "policies-unreadable",
            Self::TooLarge { .. } => "policies-too-large",
            Self::Cluster { .. } => "policies-cluster-unknown",
            Self::Policies { .. } => "policies-do-not-compile",
            Self::Keys { .. } => "policy-keys-unresolved",
            Self::TrustRoot { .. } => "trust-root-malformed",
            Self::TrustKept { source } => source.code(),
            Self::TrustAbsent { .. } => "trust-not-initialized",
        }
    }

    /// The file, or the object as a file, that is to blame.
    pub(crate) fn file(&self) -> Option<&str> {
        match self {
            Self::Policies { source, .. } | Self::Keys { source, .. } => Some(&source.place().file),
            _ => None,
        }
    }
}

/// What a look at the disk found.
#[derive(Debug)]
pub(crate) enum Looked {
    /// The same bytes as at the last look.
    Unchanged,
    /// New policies are in force.
    Replaced,
    /// The new ones are not usable; the old ones stay.
    Kept(BasisError),
}

/// Where the trust root in force is from, and how old it is.
#[derive(Clone)]
pub(crate) struct TrustFacts {
    /// In words.
    pub(crate) description: String,
    /// When the file was written, or the copy known to be the newest.
    pub(crate) since: Option<UnixTime>,
    /// What knows how old it may be; of a file nobody does.
    document: Option<Document>,
}

impl TrustFacts {
    /// Why it is too old to be relied on without a thought.
    pub(crate) fn staleness(&self, now: UnixTime) -> Option<String> {
        self.document.as_ref()?.staleness(now)
    }
}

/// Keeps the basis up to date.
pub(crate) struct Keeper {
    sources: Sources,
    current: RwLock<Arc<Basis>>,
    /// Apart from the basis: a refresh that changes nothing but the age makes no new generation.
    trust: RwLock<Option<TrustFacts>>,
    looked: Mutex<LastLook>,
    /// Apart from `looked`, which is locked while keys are opened.
    failure: RwLock<Option<Failure>>,
}

/// Why what was read last is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) code: &'static str,
    /// The file, or the object as a file, that is to blame; none when no single one is.
    pub(crate) file: Option<String>,
}

struct LastLook {
    content: Option<Digest>,
    /// When keys are to be opened again although the files are the same; `None` while no policy names any.
    keys_due: Option<Instant>,
}

impl Keeper {
    /// Reads and compiles for the first time; without a basis there is nothing to fall back to.
    ///
    /// Policies of a cluster may become usable at any time, without anybody starting this process anew: until then
    /// nothing is let run.
    pub(crate) fn open(sources: Sources) -> Result<Self, BasisError> {
        let compiled = Raw::read(&sources).and_then(|read| Ok((read.compile(&sources)?, read)));
        let (basis, read) = match compiled {
            Ok(compiled) => compiled,
            Err(error) if sources.cluster.is_some() && error.may_pass() => return Ok(Self::closed(sources, &error)),
            Err(error) => return Err(error),
        };
        let keys_due = basis.names_keys.then(|| Instant::now() + sources.keys);
        Ok(Self {
            sources,
            current: RwLock::new(Arc::new(basis)),
            trust: RwLock::new(read.trust_root.as_ref().map(|root| root.facts.clone())),
            looked: Mutex::new(LastLook {
                content: Some(read.content()),
                keys_due,
            }),
            failure: RwLock::new(None),
        })
    }

    fn closed(sources: Sources, error: &BasisError) -> Self {
        let basis = Basis {
            policies: PolicySet::empty(),
            verifier: Verifier::new(),
            generation: Hasher::sha256().finish(),
            names_keys: false,
            number: 0,
            enforces: true,
            closed: true,
        };
        Self {
            sources,
            current: RwLock::new(Arc::new(basis)),
            trust: RwLock::new(None),
            looked: Mutex::new(LastLook {
                content: None,
                keys_due: None,
            }),
            failure: RwLock::new(Some(Failure::of(error))),
        }
    }

    /// The generation in force. A request takes it once and keeps it to its end.
    pub(crate) fn current(&self) -> Arc<Basis> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why what was read last is not in force; `None` when it is.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the trust root in force is from, if there is one.
    pub(crate) fn trust(&self) -> Option<TrustFacts> {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trust(&self, read: &Raw) {
        let facts = read.trust_root.as_ref().map(|root| root.facts.clone());
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = facts;
    }

    fn set_failure(&self, failure: Option<Failure>) {
        *self.failure.write().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Looks at the disk again. Blocking.
    pub(crate) fn look(&self) -> Looked {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = Raw::read(&self.sources).and_then(|read| {
            let content = Some(read.content());
            let same = looked.content == content;
            if same && looked.keys_due.is_none_or(|due| Instant::now() < due) {
                // Those that do not compile are the same as before, too: their trust root is not in force.
                if self.failure().is_none() {
                    self.set_trust(&read);
                }
                return Ok(None);
            }
            looked.content = content;
            looked.keys_due = None;
            let basis = read.compile(&self.sources)?;
            self.set_trust(&read);
            looked.keys_due = basis.names_keys.then(|| Instant::now() + self.sources.keys);
            // The files are those of the generation in force, and the keys too: nothing is new.
            if same && self.failure().is_none() && basis.generation == self.current().generation {
                return Ok(None);
            }
            Ok(Some(basis))
        });
        if let Err(BasisError::Keys { .. }) = &outcome {
            looked.keys_due = Some(Instant::now() + self.sources.keys_retry);
        }
        match outcome {
            // A file that could not be read for a moment, and is unchanged now, is no failure any more; a set that
            // does not compile is remembered by its content and stays one.
            Ok(None) => Looked::Unchanged,
            Ok(Some(basis)) => {
                self.set_failure(None);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(basis);
                Looked::Replaced
            }
            Err(error) => {
                let failure = Failure::of(&error);
                if self.failure().as_ref() == Some(&failure) {
                    return Looked::Unchanged;
                }
                if matches!(
                    error,
                    BasisError::Read { .. }
                        | BasisError::Cluster { .. }
                        | BasisError::TooLarge { .. }
                        | BasisError::TrustKept { .. }
                        | BasisError::TrustAbsent { .. }
                ) {
                    looked.content = None;
                }
                self.set_failure(Some(failure));
                Looked::Kept(error)
            }
        }
    }
}

impl Failure {
    fn of(error: &BasisError) -> Self {
        Self {
            text: with_causes(error),
            code: error.code(),
            file: error.file().map(str::to_owned),
        }
    }
}

impl BasisError {
    /// Whether what somebody writes to the cluster can make it go away.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Cluster { .. } | Self::Policies { .. } | Self::Keys { .. })
    }
}

/// The bytes on disk, bounded.
struct Raw {
    policies: Vec<(String, Vec<u8>)>,
    trust_root: Option<RawTrust>,
}

struct RawTrust {
    bytes: Vec<u8>,
    facts: TrustFacts,
}

impl RawTrust {
    fn read(source: &TrustSource) -> Result<Self, BasisError> {
        match source {
            TrustSource::File(path) => {
                let bytes = read_file(path, MAX_TRUST_ROOT_BYTES)?;
                let written = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
                let facts = TrustFacts {
                    description: format!("the file {}", path.display()),
                    since: written.map(UnixTime::from_system),
                    document: None,
                };
                Ok(Self { bytes, facts })
            }
            TrustSource::Kept(kept) => {
                let place = &kept.place;
                let document = place.document(TRUSTED_ROOT).map_err(|error| BasisError::TrustKept {
                    source: Box::new(error),
                })?;
                let document = document.ok_or_else(|| BasisError::TrustAbsent {
                    mirror: place.mirror().to_owned(),
                })?;
                let facts = TrustFacts {
                    description: document.description(),
                    since: Some(document.since),
                    document: Some(document.clone()),
                };
                let bytes = document.bytes.into_owned();
                Ok(Self { bytes, facts })
            }
        }
    }
}

impl Raw {
    fn read(sources: &Sources) -> Result<Self, BasisError> {
        let mut policies = match &sources.policies {
            Some(folder) => read_folder(folder)?,
            None => Vec::new(),
        };
        if let Some(cluster) = &sources.cluster {
            policies.extend(cluster.files().map_err(|reason| BasisError::Cluster { reason })?);
        }
        let trust_root = sources.trust_root.as_ref().map(RawTrust::read).transpose()?;
        Ok(Self { policies, trust_root })
    }

    fn content(&self) -> Digest {
        let mut hasher = Hasher::sha256();
        let mut add = |bytes: &[u8]| {
            hasher.update(&bytes.len().to_be_bytes());
            hasher.update(bytes);
        };
        for (name, bytes) in &self.policies {
            add(name.as_bytes());
            add(bytes);
        }
        if let Some(root) = &self.trust_root {
            add(&root.bytes);
        }
        hasher.finish()
    }

    fn compile(&self, sources: &Sources) -> Result<Basis, BasisError> {
        let files: Vec<(&str, &[u8])> = self
            .policies
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        let unusable = |source: PolicyError| {
            let folder = || PathBuf::from("the cluster");
            let path = sources.policies.clone().unwrap_or_else(folder);
            let source = Box::new(source);
            match *source {
                PolicyError::KeyUnresolved { .. } => BasisError::Keys { path, source },
                _ => BasisError::Policies { path, source },
            }
        };
        // The folder is usually a ConfigMap: its policies do not read this machine's files or variables.
        let draft = PolicySet::read(&files, KeyPlaces::Cluster).map_err(unusable)?;
        let answers = match (&sources.open_keys, draft.key_references()) {
            (None, _) | (_, []) => KeyAnswers::new(),
            (Some(open), references) => open(references),
        };
        let policies = draft.with_keys(&answers).map_err(unusable)?;
        let policies = policies.with_no_match(sources.no_match);
        let mut verifier = Verifier::new();
        let mut hasher = Hasher::sha256();
        for key in policies.verification_keys() {
            hasher.update(key.fingerprint().to_string().as_bytes());
            verifier = verifier.with_key(key);
        }
        if let Some(RawTrust { bytes, facts }) = &self.trust_root {
            let root = TrustRoot::parse(bytes).map_err(|source| BasisError::TrustRoot {
                origin: facts.description.clone(),
                source,
            })?;
            hasher.update(b"trust root");
            hasher.update(bytes);
            verifier = verifier.with_trust_root(Arc::new(root));
        }
        let summaries = policies.summaries();
        let mut modes = summaries
            .iter()
            .flat_map(|summary| &summary.rules)
            .map(|(_, mode)| *mode);
        Ok(Basis {
            names_keys: !policies.named_keys().is_empty(),
            number: summaries.len(),
            enforces: policies.no_match() == NoMatch::Deny || modes.any(|mode| mode == Mode::Enforce),
            policies,
            verifier,
            generation: hasher.finish(),
            closed: false,
        })
    }
}

/// Policy files in the order of their names. A mounted ConfigMap has links to files and hidden folders.
fn read_folder(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, BasisError> {
    let unreadable = |source| BasisError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    let mut total = 0;
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let extension = path.extension().and_then(|extension| extension.to_str());
        if name.starts_with('.') || !matches!(extension, Some("yaml" | "yml" | "json")) {
            continue;
        }
        if files.len() == MAX_POLICY_FILES {
            return Err(too_large(folder, "the number of files", MAX_POLICY_FILES));
        }
        let bytes = read_file(&path, MAX_POLICY_BYTES)?;
        total += bytes.len();
        if total > MAX_POLICIES_BYTES {
            return Err(too_large(folder, "the size of all files", MAX_POLICIES_BYTES));
        }
        files.push((name.to_owned(), bytes));
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, BasisError> {
    let unreadable = |source| BasisError::Read {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(BasisError::TooLarge {
            path: path.to_owned(),
            what: "the size in bytes",
            limit,
        });
    }
    Ok(bytes)
}

fn too_large(path: &Path, what: &'static str, limit: usize) -> BasisError {
    BasisError::TooLarge {
        path: path.to_owned(),
        what,
        limit: limit as u64,
    }
}

/// An error with its sources, for a log line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
