//! The fields that say anything the model can hold: what `policy convert` writes, and what is rarely written by hand.

use proofmark_evidence::predicate::PredicateType;
use proofmark_types::Repository;

use super::{predicate_type, signers};
use crate::condition::{Condition, StatementCondition};
use crate::error::PolicyError;
use crate::image_pattern::ImagePattern;
use crate::model::{Across, Check, Choice, Demand, ImagePlace, Policy, Quorum, Slot};
use crate::question::Mode;
use crate::read::kyverno::{conditions, matching};
use crate::read::node::{Node, Object};
use crate::requirement::{LogRule, Requirement, SignerRule};
use crate::scope::Filter;

/// A pattern of ours, or one that says which dialect it is of.
pub(super) fn pattern(item: &Node<'_>) -> Result<ImagePattern, PolicyError> {
    if !item.value().is_object() {
        return ImagePattern::native(item.string()?).map_err(|source| item.pattern(source));
    }
    item.object(&["kyverno", "sigstore"], &[], |object| {
        match (object.get("kyverno"), object.get("sigstore")) {
            (Some(node), None) => ImagePattern::kyverno(node.string()?).map_err(|source| node.pattern(source)),
            (None, Some(node)) => {
                ImagePattern::cluster_image_policy(node.string()?).map_err(|source| node.pattern(source))
            }
            _ => Err(item.wrong("a pattern, or one of kyverno and sigstore with a pattern of theirs")),
        }
    })
}

pub(super) fn patterns(node: &Node<'_>) -> Result<Vec<ImagePattern>, PolicyError> {
    node.list()?.iter().map(pattern).collect()
}

/// `modes`: other modes for some objects; the first that matches holds.
pub(super) fn modes(node: &Node<'_>, policy: &mut Policy) -> Result<Vec<(Filter, Mode)>, PolicyError> {
    let mut found = Vec::new();
    for item in node.list()? {
        found.push(item.object(&["mode", "where"], &[], |object| {
            let mode = super::mode(&object.required("mode", "enforce, warn or audit")?)?;
            let over = object.required("where", "resources and subjects")?;
            Ok((matching::object_filter(&over, policy)?, mode))
        })?);
    }
    Ok(found)
}

/// `allow`, `deny` and `lists`: rules over the reference and where it stands.
pub(super) fn over_references(object: &Object<'_>, checks: &mut Vec<Check>) -> Result<(), PolicyError> {
    for item in object.get("allow").map_or(Ok(Vec::new()), |node| node.list())? {
        checks.push(item.object(&["choices", "message"], &[], |allow| {
            Ok(Check::ImageAllowed {
                choices: choices(&allow.required("choices", "a list of all and none")?)?,
                message: message(allow)?,
            })
        })?);
    }
    for item in object.get("deny").map_or(Ok(Vec::new()), |node| node.list())? {
        checks.push(item.object(&["conditions", "message"], &[], |deny| {
            let written = deny.required("conditions", "any and all")?;
            let blocks = conditions::over_request(&written)?;
            conditions::over_images(&written, &blocks)?;
            Ok(Check::ImageDenied {
                blocks,
                message: message(deny)?,
            })
        })?);
    }
    for item in object.get("lists").map_or(Ok(Vec::new()), |node| node.list())? {
        checks.push(item.object(&["list", "none", "some", "message"], &[], |rule| {
            let name = rule.required("list", "containers, initContainers or ephemeralContainers")?;
            let list = name.word(&crate::pod::LISTS.map(|list| (list, list)))?;
            let message = message(rule)?;
            match (rule.get("some"), rule.boolean("none", false)?) {
                (Some(some), false) => Ok(Check::SomeIn {
                    list,
                    choices: choices(&some)?,
                    message,
                }),
                (None, true) => Ok(Check::NoneIn { list, message }),
                _ => Err(item.wrong("either none: true or some")),
            }
        })?);
    }
    Ok(())
}

fn message(object: &Object<'_>) -> Result<Option<String>, PolicyError> {
    Ok(object.string("message")?.map(ToOwned::to_owned))
}

