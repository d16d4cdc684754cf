//! Services that misbehave: each failure has its code, and nothing is waited for or read without a bound.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::statement::Statement;
use proofmark_sign::token::{AUDIENCE, IdentityToken, Sources, TokenOptions, detect};
use proofmark_sign::{KeylessSession, Options, SignError, Signer, SigningKey, Timing};
use proofmark_trust_root::{Service, ServiceKind, SigningConfig, load_trust_root};
use proofmark_types::UnixTime;
use proofmark_verify::KeyAlgorithm;
use reqwest::Url;
use serde_json::json;
use tokio::net::TcpListener;

use crate::world::{World, image, now};

/// What the fake answers, whatever it is asked.
#[derive(Clone)]
enum Say {
    Status(StatusCode, String),
    Header(StatusCode, &'static str, &'static str),
    Nothing,
    Endless,
    Hangup,
}

#[derive(Clone)]
struct Fake {
    say: Say,
    asked: Arc<AtomicUsize>,
}

async fn answer(State(fake): State<Fake>, _: Bytes) -> axum::response::Response {
    fake.asked.fetch_add(1, Ordering::Relaxed);
    match fake.say {
        Say::Status(status, text) => (status, text).into_response(),
        Say::Header(status, name, value) => {
            let header = [(HeaderName::from_static(name), HeaderValue::from_static(value))];
            (status, HeaderMap::from_iter(header)).into_response()
        }
        Say::Nothing => std::future::pending().await,
        Say::Endless => Body::new(Zeros).into_response(),
        Say::Hangup => Body::new(Broken).into_response(),
    }
}

struct Zeros;

impl http_body::Body for Zeros {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[b'0'; 4096])))))
    }
}

struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

async fn fake(say: Say) -> (Url, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let state = Fake {
        say,
        asked: Arc::clone(&asked),
    };
    let app = Router::new().fallback(answer).with_state(state);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, asked)
}

fn timing() -> Timing {
    let short = Duration::from_millis(300);
    Timing {
        certificate: short,
        log: short,
        timestamp: short,
        attempts: 3,
        pause: Duration::from_millis(5),
    }
}

fn options() -> Options {
    // Some root: nothing here gets so far that it is asked.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/keyless/trusted_root.json");
    Options {
        trust_root: Some(Arc::new(load_trust_root(&file).unwrap())),
        timing: timing(),
        ..Options::default()
    }
}

fn service(url: Url) -> Service {
    let version = if url.path() == "/v2" { 2 } else { 1 };
    Service::new(url, version, UnixTime::EPOCH, "fake")
}

fn token() -> IdentityToken {
    IdentityToken::parse(&raw_token()).unwrap()
}

fn raw_token() -> String {
    use base64::Engine as _;
    let part = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let exp = now().plus(Duration::from_secs(600)).seconds();
    let claims = json!({"iss": "https://i.test", "sub": "s", "aud": AUDIENCE, "exp": exp}).to_string();
    format!("{}.{}.{}", part("{}".into()), part(claims), part("s".into()))
}

/// An authority, and a timestamp authority that is never asked.
fn with_time(authority: Service) -> SigningConfig {
    let clock = service(Url::parse("https://tsa.acme.test").unwrap());
    SigningConfig::empty()
        .with(ServiceKind::Authority, authority)
        .with(ServiceKind::TimestampAuthority, clock)
}

fn statement() -> Statement {
    Statement::attestation("a", &image(), PredicateType::resolve("custom").unwrap(), json!({}))
}

/// The failure of each service, when it says that.
async fn failures(say: Say) -> [(SignError, usize); 4] {
    let (url, asked) = fake(say).await;
    let taken = || asked.swap(0, Ordering::Relaxed);
    let authority = with_time(service(url.clone()));
    let first = KeylessSession::begin(&authority, token(), options()).await.unwrap_err();
    let first = (first, taken());
    let sign = async |config: SigningConfig| {
        let signer = Signer::logged_key(
            SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap(),
            &config,
            options(),
        )
        .unwrap();
        signer.sign_statement(&statement()).await.unwrap_err()
    };
    let logs = SigningConfig::empty();
    let second = sign(logs.clone().with(ServiceKind::Log, service(url.join("/v2").unwrap()))).await;
    let second = (second, taken());
    let third = sign(logs.clone().with(ServiceKind::Log, service(url.clone()))).await;
    let third = (third, taken());
    let fourth = sign(logs.with(ServiceKind::TimestampAuthority, service(url.clone()))).await;
    [first, second, third, (fourth, taken())]
}

