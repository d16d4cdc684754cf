//! What files become of advisories: OSV's zip files and records, CISA's catalogue, EPSS scores.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use proofmark_advisories::feeds::{EpssScores, KnownExploited};
use proofmark_advisories::osv::{MAX_RECORD_BYTES, Record};
use proofmark_advisories::{Builder, Ecosystem, LackingFeed, SourceFile};
use proofmark_types::UnixTime;
use serde_json::Value;

use super::feeds::Kind;
use crate::context::{Context, unreadable};
use crate::failure::{Failure, chain};
use crate::hashed;

/// The largest feed, EPSS, has some 10 MB; a catalogue 1.5 MB.
const MAX_FEED_BYTES: u64 = 256 * 1024 * 1024;
/// OSV has some 600,000 records in all.
const MAX_ENTRIES: usize = 5_000_000;
/// npm's bulk file, the largest, holds some 2 GB of records; ten times that are none.
const MAX_ZIP_CONTENT: u64 = 20 * 1024 * 1024 * 1024;
/// Records are packed about ten to one; deflate's own limit is a thousand to one. What is small is read anyway.
const MAX_RATIO: u64 = 100;
const FREE_CONTENT: u64 = 64 * 1024 * 1024;
/// Files in folders that are named; a folder of single records has some 200,000.
const MAX_FILES: usize = 1_000_000;
const MAX_DEPTH: usize = 16;

/// Files that are read into one database.
#[derive(Debug, Default)]
pub(crate) struct Import {
    builder: Builder,
    /// Records that could not be read, the first few by name.
    pub(crate) unreadable: Vec<String>,
    files: usize,
    /// The address and the time of the file that is being added, if it was fetched.
    fetched: Option<(String, UnixTime)>,
}

/// How many of the unreadable are named.
const NAMED: usize = 10;

impl Import {
    /// Adds a file, or all files of a folder.
    pub(crate) fn add(&mut self, path: &Path) -> Result<(), Failure> {
        self.add_within(path, MAX_DEPTH)
    }

    /// Adds a file that was fetched from an address, or was said to be unchanged, at a time.
    pub(super) fn add_fetched(&mut self, path: &Path, url: &str, at: UnixTime) -> Result<(), Failure> {
        self.fetched = Some((url.to_owned(), at));
        let added = self.add_file(path);
        self.fetched = None;
        added
    }

    /// Takes these ecosystems and no others.
    pub(super) fn take_only(&mut self, ecosystems: impl IntoIterator<Item = &'static Ecosystem>) {
        self.builder.take_only(ecosystems);
    }

    /// Says that a feed could not be fetched.
    pub(super) fn lacks(&mut self, feed: LackingFeed) {
        self.builder.add_lacking(feed);
    }

    fn add_within(&mut self, path: &Path, depth: usize) -> Result<(), Failure> {
        let unreadable = |error: std::io::Error| unreadable(path, &error);
        if !path.is_dir() {
            self.files += 1;
            if self.files > MAX_FILES {
                return Err(Failure::usage("too-many-files", format!("more than {MAX_FILES} files")));
            }
            return self.add_file(path);
        }
        if depth == 0 {
            let message = format!("{} is more than {MAX_DEPTH} folders deep", path.display());
            return Err(Failure::usage("folder-too-deep", message));
        }
        let mut inner = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            inner.push(entry.map_err(unreadable)?.path());
        }
        inner.sort();
        inner.iter().try_for_each(|path| self.add_within(path, depth - 1))
    }

    /// What a file is, its first bytes say.
    fn add_file(&mut self, path: &Path) -> Result<(), Failure> {
        let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let mut head = Vec::new();
        (&mut file)
            .take(4)
            .read_to_end(&mut head)
            .and_then(|_| file.seek(SeekFrom::Start(0)))
            .map_err(|error| unreadable(path, &error))?;
        if head.starts_with(b"PK") {
            self.note_file(path, &mut file, None)?;
            return self.add_zip(path, file);
        }
        let mut bytes = Vec::new();
        let read = if head.starts_with(&[0x1f, 0x8b]) {
            MultiGzDecoder::new(&mut file)
                .take(MAX_FEED_BYTES + 1)
                .read_to_end(&mut bytes)
        } else {
            (&mut file).take(MAX_FEED_BYTES + 1).read_to_end(&mut bytes)
        };
        read.map_err(|error| unreadable(path, &error))?;
        if bytes.len() as u64 > MAX_FEED_BYTES {
            let message = format!("{} has more than {MAX_FEED_BYTES} bytes", path.display());
            return Err(Failure::usage("file-too-large", message));
        }
        let as_of = self.add_bytes(path, &bytes)?;
        self.note_file(path, &mut file, as_of)
    }

    /// EPSS begins with a comment, a catalogue says its version, and all other JSON is a record.
    fn add_bytes(&mut self, path: &Path, bytes: &[u8]) -> Result<Option<UnixTime>, Failure> {
        let refused = |code: &str, error: &dyn std::error::Error| {
            Failure::usage(code, format!("{}: {}", path.display(), chain(error)))
        };
        if bytes.starts_with(b"#") {
            let text = std::str::from_utf8(bytes).map_err(|error| refused("feed-not-epss", &error))?;
            let scores = EpssScores::parse(text).map_err(|error| refused(error.code(), &error))?;
            let date = scores.date;
            self.builder.add_scores(scores);
            return Ok(Some(date));
        }
        let is_catalogue =
            serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value.get("catalogVersion").is_some());
        if is_catalogue {
            let feed = KnownExploited::parse(bytes).map_err(|error| refused(error.code(), &error))?;
            let released = feed.released;
            self.builder.add_exploited(feed);
            return Ok(Some(released));
        }
        // A file that was named must be one; in a zip of thousands a broken one is counted.
        self.builder
            .add_osv(bytes)
            .map(|_| None)
            .map_err(|error| refused(error.code(), &error))
    }

    fn add_zip(&mut self, path: &Path, file: File) -> Result<(), Failure> {
        self.builder.begin_bulk();
        let (builder, unreadable) = (&mut self.builder, &mut self.unreadable);
        each_record(path, file, |name, bytes| {
            if let Err(error) = builder.add_osv(bytes)
                && unreadable.len() < NAMED
            {
                unreadable.push(format!("{name}: {}", chain(&error)));
            }
        })?;
        self.builder.end_bulk();
        Ok(())
    }

    /// Its digest, read in pieces.
    fn note_file(&mut self, path: &Path, file: &mut File, as_of: Option<UnixTime>) -> Result<(), Failure> {
        let unreadable = |error: std::io::Error| unreadable(path, &error);
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let (digest, bytes) = hashed::all(&mut *file).map_err(unreadable)?;
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let (name, fetched) = match &self.fetched {
            Some((url, at)) => (url.clone(), Some(*at)),
            None => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                (name.to_string_lossy().into_owned(), None)
            }
        };
        self.builder.add_file(SourceFile {
            name,
            digest,
            bytes,
            fetched,
            as_of,
        });
        Ok(())
    }

    /// The database.
    pub(crate) fn build(&self) -> Result<Vec<u8>, Failure> {
        self.builder
            .build(Context::now())
            .map_err(|error| Failure::usage(error.code(), chain(&error)))
    }
}

