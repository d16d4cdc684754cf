//! What a policy says, as YAML.

use std::collections::BTreeMap;

use proofmark_types::UnixTime;
use serde::Deserialize;
use thiserror::Error;

use crate::severity::Rating;

/// A policy is written by hand.
const MAX_POLICY_BYTES: usize = 1024 * 1024;
/// Policy, rules, rule, conditions, patterns.
const MAX_DEPTH: usize = 16;
/// Some thousand exceptions of five fields.
const MAX_NODES: usize = 50_000;

/// Rules and exceptions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Held against each finding in their order; the first that holds decides. Those of [`Policy::default`] if a policy says
    /// none.
    #[serde(default = "default_rules")]
    pub rules: Vec<Rule>,
    /// Held against each package in their order, whether anything is known of it or not.
    #[serde(default)]
    pub licences: Vec<Rule>,
    /// What becomes of packages that were not looked up, by the reason's code; see [`Policy::level`] for the others.
    #[serde(default)]
    pub not_looked_up: BTreeMap<String, Level>,
    /// What somebody decided to live with.
    #[serde(default)]
    pub exceptions: Vec<Exception>,
}

/// What is done where something could not be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is said, and changes nothing.
    Warn,
    /// The result is no pass.
    Undecided,
    /// The image may not pass.
    Stop,
}

/// What packages are not looked up for, and what makes a result mean nothing: the codes that a policy may name.
const CODES: [&str; 13] = [
    "no-package-url",
    "no-version",
    "version-malformed",
    "version-unknown",
    "kind-unknown",
    "owner-not-looked-up",
    "advisory-undecidable",
    "distribution-unknown",
    "distribution-licence",
    "distribution-expired",
    "distribution-not-in-database",
    "ecosystem-not-in-database",
    "nothing-listed",
];

impl Policy {
    /// What is done for a code. Without a word of the policy's own: what no advisory could be about, as far as anybody can
    /// tell, is said; all else is no pass.
    #[must_use]
    pub fn level(&self, code: &str) -> Level {
        let usual = match code {
            "no-package-url" | "no-version" | "version-malformed" | "kind-unknown" | "nothing-listed" => Level::Warn,
            _ => Level::Undecided,
        };
        self.not_looked_up.get(code).copied().unwrap_or(usual)
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which results carry.
    pub id: String,
    /// Why it is there.
    pub reason: String,
    /// What is done with what it holds for.
    pub action: Action,
    /// All of these must hold.
    pub when: Conditions,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The image may not pass.
    Stop,
    /// A person should look.
    Review,
    /// Nothing; later rules are not asked.
    Pass,
}

/// Conditions; those that are not given hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Conditions {
    /// At least this bad. What nobody rated is not: see `unrated`.
    pub severity: Option<Rating>,
    /// Whether nobody said how bad it is.
    pub unrated: Option<bool>,
    /// A CVSS score of at least this.
    pub cvss: Option<f64>,
    /// Whether it is known to be exploited.
    pub exploited: Option<bool>,
    /// Whether ransomware uses it.
    pub ransomware: Option<bool>,
    /// A probability of being exploited of at least this.
    pub epss: Option<f64>,
    /// Whether there is a version that mends it.
    pub fix: Option<Fix>,
    /// Published at least so many days ago.
    pub age_days: Option<u64>,
    /// Whether the package's identity may be wrong.
    pub uncertain: Option<bool>,
    /// The package's name is one of these patterns.
    pub package: Option<Vec<String>>,
    /// The type of its package URL is one of these.
    pub kind: Option<Vec<String>>,
    /// One of its paths is one of these patterns.
    pub path: Option<Vec<String>>,
    /// Its licences are of these patterns. For what is stopped or reviewed: it cannot be had without one of them. For what
    /// passes: these are enough to have it.
    pub licence: Option<Vec<String>>,
    /// Whether it declares no licence, or one that is no SPDX expression.
    pub licence_unknown: Option<bool>,
}

impl Conditions {
    /// Whether they ask for nothing but what a package says of itself.
    fn is_of_packages(&self) -> bool {
        let of_packages = Self {
            uncertain: self.uncertain,
            package: self.package.clone(),
            kind: self.kind.clone(),
            path: self.path.clone(),
            licence: self.licence.clone(),
            licence_unknown: self.licence_unknown,
            ..Self::default()
        };
        *self == of_packages
    }
}

/// Whether there is a fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fix {
    /// There is.
    Available,
    /// There is none.
    None,
}

/// What somebody decided to live with, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The vulnerability, by any of its names.
    pub id: String,
    /// Only in packages of this name, which may have `*`.
    #[serde(default)]
    pub package: Option<String>,
    /// Why.
    pub reason: String,
    /// The last day on which it holds, as `YYYY-MM-DD`.
    pub expires: String,
}

impl Exception {
    /// Whether its last day, in UTC, is over.
    pub(super) fn has_ended(&self, now: UnixTime) -> bool {
        last_second(&self.expires).is_none_or(|last| now > last)
    }
}

fn last_second(day: &str) -> Option<UnixTime> {
    UnixTime::parse(&format!("{day}T23:59:59Z")).ok()
}

