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
        for der in chain {
            parse(der)?;
        }
        Ok(Self {
            leaf: leaf.clone(),
            chain: chain.to_vec(),
        })
    }

    /// The certificate alone, as cosign writes it: it and sigstore-go up to 1.3 read no chain in a bundle v0.3, and cosign
    /// no older bundle on an image. Whoever verifies has the intermediates beside the root.
    pub(super) fn material(&self) -> KeyMaterial {
        KeyMaterial::Certificate(self.leaf.clone())
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
