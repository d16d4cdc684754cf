//! A subset of CUE (cuelang.org), as attestation policies of a ClusterImagePolicy use it: what the fields of a statement
//! must be like.
//!
//! | read | |
//! |---|---|
//! | `a: b: x`, `"a b": x`, `a?: x`, `{ … }`, `...` | fields, nested; the same field several times must hold each time |
//! | `"text"`, `1`, `1.5`, `true`, `null`, `_` | exactly this; anything |
//! | `string`, `number`, `int`, `float`, `bool`, `time.Time` | of this type |
//! | `<x`, `<=x`, `>x`, `>=x`, `!=x`, `=~"re"`, `!~"re"` | over numbers and texts |
//! | `x & y`, `x \| y`, `( … )` | both, either |
//! | `[...x]`, `[x, y]`, `[x, ...y]` | lists |
//! | `name: x` beside the statement's own fields, and `name` in a comparison | a name for a value |
//! | `import "time"`, `time.Parse(time.RFC3339, "…")` | a time, in UTC |
//!
//! Everything else (definitions, defaults, `if`, `for`, `let`, interpolation, other packages) is an error when the policy is
//! loaded. Two things are safer than in CUE: a field that the policy names must be in the statement, where CUE would fill
//! in a value of the policy; and times are compared as times too, and not by their spelling alone.

mod parse;

use std::cmp::Ordering;

use proofmark_types::UnixTime;
use serde_json::Value;

use super::ConditionError;
use crate::text::TextMatch;

/// The longest policy: those of policy-controller's tests have some twenty lines.
const MAX_SOURCE_BYTES: usize = 64 * 1024;

/// The fields of a statement that are looked at.
const INPUT: [&str; 2] = ["predicateType", "predicate"];

/// A policy, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Cue {
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    optional: bool,
    must: Constraint,
}

#[derive(Clone, Debug)]
enum Constraint {
    Anything,
    Type(Kind),
    Is(Value),
    Order(Operator, Operand),
    Matches {
        expression: TextMatch,
        source: String,
        wanted: bool,
    },
    All(Vec<Self>),
    Any(Vec<Self>),
    Struct(Vec<Field>),
    List {
        items: Vec<Self>,
        rest: Option<Box<Self>>,
    },
    /// The value of a name of the policy.
    Name(String),
}

#[derive(Clone, Debug)]
enum Operand {
    Value(Value),
    Name(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Whole,
    Bool,
    Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    NotEqual,
}

impl Operator {
    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::NotEqual => "!=",
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::NotEqual => order.is_ne(),
        }
    }
}

/// What was expected, and what was seen.
type Mismatch = (String, String);

impl Cue {
    pub(crate) fn parse(source: &str) -> Result<Self, ConditionError> {
        if source.trim().is_empty() {
            return Err(ConditionError::Empty);
        }
        if source.len() > MAX_SOURCE_BYTES {
            return Err(ConditionError::TooLong {
                length: source.len(),
                limit: MAX_SOURCE_BYTES,
            });
        }
        let syntax = |reason| ConditionError::Syntax {
            language: "CUE, as far as it is read here",
            reason,
        };
        let whole = Self {
            fields: parse::file(source).map_err(syntax)?,
        };
        whole
            .known_names(&Constraint::Struct(whole.fields.clone()))
            .map_err(syntax)?;
        let asks = whole.fields.iter().any(|field| INPUT.contains(&field.name.as_str()));
        if !asks {
            return Err(syntax(
                "it says nothing about predicateType or predicate, and would accept everything".to_owned(),
            ));
        }
        for name in ["_type", "subject"] {
            if whole.fields.iter().any(|field| field.name == name) {
                return Err(syntax(format!(
                    "{name} is bound to the image by its verification and cannot be asked again"
                )));
            }
        }
        Ok(whole)
    }

    /// Holds a statement against the policy.
    pub(crate) fn check(&self, statement: &Value) -> Result<(), Mismatch> {
        for field in self.fields.iter().filter(|field| INPUT.contains(&field.name.as_str())) {
            self.field(field, statement, "")?;
        }
        Ok(())
    }

    /// Names must stand for one value each, so that no comparison is with something else than was meant.
    fn known_names(&self, constraint: &Constraint) -> Result<(), String> {
        match constraint {
            Constraint::Name(name) | Constraint::Order(_, Operand::Name(name)) => self.named(name).map(drop),
            Constraint::All(parts) | Constraint::Any(parts) => parts.iter().try_for_each(|part| self.known_names(part)),
            Constraint::Struct(fields) => fields.iter().try_for_each(|field| self.known_names(&field.must)),
            Constraint::List { items, rest } => items
                .iter()
                .chain(rest.as_deref())
                .try_for_each(|part| self.known_names(part)),
            _ => Ok(()),
        }
    }

    fn named(&self, name: &str) -> Result<&Value, String> {
        let mut found = self.fields.iter().filter(|field| field.name == name);
        match (found.next().map(|field| &field.must), found.next()) {
            (Some(Constraint::Is(value)), None) => Ok(value),
            (Some(_), _) => Err(format!("\"{name}\" is not one plain value")),
            (None, _) => Err(format!(
                "\"{name}\" is not defined; only names for plain values are read"
            )),
        }
    }

