//! Fetching discovery documents and key sets: no redirects, bounded bodies, plain http to this machine only.

use std::time::Duration;

use proofmark_types::is_loopback;
use reqwest::{Client, redirect};
use url::Url;

/// How long an issuer may take; a signing client waits meanwhile.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest document: Google's key set has 2 kB, large ones some 20 kB.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Whether a document may be fetched from there: https, or http to a loopback address.
pub(crate) fn is_allowed(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    plain && (url.scheme() == "https" && url.has_host() || url.scheme() == "http" && is_loopback(url))
}

/// A client that follows no redirect: one from a discovery document to another host would let that host choose the
/// keys (fulcio 378c654f), and none is needed by any issuer.
pub(crate) fn client(ca_cert: Option<&str>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .no_proxy();
    if let Some(pem) = ca_cert {
        let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).map_err(|error| error.to_string())?;
        builder = builder.tls_certs_only([certificate]);
    }
    builder.build().map_err(|error| error.to_string())
}

/// The body of a document, if it is there and small enough.
pub(crate) async fn get(client: &Client, url: &Url) -> Result<Vec<u8>, String> {
    if !is_allowed(url) {
        return Err(format!("{url} is neither https nor on this machine"));
    }
    let mut response = client.get(url.clone()).send().await.map_err(|error| chain(&error))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("{url} answers {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(format!("{url} sends more than {MAX_BODY_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
