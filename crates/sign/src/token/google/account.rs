//! Google's files of credentials: a service account's key, and what `gcloud auth application-default login` leaves.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proofmark_evidence::encoding::pem_decode_all;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::TokenError;
use super::super::detect::{Asked, Secret, Sources, answer, form, service_address};
use super::{CREDENTIALS, FROM, unusable};

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// What may be asked of Google's services with an access token.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Google takes an hour at most; it is used at once.
const LIFETIME: Duration = Duration::from_secs(600);

pub(super) enum Credentials {
    ServiceAccount(ServiceAccount),
    Person(Person),
}

pub(super) struct ServiceAccount {
    email: String,
    key_id: String,
    token_uri: String,
    pair: RsaKeyPair,
}

/// What the login of a person leaves: a secret that is good until it is taken back.
pub(super) struct Person {
    token_uri: String,
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key: Option<Secret>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    refresh_token: Option<Secret>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<Secret>,
    access_token: Option<Secret>,
}

impl Credentials {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let wire: Wire = serde_json::from_str(text).map_err(|_| "it is not Google's JSON of credentials")?;
        match wire.kind.as_str() {
            "service_account" => wire.service_account().map(Self::ServiceAccount),
            "authorized_user" => match (wire.client_id, wire.client_secret, wire.refresh_token) {
                (Some(client_id), Some(client_secret), Some(refresh_token)) => Ok(Self::Person(Person {
                    token_uri: wire.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned()),
                    client_id,
                    client_secret,
                    refresh_token,
                })),
                _ => Err("client_id, client_secret or refresh_token is missing"),
            },
            _ => Err("its type is neither service_account nor authorized_user"),
        }
    }
}

impl Wire {
    fn service_account(self) -> Result<ServiceAccount, &'static str> {
        let (Some(email), Some(pem)) = (self.client_email, self.private_key) else {
            return Err("client_email or private_key is missing");
        };
        let blocks = pem_decode_all("PRIVATE KEY", &pem).ok_or("private_key is not PEM")?;
        let [der] = blocks.as_slice() else {
            return Err("private_key is not one key");
        };
        let der = Zeroizing::new(der.clone());
        Ok(ServiceAccount {
            email,
            key_id: self.private_key_id.unwrap_or_default(),
            token_uri: self.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned()),
            pair: RsaKeyPair::from_pkcs8(&der).map_err(|_| "private_key is not an RSA key")?,
        })
    }
}

impl ServiceAccount {
    pub(super) async fn identity_token(&self, sources: &Sources<'_>) -> Result<Secret, TokenError> {
        let tokens = self.ask(sources, ("target_audience", sources.audience())).await?;
        tokens.id_token.ok_or_else(|| unusable("it has no id_token"))
    }

    pub(super) async fn access_token(&self, sources: &Sources<'_>) -> Result<Secret, TokenError> {
        let tokens = self.ask(sources, ("scope", SCOPE)).await?;
        tokens.access_token.ok_or_else(|| unusable("it has no access_token"))
    }

    /// RFC 7523: what we are is said in a token that we sign ourselves.
    async fn ask(&self, sources: &Sources<'_>, (claim, value): (&str, &str)) -> Result<Tokens, TokenError> {
        let now = sources.now;
        let mut claims = json!({
            "iss": self.email,
            "sub": self.email,
            "aud": self.token_uri,
            "iat": now.seconds(),
            "exp": now.plus(LIFETIME).seconds(),
        });
        claims[claim] = Value::from(value);
        let assertion = self.sign(&claims)?;
        let form = form(&[("grant_type", JWT_BEARER), ("assertion", &assertion)]);
        exchange(sources, &self.token_uri, form, &assertion).await
    }

    fn sign(&self, claims: &Value) -> Result<Zeroizing<String>, TokenError> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| TokenError::Engine)?;
        Ok(Zeroizing::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

impl Person {
    pub(super) async fn access_token(&self, sources: &Sources<'_>) -> Result<Secret, TokenError> {
        let form = form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("refresh_token", &self.refresh_token),
        ]);
        let tokens = exchange(sources, &self.token_uri, form, &self.refresh_token).await?;
        tokens.access_token.ok_or_else(|| unusable("it has no access_token"))
    }
}

/// The access token that the metadata server answers.
pub(super) fn access_token_of(body: &[u8]) -> Result<Secret, TokenError> {
    let tokens: Tokens = serde_json::from_slice(body).map_err(|_| unusable("it is not the JSON of the interface"))?;
    tokens.access_token.ok_or_else(|| unusable("it has no access_token"))
}

async fn exchange(
    sources: &Sources<'_>,
    token_uri: &str,
    form: Zeroizing<String>,
    secret: &str,
) -> Result<Tokens, TokenError> {
    let url = service_address(CREDENTIALS, token_uri)?;
    let http = sources.http(FROM)?;
    let asked = Asked {
        request: http
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.as_str().to_owned()),
        shown: &url,
        from: FROM,
        secret,
    };
    let answer = answer(&http, asked, &[StatusCode::OK]).await?;
    serde_json::from_slice(&answer.body).map_err(|_| unusable("it is not the JSON of the interface"))
}
