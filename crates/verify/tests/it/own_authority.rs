//! Authorities, timestamp authorities and logs of one's own (cosign's `--ca-roots`, `--ca-intermediates`,
//! `--certificate-chain`, `--timestamp-certificate-chain`), and signatures in files of their own.

use proofmark_evidence::ItemContent;
use proofmark_evidence::bundle::KeyMaterial;
use proofmark_evidence::encoding::pem_encode;
use proofmark_evidence::legacy::{Detached, LegacySignature};
use proofmark_evidence::simple_signing::Payload;
use proofmark_types::Digest;
use proofmark_verify::{Artifact, Proofs, SignerProof, TimeSource, Verifier};
use rcgen::{ExtendedKeyUsagePurpose, SigningKey};

use crate::world::log::{self, hashed_v1, intoto_v1, promise};
use crate::world::stamp::Stamp;
use crate::world::{
    self, IDENTITY, NOW, Party, SIGNED, World, YEAR, at, ca_params, code, leaf_params, new_key, public, statement,
    subject,
};

/// What `subject()` is the digest of.
const FILE: &[u8] = b"an image manifest";

fn pem(parties: &[&Party]) -> Vec<u8> {
    let text: String = parties
        .iter()
        .map(|party| pem_encode("CERTIFICATE", &party.der))
        .collect();
    text.into_bytes()
}

/// A `.sig` layer by a certificate, at a time that the caller's log vouches for.
fn layer(world: &World, leaf: &Party, chain: &[&Party]) -> LegacySignature {
    let payload = Payload::new("registry.alpha.test/app", &subject(), [].into()).to_json();
    let signature = leaf.key.sign(&payload).unwrap();
    let body = hashed_v1(&payload, &signature, &log::Verifier::Certificate(&leaf.der));
    LegacySignature {
        log_bundle: Some(promise(&world.rekor, &body, SIGNED + 3)),
        payload,
        signature,
        certificate: Some(leaf.der.clone()),
        chain: chain.iter().map(|party| party.der.clone()).collect(),
        timestamp: None,
    }
}

/// A verifier that knows nothing of the world but its Rekor key.
fn logs_only(world: &World) -> Verifier {
    Verifier::new().with_log_key(public(&world.rekor))
}

#[test]
fn roots_and_intermediates_are_given_apart() {
    let world = World::new();
    let stranger = World::new();
    let leaf = world.leaf();
    let verify = |verifier: &Verifier, chain: &[&Party]| {
        let content = ItemContent::LegacySignature(layer(&world, &leaf, chain));
        code(&world::verify(verifier, content))
    };
    let roots = pem(&[&stranger.root, &world.root]);
    let between = pem(&[&stranger.intermediate, &world.intermediate]);
    let whole = logs_only(&world).with_authority_pem(&roots, Some(&between)).unwrap();
    assert_eq!(verify(&whole, &[]), "accepted");
    // The older layouts bring their intermediates, and authorities of one's own take them from there.
    let bare = logs_only(&world).with_authority_pem(&roots, None).unwrap();
    assert_eq!(verify(&bare, &[&world.intermediate]), "accepted");
    assert_eq!(verify(&bare, &[&world.intermediate, &world.root]), "accepted");
    assert_eq!(verify(&bare, &[]), "certificate-untrusted");
    assert_eq!(verify(&bare, &[&stranger.intermediate]), "certificate-untrusted");
    // A root in the evidence is no root.
    let other = logs_only(&world)
        .with_authority_pem(&pem(&[&stranger.root]), None)
        .unwrap();
    assert_eq!(
        verify(&other, &[&world.intermediate, &world.root]),
        "certificate-untrusted"
    );
    // An intermediate among the roots is believed itself; among the intermediates it is not.
    let middle = logs_only(&world)
        .with_authority_pem(&pem(&[&world.intermediate]), None)
        .unwrap();
    assert_eq!(verify(&middle, &[]), "accepted");
    let only_between = logs_only(&world)
        .with_authority_pem(&pem(&[&stranger.root]), Some(&pem(&[&world.intermediate])))
        .unwrap();
    assert_eq!(verify(&only_between, &[]), "certificate-untrusted");
}

