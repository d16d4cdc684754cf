//! `db update`: brings the feeds of a database up to date, and makes it anew of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use proofmark_advisories::{Database, LackingFeed, SourceFile};
use proofmark_types::UnixTime;

use super::feeds::{Feed, Kind, Origins};
use super::fetch::{Fetched, Fetcher, Validators};
use super::import::{Import, check};
use super::kept::{Kept, KeptFile, hold, replace};
use super::{open, refused};
use crate::context::Context;
use crate::failure::{Exit, Failure, chain};

/// How many feeds are fetched at once.
const AT_ONCE: usize = 4;

/// What to update, and how.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) database: PathBuf,
    pub(crate) ecosystems: Vec<String>,
    pub(crate) origins: Origins,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) patience: Duration,
}

/// What became of an update.
#[derive(Debug)]
pub(crate) struct Updated {
    /// Records that could not be read, the first few by name.
    pub(crate) unreadable: Vec<String>,
    /// The feeds that could not be fetched.
    pub(crate) failed: Vec<LackingFeed>,
}

impl Update {
    /// Brings the database up to date.
    ///
    /// 1. Nobody else changes the database meanwhile.
    /// 2. Every feed is fetched that changed since it was kept, looked through, and kept. One that fails is said.
    /// 3. If none could be fetched, or one failed of which nothing is kept and the database has something, that database
    ///    stays: it has more than one made now would have.
    /// 4. The database is made of what is kept, which says in itself what it lacks, read again, and put in its place at
    ///    once.
    pub(crate) async fn run(&self, context: &Context) -> Result<Updated, Failure> {
        let feeds = Feed::of(&self.ecosystems, &self.origins)?;
        let fetcher = Fetcher::new(self.authorities.as_deref(), self.patience)?;
        // 1.
        let _held = hold(context, &self.database).await?;
        // 2.
        let mut kept = Kept::open(&self.database, &feeds)?;
        let failures = fetch_all(context, &fetcher, &feeds, &mut kept).await?;
        // 3.
        if failures.len() == feeds.len() {
            return Err(self.nothing(&failures));
        }
        let lacking: Vec<LackingFeed> = failures
            .iter()
            .map(|(feed, failure)| LackingFeed {
                feed: feed.name.clone(),
                code: failure.code.clone(),
                reason: failure.message.clone(),
                kept_from: kept.of(feed).map(|file| file.fetched),
            })
            .collect();
        let old = open(&self.database).ok();
        if let Some(old) = &old {
            self.loses_nothing(old, &feeds, &lacking)?;
        }
        // 4.
        let have: Vec<(Feed, PathBuf, KeptFile)> = feeds
            .iter()
            .filter_map(|feed| Some((feed.clone(), kept.path(feed), kept.of(feed)?.clone())))
            .collect();
        let (database, failed) = (self.database.clone(), lacking.clone());
        let built = tokio::task::spawn_blocking(move || build(&database, old.as_ref(), &have, lacking));
        let unreadable = built.await.map_err(anyhow::Error::from)??;
        Ok(Updated { unreadable, failed })
    }

    fn nothing(&self, failures: &[(Feed, Failure)]) -> Failure {
        let details = failures.iter().map(|(feed, failure)| told(feed, failure));
        let message = format!(
            "none of the feeds could be fetched: {} stays as it is",
            self.database.display()
        );
        Failure::new(Exit::Undecided, "feeds-unreachable", message)
            .with_details(details)
            .with_hint("is there a proxy (HTTPS_PROXY), or a mirror (--mirror)? without a network: db import, db pull")
    }

    fn loses_nothing(&self, old: &Database<'_>, feeds: &[Feed], lacking: &[LackingFeed]) -> Result<(), Failure> {
        let header = old.header();
        let has = |feed: &LackingFeed| {
            let kind = feeds.iter().find(|one| one.name == feed.feed).map(|one| one.kind);
            feed.kept_from.is_none()
                && match kind {
                    Some(Kind::Records(ecosystem)) => header
                        .sections
                        .iter()
                        .any(|section| section.ecosystem == ecosystem.name),
                    Some(Kind::Exploited) => header.exploited.is_some(),
                    Some(Kind::Scores) => header.scores.is_some(),
                    None => false,
                }
        };
        let lost: Vec<String> = lacking
            .iter()
            .filter(|feed| has(feed))
            .map(|feed| format!("{}: {} [{}]", feed.feed, feed.reason, feed.code))
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{} stays as it is: it has what could not be fetched now",
            self.database.display()
        );
        Err(Failure::new(Exit::Undecided, "update-would-lose", message)
            .with_details(lost)
            .with_hint("try again; or name with --ecosystem what it is to have"))
    }
}