fn choices(node: &Node<'_>) -> Result<Vec<Choice>, PolicyError> {
    let one = |item: &Node<'_>| {
        item.object(&["all", "none"], &[], |object| {
            let list = |name: &str| object.get(name).map_or(Ok(Vec::new()), |node| patterns(&node));
            let choice = Choice {
                all: list("all")?,
                none: list("none")?,
            };
            if choice.all.is_empty() && choice.none.is_empty() {
                return Err(item.wrong("all or none"));
            }
            Ok(choice)
        })
    };
    node.list()?.iter().map(one).collect()
}

/// Demands within each other; what is converted nests three deep.
const MAX_DEPTH: usize = 8;

/// One demand: signatures, an attestation, conditions across several, a fixed answer, or several of these.
pub(super) fn demand(node: &Node<'_>, depth: usize, policy: &mut Policy) -> Result<Demand, PolicyError> {
    const FIELDS: [&str; 7] = [
        "allOf",
        "anyOf",
        "signatures",
        "attestation",
        "across",
        "static",
        "message",
    ];
    if depth > MAX_DEPTH {
        return Err(node.wrong("demands nested at most eight deep"));
    }
    node.object(&FIELDS, &[], |object| {
        let named: Vec<&str> = FIELDS
            .into_iter()
            .filter(|name| *name != "message" && object.get(name).is_some())
            .collect();
        let [name] = named.as_slice() else {
            return Err(node.wrong("exactly one of allOf, anyOf, signatures, attestation, across and static"));
        };
        let part = object.required(name, "a demand")?;
        match *name {
            "allOf" | "anyOf" => {
                let mut parts = Vec::new();
                for item in part.list()? {
                    parts.push(demand(&item, depth + 1, policy)?);
                }
                Ok(if *name == "allOf" {
                    Demand::All(parts)
                } else {
                    Demand::Any(parts)
                })
            }
            "static" => Ok(Demand::Static {
                pass: part.word(&[("pass", true), ("fail", false)])?,
                message: message(object)?,
            }),
            "across" => across(&part, policy),
            kind => quorum(&part, kind == "attestation", policy).map(Demand::Quorum),
        }
    })
}

fn quorum(node: &Node<'_>, attested: bool, policy: &mut Policy) -> Result<Quorum, PolicyError> {
    const SIGNATURE: [&str; 3] = ["name", "signers", "count"];
    const ATTESTATION: [&str; 8] = [
        "name",
        "signers",
        "count",
        "type",
        "condition",
        "conditions",
        "policy",
        "every",
    ];
    let fields: &[&str] = if attested { &ATTESTATION } else { &SIGNATURE };
    node.object(fields, &[], |object| {
        let predicate = match attested {
            true => Some(predicate_type(
                &object.required("type", "a predicate type, such as spdxjson")?,
            )?),
            false => None,
        };
        let listed = object.required("signers", "a list of keys and identities")?;
        let slots = requirements(&listed, predicate.as_ref(), policy)?;
        let count = match object.get("count") {
            None => 1,
            Some(node) => node.count().and_then(|count| {
                if count <= slots.len() {
                    Ok(count)
                } else {
                    Err(node.wrong(&format!("at most the number of signers, {}", slots.len())))
                }
            })?,
        };
        let name = match (object.string("name")?, &predicate) {
            (Some(name), _) => name.to_owned(),
            (None, Some(predicate)) => format!("attestation {predicate}"),
            (None, None) => "signature".to_owned(),
        };
        let conditions = if attested {
            predicate_conditions(object)?
        } else {
            Vec::new()
        };
        let every = attested && object.boolean("every", false)?;
        Ok(Quorum {
            name,
            count,
            slots: slots.into_iter().map(|requirement| Slot { requirement }).collect(),
            conditions,
            every,
        })
    })
}

