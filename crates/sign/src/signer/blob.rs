//! Signing files, and statements that someone else wrote.

use proofmark_evidence::bundle::{Bundle, Content};
use proofmark_evidence::legacy::LegacyAttestation;
use proofmark_evidence::statement::Statement;
use proofmark_types::DigestAlgorithm;
use proofmark_verify::Artifact;

use super::{Form, Signer};
use crate::error::SignError;
use crate::key::{SigningKey, SigningKeyError};
use crate::rekor::Signed;
use crate::services::{Services, Witnessed};

/// Who is going to read the signature of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobForm {
    /// Readers of Sigstore bundles: the hash is the key's own.
    Bundle,
    /// Readers older than that, such as cosign 2: the hash is SHA-256 whatever the curve, and of logs there is room for
    /// the promise of Rekor v1 alone. What is made is a bundle still, to be taken apart.
    Legacy,
}

impl Signer {
    /// Signs a file as a bundle with a message signature: what `cosign sign-blob --bundle` makes.
    pub async fn sign_blob(&self, artifact: &[u8]) -> Result<Bundle, SignError> {
        self.sign_artifact(&Artifact::Bytes(artifact), BlobForm::Bundle).await
    }

    /// The same of a file of whatever size, for these readers. A file that is known by its digests alone needs a key
    /// that [`Signer::signs_digests`].
    pub async fn sign_artifact(&self, artifact: &Artifact<'_>, form: BlobForm) -> Result<Bundle, SignError> {
        self.check_time()?;
        let key = self.signing_key();
        let hash = match form {
            BlobForm::Bundle if self.prehashes(artifact) => key.file_hash(),
            BlobForm::Bundle => key.log_hash(),
            BlobForm::Legacy => key.legacy_hash(),
        };
        let signature = signature_of(key, artifact, form, hash).await?;
        let signed = Signed {
            hash,
            message: *artifact,
            ..self.signed(&[], &signature)
        };
        let witnessed = self.witness_blob(&signed, form).await?;
        let content = Content::MessageSignature {
            digest: artifact.digest(hash.unwrap_or(DigestAlgorithm::Sha256)),
            signature,
        };
        let bundle = self.bundle(content, witnessed);
        let proofs = self.verifier()?.verify_blob(&bundle, artifact, self.options().now());
        self.accept(&proofs, form.into())?;
        Ok(bundle)
    }

    /// Signs a statement exactly as someone else wrote it, fields that we do not know included. It must be a statement.
    pub async fn sign_written_statement(&self, payload: Vec<u8>) -> Result<Bundle, SignError> {
        let statement = Statement::parse(&payload)?;
        self.sign_payload_of(&statement, payload).await
    }

    /// The same for readers older than bundles.
    pub async fn sign_written_legacy_attestation(&self, payload: Vec<u8>) -> Result<LegacyAttestation, SignError> {
        let statement = Statement::parse(&payload)?;
        self.sign_legacy_payload_of(&statement, payload).await
    }

    /// Whether a file can be signed of which only the digests are known.
    #[must_use]
    pub fn signs_digests(&self) -> bool {
        self.signing_key().signs_digests()
    }

    /// The hash of a file that is signed by its digest, beside SHA-256.
    #[must_use]
    pub fn blob_hash(&self) -> DigestAlgorithm {
        self.signing_key().file_hash().unwrap_or(DigestAlgorithm::Sha256)
    }

    /// Whether the log in use has entries that [`BlobForm::Legacy`] has no room for.
    #[must_use]
    pub fn outgrows_legacy(&self) -> bool {
        self.services().is_some_and(Services::logs_version_2)
    }

    /// Whether Ed25519 is pre-hashed: for logs, which take nothing else, and where there is only a digest. cosign makes
    /// pure signatures where there is no log, and verifies no others then.
    fn prehashes(&self, artifact: &Artifact<'_>) -> bool {
        self.services().is_some() || !matches!(artifact, Artifact::Bytes(_))
    }

    async fn witness_blob(&self, signed: &Signed<'_>, form: BlobForm) -> Result<Witnessed, SignError> {
        match self.services() {
            // An entry that could not be shown to anyone is not made.
            Some(services) if form == BlobForm::Legacy && services.logs_version_2() => Ok(Witnessed {
                entries: Vec::new(),
                timestamps: services.timestamp(signed.signature).await?,
            }),
            _ => self.witness(signed).await,
        }
    }
}

impl From<BlobForm> for Form {
    fn from(form: BlobForm) -> Self {
        match form {
            BlobForm::Bundle => Self::Bundle,
            BlobForm::Legacy => Self::Legacy,
        }
    }
}

async fn signature_of(
    key: &SigningKey,
    artifact: &Artifact<'_>,
    form: BlobForm,
    hash: Option<DigestAlgorithm>,
) -> Result<Vec<u8>, SigningKeyError> {
    match (artifact, form) {
        (Artifact::Bytes(bytes), BlobForm::Bundle) if hash == key.log_hash() => key.sign(bytes).await,
        (Artifact::Bytes(bytes), BlobForm::Bundle) => key.sign_file(bytes).await,
        (Artifact::Bytes(bytes), BlobForm::Legacy) => key.sign_legacy(bytes).await,
        _ => {
            let digest = hash.and_then(|hash| artifact.digest(hash));
            key.sign_digest(&digest.ok_or(SigningKeyError::MessageNeeded)?)
        }
    }
}
