use std::fs;
use std::path::PathBuf;

use proofmark_evidence::encoding::pem_encode;
use proptest::prelude::*;

use proofmark_verify::HashUsed;

use super::*;

fn keys() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/cosign/keys"))
}

fn fixture(name: &str) -> (String, Password, String) {
    let read = |file: &str| fs::read_to_string(keys().join(name).join(file)).unwrap();
    (
        read("cosign.key"),
        Password::new(read("password.txt").trim_end()),
        read("cosign.pub"),
    )
}

/// Keys that are here sign at once.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a key in memory waits for nothing"),
    }
}

fn pkcs8_of(key: &SigningKey) -> &[u8] {
    match &key.half {
        Half::Local { pkcs8, .. } => pkcs8,
        Half::Remote(_) => panic!("a key in memory"),
    }
}

fn code(text: &str, password: Option<&Password>) -> &'static str {
    SigningKey::from_pem(text, password).unwrap_err().code()
}

#[test]
fn cosigns_keys_of_every_kind_open_and_sign() {
    for (name, algorithm) in [
        ("p256", KeyAlgorithm::EcdsaP256),
        ("p256-v2", KeyAlgorithm::EcdsaP256),
        ("p256-imp", KeyAlgorithm::EcdsaP256),
        ("p384", KeyAlgorithm::EcdsaP384),
        ("rsa2048", KeyAlgorithm::Rsa2048),
        ("ed25519", KeyAlgorithm::Ed25519),
    ] {
        let (pem, password, public) = fixture(name);
        let key = SigningKey::from_pem(&pem, Some(&password)).unwrap();
        assert_eq!(key.public_key(), &PublicKey::from_pem(&public).unwrap(), "{name}");
        assert_eq!(key.public_key().algorithm(), algorithm);
        let signature = now(key.sign(b"message")).unwrap();
        let hash = key.public_key().verify(b"message", &signature).unwrap();
        assert_eq!(hash.digest_algorithm(), key.log_hash(), "{name}");
        let file = now(key.sign_file(b"message")).unwrap();
        let hash = key.public_key().verify(b"message", &file).unwrap();
        assert_eq!(hash.digest_algorithm(), key.file_hash(), "{name}");
        assert_eq!(hash == HashUsed::Ed25519ph, name == "ed25519");
        assert!(key.public_key().verify(b"massage", &file).is_err());
        assert!(key.public_key().verify(b"massage", &signature).is_err());
        let legacy = key
            .public_key()
            .verify(b"message", &now(key.sign_legacy(b"message")).unwrap())
            .unwrap();
        let expected = (name != "ed25519").then_some(DigestAlgorithm::Sha256);
        assert_eq!(legacy.digest_algorithm(), expected, "{name}");
    }
}

#[test]
fn a_wrong_or_missing_password_has_its_name() {
    let (pem, password, _) = fixture("p256");
    assert_eq!(code(&pem, Some(&Password::new("wrong"))), "key-password-wrong");
    assert_eq!(code(&pem, Some(&Password::new(""))), "key-password-wrong");
    assert_eq!(code(&pem, None), "key-password-needed");
    assert_eq!(format!("{password:?} {password}"), "Password(***) ***");
}

#[test]
fn a_new_key_round_trips_with_any_password() {
    let key = SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    for password in ["", "p\u{e4}ss word"] {
        let password = Password::new(password);
        let pem = key.to_encrypted_pem(&password).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
        let again = SigningKey::from_pem(&pem, Some(&password)).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let old = pem.replace("SIGSTORE", "COSIGN");
        assert!(SigningKey::from_pem(&old, Some(&password)).is_ok());
    }
    assert_eq!(format!("{key:?}"), format!("SigningKey({:?})", key.public_key()));
}

#[test]
fn costs_other_than_cosigns_are_refused_before_any_work() {
    let document = |n: u64, r: u32, kdf: &str, cipher: &str| {
        let json = format!(
            r#"{{"kdf":{{"name":"{kdf}","params":{{"N":{n},"r":{r},"p":1}},"salt":"AA=="}},"cipher":{{"name":"{cipher}","nonce":"{}"}},"ciphertext":"AA=="}}"#,
            "A".repeat(32)
        );
        pem_encode("ENCRYPTED SIGSTORE PRIVATE KEY", json.as_bytes())
    };
    let password = Password::new("x");
    let code = |text: &str| code(text, Some(&password));
    assert_eq!(
        code(&document(32768, 8, "scrypt", "nacl/secretbox")),
        "key-password-wrong"
    );
    for bad in [
        document(1 << 30, 8, "scrypt", "nacl/secretbox"),
        document(16384, 8, "scrypt", "nacl/secretbox"),
        document(65537, 8, "scrypt", "nacl/secretbox"),
        document(65536, 9, "scrypt", "nacl/secretbox"),
        document(65536, 8, "pbkdf2", "nacl/secretbox"),
        document(65536, 8, "scrypt", "aes"),
    ] {
        assert_eq!(code(&bad), "key-encryption-unknown");
    }
    assert_eq!(
        code(&pem_encode("ENCRYPTED SIGSTORE PRIVATE KEY", b"{}")),
        "key-malformed"
    );
    assert_eq!(
        code(&pem_encode("ENCRYPTED SIGSTORE PRIVATE KEY", b"\xff")),
        "key-malformed"
    );
}

