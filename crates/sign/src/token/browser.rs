//! Logging in with a browser on this machine: the authorization code flow with its proofs.
//!
//! | what | against |
//! |---|---|
//! | `state` in the redirect is ours | another page starting a login of its own (RFC 6749 §10.12, GHSA-hm8f-75xx-w2vr) |
//! | `nonce` in the token is ours | a token of another login (OpenID Connect Core §3.1.3.7, step 11) |
//! | `code_verifier` (RFC 7636) | a code that somebody else saw |
//! | `iss` in the redirect, if it is there (RFC 9207) | a code of another issuer |
//!
//! The redirect comes to a port of this machine (RFC 8252 §7.3), which answers one page and is closed.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::detect::{Person, Sources};
use super::oauth::{Issuer, SCOPE, challenge, denied, random};
use super::{IdentityToken, TokenError};

/// What cosign registers at its issuers: any port of localhost, with this path.
const PATH: &str = "/auth/callback";

/// The largest head of a request that is read; codes have up to 2 KB.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most connections at one time; browsers open a few in advance.
const MAX_CONNECTIONS: usize = 16;

/// How long one connection may take to ask.
const HEAD_TIME: Duration = Duration::from_secs(30);

pub(super) async fn token(sources: &Sources<'_>, person: &dyn Person) -> Result<IdentityToken, TokenError> {
    let issuer = Issuer::discover(sources).await?;
    let door = Door::open(sources.options.redirect.as_ref()).await?;
    let (state, nonce, verifier) = (random()?, random()?, random()?);
    let mut address = issuer.authorization.clone().ok_or_else(|| TokenError::Issuer {
        issuer: issuer.name.clone(),
        reason: "its document has no authorization_endpoint",
    })?;
    address
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &sources.options.client_id)
        .append_pair("redirect_uri", door.redirect.as_str())
        .append_pair("scope", SCOPE)
        .append_pair("state", &state)
        .append_pair("nonce", &nonce)
        .append_pair("code_challenge", &challenge(&verifier))
        .append_pair("code_challenge_method", "S256");
    if person.browse(&address) {
        person.tell(&format!(
            "log in with the browser that opens; if none does, open {address}"
        ));
    } else {
        person.tell(&format!("to log in, open {address} in a browser on this machine"));
    }
    let wanted = Wanted {
        path: door.redirect.path().to_owned(),
        state: state.to_string(),
        issuer: issuer.name.clone(),
    };
    let patience = sources.options.patience;
    let code = tokio::time::timeout(patience, door.wait(&wanted))
        .await
        .unwrap_or(Err(TokenError::NobodyCame { after: patience }))?;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", door.redirect.as_str()),
        ("code_verifier", verifier.as_str()),
    ];
    let granted = issuer.ask_token(sources, &fields).await?;
    let token = issuer.granted(granted)?;
    if token.claims().text("nonce").as_deref() != Some(nonce.as_str()) {
        return Err(TokenError::Nonce);
    }
    Ok(token)
}

/// Where the browser comes back to.
struct Door {
    redirect: Url,
    listeners: Vec<TcpListener>,
}

/// What a redirect must be.
struct Wanted {
    path: String,
    state: String,
    issuer: String,
}

