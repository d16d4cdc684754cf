//! PKCS #11 URIs (RFC 7512), strictly: every attribute is one of the standard, at most once.

use std::fmt;

use thiserror::Error;

/// Attributes of the path (RFC 7512 section 2.3).
const PATH: [&str; 13] = [
    "token",
    "manufacturer",
    "serial",
    "model",
    "library-manufacturer",
    "library-version",
    "library-description",
    "object",
    "type",
    "id",
    "slot-description",
    "slot-manufacturer",
    "slot-id",
];

/// Attributes of the query (section 2.4). `max-sessions` and vendors' own are p11-kit's and say nothing about the key.
const QUERY: [&str; 4] = ["pin-source", "pin-value", "module-name", "module-path"];

/// Where a key is in a token. A PIN in it is never shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pkcs11Uri {
    /// In the order they were written, decoded.
    path: Vec<(&'static str, Vec<u8>)>,
    query: Vec<(&'static str, Vec<u8>)>,
}

impl Pkcs11Uri {
    /// Reads `pkcs11:token=..;object=..?module-path=..`.
    pub fn parse(text: &str) -> Result<Self, Pkcs11Error> {
        let rest = text.strip_prefix("pkcs11:").ok_or(Pkcs11Error::Scheme)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let uri = Self {
            path: attributes(path, ';', &PATH)?,
            query: query.map_or_else(|| Ok(Vec::new()), |query| attributes(query, '&', &QUERY))?,
        };
        for (name, value) in uri.path.iter().chain(&uri.query) {
            // RFC 7512 section 2.3: `id` is bytes, everything else is text.
            if *name != "id" && std::str::from_utf8(value).is_err() {
                return Err(Pkcs11Error::NotText { name });
            }
        }
        if uri.path("slot-id").is_some_and(|text| text.parse::<u64>().is_err()) {
            return Err(Pkcs11Error::SlotId);
        }
        Ok(uri)
    }

    /// A key by the library, the token and its own id and label: what `pkcs11-tool list-keys-uris` prints.
    #[must_use]
    pub fn of_key(module_path: &str, token: &str, slot: u64, id: &[u8], label: &str) -> Self {
        let mut path = vec![
            ("token", token.as_bytes().to_vec()),
            ("slot-id", slot.to_string().into_bytes()),
        ];
        if !id.is_empty() {
            path.push(("id", id.to_vec()));
        }
        if !label.is_empty() {
            path.push(("object", label.as_bytes().to_vec()));
        }
        Self {
            path,
            query: vec![("module-path", module_path.as_bytes().to_vec())],
        }
    }

    /// The token's label.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.path("token")
    }

    /// The token's serial number.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.path("serial")
    }

    /// The token's manufacturer.
    #[must_use]
    pub fn manufacturer(&self) -> Option<&str> {
        self.path("manufacturer")
    }

    /// The token's model.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.path("model")
    }

    /// The slot's number.
    #[must_use]
    pub fn slot_id(&self) -> Option<u64> {
        self.path("slot-id").and_then(|text| text.parse().ok())
    }

    /// The key's label.
    #[must_use]
    pub fn object(&self) -> Option<&str> {
        self.path("object")
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> Option<&[u8]> {
        self.path
            .iter()
            .find(|(name, _)| *name == "id")
            .map(|(_, value)| value.as_slice())
    }

    /// The library that speaks to the token.
    #[must_use]
    pub fn module_path(&self) -> Option<&str> {
        self.query("module-path")
    }

    /// The PIN. A secret: it is on the command line already, and belongs into no message.
    #[must_use]
    pub fn pin_value(&self) -> Option<&str> {
        self.query("pin-value")
    }

    /// A file that holds the PIN, by its path or a `file:` URI.
    #[must_use]
    pub fn pin_source(&self) -> Option<&str> {
        self.query("pin-source").map(|source| {
            source
                .strip_prefix("file://")
                .or_else(|| source.strip_prefix("file:"))
                .unwrap_or(source)
        })
    }

    /// Attributes that were given and that nothing here can hold against a token, by name.
    pub fn unsupported(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .iter()
            .chain(&self.query)
            .map(|(name, _)| *name)
            .filter(|name| {
                matches!(
                    *name,
                    "library-manufacturer"
                        | "library-version"
                        | "library-description"
                        | "slot-description"
                        | "slot-manufacturer"
                        | "module-name"
                )
            })
    }

    /// `type`: `private`, `public`, `cert` and others.
    #[must_use]
    pub fn object_type(&self) -> Option<&str> {
        self.path("type")
    }

    fn path(&self, name: &str) -> Option<&str> {
        text(&self.path, name)
    }

    fn query(&self, name: &str) -> Option<&str> {
        text(&self.query, name)
    }
}

