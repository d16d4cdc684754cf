//! Kyverno's conditions: `{key, operator, value}` in `any` and `all` blocks (api/kyverno/v1/common_types.go).
//!
//! The key comes from the predicate, the value from the policy. Wildcards are read in the value only; Kyverno reads them
//! in the key as well, which lets a predicate widen a policy.

use proofmark_types::UnixTime;
use serde_json::{Value, json};

use super::jmespath::{Scope, Template};
use super::value::{duration, order};
use super::{ConditionError, FALSE, Facts, Unmet};
use crate::text::wildcard;

/// A block: at least one of `any` (if there are any) and every one of `all`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    pub(crate) any: Vec<Comparison>,
    pub(crate) all: Vec<Comparison>,
}

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    key: Template,
    operator: Operator,
    value: Operand,
    message: Option<String>,
    /// As it was written.
    written: Value,
}

#[derive(Clone, Debug)]
enum Operand {
    One(Template),
    /// A value that is no text.
    Fixed(Value),
    Many(Vec<Template>),
}

/// What Kyverno compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equals,
    NotEquals,
    In,
    NotIn,
    AnyIn,
    AllIn,
    AnyNotIn,
    AllNotIn,
    GreaterThan,
    GreaterThanOrEquals,
    LessThan,
    LessThanOrEquals,
    DurationGreaterThan,
    DurationGreaterThanOrEquals,
    DurationLessThan,
    DurationLessThanOrEquals,
}

const OPERATORS: [(&str, Operator); 18] = [
    ("Equals", Operator::Equals),
    ("Equal", Operator::Equals),
    ("NotEquals", Operator::NotEquals),
    ("NotEqual", Operator::NotEquals),
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("AnyIn", Operator::AnyIn),
    ("AllIn", Operator::AllIn),
    ("AnyNotIn", Operator::AnyNotIn),
    ("AllNotIn", Operator::AllNotIn),
    ("GreaterThan", Operator::GreaterThan),
    ("GreaterThanOrEquals", Operator::GreaterThanOrEquals),
    ("LessThan", Operator::LessThan),
    ("LessThanOrEquals", Operator::LessThanOrEquals),
    ("DurationGreaterThan", Operator::DurationGreaterThan),
    ("DurationGreaterThanOrEquals", Operator::DurationGreaterThanOrEquals),
    ("DurationLessThan", Operator::DurationLessThan),
    ("DurationLessThanOrEquals", Operator::DurationLessThanOrEquals),
];

const KNOWN: &str = "Equals, NotEquals, In, NotIn, AnyIn, AllIn, AnyNotIn, AllNotIn, GreaterThan, GreaterThanOrEquals, LessThan, LessThanOrEquals and the last four with Duration before them";

impl Operator {
    pub(crate) fn parse(word: &str) -> Result<Self, ConditionError> {
        OPERATORS
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, operator)| *operator)
            .ok_or_else(|| ConditionError::Operator {
                name: word.to_owned(),
                known: KNOWN,
            })
    }

    fn name(self) -> &'static str {
        OPERATORS
            .iter()
            .find(|(_, operator)| *operator == self)
            .map_or("", |(name, _)| *name)
    }

    fn is_set(self) -> bool {
        matches!(
            self,
            Self::In | Self::NotIn | Self::AnyIn | Self::AllIn | Self::AnyNotIn | Self::AllNotIn
        )
    }
}

impl Comparison {
    pub(crate) fn compile(
        key: &str,
        operator: Operator,
        value: &Value,
        message: Option<String>,
    ) -> Result<Self, ConditionError> {
        let refuse = |reason: &str| ConditionError::Operand {
            operator: operator.name(),
            reason: reason.to_owned(),
        };
        let mut written = json!({ "key": key, "operator": operator.name(), "value": value });
        if let (Some(fields), Some(message)) = (written.as_object_mut(), &message) {
            fields.insert("message".to_owned(), json!(message));
        }
        let key = Template::compile(key)?;
        if key.is_plain() {
            return Err(refuse("the key has no {{ }} and is the same for every attestation"));
        }
        let value = match value {
            Value::Array(items) if operator.is_set() => {
                Operand::Many(items.iter().map(element).collect::<Result<_, _>>()?)
            }
            Value::String(text) => {
                let template = Template::compile(text)?;
                // Kyverno reads `1-10` as a range and `a | b` as a choice here; a list says the same without a doubt.
                if operator.is_set() && template.is_plain() && is_expression(text) {
                    return Err(refuse("ranges and choices within a text are not read, write a list"));
                }
                Operand::One(template)
            }
            Value::Object(_) | Value::Null if operator.is_set() => return Err(refuse("expected a list or a text")),
            other if operator.is_set() => Operand::Many(vec![element(other)?]),
            other => Operand::Fixed(other.clone()),
        };
        Ok(Self {
            key,
            operator,
            value,
            message,
            written,
        })
    }

