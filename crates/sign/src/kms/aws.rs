//! AWS KMS (API version 2014-11-01, JSON 1.1): `GetPublicKey`, `Sign` over a digest, `CreateKey` and `CreateAlias`. ECR (API
//! version 2015-09-21, JSON 1.1): `GetAuthorizationToken`.
//!
//! The region is that of the key's ARN or the registry's host, or else `AWS_REGION`, `AWS_DEFAULT_REGION` or the profile's; the
//! address is the one in the reference, or else `AWS_ENDPOINT_URL_KMS` or `AWS_ENDPOINT_URL_ECR`, `AWS_ENDPOINT_URL` or AWS's
//! own of that region.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_types::{DigestAlgorithm, UnixTime};
use proofmark_verify::{KeyAlgorithm, PublicKey};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::{Value, json as value};

use self::credentials::{Chain, Credentials};
use self::profile::Profiles;
use self::sigv4::{Request, Scope};
use super::settings::{Settings, host_address, read_file};
use super::wire::{Wire, is_success, json, place};
use super::{Backend, KmsError, KmsKey, Setup, digest_for, now};
use crate::http::Answer;

mod credentials;
mod ecr;
mod fetch;
mod profile;
mod sigv4;

const CONTENT: &str = "application/x-amz-json-1.1";

pub(super) use self::ecr::Ecr;

/// An interface of AWS that speaks JSON 1.1.
#[derive(Clone, Copy, Debug)]
struct Api {
    /// In the scope of signatures.
    service: &'static str,
    /// Before the action in `x-amz-target`.
    target: &'static str,
    /// The beginning of its host.
    host: &'static str,
    /// The same where FIPS 140 is asked for.
    fips_host: &'static str,
    /// The variable with its address.
    variable: &'static str,
}

const KMS: Api = Api {
    service: "kms",
    target: "TrentService",
    host: "kms",
    fips_host: "kms-fips",
    variable: "AWS_ENDPOINT_URL_KMS",
};

/// An account with an address of a service.
#[derive(Debug)]
struct Service {
    api: Api,
    wire: Wire,
    url: Url,
    region: String,
    chain: Chain,
}

/// A key of it, as the reference names it.
#[derive(Debug)]
pub(super) struct Key {
    service: Service,
    id: String,
    arn: String,
    algorithm: &'static str,
}

/// Opens the key that `awskms://ENDPOINT/KEY` names.
pub(super) async fn open(endpoint: Option<&str>, id: &str, setup: &Setup<'_>) -> Result<KmsKey, KmsError> {
    key_service(endpoint, id, setup)?.open(id).await
}

/// Makes a key and gives it the alias of the reference, unless there is one with that alias already.
pub(super) async fn create(
    endpoint: Option<&str>,
    id: &str,
    algorithm: KeyAlgorithm,
    setup: &Setup<'_>,
) -> Result<KmsKey, KmsError> {
    if !id.starts_with("alias/") {
        return Err(KmsError::Reference {
            reason: format!("a new key is given an alias: expected awskms:///alias/NAME, seen {id}"),
        });
    }
    let spec = key_spec(algorithm)?;
    let service = key_service(endpoint, id, setup)?;
    match service.call::<Public>("GetPublicKey", &value!({ "KeyId": id })).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => {
            let made: Created = service
                .call_once(
                    "CreateKey",
                    &value!({
                        "KeySpec": spec,
                        "KeyUsage": "SIGN_VERIFY",
                        "Description": "Signing key of Proofmark",
                    }),
                )
                .await?;
            let named = value!({ "AliasName": id, "TargetKeyId": made.key_metadata.key_id });
            service.post_once("CreateAlias", &named).await?;
        }
        Err(error) => return Err(error),
    }
    service.open(id).await
}

/// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID` says the region itself; signing for another one would be refused.
fn key_service(endpoint: Option<&str>, id: &str, setup: &Setup<'_>) -> Result<Service, KmsError> {
    let region = id.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
    let url = endpoint.map(|host| host_address(host).map_err(|reason| KmsError::Reference { reason }));
    service(KMS, url.transpose()?, region, setup)
}

/// The service at an address, or where the environment or AWS has it; in a region, or that of the environment.
fn service(api: Api, url: Option<Url>, region: Option<&str>, setup: &Setup<'_>) -> Result<Service, KmsError> {
    let settings = &setup.settings;
    let profiles = Profiles::read(settings)?;
    let region = self::region(region, settings, &profiles)?;
    let url = match url {
        Some(url) => url,
        None => match configured_endpoint(settings, api.variable)? {
            Some(url) => url,
            None => default_endpoint(
                if settings.is_true("AWS_USE_FIPS_ENDPOINT") {
                    api.fips_host
                } else {
                    api.host
                },
                &region,
            )?,
        },
    };
    let source = credentials::find(settings, &profiles, &region)?;
    let roots = match settings.get("AWS_CA_BUNDLE") {
        Some(path) => vec![read_file(path.as_ref())?.as_bytes().to_vec()],
        None => Vec::new(),
    };
    Ok(Service {
        api,
        wire: Wire::new(setup.timing, &roots)?,
        url,
        region,
        chain: Chain::new(source),
    })
}

