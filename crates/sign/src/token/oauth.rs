//! What the ways to log in have in common: the issuer's addresses (OpenID Connect Discovery 1.0) and its token endpoint
//! (RFC 6749 §3.2).
//!
//! The issuer must call itself what it was called, is asked in https or on this machine, and a redirect of the question
//! is not followed. The signature of a token that comes straight from the token endpoint is not checked (OpenID Connect
//! Core §3.1.3.7, step 6); the certificate authority does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::detect::{MAX_ANSWER_BYTES, Secret, Sources, form};
use super::options::PUBLIC_ISSUER;
use super::{IdentityToken, TokenError};
use crate::http::{Http, Timing};
use proofmark_types::is_loopback;

/// What is asked for: an identity, and the e-mail address that certificates of people are about.
pub(super) const SCOPE: &str = "openid email";

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Google's document has 1.3 KB, Keycloak's 6 KB.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// The most bytes of a client's secret.
const MAX_SECRET_BYTES: u64 = 8 * 1024;

/// The most characters of an issuer's refusal that are repeated.
const MAX_QUOTED: usize = 300;

/// An issuer, and where it is asked what.
pub(super) struct Issuer {
    http: Http,
    /// As it calls itself.
    pub(super) name: String,
    pub(super) authorization: Option<Url>,
    pub(super) device: Option<Url>,
    token: Url,
    basic: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: Option<String>,
    authorization_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What a token endpoint answers: a token, or an error (RFC 6749 §5.2).
#[derive(Deserialize)]
pub(super) struct Granted {
    pub(super) id_token: Option<Secret>,
    pub(super) error: Option<String>,
    error_description: Option<String>,
}

impl Issuer {
    /// Reads the issuer's document:
    ///
    /// 1. it is asked in https, or on this machine;
    /// 2. the issuer calls itself what was asked (Discovery §4.3), so that none can speak for another;
    /// 3. its addresses are as safe as its own;
    /// 4. if it says which proofs of a code it knows, SHA-256 is among them (RFC 8414 §2).
    pub(super) async fn discover(sources: &Sources<'_>) -> Result<Self, TokenError> {
        // 1.
        let asked = match &sources.options.issuer {
            Some(url) => url.as_str().to_owned(),
            None => PUBLIC_ISSUER.to_owned(),
        };
        let base = asked.trim_end_matches('/').to_owned();
        let refused = |reason: &'static str| TokenError::Issuer {
            issuer: base.clone(),
            reason,
        };
        let url = Url::parse(&format!("{base}{WELL_KNOWN}")).map_err(|_| refused("it is no address"))?;
        if !is_safe(&url, true) {
            return Err(refused("it is neither https nor on this machine"));
        }
        // Codes and device codes are good once: a repeated request would be refused.
        let timing = Timing {
            attempts: 1,
            ..sources.timing.clone()
        };
        let broken = |error| TokenError::Http {
            from: "the identity provider",
            source: Box::new(error),
        };
        let http = Http::new(timing, &[]).map_err(broken)?;
        let request = http.get(&url).header(ACCEPT, "application/json");
        let answer = sources
            .http("the identity provider")?
            .send(request, &url, http.timing().certificate, MAX_DOCUMENT_BYTES)
            .await
            .and_then(|answer| answer.expect(&url, &[StatusCode::OK]))
            .map_err(broken)?;
        let document: Document =
            serde_json::from_slice(&answer.body).map_err(|_| refused("its document is not that of OpenID Connect"))?;
        // 2.
        if document.issuer.trim_end_matches('/') != base {
            return Err(TokenError::IssuerMismatch {
                expected: base,
                seen: document.issuer.chars().take(MAX_QUOTED).collect(),
            });
        }
        // 3.
        let local = is_loopback(&url);
        let endpoint = |text: Option<String>| {
            let parsed = text.as_deref().map(Url::parse).transpose();
            match parsed.ok().flatten() {
                Some(url) if !is_safe(&url, local) => Err(refused("an address in its document is not https")),
                parsed => Ok(parsed),
            }
        };
        // 4.
        let challenges = document.code_challenge_methods_supported;
        if challenges.is_some_and(|known| !known.iter().any(|method| method == "S256")) {
            return Err(refused("it does not know the proof of a code by SHA-256"));
        }
        let methods = document.token_endpoint_auth_methods_supported;
        Ok(Self {
            authorization: endpoint(document.authorization_endpoint)?,
            device: endpoint(document.device_authorization_endpoint)?,
            token: endpoint(document.token_endpoint)?.ok_or_else(|| refused("its document has no token_endpoint"))?,
            basic: !methods.is_some_and(|known| known.iter().any(|method| method == "client_secret_post")),
            name: document.issuer,
            http,
        })
    }

