//! Checking one image against one requirement: what `verify`, `verify-attestation`, `release` and `demo` share.
//!
//! The digest is resolved once; evidence is fetched for it, verified without knowing what is wanted, and only then held
//! against the requirement.

use std::sync::Arc;

use proofmark_evidence::predicate::PredicateType;
use proofmark_policy::{
    GithubField, KeylessRule, LogRule, Refusal, Requirement, SignerRule, TextMatch, Verdict, Wanted,
};
use proofmark_registry::Client;
use proofmark_types::{Digest, ImageRef};
use proofmark_verify::{Proof, Proofs, PublicKey, TrustRoot, Verifier};
use serde_json::{Value, json};

use crate::args::{SignerArgs, TrustArgs};
use crate::context::{Context, registry_failure};
use crate::failure::{Exit, Failure};
use crate::keys::public_key;
use crate::report;

/// Whose word is wanted, and what it is checked with.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) verifier: Verifier,
    pub(crate) requirement: Requirement,
}

impl Wish {
    /// Reads the flags. `what` is a signature or attestations of some types.
    pub(crate) async fn from_flags(
        context: &Context,
        what: Wanted,
        signer: &SignerArgs,
        trust: &TrustArgs,
    ) -> Result<Self, Failure> {
        refuse_unsupported(signer, trust)?;
        say_what_changes_nothing(context, trust);
        let mut verifier = Verifier::new();
        // A key's signature without a log entry is checked with the key alone: no root is read for it.
        let key_alone = signer.key.is_some() && trust.ignores_log() && !trust.use_signed_timestamps;
        let root = match trust.trusted_root.as_deref() {
            None if key_alone => None,
            given => Context::trust_root(given)?,
        };
        let rule = match &signer.key {
            Some(reference) => {
                let key = public_key(context, reference).await?;
                let rule = SignerRule::key(key.fingerprint().clone());
                verifier = verifier.with_key(key);
                rule
            }
            None => keyless_rule(signer)?,
        };
        need_trust_root(root.is_some(), signer.key.is_some(), trust)?;
        if let Some(root) = root {
            verifier = verifier.with_trust_root(root);
        }
        let mut requirement = match what {
            Wanted::Attestation { types } => Requirement::attestation(types, vec![rule]),
            what => {
                let mut requirement = Requirement::signature(vec![rule]);
                requirement.what = what;
                requirement
            }
        };
        requirement.timestamp = trust.use_signed_timestamps;
        requirement.sct = !trust.insecure_ignore_sct;
        if trust.ignores_log() {
            requirement.log = LogRule::NotRequired;
            requirement.current_time = true;
        }
        Ok(Self { verifier, requirement })
    }

    /// A key's signature, no log asked: what `release --key` reads back.
    pub(crate) fn by_key(key: PublicKey, root: Option<Arc<TrustRoot>>) -> Self {
        let mut requirement = Requirement::signature(vec![SignerRule::key(key.fingerprint().clone())]);
        requirement.log = LogRule::NotRequired;
        let verifier = Verifier::new().with_key(key);
        Self {
            verifier: match root {
                Some(root) => verifier.with_trust_root(root),
                None => verifier,
            },
            requirement,
        }
    }

    /// Exactly this identity, under this root.
    pub(crate) fn by_identity(subject: &str, issuer: &str, root: Arc<TrustRoot>) -> Result<Self, Failure> {
        let text = |text: &str| TextMatch::exact(text).map_err(|error| Failure::usage("malformed-identity", error));
        Ok(Self {
            verifier: Verifier::new().with_trust_root(root),
            requirement: Requirement::signature(vec![SignerRule::keyless(text(subject)?, text(issuer)?)]),
        })
    }

    /// The same signer, asked for attestations of a type.
    pub(crate) fn for_attestation(&self, predicate_type: PredicateType) -> Self {
        let mut wish = self.clone();
        wish.requirement.what = Wanted::Attestation {
            types: vec![predicate_type],
        };
        wish
    }
}

/// What would change the answer and cannot be honoured is refused.
fn refuse_unsupported(signer: &SignerArgs, trust: &TrustArgs) -> Result<(), Failure> {
    if signer.sk || signer.slot.is_some() {
        return Err(security_key());
    }
    let given = [
        ("--certificate", signer.certificate.is_some()),
        ("--certificate-chain", signer.certificate_chain.is_some()),
        ("--ca-roots", signer.ca_roots.is_some()),
        ("--sct", signer.sct.is_some()),
        (
            "--timestamp-certificate-chain",
            trust.timestamp_certificate_chain.is_some(),
        ),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(
            Failure::usage("flag-not-supported", format!("{flag} is not supported yet"))
                .with_hint("a trusted root (--trusted-root FILE) can name authorities, logs and timestamp authorities"),
        ),
    }
}

