//! Files that are signed and verified: each read once, in bounded memory, and known afterwards by what was read.
//!
//! A file of up to [`MAX_HELD`] bytes is held. A larger one is hashed as it passes, by every function that its signature
//! may be over. Where a key signs the bytes themselves (Ed25519, and keys in services), up to [`MAX_NEEDED`] are held.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use proofmark_evidence::bundle::{Bundle, Content};
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::legacy::{Detached, DetachedContent};
use proofmark_evidence::statement::Statement;
use proofmark_policy::{Refusal, Requirement, Verdict, Wanted};
use proofmark_types::{Digest, DigestAlgorithm, Digests, DigestsHasher};
use proofmark_verify::{Artifact, CertificateClaims, KeyAlgorithm, Proof, Proofs, PublicKey, Verifier};

use crate::checking::compare;
use crate::context;
use crate::failure::{Exit, Failure};

/// The largest file that is held in memory, in bytes.
const MAX_HELD: u64 = 32 * 1024 * 1024;

/// The largest file whose bytes a key can be asked to sign or verify themselves.
const MAX_NEEDED: u64 = 512 * 1024 * 1024;

/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// Standard input, as in cosign.
const STDIN: &str = "-";

/// What is signed or verified.
#[derive(Debug)]
pub(crate) struct Blob {
    /// As the command line names it.
    pub(crate) name: String,
    content: BlobContent,
}

#[derive(Debug)]
enum BlobContent {
    Bytes(Vec<u8>),
    Digests(Digests),
    Digest(Digest),
}

/// What of a file is needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Need {
    /// Hashes beside SHA-256, should the file be too large to be held.
    pub(crate) hashes: Vec<DigestAlgorithm>,
    /// The bytes, whatever the size.
    pub(crate) bytes: bool,
}

impl Need {
    /// What it takes to verify with these keys, and what comes with the signature. The certificate and the statement are
    /// not believed here: they only say which hashes are worth making.
    pub(crate) fn to_verify(verifier: &Verifier, evidence: &Evidence) -> Self {
        let mut need = Self::default();
        for key in verifier.keys() {
            need.add_key(key);
        }
        if let Some(key) = evidence
            .certificate()
            .and_then(|der| CertificateClaims::read(der).ok()?.key)
        {
            need.add_key(&key);
        }
        match evidence.envelope() {
            // The signature is over the envelope; of the file only the digests in the statement are needed.
            Some(envelope) => {
                need.bytes = false;
                need.hashes.extend(subject_hashes(envelope));
            }
            None => need.hashes.extend(evidence.message_hash()),
        }
        need
    }

    fn add_key(&mut self, key: &PublicKey) {
        match key.algorithm() {
            KeyAlgorithm::EcdsaP384 => self.hashes.push(DigestAlgorithm::Sha384),
            KeyAlgorithm::EcdsaP521 => self.hashes.push(DigestAlgorithm::Sha512),
            KeyAlgorithm::Ed25519 => self.bytes = true,
            _ => {}
        }
    }
}

fn subject_hashes(envelope: &Envelope) -> Vec<DigestAlgorithm> {
    let statement = Statement::parse(&envelope.payload).ok();
    let subjects = statement.iter().flat_map(|statement| &statement.subjects);
    subjects
        .flat_map(|subject| subject.digest.keys())
        .filter_map(|name| DigestAlgorithm::parse(name).ok())
        .collect()
}

impl Blob {
    /// Reads a file, or standard input.
    pub(crate) fn read(name: &str, need: Need) -> Result<Self, Failure> {
        let unreadable = |error| context::unreadable(Path::new(name), &error);
        let content = if name == STDIN {
            collect(&mut io::stdin().lock(), name, need)?.0
        } else {
            let mut file = File::open(name).map_err(unreadable)?;
            let before = file.metadata().map_err(unreadable)?;
            let (content, total) = collect(&mut file, name, need)?;
            let after = file.metadata().map_err(unreadable)?;
            check_unchanged(name, &before, &after, total)?;
            content
        };
        Ok(Self {
            name: name.to_owned(),
            content,
        })
    }

