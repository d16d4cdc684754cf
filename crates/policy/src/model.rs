//! The one model that every format is read into.
//!
//! A policy is a list of rules. A rule says which objects and which images it concerns, and what must hold for them. All
//! rules that concern an image must hold.

use proofmark_types::{ImageRef, Repository};
use proofmark_verify::PublicKey;
use serde::Serialize;

use crate::condition::{Block, Condition};
use crate::image_pattern::ImagePattern;
use crate::question::{Mode, OnUnreachable, RequestContext};
use crate::requirement::Requirement;
use crate::scope::{Filter, Known, Scope};
use crate::set::NoMatch;

/// The format that a policy was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Native,
    Kyverno,
    /// Kyverno's `Policy` of one namespace.
    KyvernoNamespaced,
    ClusterImagePolicy,
    ImageValidating,
    NamespacedImageValidating,
    /// The ConfigMap of policy-controller.
    ControllerConfig,
}

impl Format {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Native => "ImagePolicy",
            Self::Kyverno => "ClusterPolicy",
            Self::KyvernoNamespaced => "Policy",
            Self::ClusterImagePolicy => "ClusterImagePolicy",
            Self::ImageValidating => "ImageValidatingPolicy",
            Self::NamespacedImageValidating => "NamespacedImageValidatingPolicy",
            Self::ControllerConfig => "ConfigMap",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// The file it came from, for messages.
    pub(crate) file: String,
    pub(crate) on_unreachable: OnUnreachable,
    pub(crate) rules: Vec<Rule>,
    /// Keys that its signers need, for the verifier.
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) notes: Vec<String>,
    /// What it says of images that no policy concerns.
    pub(crate) no_match: Option<NoMatch>,
    /// Where custom resources name images.
    pub(crate) image_places: Vec<ImagePlace>,
    /// Repositories in which evidence lies, beside the images' own.
    pub(crate) sources: Vec<Repository>,
    /// What it says about credentials.
    pub(crate) credentials: Vec<RegistryCredentials>,
}

/// Where objects of a kind name images, as a policy says it (Kyverno's `imageExtractors`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImagePlace {
    /// The policy.
    pub policy: String,
    /// The kind, as in `Task` or `tekton.dev/v1/Task`.
    pub kind: String,
    /// A JSON pointer to the image, in which `*` stands for each element of a list or each value of a mapping.
    pub path: String,
}

/// Which credentials a policy asks for (Kyverno's `imageRegistryCredentials`); whoever fetches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RegistryCredentials {
    /// The policy.
    pub policy: String,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// `default`, `amazon`, `azure`, `google`, `github`.
    pub providers: Vec<String>,
    /// Secrets: `name`, or `namespace/name`.
    pub secrets: Vec<String>,
}

impl Policy {
    /// A policy without any rule yet.
    pub(crate) fn new(name: String, format: Format, file: String) -> Self {
        Self {
            name,
            format,
            file,
            on_unreachable: OnUnreachable::Deny,
            rules: Vec::new(),
            keys: Vec::new(),
            notes: Vec::new(),
            no_match: None,
            image_places: Vec::new(),
            sources: Vec::new(),
            credentials: Vec::new(),
        }
    }

