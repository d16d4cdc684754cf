//! Registries that refuse, break, lie or hang, and what a person is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::debian_like;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::world::{Registry, closed_port, fails, fixture_path, home, run, write};

/// Answers every request with the same words; with none, never.
async fn answering(words: &'static str) -> SocketAddr {
    serving(move |_| words.as_bytes().to_vec()).await
}

/// Answers every request with what `answer` makes of its first line.
async fn serving(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut request).await {
                    let head = String::from_utf8_lossy(&request[..count]).into_owned();
                    let words = answer(head.lines().next().unwrap_or_default());
                    if stream.write_all(&words).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

fn asked(home: &Sandbox, image: &str) -> [proofmark_testkit::command::Outcome; 3] {
    let key = fixture_path("cosign/keys/p256/cosign.pub");
    [
        run(home, ["verify", "--key", &key, "--insecure-ignore-tlog", image]),
        run(home, ["sbom", image]),
        run(home, ["tree", image]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_answers_decides_the_exit_code() {
    let home = Sandbox::new();
    let cases = [
        (
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"r\"\r\ncontent-length: 0\r\n\r\n",
            20,
            "unauthorized",
            "docker login",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
            20,
            "denied",
            "permission",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            11,
            "not-found",
            "check the name",
        ),
        (
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n",
            1,
            "throttled",
            "try again",
        ),
        (
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            1,
            "unexpected-status",
            "500",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
            1,
            "malformed",
            "",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", 1, "unreachable", ""),
    ];
    for (words, exit, code, word) in cases {
        let image = format!("{}/app:1.0", answering(words).await);
        for outcome in asked(&home, &image) {
            fails(&outcome, exit, code);
            assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_and_nobody_answering() {
    let home = Sandbox::new();
    for outcome in asked(&home, &format!("{}/app:1.0", closed_port())) {
        fails(&outcome, 1, "unreachable");
    }
    let image = format!("{}/app:1.0", answering("").await);
    let started = Instant::now();
    let outcome = run(&home, ["tree", "--registry-timeout", "1", &image]);
    fails(&outcome, 1, "timeout");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// The image is there and the place of its signatures is not to be read: that is not "unsigned".
#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_cannot_be_read_decides_nothing() {
    let home = Sandbox::new();
    let key = fixture_path("cosign/keys/p256/cosign.pub");
    for (status, code) in [
        ("500 Internal Server Error", "unexpected-status"),
        ("429 Too Many Requests\r\nretry-after: 3600", "throttled"),
        ("503 Service Unavailable\r\nretry-after: 3600", "throttled"),
    ] {
        for hidden in ["/referrers/", ".sig", ".att"] {
            let image = debian_like();
            let address = serving(move |line| {
                let (kind, body) = if line.contains("/manifests/1.0 ") {
                    ("200 OK", image.manifest())
                } else if line.contains(hidden) {
                    (status, &b""[..])
                } else {
                    ("404 Not Found", &b""[..])
                };
                let kind_of_body = image.descriptor().media_type.as_str();
                let head = format!(
                    "HTTP/1.1 {kind}\r\ncontent-type: {kind_of_body}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let body = if line.starts_with("HEAD") { &b""[..] } else { body };
                [head.as_bytes(), body].concat()
            })
            .await;
            let image = format!("{address}/app:1.0");
            let outcome = run(&home, ["verify", "--key", &key, "--insecure-ignore-tlog", &image]);
            let outcome = fails(&outcome, 1, "evidence-incomplete");
            assert!(
                outcome.stderr.contains(&format!("[{code}]")),
                "{hidden}: {}",
                outcome.stderr
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_users() {
    let users = proofmark_registry_server::Htpasswd::parse(&format!("ci:{}\n", bcrypt_of_secret())).unwrap();
    let registry = Registry::with(|config| config.htpasswd = Some(users)).await;
    let image = registry.image("app:1.0");
    let without = Sandbox::new();
    for outcome in asked(&without, &image) {
        let outcome = fails(&outcome, 20, "unauthorized");
        assert!(outcome.stderr.contains("hint: log in"), "{}", outcome.stderr);
    }
    let with = |password: &str| {
        use base64::Engine as _;
        let home = Sandbox::new();
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("ci:{password}"));
        std::fs::create_dir(home.path().join(".docker")).unwrap();
        let config = serde_json::json!({"auths": {registry.address().to_string(): {"auth": auth}}});
        write(&home.path().join(".docker"), "config.json", config.to_string());
        home
    };
    for outcome in asked(&with("wrong"), &image) {
        let outcome = fails(&outcome, 20, "unauthorized");
        assert!(!outcome.stderr.contains("wrong"), "a password is never shown");
    }
    for outcome in asked(&with("secret"), &image) {
        fails(&outcome, 11, "not-found");
    }
}

/// What `htpasswd -nbB -C 4 ci secret` prints after the colon.
fn bcrypt_of_secret() -> &'static str {
    "$2b$04$qUjRs2lopNbfpqodSa.rq.kA/0FMKJtUaqMjSiHMAiY/Tb1O8Dl3K"
}

/// A registry that takes the referrer and the reader that comes later must see the same; one that takes pushes and
/// fails afterwards leaves no success behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_cannot_write_is_no_release() {
    let home = home();
    let layouts = home.path().join("layout");
    debian_like().write_layout(&layouts, "1.0");
    let server = proofmark_testkit::layouts::LayoutServer::start(vec![proofmark_testkit::layouts::Layout {
        repository: "app".to_owned(),
        folder: layouts,
        shape: proofmark_testkit::manifest::Shape::ReferrersApi,
    }])
    .await;
    // It reads, and refuses every write.
    let image = format!("{}/app:1.0", server.address());
    let outcome = run(&home, ["release", "--key", "cosign.key", &image]);
    fails(&outcome, 1, "unexpected-status");
    assert!(!outcome.stderr.contains("released"), "{}", outcome.stderr);
}