    /// The same of a file that may also be given by its digest, `sha256:HEX`, as cosign takes it.
    pub(crate) fn read_or_digest(name: &str, need: Need) -> Result<Self, Failure> {
        match Digest::parse(name) {
            Ok(digest) if !Path::new(name).exists() => Ok(Self::of_digest(digest)),
            _ => Self::read(name, need),
        }
    }

    /// Something that is known by its digest alone.
    pub(crate) fn of_digest(digest: Digest) -> Self {
        Self {
            name: digest.to_string(),
            content: BlobContent::Digest(digest),
        }
    }

    pub(crate) fn artifact(&self) -> Artifact<'_> {
        match &self.content {
            BlobContent::Bytes(bytes) => Artifact::Bytes(bytes),
            BlobContent::Digests(digests) => Artifact::Digests(digests),
            BlobContent::Digest(digest) => Artifact::Digest(digest),
        }
    }

    /// The digest that it is called by: SHA-256, unless it was given by another.
    pub(crate) fn digest(&self) -> Digest {
        match &self.content {
            BlobContent::Bytes(bytes) => Digest::sha256_of(bytes),
            BlobContent::Digests(digests) => digests.sha256().clone(),
            BlobContent::Digest(digest) => digest.clone(),
        }
    }

    /// Its digest by another function; of a large file only one that was [`Need`]ed is known, of a digest only itself.
    pub(crate) fn digest_by(&self, algorithm: DigestAlgorithm) -> Option<Digest> {
        match &self.content {
            BlobContent::Bytes(bytes) => Some(Digest::of(algorithm, bytes)),
            BlobContent::Digests(digests) => digests.get(algorithm).cloned(),
            BlobContent::Digest(digest) => (digest.algorithm() == algorithm).then(|| digest.clone()),
        }
    }
}

/// Bytes as they come: held while they are few, hashed once they are many.
struct Collector {
    need: Need,
    held: Vec<u8>,
    hasher: Option<DigestsHasher>,
    total: u64,
}

impl Collector {
    fn new(need: Need) -> Self {
        Self {
            need,
            held: Vec::new(),
            hasher: None,
            total: 0,
        }
    }

    fn add(&mut self, name: &str, piece: &[u8]) -> Result<(), Failure> {
        self.total = self.total.saturating_add(piece.len() as u64);
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
            return Ok(());
        }
        let limit = if self.need.bytes { MAX_NEEDED } else { MAX_HELD };
        if self.total <= limit {
            self.held.extend_from_slice(piece);
            return Ok(());
        }
        if self.need.bytes {
            return Err(Failure::usage(
                "file-too-large",
                format!("{name} has more than {limit} bytes, and this key signs the bytes themselves, which are held for that"),
            )
            .with_hint("an ECDSA or RSA key in a file signs a digest, of a file of any size"));
        }
        let mut hasher = DigestsHasher::new(&self.need.hashes);
        hasher.update(&self.held);
        hasher.update(piece);
        self.held = Vec::new();
        self.hasher = Some(hasher);
        Ok(())
    }

    fn finish(self) -> BlobContent {
        match self.hasher {
            Some(hasher) => BlobContent::Digests(hasher.finish()),
            None => BlobContent::Bytes(self.held),
        }
    }
}

