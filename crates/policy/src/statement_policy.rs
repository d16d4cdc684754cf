//! Policies of `verify-attestation --policy`: one file each, over the in-toto statement of an attestation that was
//! already verified.
//!
//! | ending | language | what is asked |
//! |---|---|---|
//! | `.cel` | CEL | the expression is true of `predicate`, `predicateType` and `image`, as in our own policies |
//! | `.rego` | Rego (version 0 of the language, as cosign reads it) | `data.signature.allow` is true, the statement being `input` |
//! | `.cue` | CUE | refused: there is no interpreter here |
//!
//! All files of Rego are one policy, as in cosign; every CEL file must hold. Nothing of a policy reaches out: no HTTP, no
//! random numbers, no clock but the time of the decision. What cannot be evaluated refuses the attestation.

mod rego;

use proofmark_types::{ImageRef, UnixTime};
use serde_json::{Value, json};
use thiserror::Error;

pub(crate) use self::rego::{Asked, Rego};
use crate::condition::{CelCondition, Condition, ConditionError, Facts};

/// The policies of one run.
#[derive(Clone, Debug, Default)]
pub struct StatementPolicies {
    cel: Vec<(String, Condition)>,
    rego: Option<Rego>,
}

/// An attestation that was verified.
#[derive(Clone, Copy, Debug)]
pub struct StatementFacts<'a> {
    /// The whole statement, as it was signed.
    pub statement: &'a Value,
    /// The image, pinned to the digest that was verified.
    pub image: &'a ImageRef,
    /// The time of the decision.
    pub now: UnixTime,
}

impl StatementPolicies {
    /// Reads policies: each with the name of its file, by whose ending the language is known.
    pub fn read<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Result<Self, StatementPolicyError> {
        let mut policies = Self::default();
        let mut modules = Vec::new();
        for (name, source) in files {
            match name.rsplit_once('.').map(|(_, ending)| ending) {
                Some("cel") => {
                    let condition = CelCondition::compile(source).map_err(|source| StatementPolicyError::Cel {
                        name: name.to_owned(),
                        source,
                    })?;
                    policies
                        .cel
                        .push((name.to_owned(), Condition::Cel(Box::new(condition))));
                }
                Some("rego") => modules.push((name.to_owned(), source.to_owned())),
                Some("cue") => return Err(StatementPolicyError::Cue { name: name.to_owned() }),
                _ => return Err(StatementPolicyError::Language { name: name.to_owned() }),
            }
        }
        if !modules.is_empty() {
            policies.rego = Some(Rego::compile(modules, Asked::Cosign)?);
        }
        Ok(policies)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cel.is_empty() && self.rego.is_none()
    }

    /// Holds an attestation against all of them; the first that does not hold is said.
    pub fn check(&self, facts: &StatementFacts<'_>) -> Result<(), StatementRefusal> {
        let null = json!(null);
        let seen = Facts {
            predicate: facts.statement.get("predicate").unwrap_or(&null),
            predicate_type: facts
                .statement
                .get("predicateType")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            image: facts.image,
            now: facts.now,
        };
        for (name, condition) in &self.cel {
            condition.check(&seen).map_err(|unmet| StatementRefusal {
                policy: name.clone(),
                code: if unmet.code == "condition-error" { ERROR } else { FALSE },
                reason: format!("expected {}, {}", unmet.expected, unmet.actual),
            })?;
        }
        match &self.rego {
            Some(rego) => rego.check(facts),
            None => Ok(()),
        }
    }
}

/// The policy could be evaluated and does not hold.
const FALSE: &str = "policy-not-satisfied";
/// The policy could not be evaluated.
const ERROR: &str = "policy-not-evaluated";

/// An attestation that a policy does not accept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{policy}: {reason} [{code}]")]
pub struct StatementRefusal {
    /// The file of the policy, or the files.
    pub policy: String,
    /// `policy-not-satisfied`, or `policy-not-evaluated` when its evaluation failed.
    pub code: &'static str,
    /// Why, in words.
    pub reason: String,
}

/// Why a file is no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatementPolicyError {
    /// Not an expression in CEL.
    #[error("{name}: {source}")]
    Cel {
        /// The file.
        name: String,
        /// What is wrong.
        source: ConditionError,
    },
    /// Not a module in Rego.
    #[error("{name}: not a module in Rego: {reason}")]
    Rego {
        /// The file.
        name: String,
        /// What the parser says.
        reason: String,
    },
    /// Rego that never says what cosign asks.
    #[error("{names}: there is no {query}, which is what is asked")]
    NoAllow {
        /// The files.
        names: String,
        /// What is asked.
        query: &'static str,
    },
    /// More than anyone can review.
    #[error("{name} has {length} bytes, at most {limit} are read")]
    TooLong {
        /// The file.
        name: String,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Policies in CUE are not evaluated.
    #[error(
        "{name}: policies in CUE are not evaluated here; `predicate: {{ builder: id: \"x\" }}` is `predicate.builder.id == \"x\"` in a .cel file, a regular expression `=~\"^x\"` is `.matches(\"^x\")`, and a list constraint is `.all(item, …)`"
    )]
    Cue {
        /// The file.
        name: String,
    },
    /// A file whose ending says nothing.
    #[error("{name}: the ending says the language, and is .cel or .rego")]
    Language {
        /// The file.
        name: String,
    },
}

impl StatementPolicyError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cel { .. } | Self::Rego { .. } | Self::NoAllow { .. } => "malformed-policy",
            Self::TooLong { .. } => "policy-too-long",
            Self::Cue { .. } => "policy-in-cue",
            Self::Language { .. } => "policy-language-unknown",
        }
    }
}

#[cfg(test)]
mod tests;
