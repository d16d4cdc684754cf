//! Fetches feeds over HTTPS into files: bounded, hashed on the way, only if they changed.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use proofmark_types::{Digest, innermost, is_loopback};
use reqwest::header::{
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use reqwest::{Certificate, Client, ClientBuilder, Response, StatusCode, Url, redirect};

use super::feeds::{Feed, Kind, is_allowed};
use crate::context::{read_file, unwritable};
use crate::failure::{Exit, Failure};
use crate::hashed::Hashed;

/// EPSS redirects once, to the file of the day.
const MAX_REDIRECTS: usize = 5;
/// How often a feed is asked for, and the pause after the first failure, doubled after each further one.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
const CONNECT: Duration = Duration::from_secs(10);
/// A server that sends a byte a minute is not waited for.
const WHOLE: Duration = Duration::from_secs(30 * 60);
/// Longer validators than any server's are not sent back.
const MAX_VALIDATOR: usize = 512;

/// By what a server knows again what it sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Validators {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
}

/// What a publisher answered.
#[derive(Debug)]
pub(super) enum Fetched {
    /// What is kept is what there is.
    Unchanged,
    /// It is in the file.
    New {
        validators: Validators,
        digest: Digest,
        bytes: u64,
    },
}

/// The client for feeds. It has no credentials, and follows redirects from https to https alone.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Client,
    /// For plain http on this machine: past a proxy of the environment, which would look for it on its own.
    direct: Client,
}

impl Fetcher {
    /// `authorities` is a PEM file of what is believed beside the system's.
    pub(super) fn new(authorities: Option<&Path>, patience: Duration) -> Result<Self, Failure> {
        let broken = |error: reqwest::Error| {
            let message = format!("the HTTP client cannot be set up: {}", innermost(&error));
            Failure::usage("http-client", message)
        };
        let mut builder = Self::builder(patience);
        if let Some(path) = authorities {
            let certificates = Certificate::from_pem_bundle(&read_file(path)?).map_err(broken)?;
            if certificates.is_empty() {
                let message = format!("{} has no certificate in it: expected PEM", path.display());
                return Err(Failure::usage("http-client", message));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let direct = Self::builder(patience).no_proxy().tls_certs_only([]);
        Ok(Self {
            client: builder.build().map_err(broken)?,
            direct: direct.build().map_err(broken)?,
        })
    }

    fn builder(patience: Duration) -> ClientBuilder {
        Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT.min(patience))
            .read_timeout(patience)
            .user_agent(concat!("proofmark/", env!("CARGO_PKG_VERSION")))
    }

    /// Fetches a feed into a file, which is made anew. What is there already is known to the publisher by `kept`.
    /// Connection failures, 429 and 5xx are tried again.
    pub(super) async fn fetch(&self, feed: &Feed, kept: &Validators, into: &Path) -> Result<Fetched, Failure> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let once = tokio::time::timeout(WHOLE, self.once(feed, kept, into)).await;
            let failure = match once {
                Ok(Ok(fetched)) => return Ok(fetched),
                Ok(Err(failure)) => failure,
                Err(_) => unreachable(feed, &format!("not whole after {} s", WHOLE.as_secs())),
            };
            if attempt == ATTEMPTS || failure.code != "feed-unreachable" {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempt += 1;
        }
    }

    async fn once(&self, feed: &Feed, kept: &Validators, into: &Path) -> Result<Fetched, Failure> {
        let mut url = feed.url.clone();
        let mut redirects = 0;
        let response = loop {
            let response = self.ask(feed, &url, kept).await?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                break response;
            }
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                let message = format!("{} redirects more than {MAX_REDIRECTS} times", feed.url);
                return Err(refused("feed-redirect", message));
            }
            url = redirected(&url, &response)?;
        };
        match response.status() {
            StatusCode::NOT_MODIFIED if *kept != Validators::default() => Ok(Fetched::Unchanged),
            StatusCode::OK => read(feed, response, into).await,
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(unreachable(feed, &format!("it answered {status}")))
            }
            status => Err(refused(
                "feed-refused",
                format!("{url} answered {status}, expected 200 OK"),
            )),
        }
    }

    async fn ask(&self, feed: &Feed, url: &Url, kept: &Validators) -> Result<Response, Failure> {
        let client = if url.scheme() == "http" {
            &self.direct
        } else {
            &self.client
        };
        let mut request = client.get(url.clone());
        for (name, value) in [(IF_NONE_MATCH, &kept.etag), (IF_MODIFIED_SINCE, &kept.last_modified)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request
            .send()
            .await
            .map_err(|error| unreachable(feed, &innermost(&error)))
    }
}

