//! Signing with a configuration that lists Rekor v1 logs only, as the public instance's does.

mod log;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_sign::{KeylessSession, Options, SignError, Signer, SigningKey, Timing};
use proofmark_trust_root::{Selector, Service, ServiceKind, SigningConfig};
use proofmark_types::UnixTime;
use proofmark_verify::{Artifact, KeyAlgorithm, Proof, Proofs, TimeSource, TrustRoot, Verifier};
use serde_json::{Value, json};

use self::log::{EARLIER, Log, Odd, Tamper};
use crate::world::{World, fixture_key, image, now};

/// Our trust services, and a Rekor v1 in place of the log.
pub(crate) struct Old {
    pub(crate) world: World,
    pub(crate) log: Log,
    pub(crate) trust_root: Arc<TrustRoot>,
    /// The same as a file.
    pub(crate) trusted_root: PathBuf,
}

impl Old {
    pub(crate) async fn start() -> Self {
        let (world, log) = (World::start().await, Log::start().await);
        let mut root: Value = serde_json::from_slice(&world.trust_root.to_json()).unwrap();
        let key = log.public_key();
        root["tlogs"].as_array_mut().unwrap().push(json!({
            "baseUrl": log.url.as_str(),
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(key.spki_der()),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            },
            "logId": {"keyId": STANDARD.encode(key.fingerprint().as_bytes())},
        }));
        let trusted_root = world.folder.path().join("with-rekor-v1.json");
        fs::write(&trusted_root, root.to_string()).unwrap();
        Self {
            trust_root: Arc::new(TrustRoot::parse(root.to_string().as_bytes()).unwrap()),
            world,
            log,
            trusted_root,
        }
    }

    /// A configuration with the authority and these logs, and with or without the timestamp authority.
    fn config_of(&self, logs: Vec<Service>, with_time: bool) -> SigningConfig {
        let known = &self.world.config;
        let authority = known.certificate_authority(now()).unwrap().clone();
        let mut config = SigningConfig::empty().with(ServiceKind::Authority, authority);
        for log in logs {
            config = config.with(ServiceKind::Log, log);
        }
        for authority in known.timestamp_authorities(now()).unwrap() {
            if with_time {
                config = config.with(ServiceKind::TimestampAuthority, authority.clone());
            }
        }
        config
    }

    fn service(&self, operator: &str) -> Service {
        Service::new(self.log.url.clone(), 1, UnixTime::EPOCH, operator)
    }

    pub(crate) fn config(&self) -> SigningConfig {
        self.config_of(vec![self.service("acme")], true)
    }

    pub(crate) fn timeless(&self) -> SigningConfig {
        self.config_of(vec![self.service("acme")], false)
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            trust_root: Some(Arc::clone(&self.trust_root)),
            timing: Timing {
                pause: Duration::from_millis(5),
                attempts: 3,
                ..Timing::default()
            },
            ..Options::default()
        }
    }

    pub(crate) async fn keyless(&self, config: &SigningConfig) -> Signer {
        let session = KeylessSession::begin(config, self.world.ci_token(), self.options()).await;
        Signer::Keyless(session.unwrap())
    }

    pub(crate) fn key(&self, key: SigningKey) -> Signer {
        Signer::logged_key(key, &self.config(), self.options()).unwrap()
    }

    fn verify(&self, signer: &Signer, content: ItemContent) -> Proof {
        let mut evidence = EvidenceSet::new(image());
        evidence.items.push(Item {
            origin: Origin::Local,
            content,
        });
        only(&self.verifier(signer).verify(&evidence, now()))
    }

    fn verifier(&self, signer: &Signer) -> Verifier {
        let verifier = Verifier::new().with_trust_root(Arc::clone(&self.trust_root));
        match signer {
            Signer::Key(_) => verifier.with_key(signer.public_key().clone()),
            Signer::Keyless(_) => verifier,
        }
    }
}

fn only(proofs: &Proofs) -> Proof {
    assert!(proofs.rejections().is_empty(), "{:?}", proofs.rejections());
    proofs.proofs()[0].clone()
}

fn statement() -> Statement {
    let kind = PredicateType::resolve("custom").unwrap();
    Statement::attestation("127.0.0.1/app", &image(), kind, json!({"a": 1}))
}

fn payload() -> Payload {
    Payload::new("127.0.0.1/app", &image(), BTreeMap::new())
}

