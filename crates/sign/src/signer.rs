//! Signing itself. Whatever is made is verified, with the same code that will verify it later, before it is handed out.

use std::collections::BTreeSet;
use std::sync::Arc;

use proofmark_evidence::bundle::{Bundle, Content, KeyMaterial, VerificationMaterial};
use proofmark_evidence::dsse::{self, Envelope, Signature};
use proofmark_evidence::encoding::base64_encode;
use proofmark_evidence::legacy::{LegacyAttestation, LegacySignature};
use proofmark_evidence::predicate::IN_TOTO_PAYLOAD_TYPE;
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_trust_root::SigningConfig;
use proofmark_types::{Digest, DigestAlgorithm};
use proofmark_verify::{Artifact, Proofs, SctProof, Verifier};

use self::certified::OwnCertificate;
use crate::error::SignError;
use crate::key::SigningKey;
use crate::rekor::Signed;
use crate::services::{LegacyWitnessed, Options, Services, Witnessed};
use crate::session::KeylessSession;

mod blob;
mod certified;

pub use blob::BlobForm;

/// Who signs.
#[derive(Debug)]
pub enum Signer {
    /// A key, perhaps with logs and timestamp authorities.
    Key(KeySigner),
    /// A certificate for a moment.
    Keyless(KeylessSession),
}

/// A key, perhaps with a certificate of one's own authority, and whether its signatures are logged and timestamped.
#[derive(Debug)]
pub struct KeySigner {
    key: SigningKey,
    certificate: Option<OwnCertificate>,
    services: Option<Services>,
    options: Options,
}

impl Signer {
    /// Signs with a key and asks nobody.
    #[must_use]
    pub fn key(key: SigningKey) -> Self {
        Self::Key(KeySigner {
            key,
            certificate: None,
            services: None,
            options: Options::default(),
        })
    }

    /// Signs with a key, and has each signature logged and timestamped by the services of `config`.
    pub fn logged_key(key: SigningKey, config: &SigningConfig, options: Options) -> Result<Self, SignError> {
        let services = Services::choose(config, &options)?;
        Ok(Self::Key(KeySigner {
            key,
            certificate: None,
            services: Some(services),
            options,
        }))
    }

    /// Signs with a key that an authority of one's own has certified (cosign's `--certificate` and
    /// `--certificate-chain`): DER, the leaf first. Logged and timestamped if services are given.
    pub fn certified_key(
        key: SigningKey,
        certificates: &[Vec<u8>],
        config: Option<&SigningConfig>,
        options: Options,
    ) -> Result<Self, SignError> {
        let certificate = OwnCertificate::of(certificates, &key)?;
        let services = config.map(|config| Services::choose(config, &options)).transpose()?;
        Ok(Self::Key(KeySigner {
            key,
            certificate: Some(certificate),
            services,
            options,
        }))
    }

    /// Signs a statement as a bundle: what `cosign sign` (with [`Statement::signature`]) and `cosign attest` make.
    pub async fn sign_statement(&self, statement: &Statement) -> Result<Bundle, SignError> {
        self.sign_payload_of(statement, statement.to_json()).await
    }

    /// Signs `payload`, which says what `statement` says.
    async fn sign_payload_of(&self, statement: &Statement, payload: Vec<u8>) -> Result<Bundle, SignError> {
        self.check_time()?;
        let subject = image_digest(statement).ok_or(SignError::NoSubject)?;
        let message = dsse::pae(IN_TOTO_PAYLOAD_TYPE, &payload);
        let key = self.signing_key();
        if let Some(services) = self.services() {
            services.take_envelopes_of(key)?;
        }
        let (signature, hash) = if self.services().is_some_and(Services::logs_version_1) {
            (key.sign_legacy(&message).await?, key.legacy_hash())
        } else {
            (key.sign(&message).await?, key.log_hash())
        };
        let envelope = envelope(payload, signature.clone());
        let witnessed = self
            .witness(&Signed {
                hash,
                envelope: Some(&envelope),
                ..self.signed(&message, &signature)
            })
            .await?;
        let bundle = self.bundle(Content::Dsse(envelope), witnessed);
        self.verify_item(&subject, ItemContent::Bundle(bundle.clone()), Form::Bundle)?;
        Ok(bundle)
    }

