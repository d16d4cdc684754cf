//! `db update`: what is known, from its publishers or their mirror.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::show;
use crate::advisories::{Origins, Update, open, place};
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Fetch what is known from its publishers
///
/// What did not change is not fetched again. A feed that cannot be fetched is said, here and in every result of a scan; what was
/// fetched of it before stays in the database.
#[derive(Args, Debug)]
pub(crate) struct UpdateFeeds {
    /// An ecosystem that the database is to have, as OSV names it: Debian, PyPI, npm, … (may be repeated; default: all that are known here)
    #[arg(long, value_name = "NAME")]
    ecosystem: Vec<String>,

    /// A mirror of all feeds: beneath it NAME/all.zip for each ecosystem, known_exploited_vulnerabilities.json and epss_scores-current.csv.gz
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,

    /// The address that the ecosystems' NAME/all.zip lie beneath
    #[arg(long, value_name = "URL")]
    osv_url: Option<String>,

    /// The address that known_exploited_vulnerabilities.json lies beneath
    #[arg(long, value_name = "URL")]
    kev_url: Option<String>,

    /// The address that epss_scores-current.csv.gz lies beneath
    #[arg(long, value_name = "URL")]
    epss_url: Option<String>,

    /// Trust the authorities in this PEM file too when fetching
    #[arg(long, value_name = "FILE")]
    mirror_cacert: Option<PathBuf>,

    /// How long a publisher may take to answer, and between two pieces of an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    feed_timeout: u64,

    /// The database (default: in the cache folder, or PROOFMARK_DB)
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

impl UpdateFeeds {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = place(self.db.as_deref())?;
        let update = Update {
            database: path.clone(),
            ecosystems: self.ecosystem,
            origins: Origins {
                mirror: self.mirror,
                osv: self.osv_url,
                kev: self.kev_url,
                epss: self.epss_url,
            },
            authorities: self.mirror_cacert,
            patience: Duration::from_secs(self.feed_timeout),
        };
        let updated = update.run(context).await?;
        for record in &updated.unreadable {
            context.output.warn(&format!("not read: {record}"));
        }
        show(context, &path, &open(&path)?);
        if updated.failed.is_empty() {
            return Ok(());
        }
        let details = updated.failed.iter().map(|feed| {
            let instead = match feed.kept_from {
                Some(time) => format!("the database has what was fetched on {time}"),
                None => "the database has nothing of it".to_owned(),
            };
            format!("{}: {instead}", feed.feed)
        });
        let message = format!(
            "{} feeds could not be fetched, the others are up to date",
            updated.failed.len()
        );
        Err(Failure::new(Exit::Undecided, "feeds-lacking", message).with_details(details))
    }
}
