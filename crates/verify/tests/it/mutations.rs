//! Good evidence, changed in one place at a time: each change is rejected, with the reason it was made for.

use proofmark_evidence::bundle::{Bundle, Content, KeyMaterial};
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::legacy::{LegacyAttestation, LegacyLogBundle, LegacySignature};
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_types::{Digest, MediaType};
use proofmark_verify::{Proofs, SctProof, SignerProof, TimeSource, Verifier};
use rcgen::{KeyPair, SigningKey};

use crate::cases::{key, now, trust_root};
use crate::layout::{Layout, root};
use crate::world::log::{self, hashed_v1, intoto_v1, promise};
use crate::world::stamp::Stamp;
use crate::world::{self, IDENTITY, ISSUER, NOW, SIGNED, World, at, code, new_key, public, statement, subject};

/// A change of one part, and the code of the rejection that it must bring.
type Change<T> = (&'static str, fn(&mut T), &'static str);

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

fn envelope(bundle: &mut Bundle) -> &mut Envelope {
    match &mut bundle.content {
        Content::Dsse(envelope) => envelope,
        Content::MessageSignature { .. } => panic!("an envelope is expected"),
    }
}

fn replace_text(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    *bytes = text.replacen(from, to, 1).into_bytes();
}

fn replace_bytes(bytes: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    let place = bytes
        .windows(from.len())
        .position(|window| window == from)
        .expect("the bytes to replace");
    bytes.splice(place..place + from.len(), to.iter().copied());
}

fn checkpoint(bundle: &mut Bundle) -> &mut String {
    &mut bundle.material.tlog_entries[0]
        .inclusion_proof
        .as_mut()
        .unwrap()
        .checkpoint
}

/// The only bundle of a layout of the fixtures, and the digest it hangs on.
fn fixture(layout: &str) -> (Digest, Bundle) {
    let layout = Layout::open(&root().join(layout));
    let subject = layout.resolve("1.0").unwrap();
    let item = layout.evidence(&subject).items.remove(0);
    match item.content {
        ItemContent::Bundle(bundle) => (subject, bundle),
        other => panic!("a bundle is expected, found {other:?}"),
    }
}

fn verify_fixture(verifier: &Verifier, subject: &Digest, bundle: &Bundle) -> Proofs {
    let mut set = EvidenceSet::new(subject.clone());
    set.items.push(Item {
        origin: Origin::Local,
        content: ItemContent::Bundle(bundle.clone()),
    });
    verifier.verify(&set, now())
}

fn run_bundle(name: &str, verifier: &Verifier, subject: &Digest, good: &Bundle, changes: &[Change<Bundle>]) {
    assert_eq!(code(&verify_fixture(verifier, subject, good)), "accepted", "{name}");
    for (what, change, expected) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_ne!(changed, *good, "{name}: {what} changes nothing");
        assert_eq!(
            code(&verify_fixture(verifier, subject, &changed)),
            *expected,
            "{name}: {what}"
        );
    }
}

const ENVELOPE_BY_CERTIFICATE: [Change<Bundle>; 6] = [
    (
        "signature",
        |b| flip(&mut envelope(b).signatures[0].sig),
        "signature-not-by-certificate",
    ),
    (
        "no signature",
        |b| envelope(b).signatures[0].sig.clear(),
        "signature-empty",
    ),
    (
        "two signatures",
        |b| {
            let s = envelope(b).signatures[0].clone();
            envelope(b).signatures.push(s);
        },
        "signature-count",
    ),
    (
        "payload",
        |b| flip(&mut envelope(b).payload),
        "signature-not-by-certificate",
    ),
    (
        "payload type",
        |b| envelope(b).payload_type.push('x'),
        "signature-not-by-certificate",
    ),
    (
        "predicate type",
        |b| replace_text(&mut envelope(b).payload, "cosign/sign", "cosign/sing"),
        "signature-not-by-certificate",
    ),
];