impl Door {
    /// Listens on this machine only: on the port of the given address, or any.
    async fn open(given: Option<&Url>) -> Result<Self, TokenError> {
        let redirect = match given {
            Some(url) if url.scheme() == "http" && proofmark_types::is_loopback(url) => Some(url.clone()),
            Some(url) => {
                return Err(TokenError::Redirect { seen: url.to_string() });
            }
            None => None,
        };
        let port = redirect.as_ref().map_or(0, |url| url.port().unwrap_or(80));
        let failed = |error: std::io::Error| TokenError::Listen {
            port,
            reason: error.to_string(),
        };
        let first = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .await
            .map_err(failed)?;
        let port = first.local_addr().map_err(failed)?.port();
        let mut listeners = vec![first];
        // A browser may take localhost for the other loopback; a machine may not have it.
        listeners.extend(
            TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port)))
                .await
                .ok(),
        );
        let redirect = match redirect {
            Some(url) => url,
            None => Url::parse(&format!("http://localhost:{port}{PATH}")).map_err(|_| TokenError::Engine)?,
        };
        Ok(Self { redirect, listeners })
    }

    /// The code that the browser brings. Whatever else is asked here is answered and passed over.
    async fn wait(&self, wanted: &Wanted) -> Result<Zeroizing<String>, TokenError> {
        let mut connections = JoinSet::new();
        loop {
            let accept = std::future::poll_fn(|context| {
                for listener in &self.listeners {
                    if let std::task::Poll::Ready(accepted) = listener.poll_accept(context) {
                        return std::task::Poll::Ready(accepted);
                    }
                }
                std::task::Poll::Pending
            });
            tokio::select! {
                accepted = accept, if connections.len() < MAX_CONNECTIONS => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(tokio::time::timeout(HEAD_TIME, read_target(stream)));
                    }
                }
                Some(done) = connections.join_next() => {
                    let Ok(Ok(Some((target, stream)))) = done else { continue };
                    let answered = wanted.read(&target);
                    reply(stream, answered.as_ref()).await;
                    if let Some(outcome) = answered {
                        return outcome;
                    }
                }
            }
        }
    }
}

impl Wanted {
    /// What a request is: none for anything but the redirect.
    fn read(&self, target: &str) -> Option<Result<Zeroizing<String>, TokenError>> {
        let url = Url::parse("http://localhost").ok()?.join(target).ok()?;
        if url.path() != self.path {
            return None;
        }
        let only = |name: &str| {
            let mut values = url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value);
            let first = values.next();
            // Of two, nobody can say which is meant.
            first
                .filter(|_| values.next().is_none())
                .map(|value| value.into_owned())
        };
        if only("state").is_none_or(|state| state != self.state) {
            return Some(Err(TokenError::State));
        }
        if let Some(issuer) = only("iss")
            && issuer != self.issuer
        {
            return Some(Err(TokenError::IssuerMismatch {
                expected: self.issuer.clone(),
                seen: issuer.chars().take(300).collect(),
            }));
        }
        if let Some(error) = only("error") {
            return Some(Err(denied(&error, only("error_description").as_deref())));
        }
        Some(
            only("code")
                .filter(|code| !code.is_empty())
                .map(Zeroizing::new)
                .ok_or_else(|| denied("no code", None)),
        )
    }
}

/// The target of a GET, and the connection to answer on.
async fn read_target(mut stream: TcpStream) -> Option<(String, TcpStream)> {
    let mut head = Vec::new();
    let mut chunk = [0; 2048];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let count = stream.read(&mut chunk).await.ok()?;
        if count == 0 || head.len() + count > MAX_HEAD_BYTES {
            return None;
        }
        head.extend_from_slice(&chunk[..count]);
    }
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    match (words.next(), words.next()) {
        (Some("GET"), Some(target)) if target.starts_with('/') && !target.starts_with("//") => {
            Some((target.to_owned(), stream))
        }
        _ => None,
    }
}

async fn reply(mut stream: TcpStream, outcome: Option<&Result<Zeroizing<String>, TokenError>>) {
    let (status, text) = match outcome {
        Some(Ok(_)) => ("200 OK", "You are logged in. This window can be closed."),
        Some(Err(_)) => ("400 Bad Request", "The login failed. The terminal says why."),
        None => ("404 Not Found", "There is nothing here."),
    };
    let page = format!("<!doctype html><meta charset=utf-8><title>proofmark</title><p>{text}");
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    let sent = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    // A browser that is gone by now does not matter.
    let _ = tokio::time::timeout(Duration::from_secs(5), sent).await;
}
