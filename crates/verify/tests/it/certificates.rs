//! Certificates, SCTs and timestamps with one fault each, made by authorities that are otherwise good.

use std::net::IpAddr;

use proofmark_evidence::ItemContent;
use proofmark_evidence::bundle::{Bundle, KeyMaterial};
use proofmark_types::SubjectName;
use proofmark_verify::{CertificateFacts, SctProof, SignerProof, TimeSource, Verifier};
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};

use crate::world::stamp::{Stamp, generalized, tsa_params, tsa_params_with};
use crate::world::{self, ISSUER, NOW, Party, SIGNED, World, YEAR, code, der, fulcio, leaf_params, new_key, statement};

/// What becomes of a keyless bundle under this leaf.
fn with_leaf(world: &mut World, leaf: &Party) -> &'static str {
    let bundle = world.keyless_by(leaf, &statement());
    code(&world::verify(&world.verifier(), ItemContent::Bundle(bundle)))
}

fn facts(world: &mut World, change: fn(&mut CertificateParams)) -> Result<CertificateFacts, &'static str> {
    let mut params = leaf_params();
    change(&mut params);
    let leaf = world.leaf_with(params, |list| list);
    let bundle = world.keyless_by(&leaf, &statement());
    let proofs = world::verify(&world.verifier(), ItemContent::Bundle(bundle));
    match proofs.proofs() {
        [proof] => match proof.signer() {
            SignerProof::Certificate(facts) => Ok((**facts).clone()),
            other => panic!("{other:?}"),
        },
        _ => Err(code(&proofs)),
    }
}

#[test]
fn leaf_certificates_with_one_fault() {
    let mut world = World::new();
    let poison = || {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 3], vec![5, 0]);
        extension.set_criticality(true);
        extension
    };
    let cases: Vec<(&str, Box<dyn Fn(&mut CertificateParams)>, &str)> = vec![
        ("good", Box::new(|_| {}), "accepted"),
        (
            "for servers",
            Box::new(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            "certificate-malformed",
        ),
        (
            "for nothing in particular",
            Box::new(|p| p.extended_key_usages.clear()),
            "certificate-malformed",
        ),
        (
            "for agreement",
            Box::new(|p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
            "certificate-malformed",
        ),
        (
            "precertificate",
            Box::new(move |p| p.custom_extensions.push(poison())),
            "certificate-malformed",
        ),
        (
            "an authority",
            Box::new(|p| p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
            "certificate-untrusted",
        ),
        (
            "issuer twice",
            Box::new(|p| p.custom_extensions.push(fulcio(8, der::utf8("https://other")))),
            "certificate-malformed",
        ),
        (
            "issuer not a string",
            Box::new(|p| p.custom_extensions[1] = fulcio(8, b"https://bare".to_vec())),
            "certificate-malformed",
        ),
        (
            "unknown critical extension",
            Box::new(|p| {
                let mut e = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                e.set_criticality(true);
                p.custom_extensions.push(e);
            }),
            "certificate-untrusted",
        ),
    ];
    for (name, change, expected) in cases {
        let mut params = leaf_params();
        change(&mut params);
        let leaf = world.leaf_with(params, |list| list);
        assert_eq!(with_leaf(&mut world, &leaf), expected, "{name}");
    }
}

#[test]
fn facts_of_a_certificate_keep_their_kinds() {
    let mut world = World::new();
    let all = facts(&mut world, |params| {
        params.subject_alt_names = vec![
            SanType::Rfc822Name("dev@alpha.test".try_into().unwrap()),
            SanType::DnsName("build.alpha.test".try_into().unwrap()),
            SanType::IpAddress(IpAddr::from([10, 0, 0, 1])),
            SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 57264, 1, 7], "dev!alpha.test".into())),
        ];
        params.custom_extensions = vec![
            fulcio(1, b"https://old.alpha.test".to_vec()),
            fulcio(2, b"push".to_vec()),
            fulcio(8, der::utf8(ISSUER)),
            fulcio(13, der::utf8("1f1f")),
            fulcio(99, der::utf8("of the future")),
        ];
    })
    .unwrap();
    let expected = [
        SubjectName::Email("dev@alpha.test".to_owned()),
        SubjectName::Dns("build.alpha.test".to_owned()),
        SubjectName::Ip("10.0.0.1".to_owned()),
        SubjectName::OtherName("dev!alpha.test".to_owned()),
    ];
    assert_eq!(all.identity.subjects, expected);
    assert_eq!(
        all.identity.issuer.as_deref(),
        Some(ISSUER),
        "the newer extension counts"
    );
    assert_eq!(all.extensions.github_workflow_trigger(), Some("push"));
    assert_eq!(all.extensions.source_repository_digest(), Some("1f1f"));
    assert_eq!(all.extensions.get(99), Some("of the future"));
    assert_eq!(all.authority, "https://ca.alpha.test");
    let old = facts(&mut world, |params| {
        params.custom_extensions = vec![fulcio(1, b"https://old".to_vec())]
    })
    .unwrap();
    assert_eq!(old.identity.issuer.as_deref(), Some("https://old"));
    let none = facts(&mut world, |params| params.custom_extensions.clear()).unwrap();
    assert_eq!(none.identity.issuer, None);
}

