//! CEL over a predicate (github.com/google/cel-spec, standard library without time types).
//!
//! Variables: `predicate`, `predicateType`, `image` (`reference`, `registry`, `repository`, `tag`, `digest`). Functions:
//! the standard ones, and `age(text)`, the seconds since an RFC 3339 time.

use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, IdedExpr};
use cel::{Context, Env, ExecutionError, Program, Value as CelValue};
use proofmark_types::UnixTime;
use serde_json::Value;

use super::{ConditionError, Facts, Logic, Unmet, bounded};

const VARIABLES: [&str; 3] = ["predicate", "predicateType", "image"];
const KNOWN: &str = "predicate, predicateType and image";

/// The standard library, built once: building it costs more than most conditions.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Loops over the whole predicate within each other; see [`ConditionError::TooCostly`].
const MAX_WHOLE_LOOPS: usize = 2;

/// What two such loops may cost: the square of the largest list. Two seconds of this interpreter are about this many
/// steps.
const MAX_STEPS: usize = 4_000_000;

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
        let program = parse(source)?;
        let mut survey = Survey::default();
        survey.walk(program.expression());
        if let Some(error) = survey.error {
            return Err(error);
        }
        if survey.deepest > MAX_WHOLE_LOOPS {
            return Err(ConditionError::TooCostly {
                depth: survey.deepest,
                limit: MAX_WHOLE_LOOPS,
            });
        }
        Ok(Self {
            source: source.to_owned(),
            program: Arc::new(program),
            whole_loops: survey.deepest,
        })
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

fn parse(source: &str) -> Result<Program, ConditionError> {
    let syntax = |reason: String| ConditionError::Syntax {
        language: "CEL",
        reason,
    };
    let parsed = std::thread::scope(|scope| {
        let parser = std::thread::Builder::new()
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, || {
                Program::compile(source).map_err(|errors| match errors.errors.first() {
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
fn to_cel(value: &Value) -> CelValue {
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

fn longest_list(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(longest_list).max().unwrap_or(0).max(items.len()),
        Value::Object(fields) => fields.values().map(longest_list).max().unwrap_or(0).max(fields.len()),
        _ => 0,
    }
}

/// Walks an expression once: unknown names, and how deep loops over the whole predicate nest.
#[derive(Default)]
struct Survey {
    /// Variables that loops bind.
    bound: Vec<String>,
    depth: usize,
    deepest: usize,
    error: Option<ConditionError>,
}

impl Survey {
    fn walk(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => {
                // `@result` and its like are made by the macros.
                let known = VARIABLES.contains(&name.as_str()) || name.starts_with('@') || self.bound.contains(name);
                if !known && self.error.is_none() {
                    self.error = Some(ConditionError::Variable {
                        name: name.clone(),
                        known: KNOWN,
                    });
                }
            }
            Expr::Call(call) => {
                if !is_function(&call.func_name) && self.error.is_none() {
                    self.error = Some(ConditionError::Function {
                        name: call.func_name.clone(),
                    });
                }
                call.target.iter().for_each(|target| self.walk(target));
                call.args.iter().for_each(|argument| self.walk(argument));
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.walk(element)),
            Expr::Select(select) => self.walk(&select.operand),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(object) => object.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Comprehension(comprehension) => {
                self.walk(&comprehension.iter_range);
                self.walk(&comprehension.accu_init);
                // A loop over a part of what an outer loop is at adds to its steps; any other multiplies them.
                let whole = !self.is_bound(&comprehension.iter_range);
                self.depth += usize::from(whole);
                self.deepest = self.deepest.max(self.depth);
                let names = [Some(&comprehension.iter_var), comprehension.iter_var2.as_ref()];
                let before = self.bound.len();
                self.bound.extend(names.into_iter().flatten().cloned());
                self.bound.push(comprehension.accu_var.clone());
                self.walk(&comprehension.loop_cond);
                self.walk(&comprehension.loop_step);
                self.walk(&comprehension.result);
                self.bound.truncate(before);
                self.depth -= usize::from(whole);
            }
        }
    }

    fn entry(&mut self, entry: &cel::common::ast::EntryExpr) {
        use cel::common::ast::EntryExpr;
        match entry {
            EntryExpr::StructField(field) => self.walk(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.walk(&entry.key);
                self.walk(&entry.value);
            }
        }
    }

    /// Whether an expression is a path that starts at a variable of an outer loop.
    fn is_bound(&self, expression: &IdedExpr) -> bool {
        match &expression.expr {
            Expr::Ident(name) => self.bound.contains(name),
            Expr::Select(select) => self.is_bound(&select.operand),
            Expr::Call(call) => {
                // `p.licenses[0]`, `p.names.filter(…)`
                call.func_name == "_[_]" && call.args.first().is_some_and(|first| self.is_bound(first))
            }
            Expr::Comprehension(inner) => self.is_bound(&inner.iter_range),
            _ => false,
        }
    }
}

/// The functions of the standard library that conditions have use for. Operators are spelled without letters (`_==_`),
/// or with an `@` that no source text can have.
fn is_function(name: &str) -> bool {
    let operator = name.starts_with('@') || !name.contains(|c: char| c.is_ascii_alphanumeric());
    operator || FUNCTIONS.contains(&name)
}

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
