//! One test for each report on another verifier that this room must not repeat, named after it.

use proofmark_evidence::ItemContent;
use proofmark_evidence::bundle::{Bundle, Content, KeyMaterial};
use proofmark_evidence::legacy::{LegacyAttestation, LegacySignature};
use proofmark_evidence::simple_signing::Payload;
use proofmark_types::{Digest, DigestAlgorithm, Digests, DigestsHasher};
use proofmark_verify::{Artifact, SctProof, TimeSource, Verifier};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, SigningKey};
use serde_json::json;

use crate::world::log::{self, hashed_v1, promise, rekor_entry};
use crate::world::stamp::Stamp;
use crate::world::{
    self, NOW, SIGNED, World, YEAR, at, ca_params, code, der, leaf_params, new_key, parse_root, public, statement,
    subject,
};

fn hint() -> KeyMaterial {
    KeyMaterial::PublicKeyHint(String::new())
}

/// A `.sig` layer whose entry is made by the caller.
fn signature(
    key: &KeyPair,
    certificate: Option<&[u8]>,
    body: impl Fn(&[u8], &[u8]) -> serde_json::Value,
    world: &World,
) -> LegacySignature {
    let payload = Payload::new("registry.alpha.test/app", &subject(), [].into()).to_json();
    let signature = key.sign(&payload).unwrap();
    LegacySignature {
        log_bundle: Some(promise(&world.rekor, &body(&payload, &signature), SIGNED + 3)),
        payload,
        signature,
        certificate: certificate.map(<[u8]>::to_vec),
        chain: Vec::new(),
        timestamp: None,
    }
}

/// cosign: the claim to be in the log was not compared with the signature. The promise itself is genuine.
#[test]
fn cve_2022_23649_promise_of_another_entry() {
    let world = World::new();
    let leaf = world.leaf();
    let by = log::Verifier::Certificate(&leaf.der);
    let other = signature(
        &leaf.key,
        Some(&leaf.der),
        |_, signature| hashed_v1(b"another payload", signature, &by),
        &world,
    );
    let proofs = world::verify(&world.verifier(), ItemContent::LegacySignature(other));
    assert_eq!(code(&proofs), "log-entry-mismatch");
}

/// cosign: the entry was bound to the evidence on some paths and not on others. Here: every path, every field.
#[test]
fn cve_2022_36056_and_cve_2026_22703_every_path_binds_the_entry() {
    let world = World::new();
    let leaf = world.leaf();
    let foreign = world.leaf();
    let verifier = world.verifier().with_key(public(&leaf.key));
    type Body = fn(&[u8], &[u8], &world::Party, &world::Party) -> serde_json::Value;
    let bodies: [(&str, Body); 4] = [
        ("accepted", |m, s, own, _| {
            hashed_v1(m, s, &log::Verifier::Certificate(&own.der))
        }),
        ("log-entry-mismatch", |_, s, own, _| {
            hashed_v1(b"x", s, &log::Verifier::Certificate(&own.der))
        }),
        ("log-entry-mismatch", |m, s, _, other| {
            hashed_v1(m, s, &log::Verifier::Certificate(&other.der))
        }),
        ("log-entry-mismatch", |m, _, own, other| {
            hashed_v1(m, &other.key.sign(m).unwrap(), &log::Verifier::Certificate(&own.der))
        }),
    ];
    for (expected, body) in bodies {
        let (envelope, message) = world::envelope(&statement(), &leaf.key);
        let sig = envelope.signatures[0].sig.clone();
        let logged = body(&message, &sig, &leaf, &foreign);
        let certificate = KeyMaterial::Certificate(leaf.der.clone());
        let bundle = world::bundle(
            certificate,
            envelope.clone(),
            vec![rekor_entry(&world.rekor, &logged)],
            Vec::new(),
        );
        assert_eq!(
            code(&world::verify(&verifier, ItemContent::Bundle(bundle))),
            expected,
            "bundle"
        );

        let layer = signature(&leaf.key, Some(&leaf.der), |m, s| body(m, s, &leaf, &foreign), &world);
        assert_eq!(
            code(&world::verify(&verifier, ItemContent::LegacySignature(layer))),
            expected,
            ".sig"
        );

        let mut layer = LegacyAttestation::new(envelope, &statement().predicate_type);
        layer.log_bundle = Some(promise(&world.rekor, &logged, SIGNED + 3));
        layer.certificate = Some(leaf.der.clone());
        assert_eq!(
            code(&world::verify(&verifier, ItemContent::LegacyAttestation(layer))),
            expected,
            ".att"
        );
    }
    // A log that nobody knows: skipped as a witness, and still not allowed to be about something else.
    let lone = Verifier::new().with_key(public(&leaf.key));
    let by = log::Verifier::Key(&leaf.key);
    let layer = signature(&leaf.key, None, |_, s| hashed_v1(b"x", s, &by), &world);
    assert_eq!(
        code(&world::verify(&lone, ItemContent::LegacySignature(layer))),
        "log-entry-mismatch"
    );
}

