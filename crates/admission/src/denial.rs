//! From verdicts to an answer that a person can act on: which image, which policy, what was found, why each candidate
//! was not accepted, and what to do.

use proofmark_policy::{DecisionReason, Outcome};
use proofmark_verify::ProofKind;

use crate::admit::Verdict;
use crate::admit::object::WHOLE;
use crate::review::{Answer, Request};
use crate::text::{one_line, shortened};

/// Images spelled out in one denial; the rest are counted.
const MAX_IMAGES_SHOWN: usize = 8;

/// Reasons spelled out for one image.
const MAX_REASONS_SHOWN: usize = 8;

/// The longest message of one reason.
const MAX_REASON_BYTES: usize = 600;

/// The answer to a request whose images have these verdicts. Only when every verdict is a pass is it an admission.
pub(crate) fn answer(request: &Request, verdicts: &[Verdict]) -> Answer {
    let refused: Vec<&Verdict> = verdicts.iter().filter(|verdict| !verdict.decision.is_pass()).collect();
    let mut answer = if refused.is_empty() {
        Answer::allow()
    } else {
        Answer::deny(403, text(request, &refused, single(verdicts.iter())))
    };
    for verdict in verdicts {
        for warning in &verdict.decision.warnings {
            answer.warnings.push(format!("proofmark: {warning}"));
        }
    }
    annotate(answer, verdicts)
}

/// The answer of a webhook that does not know the policies.
pub(crate) fn not_known_yet(request: &Request) -> Answer {
    Answer::deny(
        503,
        format!(
            "proofmark: {} may not run: the policies of the cluster are not known to this webhook yet, or do not compile \
             [policies-not-known]\n  fix: try again; if it stays, see /readyz of the webhook and the status of the policies",
            request.subject()
        ),
    )
}

/// How many of the verdicts are about one image each.
fn single<'v>(verdicts: impl Iterator<Item = &'v Verdict>) -> usize {
    verdicts.filter(|verdict| verdict.image != WHOLE).count()
}

fn text(request: &Request, refused: &[&Verdict], all: usize) -> String {
    let word = if refused.iter().any(|verdict| verdict.decision.outcome == Outcome::Fail) {
        "refused"
    } else {
        "undecided, which is a refusal"
    };
    let number = single(refused.iter().copied());
    let mut text = format!("proofmark: {} may not run: ", request.subject());
    if number == 0 {
        text.push_str(&format!("its images together are {word}"));
    } else {
        text.push_str(&format!("{number} of {all} images {word}"));
    }
    for verdict in refused.iter().take(MAX_IMAGES_SHOWN) {
        describe(verdict, &mut text);
    }
    if refused.len() > MAX_IMAGES_SHOWN {
        text.push_str(&format!(
            "\n\n{} more images are not shown",
            refused.len() - MAX_IMAGES_SHOWN
        ));
    }
    text
}

fn describe(verdict: &Verdict, text: &mut String) {
    let what = if verdict.image == WHOLE { "object" } else { "image" };
    text.push_str(&format!("\n\n{what} {}", verdict.image));
    if let (Some(digest), Some(reference)) = (&verdict.digest, &verdict.reference)
        && reference.digest().is_none()
    {
        text.push_str(&format!(" = {digest}"));
    }
    let denials: Vec<&DecisionReason> = verdict.decision.denials().collect();
    for reason in denials.iter().take(MAX_REASONS_SHOWN) {
        let message = shortened(&one_line(&reason.message), MAX_REASON_BYTES);
        let word = if reason.undecided { "undecided: " } else { "" };
        text.push_str(&format!(
            "\n  policy {}, {}: {word}{message} [{}]",
            reason.policy, reason.rule, reason.code
        ));
        let fix = match &verdict.unavailable {
            Some(unavailable) if reason.undecided => fix(&unavailable.code).unwrap_or(&reason.hint),
            _ => reason.hint.as_str(),
        };
        if !fix.is_empty() {
            text.push_str(&format!("\n    fix: {}", shortened(&one_line(fix), MAX_REASON_BYTES)));
        }
    }
    if denials.len() > MAX_REASONS_SHOWN {
        text.push_str(&format!(
            "\n  {} more reasons are not shown",
            denials.len() - MAX_REASONS_SHOWN
        ));
    }
    found(verdict, text);
    if let Some(reference) = &verdict.reference {
        let pinned = match &verdict.digest {
            Some(digest) => reference.with_digest(digest.clone()),
            None => reference.clone(),
        };
        text.push_str(&format!("\n  look: proofmark tree {pinned}"));
        text.push_str(&format!(
            "\n  check: proofmark verify (--key FILE | --certificate-identity ID --certificate-oidc-issuer URL) {pinned}"
        ));
    }
}

