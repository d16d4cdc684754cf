//! The verifier: trust anchors on one side, evidence on the other.

use std::sync::Arc;

use proofmark_evidence::EvidenceSet;
use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::encoding::pem_decode_up_to;
use proofmark_evidence::legacy::Detached;
use proofmark_types::{Digest, DigestAlgorithm, Digests, UnixTime};
use thiserror::Error;

use crate::chain::{MAX_CHAIN, PreparedAuthority};
use crate::key::PublicKey;
use crate::proof::Proofs;
use crate::trust_root::{Authority, LogKey, TrustRoot};

/// Anchors of one's own: the store of a browser or an operating system has some 150.
const MAX_ROOTS: usize = 256;

/// Intermediates of one's own.
const MAX_INTERMEDIATES: usize = 32;

/// A file of certificates: [`MAX_ROOTS`] of them with RSA-4096 keys.
const MAX_PEM_BYTES: usize = 1024 * 1024;

/// What is believed: keys, a trust root, one's own certificate authorities. Cheap to clone, made once, used often.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) trust_root: Option<Arc<TrustRoot>>,
    pub(crate) own_authorities: Vec<Arc<PreparedAuthority>>,
    pub(crate) own_timestamp_authorities: Vec<Arc<Authority>>,
    pub(crate) own_logs: Vec<LogKey>,
    pub(crate) own_ct_logs: Vec<LogKey>,
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

    /// Believes the authorities, logs and timestamp authorities of `trust_root`; where authorities of one's own are
    /// given, those in place of its.
    #[must_use]
    pub fn with_trust_root(mut self, trust_root: Arc<TrustRoot>) -> Self {
        self.trust_root = Some(trust_root);
        self
    }

    /// Believes certificates under one's own authority: DER certificates, intermediates first, the anchor last
    /// (cosign's `--certificate-chain`).
    pub fn with_ca_chain(mut self, certificates: &[Vec<u8>]) -> Result<Self, VerifierError> {
        let prepared =
            PreparedAuthority::new(certificates.to_vec()).map_err(|detail| VerifierError::CaChain { detail })?;
        self.own_authorities.push(Arc::new(prepared));
        Ok(self)
    }

    /// [`Verifier::with_ca_chain`] from a PEM file.
    pub fn with_ca_chain_pem(self, chain: &[u8]) -> Result<Self, VerifierError> {
        self.with_ca_chain(&certificates(chain, MAX_CHAIN)?)
    }

    /// Believes certificates under any of one's own `roots`, directly or by way of `intermediates`, which are
    /// believed for being signed by a root and valid at the time and for nothing else (cosign's `--ca-roots` and
    /// `--ca-intermediates`). DER.
    pub fn with_authority(mut self, roots: &[Vec<u8>], intermediates: &[Vec<u8>]) -> Result<Self, VerifierError> {
        let refused = |detail: String| VerifierError::CaChain { detail };
        for (what, seen, limit) in [
            ("roots", roots.len(), MAX_ROOTS),
            ("intermediates", intermediates.len(), MAX_INTERMEDIATES),
        ] {
            if seen > limit {
                return Err(refused(format!(
                    "at most {limit} {what} are accepted, there are {seen}"
                )));
            }
        }
        if roots.is_empty() {
            return Err(refused("there is no root certificate".to_owned()));
        }
        for root in roots {
            let prepared = PreparedAuthority::anchored(intermediates.to_vec(), root.clone()).map_err(refused)?;
            self.own_authorities.push(Arc::new(prepared));
        }
        Ok(self)
    }

    /// [`Verifier::with_authority`] from PEM files.
    pub fn with_authority_pem(self, roots: &[u8], intermediates: Option<&[u8]>) -> Result<Self, VerifierError> {
        let roots = certificates(roots, MAX_ROOTS)?;
        let intermediates = match intermediates {
            Some(pem) => certificates(pem, MAX_INTERMEDIATES)?,
            None => Vec::new(),
        };
        self.with_authority(&roots, &intermediates)
    }

    /// Believes timestamps of one's own authority: a PEM chain, the anchor last (cosign's
    /// `--timestamp-certificate-chain`).
    pub fn with_timestamp_authority_pem(mut self, chain: &[u8]) -> Result<Self, VerifierError> {
        let chain = certificates(chain, MAX_CHAIN)?;
        let authority = Authority::own(chain).map_err(|detail| VerifierError::CaChain { detail })?;
        self.own_timestamp_authorities.push(Arc::new(authority));
        Ok(self)
    }

    /// Believes the Rekor v1 log with this key, at any time (cosign's `SIGSTORE_REKOR_PUBLIC_KEY`). A Rekor v2 log
    /// is known by its name as well, for which there is the trust root.
    #[must_use]
    pub fn with_log_key(mut self, key: PublicKey) -> Self {
        self.own_logs.push(LogKey::own(key));
        self
    }

    /// Believes the certificate log with this key, at any time (cosign's `SIGSTORE_CT_LOG_PUBLIC_KEY_FILE`).
    #[must_use]
    pub fn with_ct_log_key(mut self, key: PublicKey) -> Self {
        self.own_ct_logs.push(LogKey::own(key));
        self
    }

    /// Takes intermediates that come in bundles too (cosign's `--allow-certificate-chain`), for authorities of one's
    /// own whose intermediates are not distributed. Anchors never come from there. Intermediates beside signatures of
    /// the older layouts are always offered to authorities of one's own, as cosign does.
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

    /// Says of a signature or an attestation in a file of its own what it proves about another file, or why it proves
    /// nothing: what cosign wrote before bundles.
    #[must_use]
    pub fn verify_blob_legacy(&self, detached: &Detached, artifact: &Artifact<'_>, now: UnixTime) -> Proofs {
        crate::steps::verify_detached(self, detached, artifact, now)
    }

    /// The timestamp authorities that are believed.
    pub(crate) fn timestamp_authorities(&self) -> Vec<&Authority> {
        let listed = self.trust_root.iter().flat_map(|root| root.timestamp_authorities());
        listed
            .chain(self.own_timestamp_authorities.iter().map(Arc::as_ref))
            .collect()
    }

    /// The transparency logs that are believed.
    pub(crate) fn logs(&self) -> Vec<&LogKey> {
        let listed = self.trust_root.iter().flat_map(|root| root.logs());
        listed.chain(&self.own_logs).collect()
    }

    /// The certificate logs that are believed.
    pub(crate) fn ct_logs(&self) -> Vec<&LogKey> {
        let listed = self.trust_root.iter().flat_map(|root| root.ct_logs());
        listed.chain(&self.own_ct_logs).collect()
    }
}

/// The certificates of a PEM file; at least one, and nothing but certificates.
fn certificates(pem: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, VerifierError> {
    let refused = |detail: &str| VerifierError::CaChain {
        detail: detail.to_owned(),
    };
    if pem.len() > MAX_PEM_BYTES {
        return Err(refused(&format!(
            "a file of certificates has at most {MAX_PEM_BYTES} bytes, this has {}",
            pem.len()
        )));
    }
    let text = std::str::from_utf8(pem).map_err(|_| refused("it is not a PEM file"))?;
    match pem_decode_up_to("CERTIFICATE", text, limit) {
        Some(found) if !found.is_empty() => Ok(found),
        Some(_) => Err(refused("the file holds no PEM certificate")),
        None => Err(refused(&format!(
            "the file holds a PEM block that is not a certificate, or more than {limit}"
        ))),
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
    /// The digest by this function; none if only digests by others are known.
    #[must_use]
    pub fn digest(self, algorithm: DigestAlgorithm) -> Option<Digest> {
        match self {
            Self::Bytes(bytes) => Some(Digest::of(algorithm, bytes)),
            _ => self
                .digests()
                .iter()
                .find(|known| known.algorithm() == algorithm)
                .cloned(),
        }
    }

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
