//! `verifyImages`: one entry is one rule of the model.

use proofmark_evidence::predicate::PredicateType;

use super::attestors::{self, Set};
use super::{RuleContext, action, conditions};
use crate::condition::{Block, Condition};
use crate::error::{Place, PolicyError};
use crate::image_pattern::ImagePattern;
use crate::model::{Check, ImageSelector, Policy, Rule, Scope};
use crate::read::native::predicate_type;
use crate::read::node::{Node, Object};
use crate::requirement::Requirement;

/// An entry whose attestations may still inherit the attestors of others.
pub(super) struct Pending {
    rule: Rule,
    attestors: Vec<Set>,
    attestations: Vec<Attestation>,
}

impl Pending {
    /// A rule that needs nothing of the others.
    pub(super) fn complete(rule: Rule) -> Self {
        Self {
            rule,
            attestors: Vec::new(),
            attestations: Vec::new(),
        }
    }
}

struct Attestation {
    place: Place,
    name: String,
    predicate: PredicateType,
    /// None to inherit.
    attestors: Option<Vec<Set>>,
    blocks: Vec<Block>,
}

const FIELDS: [&str; 12] = [
    "imageReferences",
    "skipImageReferences",
    "type",
    "attestors",
    "attestations",
    "mutateDigest",
    "verifyDigest",
    "required",
    "useCache",
    "failureAction",
    "cosignOCI11",
    "name",
];

const RENAMED: &str = "this old spelling is not read; write imageReferences and attestors";

const UNSUPPORTED: [(&str, &str); 10] = [
    (
        "validate",
        "conditions across several attestations are not read in this version",
    ),
    (
        "repository",
        "signatures are read from the image's own repository in this version",
    ),
    (
        "imageRegistryCredentials",
        "credentials are bound to hosts in the configuration of the server, never in a policy",
    ),
    ("image", RENAMED),
    ("key", RENAMED),
    ("roots", RENAMED),
    ("subject", RENAMED),
    ("issuer", RENAMED),
    ("annotations", RENAMED),
    ("additionalExtensions", RENAMED),
];

pub(super) fn read(
    node: &Node<'_>,
    name: &str,
    scope: &Scope,
    context: &RuleContext<'_>,
    policy: &mut Policy,
) -> Result<Pending, PolicyError> {
    node.object(&FIELDS, &UNSUPPORTED, |entry| {
        entry.ignore(&["name"]);
        kind_and_flags(entry, &mut policy.notes)?;
        let own = entry.get("failureAction").map(|node| action(&node)).transpose()?;
        let images = images(entry, &mut policy.notes)?;
        let mut checks = Vec::new();
        if entry.boolean("verifyDigest", true)? {
            checks.push(Check::DigestRequired { pods_only: true });
        }
        let rule = Rule {
            name: name.to_owned(),
            mode: context.mode(own),
            scope: scope.clone(),
            images,
            checks,
            pin: entry.boolean("mutateDigest", true)?,
        };
        let attestors = entry.get("attestors").map_or(Ok(Vec::new()), |node| {
            attestors::read(&node, &mut policy.keys, &mut policy.notes)
        })?;
        let attestations = entry.get("attestations").map_or(Ok(Vec::new()), |node| {
            node.list()?.iter().map(|item| attestation(item, policy)).collect()
        })?;
        if rule.checks.is_empty() && attestors.is_empty() && attestations.is_empty() {
            return Err(PolicyError::DemandsNothing {
                place: node.place(),
                expected: "attestors, attestations or verifyDigest".to_owned(),
            });
        }
        Ok(Pending {
            rule,
            attestors,
            attestations,
        })
    })
}

/// Fields that choose how Kyverno goes about it; here there is one way.
fn kind_and_flags(entry: &Object<'_>, notes: &mut Vec<String>) -> Result<(), PolicyError> {
    if let Some(node) = entry.get("type")
        && node.word(&[("Cosign", false), ("SigstoreBundle", false), ("Notary", true)])?
    {
        return Err(node.unsupported("Notary signatures are not verified"));
    }
    entry.boolean("useCache", true)?;
    entry.boolean("cosignOCI11", false)?;
    if !entry.boolean("required", true)? {
        notes.push("required: false changes nothing here: an image that the rule concerns is verified".to_owned());
    }
    Ok(())
}

fn images(entry: &Object<'_>, notes: &mut Vec<String>) -> Result<ImageSelector, PolicyError> {
    let read = |node: &Node<'_>| {
        let text = node.string()?;
        ImagePattern::kyverno(text).map_err(|source| node.pattern(source))
    };
    let list = |node: Node<'_>| node.list()?.iter().map(read).collect::<Result<Vec<_>, _>>();
    let include = list(entry.required("imageReferences", "a list of image patterns")?)?;
    let exclude = entry.get("skipImageReferences").map_or(Ok(Vec::new()), list)?;
    for pattern in include.iter().chain(&exclude) {
        note_pattern(pattern, notes);
    }
    Ok(ImageSelector { include, exclude })
}

