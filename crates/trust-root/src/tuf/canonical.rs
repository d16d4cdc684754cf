//! Canonical JSON as TUF signs it ("OLPC" canonical JSON, securesystemslib's `encode_canonical`): not RFC 8785.
//!
//! Keys sorted by their bytes, no white space, only `"` and `\` escaped, whole numbers only.

use serde_json::Value;
use thiserror::Error;

/// The bytes that a signature over `value` covers.
pub fn canonical(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

/// The JSON reader's limit on depth (128) bounds this recursion.
fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Number(number) => {
            return Err(CanonicalError::Fraction {
                seen: number.to_string(),
            });
        }
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                string(key, out);
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Why a value has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CanonicalError {
    /// A number with a fraction or exponent.
    #[error("{seen} is not a whole number, and signed metadata has no other")]
    Fraction {
        /// The number.
        seen: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_securesystemslib_writes_it() {
        let cases = [
            (
                r#"{"b": 1, "a": [true, null, "x\"\\\n\u00e9/"]}"#,
                "{\"a\":[true,null,\"x\\\"\\\\\n\u{e9}/\"],\"b\":1}",
            ),
            (r#"{"\ud83d\ude00":1,"\uffff":-2}"#, "{\"\u{ffff}\":-2,\"\u{1f600}\":1}"),
            ("[]", "[]"),
        ];
        for (given, expected) in cases {
            let value: Value = serde_json::from_str(given).unwrap();
            assert_eq!(String::from_utf8(canonical(&value).unwrap()).unwrap(), expected);
        }
        assert!(canonical(&serde_json::json!({"a": 1.5})).is_err());
    }
}