/// Conditions over a predicate: CEL, Kyverno's, or a policy in Rego or CUE.
pub(super) fn predicate_conditions(object: &Object<'_>) -> Result<Vec<Condition>, PolicyError> {
    let mut found = Vec::new();
    if let Some(node) = object.get("condition") {
        found.push(super::cel(&node)?);
    }
    if let Some(node) = object.get("conditions") {
        found.push(Condition::Kyverno(conditions::read(&node)?));
    }
    if let Some(node) = object.get("policy") {
        found.push(node.object(&["rego", "cue"], &[], |policy| {
            let (text, compiled) = match (policy.get("rego"), policy.get("cue")) {
                (Some(text), None) => (text.clone(), StatementCondition::rego(text.string()?)),
                (None, Some(text)) => (text.clone(), StatementCondition::cue(text.string()?)),
                _ => return Err(node.wrong("either rego or cue")),
            };
            let compiled = compiled.map_err(|source| text.condition(source))?;
            Ok(Condition::Statement(Box::new(compiled)))
        })?);
    }
    Ok(found)
}

fn across(node: &Node<'_>, policy: &mut Policy) -> Result<Demand, PolicyError> {
    node.object(&["attestations", "deny", "message"], &[], |object| {
        let mut attestations = Vec::new();
        for item in object.required("attestations", "a list of attestations")?.list()? {
            attestations.push(item.object(&["name", "type", "signers"], &[], |attestation| {
                let predicate = predicate_type(&attestation.required("type", "a predicate type")?)?;
                let listed = attestation.required("signers", "a list of keys and identities")?;
                let name = attestation
                    .required("name", "a name for the conditions")?
                    .string()?
                    .to_owned();
                Ok((name, requirements(&listed, Some(&predicate), policy)?))
            })?);
        }
        let deny = object.required("deny", "conditions across the attestations")?;
        let blocks = conditions::over_request(&deny)?;
        let names: Vec<&str> = attestations.iter().map(|(name, _)| name.as_str()).collect();
        conditions::roots(&deny, &blocks, &names)?;
        Ok(Demand::Across(Across {
            attestations,
            blocks,
            message: message(object)?,
        }))
    })
}

/// Signers, each with what must vouch for it.
fn requirements(
    node: &Node<'_>,
    predicate: Option<&PredicateType>,
    policy: &mut Policy,
) -> Result<Vec<Requirement>, PolicyError> {
    let rules = signers(node, true, &mut policy.keys)?;
    let requirement = |(item, rule): (&Node<'_>, SignerRule)| {
        item.object(&super::SIGNER, &[], |object| {
            object.ignore(&["name", "key", "keyless"]);
            let base = match predicate {
                Some(predicate) => Requirement::attestation(vec![predicate.clone()], vec![rule]),
                None => Requirement::signature(vec![rule]),
            };
            let mut annotations = std::collections::BTreeMap::new();
            if let Some(node) = object.get("annotations") {
                annotations.extend(
                    node.texts()?
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value.to_owned())),
                );
            }
            Ok(Requirement {
                log: match object.boolean("requireLog", true)? {
                    true => LogRule::Required { operators: 1 },
                    false => LogRule::NotRequired,
                },
                timestamp: object.boolean("requireTimestamp", false)?,
                sct: object.boolean("requireSct", true)?,
                annotations,
                ..base
            })
        })
    };
    node.list()?.iter().zip(rules).map(requirement).collect()
}

/// `sources` and `imagePlaces` of the whole policy.
pub(super) fn whole(spec: &Object<'_>, policy: &mut Policy) -> Result<(), PolicyError> {
    if let Some(node) = spec.get("sources") {
        for item in node.list()? {
            let repository = Repository::parse(item.string()?).map_err(|error| {
                item.wrong(&format!(
                    "a repository such as registry.example.com/signatures ({error})"
                ))
            })?;
            policy.sources.push(repository);
        }
    }
    if let Some(node) = spec.get("imagePlaces") {
        for item in node.list()? {
            let (kind, path) = item.object(&["kind", "path"], &[], |place| {
                let kind = place.required("kind", "a kind")?.string()?.to_owned();
                Ok((kind, place.required("path", "a path such as /spec/steps/*/image")?))
            })?;
            let text = path.string()?;
            if !text
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(|part| !part.is_empty()))
            {
                return Err(path.wrong("a path such as /spec/steps/*/image"));
            }
            policy.image_places.push(ImagePlace {
                policy: policy.name.clone(),
                kind,
                path: text.to_owned(),
            });
        }
    }
    Ok(())
}
