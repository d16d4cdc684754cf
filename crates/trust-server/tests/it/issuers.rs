//! Identity providers that misbehave, over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proofmark_trust_server::{Clock, IssuerConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{Key, World, now};

/// A provider on a loopback port whose behaviour is a router; it counts the fetches of its keys.
struct Idp {
    url: String,
    pair: EcdsaKeyPair,
    fetches: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Habit {
    Good,
    RedirectsDiscovery,
    RedirectsKeys,
    NamesAnother,
    FloodsKeys,
    Fails,
}

impl Idp {
    async fn start(habit: Habit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk =
            json!({"kty": "EC", "crv": "P-256", "kid": "1", "x": encode(&point[1..33]), "y": encode(&point[33..])});
        let issuer = if habit == Habit::NamesAnother {
            "https://other.test".to_owned()
        } else {
            url.clone()
        };
        let document = json!({"issuer": issuer, "jwks_uri": format!("{url}/keys")});
        let fetches = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&fetches);
        let keys = move || async move {
            count.fetch_add(1, Ordering::Relaxed);
            match habit {
                Habit::RedirectsKeys => Redirect::temporary("/elsewhere").into_response(),
                Habit::FloodsKeys => vec![b' '; 300 * 1024].into_response(),
                Habit::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                _ => axum::Json(json!({"keys": [jwk]})).into_response(),
            }
        };
        let elsewhere = keys.clone();
        let discovery = move || async move {
            match habit {
                Habit::RedirectsDiscovery => Redirect::temporary("/document").into_response(),
                _ => axum::Json(document).into_response(),
            }
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery.clone()))
            .route("/document", get(discovery))
            .route("/keys", get(keys))
            .route("/elsewhere", get(elsewhere));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, pair, fetches }
    }

    fn token(&self, kid: &str) -> String {
        let claims = json!({
            "iss": self.url, "aud": "sigstore", "sub": "https://acme.test/job", "exp": now().seconds() + 60,
        });
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(json!({"alg": "ES256", "kid": kid})), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

async fn ask(habit: Habit, kids: &[&str]) -> (Vec<(u16, Value)>, usize) {
    let idp = Idp::start(habit).await;
    let world = World::with(vec![IssuerConfig::uri(&idp.url, "https://acme.test")], Clock::system()).await;
    let key = Key::new();
    let mut answers = Vec::new();
    for kid in kids {
        answers.push(world.certificate(&idp.token(kid), &key, "https://acme.test/job").await);
    }
    world.stop().await;
    (answers, idp.fetches.load(Ordering::Relaxed))
}

#[tokio::test]
async fn keys_are_fetched_once_and_used_again() {
    let (answers, fetches) = ask(Habit::Good, &["1", "1", "1"]).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    assert_eq!(fetches, 1);
}

#[tokio::test]
async fn invented_key_ids_do_not_make_the_server_ask_again_and_again() {
    let (answers, fetches) = ask(Habit::Good, &["1", "2", "3", "4", "5", "1"]).await;
    let reasons: Vec<&Value> = answers.iter().map(|(_, answer)| &answer["reason"]).collect();
    assert_eq!(reasons[1..5], [&json!("token-signature"); 4]);
    assert_eq!((answers[5].0, fetches), (200, 1));
}

#[tokio::test]
async fn an_issuer_that_fails_is_not_asked_by_every_request() {
    let (answers, fetches) = ask(Habit::Fails, &["1", "1", "2"]).await;
    for (status, answer) in &answers {
        assert_eq!((*status, &answer["reason"]), (503, &json!("token-issuer-unavailable")));
        assert!(answer["message"].as_str().unwrap().contains("answers 500"), "{answer}");
    }
    assert_eq!(fetches, 1);
}

/// fulcio 378c654f: a redirect would let another host choose the keys.
#[tokio::test]
async fn redirects_are_not_followed() {
    for habit in [Habit::RedirectsDiscovery, Habit::RedirectsKeys] {
        let (answers, _) = ask(habit, &["1"]).await;
        assert_eq!(
            (answers[0].0, &answers[0].1["reason"]),
            (503, &json!("token-issuer-unavailable"))
        );
    }
}

#[tokio::test]
async fn documents_of_another_issuer_floods_and_failures_are_refused() {
    for (habit, text) in [
        (Habit::NamesAnother, "is of https://other.test"),
        (Habit::FloodsKeys, "sends more than"),
        (Habit::Fails, "answers 500"),
    ] {
        let (answers, _) = ask(habit, &["1"]).await;
        assert_eq!(
            (answers[0].0, &answers[0].1["reason"]),
            (503, &json!("token-issuer-unavailable"))
        );
        assert!(
            answers[0].1["message"].as_str().unwrap().contains(text),
            "{}",
            answers[0].1
        );
    }
}
