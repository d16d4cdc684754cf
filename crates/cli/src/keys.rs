//! The keys that flags name, opened and made, and where their passwords come from.

use std::io::Read as _;

use proofmark_sign::keys::{self, KeyError, PasswordError, Surroundings};
use proofmark_sign::{Password, SigningKey, Timing};
use proofmark_types::KeyReference;
use proofmark_verify::{KeyAlgorithm, PublicKey};

use crate::context::Context;
use crate::failure::{Exit, Failure, chain};
use crate::output;

/// The most bytes of a password that is piped in.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// The private half, or the service that holds it. The password of a file is COSIGN_PASSWORD, or is asked for.
pub(crate) async fn signing_key(_context: &Context, reference: &KeyReference) -> Result<SigningKey, Failure> {
    keys::open(reference, &surroundings()).await.map_err(failure)
}

/// The public half.
pub(crate) async fn public_key(_context: &Context, reference: &KeyReference) -> Result<PublicKey, Failure> {
    keys::public(reference, &surroundings()).await.map_err(failure)
}

/// What opening a key takes from this process.
pub(crate) fn surroundings() -> Surroundings<'static> {
    Surroundings {
        environment: &|name| std::env::var(name).ok(),
        password: &ask,
        pin: &pin,
        timing: Timing::default(),
    }
}

/// A new key there; what is written must not be lost, so that the caller has looked first where its public half goes.
pub(crate) async fn create(reference: &KeyReference, algorithm: KeyAlgorithm) -> Result<PublicKey, Failure> {
    let new = Surroundings {
        password: &|_| new_password(),
        ..surroundings()
    };
    keys::create(reference, algorithm, &new).await.map_err(failure)
}

/// The password of a key that is to be written; typed twice.
pub(crate) fn new_password() -> Result<Password, PasswordError> {
    if let Some(password) = given() {
        return Ok(password);
    }
    if !output::stdin_is_terminal() {
        return piped("the new private key");
    }
    let first = prompt("Password for the private key (empty for none): ")?;
    if prompt("The same again: ")? == first {
        Ok(Password::new(first))
    } else {
        Err(PasswordError::Differ)
    }
}

/// `COSIGN_PASSWORD`, or what a person types, or what is piped in.
fn ask(what: &str) -> Result<Password, PasswordError> {
    match given() {
        Some(password) => Ok(password),
        None if output::stdin_is_terminal() => prompt(&format!("Password of {what}: ")).map(Password::new),
        None => piped(what),
    }
}

/// The PIN that a person types. Never COSIGN_PASSWORD: a password tried as a PIN locks tokens.
fn pin(what: &str) -> Result<Password, PasswordError> {
    if output::stdin_is_terminal() {
        return prompt(&format!("PIN of {what}: ")).map(Password::new);
    }
    Err(PasswordError::Missing { what: what.to_owned() })
}

fn given() -> Option<Password> {
    std::env::var("COSIGN_PASSWORD").ok().map(Password::new)
}

fn prompt(text: &str) -> Result<String, PasswordError> {
    rpassword::prompt_password(text).map_err(|error| PasswordError::Unreadable {
        reason: error.to_string(),
    })
}

/// All of standard input, byte for byte as cosign takes it. Nothing there is no password: an empty one is said with an
/// empty COSIGN_PASSWORD.
fn piped(what: &str) -> Result<Password, PasswordError> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(MAX_PASSWORD_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| PasswordError::Unreadable {
            reason: error.to_string(),
        })?;
    if bytes.is_empty() {
        return Err(PasswordError::Missing { what: what.to_owned() });
    }
    Ok(Password::new(bytes))
}

pub(crate) fn failure(error: KeyError) -> Failure {
    let exit = if error.is_unreachable() {
        Exit::Undecided
    } else {
        Exit::Usage
    };
    let failure = Failure::new(exit, error.code(), chain(&error));
    match error {
        KeyError::Password(PasswordError::Missing { what }) if what.contains("token") => {
            failure.with_hint("set COSIGN_PKCS11_PIN")
        }
        KeyError::Password(PasswordError::Missing { .. }) => failure.with_hint("set COSIGN_PASSWORD"),
        KeyError::Public { .. } => failure.with_hint(
            "expected a PEM block \"PUBLIC KEY\", as `proofmark key generate` and `cosign generate-key-pair` write it",
        ),
        _ => failure,
    }
}
