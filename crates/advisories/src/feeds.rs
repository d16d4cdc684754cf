//! CISA's catalogue of known exploited vulnerabilities (JSON) and FIRST's EPSS scores (CSV).

use std::collections::BTreeMap;

use proofmark_types::UnixTime;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The catalogue has some 1,500 entries in 1 MB; ten times that many vulnerabilities are not exploited in a decade.
const MAX_KEV_BYTES: usize = 32 * 1024 * 1024;
/// Some 300,000 lines of 30 bytes; every CVE ever assigned would be a few times that.
const MAX_EPSS_BYTES: usize = 256 * 1024 * 1024;

/// Known exploited vulnerabilities by CVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownExploited {
    /// When the catalogue was released.
    pub released: UnixTime,
    /// The entries.
    pub entries: BTreeMap<String, Exploited>,
}

/// What the catalogue says of one vulnerability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exploited {
    /// The CVE.
    pub cve: String,
    /// The day it was added, as the catalogue writes it.
    pub date_added: String,
    /// The day by which agencies must have acted.
    pub due_date: String,
    /// Whether ransomware is known to use it.
    pub ransomware: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Catalogue {
    date_released: String,
    count: usize,
    vulnerabilities: Vec<CatalogueEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CatalogueEntry {
    #[serde(rename = "cveID")]
    cve: String,
    date_added: String,
    due_date: String,
    #[serde(default)]
    known_ransomware_campaign_use: String,
}

impl KnownExploited {
    /// Reads the catalogue. It says how many entries it has: one that was cut short is an error, since what is missing
    /// from it would be taken for not exploited.
    pub fn parse(bytes: &[u8]) -> Result<Self, FeedError> {
        if bytes.len() > MAX_KEV_BYTES {
            return Err(FeedError::TooLarge { bytes: bytes.len() });
        }
        let catalogue: Catalogue = serde_json::from_slice(bytes).map_err(|source| FeedError::NotKev { source })?;
        if catalogue.count != catalogue.vulnerabilities.len() {
            return Err(FeedError::Incomplete {
                expected: catalogue.count,
                seen: catalogue.vulnerabilities.len(),
            });
        }
        let released = UnixTime::parse(&catalogue.date_released).map_err(|_| FeedError::Date {
            text: shortened(&catalogue.date_released),
        })?;
        let mut entries = BTreeMap::new();
        for entry in catalogue.vulnerabilities {
            for (text, valid) in [
                (&entry.cve, is_cve(&entry.cve)),
                (&entry.date_added, is_date(&entry.date_added)),
                (&entry.due_date, is_date(&entry.due_date)),
            ] {
                if !valid {
                    return Err(FeedError::Entry { text: shortened(text) });
                }
            }
            let exploited = Exploited {
                ransomware: entry.known_ransomware_campaign_use == "Known",
                cve: entry.cve.clone(),
                date_added: entry.date_added,
                due_date: entry.due_date,
            };
            entries.insert(entry.cve, exploited);
        }
        Ok(Self { released, entries })
    }
}

/// The probability that a vulnerability is exploited within 30 days, and its rank, in hundred-thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Epss {
    score: u32,
    percentile: u32,
}

const EPSS_PARTS: u32 = 100_000;

impl Epss {
    pub(crate) fn from_parts(score: u32, percentile: u32) -> Option<Self> {
        (score <= EPSS_PARTS && percentile <= EPSS_PARTS).then_some(Self { score, percentile })
    }

    /// Of two fractions as JSON has them; nothing if they are none.
    pub(crate) fn of_fractions(score: f64, percentile: f64) -> Option<Self> {
        let part = |value: f64| parts(&format!("{value:.6}"));
        Self::from_parts(part(score)?, part(percentile)?)
    }

    pub(crate) fn parts(self) -> (u32, u32) {
        (self.score, self.percentile)
    }

    /// The probability, 0 to 1.
    #[must_use]
    pub fn score(self) -> f64 {
        f64::from(self.score) / f64::from(EPSS_PARTS)
    }

