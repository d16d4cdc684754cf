//! Google Cloud KMS (REST v1): `getPublicKey` and `asymmetricSign`, with the checksums of the "Data integrity
//! guidelines" in both directions; `cryptoKeys.create`.
//!
//! A key without a version means its newest enabled one, as for cosign; that version is kept for as long as the key is
//! open. The address is Google's own, or `CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS`, gcloud's variable for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc32c::crc32c;
use proofmark_types::DigestAlgorithm;
use proofmark_verify::{KeyAlgorithm, PublicKey};
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json as value};
use tokio::time::sleep;

use self::credentials::Tokens;
use super::settings::{Secret, join};
use super::wire::{Wire, is_success, json, place};
use super::{Backend, KmsError, KmsKey, Setup, digest_for};
use crate::http::Answer;

mod credentials;
mod source;

/// All that tokens of the key service are used for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";

/// What Artifact Registry and Container Registry take, as gcloud's own credential helper asks for.
const REGISTRY_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The user name beside an access token (Artifact Registry, "Authenticate to a repository").
const REGISTRY_USER: &str = "oauth2accesstoken";

const ENDPOINT: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS";

/// Versions listed at a time, the most that the service answers.
const PAGE: &str = "1000";

/// Pages that are read: a key that is rotated daily has one page in three years.
const MAX_PAGES: usize = 20;

/// How often an answer that was changed on its way is asked for again ("a limited number of retries").
const MAX_CORRUPTED: u32 = 3;

/// How often a new key is looked at until it is generated: seconds for software, up to minutes for an HSM.
const MAX_GENERATION_POLLS: u32 = 60;

/// Google's service, as one identity.
#[derive(Debug)]
struct Service {
    wire: Wire,
    url: Url,
    tokens: Tokens,
}

/// One version of a key.
#[derive(Debug)]
pub(super) struct Key {
    service: Service,
    /// `projects/../cryptoKeyVersions/V`
    name: String,
}

/// Opens the version of the reference, or the newest one.
pub(super) async fn open(resource: &str, setup: &Setup<'_>) -> Result<KmsKey, KmsError> {
    let service = service(setup)?;
    let name = if resource.contains("/cryptoKeyVersions/") {
        resource.to_owned()
    } else {
        service.newest(resource).await?
    };
    service.open(name).await
}

/// Makes a key, and its key ring, unless they are there.
pub(super) async fn create(resource: &str, algorithm: KeyAlgorithm, setup: &Setup<'_>) -> Result<KmsKey, KmsError> {
    let kind = match algorithm {
        KeyAlgorithm::EcdsaP256 => "EC_SIGN_P256_SHA256",
        KeyAlgorithm::EcdsaP384 => "EC_SIGN_P384_SHA384",
        KeyAlgorithm::Rsa2048 => "RSA_SIGN_PKCS1_2048_SHA256",
        KeyAlgorithm::Rsa3072 => "RSA_SIGN_PKCS1_3072_SHA256",
        KeyAlgorithm::Rsa4096 => "RSA_SIGN_PKCS1_4096_SHA256",
        KeyAlgorithm::Ed25519 => "EC_SIGN_ED25519",
        KeyAlgorithm::EcdsaP521 => return Err(unsupported("ECDSA P-521, which Google Cloud KMS does not have")),
    };
    let parts: Vec<&str> = resource.split('/').collect();
    let [
        "projects",
        project,
        "locations",
        location,
        "keyRings",
        ring,
        "cryptoKeys",
        key,
    ] = parts.as_slice()
    else {
        return Err(KmsError::Reference {
            reason: format!("a new key has no version yet: expected ../cryptoKeys/KEY, seen {resource}"),
        });
    };
    let service = service(setup)?;
    let place = ["v1", "projects", project, "locations", location, "keyRings"];
    let mut url = join(&service.url, place);
    url.query_pairs_mut().append_pair("keyRingId", ring);
    service.make(&url, &value!({})).await?;
    let mut url = join(&service.url, place.into_iter().chain([*ring, "cryptoKeys"]));
    url.query_pairs_mut().append_pair("cryptoKeyId", key);
    let template = value!({ "purpose": "ASYMMETRIC_SIGN", "versionTemplate": { "algorithm": kind } });
    service.make(&url, &template).await?;
    let pause = setup.timing.pause;
    let mut polls = 0;
    let name = loop {
        match service.newest(resource).await {
            Err(KmsError::KeyKind { .. }) if polls < MAX_GENERATION_POLLS => sleep(pause.saturating_mul(4)).await,
            other => break other?,
        }
        polls += 1;
    };
    service.open(name).await
}

