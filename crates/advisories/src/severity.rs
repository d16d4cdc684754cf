//! How bad: the ratings of distributions and databases, and scores computed from CVSS vectors.

use std::fmt;
use std::str::FromStr as _;

use cvss::Cvss;
use serde::{Deserialize, Serialize};

/// A rating, worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rating {
    /// Nobody said. It is below all others in order, and no gate may take it for harmless.
    #[default]
    Unknown,
    /// Said not to matter (Debian's "unimportant", Ubuntu's "negligible", a CVSS score of zero).
    Negligible,
    /// CVSS 0.1 to 3.9.
    Low,
    /// CVSS 4.0 to 6.9; "moderate" elsewhere.
    Medium,
    /// CVSS 7.0 to 8.9; "important" elsewhere.
    High,
    /// CVSS 9.0 and more.
    Critical,
}

impl Rating {
    /// All, in order.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Negligible,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// Reads the words that distributions and databases use, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        const WORDS: [(&str, Rating); 9] = [
            ("negligible", Rating::Negligible),
            ("unimportant", Rating::Negligible),
            ("none", Rating::Negligible),
            ("low", Rating::Low),
            ("medium", Rating::Medium),
            ("moderate", Rating::Medium),
            ("high", Rating::High),
            ("important", Rating::High),
            ("critical", Rating::Critical),
        ];
        WORDS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word))
            .map(|(_, rating)| *rating)
    }

    /// The rating of a CVSS score given in tenths (CVSS 3.1 and 4.0, "Qualitative Severity Rating Scale").
    #[must_use]
    pub fn of_score(tenths: u8) -> Self {
        match tenths {
            0 => Self::Negligible,
            1..40 => Self::Low,
            40..70 => Self::Medium,
            70..90 => Self::High,
            _ => Self::Critical,
        }
    }

    /// Whether nobody said.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        self == Self::Unknown
    }

    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Negligible => "negligible",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Negligible => 1,
            Self::Low => 2,
            Self::Medium => 3,
            Self::High => 4,
            Self::Critical => 5,
        }
    }

    pub(crate) fn of_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|rating| rating.code() == code)
    }
}

impl fmt::Display for Rating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a source says of how bad an advisory is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Severity {
    /// The rating: the source's own word, else that of the score.
    pub rating: Rating,
    /// The CVSS base score in tenths, computed from the vector.
    pub score: Option<u8>,
    /// The CVSS vector.
    pub vector: Option<String>,
}

impl Severity {
    /// Of a source's own word.
    #[must_use]
    pub fn rated(rating: Rating) -> Self {
        Self {
            rating,
            ..Self::default()
        }
    }

    /// Of a CVSS vector of any version. A vector that cannot be computed is kept, without score and rating.
    #[must_use]
    pub fn of_vector(vector: &str) -> Self {
        let score = score(vector);
        Self {
            rating: score.map_or(Rating::Unknown, Rating::of_score),
            score,
            vector: Some(vector.to_owned()),
        }
    }

    /// Whether anything is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.rating != Rating::Unknown
    }

    /// CVSS 4 before 3 before 2: the later, the nearer to how bad it is.
    pub(crate) fn preference(&self) -> u8 {
        match self.vector.as_deref() {
            Some(vector) if vector.starts_with("CVSS:4") => 3,
            Some(vector) if vector.starts_with("CVSS:3") => 2,
            Some(_) => 1,
            None => 0,
        }
    }
}

/// The base metrics without which there is no score; the crate would count an absent one as harmless.
const BASE: [(&str, &[&str]); 3] = [
    (
        "CVSS:4",
        &["AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA"],
    ),
    ("CVSS:3", &["AV", "AC", "PR", "UI", "S", "C", "I", "A"]),
    ("", &["AV", "AC", "Au", "C", "I", "A"]),
];

/// The score in tenths. A trailing slash, which some records have, is no metric.
fn score(vector: &str) -> Option<u8> {
    let vector = vector.trim_end_matches('/');
    let (_, base) = BASE.iter().find(|(version, _)| vector.starts_with(version))?;
    let metrics = || vector.split('/').filter_map(|metric| metric.split_once(':'));
    if !base.iter().all(|name| metrics().any(|(metric, _)| metric == *name)) {
        return None;
    }
    let cvss = Cvss::from_str(vector).ok()?;
    // One decimal place is what the specifications round to.
    let text = format!("{:.1}", cvss.score());
    let (whole, tenth) = text.split_once('.')?;
    let tenths = whole
        .parse::<u8>()
        .ok()?
        .checked_mul(10)?
        .checked_add(tenth.parse().ok()?)?;
    (tenths <= 100).then_some(tenths)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores as the specifications' authors and NVD publish them for these vulnerabilities.
    #[test]
    fn scores_are_those_published() {
        for (vector, tenths, rating) in [
            // CVE-2021-44228, CVE-2014-0160, CVE-2002-0392 (the CVSS 2 guide's example), CVE-2024-3094.
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 100, Rating::Critical),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 75, Rating::High),
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", 78, Rating::High),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H/", 100, Rating::Critical),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                93,
                Rating::Critical,
            ),
            ("CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:N", 0, Rating::Negligible),
        ] {
            let severity = Severity::of_vector(vector);
            assert_eq!((severity.score, severity.rating), (Some(tenths), rating), "{vector}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_unknown_and_not_harmless() {
        for vector in ["CVSS:5.0/AV:N", "", "high", "CVSS:3.1/AV:N", "AV:N/AC:L"] {
            let severity = Severity::of_vector(vector);
            assert_eq!((severity.score, severity.rating), (None, Rating::Unknown), "{vector}");
            assert_eq!(severity.vector.as_deref(), Some(vector));
        }
        assert_eq!(Rating::parse("Moderate"), Some(Rating::Medium));
        assert_eq!(Rating::parse("untriaged"), None);
    }
}