const LOG_V2: [Change<Bundle>; 14] = [
    (
        "index",
        |b| b.material.tlog_entries[0].log_index += 1,
        "inclusion-proof-invalid",
    ),
    (
        "body hash",
        |b| {
            replace_text(
                &mut b.material.tlog_entries[0].canonicalized_body,
                "\"digest\":\"",
                "\"digest\":\"AAAA",
            )
        },
        "log-entry-mismatch",
    ),
    (
        "body signature",
        |b| {
            replace_text(
                &mut b.material.tlog_entries[0].canonicalized_body,
                "\"content\":\"MEU",
                "\"content\":\"MEV",
            )
        },
        "log-entry-mismatch",
    ),
    (
        "body spacing",
        |b| b.material.tlog_entries[0].canonicalized_body.push(b' '),
        "inclusion-proof-invalid",
    ),
    (
        "body empty",
        |b| b.material.tlog_entries[0].canonicalized_body.clear(),
        "log-entry-malformed",
    ),
    (
        "kind beside the body",
        |b| b.material.tlog_entries[0].kind_version = "0.0.1".to_owned(),
        "log-entry-mismatch",
    ),
    (
        "proof hash",
        |b| flip(&mut b.material.tlog_entries[0].inclusion_proof.as_mut().unwrap().hashes[0]),
        "inclusion-proof-invalid",
    ),
    (
        "proof too short",
        |b| {
            b.material.tlog_entries[0]
                .inclusion_proof
                .as_mut()
                .unwrap()
                .hashes
                .pop();
        },
        "inclusion-proof-invalid",
    ),
    (
        "no proof",
        |b| b.material.tlog_entries[0].inclusion_proof = None,
        "log-entry-unproven",
    ),
    (
        "checkpoint size",
        |b| {
            let c = checkpoint(b);
            *c = c.replacen("\n", "\n1", 1);
        },
        "checkpoint-signature-invalid",
    ),
    (
        "checkpoint origin",
        |b| {
            let c = checkpoint(b);
            *c = format!("x{c}");
        },
        "checkpoint-origin",
    ),
    (
        "checkpoint signature",
        |b| {
            let c = checkpoint(b);
            let n = c.len() - 8;
            c.replace_range(n..=n, if &c[n..=n] == "A" { "B" } else { "A" });
        },
        "checkpoint-signature-invalid",
    ),
    (
        "checkpoint signer",
        |b| {
            let c = checkpoint(b);
            *c = c.replacen("\u{2014} ", "\u{2014} x", 1);
        },
        "checkpoint-signature-invalid",
    ),
    (
        "checkpoint unsigned",
        |b| {
            let c = checkpoint(b);
            let n = c.find("\n\n").unwrap() + 2;
            c.truncate(n);
        },
        "checkpoint-malformed",
    ),
];

const TIMESTAMP: [Change<Bundle>; 5] = [
    (
        "not DER",
        |b| b.material.timestamps[0].truncate(20),
        "timestamp-malformed",
    ),
    (
        "trailing byte",
        |b| b.material.timestamps[0].push(0),
        "timestamp-malformed",
    ),
    (
        "signature",
        |b| {
            let n = b.material.timestamps[0].len() - 4;
            b.material.timestamps[0][n] ^= 1;
        },
        "timestamp-signature-invalid",
    ),
    (
        "time",
        |b| replace_bytes(&mut b.material.timestamps[0], b"\x18\x0f2026", b"\x18\x0f2025"),
        "timestamp-signature-invalid",
    ),
    (
        "signed attributes",
        |b| replace_bytes(&mut b.material.timestamps[0], b"\x17\x0d26", b"\x17\x0d25"),
        "timestamp-signature-invalid",
    ),
];

