//! `db`: the database of known vulnerabilities.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proofmark_advisories::{Database, Header};
use serde_json::json;

use crate::advisories::{Import, as_of, hold, notices, open, place, refused, replace, summary};
use crate::context::Context;
use crate::failure::Failure;

mod artifact;
mod update;

/// The database of known vulnerabilities
#[derive(Subcommand, Debug)]
pub(crate) enum Db {
    /// Fetch what is known from its publishers: OSV's bulk files, CISA's catalogue of known exploited vulnerabilities, EPSS scores
    Update(Box<update::UpdateFeeds>),
    /// Make the database anew from files: OSV's zip files or records, CISA's catalogue of known exploited vulnerabilities, EPSS scores
    Import(ImportFiles),
    /// Show what is in it, and how old that is
    Status(Status),
    /// Put it into a registry
    Push(Box<artifact::Push>),
    /// Fetch one from a registry, verified
    Pull(Box<artifact::Pull>),
}

/// Make the database anew from files
#[derive(Args, Debug)]
pub(crate) struct ImportFiles {
    /// OSV's all.zip of an ecosystem, single records, known_exploited_vulnerabilities.json, epss_scores-current.csv.gz; or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The database (default: in the cache folder, or PROOFMARK_DB)
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

/// Show what is in it, and how old that is
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// The database (default: in the cache folder, or PROOFMARK_DB)
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

impl Db {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Update(verb) => verb.run(context).await,
            Self::Import(verb) => verb.run(context).await,
            Self::Status(verb) => verb.run(context),
            Self::Push(verb) => verb.run(context).await,
            Self::Pull(verb) => verb.run(context).await,
        }
    }
}

impl ImportFiles {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = place(self.db.as_deref())?;
        let spinner = context.output.spinner("reading advisories");
        let mut import = Import::default();
        for file in &self.files {
            import.add(file)?;
        }
        spinner.say("writing the database");
        let bytes = import.build()?;
        // What is written is read again before it takes the place of what is there.
        let database = Database::open(&bytes).map_err(|error| refused(&path, &error))?;
        database.verify().map_err(|error| refused(&path, &error))?;
        let _held = hold(context, &path).await?;
        replace(&path, &bytes)?;
        drop(spinner);
        for record in &import.unreadable {
            context.output.warn(&format!("not read: {record}"));
        }
        show(context, &path, &database);
        Ok(())
    }
}

impl Status {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let path = place(self.db.as_deref())?;
        let database = open(&path)?;
        database.verify().map_err(|error| refused(&path, &error))?;
        show(context, &path, &database);
        Ok(())
    }
}

fn show(context: &Context, path: &Path, database: &Database<'_>) {
    let now = Context::now();
    let header = database.header();
    let value = json!({
        "path": path,
        "database": summary(database, now),
        "ecosystems": header.sections,
        "sources": header.sources,
        "files": header.files,
        "exploited": header.exploited,
        "scores": header.scores,
        "leftOut": header.left_out,
        "lacking": header.lacking,
    });
    context.output.result(&text(path, database, header), &value);
    for notice in notices(database, now) {
        context.output.warn(&format!("{} [{}]", notice.text, notice.code));
    }
}

fn text(path: &Path, database: &Database<'_>, header: &Header) -> String {
    let mut text = String::new();
    let newest = as_of(database).map_or_else(|| "unknown".to_owned(), |time| time.to_string());
    let _ = writeln!(
        text,
        "{}\n  digest    {}\n  built     {}\n  newest    {newest}",
        path.display(),
        database.digest(),
        header.built
    );
    match &header.exploited {
        Some(feed) => {
            let _ = writeln!(text, "  exploited {} entries, released {}", feed.entries, feed.released);
        }
        None => text.push_str("  exploited none: gates that ask for it are undecided\n"),
    }
    match &header.scores {
        Some(feed) => {
            let _ = writeln!(text, "  EPSS      {} scores of {}", feed.entries, feed.date);
        }
        None => text.push_str("  EPSS      none\n"),
    }
    for notice in notices(database, Context::now()) {
        let _ = writeln!(text, "  {} [{}]", notice.text, notice.code);
    }
    let _ = writeln!(
        text,
        "\n{:14} {:>10} {:>10}  RELEASES",
        "ECOSYSTEM", "ADVISORIES", "PACKAGES"
    );
    for section in &header.sections {
        let releases: Vec<&str> = section.releases.keys().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "{:14} {:>10} {:>10}  {}",
            section.ecosystem,
            section.advisories,
            section.packages,
            releases.join(" ")
        );
    }
    let _ = writeln!(text, "\nSOURCES");
    for source in &header.sources {
        let newest = source
            .newest
            .map_or_else(|| "unknown".to_owned(), |time| time.to_string());
        let _ = writeln!(
            text,
            "{}: {} records, newest {newest} ({})",
            source.name, source.records, source.licence
        );
    }
    let out = &header.left_out;
    let _ = writeln!(
        text,
        "\nleft out: {} withdrawn, {} without packages known here, {} not about security, {} superseded, {} unreadable, \
         {} by licence, {} ranges of commits, {} about ecosystems that are not taken",
        out.withdrawn,
        out.without_packages,
        out.not_security,
        out.superseded,
        out.unreadable,
        out.refused.values().sum::<u64>(),
        out.git_ranges,
        out.elsewhere.values().sum::<u64>(),
    );
    text
}
