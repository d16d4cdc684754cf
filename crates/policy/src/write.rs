//! The model written as our own format: whatever a policy was read from, what is written here decides the same.
//!
//! Nothing is left out: what the format has no words for is an error.

mod document;
mod yaml;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::condition::{Block, Condition};
use crate::image_pattern::ImagePattern;
use crate::model::{Across, Check, Choice, Demand, Policy, Quorum, Slot};
use crate::question::Operation;
use crate::requirement::{LogRule, Requirement, SignerRule, Wanted};
use crate::scope::{Filter, Filters, LabelRule, LabelTest, Subject};
use crate::text::TextMatch;

pub(crate) use document::document;
pub use yaml::write_yaml;

/// Why a policy cannot be written in our format.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// Our format has no words for it.
    #[error("{policy}: {what} cannot be said in an ImagePolicy")]
    NoWords {
        /// The policy.
        policy: String,
        /// What it says.
        what: String,
    },
}

impl ConvertError {
    /// A stable word for outputs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoWords { .. } => "policy-not-convertible",
        }
    }
}

/// Writes the parts of one policy.
pub(crate) struct Writer<'a> {
    policy: &'a Policy,
    /// Keys that are named by where they live, by fingerprint.
    named: BTreeMap<String, String>,
}

type Written = Result<Value, ConvertError>;

impl<'a> Writer<'a> {
    pub(crate) fn new(policy: &'a Policy, named: BTreeMap<String, String>) -> Self {
        Self { policy, named }
    }

    fn no_words(&self, what: &str) -> ConvertError {
        ConvertError::NoWords {
            policy: self.policy.name.clone(),
            what: what.to_owned(),
        }
    }

    fn check(&self, check: &Check, fields: &mut Map<String, Value>) -> Result<(), ConvertError> {
        let (name, value) = match check {
            Check::DigestRequired { pods_only } => {
                let value = if *pods_only { json!("pods") } else { json!(true) };
                fields.insert("requireDigest".to_owned(), value);
                return Ok(());
            }
            Check::ImageAllowed { choices, message } => ("allow", with(json!({"choices": written(choices)}), message)),
            Check::ImageDenied { blocks, message } => {
                ("deny", with(json!({"conditions": conditions(blocks)}), message))
            }
            Check::NoneIn { list, message } => ("lists", with(json!({"list": list, "none": true}), message)),
            Check::SomeIn { list, choices, message } => {
                ("lists", with(json!({"list": list, "some": written(choices)}), message))
            }
            Check::Evidence(demand) => ("demand", self.demand(demand)?),
        };
        if let Some(list) = fields.entry(name).or_insert_with(|| json!([])).as_array_mut() {
            list.push(value);
        }
        Ok(())
    }

