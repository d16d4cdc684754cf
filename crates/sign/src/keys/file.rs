//! Keys that are text: files and environment variables.

use std::io::Read as _;

use proofmark_verify::PublicKey;

use super::{KeyError, Surroundings};
use crate::key::{MAX_KEY_FILE_BYTES, SigningKey, SigningKeyError};

/// Reads a key file, no further than a key file is long. A few hundred bytes: a thread to read them costs more.
pub(super) fn read(path: &str) -> Result<String, KeyError> {
    let failure = |error: std::io::Error| KeyError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let limit = u64::try_from(MAX_KEY_FILE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failure)?;
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failure)?;
    text(path, bytes)
}

/// The text of an environment variable.
pub(super) fn variable(name: &str, with: &Surroundings<'_>) -> Result<String, KeyError> {
    let missing = || KeyError::VariableMissing { name: name.to_owned() };
    let value = (with.environment)(name).filter(|value| !value.is_empty());
    text(&format!("env://{name}"), value.ok_or_else(missing)?.into_bytes())
}

pub(super) fn text(place: &str, bytes: Vec<u8>) -> Result<String, KeyError> {
    if bytes.len() > MAX_KEY_FILE_BYTES {
        return Err(KeyError::TooLarge {
            place: place.to_owned(),
            limit: MAX_KEY_FILE_BYTES,
        });
    }
    String::from_utf8(bytes).map_err(|_| KeyError::Private {
        place: place.to_owned(),
        source: SigningKeyError::NotPem,
    })
}

/// A private key; its password is asked for only if it has one.
pub(super) fn private(place: &str, text: &str, with: &Surroundings<'_>) -> Result<SigningKey, KeyError> {
    let key = match SigningKey::from_pem(text, None) {
        Err(SigningKeyError::PasswordNeeded) => SigningKey::from_pem(text, Some(&(with.password)(place)?)),
        read => read,
    };
    key.map_err(|source| KeyError::Private {
        place: place.to_owned(),
        source,
    })
}

/// A public key, or the public half of a private one.
pub(super) fn public(place: &str, text: &str, with: &Surroundings<'_>) -> Result<PublicKey, KeyError> {
    match PublicKey::from_pem(text) {
        Ok(key) => Ok(key),
        Err(_) if text.contains(" PRIVATE KEY-----") => private(place, text, with).map(|key| key.public_key().clone()),
        Err(source) => Err(KeyError::Public {
            place: place.to_owned(),
            source,
        }),
    }
}
