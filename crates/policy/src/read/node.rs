//! A value with its place in the file: every reader asks for fields through this, so that none is read past.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::condition::ConditionError;
use crate::error::{Place, PolicyError};
use crate::image_pattern::PatternError;
use crate::keys::Keys;
use crate::text::TextError;

/// What a message repeats of a value, in characters.
const MAX_SHOWN: usize = 60;

/// A value, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    value: &'a Value,
    place: Place,
    keys: &'a Keys<'a>,
}

/// A mapping whose fields are all asked for, or refused.
pub(super) struct Object<'a> {
    fields: &'a Map<String, Value>,
    place: Place,
    read: RefCell<BTreeSet<String>>,
    keys: &'a Keys<'a>,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value, file: &str, keys: &'a Keys<'a>) -> Self {
        let name = value
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Self {
            value,
            place: Place {
                file: file.to_owned(),
                policy: name.chars().take(MAX_SHOWN).collect(),
                path: String::new(),
            },
            keys,
        }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// What the keys are that are named by where they live.
    pub(super) fn keys(&self) -> &'a Keys<'a> {
        self.keys
    }

    /// Reads a mapping that has no other fields than `known`. Those of `unsupported` get the reason beside them.
    pub(super) fn object<T>(
        &self,
        known: &[&str],
        unsupported: &[(&str, &str)],
        read: impl FnOnce(&Object<'a>) -> Result<T, PolicyError>,
    ) -> Result<T, PolicyError> {
        let Value::Object(fields) = self.value else {
            return Err(self.wrong("a mapping"));
        };
        for name in fields.keys() {
            if let Some((_, reason)) = unsupported.iter().find(|(field, _)| field == name) {
                return Err(PolicyError::Unsupported {
                    place: self.below(name),
                    reason: (*reason).to_owned(),
                });
            }
            if !known.contains(&name.as_str()) {
                return Err(PolicyError::UnknownField {
                    place: self.place.clone(),
                    field: name.chars().take(MAX_SHOWN).collect(),
                    nearest: nearest(name, known),
                });
            }
        }
        let object = Object {
            fields,
            place: self.place.clone(),
            read: RefCell::new(BTreeSet::new()),
            keys: self.keys,
        };
        let value = read(&object)?;
        // A field that is known and was not asked for would be a rule that is not enforced (CVE-2025-29778).
        if let Some(name) = fields.keys().find(|name| !object.read.borrow().contains(*name)) {
            return Err(PolicyError::Unsupported {
                place: self.below(name),
                reason: "it has no meaning beside the other fields here".to_owned(),
            });
        }
        Ok(value)
    }

    pub(super) fn string(&self) -> Result<&'a str, PolicyError> {
        self.value
            .as_str()
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| self.wrong("a text that is not empty"))
    }

    pub(super) fn boolean(&self) -> Result<bool, PolicyError> {
        self.value.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// A whole number of at least one.
    pub(super) fn count(&self) -> Result<usize, PolicyError> {
        self.value
            .as_u64()
            .filter(|number| *number > 0)
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| self.wrong("a whole number of at least 1"))
    }

    /// A list that is not empty.
    pub(super) fn list(&self) -> Result<Vec<Self>, PolicyError> {
        let Value::Array(items) = self.value else {
            return Err(self.wrong("a list"));
        };
        if items.is_empty() {
            return Err(self.wrong("a list that is not empty"));
        }
        let nodes = items.iter().enumerate().map(|(position, value)| Self {
            value,
            place: Place {
                path: format!("{}[{position}]", self.place.path),
                ..self.place.clone()
            },
            keys: self.keys,
        });
        Ok(nodes.collect())
    }

    pub(super) fn strings(&self) -> Result<Vec<&'a str>, PolicyError> {
        self.list()?.iter().map(Node::string).collect()
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, PolicyError> {
        let text = self.string()?;
        words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                self.wrong(&known.join(" or "))
            })
    }

    /// The names and values of a mapping of texts.
    pub(super) fn texts(&self) -> Result<Vec<(&'a str, &'a str)>, PolicyError> {
        let Value::Object(fields) = self.value else {
            return Err(self.wrong("a mapping of texts"));
        };
        fields
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().ok_or_else(|| PolicyError::Value {
                    place: self.below(name),
                    expected: "a text (write numbers and booleans in quotes)".to_owned(),
                    seen: describe(value),
                })?;
                Ok((name.as_str(), text))
            })
            .collect()
    }

    pub(super) fn wrong(&self, expected: &str) -> PolicyError {
        PolicyError::Value {
            place: self.place.clone(),
            expected: expected.to_owned(),
            seen: describe(self.value),
        }
    }

    pub(super) fn unsupported(&self, reason: &str) -> PolicyError {
        PolicyError::Unsupported {
            place: self.place.clone(),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn pattern(&self, source: PatternError) -> PolicyError {
        PolicyError::Pattern {
            place: self.place.clone(),
            error: source,
        }
    }

    pub(super) fn text(&self, source: TextError) -> PolicyError {
        PolicyError::Text {
            place: self.place.clone(),
            error: source,
        }
    }

    pub(super) fn condition(&self, source: ConditionError) -> PolicyError {
        PolicyError::Condition {
            place: self.place.clone(),
            error: source,
        }
    }

    fn below(&self, name: &str) -> Place {
        below(&self.place, name)
    }
}

impl<'a> Object<'a> {
    /// The field, if it is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        self.read.borrow_mut().insert(name.to_owned());
        let value = self.fields.get(name).filter(|value| !value.is_null())?;
        Some(Node {
            value,
            place: below(&self.place, name),
            keys: self.keys,
        })
    }

    pub(super) fn required(&self, name: &str, expected: &str) -> Result<Node<'a>, PolicyError> {
        self.get(name).ok_or_else(|| PolicyError::Missing {
            place: below(&self.place, name),
            expected: expected.to_owned(),
        })
    }

    pub(super) fn boolean(&self, name: &str, default: bool) -> Result<bool, PolicyError> {
        self.get(name).map_or(Ok(default), |node| node.boolean())
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, PolicyError> {
        self.get(name).map(|node| node.string()).transpose()
    }

    /// Fields whose content decides nothing here.
    pub(super) fn ignore(&self, names: &[&str]) {
        self.read
            .borrow_mut()
            .extend(names.iter().map(|name| (*name).to_owned()));
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }
}

