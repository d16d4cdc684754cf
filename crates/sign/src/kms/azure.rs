//! Azure Key Vault and Managed HSM (REST, api-version 7.4): get key, sign, create key.
//!
//! A token of Key Vault opens every vault that its holder may open, so it is sent to Microsoft's own hosts only (and to
//! this machine), whatever the reference says. The authority that issues it is chosen by the environment; the challenge
//! that a vault answers with 401 names one too, and is not followed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::UintRef;
use der::{Encode as _, Sequence};
use proofmark_types::{DigestAlgorithm, is_loopback};
use proofmark_verify::{KeyAlgorithm, PublicKey};
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::{Value, json as value};

use self::credentials::{Tokens, authority_of};
use super::settings::{host_address, join};
use super::wire::{Wire, is_success, json, place};
use super::{Backend, KmsError, KmsKey, Setup, digest_for};
use crate::http::Answer;

mod acr;
mod credentials;
mod jwk;

pub(super) use self::acr::Acr;

const API_VERSION: &str = "7.4";

/// Where vaults are, and for whom their tokens are (Azure SDK design, "Azure cloud environments").
const CLOUDS: [(&str, &str); 6] = [
    (".vault.azure.net", "https://vault.azure.net"),
    (".managedhsm.azure.net", "https://managedhsm.azure.net"),
    (".vault.azure.cn", "https://vault.azure.cn"),
    (".managedhsm.azure.cn", "https://managedhsm.azure.cn"),
    (".vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net"),
    (".managedhsm.usgovcloudapi.net", "https://managedhsm.usgovcloudapi.net"),
];

/// A vault, as one identity.
#[derive(Debug)]
struct Vault {
    wire: Wire,
    url: Url,
    tokens: Tokens,
}

/// One version of a key.
#[derive(Debug)]
pub(super) struct Key {
    vault: Vault,
    name: String,
    version: String,
    algorithm: &'static str,
}

/// Opens a version of a key, the newest one unless the reference says another.
pub(super) async fn open(host: &str, name: &str, version: Option<&str>, setup: &Setup<'_>) -> Result<KmsKey, KmsError> {
    vault(host, setup)?.open(name, version).await
}

/// Makes a key unless there is one of that name; making it again would give it a new version.
pub(super) async fn create(
    host: &str,
    name: &str,
    version: Option<&str>,
    algorithm: KeyAlgorithm,
    setup: &Setup<'_>,
) -> Result<KmsKey, KmsError> {
    if version.is_some() {
        return Err(KmsError::Reference {
            reason: format!("a new key has no version yet: expected azurekms://{host}/{name}"),
        });
    }
    let (kind, member, size) = match algorithm {
        KeyAlgorithm::EcdsaP256 => ("EC", "crv", value!("P-256")),
        KeyAlgorithm::EcdsaP384 => ("EC", "crv", value!("P-384")),
        KeyAlgorithm::EcdsaP521 => ("EC", "crv", value!("P-521")),
        KeyAlgorithm::Rsa2048 => ("RSA", "key_size", value!(2048)),
        KeyAlgorithm::Rsa3072 => ("RSA", "key_size", value!(3072)),
        KeyAlgorithm::Rsa4096 => ("RSA", "key_size", value!(4096)),
        KeyAlgorithm::Ed25519 => return Err(unsupported("Ed25519, which Key Vault does not have")),
    };
    let vault = vault(host, setup)?;
    let there = vault.at(&["keys", name]);
    match vault.get(&there).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => {
            // Managed HSMs make keys in hardware alone, and say so in the kind.
            let kind = if host.contains(".managedhsm.") {
                format!("{kind}-HSM")
            } else {
                kind.to_owned()
            };
            let body = value!({
                "kty": kind,
                member: size,
                "key_ops": ["sign", "verify"],
                "attributes": { "enabled": true },
            });
            let url = vault.at(&["keys", name, "create"]);
            let request = vault.authorised(&Method::POST, &url).await?.json(&body);
            vault.accept(vault.wire.once(&url, request).await?, &url)?;
        }
        Err(error) => return Err(error),
    }
    vault.open(name, None).await
}

