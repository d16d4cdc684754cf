//! Why a piece of evidence was not believed.

use proofmark_evidence::Origin;
use proofmark_types::{Digest, UnixTime};
use thiserror::Error;

use crate::key::SignatureError;

/// One piece of evidence that was found and not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Where it was found.
    pub origin: Origin,
    /// What was wrong with it: the first check that failed.
    pub reason: Reason,
}

/// The check that failed, with what was expected and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reason {
    /// The evidence does not parse; the code says which format rule it breaks.
    #[error("{reason}")]
    Unreadable {
        /// The code of the format room.
        code: &'static str,
        /// What it said.
        reason: String,
    },
    /// More parts than any honest writer makes; nothing was verified.
    #[error("at most {limit} {what} are accepted, this has {seen}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The number seen.
        seen: usize,
    },
    /// It is signed by a key (no certificate), and no key was given.
    #[error("it is signed by a key, and no public key was given to check it with")]
    NoKeyGiven,
    /// It is signed under a certificate, and no certificate authority is known.
    #[error("it carries a certificate, and no certificate authority was given to check it with")]
    NoAuthorityGiven,
    /// No given key made this signature over these bytes.
    #[error("none of the {given} given keys made this signature: {error}")]
    SignatureNotByKey {
        /// How many keys were tried.
        given: usize,
        /// The outcome of the last one.
        error: SignatureError,
    },
    /// The certificate's key did not make this signature over these bytes.
    #[error("the certificate's key did not make this signature: {error}")]
    SignatureNotByCertificate {
        /// The outcome.
        error: SignatureError,
    },
    /// The bytes are not a certificate that this room can read.
    #[error("the certificate is not usable: {detail}")]
    CertificateMalformed {
        /// What is wrong with it.
        detail: String,
    },
    /// No authority that was valid then leads to the certificate.
    #[error("the certificate does not chain to a known authority at {at} ({source_name}): {detail}")]
    CertificateUntrusted {
        /// The time of the check.
        at: UnixTime,
        /// What vouches for the time.
        source_name: &'static str,
        /// The most specific failure.
        detail: String,
    },
    /// The certificate, or one above it, was not valid at the time.
    #[error("the certificate was used at {at} ({source_name}), outside its validity: {detail}")]
    CertificateOutsideValidity {
        /// The time of the check.
        at: UnixTime,
        /// What vouches for the time.
        source_name: &'static str,
        /// Which window.
        detail: String,
    },
    /// The embedded SCT list or one SCT does not parse.
    #[error("the certificate's SCT is malformed: {detail}")]
    SctMalformed {
        /// What is wrong with it.
        detail: String,
    },
    /// An SCT of a known log does not verify.
    #[error("the SCT of log {log} does not verify over this certificate")]
    SctInvalid {
        /// The log.
        log: String,
    },
    /// An SCT was made when the log's key was not valid.
    #[error("the SCT of log {log} is of {at}, outside the validity of the log's key")]
    SctOutsideValidity {
        /// The log.
        log: String,
        /// The time of the SCT.
        at: UnixTime,
    },
    /// A timestamp does not parse or breaks a rule of RFC 3161.
    #[error("the timestamp is malformed: {detail}")]
    TimestampMalformed {
        /// What is wrong with it.
        detail: String,
    },
    /// A timestamp is over other bytes.
    #[error("the timestamp is over other bytes: expected {expected}, its imprint is {seen}")]
    TimestampImprint {
        /// The hash of the signature.
        expected: String,
        /// The hash in the token.
        seen: String,
    },
    /// No known timestamp authority made the token.
    #[error("no known timestamp authority made the timestamp: {detail}")]
    TimestampUntrusted {
        /// The most specific failure.
        detail: String,
    },
    /// The token's own signature does not verify.
    #[error("the signature of the timestamp does not verify: {detail}")]
    TimestampSignature {
        /// What does not.
        detail: String,
    },
    /// The token's time is outside of the authority's validity.
    #[error("the timestamp is of {at}, outside the validity of its authority {authority}")]
    TimestampOutsideValidity {
        /// The authority.
        authority: String,
        /// The time in the token.
        at: UnixTime,
    },
    /// The token is of the future.
    #[error("the timestamp is of {at}, which is in the future ({now})")]
    TimestampInFuture {
        /// The time in the token.
        at: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// A log entry's body does not parse.
    #[error("the log entry is malformed: {detail}")]
    LogEntryMalformed {
        /// What is wrong with it.
        detail: String,
    },
    /// A log entry is of a kind or version that this room does not know.
    #[error("the log entry is of the unknown kind {kind} {version}")]
    LogEntryKind {
        /// Its kind.
        kind: String,
        /// Its version.
        version: String,
    },
    /// A log entry is about something else (CVE-2022-36056, CVE-2026-22703).
    #[error("the log entry is about another signature: its {field} is not that of the evidence")]
    LogEntryMismatch {
        /// Which part differs.
        field: &'static str,
    },
    /// The signed entry timestamp does not verify with the log's key.
    #[error("the signed entry timestamp does not verify with the key of log {log}")]
    SetInvalid {
        /// The log.
        log: String,
    },
    /// The log said it took the entry when its key was not valid.
    #[error("log {log} says it took the entry at {at}, outside the validity of its key")]
    LogOutsideValidity {
        /// The log.
        log: String,
        /// The time.
        at: UnixTime,
    },
    /// The log said it took the entry in the future.
    #[error("log {log} says it took the entry at {at}, which is in the future ({now})")]
    LogTimeInFuture {
        /// The log.
        log: String,
        /// The time.
        at: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The entry of a known log has neither a proof nor a promise.
    #[error("the entry of log {log} has neither an inclusion proof nor a signed entry timestamp")]
    LogEntryUnproven {
        /// The log.
        log: String,
    },
    /// The checkpoint does not parse.
    #[error("the checkpoint is malformed: {detail}")]
    CheckpointMalformed {
        /// What is wrong with it.
        detail: String,
    },
    /// The checkpoint is of another log.
    #[error("the checkpoint is of {seen:?}, expected {expected:?}")]
    CheckpointOrigin {
        /// The origin that the trust root implies.
        expected: String,
        /// The first line of the checkpoint.
        seen: String,
    },
    /// No line of the checkpoint is a signature of the log.
    #[error("the checkpoint is not signed by log {log}")]
    CheckpointSignature {
        /// The log.
        log: String,
    },
    /// The inclusion proof does not lead from the entry to the checkpoint.
    #[error("the inclusion proof does not lead to the checkpoint's root: {detail}")]
    InclusionProof {
        /// Where it went wrong.
        detail: String,
    },
    /// The envelope is not of in-toto.
    #[error("the payload type is {seen:?}, expected {expected:?}")]
    PayloadType {
        /// The one of in-toto.
        expected: &'static str,
        /// The one in the envelope.
        seen: String,
    },
    /// The envelope must have exactly one signature (DSSE in bundles).
    #[error("an envelope with exactly one signature is expected, this has {seen}")]
    SignatureCount {
        /// How many it has.
        seen: usize,
    },
    /// The signature is empty.
    #[error("the signature is empty")]
    SignatureEmpty,
    /// The payload is not a statement, although the signature over it is good.
    #[error("the signed payload is not an in-toto statement: {detail}")]
    StatementMalformed {
        /// What is wrong with it.
        detail: String,
    },
    /// The statement is about something else.
    #[error("no subject of the statement has the digest {expected}; it names {seen}")]
    SubjectMismatch {
        /// The digest that the evidence hangs on.
        expected: Digest,
        /// The digests of the statement, shortened.
        seen: String,
    },
    /// The payload is not a simple-signing payload, although the signature over it is good.
    #[error("the signed payload is not a simple-signing payload: {detail}")]
    ClaimsMalformed {
        /// What is wrong with it.
        detail: String,
    },
    /// The simple-signing payload is about another image.
    #[error("the signed claims are about {seen}, expected {expected}")]
    ClaimsDigest {
        /// The digest that the evidence hangs on.
        expected: Digest,
        /// The digest in the claims.
        seen: String,
    },
    /// The bundle's message digest is not the artifact's.
    #[error("the bundle says the artifact is {seen}, it is {expected}")]
    MessageDigest {
        /// The digest of the artifact.
        expected: Digest,
        /// The digest in the bundle.
        seen: Digest,
    },
    /// A signature over bare bytes hangs on an image; it does not say that it was made for one.
    #[error("a bare message signature is not a container signature; expected an in-toto statement or simple signing")]
    MessageOnImage,
    /// The signature needs the artifact's bytes, and only a digest was given.
    #[error("a signature by a key of type {algorithm} cannot be checked over a {digest} digest alone")]
    BytesNeeded {
        /// The key's type.
        algorithm: &'static str,
        /// The digest's algorithm.
        digest: &'static str,
    },
}

impl Reason {
    /// A stable word for outputs and tests.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { code, reason: _ } => code,
            Self::TooMany { .. } => "too-many-parts",
            Self::NoKeyGiven => "no-key-given",
            Self::NoAuthorityGiven => "no-authority-given",
            Self::SignatureNotByKey { .. } => "signature-not-by-given-key",
            Self::SignatureNotByCertificate { .. } => "signature-not-by-certificate",
            Self::CertificateMalformed { .. } => "certificate-malformed",
            Self::CertificateUntrusted { .. } => "certificate-untrusted",
            Self::CertificateOutsideValidity { .. } => "certificate-outside-validity",
            Self::SctMalformed { .. } => "sct-malformed",
            Self::SctInvalid { .. } => "sct-invalid",
            Self::SctOutsideValidity { .. } => "sct-outside-validity",
            Self::TimestampMalformed { .. } => "timestamp-malformed",
            Self::TimestampImprint { .. } => "timestamp-imprint-mismatch",
            Self::TimestampUntrusted { .. } => "timestamp-untrusted",
            Self::TimestampSignature { .. } => "timestamp-signature-invalid",
            Self::TimestampOutsideValidity { .. } => "timestamp-outside-validity",
            Self::TimestampInFuture { .. } => "timestamp-in-future",
            Self::LogEntryMalformed { .. } => "log-entry-malformed",
            Self::LogEntryKind { .. } => "log-entry-kind-unknown",
            Self::LogEntryMismatch { .. } => "log-entry-mismatch",
            Self::SetInvalid { .. } => "set-invalid",
            Self::LogOutsideValidity { .. } => "log-outside-validity",
            Self::LogTimeInFuture { .. } => "log-time-in-future",
            Self::LogEntryUnproven { .. } => "log-entry-unproven",
            Self::CheckpointMalformed { .. } => "checkpoint-malformed",
            Self::CheckpointOrigin { .. } => "checkpoint-origin",
            Self::CheckpointSignature { .. } => "checkpoint-signature-invalid",
            Self::InclusionProof { .. } => "inclusion-proof-invalid",
            Self::PayloadType { .. } => "payload-type",
            Self::SignatureCount { .. } => "signature-count",
            Self::SignatureEmpty => "signature-empty",
            Self::StatementMalformed { .. } => "statement-malformed",
            Self::SubjectMismatch { .. } => "subject-mismatch",
            Self::ClaimsMalformed { .. } => "claims-malformed",
            Self::ClaimsDigest { .. } => "claims-digest-mismatch",
            Self::MessageDigest { .. } => "message-digest-mismatch",
            Self::MessageOnImage => "message-signature-on-image",
            Self::BytesNeeded { .. } => "artifact-bytes-needed",
        }
    }
}
