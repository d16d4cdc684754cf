//! What is known about the images of an object, laid out before expressions ask for it: who of the attestors has signed
//! which, and what those attest.
//!
//! A payload is only here for statements that verified and that an attestor of the policy signed, and only given out
//! after the policy has asked for those signatures (kyverno#17130: there, unverified data on a cache hit).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cel::Value as CelValue;
use proofmark_verify::Proofs;
use serde_json::json;

use super::expression::extent;
use super::{Attestor, ObjectPolicy, images};
use crate::condition::cel::to_cel;
use crate::question::ImageFacts;
use crate::requirement::{Requirement, Wanted};
use crate::set::pairing::pair;
use crate::set::signers::Signers;

/// The most statements of one type that expressions are tried on, each.
pub(super) const MAX_STATEMENTS: usize = 16;

/// What is known, by image in its long form.
#[derive(Debug)]
pub(super) struct Table {
    policy: Arc<ObjectPolicy>,
    images: BTreeMap<String, Entry>,
    /// Images of the object that the policy is not about.
    outside: BTreeSet<String>,
    journal: Mutex<Journal>,
}

#[derive(Debug)]
struct Entry {
    /// Whether the policy is about it.
    about: bool,
    evidence: Result<Seen, Lacking>,
    data: Option<CelValue>,
}

/// Who has signed, by numbers that are the same for the same signer.
#[derive(Debug)]
struct Seen {
    /// Some place could not be read.
    incomplete: Option<String>,
    /// For each attestor.
    signatures: Vec<Vec<usize>>,
    /// For each attestation, for each attestor: signer and statement.
    attestations: Vec<Vec<Vec<(usize, usize)>>>,
    /// For each statement that some attestor signed.
    statements: BTreeMap<usize, CelValue>,
}

/// Why nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lacking {
    pub(crate) code: &'static str,
    pub(crate) reason: String,
}

/// What was asked of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) calls: Vec<Call>,
    /// Something was asked for that nobody could find out.
    pub(crate) lacking: Option<Lacking>,
    /// The most statements behind one payload.
    pub(super) statements: usize,
    /// Which of them is given out.
    pub(super) round: usize,
}

/// One call of `verifyImageSignatures` or `verifyAttestationSignatures`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// In its long form.
    pub(crate) image: String,
    /// Which attestation of the policy; none for signatures.
    pub(crate) attestation: Option<usize>,
    pub(crate) attestors: Vec<usize>,
    /// How many of them, each by a signer of its own.
    pub(crate) count: usize,
}

impl Table {
    /// `about` says of each image whether the policy is about it.
    pub(super) fn of(
        policy: &Arc<ObjectPolicy>,
        facts: &[ImageFacts<'_>],
        about: impl Fn(&str) -> bool,
        outside: &BTreeSet<String>,
    ) -> Self {
        let payloads = policy.wants_payloads();
        let entry = |facts: &ImageFacts<'_>| {
            let name = facts.image.to_string();
            let entry = Entry {
                about: about(&name),
                evidence: evidence(policy, facts, payloads),
                data: facts.data.map(to_cel),
            };
            (name, entry)
        };
        Self {
            policy: Arc::clone(policy),
            images: facts.iter().map(entry).collect(),
            outside: outside.clone(),
            journal: Mutex::default(),
        }
    }