    /// Signs a payload for cosign's `.sig` image. That layout has room for what Rekor v1 answers; entries of Rekor v2
    /// have no place in it, so that the signature is timestamped then and not logged.
    pub async fn sign_payload(&self, payload: &Payload) -> Result<LegacySignature, SignError> {
        self.check_time()?;
        let bytes = payload.to_json();
        let signature = self.signing_key().sign_legacy(&bytes).await?;
        let (certificate, chain) = self.certificates();
        let witnessed = self
            .witness_legacy(
                &Signed {
                    hash: self.signing_key().legacy_hash(),
                    ..self.signed(&bytes, &signature)
                },
                &signature,
            )
            .await?;
        let signed = LegacySignature {
            payload: bytes,
            signature,
            certificate,
            chain,
            log_bundle: witnessed.log_bundle,
            timestamp: witnessed.timestamp,
        };
        self.verify_item(
            &payload.digest,
            ItemContent::LegacySignature(signed.clone()),
            Form::Legacy,
        )?;
        Ok(signed)
    }

    /// Signs a statement for cosign's `.att` image, logged if by Rekor v1, and timestamped. The timestamp is over the
    /// whole envelope there.
    pub async fn sign_legacy_attestation(&self, statement: &Statement) -> Result<LegacyAttestation, SignError> {
        self.sign_legacy_payload_of(statement, statement.to_json()).await
    }

    async fn sign_legacy_payload_of(
        &self,
        statement: &Statement,
        payload: Vec<u8>,
    ) -> Result<LegacyAttestation, SignError> {
        self.check_time()?;
        let subject = image_digest(statement).ok_or(SignError::NoSubject)?;
        let message = dsse::pae(IN_TOTO_PAYLOAD_TYPE, &payload);
        let signature = self.signing_key().sign_legacy(&message).await?;
        let mut signed = LegacyAttestation::new(envelope(payload, signature.clone()), &statement.predicate_type);
        (signed.certificate, signed.chain) = self.certificates();
        let witnessed = self
            .witness_legacy(
                &Signed {
                    hash: self.signing_key().legacy_hash(),
                    envelope: Some(&signed.envelope),
                    ..self.signed(&message, &signature)
                },
                &signed.raw,
            )
            .await?;
        (signed.log_bundle, signed.timestamp) = (witnessed.log_bundle, witnessed.timestamp);
        self.verify_item(&subject, ItemContent::LegacyAttestation(signed.clone()), Form::Legacy)?;
        Ok(signed)
    }

    /// The key that signs: of a keyless session, the ephemeral one.
    #[must_use]
    pub fn public_key(&self) -> &proofmark_verify::PublicKey {
        self.signing_key().public_key()
    }

    fn signing_key(&self) -> &SigningKey {
        match self {
            Self::Key(signer) => &signer.key,
            Self::Keyless(session) => session.key(),
        }
    }

    fn services(&self) -> Option<&Services> {
        match self {
            Self::Key(signer) => signer.services.as_ref(),
            Self::Keyless(session) => Some(session.services()),
        }
    }

    fn options(&self) -> &Options {
        match self {
            Self::Key(signer) => &signer.options,
            Self::Keyless(session) => session.options(),
        }
    }

    fn check_time(&self) -> Result<(), SignError> {
        match self {
            Self::Key(_) => Ok(()),
            Self::Keyless(session) => session.check_time(),
        }
    }

