//! Access tokens of Microsoft Entra for Key Vault and Container Registry, with the variables of Azure's own libraries ("Azure Identity,
//! environment variables"):
//!
//! 1. `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`;
//! 2. the same two with `AZURE_FEDERATED_TOKEN_FILE`: workload identity, and GitHub's or GitLab's token in a file;
//! 3. App Service, Functions and Container Apps: `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`;
//! 4. the virtual machine's managed identity, of `AZURE_CLIENT_ID` if that is set.
//!
//! The authority is `AZURE_AUTHORITY_HOST`, or that of `AZURE_ENVIRONMENT`, or that of the cloud in which the vault is.

use std::path::PathBuf;
use std::time::Duration;

use proofmark_types::UnixTime;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::http::Answer;
use crate::kms::settings::{Secret, Settings, address, join, local_address, read_file};
use crate::kms::wire::{Wire, json};
use crate::kms::{KmsError, now};

/// Tokens are renewed this long before they end.
const EARLY: Duration = Duration::from_secs(120);

/// No token is kept longer, whatever the answer says.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// Tokens for one audience.
#[derive(Debug)]
pub(super) struct Tokens {
    source: Source,
    audience: &'static str,
    held: Mutex<Option<(Secret, UnixTime)>>,
}

#[derive(Debug)]
enum Source {
    Secret {
        client: String,
        secret: Secret,
        url: Url,
    },
    Federated {
        client: String,
        file: PathBuf,
        url: Url,
    },
    AppService {
        client: Option<String>,
        header: Secret,
        url: Url,
    },
    Machine {
        client: Option<String>,
        url: Url,
    },
}

/// RFC 6749 section 5.1; managed identities answer numbers as text.
#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    expires_in: Option<Value>,
    expires_on: Option<Value>,
}

/// RFC 6749 section 5.2.
#[derive(Default, Deserialize)]
struct Denied {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Who issues tokens, by the environment and the vault's cloud.
pub(super) fn authority_of(settings: &Settings<'_>, vault: &str) -> Result<Url, KmsError> {
    if let Some(host) = settings.get("AZURE_AUTHORITY_HOST") {
        // Written with and without the scheme.
        let text = if host.contains("://") {
            host
        } else {
            format!("https://{host}/")
        };
        return address(&text).map_err(|reason| KmsError::Setting {
            name: "AZURE_AUTHORITY_HOST",
            reason,
        });
    }
    let china = "https://login.chinacloudapi.cn/";
    let government = "https://login.microsoftonline.us/";
    let host = match settings
        .get("AZURE_ENVIRONMENT")
        .as_deref()
        .map(str::to_ascii_uppercase)
        .as_deref()
    {
        Some("AZURECHINACLOUD") => china,
        Some("AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD") => government,
        Some(_) => "https://login.microsoftonline.com/",
        None if vault.ends_with(".azure.cn") || vault.ends_with(".azurecr.cn") => china,
        None if vault.ends_with(".usgovcloudapi.net") || vault.ends_with(".azurecr.us") => government,
        None => "https://login.microsoftonline.com/",
    };
    address(host).map_err(|reason| KmsError::Setting {
        name: "AZURE_AUTHORITY_HOST",
        reason,
    })
}

impl Tokens {
    /// Finds where tokens come from, in the order of the module.
    pub(super) fn find(settings: &Settings<'_>, authority: Url, audience: &'static str) -> Result<Self, KmsError> {
        let client = settings.get("AZURE_CLIENT_ID");
        let secret = settings.secret("AZURE_CLIENT_SECRET");
        let file = settings.get("AZURE_FEDERATED_TOKEN_FILE");
        let source = if secret.is_some() || file.is_some() {
            let url = token_address(settings, &authority)?;
            let client = client.ok_or_else(|| KmsError::Setting {
                name: "AZURE_CLIENT_ID",
                reason: "expected beside AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE, it is not set".to_owned(),
            })?;
            match (secret, file) {
                (Some(secret), _) => Source::Secret { client, secret, url },
                (None, file) => Source::Federated {
                    client,
                    file: file.unwrap_or_default().into(),
                    url,
                },
            }
        } else if let Some(endpoint) = settings.get("IDENTITY_ENDPOINT") {
            let name = "IDENTITY_ENDPOINT";
            let header = settings.secret("IDENTITY_HEADER").ok_or_else(|| KmsError::Setting {
                name: "IDENTITY_HEADER",
                reason: "expected beside IDENTITY_ENDPOINT, it is not set".to_owned(),
            })?;
            let url = local_address(&endpoint).map_err(|reason| KmsError::Setting { name, reason })?;
            Source::AppService { client, header, url }
        } else {
            let name = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
            let host = settings
                .get(name)
                .unwrap_or_else(|| "http://169.254.169.254/".to_owned());
            let url = local_address(&host).map_err(|reason| KmsError::Setting { name, reason })?;
            Source::Machine { client, url }
        };
        Ok(Self {
            source,
            audience,
            held: Mutex::new(None),
        })
    }

