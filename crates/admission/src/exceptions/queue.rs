//! Denied images that wait for somebody to approve them: one file each, which the webhook writes and a person reads.
//!
//! Approving makes an exception; it is somebody else who approves than the one whose request was denied, where that is
//! known. Who can write the folder of exceptions can approve: its owner decides who that is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proofmark_types::{Digest, Hasher, UnixTime};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::mpsc;

use super::{Exception, ExceptionError, MAX_FILE_BYTES, MAX_LIFE};
use crate::text::{one_line, shortened};

/// Images that wait; past this the one that was asked for the longest ago goes.
const MAX_WAITING: usize = 1000;

/// Denials on the way to the disk; what comes while so many are is not queued, and will be when it is denied again.
const MAX_UNDER_WAY: usize = 256;

/// The longest text of an entry.
const MAX_TEXT: usize = 300;

const EXTENSION: &str = "json";

/// A denied image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// What it is approved by.
    pub id: String,
    /// The image as it was written.
    pub image: String,
    /// What it stands for.
    pub digest: Digest,
    /// Where it was to run.
    pub namespace: Option<String>,
    /// The object that named it last.
    pub object: String,
    /// Whose request was denied last.
    pub requested_by: String,
    /// The policies that denied it.
    pub policies: Vec<String>,
    /// Why, in stable words.
    pub codes: Vec<String>,
    /// When it was first denied, and last.
    pub first: UnixTime,
    /// When it was denied last.
    pub last: UnixTime,
    /// How often.
    pub times: u64,
}

impl Waiting {
    pub(crate) fn name(digest: &Digest, namespace: Option<&str>) -> String {
        let mut hasher = Hasher::sha256();
        hasher.update(digest.to_string().as_bytes());
        hasher.update(b"\n");
        hasher.update(namespace.unwrap_or_default().as_bytes());
        hasher.finish().hex().chars().take(12).collect()
    }
}

/// Everything that waits, the last denied first. Blocking.
pub fn waiting(folder: &Path) -> std::io::Result<Vec<Waiting>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(waiting) = read(&path)
        {
            found.push(waiting);
        }
    }
    found.sort_by(|one: &Waiting, other| other.last.cmp(&one.last).then_with(|| one.id.cmp(&other.id)));
    Ok(found)
}

fn read(path: &Path) -> Option<Waiting> {
    if fs::metadata(path).ok()?.len() > MAX_FILE_BYTES {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// What somebody says who approves.
#[derive(Clone, Debug)]
pub struct Approval {
    /// Who approves.
    pub approver: String,
    /// Who answers for it; the approver where nobody else is named.
    pub owner: Option<String>,
    /// Why.
    pub reason: String,
    /// For how long.
    pub lasts: Duration,
}

/// Why an image is not approved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApprovalError {
    /// Nothing waits under this id.
    #[error("nothing waits under \"{id}\"")]
    Unknown {
        /// The id.
        id: String,
    },
    /// The one whose request was denied approves it.
    #[error("{approver} asked for it, and somebody else has to approve it")]
    Own {
        /// Who.
        approver: String,
    },
    /// It would be no valid exception.
    #[error("the exception would not hold: {0}")]
    Exception(#[from] ExceptionError),
    /// A file or a folder cannot be used.
    #[error("cannot write {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl ApprovalError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "queue-entry-unknown",
            Self::Own { .. } => "approver-is-requester",
            Self::Exception(error) => error.code(),
            Self::File { .. } => "file-unwritable",
        }
    }
}

/// Approves what waits under `id`: makes the exception that says who, why and until when, and takes the image out of the
/// queue. Blocking.
pub fn approve(
    queue: &Path,
    exceptions: &Path,
    id: &str,
    approval: Approval,
    now: UnixTime,
) -> Result<(Exception, PathBuf), ApprovalError> {
    let unknown = || ApprovalError::Unknown { id: id.to_owned() };
    // An id is hexadecimal: it cannot name a file elsewhere.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let entry = queue.join(format!("{id}.{EXTENSION}"));
    let waiting = read(&entry).ok_or_else(unknown)?;
    if approval.approver.trim() == waiting.requested_by {
        return Err(ApprovalError::Own {
            approver: approval.approver,
        });
    }
    let exception = Exception {
        name: format!("approved-{id}-{}", now.seconds()),
        digest: waiting.digest,
        namespaces: waiting.namespace.into_iter().collect(),
        policies: waiting.policies,
        owner: approval.owner.unwrap_or_else(|| approval.approver.clone()),
        reason: approval.reason,
        issued: now,
        expires: now.plus(approval.lasts.min(MAX_LIFE + Duration::from_secs(1))),
        approved_by: Some(approval.approver),
        requested_by: Some(waiting.requested_by),
    };
    exception.check()?;
    let path = exceptions.join(format!("{}.{EXTENSION}", exception.name));
    write(&path, &exception.to_json()).map_err(|source| ApprovalError::File {
        path: path.clone(),
        source,
    })?;
    match fs::remove_file(&entry) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(ApprovalError::File { path: entry, source }),
    }
    Ok((exception, path))
}

/// There whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("part");
    crate::kept::write_private(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

/// The queue of a running webhook.
pub(crate) struct Queue {
    sender: mpsc::Sender<Waiting>,
}

impl Queue {
    /// Begins to write to the folder, beside the reviews. To be called within a runtime.
    pub(crate) fn start(folder: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let (sender, mut receiver) = mpsc::channel::<Waiting>(MAX_UNDER_WAY);
        tokio::spawn(async move {
            while let Some(denied) = receiver.recv().await {
                let folder = folder.clone();
                let entered = tokio::task::spawn_blocking(move || enter(&folder, denied)).await;
                if let Ok(Err(error)) = entered {
                    tracing::warn!(%error, "a denied image cannot be queued for approval");
                }
            }
        });
        Ok(Self { sender })
    }

    /// Whether it was taken.
    pub(crate) fn offer(&self, denied: Waiting) -> bool {
        self.sender.try_send(denied).is_ok()
    }
}

pub(super) fn enter(folder: &Path, mut denied: Waiting) -> std::io::Result<()> {
    for text in [&mut denied.image, &mut denied.object, &mut denied.requested_by] {
        *text = shortened(&one_line(text), MAX_TEXT);
    }
    let path = folder.join(format!("{}.{EXTENSION}", denied.id));
    match read(&path) {
        Some(before) => {
            denied.first = before.first;
            denied.times = before.times.saturating_add(1);
        }
        None => make_room(folder)?,
    }
    write(&path, &serde_json::to_vec_pretty(&denied)?)
}

fn make_room(folder: &Path) -> std::io::Result<()> {
    let mut all = waiting(folder)?;
    while all.len() >= MAX_WAITING {
        let Some(oldest) = all.pop() else { break };
        fs::remove_file(folder.join(format!("{}.{EXTENSION}", oldest.id)))?;
    }
    Ok(())
}
