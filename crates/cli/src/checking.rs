//! Checking one image against one requirement: what `verify`, `verify-attestation`, `release` and `demo` share.
//!
//! The digest is resolved once; evidence is fetched for it, verified without knowing what is wanted, and only then held
//! against the requirement.

use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use proofmark_evidence::bundle::KeyMaterial;
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::encoding::base64_decode;
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, ItemContent};
use proofmark_policy::{
    GithubField, KeylessRule, LogRule, Refusal, Requirement, SignerRule, StatementFacts, StatementPolicies, TextMatch,
    Verdict, Wanted,
};
use proofmark_registry::{Client, ImageSource, RegistryError};
use proofmark_types::{Digest, ImageRef};
use proofmark_verify::{Proof, Proofs, PublicKey, TrustRoot, Verifier, VerifierError};
use serde_json::Value;

use crate::args::{RegistryArgs, SignerArgs, TrustArgs};
use crate::context::{self, Context, parse_images, read_file, registry_failure};
use crate::failure::{Exit, Failure, chain};
use crate::keys::public_key;
use crate::report;
use crate::seen::open_local;

/// Whose word is wanted, and what it is checked with.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) verifier: Verifier,
    pub(crate) requirement: Requirement,
    /// The certificate that must have signed (`--certificate`), in DER; signatures that bring none are given it.
    certificate: Option<Vec<u8>>,
    /// What every acceptable attestation must satisfy too (`--policy`).
    pub(crate) policies: StatementPolicies,
    /// How many images are checked at once (`--max-workers`).
    workers: usize,
}

