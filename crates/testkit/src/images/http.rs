//! The few requests that pushing an image takes, on a bare socket: a client library under test must not be the tool that
//! prepares its own tests.

use std::io;
use std::net::SocketAddr;

use proofmark_types::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a registry answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The head's lines, the status line first.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Goes on only with this status.
    ///
    /// # Panics
    ///
    /// With any other.
    pub fn expect_status(&self, status: u16) -> &Self {
        let body = String::from_utf8_lossy(&self.body);
        assert!(self.status == status, "expected {status}, got {}\n{body}", self.head);
        self
    }
}

/// What clients say they accept; docker-registry hides manifests of a type that is not named.
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, */*";

/// Makes one request on a connection of its own.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    media_type: Option<&str>,
    body: &[u8],
) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    let kind = media_type
        .map(|kind| format!("content-type: {kind}\r\n"))
        .unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\naccept: {ACCEPT}\r\nconnection: close\r\n{kind}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    parse(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "expected an HTTP response"))
}

fn parse(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes.get(..end)?.to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let response = Response {
        status,
        head,
        body: bytes.get(end + 4..)?.to_vec(),
    };
    match response.header("transfer-encoding") {
        Some("chunked") => {
            let body = dechunked(&response.body)?;
            Some(Response { body, ..response })
        }
        _ => Some(response),
    }
}

fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(rest.get(..line)?).ok()?, 16).ok()?;
        rest = rest.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

/// Pushes a blob as every registry takes it: an upload is opened, and its location is given all the bytes.
///
/// # Panics
///
/// If the registry refuses.
pub async fn push_blob(registry: SocketAddr, repository: &str, bytes: &[u8]) -> Digest {
    let path = format!("/v2/{repository}/blobs/uploads/");
    let opened = request(registry, "POST", &path, None, b"")
        .await
        .expect("the registry answers");
    let location = opened
        .expect_status(202)
        .header("location")
        .expect("a location")
        .to_owned();
    let path = match location.split_once("//") {
        Some((_, rest)) => rest
            .find('/')
            .and_then(|slash| rest.get(slash..))
            .unwrap_or("/")
            .to_owned(),
        None => location,
    };
    let separator = if path.contains('?') { '&' } else { '?' };
    let digest = Digest::sha256_of(bytes);
    let path = format!("{path}{separator}digest={digest}");
    let finished = request(registry, "PUT", &path, Some("application/octet-stream"), bytes).await;
    finished.expect("the registry answers").expect_status(201);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_and_without_chunks() {
        let plain = parse(b"HTTP/1.1 404 Not Found\r\nX-Y: z\r\n\r\nbody").unwrap();
        assert_eq!(
            (plain.status, plain.header("x-y"), plain.body.as_slice()),
            (404, Some("z"), b"body".as_slice())
        );
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().body, b"abcd");
        assert!(parse(b"").is_none());
    }
}
