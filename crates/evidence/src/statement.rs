//! in-toto Statement v0.1 and v1 (in-toto/attestation, spec/v1/statement.md and spec/v0.1).

use std::collections::BTreeMap;

use proofmark_types::{Digest, DigestAlgorithm};
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::MAX_EVIDENCE_BYTES;
use crate::fields::{FieldError, Fields, wrong};
use crate::json::{self, JsonError};
use crate::predicate::PredicateType;

/// sigstore-go `internal/limits`: at most 1024 subjects.
pub const MAX_SUBJECTS: usize = 1024;

/// sigstore-go `internal/limits`: at most 32 digests for each subject.
pub const MAX_DIGESTS: usize = 32;

/// A claim: this predicate is about these subjects.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Which layout it had; both say the same.
    pub version: StatementVersion,
    /// What it is about; never empty, and no subject without a digest.
    pub subjects: Vec<Subject>,
    /// What kind of claim.
    pub predicate_type: PredicateType,
    /// The claim; an empty object if absent. Older cosign writes a JSON string here for some predicates.
    pub predicate: Value,
}

/// The version in `_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementVersion {
    /// `https://in-toto.io/Statement/v0.1`, which cosign writes for attestations to this day.
    V01,
    /// `https://in-toto.io/Statement/v1`.
    V1,
}

impl StatementVersion {
    /// The text of `_type`.
    #[must_use]
    pub fn uri(self) -> &'static str {
        match self {
            Self::V01 => "https://in-toto.io/Statement/v0.1",
            Self::V1 => "https://in-toto.io/Statement/v1",
        }
    }
}

/// One artifact that a statement is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Subject {
    /// Its name, for people; not authenticated by anything but the signer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Hex digests by algorithm name; never empty. Algorithms unknown to us (`gitCommit`, …) are kept.
    pub digest: BTreeMap<String, String>,
    /// Annotations of the subject (v1); cosign puts `-a key=value` here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

impl Subject {
    /// A subject with one digest.
    #[must_use]
    pub fn new(name: Option<String>, digest: &Digest) -> Self {
        Self {
            name,
            digest: BTreeMap::from([(digest.algorithm().name().to_owned(), digest.hex())]),
            annotations: BTreeMap::new(),
        }
    }

    /// Whether it names exactly this digest: algorithm and hex, as a pair.
    #[must_use]
    pub fn is(&self, digest: &Digest) -> bool {
        self.digest
            .get(digest.algorithm().name())
            .is_some_and(|hex| *hex == digest.hex())
    }
}

impl Statement {
    /// Reads a statement from the payload of an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let value = json::parse(bytes, MAX_EVIDENCE_BYTES)?;
        let mut fields = Fields::root("statement", value)?;
        let kind = fields.required_text("_type")?;
        let version = [StatementVersion::V01, StatementVersion::V1]
            .into_iter()
            .find(|version| version.uri() == kind)
            .ok_or_else(|| StatementError::Type {
                seen: kind.chars().take(80).collect(),
            })?;
        let predicate_type = fields.required_text("predicateType")?;
        let predicate_type = PredicateType::new(&predicate_type).ok_or(StatementError::NoPredicateType)?;
        let subjects = fields
            .objects("subject", MAX_SUBJECTS)?
            .into_iter()
            .map(parse_subject)
            .collect::<Result<Vec<_>, _>>()?;
        if subjects.is_empty() {
            return Err(StatementError::NoSubject);
        }
        let predicate = fields.take("predicate")?.unwrap_or_else(|| Value::Object(Map::new()));
        Ok(Self {
            version,
            subjects,
            predicate_type,
            predicate,
        })
    }

    /// What `cosign sign` states: this image, with these annotations, and nothing more.
    #[must_use]
    pub fn signature(digest: &Digest, annotations: BTreeMap<String, String>) -> Self {
        let mut subject = Subject::new(None, digest);
        subject.annotations = annotations
            .into_iter()
            .map(|(key, value)| (key, Value::String(value)))
            .collect();
        Self {
            version: StatementVersion::V1,
            subjects: vec![subject],
            predicate_type: PredicateType::signature(),
            predicate: Value::Object(Map::new()),
        }
    }

    /// A claim about one named image. Written as v0.1, as `cosign attest` does, since every reader takes that.
    #[must_use]
    pub fn attestation(name: &str, digest: &Digest, predicate_type: PredicateType, predicate: Value) -> Self {
        Self {
            version: StatementVersion::V01,
            subjects: vec![Subject::new(Some(name.to_owned()), digest)],
            predicate_type,
            predicate,
        }
    }

    /// The first subject that names this digest.
    #[must_use]
    pub fn subject_for(&self, digest: &Digest) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.is(digest))
    }

    /// Writes the statement, fields in the order of cosign.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct V01<'s> {
            #[serde(rename = "_type")]
            kind: &'s str,
            predicate_type: &'s str,
            subject: &'s [Subject],
            predicate: &'s Value,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct V1<'s> {
            #[serde(rename = "_type")]
            kind: &'s str,
            subject: &'s [Subject],
            predicate_type: &'s str,
            predicate: &'s Value,
        }
        match self.version {
            StatementVersion::V01 => json::write(&V01 {
                kind: self.version.uri(),
                predicate_type: self.predicate_type.as_str(),
                subject: &self.subjects,
                predicate: &self.predicate,
            }),
            StatementVersion::V1 => json::write(&V1 {
                kind: self.version.uri(),
                subject: &self.subjects,
                predicate_type: self.predicate_type.as_str(),
                predicate: &self.predicate,
            }),
        }
    }
}

