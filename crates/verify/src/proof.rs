//! What was established: proofs, and beside them what was not believed.
//!
//! A [`Proof`] has no public constructor: only this room makes one, after every check passed, so that holding one is
//! the evidence that the checks ran.

use std::collections::BTreeMap;

use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::{Incomplete, Origin};
use proofmark_types::{Digest, UnixTime};
use serde_json::Value;

use crate::certificate::CertificateFacts;
use crate::key::{HashUsed, PublicKey};
use crate::reason::Rejection;

/// Everything that is known about one digest after its evidence was verified.
#[derive(Clone, Debug)]
pub struct Proofs {
    pub(crate) subject: Digest,
    pub(crate) proofs: Vec<Proof>,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) incomplete: Vec<Incomplete>,
}

impl Proofs {
    /// The digest that the evidence hangs on.
    #[must_use]
    pub fn subject(&self) -> &Digest {
        &self.subject
    }

    /// What was proven, in the order of the evidence.
    #[must_use]
    pub fn proofs(&self) -> &[Proof] {
        &self.proofs
    }

    /// What was found and not believed, with the reason.
    #[must_use]
    pub fn rejections(&self) -> &[Rejection] {
        &self.rejections
    }

    /// Places that should have been read and could not be: absence of a proof is then not known.
    #[must_use]
    pub fn incomplete(&self) -> &[Incomplete] {
        &self.incomplete
    }
}

/// One thing that was said about the subject, by a signer that was established, with everything that was checked.
#[derive(Clone, Debug)]
pub struct Proof {
    pub(crate) origin: Origin,
    pub(crate) kind: ProofKind,
    pub(crate) predicate_type: Option<PredicateType>,
    pub(crate) predicate: Value,
    pub(crate) annotations: BTreeMap<String, Value>,
    pub(crate) docker_reference: Option<String>,
    pub(crate) signer: SignerProof,
    pub(crate) hash: HashUsed,
    pub(crate) logs: Vec<LogProof>,
    pub(crate) skipped_logs: Vec<SkippedLog>,
    pub(crate) timestamps: Vec<TimestampProof>,
    pub(crate) skipped_timestamps: usize,
    pub(crate) sct: SctProof,
    pub(crate) time_source: TimeSource,
}

impl Proof {
    /// Where the evidence was found.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether this is a signature or an attestation; an attestation is never a signature.
    #[must_use]
    pub fn kind(&self) -> ProofKind {
        self.kind
    }

    /// The predicate type of the in-toto statement; absent for simple-signing and message signatures.
    #[must_use]
    pub fn predicate_type(&self) -> Option<&PredicateType> {
        self.predicate_type.as_ref()
    }

    /// The predicate of the in-toto statement; `null` where there is none.
    #[must_use]
    pub fn predicate(&self) -> &Value {
        &self.predicate
    }

    /// The signed annotations: of the matching subject of a `cosign/sign/v1` statement, or the `optional` claims of a
    /// simple-signing payload.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, Value> {
        &self.annotations
    }

    /// The repository that a simple-signing payload claims; informative, an image may be copied.
    #[must_use]
    pub fn docker_reference(&self) -> Option<&str> {
        self.docker_reference.as_deref()
    }

    /// Who signed.
    #[must_use]
    pub fn signer(&self) -> &SignerProof {
        &self.signer
    }

    /// With which scheme and hash the signature verified.
    #[must_use]
    pub fn hash(&self) -> HashUsed {
        self.hash
    }

    /// The first transparency log that has the signature; none means that no log was consulted.
    #[must_use]
    pub fn log(&self) -> Option<&LogProof> {
        self.logs.first()
    }

    /// Every transparency log that has the signature, each log once however many of its entries were shown.
    #[must_use]
    pub fn logs(&self) -> &[LogProof] {
        &self.logs
    }

    /// Entries of logs that the trust root does not know; they prove nothing and were not checked.
    #[must_use]
    pub fn skipped_logs(&self) -> &[SkippedLog] {
        &self.skipped_logs
    }

    /// The verified RFC 3161 timestamps over the signature, each authority once.
    #[must_use]
    pub fn timestamps(&self) -> &[TimestampProof] {
        &self.timestamps
    }

    /// How many timestamps were not looked at, because no timestamp authority at all is known.
    #[must_use]
    pub fn skipped_timestamps(&self) -> usize {
        self.skipped_timestamps
    }

    /// Whether the certificate was logged before it was used.
    #[must_use]
    pub fn sct(&self) -> &SctProof {
        &self.sct
    }

    /// By which clock the certificate was found valid; [`TimeSource::CurrentTime`] is weaker than the others and a
    /// policy may refuse it.
    #[must_use]
    pub fn time_source(&self) -> TimeSource {
        self.time_source
    }
}

