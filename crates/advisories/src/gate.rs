//! The gate: what may not pass, what a person should look at, and what somebody decided to live with.
//!
//! A policy is rules and exceptions. Each finding is held against the rules in their order; the first whose conditions all
//! hold decides. An exception has a reason and a day on which it ends; one that has ended holds nothing back.
//!
//! Three things are kept apart: [`Verdict::Stop`], [`Verdict::Pass`], and [`Verdict::Undecided`], which is what a
//! result means whose packages could not be looked up, or whose rules ask for a feed that the database has not.

mod rule;

use proofmark_types::{Purl, UnixTime};
use serde::Serialize;

use crate::glob;
use crate::matching::{Finding, Scan};
use crate::vex::{Standing, Status};

pub use rule::{Action, Conditions, Exception, Fix, GateError, Policy, Rule};

/// What is known of a package beside its findings.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackageFacts<'a> {
    /// Its package URL.
    pub purl: Option<&'a Purl>,
    /// Its name, where it has no package URL.
    pub name: &'a str,
    /// Where it is.
    pub paths: &'a [&'a str],
    /// Its licences.
    pub licences: &'a [&'a str],
}

/// What the gate looks at.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'e, 'd> {
    /// The result of matching.
    pub scan: &'e Scan<'d>,
    /// The packages, as they were given to the scan.
    pub packages: &'e [PackageFacts<'e>],
    /// What VEX documents say, by finding; empty if there are none.
    pub standings: &'e [Option<Standing<'e>>],
    /// Whether the database has the catalogue of known exploited vulnerabilities.
    pub has_exploited: bool,
    /// Whether it has EPSS scores.
    pub has_scores: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[must_use]
pub enum Verdict {
    /// Everything was looked at, and no rule stops it.
    Pass,
    /// A rule stops it.
    Stop,
    /// No rule stops it, and something could not be looked at.
    Undecided,
}

/// The answer and its grounds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[must_use]
pub struct Gate {
    /// The answer.
    pub verdict: Verdict,
    /// What stops it.
    pub stopped: Vec<Ruling>,
    /// What a person should look at.
    pub review: Vec<Ruling>,
    /// What VEX documents or exceptions hold back.
    pub held_back: Vec<Ruling>,
    /// Why it is undecided: stable names and words.
    pub undecided: Vec<(String, String)>,
    /// Exceptions that have ended, or matched nothing.
    pub stale: Vec<Ruling>,
}

/// What was decided of one finding, by which rule and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ruling {
    /// The finding: a place in the scan's list. Absent for an exception that matched none.
    pub finding: Option<usize>,
    /// The rule or exception.
    pub rule: String,
    /// Why.
    pub reason: String,
}

impl Policy {
    /// Holds every finding against the rules.
    pub fn decide(&self, evidence: &Evidence<'_, '_>, now: UnixTime) -> Gate {
        let mut gate = Gate {
            verdict: Verdict::Pass,
            stopped: Vec::new(),
            review: Vec::new(),
            held_back: Vec::new(),
            undecided: self.missing(evidence),
            stale: Vec::new(),
        };
        let mut used = vec![false; self.exceptions.len()];
        for (place, finding) in evidence.scan.findings.iter().enumerate() {
            let facts = evidence.packages.get(finding.package).copied().unwrap_or_default();
            // 1. What the image's makers say is not so.
            let standing = evidence.standings.get(place).copied().flatten();
            if let Some(standing) = standing.filter(|s| matches!(s.status, Status::NotAffected | Status::Fixed)) {
                gate.held_back.push(Ruling {
                    finding: Some(place),
                    rule: format!("vex:{}", standing.document),
                    reason: standing.reason(),
                });
                continue;
            }
            // 2. What somebody decided to live with, until a day.
            if let Some((at, exception)) = self.exception(finding, &facts, now) {
                if let Some(used) = used.get_mut(at) {
                    *used = true;
                }
                gate.held_back.push(Ruling {
                    finding: Some(place),
                    rule: format!("exception:{}", exception.id),
                    reason: exception.reason.clone(),
                });
                continue;
            }
            // 3. The first rule that holds.
            let Some(rule) = self.rules.iter().find(|rule| rule.when.hold(finding, &facts, now)) else {
                continue;
            };
            let ruling = Ruling {
                finding: Some(place),
                rule: rule.id.clone(),
                reason: rule.reason.clone(),
            };
            // An identity that may be wrong stops nothing by itself, unless the rule asks for such.
            let doubtful = finding.uncertain.is_some() && rule.when.uncertain.is_none();
            match rule.action {
                Action::Stop if !doubtful => gate.stopped.push(ruling),
                Action::Stop | Action::Review => gate.review.push(ruling),
                Action::Pass => {}
            }
        }
        self.stale(&used, now, &mut gate);
        gate.verdict = if !gate.stopped.is_empty() {
            Verdict::Stop
        } else if !gate.undecided.is_empty() {
            Verdict::Undecided
        } else {
            Verdict::Pass
        };
        gate
    }