/// Reads all of it; returns how much that was too.
fn collect(source: &mut impl Read, name: &str, need: Need) -> Result<(BlobContent, u64), Failure> {
    let mut collector = Collector::new(need);
    let mut piece = vec![0; PIECE];
    loop {
        match source.read(&mut piece) {
            Ok(0) => {
                let total = collector.total;
                return Ok((collector.finish(), total));
            }
            Ok(count) => collector.add(name, piece.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(context::unreadable(Path::new(name), &error)),
        }
    }
}

/// What was read of a file that someone wrote meanwhile is neither the old file nor the new one.
fn check_unchanged(name: &str, before: &Metadata, after: &Metadata, read: u64) -> Result<(), Failure> {
    let same_time = match (before.modified(), after.modified()) {
        (Ok(before), Ok(after)) => before == after,
        _ => true,
    };
    let same_size = before.len() == after.len() && after.len() == read;
    if !before.is_file() || (same_time && same_size) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Undecided,
        "file-changed",
        format!(
            "{name} was written to while it was read: {} bytes before, {read} read",
            before.len()
        ),
    )
    .with_hint("sign or verify it when it is complete"))
}

/// What comes with a file: a Sigstore bundle, or what cosign wrote before there were any.
#[derive(Clone, Debug)]
pub(crate) enum Evidence {
    Bundle(Box<Bundle>),
    Detached(Box<Detached>),
}

impl Evidence {
    /// Reads a bundle of either kind. `attestation` says what the older kind, which does not say it itself, is to hold.
    pub(crate) fn of_bundle(name: &str, bytes: &[u8], attestation: bool) -> Result<Self, Failure> {
        if Detached::is_bundle(bytes) {
            let read = if attestation {
                Detached::attestation_bundle(bytes)
            } else {
                Detached::signature_bundle(bytes)
            };
            return read
                .map(|detached| Self::Detached(Box::new(detached)))
                .map_err(|error| unreadable(name, error.code(), &error, attestation));
        }
        Bundle::parse(bytes)
            .map(|bundle| Self::Bundle(Box::new(bundle)))
            .map_err(|error| unreadable(name, error.code(), &error, attestation))
    }

    pub(crate) fn verify(
        &self,
        verifier: &Verifier,
        artifact: &Artifact<'_>,
        now: proofmark_types::UnixTime,
    ) -> Proofs {
        match self {
            Self::Bundle(bundle) => verifier.verify_blob(bundle, artifact, now),
            Self::Detached(detached) => verifier.verify_blob_legacy(detached, artifact, now),
        }
    }

    /// The envelope, where there is one.
    pub(crate) fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Bundle(bundle) => bundle.envelope(),
            Self::Detached(detached) => match &detached.content {
                DetachedContent::Attestation { envelope, .. } => Some(envelope),
                DetachedContent::Signature(_) => None,
            },
        }
    }

    fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Bundle(bundle) => bundle.material.key.leaf(),
            Self::Detached(detached) => detached.certificate.as_deref(),
        }
    }

    fn message_hash(&self) -> Option<DigestAlgorithm> {
        match self {
            Self::Bundle(bundle) => match &bundle.content {
                Content::MessageSignature { digest, .. } => digest.as_ref().map(Digest::algorithm),
                Content::Dsse(_) => None,
            },
            Self::Detached(_) => None,
        }
    }
}

/// Evidence that does not parse is evidence that proves nothing: a rejection, not a mistake on the command line.
pub(crate) fn unreadable(name: &str, code: &str, error: &dyn std::error::Error, attestation: bool) -> Failure {
    let exit = if attestation {
        Exit::NoAttestation
    } else {
        Exit::NoneAcceptable
    };
    Failure::new(
        exit,
        code,
        format!("{name} proves nothing: {}", crate::failure::chain(error)),
    )
}

/// The proofs that meet the demand; none of them is a failure that says why.
pub(crate) fn accepted<'p>(
    name: &str,
    requirement: &Requirement,
    proofs: &'p Proofs,
) -> Result<Vec<&'p Proof>, Failure> {
    let attestation = matches!(requirement.what, Wanted::Attestation { .. });
    match requirement.check(proofs) {
        Verdict::Trusted(trusted) => Ok(trusted),
        Verdict::Rejected(refusals) | Verdict::Undecided { refusals, .. } => {
            Err(rejected(name, attestation, &refusals))
        }
        Verdict::Unsigned { beside } => Err(other_kind(name, attestation, &beside)),
    }
}

