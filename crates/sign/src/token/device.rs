//! Logging in by a code, with a browser that may be on another machine (RFC 8628).

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use tokio::time::Instant;

use super::detect::{Person, Secret, Sources};
use super::oauth::{Granted, Issuer, SCOPE, challenge, denied, random};
use super::{IdentityToken, TokenError};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Between two questions, where the issuer says nothing (RFC 8628 §3.2).
const USUAL_INTERVAL: u64 = 5;

/// How much longer after "slow down" (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// The longest pause and the longest life of a code that an issuer may ask for.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
const MAX_LIFE: Duration = Duration::from_secs(30 * 60);

/// The longest code a person is shown, and address.
const MAX_CODE: usize = 64;

#[derive(Deserialize)]
struct Answer {
    device_code: Option<Secret>,
    user_code: Option<String>,
    verification_uri: Option<String>,
    verification_uri_complete: Option<String>,
    expires_in: Option<u64>,
    interval: Option<u64>,
    error: Option<String>,
    error_description: Option<String>,
}

/// What was begun.
struct Begun {
    device_code: Secret,
    life: Duration,
    interval: Duration,
}

pub(super) async fn token(sources: &Sources<'_>, person: &dyn Person) -> Result<IdentityToken, TokenError> {
    let issuer = Issuer::discover(sources).await?;
    let verifier = random()?;
    let begun = begin(sources, &issuer, &challenge(&verifier), person).await?;
    let end = Instant::now() + begun.life;
    // A server that wants no pause gets one all the same.
    let mut interval = begun.interval.max(sources.timing.pause);
    let fields = [
        ("grant_type", GRANT),
        ("device_code", &begun.device_code),
        ("code_verifier", verifier.as_str()),
    ];
    loop {
        let wake = Instant::now() + interval;
        if wake > end {
            return Err(TokenError::CodeExpired);
        }
        tokio::time::sleep_until(wake).await;
        let granted: Granted = match issuer.ask_token(sources, &fields).await {
            // RFC 8628 §3.5: a time-out is answered with a longer pause.
            Err(error) if error.is_unreachable() => {
                interval = (interval * 2).min(MAX_INTERVAL);
                continue;
            }
            answered => answered?,
        };
        match granted.error.as_deref() {
            Some("authorization_pending") => {}
            Some("slow_down") => interval = (interval + SLOWER).min(MAX_INTERVAL),
            Some("expired_token") => return Err(TokenError::CodeExpired),
            _ => return issuer.granted(granted),
        }
    }
}

/// Asks for a code and shows it.
async fn begin(
    sources: &Sources<'_>,
    issuer: &Issuer,
    challenge: &str,
    person: &dyn Person,
) -> Result<Begun, TokenError> {
    let url = issuer.device.as_ref().ok_or_else(|| TokenError::Issuer {
        issuer: issuer.name.clone(),
        reason: "its document has no device_authorization_endpoint",
    })?;
    let fields = [
        ("client_id", sources.options.client_id.as_str()),
        ("scope", SCOPE),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ];
    let answer: Answer = issuer.post_form(url, &fields).await?;
    if let Some(error) = &answer.error {
        return Err(denied(error, answer.error_description.as_deref()));
    }
    let unusable = |reason| TokenError::Answer {
        from: "the identity provider",
        reason,
    };
    let device_code = answer.device_code.ok_or_else(|| unusable("it has no device_code"))?;
    // What is shown on a terminal has no control characters, and the address is one for a browser.
    let user_code = answer
        .user_code
        .filter(|code| code.len() <= MAX_CODE && code.chars().all(|c| c.is_ascii_graphic() || c == ' '))
        .ok_or_else(|| unusable("it has no user_code"))?;
    let address = [answer.verification_uri_complete, answer.verification_uri]
        .into_iter()
        .flatten()
        .find_map(|text| {
            Url::parse(&text)
                .ok()
                .filter(|url| matches!(url.scheme(), "https" | "http"))
        })
        .ok_or_else(|| unusable("it has no verification_uri"))?;
    let life = Duration::from_secs(answer.expires_in.unwrap_or(600)).min(MAX_LIFE);
    person.tell(&format!(
        "to log in, open {address} in a browser anywhere and enter the code {user_code}; it is good for {} minutes",
        life.as_secs().div_ceil(60)
    ));
    Ok(Begun {
        device_code,
        life,
        interval: Duration::from_secs(answer.interval.unwrap_or(USUAL_INTERVAL)).min(MAX_INTERVAL),
    })
}
