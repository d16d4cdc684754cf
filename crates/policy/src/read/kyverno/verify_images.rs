//! `verifyImages`: one entry is one rule of the model.

mod old_spelling;

use proofmark_evidence::predicate::PredicateType;

use super::attestors::{self, Set};
use super::{RuleContext, action, conditions};
use crate::condition::{Block, Condition};
use crate::error::{Place, PolicyError};
use crate::image_pattern::ImagePattern;
use crate::model::{Across, Check, Demand, ImageSelector, Policy, RegistryCredentials, Rule};
use crate::read::native::predicate_type;
use crate::read::node::{Node, Object};
use crate::requirement::Requirement;
use crate::scope::Scope;

/// An entry whose attestations may still inherit the attestors of others.
pub(super) struct Pending {
    rule: Rule,
    attestors: Vec<Set>,
    attestations: Vec<Attestation>,
    across: Option<Denied>,
}

impl Pending {
    /// A rule that needs nothing of the others.
    pub(super) fn complete(rule: Rule) -> Self {
        Self {
            rule,
            attestors: Vec::new(),
            attestations: Vec::new(),
            across: None,
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

/// `validate.deny`: conditions across the named attestations.
struct Denied {
    blocks: Vec<Block>,
    message: Option<String>,
}

const FIELDS: [&str; 22] = [
    "imageReferences",
    "skipImageReferences",
    "type",
    "attestors",
    "attestations",
    "validate",
    "mutateDigest",
    "verifyDigest",
    "required",
    "useCache",
    "failureAction",
    "cosignOCI11",
    "repository",
    "imageRegistryCredentials",
    "name",
    // The old spelling.
    "image",
    "key",
    "roots",
    "subject",
    "issuer",
    "annotations",
    "additionalExtensions",
];

pub(super) fn read(
    node: &Node<'_>,
    name: &str,
    scope: &Scope,
    context: &RuleContext<'_>,
    policy: &mut Policy,
) -> Result<Pending, PolicyError> {
    node.object(&FIELDS, &[], |entry| {
        entry.ignore(&["name"]);
        kind_and_flags(entry, policy)?;
        if let Some(node) = entry.get("repository") {
            attestors::source(&node, policy)?;
        }
        if let Some(node) = entry.get("imageRegistryCredentials") {
            credentials(&node, context.whole.home.as_deref(), policy)?;
        }
        let own = entry.get("failureAction").map(|node| action(&node)).transpose()?;
        let images = images(entry, policy)?;
        let mut checks = Vec::new();
        if entry.boolean("verifyDigest", true)? {
            checks.push(Check::DigestRequired { pods_only: true });
        }
        let rule = Rule {
            name: name.to_owned(),
            mode: context.mode(own),
            modes: context.modes(own),
            scope: scope.clone(),
            images,
            checks,
            pin: entry.boolean("mutateDigest", true)?,
        };
        let mut attestors = entry
            .get("attestors")
            .map_or(Ok(Vec::new()), |node| attestors::read(&node, policy))?;
        let mut attestations = entry.get("attestations").map_or(Ok(Vec::new()), |node| {
            node.list()?
                .iter()
                .map(|item| attestation(item, policy))
                .collect::<Result<Vec<_>, _>>()
        })?;
        old_spelling::attestors(entry, &mut attestors, &mut attestations, policy)?;
        let across = entry
            .get("validate")
            .map(|node| denied(&node, &attestations))
            .transpose()?;
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
            across,
        })
    })
}

/// `validate` of an entry: only `deny`, over the attestations that have a name.
fn denied(node: &Node<'_>, attestations: &[Attestation]) -> Result<Denied, PolicyError> {
    const OTHER: &str = "only deny, across the attestations of the entry, is read";
    const UNSUPPORTED: [(&str, &str); 6] = [
        ("pattern", OTHER),
        ("anyPattern", OTHER),
        ("podSecurity", OTHER),
        ("foreach", OTHER),
        ("manifests", OTHER),
        ("cel", OTHER),
    ];
    node.object(&["message", "deny"], &UNSUPPORTED, |validate| {
        let message = validate.string("message")?.map(ToOwned::to_owned);
        let deny = validate.required("deny", "conditions across the attestations")?;
        let blocks = deny.object(&["conditions"], &[], |deny| {
            let conditions = deny.required("conditions", "any and all")?;
            let blocks = conditions::over_request(&conditions)?;
            let names: Vec<&str> = attestations.iter().map(|one| one.name.as_str()).collect();
            conditions::roots(&conditions, &blocks, &names)?;
            Ok(blocks)
        })?;
        Ok(Denied { blocks, message })
    })
}

fn credentials(node: &Node<'_>, home: Option<&str>, policy: &mut Policy) -> Result<(), PolicyError> {
    node.object(&["allowInsecureRegistry", "providers", "secrets"], &[], |object| {
        let list = |name: &str| -> Result<Vec<String>, PolicyError> {
            let found = object.get(name).map_or(Ok(Vec::new()), |node| node.strings())?;
            Ok(found.into_iter().map(ToOwned::to_owned).collect())
        };
        if object.boolean("allowInsecureRegistry", false)? {
            policy.note(
                "imageRegistryCredentials.allowInsecureRegistry: no policy turns TLS off; the server's own configuration names hosts without it",
            );
        }
        if let Some(providers) = object.get("providers") {
            const KNOWN: [(&str, ()); 5] = [("default", ()), ("amazon", ()), ("azure", ()), ("google", ()), ("github", ())];
            providers.list()?.iter().try_for_each(|item| item.word(&KNOWN))?;
        }
        let wish = RegistryCredentials {
            policy: policy.name.clone(),
            namespace: home.map(ToOwned::to_owned),
            providers: list("providers")?,
            secrets: list("secrets")?,
        };
        if let (Some(home), Some(node)) = (home, object.get("secrets"))
            && wish.secrets.iter().any(|secret| secret.split_once('/').is_some_and(|(namespace, _)| namespace != home))
        {
            return Err(node.unsupported("a Policy reads the Secrets of its own namespace alone"));
        }
        policy.note("imageRegistryCredentials: credentials are bound to hosts by whoever runs the server; a policy asks for them and decides nothing");
        policy.credentials.push(wish);
        Ok(())
    })
}

/// Fields that choose how Kyverno goes about it; here there is one way.
fn kind_and_flags(entry: &Object<'_>, policy: &mut Policy) -> Result<(), PolicyError> {
    if let Some(node) = entry.get("type")
        && node.word(&[("Cosign", false), ("SigstoreBundle", false), ("Notary", true)])?
    {
        return Err(node.unsupported("Notary signatures are not verified"));
    }
    entry.boolean("useCache", true)?;
    entry.boolean("cosignOCI11", false)?;
    if !entry.boolean("required", true)? {
        policy.note("required: false changes nothing here: an image that the rule concerns is verified");
    }
    Ok(())
}

fn images(entry: &Object<'_>, policy: &mut Policy) -> Result<ImageSelector, PolicyError> {
    let read = |node: &Node<'_>| {
        let text = node.string()?;
        ImagePattern::kyverno(text).map_err(|source| node.pattern(source))
    };
    let list = |node: Node<'_>| node.list()?.iter().map(read).collect::<Result<Vec<_>, _>>();
    let include = match entry.get("image") {
        Some(old) if entry.get("imageReferences").is_none() => vec![read(&old)?],
        Some(old) => return Err(old.unsupported("imageReferences stands beside it; write one")),
        None => list(entry.required("imageReferences", "a list of image patterns")?)?,
    };
    let exclude = entry.get("skipImageReferences").map_or(Ok(Vec::new()), list)?;
    for pattern in include.iter().chain(&exclude) {
        note_pattern(pattern, policy);
    }
    Ok(ImageSelector { include, exclude })
}

