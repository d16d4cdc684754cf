//! Success, against the real trust server.

use std::collections::BTreeMap;
use std::sync::Arc;

use proofmark_evidence::bundle::{Bundle, KeyMaterial};
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_sign::provenance::{Times, from_claims};
use proofmark_sign::token::IdentityToken;
use proofmark_sign::{BlobForm, KeylessSession, Options, Signer, SigningKey};
use proofmark_types::{DigestAlgorithm, DigestsHasher, SubjectName};
use proofmark_verify::{Artifact, HashUsed, KeyAlgorithm, ProofKind, Proofs, SignerProof, Verifier};
use serde_json::json;

use crate::world::{SHA, WORKFLOW, World, fixture_key, image, now};

fn verify(verifier: &Verifier, content: ItemContent) -> Proofs {
    let mut evidence = EvidenceSet::new(image());
    evidence.items.push(Item {
        origin: Origin::Local,
        content,
    });
    verifier.verify(&evidence, now())
}

fn attestation() -> Statement {
    let kind = PredicateType::resolve("custom").unwrap();
    Statement::attestation("127.0.0.1/app", &image(), kind, json!({"a": 1}))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_signs_several_statements_as_a_ci_job() {
    let world = World::start().await;
    let signer = Signer::Keyless(world.ci_session().await.unwrap());
    let verifier = Verifier::new().with_trust_root(Arc::clone(&world.trust_root));
    let annotations = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
    let signature = signer
        .sign_statement(&Statement::signature(&image(), annotations))
        .await
        .unwrap();
    let attested = signer.sign_statement(&attestation()).await.unwrap();
    for (bundle, kind, index) in [
        (signature, ProofKind::Signature, 0),
        (attested, ProofKind::Attestation, 1),
    ] {
        // What is written is what is verified.
        let bundle = Bundle::parse(&bundle.to_json()).unwrap();
        assert!(matches!(bundle.material.key, KeyMaterial::Certificate(_)));
        let proofs = verify(&verifier, ItemContent::Bundle(bundle));
        let proof = &proofs.proofs()[0];
        assert_eq!((proof.kind(), proof.log().unwrap().index), (kind, index));
        assert_eq!((proof.logs().len(), proof.timestamps().len()), (1, 1));
        let SignerProof::Certificate(facts) = proof.signer() else {
            panic!("{:?}", proof.signer());
        };
        assert_eq!(facts.identity.subjects, [SubjectName::Uri(WORKFLOW.to_owned())]);
        assert_eq!(facts.identity.issuer, Some(world.issuer.ci_issuer()));
        assert!(matches!(proof.sct(), proofmark_verify::SctProof::Verified(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_forms_are_timestamped() {
    let world = World::start().await;
    let signer = Signer::Keyless(world.ci_session().await.unwrap());
    let verifier = Verifier::new().with_trust_root(Arc::clone(&world.trust_root));
    let payload = Payload::new("127.0.0.1/app", &image(), BTreeMap::new());
    let signature = signer.sign_payload(&payload).await.unwrap();
    assert!(signature.certificate.is_some() && !signature.chain.is_empty() && signature.timestamp.is_some());
    let proofs = verify(&verifier, ItemContent::LegacySignature(signature));
    assert_eq!(proofs.proofs()[0].timestamps().len(), 1);
    let attested = signer.sign_legacy_attestation(&attestation()).await.unwrap();
    let proofs = verify(&verifier, ItemContent::LegacyAttestation(attested));
    assert_eq!(proofs.proofs()[0].timestamps().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_a_file() {
    let world = World::start().await;
    let token = world.issuer.mint_email("a@acme.test", now()).unwrap();
    let token = IdentityToken::parse(&token).unwrap();
    let session = KeylessSession::begin(&world.config, token, world.options())
        .await
        .unwrap();
    assert!(session.not_after() > now());
    let bundle = Signer::Keyless(session).sign_blob(b"a file").await.unwrap();
    assert_eq!(bundle.material.tlog_entries.len(), 1);
    assert_eq!(Bundle::parse(&bundle.to_json()).unwrap(), bundle);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_logged_and_timestamped() {
    let world = World::start().await;
    for name in ["p256", "p384", "rsa2048"] {
        let key = fixture_key(name);
        let public = key.public_key().clone();
        let signer = Signer::logged_key(key, &world.config, world.options()).unwrap();
        let bundle = signer.sign_statement(&attestation()).await.unwrap();
        let verifier = Verifier::new()
            .with_key(public)
            .with_trust_root(Arc::clone(&world.trust_root));
        let proofs = verify(&verifier, ItemContent::Bundle(bundle));
        assert_eq!(proofs.proofs()[0].logs().len(), 1, "{name}");
        signer.sign_blob(b"a file").await.unwrap();
    }
    // Rekor v2 takes Ed25519 pre-hashed only, as files are signed and envelopes are not.
    let signer = Signer::logged_key(fixture_key("ed25519"), &world.config, world.options()).unwrap();
    assert_eq!(
        signer.sign_blob(b"a file").await.unwrap().material.tlog_entries.len(),
        1
    );
    let refused = signer.sign_statement(&attestation()).await;
    assert_eq!(refused.unwrap_err().code(), "key-not-loggable");
}

/// A file too large to be held is signed by its digest, for either generation of readers.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_signed_by_their_digests() {
    let world = World::start().await;
    let mut hasher = DigestsHasher::new(&[DigestAlgorithm::Sha384, DigestAlgorithm::Sha512]);
    hasher.update(b"a large file");
    let digests = hasher.finish();
    for name in ["p256", "p384", "rsa2048"] {
        let verifier = Verifier::new()
            .with_key(fixture_key(name).public_key().clone())
            .with_trust_root(Arc::clone(&world.trust_root));
        let logged = Signer::logged_key(fixture_key(name), &world.config, world.options()).unwrap();
        for (signer, logs) in [(Signer::key(fixture_key(name)), 0), (logged, 1)] {
            assert!(signer.signs_digests());
            for (form, logs) in [(BlobForm::Bundle, logs), (BlobForm::Legacy, 0)] {
                let bundle = signer.sign_artifact(&Artifact::Digests(&digests), form).await.unwrap();
                let proofs = verifier.verify_blob(&bundle, &Artifact::Bytes(b"a large file"), now());
                let [proof] = proofs.proofs() else {
                    panic!("{name}: {proofs:?}")
                };
                assert_eq!(proof.logs().len(), logs, "{name}");
                let expected = match form {
                    BlobForm::Bundle => signer.blob_hash(),
                    BlobForm::Legacy => DigestAlgorithm::Sha256,
                };
                assert_eq!(proof.hash().digest_algorithm(), Some(expected), "{name}");
                let other = verifier.verify_blob(&bundle, &Artifact::Bytes(b"another file"), now());
                assert_eq!(other.rejections()[0].reason.code(), "signature-not-by-given-key");
            }
        }
    }
    // Ed25519 is pre-hashed for bundles; older readers know it only over the message itself.
    let signer = Signer::key(fixture_key("ed25519"));
    let artifact = Artifact::Digests(&digests);
    let bundle = signer.sign_artifact(&artifact, BlobForm::Bundle).await.unwrap();
    let verifier = Verifier::new().with_key(fixture_key("ed25519").public_key().clone());
    let proofs = verifier.verify_blob(&bundle, &Artifact::Bytes(b"a large file"), now());
    assert_eq!(proofs.proofs()[0].hash(), HashUsed::Ed25519ph);
    let other = verifier.verify_blob(&bundle, &Artifact::Bytes(b"another file"), now());
    assert_eq!(other.rejections()[0].reason.code(), "signature-not-by-given-key");
    let refused = signer.sign_artifact(&artifact, BlobForm::Legacy).await;
    assert_eq!(refused.unwrap_err().code(), "key-message-needed");
}

/// What someone else wrote is signed as it stands, and only if it is a statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_written_statement_is_signed_byte_by_byte() {
    let signer = Signer::key(fixture_key("p256"));
    let mut payload = attestation().to_json();
    payload.truncate(payload.len() - 1);
    payload.extend_from_slice(b", \"ours\": 1 }");
    let bundle = signer.sign_written_statement(payload.clone()).await.unwrap();
    assert_eq!(bundle.envelope().unwrap().payload, payload);
    let legacy = signer.sign_written_legacy_attestation(payload.clone()).await.unwrap();
    assert_eq!(legacy.envelope.payload, payload);
    let refused = signer.sign_written_statement(b"{}".to_vec()).await.unwrap_err();
    assert!(
        matches!(refused, proofmark_sign::SignError::Statement(_)),
        "{refused:?}"
    );
}

/// A server signs from many tasks at once.
#[tokio::test(flavor = "multi_thread")]
async fn one_session_signs_from_several_tasks() {
    let world = World::start().await;
    let signer = Arc::new(Signer::Keyless(world.ci_session().await.unwrap()));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let signer = Arc::clone(&signer);
            tokio::spawn(async move { signer.sign_statement(&attestation()).await.unwrap() })
        })
        .collect();
    let mut indexes = Vec::new();
    for task in tasks {
        indexes.push(task.await.unwrap().material.tlog_entries[0].log_index);
    }
    indexes.sort_unstable();
    assert_eq!(indexes, (0..8).collect::<Vec<_>>());
}

/// RSA PKCS #1 v1.5 is deterministic: the same release again is the same entry again (cosign #4711).
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_no_failure() {
    let world = World::start().await;
    let signer = Signer::logged_key(fixture_key("rsa2048"), &world.config, world.options()).unwrap();
    let first = signer.sign_statement(&attestation()).await.unwrap();
    let again = signer.sign_statement(&attestation()).await.unwrap();
    assert_eq!(
        first.material.tlog_entries[0].log_index,
        again.material.tlog_entries[0].log_index
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_that_will_not_do_has_its_reason() {
    let world = World::start().await;
    let begin = async |claims: serde_json::Value| {
        let token = world.issuer.mint(claims.as_object().unwrap(), now()).unwrap();
        let token = IdentityToken::parse(&token).unwrap();
        KeylessSession::begin(&world.config, token, world.options())
            .await
            .unwrap_err()
    };
    assert_eq!(begin(json!({"sub": "s", "exp": 1000})).await.code(), "token-expired");
    assert_eq!(
        begin(json!({"sub": "s", "aud": "other"})).await.code(),
        "token-audience"
    );
    // A token of nobody known is refused by the authority, not by us.
    let foreign = begin(json!({"sub": "s", "iss": "https://elsewhere.test"})).await;
    assert_eq!((foreign.code(), foreign.is_unreachable()), ("service-refused", false));
    // A signature under another key: the token was changed.
    let mut text = world
        .issuer
        .mint(json!({"sub": "s"}).as_object().unwrap(), now())
        .unwrap();
    let last = text.rfind('.').unwrap();
    text.truncate(last + 1);
    text.push_str(&"A".repeat(342));
    let session = KeylessSession::begin(&world.config, IdentityToken::parse(&text).unwrap(), world.options()).await;
    assert_eq!(session.unwrap_err().code(), "service-refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_trust_root_does_not_know_is_not_handed_out() {
    let (world, other) = (World::start().await, World::start().await);
    let options = Options {
        trust_root: Some(Arc::clone(&other.trust_root)),
        ..Options::default()
    };
    let session = KeylessSession::begin(&world.config, world.ci_token(), options.clone())
        .await
        .unwrap();
    let error = Signer::Keyless(session)
        .sign_statement(&attestation())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "signature-not-verified", "{error}");
    // A key is believed, and yet its log and timestamps must be known.
    let signer = Signer::logged_key(
        SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap(),
        &world.config,
        options,
    )
    .unwrap();
    let error = signer.sign_statement(&attestation()).await.unwrap_err();
    assert_eq!(error.code(), "signature-not-verified", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_certificate() {
    let world = World::start().await;
    let later = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = Arc::clone(&later);
    let options = Options {
        clock: Arc::new(move || {
            let late = switch.load(std::sync::atomic::Ordering::Relaxed);
            now().plus(std::time::Duration::from_secs(if late { 3600 } else { 0 }))
        }),
        ..world.options()
    };
    let session = KeylessSession::begin(&world.config, world.ci_token(), options)
        .await
        .unwrap();
    let signer = Signer::Keyless(session);
    later.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(
        signer.sign_statement(&attestation()).await.unwrap_err().code(),
        "certificate-expired"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn provenance_agrees_with_the_certificate() {
    let world = World::start().await;
    let token = world.ci_token();
    let provenance = from_claims(token.claims(), Times::default()).unwrap();
    assert_eq!(provenance.run_details.builder.id, WORKFLOW);
    let source = &provenance.build_definition.resolved_dependencies[0];
    assert_eq!(source.digest["gitCommit"], SHA);
    let session = KeylessSession::begin(&world.config, token, world.options())
        .await
        .unwrap();
    let kind = PredicateType::resolve("slsaprovenance1").unwrap();
    let statement = Statement::attestation("127.0.0.1/app", &image(), kind, provenance.to_predicate());
    let bundle = Signer::Keyless(session).sign_statement(&statement).await.unwrap();
    let verifier = Verifier::new().with_trust_root(Arc::clone(&world.trust_root));
    let proofs = verify(&verifier, ItemContent::Bundle(bundle));
    let proof = &proofs.proofs()[0];
    assert_eq!(proof.predicate(), &provenance.to_predicate());
    let SignerProof::Certificate(facts) = proof.signer() else {
        panic!("{:?}", proof.signer());
    };
    // .9, .13, .21: build signer, source digest, run.
    assert_eq!(facts.extensions.get(9), Some(WORKFLOW));
    assert_eq!(facts.extensions.get(13), Some(SHA));
    let run = provenance.run_details.metadata.unwrap().invocation_id;
    assert_eq!(facts.extensions.get(21), run.as_deref());
}