fn below(place: &Place, name: &str) -> Place {
    let name: String = name.chars().take(MAX_SHOWN).collect();
    Place {
        path: if place.path.is_empty() {
            name
        } else {
            format!("{}.{name}", place.path)
        },
        ..place.clone()
    }
}

/// A value in words, short.
pub(super) fn describe(value: &Value) -> String {
    let text = match value {
        Value::Null => return "nothing".to_owned(),
        Value::Array(items) if items.is_empty() => return "an empty list".to_owned(),
        Value::Array(_) => return "a list".to_owned(),
        Value::Object(_) => return "a mapping".to_owned(),
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    };
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    text.chars().take(MAX_SHOWN).chain(['…']).collect()
}

/// The known field that is spelled most like `name`, if it is close enough to be meant.
fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let name: String = name.chars().take(MAX_SHOWN).collect();
    let folded = name.to_ascii_lowercase();
    known
        .iter()
        .map(|field| (distance(&folded, &field.to_ascii_lowercase()), *field))
        .filter(|(distance, field)| *distance <= field.len().div_ceil(3))
        .min()
        .map(|(_, field)| field.to_owned())
}

/// Levenshtein's distance, in one row.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (above, a) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        let mut next = vec![before];
        for (b, up) in right.chars().zip(row.iter().skip(1)) {
            let cost = (diagonal + usize::from(a != b)).min(before + 1).min(up + 1);
            diagonal = *up;
            before = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_get_the_field_that_was_meant() {
        let known = ["subject", "subjectRegExp", "issuer", "issuerRegExp"];
        assert_eq!(nearest("subjcet", &known).as_deref(), Some("subject"));
        assert_eq!(nearest("subjectRegexp", &known).as_deref(), Some("subjectRegExp"));
        assert_eq!(nearest("Issuer", &known).as_deref(), Some("issuer"));
        assert_eq!(nearest("somethingElse", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
