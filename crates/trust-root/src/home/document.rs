//! A document that verbs use, where it comes from, and how old it is.

use std::borrow::Cow;
use std::time::Duration;

use proofmark_types::UnixTime;
use serde::Serialize;

use crate::instance::Instance;

/// A copy that nobody refreshed for so long is called stale even if nothing in it says when it expires.
const STALE_AFTER: Duration = Duration::from_secs(90 * 24 * 3600);

/// Where a document comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a TUF repository, kept here.
    Kept {
        /// The mirror.
        mirror: String,
    },
    /// The copy in the program.
    Embedded(Instance),
}

/// A document, where it comes from, and how old it is.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its bytes.
    pub bytes: Cow<'static, [u8]>,
    /// Where it comes from.
    pub origin: Origin,
    /// When it was known to be the newest.
    pub since: UnixTime,
    /// When the metadata that it was announced by expires, where it came with some.
    pub expires: Option<UnixTime>,
    /// The versions of that metadata.
    pub versions: Option<Versions>,
}

/// Versions of the metadata that a document was announced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Versions {
    /// Of the root.
    pub root: u64,
    /// Of the timestamp.
    pub timestamp: u64,
    /// Of the targets.
    pub targets: u64,
}

impl Document {
    /// Where it comes from, which version it is, and when it was known to be the newest, in words.
    #[must_use]
    pub fn description(&self) -> String {
        match (&self.origin, self.versions) {
            (Origin::Kept { mirror }, Some(versions)) => format!(
                "{mirror}, root version {}, targets version {}, refreshed {}",
                versions.root, versions.targets, self.since
            ),
            (Origin::Kept { mirror }, None) => format!("{mirror}, refreshed {}", self.since),
            (Origin::Embedded(instance), _) => {
                format!("the {instance} instance's in this program, of {}", self.since)
            }
        }
    }

    /// Why it is not to be relied on without a thought, in words; none while it is fresh.
    #[must_use]
    pub fn staleness(&self, now: UnixTime) -> Option<String> {
        let days = now.since(self.since).as_secs() / 86_400;
        let what = match &self.origin {
            Origin::Kept { mirror } => format!("the trust root of {mirror}"),
            Origin::Embedded(instance) => format!("the trust root of the {instance} instance in this program"),
        };
        match self.expires {
            Some(expires) if expires <= now => Some(format!(
                "{what} was last refreshed {days} days ago, and its metadata expired at {expires}"
            )),
            _ if now.since(self.since) > STALE_AFTER => Some(format!("{what} is {days} days old")),
            _ => None,
        }
    }
}
