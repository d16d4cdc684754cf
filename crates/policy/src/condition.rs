//! Conditions over the predicate of an attestation: CEL in our own policies, JMESPath with operators in Kyverno's.
//!
//! A condition sees the proven predicate, the image and the time of the decision, and nothing else: no function does
//! I/O (CVE-2026-4789: `http` in policies). It is compiled when the policy is loaded. An evaluation error is not "false"
//! and not "true": it refuses the attestation under a code of its own.

pub(crate) mod cel;
mod cue;
mod jmespath;
mod kyverno;
mod statement;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};

use proofmark_types::{ImageRef, UnixTime};
use serde_json::Value;
use thiserror::Error;

pub(crate) use cel::CelCondition;
pub(crate) use kyverno::{Block, Comparison, Operator};
pub(crate) use statement::StatementCondition;

/// A compiled condition.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Cel(Box<CelCondition>),
    /// Kyverno's blocks; every one must hold.
    Kyverno(Vec<Block>),
    /// Rego or CUE over the whole statement, as policy-controller has them.
    Statement(Box<StatementCondition>),
}

/// What a condition may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) predicate: &'a Value,
    pub(crate) predicate_type: &'a str,
    pub(crate) image: &'a ImageRef,
    pub(crate) now: UnixTime,
}

/// Why a predicate is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmet {
    /// `condition-false` or `condition-error`.
    pub(crate) code: &'static str,
    pub(crate) expected: String,
    pub(crate) actual: String,
    /// What the policy's author wants said.
    pub(crate) message: Option<String>,
}

/// The code of a condition that was evaluated and does not hold; every other one could not be evaluated.
pub(crate) const FALSE: &str = "condition-false";

impl Unmet {
    pub(crate) fn not_true(expected: String, actual: String) -> Self {
        Self {
            code: FALSE,
            expected,
            actual,
            message: None,
        }
    }

    pub(crate) fn error(expected: String, actual: String) -> Self {
        Self {
            code: "condition-error",
            expected,
            actual,
            message: None,
        }
    }
}

impl Condition {
    /// Whether the condition holds. A fault in an interpreter is an evaluation error, not a crash of the whole server.
    pub(crate) fn check(&self, facts: &Facts<'_>) -> Result<(), Unmet> {
        let run = || match self {
            Self::Cel(condition) => condition.check(facts),
            Self::Kyverno(blocks) => kyverno::check(blocks, facts),
            Self::Statement(policy) => policy.check(facts),
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(failed()))
    }
}

/// Whether Kyverno's blocks hold over any data; without a time there is no clock in them.
pub(crate) fn holds(blocks: &[Block], data: &Value, now: Option<UnixTime>) -> Result<(), Unmet> {
    catch_unwind(AssertUnwindSafe(|| kyverno::holds(blocks, data, now))).unwrap_or_else(|_| Err(failed()))
}

fn failed() -> Unmet {
    Unmet::error(
        "a condition that can be evaluated".to_owned(),
        "the interpreter failed on this predicate".to_owned(),
    )
}

/// Why a condition is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConditionError {
    /// Nothing to evaluate.
    #[error("the condition is empty")]
    Empty,
    /// Longer than a condition that anyone can review.
    #[error("the condition is {length} bytes long, at most {limit} are accepted")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Brackets within brackets beyond what a parser should follow.
    #[error("the condition nests deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Not an expression of the language.
    #[error("not a {language} expression: {reason}")]
    Syntax {
        /// CEL or JMESPath.
        language: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// A variable that conditions do not have.
    #[error("unknown variable \"{name}\"; there are {known}")]
    Variable {
        /// The variable.
        name: String,
        /// Those that exist.
        known: &'static str,
    },
    /// A function that conditions do not have; those that reach out of the policy (HTTP, API calls) never will.
    #[error("unknown function \"{name}\"")]
    Function {
        /// The function.
        name: String,
    },
    /// What a peer has and conditions here never will.
    #[error("\"{name}\" is refused: {reason}")]
    Refused {
        /// The variable or library.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// An operator that conditions do not have.
    #[error("unknown operator \"{name}\"; there are {known}")]
    Operator {
        /// The operator.
        name: String,
        /// Those that exist.
        known: &'static str,
    },
    /// A value that the operator cannot be applied to as it is meant.
    #[error("{operator} cannot be applied to this value: {reason}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// Why not.
        reason: String,
    },
    /// Loops within loops over the whole predicate: on a bill of 10,000 packages two are a hundred million steps.
    #[error("the condition loops {depth} times over the whole predicate, at most {limit} are accepted")]
    TooCostly {
        /// How often.
        depth: usize,
        /// The limit.
        limit: usize,
    },
}

/// The longest condition accepted, in bytes. Kubernetes bounds CEL by cost; a human bounds it by what can be reviewed.
pub(crate) const MAX_CONDITION_BYTES: usize = 4096;

/// How deep the tree of a condition may be, in links of chains; brackets count as several. A chain such as `1+1+1` is as
/// deep as it is long, and the interpreters recurse over it: measured without optimisation, one level of CEL takes 37 kB of
/// the 2 MiB that a thread has.
pub(crate) const MAX_CONDITION_DEPTH: usize = 40;

/// What a pair of brackets counts as: a call, and with `exists` and its like a loop with its own calls.
const BRACKET_DEPTH: usize = 3;

/// Whether `&&` and `||` make the tree deeper: CEL balances them, JMESPath does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logic {
    Balanced,
    Nested,
}

/// Bounds that hold before any parser sees the text.
pub(crate) fn bounded(text: &str, logic: Logic) -> Result<(), ConditionError> {
    if text.trim().is_empty() {
        return Err(ConditionError::Empty);
    }
    if text.len() > MAX_CONDITION_BYTES {
        return Err(ConditionError::TooLong {
            length: text.len(),
            limit: MAX_CONDITION_BYTES,
        });
    }
    if depth(text, logic) > MAX_CONDITION_DEPTH {
        return Err(ConditionError::TooDeep {
            limit: MAX_CONDITION_DEPTH,
        });
    }
    Ok(())
}

/// At least the depth of the tree: every link of a chain counts, at each level of brackets, and the levels add up.
fn depth(text: &str, logic: Logic) -> usize {
    // The links at each open level; the first is outside of all brackets and is never closed.
    let mut levels: Vec<usize> = vec![0];
    let mut deepest: usize = 0;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    let mut before = ' ';
    for character in text.chars() {
        // `==` is one link; `!!` and `--` are two.
        let repeated = before == character && matches!(character, '=' | '|');
        before = character;
        if let Some(end) = quote {
            if escaped {
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if character == end {
                quote = None;
            }
            continue;
        }
        let separates = character == ',' || logic == Logic::Balanced && matches!(character, '&' | '|');
        let Some(links) = levels.last_mut() else { break };
        match character {
            '\'' | '"' | '`' => quote = Some(character),
            _ if separates => *links = 0,
            _ if repeated => {}
            '.' | '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' | '?' | ':' | '&' | '|' | '@' => *links += 1,
            '(' | '[' | '{' => {
                *links += BRACKET_DEPTH;
                levels.push(0);
            }
            ')' | ']' | '}' if levels.len() > 1 => drop(levels.pop()),
            _ => {}
        }
        deepest = deepest.max(levels.iter().sum());
    }
    deepest
}

#[cfg(test)]
mod tests;
