//! JSON read so that no two readers can disagree about it.
//!
//! The tools around us are written in Go, whose `encoding/json` takes the last of two equal keys and ignores case in
//! keys; most others take the first or fail. A document that uses either difference is refused.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Why bytes are not acceptable JSON, wherever in the document.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON, cut short, or nested more than 128 deep.
    #[error("not valid JSON")]
    Syntax(#[source] serde_json::Error),
    /// The same key twice in one object: readers disagree on which counts.
    #[error("the key \"{key}\" stands twice in one object")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A key that differs from a known one in case only; Go reads it as the known one, others do not.
    #[error("the key \"{key}\" differs from \"{known}\" in case only")]
    AmbiguousKey {
        /// The key seen.
        key: String,
        /// The key it could be taken for.
        known: &'static str,
    },
    /// A required field is not there.
    #[error("the field \"{field}\" is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field has another JSON type or form than the specification gives it.
    #[error("the field \"{field}\" is not {expected}")]
    Type {
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A list or map is longer than its bound.
    #[error("\"{field}\" has {seen} members, at most {limit} are accepted")]
    TooMany {
        /// The field.
        field: &'static str,
        /// The bound.
        limit: usize,
        /// How many there are.
        seen: usize,
    },
}

/// Reads a whole document, refusing duplicate keys at any depth.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let duplicate = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Strict { duplicate: &duplicate };
    let read = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match (read, duplicate.into_inner()) {
        (_, Some(key)) => Err(JsonError::DuplicateKey { key }),
        (Ok(value), None) => Ok(value),
        (Err(error), None) => Err(JsonError::Syntax(error)),
    }
}

/// An object whose known keys have been checked for look-alikes.
pub(crate) struct Object {
    members: Map<String, Value>,
}

impl Object {
    /// Takes `value` as an object; `field` names it in errors, `known` are the keys that have a meaning in it.
    pub(crate) fn new(value: Value, field: &'static str, known: &[&'static str]) -> Result<Self, JsonError> {
        let Value::Object(members) = value else {
            return Err(JsonError::Type {
                field,
                expected: "an object",
            });
        };
        for key in members.keys() {
            let look_alike = known.iter().find(|k| k.eq_ignore_ascii_case(key) && *k != key);
            if let Some(known) = look_alike {
                return Err(JsonError::AmbiguousKey {
                    key: key.clone(),
                    known,
                });
            }
        }
        Ok(Self { members })
    }

    /// Takes a member out; JSON's null counts as absent, as in Go.
    pub(crate) fn take(&mut self, field: &'static str) -> Option<Value> {
        self.members.remove(field).filter(|value| !value.is_null())
    }

    /// Whether a member is there and not null.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.members.get(field).is_some_and(|value| !value.is_null())
    }

    /// Takes a string out, if it is there and not empty.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<Option<String>, JsonError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(JsonError::Type {
                field,
                expected: "a string",
            }),
        }
    }

    /// Takes a list out, empty if it is not there.
    pub(crate) fn list(&mut self, field: &'static str, limit: usize) -> Result<Vec<Value>, JsonError> {
        match self.take(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) if values.len() <= limit => Ok(values),
            Some(Value::Array(values)) => Err(JsonError::TooMany {
                field,
                limit,
                seen: values.len(),
            }),
            Some(_) => Err(JsonError::Type {
                field,
                expected: "a list",
            }),
        }
    }

    /// Takes a list of strings out, empty if it is not there.
    pub(crate) fn texts(&mut self, field: &'static str, limit: usize) -> Result<Vec<String>, JsonError> {
        self.list(field, limit)?
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                _ => Err(JsonError::Type {
                    field,
                    expected: "a list of strings",
                }),
            })
            .collect()
    }

    /// Takes a map of strings out, empty if it is not there.
    pub(crate) fn text_map<M>(&mut self, field: &'static str, limit: usize) -> Result<M, JsonError>
    where
        M: FromIterator<(String, String)>,
    {
        let members = match self.take(field) {
            None => Map::new(),
            Some(Value::Object(members)) => members,
            Some(_) => {
                return Err(JsonError::Type {
                    field,
                    expected: "an object",
                });
            }
        };
        if members.len() > limit {
            return Err(JsonError::TooMany {
                field,
                limit,
                seen: members.len(),
            });
        }
        members
            .into_iter()
            .map(|(key, value)| match value {
                Value::String(text) => Ok((key, text)),
                _ => Err(JsonError::Type {
                    field,
                    expected: "an object of strings",
                }),
            })
            .collect()
    }
}

#[derive(Clone, Copy)]
struct Strict<'d> {
    duplicate: &'d RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                *self.duplicate.borrow_mut() = Some(key);
                return Err(serde::de::Error::custom("duplicate key"));
            }
            let value = map.next_value_seed(self)?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}