/// The two kinds of things that are said about an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProofKind {
    /// A simple-signing payload, a `cosign/sign/v1` statement, or a message signature over the artifact.
    Signature,
    /// Any other in-toto statement.
    Attestation,
}

/// Who signed, as far as the trust anchors say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SignerProof {
    /// A key that the verifier was given.
    Key {
        /// SHA-256 of the key's SubjectPublicKeyInfo.
        fingerprint: Digest,
        /// The key.
        key: PublicKey,
    },
    /// A certificate that chains to a known authority.
    Certificate(Box<CertificateFacts>),
}

/// A transparency log has this signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// The log's name: the host of its base URL, or its key id in hex where it has none.
    pub log: String,
    /// The operator that the trust root names for the log; the log's name where it names none.
    pub operator: String,
    /// The log's key id.
    pub log_id: Vec<u8>,
    /// The entry's index.
    pub index: u64,
    /// When the log says it took the entry, under its signature (SET); never from an unsigned field.
    pub integrated_time: Option<UnixTime>,
    /// Whether a signed entry timestamp was verified.
    pub promise: bool,
    /// Whether an inclusion proof against a signed checkpoint was verified.
    pub inclusion: bool,
    /// How many entries of this log were shown and verified; they count as one.
    pub entries: usize,
}

/// An entry of a log that the trust root does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedLog {
    /// The key id that the entry names.
    pub log_id: Vec<u8>,
    /// The index that the entry names.
    pub index: u64,
}

/// A timestamp authority saw the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampProof {
    /// The authority's address, or its subject where the trust root has no address.
    pub authority: String,
    /// When.
    pub time: UnixTime,
    /// The policy it was made under, an object identifier.
    pub policy: String,
}

/// What the certificate's embedded SCTs showed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SctProof {
    /// Signed by a key: there is no certificate.
    NotApplicable,
    /// The certificate embeds none.
    Absent,
    /// The certificate embeds some, all of logs that the trust root does not know.
    NotConsulted,
    /// At least one, of a known log, each log once.
    Verified(Vec<SctEvidence>),
}

/// A certificate transparency log promised to publish the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctEvidence {
    /// The log's name: the host of its base URL, or its key id in hex.
    pub log: String,
    /// The log's key id.
    pub log_id: Vec<u8>,
    /// When the log signed.
    pub time: UnixTime,
}

/// Which clock vouches for the time of signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TimeSource {
    /// An RFC 3161 timestamp (and perhaps a log as well).
    TimestampAuthority,
    /// A log's signed entry timestamp.
    TransparencyLog,
    /// Nothing vouches for the time of signing: the certificate was held against the current time.
    CurrentTime,
    /// Nothing vouches for the time and nothing depends on it: a key has no validity.
    NotNeeded,
}

impl TimeSource {
    /// Stable word for outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TimestampAuthority => "timestamp-authority",
            Self::TransparencyLog => "transparency-log",
            Self::CurrentTime => "current-time",
            Self::NotNeeded => "not-needed",
        }
    }
}
