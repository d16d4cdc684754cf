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

/// Neither shorter nor longer, and not over another hash.
#[test]
fn signatures_of_another_length_are_refused() {
    let cases = [
        ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
        rsa(&RSA_PKCS1_SHA256),
        rsa(&RSA_PSS_SHA256),
    ];
    for (key, signature) in cases {
        key.verify(MESSAGE, &signature).unwrap();
        let shorter = &signature[..signature.len() - 1];
        let longer = [&signature[..], &[0]].concat();
        for bad in [shorter, &longer, &longer[1..], &signature[1..]] {
            assert!(matches!(key.verify(MESSAGE, bad), Err(SignatureError::Mismatch { .. })));
        }
    }
}

/// As Go, and so cosign, does: nothing takes a signature for a name.
#[test]
fn both_forms_of_an_ecdsa_signature_count() {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
        0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let key = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let raw = key.sign(&SystemRandom::new(), MESSAGE).unwrap().as_ref().to_vec();
    let spki = aws_lc_rs::encoding::AsDer::as_der(key.public_key()).unwrap();
    let public = PublicKey::from_spki_der(spki.as_ref()).unwrap();
    let mut other = raw.clone();
    let mut borrow = 0;
    for index in (0..32).rev() {
        let (seen, first) = ORDER[index].overflowing_sub(raw[32 + index]);
        let (value, second) = seen.overflowing_sub(borrow);
        (other[32 + index], borrow) = (value, u8::from(first || second));
    }
    let number = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap();
        let sign = if bytes[start] >= 0x80 { &[0][..] } else { &[] };
        let content = [sign, &bytes[start..]].concat();
        [&[0x02, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    };
    let der = |raw: &[u8]| {
        let body = [number(&raw[..32]), number(&raw[32..])].concat();
        [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
    };
    assert_eq!(public.verify(MESSAGE, &der(&raw)), Ok(HashUsed::Sha256));
    assert_eq!(public.verify(MESSAGE, &der(&other)), Ok(HashUsed::Sha256));
    other[63] ^= 1;
    assert!(public.verify(MESSAGE, &der(&other)).is_err());
}

/// The three lengths that the formats have names for.
#[test]
fn rsa_keys_of_other_lengths_are_refused() {
    let spki = |bytes: usize| {
        let length = |n: usize| [&[0x82][..], &u16::try_from(n).unwrap().to_be_bytes()].concat();
        let mut modulus = vec![0xc5; bytes];
        modulus[bytes - 1] = 0x07;
        let numbers = [&[0x02][..], &length(bytes + 1), &[0], &modulus, &[0x02, 0x03, 1, 0, 1]].concat();
        let key = [&[0x30][..], &length(numbers.len()), &numbers].concat();
        let bits = [&[0x03][..], &length(key.len() + 1), &[0], &key].concat();
        let algorithm = [
            0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
        ];
        let body = [&algorithm[..], &bits].concat();
        [&[0x30][..], &length(body.len()), &body].concat()
    };
    for (bytes, expected) in [
        (256, KeyAlgorithm::Rsa2048),
        (384, KeyAlgorithm::Rsa3072),
        (512, KeyAlgorithm::Rsa4096),
    ] {
        assert_eq!(PublicKey::from_spki_der(&spki(bytes)).unwrap().algorithm(), expected);
    }
    for bytes in [255, 257, 320, 513, 640, 1024] {
        let refused = PublicKey::from_spki_der(&spki(bytes));
        let seen = u64::try_from(bytes * 8).unwrap();
        assert_eq!(refused.unwrap_err(), KeyError::RsaLength { seen });
    }
}