    /// A token that is valid for a while.
    pub(super) async fn get(&self, wire: &Wire) -> Result<Secret, KmsError> {
        let mut held = self.held.lock().await;
        if let Some((token, ends)) = held.as_ref()
            && *ends > now().plus(EARLY)
        {
            return Ok(token.clone());
        }
        let (token, ends) = self.fetch(wire).await?;
        *held = Some((token.clone(), ends));
        Ok(token)
    }

    async fn fetch(&self, wire: &Wire) -> Result<(Secret, UnixTime), KmsError> {
        let scope = format!("{}/.default", self.audience);
        match &self.source {
            Source::Secret { client, secret, url } => {
                let fields = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client),
                    ("client_secret", secret.expose()),
                    ("scope", &scope),
                ];
                grant(wire, url, &fields).await
            }
            Source::Federated { client, file, url } => {
                let assertion = read_file(file)?;
                let fields = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client),
                    (
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    ),
                    ("client_assertion", assertion.trim()),
                    ("scope", &scope),
                ];
                grant(wire, url, &fields).await
            }
            Source::AppService { client, header, url } => {
                let url = self.managed(url.clone(), "2019-08-01", client.as_deref());
                let make = || {
                    Ok(wire
                        .request(&Method::GET, &url)
                        .header("x-identity-header", header.header("")?))
                };
                granted(&wire.ask(&url, |_| false, make).await?, &url)
            }
            Source::Machine { client, url } => {
                let url = join(url, ["metadata", "identity", "oauth2", "token"]);
                let url = self.managed(url, "2018-02-01", client.as_deref());
                let answer = wire
                    .ask_metadata(&url, || Ok(wire.request(&Method::GET, &url).header("metadata", "true")))
                    .await
                    .map_err(|_| none_found())?;
                granted(&answer, &url)
            }
        }
    }

    fn managed(&self, mut url: Url, version: &str, client: Option<&str>) -> Url {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("api-version", version)
            .append_pair("resource", self.audience);
        if let Some(client) = client {
            query.append_pair("client_id", client);
        }
        drop(query);
        url
    }
}

fn token_address(settings: &Settings<'_>, authority: &Url) -> Result<Url, KmsError> {
    let name = "AZURE_TENANT_ID";
    let tenant = settings.get(name).ok_or_else(|| KmsError::Setting {
        name,
        reason: "expected beside AZURE_CLIENT_ID, it is not set".to_owned(),
    })?;
    // A GUID or a domain name; it becomes part of an address.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if !tenant.bytes().all(plain) || matches!(tenant.as_str(), "." | "..") {
        return Err(KmsError::Setting {
            name,
            reason: format!("expected a GUID or a domain name, seen {tenant:?}"),
        });
    }
    Ok(join(authority, [tenant.as_str(), "oauth2", "v2.0", "token"]))
}

async fn grant(wire: &Wire, url: &Url, fields: &[(&str, &str)]) -> Result<(Secret, UnixTime), KmsError> {
    let answer = wire.post_form(url, fields).await?;
    granted(&answer, url)
}

fn granted(answer: &Answer, url: &Url) -> Result<(Secret, UnixTime), KmsError> {
    if answer.status != StatusCode::OK {
        let denied: Denied = serde_json::from_slice(&answer.body).unwrap_or_default();
        return Err(KmsError::refused(url, answer, &denied.error, &denied.error_description));
    }
    let granted: Granted = json(answer, url)?;
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let now = now();
    let left = match (
        granted.expires_in.as_ref().and_then(number),
        granted.expires_on.as_ref().and_then(number),
    ) {
        (Some(seconds), _) => seconds,
        (None, Some(at)) => at.saturating_sub(u64::try_from(now.seconds()).unwrap_or_default()),
        (None, None) => 0,
    };
    Ok((granted.access_token, now.plus(Duration::from_secs(left).min(LIFE))))
}

fn none_found() -> KmsError {
    KmsError::NoCredentials {
        service: "Azure",
        hint: "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE; there is no \
               managed identity here",
    }
}
