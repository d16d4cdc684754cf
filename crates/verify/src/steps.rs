//! Verification proper: from one piece of evidence to one proof or one rejection.

mod path;

use proofmark_evidence::bundle::{Bundle, MAX_LOG_ENTRIES, MAX_TIMESTAMPS};
use proofmark_evidence::legacy::Detached;
use proofmark_evidence::{EvidenceSet, Incomplete, Origin};
use proofmark_types::{Digest, UnixTime};

use self::path::{Times, Trusted, authorities, check_path, first_path, offered};
use crate::candidate::{Candidate, Payload, Subject};
use crate::certificate::Leaf;
use crate::chain::MAX_CHAIN;
use crate::key::{HashUsed, PublicKey, SignatureError};
use crate::log::body::{Claim, Message, Signer};
use crate::log::{self, Outcome};
use crate::payload::{self, Said};
use crate::proof::{LogProof, Proof, Proofs, SctProof, SignerProof, SkippedLog, TimeSource, TimestampProof};
use crate::reason::{Reason, Rejection};
use crate::verifier::{Artifact, Verifier};
use crate::{sct, timestamp};

/// Pieces of evidence on one digest. The registry client reads fewer; a piece costs up to a few milliseconds, so that
/// this bounds the work at some ten seconds (CVE-2023-46737).
const MAX_ITEMS: usize = 5_000;

/// Everything on one digest, each piece by itself: a broken neighbour hides nothing and proves nothing.
pub(crate) fn verify_set(verifier: &Verifier, evidence: &EvidenceSet, now: UnixTime) -> Proofs {
    let mut proofs = Proofs {
        subject: evidence.subject.clone(),
        proofs: Vec::new(),
        rejections: Vec::new(),
        incomplete: evidence.incomplete.clone(),
    };
    if evidence.items.len() > MAX_ITEMS {
        proofs.incomplete.push(Incomplete {
            place: "evidence".to_owned(),
            code: "too-much-evidence",
            reason: format!(
                "{} pieces of evidence, {MAX_ITEMS} were looked at",
                evidence.items.len()
            ),
        });
    }
    for item in evidence.items.iter().take(MAX_ITEMS) {
        let subject = Subject::Image(&evidence.subject);
        let outcome = Candidate::of_item(item, subject).and_then(|candidate| establish(verifier, &candidate, now));
        proofs.add(&item.origin, outcome);
    }
    proofs
}

/// One bundle beside one file.
pub(crate) fn verify_blob(verifier: &Verifier, bundle: &Bundle, artifact: &Artifact<'_>, now: UnixTime) -> Proofs {
    beside_a_file(artifact, || {
        Candidate::of_bundle(&Origin::Local, bundle, Subject::Blob(*artifact))
            .and_then(|candidate| establish(verifier, &candidate, now))
    })
}

/// One signature in a file of its own beside one file.
pub(crate) fn verify_detached(
    verifier: &Verifier,
    detached: &Detached,
    artifact: &Artifact<'_>,
    now: UnixTime,
) -> Proofs {
    beside_a_file(artifact, || {
        Candidate::of_detached(&Origin::Local, detached, *artifact)
            .and_then(|candidate| establish(verifier, &candidate, now))
    })
}

fn beside_a_file(artifact: &Artifact<'_>, outcome: impl FnOnce() -> Result<Proof, Reason>) -> Proofs {
    let mut proofs = Proofs {
        subject: artifact.name(),
        proofs: Vec::new(),
        rejections: Vec::new(),
        incomplete: Vec::new(),
    };
    proofs.add(&Origin::Local, outcome());
    proofs
}

impl Proofs {
    fn add(&mut self, origin: &Origin, outcome: Result<Proof, Reason>) {
        match outcome {
            Ok(proof) => self.proofs.push(proof),
            Err(reason) => self.rejections.push(Rejection {
                origin: origin.clone(),
                reason,
            }),
        }
    }
}

