//! Where Google's access tokens come from: application default credentials (Google Cloud, "How Application Default
//! Credentials works").
//!
//! 1. the file `GOOGLE_APPLICATION_CREDENTIALS`;
//! 2. gcloud's `application_default_credentials.json`;
//! 3. the metadata server of the virtual machine, the container or the function.
//!
//! Kinds of files: `service_account` (RFC 7523), `authorized_user` (RFC 6749 section 6) and `external_account`, workload
//! identity federation (RFC 8693) with the other side's token from a file or an address, and impersonation after it.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pkcs8::SecretDocument;
use proofmark_types::UnixTime;
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json as value};
use zeroize::Zeroizing;

use super::credentials::Token;
use crate::http::Answer;
use crate::kms::settings::{Secret, Settings, address, join, local_address, read_file};
use crate::kms::wire::{Wire, json, place, shown};
use crate::kms::{KmsError, now};

/// What impersonation asks its own service for.
const IMPERSONATION_SCOPE: &str = "https://www.googleapis.com/auth/iam";

/// Where tokens of people's accounts and of service accounts are made, unless the file says otherwise.
const TOKEN_ADDRESS: &str = "https://oauth2.googleapis.com/token";

const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// The longest life that is asked for.
const LIFE: std::time::Duration = std::time::Duration::from_secs(3600);

/// Where tokens come from, and who is charged.
#[derive(Debug)]
pub(super) struct Source {
    kind: Kind,
    /// All that the tokens are for.
    scope: &'static str,
    pub(super) quota_project: Option<String>,
}

#[derive(Debug)]
enum Kind {
    ServiceAccount {
        email: String,
        key: Secret,
        key_id: Option<String>,
        url: Url,
    },
    User {
        client: String,
        secret: Secret,
        refresh: Secret,
        url: Url,
    },
    Federated(Box<Federated>),
    Metadata {
        url: Url,
    },
}

#[derive(Debug)]
struct Federated {
    audience: String,
    subject_type: String,
    url: Url,
    impersonate: Option<Url>,
    subject: Subject,
}

/// The other side's token.
#[derive(Debug)]
struct Subject {
    place: Place,
    /// The member of a JSON document that has the token; the whole text otherwise.
    member: Option<String>,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Address { url: Url, headers: Vec<(String, Secret)> },
}

/// All kinds of files in one.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key: Option<Secret>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    refresh_token: Option<Secret>,
    quota_project_id: Option<String>,
    audience: Option<String>,
    subject_token_type: Option<String>,
    token_url: Option<String>,
    service_account_impersonation_url: Option<String>,
    credential_source: Option<CredentialSource>,
}

