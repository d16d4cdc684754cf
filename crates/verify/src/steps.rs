//! Verification proper: from one piece of evidence to one proof or one rejection.

use proofmark_evidence::{EvidenceSet, Origin};
use proofmark_evidence::bundle::Bundle;
use proofmark_types::{Digest, UnixTime};

use crate::proof::Proofs;
use crate::reason::{Reason, Rejection};
use crate::verifier::{Artifact, Verifier};

pub(crate) fn verify_set(_verifier: &Verifier, evidence: &EvidenceSet, _now: UnixTime) -> Proofs {
    Proofs {
        subject: evidence.subject.clone(),
        proofs: Vec::new(),
        rejections: evidence.items.iter().map(|item| Rejection { origin: item.origin.clone(), reason: Reason::NoKeyGiven }).collect(),
        incomplete: evidence.incomplete.clone(),
    }
}

pub(crate) fn verify_blob(_verifier: &Verifier, _bundle: &Bundle, artifact: &Artifact<'_>, _now: UnixTime) -> Proofs {
    let subject = match artifact {
        Artifact::Bytes(bytes) => Digest::sha256_of(bytes),
        Artifact::Digest(digest) => (*digest).clone(),
    };
    Proofs {
        subject,
        proofs: Vec::new(),
        rejections: vec![Rejection { origin: Origin::Local, reason: Reason::NoKeyGiven }],
        incomplete: Vec::new(),
    }
}
