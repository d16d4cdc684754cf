//! The evaluation of rules over proofs.

use proofmark_verify::Proofs;

use super::hint::hint;
use super::objects::report_exception;
use super::{NoMatch, PolicySet, across, image_rules, quorum};
use crate::model::{Check, Demand, Policy, Rule};
use crate::question::{Accepted, Decision, DecisionReason, Mode, OnUnreachable, Outcome, Question, Unavailable, Via};

pub(super) fn decide(set: &PolicySet, rules: &[(&Policy, &Rule)], question: &Question<'_>) -> Decision {
    let mut decision = Decision::open();
    for (policy, rule) in rules {
        if !decision.policies.contains(&policy.name) {
            decision.policies.push(policy.name.clone());
        }
        if let Some(exception) = set.exception_from(policy, rule, question) {
            let rule = format!("{}/{}", policy.name, rule.name);
            report_exception(&mut decision, &exception.name, &rule, "the whole object");
            continue;
        }
        for check in &rule.checks {
            let finding = evaluate(check, policy.on_unreachable, question);
            record(&mut decision, policy, rule, rule.mode(question.context), finding);
        }
    }
    decision
}

pub(super) fn nothing_matched(decision: &mut Decision, no_match: NoMatch, question: &Question<'_>) {
    if no_match == NoMatch::Warn {
        let warning = format!("no policy concerns {}; it runs nevertheless", question.image);
        decision.warnings.push(warning);
    }
    if no_match != NoMatch::Deny {
        decision
            .audit
            .insert("no-policy-matched".to_owned(), question.image.to_string());
        return;
    }
    decision.outcome = Outcome::Fail;
    decision.reasons.push(DecisionReason {
        policy: "(default)".to_owned(),
        rule: "no-match".to_owned(),
        mode: Mode::Enforce,
        code: "no-policy-matched".to_owned(),
        message: format!(
            "no policy concerns {}, and images without a policy are denied",
            question.image
        ),
        hint: hint("no-policy-matched").to_owned(),
        undecided: false,
    });
}

/// Adds what a check found to the decision, as the rule's mode says.
fn record(decision: &mut Decision, policy: &Policy, rule: &Rule, mode: Mode, finding: Finding) {
    let warnings = finding.warnings.into_iter();
    decision
        .warnings
        .extend(warnings.map(|text| format!("{}/{}: {text}", policy.name, rule.name)));
    for accepted in finding.accepted {
        decision.accepted.push(Accepted {
            policy: policy.name.clone(),
            rule: rule.name.clone(),
            ..accepted
        });
    }
    let place = Place {
        policy: &policy.name,
        rule: &rule.name,
        mode,
    };
    for problem in finding.problems {
        record_problem(decision, &place, &problem.code, problem.message, problem.undecided);
    }
}

/// Where something was not met.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) policy: &'a str,
    pub(super) rule: &'a str,
    pub(super) mode: Mode,
}

pub(super) fn record_problem(decision: &mut Decision, place: &Place<'_>, code: &str, message: String, undecided: bool) {
    let reason = DecisionReason {
        policy: place.policy.to_owned(),
        rule: place.rule.to_owned(),
        mode: place.mode,
        hint: hint(code).to_owned(),
        code: code.to_owned(),
        message,
        undecided,
    };
    // Several demands of one rule can fail for one and the same reason (a registry that is down): it is said once.
    if decision.reasons.contains(&reason) {
        return;
    }
    match place.mode {
        Mode::Enforce if undecided => decision.outcome = decision.outcome.max(Outcome::Undecided),
        Mode::Enforce => decision.outcome = Outcome::Fail,
        Mode::Warn => decision.warnings.push(reason.to_string()),
        Mode::Audit => place.annotate(decision, code, &reason.message),
    }
    decision.reasons.push(reason);
}

