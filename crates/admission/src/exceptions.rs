//! Exceptions: one digest that may run for some days although a policy says no, because somebody answers for it.
//!
//! An exception names the digest, who answers, why, and until when, at most [`MAX_LIFE`] after it was issued. It is never
//! silent: every use is a warning to whoever applied the object, a line in the log, an audit annotation and a metric. One that
//! is not understood whole is not in force, which errs on the side of denying, and does not keep the others from being
//! in force: they are what an incident hangs on. [`queue`] is where denied images wait for somebody to approve them.

pub(crate) mod queue;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use proofmark_policy::{Decision, DecisionReason, Mode, Outcome};
use proofmark_types::{Digest, Hasher, UnixTime};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::{one_line, shortened};

/// The longest that an exception lasts. What needs longer is a policy.
pub const MAX_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// `apiVersion` and `kind` of an exception.
pub(crate) const API_VERSION: &str = "proofmark.dev/v1alpha1";
pub(crate) const KIND: &str = "ImageException";

/// Files read; an incident has a handful.
const MAX_FILES: usize = 1000;

/// The largest file: some fields and a reason.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The longest owner or reason, in bytes.
const MAX_TEXT: usize = 1000;

/// How far ahead of this clock an exception may have been issued.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// One exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exception {
    /// Its name, for reports.
    #[serde(skip)]
    pub name: String,
    /// The image; any repository that has it.
    pub digest: Digest,
    /// Namespaces in which it holds, `*` at the end for every name that begins so; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Policies that it overrides; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// From when on.
    pub issued: UnixTime,
    /// Until when.
    pub expires: UnixTime,
    /// Who approved it, where that was somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Whose request was denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Exception,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    name: String,
}

/// Why a file is no exception that can be in force.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExceptionError {
    /// It cannot be read, or is larger than an exception is.
    #[error("it cannot be read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
    /// Not a document of this kind, or a field is missing, unknown or of another type.
    #[error("it is no {KIND} of {API_VERSION}: {reason}")]
    Malformed {
        /// Why.
        reason: String,
    },
    /// A field that says nothing, or too much.
    #[error("{field} must be said, in at most {MAX_TEXT} bytes on one line")]
    Text {
        /// Which.
        field: &'static str,
    },
    /// It ends before it begins.
    #[error("it expires at {expires}, which is not after {issued}, when it was issued")]
    Order {
        /// From when on.
        issued: UnixTime,
        /// Until when.
        expires: UnixTime,
    },
    /// It lasts longer than an exception may.
    #[error("it lasts {hours} hours; at most {most} are accepted", most = MAX_LIFE.as_secs() / 3600)]
    TooLong {
        /// How long.
        hours: u64,
    },
}

impl ExceptionError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "exception-unreadable",
            Self::Malformed { .. } => "exception-malformed",
            Self::Text { .. } => "exception-incomplete",
            Self::Order { .. } => "exception-order",
            Self::TooLong { .. } => "exception-too-long",
        }
    }
}

impl Exception {
    /// Reads one document, YAML or JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, ExceptionError> {
        let malformed = |reason: String| ExceptionError::Malformed {
            reason: shortened(&one_line(&reason), 300),
        };
        let text = std::str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: 8, max_documents: 1, max_nodes: 500 },
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
            strict_booleans: true,
            with_snippet: false,
        };
        let document: Document =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| malformed(error.to_string()))?;
        if document.api_version != API_VERSION || document.kind != KIND {
            return Err(malformed(format!(
                "it is {} of {}",
                document.kind, document.api_version
            )));
        }
        let exception = Self {
            name: document.metadata.name,
            ..document.spec
        };
        exception.check()?;
        Ok(exception)
    }

    /// The document, as it is kept.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: Metadata {
                name: self.name.clone(),
            },
            spec: self.clone(),
        };
        // Strings, lists of strings and times cannot fail to serialize.
        serde_json::to_vec_pretty(&document).unwrap_or_default()
    }

    pub(crate) fn check(&self) -> Result<(), ExceptionError> {
        let texts = [
            ("metadata.name", Some(&self.name)),
            ("owner", Some(&self.owner)),
            ("reason", Some(&self.reason)),
            ("approvedBy", self.approved_by.as_ref()),
            ("requestedBy", self.requested_by.as_ref()),
        ];
        for (field, text) in texts {
            let said = |text: &String| {
                !text.trim().is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
            };
            if !text.is_none_or(said) {
                return Err(ExceptionError::Text { field });
            }
        }
        if self.namespaces.iter().any(|name| name.trim_end_matches('*').is_empty()) {
            return Err(ExceptionError::Text { field: "namespaces" });
        }
        if self.expires <= self.issued {
            return Err(ExceptionError::Order {
                issued: self.issued,
                expires: self.expires,
            });
        }
        let life = self.expires.since(self.issued);
        if life > MAX_LIFE {
            let hours = life.as_secs().div_ceil(3600);
            return Err(ExceptionError::TooLong { hours });
        }
        Ok(())
    }

    /// Whether it is in force at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: UnixTime) -> bool {
        self.issued <= now.plus(CLOCK_SKEW) && now < self.expires
    }

    /// Whether it holds for this digest, there, against these policies.
    fn covers<'d>(
        &self,
        digest: &Digest,
        namespace: Option<&str>,
        mut denials: impl Iterator<Item = &'d DecisionReason>,
    ) -> bool {
        let there = self.namespaces.is_empty()
            || namespace.is_some_and(|namespace| self.namespaces.iter().any(|pattern| matches(pattern, namespace)));
        self.digest == *digest
            && there
            && (self.policies.is_empty() || denials.all(|reason| self.policies.contains(&reason.policy)))
    }

    /// What is said of its use.
    pub(crate) fn notice(&self, image: &str, decision: &Decision) -> String {
        let mut codes: Vec<&str> = decision.denials().map(|reason| reason.code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        format!(
            "{image} runs by exception {} of {} until {} ({}); without it: {}",
            self.name,
            self.owner,
            self.expires,
            shortened(&self.reason, 80),
            codes.join(", ")
        )
    }
}

