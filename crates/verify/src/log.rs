//! Entries of transparency logs: that the log has this signature, and since when.
//!
//! Rekor v1 promises (a signed entry timestamp) and proves (an inclusion proof against a signed checkpoint); Rekor v2
//! only proves. A time comes from a verified promise and from nowhere else: `integratedTime` is not covered by a proof.

pub(crate) mod body;

use proofmark_evidence::bundle::{InclusionProof, LogEntry};
use proofmark_evidence::legacy::{LegacyLogBundle, set_payload};
use proofmark_merkle::{
    Checkpoint, CheckpointError, MAX_PROOF_HASHES, NoteError, NoteKey, SignedCheckpoint, TreeHash, leaf_hash,
    verify_inclusion,
};
use proofmark_types::UnixTime;

use self::body::{Body, Claim};
use crate::proof::{LogProof, SkippedLog};
use crate::reason::Reason;
use crate::timestamp::CLOCK_SKEW;
use crate::trust_root::LogKey;

/// An entry, from a bundle or from the annotation of a `.sig` or `.att` layer.
pub(crate) struct Entry<'a> {
    pub(crate) log_index: u64,
    pub(crate) log_id: &'a [u8],
    /// Kind and version beside the body; the annotation has none.
    pub(crate) kind: Option<(&'a str, &'a str)>,
    pub(crate) integrated_time: Option<UnixTime>,
    pub(crate) promise: Option<&'a [u8]>,
    pub(crate) proof: Option<&'a InclusionProof>,
    pub(crate) body: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(crate) fn of_bundle(entry: &'a LogEntry) -> Self {
        Self {
            log_index: entry.log_index,
            log_id: &entry.log_id,
            kind: Some((&entry.kind, &entry.kind_version)),
            integrated_time: entry.integrated_time,
            promise: entry.inclusion_promise.as_deref(),
            proof: entry.inclusion_proof.as_ref(),
            body: &entry.canonicalized_body,
        }
    }

    pub(crate) fn of_annotation(bundle: &'a LegacyLogBundle) -> Self {
        Self {
            log_index: bundle.log_index,
            log_id: &bundle.log_id,
            kind: None,
            integrated_time: Some(bundle.integrated_time),
            promise: Some(&bundle.set),
            proof: None,
            body: &bundle.body,
        }
    }
}

/// What an entry showed.
pub(crate) enum Outcome {
    /// A known log has the signature.
    Verified(LogProof),
    /// The log is not known: the entry proves nothing.
    Skipped(SkippedLog),
}

/// Verifies one entry.
///
/// 1. The body is an entry of a kind that is known, and the kind beside it is the one inside it.
/// 2. The body is about this signature, this content and this signer: else any logged entry would do
///    (CVE-2022-36056, CVE-2026-22703). This holds for entries of unknown logs too.
/// 3. The log is looked up by its id; unknown logs are skipped, and recorded.
/// 4. A promise verifies with the log's key, at a time when that key was valid (CVE-2026-54787), not in the future.
/// 5. A proof leads from the body to the root of a checkpoint that the log signed.
/// 6. One of the two is there.
/// 7. Where the log does not vouch for a time, its key is valid at the times that timestamps vouch for, or now.
pub(crate) fn verify(
    entry: &Entry<'_>,
    claim: &Claim<'_>,
    logs: &[&LogKey],
    times: &[UnixTime],
    now: UnixTime,
) -> Result<Outcome, Reason> {
    let mut known = logs.iter().copied().filter(|log| log.log_id == entry.log_id).peekable();
    // 1. and 2.
    let body = match Body::parse(entry.body) {
        Ok(body) => {
            body.check_kind(entry.kind)?;
            body.check(claim)?;
            Some(body)
        }
        // A foreign log may have kinds of its own; it proves nothing either way.
        Err(_) if known.peek().is_none() => None,
        Err(reason) => return Err(reason),
    };
    // 3.
    let (Some(body), true) = (body, known.peek().is_some()) else {
        return Ok(Outcome::Skipped(SkippedLog {
            log_id: entry.log_id.to_vec(),
            index: entry.log_index,
        }));
    };
    // A key may be listed several times, with other windows: one must fit.
    let mut failure = None;
    for log in known {
        match verify_with(entry, &body, log, times, now) {
            Ok(proof) => return Ok(Outcome::Verified(proof)),
            Err(reason) => failure = Some(reason),
        }
    }
    Err(failure.unwrap_or_else(|| Reason::LogEntryMalformed {
        detail: "no log".to_owned(),
    }))
}

/// Steps 4 to 7.
fn verify_with(
    entry: &Entry<'_>,
    body: &Body,
    log: &LogKey,
    times: &[UnixTime],
    now: UnixTime,
) -> Result<LogProof, Reason> {
    // 4.
    let promised = match entry.promise {
        Some(promise) => Some(verify_promise(entry, promise, log, now)?),
        None => None,
    };
    // 5.
    let inclusion = match entry.proof {
        // The oldest bundles have proofs without a checkpoint, which prove nothing by themselves.
        Some(proof) if proof.checkpoint.is_empty() => false,
        Some(proof) => {
            verify_proof(entry, body, proof, log)?;
            true
        }
        None => false,
    };
    // 6.
    if promised.is_none() && !inclusion {
        return Err(Reason::LogEntryUnproven { log: log.name() });
    }
    // 7. Rekor v2 says no time, whatever stands in `integratedTime` (rekor-v2-spec 7.2).
    let integrated_time = promised.filter(|_| !body.is_v2());
    if integrated_time.is_none() {
        let times = if times.is_empty() {
            std::slice::from_ref(&now)
        } else {
            times
        };
        if let Some(at) = times.iter().find(|at| !log.validity.contains(**at)) {
            return Err(Reason::LogOutsideValidity {
                log: log.name(),
                at: *at,
            });
        }
    }
    Ok(LogProof {
        log: log.name(),
        operator: log.operator(),
        log_id: log.log_id.clone(),
        index: entry.log_index,
        integrated_time,
        promise: promised.is_some(),
        inclusion,
        entries: 1,
    })
}