/// One entry at this place, promised and, in bundles, proven.
fn assert_logged(proof: &Proof, place: u64, proven: bool) {
    let [log] = proof.logs() else {
        panic!("{:?}", proof.logs())
    };
    assert_eq!((log.index, log.promise, log.inclusion), (EARLIER + place, true, proven));
    assert!(log.integrated_time.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn keyless_signatures_are_promised_and_proven() {
    let old = Old::start().await;
    let signer = old.keyless(&old.config()).await;
    let signature = Statement::signature(&image(), BTreeMap::new());
    for (place, statement) in [(3, signature), (4, statement())] {
        let bundle = signer.sign_statement(&statement).await.unwrap();
        let bundle = Bundle::parse(&bundle.to_json()).unwrap();
        let entry = &bundle.material.tlog_entries[0];
        assert_eq!((entry.kind.as_str(), entry.kind_version.as_str()), ("dsse", "0.0.1"));
        assert_eq!(entry.inclusion_proof.as_ref().unwrap().log_index, place);
        let proof = old.verify(&signer, ItemContent::Bundle(bundle));
        assert_logged(&proof, place, true);
        assert_eq!(proof.timestamps().len(), 1);
    }
    let bundle = signer.sign_blob(b"a file").await.unwrap();
    assert_eq!(bundle.material.tlog_entries[0].kind, "hashedrekord");
    let bundle = Bundle::parse(&bundle.to_json()).unwrap();
    let proofs = old
        .verifier(&signer)
        .verify_blob(&bundle, &Artifact::Bytes(b"a file"), now());
    assert_logged(&only(&proofs), 5, true);
}

/// The promise says when, so that no timestamp authority is needed.
#[tokio::test(flavor = "multi_thread")]
async fn the_promise_is_the_time_where_no_authority_is() {
    let old = Old::start().await;
    let signer = old.keyless(&old.timeless()).await;
    let bundle = signer.sign_statement(&statement()).await.unwrap();
    let signature = signer.sign_payload(&payload()).await.unwrap();
    let attestation = signer.sign_legacy_attestation(&statement()).await.unwrap();
    for content in [
        ItemContent::Bundle(bundle),
        ItemContent::LegacySignature(signature),
        ItemContent::LegacyAttestation(attestation),
    ] {
        let proof = old.verify(&signer, content);
        assert_eq!(proof.time_source(), TimeSource::TransparencyLog);
        assert!(proof.timestamps().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_forms_carry_the_promise() {
    let old = Old::start().await;
    for signer in [old.keyless(&old.config()).await, old.key(fixture_key("p384"))] {
        let before = u64::try_from(old.log.written()).unwrap() + 3;
        let signature = signer.sign_payload(&payload()).await.unwrap();
        let attestation = signer.sign_legacy_attestation(&statement()).await.unwrap();
        for (place, content) in [
            (before, ItemContent::LegacySignature(signature)),
            (before + 1, ItemContent::LegacyAttestation(attestation)),
        ] {
            let proof = old.verify(&signer, content);
            assert_logged(&proof, place, false);
            assert_eq!(proof.timestamps().len(), 1);
        }
    }
}

/// Also those whose own hash is not the one that Rekor v1 verifies envelopes with.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_is_logged() {
    let old = Old::start().await;
    for name in ["p256", "p384", "rsa2048", "ed25519"] {
        let signer = old.key(fixture_key(name));
        let bundle = signer.sign_statement(&statement()).await.unwrap();
        assert_eq!(
            old.verify(&signer, ItemContent::Bundle(bundle)).logs().len(),
            1,
            "{name}"
        );
        let file = signer.sign_blob(b"a file").await.unwrap();
        assert_eq!(file.material.tlog_entries.len(), 1, "{name}");
    }
}

/// The highest version is written, whatever the order and whoever runs it; versions are not mixed.
#[tokio::test(flavor = "multi_thread")]
async fn version_2_is_preferred() {
    let old = Old::start().await;
    let new = || old.world.config.logs(&[2], now()).unwrap()[0].clone();
    for selector in [Selector::Any, Selector::All, Selector::Exact(1)] {
        for logs in [vec![old.service("other"), new()], vec![new(), old.service("acme")]] {
            let config = old.config_of(logs, true).with_selectors(selector, Selector::Any);
            let signer = Signer::logged_key(
                SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap(),
                &config,
                old.options(),
            )
            .unwrap();
            let bundle = signer.sign_statement(&statement()).await.unwrap();
            let [entry] = bundle.material.tlog_entries.as_slice() else {
                panic!("{selector:?}")
            };
            assert_eq!(entry.kind_version, "0.0.2");
        }
    }
    assert_eq!(old.log.written(), 0);
    // Two operators are asked for and one has a version 2: neither version has enough.
    let config = old.config_of(vec![old.service("other"), new()], true);
    let config = config.with_selectors(Selector::Exact(2), Selector::Any);
    let refused = Signer::logged_key(
        SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap(),
        &config,
        old.options(),
    );
    assert_eq!(refused.unwrap_err().code(), "signing-config-too-few-logs");
}

/// RSA and Ed25519 sign the same each time: the log has the entry already (cosign #4711). It may say so before it has
/// it in its tree.
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_read_back() {
    let old = Old::start().await;
    for name in ["rsa2048", "ed25519"] {
        let signer = old.key(fixture_key(name));
        let first = signer.sign_statement(&statement()).await.unwrap();
        let host = "http://HOST/api/v1/log/entries/{id}".replace("HOST", old.log.url.authority());
        let host: &'static str = host.leak();
        for (location, late) in [(None, 0), (None, 2), (Some(host), 0), (Some("/elsewhere/{id}"), 0)] {
            old.log.be(Odd {
                location,
                late,
                ..Odd::default()
            });
            let again = signer.sign_statement(&statement()).await.unwrap();
            let index = |bundle: &Bundle| bundle.material.tlog_entries[0].log_index;
            assert_eq!(index(&first), index(&again));
        }
    }
    assert_eq!(old.log.written(), 2);
}

/// The code, and the verifier's where it is that which refused.
fn reason(error: SignError) -> &'static str {
    match error {
        SignError::NotVerified { code, .. } => code,
        other => other.code(),
    }
}

async fn refused(signer: &Signer) -> &'static str {
    reason(signer.sign_statement(&statement()).await.unwrap_err())
}

fn set(path: &'static str, value: Value) -> Tamper {
    Box::new(move |entry, _| *entry.pointer_mut(path).unwrap() = value.clone())
}

fn of_another(path: &'static str) -> Tamper {
    Box::new(move |entry, before| *entry.pointer_mut(path).unwrap() = before[0].pointer(path).unwrap().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_honest_is_refused() {
    let old = Old::start().await;
    let signer = old.keyless(&old.config()).await;
    signer.sign_statement(&statement()).await.unwrap();
    let hash = || json!("ab".repeat(32));
    let promise = "/verification/signedEntryTimestamp";
    let proof = "/verification/inclusionProof";
    for (tamper, code) in [
        (of_another(promise), "set-invalid"),
        (set(promise, json!("AAAA")), "set-invalid"),
        (set(promise, json!("")), "log-answer"),
        (set("/integratedTime", json!(1_600_000_000)), "set-invalid"),
        (set("/integratedTime", json!(0)), "log-answer"),
        (set("/logIndex", json!(5)), "set-invalid"),
        (set("/logIndex", json!(-5)), "log-answer"),
        (set("/logID", hash()), "log-not-trusted"),
        (set("/logID", json!("abcd")), "log-answer"),
        (set("/body", json!("?")), "log-answer"),
        (of_another("/body"), "log-entry-other"),
        (of_another(""), "log-entry-other"),
        (of_another("/verification/inclusionProof"), "inclusion-proof-invalid"),
        (
            set("/verification/inclusionProof/hashes/0", hash()),
            "inclusion-proof-invalid",
        ),
        (set("/verification/inclusionProof/hashes/0", json!("ab")), "log-answer"),
        (
            set("/verification/inclusionProof/rootHash", hash()),
            "inclusion-proof-invalid",
        ),
        (
            set("/verification/inclusionProof/logIndex", json!(0)),
            "inclusion-proof-invalid",
        ),
        (set("/verification/inclusionProof/checkpoint", json!("")), "log-answer"),
        (
            set("/verification/inclusionProof/checkpoint", json!("x")),
            "checkpoint-malformed",
        ),
        (set(proof, Value::Null), "log-answer"),
        (set("/verification", json!({})), "log-answer"),
    ] {
        old.log.be(Odd {
            entry: Some(tamper),
            ..Odd::default()
        });
        assert_eq!(refused(&signer).await, code);
    }
    for (body, code) in [
        (String::new(), "log-answer"),
        ("{}".to_owned(), "log-answer"),
        ("[]".to_owned(), "log-answer"),
        ("<html>".to_owned(), "log-answer"),
        (r#"{"a":{},"a":{}}"#.to_owned(), "log-answer"),
        (
            format!("{{\"a\":\"{}\"}}", "0".repeat(300_000)),
            "service-answer-too-large",
        ),
    ] {
        old.log.be(Odd {
            body: Some(body),
            ..Odd::default()
        });
        assert_eq!(refused(&signer).await, code);
    }
}

/// A promise of another entry in the annotation would make a `.sig` that nobody accepts (CVE-2022-36056).
#[tokio::test(flavor = "multi_thread")]
async fn legacy_forms_are_refused_as_well() {
    let old = Old::start().await;
    let signer = old.key(SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap());
    signer.sign_payload(&payload()).await.unwrap();
    for (path, code) in [
        ("/verification/signedEntryTimestamp", "set-invalid"),
        ("/body", "log-entry-other"),
    ] {
        old.log.be(Odd {
            entry: Some(of_another(path)),
            ..Odd::default()
        });
        assert_eq!(reason(signer.sign_payload(&payload()).await.unwrap_err()), code);
        let attested = signer.sign_legacy_attestation(&statement()).await;
        assert_eq!(reason(attested.unwrap_err()), code);
    }
    old.log.be(Odd {
        entry: Some(set("/logID", json!("ab".repeat(32)))),
        ..Odd::default()
    });
    let unknown = signer.sign_payload(&payload()).await.unwrap_err();
    assert_eq!(reason(unknown), "log-not-trusted");
}

/// "I have that already" is believed only of what was signed, and only of the log itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_no_way_in() {
    let old = Old::start().await;
    let elsewhere = Log::start().await;
    let foreign = elsewhere.url.join("/api/v1/log/entries/{id}").unwrap();
    let foreign: &'static str = foreign.as_str().replace("%7Bid%7D", "{id}").leak();
    let signer = old.key(fixture_key("rsa2048"));
    signer.sign_blob(b"another file").await.unwrap();
    for (location, code) in [
        (foreign, "log-entry-elsewhere"),
        ("//rekor.acme.test/api/v1/log/entries/{id}", "log-entry-elsewhere"),
        ("http://[/{id}", "log-answer"),
        ("/api/v1/log/entries/", "log-answer"),
        ("/api/v1/log/entries/../../../x", "log-answer"),
        ("/api/v1/log/entries/{id}00", "log-answer"),
        // It does not have it after all.
        ("/api/v1/log/entries/{id}", "service-refused"),
    ] {
        old.log.be(Odd {
            location: Some(location),
            conflict: true,
            ..Odd::default()
        });
        assert_eq!(refused(&signer).await, code, "{location}");
    }
    // It has it and answers with another, whole and honest in itself, or with the other's body.
    old.log.be(Odd::default());
    signer.sign_statement(&statement()).await.unwrap();
    for path in ["", "/body"] {
        old.log.be(Odd {
            entry: Some(of_another(path)),
            ..Odd::default()
        });
        assert_eq!(refused(&signer).await, "log-entry-other");
    }
    old.log.be(Odd {
        body: Some("0".repeat(300_000)),
        ..Odd::default()
    });
    assert_eq!(refused(&signer).await, "service-answer-too-large");
}

/// The log took the entry and the answer was lost: the next attempt finds it there (cosign #4711), and it is the only one.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_ends_with_one_entry() {
    let old = Old::start().await;
    let signer = old.keyless(&old.config()).await;
    old.log.be(Odd {
        lose: 1,
        ..Odd::default()
    });
    let bundle = signer.sign_statement(&statement()).await.unwrap();
    assert_eq!((bundle.material.tlog_entries.len(), old.log.written()), (1, 1));
    assert_logged(&old.verify(&signer, ItemContent::Bundle(bundle)), 3, true);
}

/// Without a trust root nobody says whose promise counts: nothing is asked, and nothing handed out.
#[tokio::test(flavor = "multi_thread")]
async fn services_are_not_asked_without_a_trust_root() {
    let old = Old::start().await;
    let options = Options {
        trust_root: None,
        ..old.options()
    };
    let key = SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let refused = Signer::logged_key(key, &old.config(), options.clone());
    assert_eq!(refused.unwrap_err().code(), "trusted-root-missing");
    let refused = KeylessSession::begin(&old.config(), old.world.ci_token(), options).await;
    assert_eq!(refused.unwrap_err().code(), "trusted-root-missing");
    assert_eq!(old.log.written(), 0);
}