    /// The certificate that signatures come with, DER: of a keyless session, or given beside the key.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Key(signer) => signer.certificate.as_ref().map(|own| own.leaf.as_slice()),
            Self::Keyless(session) => Some(session.certificate()),
        }
    }

    fn certificates(&self) -> (Option<Vec<u8>>, Vec<Vec<u8>>) {
        let chain = match self {
            Self::Key(signer) => signer.certificate.as_ref().map_or(&[][..], |own| &own.chain),
            Self::Keyless(session) => session.chain(),
        };
        (self.certificate().map(<[u8]>::to_vec), chain.to_vec())
    }

    /// A signature with the key's own hash, to be logged.
    fn signed<'s>(&'s self, message: &'s [u8], signature: &'s [u8]) -> Signed<'s> {
        Signed {
            key: self.signing_key(),
            certificate: self.certificate(),
            message: Artifact::Bytes(message),
            hash: self.signing_key().log_hash(),
            signature,
            envelope: None,
        }
    }

    async fn witness(&self, signed: &Signed<'_>) -> Result<Witnessed, SignError> {
        match self.services() {
            Some(services) => services.witness(signed).await,
            None => Ok(Witnessed::default()),
        }
    }

    async fn witness_legacy(&self, signed: &Signed<'_>, timestamped: &[u8]) -> Result<LegacyWitnessed, SignError> {
        match self.services() {
            Some(services) => services.witness_legacy(signed, timestamped).await,
            None => Ok(LegacyWitnessed::default()),
        }
    }

    fn bundle(&self, content: Content, witnessed: Witnessed) -> Bundle {
        let key = match self {
            Self::Key(signer) => match &signer.certificate {
                Some(own) => own.material(),
                // cosign's hint: the key's fingerprint.
                None => KeyMaterial::PublicKeyHint(base64_encode(signer.key.public_key().fingerprint().as_bytes())),
            },
            // Bundle v0.3: the leaf alone; the root must never come with what it vouches for.
            Self::Keyless(session) => KeyMaterial::Certificate(session.certificate().to_vec()),
        };
        Bundle {
            material: VerificationMaterial {
                key,
                tlog_entries: witnessed.entries,
                timestamps: witnessed.timestamps,
            },
            content,
        }
    }

    /// A key believes itself and an own certificate its chain; all else is for the trust root to say.
    fn verifier(&self) -> Result<Verifier, SignError> {
        let verifier = match &self.options().trust_root {
            Some(root) => Verifier::new().with_trust_root(Arc::clone(root)),
            None => Verifier::new(),
        };
        match self {
            Self::Key(signer) => match &signer.certificate {
                Some(own) => own.believed_by(verifier),
                None => Ok(verifier.with_key(signer.key.public_key().clone())),
            },
            Self::Keyless(_) => Ok(verifier),
        }
    }

    fn verify_item(&self, subject: &Digest, content: ItemContent, form: Form) -> Result<(), SignError> {
        let verifier = self.verifier()?;
        let mut evidence = EvidenceSet::new(subject.clone());
        evidence.items.push(Item {
            origin: Origin::Local,
            content,
        });
        self.accept(&verifier.verify(&evidence, self.options().now()), form)
    }

    /// What was made must be proven, by every log and timestamp authority that was asked.
    fn accept(&self, proofs: &Proofs, form: Form) -> Result<(), SignError> {
        let refused = |code: &'static str, reason: String| Err(SignError::NotVerified { code, reason });
        let Some(proof) = proofs.proofs().first() else {
            return match proofs.rejections().first() {
                Some(rejection) => refused(rejection.reason.code(), rejection.reason.to_string()),
                None => refused("signature-not-found", "it was not recognised as evidence".to_owned()),
            };
        };
        self.accept_sct(proof.sct())?;
        let Some(services) = self.services() else {
            return Ok(());
        };
        let (logs, authorities) = match form {
            Form::Bundle => services.count(),
            Form::Legacy => services.legacy_count(),
        };
        let clocks: BTreeSet<&str> = proof.timestamps().iter().map(|seen| seen.authority.as_str()).collect();
        let (known_logs, known_authorities) = (proof.logs().len(), clocks.len());
        if known_logs < logs {
            return refused(
                "log-not-trusted",
                format!("{logs} logs took it, the trust root knows {known_logs} of them"),
            );
        }
        if known_authorities < authorities {
            return refused(
                "timestamp-not-trusted",
                format!("{authorities} timestamp authorities signed, the trust root knows {known_authorities} of them"),
            );
        }
        Ok(())
    }

    /// The authority of a keyless session must have published the certificate, where the trust root knows logs of them.
    fn accept_sct(&self, sct: &SctProof) -> Result<(), SignError> {
        let refused = |code: &'static str, reason: &str| {
            Err(SignError::NotVerified {
                code,
                reason: reason.to_owned(),
            })
        };
        let published = self
            .options()
            .trust_root
            .as_ref()
            .is_some_and(|root| !root.ct_logs().is_empty());
        match (self, sct) {
            (Self::Keyless(_), SctProof::Absent) if published => refused(
                "sct-missing",
                "the certificate has no promise of a certificate transparency log",
            ),
            (Self::Keyless(_), SctProof::NotConsulted) if published => refused(
                "sct-log-not-trusted",
                "the certificate is promised by certificate transparency logs that the trust root does not know",
            ),
            _ => Ok(()),
        }
    }
}

/// What is written: the legacy layouts have less room.
#[derive(Clone, Copy)]
enum Form {
    Bundle,
    Legacy,
}

fn envelope(payload: Vec<u8>, signature: Vec<u8>) -> Envelope {
    Envelope {
        payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
        payload,
        signatures: vec![Signature {
            keyid: String::new(),
            sig: signature,
        }],
    }
}

/// The first digest of the statement that can be an image's.
fn image_digest(statement: &Statement) -> Option<Digest> {
    statement.subjects.iter().find_map(|subject| {
        subject.digest.iter().find_map(|(name, hex)| {
            let algorithm = DigestAlgorithm::parse(name).ok()?;
            Digest::from_hex(algorithm, hex).ok()
        })
    })
}
