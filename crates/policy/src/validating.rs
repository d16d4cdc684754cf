//! Policies over whole objects: Kyverno's `ImageValidatingPolicy`, in which CEL says what must hold of all images together.
//!
//! Nothing is fetched while an expression runs. What it may ask for is gathered before ([`ObjectPolicy::wants`]) and laid
//! out in a table: for each image who has signed it, of the attestors that the policy names. Functions look things up in
//! that table; what is not in it is an error, and an error is a refusal.

mod evaluate;
mod expression;
mod functions;
mod images;
mod matching;
pub(crate) mod surface;
mod table;

use cel::ExecutionError;
use proofmark_evidence::predicate::PredicateType;
use proofmark_types::{ImageRef, UnixTime};
use proofmark_verify::PublicKey;

use crate::image_pattern::ImagePattern;
use crate::model::{Format, RegistryCredentials};
use crate::question::Mode;
use crate::requirement::Requirement;
use crate::scope::Filters;
use crate::text::wildcard;

pub(crate) use evaluate::{Run, Verified, evaluate};
pub(crate) use expression::{Expression, constant};
pub(crate) use images::categories;
pub(crate) use matching::{Constraints, Controller, ResourceRule, Scoped, listed};
pub(crate) use table::{Call, of_attestation};

/// One policy, understood whole.
#[derive(Clone, Debug)]
pub(crate) struct ObjectPolicy {
    /// With the namespace before it, if it is bound to one.
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) file: String,
    /// The only namespace that it is about.
    pub(crate) namespace: Option<String>,
    pub(crate) mode: Mode,
    /// Warned about and recorded too (`validationActions: [Warn, Audit]`).
    pub(crate) also_audit: bool,
    pub(crate) constraints: Constraints,
    pub(crate) conditions: Vec<Named>,
    /// Any of these; all images, if there are none.
    pub(crate) references: Vec<Reference>,
    pub(crate) extractors: Vec<Named>,
    pub(crate) variables: Vec<Named>,
    pub(crate) attestors: Vec<Attestor>,
    pub(crate) attestations: Vec<(String, PredicateType)>,
    pub(crate) validations: Vec<Validation>,
    pub(crate) audit: Vec<Named>,
    pub(crate) mutate_digest: bool,
    pub(crate) verify_digest: bool,
    pub(crate) required: bool,
    pub(crate) keys: Vec<PublicKey>,
    /// What it says about credentials.
    pub(crate) credentials: Vec<RegistryCredentials>,
    pub(crate) notes: Vec<String>,
}

/// An expression under a name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) expression: Expression,
}

/// Someone who may vouch.
#[derive(Clone, Debug)]
pub(crate) struct Attestor {
    pub(crate) name: String,
    /// For a signature; for attestations what is wanted is put in its place.
    pub(crate) requirement: Requirement,
}

/// Something that must hold.
#[derive(Clone, Debug)]
pub(crate) struct Validation {
    pub(crate) expression: Expression,
    pub(crate) message: Option<String>,
    pub(crate) message_expression: Option<Expression>,
    /// What a machine is to be told (`Forbidden`, `Invalid`, …).
    pub(crate) reason: Option<String>,
}

/// Which images a policy is about.
#[derive(Clone, Debug)]
pub(crate) enum Reference {
    Glob {
        source: String,
        patterns: Vec<ImagePattern>,
    },
    Expression(Expression),
}

impl Reference {
    fn selects(&self, image: &ImageRef, written: &str) -> bool {
        let Self::Glob { source, patterns } = self else {
            return false;
        };
        let long = image.to_string();
        patterns.iter().any(|pattern| pattern.selects(image))
            || [written, &long].iter().any(|text| wildcard(source, text))
    }
}

impl ObjectPolicy {
    /// Whether expressions look into manifests or configurations of images.
    pub(crate) fn wants_data(&self) -> bool {
        const FUNCTIONS: [&str; 3] = ["getImageData", "image.GetMetadata", "image.getMetadata"];
        self.expressions().any(|expression| expression.calls(&FUNCTIONS))
    }