async fn codes(say: Say) -> [(&'static str, bool, usize); 4] {
    failures(say)
        .await
        .map(|(error, asked)| (error.code(), error.is_unreachable(), asked))
}

#[tokio::test]
async fn a_service_that_fails_is_asked_again_and_then_named() {
    let status = |status: StatusCode| Say::Status(status, "{\"message\":\"why\"}".to_owned());
    for passing in [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        assert_eq!(codes(status(passing)).await, [("service-refused", true, 3); 4]);
    }
    for lasting in [
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::METHOD_NOT_ALLOWED,
        StatusCode::CONFLICT,
    ] {
        assert_eq!(codes(status(lasting)).await, [("service-refused", false, 1); 4]);
    }
    for (error, _) in failures(status(StatusCode::BAD_REQUEST)).await {
        let text = error.to_string();
        assert!(text.contains("400") && text.contains("why"), "{text}");
    }
}

#[tokio::test]
async fn cve_2026_49478_and_cve_2026_49835_redirects_are_not_followed() {
    let elsewhere = Say::Header(StatusCode::TEMPORARY_REDIRECT, "location", "http://127.0.0.1:1/");
    assert_eq!(codes(elsewhere).await, [("service-refused", false, 1); 4]);
}

#[tokio::test]
async fn silence_and_trickles_end() {
    let start = Instant::now();
    assert_eq!(codes(Say::Nothing).await, [("service-timeout", true, 3); 4]);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(codes(Say::Endless).await, [("service-answer-too-large", false, 1); 4]);
    assert_eq!(codes(Say::Hangup).await, [("service-unreachable", true, 3); 4]);
}

#[tokio::test]
async fn answers_that_are_none_are_named() {
    let answers = |text: &str| Say::Status(StatusCode::OK, text.to_owned());
    let expected = [
        ("authority-answer", false, 1),
        ("log-answer", false, 1),
        ("log-answer", false, 1),
        ("timestamp-answer", false, 1),
    ];
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "<html>",
        r#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":[]}}}"#,
    ] {
        assert_eq!(codes(answers(text)).await, expected, "{text}");
    }
    for chain in [
        json!(["nonsense"]),
        json!(["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]),
        json!(vec![""; 11]),
    ] {
        let text = json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}).to_string();
        assert_eq!(codes(answers(&text)).await[0], expected[0]);
    }
}

/// A 409 with an index whose proof cannot be read says so; nothing is made up.
#[tokio::test]
async fn a_conflict_without_proof_is_a_failure() {
    let conflict = Say::Header(StatusCode::CONFLICT, "x-log-index", "5");
    let [_, (error, _), _, _] = failures(conflict).await;
    assert_eq!(error.code(), "service-refused", "{error}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let config = with_time(service(url));
    let error = KeylessSession::begin(&config, token(), options()).await.unwrap_err();
    assert_eq!((error.code(), error.is_unreachable()), ("service-unreachable", true));
}

#[tokio::test]
async fn configurations_that_will_not_do_ask_nobody() {
    let url = |text: &str| service(Url::parse(text).unwrap());
    let begin = async |config: SigningConfig| KeylessSession::begin(&config, token(), options()).await.unwrap_err();
    let timeless = SigningConfig::empty().with(ServiceKind::Authority, url("https://fulcio.acme.test"));
    assert_eq!(begin(timeless).await.code(), "signing-config-no-timestamp-authority");
    let nobody = SigningConfig::empty().with(ServiceKind::TimestampAuthority, url("https://tsa.acme.test"));
    assert_eq!(begin(nobody).await.code(), "signing-config-no-authority");
    assert_eq!(
        begin(with_time(url("http://fulcio.acme.test"))).await.code(),
        "authority-not-https"
    );
    // A Rekor v2 says no time; a log of a version to come is not written.
    let log = |version| Service {
        major_api_version: version,
        ..url("https://rekor.acme.test")
    };
    let authority = || SigningConfig::empty().with(ServiceKind::Authority, url("https://fulcio.acme.test"));
    let today = authority().with(ServiceKind::Log, log(2));
    assert_eq!(begin(today).await.code(), "signing-config-no-timestamp-authority");
    let tomorrow = authority().with(ServiceKind::Log, log(3));
    assert_eq!(begin(tomorrow).await.code(), "signing-config-too-few-logs");
}

/// The certificate of another answer: the key is not ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_on_another_key_is_refused() {
    let world = World::start().await;
    let session = world.ci_session().await.unwrap();
    let pem = proofmark_evidence::encoding::pem_encode("CERTIFICATE", session.certificate());
    let text = json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": [pem]}}}).to_string();
    let [(error, _), ..] = failures(Say::Status(StatusCode::OK, text)).await;
    assert_eq!(error.code(), "authority-answer");
    assert!(error.to_string().contains("another key"), "{error}");
}

#[tokio::test]
async fn github_gives_a_token_or_says_why_not() {
    let detect_at = async |say: Say| {
        let (url, asked) = fake(say).await;
        let address = format!("{url}token?api-version=2.0");
        let environment = move |name: &str| match name {
            "ACTIONS_ID_TOKEN_REQUEST_URL" => Some(address.clone()),
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => Some("job secret".to_owned()),
            _ => None,
        };
        let sources = Sources {
            given: None,
            options: &TokenOptions::default(),
            environment: &environment,
            root: Path::new("/nowhere"),
            person: None,
            timing: timing(),
            now: now(),
        };
        (detect(&sources).await, asked.load(Ordering::Relaxed))
    };
    let ok = |text: String| Say::Status(StatusCode::OK, text);
    let (found, _) = detect_at(ok(json!({"value": raw_token()}).to_string())).await;
    assert_eq!(found.unwrap().claims().subject(), "s");
    assert_eq!(
        detect_at(ok("{}".to_owned())).await.0.unwrap_err().code(),
        "token-answer"
    );
    assert_eq!(
        detect_at(ok(r#"{"value":"x"}"#.to_owned())).await.0.unwrap_err().code(),
        "token-malformed"
    );
    assert_eq!(
        detect_at(Say::Endless).await.0.unwrap_err().code(),
        "service-answer-too-large"
    );
    let (error, asked) = detect_at(Say::Status(StatusCode::BAD_GATEWAY, "job secret is bad".to_owned())).await;
    let error = error.unwrap_err();
    assert_eq!((error.is_unreachable(), asked), (true, 3));
    assert!(
        !error.to_string().contains("secret") && !error.to_string().contains("api-version"),
        "{error}"
    );
}