/// A trust root that is given for its logs does not bring its authority back.
#[test]
fn authorities_of_ones_own_stand_in_place_of_the_trust_roots() {
    let world = World::new();
    let other = World::new();
    let own = world.verifier().with_authority_pem(&pem(&[&other.root]), None).unwrap();
    let verify = |verifier: &Verifier, leaf: &Party, between: &Party| {
        let content = ItemContent::LegacySignature(layer(&world, leaf, &[between]));
        code(&world::verify(verifier, content))
    };
    let (listed, ours) = (world.leaf(), other.leaf());
    assert_eq!(verify(&world.verifier(), &listed, &world.intermediate), "accepted");
    assert_eq!(verify(&own, &listed, &world.intermediate), "certificate-untrusted");
    assert_eq!(verify(&own, &ours, &other.intermediate), "accepted");
    assert_eq!(
        verify(&world.verifier(), &ours, &other.intermediate),
        "certificate-untrusted"
    );
}

/// The intermediates of the trust root are its own business: those beside an older signature are not taken for it.
#[test]
fn authorities_of_the_trust_root_take_no_intermediates_from_older_layouts() {
    let world = World::new();
    let code_signing = [ExtendedKeyUsagePurpose::CodeSigning];
    let unlisted = world
        .root
        .issue(ca_params("unlisted", SIGNED - YEAR, SIGNED + YEAR, &code_signing));
    let leaf = unlisted.issue(leaf_params());
    let content = || ItemContent::LegacySignature(layer(&world, &leaf, &[&unlisted]));
    assert_eq!(
        code(&world::verify(&world.verifier(), content())),
        "certificate-untrusted"
    );
    let asked = world.verifier().with_intermediates_from_evidence();
    assert_eq!(code(&world::verify(&asked, content())), "accepted");
}

/// cosign: an expired intermediate was accepted where the log was skipped. Given by file, by chain, and with the
/// evidence; with a promised time, and without any.
#[test]
fn ghsa_wfqv_66vq_46rm_an_expired_intermediate_of_ones_own_authority() {
    let code_signing = [ExtendedKeyUsagePurpose::CodeSigning];
    let windows = [
        ("valid", (SIGNED - YEAR, NOW + YEAR), "accepted"),
        ("expired", (SIGNED - YEAR, SIGNED - 1), "certificate-outside-validity"),
        ("not yet valid", (NOW + 1, NOW + YEAR), "certificate-outside-validity"),
    ];
    for (name, (from, to), expected) in windows {
        let mut world = World::new();
        world.intermediate = world
            .root
            .issue(ca_params("alpha intermediate", from, to, &code_signing));
        let mut params = leaf_params();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + YEAR).unwrap();
        let leaf = world.intermediate.issue(params);
        let logged = layer(&world, &leaf, &[&world.intermediate]);
        let unlogged = LegacySignature {
            log_bundle: None,
            ..logged.clone()
        };
        let (root, between) = (pem(&[&world.root]), pem(&[&world.intermediate]));
        let chain = pem(&[&world.intermediate, &world.root]);
        let verifiers = [
            logs_only(&world).with_authority_pem(&root, Some(&between)).unwrap(),
            logs_only(&world).with_authority_pem(&root, None).unwrap(),
            logs_only(&world).with_ca_chain_pem(&chain).unwrap(),
        ];
        for verifier in verifiers {
            for layer in [&logged, &unlogged] {
                let proofs = world::verify(&verifier, ItemContent::LegacySignature(layer.clone()));
                assert_eq!(code(&proofs), expected, "{name}");
            }
            let (envelope, _) = world::envelope(&statement(), &leaf.key);
            let key = KeyMaterial::Chain(vec![leaf.der.clone(), world.intermediate.der.clone()]);
            let bundle = world::bundle(key, envelope, Vec::new(), Vec::new());
            let verifier = verifier.with_intermediates_from_evidence();
            assert_eq!(
                code(&world::verify(&verifier, ItemContent::Bundle(bundle))),
                expected,
                "{name}, in a bundle"
            );
        }
    }
}