fn told(feed: &Feed, failure: &Failure) -> String {
    format!("{}: {} [{}]", feed.name, failure.message, failure.code)
}

/// Those that failed.
async fn fetch_all(
    context: &Context,
    fetcher: &Fetcher,
    feeds: &[Feed],
    kept: &mut Kept,
) -> Result<Vec<(Feed, Failure)>, Failure> {
    let asked: Vec<(Feed, Validators, PathBuf)> = feeds
        .iter()
        .map(|feed| {
            // What another address sent is not what this one knows.
            let known = kept.of(feed).filter(|file| file.url == feed.url.as_str());
            let validators = known.map(|file| file.validators.clone()).unwrap_or_default();
            (feed.clone(), validators, kept.part(feed))
        })
        .collect();
    let mut coming = stream::iter(asked)
        .map(|(feed, validators, part)| async move {
            let fetched = fetch(fetcher, &feed, &validators, &part).await;
            (feed, part, fetched)
        })
        .buffer_unordered(AT_ONCE);
    let spinner = context.output.spinner("fetching advisories");
    let mut failures = Vec::new();
    while let Some((feed, part, fetched)) = coming.next().await {
        let now = Context::now();
        match fetched {
            Ok(Fetched::Unchanged) => {
                kept.confirm(&feed, now)?;
                context.output.note(&format!("{}: not changed", feed.name));
            }
            Ok(Fetched::New {
                validators,
                digest,
                bytes,
            }) => {
                let file = KeptFile {
                    url: feed.url.to_string(),
                    validators,
                    digest,
                    bytes,
                    fetched: now,
                };
                kept.take(&feed, file)?;
                context.output.note(&format!("{}: {bytes} bytes", feed.name));
            }
            Err(failure) => {
                let _ = std::fs::remove_file(&part);
                context.output.warn(&told(&feed, &failure));
                failures.push((feed, failure));
            }
        }
    }
    drop(spinner);
    failures.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(failures)
}

/// Fetches one, and looks through what came.
async fn fetch(fetcher: &Fetcher, feed: &Feed, known: &Validators, part: &Path) -> Result<Fetched, Failure> {
    let fetched = fetcher.fetch(feed, known, part).await?;
    if let Fetched::New { .. } = fetched {
        let (path, kind) = (part.to_owned(), feed.kind);
        let checked = tokio::task::spawn_blocking(move || check(&path, kind));
        checked.await.map_err(anyhow::Error::from)??;
    }
    Ok(fetched)
}

/// Makes the database of what is kept, and says which records could not be read.
fn build(
    path: &Path,
    old: Option<&Database<'_>>,
    have: &[(Feed, PathBuf, KeptFile)],
    lacking: Vec<LackingFeed>,
) -> Result<Vec<String>, Failure> {
    let now = Context::now();
    let mut unreadable = Vec::new();
    let bytes = match old.filter(|old| is_of(old, have)) {
        // Every feed is what it was: only its age is another.
        Some(old) => old
            .restated(now, files(old, have), lacking)
            .map_err(|error| Failure::new(Exit::Undecided, error.code(), chain(&error)))?,
        None => {
            let mut import = Import::default();
            import.take_only(have.iter().filter_map(|(feed, ..)| match feed.kind {
                Kind::Records(ecosystem) => Some(ecosystem),
                _ => None,
            }));
            for (_, path, file) in have {
                import.add_fetched(path, &file.url, file.fetched)?;
            }
            lacking.into_iter().for_each(|feed| import.lacks(feed));
            unreadable = std::mem::take(&mut import.unreadable);
            import.build()?
        }
    };
    let database = Database::open(&bytes).map_err(|error| refused(path, &error))?;
    database.verify().map_err(|error| refused(path, &error))?;
    replace(path, &bytes)?;
    Ok(unreadable)
}

/// Whether a database was made of exactly these files.
fn is_of(old: &Database<'_>, have: &[(Feed, PathBuf, KeptFile)]) -> bool {
    let mut is: Vec<_> = old
        .header()
        .files
        .iter()
        .map(|file| (file.name.as_str(), &file.digest))
        .collect();
    let mut wanted: Vec<_> = have
        .iter()
        .map(|(_, _, file)| (file.url.as_str(), &file.digest))
        .collect();
    is.sort();
    wanted.sort();
    is == wanted && old.verify().is_ok()
}

fn files(old: &Database<'_>, have: &[(Feed, PathBuf, KeptFile)]) -> Vec<SourceFile> {
    let fetched = |name: &str| -> Option<UnixTime> {
        let file = have.iter().find(|(_, _, file)| file.url == name);
        file.map(|(_, _, file)| file.fetched)
    };
    let mut files = old.header().files.clone();
    for file in &mut files {
        file.fetched = fetched(&file.name).or(file.fetched);
    }
    files
}
