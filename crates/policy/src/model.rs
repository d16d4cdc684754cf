//! The one model that every format is read into.
//!
//! A policy is a list of rules. A rule says which objects and which images it concerns, and what must hold for them. All
//! rules that concern an image must hold.

use proofmark_types::ImageRef;
use proofmark_verify::PublicKey;

use crate::condition::Condition;
use crate::image_pattern::ImagePattern;
use crate::question::{Mode, OnUnreachable, Operation, RequestContext};
use crate::requirement::Requirement;
use crate::text::wildcard;

/// The format that a policy was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Native,
    Kyverno,
    ClusterImagePolicy,
}

impl Format {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Native => "ImagePolicy",
            Self::Kyverno => "ClusterPolicy",
            Self::ClusterImagePolicy => "ClusterImagePolicy",
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
}

impl Policy {
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
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) mode: Mode,
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

    /// Whether the rule lets everything through that it concerns: then it concerns only what it names beyond doubt.
    pub(crate) fn passes_unseen(&self) -> bool {
        self.checks.iter().all(|check| match check {
            Check::Evidence(demand) => demand.settled() == Some(true),
            Check::ImageAllowed { .. } | Check::DigestRequired { .. } => false,
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

/// Which objects a rule concerns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) include: Option<Filters>,
    pub(crate) exclude: Option<Filters>,
}

#[derive(Clone, Debug)]
pub(crate) enum Filters {
    Any(Vec<Filter>),
    All(Vec<Filter>),
}

/// Every list that is not empty must match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) kinds: Vec<String>,
    pub(crate) namespaces: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) operations: Vec<Operation>,
}

/// What a filter says about an object of which not everything is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    No,
    Unknown,
    Yes,
}

impl Scope {
    fn covers(&self, context: &RequestContext<'_>) -> bool {
        let included = self
            .include
            .as_ref()
            .map_or(Known::Yes, |filters| filters.matches(context));
        let excluded = self
            .exclude
            .as_ref()
            .map_or(Known::No, |filters| filters.matches(context));
        included != Known::No && excluded != Known::Yes
    }
}

impl Filters {
    fn matches(&self, context: &RequestContext<'_>) -> Known {
        match self {
            Self::Any(filters) => filters
                .iter()
                .map(|filter| filter.matches(context))
                .max()
                .unwrap_or(Known::No),
            Self::All(filters) => filters
                .iter()
                .map(|filter| filter.matches(context))
                .min()
                .unwrap_or(Known::Yes),
        }
    }
}

impl Filter {
    fn matches(&self, context: &RequestContext<'_>) -> Known {
        let any = |patterns: &[String], seen: Option<&str>| match seen {
            _ if patterns.is_empty() => Known::Yes,
            None => Known::Unknown,
            Some(seen) if patterns.iter().any(|pattern| wildcard(pattern, seen)) => Known::Yes,
            Some(_) => Known::No,
        };
        let operation = match context.operation {
            _ if self.operations.is_empty() => Known::Yes,
            None => Known::Unknown,
            Some(seen) if self.operations.contains(&seen) => Known::Yes,
            Some(_) => Known::No,
        };
        any(&self.kinds, context.kind)
            .min(any(&self.namespaces, context.namespace))
            .min(any(&self.names, context.name))
            .min(operation)
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
            Self::DigestRequired { .. } | Self::Evidence(_) => &[],
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
            Self::Quorum(_) => None,
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