#[test]
#[rustfmt::skip]
fn keyless_bundle_of_cosign() {
    let verifier = Verifier::new().with_trust_root(trust_root("keyless/trusted_root.json"));
    let (subject, good) = fixture("negative/src-less-a");
    run_bundle("envelope", &verifier, &subject, &good, &ENVELOPE_BY_CERTIFICATE);
    run_bundle("log", &verifier, &subject, &good, &LOG_V2);
    run_bundle("timestamp", &verifier, &subject, &good, &TIMESTAMP);
    run_bundle("certificate", &verifier, &subject, &good, &[
        ("not DER", |b| b.material.key = KeyMaterial::Certificate(vec![0x30]), "certificate-malformed"),
        ("identity", |b| with_certificate(b, |der| replace_bytes(der, b"payments/.github", b"paymentz/.github")), "certificate-untrusted"),
        ("validity", |b| with_certificate(b, |der| replace_bytes(der, b"2611202225", b"3611202225")), "certificate-untrusted"),
        ("only a key", |b| b.material.key = KeyMaterial::PublicKeyHint(String::new()), "no-key-given"),
        ("time taken away", |b| b.material.timestamps.clear(), "certificate-outside-validity"),
    ]);
    assert_eq!(code(&verify_fixture(&verifier, &Digest::sha256_of(b"another"), &good)), "subject-mismatch");
}

fn with_certificate(bundle: &mut Bundle, change: fn(&mut Vec<u8>)) {
    match &mut bundle.material.key {
        KeyMaterial::Certificate(der) => change(der),
        other => panic!("a certificate is expected, found {other:?}"),
    }
}

#[test]
fn a_certificate_changed_in_the_log_too_is_still_not_issued() {
    let verifier = Verifier::new().with_trust_root(trust_root("keyless/trusted_root.json"));
    let (subject, mut bundle) = fixture("negative/src-less-a");
    with_certificate(&mut bundle, |der| {
        replace_bytes(der, b"payments/.github", b"paymentz/.github")
    });
    bundle.material.tlog_entries.clear();
    assert_eq!(
        code(&verify_fixture(&verifier, &subject, &bundle)),
        "certificate-untrusted"
    );
}

#[test]
#[rustfmt::skip]
fn key_bundle_of_cosign() {
    let verifier = Verifier::new().with_key(key("cosign/keys/p256-imp/cosign.pub"));
    let (subject, good) = fixture("negative/src-key-a");
    run_bundle("key", &verifier, &subject, &good, &[
        ("signature", |b| flip(&mut envelope(b).signatures[0].sig), "signature-not-by-given-key"),
        ("payload", |b| flip(&mut envelope(b).payload), "signature-not-by-given-key"),
        ("payload type", |b| envelope(b).payload_type = "text/plain".to_owned(), "signature-not-by-given-key"),
        ("predicate type", |b| replace_text(&mut envelope(b).payload, "cosign/sign", "cosign/sing"), "signature-not-by-given-key"),
        ("subject", |b| replace_text(&mut envelope(b).payload, "sha256", "sha512"), "signature-not-by-given-key"),
        ("content", |b| b.content = Content::MessageSignature { digest: None, signature: envelope(b).signatures[0].sig.clone() }, "message-signature-on-image"),
    ]);
    let logged = verifier.with_trust_root(trust_root("keyless/trusted_root.json"));
    let (subject, good) = fixture("negative/src-key-tlog");
    run_bundle("key, log", &logged, &subject, &good, &LOG_V2);
    run_bundle("key, timestamp", &logged, &subject, &good, &TIMESTAMP);
}

#[test]
fn an_entry_of_an_unknown_log_proves_nothing_and_is_recorded() {
    let verifier = Verifier::new().with_trust_root(trust_root("keyless/trusted_root.json"));
    let (subject, mut bundle) = fixture("negative/src-less-a");
    flip(&mut bundle.material.tlog_entries[0].log_id);
    let proofs = verify_fixture(&verifier, &subject, &bundle);
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert!(proof.log().is_none());
    assert_eq!(proof.skipped_logs().len(), 1);
}

#[test]
fn integrated_time_of_rekor_v2_is_not_a_time() {
    let verifier = Verifier::new().with_trust_root(trust_root("keyless/trusted_root.json"));
    let (subject, mut bundle) = fixture("negative/src-less-a");
    bundle.material.tlog_entries[0].integrated_time = Some(at(SIGNED));
    let proofs = verify_fixture(&verifier, &subject, &bundle);
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert_eq!(proof.log().unwrap().integrated_time, None);
    assert_eq!(proof.time_source(), TimeSource::TimestampAuthority);
}

