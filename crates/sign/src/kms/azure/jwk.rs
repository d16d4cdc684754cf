//! Key Vault's JSON web keys (RFC 7517, with Microsoft's `-HSM` kinds) as SubjectPublicKeyInfo.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Encode as _, Sequence};
use proofmark_verify::PublicKey;
use reqwest::Url;
use serde::Deserialize;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::unsupported;
use crate::kms::KmsError;
use crate::kms::wire::place;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A key as the vault describes it.
#[derive(Deserialize)]
pub(super) struct Jwk {
    pub(super) kid: String,
    pub(super) kty: String,
    #[serde(default)]
    pub(super) key_ops: Vec<String>,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

/// RFC 8017 appendix A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl Jwk {
    pub(super) fn public(&self, url: &Url) -> Result<PublicKey, KmsError> {
        let malformed = || KmsError::Answer {
            url: place(url),
            reason: format!("its {} key is malformed", self.kty),
        };
        let spki = match self.kty.as_str() {
            "EC" | "EC-HSM" => {
                let (curve, width) = match self.crv.as_str() {
                    "P-256" => (P256, 32),
                    "P-384" => (P384, 48),
                    "P-521" => (P521, 66),
                    other => return Err(unsupported(&format!("{} on {other}", self.kty))),
                };
                self.ec(curve, width)
            }
            "RSA" | "RSA-HSM" => self.rsa(),
            other => return Err(unsupported(other)),
        };
        PublicKey::from_spki_der(&spki.ok_or_else(malformed)?).map_err(KmsError::PublicKey)
    }

    fn ec(&self, curve: ObjectIdentifier, width: usize) -> Option<Vec<u8>> {
        // SEC 1 section 2.3.3: uncompressed.
        let mut point = vec![0x04];
        for number in [&self.x, &self.y] {
            let number = decode(number)?;
            // RFC 7518 section 6.2.1.2 asks for the full width; zeros were left out by some.
            point.extend(std::iter::repeat_n(0, width.checked_sub(number.len())?));
            point.extend(number);
        }
        spki(EC_PUBLIC_KEY, AnyRef::from(&curve), &point)
    }

    fn rsa(&self) -> Option<Vec<u8>> {
        let (modulus, exponent) = (decode(&self.n)?, decode(&self.e)?);
        let key = RsaPublicKey {
            modulus: UintRef::new(&modulus).ok()?,
            exponent: UintRef::new(&exponent).ok()?,
        };
        spki(RSA, AnyRef::NULL, &key.to_der().ok()?)
    }
}

fn spki(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid,
            parameters: Some(parameters),
        },
        subject_public_key: BitStringRef::from_bytes(key).ok()?,
    };
    info.to_der().ok()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .ok()
        .filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use proofmark_verify::KeyAlgorithm;
    use serde_json::{Value, json};

    use super::*;

    fn read(document: Value) -> Result<PublicKey, KmsError> {
        let key: Jwk = serde_json::from_value(document).unwrap();
        key.public(&Url::parse("https://v.vault.azure.net/").unwrap())
    }

    /// RFC 7517 appendix A.1.
    #[test]
    fn the_rfcs_examples_are_read() {
        let (x, y) = (
            "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        );
        let key = read(json!({ "kid": "k", "kty": "EC-HSM", "crv": "P-256", "x": x, "y": y })).unwrap();
        assert_eq!(key.algorithm(), KeyAlgorithm::EcdsaP256);
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = read(json!({ "kid": "k", "kty": "RSA", "n": n, "e": "AQAB" })).unwrap();
        assert_eq!(key.algorithm(), KeyAlgorithm::Rsa2048);
        for (wrong, code) in [
            (
                json!({ "kid": "k", "kty": "EC", "crv": "P-256K", "x": x, "y": y }),
                "kms-key-kind",
            ),
            (json!({ "kid": "k", "kty": "oct" }), "kms-key-kind"),
            (json!({ "kid": "k", "kty": "EC", "crv": "P-256", "x": x }), "kms-answer"),
            (
                json!({ "kid": "k", "kty": "EC", "crv": "P-256", "x": n, "y": y }),
                "kms-answer",
            ),
            // A point that is not on the curve.
            (
                json!({ "kid": "k", "kty": "EC", "crv": "P-256", "x": x, "y": x }),
                "key-refused",
            ),
            (json!({ "kid": "k", "kty": "RSA", "n": n }), "kms-answer"),
        ] {
            assert_eq!(read(wrong.clone()).unwrap_err().code(), code, "{wrong}");
        }
    }
}