impl Place<'_> {
    pub(super) fn annotate(&self, decision: &mut Decision, code: &str, message: &str) {
        let entry = decision.audit.entry(audit_key(self)).or_default();
        if !entry.is_empty() {
            entry.push_str("; ");
        }
        entry.push_str(&format!("{message} [{code}]"));
    }
}

/// The longest name part of a qualified name in Kubernetes, which the key of an audit annotation must be.
const MAX_AUDIT_KEY: usize = 63;

fn audit_key(place: &Place<'_>) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let key: String = format!("{}.{}", place.policy, place.rule)
        .chars()
        .map(plain)
        .take(MAX_AUDIT_KEY)
        .collect();
    key.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// What a check found: nothing in `problems` means that it holds.
#[derive(Default)]
pub(super) struct Finding {
    problems: Vec<Problem>,
    accepted: Vec<Accepted>,
    warnings: Vec<String>,
}

struct Problem {
    code: String,
    message: String,
    undecided: bool,
}

impl Finding {
    pub(super) fn accepted(accepted: Vec<Accepted>) -> Self {
        Self {
            accepted,
            ..Self::default()
        }
    }

    pub(super) fn problem(code: &str, message: String) -> Self {
        Self::of(Problem {
            code: code.to_owned(),
            message,
            undecided: false,
        })
    }

    pub(super) fn undecided(code: &str, message: String) -> Self {
        Self::of(Problem {
            code: code.to_owned(),
            message,
            undecided: true,
        })
    }

    fn of(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
            ..Self::default()
        }
    }

    /// What was not met, by code.
    pub(super) fn into_problems(self) -> Vec<(String, String)> {
        let problems = self.problems.into_iter();
        problems.map(|problem| (problem.code, problem.message)).collect()
    }

    pub(super) fn into_accepted(self) -> Vec<Accepted> {
        self.accepted
    }

    fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    fn is_undecided(&self) -> bool {
        !self.holds() && self.problems.iter().all(|problem| problem.undecided)
    }
}

fn evaluate(check: &Check, on_unreachable: OnUnreachable, question: &Question<'_>) -> Finding {
    match check {
        Check::ImageAllowed { choices, message } => image_rules::allowed(choices, message.as_deref(), question),
        Check::ImageDenied { blocks, message } => image_rules::denied(blocks, message.as_deref(), question),
        Check::NoneIn { list, message } => image_rules::none_in(list, message.as_deref(), question),
        Check::SomeIn { list, choices, message } => image_rules::some_in(list, choices, message.as_deref(), question),
        Check::DigestRequired { pods_only } => {
            let concerned = !pods_only || question.context.kind == Some("Pod");
            if !concerned || question.image.digest().is_some() {
                return Finding::default();
            }
            Finding::problem(
                "digest-required",
                format!("expected a reference with a digest, got {}", question.image),
            )
        }
        Check::Evidence(demand) => match demand.settled() {
            Some(_) => hold(demand, &Ground::nothing(question)),
            None => over_proofs(demand, on_unreachable, question),
        },
    }
}

/// Finds the proofs that a demand is held against.
///
/// 1. The proofs of the digest, and of the index it was found through.
/// 2. They must be about this digest; a mix-up is not a pass.
/// 3. Without proofs: undecided, or what the policy says for registries that cannot be reached.
fn over_proofs(demand: &Demand, on_unreachable: OnUnreachable, question: &Question<'_>) -> Finding {
    // 2.
    let about = |proofs: &Proofs| question.digest == Some(proofs.subject());
    match question.proofs {
        // 1.
        Ok(proofs) if about(proofs) => {
            let mut sources = vec![(Via::Image, proofs)];
            sources.extend(question.index_proofs.map(|index| (Via::Index, index)));
            let mut unread = Vec::new();
            for source in question.elsewhere {
                match source {
                    Ok(proofs) if about(proofs) => sources.push((Via::Image, *proofs)),
                    Ok(proofs) => unread.push(format!("another repository spoke of {}", proofs.subject())),
                    Err(unavailable) => unread.push(format!("{} [{}]", unavailable.reason, unavailable.code)),
                }
            }
            hold(
                demand,
                &Ground {
                    question,
                    sources,
                    unread,
                },
            )
        }
        Ok(proofs) => Finding::undecided(
            "proofs-of-another-digest",
            match question.digest {
                Some(digest) => format!("expected proofs about {digest}, got some about {}", proofs.subject()),
                None => format!(
                    "the reference was not resolved, and there are proofs about {}",
                    proofs.subject()
                ),
            },
        ),
        // 3.
        Err(unavailable) => unreachable(demand, on_unreachable, question, unavailable, about),
    }
}

