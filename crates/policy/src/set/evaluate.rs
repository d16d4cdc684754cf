//! The evaluation of rules over proofs.

use std::collections::BTreeMap;

use proofmark_verify::{Proof, Proofs, SignerProof};

use super::NoMatch;
use super::hint::hint;
use crate::condition::{Facts, Unmet};
use crate::model::{Check, Demand, Policy, Quorum, Rule};
use crate::question::{Accepted, Decision, DecisionReason, Mode, OnUnreachable, Outcome, Question, Unavailable, Via};
use crate::requirement::{Refusal, Verdict, describe};

/// The most refusals that one message lists: two hundred junk referrers must not bury the one that matters.
const MAX_LISTED: usize = 5;

pub(super) fn decide(rules: &[(&Policy, &Rule)], no_match: NoMatch, question: &Question<'_>) -> Decision {
    let mut decision = Decision {
        outcome: Outcome::Pass,
        reasons: Vec::new(),
        warnings: Vec::new(),
        audit: BTreeMap::new(),
        accepted: Vec::new(),
        policies: Vec::new(),
    };
    if rules.is_empty() {
        nothing_matched(&mut decision, no_match, question);
        return decision;
    }
    for (policy, rule) in rules {
        if !decision.policies.contains(&policy.name) {
            decision.policies.push(policy.name.clone());
        }
        for check in &rule.checks {
            let finding = evaluate(check, policy.on_unreachable, question);
            record(&mut decision, policy, rule, finding);
        }
    }
    decision
}

