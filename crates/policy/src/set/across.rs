//! Conditions across several attestations of one image: a scan and what the vendor says of its findings.

use serde_json::{Map, Value};

use super::evaluate::{Finding, Ground, with_message};
use crate::condition;
use crate::model::Across;
use crate::requirement::Verdict;

/// The choices of one attestation of each name that are tried: an image has one or two of a type.
const MAX_CHOICES: usize = 256;

/// Denies if the conditions hold of any choice of one attestation of each name.
///
/// 1. Of each name, everything that its signers attested. That something must be there is asked elsewhere; without it
///    there is nothing to hold the conditions against, and nobody can say that they do not hold.
/// 2. Every choice of one of each is held against the conditions.
pub(super) fn hold(across: &Across, ground: &Ground<'_>) -> Finding {
    let mut choices: Vec<Map<String, Value>> = vec![Map::new()];
    for (name, requirements) in &across.attestations {
        // 1.
        let mut predicates: Vec<&Value> = Vec::new();
        for (_, proofs) in &ground.sources {
            for requirement in requirements {
                if let Verdict::Trusted(trusted) = requirement.check(proofs) {
                    predicates.extend(trusted.into_iter().map(|proof| proof.predicate()));
                }
            }
        }
        if predicates.is_empty() {
            let facts =
                format!("the conditions are about the attestation {name}, and none by an accepted signer is there");
            return Finding::problem("attestation-missing", with_message(across.message.as_deref(), &facts));
        }
        if choices.len().saturating_mul(predicates.len()) > MAX_CHOICES {
            let facts = format!("more than {MAX_CHOICES} choices of attestations to hold the conditions against");
            return Finding::problem("condition-error", with_message(across.message.as_deref(), &facts));
        }
        choices = choices
            .iter()
            .flat_map(|choice| {
                predicates.iter().map(|predicate| {
                    let mut longer = choice.clone();
                    longer.insert(name.clone(), (*predicate).clone());
                    longer
                })
            })
            .collect();
    }
    // 2.
    for choice in choices {
        match condition::holds(&across.blocks, &Value::Object(choice), Some(ground.question.now)) {
            Ok(()) => {
                let facts = "the attestations meet the conditions under which the policy denies";
                return Finding::problem("condition-false", with_message(across.message.as_deref(), facts));
            }
            Err(unmet) if unmet.code == condition::FALSE => {}
            Err(unmet) => {
                let facts = format!("expected to find out whether {}, got {}", unmet.expected, unmet.actual);
                return Finding::problem("condition-error", with_message(across.message.as_deref(), &facts));
            }
        }
    }
    if ground.unread.is_empty() && ground.sources.iter().all(|(_, proofs)| proofs.incomplete().is_empty()) {
        return Finding::default();
    }
    Finding::undecided(
        "evidence-incomplete",
        "not everything could be read that the conditions across attestations are about".to_owned(),
    )
}