    fn demand(&self, demand: &Demand) -> Written {
        let all = |parts: &[Demand]| {
            parts
                .iter()
                .map(|part| self.demand(part))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(match demand {
            Demand::All(parts) => match parts.as_slice() {
                [one] => self.demand(one)?,
                _ => json!({ "allOf": all(parts)? }),
            },
            Demand::Any(parts) => match parts.as_slice() {
                [one] => self.demand(one)?,
                _ => json!({ "anyOf": all(parts)? }),
            },
            Demand::Static { pass, message } => with(json!({ "static": if *pass { "pass" } else { "fail" } }), message),
            Demand::Quorum(quorum) => self.quorum(quorum)?,
            Demand::Across(across) => self.across(across)?,
        })
    }

    fn quorum(&self, quorum: &Quorum) -> Written {
        let Some(first) = quorum.slots.first() else {
            return Err(self.no_words("a demand without signers"));
        };
        let mut fields = Map::from_iter([
            ("name".to_owned(), json!(quorum.name)),
            (
                "signers".to_owned(),
                self.signers(quorum.slots.iter().map(|slot: &Slot| &slot.requirement), quorum.count)?,
            ),
            ("count".to_owned(), json!(quorum.count.max(1))),
        ]);
        for condition in &quorum.conditions {
            let (name, value) = match condition {
                Condition::Cel(condition) => ("condition", json!(condition.source())),
                Condition::Kyverno(blocks) => ("conditions", conditions(blocks)),
                Condition::Statement(policy) => ("policy", policy.written()),
            };
            if fields.insert(name.to_owned(), value).is_some() {
                return Err(self.no_words("two conditions of one language over one attestation"));
            }
        }
        if !quorum.conditions.is_empty() {
            fields.insert("every".to_owned(), json!(quorum.every));
        }
        match &first.requirement.what {
            Wanted::Signature {
                accept_any_bundle: false,
            } => Ok(json!({ "signatures": fields })),
            Wanted::Attestation { types } => {
                fields.insert("type".to_owned(), self.predicate(types)?);
                Ok(json!({ "attestation": fields }))
            }
            Wanted::Signature { .. } => Err(self.no_words("any bundle in place of a signature")),
        }
    }

    fn predicate(&self, types: &[proofmark_evidence::predicate::PredicateType]) -> Written {
        match types {
            [one] => Ok(json!(one.as_str())),
            _ => Err(self.no_words("one of several predicate types")),
        }
    }

    fn across(&self, across: &Across) -> Written {
        let mut attestations = Vec::new();
        for (name, requirements) in &across.attestations {
            let Some(Wanted::Attestation { types }) = requirements.first().map(|first| &first.what) else {
                return Err(self.no_words("conditions across what are no attestations"));
            };
            attestations.push(json!({
                "name": name, "type": self.predicate(types)?, "signers": self.signers(requirements.iter(), 1)?,
            }));
        }
        let value = json!({ "attestations": attestations, "deny": conditions(&across.blocks) });
        Ok(json!({ "across": with(value, &across.message) }))
    }

    /// Each with what must vouch for it; where any signer is enough, those of one slot stand on their own.
    fn signers<'r>(&self, requirements: impl Iterator<Item = &'r Requirement>, count: usize) -> Written {
        let mut list = Vec::new();
        for requirement in requirements {
            if requirement.signers.len() != 1 && count > 1 {
                return Err(self.no_words("a count over groups of signers"));
            }
            for signer in &requirement.signers {
                let mut fields = self.signer(signer)?;
                let log = !matches!(requirement.log, LogRule::NotRequired);
                for (name, own, default) in [
                    ("requireLog", log, true),
                    ("requireSct", requirement.sct, true),
                    ("requireTimestamp", requirement.timestamp, false),
                ] {
                    if own != default {
                        fields.insert(name.to_owned(), json!(own));
                    }
                }
                if !requirement.annotations.is_empty() {
                    fields.insert("annotations".to_owned(), json!(requirement.annotations));
                }
                list.push(Value::Object(fields));
            }
        }
        Ok(Value::Array(list))
    }

    fn signer(&self, signer: &SignerRule) -> Result<Map<String, Value>, ConvertError> {
        let value = match signer {
            SignerRule::Key(fingerprint) => {
                let named = self.named.get(&fingerprint.to_string()).cloned();
                let key = self.policy.keys.iter().find(|key| key.fingerprint() == fingerprint);
                let text = named.or_else(|| key.map(proofmark_verify::PublicKey::to_pem));
                (
                    "key",
                    json!(text.ok_or_else(|| self.no_words("a key that is not known"))?),
                )
            }
            SignerRule::Keyless(rule) => {
                let mut fields = Map::new();
                text("issuer", &rule.issuer, &mut fields);
                text("subject", &rule.subject, &mut fields);
                if let Some(kind) = rule.subject_kind {
                    fields.insert("subjectKind".to_owned(), json!(kind.word()));
                }
                let github: Map<String, Value> = rule
                    .github
                    .iter()
                    .map(|(field, wanted)| {
                        let value = if wanted.is_exact() {
                            json!(wanted.source())
                        } else {
                            json!({ "regExp": wanted.as_regexp() })
                        };
                        (field.word().to_owned(), value)
                    })
                    .collect();
                if !github.is_empty() {
                    fields.insert("github".to_owned(), Value::Object(github));
                }
                ("keyless", Value::Object(fields))
            }
        };
        Ok(Map::from_iter([(value.0.to_owned(), value.1)]))
    }
}

