//! What is asked of a set of policies, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proofmark_types::{Digest, ImageRef, Repository, UnixTime};
use proofmark_verify::Proofs;
use serde::Serialize;
use serde_json::Value;

/// May this image run here? Everything that the answer may depend on; nothing else is consulted.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The image as the object names it.
    pub image: &'a ImageRef,
    /// What the reference was resolved to, once; absent where it could not be resolved or nothing needed it.
    pub digest: Option<&'a Digest>,
    /// What is proven about [`Question::digest`], or why nobody could find out.
    pub proofs: Result<&'a Proofs, &'a Unavailable>,
    /// What is proven about the index through which the reference was resolved, where `digest` is a child of one.
    /// A child that was named by its own digest has none: it needs its own signature.
    pub index_proofs: Option<&'a Proofs>,
    /// What is proven about the digest by what lies in [`Concern::sources`], one for each that was looked at.
    pub elsewhere: &'a [Result<&'a Proofs, &'a Unavailable>],
    /// What was proven about the same digest earlier, for policies that say `onUnreachable: allow-held`. Used only when
    /// `proofs` is an error.
    pub held: Option<&'a Proofs>,
    /// Where the image is to run.
    pub context: &'a RequestContext<'a>,
    /// The time of the decision.
    pub now: UnixTime,
}

/// May this object be stored? For policies over objects, which look at all its images together.
#[derive(Clone, Copy, Debug)]
pub struct ObjectQuestion<'a> {
    /// What is known about its images: at least those of [`ObjectConcern::images`]. What is not here is undecided.
    pub images: &'a [ImageFacts<'a>],
    /// The object and the request; without an object, it is a question about a Pod of the only image.
    pub context: &'a RequestContext<'a>,
    /// The time of the decision.
    pub now: UnixTime,
}

impl<'a> ObjectQuestion<'a> {
    /// The image of a question without an object.
    pub(crate) fn single(&self) -> Option<&'a ImageRef> {
        match (self.context.object, self.images) {
            (None, [only]) => Some(only.image),
            _ => None,
        }
    }
}

/// What is known about one image of an object.
#[derive(Clone, Copy, Debug)]
pub struct ImageFacts<'a> {
    /// The image as the object names it.
    pub image: &'a ImageRef,
    /// What it was resolved to.
    pub digest: Option<&'a Digest>,
    /// What is proven about that, or why nobody could find out.
    pub proofs: Result<&'a Proofs, &'a Unavailable>,
    /// Manifest, configuration and names, for policies that look into images ([`ObjectConcern::needs_data`]).
    pub data: Option<&'a Value>,
}

/// What must be known before [`crate::PolicySet::decide_object`] can be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectConcern {
    /// The policies over objects that concern the request, by name.
    pub policies: Vec<String>,
    /// The images that they ask about, as the object names them: each must be resolved, its evidence verified.
    pub images: Vec<String>,
    /// Some policy looks into manifests or configurations.
    pub needs_data: bool,
    /// The policies by position, with the images that each is about in their long form.
    pub(crate) planned: Vec<PlannedPolicy>,
}

/// A policy over objects that concerns a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedPolicy {
    pub(crate) position: usize,
    /// None where it cannot be told: then it is about every image, and deciding says why.
    pub(crate) images: Option<BTreeSet<String>>,
}

/// Where an image is to run. What is not known is absent, and a policy that is limited by it then applies.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestContext<'a> {
    /// The namespace of the object.
    pub namespace: Option<&'a str>,
    /// The kind of the object: `Pod`, `Deployment`, …
    pub kind: Option<&'a str>,
    /// The name of the object; generated names are not known yet.
    pub name: Option<&'a str>,
    /// What is being done to the object.
    pub operation: Option<Operation>,
    /// The object itself.
    pub object: Option<&'a Value>,
    /// The object as it is stored, where it is changed.
    pub old_object: Option<&'a Value>,
    /// The labels of the namespace.
    pub namespace_labels: Option<&'a BTreeMap<String, String>>,
    /// Who asks.
    pub user: Option<User<'a>>,
    /// The admission request without its objects, for expressions that ask how and by whom: `resource`, `subResource`,
    /// `userInfo`, …
    pub request: Option<&'a Value>,
    /// What the policies over objects ask about, where it was found out once for all images of the object; who gives it
    /// asks [`crate::PolicySet::decide_object`] too.
    pub objects: Option<&'a ObjectConcern>,
}

/// Who asks the API server.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The name; of a service account `system:serviceaccount:NAMESPACE:NAME`.
    pub name: &'a str,
    /// The groups.
    pub groups: &'a [String],
}

/// What an admission request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// A new object.
    Create,
    /// A change to an object.
    Update,
    /// The end of an object.
    Delete,
    /// A connection to an object, such as `kubectl exec`.
    Connect,
}

