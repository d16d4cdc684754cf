//! Public keys: the kinds, the hash rules, and what is not a key.

use std::fs;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
};
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::{Digest as _, Sha512, Signer as _, SigningKey};
use proofmark_types::{Digest, DigestAlgorithm};
use proofmark_verify::{HashUsed, KeyAlgorithm, KeyError, PublicKey, SignatureError};

use crate::layout::root;

const MESSAGE: &[u8] = b"a payload";

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> (PublicKey, Vec<u8>) {
    let key = EcdsaKeyPair::generate(algorithm).unwrap();
    let signature = key.sign(&SystemRandom::new(), MESSAGE).unwrap().as_ref().to_vec();
    let spki = aws_lc_rs::encoding::AsDer::as_der(key.public_key()).unwrap();
    (PublicKey::from_spki_der(spki.as_ref()).unwrap(), signature)
}

fn rsa(encoding: &'static dyn RsaEncoding) -> (PublicKey, Vec<u8>) {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature)
        .unwrap();
    let spki = aws_lc_rs::encoding::AsDer::as_der(key.public_key()).unwrap();
    (PublicKey::from_spki_der(spki.as_ref()).unwrap(), signature)
}

#[test]
fn each_kind_of_key_verifies_with_its_hash() {
    let cases = [
        (
            ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyAlgorithm::EcdsaP384,
            HashUsed::Sha384,
        ),
        (
            ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            KeyAlgorithm::EcdsaP521,
            HashUsed::Sha512,
        ),
        // As older cosign signed whatever the curve.
        (
            ecdsa(&ECDSA_P521_SHA256_ASN1_SIGNING),
            KeyAlgorithm::EcdsaP521,
            HashUsed::Sha256,
        ),
        (rsa(&RSA_PKCS1_SHA256), KeyAlgorithm::Rsa2048, HashUsed::Sha256),
        (rsa(&RSA_PSS_SHA256), KeyAlgorithm::Rsa2048, HashUsed::PssSha256),
    ];
    for ((key, signature), kind, hash) in cases {
        assert_eq!(key.algorithm(), kind);
        assert_eq!(key.verify(MESSAGE, &signature), Ok(hash));
        let digest = Digest::of(hash.digest_algorithm().unwrap(), MESSAGE);
        assert_eq!(key.verify_digest(&digest, &signature), Ok(hash));
        assert!(matches!(
            key.verify(b"another", &signature),
            Err(SignatureError::Mismatch { .. })
        ));
        let other = Digest::of(hash.digest_algorithm().unwrap(), b"another");
        assert!(matches!(
            key.verify_digest(&other, &signature),
            Err(SignatureError::Mismatch { .. })
        ));
        assert_eq!(key.verify(MESSAGE, &[]), Err(SignatureError::Empty));
        assert_eq!(key.verify_digest(&digest, &[]), Err(SignatureError::Empty));
        let again = PublicKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(
            (again.fingerprint(), again.spki_der()),
            (key.fingerprint(), key.spki_der())
        );
    }
    let (key, signature) = rsa(&RSA_PKCS1_SHA512);
    assert!(
        key.verify(MESSAGE, &signature).is_err(),
        "the formats have RSA with SHA-256 only"
    );
}

#[test]
fn ed25519_pure_and_prehashed_are_told_apart() {
    let signing = SigningKey::from_bytes(&[9; 32]);
    let spki = signing.verifying_key().to_public_key_der().unwrap();
    let key = PublicKey::from_spki_der(spki.as_bytes()).unwrap();
    assert_eq!(
        key,
        PublicKey::from_ed25519(signing.verifying_key().as_bytes()).unwrap()
    );
    let pure = signing.sign(MESSAGE).to_bytes();
    let prehashed = signing
        .sign_prehashed(Sha512::new_with_prefix(MESSAGE), None)
        .unwrap()
        .to_bytes();
    assert_eq!(key.verify(MESSAGE, &pure), Ok(HashUsed::Ed25519));
    assert_eq!(key.verify(MESSAGE, &prehashed), Ok(HashUsed::Ed25519ph));
    let digest = Digest::of(DigestAlgorithm::Sha512, MESSAGE);
    assert_eq!(key.verify_digest(&digest, &prehashed), Ok(HashUsed::Ed25519ph));
    assert!(key.verify_digest(&digest, &pure).is_err());
    // A pure signature over the hash is not a pre-hashed one over the message.
    let confused = signing.sign(digest.as_bytes()).to_bytes();
    assert!(key.verify(MESSAGE, &confused).is_err());
    let short = Digest::sha256_of(MESSAGE);
    assert!(matches!(
        key.verify_digest(&short, &prehashed),
        Err(SignatureError::DigestUnsuitable { .. })
    ));
    assert!(key.verify(MESSAGE, &pure[..63]).is_err());
}

#[test]
fn cosigns_keys_are_read_and_named_as_cosign_names_them() {
    let kinds = [
        ("p256", KeyAlgorithm::EcdsaP256),
        ("p384", KeyAlgorithm::EcdsaP384),
        ("rsa2048", KeyAlgorithm::Rsa2048),
        ("ed25519", KeyAlgorithm::Ed25519),
    ];
    for (name, kind) in kinds {
        let pem = fs::read_to_string(root().join(format!("cosign/keys/{name}/cosign.pub"))).unwrap();
        let key = PublicKey::from_pem(&pem).unwrap();
        assert_eq!(key.algorithm(), kind);
        assert_eq!(key.to_pem(), pem, "{name}");
        assert_eq!(*key.fingerprint(), Digest::sha256_of(key.spki_der()));
    }
}

#[test]
fn what_is_not_a_key_has_its_reason() {
    let pem = fs::read_to_string(root().join("cosign/keys/p256/cosign.pub")).unwrap();
    let private = fs::read_to_string(root().join("cosign/keys/p256/cosign.key")).unwrap();
    let spki = PublicKey::from_pem(&pem).unwrap().spki_der().to_vec();
    let mut off_curve = spki.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let mut other_curve = spki.clone();
    other_curve[22] ^= 1;
    let code = |result: Result<PublicKey, KeyError>| result.unwrap_err().code();
    assert_eq!(code(PublicKey::from_pem("")), "key-not-pem");
    assert_eq!(code(PublicKey::from_pem(&private)), "key-not-pem");
    assert_eq!(code(PublicKey::from_pem(&format!("{pem}{pem}"))), "key-not-pem");
    assert_eq!(code(PublicKey::from_pem(&pem.replace('M', "?"))), "key-not-pem");
    assert_eq!(code(PublicKey::from_pem(&"x".repeat(5000))), "key-too-large");
    assert_eq!(code(PublicKey::from_spki_der(&vec![0x30; 3000])), "key-too-large");
    assert_eq!(code(PublicKey::from_spki_der(&[])), "key-not-spki");
    assert_eq!(code(PublicKey::from_spki_der(&spki[..spki.len() - 1])), "key-not-spki");
    assert_eq!(code(PublicKey::from_spki_der(&off_curve)), "key-refused");
    assert_eq!(code(PublicKey::from_spki_der(&other_curve)), "key-algorithm-unknown");
}
