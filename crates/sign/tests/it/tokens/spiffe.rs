//! A SPIFFE agent: gRPC over a socket, as SPIRE's answers it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{HeaderMap, HeaderValue, Response};
use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use super::{Job, good, with};

#[derive(Clone)]
enum Say {
    /// This token.
    Token(String),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A status in the trailers, or without content in the headers.
    Status(&'static str, bool),
    /// No trailers.
    Cut,
    /// No answer.
    Nothing,
}

struct Agent {
    folder: TempDir,
    asked: Arc<AtomicUsize>,
}

impl Agent {
    fn start(say: Say) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("api.sock")).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, say.clone()));
            }
        });
        Self { folder, asked }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }

    fn job(&self) -> Job {
        Job::new(&[("SPIFFE_ENDPOINT_SOCKET", format!("unix://{}", self.socket().display()))])
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

/// `bytes` as field `number`.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap());
    field.extend(bytes);
    field
}

fn answer(token: &str) -> Vec<u8> {
    let svid = [field(1, b"spiffe://acme.test/job"), field(2, token.as_bytes())].concat();
    let other = [field(1, b"spiffe://acme.test/other"), field(2, b"x")].concat();
    frame(&[field(1, &svid), field(1, &other)].concat())
}

async fn serve(stream: UnixStream, say: Say) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let header = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap());
        let right = request.uri().path() == "/SpiffeWorkloadAPI/FetchJWTSVID"
            && header("content-type") == "application/grpc"
            && header("te") == "trailers"
            && header("workload.spiffe.io") == "true";
        let say = say.clone();
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut asked = Vec::new();
            while let Some(Ok(chunk)) = body.data().await {
                asked.extend_from_slice(&chunk);
            }
            let right = right && asked == frame(&field(1, b"sigstore"));
            let ok = || Response::builder().header("content-type", "application/grpc");
            let status = |code: &'static str| {
                let message = HeaderValue::from_static("no identity issued");
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static(code));
                trailers.insert("grpc-message", message);
                trailers
            };
            let (bytes, code) = match say {
                _ if !right => (Vec::new(), "3"),
                Say::Token(token) => (answer(&token), "0"),
                Say::Bytes(bytes) => (bytes, "0"),
                Say::Status(code, true) => (Vec::new(), code),
                Say::Status(code, false) => {
                    let mut response = ok().body(()).unwrap();
                    response.headers_mut().extend(status(code));
                    respond.send_response(response, true).unwrap();
                    return;
                }
                Say::Cut => {
                    let mut stream = respond.send_response(ok().body(()).unwrap(), false).unwrap();
                    stream.send_data(Bytes::from(answer(&good())), true).unwrap();
                    return;
                }
                Say::Nothing => {
                    std::future::pending::<()>().await;
                    return;
                }
            };
            let mut stream = respond.send_response(ok().body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from(bytes), false).unwrap();
            stream.send_trailers(status(code)).unwrap();
        });
    }
}

#[tokio::test]
async fn the_agent_is_asked_for_a_token() {
    let agent = Agent::start(Say::Token(good()));
    let path = agent.socket().display().to_string();
    for address in [format!("unix://{path}"), format!("unix:{path}"), path.clone()] {
        let job = Job::new(&[("SPIFFE_ENDPOINT_SOCKET", address)]);
        assert_eq!(job.token().await.unwrap().claims().subject(), "job");
    }
    // Larger than one frame of HTTP/2.
    let long = with("more", json!("x".repeat(9_000)));
    assert!(Agent::start(Say::Token(long)).job().token().await.is_ok());
    // Where SPIRE listens by itself.
    let usual = tempfile::tempdir().unwrap();
    let folder = usual.path().join("tmp/spire-agent/public");
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(&path, folder.join("api.sock")).unwrap();
    let mut job = Job::new(&[]);
    job.root = usual.path().to_owned();
    assert_eq!(job.token().await.unwrap().claims().subject(), "job");
}

#[tokio::test]
async fn each_failure_of_the_agent_has_its_reason() {
    for (say, code, later, asked) in [
        (Say::Token(with("aud", json!("x"))), "token-audience", false, 1),
        (Say::Token(with("exp", json!(1_600_000_000))), "token-expired", false, 1),
        (Say::Token("x".to_owned()), "token-malformed", false, 1),
        (Say::Bytes(frame(b"")), "token-answer", false, 1),
        (Say::Bytes(vec![1, 2, 3]), "token-answer", false, 1),
        (Say::Bytes(vec![0; 60_000]), "token-answer", false, 1),
        (Say::Status("7", true), "spiffe-refused", false, 1),
        (Say::Status("7", false), "spiffe-refused", false, 1),
        (Say::Status("14", false), "spiffe-unreachable", true, 3),
        (Say::Cut, "spiffe-unreachable", true, 3),
        (Say::Nothing, "spiffe-unreachable", true, 3),
    ] {
        let agent = Agent::start(say);
        let error = agent.job().token().await.unwrap_err();
        assert_eq!((error.code(), error.is_unreachable()), (code, later), "{error}");
        assert_eq!(agent.asked.load(Ordering::Relaxed), asked, "{code}");
    }
    let job = |address: &str| Job::new(&[("SPIFFE_ENDPOINT_SOCKET", address.to_owned())]);
    assert_eq!(job("unix:///nowhere/api.sock").code().await, "spiffe-unreachable");
    for address in ["tcp://127.0.0.1:1", "unix:relative", "relative"] {
        assert_eq!(job(address).code().await, "spiffe-socket", "{address}");
    }
}