/// Where to: to https, or, from plain http on this machine, to the same.
fn redirected(from: &Url, response: &Response) -> Result<Url, Failure> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let Some(location) = location else {
        return Err(refused("feed-redirect", format!("{from} redirects to nowhere")));
    };
    let to = from.join(location).ok().filter(|to| {
        let plain = to.scheme() == "http" && !(from.scheme() == "http" && is_loopback(from));
        is_allowed(to) && !plain && to.username().is_empty() && to.password().is_none()
    });
    to.ok_or_else(|| {
        let shown: String = location.chars().take(200).collect();
        let message = format!("{from} redirects to \"{shown}\": expected an https address");
        refused("feed-redirect", message)
    })
}

async fn read(feed: &Feed, mut response: Response, into: &Path) -> Result<Fetched, Failure> {
    let validators = Validators {
        etag: validator(response.headers(), &ETAG),
        last_modified: validator(response.headers(), &LAST_MODIFIED),
    };
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html")) {
        let message = format!(
            "{} answered with a page in HTML: expected {}",
            feed.url,
            expected(feed.kind)
        );
        return Err(refused("feed-not-one", message));
    }
    let too_large = || {
        let message = format!("{} has more than the {} bytes accepted", feed.url, feed.limit);
        refused("feed-too-large", message)
    };
    if response.content_length().is_some_and(|length| length > feed.limit) {
        return Err(too_large());
    }
    let unwritable = |error: std::io::Error| unwritable(into, &error);
    let mut file = Hashed::new(File::create(into).map_err(unwritable)?);
    let mut begun = Vec::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| unreachable(feed, &innermost(&error)))?
    {
        if file.size() + piece.len() as u64 > feed.limit {
            return Err(too_large());
        }
        if begun.len() < 4 {
            begun.extend(piece.iter().take(4));
            if begun.len() >= 4 && !begins(feed.kind, &begun) {
                let message = format!("{} does not begin like {}", feed.url, expected(feed.kind));
                return Err(refused("feed-not-one", message));
            }
        }
        file.write_all(&piece).map_err(unwritable)?;
    }
    if begun.len() < 4 {
        let message = format!(
            "{} answered with {} bytes: expected {}",
            feed.url,
            file.size(),
            expected(feed.kind)
        );
        return Err(refused("feed-not-one", message));
    }
    let (file, digest, bytes) = file.finish();
    file.sync_all().map_err(unwritable)?;
    Ok(Fetched::New {
        validators,
        digest,
        bytes,
    })
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Records(_) => "a zip file",
        Kind::Exploited => "CISA's catalogue in JSON",
        Kind::Scores => "EPSS scores in gzip",
    }
}

fn begins(kind: Kind, bytes: &[u8]) -> bool {
    match kind {
        Kind::Records(_) => bytes.starts_with(b"PK"),
        // White space may come before it, and a byte order mark.
        Kind::Exploited => bytes.contains(&b'{'),
        Kind::Scores => bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(b"#"),
    }
}

fn validator(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= MAX_VALIDATOR).then(|| text.to_owned())
}

/// The publisher was not reached, or does not feel well: it may later.
fn unreachable(feed: &Feed, why: &str) -> Failure {
    let message = format!("cannot fetch {}: {why}", feed.url);
    Failure::new(Exit::Undecided, "feed-unreachable", message)
}

/// The publisher was reached, and what it has is not the feed.
fn refused(code: &str, message: String) -> Failure {
    Failure::new(Exit::Undecided, code, message)
}