fn service(setup: &Setup<'_>) -> Result<Service, KmsError> {
    let url = match setup.settings.address(ENDPOINT)? {
        Some(url) => url,
        None => Url::parse("https://cloudkms.googleapis.com/").map_err(|error| KmsError::Setting {
            name: ENDPOINT,
            reason: error.to_string(),
        })?,
    };
    Ok(Service {
        wire: Wire::new(setup.timing, &[])?,
        url,
        tokens: Tokens::new(source::find(&setup.settings, SCOPE)?),
    })
}

/// Google's registries, as one identity.
#[derive(Debug)]
pub(super) struct Registries {
    wire: Wire,
    tokens: Tokens,
}

impl Registries {
    pub(super) fn of(setup: &Setup<'_>) -> Result<Self, KmsError> {
        Ok(Self {
            wire: Wire::new(setup.timing, &[])?,
            tokens: Tokens::new(source::find(&setup.settings, REGISTRY_SCOPE)?),
        })
    }

    /// User name and access token; tokens are kept for as long as they are valid.
    pub(super) async fn credential(&self) -> Result<(String, Secret), KmsError> {
        Ok((REGISTRY_USER.to_owned(), self.tokens.get(&self.wire).await?))
    }
}

fn unsupported(seen: &str) -> KmsError {
    KmsError::KeyKind {
        expected: "an enabled version for ASYMMETRIC_SIGN: EC_SIGN_P256_SHA256, EC_SIGN_P384_SHA384, EC_SIGN_ED25519 or \
                   RSA_SIGN_.._SHA256",
        seen: seen.to_owned(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    crypto_key_versions: Vec<Version>,
    #[serde(default)]
    next_page_token: String,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Public {
    pem: String,
    algorithm: String,
    pem_crc32c: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    signature: String,
    signature_crc32c: String,
    #[serde(default)]
    verified_digest_crc32c: bool,
    #[serde(default)]
    verified_data_crc32c: bool,
    name: String,
}

/// `google.rpc.Status` as Google's REST interfaces write it.
#[derive(Default, Deserialize)]
struct Failure {
    #[serde(default)]
    error: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
}

impl Service {
    async fn open(self, name: String) -> Result<KmsKey, KmsError> {
        let url = self.at(&format!("{name}/publicKey"));
        let public: Public = json(&self.get(&url).await?, &url)?;
        same_name(&name, &public.name)?;
        check_crc(&url, "the public key", public.pem.as_bytes(), &public.pem_crc32c)?;
        // Other hashes than the key's own are not in the formats.
        let known = public.algorithm.ends_with("_SHA256") && public.algorithm.starts_with("RSA_SIGN_P")
            || ["EC_SIGN_P256_SHA256", "EC_SIGN_P384_SHA384", "EC_SIGN_ED25519"].contains(&public.algorithm.as_str());
        if !known {
            return Err(unsupported(&public.algorithm));
        }
        let key = PublicKey::from_pem(&public.pem).map_err(KmsError::PublicKey)?;
        Ok(KmsKey {
            public: key,
            backend: Backend::Google(Key { service: self, name }),
        })
    }

    /// The enabled version with the greatest number; the service sorts names as texts.
    async fn newest(&self, key: &str) -> Result<String, KmsError> {
        let mut newest: Option<(u64, String)> = None;
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let mut url = self.at(&format!("{key}/cryptoKeyVersions"));
            url.query_pairs_mut()
                .append_pair("filter", "state=ENABLED")
                .append_pair("pageSize", PAGE);
            if !token.is_empty() {
                url.query_pairs_mut().append_pair("pageToken", &token);
            }
            let page: Page = json(&self.get(&url).await?, &url)?;
            for version in page
                .crypto_key_versions
                .into_iter()
                .filter(|version| version.state == "ENABLED")
            {
                let number = version
                    .name
                    .strip_prefix(key)
                    .and_then(|rest| rest.strip_prefix("/cryptoKeyVersions/"))
                    .and_then(|number| number.parse::<u64>().ok())
                    .ok_or_else(|| KmsError::Answer {
                        url: place(&url),
                        reason: "it lists a version of another key".to_owned(),
                    })?;
                if newest.as_ref().is_none_or(|(seen, _)| number > *seen) {
                    newest = Some((number, format!("{key}/cryptoKeyVersions/{number}")));
                }
            }
            token = page.next_page_token;
            if token.is_empty() {
                return newest
                    .map(|(_, name)| name)
                    .ok_or_else(|| unsupported("without any enabled version"));
            }
        }
        Err(KmsError::Answer {
            url: place(&self.at(key)),
            reason: format!("more than {MAX_PAGES} pages of versions; name the version in the reference"),
        })
    }

    fn at(&self, path: &str) -> Url {
        join(&self.url, ["v1"].into_iter().chain(path.split('/')))
    }

    async fn authorised(
        &self,
        method: &Method,
        url: &Url,
    ) -> Result<impl Fn() -> Result<RequestBuilder, KmsError>, KmsError> {
        let token = self.tokens.get(&self.wire).await?;
        let bearer = token.header("Bearer ")?;
        let quota = self.tokens.quota_project().map(str::to_owned);
        let (wire, method, url) = (self.wire.clone(), method.clone(), url.clone());
        Ok(move || {
            let request = wire.request(&method, &url).header(AUTHORIZATION, bearer.clone());
            Ok(match &quota {
                Some(project) => request.header("x-goog-user-project", project),
                None => request,
            })
        })
    }

    async fn get(&self, url: &Url) -> Result<Answer, KmsError> {
        let make = self.authorised(&Method::GET, url).await?;
        self.accept(self.wire.ask(url, |_| false, make).await?, url)
    }

    async fn post(&self, url: &Url, body: &Value) -> Result<Answer, KmsError> {
        let make = self.authorised(&Method::POST, url).await?;
        let answer = self.wire.ask(url, |_| false, || Ok(make()?.json(body))).await?;
        self.accept(answer, url)
    }

    /// Makes what has a name: doing it twice answers that it is there, which is as good.
    async fn make(&self, url: &Url, body: &Value) -> Result<(), KmsError> {
        match self.post(url, body).await {
            Err(KmsError::Refused { status, .. }) if status == StatusCode::CONFLICT.as_u16() => Ok(()),
            // Who may make keys in a ring may not be allowed to make rings; the next request shows whether it is there.
            Err(KmsError::Refused { status: 403, .. }) if url.path().ends_with("/keyRings") => Ok(()),
            other => other.map(|_| ()),
        }
    }

    fn accept(&self, answer: Answer, url: &Url) -> Result<Answer, KmsError> {
        if is_success(&answer) {
            return Ok(answer);
        }
        let failure: Failure = serde_json::from_slice(&answer.body).unwrap_or_default();
        Err(KmsError::refused(
            url,
            &answer,
            &failure.error.status,
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
        let body = if public.algorithm() == KeyAlgorithm::Ed25519 {
            if let Some(hash) = hash {
                return Err(KmsError::Hash {
                    algorithm: public.algorithm().name(),
                    hash: hash.name(),
                });
            }
            value!({ "data": STANDARD.encode(message), "dataCrc32c": crc32c(message).to_string() })
        } else {
            let (name, digest) = digest_for(public.algorithm(), hash, message)?;
            value!({
                "digest": { name.name(): STANDARD.encode(&digest) },
                "digestCrc32c": crc32c(&digest).to_string(),
            })
        };
        let mut attempt = 1;
        loop {
            match self.sign_once(&body).await {
                Err(KmsError::Corrupted { .. }) if attempt < MAX_CORRUPTED => attempt += 1,
                other => return other,
            }
        }
    }

    async fn sign_once(&self, body: &Value) -> Result<Vec<u8>, KmsError> {
        let url = self.service.at(&format!("{}:asymmetricSign", self.name));
        let signed: Signed = json(&self.service.post(&url, body).await?, &url)?;
        same_name(&self.name, &signed.name)?;
        let verified = if body.get("data").is_some() {
            signed.verified_data_crc32c
        } else {
            signed.verified_digest_crc32c
        };
        if !verified {
            return Err(KmsError::Corrupted {
                url: place(&url),
                what: "the digest",
                expected: "checked by the service".to_owned(),
                seen: "not checked".to_owned(),
            });
        }
        let signature = STANDARD.decode(&signed.signature).map_err(|_| KmsError::Answer {
            url: place(&url),
            reason: "signature is not base64".to_owned(),
        })?;
        check_crc(&url, "the signature", &signature, &signed.signature_crc32c)?;
        Ok(signature)
    }
}

/// "Check this field to verify that the intended resource was used."
fn same_name(expected: &str, seen: &str) -> Result<(), KmsError> {
    if expected == seen {
        return Ok(());
    }
    Err(KmsError::OtherKey {
        expected: expected.to_owned(),
        seen: seen.to_owned(),
    })
}

fn check_crc(url: &Url, what: &'static str, bytes: &[u8], expected: &str) -> Result<(), KmsError> {
    let seen = crc32c(bytes).to_string();
    if seen == expected {
        return Ok(());
    }
    Err(KmsError::Corrupted {
        url: place(url),
        what,
        expected: expected.to_owned(),
        seen,
    })
}