    fn field(&self, field: &Field, object: &Value, path: &str) -> Result<(), Mismatch> {
        let path = if path.is_empty() {
            field.name.clone()
        } else {
            format!("{path}.{}", field.name)
        };
        match object.get(&field.name) {
            Some(value) => self.holds(&field.must, value, &path),
            None if field.optional => Ok(()),
            None => Err((format!("{path} in the statement"), "no such field".to_owned())),
        }
    }

    fn holds(&self, must: &Constraint, value: &Value, path: &str) -> Result<(), Mismatch> {
        let refuse = |what: String| Err((format!("{path} to be {what}"), shortened(value)));
        match must {
            Constraint::Anything => Ok(()),
            Constraint::Type(kind) if kind.is_of(value) => Ok(()),
            Constraint::Type(kind) => refuse(format!("of the type {kind:?}")),
            Constraint::Is(wanted) if same(wanted, value) => Ok(()),
            Constraint::Is(wanted) => refuse(shortened(wanted)),
            Constraint::Name(name) => match self.named(name) {
                Ok(wanted) if same(wanted, value) => Ok(()),
                Ok(wanted) => refuse(shortened(wanted)),
                Err(reason) => refuse(reason),
            },
            Constraint::Order(operator, operand) => {
                let wanted = match operand {
                    Operand::Value(wanted) => wanted,
                    Operand::Name(name) => match self.named(name) {
                        Ok(wanted) => wanted,
                        Err(reason) => return refuse(reason),
                    },
                };
                if ordered(*operator, value, wanted) {
                    Ok(())
                } else {
                    refuse(format!("{}{}", operator.sign(), shortened(wanted)))
                }
            }
            Constraint::Matches {
                expression,
                source,
                wanted,
            } => match value.as_str() {
                Some(text) if expression.matches(text) == *wanted => Ok(()),
                _ => refuse(format!("{} \"{source}\"", if *wanted { "=~" } else { "!~" })),
            },
            Constraint::All(parts) => parts.iter().try_for_each(|part| self.holds(part, value, path)),
            Constraint::Any(parts) => {
                let mut last = refuse("one of no choices".to_owned());
                for part in parts {
                    last = self.holds(part, value, path);
                    if last.is_ok() {
                        break;
                    }
                }
                last
            }
            Constraint::Struct(_) if !value.is_object() => refuse("a struct".to_owned()),
            Constraint::Struct(fields) => fields.iter().try_for_each(|field| self.field(field, value, path)),
            Constraint::List { items, rest } => self.list(items, rest.as_deref(), value, path),
        }
    }

    fn list(&self, items: &[Constraint], rest: Option<&Constraint>, value: &Value, path: &str) -> Result<(), Mismatch> {
        let Some(seen) = value.as_array() else {
            return Err((format!("{path} to be a list"), shortened(value)));
        };
        if seen.len() < items.len() || rest.is_none() && seen.len() > items.len() {
            return Err((format!("{path} to have {} items", items.len()), seen.len().to_string()));
        }
        for (position, item) in seen.iter().enumerate() {
            if let Some(must) = items.get(position).or(rest) {
                self.holds(must, item, &format!("{path}[{position}]"))?;
            }
        }
        Ok(())
    }
}

impl Kind {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_number(),
            Self::Whole => value.is_i64() || value.is_u64(),
            Self::Bool => value.is_boolean(),
            Self::Time => value.as_str().is_some_and(|text| UnixTime::parse(text).is_ok()),
        }
    }
}

fn same(wanted: &Value, seen: &Value) -> bool {
    match (wanted.as_f64(), seen.as_f64()) {
        // CUE tells 1 and 1.0 apart; JSON, in which statements are written, does not.
        (Some(wanted), Some(seen)) => wanted.total_cmp(&seen).is_eq(),
        _ => wanted == seen,
    }
}

/// Numbers by size, texts by their spelling, and times by when they are as well.
fn ordered(operator: Operator, seen: &Value, wanted: &Value) -> bool {
    match (seen, wanted) {
        (Value::Number(seen), Value::Number(wanted)) => match (seen.as_f64(), wanted.as_f64()) {
            (Some(seen), Some(wanted)) => operator.holds(seen.total_cmp(&wanted)),
            _ => false,
        },
        (Value::String(seen), Value::String(wanted)) => {
            let spelled = operator.holds(seen.as_str().cmp(wanted.as_str()));
            match (UnixTime::parse(seen), UnixTime::parse(wanted)) {
                (Ok(seen), Ok(wanted)) => spelled && operator.holds(seen.seconds().cmp(&wanted.seconds())),
                _ => spelled,
            }
        }
        _ => operator == Operator::NotEqual && !same(wanted, seen),
    }
}

/// What a message repeats of a foreign value, in characters.
const MAX_SHOWN: usize = 120;

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    text.chars().take(MAX_SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
