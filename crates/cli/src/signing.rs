//! The hand that signs: a key or an identity, from the flags, and what it signs put beside the image.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::layout::{EMPTY_CONFIG, att_tag, referrer_of, sig_tag};
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_oci::Descriptor;
use proofmark_policy::LogRule;
use proofmark_registry::Client;
use proofmark_sign::token::{Claims, IdentityToken, Sources, TokenOptions, detect};
use proofmark_sign::{KeylessSession, Options, SignError, Signer, SigningKey, Timing};
use proofmark_trust_root::SigningConfig;
use proofmark_types::{Digest, Repository};
use proofmark_verify::{SignerProof, TrustRoot, Verifier};

use crate::args::SigningArgs;
use crate::checking::{Wish, security_key};
use crate::context::{Context, registry_failure};
use crate::failure::{Exit, Failure, chain};
use crate::keys::signing_key;

/// A signer, and how what it signs is kept.
pub(crate) struct Hand {
    signer: Signer,
    also_legacy: bool,
    logged: bool,
    trust_root: Option<Arc<TrustRoot>>,
    /// What the identity token claims, for provenance; absent when signing with a key.
    pub(crate) claims: Option<Claims>,
}

impl Hand {
    /// A key or an identity, as the flags say.
    pub(crate) async fn from_flags(context: &Context, args: &SigningArgs) -> Result<Self, Failure> {
        if args.sk || args.slot.is_some() {
            return Err(security_key());
        }
        let trust_root = match (args.trusted_root.as_deref(), &args.services.signing_config) {
            // A key without services: nothing but the key is looked at afterwards.
            (None, None) => None,
            (given, _) => Context::trust_root(given)?,
        };
        let config = args
            .services
            .signing_config
            .as_deref()
            .map(proofmark_trust_root::load_signing_config)
            .transpose()
            .map_err(|error| Failure::usage(error.code(), chain(&error)))?;
        if args.key.is_some() && args.oidc.identity_token.is_some() {
            return Err(Failure::usage(
                "two-signers",
                "--key and --identity-token are both given, and one signature has one signer",
            ));
        }
        let hand = match (&args.key, config) {
            (Some(reference), config) => {
                Self::by_key(signing_key(context, reference).await?, config.as_ref(), trust_root)?
            }
            (None, Some(config)) => {
                let trust_root = trust_root.ok_or_else(|| {
                    Failure::usage(
                        "trusted-root-missing",
                        "keyless signatures are verified as soon as they are made, and no trusted root is given",
                    )
                    .with_hint(
                        "give --trusted-root FILE beside --signing-config FILE; `proofmark trust init` writes both",
                    )
                })?;
                let token = identity_token(args.oidc.identity_token.as_deref()).await?;
                Self::keyless(&config, token, trust_root).await?
            }
            (None, None) => {
                return Err(Failure::usage("nothing-to-sign-with", "neither a key nor signing services are given").with_hint(
                    "give --key FILE (`proofmark key generate` makes one), or --signing-config and --trusted-root for keyless signing",
                ));
            }
        };
        Ok(Self {
            also_legacy: args.also_legacy,
            ..hand
        })
    }

    /// Signs with a key; logged and timestamped where services are given.
    fn by_key(
        key: SigningKey,
        config: Option<&SigningConfig>,
        trust_root: Option<Arc<TrustRoot>>,
    ) -> Result<Self, Failure> {
        let options = Options {
            trust_root: trust_root.clone(),
            ..Options::default()
        };
        Ok(Self {
            signer: match config {
                Some(config) => Signer::logged_key(key, config, options).map_err(sign_failure)?,
                None => Signer::key(key),
            },
            also_legacy: false,
            logged: config.is_some(),
            trust_root,
            claims: None,
        })
    }

    /// Signs as the holder of `token`.
    pub(crate) async fn keyless(
        config: &SigningConfig,
        token: IdentityToken,
        trust_root: Arc<TrustRoot>,
    ) -> Result<Self, Failure> {
        let claims = token.claims().clone();
        let options = Options {
            trust_root: Some(Arc::clone(&trust_root)),
            ..Options::default()
        };
        let session = KeylessSession::begin(config, token, options)
            .await
            .map_err(sign_failure)?;
        Ok(Self {
            signer: Signer::Keyless(session),
            also_legacy: false,
            logged: true,
            trust_root: Some(trust_root),
            claims: Some(claims),
        })
    }

    /// Signs a statement and hangs it on its subject.
    pub(crate) async fn attach(
        &self,
        client: &Client,
        repository: &Repository,
        subject: &Descriptor,
        statement: &Statement,
    ) -> Result<Attached, Failure> {
        let bundle = self.signer.sign_statement(statement).await.map_err(sign_failure)?;
        let digest = attach_bundle(client, repository, subject, &bundle).await?;
        let mut place = format!("referrer {digest}");
        if self.also_legacy {
            let tag = self.attach_legacy(client, repository, subject, statement).await?;
            let _ = write!(place, ", tag {tag}");
        }
        Ok(Attached { place, bundle })
    }