/// Said of `--sk` and `--slot` by every verb that takes a key.
pub(crate) fn security_key() -> Failure {
    Failure::usage(
        "security-key-not-supported",
        "--sk and --slot are for PIV tokens, which this program does not talk to itself",
    )
    .with_hint("tokens are reached through their PKCS #11 module: --key 'pkcs11:slot-id=0;object=…?module-path=/usr/lib/…/libykcs11.so'")
}

/// Flags of cosign that have nothing to do here are not passed over in silence.
fn say_what_changes_nothing(context: &Context, trust: &TrustArgs) {
    let given = [
        (
            trust.rekor_url.is_some(),
            "--rekor-url: verifying asks no log; the proof that comes with the signature is checked",
        ),
        (
            trust.signature_digest_algorithm.is_some(),
            "--signature-digest-algorithm: the hash is found from the key and the signature",
        ),
    ];
    for (given, text) in given {
        if given {
            context.output.note(&format!("note: {text}"));
        }
    }
}

fn keyless_rule(signer: &SignerArgs) -> Result<SignerRule, Failure> {
    let half = signer.certificate_identity.is_some()
        || signer.certificate_identity_regexp.is_some()
        || signer.certificate_oidc_issuer.is_some()
        || signer.certificate_oidc_issuer_regexp.is_some();
    let no_identity = || {
        let message = if half {
            "an identity is a subject and the issuer that vouches for it, and only one of them is given"
        } else {
            "nothing says whose signature counts"
        };
        Failure::usage("no-identity", message).with_hint(
            "give --key FILE, or both --certificate-identity and --certificate-oidc-issuer (or their -regexp forms)",
        )
    };
    let pick = |exact: Option<&String>, regexp: Option<&String>| match (exact, regexp) {
        (Some(text), _) => Some(TextMatch::exact(text.as_str())),
        (None, Some(source)) => Some(TextMatch::regexp(source.as_str())),
        (None, None) => None,
    };
    let unusable = |error| Failure::usage("malformed-identity", error);
    let subject = pick(
        signer.certificate_identity.as_ref(),
        signer.certificate_identity_regexp.as_ref(),
    )
    .ok_or_else(no_identity)?
    .map_err(unusable)?;
    let issuer = pick(
        signer.certificate_oidc_issuer.as_ref(),
        signer.certificate_oidc_issuer_regexp.as_ref(),
    )
    .ok_or_else(no_identity)?
    .map_err(unusable)?;
    let mut rule = KeylessRule::new(subject, issuer);
    let flags = [
        (GithubField::Trigger, &signer.certificate_github_workflow_trigger),
        (GithubField::Sha, &signer.certificate_github_workflow_sha),
        (GithubField::Name, &signer.certificate_github_workflow_name),
        (GithubField::Repository, &signer.certificate_github_workflow_repository),
        (GithubField::Ref, &signer.certificate_github_workflow_ref),
    ];
    for (field, value) in flags {
        if let Some(value) = value {
            rule.github
                .push((field, TextMatch::exact(value.as_str()).map_err(unusable)?));
        }
    }
    Ok(SignerRule::Keyless(Box::new(rule)))
}

/// Without a trusted root there is nothing to check a certificate or a log entry with: say so before anything is fetched.
fn need_trust_root(given: bool, key: bool, trust: &TrustArgs) -> Result<(), Failure> {
    if given {
        return Ok(());
    }
    let missing = |what: &str| Failure::usage("trusted-root-missing", what);
    if !key {
        return Err(
            missing("an identity is checked against a certificate authority, and no trusted root is given")
                .with_hint("give --trusted-root FILE (trusted_root.json)"),
        );
    }
    if !trust.ignores_log() {
        return Err(
            missing("a log entry is required, and no trusted root says which logs count").with_hint(
                "give --trusted-root FILE, or --insecure-ignore-tlog for key signatures that were not logged",
            ),
        );
    }
    Ok(())
}

/// An image that met a requirement, with everything that was proven on the way.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) digest: Digest,
    pub(crate) proofs: Proofs,
}

impl Checked {
    /// The proofs that met the requirement; never empty.
    pub(crate) fn accepted(&self, requirement: &Requirement) -> Vec<&Proof> {
        match requirement.check(&self.proofs) {
            Verdict::Trusted(proofs) => proofs,
            _ => Vec::new(),
        }
    }
}

/// Checks several images, one after the other; the first that fails ends it. Returns the result for a person and for a
/// script, in which `accepted` names the list of what was accepted.
pub(crate) async fn check_images(
    client: &Client,
    images: &[ImageRef],
    wish: &Wish,
    accepted: &str,
    proof_json: impl Fn(&Proof) -> Value,
) -> Result<(String, Vec<Value>), Failure> {
    let mut text = String::new();
    let mut values = Vec::new();
    for image in images {
        let checked = check_image(client, image, wish).await?;
        let proofs = checked.accepted(&wish.requirement);
        text.push_str(&report::head(image, &checked.digest));
        for proof in &proofs {
            text.push_str(&report::proof_text(proof));
        }
        values.push(json!({
            "image": image, "digest": checked.digest, "verdict": "pass",
            accepted: proofs.iter().map(|proof| proof_json(proof)).collect::<Vec<_>>(),
        }));
    }
    Ok((text, values))
}

