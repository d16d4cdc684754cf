//! The keys that flags name, opened and made, and where their passwords come from.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use proofmark_admission::OpenKeys;
use proofmark_policy::KeyAnswers;
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

/// How long all keys that policies name may take together: policies are looked at every few seconds, and a webhook that
/// starts is waited for.
const POLICY_KEYS_TIME: Duration = Duration::from_secs(15);

/// The keys that policies name by where they live.
pub(crate) struct PolicyKeys {
    pub(crate) answers: KeyAnswers,
    /// Whether some place was only not reached: the same may succeed later.
    pub(crate) unreachable: bool,
}

/// For the webhook: opens keys as it loads policies.
pub(crate) fn open_keys() -> OpenKeys {
    Arc::new(|references| of_policies(references).answers)
}

/// Opens the public keys, side by side. Blocking; nobody is asked for a password.
pub(crate) fn of_policies(references: &[KeyReference]) -> PolicyKeys {
    let failed = |reason: String| PolicyKeys {
        answers: references
            .iter()
            .map(|reference| (reference.clone(), Err(reason.clone())))
            .collect(),
        unreachable: true,
    };
    if references.is_empty() {
        return PolicyKeys {
            answers: KeyAnswers::new(),
            unreachable: false,
        };
    }
    // A thread and a runtime of its own: this is called within the runtime and outside.
    let opened = std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let opened = runtime.block_on(open_all(references));
            // A name that is still being looked up is not waited for.
            runtime.shutdown_background();
            Ok::<_, std::io::Error>(opened)
        };
        scope.spawn(run).join()
    });
    match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => failed(format!("cannot start opening it: {error}")),
        Err(_) => failed("opening it ended in an internal error".to_owned()),
    }
}

async fn open_all(references: &[KeyReference]) -> PolicyKeys {
    let nobody: &keys::AskPassword<'_> = &|what| Err(PasswordError::Missing { what: what.to_owned() });
    let with = Surroundings {
        password: nobody,
        pin: nobody,
        ..surroundings()
    };
    let each = references.iter().map(|reference| {
        let opening = tokio::time::timeout(POLICY_KEYS_TIME, keys::public(reference, &with));
        async move {
            let (answer, unreachable) = match opening.await {
                Ok(Ok(key)) => (Ok(key), false),
                Ok(Err(error)) => (Err(chain(&error)), error.is_unreachable()),
                Err(_) => {
                    let seconds = POLICY_KEYS_TIME.as_secs();
                    (Err(format!("no answer within {seconds} seconds")), true)
                }
            };
            ((reference.clone(), answer), unreachable)
        }
    });
    let opened = futures::future::join_all(each).await;
    PolicyKeys {
        unreachable: opened.iter().any(|(_, unreachable)| *unreachable),
        answers: opened.into_iter().map(|(answer, _)| answer).collect(),
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

/// Whether `COSIGN_PASSWORD` says the password, so that standard input is free for answers.
pub(crate) fn password_is_given() -> bool {
    given().is_some()
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
