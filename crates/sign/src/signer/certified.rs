//! A certificate of one's own authority beside a key (cosign's `--certificate` and `--certificate-chain`).

use der::{Decode, Encode};
use proofmark_evidence::bundle::KeyMaterial;
use proofmark_verify::Verifier;
use x509_cert::Certificate;

use crate::error::SignError;
use crate::key::SigningKey;

/// The most certificates of a chain, as in bundles.
const MAX_CHAIN: usize = 10;

/// The certificate, and who vouches for it.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    pub(super) leaf: Vec<u8>,
    /// Intermediates, and perhaps the root.
    pub(super) chain: Vec<Vec<u8>>,
    /// How many of the chain are intermediates.
    intermediates: usize,
}

impl OwnCertificate {
    /// DER, the leaf first, which must be on the key.
    pub(super) fn of(certificates: &[Vec<u8>], key: &SigningKey) -> Result<Self, SignError> {
        let unusable = |reason: &str| SignError::Certificate {
            reason: reason.to_owned(),
        };
        let (leaf, chain) = certificates.split_first().ok_or_else(|| unusable("there is none"))?;
        if chain.len() > MAX_CHAIN {
            return Err(unusable("its chain is too long"));
        }
        let parse = |der: &[u8]| Certificate::from_der(der).map_err(|_| unusable("it is malformed"));
        let spki = parse(leaf)?.tbs_certificate.subject_public_key_info.to_der();
        if spki.map_err(|_| unusable("its key is malformed"))? != key.public_key().spki_der() {
            return Err(SignError::CertificateKey);
        }
        let mut intermediates = 0;
        for der in chain {
            let body = parse(der)?.tbs_certificate;
            if body.issuer != body.subject {
                intermediates += 1;
            }
        }
        Ok(Self {
            leaf: leaf.clone(),
            chain: chain.to_vec(),
            intermediates,
        })
    }

    /// The root must never come with what it vouches for; intermediates may.
    pub(super) fn material(&self) -> KeyMaterial {
        if self.intermediates == 0 {
            return KeyMaterial::Certificate(self.leaf.clone());
        }
        let mut chain = vec![self.leaf.clone()];
        chain.extend(self.chain.iter().take(self.intermediates).cloned());
        KeyMaterial::Chain(chain)
    }

    /// A verifier that believes the chain, or else whom it believes already.
    pub(super) fn believed_by(&self, verifier: Verifier) -> Result<Verifier, SignError> {
        if self.chain.is_empty() {
            return Ok(verifier);
        }
        verifier
            .with_ca_chain(&self.chain)
            .map_err(|error| SignError::Certificate {
                reason: error.to_string(),
            })
    }
}