#[test]
fn scts_with_one_fault() {
    let mut world = World::new();
    let cases: [(&str, fn(Vec<u8>) -> Vec<u8>, &str); 6] = [
        ("good", |list| list, "accepted"),
        (
            "signature",
            |mut list| {
                let n = list.len() - 3;
                list[n] ^= 1;
                list
            },
            "sct-invalid",
        ),
        (
            "time",
            |mut list| {
                list[44] ^= 1;
                list
            },
            "sct-invalid",
        ),
        (
            "version",
            |mut list| {
                list[4] = 1;
                list
            },
            "sct-malformed",
        ),
        (
            "cut off",
            |mut list| {
                list.pop();
                list
            },
            "sct-malformed",
        ),
        ("empty list", |_| vec![0, 0], "sct-malformed"),
    ];
    for (name, change, expected) in cases {
        let leaf = world.leaf_with(leaf_params(), change);
        assert_eq!(with_leaf(&mut world, &leaf), expected, "{name}");
    }
    // Of another certificate, and one good beside one that is not.
    let key = new_key();
    let bare = world.intermediate.certify(&leaf_params(), &key);
    let other = world.intermediate.certify(&leaf_params(), &new_key());
    let good = world.sct(&bare, SIGNED, &world.ct);
    let foreign = world.sct(&other, SIGNED, &world.ct);
    let leaf = world.leaf_with_list(leaf_params(), key, &der::sct_list(&[good, foreign]));
    assert_eq!(with_leaf(&mut world, &leaf), "sct-invalid");
}

#[test]
fn an_sct_of_an_unknown_log_is_not_one() {
    let mut world = World::new();
    let key = new_key();
    let bare = world.intermediate.certify(&leaf_params(), &key);
    let list = der::sct_list(&[world.sct(&bare, SIGNED, &new_key())]);
    let leaf = world.leaf_with_list(leaf_params(), key, &list);
    let bundle = world.keyless_by(&leaf, &statement());
    let proofs = world::verify(&world.verifier(), ItemContent::Bundle(bundle));
    assert_eq!(*proofs.proofs()[0].sct(), SctProof::NotConsulted);
    let bare_leaf = world.intermediate.issue(leaf_params());
    let bundle = world.keyless_by(&bare_leaf, &statement());
    let proofs = world::verify(&world.verifier(), ItemContent::Bundle(bundle));
    assert_eq!(*proofs.proofs()[0].sct(), SctProof::Absent);
}

#[test]
fn anchors_never_come_from_the_evidence() {
    let mut world = World::new();
    let strangers = World::new();
    let leaf = strangers.leaf();
    let mut bundle = world.keyless_by(&leaf, &statement());
    let chain = vec![leaf.der.clone(), strangers.intermediate.der.clone(), strangers.root.der];
    bundle.material.key = KeyMaterial::Chain(chain);
    for verifier in [world.verifier(), world.verifier().with_intermediates_from_evidence()] {
        let proofs = world::verify(&verifier, ItemContent::Bundle(bundle.clone()));
        assert_eq!(code(&proofs), "certificate-untrusted");
    }
}

#[test]
fn intermediates_from_the_evidence_only_where_allowed() {
    let world = World::new();
    let mut params = leaf_params();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(NOW + YEAR).unwrap();
    let leaf = world.intermediate.issue(params);
    let (envelope, _) = world::envelope(&statement(), &leaf.key);
    let key = KeyMaterial::Chain(vec![leaf.der.clone(), world.intermediate.der.clone()]);
    let bundle = world::bundle(key, envelope, Vec::new(), Vec::new());
    let anchored = Verifier::new()
        .with_ca_chain(std::slice::from_ref(&world.root.der))
        .unwrap();
    let verify = |verifier: &Verifier, bundle: &Bundle| world::verify(verifier, ItemContent::Bundle(bundle.clone()));
    assert_eq!(code(&verify(&anchored, &bundle)), "certificate-untrusted");
    let proofs = verify(&anchored.with_intermediates_from_evidence(), &bundle);
    let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
    assert_eq!(proof.time_source(), TimeSource::CurrentTime);
    let whole = [world.intermediate.der.clone(), world.root.der];
    let known = Verifier::new().with_ca_chain(&whole).unwrap();
    assert_eq!(code(&verify(&known, &bundle)), "accepted");
    assert_eq!(code(&verify(&Verifier::new(), &bundle)), "no-authority-given");
    assert_eq!(Verifier::new().with_ca_chain(&[]).unwrap_err().code(), "ca-chain");
    assert_eq!(
        Verifier::new().with_ca_chain(&[vec![1, 2]]).unwrap_err().code(),
        "ca-chain"
    );
    // The leaf's own key, given: as cosign's `--key` beside a certificate.
    let by_key = Verifier::new().with_key(world::public(&leaf.key));
    let proofs = verify(&by_key, &bundle);
    assert!(matches!(proofs.proofs()[0].signer(), SignerProof::Key { .. }));
}

