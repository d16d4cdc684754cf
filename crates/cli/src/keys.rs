//! The keys that flags name, opened.

use proofmark_sign::keys::{self, KeyError, PasswordError, Surroundings};
use proofmark_sign::{Password, SigningKey, Timing};
use proofmark_types::KeyReference;
use proofmark_verify::PublicKey;

use crate::context::Context;
use crate::failure::{Exit, Failure, chain};
use crate::output;

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
        password: &|what| ask(what, "Password of"),
        // Never COSIGN_PASSWORD: a password tried as a PIN locks tokens. COSIGN_PKCS11_PIN was looked at already.
        pin: &|what| typed(what, "PIN of"),
        timing: Timing::default(),
    }
}

/// `COSIGN_PASSWORD`, or what a person types.
fn ask(what: &str, prompt: &str) -> Result<Password, PasswordError> {
    match std::env::var("COSIGN_PASSWORD") {
        Ok(password) => Ok(Password::new(password)),
        Err(_) => typed(what, prompt),
    }
}

/// What a person types.
fn typed(what: &str, prompt: &str) -> Result<Password, PasswordError> {
    if !output::stdin_is_terminal() {
        return Err(PasswordError::Missing { what: what.to_owned() });
    }
    rpassword::prompt_password(format!("{prompt} {what}: "))
        .map(Password::new)
        .map_err(|error| PasswordError::Unreadable {
            reason: error.to_string(),
        })
}

pub(crate) fn failure(error: KeyError) -> Failure {
    let exit = if error.is_unreachable() {
        Exit::Undecided
    } else {
        Exit::Usage
    };
    let failure = Failure::new(exit, error.code(), chain(&error));
    match error {
        KeyError::Password(PasswordError::Missing { .. }) => failure.with_hint("set COSIGN_PASSWORD"),
        KeyError::Public { .. } => failure.with_hint(
            "expected a PEM block \"PUBLIC KEY\", as `proofmark key generate` and `cosign generate-key-pair` write it",
        ),
        _ => failure,
    }
}
