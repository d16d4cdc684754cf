//! What all JSON documents have in common: bounds, the outermost keys, and lists that end.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::ReadError;

/// The most braces and commas of a document: each object, and each further element, needs one. Syft's document of the
/// largest image measured has 1.5 million.
const MAX_VALUES: usize = 6_000_000;

/// Refuses documents of many tiny values, which take far more memory than bytes.
pub(super) fn bounded(bytes: &[u8]) -> Result<(), ReadError> {
    let mut values = 0_usize;
    for byte in bytes {
        values += usize::from(matches!(byte, b'{' | b','));
    }
    if values > MAX_VALUES {
        return Err(ReadError::TooMany {
            what: "values",
            limit: MAX_VALUES,
        });
    }
    Ok(())
}

/// Reads the whole of the bytes as one value; a key twice in one object is an error of serde's, where the key counts.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], format: &'static str) -> Result<T, ReadError> {
    serde_json::from_slice(bytes).map_err(|error| ReadError::Malformed {
        format,
        line: error.line(),
        column: error.column(),
        message: reason(&error),
    })
}

/// serde_json appends " at line 1 column 2"; the variant already says that.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.rfind(" at line ").and_then(|end| text.get(..end)).unwrap_or(&text);
    reason.chars().take(300).collect()
}

/// The keys on the outermost level of a document.
#[derive(Debug)]
pub(super) struct Outline(BTreeSet<String>);

/// The most keys looked at; the formats read have at most 20.
const MAX_KEYS: usize = 100;

/// Reads the keys of the outermost object.
pub(super) fn outline(bytes: &[u8]) -> Result<Outline, ReadError> {
    parse(bytes, "JSON")
}

impl Outline {
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains(key)
    }

    /// For messages.
    pub(super) fn describe(&self) -> String {
        let keys: Vec<String> = self.0.iter().take(8).map(|k| k.chars().take(40).collect()).collect();
        if keys.is_empty() {
            return "an empty JSON object".to_owned();
        }
        format!("a JSON object with the keys {}", keys.join(", "))
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Outline;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
                let mut keys = BTreeSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    map.next_value::<IgnoredAny>()?;
                    if keys.len() < MAX_KEYS {
                        keys.insert(key);
                    }
                }
                Ok(Outline(keys))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

/// A list of at most `N` elements; what follows is read over and remembered. `null` is an empty list, as programs in Go
/// write it.
#[derive(Clone, Debug)]
pub(super) struct List<T, const N: usize = 100_000> {
    pub(super) items: Vec<T>,
    more: bool,
}

impl<T, const N: usize> List<T, N> {
    /// The elements, all of them.
    pub(super) fn all(self, what: &'static str) -> Result<Vec<T>, ReadError> {
        if self.more {
            return Err(ReadError::TooMany { what, limit: N });
        }
        Ok(self.items)
    }

    /// Adds one, if there is room.
    pub(super) fn push(&mut self, item: T) {
        if self.items.len() < N {
            self.items.push(item);
        } else {
            self.more = true;
        }
    }
}

impl<T, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            more: false,
        }
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for List<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Elements<T, N> {
            type Value = List<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(List::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
                let mut list = List::default();
                while list.items.len() < N {
                    match elements.next_element()? {
                        Some(item) => list.items.push(item),
                        None => return Ok(list),
                    }
                }
                while elements.next_element::<IgnoredAny>()?.is_some() {
                    list.more = true;
                }
                Ok(list)
            }
        }

        deserializer.deserialize_any(Elements(PhantomData))
    }
}

/// A text, or nothing where there is a value of another type.
#[derive(Clone, Debug, Default)]
pub(super) struct Loose(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Loose;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose(Some(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
                Ok(Loose(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Loose, E> {
                Ok(Loose(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Loose, E> {
                Ok(Loose(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Loose, E> {
                Ok(Loose(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Loose, A::Error> {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose(None))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