    /// Adds a note, once.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Notes what tags in its patterns mean: they name what moves, and beside a digest nobody resolves them.
    pub(crate) fn note_tags(&mut self) {
        let mut found = Vec::new();
        for rule in &self.rules {
            let unseen = rule.passes_unseen();
            for pattern in rule.images.include.iter().filter(|pattern| pattern.names_tag()) {
                found.push(if unseen {
                    format!("\"{pattern}\" is about some tags: no reference with a digest is let through by it")
                } else {
                    format!(
                        "\"{pattern}\" is about some tags: every reference with a digest is concerned, whatever tag stands beside it; a reference by another tag alone is not concerned, although that tag may be the same image"
                    )
                });
            }
            for pattern in rule.images.exclude.iter().filter(|pattern| pattern.names_tag()) {
                found.push(format!(
                    "\"{pattern}\" is about some tags: no reference with a digest is excluded by it"
                ));
            }
            for pattern in rule
                .checks
                .iter()
                .flat_map(Check::allowed)
                .filter(|pattern| pattern.names_tag())
            {
                found.push(format!(
                    "\"{pattern}\" is about some tags: a tag beside a digest is taken as it is written, and nobody resolves it; where it matters what the image is, ask for a signature"
                ));
            }
        }
        for note in found {
            self.note(note);
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// The first that matches takes the place of `mode`.
    pub(crate) modes: Vec<(Filter, Mode)>,
    pub(crate) scope: Scope,
    pub(crate) images: ImageSelector,
    /// All must hold.
    pub(crate) checks: Vec<Check>,
    /// Whether tags are to be replaced by digests in Pods.
    pub(crate) pin: bool,
}

impl Rule {
    pub(crate) fn concerns(&self, image: &ImageRef, context: &RequestContext<'_>) -> bool {
        self.scope.covers(context) && self.images.selects(image, self.passes_unseen())
    }

    /// What happens here when the rule is not satisfied: as the first matching override says, or the rule itself. Where it
    /// is not known whether an override matches, the stricter of what is possible.
    pub(crate) fn mode(&self, context: &RequestContext<'_>) -> Mode {
        let mut possible: Option<Mode> = None;
        let strictest = |possible: Option<Mode>, mode: Mode| Some(possible.map_or(mode, |known| known.min(mode)));
        for (filter, mode) in &self.modes {
            match filter.matches(context) {
                Known::Yes => return possible.map_or(*mode, |known| known.min(*mode)),
                Known::Unknown => possible = strictest(possible, *mode),
                Known::No => {}
            }
        }
        possible.map_or(self.mode, |known| known.min(self.mode))
    }

    /// Every mode that the rule can have.
    pub(crate) fn all_modes(&self) -> impl Iterator<Item = Mode> {
        std::iter::once(self.mode).chain(self.modes.iter().map(|(_, mode)| *mode))
    }

    /// Whether the rule lets everything through that it concerns: then it concerns only what it names beyond doubt.
    pub(crate) fn passes_unseen(&self) -> bool {
        self.checks.iter().all(|check| match check {
            Check::Evidence(demand) => demand.settled() == Some(true),
            Check::ImageAllowed { .. }
            | Check::ImageDenied { .. }
            | Check::NoneIn { .. }
            | Check::SomeIn { .. }
            | Check::DigestRequired { .. } => false,
        })
    }
}

/// Which images a rule concerns.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageSelector {
    /// Any of these.
    pub(crate) include: Vec<ImagePattern>,
    /// None of these.
    pub(crate) exclude: Vec<ImagePattern>,
}

impl ImageSelector {
    fn selects(&self, image: &ImageRef, strictly: bool) -> bool {
        let included = self.include.iter().any(|pattern| {
            if strictly {
                pattern.exempts(image)
            } else {
                pattern.selects(image)
            }
        });
        // What is excluded is let through by this rule, so that it must be named beyond doubt.
        included && !self.exclude.iter().any(|pattern| pattern.exempts(image))
    }
}

/// Something that must hold of an image.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    /// The reference is one of those allowed.
    ImageAllowed {
        /// Any of these choices.
        choices: Vec<Choice>,
        /// What the policy's author wants said.
        message: Option<String>,
    },
    /// None of these conditions over the reference and the request holds.
    ImageDenied {
        /// Denied where every block holds.
        blocks: Vec<Block>,
        /// What the policy's author wants said.
        message: Option<String>,
    },
    /// The Pod has nothing in this list.
    NoneIn {
        /// `initContainers` or the like.
        list: &'static str,
        /// What the policy's author wants said.
        message: Option<String>,
    },
    /// At least one container of this list has an allowed image.
    SomeIn {
        /// `containers` or the like.
        list: &'static str,
        /// Any of these choices.
        choices: Vec<Choice>,
        /// What the policy's author wants said.
        message: Option<String>,
    },
    /// The reference has a digest.
    DigestRequired {
        /// Only in Pods: templates are pinned when their Pods are made.
        pods_only: bool,
    },
    /// Something is proven about the digest.
    Evidence(Demand),
}

impl Check {
    /// The patterns that let an image through.
    fn allowed(&self) -> impl Iterator<Item = &ImagePattern> {
        let choices = match self {
            Self::ImageAllowed { choices, .. } => choices.as_slice(),
            Self::ImageDenied { .. }
            | Self::NoneIn { .. }
            | Self::SomeIn { .. }
            | Self::DigestRequired { .. }
            | Self::Evidence(_) => &[],
        };
        choices.iter().flat_map(|choice| &choice.all)
    }
}

/// Patterns that must all match, and some that must not (Kyverno: `a & !b`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) all: Vec<ImagePattern>,
    pub(crate) none: Vec<ImagePattern>,
}

impl Choice {
    pub(crate) fn allows(&self, image: &ImageRef) -> bool {
        self.all.iter().all(|pattern| pattern.allows(image)) && !self.none.iter().any(|pattern| pattern.denies(image))
    }
}

/// What must be proven.
#[derive(Clone, Debug)]
pub(crate) enum Demand {
    All(Vec<Self>),
    Any(Vec<Self>),
    Quorum(Quorum),
    /// Conditions across several attestations of one image.
    Across(Across),
    /// Decided without looking.
    Static {
        pass: bool,
        message: Option<String>,
    },
}

impl Demand {
    /// The answer, where no evidence is needed for it (policy-controller#1863: a static pass must not touch a registry).
    pub(crate) fn settled(&self) -> Option<bool> {
        match self {
            Self::Static { pass, .. } => Some(*pass),
            Self::Quorum(_) | Self::Across(_) => None,
            Self::All(parts) => {
                let parts: Vec<_> = parts.iter().map(Self::settled).collect();
                if parts.contains(&Some(false)) {
                    Some(false)
                } else {
                    parts.iter().all(|part| *part == Some(true)).then_some(true)
                }
            }
            Self::Any(parts) => {
                let parts: Vec<_> = parts.iter().map(Self::settled).collect();
                if parts.contains(&Some(true)) {
                    Some(true)
                } else {
                    parts.iter().all(|part| *part == Some(false)).then_some(false)
                }
            }
        }
    }
}

/// Several attestations by name, and what must not hold of them together.
#[derive(Clone, Debug)]
pub(crate) struct Across {
    /// By name: what accepts them, any of these.
    pub(crate) attestations: Vec<(String, Vec<Requirement>)>,
    /// Denied where every block holds over the predicates.
    pub(crate) blocks: Vec<Block>,
    /// What the policy's author wants said.
    pub(crate) message: Option<String>,
}

/// So many different signers of those named, each with evidence that meets the conditions.
#[derive(Clone, Debug)]
pub(crate) struct Quorum {
    /// For messages: `signature`, `attestation sbom`, `authority release-key`.
    pub(crate) name: String,
    pub(crate) count: usize,
    /// One for each signer.
    pub(crate) slots: Vec<Slot>,
    /// What the predicate must be like.
    pub(crate) conditions: Vec<Condition>,
    /// Whether every attestation by an accepted signer must meet the conditions, or one is enough.
    pub(crate) every: bool,
}

/// One signer of a quorum.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) requirement: Requirement,
}