impl Wish {
    /// Reads the flags. `what` is a signature or attestations of some types.
    pub(crate) async fn from_flags(
        context: &Context,
        what: Wanted,
        signer: &SignerArgs,
        trust: &TrustArgs,
    ) -> Result<Self, Failure> {
        refuse_unsupported(signer)?;
        say_what_changes_nothing(context, trust);
        let mut verifier = with_authorities(Verifier::new(), signer, trust)?;
        let own_authority = signer.ca_roots.is_some() || signer.certificate_chain.is_some();
        // A key's signature without a log entry is checked with the key alone: no root is read for it.
        let key_alone = signer.key.is_some() && trust.ignores_log() && !trust.use_signed_timestamps;
        let root = match trust.trusted_root.as_deref() {
            None if key_alone => None,
            // An authority of one's own is trusted in place of the public one, not beside it.
            None if own_authority && context::variable("SIGSTORE_ROOT_FILE").is_none() => None,
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
        need_trust_root(root.is_some(), signer.key.is_some() || own_authority, trust)?;
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
        let certificate = signer.certificate.as_deref().map(leaf_certificate).transpose()?;
        Ok(Self {
            certificate,
            workers: usize::from(trust.max_workers),
            ..Self::new(verifier, requirement)
        })
    }

    pub(crate) fn new(verifier: Verifier, requirement: Requirement) -> Self {
        Self {
            verifier,
            requirement,
            certificate: None,
            policies: StatementPolicies::default(),
            workers: 1,
        }
    }

    /// A key's signature, no log asked: what `release --key` reads back.
    pub(crate) fn by_key(key: PublicKey, root: Option<Arc<TrustRoot>>) -> Self {
        let mut requirement = Requirement::signature(vec![SignerRule::key(key.fingerprint().clone())]);
        requirement.log = LogRule::NotRequired;
        let verifier = Verifier::new().with_key(key);
        let verifier = match root {
            Some(root) => verifier.with_trust_root(root),
            None => verifier,
        };
        Self::new(verifier, requirement)
    }

    /// Exactly this identity, under this root.
    pub(crate) fn by_identity(subject: &str, issuer: &str, root: Arc<TrustRoot>) -> Result<Self, Failure> {
        let text = |text: &str| TextMatch::exact(text).map_err(|error| Failure::usage("malformed-identity", error));
        Ok(Self::new(
            Verifier::new().with_trust_root(root),
            Requirement::signature(vec![SignerRule::keyless(text(subject)?, text(issuer)?)]),
        ))
    }

    /// Whether one signature answers it. Attestations are all read: their content is the answer, and a newer one must not
    /// stay unread behind an older.
    fn one_is_enough(&self) -> bool {
        matches!(self.requirement.what, Wanted::Signature { .. }) && self.policies.is_empty()
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
fn refuse_unsupported(signer: &SignerArgs) -> Result<(), Failure> {
    if signer.sk || signer.slot.is_some() {
        return Err(security_key());
    }
    if signer.sct.is_some() {
        return Err(Failure::usage(
            "flag-not-supported",
            "--sct: certificate timestamps apart from the certificate are not read",
        )
        .with_hint("certificates embed theirs; --insecure-ignore-sct accepts one that does not"));
    }
    Ok(())
}

/// The authorities that the flags name.
fn with_authorities(verifier: Verifier, signer: &SignerArgs, trust: &TrustArgs) -> Result<Verifier, Failure> {
    let unusable = |path: &Path, error: VerifierError| {
        Failure::usage(error.code(), format!("{}: {}", path.display(), chain(&error)))
    };
    let mut verifier = verifier;
    if let Some(path) = &signer.certificate_chain {
        verifier = verifier
            .with_ca_chain_pem(&read_file(path)?)
            .map_err(|error| unusable(path, error))?;
    }
    if let Some(path) = &signer.ca_roots {
        let intermediates = signer.ca_intermediates.as_deref().map(read_file).transpose()?;
        verifier = verifier
            .with_authority_pem(&read_file(path)?, intermediates.as_deref())
            .map_err(|error| unusable(path, error))?;
    }
    if let Some(path) = &trust.timestamp_certificate_chain {
        verifier = verifier
            .with_timestamp_authority_pem(&read_file(path)?)
            .map_err(|error| unusable(path, error))?;
    }
    Ok(verifier)
}

/// The certificate of `--certificate`: the first of a PEM file, that in base64 once more, or DER.
pub(crate) fn leaf_certificate(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read_file(path)?;
    let text = String::from_utf8_lossy(&bytes);
    // What `cosign sign-blob --output-certificate` writes unless told otherwise.
    let inner = base64_decode(text.trim()).map(|inner| String::from_utf8_lossy(&inner).into_owned());
    let text = inner
        .filter(|inner| inner.contains(BEGIN_CERTIFICATE))
        .unwrap_or_else(|| text.into_owned());
    let Some((_, after)) = text.split_once(BEGIN_CERTIFICATE) else {
        return Ok(bytes);
    };
    let body: String = after
        .split("-----END")
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    base64_decode(&body).ok_or_else(|| {
        Failure::usage(
            "malformed-certificate",
            format!("{} is no PEM certificate", path.display()),
        )
    })
}

const BEGIN_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

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
        (
            trust.experimental_oci11,
            "--experimental-oci11: referrers are always looked at, with it and without",
        ),
        (
            !trust.new_bundle_format,
            "--new-bundle-format=false: evidence of every format is looked at, bundles too",
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

/// An image that is to be checked, and where it is.
pub(crate) struct Target {
    source: ImageSource,
    /// How it is called in what is said about it.
    pub(crate) name: ImageRef,
    /// A folder or file on this machine.
    local: Option<String>,
}

impl Target {
    /// An image in a registry.
    pub(crate) fn remote(client: &Client, image: &ImageRef) -> Self {
        Self {
            source: ImageSource::registry(client, image),
            name: image.clone(),
            local: None,
        }
    }

    /// A layout folder, as `save` writes it.
    pub(crate) fn local(path: &str) -> Result<Self, Failure> {
        Ok(Self {
            source: open_local(Path::new(path), None)?,
            // A name that no registry can have: policies see that it is on this machine.
            name: ImageRef::parse("local.invalid/image").map_err(anyhow::Error::from)?,
            local: Some(path.to_owned()),
        })
    }

    /// The images that the flags name: references, or with `--local-image` folders.
    pub(crate) fn from_flags(names: &[String], local: bool, registry: &RegistryArgs) -> Result<Vec<Self>, Failure> {
        if local {
            return names.iter().map(|path| Self::local(path)).collect();
        }
        let images = parse_images(names)?;
        let client = Context::client_for(registry, &images.iter().collect::<Vec<_>>())?;
        Ok(images.iter().map(|image| Self::remote(&client, image)).collect())
    }

    /// In words, as it was named.
    pub(crate) fn label(&self) -> String {
        self.local.clone().unwrap_or_else(|| self.name.to_string())
    }

    /// In words, pinned.
    pub(crate) fn pinned(&self, digest: &Digest) -> String {
        match &self.local {
            Some(path) => format!("{path}@{digest}"),
            None => self.name.with_digest(digest.clone()).to_string(),
        }
    }

    fn looked(&self, digest: &Digest, count: usize) -> String {
        format!(
            "looked at the referrers of {digest} and the tags {} and {} in {}: {}",
            proofmark_evidence::layout::sig_tag(digest),
            proofmark_evidence::layout::att_tag(digest),
            self.local.clone().unwrap_or_else(|| self.name.repository().to_string()),
            report::pieces(count)
        )
    }
}

/// An image that met a requirement, with everything that was found and proven on the way.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) digest: Digest,
    pub(crate) proofs: Proofs,
    pub(crate) evidence: EvidenceSet,
}

impl Checked {
    /// The proofs that met the requirement; never empty.
    pub(crate) fn accepted(&self, requirement: &Requirement) -> Vec<&Proof> {
        match requirement.check(&self.proofs) {
            Verdict::Trusted(proofs) => proofs,
            _ => Vec::new(),
        }
    }

    /// The evidence that a proof is of. Layers that are alike but for their annotations have one origin: what the log
    /// says tells them apart.
    pub(crate) fn item(&self, proof: &Proof) -> Option<&Item> {
        let mut of_origin = self.evidence.items.iter().filter(|item| item.origin == *proof.origin());
        let first = of_origin.clone().next();
        of_origin.find(|item| is_of(item, proof)).or(first)
    }

    /// The in-toto envelope of an attestation.
    pub(crate) fn envelope(&self, proof: &Proof) -> Option<&Envelope> {
        match &self.item(proof)?.content {
            ItemContent::Bundle(bundle) => bundle.envelope(),
            ItemContent::LegacyAttestation(attestation) => Some(&attestation.envelope),
            _ => None,
        }
    }
}

fn is_of(item: &Item, proof: &Proof) -> bool {
    let says = |payload: &[u8]| {
        Statement::parse(payload).is_ok_and(|statement| {
            statement.predicate == *proof.predicate()
                && proof
                    .predicate_type()
                    .is_none_or(|seen| *seen == statement.predicate_type)
        })
    };
    match &item.content {
        ItemContent::Bundle(bundle) => bundle.envelope().is_none_or(|envelope| says(&envelope.payload)),
        ItemContent::LegacyAttestation(attestation) => says(&attestation.envelope.payload),
        ItemContent::LegacySignature(signature) => {
            let logged = signature.log_bundle.as_ref().map(|bundle| bundle.log_index);
            logged == proof.log().map(|log| log.index)
        }
        _ => false,
    }
}

/// Checks several images, as many at once as the wish says; of those that fail the first that was named ends it.
pub(crate) async fn check_all(targets: &[Target], wish: &Wish) -> Result<Vec<Checked>, Failure> {
    stream::iter(targets)
        .map(|target| check(target, wish))
        .buffered(wish.workers)
        .try_collect()
        .await
}

/// Resolves `image` once, fetches what hangs on the digest, verifies it, and holds it against the wish.
pub(crate) async fn check_image(client: &Client, image: &ImageRef, wish: &Wish) -> Result<Checked, Failure> {
    check(&Target::remote(client, image), wish).await
}

/// As [`check_image`], wherever the image is.
pub(crate) async fn check(target: &Target, wish: &Wish) -> Result<Checked, Failure> {
    let resolved = target
        .source
        .resolve()
        .await
        .map_err(|error| unresolved(target, error))?;
    let digest = resolved.descriptor.digest;
    if !wish.one_is_enough() {
        let evidence = target.source.evidence(&digest).await.map_err(registry_failure)?;
        return check_evidence(target, evidence, wish);
    }
    let mut gathering = target.source.gather(&digest).await.map_err(registry_failure)?;
    loop {
        let proofs = verified(gathering.evidence_mut(), wish);
        // What is not whole has a gap, so that nothing but a pass can end this early.
        if gathering.is_whole() || wish.requirement.check(&proofs).is_trusted() {
            return hold(target, gathering.into_evidence(), proofs, wish);
        }
        gathering.read_more().await;
    }
}

/// The image that is to be checked could not be had. Its registry may have sent another one than was asked for: that is
/// an answer, and it is no.
fn unresolved(target: &Target, error: RegistryError) -> Failure {
    if matches!(error, RegistryError::DigestMismatch { .. }) {
        return Failure::new(
            Exit::NoneAcceptable,
            error.code(),
            format!(
                "{}: the registry sent something else: {}",
                target.label(),
                chain(&error)
            ),
        )
        .with_hint("what has another digest is another image, whatever is signed of it; tell the registry's operator");
    }
    registry_failure(error)
}

/// Holds what was found against the wish.
///
/// 1. A certificate that the flags give is the one that counts: evidence without one gets it, evidence with another one
///    is by somebody else, as in cosign.
/// 2. Everything is verified, without knowing what is wanted.
/// 3. The requirement: any that meets it is accepted.
/// 4. The policies: each that was accepted must satisfy them, as in cosign. A newer finding of the same signer is not
///    hidden behind an older one.
pub(crate) fn check_evidence(target: &Target, mut evidence: EvidenceSet, wish: &Wish) -> Result<Checked, Failure> {
    let proofs = verified(&mut evidence, wish);
    hold(target, evidence, proofs, wish)
}

/// Steps 1 and 2 of [`check_evidence`].
fn verified(evidence: &mut EvidenceSet, wish: &Wish) -> Proofs {
    // 1.
    if let Some(certificate) = &wish.certificate {
        evidence.items.iter_mut().for_each(|item| supply(item, certificate));
    }
    // 2.
    wish.verifier.verify(evidence, Context::now())
}

/// Steps 3 and 4 of [`check_evidence`].
fn hold(target: &Target, evidence: EvidenceSet, proofs: Proofs, wish: &Wish) -> Result<Checked, Failure> {
    let digest = evidence.subject.clone();
    let looked = target.looked(&digest, evidence.items.len());
    // 3.
    verdict(&wish.requirement, &proofs, &target.pinned(&digest)).map_err(|mut failure| {
        failure.details.insert(0, looked);
        failure
    })?;
    let checked = Checked {
        digest,
        proofs,
        evidence,
    };
    // 4.
    satisfied(target, &checked, wish)?;
    Ok(checked)
}

fn supply(item: &mut Item, certificate: &[u8]) {
    let own = match &item.content {
        ItemContent::LegacySignature(signature) => signature.certificate.as_deref(),
        ItemContent::LegacyAttestation(attestation) => attestation.certificate.as_deref(),
        ItemContent::Bundle(bundle) => bundle.material.key.leaf(),
        _ => return,
    };
    if let Some(own) = own {
        if own != certificate {
            item.content = ItemContent::Unreadable {
                code: "certificate-mismatch",
                reason: "it is by another certificate than --certificate names".to_owned(),
            };
        }
        return;
    }
    match &mut item.content {
        ItemContent::LegacySignature(signature) => signature.certificate = Some(certificate.to_vec()),
        ItemContent::LegacyAttestation(attestation) => attestation.certificate = Some(certificate.to_vec()),
        ItemContent::Bundle(bundle) => bundle.material.key = KeyMaterial::Certificate(certificate.to_vec()),
        _ => {}
    }
}

fn satisfied(target: &Target, checked: &Checked, wish: &Wish) -> Result<(), Failure> {
    if wish.policies.is_empty() {
        return Ok(());
    }
    let image = target.name.with_digest(checked.digest.clone());
    let mut refused = Vec::new();
    for proof in checked.accepted(&wish.requirement) {
        let statement = checked
            .envelope(proof)
            .and_then(|envelope| serde_json::from_slice::<Value>(&envelope.payload).ok())
            .ok_or_else(|| anyhow::anyhow!("the statement of {} is not found again", proof.origin()))?;
        let facts = StatementFacts {
            statement: &statement,
            image: &image,
            now: Context::now(),
        };
        if let Err(refusal) = wish.policies.check(&facts) {
            refused.push(format!("{}: {refusal}", proof.origin()));
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::NoAttestation,
        "policy-not-satisfied",
        format!(
            "{} has attestations by the right signer, and {} of them does not satisfy the policy",
            target.pinned(&checked.digest),
            refused.len()
        ),
    )
    .with_details(refused))
}

/// The verdict as an exit code.
fn verdict(requirement: &Requirement, proofs: &Proofs, name: &str) -> Result<(), Failure> {
    let attestation = matches!(requirement.what, Wanted::Attestation { .. });
    let lines = |refusals: &[Refusal]| refusals.iter().map(ToString::to_string).collect::<Vec<_>>();
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
        Verdict::Rejected(refusals) => Err(rejected(attestation, &refusals, name).with_details(lines(&refusals))),
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

fn rejected(attestation: bool, refusals: &[Refusal], name: &str) -> Failure {
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
pub(crate) fn compare(refusals: &[Refusal]) -> &'static str {
    if refusals.iter().any(|refusal| refusal.code == "log-entry-missing") {
        return "the signer is the right one, and the log is not: sign with --signing-config, or accept it with --insecure-ignore-tlog; is the trusted root that of the log?";
    }
    "compare expected and found above; is the key, or the identity, that of the one who released it?"
}
