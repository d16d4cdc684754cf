//! Which signers are one and the same.
//!
//! A threshold counts people and pipelines, and everything that one of them can have several of must not count twice: an
//! authority of one's own writes any list of names into a certificate, and a new one for each signature. So two signers
//! are one as soon as anything ties them together: a key, or a name. What two certificates tie together a third one can
//! extend, and then all three are one: better one signer too few.

use std::collections::BTreeMap;

use proofmark_types::SubjectName;
use proofmark_verify::SignerProof;

use crate::requirement::describe;

/// Signers by everything that marks them, numbered so that the same signer has one number.
pub(crate) struct Signers {
    of_mark: BTreeMap<String, usize>,
}

impl Signers {
    pub(crate) fn of<'a>(signers: impl Iterator<Item = &'a SignerProof>) -> Self {
        let mut of_mark: BTreeMap<String, usize> = BTreeMap::new();
        for (new, signer) in signers.enumerate() {
            let marks = marks(signer);
            let known: Vec<usize> = marks.iter().filter_map(|mark| of_mark.get(mark).copied()).collect();
            // The usual case: seen before, in another slot. Nothing is tied together that was not.
            if known.len() == marks.len() && known.iter().all(|number| Some(number) == known.first()) {
                continue;
            }
            for number in of_mark.values_mut().filter(|number| known.contains(number)) {
                *number = new;
            }
            of_mark.extend(marks.into_iter().map(|mark| (mark, new)));
        }
        Self { of_mark }
    }

    /// The number of one of them. All its marks have the same.
    pub(crate) fn number(&self, signer: &SignerProof) -> Option<usize> {
        marks(signer).first().and_then(|mark| self.of_mark.get(mark)).copied()
    }
}

/// What is tied to a signer: its key, and each of its names. An address of mail is the same person whoever vouches for it;
/// every other name is its issuer's (two clusters have a service account of the same name).
fn marks(signer: &SignerProof) -> Vec<String> {
    match signer {
        SignerProof::Key { fingerprint, .. } => vec![format!("key {fingerprint}")],
        SignerProof::Certificate(facts) => {
            let issuer = facts.identity.issuer.as_deref().unwrap_or_default();
            let names = facts.identity.subjects.iter().map(|name| match name {
                SubjectName::Email(mail) => format!("email {}", mail.to_lowercase()),
                other => format!("{} {other} of {issuer}", other.kind()),
            });
            let key = format!("key {}", facts.key);
            // Who has no name is nobody in particular: all of them are one.
            let nameless = facts.identity.subjects.is_empty().then(|| "no name".to_owned());
            [key].into_iter().chain(nameless).chain(names).collect()
        }
        other => vec![describe(other)],
    }
}
