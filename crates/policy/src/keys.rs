//! Keys that policies name by where they live, in the words of `--key` ([`KeyReference`]).
//!
//! Nothing is opened here. [`crate::PolicySet::read`] says which references the policies have, whoever loads them opens
//! those, and [`PolicyDraft::with_keys`] reads the policies again with the keys. Only that makes a set: a reference
//! without a key is an error, never a signer that nobody looks for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proofmark_types::{Digest, KeyReference};
use proofmark_verify::PublicKey;

use crate::error::{Place, PolicyError};
use crate::read::{self, MAX_KEYS, Read};
use crate::set::PolicySet;

/// What references stand for: the key, or why there is none, in words.
pub type KeyAnswers = BTreeMap<KeyReference, Result<PublicKey, String>>;

/// Where keys may live, by where the policies are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlaces {
    /// The policies are of a cluster: addresses, Kubernetes secrets and key services. A path or a variable would be
    /// read of whichever machine happens to look.
    Cluster,
    /// The policies are files of the person who asks: their files and variables too.
    Local,
}

impl KeyPlaces {
    /// Why a policy may not name such a place.
    fn refuses(self, reference: &KeyReference) -> Option<&'static str> {
        match reference {
            KeyReference::Url(_)
            | KeyReference::Kubernetes { .. }
            | KeyReference::Aws { .. }
            | KeyReference::Google { .. }
            | KeyReference::Azure { .. }
            | KeyReference::Vault { .. } => None,
            KeyReference::File(_) | KeyReference::Environment(_) if self == Self::Local => None,
            KeyReference::File(_) => {
                Some("a path means another file on every machine; put the public key itself here, in PEM")
            }
            KeyReference::Environment(_) => {
                Some("a variable means another key to every process; put the public key itself here, in PEM")
            }
            KeyReference::Pkcs11(_) => {
                Some("a token needs a library loaded, which no policy decides; put its public key here, in PEM")
            }
            _ => Some("keys of policies do not live there; put the public key itself here, in PEM"),
        }
    }
}

/// A key that some policy names by where it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKey {
    /// The field that names it.
    pub place: Place,
    /// Where it lives.
    pub reference: KeyReference,
    /// The key that was found there: SHA-256 of its SubjectPublicKeyInfo.
    pub fingerprint: Digest,
}

/// Policies that were understood whole but for the keys that they name by reference.
#[derive(Debug)]
pub struct PolicyDraft<'a> {
    files: &'a [(&'a str, &'a [u8])],
    places: KeyPlaces,
    policies: Read,
    references: Vec<KeyReference>,
}

impl<'a> PolicyDraft<'a> {
    pub(crate) fn read(files: &'a [(&'a str, &'a [u8])], places: KeyPlaces) -> Result<Self, PolicyError> {
        let keys = Keys::new(places, None);
        let policies = read::policies(files, &keys)?;
        let mut references: Vec<KeyReference> = Vec::new();
        for used in keys.wanted.into_inner() {
            if references.contains(&used.0) {
                continue;
            }
            references.push(used.0);
            // Said before anything is fetched: policies do not decide how much that is.
            if references.len() > MAX_KEYS {
                return Err(PolicyError::TooManyKeys {
                    place: used.1,
                    seen: references.len(),
                    limit: MAX_KEYS,
                });
            }
        }
        Ok(Self {
            files,
            places,
            policies,
            references,
        })
    }

    /// The references, each once: what has to be opened.
    #[must_use]
    pub fn key_references(&self) -> &[KeyReference] {
        &self.references
    }

    /// The policies with their keys. A reference without an answer, or with one that is no key, is an error.
    pub fn with_keys(self, answers: &KeyAnswers) -> Result<PolicySet, PolicyError> {
        if self.references.is_empty() {
            return Ok(PolicySet::of(self.policies, Vec::new()));
        }
        let keys = Keys::new(self.places, Some(answers));
        let policies = read::policies(self.files, &keys)?;
        let mut named = Vec::new();
        for (reference, place, key) in keys.wanted.into_inner() {
            // A signer without its key was made for the draft alone.
            let Some(key) = key else {
                return Err(unresolved(&place, &reference, NOBODY));
            };
            named.push(NamedKey {
                place,
                reference,
                fingerprint: key,
            });
        }
        Ok(PolicySet::of(policies, named))
    }
}

const NOBODY: &str = "nothing here opens key references";

fn unresolved(place: &Place, reference: &KeyReference, reason: &str) -> PolicyError {
    PolicyError::KeyUnresolved {
        place: place.clone(),
        reference: reference.to_string(),
        reason: reason.to_owned(),
    }
}

/// The references of one reading: asked for at each field that has one.
#[derive(Debug)]
pub(crate) struct Keys<'k> {
    places: KeyPlaces,
    /// None while it is only found out which there are.
    answers: Option<&'k KeyAnswers>,
    wanted: RefCell<Vec<(KeyReference, Place, Option<Digest>)>>,
}

impl<'k> Keys<'k> {
    pub(crate) fn new(places: KeyPlaces, answers: Option<&'k KeyAnswers>) -> Self {
        Self {
            places,
            answers,
            wanted: RefCell::default(),
        }
    }

    /// The key, or `None` while it is only found out which references there are.
    pub(crate) fn ask(&self, reference: &KeyReference, place: &Place) -> Result<Option<PublicKey>, PolicyError> {
        if let Some(reason) = self.places.refuses(reference) {
            return Err(PolicyError::KeyPlace {
                place: place.clone(),
                kind: reference.kind(),
                reason: reason.to_owned(),
            });
        }
        let key = match self.answers.map(|answers| answers.get(reference)) {
            None => None,
            Some(None) => return Err(unresolved(place, reference, NOBODY)),
            Some(Some(Err(reason))) => return Err(unresolved(place, reference, reason)),
            Some(Some(Ok(key))) => Some(key.clone()),
        };
        let fingerprint = key.as_ref().map(|key| key.fingerprint().clone());
        self.wanted
            .borrow_mut()
            .push((reference.clone(), place.clone(), fingerprint));
        Ok(key)
    }
}