    /// The longest list that functions give out.
    pub(super) fn longest(&self) -> usize {
        let data = self.images.values().filter_map(|entry| entry.data.as_ref());
        let seen = self.images.values().filter_map(|entry| entry.evidence.as_ref().ok());
        let statements = seen.flat_map(|seen| seen.statements.values());
        data.chain(statements).map(|value| extent(value).1).max().unwrap_or(0)
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of `attestors` have signed: the image, or an attestation of it. None for an image that the policy is not
    /// about, which is what Kyverno says of those.
    pub(super) fn verify(&self, image: &str, attestation: Option<&str>, attestors: &[String]) -> Result<usize, String> {
        let reference = images::parsed(image).map_err(|fault| fault.message)?;
        let name = reference.to_string();
        let entry = self.images.get(&name);
        // Told without an expression: one within another would need twice the stack.
        let about = entry.map_or_else(|| !self.policy.leaves_out(&reference, image), |entry| entry.about);
        if self.outside.contains(&name) {
            return Ok(0);
        }
        if !about {
            return Ok(0);
        }
        let attestation = attestation.map(|wanted| self.attestation(wanted)).transpose()?;
        let mut positions = Vec::new();
        for wanted in attestors {
            let position = self.policy.attestors.iter().position(|known| known.name == *wanted);
            let position = position.ok_or_else(|| format!("there is no attestor \"{wanted}\""))?;
            // Named twice is not two.
            if !positions.contains(&position) {
                positions.push(position);
            }
        }
        let seen = self.seen(entry, &name)?;
        let of = |position: &usize| -> Vec<usize> {
            match attestation {
                None => seen.signatures.get(*position).cloned().unwrap_or_default(),
                Some(wanted) => {
                    let signed = seen
                        .attestations
                        .get(wanted)
                        .and_then(|attestors| attestors.get(*position));
                    signed.into_iter().flatten().map(|(signer, _)| *signer).collect()
                }
            }
        };
        let fits: Vec<Vec<usize>> = positions.iter().map(of).collect();
        let count = pair(&fits).len();
        // What was not read may be the signature that is missing; a smaller number would be made up.
        if let Some(place) = seen.incomplete.as_ref().filter(|_| count < positions.len()) {
            return Err(self.lacking(Lacking {
                code: "evidence-incomplete",
                reason: format!("not everything about {name} could be read: {place}"),
            }));
        }
        self.journal().calls.push(Call {
            image: name,
            attestation,
            attestors: positions,
            count,
        });
        Ok(count)
    }

    /// A statement that the policy has verified: the whole in-toto statement.
    pub(super) fn payload(&self, image: &str, attestation: &str) -> Result<CelValue, String> {
        let name = images::parsed(image).map_err(|fault| fault.message)?.to_string();
        let wanted = self.attestation(attestation)?;
        let seen = self.seen(self.images.get(&name), &name)?;
        let mut journal = self.journal();
        let mut statements: Vec<usize> = Vec::new();
        let calls = journal
            .calls
            .iter()
            .filter(|call| call.image == name && call.attestation == Some(wanted) && call.count > 0);
        for attestor in calls.flat_map(|call| &call.attestors) {
            let signed = seen
                .attestations
                .get(wanted)
                .and_then(|attestors| attestors.get(*attestor));
            statements.extend(signed.into_iter().flatten().map(|(_, statement)| *statement));
        }
        statements.sort_unstable();
        statements.dedup();
        if statements.is_empty() {
            return Err(format!(
                "no statement of \"{attestation}\" about {name} has been verified in this policy: call verifyAttestationSignatures first"
            ));
        }
        journal.statements = journal.statements.max(statements.len());
        let chosen = statements.get(journal.round).or_else(|| statements.last());
        let statement = chosen.and_then(|position| seen.statements.get(position));
        statement
            .cloned()
            .ok_or_else(|| format!("the statement of \"{attestation}\" about {name} was not kept"))
    }

    /// Manifest and configuration.
    pub(super) fn data(&self, image: &str) -> Result<CelValue, String> {
        let name = images::parsed(image).map_err(|fault| fault.message)?.to_string();
        let data = self.images.get(&name).map(|entry| entry.data.clone());
        match data {
            Some(Some(data)) => Ok(data),
            Some(None) => Err(self.lacking(Lacking {
                code: "evidence-unreachable",
                reason: format!("the manifest and configuration of {name} could not be fetched"),
            })),
            None => Err(self.not_gathered(&name)),
        }
    }

    fn attestation(&self, name: &str) -> Result<usize, String> {
        let known = self.policy.attestations.iter().position(|(known, _)| known == name);
        known.ok_or_else(|| format!("there is no attestation \"{name}\" in the policy"))
    }

    fn seen<'t>(&self, entry: Option<&'t Entry>, name: &str) -> Result<&'t Seen, String> {
        match entry.map(|entry| &entry.evidence) {
            Some(Ok(seen)) => Ok(seen),
            Some(Err(lacking)) => Err(self.lacking(lacking.clone())),
            None => Err(self.not_gathered(name)),
        }
    }

    /// Only what the object names is looked up: an expression does not decide where the server connects.
    fn not_gathered(&self, name: &str) -> String {
        self.lacking(Lacking {
            code: "image-not-gathered",
            reason: format!("{name} is not among the images of the object, and nothing else is looked up"),
        })
    }

    fn lacking(&self, lacking: Lacking) -> String {
        let text = lacking.reason.clone();
        self.journal().lacking.get_or_insert(lacking);
        text
    }
}