fn text(name: &str, wanted: &TextMatch, fields: &mut Map<String, Value>) {
    let (name, value) = if wanted.is_exact() {
        (name.to_owned(), wanted.source().to_owned())
    } else {
        (format!("{name}RegExp"), wanted.as_regexp())
    };
    fields.insert(name, json!(value));
}

fn with(mut value: Value, message: &Option<String>) -> Value {
    if let (Some(fields), Some(message)) = (value.as_object_mut(), message) {
        fields.insert("message".to_owned(), json!(message));
    }
    value
}

fn written(choices: &[Choice]) -> Value {
    let list = |patterns: &[ImagePattern]| patterns.iter().map(ImagePattern::written).collect::<Vec<_>>();
    let choice = |choice: &Choice| {
        let mut fields = Map::new();
        for (name, patterns) in [("all", &choice.all), ("none", &choice.none)] {
            if !patterns.is_empty() {
                fields.insert(name.to_owned(), json!(list(patterns)));
            }
        }
        Value::Object(fields)
    };
    choices.iter().map(choice).collect()
}

/// Kyverno's blocks, as they were read.
fn conditions(blocks: &[Block]) -> Value {
    let block = |block: &Block| {
        let mut fields = Map::new();
        for (name, list) in [("any", &block.any), ("all", &block.all)] {
            if !list.is_empty() {
                let list: Vec<&Value> = list.iter().map(|comparison| comparison.written()).collect();
                fields.insert(name.to_owned(), json!(list));
            }
        }
        Value::Object(fields)
    };
    blocks.iter().map(block).collect()
}

fn filters(filters: &Filters) -> Value {
    match filters {
        Filters::Any(list) => json!({ "any": list.iter().map(filter).collect::<Vec<_>>() }),
        Filters::All(list) => json!({ "all": list.iter().map(filter).collect::<Vec<_>>() }),
    }
}

fn filter(filter: &Filter) -> Value {
    let mut resources = Map::new();
    for (name, list) in [
        ("kinds", &filter.kinds),
        ("namespaces", &filter.namespaces),
        ("names", &filter.names),
    ] {
        if !list.is_empty() {
            resources.insert(name.to_owned(), json!(list));
        }
    }
    if !filter.operations.is_empty() {
        let names: Vec<&str> = filter
            .operations
            .iter()
            .map(|operation| Operation::name(*operation))
            .collect();
        resources.insert("operations".to_owned(), json!(names));
    }
    if !filter.labels.is_empty() {
        resources.insert("selector".to_owned(), selector(&filter.labels));
    }
    if !filter.namespace_labels.is_empty() {
        resources.insert("namespaceSelector".to_owned(), selector(&filter.namespace_labels));
    }
    if !filter.annotations.is_empty() {
        resources.insert("annotationSelector".to_owned(), selector(&filter.annotations));
    }
    let mut fields = Map::new();
    if !resources.is_empty() {
        fields.insert("resources".to_owned(), Value::Object(resources));
    }
    if !filter.subjects.is_empty() {
        let subject = |subject: &Subject| match subject {
            Subject::Group(name) => json!({"kind": "Group", "name": name}),
            // A service account is a user of this name.
            Subject::User(name) | Subject::ServiceAccount(name) => json!({"kind": "User", "name": name}),
        };
        let list: Vec<Value> = filter.subjects.iter().map(subject).collect();
        fields.insert("subjects".to_owned(), json!(list));
    }
    Value::Object(fields)
}

fn selector(rules: &[LabelRule]) -> Value {
    let rule = |rule: &LabelRule| match &rule.test {
        LabelTest::In(values) => json!({"key": rule.key, "operator": "In", "values": values}),
        LabelTest::NotIn(values) => json!({"key": rule.key, "operator": "NotIn", "values": values}),
        LabelTest::Exists => json!({"key": rule.key, "operator": "Exists"}),
        LabelTest::DoesNotExist => json!({"key": rule.key, "operator": "DoesNotExist"}),
    };
    json!({ "matchExpressions": rules.iter().map(rule).collect::<Vec<_>>() })
}