fn vault(host: &str, setup: &Setup<'_>) -> Result<Vault, KmsError> {
    let url = host_address(host).map_err(|reason| KmsError::Reference { reason })?;
    let name = url.host_str().unwrap_or_default();
    let audience = CLOUDS
        .iter()
        .find(|(suffix, _)| name.ends_with(suffix))
        .map(|(_, audience)| *audience)
        .or_else(|| is_loopback(&url).then_some("https://vault.azure.net"))
        .ok_or_else(|| KmsError::Reference {
            reason: format!("{host} is no host of Azure Key Vault, expected VAULT.vault.azure.net or the like"),
        })?;
    let authority = authority_of(&setup.settings, name)?;
    Ok(Vault {
        wire: Wire::new(setup.timing, &[])?,
        url,
        tokens: Tokens::find(&setup.settings, authority, audience)?,
    })
}

fn unsupported(seen: &str) -> KmsError {
    KmsError::KeyKind {
        expected: "EC or RSA (perhaps -HSM) on P-256, P-384 or P-521, that may sign",
        seen: seen.to_owned(),
    }
}

#[derive(Deserialize)]
struct KeyBundle {
    key: jwk::Jwk,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
struct Attributes {
    enabled: Option<bool>,
}

#[derive(Deserialize)]
struct Signed {
    kid: String,
    value: String,
}

#[derive(Default, Deserialize)]
struct Failure {
    #[serde(default)]
    error: Said,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Vault {
    async fn open(self, name: &str, version: Option<&str>) -> Result<KmsKey, KmsError> {
        let path: Vec<&str> = ["keys", name].into_iter().chain(version).collect();
        let url = self.at(&path);
        let bundle: KeyBundle = json(&self.get(&url).await?, &url)?;
        let pinned = self.version_of(&bundle.key.kid, name, &url)?;
        if version.is_some_and(|version| !version.eq_ignore_ascii_case(&pinned)) {
            return Err(KmsError::OtherKey {
                expected: format!("version {}", version.unwrap_or_default()),
                seen: format!("version {pinned}"),
            });
        }
        if bundle.attributes.enabled == Some(false) {
            return Err(unsupported("disabled"));
        }
        if !bundle.key.key_ops.iter().any(|operation| operation == "sign") {
            return Err(unsupported(&format!(
                "{} for {}",
                bundle.key.kty,
                bundle.key.key_ops.join(", ")
            )));
        }
        let public = bundle.key.public(&url)?;
        let algorithm = match public.algorithm() {
            KeyAlgorithm::EcdsaP256 => "ES256",
            KeyAlgorithm::EcdsaP384 => "ES384",
            KeyAlgorithm::EcdsaP521 => "ES512",
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => "RS256",
            KeyAlgorithm::Ed25519 => return Err(unsupported("Ed25519")),
        };
        Ok(KmsKey {
            public,
            backend: Backend::Azure(Key {
                vault: self,
                name: name.to_owned(),
                version: pinned,
                algorithm,
            }),
        })
    }

    /// `https://VAULT/keys/NAME/VERSION`: the version alone is taken, and only if the rest is what was asked for.
    fn version_of(&self, kid: &str, name: &str, url: &Url) -> Result<String, KmsError> {
        let version = Url::parse(kid).ok().and_then(|kid| {
            let mut path = kid.path_segments()?;
            let keys = path.next()? == "keys" && path.next()?.eq_ignore_ascii_case(name);
            let version = path.next().filter(|_| keys && path.next().is_none())?;
            let plain =
                !version.is_empty() && version.len() <= 64 && version.bytes().all(|b| b.is_ascii_alphanumeric());
            let here = kid.host() == self.url.host();
            (plain && here).then(|| version.to_owned())
        });
        version.ok_or_else(|| KmsError::Answer {
            url: place(url),
            reason: format!("expected a kid of {name} in this vault, with its version"),
        })
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = join(&self.url, path.iter().copied());
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        url
    }

    async fn authorised(&self, method: &Method, url: &Url) -> Result<RequestBuilder, KmsError> {
        let bearer = self.tokens.get(&self.wire).await?.header("Bearer ")?;
        Ok(self.wire.request(method, url).header(AUTHORIZATION, bearer))
    }

    async fn get(&self, url: &Url) -> Result<Answer, KmsError> {
        let bearer = self.tokens.get(&self.wire).await?.header("Bearer ")?;
        let make = || {
            Ok(self
                .wire
                .request(&Method::GET, url)
                .header(AUTHORIZATION, bearer.clone()))
        };
        self.accept(self.wire.ask(url, |_| false, make).await?, url)
    }

    async fn post(&self, url: &Url, body: &Value) -> Result<Answer, KmsError> {
        let bearer = self.tokens.get(&self.wire).await?.header("Bearer ")?;
        let make = || {
            let request = self.wire.request(&Method::POST, url);
            Ok(request.header(AUTHORIZATION, bearer.clone()).json(body))
        };
        self.accept(self.wire.ask(url, |_| false, make).await?, url)
    }

    fn accept(&self, answer: Answer, url: &Url) -> Result<Answer, KmsError> {
        if is_success(&answer) {
            return Ok(answer);
        }
        let failure: Failure = serde_json::from_slice(&answer.body).unwrap_or_default();
        Err(KmsError::refused(
            url,
            &answer,
            &failure.error.code,
            &failure.error.message,
        ))
    }
}

impl Key {
    pub(super) async fn sign(
        &self,
        public: &PublicKey,
        message: &[u8],
        hash: Option<DigestAlgorithm>,
    ) -> Result<Vec<u8>, KmsError> {
        let (_, digest) = digest_for(public.algorithm(), hash, message)?;
        let url = self.vault.at(&["keys", &self.name, &self.version, "sign"]);
        let body = value!({ "alg": self.algorithm, "value": URL_SAFE_NO_PAD.encode(&digest) });
        let signed: Signed = json(&self.vault.post(&url, &body).await?, &url)?;
        let seen = self.vault.version_of(&signed.kid, &self.name, &url)?;
        if seen != self.version {
            return Err(KmsError::OtherKey {
                expected: format!("version {}", self.version),
                seen: format!("version {seen}"),
            });
        }
        let raw = URL_SAFE_NO_PAD
            .decode(signed.value.trim_end_matches('='))
            .map_err(|_| self.bad(&url, "value is not base64url"))?;
        let width = match public.algorithm() {
            KeyAlgorithm::EcdsaP256 => 32,
            KeyAlgorithm::EcdsaP384 => 48,
            KeyAlgorithm::EcdsaP521 => 66,
            _ => return Ok(raw),
        };
        to_der(&raw, width).ok_or_else(|| self.bad(&url, &format!("expected r and s of {width} bytes each")))
    }

    fn bad(&self, url: &Url, reason: &str) -> KmsError {
        KmsError::Answer {
            url: place(url),
            reason: reason.to_owned(),
        }
    }
}

/// RFC 3279 section 2.2.3.
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The two numbers side by side (RFC 7518 section 3.4), as everything else here has them.
fn to_der(raw: &[u8], width: usize) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(width).filter(|(_, s)| s.len() == width)?;
    let signature = EcdsaSignature {
        r: UintRef::new(r).ok()?,
        s: UintRef::new(s).ok()?,
    };
    signature.to_der().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_side_by_side_become_der() {
        let mut raw = vec![0; 64];
        raw[0] = 0x80;
        raw[63] = 0x01;
        let der = to_der(&raw, 32).unwrap();
        // A leading zero where the first bit is set, no zeros otherwise.
        assert_eq!(der[..5], [0x30, 38, 0x02, 33, 0x00]);
        assert_eq!(der[der.len() - 3..], [0x02, 0x01, 0x01]);
        for wrong in [0, 63, 65, 128] {
            assert!(to_der(&vec![1; wrong], 32).is_none(), "{wrong}");
        }
    }
}
