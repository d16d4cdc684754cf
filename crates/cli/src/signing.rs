//! The hand that signs: a key or an identity, from the flags, and what it signs put beside the image.

mod certified;
mod place;
mod services;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::layout::{EMPTY_CONFIG, referrer_of};
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_oci::Descriptor;
use proofmark_policy::LogRule;
use proofmark_registry::Client;
use proofmark_sign::token::{Claims, IdentityToken};
use proofmark_sign::{KeylessSession, Options, SignError, Signer, SigningKey};
use proofmark_trust_root::{ServiceKind, SigningConfig};
use proofmark_types::{Digest, Repository};
use proofmark_verify::{PublicKey, SignerProof, TrustRoot, Verifier};

pub(crate) use self::place::{Keeping, Placed, Subject, write_output};
use crate::args::{ReferrersMode, SigningArgs};
use crate::checking::{Wish, security_key};
use crate::context::{Context, registry_failure};
use crate::failure::{Exit, Failure, chain};
use crate::keys::signing_key;

/// A signer, and how what it signs is kept.
pub(crate) struct Hand {
    signer: Signer,
    /// Write bundles; cosign's older tags alone otherwise.
    bundles: bool,
    also_legacy: bool,
    logged: bool,
    trust_root: Option<Arc<TrustRoot>>,
    /// Who vouches for the certificate of one's own that goes with a key, DER, the root last.
    authority: Vec<Vec<u8>>,
    /// What the identity token claims, for provenance; absent when signing with a key.
    pub(crate) claims: Option<Claims>,
}

impl Hand {
    /// A key or an identity, as the flags say.
    ///
    /// 1. What cannot be done is refused before anything is asked.
    /// 2. The services are chosen, and the trust root that what they sign is verified with at once.
    /// 3. A key is opened; or, for an identity, a person agrees and a token is found.
    pub(crate) async fn from_flags(context: &Context, args: &SigningArgs) -> Result<Self, Failure> {
        // 1.
        refuse_unsupported(context, args)?;
        // 2.
        let chosen = services::choose(context, args)?;
        let trust_root = match (&args.trusted_root, &chosen) {
            // A key without services: nothing but the key, or the chain given, is looked at afterwards.
            (None, None) if args.certificate.is_none() || args.certificate_chain.is_some() => None,
            (given, _) => Context::trust_root(given.as_deref())?,
        };
        certified::need_authority(trust_root.as_ref(), args)?;
        let certificates = certified::given(args)?;
        let options = services::options(context, args, trust_root.as_ref())?;
        // 3.
        let key = match &args.key {
            Some(reference) => Some(signing_key(context, reference).await?),
            None => None,
        };
        let hand = match (key, &chosen) {
            (Some(key), chosen) if !args.issue_certificate => {
                let config = chosen.as_ref().map(|chosen| &chosen.config);
                match &certificates {
                    Some(certificates) => Self::certified(key, certificates, config, options)?,
                    None => Self::by_key(key, config, options)?,
                }
            }
            (key, Some(chosen)) => {
                services::confirm(context, chosen, args.yes)?;
                let token = services::token(context, &args.oidc, chosen).await?;
                Self::by_identity(&chosen.config, token, key, options).await?
            }
            (_, None) => {
                return Err(
                    Failure::usage("nothing-to-sign-with", "neither a key nor signing services are given").with_hint(
                        "give --key FILE (`proofmark key generate` makes one), or --signing-config for keyless signing",
                    ),
                );
            }
        };
        Ok(Self {
            also_legacy: args.also_legacy,
            bundles: args.new_bundle_format,
            ..hand
        })
    }

    /// Signs with a key; logged and timestamped where services are given.
    fn by_key(key: SigningKey, config: Option<&SigningConfig>, options: Options) -> Result<Self, Failure> {
        let trust_root = options.trust_root.clone();
        Ok(Self {
            signer: match config {
                Some(config) => Signer::logged_key(key, config, options).map_err(sign_failure)?,
                None => Signer::key(key),
            },
            bundles: true,
            also_legacy: false,
            logged: config.is_some_and(|config| config.has(ServiceKind::Log)),
            trust_root,
            authority: Vec::new(),
            claims: None,
        })
    }

    /// Signs as the holder of `token`.
    pub(crate) async fn keyless(
        config: &SigningConfig,
        token: IdentityToken,
        trust_root: Arc<TrustRoot>,
    ) -> Result<Self, Failure> {
        let options = Options {
            trust_root: Some(trust_root),
            ..Options::default()
        };
        Self::by_identity(config, token, None, options).await
    }