    /// What would have to be there for the rules to mean something.
    fn missing(&self, evidence: &Evidence<'_, '_>) -> Vec<(String, String)> {
        let mut missing: Vec<(String, String)> = evidence
            .scan
            .conditions
            .iter()
            .map(|condition| (condition.code().to_owned(), condition.to_string()))
            .collect();
        let asks = |wanted: fn(&Conditions) -> bool| self.rules.iter().any(|rule| wanted(&rule.when));
        if !evidence.has_exploited && asks(|when| when.exploited.is_some() || when.ransomware.is_some()) {
            let text = "a rule asks what is known to be exploited, and the database has no such catalogue";
            missing.push(("no-exploited-catalogue".to_owned(), text.to_owned()));
        }
        if !evidence.has_scores && asks(|when| when.epss.is_some()) {
            let text = "a rule asks for EPSS scores, and the database has none";
            missing.push(("no-epss-scores".to_owned(), text.to_owned()));
        }
        missing
    }

    fn exception(&self, finding: &Finding<'_>, facts: &PackageFacts<'_>, now: UnixTime) -> Option<(usize, &Exception)> {
        let names = || {
            let names = finding.aliases.iter().chain(&finding.advisories);
            std::iter::once(&finding.id).chain(names)
        };
        self.exceptions.iter().enumerate().find(|(_, exception)| {
            let package = exception.package.as_deref();
            names().any(|name| *name == exception.id)
                && package.is_none_or(|pattern| facts.named().any(|name| glob::matches(pattern, name)))
                && !exception.has_ended(now)
        })
    }

    fn stale(&self, used: &[bool], now: UnixTime, gate: &mut Gate) {
        for (exception, used) in self.exceptions.iter().zip(used) {
            let reason = match (exception.has_ended(now), used) {
                (true, _) => format!("it ended on {}", exception.expires),
                (false, false) => "it matched no finding".to_owned(),
                (false, true) => continue,
            };
            gate.stale.push(Ruling {
                finding: None,
                rule: format!("exception:{}", exception.id),
                reason,
            });
        }
    }
}

impl PackageFacts<'_> {
    fn named(&self) -> impl Iterator<Item = &str> {
        self.purl.map(Purl::name).into_iter().chain(std::iter::once(self.name))
    }
}

impl Conditions {
    /// Whether all that are given hold.
    fn hold(&self, finding: &Finding<'_>, facts: &PackageFacts<'_>, now: UnixTime) -> bool {
        let any = |patterns: &Option<Vec<String>>, texts: &[&str]| {
            patterns.as_ref().is_none_or(|patterns| {
                let matched = |pattern: &String| texts.iter().any(|text| glob::matches(pattern, text));
                patterns.iter().any(matched)
            })
        };
        let names: Vec<&str> = facts.named().collect();
        let kind: Vec<&str> = facts.purl.map(Purl::kind).into_iter().collect();
        // A vulnerability that nobody says the day of may be old.
        let old = |days: u64| {
            finding
                .published
                .is_none_or(|at| now.since(at).as_secs() / 86_400 >= days)
        };
        self.severity.is_none_or(|least| finding.rating >= least)
            && self.unrated.is_none_or(|wanted| finding.rating.is_unknown() == wanted)
            && self
                .cvss
                .is_none_or(|least| finding.score.is_some_and(|tenths| f64::from(tenths) / 10.0 >= least))
            && self.exploited.is_none_or(|wanted| finding.exploited == wanted)
            && self.ransomware.is_none_or(|wanted| finding.ransomware == wanted)
            && self
                .epss
                .is_none_or(|least| finding.epss.is_some_and(|epss| epss.score() >= least))
            && self
                .fix
                .is_none_or(|fix| finding.fixed.is_some() == (fix == Fix::Available))
            && self.age_days.is_none_or(old)
            && self
                .uncertain
                .is_none_or(|wanted| finding.uncertain.is_some() == wanted)
            && any(&self.package, &names)
            && any(&self.kind, &kind)
            && any(&self.path, facts.paths)
            && any(&self.licence, facts.licences)
    }
}
