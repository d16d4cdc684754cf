//! The folder beside the database in which fetched files are kept, so that what did not change is not fetched again and what
//! cannot be fetched is there still.
//!
//! Who writes has the lock. A file takes its name when it is whole and was looked through; the list of them, with their digests,
//! is written after. A file that is not what the list says is not used: whoever was killed in between left one.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proofmark_types::{Digest, UnixTime};
use serde::{Deserialize, Serialize};

use super::feeds::Feed;
use super::fetch::Validators;
use crate::context::{Context, unwritable, write_file};
use crate::failure::{Exit, Failure};
use crate::hashed;

/// Thirty entries take some 10 KiB.
const MAX_LIST_BYTES: u64 = 1024 * 1024;
/// How long another process may have the database: a whole update over a slow line.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
const POLL: Duration = Duration::from_millis(100);

/// A file that was fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeptFile {
    pub(super) url: String,
    #[serde(flatten)]
    pub(super) validators: Validators,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    /// When it came, or was last said to be unchanged.
    pub(super) fetched: UnixTime,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    files: BTreeMap<String, KeptFile>,
}

impl Kept {
    /// The folder of a database. A list that cannot be read is none: everything is fetched again. So is the file of a feed
    /// that is not what the list says.
    pub(super) fn open(database: &Path, feeds: &[Feed]) -> Result<Self, Failure> {
        let folder = beside(database, "feeds");
        make_folder(&folder)?;
        let mut text = String::new();
        let listed: BTreeMap<String, KeptFile> = File::open(folder.join("feeds.json"))
            .and_then(|file| file.take(MAX_LIST_BYTES).read_to_string(&mut text))
            .ok()
            .and_then(|_| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let mut kept = Self { folder, files: listed };
        for feed in feeds {
            let seen = hashed::file(&kept.path(feed)).ok();
            if kept.of(feed).map(|file| &file.digest) != seen.as_ref().map(|(digest, _)| digest) {
                kept.files.remove(&feed.file);
            }
        }
        Ok(kept)
    }

    /// Where a feed is written to while it comes.
    pub(super) fn part(&self, feed: &Feed) -> PathBuf {
        self.folder.join(format!("{}.part", feed.file))
    }

    pub(super) fn path(&self, feed: &Feed) -> PathBuf {
        self.folder.join(&feed.file)
    }

    /// The file of a feed, if it is there and is what was fetched.
    pub(super) fn of(&self, feed: &Feed) -> Option<&KeptFile> {
        self.files.get(&feed.file)
    }

    /// Gives what came its name.
    pub(super) fn take(&mut self, feed: &Feed, file: KeptFile) -> Result<(), Failure> {
        let path = self.path(feed);
        fs::rename(self.part(feed), &path).map_err(|error| unwritable(&path, &error))?;
        self.files.insert(feed.file.clone(), file);
        self.write()
    }

    /// Says that a file is what its publisher has now.
    pub(super) fn confirm(&mut self, feed: &Feed, now: UnixTime) -> Result<(), Failure> {
        if let Some(kept) = self.files.get_mut(&feed.file) {
            kept.fetched = now;
        }
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let list = serde_json::to_vec_pretty(&self.files).map_err(anyhow::Error::from)?;
        write_file(&self.folder.join("feeds.json"), &list)
    }
}

/// `advisories.db` and `feeds` make `advisories.db.feeds`.
fn beside(database: &Path, what: &str) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    database.with_file_name(name)
}

/// Makes a folder and those above it.
pub(super) fn make_folder(folder: &Path) -> Result<(), Failure> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))
}

/// Takes the right to change a database, until the file is dropped. Another process that has it is waited for.
pub(crate) async fn hold(context: &Context, database: &Path) -> Result<File, Failure> {
    make_folder(database.parent().unwrap_or_else(|| Path::new("")))?;
    let path = beside(database, "lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| unwritable(&path, &error))?;
    let started = Instant::now();
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(unwritable(&path, &error)),
            Err(TryLockError::WouldBlock) if started.elapsed() > PATIENCE => {
                let message = format!("another process has been changing {} for long", database.display());
                return Err(Failure::new(Exit::Undecided, "database-busy", message));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !said {
            context
                .output
                .note("another process changes the database: waiting for it");
            said = true;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Puts a database that was looked through in its place, whole or not at all.
pub(crate) fn replace(database: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let part = beside(database, "part");
    let written = File::create(&part).and_then(|mut file| {
        std::io::Write::write_all(&mut file, bytes)?;
        // Its name must not be there before its bytes are.
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&part, database))
        .map_err(|error| unwritable(database, &error))
}