/// A `.sig` layer by a certificate, with Rekor v1's promise.
fn legacy_signature(world: &World) -> LegacySignature {
    let leaf = world.leaf();
    let payload = Payload::new(
        "registry.alpha.test/app",
        &subject(),
        [("env".to_owned(), "prod".to_owned())].into(),
    )
    .to_json();
    let signature = leaf.key.sign(&payload).unwrap();
    let body = hashed_v1(&payload, &signature, &log::Verifier::Certificate(&leaf.der));
    LegacySignature {
        log_bundle: Some(promise(&world.rekor, &body, SIGNED + 3)),
        payload,
        signature,
        certificate: Some(leaf.der),
        chain: vec![world.intermediate.der.clone(), world.root.der.clone()],
        timestamp: None,
    }
}

fn set(signature: &mut LegacySignature) -> &mut LegacyLogBundle {
    signature.log_bundle.as_mut().unwrap()
}

#[test]
#[rustfmt::skip]
fn legacy_signature_with_the_promise_of_rekor_v1() {
    let world = World::new();
    let verifier = world.verifier();
    let good = legacy_signature(&world);
    let proofs = world::verify(&verifier, ItemContent::LegacySignature(good.clone()));
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert_eq!(proof.time_source(), TimeSource::TransparencyLog);
    assert_eq!(proof.log().unwrap().integrated_time, Some(at(SIGNED + 3)));
    assert!(!proof.log().unwrap().inclusion);
    assert_eq!(proof.annotations()["env"], "prod");
    assert!(matches!(proof.sct(), SctProof::Verified(_)));
    let SignerProof::Certificate(facts) = proof.signer() else { panic!() };
    assert_eq!((facts.identity.subjects[0].value(), facts.identity.issuer.as_deref()), (IDENTITY, Some(ISSUER)));
    let changes: &[Change<LegacySignature>] = &[
        ("payload", |s| flip(&mut s.payload), "signature-not-by-certificate"),
        ("signature", |s| flip(&mut s.signature), "signature-not-by-certificate"),
        ("promise", |s| { let n = set(s).set.len() - 4; set(s).set[n] ^= 1; }, "set-invalid"),
        ("promise empty", |s| set(s).set.clear(), "set-invalid"),
        ("time", |s| set(s).integrated_time = at(SIGNED + 4), "set-invalid"),
        ("index", |s| set(s).log_index += 1, "set-invalid"),
        ("body spacing", |s| set(s).body.push(b' '), "set-invalid"),
        ("body hash", |s| replace_text(&mut set(s).body, "\"value\":\"", "\"value\":\"00"), "log-entry-mismatch"),
        ("body signature", |s| replace_text(&mut set(s).body, "\"content\":\"ME", "\"content\":\"MF"), "log-entry-mismatch"),
        ("body verifier", |s| replace_text(&mut set(s).body, "LS0tLS1CRUdJTi", "LS0tLS1CRUdJTj"), "log-entry-mismatch"),
        ("body kind", |s| replace_text(&mut set(s).body, "hashedrekord", "hashedrecord"), "log-entry-kind-unknown"),
        ("body not JSON", |s| set(s).body.truncate(30), "log-entry-malformed"),
        ("no promise", |s| s.log_bundle = None, "certificate-outside-validity"),
        ("no certificate", |s| s.certificate = None, "no-key-given"),
    ];
    for (what, change, expected) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(code(&world::verify(&verifier, ItemContent::LegacySignature(changed))), *expected, "{what}");
    }
}