/// sigstore-go: endless lists in a bundle. One more than the limit, each good.
#[test]
fn cve_2024_45395_counts_are_bounded() {
    let mut world = World::new();
    let good = world.keyless(&statement());
    let verifier = world.verifier();
    let mut entries = good.clone();
    entries.material.tlog_entries = vec![entries.material.tlog_entries[0].clone(); 33];
    assert_eq!(
        code(&world::verify(&verifier, ItemContent::Bundle(entries))),
        "too-many-parts"
    );
    let mut stamps = good.clone();
    stamps.material.timestamps = vec![stamps.material.timestamps[0].clone(); 33];
    assert_eq!(
        code(&world::verify(&verifier, ItemContent::Bundle(stamps))),
        "too-many-parts"
    );
    let mut hashes = good.clone();
    hashes.material.tlog_entries[0].inclusion_proof.as_mut().unwrap().hashes = vec![vec![0; 32]; 200];
    assert_eq!(
        code(&world::verify(&verifier, ItemContent::Bundle(hashes))),
        "too-many-parts"
    );
    let leaf = world.leaf();
    let mut chain = good;
    chain.material.key = KeyMaterial::Chain(vec![leaf.der; 12]);
    assert_eq!(
        code(&world::verify(&verifier, ItemContent::Bundle(chain))),
        "too-many-parts"
    );
}

/// cosign: an expired intermediate was accepted where no log was asked for. Leaf, intermediate, anchor and the window
/// of the authority, each alone outside; the evidence with and without a log entry.
#[test]
fn cve_2026_24122_every_certificate_of_the_path_is_valid_then() {
    let code_signing = [ExtendedKeyUsagePurpose::CodeSigning];
    let (past, future) = (SIGNED - YEAR, SIGNED + YEAR);
    let cases = [
        ("all valid", (past, future), None, "accepted"),
        (
            "intermediate expired",
            (past, SIGNED - 1),
            None,
            "certificate-outside-validity",
        ),
        (
            "intermediate not yet valid",
            (SIGNED + 60, future),
            None,
            "certificate-outside-validity",
        ),
        (
            "authority no longer believed",
            (past, future),
            Some("2025-12-31T23:59:59Z"),
            "certificate-outside-validity",
        ),
        (
            "authority believed to this second",
            (past, future),
            Some("2026-01-01T00:00:05Z"),
            "accepted",
        ),
        (
            "authority believed to the second before",
            (past, future),
            Some("2026-01-01T00:00:04Z"),
            "certificate-outside-validity",
        ),
    ];
    for (name, (from, to), end, expected) in cases {
        let mut world = World::new();
        world.intermediate = world
            .root
            .issue(ca_params("alpha intermediate", from, to, &code_signing));
        let mut root = world.root_json();
        if let Some(end) = end {
            root["certificateAuthorities"][0]["validFor"]["end"] = json!(end);
        }
        let verifier = Verifier::new().with_trust_root(parse_root(&root));
        let mut bundle = world.keyless(&statement());
        assert_eq!(
            code(&world::verify(&verifier, ItemContent::Bundle(bundle.clone()))),
            expected,
            "{name}"
        );
        bundle.material.tlog_entries.clear();
        assert_eq!(
            code(&world::verify(&verifier, ItemContent::Bundle(bundle))),
            expected,
            "{name}, without a log"
        );
    }
}

