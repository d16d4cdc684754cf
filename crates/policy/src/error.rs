//! Why a file is not a set of policies.

use std::fmt;

use proofmark_types::KeyReferenceError;
use proofmark_verify::KeyError;
use thiserror::Error;

use crate::condition::ConditionError;
use crate::image_pattern::PatternError;
use crate::text::TextError;

/// Where in which file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The name of the file, as it was given to [`crate::PolicySet::load`].
    pub file: String,
    /// The policy, if the reader had come that far.
    pub policy: String,
    /// The path of the field, such as `spec.rules[0].verifyImages[0].attestors`.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if !self.policy.is_empty() {
            write!(f, " ({})", self.policy)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        Ok(())
    }
}

/// Why a file is not a set of policies. A policy that is not understood whole is not loaded at all: a field that is
/// skipped is a rule that is not enforced (CVE-2025-29778).
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file is larger than policies are.
    #[error("{place}: {size} bytes, at most {limit} are read")]
    TooLarge {
        /// The file.
        place: Place,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Not YAML, or YAML beyond the limits on nesting, nodes and aliases, or with a key twice.
    #[error("{place}: {reason}")]
    Yaml {
        /// The file.
        place: Place,
        /// What the parser said, with line and column.
        reason: String,
    },
    /// A document of another kind; policies are not mixed with other objects, so that none is passed over.
    #[error(
        "{place}: {kind} of {api_version} is no policy that can be read; expected ImagePolicy (proofmark.dev/v1alpha1), ClusterPolicy (kyverno.io/v1), ImageValidatingPolicy, NamespacedImageValidatingPolicy or PolicyException (policies.kyverno.io/v1, v1beta1 or v1alpha1), PolicyException (kyverno.io/v2) or ClusterImagePolicy (policy.sigstore.dev/v1beta1 or v1alpha1)"
    )]
    Kind {
        /// The document.
        place: Place,
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
    /// A field that the format does not have; probably a typing error.
    #[error("{place}: unknown field \"{field}\"{}", nearest.as_ref().map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default())]
    UnknownField {
        /// The object that has it.
        place: Place,
        /// The field.
        field: String,
        /// The known field that is spelled most like it.
        nearest: Option<String>,
    },
    /// A field that the format has and this version does not carry out.
    #[error("{place}: this field is not supported: {reason}")]
    Unsupported {
        /// The field.
        place: Place,
        /// What to do instead.
        reason: String,
    },
    /// A field that must be there is not.
    #[error("{place}: missing; expected {expected}")]
    Missing {
        /// The field.
        place: Place,
        /// What it should hold.
        expected: String,
    },
    /// A value of the wrong type, or not one of those allowed.
    #[error("{place}: expected {expected}, got {seen}")]
    Value {
        /// The field.
        place: Place,
        /// What it should hold.
        expected: String,
        /// What it holds.
        seen: String,
    },
    /// A pattern over images that is not accepted.
    #[error("{place}: {error}")]
    Pattern {
        /// The field.
        place: Place,
        /// Why.
        error: PatternError,
    },
    /// A pattern over identities that is not accepted.
    #[error("{place}: {error}")]
    Text {
        /// The field.
        place: Place,
        /// Why.
        error: TextError,
    },
    /// A public key that does not parse.
    #[error("{place}: {error}")]
    Key {
        /// The field.
        place: Place,
        /// Why.
        error: KeyError,
    },
    /// A private key, where everyone reads it who reads policies. It is not repeated.
    #[error(
        "{place}: this is a private key; policies hold public keys only. Whoever could read the policy may have it: take it out of use, and write the public half of a new one (`proofmark public-key`)"
    )]
    PrivateKey {
        /// The field.
        place: Place,
    },
    /// Neither a key nor a reference to one.
    #[error("{place}: expected a public key in PEM, or where it lives: {error}")]
    KeyReference {
        /// The field.
        place: Place,
        /// Why.
        error: KeyReferenceError,
    },
    /// A reference to a place that this policy, or this field, may not name.
    #[error("{place}: a {kind} cannot be named here: {reason}")]
    KeyPlace {
        /// The field.
        place: Place,
        /// The kind of place.
        kind: &'static str,
        /// Why, and what to write.
        reason: String,
    },
    /// No key was found where the policy says that it lives.
    #[error("{place}: no key from {reference}: {reason}")]
    KeyUnresolved {
        /// The field.
        place: Place,
        /// Where it should live.
        reference: String,
        /// Why there is none.
        reason: String,
    },
    /// A condition that does not compile.
    #[error("{place}: {error}")]
    Condition {
        /// The field.
        place: Place,
        /// Why.
        error: ConditionError,
    },
    /// More different keys in all policies together than are tried on a signature; the rest would look like strangers.
    #[error("{place}: {seen} different keys in all policies together, at most {limit} are tried on a signature")]
    TooManyKeys {
        /// The policy that goes beyond.
        place: Place,
        /// How many there are with it.
        seen: usize,
        /// The limit.
        limit: usize,
    },
    /// A keyless signer without subject or issuer: anyone with an account could sign (kyverno#17125).
    #[error("{place}: a keyless signer needs a subject and an issuer that not everyone has; {missing}")]
    KeylessWithoutIdentity {
        /// The signer.
        place: Place,
        /// What is missing.
        missing: String,
    },
    /// An attestation that names no signer, and none to inherit.
    #[error(
        "{place}: the attestation names no attestors and no other rule sets any for the same images; anyone could have made it (kyverno#17125)"
    )]
    AttestationWithoutSigner {
        /// The attestation.
        place: Place,
    },
    /// Two policies of one kind with one name; one would hide the other in every message.
    #[error("{place}: there is a {kind} of this name already, in {first}")]
    DuplicateName {
        /// The second.
        place: Place,
        /// Its kind.
        kind: &'static str,
        /// The file of the first.
        first: String,
    },
    /// A policy that demands nothing would let everything through that it matches.
    #[error("{place}: it demands nothing; expected {expected}")]
    DemandsNothing {
        /// The policy or rule.
        place: Place,
        /// What it could demand.
        expected: String,
    },
    /// No document at all.
    #[error("{place}: no policy in it")]
    Empty {
        /// The file.
        place: Place,
    },
}

