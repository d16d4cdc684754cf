//! By whose word something is known to be wrong: our database, or the results of another scanner.

use proofmark_advisories::Database;
use proofmark_advisories::results::Results;
use proofmark_types::UnixTime;
use serde_json::{Value, json};

use super::Source;
use crate::advisories::{self, Notice};

/// Results older than this are said to be old; as databases are.
const OLD_AFTER_DAYS: u64 = 7;

/// What was asked.
#[derive(Clone, Copy)]
pub(crate) enum Authority<'f> {
    Database(&'f Database<'static>),
    Results(&'f Results, &'f Source),
}

impl Authority<'_> {
    /// What every result made with it says of it.
    pub(crate) fn notices(self, now: UnixTime) -> Vec<Notice> {
        let results = match self {
            Self::Database(database) => return advisories::notices(database, now),
            Self::Results(results, _) => results,
        };
        let say = |code, text| vec![Notice { code, text }];
        match self.age_days(now) {
            None => say(
                "results-age-unknown",
                format!("{} does not say how old its database is", results.scanner),
            ),
            Some(days) if days > OLD_AFTER_DAYS => say(
                "results-old",
                format!("the database of {} is {days} days old", results.scanner),
            ),
            Some(_) => Vec::new(),
        }
    }

    /// How old what it knows is; none if nobody can tell.
    pub(crate) fn age_days(self, now: UnixTime) -> Option<u64> {
        match self {
            Self::Database(database) => advisories::age_days(database, now),
            Self::Results(results, _) => results.database_built.map(|built| now.since(built).as_secs() / 86_400),
        }
    }

    /// All of it, for a script.
    pub(crate) fn summary(self, now: UnixTime) -> Value {
        match self {
            Self::Database(database) => advisories::summary(database, now),
            Self::Results(results, source) => json!({
                "results": { "scanner": results.scanner, "name": source.name, "digest": source.digest, "made": results.made },
                "built": results.database_built,
                "ageDays": self.age_days(now),
                "notices": self.notices(now),
            }),
        }
    }

    /// Its name by which it is found again.
    pub(crate) fn digest(self) -> String {
        match self {
            Self::Database(database) => database.digest().to_string(),
            Self::Results(_, source) => source.digest.to_string(),
        }
    }

    /// When what it knows was put together.
    pub(crate) fn built(self) -> Option<UnixTime> {
        match self {
            Self::Database(database) => Some(database.header().built),
            Self::Results(results, _) => results.database_built,
        }
    }

    /// The same in a line.
    pub(crate) fn line(self) -> String {
        match self {
            Self::Database(database) => format!("database {} built {}", database.digest(), database.header().built),
            Self::Results(results, source) => format!("by {}: {} ({})", results.scanner, source.name, source.digest),
        }
    }
}
