//! Taking fields out of a JSON object as protojson does: camelCase or the original snake_case name, `null` as absent,
//! 64-bit integers as numbers or strings, bytes in any base64 (protobuf language guide, "JSON mapping").

use serde_json::{Map, Value};
use thiserror::Error;

use crate::encoding::base64_decode;

/// Why a field of a document is not what its format says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FieldError {
    /// A required field is absent (or null).
    #[error("{path} is missing")]
    Missing {
        /// Where, dotted from the root.
        path: String,
    },
    /// A field of another type.
    #[error("{path} is {seen}, expected {expected}")]
    Type {
        /// Where.
        path: String,
        /// What the format has there.
        expected: &'static str,
        /// What stands there.
        seen: &'static str,
    },
    /// The same field under both its names.
    #[error("{path} appears under both its names")]
    Twice {
        /// Where.
        path: String,
    },
    /// Not base64, neither alphabet.
    #[error("{path} is not base64")]
    Base64 {
        /// Where.
        path: String,
    },
    /// An integer outside its range, a fraction, or a string that is no number.
    #[error("{path} is not a whole number from 0 to 2^63-1")]
    Integer {
        /// Where.
        path: String,
    },
    /// A list longer than its bound.
    #[error("{path} has {seen} elements, at most {limit} are read")]
    TooMany {
        /// Where.
        path: String,
        /// The bound.
        limit: usize,
        /// The length given.
        seen: usize,
    },
}

impl FieldError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "field-missing",
            Self::Type { .. } => "field-type",
            Self::Twice { .. } => "field-twice",
            Self::Base64 { .. } => "field-base64",
            Self::Integer { .. } => "field-integer",
            Self::TooMany { .. } => "field-too-many",
        }
    }
}

/// A JSON object being taken apart.
pub(crate) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// Starts at the root of a document, which messages call `name`.
    pub(crate) fn root(name: &str, value: Value) -> Result<Self, FieldError> {
        object(name.to_owned(), value)
    }

    /// Whether nothing is left, or was ever there.
    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The path of a field of this object.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// Takes a field out; `null` counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<Value>, FieldError> {
        let present = |value: &Value| !value.is_null();
        let camel = self.map.remove(name).filter(present);
        let original = snake_case(name)
            .and_then(|snake| self.map.remove(&snake))
            .filter(present);
        match (camel, original) {
            (Some(_), Some(_)) => Err(FieldError::Twice { path: self.path(name) }),
            (camel, original) => Ok(camel.or(original)),
        }
    }

    /// An object field.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, FieldError> {
        let path = self.path(name);
        self.take(name)?.map(|value| object(path, value)).transpose()
    }

    /// An object field that must be there.
    pub(crate) fn required_object(&mut self, name: &str) -> Result<Self, FieldError> {
        self.object(name)?
            .ok_or_else(|| FieldError::Missing { path: self.path(name) })
    }

    /// A list of objects, absent counting as empty.
    pub(crate) fn objects(&mut self, name: &str, limit: usize) -> Result<Vec<Self>, FieldError> {
        let path = self.path(name);
        self.list(name, limit)?
            .into_iter()
            .enumerate()
            .map(|(index, value)| object(format!("{path}[{index}]"), value))
            .collect()
    }

    /// A list of anything, absent counting as empty.
    pub(crate) fn list(&mut self, name: &str, limit: usize) -> Result<Vec<Value>, FieldError> {
        let path = self.path(name);
        match self.take(name)? {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) if values.len() > limit => Err(FieldError::TooMany {
                path,
                limit,
                seen: values.len(),
            }),
            Some(Value::Array(values)) => Ok(values),
            Some(other) => Err(wrong(path, "a list", &other)),
        }
    }

    /// A text field.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, FieldError> {
        let path = self.path(name);
        match self.take(name)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(path, "a string", &other)),
        }
    }

    /// A text field that must be there.
    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, FieldError> {
        self.text(name)?
            .ok_or_else(|| FieldError::Missing { path: self.path(name) })
    }

    /// A bytes field, absent counting as empty: proto3 leaves out empty bytes.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, FieldError> {
        let path = self.path(name);
        match self.text(name)? {
            None => Ok(Vec::new()),
            Some(text) => base64_decode(&text).ok_or(FieldError::Base64 { path }),
        }
    }

    /// A non-negative 64-bit integer, absent counting as zero: proto3 leaves out zeros.
    pub(crate) fn integer(&mut self, name: &str) -> Result<u64, FieldError> {
        let path = self.path(name);
        let number = match self.take(name)? {
            None => Some(0),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            Some(Value::String(_)) => None,
            Some(other) => return Err(wrong(path, "a number", &other)),
        };
        number
            .filter(|number| i64::try_from(*number).is_ok())
            .ok_or(FieldError::Integer { path })
    }
}

fn object(path: String, value: Value) -> Result<Fields, FieldError> {
    match value {
        Value::Object(map) => Ok(Fields { path, map }),
        other => Err(wrong(path, "an object", &other)),
    }
}

pub(crate) fn wrong(path: String, expected: &'static str, seen: &Value) -> FieldError {
    let seen = match seen {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    FieldError::Type { path, expected, seen }
}

/// `logIndex` is `log_index` in the schema. `None` if both names are the same.
fn snake_case(name: &str) -> Option<String> {
    if !name.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut snake = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    Some(snake)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::root("it", value).unwrap()
    }

    #[test]
    fn both_names_null_and_defaults() {
        let mut it = fields(json!({"log_index": "7", "treeSize": 8, "hint": null, "rawBytes": "_w"}));
        assert_eq!(it.integer("logIndex").unwrap(), 7);
        assert_eq!(it.integer("treeSize").unwrap(), 8);
        assert_eq!(it.integer("absent").unwrap(), 0);
        assert_eq!(it.text("hint").unwrap(), None);
        assert_eq!(it.bytes("rawBytes").unwrap(), [0xff]);
    }

    #[test]
    fn each_bad_field_has_its_reason() {
        let integer = |value: Value| fields(json!({"n": value})).integer("n").unwrap_err().code();
        for value in [
            json!(-1),
            json!("-1"),
            json!("1.0"),
            json!(1.5),
            json!(u64::MAX),
            json!("9223372036854775808"),
        ] {
            assert_eq!(integer(value), "field-integer");
        }
        assert_eq!(integer(json!([])), "field-type");
        let mut it = fields(json!({"logIndex": 1, "log_index": 1, "b": "*", "l": [1, 2], "o": []}));
        assert_eq!(it.integer("logIndex").unwrap_err().code(), "field-twice");
        assert_eq!(it.bytes("b").unwrap_err().code(), "field-base64");
        assert_eq!(it.list("l", 1).unwrap_err().code(), "field-too-many");
        assert_eq!(
            it.object("o").err().unwrap().to_string(),
            "it.o is a list, expected an object"
        );
        assert_eq!(it.required_text("x").unwrap_err().to_string(), "it.x is missing");
    }
}