#[test]
fn legacy_claims_must_be_of_this_image_and_of_cosigns_type() {
    let key = new_key();
    let verifier = Verifier::new().with_key(public(&key));
    let good = Payload::new("registry.alpha.test/app", &subject(), [].into()).to_json();
    let text = String::from_utf8(good).unwrap();
    let cases = [
        (text.clone(), "accepted"),
        (
            text.replace(&subject().hex(), &Digest::sha256_of(b"x").hex()),
            "claims-digest-mismatch",
        ),
        (
            text.replace("cosign container image signature", "atomic container signature"),
            "claims-malformed",
        ),
        (text.replace("docker-manifest-digest", "digest"), "claims-malformed"),
        ("{}".to_owned(), "claims-malformed"),
    ];
    for (payload, expected) in cases {
        let signature = LegacySignature {
            signature: key.sign(payload.as_bytes()).unwrap(),
            payload: payload.clone().into_bytes(),
            certificate: None,
            chain: Vec::new(),
            log_bundle: None,
            timestamp: None,
        };
        assert_eq!(
            code(&world::verify(&verifier, ItemContent::LegacySignature(signature))),
            expected,
            "{payload}"
        );
    }
}

/// An `.att` layer by a key, logged as Rekor v1 logs it, with a timestamp over the layer.
fn legacy_attestation(world: &World, key: &KeyPair) -> LegacyAttestation {
    let (envelope, _) = world::envelope(&statement(), key);
    let mut attestation = LegacyAttestation::new(envelope, &statement().predicate_type);
    let body = intoto_v1(&attestation.raw, &log::Verifier::Key(key));
    attestation.log_bundle = Some(promise(&world.rekor, &body, SIGNED + 3));
    attestation.timestamp = Some(Stamp::over(&attestation.raw, &world.tsa).response());
    attestation
}

#[test]
#[rustfmt::skip]
fn legacy_attestation_with_promise_and_timestamp() {
    let world = World::new();
    let key = new_key();
    let verifier = world.verifier().with_key(public(&key));
    let good = legacy_attestation(&world, &key);
    let proofs = world::verify(&verifier, ItemContent::LegacyAttestation(good.clone()));
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert_eq!((proof.timestamps().len(), proof.logs().len()), (1, 1));
    let changes: &[Change<LegacyAttestation>] = &[
        ("signature", |a| flip(&mut a.envelope.signatures[0].sig), "signature-not-by-given-key"),
        ("payload", |a| flip(&mut a.envelope.payload), "signature-not-by-given-key"),
        ("payload type", |a| a.envelope.payload_type.push('x'), "signature-not-by-given-key"),
        ("layer", |a| a.raw.push(b' '), "timestamp-imprint-mismatch"),
        ("layer without timestamp", |a| { a.timestamp = None; a.raw.push(b' '); }, "log-entry-mismatch"),
        ("timestamp", |a| { let t = a.timestamp.as_mut().unwrap(); let n = t.len() - 3; t[n] ^= 1; }, "timestamp-signature-invalid"),
        ("promise", |a| { let s = &mut a.log_bundle.as_mut().unwrap().set; let n = s.len() - 3; s[n] ^= 1; }, "set-invalid"),
        ("verifier", |a| replace_text(&mut a.log_bundle.as_mut().unwrap().body, "LS0tLS1CRUdJTi", "LS0tLS1CRUdJTj"), "log-entry-mismatch"),
    ];
    for (what, change, expected) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(code(&world::verify(&verifier, ItemContent::LegacyAttestation(changed))), *expected, "{what}");
    }
    // The unsigned claim beside it changes nothing.
    let mut renamed = good;
    renamed.claimed_type = Some("https://spdx.dev/Document".to_owned());
    let proofs = world::verify(&verifier, ItemContent::LegacyAttestation(renamed));
    assert!(proofs.proofs()[0].predicate_type().unwrap().is_signature());
}