    /// The same for readers older than bundles: cosign's `.sig` or `.att` tag.
    async fn attach_legacy(
        &self,
        client: &Client,
        repository: &Repository,
        subject: &Descriptor,
        statement: &Statement,
    ) -> Result<String, Failure> {
        let (tag, layer) = if statement.predicate_type.is_signature() {
            let annotations = statement
                .subjects
                .iter()
                .flat_map(|subject| &subject.annotations)
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect();
            let payload = Payload::new(&repository.to_string(), &subject.digest, annotations);
            let signed = self.signer.sign_payload(&payload).await.map_err(sign_failure)?;
            (sig_tag(&subject.digest), (signed.layer(), Bytes::from(signed.payload)))
        } else {
            let signed = self
                .signer
                .sign_legacy_attestation(statement)
                .await
                .map_err(sign_failure)?;
            (att_tag(&subject.digest), (signed.layer(), Bytes::from(signed.raw)))
        };
        client
            .append_legacy(repository, &tag, &[layer])
            .await
            .map_err(registry_failure)?;
        Ok(tag.to_string())
    }

    /// What a reader would ask for to accept what this hand signs: its key, or the identity in the certificate of
    /// `signed`, which it signed about `subject`.
    pub(crate) fn wish(&self, signed: &Bundle, subject: &Digest) -> Result<Wish, Failure> {
        let mut wish = match (&self.signer, &self.trust_root) {
            (Signer::Keyless(_), Some(root)) => {
                let (name, issuer) = identity(signed, subject, root)?;
                Wish::by_identity(&name, &issuer, Arc::clone(root))?
            }
            (signer, root) => Wish::by_key(signer.public_key().clone(), root.clone()),
        };
        if self.logged && self.trust_root.is_some() {
            wish.requirement.log = LogRule::Required { operators: 1 };
        }
        Ok(wish)
    }
}

/// What was signed, and where it is now.
pub(crate) struct Attached {
    /// In words.
    pub(crate) place: String,
    pub(crate) bundle: Bundle,
}

/// The identity in a bundle's certificate, read through the verifier as anyone else would read it.
fn identity(signed: &Bundle, subject: &Digest, root: &Arc<TrustRoot>) -> Result<(String, String), Failure> {
    let internal = |what: &str| Failure::new(Exit::Undecided, "own-signature-unverified", what);
    let mut evidence = EvidenceSet::new(subject.clone());
    evidence.items.push(Item {
        origin: Origin::Local,
        content: ItemContent::Bundle(signed.clone()),
    });
    let proofs = Verifier::new()
        .with_trust_root(Arc::clone(root))
        .verify(&evidence, Context::now());
    let Some(SignerProof::Certificate(facts)) = proofs.proofs().first().map(|proof| proof.signer()) else {
        let why = proofs
            .rejections()
            .first()
            .map(|rejection| rejection.reason.to_string());
        return Err(internal(&why.unwrap_or_else(|| "no certificate".to_owned())));
    };
    match (facts.identity.subjects.first(), &facts.identity.issuer) {
        (Some(subject), Some(issuer)) => Ok((subject.value().to_owned(), issuer.clone())),
        _ => Err(internal("the certificate names no subject or no issuer")),
    }
}

/// Hangs a bundle on its subject.
pub(crate) async fn attach_bundle(
    client: &Client,
    repository: &Repository,
    subject: &Descriptor,
    bundle: &Bundle,
) -> Result<Digest, Failure> {
    let (manifest, json) = referrer_of(subject, bundle, Context::document_time()?);
    client
        .attach(
            repository,
            subject,
            &manifest,
            &[Bytes::from_static(EMPTY_CONFIG), Bytes::from(json)],
        )
        .await
        .map_err(registry_failure)
}

/// The identity token that the flags or the CI system give.
pub(crate) async fn identity_token(given: Option<&str>) -> Result<IdentityToken, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    detect(&Sources {
        given,
        options: &TokenOptions::default(),
        environment: &environment,
        root: Path::new("/"),
        person: None,
        timing: Timing::default(),
        now: Context::now(),
    })
    .await
    .map_err(|error| {
        let exit = if error.is_unreachable() {
            Exit::Undecided
        } else {
            Exit::Usage
        };
        Failure::new(exit, error.code(), chain(&error))
    })
}

pub(crate) fn sign_failure(error: SignError) -> Failure {
    let exit = if error.is_unreachable() {
        Exit::Undecided
    } else {
        Exit::Usage
    };
    Failure::new(exit, error.code(), chain(&error))
}
