//! Many policies at once: load them, ask which concern an image, decide.

mod across;
mod evaluate;
mod hint;
mod image_rules;
mod objects;
pub(crate) mod pairing;
mod quorum;
pub(crate) mod signers;

use std::sync::Arc;

use proofmark_types::{ImageRef, KeyReference};
use proofmark_verify::PublicKey;
use serde::Serialize;

use crate::error::PolicyError;
use crate::keys::{KeyAnswers, KeyPlaces, NamedKey, PolicyDraft};
use crate::model::{Check, ImagePlace, Policy, RegistryCredentials, Rule};
use crate::question::{Concern, Decision, ImageFacts, Mode, ObjectQuestion, OnUnreachable, Question, RequestContext};
use crate::read::Read;
use crate::validating::{Exception, ObjectPolicy};
use crate::write::{self, ConvertError};

/// Policies that were understood whole.
#[derive(Clone, Debug)]
pub struct PolicySet {
    policies: Vec<Policy>,
    objects: Vec<Arc<ObjectPolicy>>,
    exceptions: Vec<Exception>,
    no_match: NoMatch,
    named: Vec<NamedKey>,
}

/// What happens to an image that no policy concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoMatch {
    /// It does not run, as in policy-controller.
    #[default]
    Deny,
    /// It runs and the user is warned.
    Warn,
    /// It runs, as in Kyverno.
    Allow,
}

/// Something that a reader of a policy should know: where our reading is safer than that of the peer whose format it is,
/// or a field that something else decides here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The policy.
    pub policy: String,
    /// The file it came from.
    pub file: String,
    /// The note.
    pub text: String,
}

/// One policy, for lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicySummary {
    /// Its name.
    pub name: String,
    /// The kind of document that it was read from.
    pub kind: &'static str,
    /// The file that it was read from.
    pub file: String,
    /// Its rules, by name, with what happens when they are not satisfied: the strictest, where that depends on the namespace.
    pub rules: Vec<(String, Mode)>,
    /// What happens when evidence cannot be fetched.
    pub on_unreachable: OnUnreachable,
}

impl PolicySet {
    /// Reads files of policies, each with the name that messages call it. A file may hold several documents and lists.
    /// Nothing is skipped: whatever is not understood is an error that says where. Keys that are named by where they live
    /// are not opened here: those are errors too, see [`PolicySet::read`].
    pub fn load(files: &[(&str, &[u8])]) -> Result<Self, PolicyError> {
        PolicyDraft::read(files, KeyPlaces::Cluster)?.with_keys(&KeyAnswers::new())
    }