/// Every kind of entry of Rekor v1, in bundles and layers, and the same with one part of another signature.
#[test]
fn each_kind_of_entry_is_held_against_the_signature() {
    let world = World::new();
    let (key, other) = (new_key(), new_key());
    let verifier = world.verifier().with_key(public(&key));
    let (envelope, message) = world::envelope(&statement(), &key);
    let sig = envelope.signatures[0].sig.clone();
    let (kind, payload) = (envelope.payload_type.as_str(), envelope.payload.as_slice());
    let (by, by_other) = (log::Verifier::Key(&key), log::Verifier::Key(&other));
    let foreign = other.sign(&message).unwrap();
    let raw = envelope.to_json();
    let cases = [
        ("hashedrekord", hashed_v1(&message, &sig, &by), "accepted"),
        (
            "hashedrekord of other bytes",
            hashed_v1(b"x", &sig, &by),
            "log-entry-mismatch",
        ),
        (
            "hashedrekord of another signature",
            hashed_v1(&message, &foreign, &by),
            "log-entry-mismatch",
        ),
        (
            "hashedrekord by another key",
            hashed_v1(&message, &sig, &by_other),
            "log-entry-mismatch",
        ),
        ("dsse", log::dsse_v1(payload, &sig, &by), "accepted"),
        (
            "dsse of another payload",
            log::dsse_v1(b"x", &sig, &by),
            "log-entry-mismatch",
        ),
        (
            "dsse of another signature",
            log::dsse_v1(payload, &foreign, &by),
            "log-entry-mismatch",
        ),
        (
            "dsse by another key",
            log::dsse_v1(payload, &sig, &by_other),
            "log-entry-mismatch",
        ),
        ("intoto", log::intoto_v2(kind, payload, &sig, &by), "accepted"),
        (
            "intoto of another type",
            log::intoto_v2("text/plain", payload, &sig, &by),
            "log-entry-mismatch",
        ),
        (
            "intoto of another payload",
            log::intoto_v2(kind, b"x", &sig, &by),
            "log-entry-mismatch",
        ),
        (
            "intoto of another signature",
            log::intoto_v2(kind, payload, &foreign, &by),
            "log-entry-mismatch",
        ),
        (
            "intoto by another key",
            log::intoto_v2(kind, payload, &sig, &by_other),
            "log-entry-mismatch",
        ),
        (
            "intoto without a signature",
            intoto_v1(&raw, &by),
            "log-entry-kind-unknown",
        ),
        ("v2", log::hashed_v2(&message, &sig, &by), "checkpoint-origin"),
        (
            "v2 by another key",
            log::hashed_v2(&message, &sig, &by_other),
            "log-entry-mismatch",
        ),
    ];
    for (name, body, expected) in cases {
        let entry = log::rekor_entry(&world.rekor, &body);
        let hint = KeyMaterial::PublicKeyHint(String::new());
        let bundle = world::bundle(hint, envelope.clone(), vec![entry], Vec::new());
        let proofs = world::verify(&verifier, ItemContent::Bundle(bundle));
        assert_eq!(code(&proofs), expected, "{name}");
        if let [proof] = proofs.proofs() {
            let log = proof.log().unwrap();
            assert!(log.promise && log.inclusion, "{name}");
        }
    }
}

#[test]
#[rustfmt::skip]
fn rekor_v1_entry_of_a_bundle() {
    let world = World::new();
    let key = new_key();
    let verifier = world.verifier().with_key(public(&key));
    let (envelope_, _) = world::envelope(&statement(), &key);
    let body = log::dsse_v1(&envelope_.payload, &envelope_.signatures[0].sig, &log::Verifier::Key(&key));
    let hint = KeyMaterial::PublicKeyHint(String::new());
    let good = world::bundle(hint, envelope_, vec![log::rekor_entry(&world.rekor, &body)], Vec::new());
    let changes: &[Change<Bundle>] = &[
        ("promise", |b| { let s = b.material.tlog_entries[0].inclusion_promise.as_mut().unwrap(); let n = s.len() - 3; s[n] ^= 1; }, "set-invalid"),
        ("time", |b| b.material.tlog_entries[0].integrated_time = Some(at(SIGNED)), "set-invalid"),
        ("time gone", |b| b.material.tlog_entries[0].integrated_time = None, "log-entry-malformed"),
        ("index", |b| b.material.tlog_entries[0].log_index += 1, "set-invalid"),
        ("proof index", |b| b.material.tlog_entries[0].inclusion_proof.as_mut().unwrap().log_index = 0, "inclusion-proof-invalid"),
        ("proof size", |b| b.material.tlog_entries[0].inclusion_proof.as_mut().unwrap().tree_size += 1, "inclusion-proof-invalid"),
        ("proof root", |b| flip(&mut b.material.tlog_entries[0].inclusion_proof.as_mut().unwrap().root_hash), "inclusion-proof-invalid"),
        ("proof hash", |b| flip(&mut b.material.tlog_entries[0].inclusion_proof.as_mut().unwrap().hashes[0]), "inclusion-proof-invalid"),
        ("proof hash length", |b| { b.material.tlog_entries[0].inclusion_proof.as_mut().unwrap().hashes[0].pop(); }, "inclusion-proof-invalid"),
        ("checkpoint text", |b| { let c = checkpoint(b); *c = c.replacen("- 42", "- 43", 1); }, "checkpoint-signature-invalid"),
        ("kind", |b| b.material.tlog_entries[0].kind = "intoto".to_owned(), "log-entry-mismatch"),
        ("neither", |b| { let e = &mut b.material.tlog_entries[0]; e.inclusion_promise = None; e.inclusion_proof = None; }, "log-entry-unproven"),
    ];
    assert_eq!(code(&world::verify(&verifier, ItemContent::Bundle(good.clone()))), "accepted");
    for (what, change, expected) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(code(&world::verify(&verifier, ItemContent::Bundle(changed))), *expected, "{what}");
    }
}