impl fmt::Display for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        let write = |f: &mut fmt::Formatter<'_>, list: &[(&str, Vec<u8>)], separator: &str| {
            list.iter().enumerate().try_for_each(|(index, (name, value))| {
                let before = if index == 0 { "" } else { separator };
                match *name {
                    "pin-value" => write!(f, "{before}{name}=***"),
                    name => write!(f, "{before}{name}={}", encoded(name, value)),
                }
            })
        };
        write(f, &self.path, ";")?;
        if !self.query.is_empty() {
            f.write_str("?")?;
            write(f, &self.query, "&")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11Uri({self})")
    }
}

fn text<'a>(list: &'a [(&'static str, Vec<u8>)], name: &str) -> Option<&'a str> {
    let (_, value) = list.iter().find(|(seen, _)| *seen == name)?;
    std::str::from_utf8(value).ok()
}

type Attributes = Vec<(&'static str, Vec<u8>)>;

fn attributes(part: &str, separator: char, known: &[&'static str]) -> Result<Attributes, Pkcs11Error> {
    let mut list: Attributes = Vec::new();
    for attribute in part.split(separator).filter(|attribute| !attribute.is_empty()) {
        let (name, value) = attribute.split_once('=').ok_or(Pkcs11Error::NotAttribute)?;
        let name = *known
            .iter()
            .find(|known| **known == name)
            .ok_or_else(|| Pkcs11Error::Unknown {
                name: name.chars().take(40).collect(),
            })?;
        // Section 2.3: "an attribute MUST NOT be repeated": the second would silently win or lose.
        if list.iter().any(|(seen, _)| *seen == name) {
            return Err(Pkcs11Error::Repeated { name });
        }
        list.push((name, decoded(value).ok_or(Pkcs11Error::Encoding { name })?));
    }
    Ok(list)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (high, low) = (char::from(bytes.next()?), char::from(bytes.next()?));
                let value = high.to_digit(16)? * 16 + low.to_digit(16)?;
                out.push(u8::try_from(value).ok()?);
            }
            byte => out.push(byte),
        }
    }
    Some(out)
}

/// Section 2.3 asks for `id` to be encoded whole.
fn encoded(name: &str, value: &[u8]) -> String {
    value
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' if name != "id" => {
                char::from(*byte).to_string()
            }
            b'/' if name.starts_with("module") || name.starts_with("pin") => "/".to_owned(),
            byte => format!("%{byte:02x}"),
        })
        .collect()
}

/// Why a text is no PKCS #11 URI.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// Another scheme.
    #[error("a PKCS #11 URI begins with \"pkcs11:\"")]
    Scheme,
    /// A piece without an equals sign.
    #[error("a PKCS #11 URI is pkcs11:NAME=VALUE;NAME=VALUE?NAME=VALUE&NAME=VALUE (RFC 7512)")]
    NotAttribute,
    /// An attribute that the standard does not have there: perhaps one of the query before the question mark.
    #[error("\"{name}\" is not an attribute of this part of a PKCS #11 URI (RFC 7512)")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// Twice the same.
    #[error("the attribute {name} is given twice")]
    Repeated {
        /// Its name.
        name: &'static str,
    },
    /// A `%` without two hex digits.
    #[error("the value of {name} is not percent-encoded")]
    Encoding {
        /// Its name.
        name: &'static str,
    },
    /// Bytes that are no UTF-8.
    #[error("the value of {name} is not text")]
    NotText {
        /// Its name.
        name: &'static str,
    },
    /// Not a number.
    #[error("slot-id is a decimal number")]
    SlotId,
}