    fn wants_payloads(&self) -> bool {
        self.expressions()
            .any(|expression| expression.calls(&["extractPayload"]))
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let named = self.variables.iter().chain(&self.audit).map(|named| &named.expression);
        let validations = self
            .validations
            .iter()
            .flat_map(|validation| [Some(&validation.expression), validation.message_expression.as_ref()])
            .flatten();
        named.chain(validations)
    }

    /// Whether the policy is about this image, by what it says of references. Better one too many: what is read is the
    /// reference as it is written and in its long form, and patterns as all other policies' are.
    pub(crate) fn is_about(&self, image: &ImageRef, written: &str) -> Result<bool, Fault> {
        if self.references.is_empty() {
            return Ok(true);
        }
        for reference in &self.references {
            let about = match reference {
                Reference::Glob { .. } => reference.selects(image, written),
                Reference::Expression(expression) => {
                    images::holds(expression, written)? || images::holds(expression, &image.to_string())?
                }
            };
            if about {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether patterns alone say that the policy is not about an image.
    fn leaves_out(&self, image: &ImageRef, written: &str) -> bool {
        let patterns_only = |reference: &Reference| matches!(reference, Reference::Glob { .. });
        !self.references.is_empty()
            && self.references.iter().all(patterns_only)
            && !self
                .references
                .iter()
                .any(|reference| reference.selects(image, written))
    }

    /// What summaries call its parts.
    pub(crate) fn parts(&self) -> Vec<String> {
        let validations = (0..self.validations.len()).map(validation_name);
        let digest = self.verify_digest.then(|| VERIFY_DIGEST.to_owned());
        let required = self.required.then(|| REQUIRED.to_owned());
        validations.chain(digest).chain(required).collect()
    }
}

const VERIFY_DIGEST: &str = "verifyDigest";
pub(crate) const REQUIRED: &str = "required";

fn validation_name(position: usize) -> String {
    format!("validations[{position}]")
}

/// Why nothing could be decided, or not in the image's favour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Nobody could find out, as opposed to found out to be wrong.
    pub(crate) undecided: bool,
}

/// The longest message taken from the interpreter: it repeats values.
const MAX_MESSAGE_CHARS: usize = 400;

impl Fault {
    pub(crate) fn expression(message: String) -> Self {
        Self {
            code: "condition-error",
            message,
            undecided: false,
        }
    }

    fn of_evaluation(source: &str, error: &ExecutionError) -> Self {
        let shorten = |text: &str| -> String { text.chars().take(MAX_MESSAGE_CHARS).collect() };
        Self::expression(format!(
            "evaluating {} fails: {}",
            shorten(source),
            shorten(&error.to_string())
        ))
    }
}

/// An object that a policy leaves alone, in part or whole (`policies.kyverno.io`, `PolicyException`).
#[derive(Clone, Debug)]
pub(crate) struct Exception {
    /// With its namespace.
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) to: Excepted,
    pub(crate) expires: Option<UnixTime>,
    pub(crate) notes: Vec<String>,
}

/// What an exception is from.
#[derive(Clone, Debug)]
pub(crate) enum Excepted {
    /// Rules of `ClusterPolicy` (`kyverno.io/v2`): policy and rules, and which objects.
    Rules {
        rules: Vec<(String, Vec<String>)>,
        objects: Filters,
    },
    /// Policies over objects.
    Objects(Box<ObjectException>),
}

/// An exception from policies over objects.
#[derive(Clone, Debug)]
pub(crate) struct ObjectException {
    /// Their kind and name; with a namespace before it, if the kind has one.
    pub(crate) policies: Vec<(Format, String)>,
    pub(crate) conditions: Vec<Named>,
    /// Only these images are left alone.
    pub(crate) images: Vec<ImagePattern>,
    /// What expressions see as `exceptions.allowedValues`; nothing is left alone beside that.
    pub(crate) allowed_values: Vec<String>,
}

impl Exception {
    pub(crate) fn is_in_force(&self, now: UnixTime) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}