impl Operation {
    /// The word that Kubernetes uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// Why there are no proofs: the registry could not be reached, refused the credentials, took too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// A stable code, of the room that failed.
    pub code: String,
    /// What happened, in words.
    pub reason: String,
}

impl Unavailable {
    /// Whether nobody answered, or nobody who would say. A registry that answers with something else than a registry
    /// answers, that has no such image, or whose evidence cannot be verified without a fault, is not out of reach: whoever
    /// pushes to it could choose that answer. Nor is one out of reach that answers and has more than can be read in time.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        const OUTAGES: [&str; 8] = [
            "unreachable",
            "timeout",
            "deadline",
            "throttled",
            "unexpected-status",
            "unauthorized",
            "denied",
            "credentials",
        ];
        OUTAGES.contains(&self.code.as_str())
    }
}

/// What must be fetched before [`crate::PolicySet::decide`] can be asked about an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concern {
    /// The policies that concern the image, by name.
    pub policies: Vec<String>,
    /// Some rule needs the digest that the reference stands for.
    pub needs_digest: bool,
    /// Some rule needs the evidence to be fetched and verified.
    pub needs_evidence: bool,
    /// Repositories beside the image's own in which evidence lies ([`Question::elsewhere`]).
    pub sources: Vec<Repository>,
    /// Some policy wants the tag replaced by the digest in Pods.
    pub pin: bool,
}

impl Concern {
    /// Whether no policy says anything about the image. What then happens is [`crate::NoMatch`]; `decide` applies it.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.policies.is_empty()
    }
}

/// The answer.
#[must_use]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// Whether the image may run. Only [`Outcome::Pass`] is a pass.
    pub outcome: Outcome,
    /// Everything that was not met, of every policy whatever its mode.
    pub reasons: Vec<DecisionReason>,
    /// What the user is to be told though the image may run.
    pub warnings: Vec<String>,
    /// What is to be recorded in the audit annotations, by key.
    pub audit: BTreeMap<String, String>,
    /// What was accepted, and by which policy.
    pub accepted: Vec<Accepted>,
    /// The policies that concerned the image.
    pub policies: Vec<String>,
    /// The exceptions that were applied, in words: by name, from which policy, and what each left alone.
    pub exceptions: Vec<String>,
}

impl Decision {
    /// Nothing found against it yet.
    pub(crate) fn open() -> Self {
        Self {
            outcome: Outcome::Pass,
            reasons: Vec::new(),
            warnings: Vec::new(),
            audit: BTreeMap::new(),
            accepted: Vec::new(),
            policies: Vec::new(),
            exceptions: Vec::new(),
        }
    }

    /// Whether the image may run.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        self.outcome == Outcome::Pass
    }

    /// The reasons that a user has to act on, one line each: those of enforcing policies.
    pub fn denials(&self) -> impl Iterator<Item = &DecisionReason> {
        self.reasons.iter().filter(|reason| reason.mode == Mode::Enforce)
    }
}

/// The three values of a verdict; only `Pass` is a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every enforcing policy that concerns the image is satisfied.
    Pass,
    /// Some enforcing policy could not be evaluated, and none said no.
    Undecided,
    /// Some enforcing policy says no.
    Fail,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Undecided => "undecided",
            Self::Fail => "fail",
        })
    }
}

/// What happens when a policy is not satisfied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The image does not run.
    #[default]
    Enforce,
    /// The image runs and the user is warned.
    Warn,
    /// The image runs and the finding is recorded in the audit annotations.
    Audit,
}

/// What happens when the evidence cannot be fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnreachable {
    /// The policy is undecided, which denies.
    #[default]
    Deny,
    /// Evidence that was verified for the same digest earlier decides; without any, as `Deny`.
    AllowHeld,
    /// The image runs and the user is warned, if the registry is out of reach ([`Unavailable::is_outage`]).
    Warn,
}

/// One thing that was not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionReason {
    /// The policy.
    pub policy: String,
    /// The rule within it.
    pub rule: String,
    /// Whether this denies, warns or is recorded.
    pub mode: Mode,
    /// Stable, kebab-case.
    pub code: String,
    /// What was expected and what was seen.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Whether this could not be found out, as opposed to found out to be wrong.
    pub undecided: bool,
}

impl fmt::Display for DecisionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {} [{}]", self.policy, self.rule, self.message, self.code)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// A piece of evidence that satisfied a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// The policy.
    pub policy: String,
    /// The rule within it.
    pub rule: String,
    /// What it satisfied within the rule.
    pub demand: String,
    /// Who signed.
    pub signer: String,
    /// Where the evidence was found.
    pub origin: String,
    /// The predicate type, for attestations.
    pub predicate_type: Option<String>,
    /// Of which object it speaks.
    pub via: Via,
}

/// Whether the image itself was signed or the index through which it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The digest itself.
    Image,
    /// The index through which the reference was resolved.
    Index,
    /// Evidence for the digest itself that was verified earlier; the registry is unreachable now.
    Held,
}