fn region(named: Option<&str>, settings: &Settings<'_>, profiles: &Profiles) -> Result<String, KmsError> {
    let profile = settings.get("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    let region = named
        .map(str::to_owned)
        .or_else(|| {
            settings
                .first(&["AWS_REGION", "AWS_DEFAULT_REGION"])
                .map(|(_, value)| value)
        })
        .or_else(|| profiles.text(&profile, "region"))
        .ok_or_else(|| KmsError::Setting {
            name: "AWS_REGION",
            reason: "expected a region, it is not set, and neither the ARN of a key nor the host of a registry says it"
                .to_owned(),
        })?;
    // It goes into a host name.
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if region.is_empty() || region.len() > 32 || !region.bytes().all(plain) {
        return Err(KmsError::Setting {
            name: "AWS_REGION",
            reason: format!("expected a region such as eu-central-1, seen {region:?}"),
        });
    }
    Ok(region)
}

/// An address that the environment gives for one service, or for all.
fn configured_endpoint(settings: &Settings<'_>, own: &'static str) -> Result<Option<Url>, KmsError> {
    if settings.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
        return Ok(None);
    }
    match settings.address(own)? {
        Some(url) => Ok(Some(url)),
        None => settings.address("AWS_ENDPOINT_URL"),
    }
}

/// AWS's own address, in the partition of the region (botocore's `partitions.json`, `dnsSuffix`).
fn default_endpoint(service: &str, region: &str) -> Result<Url, KmsError> {
    let suffix = match region {
        _ if region.starts_with("cn-") => "amazonaws.com.cn",
        _ if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ if region.starts_with("us-iso-") => "c2s.ic.gov",
        _ if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    Url::parse(&format!("https://{service}.{region}.{suffix}/")).map_err(|error| KmsError::Setting {
        name: "AWS_REGION",
        reason: error.to_string(),
    })
}

fn key_spec(algorithm: KeyAlgorithm) -> Result<&'static str, KmsError> {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => Ok("ECC_NIST_P256"),
        KeyAlgorithm::EcdsaP384 => Ok("ECC_NIST_P384"),
        KeyAlgorithm::EcdsaP521 => Ok("ECC_NIST_P521"),
        KeyAlgorithm::Rsa2048 => Ok("RSA_2048"),
        KeyAlgorithm::Rsa3072 => Ok("RSA_3072"),
        KeyAlgorithm::Rsa4096 => Ok("RSA_4096"),
        KeyAlgorithm::Ed25519 => Err(unsupported("Ed25519")),
    }
}

fn signing_algorithm(key: &PublicKey) -> Result<&'static str, KmsError> {
    match key.algorithm() {
        KeyAlgorithm::EcdsaP256 => Ok("ECDSA_SHA_256"),
        KeyAlgorithm::EcdsaP384 => Ok("ECDSA_SHA_384"),
        KeyAlgorithm::EcdsaP521 => Ok("ECDSA_SHA_512"),
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => Ok("RSASSA_PKCS1_V1_5_SHA_256"),
        KeyAlgorithm::Ed25519 => Err(unsupported("Ed25519")),
    }
}

