//! The gate: what may not pass, what a person should look at, and what somebody decided to live with.
//!
//! A policy is rules and exceptions. Each finding is held against the rules in their order; the first whose conditions all
//! hold decides. Rules about licences are held against every package in the same way. An exception has a reason and a day on
//! which it ends; one that has ended holds nothing back.
//!
//! Three things are kept apart: [`Verdict::Stop`], [`Verdict::Pass`], and [`Verdict::Undecided`], which is what a
//! result means whose packages could not be looked up, or whose rules ask for a feed that the database has not.

mod licence;
mod rule;

use std::collections::BTreeMap;

use proofmark_types::{Purl, UnixTime};
use serde::Serialize;

use crate::glob;
use crate::matching::{Finding, Scan};
use crate::vex::{Standing, Status};

use self::licence::Sense;
pub use rule::{Action, Conditions, Exception, Fix, GateError, Level, Policy, Rule};

/// What is known of a package beside its findings.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackageFacts<'a> {
    /// Its package URL.
    pub purl: Option<&'a Purl>,
    /// Its name, where it has no package URL.
    pub name: &'a str,
    /// Where it is.
    pub paths: &'a [&'a str],
    /// Its licences, SPDX expressions where they are; all of them apply.
    pub licences: &'a [&'a str],
    /// Whether it declares none, or one that is no expression.
    pub licence_unknown: bool,
    /// Whether its identity may be wrong.
    pub uncertain: bool,
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
    /// What could not be looked up and changes nothing by this policy: stable names and words.
    pub warned: Vec<(String, String)>,
    /// Exceptions that have ended, or matched nothing.
    pub stale: Vec<Ruling>,
}

