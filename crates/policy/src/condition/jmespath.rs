//! JMESPath as Kyverno's conditions use it: templates with `{{ }}`, the standard functions, and of Kyverno's own those
//! that its policies over attestations use: `regex_match`, `time_since`, `to_lower`, `to_upper`, `trim`, `split`.

use std::sync::Arc;

use jmespath::ast::Ast;
use jmespath::functions::{ArgumentType, CustomFunction, Signature};
use jmespath::{Context, ErrorReason, JmespathError, Rcvar, Runtime, Variable};
use proofmark_types::UnixTime;
use serde_json::Value;

use super::value::{Span, write_duration};
use super::{ConditionError, Logic, bounded};
use crate::text::TextMatch;

/// A text with expressions in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    /// No expression.
    Plain(String),
    /// One expression and nothing around it: its value keeps its type.
    Expression(String),
    /// Text with expressions between; the value is a text.
    Mixed(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Expression(String),
}

impl Template {
    pub(crate) fn compile(text: &str) -> Result<Self, ConditionError> {
        if !text.contains("{{") {
            return Ok(Self::Plain(text.to_owned()));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((expression, behind)) = after.split_once("}}") else {
                return Err(ConditionError::Syntax {
                    language: "JMESPath",
                    reason: "{{ without }}".to_owned(),
                });
            };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Expression(compile(expression)?));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        match pieces.as_slice() {
            [Piece::Expression(only)] => Ok(Self::Expression(only.clone())),
            _ => Ok(Self::Mixed(pieces)),
        }
    }

    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// The names at which its expressions begin.
    pub(crate) fn roots(&self) -> Vec<String> {
        let sources: Vec<&str> = match self {
            Self::Plain(_) => Vec::new(),
            Self::Expression(source) => vec![source],
            Self::Mixed(pieces) => pieces
                .iter()
                .filter_map(|piece| match piece {
                    Piece::Expression(source) => Some(source.as_str()),
                    Piece::Text(_) => None,
                })
                .collect(),
        };
        let mut found = Vec::new();
        for ast in sources.into_iter().filter_map(|source| jmespath::parse(source).ok()) {
            roots(&ast, &mut found);
        }
        found
    }

    /// The value over the data of `scope`; what is not there is an error, as in Kyverno ("variable not found").
    pub(crate) fn evaluate(&self, scope: &Scope) -> Result<Value, String> {
        match self {
            Self::Plain(text) => Ok(Value::String(text.clone())),
            Self::Expression(source) => scope.search(source),
            Self::Mixed(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(plain) => text.push_str(plain),
                        Piece::Expression(source) => match scope.search(source)? {
                            Value::String(value) => text.push_str(&value),
                            value => text.push_str(&value.to_string()),
                        },
                    }
                }
                Ok(Value::String(text))
            }
        }
    }
}

fn compile(expression: &str) -> Result<String, ConditionError> {
    let source = expression.trim();
    bounded(source, Logic::Nested)?;
    let ast = jmespath::parse(source).map_err(|error| ConditionError::Syntax {
        language: "JMESPath",
        reason: reason(&error),
    })?;
    known_functions(&ast)?;
    Ok(source.to_owned())
}

/// Text for messages without the crate's multi-line drawing of the position.
fn reason(error: &JmespathError) -> String {
    match &error.reason {
        ErrorReason::Parse(reason) => reason.clone(),
        ErrorReason::Runtime(reason) => reason.to_string(),
    }
}

/// Every function is looked up when the policy is loaded, not when the first image arrives.
fn known_functions(ast: &Ast) -> Result<(), ConditionError> {
    match ast {
        Ast::Function { name, args, .. } => {
            if !STANDARD.contains(&name.as_str()) && !ADDED.contains(&name.as_str()) {
                return Err(ConditionError::Function { name: name.clone() });
            }
            args.iter().try_for_each(known_functions)
        }
        Ast::Comparison { lhs, rhs, .. }
        | Ast::Projection { lhs, rhs, .. }
        | Ast::And { lhs, rhs, .. }
        | Ast::Or { lhs, rhs, .. }
        | Ast::Subexpr { lhs, rhs, .. } => known_functions(lhs).and_then(|()| known_functions(rhs)),
        Ast::Condition { predicate, then, .. } => known_functions(predicate).and_then(|()| known_functions(then)),
        Ast::Expref { ast: node, .. }
        | Ast::Flatten { node, .. }
        | Ast::Not { node, .. }
        | Ast::ObjectValues { node, .. } => known_functions(node),
        Ast::MultiList { elements, .. } => elements.iter().try_for_each(known_functions),
        Ast::MultiHash { elements, .. } => elements.iter().try_for_each(|pair| known_functions(&pair.value)),
        Ast::Identity { .. } | Ast::Field { .. } | Ast::Index { .. } | Ast::Literal { .. } | Ast::Slice { .. } => {
            Ok(())
        }
    }
}

