//! Verification proper: from one piece of evidence to one proof or one rejection.

use std::borrow::Cow;

use proofmark_evidence::bundle::{Bundle, Content, KeyMaterial, MAX_LOG_ENTRIES, MAX_TIMESTAMPS};
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::legacy::{LegacyAttestation, LegacySignature};
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_types::{Digest, DigestAlgorithm, UnixTime};
use rustls_pki_types::CertificateDer;

use crate::certificate::Leaf;
use crate::chain::{self, ChainFailure, MAX_CHAIN};
use crate::key::{HashUsed, PublicKey, SignatureError};
use crate::log::body::{Claim, Message, Signer};
use crate::log::{self, Entry, Outcome};
use crate::payload::{self, Said};
use crate::proof::{LogProof, Proof, Proofs, SctProof, SignerProof, SkippedLog, TimeSource, TimestampProof};
use crate::reason::{Reason, Rejection};
use crate::trust_root::{Authority, LogKey, TrustRoot};
use crate::verifier::{Artifact, Verifier};
use crate::{sct, timestamp};

/// Everything on one digest, each piece by itself: a broken neighbour hides nothing and proves nothing.
pub(crate) fn verify_set(verifier: &Verifier, evidence: &EvidenceSet, now: UnixTime) -> Proofs {
    let mut proofs = Proofs {
        subject: evidence.subject.clone(),
        proofs: Vec::new(),
        rejections: Vec::new(),
        incomplete: evidence.incomplete.clone(),
    };
    for item in &evidence.items {
        let subject = Subject::Image(&evidence.subject);
        let outcome = Candidate::of_item(item, subject).and_then(|candidate| establish(verifier, &candidate, now));
        proofs.add(&item.origin, outcome);
    }
    proofs
}

/// One bundle beside one file.
pub(crate) fn verify_blob(verifier: &Verifier, bundle: &Bundle, artifact: &Artifact<'_>, now: UnixTime) -> Proofs {
    let subject = match artifact {
        Artifact::Bytes(bytes) => Digest::sha256_of(bytes),
        Artifact::Digest(digest) => (*digest).clone(),
    };
    let mut proofs = Proofs {
        subject,
        proofs: Vec::new(),
        rejections: Vec::new(),
        incomplete: Vec::new(),
    };
    let outcome = Candidate::of_bundle(&Origin::Local, bundle, Subject::Blob(*artifact))
        .and_then(|candidate| establish(verifier, &candidate, now));
    proofs.add(&Origin::Local, outcome);
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

/// What the evidence must be about.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    Image(&'a Digest),
    Blob(Artifact<'a>),
}

impl Subject<'_> {
    /// Whether this is the subject's digest, by whichever algorithm.
    pub(crate) fn is(&self, digest: &Digest) -> bool {
        match self {
            Self::Image(subject) | Self::Blob(Artifact::Digest(subject)) => *subject == digest,
            Self::Blob(Artifact::Bytes(bytes)) => digest.matches(bytes),
        }
    }

    /// Whether a digest by this algorithm can be told right from wrong.
    pub(crate) fn can_check(&self, algorithm: DigestAlgorithm) -> bool {
        match self {
            Self::Image(subject) | Self::Blob(Artifact::Digest(subject)) => subject.algorithm() == algorithm,
            Self::Blob(Artifact::Bytes(_)) => true,
        }
    }

    /// The digest that messages name it by.
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Image(subject) | Self::Blob(Artifact::Digest(subject)) => (*subject).clone(),
            Self::Blob(Artifact::Bytes(bytes)) => Digest::sha256_of(bytes),
        }
    }
}

/// One signature with all that came with it, whichever layout it was in.
struct Candidate<'a> {
    origin: &'a Origin,
    subject: Subject<'a>,
    payload: Payload<'a>,
    signature: &'a [u8],
    message: Message<'a>,
    certificate: Option<&'a [u8]>,
    intermediates: &'a [Vec<u8>],
    entries: Vec<Entry<'a>>,
    timestamps: Vec<&'a [u8]>,
    /// What timestamps are over.
    stamped: &'a [u8],
    /// The envelope as it was written.
    written: Option<&'a [u8]>,
}

