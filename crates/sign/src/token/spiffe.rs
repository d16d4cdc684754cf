//! SPIFFE: a JWT-SVID of the workload API (SPIFFE_Workload_API.md §6.2; `workload.proto`, `FetchJWTSVID`), which is
//! gRPC over a socket of this machine. Who we are is what the agent sees of our process; nothing is proven here.
//!
//! One unary call with one text in it needs no gRPC stack: HTTP/2 carries five bytes of frame and a message of two fields.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use h2::client;
use reqwest::header::HeaderMap;

use super::detect::Sources;
use super::{IdentityToken, MAX_TOKEN_BYTES, TokenError};

mod message;

const VARIABLE: &str = "SPIFFE_ENDPOINT_SOCKET";
/// Where SPIRE's agent listens unless told otherwise, and where cosign looks; below the root of the file system.
const USUAL: &str = "tmp/spire-agent/public/api.sock";
const METHOD: &str = "http://localhost/SpiffeWorkloadAPI/FetchJWTSVID";

/// An agent that is starting says so, and answers soon after.
const UNAVAILABLE: &str = "14";

/// The largest answer: a few tokens, of which the first is ours.
const MAX_ANSWER_BYTES: usize = 8 * MAX_TOKEN_BYTES;

/// The most characters of an agent's refusal that are repeated.
const MAX_QUOTED: usize = 300;

/// Whether there is an agent.
pub(super) fn is_here(sources: &Sources<'_>) -> bool {
    sources.variable(VARIABLE).is_some() || sources.root.join(USUAL).exists()
}

/// Asks the agent; again if it is not ready yet.
pub(super) async fn token(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    let path = socket(sources)?;
    let limit = sources.timing.certificate;
    let mut attempt = 1;
    loop {
        let asked = tokio::time::timeout(limit, fetch(&path, sources.audience()));
        let outcome = asked
            .await
            .unwrap_or_else(|_| Err(unreachable(&path, format!("no answer within {} ms", limit.as_millis()))));
        match outcome {
            Err(error) if error.is_unreachable() && attempt < sources.timing.attempts => {}
            other => return IdentityToken::parse(&other?),
        }
        tokio::time::sleep(sources.timing.pause.saturating_mul(attempt).min(Duration::from_secs(5))).await;
        attempt += 1;
    }
}

/// SPIFFE_Workload_Endpoint.md §4: `unix:` with a path. cosign gives the path alone. TCP is not asked: anybody on this
/// machine could listen there.
fn socket(sources: &Sources<'_>) -> Result<PathBuf, TokenError> {
    let Some(text) = sources.variable(VARIABLE) else {
        return Ok(sources.root.join(USUAL));
    };
    let path = match text.strip_prefix("unix:") {
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None => &text,
    };
    match Path::new(path) {
        path if path.is_absolute() => Ok(path.to_owned()),
        _ => Err(TokenError::Socket { seen: text }),
    }
}

async fn fetch(path: &Path, audience: &str) -> Result<String, TokenError> {
    let broken = |error: h2::Error| unreachable(path, error.to_string());
    let stream = connect(path).await?;
    let (client, connection) = client::handshake(stream).await.map_err(broken)?;
    let driver = Driver(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %error, "the connection with the SPIFFE agent ended");
        }
    }));
    let mut client = client.ready().await.map_err(broken)?;
    // The header keeps a browser that was tricked into asking from being answered (SPIFFE_Workload_Endpoint.md §3).
    let request = http::Request::post(METHOD)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("workload.spiffe.io", "true")
        .body(())
        .map_err(|error| unreachable(path, error.to_string()))?;
    let (response, mut body) = client.send_request(request, false).map_err(broken)?;
    body.send_data(Bytes::from(message::request(audience)), true)
        .map_err(broken)?;
    let response = response.await.map_err(broken)?;
    // An answer without content has its status in the headers.
    check(path, response.headers())?;
    if response.status() != http::StatusCode::OK {
        return Err(unreachable(path, format!("it answered {}", response.status())));
    }
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(broken)?;
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(unusable("it is too large"));
        }
        body.flow_control().release_capacity(chunk.len()).map_err(broken)?;
        bytes.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await.map_err(broken)?.unwrap_or_default();
    if !trailers.contains_key("grpc-status") {
        return Err(unreachable(path, "the answer was cut short".to_owned()));
    }
    check(path, &trailers)?;
    drop(driver);
    message::first_token(&bytes).map_err(unusable)
}

#[cfg(unix)]
async fn connect(path: &Path) -> Result<tokio::net::UnixStream, TokenError> {
    tokio::net::UnixStream::connect(path)
        .await
        .map_err(|error| unreachable(path, error.to_string()))
}

#[cfg(not(unix))]
async fn connect(path: &Path) -> Result<tokio::net::TcpStream, TokenError> {
    Err(unreachable(path, "there are no such sockets on this system".to_owned()))
}

/// The status of gRPC: 0, or why not.
fn check(path: &Path, headers: &HeaderMap) -> Result<(), TokenError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(UNAVAILABLE) => Err(unreachable(path, quoted(text("grpc-message")))),
        Some(status) => Err(TokenError::Spiffe {
            status: status.chars().take(3).collect(),
            message: quoted(text("grpc-message")),
        }),
    }
}

fn quoted(message: Option<&str>) -> String {
    message
        .unwrap_or("no reason given")
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_QUOTED)
        .collect()
}

fn unreachable(path: &Path, reason: String) -> TokenError {
    TokenError::Agent {
        path: path.display().to_string(),
        reason,
    }
}

fn unusable(reason: &'static str) -> TokenError {
    TokenError::Answer {
        from: "the SPIFFE agent",
        reason,
    }
}

/// Ends the connection's task with the request.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