/// Where our reading of a pattern differs from one wildcard over the whole reference.
pub(super) fn note_pattern(pattern: &ImagePattern, policy: &mut Policy) {
    if pattern.has_host_wildcard() {
        policy.note(format!(
            "\"{pattern}\": the host is matched on its own; in Kyverno * crosses from the host into the path, so that another registry can hold a path that looks like it"
        ));
    }
    if pattern.has_open_host() {
        policy.note(format!(
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
            .map(|node| attestors::read(&node, policy))
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
            across,
        } = entry;
        if !own.is_empty() {
            let demand = attestors::demand(&own, "signature", &[], Requirement::signature);
            rule.checks.push(Check::Evidence(demand));
        }
        let mut named = Vec::new();
        for attestation in attestations {
            let sets = match attestation.attestors {
                Some(sets) => sets,
                None if !own.is_empty() => own.clone(),
                None => inherited(&rule.images, &offered, &attestation.place, policy)?,
            };
            let requirement = |signers| Requirement::attestation(vec![attestation.predicate.clone()], signers);
            let conditions = match attestation.blocks.is_empty() {
                true => Vec::new(),
                false => vec![Condition::Kyverno(attestation.blocks.clone())],
            };
            named.push((attestation.name.clone(), attestors::requirements(&sets, requirement)));
            let name = format!("attestation {}", attestation.name);
            let demand = attestors::demand(&sets, &name, &conditions, requirement);
            rule.checks.push(Check::Evidence(demand));
        }
        if let Some(Denied { blocks, message }) = across {
            policy.note(
                "validate.deny: it must not hold of any choice of one attestation of each name; Kyverno takes one of each",
            );
            rule.checks.push(Check::Evidence(Demand::Across(Across {
                attestations: named,
                blocks,
                message,
            })));
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
    policy.note(format!(
        "{}: names no attestors and inherits those that the policy sets for the same images; Kyverno accepts any identity there (kyverno#17125)",
        place.path
    ));
    Ok(sets)
}