/// Where our reading of a pattern differs from one wildcard over the whole reference.
pub(super) fn note_pattern(pattern: &ImagePattern, notes: &mut Vec<String>) {
    let mut add = |note: String| {
        if !notes.contains(&note) {
            notes.push(note);
        }
    };
    if pattern.has_host_wildcard() {
        add(format!(
            "\"{pattern}\": the host is matched on its own; in Kyverno * crosses from the host into the path, so that another registry can hold a path that looks like it"
        ));
    }
    if pattern.has_open_host() {
        add(format!(
            "\"{pattern}\": the host ends in a wildcard, which matches registries of others; write the slash after the host"
        ));
    }
}

fn attestation(node: &Node<'_>, policy: &mut Policy) -> Result<Attestation, PolicyError> {
    const FIELDS: [&str; 5] = ["name", "type", "predicateType", "attestors", "conditions"];
    node.object(&FIELDS, &[], |object| {
        let kind = match (object.get("type"), object.get("predicateType")) {
            (Some(node), None) | (None, Some(node)) => node,
            (None, None) => object.required("type", "a predicate type")?,
            (Some(_), Some(old)) => return Err(old.unsupported("type stands beside it and says the same; write one")),
        };
        let predicate = predicate_type(&kind)?;
        let attestors = object
            .get("attestors")
            .map(|node| attestors::read(&node, &mut policy.keys, &mut policy.notes))
            .transpose()?;
        let blocks = object
            .get("conditions")
            .map_or(Ok(Vec::new()), |node| conditions::read(&node))?;
        Ok(Attestation {
            place: node.place(),
            name: object
                .string("name")?
                .map_or_else(|| predicate.to_string(), ToOwned::to_owned),
            predicate,
            attestors,
            blocks,
        })
    })
}

/// Makes the rules, attestations without attestors inheriting those that the policy sets for the same images: beside
/// them in the entry, or in other entries that concern every image of this one (kyverno#17125: there, anyone could
/// have made them).
pub(super) fn finish(pending: Vec<Pending>, policy: &mut Policy) -> Result<(), PolicyError> {
    let offered: Vec<(ImageSelector, Vec<Set>)> = pending
        .iter()
        .filter(|entry| !entry.attestors.is_empty())
        .map(|entry| (entry.rule.images.clone(), entry.attestors.clone()))
        .collect();
    for entry in pending {
        let Pending {
            mut rule,
            attestors: own,
            attestations,
        } = entry;
        if !own.is_empty() {
            let quorums = attestors::demand(&own, "signature", Requirement::signature);
            rule.checks.push(Check::Evidence(attestors::all(quorums)));
        }
        for attestation in attestations {
            let sets = match attestation.attestors {
                Some(sets) => sets,
                None if !own.is_empty() => own.clone(),
                None => inherited(&rule.images, &offered, &attestation.place, policy)?,
            };
            let name = format!("attestation {}", attestation.name);
            let mut quorums = attestors::demand(&sets, &name, |signers| {
                Requirement::attestation(vec![attestation.predicate.clone()], signers)
            });
            if !attestation.blocks.is_empty() {
                for quorum in &mut quorums {
                    quorum.conditions.push(Condition::Kyverno(attestation.blocks.clone()));
                }
            }
            rule.checks.push(Check::Evidence(attestors::all(quorums)));
        }
        policy.rules.push(rule);
    }
    Ok(())
}

fn inherited(
    images: &ImageSelector,
    offered: &[(ImageSelector, Vec<Set>)],
    place: &Place,
    policy: &mut Policy,
) -> Result<Vec<Set>, PolicyError> {
    let covers = |selector: &ImageSelector| {
        selector.exclude.iter().all(|pattern| images.exclude.contains(pattern))
            && images.include.iter().all(|pattern| selector.include.contains(pattern))
    };
    let sets: Vec<Set> = offered
        .iter()
        .filter(|(selector, _)| covers(selector))
        .flat_map(|(_, sets)| sets.iter().cloned())
        .collect();
    if sets.is_empty() {
        return Err(PolicyError::AttestationWithoutSigner { place: place.clone() });
    }
    policy.notes.push(format!(
        "{}: names no attestors and inherits those that the policy sets for the same images; Kyverno accepts any identity there (kyverno#17125)",
        place.path
    ));
    Ok(sets)
}
