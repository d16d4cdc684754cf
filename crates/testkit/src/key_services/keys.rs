//! The keys of the services.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The kinds of keys that the services make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum KeyKind {
    P256,
    P384,
    P521,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    RsaPss2048,
    Ed25519,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

pub(super) struct Key {
    pub(super) kind: KeyKind,
    pair: Pair,
}

impl Key {
    pub(super) fn generate(kind: KeyKind) -> Self {
        let ecdsa = |algorithm| Pair::Ecdsa(EcdsaKeyPair::generate(algorithm).expect("a new key"));
        let rsa = |size| Pair::Rsa(RsaKeyPair::generate(size).expect("a new key"));
        let pair = match kind {
            KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyKind::P521 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            KeyKind::Rsa2048 | KeyKind::RsaPss2048 => rsa(KeySize::Rsa2048),
            KeyKind::Rsa3072 => rsa(KeySize::Rsa3072),
            KeyKind::Rsa4096 => rsa(KeySize::Rsa4096),
            KeyKind::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().expect("a new key")),
        };
        Self { kind, pair }
    }

    pub(super) fn spki(&self) -> Vec<u8> {
        let der: Result<PublicKeyX509Der<'_>, _> = match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
        };
        der.expect("a public key").as_ref().to_vec()
    }

    pub(super) fn pem(&self) -> String {
        let encoded = STANDARD.encode(self.spki());
        let lines: Vec<&str> = encoded
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).expect("base64"))
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }

    /// The bare key: a point, a modulus with its exponent (RFC 8017), or 32 bytes.
    pub(super) fn raw(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(super) fn modulus(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let Pair::Rsa(_) = &self.pair else {
            return None;
        };
        // RFC 8017 appendix A.1.1: a sequence of two integers.
        let der = self.raw();
        let (_, sequence, _) = element(&der);
        let (_, modulus, rest) = element(sequence);
        let (_, exponent, _) = element(rest);
        let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        Some((strip(modulus), strip(exponent)))
    }

    /// The length of the digests that it signs.
    pub(super) fn digest_length(&self) -> usize {
        match self.kind {
            KeyKind::P384 => 48,
            KeyKind::P521 => 64,
            _ => 32,
        }
    }

    /// Signs a digest of its length: ECDSA as DER, RSA as PKCS #1 v1.5 or PSS with SHA-256.
    pub(super) fn sign_digest(&self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self.kind {
            KeyKind::P384 => &digest::SHA384,
            KeyKind::P521 => &digest::SHA512,
            _ => &digest::SHA256,
        };
        let digest = Digest::import_less_safe(bytes, algorithm).expect("a digest of its length");
        match &self.pair {
            Pair::Ecdsa(pair) => pair.sign_digest(&digest).expect("a signature").as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = match self.kind {
                    KeyKind::RsaPss2048 => pair.sign_digest(&RSA_PSS_SHA256, &digest, &mut signature),
                    _ => pair.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature),
                };
                signed.expect("a signature");
                signature
            }
            Pair::Ed25519(_) => panic!("Ed25519 signs messages"),
        }
    }

    pub(super) fn sign_message(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            _ => panic!("only Ed25519 signs messages here"),
        }
    }
}

/// Tag, content and what comes after a DER element.
pub(super) fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, header) = match usize::from(der[1]) {
        short if short < 0x80 => (short, 2),
        long => {
            let bytes = &der[2..2 + (long & 0x7f)];
            (
                bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
                2 + bytes.len(),
            )
        }
    };
    let (content, rest) = der[header..].split_at(length);
    (der[0], content, rest)
}