/// What was decided of one finding, or of one package, by which rule and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ruling {
    /// The finding: a place in the scan's list. Absent for an exception that matched none, and for what is about a package.
    pub finding: Option<usize>,
    /// The package, where it is about one and no finding: a place in the list of packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<usize>,
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
            warned: Vec::new(),
            stale: Vec::new(),
        };
        self.not_looked_up(evidence, &mut gate);
        let mut used = vec![false; self.exceptions.len()];
        for (place, finding) in evidence.scan.findings.iter().enumerate() {
            let facts = evidence.packages.get(finding.package).copied().unwrap_or_default();
            // 1. What the image's makers say is not so.
            let standing = evidence.standings.get(place).copied().flatten();
            if let Some(standing) = standing.filter(|s| matches!(s.status, Status::NotAffected | Status::Fixed)) {
                gate.held_back.push(Ruling {
                    finding: Some(place),
                    package: None,
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
                    package: None,
                    rule: format!("exception:{}", exception.id),
                    reason: exception.reason.clone(),
                });
                continue;
            }
            // 3. The first rule that holds.
            let Some(rule) = self.rules.iter().find(|rule| rule.hold(finding, &facts, now)) else {
                continue;
            };
            let ruling = Ruling {
                finding: Some(place),
                package: None,
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
        self.licences(evidence, &mut used, now, &mut gate);
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

    /// Holds every package against the rules about licences.
    fn licences(&self, evidence: &Evidence<'_, '_>, used: &mut [bool], now: UnixTime, gate: &mut Gate) {
        for (place, facts) in evidence.packages.iter().enumerate() {
            let Some(rule) = self.licences.iter().find(|rule| rule.hold_for(facts)) else {
                continue;
            };
            let ruling = |rule: String, reason: &str| Ruling {
                finding: None,
                package: Some(place),
                rule,
                reason: reason.to_owned(),
            };
            let excepted = self
                .exceptions
                .iter()
                .position(|exception| exception.id == rule.id && exception.means(facts) && !exception.has_ended(now));
            if let Some(exception) = excepted.filter(|_| rule.action != Action::Pass) {
                if let Some(used) = used.get_mut(exception) {
                    *used = true;
                }
                let reason = self.exceptions.get(exception).map_or("", |exception| &exception.reason);
                gate.held_back.push(ruling(format!("exception:{}", rule.id), reason));
                continue;
            }
            match rule.action {
                Action::Stop => gate.stopped.push(ruling(rule.id.clone(), &rule.reason)),
                Action::Review => gate.review.push(ruling(rule.id.clone(), &rule.reason)),
                Action::Pass => {}
            }
        }
    }

    /// What the policy makes of packages that were not looked up, and of what makes the absence of findings mean nothing.
    fn not_looked_up(&self, evidence: &Evidence<'_, '_>, gate: &mut Gate) {
        /// The most packages named of one reason.
        const MAX_NAMED: usize = 5;
        let conditions = evidence.scan.conditions.iter();
        let mut said: Vec<(&str, String)> = conditions.map(|c| (c.code(), c.to_string())).collect();
        if evidence.packages.is_empty() {
            said.push((
                "nothing-listed",
                "no package was found: nothing was looked up".to_owned(),
            ));
        }
        let mut counts: BTreeMap<&str, (usize, Vec<&str>, String)> = BTreeMap::new();
        for (place, reason) in &evidence.scan.not_looked_up {
            if said.iter().any(|(code, _)| *code == reason.code()) {
                continue;
            }
            let (count, names, _) = counts
                .entry(reason.code())
                .or_insert_with(|| (0, Vec::new(), reason.to_string()));
            *count += 1;
            if names.len() < MAX_NAMED {
                names.extend(evidence.packages.get(*place).map(|facts| facts.name));
            }
        }
        for (code, (count, names, reason)) in counts {
            let more = if count > names.len() { ", …" } else { "" };
            let text = format!(
                "{count} packages were not looked up ({}{more}): {reason}",
                names.join(", ")
            );
            said.push((code, text));
        }
        for (code, text) in said {
            match self.level(code) {
                Level::Warn => gate.warned.push((code.to_owned(), text)),
                Level::Undecided => gate.undecided.push((code.to_owned(), text)),
                Level::Stop => gate.stopped.push(Ruling {
                    finding: None,
                    package: None,
                    rule: format!("not-looked-up:{code}"),
                    reason: text,
                }),
            }
        }
    }

    /// What would have to be there for the rules to mean something.
    fn missing(&self, evidence: &Evidence<'_, '_>) -> Vec<(String, String)> {
        let mut missing = Vec::new();
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
            names().any(|name| *name == exception.id) && exception.means(facts) && !exception.has_ended(now)
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
                package: None,
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

impl Exception {
    /// Whether it is about this package.
    fn means(&self, facts: &PackageFacts<'_>) -> bool {
        let package = self.package.as_deref();
        package.is_none_or(|pattern| facts.named().any(|name| glob::matches(pattern, name)))
    }
}

impl Rule {
    fn hold(&self, finding: &Finding<'_>, facts: &PackageFacts<'_>, now: UnixTime) -> bool {
        self.when.hold(finding, now) && self.when.hold_for(facts, self.sense())
    }

    /// The same of a package of which nothing may be known.
    fn hold_for(&self, facts: &PackageFacts<'_>) -> bool {
        self.when.uncertain.is_none_or(|wanted| facts.uncertain == wanted) && self.when.hold_for(facts, self.sense())
    }

    fn sense(&self) -> Sense {
        match self.action {
            Action::Stop | Action::Review => Sense::Needed,
            Action::Pass => Sense::Enough,
        }
    }
}

impl Conditions {
    /// Whether all that are given about a package hold.
    fn hold_for(&self, facts: &PackageFacts<'_>, sense: Sense) -> bool {
        let any = |patterns: &Option<Vec<String>>, texts: &[&str]| {
            patterns.as_ref().is_none_or(|patterns| {
                let matched = |pattern: &String| texts.iter().any(|text| glob::matches(pattern, text));
                patterns.iter().any(matched)
            })
        };
        let names: Vec<&str> = facts.named().collect();
        let kind: Vec<&str> = facts.purl.map(Purl::kind).into_iter().collect();
        any(&self.package, &names)
            && any(&self.kind, &kind)
            && any(&self.path, facts.paths)
            && self
                .licence_unknown
                .is_none_or(|wanted| facts.licence_unknown == wanted)
            && self
                .licence
                .as_ref()
                .is_none_or(|patterns| licence::holds(patterns, facts.licences, sense))
    }

    /// Whether all that are given about a finding hold.
    fn hold(&self, finding: &Finding<'_>, now: UnixTime) -> bool {
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
    }
}