/// The fields that an expression takes of the whole data; what is behind a dot or a projection is below one of them.
fn roots(ast: &Ast, found: &mut Vec<String>) {
    match ast {
        Ast::Field { name, .. } => found.push(name.clone()),
        Ast::Subexpr { lhs, .. } | Ast::Projection { lhs, .. } => roots(lhs, found),
        Ast::Comparison { lhs, rhs, .. } | Ast::And { lhs, rhs, .. } | Ast::Or { lhs, rhs, .. } => {
            roots(lhs, found);
            roots(rhs, found);
        }
        Ast::Condition { predicate, then, .. } => {
            roots(predicate, found);
            roots(then, found);
        }
        Ast::Flatten { node, .. } | Ast::Not { node, .. } | Ast::ObjectValues { node, .. } => roots(node, found),
        Ast::Function { args, .. } => args.iter().for_each(|argument| roots(argument, found)),
        Ast::MultiList { elements, .. } => elements.iter().for_each(|element| roots(element, found)),
        Ast::MultiHash { elements, .. } => elements.iter().for_each(|pair| roots(&pair.value, found)),
        // An expression reference is applied to the elements of another argument.
        Ast::Expref { .. } | Ast::Identity { .. } | Ast::Index { .. } | Ast::Literal { .. } | Ast::Slice { .. } => {}
    }
}

/// jmespath.org, "Built-in Functions".
const STANDARD: [&str; 26] = [
    "abs",
    "avg",
    "ceil",
    "contains",
    "ends_with",
    "floor",
    "join",
    "keys",
    "length",
    "map",
    "max",
    "max_by",
    "merge",
    "min",
    "min_by",
    "not_null",
    "reverse",
    "sort",
    "sort_by",
    "starts_with",
    "sum",
    "to_array",
    "to_number",
    "to_string",
    "type",
    "values",
];

const ADDED: [&str; 6] = ["regex_match", "time_since", "to_lower", "to_upper", "trim", "split"];

/// The data that expressions see: the predicate as the root, as in Kyverno's attestation conditions.
pub(crate) struct Scope {
    runtime: Runtime,
    data: Rcvar,
}

impl Scope {
    pub(crate) fn new(predicate: &Value, now: Option<UnixTime>) -> Result<Self, String> {
        let mut runtime = Runtime::new();
        runtime.register_builtin_functions();
        add_functions(&mut runtime, now);
        let data = Variable::from_serializable(predicate).map_err(|error| reason(&error))?;
        Ok(Self {
            runtime,
            data: Rcvar::new(data),
        })
    }

    fn search(&self, source: &str) -> Result<Value, String> {
        let expression = self.runtime.compile(source).map_err(|error| reason(&error))?;
        let found = expression.search(&self.data).map_err(|error| reason(&error))?;
        if found.is_null() {
            return Err(format!("{source} is not in the predicate"));
        }
        serde_json::to_value(&*found).map_err(|error| error.to_string())
    }
}

fn add_functions(runtime: &mut Runtime, now: Option<UnixTime>) {
    let text = || ArgumentType::String;
    add(runtime, "to_lower", vec![text()], |args, _| {
        Ok(string(arg(args, 0).to_lowercase()))
    });
    add(runtime, "to_upper", vec![text()], |args, _| {
        Ok(string(arg(args, 0).to_uppercase()))
    });
    add(runtime, "trim", vec![text(), text()], |args, _| {
        let cut: Vec<char> = arg(args, 1).chars().collect();
        Ok(string(arg(args, 0).trim_matches(cut.as_slice()).to_owned()))
    });
    add(runtime, "split", vec![text(), text()], |args, _| {
        let (whole, separator) = (arg(args, 0), arg(args, 1));
        let parts = whole.split(separator.as_str()).map(|part| string(part.to_owned()));
        Ok(Rcvar::new(Variable::Array(parts.collect())))
    });
    let text_or_number = ArgumentType::Union(vec![ArgumentType::String, ArgumentType::Number]);
    add(runtime, "regex_match", vec![text(), text_or_number], |args, context| {
        // Kyverno's matches anywhere in the text, as Go's `MatchString`; so does this.
        let pattern = TextMatch::regexp(format!("(?s:.*)(?:{})(?s:.*)", arg(args, 0)))
            .map_err(|error| failure(context, error.to_string()))?;
        Ok(Rcvar::new(Variable::Bool(pattern.matches(&arg(args, 1)))))
    });
    add(
        runtime,
        "time_since",
        vec![text(), text(), text()],
        move |args, context| {
            if !arg(args, 0).is_empty() {
                return Err(failure(
                    context,
                    "time_since is supported with an empty layout (RFC 3339) only".to_owned(),
                ));
            }
            let parse = |text: &str| UnixTime::parse(text).map_err(|error| failure(context, error.to_string()));
            let from = parse(&arg(args, 1))?;
            let to = match arg(args, 2).as_str() {
                "" => now.ok_or_else(|| failure(context, "there is no clock here".to_owned()))?,
                text => parse(text)?,
            };
            Ok(string(write_duration(Span::seconds_between(from, to))))
        },
    );
}

fn add(
    runtime: &mut Runtime,
    name: &str,
    inputs: Vec<ArgumentType>,
    function: impl Fn(&[Rcvar], &Context<'_>) -> Result<Rcvar, JmespathError> + Send + Sync + 'static,
) {
    let signature = Signature::new(inputs, None);
    let function = CustomFunction::new(
        signature,
        Box::new(move |args: &[Rcvar], context: &mut Context<'_>| function(args, context)),
    );
    runtime.register_function(name, Box::new(function));
}

fn arg(args: &[Rcvar], position: usize) -> Arc<String> {
    let value = args.get(position);
    Arc::new(match value {
        Some(value) => value.as_string().cloned().unwrap_or_else(|| value.to_string()),
        None => String::new(),
    })
}

fn string(text: String) -> Rcvar {
    Rcvar::new(Variable::String(text))
}

fn failure(context: &Context<'_>, reason: String) -> JmespathError {
    JmespathError::new(context.expression, context.offset, ErrorReason::Parse(reason))
}