    /// The comparison as it was written.
    pub(crate) fn written(&self) -> &Value {
        &self.written
    }

    /// The names at which its expressions begin.
    pub(crate) fn roots(&self) -> Vec<String> {
        let mut roots = self.key.roots();
        match &self.value {
            Operand::One(template) => roots.extend(template.roots()),
            Operand::Many(templates) => roots.extend(templates.iter().flat_map(Template::roots)),
            Operand::Fixed(_) => {}
        }
        roots
    }

    fn check(&self, scope: &Scope) -> Result<(), Unmet> {
        let expected = || {
            format!(
                "{} {} {}",
                self.describe_key(),
                self.operator.name(),
                self.describe_value()
            )
        };
        let explain = |unmet: Unmet| Unmet {
            message: self.message.clone(),
            ..unmet
        };
        let key = self
            .key
            .evaluate(scope)
            .map_err(|reason| explain(Unmet::error(expected(), reason)))?;
        let value = self
            .value
            .evaluate(scope)
            .map_err(|reason| explain(Unmet::error(expected(), reason)))?;
        match apply(self.operator, &key, &value) {
            Ok(true) => Ok(()),
            Ok(false) => Err(explain(Unmet::not_true(expected(), shortened(&key)))),
            Err(reason) => Err(explain(Unmet::error(expected(), reason))),
        }
    }

    fn describe_key(&self) -> String {
        match &self.key {
            Template::Expression(source) => source.clone(),
            other => format!("{other:?}"),
        }
    }

    fn describe_value(&self) -> String {
        match &self.value {
            Operand::One(Template::Plain(text)) => text.clone(),
            Operand::Fixed(value) => shortened(value),
            Operand::Many(items) => shortened(&Value::Array(
                items
                    .iter()
                    .map(|item| match item {
                        Template::Plain(text) | Template::Expression(text) => Value::String(text.clone()),
                        Template::Mixed(_) => Value::String("…".to_owned()),
                    })
                    .collect(),
            )),
            Operand::One(template) => format!("{template:?}"),
        }
    }
}

impl Operand {
    fn evaluate(&self, scope: &Scope) -> Result<Value, String> {
        match self {
            Self::One(template) => template.evaluate(scope),
            Self::Fixed(value) => Ok(value.clone()),
            Self::Many(items) => items
                .iter()
                .map(|item| item.evaluate(scope))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
        }
    }
}

fn element(value: &Value) -> Result<Template, ConditionError> {
    match value {
        Value::String(text) => Template::compile(text),
        other => Ok(Template::Plain(other.to_string())),
    }
}

fn is_expression(text: &str) -> bool {
    let range = text
        .split_once('-')
        .is_some_and(|(low, high)| [low, high].iter().all(|end| end.parse::<f64>().is_ok()));
    range || text.contains(['|', '&']) || text.starts_with(['!', '<', '>'])
}

/// The first condition that does not hold; `Ok` if every block does.
pub(crate) fn check(blocks: &[Block], facts: &Facts<'_>) -> Result<(), Unmet> {
    holds(blocks, facts.predicate, Some(facts.now))
}