    /// Reads files as [`PolicySet::load`] does, up to the keys that they name by where those live.
    pub fn read<'a>(files: &'a [(&'a str, &'a [u8])], places: KeyPlaces) -> Result<PolicyDraft<'a>, PolicyError> {
        PolicyDraft::read(files, places)
    }

    pub(crate) fn of(read: Read, named: Vec<NamedKey>) -> Self {
        let no_match = read.policies.iter().filter_map(|policy| policy.no_match).min();
        Self {
            policies: read.policies,
            objects: read.objects.into_iter().map(Arc::new).collect(),
            exceptions: read.exceptions,
            no_match: no_match.unwrap_or_default(),
            named,
        }
    }

    /// A set without any policy, in which [`NoMatch`] decides everything.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Read::default(), Vec::new())
    }

    /// The same policies, with another answer for images that none concerns. Where the files say it themselves (the
    /// ConfigMap of policy-controller), they decide.
    #[must_use]
    pub fn with_no_match(mut self, no_match: NoMatch) -> Self {
        if self.policies.iter().all(|policy| policy.no_match.is_none()) {
            self.no_match = no_match;
        }
        self
    }

    /// What must be fetched before [`PolicySet::decide`] can be asked.
    #[must_use]
    pub fn concerns(&self, image: &ImageRef, context: &RequestContext<'_>) -> Concern {
        let mut concern = Concern::default();
        for (policy, rule) in self.rules_for(image, context) {
            if !concern.policies.contains(&policy.name) {
                concern.policies.push(policy.name.clone());
            }
            let evidence = rule.checks.iter().any(|check| match check {
                Check::Evidence(demand) => demand.settled().is_none(),
                Check::ImageAllowed { .. }
                | Check::ImageDenied { .. }
                | Check::NoneIn { .. }
                | Check::SomeIn { .. }
                | Check::DigestRequired { .. } => false,
            });
            concern.needs_evidence |= evidence;
            if evidence {
                for source in &policy.sources {
                    if source != image.repository() && !concern.sources.contains(source) {
                        concern.sources.push(source.clone());
                    }
                }
            }
            // What passes unseen is not looked up, and stays as the policy names it.
            let pin = rule.pin && !rule.passes_unseen();
            concern.needs_digest |= evidence || pin;
            concern.pin |= pin;
        }
        for policy in self.objects_about(image, context) {
            concern.policies.push(policy.name.clone());
            concern.needs_digest = true;
            concern.needs_evidence = true;
            concern.pin |= policy.mutate_digest;
        }
        concern
    }

    /// Whether the image may run here. This is the function that decides it.
    ///
    /// 1. Every rule that concerns the image and the object is found; without any, [`NoMatch`] decides.
    /// 2. Every one is evaluated over the reference and the proofs, independently of the others.
    /// 3. What is not met denies, warns or is recorded, as the rule's mode says. What could not be found out is undecided,
    ///    which denies; a policy may say otherwise for evidence that cannot be fetched.
    ///
    /// Nothing is fetched, and nothing is verified: [`Question::proofs`] is believed because only `verify` can make it.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let mut decision = self.decide_image(question);
        let about = self.objects_about(question.image, question.context);
        if !about.is_empty() {
            // Of the other images of an object nothing is known here: a policy that asks about them is undecided.
            let facts = ImageFacts {
                image: question.image,
                digest: question.digest,
                proofs: question.proofs,
                data: None,
            };
            decision.join(self.decide_policies(
                &about,
                &ObjectQuestion {
                    images: &[facts],
                    context: question.context,
                    now: question.now,
                },
            ));
            decision.policies.dedup();
        }
        decision
    }

    /// As [`PolicySet::decide`], without the policies over whole objects: who knows all images of the object asks
    /// [`PolicySet::decide_object`] about it, once.
    pub fn decide_image(&self, question: &Question<'_>) -> Decision {
        let rules: Vec<_> = self.rules_for(question.image, question.context).collect();
        let mut decision = evaluate::decide(self, &rules, question);
        if rules.is_empty() {
            let about = self.objects_about(question.image, question.context);
            if about.is_empty() {
                evaluate::nothing_matched(&mut decision, self.no_match, question);
            }
            decision.policies.extend(about.iter().map(|policy| policy.name.clone()));
        }
        decision
    }

    /// Every key that some policy names, each once, for the verifier.
    #[must_use]
    pub fn verification_keys(&self) -> Vec<PublicKey> {
        let mut keys: Vec<PublicKey> = Vec::new();
        let of_objects = self.objects.iter().flat_map(|policy| &policy.keys);
        for key in self.policies.iter().flat_map(|policy| &policy.keys).chain(of_objects) {
            if keys.iter().all(|known| known.fingerprint() != key.fingerprint()) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// What readers of these policies should know.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let images = self
            .policies
            .iter()
            .map(|policy| (&policy.name, &policy.file, &policy.notes));
        let objects = self
            .objects
            .iter()
            .map(|policy| (&policy.name, &policy.file, &policy.notes));
        let exceptions = self
            .exceptions
            .iter()
            .map(|exception| (&exception.name, &exception.file, &exception.notes));
        let notes = images
            .chain(objects)
            .chain(exceptions)
            .flat_map(|(policy, file, notes)| {
                notes.iter().map(move |text| Note {
                    policy: policy.clone(),
                    file: file.clone(),
                    text: text.clone(),
                })
            });
        let only_here = self
            .named
            .iter()
            .filter(|key| matches!(key.reference, KeyReference::File(_) | KeyReference::Environment(_)));
        let local = only_here.map(|key| Note {
            policy: key.place.policy.clone(),
            file: key.place.file.clone(),
            text: format!(
                "{}: {} is read of this machine; the admission webhook refuses it",
                key.place.path, key.reference
            ),
        });
        notes.chain(local).collect()
    }

    /// The keys that policies name by where they live, and what was found there; one for each field that names one.
    #[must_use]
    pub fn named_keys(&self) -> &[NamedKey] {
        &self.named
    }

    /// Each policy as a document of our own format, with the name that it had: what is written decides the same.
    pub fn convert(&self) -> Result<Vec<serde_json::Value>, ConvertError> {
        let one = |policy: &Policy| {
            let of_policy = self.named.iter().filter(|key| {
                key.place.policy == policy.name || policy.name.ends_with(&format!("/{}", key.place.policy))
            });
            let named = of_policy
                .map(|key| (key.fingerprint.to_string(), key.reference.to_string()))
                .collect();
            if let Some(no_match) = policy.no_match {
                return Err(ConvertError::NoWords {
                    policy: policy.name.clone(),
                    what: format!("no-match-policy ({no_match:?}), which --allow-unmatched of the webhook says,"),
                });
            }
            write::document(&write::Writer::new(policy, named), policy)
        };
        let beside = self
            .objects
            .first()
            .map(|policy| (&policy.name, "a policy over whole objects (ImageValidatingPolicy)"));
        let exception = self
            .exceptions
            .first()
            .map(|exception| (&exception.name, "an exception"));
        if let Some((policy, what)) = beside.or(exception) {
            return Err(ConvertError::NoWords {
                policy: policy.clone(),
                what: what.to_owned(),
            });
        }
        self.policies.iter().map(one).collect()
    }

    /// Where custom resources name images, as the policies say it.
    #[must_use]
    pub fn image_places(&self) -> Vec<ImagePlace> {
        let places = self.policies.iter().flat_map(|policy| &policy.image_places);
        places.cloned().collect()
    }

    /// Which registry credentials the policies ask for.
    #[must_use]
    pub fn credentials(&self) -> Vec<RegistryCredentials> {
        let wishes = self.policies.iter().flat_map(|policy| &policy.credentials);
        let of_objects = self.objects.iter().flat_map(|policy| &policy.credentials);
        wishes.chain(of_objects).cloned().collect()
    }

    /// The policies, in the order of the files.
    #[must_use]
    pub fn summaries(&self) -> Vec<PolicySummary> {
        let summaries = self.policies.iter().map(|policy| PolicySummary {
            name: policy.name.clone(),
            kind: policy.format.kind(),
            file: policy.file.clone(),
            rules: policy
                .rules
                .iter()
                .map(|rule| (rule.name.clone(), rule.all_modes().min().unwrap_or_default()))
                .collect(),
            on_unreachable: policy.on_unreachable,
        });
        let objects = self.objects.iter().map(|policy| PolicySummary {
            name: policy.name.clone(),
            kind: policy.format.kind(),
            file: policy.file.clone(),
            rules: policy.parts().into_iter().map(|part| (part, policy.mode)).collect(),
            on_unreachable: OnUnreachable::Deny,
        });
        summaries.chain(objects).collect()
    }

    /// What happens to an image that no policy concerns.
    #[must_use]
    pub fn no_match(&self) -> NoMatch {
        self.no_match
    }

    fn rules_for<'a>(
        &'a self,
        image: &'a ImageRef,
        context: &'a RequestContext<'a>,
    ) -> impl Iterator<Item = (&'a Policy, &'a Rule)> {
        self.policies
            .iter()
            .flat_map(|policy| policy.rules.iter().map(move |rule| (policy, rule)))
            .filter(|(_, rule)| rule.concerns(image, context))
    }
}