fn evidence(policy: &ObjectPolicy, facts: &ImageFacts<'_>, payloads: bool) -> Result<Seen, Lacking> {
    let proofs = facts.proofs.map_err(|unavailable| Lacking {
        code: "evidence-unreachable",
        reason: format!(
            "the evidence of {} could not be fetched: {} [{}]",
            facts.image, unavailable.reason, unavailable.code
        ),
    })?;
    if facts.digest != Some(proofs.subject()) {
        return Err(Lacking {
            code: "proofs-of-another-digest",
            reason: format!(
                "there are proofs about {}, which {} does not stand for",
                proofs.subject(),
                facts.image
            ),
        });
    }
    let signers = Signers::of(proofs.proofs().iter().map(proofmark_verify::Proof::signer));
    let signed = |requirement: &Requirement| -> Vec<(usize, usize)> {
        let accepted = proofs.proofs().iter().enumerate().filter_map(|(position, proof)| {
            requirement.examine(proof).ok()?;
            Some((signers.number(proof.signer())?, position))
        });
        accepted.collect()
    };
    let signature = |attestor: &Attestor| {
        signed(&attestor.requirement)
            .into_iter()
            .map(|(signer, _)| signer)
            .collect()
    };
    let attestations: Vec<Vec<Vec<(usize, usize)>>> = (0..policy.attestations.len())
        .map(|wanted| {
            policy
                .attestors
                .iter()
                .map(|attestor| signed(&of_attestation(policy, attestor, wanted)))
                .collect()
        })
        .collect();
    let kept = attestations.iter().flatten().flatten().filter(|_| payloads);
    let statements = kept
        .map(|(_, position)| (*position, statement(proofs, *position)))
        .collect();
    Ok(Seen {
        incomplete: proofs
            .incomplete()
            .first()
            .map(|place| format!("{}: {} [{}]", place.place, place.reason, place.code)),
        signatures: policy.attestors.iter().map(signature).collect(),
        attestations,
        statements,
    })
}

/// What an attestor must have signed for an attestation of the policy.
pub(crate) fn of_attestation(policy: &ObjectPolicy, attestor: &Attestor, wanted: usize) -> Requirement {
    let types = policy.attestations.get(wanted).map(|(_, kind)| kind.clone());
    Requirement {
        what: Wanted::Attestation {
            types: types.into_iter().collect(),
        },
        ..attestor.requirement.clone()
    }
}

fn statement(proofs: &Proofs, position: usize) -> CelValue {
    let Some(proof) = proofs.proofs().get(position) else {
        return CelValue::Null;
    };
    let digest = proofs.subject().to_string();
    let (algorithm, hex) = digest.split_once(':').unwrap_or(("sha256", &digest));
    to_cel(&json!({
        "predicateType": proof.predicate_type().map(ToString::to_string),
        "subject": [{ "digest": { algorithm: hex } }],
        "predicate": proof.predicate(),
    }))
}