#[test]
fn files_that_are_no_authority_are_refused() {
    let world = World::new();
    let good = pem(&[&world.root]);
    let refused = |roots: &[u8], between: Option<&[u8]>| {
        let error = Verifier::new().with_authority_pem(roots, between).unwrap_err();
        assert_eq!(error.code(), "ca-chain");
        error.to_string()
    };
    assert!(refused(b"", None).contains("no PEM certificate"));
    assert!(refused(&[0xff, 0xfe], None).contains("not a PEM"));
    assert!(refused(b"-----BEGIN PUBLIC KEY-----\nAQ==\n-----END PUBLIC KEY-----", None).contains("not a certificate"));
    assert!(refused(pem_encode("CERTIFICATE", &[1, 2]).as_bytes(), None).contains("DER"));
    assert!(refused(&good.repeat(257), None).contains("more than 256"));
    assert!(refused(&good, Some(&good.repeat(33))).contains("more than 32"));
    assert!(refused(&vec![b' '; 2_000_000], None).contains("at most"));
    assert!(Verifier::new().with_authority_pem(&good.repeat(200), None).is_ok());
}

#[test]
fn a_timestamp_authority_of_ones_own() {
    let world = World::new();
    let stranger = World::new();
    let leaf = world.leaf();
    let signature = leaf.key.sign(FILE).unwrap();
    let stamp = Stamp::over(&signature, &world.tsa).response();
    let detached = Detached::signature(&signature)
        .unwrap()
        .with_certificate(&pem(&[&leaf]))
        .unwrap()
        .with_timestamp(&stamp)
        .unwrap();
    let roots = Verifier::new()
        .with_ca_chain_pem(&pem(&[&world.intermediate, &world.root]))
        .unwrap();
    let verify = |verifier: &Verifier| verifier.verify_blob_legacy(&detached, &Artifact::Bytes(FILE), at(NOW));
    // Not known: not looked at, and then the certificate has expired.
    assert_eq!(code(&verify(&roots)), "certificate-outside-validity");
    let known = pem(&[&world.tsa, &world.tsa_root]);
    let knowing = roots.clone().with_timestamp_authority_pem(&known).unwrap();
    let proofs = verify(&knowing);
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert_eq!(proof.time_source(), TimeSource::TimestampAuthority);
    let foreign = pem(&[&stranger.tsa, &stranger.tsa_root]);
    let other = roots.with_timestamp_authority_pem(&foreign).unwrap();
    assert_eq!(code(&verify(&other)), "timestamp-untrusted");
}

fn detached(world: &World, leaf: &Party) -> Detached {
    let signature = leaf.key.sign(FILE).unwrap();
    let body = hashed_v1(FILE, &signature, &log::Verifier::Certificate(&leaf.der));
    Detached::signature(&signature)
        .unwrap()
        .with_certificate(&pem(&[leaf]))
        .unwrap()
        .with_log_bundle(promise(&world.rekor, &body, SIGNED + 3))
}