fn verify_promise(entry: &Entry<'_>, promise: &[u8], log: &LogKey, now: UnixTime) -> Result<UnixTime, Reason> {
    let at = entry.integrated_time.ok_or_else(|| Reason::LogEntryMalformed {
        detail: "it has a signed entry timestamp and no time".to_owned(),
    })?;
    let payload = set_payload(entry.body, at, entry.log_id, entry.log_index);
    log.key
        .verify(&payload, promise)
        .map_err(|_| Reason::SetInvalid { log: log.name() })?;
    if !log.validity.contains(at) {
        return Err(Reason::LogOutsideValidity { log: log.name(), at });
    }
    if at > now.plus(CLOCK_SKEW) {
        return Err(Reason::LogTimeInFuture {
            log: log.name(),
            at,
            now,
        });
    }
    Ok(at)
}

fn verify_proof(entry: &Entry<'_>, body: &Body, proof: &InclusionProof, log: &LogKey) -> Result<(), Reason> {
    let invalid = |detail: String| Reason::InclusionProof { detail };
    if proof.hashes.len() > MAX_PROOF_HASHES {
        return Err(Reason::TooMany {
            what: "hashes of an inclusion proof",
            limit: MAX_PROOF_HASHES,
            seen: proof.hashes.len(),
        });
    }
    let hashes = proof
        .hashes
        .iter()
        .map(|hash| TreeHash::from_slice(hash))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| invalid("a hash is not of 32 bytes".to_owned()))?;
    let signed = SignedCheckpoint::parse(proof.checkpoint.as_bytes()).map_err(|error| Reason::CheckpointMalformed {
        detail: error.to_string(),
    })?;
    let checkpoint = if body.is_v2() {
        verify_checkpoint_v2(&signed, log)?
    } else {
        verify_checkpoint_v1(&signed, log)?
    };
    // The checkpoint is signed, the fields beside it are not: they must agree, and only the checkpoint is used.
    if !body.is_v2() && (proof.tree_size != checkpoint.size() || proof.root_hash != checkpoint.root().as_ref()) {
        return Err(invalid("its size or root is not the checkpoint's".to_owned()));
    }
    // The index of v1 is over all shards, the one of its proof over this tree (rekor, `GetLogProof`).
    let index = if body.is_v2() { entry.log_index } else { proof.log_index };
    verify_inclusion(
        &leaf_hash(entry.body),
        index,
        checkpoint.size(),
        &hashes,
        checkpoint.root(),
    )
    .map_err(|error| invalid(error.to_string()))
}

/// The origin is the name in the trust root, and the key is bound to that name by its id (C2SP signed-note).
fn verify_checkpoint_v2<'c>(signed: &'c SignedCheckpoint, log: &LogKey) -> Result<&'c Checkpoint, Reason> {
    let seen = signed.unverified().origin();
    let Some(origin) = log.origins().find(|origin| *origin == seen) else {
        return Err(Reason::CheckpointOrigin {
            expected: log.name(),
            seen: seen.chars().take(80).collect(),
        });
    };
    let key = note_key(origin, log)?;
    signed
        .verify_origin(&key, origin)
        .map_err(|error| checkpoint_failure(&error, log))
}

/// Rekor v1 writes `name - tree id` as origin, and its name is what it was configured with, often not its address
/// (the default is the public instance's). So the key alone tells the log: its id is the hash of the key, whatever
/// the name.
fn verify_checkpoint_v1<'c>(signed: &'c SignedCheckpoint, log: &LogKey) -> Result<&'c Checkpoint, Reason> {
    let unsigned = || Reason::CheckpointSignature { log: log.name() };
    let fingerprint = log.key.fingerprint().as_bytes();
    let line = signed
        .note()
        .signatures()
        .iter()
        .find(|line| fingerprint.starts_with(&line.key_id()))
        .ok_or_else(unsigned)?;
    let key = note_key(line.name(), log)?;
    signed.verify(&key).map_err(|error| checkpoint_failure(&error, log))
}

fn note_key(name: &str, log: &LogKey) -> Result<NoteKey, Reason> {
    NoteKey::from_spki_der(name, log.key.spki_der()).map_err(|_| Reason::CheckpointSignature { log: log.name() })
}

fn checkpoint_failure(error: &CheckpointError, log: &LogKey) -> Reason {
    match error {
        CheckpointError::OriginMismatch { expected, seen } => Reason::CheckpointOrigin {
            expected: expected.clone(),
            seen: seen.clone(),
        },
        CheckpointError::Note(NoteError::NotSignedBy { .. } | NoteError::BadSignature { .. }) => {
            Reason::CheckpointSignature { log: log.name() }
        }
        other => Reason::CheckpointMalformed {
            detail: other.to_string(),
        },
    }
}
