//! The advisory database of this machine: where it is, how it is opened and replaced, and what is to be said of it.

mod feeds;
mod fetch;
mod import;
mod kept;
mod update;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proofmark_advisories::{Database, DatabaseError, Storage};
use proofmark_types::UnixTime;
use serde::Serialize;
use serde_json::{Value, json};

use crate::context::{cache_folder, variable};
use crate::failure::{Exit, Failure, chain};

pub(crate) use feeds::Origins;
pub(crate) use import::Import;
pub(crate) use kept::{hold, replace};
pub(crate) use update::Update;

/// All of OSV takes less than 100 MB; what is larger is no database.
const MAX_DATABASE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Advisories older than this are said to be old. OSV's bulk files change every day.
const OLD_AFTER_DAYS: u64 = 7;

/// Where the database is: named, or in the cache of this user.
pub(crate) fn place(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    if let Some(path) = variable("PROOFMARK_DB").map(PathBuf::from) {
        return Ok(path);
    }
    cache_folder().map(|cache| cache.join("advisories.db")).ok_or_else(|| {
        Failure::usage(
            "database-nowhere",
            "there is no HOME to look for an advisory database in",
        )
        .with_hint("name the file with --db or PROOFMARK_DB")
    })
}

/// The database at its place. Of it is read what is asked for, when it is asked for.
pub(crate) fn open(path: &Path) -> Result<Database<'static>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("there is no advisory database at {}", path.display());
            return Err(Failure::new(Exit::Undecided, "database-missing", message)
                .with_hint("fetch one: proofmark db update, or db pull; or make it of files: proofmark db import"));
        }
        Err(source) => return Err(refused(path, &DatabaseError::Unreadable { source })),
    };
    Database::open_in(Stored(Mutex::new(file))).map_err(|error| refused(path, &error))
}

/// A file that is read at places. It stays the one that was opened when another takes its name.
struct Stored(Mutex<File>);

impl Stored {
    fn file(&self) -> MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Stored {
    fn length(&self) -> io::Result<u64> {
        self.file()
            .metadata()
            .map(|metadata| metadata.len().min(MAX_DATABASE_BYTES))
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut file = self.file();
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// A database that cannot be believed.
pub(crate) fn refused(path: &Path, error: &DatabaseError) -> Failure {
    let message = format!("{}: {}", path.display(), chain(error));
    Failure::new(Exit::Undecided, error.code(), message)
        .with_hint("make it anew with proofmark db update, db pull or db import")
}

/// How new the advisories are: the latest change of any of them.
pub(crate) fn as_of(database: &Database<'_>) -> Option<UnixTime> {
    database
        .header()
        .sources
        .iter()
        .filter_map(|source| source.newest)
        .max()
}

/// Days since then, or since the oldest of its files was fetched if that is longer; none if nobody can tell, which is as bad
/// as old.
pub(crate) fn age_days(database: &Database<'_>, now: UnixTime) -> Option<u64> {
    let fetched = database.header().files.iter().filter_map(|file| file.fetched).min();
    let oldest = as_of(database).map(|newest| fetched.map_or(newest, |fetched| newest.min(fetched)));
    oldest.map(|time| now.since(time).as_secs() / 86_400)
}

/// Whether its age should be said aloud.
pub(crate) fn is_old(database: &Database<'_>, now: UnixTime) -> bool {
    age_days(database, now).is_none_or(|days| days > OLD_AFTER_DAYS)
}

/// Something about the database that every result made with it says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Notice {
    /// The stable name.
    pub(crate) code: &'static str,
    /// For a person.
    pub(crate) text: String,
}

/// That it is old, or not whole. Empty if there is nothing to say.
pub(crate) fn notices(database: &Database<'_>, now: UnixTime) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut say = |code, text| notices.push(Notice { code, text });
    if is_old(database, now) {
        let age = age_days(database, now).map_or_else(|| "of unknown age".to_owned(), |days| format!("{days} days"));
        let text = format!("the advisory database is old ({age}): what became known since is not in it");
        say("database-old", text);
    }
    let header = database.header();
    for feed in &header.lacking {
        let why = format!("could not be fetched when the database was made on {}", header.built);
        match feed.kept_from {
            Some(time) => say(
                "database-feed-stale",
                format!("{} {why}, and is as of {time}: {}", feed.feed, feed.reason),
            ),
            None => say(
                "database-feed-lacking",
                format!("{} {why}, and is not in it: {}", feed.feed, feed.reason),
            ),
        }
    }
    let unreadable = header.left_out.unreadable;
    if unreadable > 0 {
        let text = format!("{unreadable} records could not be read when the database was made, and are not in it");
        say("database-records-unreadable", text);
    }
    notices
}

/// What results say of the database that they were made with.
pub(crate) fn summary(database: &Database<'_>, now: UnixTime) -> Value {
    let header = database.header();
    json!({
        "digest": database.digest(),
        "built": header.built,
        "asOf": as_of(database),
        "ageDays": age_days(database, now),
        "old": is_old(database, now),
        "partial": !header.lacking.is_empty() || header.left_out.unreadable > 0,
        "notices": notices(database, now),
        "exploitedReleased": header.exploited.as_ref().map(|feed| feed.released),
        "scoresDate": header.scores.as_ref().map(|feed| feed.date),
        "unreadable": header.left_out.unreadable,
    })
}
