//! Key files that OpenSSL makes.

use std::fs;

use proofmark_sign::{Password, SigningKey};
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::peers::OPENSSL;
use proofmark_verify::PublicKey;

/// The key in `key.pem` of the sandbox, held against what OpenSSL says is its public key.
fn read(sandbox: &Sandbox, openssl: &std::path::Path) -> Result<SigningKey, &'static str> {
    let text = fs::read_to_string(sandbox.path().join("key.pem")).unwrap();
    let key = SigningKey::from_pem(&text, None).map_err(|error| error.code())?;
    let public = sandbox.run(openssl, ["pkey", "-in", "key.pem", "-pubout"]);
    let public = PublicKey::from_pem(&public.expect_success().stdout).unwrap();
    assert_eq!(key.public_key(), &public);
    let signature = crate::world::at_once(key.sign(b"message")).unwrap();
    public.verify(b"message", &signature).unwrap();
    let password = Password::new("p");
    let sealed = key.to_encrypted_pem(&password).unwrap();
    assert_eq!(
        SigningKey::from_pem(&sealed, Some(&password)).unwrap().public_key(),
        &public
    );
    Ok(key)
}

#[test]
fn every_kind_of_file_that_openssl_makes() {
    let Some(openssl) = OPENSSL.or_skip() else { return };
    let sandbox = Sandbox::new();
    let made = |arguments: &[&str]| {
        sandbox.run(&openssl, arguments).expect_success();
        read(&sandbox, &openssl)
    };
    for curve in ["prime256v1", "secp384r1", "secp521r1"] {
        // SEC 1 with the parameters before it, without, and PKCS #8.
        made(&["ecparam", "-name", curve, "-genkey", "-out", "key.pem"]).unwrap();
        made(&["ecparam", "-name", curve, "-genkey", "-noout", "-out", "key.pem"]).unwrap();
        let option = format!("ec_paramgen_curve:{curve}");
        made(&["genpkey", "-algorithm", "EC", "-pkeyopt", &option, "-out", "key.pem"]).unwrap();
    }
    made(&["genpkey", "-algorithm", "ED25519", "-out", "key.pem"]).unwrap();
    made(&["genrsa", "-out", "key.pem", "3072"]).unwrap();
    made(&["genrsa", "-traditional", "-out", "key.pem", "2048"]).unwrap();
    // And those that are refused.
    let refused = |arguments: &[&str]| made(arguments).unwrap_err();
    assert_eq!(refused(&["genrsa", "-out", "key.pem", "1024"]), "key-rsa-refused");
    assert_eq!(
        refused(&["ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "key.pem"]),
        "key-malformed"
    );
    let curve = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:secp256k1",
        "-out",
        "key.pem",
    ];
    assert_eq!(refused(&curve), "key-algorithm-unknown");
    assert_eq!(
        refused(&["genpkey", "-algorithm", "ED448", "-out", "key.pem"]),
        "key-algorithm-unknown"
    );
    let encrypted = [
        "genpkey",
        "-algorithm",
        "ED25519",
        "-aes256",
        "-pass",
        "pass:x",
        "-out",
        "key.pem",
    ];
    assert_eq!(refused(&encrypted), "key-password-needed");
}