impl Default for Policy {
    /// Stops what is critical, exploited and fixable; what is exploited and fixable and rated by nobody may be critical.
    /// Lists for review what is critical or exploited without a fix.
    fn default() -> Self {
        let rule = |id: &str, action: Action, reason: &str, when: Conditions| Rule {
            id: id.to_owned(),
            reason: reason.to_owned(),
            action,
            when,
        };
        let critical = || Conditions {
            severity: Some(Rating::Critical),
            ..Conditions::default()
        };
        let exploited = || Conditions {
            exploited: Some(true),
            ..Conditions::default()
        };
        Self {
            rules: vec![
                rule(
                    "critical-exploited-fixable",
                    Action::Stop,
                    "critical, known to be exploited, and there is a fix",
                    Conditions {
                        fix: Some(Fix::Available),
                        exploited: Some(true),
                        ..critical()
                    },
                ),
                rule(
                    "unrated-exploited-fixable",
                    Action::Stop,
                    "known to be exploited, there is a fix, and nobody says that it is less than critical",
                    Conditions {
                        fix: Some(Fix::Available),
                        unrated: Some(true),
                        ..exploited()
                    },
                ),
                rule(
                    "critical-without-fix",
                    Action::Review,
                    "critical, and there is no fix yet",
                    Conditions {
                        fix: Some(Fix::None),
                        ..critical()
                    },
                ),
                rule(
                    "exploited-without-fix",
                    Action::Review,
                    "known to be exploited, and there is no fix yet",
                    Conditions {
                        fix: Some(Fix::None),
                        ..exploited()
                    },
                ),
            ],
            licences: Vec::new(),
            not_looked_up: BTreeMap::new(),
            exceptions: Vec::new(),
        }
    }
}

fn default_rules() -> Vec<Rule> {
    Policy::default().rules
}

impl Policy {
    /// Reads a policy. What is not understood is an error: a rule that is misread lets something pass.
    pub fn parse(text: &str) -> Result<Self, GateError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(GateError::TooLarge { bytes: text.len() });
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: MAX_DEPTH,
                max_documents: 1,
                max_nodes: MAX_NODES,
            },
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
            strict_booleans: true,
            with_snippet: false,
        };
        let policy: Self =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| GateError::Malformed {
                text: error.to_string(),
            })?;
        if let Some(rule) = policy.licences.iter().find(|rule| !rule.when.is_of_packages()) {
            return Err(GateError::NotOfPackages { rule: rule.id.clone() });
        }
        if let Some(code) = policy.not_looked_up.keys().find(|code| !CODES.contains(&code.as_str())) {
            return Err(GateError::UnknownCode { code: code.clone() });
        }
        for rule in policy.rules.iter().chain(&policy.licences) {
            let when = &rule.when;
            if rule.id.is_empty() || *when == Conditions::default() {
                return Err(GateError::Unconditional { rule: rule.id.clone() });
            }
            // `severity: unknown` would hold for everything: unknown is the lowest.
            if when.severity == Some(Rating::Unknown) {
                return Err(GateError::SeverityUnknown { rule: rule.id.clone() });
            }
            let within = |value: Option<f64>, most: f64| value.is_none_or(|v| (0.0..=most).contains(&v));
            if !within(when.cvss, 10.0) || !within(when.epss, 1.0) {
                return Err(GateError::OutOfRange { rule: rule.id.clone() });
            }
        }
        for exception in &policy.exceptions {
            if exception.reason.trim().is_empty() {
                return Err(GateError::NoReason {
                    id: exception.id.clone(),
                });
            }
            if last_second(&exception.expires).is_none() {
                return Err(GateError::Expiry {
                    id: exception.id.clone(),
                    text: exception.expires.clone(),
                });
            }
        }
        Ok(policy)
    }
}

/// Why a text is no policy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GateError {
    /// More than anybody writes.
    #[error("a gate policy of {bytes} bytes is larger than the {MAX_POLICY_BYTES} accepted")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// No YAML, or fields that are not known.
    #[error("not a gate policy: {text}")]
    Malformed {
        /// Where and what.
        text: String,
    },
    /// A rule without a name or without conditions, which would hold for everything.
    #[error("the rule \"{rule}\" needs an id and at least one condition")]
    Unconditional {
        /// The rule.
        rule: String,
    },
    /// Unknown is no degree.
    #[error("the rule \"{rule}\" asks for a severity of at least unknown: say `unrated: true`")]
    SeverityUnknown {
        /// The rule.
        rule: String,
    },
    /// A score that there is not.
    #[error("the rule \"{rule}\" asks for a score that there is not: cvss is 0 to 10, epss 0 to 1")]
    OutOfRange {
        /// The rule.
        rule: String,
    },
    /// A rule about licences that asks for what only a finding has.
    #[error(
        "the licence rule \"{rule}\" asks about vulnerabilities: it can ask for licence, licence-unknown, package, kind, path, uncertain"
    )]
    NotOfPackages {
        /// The rule.
        rule: String,
    },
    /// A reason that packages are never not looked up for.
    #[error("not-looked-up has no \"{code}\"; it has {}", CODES.join(", "))]
    UnknownCode {
        /// What was there.
        code: String,
    },
    /// An exception that says nothing.
    #[error("the exception for {id} needs a reason")]
    NoReason {
        /// The vulnerability.
        id: String,
    },
    /// An exception without end.
    #[error("the exception for {id} needs the day on which it ends, such as 2027-01-31; got \"{text}\"")]
    Expiry {
        /// The vulnerability.
        id: String,
        /// What was there.
        text: String,
    },
}

impl GateError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "gate-too-large",
            Self::Malformed { .. } => "gate-malformed",
            Self::Unconditional { .. } => "gate-rule-unconditional",
            Self::SeverityUnknown { .. } => "gate-severity-unknown",
            Self::OutOfRange { .. } => "gate-out-of-range",
            Self::NotOfPackages { .. } => "gate-licence-rule",
            Self::UnknownCode { .. } => "gate-unknown-code",
            Self::NoReason { .. } => "gate-exception-without-reason",
            Self::Expiry { .. } => "gate-exception-without-end",
        }
    }
}