/// Resolves `image` once, fetches what hangs on the digest, verifies it, and holds it against the wish.
pub(crate) async fn check_image(client: &Client, image: &ImageRef, wish: &Wish) -> Result<Checked, Failure> {
    let resolved = client.resolve(image).await.map_err(registry_failure)?;
    check_digest(client, image, &resolved.descriptor.digest, wish).await
}

/// As [`check_image`], the digest being known.
pub(crate) async fn check_digest(
    client: &Client,
    image: &ImageRef,
    digest: &Digest,
    wish: &Wish,
) -> Result<Checked, Failure> {
    let evidence = client
        .evidence(image.repository(), digest)
        .await
        .map_err(registry_failure)?;
    let proofs = wish.verifier.verify(&evidence, Context::now());
    let looked = format!(
        "looked at the referrers of {digest} and the tags {} and {} in {}: {}",
        proofmark_evidence::layout::sig_tag(digest),
        proofmark_evidence::layout::att_tag(digest),
        image.repository(),
        report::pieces(evidence.items.len())
    );
    verdict(&wish.requirement, &proofs, image, digest).map_err(|mut failure| {
        failure.details.insert(0, looked);
        failure
    })?;
    Ok(Checked {
        digest: digest.clone(),
        proofs,
    })
}

/// The verdict as an exit code.
fn verdict(requirement: &Requirement, proofs: &Proofs, image: &ImageRef, digest: &Digest) -> Result<(), Failure> {
    let attestation = matches!(requirement.what, Wanted::Attestation { .. });
    let lines = |refusals: &[Refusal]| refusals.iter().map(ToString::to_string).collect::<Vec<_>>();
    let name = image.with_digest(digest.clone());
    match requirement.check(proofs) {
        Verdict::Trusted(_) => Ok(()),
        Verdict::Unsigned { beside } if attestation => Err(Failure::new(
            Exit::NoAttestation,
            "no-attestation",
            format!("{name} has no such attestation"),
        )
        .with_details(lines(&beside))
        .with_hint("attest it with `proofmark attest` or `proofmark release`")),
        Verdict::Unsigned { beside } => {
            let failure = Failure::new(Exit::NoSignature, "no-signature", format!("{name} has no signature"))
                .with_hint("sign it with `proofmark sign` or `proofmark release`");
            let details = lines(&beside);
            Err(if details.is_empty() {
                failure
            } else {
                failure.with_details(details).with_hint(
                    "an attestation is not a signature; --accept-any-bundle takes one for it, as cosign 3.1 does",
                )
            })
        }
        Verdict::Rejected(refusals) => Err(rejected(attestation, &refusals, &name).with_details(lines(&refusals))),
        Verdict::Undecided { incomplete, refusals } => Err(Failure::new(
            Exit::Undecided,
            "evidence-incomplete",
            format!("what hangs on {name} could not be read whole, so nothing is decided"),
        )
        .with_details(
            incomplete
                .iter()
                .map(|place| format!("{}: {} [{}]", place.place, place.reason, place.code)),
        )
        .with_details(lines(&refusals))
        .with_hint("try again; if it stays so, ask the registry's operator")),
    }
}

fn rejected(attestation: bool, refusals: &[Refusal], name: &ImageRef) -> Failure {
    let only = |code: &str| refusals.iter().all(|refusal| refusal.code == code);
    if attestation {
        return Failure::new(
            Exit::NoAttestation,
            "no-acceptable-attestation",
            format!("{name} has attestations, and none is acceptable"),
        )
        .with_hint(if only("predicate-type-mismatch") {
            "--type says which type is wanted; those that are there are named above"
        } else {
            compare(refusals)
        });
    }
    // cosign's 13: a certificate is wanted and every signature is by a bare key.
    let no_certificate = refusals
        .iter()
        .all(|refusal| matches!(refusal.code, "signer-kind-mismatch" | "no-key-given"));
    if no_certificate {
        return Failure::new(
            Exit::NoCertificate,
            "no-certificate",
            format!("{name} is signed, but by another kind of signer than was asked for"),
        )
        .with_hint("a signature by a key is checked with --key FILE, one with a certificate by identity");
    }
    Failure::new(
        Exit::NoneAcceptable,
        "no-acceptable-signature",
        format!("{name} has signatures, and none is acceptable"),
    )
    .with_hint(compare(refusals))
}

/// What to do about evidence that was refused.
fn compare(refusals: &[Refusal]) -> &'static str {
    if refusals.iter().any(|refusal| refusal.code == "log-entry-missing") {
        return "the signer is the right one, and the log is not: sign with --signing-config, or accept it with --insecure-ignore-tlog; is the trusted root that of the log?";
    }
    "compare expected and found above; is the key, or the identity, that of the one who released it?"
}