fn nothing_matched(decision: &mut Decision, no_match: NoMatch, question: &Question<'_>) {
    if no_match == NoMatch::Allow {
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
fn record(decision: &mut Decision, policy: &Policy, rule: &Rule, finding: Finding) {
    let place = format!("{}/{}", policy.name, rule.name);
    decision
        .warnings
        .extend(finding.warnings.into_iter().map(|text| format!("{place}: {text}")));
    for accepted in finding.accepted {
        decision.accepted.push(Accepted {
            policy: policy.name.clone(),
            rule: rule.name.clone(),
            ..accepted
        });
    }
    for problem in finding.problems {
        let reason = DecisionReason {
            policy: policy.name.clone(),
            rule: rule.name.clone(),
            mode: rule.mode,
            hint: hint(&problem.code).to_owned(),
            code: problem.code,
            message: problem.message,
            undecided: problem.undecided,
        };
        match rule.mode {
            Mode::Enforce if problem.undecided => decision.outcome = decision.outcome.max(Outcome::Undecided),
            Mode::Enforce => decision.outcome = Outcome::Fail,
            Mode::Warn => decision.warnings.push(reason.to_string()),
            Mode::Audit => {
                let entry = decision.audit.entry(place.clone()).or_default();
                if !entry.is_empty() {
                    entry.push_str("; ");
                }
                entry.push_str(&format!("{} [{}]", reason.message, reason.code));
            }
        }
        decision.reasons.push(reason);
    }
}

/// What a check found: nothing in `problems` means that it holds.
#[derive(Default)]
struct Finding {
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
    fn problem(code: &str, message: String) -> Self {
        Self::of(Problem {
            code: code.to_owned(),
            message,
            undecided: false,
        })
    }

    fn undecided(code: &str, message: String) -> Self {
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

    fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    fn is_undecided(&self) -> bool {
        !self.holds() && self.problems.iter().all(|problem| problem.undecided)
    }
}

fn evaluate(check: &Check, on_unreachable: OnUnreachable, question: &Question<'_>) -> Finding {
    match check {
        Check::ImageAllowed { choices, message } => {
            if choices.iter().any(|choice| choice.allows(question.image)) {
                return Finding::default();
            }
            let allowed: Vec<String> = choices
                .iter()
                .map(|choice| {
                    let all = choice.all.iter().map(ToString::to_string);
                    let none = choice.none.iter().map(|pattern| format!("not {pattern}"));
                    all.chain(none).collect::<Vec<_>>().join(" and ")
                })
                .collect();
            let facts = format!("expected an image of {}, got {}", allowed.join(" or "), question.image);
            Finding::problem("image-not-allowed", with_message(message.as_deref(), &facts))
        }
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
            hold(demand, &Ground { question, sources })
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
        (OnUnreachable::Warn, _) => Finding {
            warnings: vec![format!("{why}; the policy lets the image run nevertheless")],
            ..Finding::default()
        },
        (OnUnreachable::AllowHeld, Some(held)) => {
            let ground = Ground {
                question,
                sources: vec![(Via::Held, held)],
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
        (OnUnreachable::Deny, _) => Finding::undecided("evidence-unreachable", why),
    }
}

/// What a demand is held against.
struct Ground<'a> {
    question: &'a Question<'a>,
    sources: Vec<(Via, &'a Proofs)>,
}

impl<'a> Ground<'a> {
    fn nothing(question: &'a Question<'a>) -> Self {
        Self {
            question,
            sources: Vec::new(),
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
        Demand::Quorum(quorum) => hold_quorum(quorum, ground),
    }
}

/// A proof that a slot accepts.
struct Fit<'a> {
    via: Via,
    proof: &'a Proof,
}

/// Finds enough different signers.
///
/// 1. For each slot, the proofs that meet its requirement.
/// 2. Of these, those whose predicate meets the conditions; where every one must, a single other one closes the slot.
/// 3. Slots and signers are paired: one signer fills one slot, however many of its identities or keys are named.
fn hold_quorum(quorum: &Quorum, ground: &Ground<'_>) -> Finding {
    let mut fits: Vec<Vec<Fit<'_>>> = Vec::new();
    let mut refusals: Vec<Refusal> = Vec::new();
    let mut unmet: Vec<(String, Unmet)> = Vec::new();
    let mut incomplete: Vec<String> = Vec::new();
    for (_, proofs) in &ground.sources {
        incomplete.extend(
            proofs
                .incomplete()
                .iter()
                .map(|place| format!("{}: {} [{}]", place.place, place.reason, place.code)),
        );
    }
    for slot in &quorum.slots {
        // 1.
        let mut found = Vec::new();
        for (via, proofs) in &ground.sources {
            match slot.requirement.check(proofs) {
                Verdict::Trusted(trusted) => found.extend(trusted.into_iter().map(|proof| Fit { via: *via, proof })),
                Verdict::Rejected(refused)
                | Verdict::Unsigned { beside: refused }
                | Verdict::Undecided { refusals: refused, .. } => refusals.extend(refused),
            }
        }
        // 2.
        let mut good = Vec::new();
        let mut bad = false;
        for fit in found {
            match meets(quorum, fit.proof, ground) {
                Ok(()) => good.push(fit),
                Err(reason) => {
                    bad = true;
                    unmet.push((fit.proof.origin().to_string(), reason));
                }
            }
        }
        if quorum.every && bad {
            good.clear();
        }
        fits.push(good);
    }
    // 3.
    let paired = pair(&fits);
    let all_read = incomplete.is_empty() || !quorum.every;
    if paired.len() >= quorum.count.max(1) && all_read {
        return Finding {
            accepted: paired.into_iter().map(|fit| accepted(quorum, fit)).collect(),
            ..Finding::default()
        };
    }
    explain(quorum, paired.len(), refusals, unmet, &incomplete)
}

fn meets(quorum: &Quorum, proof: &Proof, ground: &Ground<'_>) -> Result<(), Unmet> {
    let facts = Facts {
        predicate: proof.predicate(),
        predicate_type: proof.predicate_type().map_or("", |seen| seen.as_str()),
        image: ground.question.image,
        now: ground.question.now,
    };
    quorum
        .conditions
        .iter()
        .try_for_each(|condition| condition.check(&facts))
}

fn accepted(quorum: &Quorum, fit: &Fit<'_>) -> Accepted {
    Accepted {
        policy: String::new(),
        rule: String::new(),
        demand: quorum.name.clone(),
        signer: describe(fit.proof.signer()),
        origin: fit.proof.origin().to_string(),
        predicate_type: fit.proof.predicate_type().map(ToString::to_string),
        via: fit.via,
    }
}

/// Pairs slots with different signers, as many as can be (augmenting paths; both sides are bounded by the policy).
fn pair<'a>(fits: &'a [Vec<Fit<'a>>]) -> Vec<&'a Fit<'a>> {
    let mut owner: BTreeMap<String, usize> = BTreeMap::new();
    for slot in 0..fits.len() {
        augment(fits, slot, &mut owner, &mut Vec::new());
    }
    let chosen = owner.iter().filter_map(|(signer, slot)| {
        fits.get(*slot)?
            .iter()
            .find(|fit| signer_key(fit.proof.signer()) == *signer)
    });
    chosen.collect()
}

fn augment(fits: &[Vec<Fit<'_>>], slot: usize, owner: &mut BTreeMap<String, usize>, tried: &mut Vec<String>) -> bool {
    for fit in fits.get(slot).into_iter().flatten() {
        let signer = signer_key(fit.proof.signer());
        if tried.contains(&signer) {
            continue;
        }
        tried.push(signer.clone());
        let free = match owner.get(&signer).copied() {
            None => true,
            Some(other) => augment(fits, other, owner, tried),
        };
        if free {
            owner.insert(signer, slot);
            return true;
        }
    }
    false
}

/// What makes two signers the same: one key, or one identity, whatever the certificate.
fn signer_key(signer: &SignerProof) -> String {
    match signer {
        SignerProof::Certificate(facts) => format!("{:?}", facts.identity),
        other => describe(other),
    }
}

/// Why there are not enough signers, in one problem that a person can act on.
fn explain(
    quorum: &Quorum,
    found: usize,
    refusals: Vec<Refusal>,
    unmet: Vec<(String, Unmet)>,
    incomplete: &[String],
) -> Finding {
    let wanted = quorum
        .slots
        .iter()
        .flat_map(|slot| &slot.requirement.signers)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", or ");
    let count = if quorum.count > 1 {
        format!("{found} of the {} signers needed", quorum.count)
    } else {
        "nothing acceptable".to_owned()
    };
    let expected = format!("{}: expected by {wanted}; found {count}", quorum.name);
    if let Some((origin, reason)) = unmet.first() {
        let facts = format!(
            "{}: expected {}, got {} in {origin}",
            quorum.name, reason.expected, reason.actual
        );
        return finish(reason.code, with_message(reason.message.as_deref(), &facts), incomplete);
    }
    let mut lines: Vec<String> = Vec::new();
    for refusal in &refusals {
        let line = summarize(refusal);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let more = lines.len().saturating_sub(MAX_LISTED);
    lines.truncate(MAX_LISTED);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let code = most_telling(&refusals).unwrap_or("unsigned");
    let message = if lines.is_empty() {
        format!("{expected}: no evidence at all")
    } else {
        format!("{expected}: {}", lines.join("; "))
    };
    finish(code, message, incomplete)
}

/// One candidate in one line. Who and what was wanted stands before the list, and is not repeated in it.
fn summarize(refusal: &Refusal) -> String {
    const SAID: [&str; 5] = [
        "not-of-the-wanted-kind",
        "predicate-type-mismatch",
        "signer-kind-mismatch",
        "key-mismatch",
        "signature-not-by-given-key",
    ];
    let Refusal {
        origin,
        code,
        expected,
        actual,
    } = refusal;
    if SAID.contains(code) {
        format!("{actual} ({origin}) [{code}]")
    } else {
        format!("{actual}, expected {expected} ({origin}) [{code}]")
    }
}

fn finish(code: &str, message: String, incomplete: &[String]) -> Finding {
    if incomplete.is_empty() {
        return Finding::problem(code, message);
    }
    Finding::undecided(
        "evidence-incomplete",
        format!("{message}; not everything could be read: {}", incomplete.join("; ")),
    )
}

/// The refusal that got furthest is the one that its author has to look at; what is of another kind altogether says
/// that nothing of the wanted kind is there.
fn most_telling(refusals: &[Refusal]) -> Option<&'static str> {
    const ORDER: [&str; 10] = [
        "annotation-mismatch",
        "signing-time-unproven",
        "sct-missing",
        "timestamp-missing",
        "log-entry-missing",
        "github-claim-mismatch",
        "subject-mismatch",
        "issuer-mismatch",
        "key-mismatch",
        "signer-kind-mismatch",
    ];
    let known = ORDER
        .into_iter()
        .find(|code| refusals.iter().any(|refusal| refusal.code == *code));
    let believed = |refusal: &&Refusal| refusal.code != "not-of-the-wanted-kind";
    known
        .or_else(|| {
            refusals
                .iter()
                .find(|refusal| refusal.code != "predicate-type-mismatch" && believed(refusal))
                .map(|refusal| refusal.code)
        })
        .or_else(|| refusals.iter().find(believed).map(|refusal| refusal.code))
}

fn with_message(message: Option<&str>, facts: &str) -> String {
    match message {
        Some(message) => format!("{message} ({facts})"),
        None => facts.to_owned(),
    }
}
