//! One signature with all that came with it, whichever layout it was in: a bundle, a `.sig` or an `.att` layer.

use std::borrow::Cow;

use proofmark_evidence::bundle::{Bundle, Content, KeyMaterial};
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::legacy::{Detached, DetachedContent, LegacyAttestation, LegacySignature};
use proofmark_evidence::{Item, ItemContent, Origin};
use proofmark_types::{Digest, DigestAlgorithm};

use crate::log::Entry;
use crate::log::body::Message;
use crate::reason::Reason;
use crate::verifier::Artifact;

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
            Self::Image(subject) => *subject == digest,
            Self::Blob(Artifact::Bytes(bytes)) => digest.matches(bytes),
            Self::Blob(artifact) => artifact.digests().contains(digest),
        }
    }

    /// Whether a digest by this algorithm can be told right from wrong.
    pub(crate) fn can_check(&self, algorithm: DigestAlgorithm) -> bool {
        match self {
            Self::Image(subject) => subject.algorithm() == algorithm,
            Self::Blob(Artifact::Bytes(_)) => true,
            Self::Blob(artifact) => artifact.digests().iter().any(|known| known.algorithm() == algorithm),
        }
    }

    /// The digest that messages name it by.
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Image(subject) => (*subject).clone(),
            Self::Blob(artifact) => artifact.name(),
        }
    }
}

/// One signature with all that came with it, whichever layout it was in.
pub(crate) struct Candidate<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) subject: Subject<'a>,
    pub(crate) payload: Payload<'a>,
    pub(crate) signature: &'a [u8],
    pub(crate) message: Message<'a>,
    pub(crate) certificate: Option<&'a [u8]>,
    pub(crate) intermediates: &'a [Vec<u8>],
    /// Whether those are offered to authorities of one's own without being asked: the older layouts have nothing else.
    pub(crate) offers_chain: bool,
    pub(crate) entries: Vec<Entry<'a>>,
    pub(crate) timestamps: Vec<&'a [u8]>,
    /// What timestamps are over.
    pub(crate) stamped: &'a [u8],
    /// The envelope as it was written.
    pub(crate) written: Option<&'a [u8]>,
}

/// What is said, to be read when it is known who said it.
pub(crate) enum Payload<'a> {
    Envelope(&'a Envelope),
    Claims(&'a [u8]),
    Message { digest: Option<&'a Digest> },
}

impl<'a> Candidate<'a> {
    pub(crate) fn of_item(item: &'a Item, subject: Subject<'a>) -> Result<Self, Reason> {
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

    pub(crate) fn of_bundle(origin: &'a Origin, bundle: &'a Bundle, subject: Subject<'a>) -> Result<Self, Reason> {
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
                    Subject::Blob(artifact) => Message::Digests(artifact.digests()),
                    // Nothing under such a signature says that it was made for a container image: a blob that someone
                    // signed could be pushed as a manifest. cosign refuses it as well.
                    Subject::Image(_) => return Err(Reason::MessageOnImage),
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
            offers_chain: false,
            entries: bundle.material.tlog_entries.iter().map(Entry::of_bundle).collect(),
            timestamps: bundle.material.timestamps.iter().map(Vec::as_slice).collect(),
            stamped: signature,
            written: None,
        })
    }

    pub(crate) fn of_detached(
        origin: &'a Origin,
        detached: &'a Detached,
        artifact: Artifact<'a>,
    ) -> Result<Self, Reason> {
        let (payload, signature, message, written) = match &detached.content {
            DetachedContent::Signature(signature) => {
                let message = match artifact {
                    Artifact::Bytes(bytes) => Message::Bytes(Cow::Borrowed(bytes)),
                    Artifact::Digest(_) | Artifact::Digests(_) => Message::Digests(artifact.digests()),
                };
                (Payload::Message { digest: None }, signature.as_slice(), message, None)
            }
            DetachedContent::Attestation { envelope, raw } => {
                let message = Message::Bytes(Cow::Owned(envelope.pae()));
                let signature = single_signature(envelope)?;
                (Payload::Envelope(envelope), signature, message, Some(raw.as_slice()))
            }
        };
        Ok(Self {
            origin,
            subject: Subject::Blob(artifact),
            payload,
            signature,
            message,
            certificate: detached.certificate.as_deref(),
            intermediates: &detached.chain,
            offers_chain: true,
            entries: detached.log_bundle.iter().map(Entry::of_annotation).collect(),
            timestamps: detached.timestamp.iter().map(Vec::as_slice).collect(),
            stamped: written.unwrap_or(signature),
            written,
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
            offers_chain: true,
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
            offers_chain: true,
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
