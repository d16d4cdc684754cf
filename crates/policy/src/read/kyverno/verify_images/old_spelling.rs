//! `image`, `key`, `issuer`, `subject` and what stands beside them: the spelling before `attestors`, read as Kyverno
//! converts it (`ImageVerification.Convert`, `api/kyverno/v1/image_verification_types.go`).

use super::super::attestors::{self, Set};
use super::Attestation;
use crate::error::PolicyError;
use crate::model::Policy;
use crate::read::node::Object;
use crate::read::signers::{self, PlainText, identity};
use crate::requirement::SignerRule;

/// Adds the one attestor that the old fields describe: to the attestations, if there are any, or for the signature.
///
/// Kyverno adds it to the first attestation alone, and then anyone may have made the others.
pub(super) fn attestors(
    entry: &Object<'_>,
    attestors: &mut Vec<Set>,
    attestations: &mut [Attestation],
    policy: &mut Policy,
) -> Result<(), PolicyError> {
    let annotations = attestors::annotations(entry)?;
    let signers = match (entry.get("key"), entry.get("issuer").or_else(|| entry.get("subject"))) {
        (Some(node), None) => {
            if node.string()?.contains("{{") {
                return Err(node.unsupported("variables are not filled in; put the public key here"));
            }
            signers::rules(signers::keys(&node)?, &mut policy.keys)
        }
        (None, Some(_)) => {
            if let Some(roots) = entry.get("roots") {
                return Err(roots.unsupported("the trust root of the server decides which authorities are trusted"));
            }
            let mut rule = identity(entry, PlainText::Glob)?;
            if let Some(extensions) = entry.get("additionalExtensions") {
                rule.github = attestors::github(&extensions)?;
            }
            vec![SignerRule::Keyless(Box::new(rule))]
        }
        (Some(node), Some(_)) => return Err(node.unsupported("issuer or subject stand beside it; write attestors")),
        (None, None) if annotations.is_empty() => return Ok(()),
        (None, None) => {
            let node = entry.required("annotations", "a key")?;
            return Err(
                node.unsupported("annotations of nobody in particular: name key, issuer and subject, or attestors")
            );
        }
    };
    let set = attestors::one(signers, &annotations);
    if attestations.is_empty() {
        attestors.push(set);
        return Ok(());
    }
    policy.note(
        "the old spelling key, issuer and subject is about every attestation; Kyverno applies it to the first alone",
    );
    for attestation in attestations {
        attestation.attestors.get_or_insert_default().push(set.clone());
    }
    Ok(())
}
