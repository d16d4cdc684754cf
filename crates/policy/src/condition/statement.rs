//! Rego and CUE over a statement, as the attestation policies of a ClusterImagePolicy have them.

use serde_json::{Value, json};

use super::cue::Cue;
use super::{ConditionError, Facts, Unmet};
use crate::statement_policy::{Asked, Rego};

/// A policy over the statement of an attestation.
#[derive(Clone, Debug)]
pub(crate) enum StatementCondition {
    Rego { source: String, compiled: Rego },
    Cue { source: String, compiled: Cue },
}

impl StatementCondition {
    pub(crate) fn rego(source: &str) -> Result<Self, ConditionError> {
        let modules = vec![("policy".to_owned(), source.to_owned())];
        let compiled = Rego::compile(modules, Asked::PolicyController).map_err(|error| ConditionError::Syntax {
            language: "Rego",
            reason: error.to_string(),
        })?;
        Ok(Self::Rego {
            source: source.to_owned(),
            compiled,
        })
    }

    pub(crate) fn cue(source: &str) -> Result<Self, ConditionError> {
        Ok(Self::Cue {
            source: source.to_owned(),
            compiled: Cue::parse(source)?,
        })
    }

    /// As our own format writes it.
    pub(crate) fn written(&self) -> Value {
        match self {
            Self::Rego { source, .. } => json!({ "rego": source }),
            Self::Cue { source, .. } => json!({ "cue": source }),
        }
    }

    pub(super) fn check(&self, facts: &Facts<'_>) -> Result<(), Unmet> {
        // What else a statement has is bound to the image by its verification, and is not asked again.
        let input = json!({ "predicateType": facts.predicate_type, "predicate": facts.predicate });
        match self {
            Self::Rego { compiled, .. } => compiled.check_input(&input.to_string(), facts.now).map_err(|refusal| {
                let expected = "an attestation that the policy in Rego accepts".to_owned();
                if refusal.code == "policy-not-satisfied" {
                    Unmet::not_true(expected, refusal.reason)
                } else {
                    Unmet::error(expected, refusal.reason)
                }
            }),
            Self::Cue { compiled, .. } => compiled
                .check(&input)
                .map_err(|(expected, actual)| Unmet::not_true(expected, actual)),
        }
    }
}