    /// The share of vulnerabilities with a lower one, 0 to 1.
    #[must_use]
    pub fn percentile(self) -> f64 {
        f64::from(self.percentile) / f64::from(EPSS_PARTS)
    }
}

/// EPSS scores by CVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpssScores {
    /// The day of the scores.
    pub date: UnixTime,
    /// The scores.
    pub scores: BTreeMap<String, Epss>,
}

impl EpssScores {
    /// Reads the daily CSV, uncompressed: a comment with the day, a heading, then `cve,epss,percentile`.
    pub fn parse(text: &str) -> Result<Self, FeedError> {
        if text.len() > MAX_EPSS_BYTES {
            return Err(FeedError::TooLarge { bytes: text.len() });
        }
        let mut lines = text.lines();
        let comment = lines.next().unwrap_or_default();
        let date = comment
            .strip_prefix('#')
            .and_then(|rest| {
                rest.split(',')
                    .find_map(|field| field.trim().strip_prefix("score_date:"))
            })
            .ok_or(FeedError::NotEpss)?;
        if lines.next().map(str::trim_end) != Some("cve,epss,percentile") {
            return Err(FeedError::NotEpss);
        }
        let date = parse_epss_date(date)?;
        let mut scores = BTreeMap::new();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let mut fields = line.trim_end().split(',');
            let (Some(cve), Some(score), Some(percentile), None) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                return Err(FeedError::Entry { text: shortened(line) });
            };
            let epss = parts(score)
                .zip(parts(percentile))
                .and_then(|(score, percentile)| Epss::from_parts(score, percentile));
            match epss {
                Some(epss) if is_cve(cve) => scores.insert(cve.to_owned(), epss),
                _ => return Err(FeedError::Entry { text: shortened(line) }),
            };
        }
        Ok(Self { date, scores })
    }
}

/// The feed writes `2025-03-17T12:55:00Z`, earlier `2022-01-01T00:00:00+0000`, whose offset lacks its colon.
fn parse_epss_date(text: &str) -> Result<UnixTime, FeedError> {
    let plain = text.strip_suffix("+0000").map(|rest| format!("{rest}Z"));
    UnixTime::parse(plain.as_deref().unwrap_or(text)).map_err(|_| FeedError::Date { text: shortened(text) })
}

/// A decimal fraction from 0 to 1 in hundred-thousandths; what is finer is cut off.
fn parts(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        // `9.0e-05`, as some tools write small numbers.
        let value: f64 = text.parse().ok()?;
        return (value.is_finite() && (0.0..=1.0).contains(&value)).then(|| parts(&format!("{value:.6}")))?;
    }
    let whole: u32 = match whole {
        "0" => 0,
        "1" => EPSS_PARTS,
        _ => return None,
    };
    let five: String = fraction.chars().chain("00000".chars()).take(5).collect();
    whole.checked_add(five.parse().ok()?)
}

pub(crate) fn is_cve(text: &str) -> bool {
    let Some((year, number)) = text.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    year.len() == 4 && (4..=19).contains(&number.len()) && digits(year) && digits(number)
}

/// `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    UnixTime::parse(&format!("{text}T00:00:00Z")).is_ok()
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Why a feed was not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FeedError {
    /// Larger than the feed could be.
    #[error("the feed has {bytes} bytes, more than is accepted")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// Not CISA's JSON.
    #[error("not CISA's catalogue of known exploited vulnerabilities")]
    NotKev {
        /// Where and what.
        source: serde_json::Error,
    },
    /// The catalogue was cut short.
    #[error("the catalogue says that it has {expected} entries and has {seen}")]
    Incomplete {
        /// How many it says.
        expected: usize,
        /// How many there are.
        seen: usize,
    },
    /// Not the CSV of EPSS: no comment with `score_date`, or another heading.
    #[error("expected EPSS scores: a comment with score_date, then cve,epss,percentile")]
    NotEpss,
    /// A date that is none.
    #[error("expected the feed's date, got \"{text}\"")]
    Date {
        /// What was there.
        text: String,
    },
    /// A line or entry that is none.
    #[error("not an entry of the feed: \"{text}\"")]
    Entry {
        /// What was there, shortened.
        text: String,
    },
}

