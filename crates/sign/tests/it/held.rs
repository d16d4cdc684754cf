//! A log that says "I have that already" (upstream Rekor v2 answers 409): the proof is read from its tiles.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::statement::Statement;
use proofmark_sign::{Options, SignError, Signer, Timing};
use proofmark_trust_root::{Service, ServiceKind, SigningConfig};
use proofmark_types::UnixTime;
use reqwest::Url;
use serde_json::json;
use tokio::net::TcpListener;

use crate::world::{World, fixture_key, image, now};

/// Before the real log: reads go through, writes are answered 409 with an index.
#[derive(Clone)]
struct Upstream {
    real: Url,
    index: u64,
}

async fn read(State(upstream): State<Upstream>, uri: Uri) -> Response {
    let url = upstream.real.join(uri.path()).unwrap();
    let answer = reqwest::get(url).await.unwrap();
    (answer.status(), answer.bytes().await.unwrap()).into_response()
}

async fn write(State(upstream): State<Upstream>, _: Bytes) -> Response {
    let header = [("x-log-index", upstream.index.to_string())];
    (StatusCode::CONFLICT, header, "an equivalent entry already exists").into_response()
}

async fn before(real: &Url, index: u64) -> SigningConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let app = Router::new()
        .route("/api/v2/log/entries", post(write))
        .fallback(get(read))
        .with_state(Upstream {
            real: real.clone(),
            index,
        });
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    SigningConfig::empty().with(ServiceKind::Log, Service::new(url, 2, UnixTime::EPOCH, "fake"))
}

fn statement(number: usize) -> Statement {
    let kind = PredicateType::resolve("custom").unwrap();
    Statement::attestation("a", &image(), kind, json!({"number": number}))
}

/// RSA signatures are the same each time, so that the entry that is there is the one that is written.
async fn again(world: &World, number: usize, index: u64, options: Options) -> Result<u64, SignError> {
    let real = world.config.logs(&[2], now()).unwrap()[0].url.clone();
    let config = before(&real, index).await;
    let signer = Signer::logged_key(fixture_key("rsa2048"), &config, options)?;
    let bundle = signer.sign_statement(&statement(number)).await?;
    Ok(bundle.material.tlog_entries[0].log_index)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_there_is_proven_from_tiles() {
    const ENTRIES: usize = 300;
    let world = World::start().await;
    let options = || Options {
        timing: Timing {
            attempts: 1,
            ..Timing::default()
        },
        ..world.options()
    };
    let config = SigningConfig::empty().with(ServiceKind::Log, world.config.logs(&[2], now()).unwrap()[0].clone());
    // More than a tile, so that proofs span two of them and a level above.
    let signer = Arc::new(Signer::logged_key(fixture_key("rsa2048"), &config, options()).unwrap());
    let mut indexes = Vec::new();
    for number in 0..ENTRIES {
        let bundle = signer.sign_statement(&statement(number)).await.unwrap();
        indexes.push(bundle.material.tlog_entries[0].log_index);
    }
    for number in [0, 1, 255, 256, 298, ENTRIES - 1] {
        // What comes back was verified against the trust root before it was handed out.
        assert_eq!(
            again(&world, number, indexes[number], options()).await.unwrap(),
            indexes[number]
        );
    }
    // Another entry's index, one that does not exist, and no trust root.
    let code = async |index, options| again(&world, 7, index, options).await.unwrap_err().code();
    assert_eq!(code(indexes[8], options()).await, "log-answer");
    assert_eq!(code(5000, options()).await, "log-answer");
    let blind = Options {
        trust_root: None,
        ..options()
    };
    assert_eq!(code(indexes[7], blind).await, "trusted-root-missing");
}
