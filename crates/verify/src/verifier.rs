//! The verifier: trust anchors on one side, evidence on the other.

use std::sync::Arc;

use proofmark_evidence::EvidenceSet;
use proofmark_evidence::bundle::Bundle;
use proofmark_types::{Digest, Digests, UnixTime};
use thiserror::Error;

use crate::chain::PreparedAuthority;
use crate::key::PublicKey;
use crate::proof::Proofs;
use crate::trust_root::TrustRoot;

/// What is believed: keys, a trust root, one's own certificate authorities. Cheap to clone, made once, used often.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) trust_root: Option<Arc<TrustRoot>>,
    pub(crate) own_authorities: Vec<Arc<PreparedAuthority>>,
    pub(crate) intermediates_from_evidence: bool,
}

impl Verifier {
    /// A verifier that believes nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes signatures of `key` too. Any of the keys may be the signer.
    #[must_use]
    pub fn with_key(mut self, key: PublicKey) -> Self {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
        self
    }

    /// Believes the authorities, logs and timestamp authorities of `trust_root`.
    #[must_use]
    pub fn with_trust_root(mut self, trust_root: Arc<TrustRoot>) -> Self {
        self.trust_root = Some(trust_root);
        self
    }

    /// Believes certificates under one's own authority: DER certificates, intermediates first, the anchor last.
    pub fn with_ca_chain(mut self, certificates: &[Vec<u8>]) -> Result<Self, VerifierError> {
        let prepared =
            PreparedAuthority::new(certificates.to_vec()).map_err(|detail| VerifierError::CaChain { detail })?;
        self.own_authorities.push(Arc::new(prepared));
        Ok(self)
    }

    /// Takes intermediates that come with the evidence too (cosign's `--allow-certificate-chain`), for authorities of
    /// one's own whose intermediates are not distributed. Anchors never come from there.
    #[must_use]
    pub fn with_intermediates_from_evidence(mut self) -> Self {
        self.intermediates_from_evidence = true;
        self
    }

    /// The keys that are believed.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The trust root that is believed.
    #[must_use]
    pub fn trust_root(&self) -> Option<&Arc<TrustRoot>> {
        self.trust_root.as_ref()
    }

    /// Says of each piece of evidence on an image what it proves, or why it proves nothing.
    #[must_use]
    pub fn verify(&self, evidence: &EvidenceSet, now: UnixTime) -> Proofs {
        crate::steps::verify_set(self, evidence, now)
    }

    /// Says of a bundle beside a file what it proves, or why it proves nothing.
    #[must_use]
    pub fn verify_blob(&self, bundle: &Bundle, artifact: &Artifact<'_>, now: UnixTime) -> Proofs {
        crate::steps::verify_blob(self, bundle, artifact, now)
    }
}

/// What a bundle beside a file is about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Artifact<'a> {
    /// The file's bytes. Some keys (pure Ed25519) need them.
    Bytes(&'a [u8]),
    /// The file's digest alone.
    Digest(&'a Digest),
    /// The digests of a file that is too large to be held.
    Digests(&'a Digests),
}

impl<'a> Artifact<'a> {
    /// The digests that are known without the bytes.
    pub(crate) fn digests(self) -> &'a [Digest] {
        match self {
            Self::Bytes(_) => &[],
            Self::Digest(digest) => std::slice::from_ref(digest),
            Self::Digests(digests) => digests.as_slice(),
        }
    }

    /// The digest that messages name it by.
    pub(crate) fn name(self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::sha256_of(bytes),
            Self::Digest(digest) => digest.clone(),
            Self::Digests(digests) => digests.sha256().clone(),
        }
    }
}

/// Why trust anchors cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// The chain of one's own authority is empty, too long, or holds something that is not a certificate.
    #[error("the certificate chain of the authority is not usable: {detail}")]
    CaChain {
        /// What is wrong.
        detail: String,
    },
}

impl VerifierError {
    /// A stable word for outputs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::CaChain { .. } => "ca-chain",
        }
    }
}