#[test]
fn pkcs8_and_pkcs1_are_read_and_sealed_again() {
    for name in ["p256", "p384", "rsa2048", "ed25519"] {
        let (pem, password, _) = fixture(name);
        let key = SigningKey::from_pem(&pem, Some(&password)).unwrap();
        let info = pkcs8::PrivateKeyInfo::try_from(pkcs8_of(&key)).unwrap();
        let mut files = vec![pem_encode("PRIVATE KEY", pkcs8_of(&key))];
        if name == "rsa2048" {
            files.push(pem_encode("RSA PRIVATE KEY", info.private_key));
        }
        for file in files {
            let again = SigningKey::from_pem(&file, None).unwrap();
            assert_eq!(again.public_key(), key.public_key());
            let sealed = again.to_encrypted_pem(&password).unwrap();
            let opened = SigningKey::from_pem(&sealed, Some(&password)).unwrap();
            assert_eq!(opened.public_key(), key.public_key());
        }
    }
}

#[test]
fn each_bad_file_has_its_reason() {
    let (_, _, public) = fixture("p256");
    assert_eq!(code("", None), "key-not-pem");
    assert_eq!(code("-----BEGIN PRIVATE KEY-----\nAAAA", None), "key-not-pem");
    assert_eq!(code(&public, None), "key-label");
    assert_eq!(code(&pem_encode("CERTIFICATE", b"x"), None), "key-label");
    assert_eq!(code(&pem_encode("OPENSSH PRIVATE KEY", b"x"), None), "key-label");
    assert_eq!(code(&pem_encode("PRIVATE KEY", b"x"), None), "key-malformed");
    assert_eq!(code(&pem_encode("RSA PRIVATE KEY", b"x"), None), "key-rsa-refused");
    assert_eq!(code(&"x".repeat(MAX_KEY_FILE_BYTES + 1), None), "key-too-large");
    // A P-256 key that says it is on secp256k1.
    let (pem, password, _) = fixture("p256");
    let key = SigningKey::from_pem(&pem, Some(&password)).unwrap();
    let curve = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let at = pkcs8_of(&key).windows(10).position(|window| window == curve).unwrap();
    let mut other = pkcs8_of(&key).to_vec();
    other[at + 9] = 0x0a;
    assert_eq!(code(&pem_encode("PRIVATE KEY", &other), None), "key-algorithm-unknown");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}", label in 0_usize..5) {
        let label = [
            "PRIVATE KEY",
            "EC PRIVATE KEY",
            "RSA PRIVATE KEY",
            "ENCRYPTED SIGSTORE PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
        ][label];
        let _ = SigningKey::from_pem(&text, None);
        let _ = SigningKey::from_pem(&pem_encode(label, text.as_bytes()), Some(&Password::new("")));
    }
}

/// A service that signs with another key, or with another hash than it was asked for.
#[derive(Debug)]
struct Liar {
    shown: PublicKey,
    signs: SigningKey,
    legacy: bool,
}

impl RemoteKey for Liar {
    fn public_key(&self) -> &PublicKey {
        &self.shown
    }

    fn sign<'a>(
        &'a self,
        message: &'a [u8],
        _hash: Option<DigestAlgorithm>,
    ) -> BoxFuture<'a, Result<Vec<u8>, RemoteKeyError>> {
        let signature = match self.legacy {
            true => now(self.signs.sign_legacy(message)),
            false => now(self.signs.sign(message)),
        };
        Box::pin(async move { Ok(signature.unwrap()) })
    }
}

#[test]
fn what_a_service_signs_is_verified_before_it_is_used() {
    let pair = || SigningKey::generate(KeyAlgorithm::EcdsaP384).unwrap();
    let of = |shown: &SigningKey, signs, legacy| {
        let shown = shown.public_key().clone();
        SigningKey::remote(Box::new(Liar { shown, signs, legacy }))
    };
    let (pem, password, _) = fixture("p384");
    let own = || SigningKey::from_pem(&pem, Some(&password)).unwrap();
    now(of(&own(), own(), false).sign(b"message")).unwrap();
    now(of(&own(), own(), true).sign_legacy(b"message")).unwrap();
    for (key, legacy) in [
        (of(&own(), pair(), false), false),
        (of(&own(), own(), true), false),
        (of(&own(), own(), false), true),
    ] {
        let signed = match legacy {
            true => now(key.sign_legacy(b"message")),
            false => now(key.sign(b"message")),
        };
        assert_eq!(signed.unwrap_err().code(), "key-signature-not-verified");
    }
}