fn unreachable(
    demand: &Demand,
    on_unreachable: OnUnreachable,
    question: &Question<'_>,
    unavailable: &Unavailable,
    about: impl Fn(&Proofs) -> bool,
) -> Finding {
    let why = format!(
        "the evidence could not be fetched: {} [{}]",
        unavailable.reason, unavailable.code
    );
    let held = question.held.filter(|held| about(held));
    match (on_unreachable, held) {
        (OnUnreachable::Warn, _) if unavailable.is_outage() => Finding {
            warnings: vec![format!("{why}; the policy lets the image run nevertheless")],
            ..Finding::default()
        },
        (OnUnreachable::AllowHeld, Some(held)) => {
            let ground = Ground {
                question,
                sources: vec![(Via::Held, held)],
                unread: Vec::new(),
            };
            let mut finding = hold(demand, &ground);
            finding
                .warnings
                .push(format!("{why}; decided by evidence that was verified earlier"));
            finding
        }
        (OnUnreachable::AllowHeld, None) => {
            Finding::undecided("evidence-unreachable", format!("{why}; none is held for this digest"))
        }
        (OnUnreachable::Deny | OnUnreachable::Warn, _) => Finding::undecided("evidence-unreachable", why),
    }
}

/// What a demand is held against.
pub(super) struct Ground<'a> {
    pub(super) question: &'a Question<'a>,
    pub(super) sources: Vec<(Via, &'a Proofs)>,
    /// Places that could not be read at all.
    pub(super) unread: Vec<String>,
}

impl<'a> Ground<'a> {
    fn nothing(question: &'a Question<'a>) -> Self {
        Self {
            question,
            sources: Vec::new(),
            unread: Vec::new(),
        }
    }
}

fn hold(demand: &Demand, ground: &Ground<'_>) -> Finding {
    match demand {
        Demand::Static { pass: true, .. } => Finding::default(),
        Demand::Static { pass: false, message } => Finding::problem(
            "static-fail",
            with_message(message.as_deref(), "the policy denies this image"),
        ),
        Demand::All(parts) => {
            let mut whole = Finding::default();
            for part in parts.iter().map(|part| hold(part, ground)) {
                whole.problems.extend(part.problems);
                whole.accepted.extend(part.accepted);
            }
            whole
        }
        Demand::Any(parts) => {
            let mut all: Vec<Finding> = Vec::new();
            for part in parts.iter().map(|part| hold(part, ground)) {
                if part.holds() {
                    return part;
                }
                all.push(part);
            }
            let undecided = all.iter().any(Finding::is_undecided);
            let mut whole = Finding::default();
            for problem in all.into_iter().flat_map(|part| part.problems) {
                // As long as one way is open, none of the others has denied.
                whole.problems.push(Problem { undecided, ..problem });
            }
            if whole.problems.is_empty() {
                return Finding::problem("no-authority", "the policy names nobody who could vouch".to_owned());
            }
            whole
        }
        Demand::Quorum(quorum) => quorum::hold(quorum, ground),
        Demand::Across(across) => across::hold(across, ground),
    }
}

pub(super) fn with_message(message: Option<&str>, facts: &str) -> String {
    match message {
        Some(message) => format!("{message} ({facts})"),
        None => facts.to_owned(),
    }
}
