//! Keys with a certificate of one's own authority, and keys of one's own that Fulcio certifies.

use std::collections::BTreeMap;

use proofmark_evidence::bundle::{Bundle, KeyMaterial};
use proofmark_evidence::simple_signing::Payload;
use proofmark_sign::{KeylessSession, Options, SignError, Signer, SigningKey};
use proofmark_verify::{Artifact, KeyAlgorithm, SignerProof, Verifier};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::several::statement;
use crate::world::{World, fixture_key, image, now};

/// A root, an intermediate, and a certificate for signing code on the key.
struct Authority {
    root: Vec<u8>,
    intermediate: Vec<u8>,
    leaf: Vec<u8>,
    key: Vec<u8>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let params = |what: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params
                .distinguished_name
                .push(DnType::CommonName, format!("{name} {what}"));
            params
        };
        let ca = |what: &str| {
            let mut params = params(what);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params
        };
        let root = CertifiedIssuer::self_signed(ca("root"), KeyPair::generate().unwrap()).unwrap();
        let middle = CertifiedIssuer::signed_by(ca("middle"), KeyPair::generate().unwrap(), &root).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut leaf = params("leaf");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.subject_alt_names = vec![SanType::Rfc822Name("release@acme.test".try_into().unwrap())];
        let leaf = leaf.signed_by(&key, &middle).unwrap();
        Self {
            root: root.der().to_vec(),
            intermediate: middle.der().to_vec(),
            leaf: leaf.der().to_vec(),
            key: key.serialize_der(),
        }
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_pkcs8_der(&self.key).unwrap()
    }

    fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.leaf.clone(), self.intermediate.clone(), self.root.clone()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ones_own_comes_with_each_signature() {
    let (world, own) = (World::start().await, Authority::new("acme"));
    let verifier = Verifier::new()
        .with_ca_chain(&[own.intermediate.clone(), own.root.clone()])
        .unwrap()
        .with_trust_root(std::sync::Arc::clone(&world.trust_root));
    for config in [None, Some(&world.config)] {
        let signer = Signer::certified_key(own.key(), &own.chain(), config, world.options()).unwrap();
        let bundle = signer.sign_statement(&statement()).await.unwrap();
        // Neither the root nor the intermediate comes with what they vouch for.
        assert_eq!(bundle.material.key, KeyMaterial::Certificate(own.leaf.clone()));
        assert_eq!(Bundle::parse(&bundle.to_json()).unwrap(), bundle);
        let file = signer.sign_blob(b"a file").await.unwrap();
        let proofs = verifier.verify_blob(&file, &Artifact::Bytes(b"a file"), now());
        let [proof] = proofs.proofs() else { panic!("{proofs:?}") };
        assert!(matches!(proof.signer(), SignerProof::Certificate(_)));
        assert_eq!(proof.logs().len(), usize::from(config.is_some()));
        let payload = Payload::new("127.0.0.1/app", &image(), BTreeMap::new());
        let legacy = signer.sign_payload(&payload).await.unwrap();
        assert_eq!(legacy.certificate.as_deref(), Some(own.leaf.as_slice()));
        assert_eq!(legacy.chain.len(), 2);
        let attested = signer.sign_legacy_attestation(&statement()).await.unwrap();
        assert_eq!(attested.certificate.as_deref(), Some(own.leaf.as_slice()));
    }
    // Without intermediates the certificate is alone.
    let direct = [own.leaf.clone(), own.intermediate.clone()];
    let signer = Signer::certified_key(own.key(), &direct, None, Options::default()).unwrap();
    signer.sign_statement(&statement()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_certificate_that_will_not_do_has_its_reason() {
    let (world, own, other) = (World::start().await, Authority::new("acme"), Authority::new("other"));
    let refused = |chain: &[Vec<u8>]| {
        Signer::certified_key(own.key(), chain, None, world.options())
            .unwrap_err()
            .code()
    };
    assert_eq!(refused(&other.chain()), "certificate-key-mismatch");
    assert_eq!(refused(&[]), "certificate-unusable");
    assert_eq!(refused(&[b"x".to_vec()]), "certificate-unusable");
    assert_eq!(refused(&[own.leaf.clone(), b"x".to_vec()]), "certificate-unusable");
    assert_eq!(refused(&vec![own.leaf.clone(); 12]), "certificate-unusable");
    // A chain that does not vouch for it, and none at all: found when what was signed is verified.
    for chain in [
        vec![own.leaf.clone(), other.intermediate.clone(), other.root.clone()],
        vec![own.leaf.clone(), own.root.clone()],
        vec![own.leaf.clone()],
    ] {
        let signer = Signer::certified_key(own.key(), &chain, None, world.options()).unwrap();
        let error = signer.sign_statement(&statement()).await.unwrap_err();
        assert!(
            matches!(error, SignError::NotVerified { code, .. } if code.starts_with("certificate-")),
            "{error:?}"
        );
    }
}

/// cosign's `--issue-certificate`.
#[tokio::test(flavor = "multi_thread")]
async fn fulcio_certifies_a_key_of_ones_own() {
    let world = World::start().await;
    for name in ["p256", "p384", "rsa2048"] {
        let key = fixture_key(name);
        let public = key.public_key().clone();
        let session = KeylessSession::begin_with_key(&world.config, world.ci_token(), key, world.options()).await;
        let signer = Signer::Keyless(session.unwrap());
        assert_eq!(*signer.public_key(), public);
        let bundle = signer.sign_statement(&statement()).await.unwrap();
        assert!(matches!(bundle.material.key, KeyMaterial::Certificate(_)), "{name}");
    }
    // No log takes it, which is found before anybody is asked.
    let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let session = KeylessSession::begin_with_key(&world.config, world.ci_token(), key, world.options()).await;
    assert_eq!(session.unwrap_err().code(), "key-not-loggable");
}
