//! `verify-blob-attestation`: is there an acceptable attestation of this type about the file, and what does it say?

use std::path::PathBuf;

use clap::Args;
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::statement::Statement;
use proofmark_policy::Wanted;
use proofmark_types::{Digest, DigestAlgorithm};
use proofmark_verify::Proof;
use serde_json::json;

use crate::args::{SignerArgs, TrustArgs};
use crate::blobs::{Blob, Evidence, Need, accepted};
use crate::context::Context;
use crate::failure::{Exit, Failure, chain};
use crate::report;
use crate::verb::verify_attestation::predicate_type;
use crate::verb::verify_blob::{Given, check, wish};

/// Check an attestation about a file
#[derive(Args, Debug)]
pub(crate) struct VerifyBlobAttestation {
    /// The file; - for standard input, or its digest as sha256:HEX
    #[arg(value_name = "FILE")]
    blob: Option<String>,

    /// Which attestation: slsaprovenance1, spdxjson, cyclonedx, vuln, openvex, custom, … or a URI
    #[arg(long = "type", default_value = "custom", value_name = "TYPE")]
    kind: String,

    /// The bundle with the attestation and all that vouches for it: Sigstore's, of any version, or cosign's older one
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// The attestation alone: a file with the envelope
    #[arg(long, value_name = "FILE")]
    signature: Option<String>,

    /// An RFC 3161 timestamp over that file (file)
    #[arg(long, value_name = "FILE")]
    rfc3161_timestamp: Option<PathBuf>,

    /// With =false: check who said it, not about which file
    #[arg(long, default_value_t = true)]
    check_claims: bool,

    /// The digest of the file, in hex, where the file is not at hand; beside the file it must be that file's
    #[arg(long, value_name = "HEX")]
    digest: Option<String>,

    /// By which function that digest is, and by which a file is looked for: sha256, sha384, sha512
    #[arg(long = "digestAlg", value_name = "NAME")]
    digest_algorithm: Option<String>,

    #[command(flatten)]
    signer: SignerArgs,

    #[command(flatten)]
    trust: TrustArgs,
}

impl VerifyBlobAttestation {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let what = Wanted::Attestation {
            types: vec![predicate_type(&self.kind)?],
        };
        let given = Given {
            bundle: self.bundle.as_deref(),
            signature: self.signature.as_deref(),
            timestamp: self.rfc3161_timestamp.as_deref(),
            certificate: self.signer.certificate.as_deref(),
            attestation: true,
        };
        let evidence = given.read()?;
        let wish = wish(context, what, &self.signer, &self.trust).await?;
        let blob = self.subject(&evidence, Need::to_verify(&wish.verifier, &evidence))?;
        let with_predicate = |proof: &Proof| {
            let mut value = report::proof_json(proof);
            value["predicate"] = proof.predicate().clone();
            value
        };
        if self.check_claims {
            return check(context, &blob, &evidence, &wish, "attestations", with_predicate);
        }
        context
            .output
            .warn("--check-claims=false: it is not checked that the attestation is about any file of yours");
        let proofs = evidence.verify(&wish.verifier, &blob.artifact(), Context::now());
        let trusted = accepted(&blob.name, &wish.requirement, &proofs)?;
        let mut text = format!(
            "the attestation is verified; which file it is about was not checked, it says of itself {}\n",
            blob.name
        );
        for proof in &trusted {
            text.push_str(&report::proof_text(proof));
        }
        if context.manner.is_cosign() {
            // Scripts look for the word; the warning stands above it.
            context.output.note("Verified OK");
        }
        context.done(
            &text,
            &json!({
                "verdict": "pass", "claimsChecked": false, "claimedDigest": blob.digest(),
                "attestations": trusted.iter().map(|proof| with_predicate(proof)).collect::<Vec<_>>(),
            }),
        );
        Ok(())
    }

    /// What the attestation must be about.
    fn subject(&self, evidence: &Evidence, mut need: Need) -> Result<Blob, Failure> {
        let algorithm = self.algorithm()?;
        let digest = self.digest(algorithm)?;
        if !self.check_claims {
            return claimed(evidence).map(Blob::of_digest);
        }
        match (&self.blob, digest) {
            (Some(name), None) => {
                need.hashes.extend(algorithm);
                Blob::read_or_digest(name, need)
            }
            (Some(name), Some(digest)) => {
                need.hashes.push(digest.algorithm());
                let blob = Blob::read_or_digest(name, need)?;
                let seen = blob.digest_by(digest.algorithm());
                if seen.as_ref() == Some(&digest) {
                    return Ok(blob);
                }
                let seen = seen.unwrap_or_else(|| blob.digest());
                Err(Failure::usage(
                    "digest-of-another-file",
                    format!("--digest says {digest}, and {name} is {seen}"),
                )
                .with_hint("leave out one of the two: the attestation is held against the one that is left"))
            }
            (None, Some(digest)) => Ok(Blob::of_digest(digest)),
            (None, None) => Err(Failure::usage(
                "no-file-given",
                "nothing says which file the attestation is to be about",
            )
            .with_hint("name the file, or give --digest HEX and --digestAlg NAME")),
        }
    }

    fn digest(&self, algorithm: Option<DigestAlgorithm>) -> Result<Option<Digest>, Failure> {
        let algorithm = algorithm.unwrap_or(DigestAlgorithm::Sha256);
        self.digest
            .as_ref()
            .map(|hex| Digest::from_hex(algorithm, &hex.to_ascii_lowercase()))
            .transpose()
            .map_err(|error| Failure::usage("malformed-digest", format!("--digest: {}", chain(&error))))
    }

    fn algorithm(&self) -> Result<Option<DigestAlgorithm>, Failure> {
        self.digest_algorithm
            .as_deref()
            .map(DigestAlgorithm::parse)
            .transpose()
            .map_err(|error| Failure::usage("malformed-digest", format!("--digestAlg: {}", chain(&error))))
    }
}

/// The first digest that the statement itself names: what it is then found to be about, which is what `--check-claims=false`
/// asks for. Everything else is checked all the same.
fn claimed(evidence: &Evidence) -> Result<Digest, Failure> {
    let nothing = |reason: String| {
        Failure::new(
            Exit::NoAttestation,
            "no-attestation",
            format!("there is no attestation whose claims could be left unchecked: {reason}"),
        )
    };
    let envelope: &Envelope = evidence
        .envelope()
        .ok_or_else(|| nothing("it holds a signature over the file".to_owned()))?;
    let statement = Statement::parse(&envelope.payload).map_err(|error| {
        Failure::new(
            Exit::NoAttestation,
            "statement-malformed",
            format!("the payload is not an in-toto statement: {}", chain(&error)),
        )
    })?;
    statement
        .subjects
        .iter()
        .flat_map(|subject| &subject.digest)
        .find_map(|(name, hex)| Digest::from_hex(DigestAlgorithm::parse(name).ok()?, hex).ok())
        .ok_or_else(|| nothing("no subject has a SHA-2 digest".to_owned()))
}