/// cosign: success over a payload that is no statement. The signature is good, on the bundle and the legacy path.
#[test]
fn cve_2026_39395_a_payload_that_is_no_statement() {
    let key = new_key();
    let verifier = Verifier::new().with_key(public(&key));
    for payload in ["", "null", "[]", "{", "{\"_type\":\"https://in-toto.io/Statement/v1\"}"] {
        let (envelope, _) = world::envelope_of("application/vnd.in-toto+json", payload.as_bytes(), &key);
        let layer = LegacyAttestation::new(envelope.clone(), &statement().predicate_type);
        let bundle = world::bundle(hint(), envelope, Vec::new(), Vec::new());
        for content in [ItemContent::Bundle(bundle), ItemContent::LegacyAttestation(layer)] {
            assert_eq!(
                code(&world::verify(&verifier, content)),
                "statement-malformed",
                "{payload}"
            );
        }
    }
}

/// sigstore-go: several entries of one log counted as several logs, and the same for SCTs.
#[test]
fn cve_2026_49834_one_log_is_one_witness() {
    let mut world = World::new();
    let params = leaf_params();
    let key = new_key();
    let bare = world.intermediate.certify(&params, &key);
    let scts = [
        world.sct(&bare, SIGNED, &world.ct),
        world.sct(&bare, SIGNED + 1, &world.ct),
    ];
    let leaf = world.leaf_with_list(params, key, &der::sct_list(&scts));
    let mut bundle = world.keyless_by(&leaf, &statement());
    let first = bundle.material.tlog_entries[0].clone();
    let body: serde_json::Value = serde_json::from_slice(&first.canonicalized_body).unwrap();
    bundle.material.tlog_entries.push(first);
    bundle.material.tlog_entries.push(world.tiles.entry(&body));
    bundle.material.timestamps.push(bundle.material.timestamps[0].clone());
    let proofs = world::verify(&world.verifier(), ItemContent::Bundle(bundle));
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert_eq!((proof.logs().len(), proof.logs()[0].entries), (1, 3));
    assert_eq!(proof.timestamps().len(), 1);
    let SctProof::Verified(scts) = proof.sct() else {
        panic!("{:?}", proof.sct())
    };
    assert_eq!(scts.len(), 1);
}

/// sigstore-go: the window of a key was not compared with the time that was proven. Each kind of key.
#[test]
fn cve_2026_54787_keys_are_valid_at_the_proven_time() {
    let mut world = World::new();
    let bundle = world.keyless(&statement());
    let windows = [
        ("accepted", "2020-01-01T00:00:00Z", "2026-01-01T00:00:05Z"),
        ("outside", "2020-01-01T00:00:00Z", "2025-12-31T23:59:59Z"),
        ("outside", "2026-01-01T00:10:00Z", "2027-01-01T00:00:00Z"),
    ];
    let keys = [
        ("/tlogs/1/publicKey/validFor", "log-outside-validity"),
        ("/ctlogs/0/publicKey/validFor", "sct-outside-validity"),
        ("/timestampAuthorities/0/validFor", "timestamp-outside-validity"),
        ("/certificateAuthorities/0/validFor", "certificate-outside-validity"),
    ];
    for (pointer, code_outside) in keys {
        for (expected, start, end) in windows {
            let mut root = world.root_json();
            *root.pointer_mut(pointer).unwrap() = json!({"start": start, "end": end});
            let verifier = Verifier::new().with_trust_root(parse_root(&root));
            let expected = if expected == "accepted" { expected } else { code_outside };
            assert_eq!(
                code(&world::verify(&verifier, ItemContent::Bundle(bundle.clone()))),
                expected,
                "{pointer} {end}"
            );
        }
    }
    // Rekor v1, whose own promise is the time.
    let key = new_key();
    let layer = signature(&key, None, |m, s| hashed_v1(m, s, &log::Verifier::Key(&key)), &world);
    let mut root = world.root_json();
    root["tlogs"][0]["publicKey"]["validFor"]["end"] = json!("2025-12-31T00:00:00Z");
    let verifier = Verifier::new()
        .with_trust_root(parse_root(&root))
        .with_key(public(&key));
    assert_eq!(
        code(&world::verify(&verifier, ItemContent::LegacySignature(layer))),
        "log-outside-validity"
    );
}

