//! JSON web tokens (RFC 7515, RFC 7519, RFC 8725): the algorithm follows from the key, never the key from the algorithm.

use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proofmark_types::UnixTime;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::TokenError;

/// The longest token: GitHub's have some 2 kB, GitLab's 3 kB; header lines end at 16 kB in most servers.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The most keys of one issuer that are tried.
const MAX_KEYS: usize = 64;
/// How much earlier than its `nbf` a token is accepted (the leeway of go-oidc). For the expiry there is none.
const NOT_BEFORE_LEEWAY: i64 = 300;

/// A token that was taken apart, nothing of it verified.
pub(crate) struct Token<'t> {
    signed: &'t str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

impl<'t> Token<'t> {
    pub(crate) fn parse(token: &'t str) -> Result<Self, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong {
                limit: MAX_TOKEN_BYTES,
                seen: token.len(),
            });
        }
        // Three parts, found without a list of all dots (GHSA-f83f-xpx7-ffpw).
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let algorithm = Algorithm::parse(&header.alg).ok_or_else(|| TokenError::Algorithm {
            algorithm: header.alg.chars().take(20).collect(),
        })?;
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Malformed)?;
        Ok(Self {
            signed,
            signature: decode(signature)?,
            algorithm,
            kid: header.kid,
            claims,
        })
    }

    /// The issuer that the token names: to choose a configuration, never to believe.
    pub(crate) fn unverified_issuer(&self) -> Result<&str, TokenError> {
        super::text(&self.claims, "iss")
    }

    /// The claims, once a key of the issuer is found to have signed them, for this audience, at this time.
    pub(crate) fn verify(
        &self,
        keys: &KeySet,
        issuer: &str,
        audience: &str,
        now: UnixTime,
    ) -> Result<&Map<String, Value>, TokenError> {
        // 1. The signature, before anything in the token is looked at.
        if !keys.candidates(self.kid.as_deref()).any(|key| key.verify(self)) {
            return Err(TokenError::Signature);
        }
        // 2. The issuer, exactly.
        let seen = self.unverified_issuer()?;
        if seen != issuer {
            return Err(TokenError::UnknownIssuer {
                issuer: seen.chars().take(200).collect(),
            });
        }
        // 3. The audience.
        self.check_audience(audience)?;
        // 4. The time.
        let expires = self.seconds("exp")?.ok_or_else(|| TokenError::Claim {
            claim: "exp".to_owned(),
        })?;
        if now.seconds() >= expires {
            return Err(TokenError::Expired { expired_at: expires });
        }
        if let Some(not_before) = self.seconds("nbf")?
            && now.seconds().saturating_add(NOT_BEFORE_LEEWAY) < not_before
        {
            return Err(TokenError::NotYetValid { not_before });
        }
        Ok(&self.claims)
    }

    fn check_audience(&self, audience: &str) -> Result<(), TokenError> {
        let found = match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            _ => false,
        };
        if found {
            return Ok(());
        }
        let seen = self.claims.get("aud").map(Value::to_string).unwrap_or_default();
        Err(TokenError::Audience {
            expected: audience.to_owned(),
            seen: seen.chars().take(200).collect(),
        })
    }

    fn seconds(&self, claim: &str) -> Result<Option<i64>, TokenError> {
        let malformed = || TokenError::Claim {
            claim: claim.to_owned(),
        };
        let Some(value) = self.claims.get(claim) else {
            return Ok(None);
        };
        // NumericDate may have a fraction (RFC 7519 section 2).
        let whole = value
            .as_i64()
            .or_else(|| value.as_f64().filter(|f| f.abs() < 1e15).map(|f| f as i64));
        whole.map(Some).ok_or_else(malformed)
    }
}

/// The public keys of an issuer (RFC 7517).
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    alg: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct JsonKeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct JsonKey {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

impl KeySet {
    /// Reads a key set; keys of kinds that are not known are passed over, as the standard asks.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let set: JsonKeySet = serde_json::from_slice(bytes).ok()?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        let keys = keys
            .filter_map(|value| Key::read(serde_json::from_value(value).ok()?))
            .collect();
        Some(Self { keys })
    }

    /// Whether there is a key with this id.
    pub(crate) fn knows(&self, kid: Option<&str>) -> bool {
        self.candidates(kid).next().is_some()
    }

    fn candidates<'k>(&'k self, kid: Option<&'k str>) -> impl Iterator<Item = &'k Key> {
        self.keys
            .iter()
            .filter(move |key| kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid)
    }
}

impl Token<'_> {
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }
}

impl Key {
    fn read(json: JsonKey) -> Option<Self> {
        if json.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let decode = |field: &Option<String>| URL_SAFE_NO_PAD.decode(field.as_deref()?.trim_end_matches('=')).ok();
        // Coordinates have the length of the field, with leading zeros.
        let point = |length: usize| {
            let (x, y) = (decode(&json.x)?, decode(&json.y)?);
            (x.len() == length && y.len() == length).then(|| [&[4][..], &x, &y].concat())
        };
        let material = match (json.kty.as_str(), json.crv.as_deref()) {
            ("RSA", _) => Material::Rsa {
                n: decode(&json.n)?,
                e: decode(&json.e)?,
            },
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("EC", Some("P-521")) => Material::P521(point(66)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(decode(&json.x)?),
            _ => return None,
        };
        Some(Self {
            kid: json.kid,
            alg: json.alg,
            material,
        })
    }

    fn verify(&self, token: &Token<'_>) -> bool {
        if self
            .alg
            .as_deref()
            .is_some_and(|alg| Algorithm::parse(alg) != Some(token.algorithm))
        {
            return false;
        }
        let message = token.signed.as_bytes();
        let plain = |engine: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(engine, key)
                .verify(message, &token.signature)
                .is_ok()
        };
        match (&self.material, token.algorithm) {
            (Material::Rsa { n, e }, algorithm) => rsa_parameters(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }
                    .verify(parameters, message, &token.signature)
                    .is_ok()
            }),
            (Material::P256(key), Algorithm::Es256) => plain(&signature::ECDSA_P256_SHA256_FIXED, key),
            (Material::P384(key), Algorithm::Es384) => plain(&signature::ECDSA_P384_SHA384_FIXED, key),
            (Material::P521(key), Algorithm::Es512) => plain(&signature::ECDSA_P521_SHA512_FIXED, key),
            (Material::Ed25519(key), Algorithm::EdDsa) => plain(&signature::ED25519, key),
            _ => false,
        }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