/// What hangs on the digest; the reasons of the policies say of each candidate why it does not do.
fn found(verdict: &Verdict, text: &mut String) {
    let Some(known) = &verdict.known else { return };
    let proofs = &known.proofs;
    let count = |kind| proofs.proofs().iter().filter(|proof| proof.kind() == kind).count();
    text.push_str(&format!(
        "\n  found: {} verified signatures, {} verified attestations, {} that do not verify",
        count(ProofKind::Signature),
        count(ProofKind::Attestation),
        proofs.rejections().len()
    ));
}

/// What to do when nobody could find out, by the code of the lookup.
fn fix(code: &str) -> Option<&'static str> {
    Some(match code {
        "not-found" => {
            "check the name and the tag: the registry knows no such image, or hides it from the webhook's credentials"
        }
        "unauthorized" | "denied" | "credentials" | "realm-refused" => {
            "give the webhook credentials that may read this repository, or let it use the pull secrets of Pods (--pull-secrets)"
        }
        "throttled" => "wait and try again; credentials for the webhook usually raise the registry's limit",
        "unreachable" | "unexpected-status" => "check that the registry is up and that the webhook can reach it",
        "timeout" | "deadline" => {
            "try again, the lookup goes on meanwhile; if it stays, the registry is slow or a firewall is in between"
        }
        "too-large" | "digest-mismatch" | "size-mismatch" | "malformed" | "redirect-refused" => {
            "do not run this image: what the registry, or a proxy before it, answers is not what a registry answers"
        }
        "evidence-too-slow" => {
            "look at what hangs on the image (proofmark tree); `proofmark clean` removes what does not belong there"
        }
        "overloaded" => "wait and try again; the webhook is reading the evidence of other images",
        "internal-error" => "see the webhook's log",
        _ => return None,
    })
}

/// What the audit log is given: per image the outcome, the digest and the policies; and what audit-mode policies found.
fn annotate(mut answer: Answer, verdicts: &[Verdict]) -> Answer {
    let mut images = Vec::new();
    let mut audited = Vec::new();
    let mut codes: Vec<&str> = Vec::new();
    for verdict in verdicts {
        let decision = &verdict.decision;
        let digest = verdict
            .digest
            .as_ref()
            .map(|digest| format!(" {digest}"))
            .unwrap_or_default();
        let policies = if decision.policies.is_empty() {
            "no policy".to_owned()
        } else {
            decision.policies.join(",")
        };
        images.push(format!("{}{digest} {} ({policies})", verdict.image, decision.outcome));
        audited.extend(
            decision
                .audit
                .iter()
                .map(|(place, text)| format!("{}: {place}: {text}", verdict.image)),
        );
        codes.extend(decision.denials().map(|reason| reason.code.as_str()));
    }
    answer = answer.noted("images", images.join("; "));
    let used = verdicts.iter().filter_map(|verdict| verdict.exception.as_deref());
    let used: Vec<String> = used
        .map(|exception| format!("{} of {} until {}", exception.name, exception.owner, exception.expires))
        .collect();
    if !used.is_empty() {
        answer = answer.noted("exceptions", one_line(&used.join("; ")));
    }
    if !audited.is_empty() {
        answer = answer.noted("findings", one_line(&audited.join("; ")));
    }
    if !codes.is_empty() {
        codes.sort_unstable();
        codes.dedup();
        answer = answer.noted("codes", codes.join(","));
    }
    answer
}