/// sigstore-ruby: the comparison of subject and artifact was made and its result dropped.
#[test]
fn cve_2026_31830_subject_of_another_artifact() {
    let key = new_key();
    let (envelope, _) = world::envelope(&statement(), &key);
    let bundle = world::bundle(hint(), envelope, Vec::new(), Vec::new());
    let verifier = Verifier::new().with_key(public(&key));
    let proofs = verifier.verify_blob(&bundle, &Artifact::Bytes(b"an image manifest"), at(NOW));
    assert_eq!(code(&proofs), "accepted");
    let proofs = verifier.verify_blob(&bundle, &Artifact::Bytes(b"another file"), at(NOW));
    assert_eq!(code(&proofs), "subject-mismatch");
}

/// sigstore-go #600, #609, #611: an empty digest, and an entry whose digest was not compared.
#[test]
fn sigstore_go_600_message_signatures_are_over_the_artifact() {
    let world = World::new();
    let key = new_key();
    let artifact = b"a file".as_slice();
    let signature = key.sign(artifact).unwrap();
    let bundle = |digest: Option<Digest>, logged: &[u8]| {
        let body = hashed_v1(logged, &signature, &log::Verifier::Key(&key));
        Bundle {
            content: Content::MessageSignature {
                digest,
                signature: signature.clone(),
            },
            ..world::bundle(
                hint(),
                empty_envelope(),
                vec![rekor_entry(&world.rekor, &body)],
                Vec::new(),
            )
        }
    };
    let verifier = world.verifier().with_key(public(&key));
    let own = Digest::sha256_of(artifact);
    let cases = [
        (bundle(Some(own.clone()), artifact), "accepted"),
        (bundle(None, artifact), "accepted"),
        (
            bundle(Some(Digest::sha256_of(b"x")), artifact),
            "message-digest-mismatch",
        ),
        (bundle(Some(own.clone()), b"x"), "log-entry-mismatch"),
        (bundle(Some(own.clone()), b""), "log-entry-mismatch"),
    ];
    for (bundle, expected) in cases {
        let streamed = digests(artifact);
        for artifact in [
            Artifact::Bytes(artifact),
            Artifact::Digest(&own),
            Artifact::Digests(&streamed),
        ] {
            assert_eq!(code(&verifier.verify_blob(&bundle, &artifact, at(NOW))), expected);
        }
    }
    let empty = Digest::sha256_of(b"");
    let streamed = digests(b"");
    for artifact in [
        Artifact::Bytes(b""),
        Artifact::Digest(&empty),
        Artifact::Digests(&streamed),
    ] {
        let proofs = verifier.verify_blob(&bundle(None, b""), &artifact, at(NOW));
        assert_eq!(code(&proofs), "signature-not-by-given-key");
    }
}

/// As a file that is too large to be held is known.
fn digests(artifact: &[u8]) -> Digests {
    let mut hasher = DigestsHasher::new(&[DigestAlgorithm::Sha384, DigestAlgorithm::Sha512]);
    hasher.update(artifact);
    hasher.finish()
}

fn empty_envelope() -> proofmark_evidence::dsse::Envelope {
    proofmark_evidence::dsse::Envelope {
        payload_type: String::new(),
        payload: Vec::new(),
        signatures: Vec::new(),
    }
}