    /// Asks the token endpoint. An answer that says no is an answer; only one that is none is an error.
    pub(super) async fn ask_token(
        &self,
        sources: &Sources<'_>,
        fields: &[(&str, &str)],
    ) -> Result<Granted, TokenError> {
        let client = sources.options.client_id.as_str();
        let secret = client_secret(sources)?;
        let mut all = fields.to_vec();
        all.push(("client_id", client));
        let mut request = self.http.post(&self.token);
        if let Some(secret) = &secret {
            if self.basic {
                // RFC 6749 §2.3.1: both are form-encoded first.
                request = request.basic_auth(encoded(client), Some(encoded(secret)));
            } else {
                all.push(("client_secret", secret));
            }
        }
        let request = request.body(form(&all).as_str().to_owned());
        self.read(&self.token, request).await
    }

    /// Posts a form and reads the JSON that answers it, whatever its status: errors are in it too.
    pub(super) async fn post_form<T: for<'d> Deserialize<'d>>(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
    ) -> Result<T, TokenError> {
        let request = self.http.post(url).body(form(fields).as_str().to_owned());
        self.read(url, request).await
    }

    async fn read<T: for<'d> Deserialize<'d>>(
        &self,
        url: &Url,
        request: reqwest::RequestBuilder,
    ) -> Result<T, TokenError> {
        let from = "the identity provider";
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        let answer = self
            .http
            .send(request, url, self.http.timing().certificate, MAX_ANSWER_BYTES)
            .await
            .map_err(|error| TokenError::Http {
                from,
                source: Box::new(error),
            })?;
        let status = answer.status;
        let known = [
            StatusCode::OK,
            StatusCode::BAD_REQUEST,
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
        ];
        if known.contains(&status)
            && let Ok(read) = serde_json::from_slice(&answer.body)
        {
            return Ok(read);
        }
        // What it says is not repeated: it may be what it was sent.
        let refused = crate::http::Answer {
            body: Vec::new(),
            ..answer
        };
        match refused.expect(url, &[StatusCode::OK]) {
            Ok(_) => Err(TokenError::Answer {
                from,
                reason: "it is not the JSON of the interface",
            }),
            Err(error) => Err(TokenError::Http {
                from,
                source: Box::new(error),
            }),
        }
    }

    /// The token of an answer that is to have one.
    pub(super) fn granted(&self, granted: Granted) -> Result<IdentityToken, TokenError> {
        if let Some(error) = &granted.error {
            return Err(denied(error, granted.error_description.as_deref()));
        }
        let text = granted.id_token.ok_or(TokenError::Answer {
            from: "the identity provider",
            reason: "it has no id_token",
        })?;
        let token = IdentityToken::parse(&text)?;
        if token.claims().issuer() != self.name {
            return Err(TokenError::IssuerMismatch {
                expected: self.name.clone(),
                seen: token.claims().issuer().chars().take(MAX_QUOTED).collect(),
            });
        }
        Ok(token)
    }
}

/// What the issuer says when it says no.
pub(super) fn denied(error: &str, description: Option<&str>) -> TokenError {
    let clean = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_QUOTED)
            .collect()
    };
    TokenError::Denied {
        error: clean(error),
        description: description.map(clean).filter(|text| !text.is_empty()),
    }
}

/// 256 random bits as text.
pub(super) fn random() -> Result<Zeroizing<String>, TokenError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| TokenError::Engine)?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}

/// RFC 7636 §4.2.
pub(super) fn challenge(verifier: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    URL_SAFE_NO_PAD.encode(hash)
}

fn is_safe(url: &Url, local: bool) -> bool {
    url.scheme() == "https" || (local && url.scheme() == "http" && is_loopback(url))
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn client_secret(sources: &Sources<'_>) -> Result<Option<Zeroizing<String>>, TokenError> {
    use std::io::Read;
    let Some(path) = &sources.options.client_secret_file else {
        return Ok(None);
    };
    let failed = |error: std::io::Error| TokenError::File {
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)
        .map_err(failed)?
        .take(MAX_SECRET_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(Some(Zeroizing::new(text.trim().to_owned())))
}