/// Says of one signature what it proves. Nothing here is skipped because something else passed, and nothing that is
/// present and broken is passed over: a rejection names the first check that failed.
///
/// 1. **Bounds.** No more entries, timestamps and certificates than honest writers make, before any of them is
///    looked at (GHSA-cq38-jh5f-37mq; CVE-2023-46737).
/// 2. **Signer.** Either a key that was given, or the certificate that came along, read but not yet believed. The key
///    hint of a bundle is never believed.
/// 3. **Signature** over the exact bytes: the pre-authentication encoding of an envelope (DSSE protocol), the payload
///    of a legacy signature, or the artifact. It comes first because it is cheap, and because whatever else is wrong
///    with bytes that were not signed does not matter. A certificate of a stranger ends here too, whenever it was used.
/// 4. **Timestamps** (RFC 3161), every one, over this signature: they give times (client-spec 4.2).
/// 5. **Log entries**, every one of a known log: about this signature (CVE-2022-36056, CVE-2026-22703), signed by the
///    log, proven to be in it; a verified promise gives a time, an inclusion proof does not (CVE-2022-23649).
/// 6. **Certificate path** (RFC 5280 section 6) at *every* time found, to an authority that is believed at that time,
///    with the intermediates valid then (CVE-2026-24122); at the current time where there is none, and then the proof
///    says so.
/// 7. **SCTs** (RFC 6962 section 3.2), every one of a known log, for the issuer of the path of step 6.
/// 8. **Payload**: only now is it read. It must be about the subject: in-toto subject digest (CVE-2026-31830), or the
///    claimed manifest digest, or the artifact itself.
fn establish(verifier: &Verifier, candidate: &Candidate<'_>, now: UnixTime) -> Result<Proof, Reason> {
    // 1. Bounds.
    check_bounds(candidate)?;
    // 2. Signer, and 3. signature.
    let signed = check_signature(verifier, candidate)?;
    // 4. Timestamps.
    let (timestamps, skipped_timestamps) = check_timestamps(verifier, candidate, now)?;
    let stamped: Vec<UnixTime> = timestamps.iter().map(|timestamp| timestamp.time).collect();
    // 5. Log entries.
    let (logs, skipped_logs) = check_entries(verifier, candidate, &signed, &stamped, now)?;
    // 6. Certificate path, and 7. SCTs.
    let times = Times::of(&timestamps, &logs, now);
    let signer = check_signer(verifier, candidate, signed, &times)?;
    // 8. Payload.
    let Said {
        kind,
        predicate_type,
        predicate,
        annotations,
        docker_reference,
    } = payload::read(&candidate.payload, &candidate.subject)?;
    Ok(Proof {
        origin: candidate.origin.clone(),
        kind,
        predicate_type,
        predicate,
        annotations,
        docker_reference,
        signer: signer.proof,
        hash: signer.hash,
        logs,
        skipped_logs,
        timestamps,
        skipped_timestamps,
        sct: signer.sct,
        time_source: signer.time_source,
    })
}

fn check_bounds(candidate: &Candidate<'_>) -> Result<(), Reason> {
    let counts = [
        ("log entries", candidate.entries.len(), MAX_LOG_ENTRIES),
        ("timestamps", candidate.timestamps.len(), MAX_TIMESTAMPS),
        ("certificates", candidate.intermediates.len(), MAX_CHAIN),
    ];
    match counts.into_iter().find(|(_, seen, limit)| seen > limit) {
        Some((what, seen, limit)) => Err(Reason::TooMany { what, limit, seen }),
        None => Ok(()),
    }
}

/// A signature that verified, and whose it is.
struct Signed<'a> {
    by: By<'a>,
    hash: HashUsed,
}

enum By<'a> {
    Key(&'a PublicKey),
    /// The certificate's key made it; whether the certificate is to be believed is another step. If it is over a key
    /// that was given, that key is believed where the certificate is not, as with cosign's `--key`.
    Certificate {
        leaf: Box<Leaf<'a>>,
        given: Option<&'a PublicKey>,
        first: Option<Trusted>,
    },
}

fn check_signature<'a>(verifier: &'a Verifier, candidate: &Candidate<'a>) -> Result<Signed<'a>, Reason> {
    if candidate.signature.is_empty() {
        return Err(Reason::SignatureEmpty);
    }
    let Some(der) = candidate.certificate else {
        return check_keys(verifier, candidate);
    };
    let leaf = Leaf::parse(der)?;
    let given = verifier.keys.iter().find(|key| **key == leaf.key);
    if given.is_none() && authorities(verifier).next().is_none() {
        return Err(Reason::NoAuthorityGiven);
    }
    let hash = signature_by(&leaf.key, candidate)
        .map_err(|error| bytes_needed(&error).unwrap_or(Reason::SignatureNotByCertificate { error }))?;
    let first = match (first_path(verifier, &offered(verifier, candidate), &leaf), given) {
        (Err(reason), None) => return Err(reason),
        (first, _) => first.unwrap_or(None),
    };
    let leaf = Box::new(leaf);
    Ok(Signed {
        by: By::Certificate { leaf, given, first },
        hash,
    })
}