impl FeedError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "feed-too-large",
            Self::NotKev { .. } => "feed-not-kev",
            Self::Incomplete { .. } => "feed-incomplete",
            Self::NotEpss => "feed-not-epss",
            Self::Date { .. } => "feed-without-date",
            Self::Entry { .. } => "feed-entry-malformed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epss_is_read_to_the_digit() {
        let text = "#model_version:v2025.03.14,score_date:2025-03-17T12:55:00Z\ncve,epss,percentile\n\
                    CVE-1999-0001,0.01025,0.83066\nCVE-2021-44228,0.94358,0.99956\nCVE-2020-0001,1,1.0\n\
                    CVE-2020-0002,9.0e-05,0.1\n";
        let scores = EpssScores::parse(text).unwrap();
        assert_eq!(scores.date.to_string(), "2025-03-17T12:55:00Z");
        assert_eq!(scores.scores["CVE-2021-44228"].parts(), (94_358, 99_956));
        assert_eq!(scores.scores["CVE-2020-0001"].parts(), (100_000, 100_000));
        assert_eq!(scores.scores["CVE-2020-0002"].parts(), (9, 10_000));
    }

    #[test]
    fn epss_that_is_none_has_its_reason() {
        let head = "#model_version:v1,score_date:2025-03-17T12:55:00Z\ncve,epss,percentile\n";
        for (text, code) in [
            (
                "cve,epss,percentile\nCVE-1999-0001,0.1,0.2\n".to_owned(),
                "feed-not-epss",
            ),
            (
                "#score_date:2025-03-17T12:55:00Z\ncve,epss\n".to_owned(),
                "feed-not-epss",
            ),
            (
                "#score_date:soon\ncve,epss,percentile\n".to_owned(),
                "feed-without-date",
            ),
            (format!("{head}CVE-1999-0001,1.1,0.2\n"), "feed-entry-malformed"),
            (format!("{head}CVE-1999-0001,-0.1,0.2\n"), "feed-entry-malformed"),
            (format!("{head}CVE-1999-0001,NaN,0.2\n"), "feed-entry-malformed"),
            (format!("{head}CVE-1999-0001,0.1\n"), "feed-entry-malformed"),
            (format!("{head}GHSA-1,0.1,0.2\n"), "feed-entry-malformed"),
        ] {
            assert_eq!(EpssScores::parse(&text).unwrap_err().code(), code, "{text}");
        }
    }

    #[test]
    fn a_catalogue_cut_short_is_refused() {
        let entry = r#"{"cveID":"CVE-2021-44228","dateAdded":"2021-12-10","dueDate":"2021-12-24","knownRansomwareCampaignUse":"Known"}"#;
        let catalogue = |count: u32, entry: &str| {
            format!(r#"{{"dateReleased":"2025-08-25T17:04:19.9796Z","count":{count},"vulnerabilities":[{entry}]}}"#)
        };
        let read = KnownExploited::parse(catalogue(1, entry).as_bytes()).unwrap();
        let exploited = &read.entries["CVE-2021-44228"];
        assert!(exploited.ransomware);
        assert_eq!(exploited.due_date, "2021-12-24");
        for (text, code) in [
            (catalogue(2, entry), "feed-incomplete"),
            (
                catalogue(1, &entry.replace("CVE-2021", "CVE-21")),
                "feed-entry-malformed",
            ),
            (
                catalogue(1, &entry.replace("2021-12-10", "10.12.2021")),
                "feed-entry-malformed",
            ),
            ("[]".to_owned(), "feed-not-kev"),
        ] {
            assert_eq!(
                KnownExploited::parse(text.as_bytes()).unwrap_err().code(),
                code,
                "{text}"
            );
        }
    }
}
