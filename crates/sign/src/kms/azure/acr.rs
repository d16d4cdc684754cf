//! The password of Azure Container Registry: a refresh token of one registry, three hours long, for a token of Microsoft Entra
//! ("Azure Container Registry integration with Azure Active Directory", `/oauth2/exchange`).
//!
//! The token of Entra opens every registry that its holder may open, and is sent to the one host that was named alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proofmark_types::UnixTime;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::credentials::{Tokens, authority_of};
use crate::kms::settings::{Secret, host_address, join};
use crate::kms::wire::{Wire, json};
use crate::kms::{KmsError, Setup, now};

/// For whom the tokens of Entra are, in all clouds.
const AUDIENCE: &str = "https://containerregistry.azure.net";

/// The user name beside a refresh token.
const USER: &str = "00000000-0000-0000-0000-000000000000";

/// No refresh token is kept longer, whatever it says of itself; one that says nothing is kept for the shorter time.
const LIFE: Duration = Duration::from_secs(3 * 3600);
const UNSAID: Duration = Duration::from_secs(600);

/// One registry, as one identity.
#[derive(Debug)]
pub(in crate::kms) struct Acr {
    wire: Wire,
    url: Url,
    service: String,
    tokens: Tokens,
}

#[derive(Deserialize)]
struct Granted {
    refresh_token: Secret,
}

/// The errors of Docker's registries.
#[derive(Default, Deserialize)]
struct Denied {
    #[serde(default)]
    errors: Vec<Reason>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
}

impl Acr {
    pub(in crate::kms) fn of(host: &str, setup: &Setup<'_>) -> Result<Self, KmsError> {
        let base = host_address(host).map_err(|reason| KmsError::Registry { reason })?;
        let authority = authority_of(&setup.settings, host)?;
        Ok(Self {
            wire: Wire::new(setup.timing, &[])?,
            url: join(&base, ["oauth2", "exchange"]),
            service: host.to_owned(),
            tokens: Tokens::find(&setup.settings, authority, AUDIENCE)?,
        })
    }

    /// User name, password and end.
    pub(in crate::kms) async fn credential(&self) -> Result<(String, Secret, UnixTime), KmsError> {
        let token = self.tokens.get(&self.wire).await?;
        let fields = [
            ("grant_type", "access_token"),
            ("service", &self.service),
            ("access_token", token.expose()),
        ];
        let answer = self.wire.post_form(&self.url, &fields).await?;
        if answer.status != StatusCode::OK {
            let denied: Denied = serde_json::from_slice(&answer.body).unwrap_or_default();
            let reason = denied.errors.into_iter().next().unwrap_or_default();
            return Err(KmsError::refused(&self.url, &answer, &reason.code, &reason.message));
        }
        let granted: Granted = json(&answer, &self.url)?;
        let ends = end_of(&granted.refresh_token);
        Ok((USER.to_owned(), granted.refresh_token, ends))
    }
}

/// What the token says of its end. It is the registry's to check; here it only says when to ask again.
fn end_of(token: &Secret) -> UnixTime {
    let claims = token.expose().split('.').nth(1);
    let claims = claims.and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|bytes| serde_json::from_slice::<Claims>(&bytes).ok());
    match claims.and_then(|claims| UnixTime::from_seconds(claims.exp).ok()) {
        Some(end) => end.min(now().plus(LIFE)),
        None => now().plus(UNSAID),
    }
}