/// A namespace, or every one that begins so.
pub(crate) fn matches(pattern: &str, namespace: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => namespace.starts_with(start),
        None => pattern == namespace,
    }
}

/// A folder of exceptions as it was last looked at.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    /// Those that were understood, in force or not.
    pub exceptions: Vec<Arc<Exception>>,
    /// Files that are no exceptions, with why.
    pub refused: Vec<(String, ExceptionError)>,
}

impl Exceptions {
    /// Reads every `.yaml`, `.yml` and `.json` file of the folder. Blocking.
    pub fn read(folder: &Path) -> std::io::Result<Self> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            if [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        let mut read = Self::default();
        for name in names {
            let parsed = if read.exceptions.len() + read.refused.len() < MAX_FILES {
                read_file(&folder.join(&name)).and_then(|bytes| Exception::parse(&bytes))
            } else {
                Err(ExceptionError::Unreadable {
                    reason: format!("there are more than {MAX_FILES} files"),
                })
            };
            match parsed {
                Ok(exception) => read.exceptions.push(Arc::new(exception)),
                Err(error) => read.refused.push((name, error)),
            }
        }
        Ok(read)
    }

    /// The one that lets the image run, if there is one: that which ends last.
    pub(crate) fn find(
        &self,
        digest: &Digest,
        namespace: Option<&str>,
        decision: &Decision,
        now: UnixTime,
    ) -> Option<Arc<Exception>> {
        let candidates = self
            .exceptions
            .iter()
            .filter(|exception| exception.is_in_force(now) && exception.covers(digest, namespace, decision.denials()));
        candidates.max_by_key(|exception| exception.expires).cloned()
    }

    fn fingerprint(&self) -> Digest {
        let mut hasher = Hasher::sha256();
        for exception in &self.exceptions {
            hasher.update(&exception.to_json());
        }
        for (name, error) in &self.refused {
            hasher.update(format!("{name}: {error}").as_bytes());
        }
        hasher.finish()
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, ExceptionError> {
    let unreadable = |error: std::io::Error| ExceptionError::Unreadable {
        reason: error.to_string(),
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ExceptionError::Unreadable {
            reason: format!("it has more than {MAX_FILE_BYTES} bytes"),
        });
    }
    Ok(bytes)
}

/// The exceptions of a running webhook, looked at with the policies.
#[derive(Default)]
pub(crate) struct Watched {
    folder: Option<PathBuf>,
    current: RwLock<Arc<Exceptions>>,
    seen: Mutex<Option<Digest>>,
}

impl Watched {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        let watched = Self {
            folder,
            ..Self::default()
        };
        watched.look();
        watched
    }

    pub(crate) fn current(&self) -> Arc<Exceptions> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the folder again. Blocking. A folder that cannot be read has no exceptions: nothing runs by one that
    /// nobody can show.
    pub(crate) fn look(&self) {
        let Some(folder) = &self.folder else { return };
        let read = Exceptions::read(folder).unwrap_or_else(|error| {
            let reason = error.to_string();
            let refused = vec![(folder.display().to_string(), ExceptionError::Unreadable { reason })];
            Exceptions {
                refused,
                ..Exceptions::default()
            }
        });
        let fingerprint = read.fingerprint();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref() == Some(&fingerprint) {
            return;
        }
        for (file, error) in &read.refused {
            tracing::error!(file, code = error.code(), %error, "an exception is not in force");
        }
        tracing::info!(
            exceptions = read.exceptions.len(),
            refused = read.refused.len(),
            "exceptions read"
        );
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
        *seen = Some(fingerprint);
    }
}

/// Lets the image run: what would have denied it becomes what is said about it.
pub(crate) fn excuse(decision: &mut Decision, exception: &Exception, image: &str) {
    let notice = exception.notice(image, decision);
    decision.outcome = Outcome::Pass;
    decision.warnings.insert(0, notice);
}

/// The same decision where the operator has set how strictly a namespace is held, whatever its policies say.
///
/// A decision that gives no reason was never made, and stays what it is.
pub(crate) fn with_mode(decision: &mut Decision, mode: Mode) {
    if decision.reasons.is_empty() {
        return;
    }
    for reason in &mut decision.reasons {
        if reason.mode == mode {
            continue;
        }
        let before = reason.to_string();
        decision.warnings.retain(|warning| *warning != before);
        reason.mode = mode;
        match mode {
            Mode::Enforce => {}
            Mode::Warn => decision.warnings.push(before),
            Mode::Audit => {
                let entry = decision.audit.entry(format!("{}.{}", reason.policy, reason.rule));
                let entry = entry.or_default();
                if !entry.is_empty() {
                    entry.push_str("; ");
                }
                entry.push_str(&format!("{} [{}]", reason.message, reason.code));
            }
        }
    }
    decision.outcome = match mode {
        Mode::Enforce if decision.reasons.iter().all(|reason| reason.undecided) => Outcome::Undecided,
        Mode::Enforce => Outcome::Fail,
        Mode::Warn | Mode::Audit => Outcome::Pass,
    };
}

#[cfg(test)]
mod tests;