fn parse_subject(mut fields: Fields) -> Result<Subject, StatementError> {
    let name = fields.text("name")?;
    let mut digest = BTreeMap::new();
    for (algorithm, value) in members(&mut fields, "digest", MAX_DIGESTS)? {
        let Value::String(text) = value else {
            return Err(wrong(fields.path("digest"), "a list of strings", &value).into());
        };
        // An image digest that is not what its name says must not be compared with anything (sigstore-go #609).
        if let Ok(known) = DigestAlgorithm::parse(&algorithm)
            && Digest::from_hex(known, &text).is_err()
        {
            return Err(StatementError::Digest { algorithm });
        }
        if text.is_empty() {
            return Err(StatementError::Digest { algorithm });
        }
        digest.insert(algorithm, text);
    }
    if digest.is_empty() {
        return Err(StatementError::SubjectWithoutDigest);
    }
    Ok(Subject {
        name,
        digest,
        annotations: members(&mut fields, "annotations", MAX_ANNOTATIONS)?
            .into_iter()
            .collect(),
    })
}

/// The most annotations of a subject; cosign's `-a` is given by hand.
const MAX_ANNOTATIONS: usize = 256;

fn members(fields: &mut Fields, name: &str, limit: usize) -> Result<Map<String, Value>, FieldError> {
    let path = fields.path(name);
    match fields.take(name)? {
        None => Ok(Map::new()),
        Some(Value::Object(map)) if map.len() > limit => Err(FieldError::TooMany {
            path,
            limit,
            seen: map.len(),
        }),
        Some(Value::Object(map)) => Ok(map),
        Some(other) => Err(wrong(path, "an object", &other)),
    }
}

/// Why bytes are not a statement.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Not JSON, or JSON that evidence may not be.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is not what the format says.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// `_type` is no known version.
    #[error("the statement's _type is \"{seen}\", expected https://in-toto.io/Statement/v0.1 or /v1")]
    Type {
        /// What stood there, shortened.
        seen: String,
    },
    /// `predicateType` is empty or not printable.
    #[error("the statement's predicateType is no URI")]
    NoPredicateType,
    /// It is about nothing.
    #[error("the statement has no subject")]
    NoSubject,
    /// A subject that could stand for anything.
    #[error("a subject of the statement has no digest")]
    SubjectWithoutDigest,
    /// A digest that is empty or not of its algorithm's form.
    #[error("a subject's {algorithm} digest is malformed")]
    Digest {
        /// The algorithm named.
        algorithm: String,
    },
}

impl StatementError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::Field(error) => error.code(),
            Self::Type { .. } => "statement-type",
            Self::NoPredicateType => "statement-no-predicate-type",
            Self::NoSubject => "statement-no-subject",
            Self::SubjectWithoutDigest => "statement-subject-without-digest",
            Self::Digest { .. } => "statement-digest",
        }
    }
}

#[cfg(test)]
mod tests;