/// Statements that are signed well and say the wrong thing.
#[test]
fn a_good_signature_over_a_bad_statement_is_rejected() {
    let key = new_key();
    let verifier = Verifier::new().with_key(public(&key));
    let good = String::from_utf8(statement().to_json()).unwrap();
    let hex = subject().hex();
    let kind = "application/vnd.in-toto+json";
    let cases = [
        (kind, good.clone(), "accepted"),
        ("application/json", good.clone(), "payload-type"),
        (
            kind,
            good.replace("Statement/v1", "Statement/v2"),
            "statement-malformed",
        ),
        (
            kind,
            good.replace(&hex, &Digest::sha256_of(b"x").hex()),
            "subject-mismatch",
        ),
        (kind, good.replace(&hex, ""), "statement-malformed"),
        (kind, good.replace("\"sha256\"", "\"sha512\""), "statement-malformed"),
        (kind, good.replace("\"sha256\"", "\"gitCommit\""), "subject-mismatch"),
        (
            kind,
            good.replace("\"subject\":[{", "\"subject\":[null,{"),
            "statement-malformed",
        ),
        (
            kind,
            good.replace("predicateType", "predicatetype"),
            "statement-malformed",
        ),
        (kind, "null".to_owned(), "statement-malformed"),
        (kind, good[..good.len() - 2].to_owned(), "statement-malformed"),
    ];
    for (payload_type, payload, expected) in cases {
        let (envelope, _) = world::envelope_of(payload_type, payload.as_bytes(), &key);
        let bundle = world::bundle(
            KeyMaterial::PublicKeyHint(String::new()),
            envelope,
            Vec::new(),
            Vec::new(),
        );
        assert_eq!(
            code(&world::verify(&verifier, ItemContent::Bundle(bundle))),
            expected,
            "{payload}"
        );
    }
}

#[test]
fn a_layer_of_another_media_type_is_not_evidence() {
    let media_type = MediaType::parse("application/vnd.dev.cosign.simplesigning.v2+json").unwrap();
    let descriptor = proofmark_oci::Descriptor::of(media_type, b"{}");
    let content = proofmark_evidence::legacy::read_layer(&descriptor, b"{}");
    assert_eq!(code(&world::verify(&Verifier::new(), content)), "evidence-media-type");
}

#[test]
fn statements_of_the_older_version_are_read() {
    let key = new_key();
    let kind = statement().predicate_type;
    let old = Statement::attestation("app", &subject(), kind, serde_json::json!({}));
    let (envelope, _) = world::envelope(&old, &key);
    let bundle = world::bundle(
        KeyMaterial::PublicKeyHint(String::new()),
        envelope,
        Vec::new(),
        Vec::new(),
    );
    let verifier = Verifier::new().with_key(public(&key));
    assert_eq!(code(&world::verify(&verifier, ItemContent::Bundle(bundle))), "accepted");
    assert_eq!(at(NOW), at(SIGNED + 86_400));
}