/// timestamp-authority: the usage of one certificate was checked and another one had signed.
#[test]
fn ghsa_xm5m_wgh2_rrg3_the_signer_is_the_certificate_that_is_checked() {
    let mut world = World::new();
    let bundle = world.keyless(&statement());
    let signature = bundle.content.signature().to_vec();
    let rogue = world.leaf();
    let verifier = world.verifier();
    // The rogue signs; everything names the genuine certificate, or itself, with both in the token.
    let both = vec![world.tsa.der.clone(), rogue.der.clone()];
    let mut named_genuine = Stamp::over(&signature, &rogue);
    named_genuine.named = &world.tsa.der;
    named_genuine.identified = &world.tsa.der;
    named_genuine.certificates = both.clone();
    let mut identified_genuine = Stamp::over(&signature, &rogue);
    identified_genuine.identified = &world.tsa.der;
    identified_genuine.certificates = both.clone();
    let mut itself = Stamp::over(&signature, &rogue);
    itself.certificates = both;
    for (stamp, expected) in [
        (named_genuine, "timestamp-signature-invalid"),
        (identified_genuine, "timestamp-signature-invalid"),
        (itself, "timestamp-untrusted"),
    ] {
        let mut forged = bundle.clone();
        forged.material.timestamps = vec![stamp.response()];
        assert_eq!(code(&world::verify(&verifier, ItemContent::Bundle(forged))), expected);
    }
}

/// sigstore-java #1024, #1185: the check of promise and timestamp was lost in a refactoring. With neither, nothing
/// vouches for the time, and the proof says so where the certificate happens to be valid now.
#[test]
fn sigstore_java_1185_without_a_time_the_proof_says_so() {
    let mut world = World::new();
    let mut bundle = world.keyless(&statement());
    bundle.material.timestamps.clear();
    let verifier = world.verifier();
    let set = |bundle: &Bundle| {
        let mut set = proofmark_evidence::EvidenceSet::new(subject());
        set.items.push(proofmark_evidence::Item {
            origin: proofmark_evidence::Origin::Local,
            content: ItemContent::Bundle(bundle.clone()),
        });
        set
    };
    let later = verifier.verify(&set(&bundle), at(NOW));
    assert_eq!(code(&later), "certificate-outside-validity");
    let then = verifier.verify(&set(&bundle), at(SIGNED + 30));
    assert_eq!(then.proofs()[0].time_source(), TimeSource::CurrentTime);
}

/// cosign `--key` on a bundle without log or timestamp, as air-gapped signers make: sigstore-rust 0.15 refuses it.
#[test]
fn a_key_needs_no_time() {
    let key = new_key();
    let (envelope, _) = world::envelope(&statement(), &key);
    let bundle = world::bundle(hint(), envelope, Vec::new(), Vec::new());
    let proofs = world::verify(&Verifier::new().with_key(public(&key)), ItemContent::Bundle(bundle));
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert_eq!(proof.time_source(), TimeSource::NotNeeded);
    assert!(proof.log().is_none() && proof.timestamps().is_empty());
    assert_eq!(*proof.sct(), SctProof::NotApplicable);
}