fn check_keys<'a>(verifier: &'a Verifier, candidate: &Candidate<'a>) -> Result<Signed<'a>, Reason> {
    let mut failure = None;
    for key in &verifier.keys {
        match signature_by(key, candidate) {
            Ok(hash) => {
                return Ok(Signed { by: By::Key(key), hash });
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(match failure {
        None => Reason::NoKeyGiven,
        Some(error) => bytes_needed(&error).unwrap_or(Reason::SignatureNotByKey {
            given: verifier.keys.len(),
            error,
        }),
    })
}

fn signature_by(key: &PublicKey, candidate: &Candidate<'_>) -> Result<HashUsed, SignatureError> {
    match &candidate.message {
        Message::Bytes(bytes) => key.verify(bytes, candidate.signature),
        Message::Digests(digests) => signature_over_any(key, digests, candidate.signature),
    }
}

/// The digests are of one artifact: whichever the key goes with is the one that was signed. A digest that the key does
/// not go with says nothing about the signature.
fn signature_over_any(key: &PublicKey, digests: &[Digest], signature: &[u8]) -> Result<HashUsed, SignatureError> {
    let mut failure = None;
    for digest in digests {
        match key.verify_digest(digest, signature) {
            Ok(hash) => return Ok(hash),
            Err(error @ SignatureError::DigestUnsuitable { .. }) => failure = failure.or(Some(error)),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or(SignatureError::Empty))
}

fn bytes_needed(error: &SignatureError) -> Option<Reason> {
    match error {
        SignatureError::DigestUnsuitable { algorithm, digest } => Some(Reason::BytesNeeded { algorithm, digest }),
        _ => None,
    }
}

/// Who signed, once it is believed.
struct Established {
    proof: SignerProof,
    hash: HashUsed,
    sct: SctProof,
    time_source: TimeSource,
}

impl Established {
    fn key(key: &PublicKey, hash: HashUsed, times: &Times) -> Self {
        Self {
            proof: SignerProof::Key {
                fingerprint: key.fingerprint().clone(),
                key: key.clone(),
            },
            hash,
            sct: SctProof::NotApplicable,
            time_source: if times.vouched {
                times.source
            } else {
                TimeSource::NotNeeded
            },
        }
    }
}

/// Steps 6 and 7: a given key needs neither.
fn check_signer(
    verifier: &Verifier,
    candidate: &Candidate<'_>,
    signed: Signed<'_>,
    times: &Times,
) -> Result<Established, Reason> {
    let Signed { by, hash } = signed;
    let (leaf, given, first) = match by {
        By::Key(key) => return Ok(Established::key(key, hash, times)),
        By::Certificate { leaf, given, first } => (leaf, given, first),
    };
    let path = match (
        check_path(verifier, &offered(verifier, candidate), &leaf, first, times),
        given,
    ) {
        (Ok(path), _) => path,
        (Err(_), Some(key)) => return Ok(Established::key(key, hash, times)),
        (Err(reason), None) => return Err(reason),
    };
    Ok(Established {
        sct: sct::verify(&leaf, &path.issuer_spki, &verifier.ct_logs())?,
        proof: SignerProof::Certificate(Box::new(leaf.facts(&path.authority)?)),
        hash,
        time_source: times.source,
    })
}

fn check_timestamps(
    verifier: &Verifier,
    candidate: &Candidate<'_>,
    now: UnixTime,
) -> Result<(Vec<TimestampProof>, usize), Reason> {
    let known = verifier.timestamp_authorities();
    if known.is_empty() {
        return Ok((Vec::new(), candidate.timestamps.len()));
    }
    let mut proofs: Vec<TimestampProof> = Vec::new();
    for response in &candidate.timestamps {
        let proof = timestamp::verify(response, candidate.stamped, &known, now)?;
        if !proofs.contains(&proof) {
            proofs.push(proof);
        }
    }
    Ok((proofs, 0))
}

fn check_entries(
    verifier: &Verifier,
    candidate: &Candidate<'_>,
    signed: &Signed<'_>,
    stamped: &[UnixTime],
    now: UnixTime,
) -> Result<(Vec<LogProof>, Vec<SkippedLog>), Reason> {
    let known = verifier.logs();
    let signer = match &signed.by {
        By::Certificate { leaf, .. } => Signer::Certificate {
            der: &leaf.der,
            key: &leaf.key,
        },
        By::Key(key) => Signer::Key(key),
    };
    let claim = Claim {
        signature: candidate.signature,
        signer,
        message: &candidate.message,
        payload: match &candidate.payload {
            Payload::Envelope(envelope) => Some((&envelope.payload_type, &envelope.payload)),
            _ => None,
        },
        envelope: candidate.written,
    };
    let mut proofs: Vec<LogProof> = Vec::new();
    let mut skipped = Vec::new();
    for entry in &candidate.entries {
        match log::verify(entry, &claim, &known, stamped, now)? {
            Outcome::Skipped(log) => skipped.push(log),
            // CVE-2026-49834: a log is one witness, however many of its entries are shown.
            Outcome::Verified(proof) => match proofs.iter_mut().find(|known| known.log_id == proof.log_id) {
                Some(known) => known.merge(&proof),
                None => proofs.push(proof),
            },
        }
    }
    Ok((proofs, skipped))
}

impl LogProof {
    /// Another entry of the same log; the earliest promised time is the one that counts.
    fn merge(&mut self, other: &Self) {
        self.entries += other.entries;
        self.promise |= other.promise;
        self.inclusion |= other.inclusion;
        self.integrated_time = match (self.integrated_time, other.integrated_time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
