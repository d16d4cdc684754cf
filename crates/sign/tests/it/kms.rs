//! Keys in key services, against servers that speak the vendors' protocols and check what they are sent.

mod aws;
mod azure;
mod cloud_registries;
mod google;
mod transit;
mod vault;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proofmark_sign::keys::{self, KeyError, PasswordError, Surroundings};
use proofmark_sign::{SigningKey, SigningKeyError, Timing};
use proofmark_testkit::key_services::Fault;
use proofmark_types::KeyReference;
use proofmark_verify::{KeyAlgorithm, PublicKey};

/// An environment of a test's own, and nothing of the machine's.
#[derive(Clone, Default)]
struct World {
    variables: BTreeMap<String, String>,
    patience: Option<Duration>,
}

impl World {
    fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let mut world = self.clone();
        world.variables.insert(name.to_owned(), value.into());
        world
    }

    fn without(&self, name: &str) -> Self {
        let mut world = self.clone();
        world.variables.remove(name);
        world
    }

    /// Waits no longer than this for one answer.
    fn impatient(&self) -> Self {
        Self {
            patience: Some(Duration::from_millis(150)),
            ..self.clone()
        }
    }

    async fn open(&self, reference: &str) -> Result<SigningKey, KeyError> {
        let environment = |name: &str| self.variables.get(name).cloned();
        keys::open(
            &KeyReference::parse(reference).unwrap(),
            &self.surroundings(&environment),
        )
        .await
    }

    async fn create(&self, reference: &str, algorithm: KeyAlgorithm) -> Result<PublicKey, KeyError> {
        let environment = |name: &str| self.variables.get(name).cloned();
        let reference = KeyReference::parse(reference).unwrap();
        keys::create(&reference, algorithm, &self.surroundings(&environment)).await
    }

    fn surroundings<'a>(&self, environment: &'a (dyn Fn(&str) -> Option<String> + Sync)) -> Surroundings<'a> {
        fn nobody(what: &str) -> Result<proofmark_sign::Password, PasswordError> {
            Err(PasswordError::Missing { what: what.to_owned() })
        }
        Surroundings {
            environment,
            password: &nobody,
            pin: &nobody,
            timing: Timing {
                certificate: self.patience.unwrap_or(Duration::from_secs(20)),
                attempts: 3,
                pause: Duration::from_millis(1),
                ..Timing::default()
            },
        }
    }
}

/// Signs with the key's own hash and as the `.sig` layout wants, and verifies both.
async fn signs(key: &SigningKey, algorithm: KeyAlgorithm) {
    assert_eq!(key.public_key().algorithm(), algorithm);
    for message in [&b"a message"[..], b"", &[7; 100_000]] {
        for signature in [
            key.sign(message).await.unwrap(),
            key.sign_legacy(message).await.unwrap(),
        ] {
            key.public_key().verify(message, &signature).unwrap();
            assert!(key.public_key().verify(b"another message", &signature).is_err());
        }
    }
}

fn code(error: &SigningKeyError) -> (&'static str, bool) {
    (error.code(), error.is_unreachable())
}

/// Every way of misbehaving, and what is said of it. `opened` must have been opened while the service behaved.
async fn faults(opened: &SigningKey, hanging: &SigningKey, set: impl Fn(Fault)) {
    for (fault, expected) in [
        (Fault::OtherKey, ("key-signature-not-verified", false)),
        (Fault::OtherDigest, ("key-signature-not-verified", false)),
        (Fault::OtherName, ("key-answer", false)),
        (Fault::Garbage, ("key-answer", false)),
        (Fault::Endless, ("key-answer", false)),
        (Fault::Forbidden, ("key-use-refused", false)),
        (Fault::Redirect, ("key-use-refused", false)),
        (Fault::Later(9), ("key-unreachable", true)),
    ] {
        set(fault);
        let error = opened.sign(b"message").await.unwrap_err();
        assert_eq!(code(&error), expected, "{fault:?}: {error}");
    }
    // Two refusals for load are got over; three attempts are made in all.
    set(Fault::Later(2));
    opened.sign(b"message").await.unwrap();
    set(Fault::Hang);
    let start = Instant::now();
    let error = hanging.sign(b"message").await.unwrap_err();
    assert_eq!(code(&error), ("key-unreachable", true), "{error}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    set(Fault::None);
    opened.sign(b"message").await.unwrap();
}

/// The code with which opening fails.
async fn refused(world: &World, reference: &str) -> &'static str {
    let error = world.open(reference).await.unwrap_err();
    let text = error.to_string();
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
    }
    error.code()
}

/// Parts of the secrets in these tests; no message may have them.
const SECRETS: [&str; 8] = [
    "wJalrXUtnFEMI",
    "sessionSecret",
    "web.identity",
    "container-agent-secret",
    "azure.client.secret",
    "federated.token",
    "user-secret",
    "hvs.",
];