#[derive(Deserialize)]
struct CredentialSource {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, Secret>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

/// Finds where tokens come from, in the order of the module.
pub(super) fn find(settings: &Settings<'_>, scope: &'static str) -> Result<Source, KmsError> {
    let usual = "application_default_credentials.json";
    let path = match settings.get(VARIABLE) {
        // A file that is named and not there is an error, not a reason to look elsewhere.
        Some(path) => Some(PathBuf::from(path)),
        None => settings
            .get("CLOUDSDK_CONFIG")
            .map(|folder| Path::new(&folder).join(usual))
            .or_else(|| settings.home(".config/gcloud").map(|folder| folder.join(usual)))
            .filter(|path| path.is_file()),
    };
    let quota = settings.get("GOOGLE_CLOUD_QUOTA_PROJECT");
    if let Some(path) = path {
        let mut source = of_file(&path, scope)?;
        source.quota_project = quota.or(source.quota_project);
        return Ok(source);
    }
    let host = settings
        .get("GCE_METADATA_HOST")
        .unwrap_or_else(|| "metadata.google.internal".to_owned());
    let url = local_address(&format!("http://{host}/")).map_err(|reason| KmsError::Setting {
        name: "GCE_METADATA_HOST",
        reason,
    })?;
    Ok(Source {
        kind: Kind::Metadata { url },
        scope,
        quota_project: quota,
    })
}

fn of_file(path: &Path, scope: &'static str) -> Result<Source, KmsError> {
    let failed = |reason: String| KmsError::File {
        path: path.display().to_string(),
        reason,
    };
    let text = read_file(path)?;
    let file: File = serde_json::from_str(&text).map_err(|error| {
        // serde's text may quote a secret.
        failed(format!(
            "not Google's credentials in JSON (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    let quota_project = file.quota_project_id.clone();
    let kind = match file.kind.as_str() {
        "service_account" => service_account(file),
        "authorized_user" => user(file),
        "external_account" => federated(file).map(|federated| Kind::Federated(Box::new(federated))),
        other => Err(format!(
            "expected type service_account, authorized_user or external_account, seen {other:?}"
        )),
    };
    Ok(Source {
        kind: kind.map_err(failed)?,
        scope,
        quota_project,
    })
}

fn missing(member: &str) -> impl Fn() -> String {
    let text = format!("it has no {member}");
    move || text.clone()
}

fn service_account(file: File) -> Result<Kind, String> {
    Ok(Kind::ServiceAccount {
        email: file.client_email.ok_or_else(missing("client_email"))?,
        key: file.private_key.ok_or_else(missing("private_key"))?,
        key_id: file.private_key_id,
        url: address(file.token_uri.as_deref().unwrap_or(TOKEN_ADDRESS))?,
    })
}

fn user(file: File) -> Result<Kind, String> {
    Ok(Kind::User {
        client: file.client_id.ok_or_else(missing("client_id"))?,
        secret: file.client_secret.ok_or_else(missing("client_secret"))?,
        refresh: file.refresh_token.ok_or_else(missing("refresh_token"))?,
        url: address(file.token_uri.as_deref().unwrap_or(TOKEN_ADDRESS))?,
    })
}

fn federated(file: File) -> Result<Federated, String> {
    let source = file.credential_source.ok_or_else(missing("credential_source"))?;
    let place = match (source.file, source.url) {
        (Some(file), None) => Place::File(file),
        (None, Some(url)) => Place::Address {
            // GitHub's has a query, as no other address here.
            url: subject_address(&url)?,
            headers: source.headers.into_iter().collect(),
        },
        _ => {
            return Err("its credential_source has neither file nor url: \
                        tokens of AWS, of programs and of certificates are not taken"
                .to_owned());
        }
    };
    let member = match source.format {
        None => None,
        Some(format) if format.kind == "text" => None,
        Some(format) if format.kind == "json" => Some(
            format
                .subject_token_field_name
                .ok_or_else(missing("subject_token_field_name"))?,
        ),
        Some(format) => return Err(format!("expected format text or json, seen {:?}", format.kind)),
    };
    Ok(Federated {
        audience: file.audience.ok_or_else(missing("audience"))?,
        subject_type: file.subject_token_type.ok_or_else(missing("subject_token_type"))?,
        url: address(&file.token_url.ok_or_else(missing("token_url"))?)?,
        impersonate: file
            .service_account_impersonation_url
            .as_deref()
            .map(address)
            .transpose()?,
        subject: Subject { place, member },
    })
}

fn subject_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("credential_source.url: {error}"))?;
    local_address(shown(&url).as_str())?;
    Ok(url)
}

/// RFC 6749 section 5.1.
#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    expires_in: Option<u64>,
}

/// RFC 6749 section 5.2.
#[derive(Default, Deserialize)]
struct Denied {
    #[serde(default)]
    error: Value,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: Secret,
    expire_time: String,
}

impl Source {
    pub(super) async fn fetch(&self, wire: &Wire) -> Result<Token, KmsError> {
        match &self.kind {
            Kind::ServiceAccount {
                email,
                key,
                key_id,
                url,
            } => {
                let assertion = assertion(email, key, key_id.as_deref(), url, self.scope)?;
                let fields = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", assertion.expose()),
                ];
                grant(wire, url, &fields).await
            }
            Kind::User {
                client,
                secret,
                refresh,
                url,
            } => {
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("client_id", client),
                    ("client_secret", secret.expose()),
                    ("refresh_token", refresh.expose()),
                ];
                grant(wire, url, &fields).await
            }
            Kind::Federated(federated) => federated.fetch(wire, self.scope).await,
            Kind::Metadata { url } => metadata(wire, url, self.scope).await,
        }
    }
}

impl Federated {
    async fn fetch(&self, wire: &Wire, scope: &str) -> Result<Token, KmsError> {
        let subject = self.subject.fetch(wire).await?;
        let asked = if self.impersonate.is_some() {
            IMPERSONATION_SCOPE
        } else {
            scope
        };
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", &self.audience),
            ("scope", asked),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", &self.subject_type),
            ("subject_token", subject.expose()),
        ];
        let token = grant(wire, &self.url, &fields).await?;
        let Some(url) = &self.impersonate else {
            return Ok(token);
        };
        let body = value!({ "scope": [scope], "lifetime": format!("{}s", LIFE.as_secs()) });
        let answer = wire
            .ask(
                url,
                |_| false,
                || {
                    let bearer = token.text.header("Bearer ")?;
                    Ok(wire
                        .request(&Method::POST, url)
                        .header(AUTHORIZATION, bearer)
                        .json(&body))
                },
            )
            .await?;
        let made: Impersonated = json(&ok(answer, url)?, url)?;
        Ok(Token {
            text: made.access_token,
            ends: UnixTime::parse(&made.expire_time).map_err(|_| KmsError::Answer {
                url: place(url),
                reason: "expireTime is no RFC 3339 time".to_owned(),
            })?,
        })
    }
}

