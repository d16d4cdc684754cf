use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use super::*;
use crate::key::RsaKey;

const ISSUER: &str = "https://idp.test";
const NOW: i64 = 1_800_000_000;

fn now() -> UnixTime {
    UnixTime::from_seconds(NOW).unwrap()
}

fn encode(value: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(value)
}

/// One key of each family, and the set that publishes them.
struct Idp {
    rsa: RsaKey,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl Idp {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            rsa: RsaKey::create(&folder.path().join("key")).unwrap(),
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed25519: Ed25519KeyPair::generate().unwrap(),
        }
    }

    fn keys(&self) -> KeySet {
        let (n, e) = self.rsa.components().unwrap();
        let point = self.p256.public_key().as_ref();
        let set = json!({"keys": [
            {"kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": encode(n), "e": encode(e)},
            {"kty": "EC", "kid": "ec", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])},
            {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": encode(self.ed25519.public_key())},
            {"kty": "oct", "kid": "symmetric", "k": "AAAA"},
            {"kty": "EC", "kid": "short", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        ]});
        KeySet::parse(set.to_string().as_bytes()).unwrap()
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = match header["alg"].as_str().unwrap() {
            "ES256" => self
                .p256
                .sign(&SystemRandom::new(), signed.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            "EdDSA" => self.ed25519.sign(signed.as_bytes()).as_ref().to_vec(),
            "none" => Vec::new(),
            _ => self.rsa.sign(signed.as_bytes()).unwrap(),
        };
        format!("{signed}.{}", encode(signature))
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "sigstore", "sub": "me", "iat": NOW, "nbf": NOW, "exp": NOW + 60})
}

fn code(idp: &Idp, token: &str) -> &'static str {
    let parsed = match Token::parse(token) {
        Ok(parsed) => parsed,
        Err(error) => return error.code(),
    };
    parsed
        .verify(&idp.keys(), ISSUER, "sigstore", now())
        .map_or_else(|error| error.code(), |_| "accepted")
}

#[test]
fn tokens_of_each_family_are_accepted() {
    let idp = Idp::new();
    for (alg, kid) in [("RS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed")] {
        assert_eq!(
            code(
                &idp,
                &idp.token(&json!({"alg": alg, "kid": kid, "typ": "JWT"}), &claims())
            ),
            "accepted"
        );
        assert_eq!(
            code(&idp, &idp.token(&json!({"alg": alg}), &claims())),
            "accepted",
            "without a key id"
        );
        assert_eq!(
            code(&idp, &idp.token(&json!({"alg": alg, "kid": "other"}), &claims())),
            "token-signature"
        );
    }
}

#[test]
fn the_algorithm_follows_from_the_key() {
    let idp = Idp::new();
    for alg in ["none", "None", "HS256", "HS512", "RS1", "", "ES256K"] {
        let token = idp.token(&json!({"alg": alg, "kid": "rsa"}), &claims());
        assert_eq!(code(&idp, &token), "token-algorithm", "{alg}");
    }
    // The right key, announced under another algorithm of its family or of another one.
    for (alg, kid) in [
        ("RS512", "rsa"),
        ("PS256", "rsa"),
        ("ES256", "rsa"),
        ("EdDSA", "ec"),
        ("RS256", "ec"),
        ("ES384", "ec"),
    ] {
        let token = idp.token(&json!({"alg": alg, "kid": kid}), &claims());
        assert_eq!(code(&idp, &token), "token-signature", "{alg} {kid}");
    }
}

#[test]
fn claims_that_do_not_fit_have_their_reason() {
    let idp = Idp::new();
    let with = |claim: &str, value: Value| {
        let mut altered = claims();
        altered[claim] = value;
        code(&idp, &idp.token(&json!({"alg": "ES256", "kid": "ec"}), &altered))
    };
    assert_eq!(with("exp", json!(NOW)), "token-expired");
    assert_eq!(with("exp", json!(NOW - 1)), "token-expired");
    assert_eq!(with("exp", json!(f64::from(1_800_000_060) + 0.5)), "accepted");
    assert_eq!(with("exp", json!("soon")), "token-claim");
    assert_eq!(with("exp", Value::Null), "token-claim");
    assert_eq!(with("nbf", json!(NOW + 301)), "token-not-yet-valid");
    assert_eq!(with("nbf", json!(NOW + 300)), "accepted");
    assert_eq!(with("aud", json!("other")), "token-audience");
    assert_eq!(with("aud", json!(["other", "sigstore"])), "accepted");
    assert_eq!(with("aud", json!([])), "token-audience");
    assert_eq!(with("aud", json!("sigstore.dev")), "token-audience");
    assert_eq!(with("aud", json!({"sigstore": 1})), "token-audience");
    assert_eq!(with("iss", json!("https://idp.test/")), "token-issuer-unknown");
    assert_eq!(with("iss", json!(7)), "token-claim");
}

#[test]
fn altered_and_malformed_tokens_have_their_reason() {
    let idp = Idp::new();
    let token = idp.token(&json!({"alg": "ES256", "kid": "ec"}), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let other = encode(claims().to_string().replace("me", "you"));
    assert_eq!(
        code(&idp, &format!("{}.{other}.{}", parts[0], parts[2])),
        "token-signature"
    );
    assert_eq!(code(&idp, &format!("{}.{}.", parts[0], parts[1])), "token-signature");
    assert_eq!(code(&idp, &format!("{}.{}", parts[0], parts[1])), "token-malformed");
    assert_eq!(code(&idp, &format!("{token}.x")), "token-malformed");
    assert_eq!(code(&idp, &format!("{token}=")), "token-malformed");
    assert_eq!(code(&idp, ""), "token-missing");
    assert_eq!(code(&idp, "a.b.c"), "token-malformed");
    let critical = idp.token(
        &json!({"alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": false}),
        &claims(),
    );
    assert_eq!(code(&idp, &critical), "token-critical-header");
    let list = format!("{}.{}.AAAA", parts[0], encode("[]"));
    assert_eq!(code(&idp, &list), "token-malformed");
}

/// GHSA-f83f-xpx7-ffpw: a token of millions of dots took gigabytes to split.
#[test]
fn a_token_of_dots_is_refused_at_once() {
    let idp = Idp::new();
    assert_eq!(code(&idp, &".".repeat(10_000_000)), "token-too-long");
    assert_eq!(code(&idp, &".".repeat(MAX_TOKEN_BYTES)), "token-malformed");
}

#[test]
fn key_sets_are_read_as_far_as_they_are_known() {
    assert!(KeySet::parse(b"{}").is_none());
    assert!(KeySet::parse(b"[]").is_none());
    assert!(!KeySet::parse(br#"{"keys":[]}"#).unwrap().knows(None));
    assert!(
        !KeySet::parse(br#"{"keys":[{"kty":"RSA","use":"enc","n":"AA","e":"AQ"},7]}"#)
            .unwrap()
            .knows(None)
    );
}