    /// A certificate is asked for a new key, or for `key` (`--issue-certificate`).
    async fn by_identity(
        config: &SigningConfig,
        token: IdentityToken,
        key: Option<SigningKey>,
        options: Options,
    ) -> Result<Self, Failure> {
        let claims = token.claims().clone();
        let trust_root = options.trust_root.clone();
        let session = match key {
            Some(key) => KeylessSession::begin_with_key(config, token, key, options).await,
            None => KeylessSession::begin(config, token, options).await,
        }
        .map_err(sign_failure)?;
        Ok(Self {
            signer: Signer::Keyless(session),
            bundles: true,
            also_legacy: false,
            logged: config.has(ServiceKind::Log),
            trust_root,
            authority: Vec::new(),
            claims: Some(claims),
        })
    }

    /// Who signs what is not hung on an image.
    pub(crate) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Signs a statement and hangs it on its subject.
    pub(crate) async fn attach(
        &self,
        client: &Client,
        repository: &Repository,
        subject: &Descriptor,
        statement: &Statement,
    ) -> Result<Attached, Failure> {
        let place = Subject {
            client,
            repository,
            descriptor: subject,
        };
        let keeping = Keeping {
            upload: true,
            mode: ReferrersMode::Legacy,
        };
        let placed = if statement.predicate_type.is_signature() {
            let annotations = text_annotations(statement);
            let payload = Payload::new(&repository.to_string(), &subject.digest, annotations.clone());
            self.sign_image(place, annotations, &[payload], keeping).await?
        } else {
            self.attest_image(place, statement, keeping).await?
        };
        let line = placed.line();
        match placed.bundle {
            Some(bundle) => Ok(Attached { place: line, bundle }),
            None => Err(Failure::usage(
                "bundle-needed",
                "--new-bundle-format=false writes no bundle, and this verb reads one back",
            )
            .with_hint("--also-legacy writes cosign's older tags beside bundles")),
        }
    }

    /// The key that signs.
    pub(crate) fn public_key(&self) -> &PublicKey {
        self.signer.public_key()
    }

    /// What a reader would ask for to accept what this hand signs: its key, or the identity in the certificate of
    /// `signed`, which it signed about `subject`.
    pub(crate) fn wish(&self, signed: &Bundle, subject: &Digest) -> Result<Wish, Failure> {
        let mut wish = match (&self.signer, &self.trust_root) {
            (Signer::Keyless(_), Some(root)) => {
                let (name, Some(issuer)) = identity(signed, subject, &self.believer()?)? else {
                    return Err(unverified("the certificate names no issuer"));
                };
                Wish::by_identity(&name, &issuer, Arc::clone(root))?
            }
            (signer, _) if signer.certificate().is_some() => {
                let (name, issuer) = identity(signed, subject, &self.believer()?)?;
                self.certified_wish(&name, issuer.as_deref())?
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

fn unverified(what: &str) -> Failure {
    Failure::new(Exit::Undecided, "own-signature-unverified", what)
}

/// The subject in a bundle's certificate, and the issuer if it names one, read through the verifier as anyone else
/// would read it.
fn identity(signed: &Bundle, subject: &Digest, verifier: &Verifier) -> Result<(String, Option<String>), Failure> {
    let mut evidence = EvidenceSet::new(subject.clone());
    evidence.items.push(Item {
        origin: Origin::Local,
        content: ItemContent::Bundle(signed.clone()),
    });
    let proofs = verifier.verify(&evidence, Context::now());
    let Some(SignerProof::Certificate(facts)) = proofs.proofs().first().map(|proof| proof.signer()) else {
        let why = proofs
            .rejections()
            .first()
            .map(|rejection| rejection.reason.to_string());
        return Err(unverified(&why.unwrap_or_else(|| "no certificate".to_owned())));
    };
    match facts.identity.subjects.first() {
        Some(subject) => Ok((subject.value().to_owned(), facts.identity.issuer.clone())),
        None => Err(unverified("the certificate names no subject")),
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

fn text_annotations(statement: &Statement) -> BTreeMap<String, String> {
    statement
        .subjects
        .iter()
        .flat_map(|subject| &subject.annotations)
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// What would make another signature than was asked for is refused; what changes nothing is said.
fn refuse_unsupported(context: &Context, args: &SigningArgs) -> Result<(), Failure> {
    if args.sk || args.slot.is_some() {
        return Err(security_key());
    }
    if args.key.is_some() && args.oidc.identity_token.is_some() && !args.issue_certificate {
        return Err(Failure::usage(
            "two-signers",
            "--key and --identity-token are both given, and one signature has one signer",
        )
        .with_hint("--issue-certificate asks for a certificate on the key"));
    }
    if args.certificate.is_some() && args.issue_certificate {
        return Err(Failure::usage(
            "two-signers",
            "--certificate and --issue-certificate are both given, and a signature comes with one certificate",
        ));
    }
    if args.services.insecure_skip_verify {
        context
            .output
            .note("note: --insecure-skip-verify: what was signed is verified all the same");
    }
    Ok(())
}

pub(crate) fn sign_failure(error: SignError) -> Failure {
    let exit = if error.is_unreachable() {
        Exit::Undecided
    } else {
        Exit::Usage
    };
    Failure::new(exit, error.code(), chain(&error))
}