impl PolicyError {
    /// A stable word for outputs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "policy-too-large",
            Self::Yaml { .. } => "policy-not-yaml",
            Self::Kind { .. } => "policy-kind-unknown",
            Self::UnknownField { .. } => "policy-field-unknown",
            Self::Unsupported { .. } => "policy-field-unsupported",
            Self::Missing { .. } => "policy-field-missing",
            Self::Value { .. } => "policy-value-invalid",
            Self::Pattern { .. } => "policy-image-pattern-invalid",
            Self::Text { .. } => "policy-identity-pattern-invalid",
            Self::Key { .. } => "policy-key-invalid",
            Self::PrivateKey { .. } => "policy-private-key",
            Self::KeyReference { .. } => "policy-key-reference-invalid",
            Self::KeyPlace { .. } => "policy-key-place-refused",
            Self::KeyUnresolved { .. } => "policy-key-unresolved",
            Self::Condition { .. } => "policy-condition-invalid",
            Self::TooManyKeys { .. } => "policy-too-many-keys",
            Self::KeylessWithoutIdentity { .. } => "policy-keyless-without-identity",
            Self::AttestationWithoutSigner { .. } => "policy-attestation-without-signer",
            Self::DuplicateName { .. } => "policy-name-duplicate",
            Self::DemandsNothing { .. } => "policy-demands-nothing",
            Self::Empty { .. } => "policy-empty",
        }
    }

    /// Where.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Self::TooLarge { place, .. }
            | Self::Yaml { place, .. }
            | Self::Kind { place, .. }
            | Self::UnknownField { place, .. }
            | Self::Unsupported { place, .. }
            | Self::Missing { place, .. }
            | Self::Value { place, .. }
            | Self::Pattern { place, .. }
            | Self::Text { place, .. }
            | Self::Key { place, .. }
            | Self::PrivateKey { place }
            | Self::KeyReference { place, .. }
            | Self::KeyPlace { place, .. }
            | Self::KeyUnresolved { place, .. }
            | Self::Condition { place, .. }
            | Self::TooManyKeys { place, .. }
            | Self::KeylessWithoutIdentity { place, .. }
            | Self::AttestationWithoutSigner { place }
            | Self::DuplicateName { place, .. }
            | Self::DemandsNothing { place, .. }
            | Self::Empty { place } => place,
        }
    }
}
