//! What was signed, read after it is known who signed it: an in-toto statement, simple-signing claims, or nothing but
//! the artifact. All of them must be about the subject.

use std::collections::BTreeMap;

use proofmark_evidence::dsse::{Envelope, IN_TOTO_PAYLOAD_TYPE};
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::simple_signing;
use proofmark_evidence::statement::{Statement, Subject as StatementSubject};
use proofmark_types::{Digest, DigestAlgorithm};
use serde_json::Value;

use crate::candidate::{Payload, Subject};
use crate::proof::ProofKind;
use crate::reason::Reason;

/// What was said.
pub(crate) struct Said {
    pub(crate) kind: ProofKind,
    pub(crate) predicate_type: Option<PredicateType>,
    pub(crate) predicate: Value,
    pub(crate) annotations: BTreeMap<String, Value>,
    pub(crate) docker_reference: Option<String>,
}

/// Reads the payload and holds it against the subject.
pub(crate) fn read(payload: &Payload<'_>, subject: &Subject<'_>) -> Result<Said, Reason> {
    match payload {
        Payload::Envelope(envelope) => statement(envelope, subject),
        Payload::Claims(bytes) => claims(bytes, subject),
        Payload::Message { digest } => message(*digest, subject),
    }
}

/// in-toto Statement v0.1 or v1 in an envelope; the type of the payload is part of what is signed.
fn statement(envelope: &Envelope, subject: &Subject<'_>) -> Result<Said, Reason> {
    if envelope.payload_type != IN_TOTO_PAYLOAD_TYPE {
        return Err(Reason::PayloadType {
            expected: IN_TOTO_PAYLOAD_TYPE,
            seen: envelope.payload_type.chars().take(80).collect(),
        });
    }
    // CVE-2026-39395: a payload that does not parse is a failure, however good the signature.
    let mut statement = Statement::parse(&envelope.payload).map_err(|error| Reason::StatementMalformed {
        detail: error.to_string(),
    })?;
    let index = statement.subjects.iter().position(|named| is_subject(named, subject));
    let Some(index) = index else {
        return Err(Reason::SubjectMismatch {
            expected: subject.digest(),
            seen: named(&statement),
        });
    };
    let matched = statement.subjects.swap_remove(index);
    let kind = if statement.predicate_type.is_signature() {
        ProofKind::Signature
    } else {
        ProofKind::Attestation
    };
    Ok(Said {
        kind,
        predicate_type: Some(statement.predicate_type),
        predicate: statement.predicate,
        annotations: matched.annotations,
        docker_reference: None,
    })
}

/// Algorithm and value as a pair, and where a subject has several digests of algorithms that can be checked, all of
/// them: a subject that names two artifacts names neither.
fn is_subject(named: &StatementSubject, subject: &Subject<'_>) -> bool {
    let checkable: Vec<Digest> = named
        .digest
        .iter()
        .filter_map(|(name, hex)| Digest::from_hex(DigestAlgorithm::parse(name).ok()?, hex).ok())
        .filter(|digest| subject.can_check(digest.algorithm()))
        .collect();
    !checkable.is_empty() && checkable.iter().all(|digest| subject.is(digest))
}

/// The digests that a statement names, a few of them.
fn named(statement: &Statement) -> String {
    /// Enough to see what happened.
    const SHOWN: usize = 3;
    let digests = statement.subjects.iter().flat_map(|subject| subject.digest.iter());
    let mut shown: Vec<String> = digests
        .clone()
        .take(SHOWN)
        .map(|(name, hex)| format!("{name}:{hex}"))
        .collect();
    let more = digests.count().saturating_sub(SHOWN);
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

/// cosign's container signature (specs/SIGNATURE_SPEC.md).
fn claims(bytes: &[u8], subject: &Subject<'_>) -> Result<Said, Reason> {
    let payload = simple_signing::Payload::parse(bytes).map_err(|error| Reason::ClaimsMalformed {
        detail: error.to_string(),
    })?;
    if !subject.is(&payload.digest) {
        return Err(Reason::ClaimsDigest {
            expected: subject.digest(),
            seen: payload.digest.to_string(),
        });
    }
    Ok(Said {
        kind: ProofKind::Signature,
        predicate_type: None,
        predicate: Value::Null,
        annotations: payload.optional,
        docker_reference: Some(payload.docker_reference).filter(|reference| !reference.is_empty()),
    })
}

/// The artifact itself is what is signed; the digest beside the signature is a hint, which must not be wrong.
fn message(digest: Option<&Digest>, subject: &Subject<'_>) -> Result<Said, Reason> {
    if let Some(seen) = digest
        && subject.can_check(seen.algorithm())
        && !subject.is(seen)
    {
        return Err(Reason::MessageDigest {
            expected: subject.digest(),
            seen: seen.clone(),
        });
    }
    Ok(Said {
        kind: ProofKind::Signature,
        predicate_type: None,
        predicate: Value::Null,
        annotations: BTreeMap::new(),
        docker_reference: None,
    })
}