impl Subject {
    async fn fetch(&self, wire: &Wire) -> Result<Secret, KmsError> {
        let (text, from) = match &self.place {
            Place::File(path) => (read_file(path)?, path.display().to_string()),
            Place::Address { url, headers } => {
                let answer = wire
                    .ask(
                        url,
                        |_| false,
                        || {
                            headers
                                .iter()
                                .try_fold(wire.request(&Method::GET, url), |request, (name, value)| {
                                    Ok(request.header(name, value.header("")?))
                                })
                        },
                    )
                    .await?;
                let answer = ok(answer, url)?;
                let text = Zeroizing::new(String::from_utf8_lossy(&answer.body).into_owned());
                (text, shown(url).to_string())
            }
        };
        let Some(member) = &self.member else {
            return Ok(Secret::new(text.trim()));
        };
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        document
            .get(member)
            .and_then(Value::as_str)
            .map(Secret::new)
            .ok_or_else(|| KmsError::File {
                path: from,
                reason: format!("expected JSON with a token as {member:?}"),
            })
    }
}

/// RFC 7523 section 2.1, with the members that Google documents ("Using OAuth 2.0 for Server to Server Applications").
fn assertion(email: &str, key: &Secret, key_id: Option<&str>, audience: &Url, scope: &str) -> Result<Secret, KmsError> {
    let bad = |reason: &str| KmsError::Setting {
        name: VARIABLE,
        reason: format!("the private_key of {email} {reason}"),
    };
    let (label, document) = SecretDocument::from_pem(key.expose()).map_err(|_| bad("is no PEM"))?;
    if label != "PRIVATE KEY" {
        return Err(bad("is no PKCS #8 key"));
    }
    let pair = RsaKeyPair::from_pkcs8(document.as_bytes()).map_err(|_| bad("is no usable RSA key"))?;
    let mut header = value!({ "alg": "RS256", "typ": "JWT" });
    if let (Some(id), Value::Object(members)) = (key_id, &mut header) {
        members.insert("kid".to_owned(), Value::from(id));
    }
    let issued = now();
    let claims = value!({
        "iss": email,
        "scope": scope,
        "aud": audience.as_str(),
        "iat": issued.seconds(),
        "exp": issued.plus(LIFE).seconds(),
    });
    let encode = |document: &Value| URL_SAFE_NO_PAD.encode(document.to_string());
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| bad("does not sign"))?;
    Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// Asks a token endpoint.
async fn grant(wire: &Wire, url: &Url, fields: &[(&str, &str)]) -> Result<Token, KmsError> {
    let answer = wire.post_form(url, fields).await?;
    if answer.status != StatusCode::OK {
        let denied: Denied = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = denied.error.as_str().unwrap_or_default();
        return Err(KmsError::refused(url, &answer, code, &denied.error_description));
    }
    granted(&answer, url)
}

fn granted(answer: &Answer, url: &Url) -> Result<Token, KmsError> {
    let granted: Granted = json(answer, url)?;
    let life = std::time::Duration::from_secs(granted.expires_in.unwrap_or_default()).min(LIFE);
    Ok(Token {
        text: granted.access_token,
        ends: now().plus(life),
    })
}

async fn metadata(wire: &Wire, base: &Url, scope: &str) -> Result<Token, KmsError> {
    const FLAVOR: &str = "metadata-flavor";
    let path = [
        "computeMetadata",
        "v1",
        "instance",
        "service-accounts",
        "default",
        "token",
    ];
    let mut url = join(base, path);
    url.query_pairs_mut().append_pair("scopes", scope);
    let answer = wire
        .ask_metadata(&url, || Ok(wire.request(&Method::GET, &url).header(FLAVOR, "Google")))
        .await
        .map_err(|_| none_found())?;
    // Anything may answer to that name in somebody's network; Google's says so.
    if answer.headers.get(FLAVOR).is_none_or(|flavor| flavor != "Google") {
        return Err(none_found());
    }
    granted(&ok(answer, &url)?, &url)
}

fn none_found() -> KmsError {
    KmsError::NoCredentials {
        service: "Google Cloud",
        hint: "set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`; there is no metadata \
               server here",
    }
}

fn ok(answer: Answer, url: &Url) -> Result<Answer, KmsError> {
    answer.expect(&shown(url), &[StatusCode::OK]).map_err(KmsError::Http)
}