fn rejected(name: &str, attestation: bool, refusals: &[Refusal]) -> Failure {
    let all = |codes: &[&str]| refusals.iter().all(|refusal| codes.contains(&refusal.code));
    let failure = if attestation {
        Failure::new(
            Exit::NoAttestation,
            "no-acceptable-attestation",
            format!("the attestation on {name} is not acceptable"),
        )
        .with_hint(if all(&["predicate-type-mismatch"]) {
            "--type says which type is wanted"
        } else {
            compare(refusals)
        })
    } else if all(&["signer-kind-mismatch", "no-key-given"]) {
        Failure::new(
            Exit::NoCertificate,
            "no-certificate",
            format!("{name} is signed, but by another kind of signer than was asked for"),
        )
        .with_hint("a signature by a key is checked with --key, one with a certificate by identity")
    } else {
        Failure::new(
            Exit::NoneAcceptable,
            "no-acceptable-signature",
            format!("the signature on {name} is not acceptable"),
        )
        .with_hint(compare(refusals))
    };
    failure.with_details(refusals.iter().map(ToString::to_string))
}

fn other_kind(name: &str, attestation: bool, beside: &[Refusal]) -> Failure {
    let failure = if attestation {
        Failure::new(
            Exit::NoAttestation,
            "no-attestation",
            format!("what comes with {name} is a signature, not an attestation"),
        )
        .with_hint("check it with verify-blob")
    } else {
        Failure::new(
            Exit::NoSignature,
            "no-signature",
            format!("what comes with {name} is an attestation about it, not a signature on it"),
        )
        .with_hint(
            "check it with verify-blob-attestation; --accept-any-bundle takes one for a signature, as cosign 3.1 does",
        )
    };
    failure.with_details(beside.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], need: Need) -> Result<(BlobContent, u64), Failure> {
        collect(&mut &*bytes, "a file", need)
    }

    #[test]
    fn few_bytes_are_held_and_many_are_hashed() {
        let few = of(b"abc", Need::default()).unwrap();
        assert!(matches!(few, (BlobContent::Bytes(bytes), 3) if bytes == b"abc"));
        let many = vec![7; usize::try_from(MAX_HELD).unwrap() + 1];
        let need = Need {
            hashes: vec![DigestAlgorithm::Sha384],
            bytes: false,
        };
        let (BlobContent::Digests(digests), _) = of(&many, need).unwrap() else {
            panic!("it is held");
        };
        assert_eq!(digests.sha256(), &Digest::sha256_of(&many));
        assert!(digests.get(DigestAlgorithm::Sha384).unwrap().matches(&many));
        assert!(digests.get(DigestAlgorithm::Sha512).is_none());
        let need = Need {
            hashes: Vec::new(),
            bytes: true,
        };
        assert!(matches!(of(&many, need).unwrap().0, BlobContent::Bytes(bytes) if bytes == many));
    }

    #[test]
    fn bytes_that_are_needed_have_a_limit() {
        let mut collector = Collector::new(Need {
            hashes: Vec::new(),
            bytes: true,
        });
        collector.total = MAX_NEEDED;
        assert_eq!(collector.add("a file", b"x").unwrap_err().code, "file-too-large");
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("growing");
        std::fs::write(&path, b"abc").unwrap();
        let before = std::fs::metadata(&path).unwrap();
        assert!(check_unchanged("it", &before, &before, 3).is_ok());
        assert_eq!(
            check_unchanged("it", &before, &before, 2).unwrap_err().code,
            "file-changed"
        );
        std::fs::write(&path, b"abcd").unwrap();
        let after = std::fs::metadata(&path).unwrap();
        for read in [3, 4] {
            assert_eq!(
                check_unchanged("it", &before, &after, read).unwrap_err().code,
                "file-changed"
            );
        }
    }
}
