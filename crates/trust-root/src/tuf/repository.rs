//! Where metadata and targets are fetched from: a web server, a folder, or files that an archive brought.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proofmark_types::innermost;
use reqwest::{Client, StatusCode, redirect};
use thiserror::Error;
use url::Url;

/// One file: the public instance's answer in tenths of a second.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Redirects within one host, such as to a path with a slash.
const MAX_REDIRECTS: usize = 3;

/// A place that has metadata and targets. Nothing that it says is believed for being said there.
#[derive(Clone, Debug)]
pub struct Repository(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Web {
        client: Client,
        metadata: Url,
        targets: Url,
    },
    Folder(PathBuf),
    Files(BTreeMap<String, Vec<u8>>),
}

impl Repository {
    /// A mirror: `http(s)://…` or `file:///…`; targets are below `targets/`.
    pub fn mirror(mirror: &Url) -> Result<Self, FetchError> {
        if mirror.scheme() == "file" {
            let path = mirror.to_file_path().map_err(|()| FetchError::Address {
                address: mirror.to_string(),
            })?;
            return Ok(Self(Kind::Folder(path)));
        }
        let mut targets = mirror.clone();
        targets.set_path(&format!("{}/targets", mirror.path().trim_end_matches('/')));
        Self::web(mirror.clone(), targets)
    }

    /// A web server with metadata and targets at two addresses.
    pub fn web(metadata: Url, targets: Url) -> Result<Self, FetchError> {
        for address in [&metadata, &targets] {
            let plain = matches!(address.scheme(), "http" | "https")
                && address.has_host()
                && address.query().is_none()
                && address.fragment().is_none();
            if !plain {
                return Err(FetchError::Address {
                    address: address.to_string(),
                });
            }
        }
        // A redirect to another host would let an answer decide where we connect.
        let same_host = redirect::Policy::custom(|attempt| {
            let first = attempt.previous().first();
            let same = first.is_some_and(|first| {
                first.host() == attempt.url().host()
                    && first.port_or_known_default() == attempt.url().port_or_known_default()
                    && first.scheme() == attempt.url().scheme()
            });
            if same && attempt.previous().len() <= MAX_REDIRECTS {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        let client = Client::builder()
            .redirect(same_host)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("proofmark/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| FetchError::Client {
                reason: innermost(&error),
            })?;
        Ok(Self(Kind::Web {
            client,
            metadata,
            targets,
        }))
    }

    /// One file by its whole address, for a root that is checked against a known hash.
    pub async fn download(address: &Url, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let mut base = address.clone();
        let name = address
            .path_segments()
            .and_then(|mut parts| parts.next_back())
            .unwrap_or_default();
        if let Ok(mut parts) = base.path_segments_mut() {
            parts.pop();
        }
        Self::web(base.clone(), base)?.metadata(name, limit).await
    }

    /// Files by their paths below the repository.
    #[must_use]
    pub fn files(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Kind::Files(files))
    }

    /// A metadata file, if it is there. `name` is one escaped segment.
    pub(super) async fn metadata(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.get(None, name, limit).await
    }

    /// A target, if it is there. `address` is made of escaped segments.
    pub(super) async fn target(&self, address: &str, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        self.get(Some("targets"), address, limit).await
    }

    async fn get(&self, below: Option<&str>, name: &str, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        match &self.0 {
            Kind::Web {
                client,
                metadata,
                targets,
            } => {
                let base = if below.is_some() { targets } else { metadata };
                fetch(client, base, name, limit).await
            }
            Kind::Folder(folder) => {
                let path = below
                    .map_or_else(|| folder.clone(), |below| folder.join(below))
                    .join(name);
                read(&path, limit)
            }
            Kind::Files(files) => {
                let path = below.map_or_else(|| name.to_owned(), |below| format!("{below}/{name}"));
                let found = files.get(&path);
                match found.filter(|bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit) {
                    Some(_) => Err(FetchError::TooLarge { file: path, limit }),
                    None => Ok(found.cloned()),
                }
            }
        }
    }
}

async fn fetch(client: &Client, base: &Url, name: &str, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
    let text = format!("{}/{name}", base.as_str().trim_end_matches('/'));
    let url = Url::parse(&text).map_err(|_| FetchError::Address { address: text.clone() })?;
    let failed = |error: reqwest::Error| FetchError::Unreachable {
        address: text.clone(),
        reason: innermost(&error),
    };
    let mut response = client.get(url).send().await.map_err(failed)?;
    match response.status() {
        StatusCode::OK => {}
        // Object stores answer 403 for what is not there where listing is not allowed.
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::GONE => return Ok(None),
        status => {
            return Err(FetchError::Status {
                address: text,
                status: status.as_u16(),
            });
        }
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if u64::try_from(body.len()).unwrap_or(u64::MAX) > limit {
            return Err(FetchError::TooLarge { file: text, limit });
        }
    }
    Ok(Some(body))
}

fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
    let failed = |source: io::Error| FetchError::File {
        path: path.to_owned(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(FetchError::TooLarge {
            file: path.display().to_string(),
            limit,
        });
    }
    Ok(Some(bytes))
}

/// Why a file could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No plain http, https or file address.
    #[error("\"{address}\" is no address of a mirror: expected http(s)://host/… or file:///…")]
    Address {
        /// What was given.
        address: String,
    },
    /// No client for the web could be made.
    #[error("no web client: {reason}")]
    Client {
        /// Why.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("{address} cannot be reached: {reason}")]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// Another answer than the file, or that it is not there.
    #[error("{address} answers {status}")]
    Status {
        /// The address.
        address: String,
        /// The status.
        status: u16,
    },
    /// More bytes than such a file may have.
    #[error("{file} has more than {limit} bytes")]
    TooLarge {
        /// The file.
        file: String,
        /// The limit.
        limit: u64,
    },
    /// A file of a mirror in a folder.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl FetchError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Address { .. } => "tuf-mirror",
            Self::TooLarge { .. } => "tuf-too-large",
            _ => "tuf-unreachable",
        }
    }
}