/// cosign #4648 to #4653, #4998, #5016: documents that made it panic. Each is a rejection with a name.
#[test]
fn cosign_4648_4649_4650_4651_4652_4653_4998_5016_odd_documents_are_rejections() {
    let world = World::new();
    let key = new_key();
    let verifier = world.verifier().with_key(public(&key));
    let (envelope, message) = world::envelope(&statement(), &key);
    let sig = envelope.signatures[0].sig.clone();
    let good = hashed_v1(&message, &sig, &log::Verifier::Key(&key));
    let bodies = [
        json!(null),
        json!([]),
        json!({}),
        json!({"apiVersion": "0.0.1", "kind": "hashedrekord"}),
        json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": null}),
        json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"signature": {}, "data": {}}}),
        json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {"signatures": []}}),
        json!({"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": {"envelope": null}}}),
    ];
    for body in bodies {
        let mut entry = rekor_entry(&world.rekor, &good);
        entry.canonicalized_body = serde_json::to_vec(&body).unwrap();
        let bundle = world::bundle(hint(), envelope.clone(), vec![entry], Vec::new());
        let code = code(&world::verify(&verifier, ItemContent::Bundle(bundle)));
        assert!(
            matches!(code, "log-entry-malformed" | "log-entry-mismatch"),
            "{body}: {code}"
        );
    }
    // A PEM block with nothing in it, in the place of the key.
    let mut body = good;
    for pem in [
        "",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----",
    ] {
        use base64::Engine as _;
        body["spec"]["signature"]["publicKey"]["content"] =
            json!(base64::engine::general_purpose::STANDARD.encode(pem));
        let bundle = world::bundle(
            hint(),
            envelope.clone(),
            vec![rekor_entry(&world.rekor, &body)],
            Vec::new(),
        );
        assert_eq!(
            code(&world::verify(&verifier, ItemContent::Bundle(bundle))),
            "log-entry-mismatch"
        );
    }
    // Subjects that are null, or lists of null.
    let text = String::from_utf8(statement().to_json()).unwrap();
    for (from, to) in [
        ("\"subject\":[{", "\"subject\":null,\"x\":[{"),
        ("\"subject\":[{", "\"subject\":[null,{"),
        ("\"digest\":{", "\"digest\":null,\"x\":{"),
        ("\"subject\":[{", "\"subject\":[],\"x\":[{"),
    ] {
        let (odd, _) = world::envelope_of("application/vnd.in-toto+json", text.replace(from, to).as_bytes(), &key);
        let bundle = world::bundle(hint(), odd, Vec::new(), Vec::new());
        let code = code(&world::verify(&verifier, ItemContent::Bundle(bundle)));
        assert!(
            matches!(code, "statement-malformed" | "subject-mismatch"),
            "{to}: {code}"
        );
    }
}

/// sigstore-java: a promise that belongs to another entry was taken. Each part of what it is over, from another.
#[test]
fn cve_2024_54140_the_promise_is_over_this_entry() {
    let world = World::new();
    let leaf = world.leaf();
    let by = log::Verifier::Certificate(&leaf.der);
    let make = || signature(&leaf.key, Some(&leaf.der), |m, s| hashed_v1(m, s, &by), &world);
    let (own, other) = (make(), make());
    let verifier = world.verifier();
    assert_eq!(
        code(&world::verify(&verifier, ItemContent::LegacySignature(own.clone()))),
        "accepted"
    );
    let mut set = own.clone();
    set.log_bundle.as_mut().unwrap().set = other.log_bundle.as_ref().unwrap().set.clone();
    assert_eq!(
        code(&world::verify(&verifier, ItemContent::LegacySignature(set))),
        "set-invalid"
    );
    let mut whole = own;
    whole.log_bundle = other.log_bundle;
    assert_eq!(
        code(&world::verify(&verifier, ItemContent::LegacySignature(whole))),
        "log-entry-mismatch"
    );
}

/// gitsign: the entry that was found for a commit was one of another signature of the same signer.
#[test]
fn cve_2024_51746_an_entry_of_the_same_signer_for_something_else() {
    let world = World::new();
    let leaf = world.leaf();
    let by = log::Verifier::Certificate(&leaf.der);
    let elsewhere = leaf.key.sign(b"another commit").unwrap();
    let layer = signature(
        &leaf.key,
        Some(&leaf.der),
        |_, _| hashed_v1(b"another commit", &elsewhere, &by),
        &world,
    );
    let proofs = world::verify(&world.verifier(), ItemContent::LegacySignature(layer));
    assert_eq!(code(&proofs), "log-entry-mismatch");
}

/// gitsign: the log's keys were asked of the log. Here they come from the trust root, and a log that only says who it
/// is proves nothing.
#[test]
fn cve_2023_47122_keys_of_logs_come_from_the_trust_root() {
    let world = World::new();
    let stranger = World::new();
    let key = new_key();
    let by = log::Verifier::Key(&key);
    let mut layer = signature(&key, None, |m, s| hashed_v1(m, s, &by), &stranger);
    let verifier = world.verifier().with_key(public(&key));
    let proofs = world::verify(&verifier, ItemContent::LegacySignature(layer.clone()));
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert!(proof.log().is_none());
    assert_eq!(proof.skipped_logs().len(), 1);
    // The same under the name of a log that is known.
    layer.log_bundle.as_mut().unwrap().log_id = public(&world.rekor).fingerprint().as_bytes().to_vec();
    assert_eq!(
        code(&world::verify(&verifier, ItemContent::LegacySignature(layer))),
        "set-invalid"
    );
}

