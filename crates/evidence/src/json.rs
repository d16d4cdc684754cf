//! JSON as evidence may use it: bounded, and every key of an object once.
//!
//! Two readers that disagree about which of two equal keys counts can be shown two different documents under one
//! signature. So a second key is an error everywhere here, also deep inside predicates.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// The most values (objects, arrays, scalars) in one document. The bill of an image of 10,000 packages has about
/// 400,000, and 32 MiB of any real document some 1,300,000. A value takes 32 bytes here and two in the input, so that
/// bytes alone bound memory badly.
pub const MAX_VALUES: usize = 2_000_000;

/// Reads one JSON document of at most `limit` bytes.
pub fn parse(bytes: &[u8], limit: u64) -> Result<Value, JsonError> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > limit {
        return Err(JsonError::TooLarge { limit, size });
    }
    let mut state = State {
        left: MAX_VALUES,
        problem: None,
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = Seed(&mut state)
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    match (parsed, state.problem) {
        (_, Some(problem)) => Err(problem),
        (Ok(value), None) => Ok(value),
        (Err(error), None) => Err(JsonError::Syntax {
            line: error.line(),
            column: error.column(),
            message: reason(&error),
        }),
    }
}

/// Writes a value made of this crate's own types, compact. Their keys are strings and their numbers finite, which is all
/// that can fail, so failing would be a bug here.
pub(crate) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| unreachable!("own types always serialize: {error}"))
}

/// Why bytes are not the JSON that evidence may be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// More bytes than allowed.
    #[error("the document has {size} bytes, at most {limit} are read")]
    TooLarge {
        /// The limit.
        limit: u64,
        /// The size given.
        size: u64,
    },
    /// More values than allowed: a document made to fill memory.
    #[error("the document has more than {limit} values")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// The same key twice in one object: readers would differ on which one counts.
    #[error("the key \"{key}\" appears twice in one object")]
    DuplicateKey {
        /// The key, shortened.
        key: String,
    },
    /// Not JSON: cut short, or not JSON at all.
    #[error("not valid JSON at line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1 (0 at the end of input).
        column: usize,
        /// What the reader says.
        message: String,
    },
}

impl JsonError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "json-too-large",
            Self::TooManyValues { .. } => "json-too-many-values",
            Self::DuplicateKey { .. } => "json-duplicate-key",
            Self::Syntax { .. } => "json-syntax",
        }
    }
}

/// serde_json appends " at line 1 column 2"; the variant already says that.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

struct State {
    left: usize,
    problem: Option<JsonError>,
}

impl State {
    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.problem = Some(JsonError::TooManyValues { limit: MAX_VALUES });
                Err(E::custom("too many values"))
            }
        }
    }
}

struct Seed<'s>(&'s mut State);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.0.count()?;
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.0.count()?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.0.count()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Seed(self.0))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.0.count()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                self.0.problem = Some(JsonError::DuplicateKey {
                    key: key.chars().take(80).collect(),
                });
                return Err(A::Error::custom("duplicate key"));
            }
            let value = access.next_value_seed(Seed(self.0))?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        let text = br#" {"a":[1,-2,3.5,true,null,"x\u00e9"],"b":{"a":{}}} "#;
        assert_eq!(
            parse(text, 100).unwrap(),
            serde_json::from_slice::<Value>(text).unwrap()
        );
    }

    #[test]
    fn each_bad_document_has_its_reason() {
        let code = |text: &str| parse(text.as_bytes(), 1000).unwrap_err().code();
        assert_eq!(code(r#"{"a":1,"a":1}"#), "json-duplicate-key");
        assert_eq!(code(r#"[{"p":{"\u0061":1,"a":2}}]"#), "json-duplicate-key");
        assert_eq!(code("{} {}"), "json-syntax");
        assert_eq!(code(""), "json-syntax");
        assert_eq!(code(r#"{"a":"#), "json-syntax");
        assert_eq!(code("1e999"), "json-syntax");
        assert_eq!(code(&"[".repeat(500)), "json-syntax");
        assert_eq!(code(&" ".repeat(1001)), "json-too-large");
        let wide = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert_eq!(
            parse(wide.as_bytes(), u64::MAX).unwrap_err().code(),
            "json-too-many-values"
        );
    }
}