#[test]
fn a_detached_signature_with_a_certificate_and_a_promise() {
    let world = World::new();
    let leaf = world.leaf();
    let good = detached(&world, &leaf);
    let read = Detached::signature_bundle(&good.to_bundle_json()).unwrap();
    assert_eq!(read, good);
    let verifier = world.verifier();
    let digest = Digest::sha256_of(FILE);
    for artifact in [Artifact::Bytes(FILE), Artifact::Digest(&digest)] {
        let proofs = verifier.verify_blob_legacy(&read, &artifact, at(NOW));
        let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
        assert_eq!(proof.log().unwrap().integrated_time, Some(at(SIGNED + 3)));
        let SignerProof::Certificate(facts) = proof.signer() else {
            panic!("{proof:?}")
        };
        assert_eq!(facts.identity.subjects[0].value(), IDENTITY);
    }
    type Change = fn(&mut Detached, &World);
    let changes: [(&str, Change, &str); 7] = [
        (
            "promise",
            |d, _| d.log_bundle.as_mut().unwrap().set.reverse(),
            "set-invalid",
        ),
        (
            "time",
            |d, _| d.log_bundle.as_mut().unwrap().integrated_time = at(SIGNED + 4),
            "set-invalid",
        ),
        (
            "entry of another signature",
            |d, w| {
                let leaf = w.leaf();
                d.log_bundle = detached(w, &leaf).log_bundle;
            },
            "log-entry-mismatch",
        ),
        (
            "certificate of another",
            |d, w| d.certificate = Some(w.leaf().der),
            "signature-not-by-certificate",
        ),
        (
            "certificate of strangers",
            |d, _| {
                let other = World::new();
                let leaf = other.leaf();
                *d = detached(&other, &leaf);
            },
            "certificate-untrusted",
        ),
        ("no promise", |d, _| d.log_bundle = None, "certificate-outside-validity"),
        ("no certificate", |d, _| d.certificate = None, "no-key-given"),
    ];
    for (name, change, expected) in changes {
        let mut changed = good.clone();
        change(&mut changed, &world);
        let proofs = verifier.verify_blob_legacy(&changed, &Artifact::Bytes(FILE), at(NOW));
        assert_eq!(code(&proofs), expected, "{name}");
    }
    let proofs = verifier.verify_blob_legacy(&good, &Artifact::Bytes(b"another file"), at(NOW));
    assert_eq!(code(&proofs), "signature-not-by-certificate");
}

#[test]
fn a_detached_signature_by_a_key() {
    let key = new_key();
    let good = Detached::signature(&key.sign(FILE).unwrap()).unwrap();
    let verify = |verifier: Verifier, file: &[u8]| -> Proofs {
        verifier.verify_blob_legacy(&good, &Artifact::Bytes(file), at(NOW))
    };
    let own = Verifier::new().with_key(public(&key));
    assert_eq!(code(&verify(own.clone(), FILE)), "accepted");
    assert_eq!(code(&verify(own, b"another file")), "signature-not-by-given-key");
    let other = Verifier::new().with_key(public(&new_key()));
    assert_eq!(code(&verify(other, FILE)), "signature-not-by-given-key");
    assert_eq!(code(&verify(Verifier::new(), FILE)), "no-key-given");
}

/// An attestation in a file: its timestamp and its `intoto` 0.0.1 entry are over the file.
#[test]
fn a_detached_attestation() {
    let world = World::new();
    let key = new_key();
    let (envelope, _) = world::envelope(&statement(), &key);
    let raw = envelope.to_json();
    let body = intoto_v1(&raw, &log::Verifier::Key(&key));
    let good = Detached::attestation(&raw)
        .unwrap()
        .with_log_bundle(promise(&world.rekor, &body, SIGNED + 3))
        .with_timestamp(&Stamp::over(&raw, &world.tsa).response())
        .unwrap();
    let verifier = world.verifier().with_key(public(&key));
    let verify =
        |detached: &Detached, file: &[u8]| verifier.verify_blob_legacy(detached, &Artifact::Bytes(file), at(NOW));
    let proofs = verify(&good, FILE);
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert_eq!((proof.logs().len(), proof.timestamps().len()), (1, 1));
    assert_eq!(code(&verify(&good, b"another file")), "subject-mismatch");
    let mut spaced = raw.clone();
    spaced.push(b'\n');
    let respaced = Detached {
        log_bundle: good.log_bundle.clone(),
        ..Detached::attestation(&spaced).unwrap()
    };
    assert_eq!(code(&verify(&respaced, FILE)), "log-entry-mismatch");
    let over_signature = Detached::attestation(&raw)
        .unwrap()
        .with_timestamp(&Stamp::over(good.raw_signature(), &world.tsa).response())
        .unwrap();
    assert_eq!(code(&verify(&over_signature, FILE)), "timestamp-imprint-mismatch");
}