fn unsupported(seen: &str) -> KmsError {
    KmsError::KeyKind {
        expected: "ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521 or RSA_2048 to RSA_4096, for SIGN_VERIFY",
        seen: seen.to_owned(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Public {
    key_id: String,
    public_key: String,
    #[serde(default)]
    key_spec: String,
    key_usage: String,
    #[serde(default)]
    signing_algorithms: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    key_id: String,
    signature: String,
    signing_algorithm: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    key_metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    key_id: String,
}

/// An error of the JSON 1.1 protocol; the name may have a namespace before `#` and an address after `:`.
#[derive(Default, Deserialize)]
struct Failure {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl Service {
    async fn open(self, id: &str) -> Result<KmsKey, KmsError> {
        let public: Public = self.call("GetPublicKey", &value!({ "KeyId": id })).await?;
        let der = STANDARD
            .decode(&public.public_key)
            .map_err(|_| self.bad("PublicKey is not base64"))?;
        if public.key_usage != "SIGN_VERIFY" {
            return Err(unsupported(&format!("{} for {}", public.key_spec, public.key_usage)));
        }
        let key = PublicKey::from_spki_der(&der).map_err(KmsError::PublicKey)?;
        let algorithm = signing_algorithm(&key)?;
        if !public.signing_algorithms.iter().any(|known| known == algorithm) {
            return Err(unsupported(&format!(
                "{} that signs with {}, not {algorithm}",
                public.key_spec,
                public.signing_algorithms.join(", ")
            )));
        }
        Ok(KmsKey {
            public: key,
            backend: Backend::Aws(Key {
                service: self,
                id: id.to_owned(),
                arn: public.key_id,
                algorithm,
            }),
        })
    }

    /// Asks for something that may be asked again.
    async fn call<T: serde::de::DeserializeOwned>(&self, action: &str, body: &Value) -> Result<T, KmsError> {
        let credentials = self.chain.get(&self.wire).await?;
        let body = body.to_string().into_bytes();
        let answer = self
            .wire
            .ask(&self.url, throttled, || {
                self.request(action, &body, &credentials, now())
            })
            .await?;
        json(&self.accept(answer)?, &self.url)
    }

    /// Makes something, once.
    async fn call_once<T: serde::de::DeserializeOwned>(&self, action: &str, body: &Value) -> Result<T, KmsError> {
        json(&self.post_once(action, body).await?, &self.url)
    }

    async fn post_once(&self, action: &str, body: &Value) -> Result<Answer, KmsError> {
        let credentials = self.chain.get(&self.wire).await?;
        let body = body.to_string().into_bytes();
        let request = self.request(action, &body, &credentials, now())?;
        self.accept(self.wire.once(&self.url, request).await?)
    }

    fn request(
        &self,
        action: &str,
        body: &[u8],
        credentials: &Credentials,
        at: UnixTime,
    ) -> Result<RequestBuilder, KmsError> {
        let target = format!("{}.{action}", self.api.target);
        let request = self.wire.request(&Method::POST, &self.url).body(body.to_vec());
        let scope = Scope {
            region: &self.region,
            service: self.api.service,
            at,
        };
        let headers = [(CONTENT_TYPE.as_str(), CONTENT), ("x-amz-target", target.as_str())];
        signed(request, &self.url, &headers, body, &scope, credentials)
    }

    fn accept(&self, answer: Answer) -> Result<Answer, KmsError> {
        if is_success(&answer) {
            return Ok(answer);
        }
        let failure: Failure = serde_json::from_slice(&answer.body).unwrap_or_default();
        Err(KmsError::refused(
            &self.url,
            &answer,
            short(&failure.kind),
            &failure.message,
        ))
    }

    fn bad(&self, reason: &str) -> KmsError {
        KmsError::Answer {
            url: place(&self.url),
            reason: reason.to_owned(),
        }
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
        let signed: Signed = self
            .service
            .call(
                "Sign",
                &value!({
                    "KeyId": self.id,
                    "Message": STANDARD.encode(&digest),
                    "MessageType": "DIGEST",
                    "SigningAlgorithm": self.algorithm,
                }),
            )
            .await?;
        // An alias may have been given to another key since; the signature would not verify, this says why.
        if signed.key_id != self.arn {
            return Err(KmsError::OtherKey {
                expected: self.arn.clone(),
                seen: signed.key_id,
            });
        }
        if signed.signing_algorithm != self.algorithm {
            return Err(self.service.bad("it signed with another algorithm"));
        }
        STANDARD
            .decode(&signed.signature)
            .map_err(|_| self.service.bad("Signature is not base64"))
    }
}

/// Adds the headers of Signature Version 4, and what they are over.
fn signed(
    request: RequestBuilder,
    url: &Url,
    headers: &[(&str, &str)],
    body: &[u8],
    scope: &Scope<'_>,
    credentials: &Credentials,
) -> Result<RequestBuilder, KmsError> {
    let (host, stamp) = (authority(url), sigv4::stamp(scope.at));
    let mut all: Vec<(&str, &str)> = headers.to_vec();
    all.extend([("host", host.as_str()), ("x-amz-date", stamp.as_str())]);
    if let Some(session) = &credentials.session {
        all.push(("x-amz-security-token", session.expose()));
    }
    let over = Request {
        method: "POST",
        path: url.path(),
        headers: &all,
        body,
    };
    let authorization = sigv4::authorization(&over, scope, credentials);
    let mut request = request;
    for (name, text) in all.iter().filter(|(name, _)| *name != "host") {
        let name = HeaderName::try_from(*name).map_err(|_| KmsError::SecretUnsendable)?;
        let mut text = HeaderValue::from_str(text).map_err(|_| KmsError::SecretUnsendable)?;
        text.set_sensitive(name == "x-amz-security-token");
        request = request.header(name, text);
    }
    let mut text = HeaderValue::from_str(&authorization).map_err(|_| KmsError::SecretUnsendable)?;
    text.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, text))
}

/// What the client sends as `host`.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// KMS answers 400 where other services answer 429 (AWS KMS Developer Guide, "Throttling"); STS likewise, in XML.
fn throttled(answer: &Answer) -> bool {
    if answer.status.as_u16() != 400 {
        return false;
    }
    let failure: Failure = serde_json::from_slice(&answer.body).unwrap_or_default();
    matches!(
        short(&failure.kind),
        "ThrottlingException" | "Throttling" | "RequestLimitExceeded"
    ) || String::from_utf8_lossy(&answer.body).contains("<Code>Throttling</Code>")
}

fn short(kind: &str) -> &str {
    let name = kind.rsplit('#').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default()
}