/// Every record of a zip file, each read whole and held against its CRC. A zip that has none, or is broken, is an error.
fn each_record(path: &Path, file: File, mut take: impl FnMut(&str, &[u8])) -> Result<(), Failure> {
    let broken = |error: &dyn std::error::Error| {
        let message = format!("{} is a broken zip file: {}", path.display(), chain(error));
        Failure::usage("zip-broken", message)
            .with_hint("fetch it again: what is missing would be taken for not vulnerable")
    };
    let packed = file.metadata().map_err(|error| unreadable(path, &error))?.len();
    let most = MAX_ZIP_CONTENT.min(packed.saturating_mul(MAX_RATIO).max(FREE_CONTENT));
    let mut archive = zip::ZipArchive::new(file).map_err(|error| broken(&error))?;
    if archive.len() > MAX_ENTRIES {
        let count = archive.len();
        let message = format!("{} has {count} entries, at most {MAX_ENTRIES} are read", path.display());
        return Err(Failure::usage("zip-too-long", message));
    }
    let mut records = 0_usize;
    let mut content = 0_u64;
    let mut bytes = Vec::new();
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(|error| broken(&error))?;
        let name = entry.name().map_err(|error| broken(&error))?.into_owned();
        if entry.is_dir() || !name.ends_with(".json") {
            continue;
        }
        bytes.clear();
        // One byte more than a record may have, which the record's own limit then refuses. The reader checks the CRC.
        entry
            .take(MAX_RECORD_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| broken(&error))?;
        content += bytes.len() as u64;
        if content > most {
            let message = format!("{} of {packed} bytes inflates to more than {most}", path.display());
            return Err(Failure::usage("zip-too-large", message).with_hint("no bulk file of OSV does: a zip bomb?"));
        }
        records += 1;
        take(&name, &bytes);
    }
    if records == 0 {
        let message = format!("{} has no JSON records in it", path.display());
        return Err(Failure::usage("zip-without-records", message).with_hint("expected one of OSV's all.zip files"));
    }
    Ok(())
}

/// Whether a file that was fetched is what it should be, all of it: before it takes the place of the one that is kept.
pub(super) fn check(path: &Path, kind: Kind) -> Result<(), Failure> {
    let Kind::Records(ecosystem) = kind else {
        let mut scratch = Import::default();
        scratch.add_file(path)?;
        let there = match kind {
            Kind::Exploited => scratch.builder.has_exploited(),
            _ => scratch.builder.has_scores(),
        };
        return there.then_some(()).ok_or_else(|| {
            let message = format!("{} is another feed than was asked for", path.display());
            Failure::usage("feed-not-one", message)
        });
    };
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut about = 0_u64;
    each_record(path, file, |_, bytes| {
        if let Ok(record) = Record::parse(bytes) {
            about += u64::from(record.is_about(ecosystem));
        }
    })?;
    if about == 0 {
        let message = format!("{} has no record about {}", path.display(), ecosystem.name);
        return Err(Failure::usage("feed-not-one", message));
    }
    Ok(())
}