/// Rekor (CVE-2023-30551, CVE-2023-33199, CVE-2026-23831, CVE-2026-24117, CVE-2026-48702, GHSA-843x): entries that name
/// an address to fetch a key from, entries of kinds that unpack archives, entries that are too large. This room fetches
/// nothing and unpacks nothing: they are malformed or of unknown kind.
#[test]
fn cve_2026_24117_cve_2026_23831_cve_2026_48702_cve_2023_30551_cve_2023_33199_ghsa_843x_entries_are_not_acted_on() {
    let world = World::new();
    let key = new_key();
    let verifier = world.verifier().with_key(public(&key));
    let (envelope, message) = world::envelope(&statement(), &key);
    let sig = envelope.signatures[0].sig.clone();
    let good = hashed_v1(&message, &sig, &log::Verifier::Key(&key));
    let mut by_address = good.clone();
    by_address["spec"]["signature"]["publicKey"] = json!({"url": "http://127.0.0.1:1/key"});
    let mut data_by_address = good.clone();
    data_by_address["spec"]["data"] = json!({"url": "http://127.0.0.1:1/data"});
    let mut large = good.clone();
    large["spec"]["x"] = json!("x".repeat(300 * 1024));
    let of_kind = |kind: &str| json!({"apiVersion": "0.0.1", "kind": kind, "spec": {"package": {"content": "H4sI"}}});
    let cases = [
        (good, "accepted"),
        (by_address, "log-entry-malformed"),
        (data_by_address, "log-entry-malformed"),
        (large, "log-entry-malformed"),
        (of_kind("jar"), "log-entry-kind-unknown"),
        (of_kind("alpine"), "log-entry-kind-unknown"),
        (of_kind("cose"), "log-entry-kind-unknown"),
        (of_kind("helm"), "log-entry-kind-unknown"),
        (of_kind("tuf"), "log-entry-kind-unknown"),
    ];
    for (body, expected) in cases {
        let bundle = world::bundle(
            hint(),
            envelope.clone(),
            vec![rekor_entry(&world.rekor, &body)],
            Vec::new(),
        );
        let code = code(&world::verify(&verifier, ItemContent::Bundle(bundle)));
        assert_eq!(code, expected, "{}", body["kind"]);
    }
}

/// sigstore-conformance's `managed-key-wrong-key_fail` has a key file that no reader takes, so that it is refused
/// whatever the verifier does. This is its working twin: two genuine keys, one of which did not sign.
#[test]
fn managed_key_wrong_key_with_keys_that_can_be_read() {
    let (signer, other) = (new_key(), new_key());
    let artifact = b"a file".as_slice();
    let signature = signer.sign(artifact).unwrap();
    let message = Bundle {
        content: Content::MessageSignature {
            digest: Some(Digest::sha256_of(artifact)),
            signature,
        },
        ..world::bundle(hint(), empty_envelope(), Vec::new(), Vec::new())
    };
    let (envelope, _) = world::envelope(&statement(), &signer);
    let attested = world::bundle(hint(), envelope, Vec::new(), Vec::new());
    for (bundle, artifact) in [(&message, artifact), (&attested, b"an image manifest".as_slice())] {
        let verify = |key: &KeyPair| {
            let text = public(key).to_pem();
            let verifier = Verifier::new().with_key(proofmark_verify::PublicKey::from_pem(&text).unwrap());
            let digest = Digest::sha256_of(artifact);
            let by_digest = code(&verifier.verify_blob(bundle, &Artifact::Digest(&digest), at(NOW)));
            assert_eq!(
                code(&verifier.verify_blob(bundle, &Artifact::Bytes(artifact), at(NOW))),
                by_digest
            );
            by_digest
        };
        assert_eq!(verify(&signer), "accepted");
        assert_eq!(verify(&other), "signature-not-by-given-key");
    }
}
