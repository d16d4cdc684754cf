//! Enough different signers, each with evidence that meets the conditions.

use proofmark_verify::Proof;

use super::evaluate::{Finding, Ground, with_message};
use super::pairing;
use super::signers::Signers;
use crate::condition::{Facts, Unmet};
use crate::model::Quorum;
use crate::question::{Accepted, Via};
use crate::requirement::{Refusal, Verdict, Wanted, describe};

/// The most refusals that one message lists: two hundred junk referrers must not bury the one that matters.
const MAX_LISTED: usize = 5;

/// A proof that a slot accepts.
struct Fit<'a> {
    via: Via,
    proof: &'a Proof,
}

/// Finds enough different signers.
///
/// 1. For each slot, the proofs that meet its requirement.
/// 2. Of these, those whose predicate meets the conditions; where every one must, a single other one of any signer ends it.
/// 3. Slots and signers are paired: one signer fills one slot, however many of its identities or keys are named.
pub(super) fn hold(quorum: &Quorum, ground: &Ground<'_>) -> Finding {
    let mut fits: Vec<Vec<Fit<'_>>> = Vec::new();
    let mut refusals: Vec<Refusal> = Vec::new();
    let mut unmet: Vec<(String, Unmet)> = Vec::new();
    let mut incomplete: Vec<String> = ground.unread.clone();
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
        for fit in found {
            match meets(quorum, fit.proof, ground) {
                Ok(()) => good.push(fit),
                Err(reason) => unmet.push((fit.proof.origin().to_string(), reason)),
            }
        }
        fits.push(good);
    }
    if quorum.every && !unmet.is_empty() {
        fits.clear();
    }
    // 3.
    let paired = pair(&fits);
    // What was not read may hold an attestation that does not meet the conditions, and takes no signature away.
    let all_read = incomplete.is_empty() || !quorum.every || quorum.conditions.is_empty();
    if paired.len() >= quorum.count.max(1) && all_read {
        return Finding::accepted(paired.into_iter().map(|fit| accepted(quorum, fit)).collect());
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

/// Pairs slots with different signers, as many as can be.
fn pair<'a>(fits: &'a [Vec<Fit<'a>>]) -> Vec<&'a Fit<'a>> {
    let signers = Signers::of(fits.iter().flatten().map(|fit| fit.proof.signer()));
    let numbers: Vec<Vec<usize>> = fits
        .iter()
        .map(|slot| {
            slot.iter()
                .filter_map(|fit| signers.number(fit.proof.signer()))
                .collect()
        })
        .collect();
    let chosen = pairing::pair(&numbers).into_iter().filter_map(|(signer, slot)| {
        fits.get(slot)?
            .iter()
            .find(|fit| signers.number(fit.proof.signer()) == Some(signer))
    });
    chosen.collect()
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
        String::new()
    };
    let expected = format!("{}: expected by {wanted}; found ", quorum.name);
    if let Some((origin, reason)) = unmet.first() {
        let facts = format!(
            "{}: expected {}, got {} in {origin}",
            quorum.name, reason.expected, reason.actual
        );
        return finish(reason.code, with_message(reason.message.as_deref(), &facts), incomplete);
    }
    let nothing = match quorum.slots.first().map(|slot| &slot.requirement.what) {
        Some(Wanted::Attestation { .. }) => "attestation-missing",
        _ => "unsigned",
    };
    let code = most_telling(&refusals).unwrap_or(nothing);
    let mut lines: Vec<String> = Vec::new();
    let mut more: usize = 0;
    for refusal in &refusals {
        let line = summarize(refusal, code);
        if lines.len() == MAX_LISTED {
            more += usize::from(!lines.contains(&line));
        } else if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let found = match (count.is_empty(), lines.is_empty()) {
        (true, true) => "nothing".to_owned(),
        (true, false) => lines.join("; "),
        (false, true) => count,
        (false, false) => format!("{count}: {}", lines.join("; ")),
    };
    finish(code, format!("{expected}{found}"), incomplete)
}

/// One candidate in one line. Who and what was wanted stands before the list, and the code of the whole behind it: neither
/// is repeated.
fn summarize(refusal: &Refusal, whole: &str) -> String {
    const MORE_WANTED: [&str; 6] = [
        "annotation-mismatch",
        "signing-time-unproven",
        "sct-missing",
        "timestamp-missing",
        "log-entry-missing",
        "github-claim-mismatch",
    ];
    let Refusal {
        origin,
        code,
        expected,
        actual,
    } = refusal;
    let code = if *code == whole {
        String::new()
    } else {
        format!(" [{code}]")
    };
    if MORE_WANTED.contains(&refusal.code) {
        format!("{actual}, expected {expected} ({origin}){code}")
    } else {
        format!("{actual} ({origin}){code}")
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