/// The same over any data; without a time there is no clock.
pub(crate) fn holds(blocks: &[Block], data: &Value, now: Option<UnixTime>) -> Result<(), Unmet> {
    let scope = Scope::new(data, now)
        .map_err(|reason| Unmet::error("a predicate that conditions can be evaluated over".to_owned(), reason))?;
    for block in blocks {
        for comparison in &block.all {
            comparison.check(&scope)?;
        }
        // One that cannot be evaluated might have held: it is said before one that does not hold.
        let mut worst: Result<(), Unmet> = Ok(());
        for comparison in &block.any {
            match comparison.check(&scope) {
                Ok(()) => {
                    worst = Ok(());
                    break;
                }
                Err(unmet) => match &worst {
                    Err(known) if known.code != FALSE => {}
                    _ => worst = Err(unmet),
                },
            }
        }
        worst?;
    }
    Ok(())
}

/// Applies an operator to the predicate's `key` and the policy's `value`; an error where the pair makes no sense.
pub(super) fn apply(operator: Operator, key: &Value, value: &Value) -> Result<bool, String> {
    match operator {
        Operator::Equals => Ok(equal(key, value)),
        Operator::NotEquals => Ok(!equal(key, value)),
        Operator::In | Operator::NotIn => {
            if key.is_array() {
                return Err("the key is a list: AnyIn, AllIn, AnyNotIn and AllNotIn say what is meant".to_owned());
            }
            Ok(contains(value, key)? == (operator == Operator::In))
        }
        Operator::AnyIn => Ok(each(key, value)?.contains(&true)),
        Operator::AllIn => Ok(!each(key, value)?.contains(&false)),
        Operator::AnyNotIn => Ok(each(key, value)?.contains(&false)),
        Operator::AllNotIn => Ok(!each(key, value)?.contains(&true)),
        Operator::GreaterThan => ordered(key, value).map(std::cmp::Ordering::is_gt),
        Operator::GreaterThanOrEquals => ordered(key, value).map(std::cmp::Ordering::is_ge),
        Operator::LessThan => ordered(key, value).map(std::cmp::Ordering::is_lt),
        Operator::LessThanOrEquals => ordered(key, value).map(std::cmp::Ordering::is_le),
        Operator::DurationGreaterThan => durations(key, value).map(std::cmp::Ordering::is_gt),
        Operator::DurationGreaterThanOrEquals => durations(key, value).map(std::cmp::Ordering::is_ge),
        Operator::DurationLessThan => durations(key, value).map(std::cmp::Ordering::is_lt),
        Operator::DurationLessThanOrEquals => durations(key, value).map(std::cmp::Ordering::is_le),
    }
}

fn equal(key: &Value, value: &Value) -> bool {
    match (key, value) {
        (Value::String(key), Value::String(pattern)) if wildcard(pattern, key) => true,
        (Value::String(_) | Value::Number(_), Value::String(_) | Value::Number(_)) => {
            order(key, value).is_some_and(std::cmp::Ordering::is_eq)
        }
        _ => key == value,
    }
}

/// For each element of the key (or the key itself), whether the value has it.
fn each(key: &Value, value: &Value) -> Result<Vec<bool>, String> {
    match key {
        Value::Array(items) => items.iter().map(|item| contains(value, item)).collect(),
        other => Ok(vec![contains(value, other)?]),
    }
}

fn contains(value: &Value, element: &Value) -> Result<bool, String> {
    let text = scalar_text(element)
        .ok_or_else(|| format!("the key has an element that is no scalar: {}", shortened(element)))?;
    let matches = |wanted: &Value| match wanted {
        Value::String(pattern) => wildcard(pattern, &text),
        other => scalar_text(other).is_some_and(|wanted| wanted == text),
    };
    Ok(match value {
        Value::Array(items) => items.iter().any(matches),
        other => matches(other),
    })
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn ordered(key: &Value, value: &Value) -> Result<std::cmp::Ordering, String> {
    order(key, value).ok_or_else(|| format!("{} and {} have no order", shortened(key), shortened(value)))
}

fn durations(key: &Value, value: &Value) -> Result<std::cmp::Ordering, String> {
    match (duration(key), duration(value)) {
        (Some(key), Some(value)) => Ok(key.cmp(&value)),
        _ => Err(format!("{} or {} is no duration", shortened(key), shortened(value))),
    }
}

/// What a message repeats of a foreign value, in characters.
const MAX_SHOWN: usize = 120;

fn shortened(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    text.chars().take(MAX_SHOWN).chain(['…']).collect()
}