/// What is said, to be read when it is known who said it.
pub(crate) enum Payload<'a> {
    Envelope(&'a Envelope),
    Claims(&'a [u8]),
    Message { digest: Option<&'a Digest> },
}

impl<'a> Candidate<'a> {
    fn of_item(item: &'a Item, subject: Subject<'a>) -> Result<Self, Reason> {
        match &item.content {
            ItemContent::Bundle(bundle) => Self::of_bundle(&item.origin, bundle, subject),
            ItemContent::LegacySignature(signature) => Ok(Self::of_legacy_signature(&item.origin, signature, subject)),
            ItemContent::LegacyAttestation(attestation) => {
                Self::of_legacy_attestation(&item.origin, attestation, subject)
            }
            ItemContent::Unreadable { code, reason } => Err(Reason::Unreadable {
                code,
                reason: reason.clone(),
            }),
            _ => Err(Reason::Unreadable {
                code: "evidence-kind-unknown",
                reason: "this kind of evidence is not known here".to_owned(),
            }),
        }
    }

    fn of_bundle(origin: &'a Origin, bundle: &'a Bundle, subject: Subject<'a>) -> Result<Self, Reason> {
        let (certificate, intermediates): (Option<&[u8]>, &[Vec<u8>]) = match &bundle.material.key {
            KeyMaterial::Certificate(der) => (Some(der), &[]),
            KeyMaterial::Chain(chain) => match chain.split_first() {
                Some((leaf, rest)) => (Some(leaf), rest),
                None => (None, &[]),
            },
            // The hint is not signed: it is no reason to trust a key, nor to leave one out.
            KeyMaterial::PublicKeyHint(_) => (None, &[]),
        };
        let (payload, signature, message) = match &bundle.content {
            Content::Dsse(envelope) => {
                let signature = single_signature(envelope)?;
                let message = Message::Bytes(Cow::Owned(envelope.pae()));
                (Payload::Envelope(envelope), signature, message)
            }
            Content::MessageSignature { digest, signature } => {
                let message = match subject {
                    Subject::Blob(Artifact::Bytes(bytes)) => Message::Bytes(Cow::Borrowed(bytes)),
                    Subject::Image(digest) | Subject::Blob(Artifact::Digest(digest)) => Message::Digest(digest),
                };
                let payload = Payload::Message {
                    digest: digest.as_ref(),
                };
                (payload, signature.as_slice(), message)
            }
        };
        Ok(Self {
            origin,
            subject,
            payload,
            signature,
            message,
            certificate,
            intermediates,
            entries: bundle.material.tlog_entries.iter().map(Entry::of_bundle).collect(),
            timestamps: bundle.material.timestamps.iter().map(Vec::as_slice).collect(),
            stamped: signature,
            written: None,
        })
    }

    fn of_legacy_signature(origin: &'a Origin, signature: &'a LegacySignature, subject: Subject<'a>) -> Self {
        Self {
            origin,
            subject,
            payload: Payload::Claims(&signature.payload),
            signature: &signature.signature,
            message: Message::Bytes(Cow::Borrowed(&signature.payload)),
            certificate: signature.certificate.as_deref(),
            intermediates: &signature.chain,
            entries: signature.log_bundle.iter().map(Entry::of_annotation).collect(),
            timestamps: signature.timestamp.iter().map(Vec::as_slice).collect(),
            stamped: &signature.signature,
            written: None,
        }
    }

    fn of_legacy_attestation(
        origin: &'a Origin,
        attestation: &'a LegacyAttestation,
        subject: Subject<'a>,
    ) -> Result<Self, Reason> {
        let envelope = &attestation.envelope;
        Ok(Self {
            origin,
            subject,
            payload: Payload::Envelope(envelope),
            signature: single_signature(envelope)?,
            message: Message::Bytes(Cow::Owned(envelope.pae())),
            certificate: attestation.certificate.as_deref(),
            intermediates: &attestation.chain,
            entries: attestation.log_bundle.iter().map(Entry::of_annotation).collect(),
            timestamps: attestation.timestamp.iter().map(Vec::as_slice).collect(),
            stamped: &attestation.raw,
            written: Some(&attestation.raw),
        })
    }
}

fn single_signature(envelope: &Envelope) -> Result<&[u8], Reason> {
    match envelope.signatures.as_slice() {
        [signature] => Ok(&signature.sig),
        other => Err(Reason::SignatureCount { seen: other.len() }),
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
///    with bytes that were not signed does not matter.
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
    let root = verifier.trust_root.as_deref();
    // 1. Bounds.
    check_bounds(candidate)?;
    // 2. Signer, and 3. signature.
    let signed = check_signature(verifier, candidate)?;
    // 4. Timestamps.
    let (timestamps, skipped_timestamps) = check_timestamps(candidate, root, now)?;
    let stamped: Vec<UnixTime> = timestamps.iter().map(|timestamp| timestamp.time).collect();
    // 5. Log entries.
    let (logs, skipped_logs) = check_entries(candidate, &signed, root, &stamped, now)?;
    // 6. Certificate path, and 7. SCTs.
    let times = Times::of(&timestamps, &logs, now);
    let (signer, sct, time_source) = match signed.by {
        By::Key(key) => {
            let source = if times.vouched {
                times.source
            } else {
                TimeSource::NotNeeded
            };
            let signer = SignerProof::Key {
                fingerprint: key.fingerprint().clone(),
                key: key.clone(),
            };
            (signer, SctProof::NotApplicable, source)
        }
        By::Certificate(leaf) => {
            let path = check_path(verifier, candidate, &leaf, &times)?;
            let sct = sct::verify(&leaf, &path.issuer_spki, root.map_or(&[], TrustRoot::ct_logs))?;
            let facts = leaf.facts(&path.authority)?;
            (SignerProof::Certificate(Box::new(facts)), sct, times.source)
        }
    };
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
        signer,
        hash: signed.hash,
        logs,
        skipped_logs,
        timestamps,
        skipped_timestamps,
        sct,
        time_source,
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
    /// The key made it; whether the certificate is to be believed is another step.
    Certificate(Box<Leaf<'a>>),
}

fn check_signature<'a>(verifier: &'a Verifier, candidate: &Candidate<'a>) -> Result<Signed<'a>, Reason> {
    if candidate.signature.is_empty() {
        return Err(Reason::SignatureEmpty);
    }
    let Some(der) = candidate.certificate else {
        return check_keys(verifier, candidate);
    };
    let leaf = Leaf::parse(der)?;
    // A certificate over a key that was given: the key is believed by itself, as with cosign's `--key`.
    let given = verifier.keys.iter().find(|key| **key == leaf.key);
    if given.is_none() && authorities(verifier).next().is_none() {
        return Err(Reason::NoAuthorityGiven);
    }
    let hash = signature_by(&leaf.key, candidate)
        .map_err(|error| bytes_needed(&error).unwrap_or(Reason::SignatureNotByCertificate { error }))?;
    let by = match given {
        Some(key) if authorities(verifier).next().is_none() => By::Key(key),
        _ => By::Certificate(Box::new(leaf)),
    };
    Ok(Signed { by, hash })
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
        Message::Digest(digest) => key.verify_digest(digest, candidate.signature),
    }
}

fn bytes_needed(error: &SignatureError) -> Option<Reason> {
    match error {
        SignatureError::DigestUnsuitable { algorithm, digest } => Some(Reason::BytesNeeded { algorithm, digest }),
        _ => None,
    }
}

fn check_timestamps(
    candidate: &Candidate<'_>,
    root: Option<&TrustRoot>,
    now: UnixTime,
) -> Result<(Vec<TimestampProof>, usize), Reason> {
    let known = root.map_or(&[][..], TrustRoot::timestamp_authorities);
    if known.is_empty() {
        return Ok((Vec::new(), candidate.timestamps.len()));
    }
    let mut proofs: Vec<TimestampProof> = Vec::new();
    for response in &candidate.timestamps {
        let proof = timestamp::verify(response, candidate.stamped, known, now)?;
        if !proofs.contains(&proof) {
            proofs.push(proof);
        }
    }
    Ok((proofs, 0))
}

fn check_entries(
    candidate: &Candidate<'_>,
    signed: &Signed<'_>,
    root: Option<&TrustRoot>,
    stamped: &[UnixTime],
    now: UnixTime,
) -> Result<(Vec<LogProof>, Vec<SkippedLog>), Reason> {
    let known: &[LogKey] = root.map_or(&[], TrustRoot::logs);
    let signer = match (&signed.by, candidate.certificate) {
        (By::Certificate(leaf), _) => Signer::Certificate {
            der: &leaf.der,
            key: &leaf.key,
        },
        (By::Key(key), Some(der)) => Signer::Certificate { der, key },
        (By::Key(key), None) => Signer::Key(key),
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
        match log::verify(entry, &claim, known, stamped, now)? {
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

/// The times at which a certificate has to be valid: all of them.
struct Times {
    at: Vec<(UnixTime, &'static str)>,
    source: TimeSource,
    /// Whether anybody but our own clock says so.
    vouched: bool,
}

impl Times {
    fn of(timestamps: &[TimestampProof], logs: &[LogProof], now: UnixTime) -> Self {
        let stamped = timestamps
            .iter()
            .map(|timestamp| (timestamp.time, TimeSource::TimestampAuthority));
        let promised = logs
            .iter()
            .filter_map(|log| Some((log.integrated_time?, TimeSource::TransparencyLog)));
        let found: Vec<(UnixTime, TimeSource)> = stamped.chain(promised).collect();
        let Some((_, source)) = found.first().copied() else {
            return Self {
                at: vec![(now, TimeSource::CurrentTime.name())],
                source: TimeSource::CurrentTime,
                vouched: false,
            };
        };
        let mut at: Vec<(UnixTime, &'static str)> = found.iter().map(|(at, source)| (*at, source.name())).collect();
        at.dedup_by_key(|(at, _)| *at);
        Self {
            at,
            source,
            vouched: true,
        }
    }
}

/// Where a certificate leads.
struct Trusted {
    issuer_spki: Vec<u8>,
    authority: String,
}

fn check_path(
    verifier: &Verifier,
    candidate: &Candidate<'_>,
    leaf: &Leaf<'_>,
    times: &Times,
) -> Result<Trusted, Reason> {
    let offered: Vec<CertificateDer<'_>> = if verifier.intermediates_from_evidence {
        candidate
            .intermediates
            .iter()
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect()
    } else {
        Vec::new()
    };
    let mut trusted = None;
    for (at, source_name) in &times.at {
        let found = path_at(verifier, leaf, &offered, *at, source_name)?;
        trusted.get_or_insert(found);
    }
    trusted.ok_or(Reason::NoAuthorityGiven)
}

/// A path at one time; of several failures the most specific one is told.
fn path_at(
    verifier: &Verifier,
    leaf: &Leaf<'_>,
    offered: &[CertificateDer<'_>],
    at: UnixTime,
    source_name: &'static str,
) -> Result<Trusted, Reason> {
    let outside = |detail: String| Reason::CertificateOutsideValidity {
        at,
        source_name,
        detail,
    };
    if let Err(ChainFailure::OutsideValidity(detail)) = leaf.window.check(at) {
        return Err(outside(detail));
    }
    let mut failure = Reason::NoAuthorityGiven;
    for authority in authorities(verifier) {
        match authority.path(leaf, offered, at) {
            Ok(path) => {
                return Ok(Trusted {
                    issuer_spki: path.issuer_spki,
                    authority: authority.name().to_owned(),
                });
            }
            Err(ChainFailure::OutsideValidity(detail)) => failure = outside(detail),
            Err(ChainFailure::Untrusted(detail)) => {
                if !matches!(failure, Reason::CertificateOutsideValidity { .. }) {
                    failure = Reason::CertificateUntrusted {
                        at,
                        source_name,
                        detail,
                    };
                }
            }
        }
    }
    Err(failure)
}

/// An authority of the trust root, or one's own.
enum Believed<'a> {
    Listed(&'a Authority),
    Own(&'a chain::PreparedAuthority),
}

impl Believed<'_> {
    fn path(&self, leaf: &Leaf<'_>, offered: &[CertificateDer<'_>], at: UnixTime) -> Result<chain::Path, ChainFailure> {
        let (prepared, validity) = match self {
            Self::Listed(authority) => (&authority.prepared, authority.validity),
            Self::Own(prepared) => (*prepared, crate::trust_root::Validity::default()),
        };
        let path = prepared.path(&leaf.der, offered, at, chain::CODE_SIGNING)?;
        // Only an authority that leads to the certificate is worth naming as one that was not believed then.
        if validity.contains(at) {
            Ok(path)
        } else {
            Err(ChainFailure::OutsideValidity(format!(
                "the authority {} is not believed at that time",
                self.name()
            )))
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Listed(authority) => authority.name(),
            Self::Own(prepared) => prepared.subject(),
        }
    }
}

fn authorities(verifier: &Verifier) -> impl Iterator<Item = Believed<'_>> {
    let listed = verifier
        .trust_root
        .iter()
        .flat_map(|root| root.certificate_authorities().iter().map(Believed::Listed));
    let own = verifier.own_authorities.iter().map(|prepared| Believed::Own(prepared));
    listed.chain(own)
}