/// A keyless bundle with this response in place of its timestamp.
fn stamped(bundle: &Bundle, response: Vec<u8>) -> ItemContent {
    let mut bundle = bundle.clone();
    bundle.material.timestamps = vec![response];
    ItemContent::Bundle(bundle)
}

#[test]
fn timestamps_with_one_fault() {
    let mut world = World::new();
    let bundle = world.keyless(&statement());
    let signature = bundle.content.signature().to_vec();
    let verifier = world.verifier();
    let critical = der::sequence(&[der::oid("1.2.3.4"), vec![1, 1, 0xff], der::octets(&[])]);
    let cases: Vec<(&str, Box<dyn Fn(&mut Stamp<'_>)>, &str)> = vec![
        ("good", Box::new(|_| {}), "accepted"),
        ("granted with modifications", Box::new(|s| s.status = 1), "accepted"),
        ("refused", Box::new(|s| s.status = 2), "timestamp-malformed"),
        ("version", Box::new(|s| s.version = 2), "timestamp-malformed"),
        ("imprint", Box::new(|s| s.imprint[0] ^= 1), "timestamp-imprint-mismatch"),
        (
            "imprint by SHA-1",
            Box::new(|s| s.imprint_algorithm = "1.3.14.3.2.26"),
            "timestamp-malformed",
        ),
        (
            "fraction of a second",
            Box::new(|s| s.time = s.time.replace('Z', ".25Z")),
            "accepted",
        ),
        (
            "local time",
            Box::new(|s| s.time = s.time.replace('Z', "+0100")),
            "timestamp-malformed",
        ),
        (
            "no time",
            Box::new(|s| s.time = "20261340000000Z".to_owned()),
            "timestamp-malformed",
        ),
        (
            "in the future",
            Box::new(|s| s.time = generalized(NOW + 301)),
            "timestamp-in-future",
        ),
        (
            "after the certificate",
            Box::new(|s| s.time = generalized(SIGNED + 601)),
            "certificate-outside-validity",
        ),
        (
            "before the certificate",
            Box::new(|s| s.time = generalized(SIGNED - 1)),
            "certificate-outside-validity",
        ),
        (
            "before the authority's certificate",
            Box::new(|s| s.time = generalized(SIGNED - YEAR - 1)),
            "timestamp-outside-validity",
        ),
        (
            "critical extension",
            Box::new(move |s| s.extensions = critical.clone()),
            "timestamp-malformed",
        ),
        (
            "another content type",
            Box::new(|s| s.content_type = "1.2.840.113549.1.7.1"),
            "timestamp-malformed",
        ),
        (
            "another content",
            Box::new(|s| s.message_digest = Some(vec![0; 32])),
            "timestamp-signature-invalid",
        ),
        ("two signers", Box::new(|s| s.signers = 2), "timestamp-malformed"),
        ("no signer", Box::new(|s| s.signers = 0), "timestamp-malformed"),
    ];
    for (name, change, expected) in cases {
        let mut stamp = Stamp::over(&signature, &world.tsa);
        change(&mut stamp);
        assert_eq!(
            code(&world::verify(&verifier, stamped(&bundle, stamp.response()))),
            expected,
            "{name}"
        );
    }
}

#[test]
fn timestamp_certificates_with_one_fault() {
    let mut world = World::new();
    let bundle = world.keyless(&statement());
    let signature = bundle.content.signature().to_vec();
    let verifier = world.verifier();
    let (stamping, signing) = ("1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.3");
    let cases = [
        ("good, in the token", tsa_params(true), "accepted"),
        ("not critical", tsa_params(false), "timestamp-untrusted"),
        (
            "for code too",
            tsa_params_with(true, &[stamping, signing]),
            "timestamp-untrusted",
        ),
        ("for code", tsa_params_with(true, &[signing]), "timestamp-untrusted"),
    ];
    for (name, params, expected) in cases {
        let signer = world.tsa_root.issue(params);
        let mut stamp = Stamp::over(&signature, &signer).at(SIGNED + 9);
        stamp.certificates = vec![signer.der.clone()];
        assert_eq!(
            code(&world::verify(&verifier, stamped(&bundle, stamp.response()))),
            expected,
            "{name}"
        );
    }
    // A certificate that nobody has, and one of a stranger.
    let unseen = world.tsa_root.issue(tsa_params(true));
    let response = Stamp::over(&signature, &unseen).response();
    assert_eq!(
        code(&world::verify(&verifier, stamped(&bundle, response))),
        "timestamp-untrusted"
    );
    let stranger = Party::root("alpha tsa root").issue(tsa_params(true));
    let mut stamp = Stamp::over(&signature, &stranger);
    stamp.certificates = vec![stranger.der.clone()];
    assert_eq!(
        code(&world::verify(&verifier, stamped(&bundle, stamp.response()))),
        "timestamp-untrusted"
    );
}
