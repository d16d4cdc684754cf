//! CEL over a predicate (github.com/google/cel-spec, standard library without time types).
//!
//! Variables: `predicate`, `predicateType`, `image` (`reference`, `registry`, `repository`, `tag`, `digest`). Functions:
//! the standard ones, and `age(text)`, the seconds since an RFC 3339 time.

mod survey;

use std::sync::{Arc, LazyLock};

use cel::{Context, Env, ExecutionError, Program, Value as CelValue};
use proofmark_types::UnixTime;
use serde_json::Value;

pub(crate) use survey::{Nesting, Surface, Survey};

use super::{ConditionError, Facts, Logic, Unmet, bounded};

static SURFACE: Surface = Surface {
    variables: &["predicate", "predicateType", "image"],
    known: "predicate, predicateType and image",
    functions: &FUNCTIONS,
    qualified: &[],
    refused: &[],
    short: &[],
};

/// The standard library, built once: building it costs more than most conditions.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Loops over the whole predicate within each other; see [`ConditionError::TooCostly`].
const MAX_WHOLE_LOOPS: usize = 2;

/// What two such loops may cost: the square of the largest list. Two seconds of this interpreter are about this many
/// steps.
pub(crate) const MAX_STEPS: usize = 4_000_000;

/// A compiled CEL expression.
#[derive(Clone, Debug)]
pub(crate) struct CelCondition {
    source: String,
    program: Arc<Program>,
    whole_loops: usize,
}

impl CelCondition {
    pub(crate) fn compile(source: &str) -> Result<Self, ConditionError> {
        bounded(source, Logic::Balanced)?;
        let program = parse(source, &STANDARD)?;
        let whole_loops = Survey::of(program.expression(), &SURFACE)?.deepest();
        if whole_loops > MAX_WHOLE_LOOPS {
            return Err(ConditionError::TooCostly {
                depth: whole_loops,
                limit: MAX_WHOLE_LOOPS,
            });
        }
        Ok(Self {
            source: source.to_owned(),
            program: Arc::new(program),
            whole_loops,
        })
    }

    /// The expression as it was written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn check(&self, facts: &Facts<'_>) -> Result<(), Unmet> {
        let expected = || format!("a predicate for which {} holds", self.source.trim());
        if self.whole_loops > 1 {
            let longest = longest_list(facts.predicate);
            if longest.saturating_mul(longest) > MAX_STEPS {
                return Err(Unmet::error(
                    expected(),
                    format!("its longest list has {longest} entries, too many for loops within loops"),
                ));
            }
        }
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        context.add_variable_from_value("predicate", to_cel(facts.predicate));
        context.add_variable_from_value("predicateType", facts.predicate_type);
        context.add_variable_from_value("image", image(facts));
        let now = facts.now;
        context
            .add_function("age", move |text: Arc<String>| age(&text, now))
            .map_err(|error| Unmet::error(expected(), error.to_string()))?;
        match self.program.execute(&context) {
            Ok(CelValue::Bool(true)) => Ok(()),
            Ok(CelValue::Bool(false)) => Err(Unmet::not_true(expected(), "it does not".to_owned())),
            Ok(other) => Err(Unmet::error(
                expected(),
                format!("it gives a {} and neither true nor false", other.type_of()),
            )),
            Err(error) => Err(Unmet::error(expected(), format!("evaluating it fails: {error}"))),
        }
    }
}

/// The parser takes 131 kB of stack for one pair of brackets (measured without optimisation), and the text may have
/// thirteen within each other; it gets a stack of its own, so that no policy can exhaust that of a server's thread.
const PARSER_STACK_BYTES: usize = 16 * 1024 * 1024;

pub(crate) fn parse(source: &str, env: &Env) -> Result<Program, ConditionError> {
    let syntax = |reason: String| ConditionError::Syntax {
        language: "CEL",
        reason,
    };
    let parsed = std::thread::scope(|scope| {
        let parser = std::thread::Builder::new()
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, || {
                env.compile(source).map_err(|errors| match errors.errors.first() {
                    Some(first) => first.msg.clone(),
                    None => "it does not parse".to_owned(),
                })
            });
        match parser.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(parsed)) => parsed,
            Ok(Err(_)) => Err("the parser failed on it".to_owned()),
            Err(error) => Err(format!("the parser could not be started: {error}")),
        }
    });
    parsed.map_err(syntax)
}

fn age(text: &str, now: UnixTime) -> Result<i64, ExecutionError> {
    UnixTime::parse(text)
        .map(|time| now.seconds().saturating_sub(time.seconds()))
        .map_err(|error| ExecutionError::function_error("age", error))
}

fn image(facts: &Facts<'_>) -> CelValue {
    let repository = facts.image.repository();
    let text = |value: Option<String>| value.map_or(Value::Null, Value::String);
    to_cel(&serde_json::json!({
        "reference": facts.image.to_string(),
        "registry": repository.registry().as_str(),
        "repository": repository.path(),
        "tag": text(facts.image.tag().map(ToString::to_string)),
        "digest": text(facts.image.digest().map(ToString::to_string)),
    }))
}

/// Numbers without fraction are `int`, as in CEL's own JSON mapping of what policies compare with `5`, and not `uint`.
pub(crate) fn to_cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => CelValue::Int(value),
            (None, Some(value), _) => CelValue::UInt(value),
            (None, None, Some(value)) => CelValue::Float(value),
            (None, None, None) => CelValue::Null,
        },
        Value::String(text) => CelValue::from(text.as_str()),
        Value::Array(items) => CelValue::from(items.iter().map(to_cel).collect::<Vec<_>>()),
        Value::Object(fields) => CelValue::from(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), to_cel(value)))
                .collect::<std::collections::HashMap<_, _>>(),
        ),
    }
}

pub(crate) fn longest_list(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(longest_list).max().unwrap_or(0).max(items.len()),
        Value::Object(fields) => fields.values().map(longest_list).max().unwrap_or(0).max(fields.len()),
        _ => 0,
    }
}

/// The functions of the standard library that conditions have use for.
const FUNCTIONS: [&str; 16] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "dyn",
    "type",
    "max",
    "min",
    "age",
];
