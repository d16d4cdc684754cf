//! TLS, readiness, metrics, stopping.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proofmark_admission::{Server, StartError, TlsConfig, TrustSource};

use crate::world::{Wire, World, pod, trusting};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trusts_our_authority_is_served_and_no_other() {
    let world = World::new().await;
    let webhook = world.webhook(&[], |_| {}).await;
    assert_eq!(webhook.get("/healthz").await, (200, "ok\n".to_owned()));
    let stranger = tempfile::tempdir().unwrap();
    let tls = TlsConfig::new(stranger.path().to_owned(), vec!["127.0.0.1".into()]);
    let other = proofmark_admission::Certificates::open(tls, proofmark_types::UnixTime::EPOCH).unwrap();
    let refused = trusting(&other.ca_bundle_pem())
        .get(webhook.url("/healthz"))
        .send()
        .await
        .unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    // By name as well as by address.
    let by_name = webhook.url("/healthz").replace("127.0.0.1", "localhost");
    assert!(webhook.client.get(by_name).send().await.unwrap().status().is_success());
    // Plain HTTP gets nothing.
    let plain = webhook.url("/healthz").replace("https", "http");
    assert!(reqwest::Client::new().get(plain).send().await.is_err());
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_swapped_under_way() {
    const DAY: i64 = 24 * 3600;
    let world = World::new().await;
    // Started five days ago, as far as it knows; clients live today.
    world.ahead.store(-5 * DAY, Ordering::SeqCst);
    let webhook = world.webhook(&[], |_| {}).await;
    let bundle = webhook.server.ca_bundle_pem();
    let first = webhook.server.certificates().serving_end();
    assert_eq!(webhook.get("/healthz").await.0, 200);
    world.ahead.store(0, Ordering::SeqCst);
    webhook
        .until(|| async { webhook.server.certificates().serving_end() > first })
        .await;
    assert_eq!(webhook.server.ca_bundle_pem(), bundle);
    // The connection of before goes on, and a new one that trusts the same bundle gets the new certificate.
    assert_eq!(webhook.get("/healthz").await.0, 200);
    assert!(
        trusting(&bundle)
            .get(webhook.url("/healthz"))
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    webhook.server.stop().await;

    // An authority of 60 days that is 41 days old comes to its last third: the bundle grows, who trusts the old one is
    // still served, and so is who trusts both.
    std::fs::remove_dir_all(world.folder.path().join("tls")).unwrap();
    world.ahead.store(-41 * DAY, Ordering::SeqCst);
    let webhook = world
        .webhook(&[], |config| {
            config.tls.authority_lifetime = Duration::from_secs(60 * 24 * 3600)
        })
        .await;
    let old = webhook.server.ca_bundle_pem();
    world.ahead.store(0, Ordering::SeqCst);
    webhook.until(|| async { webhook.server.ca_bundle_pem() != old }).await;
    let both = webhook.server.ca_bundle_pem();
    assert!(both.starts_with(&old) && both.len() > old.len());
    for bundle in [&old, &both] {
        assert!(
            trusting(bundle)
                .get(webhook.url("/healthz"))
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
    assert!(webhook.metric("proofmark_admission_authority_remaining_seconds").await > 0.0);
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_what_is_missing() {
    let world = World::new().await;
    let webhook = world
        .webhook(&[world.policy("signed", "")], |config| {
            config.limits.renewal = Duration::from_secs(3600);
        })
        .await;
    let (status, text) = webhook.get("/readyz").await;
    assert_eq!(status, 200, "{text}");
    for part in [
        "policies: 1 in force",
        "trust root: none configured",
        "certificate: ",
        "ready",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // The certificate has ended and nobody renewed it.
    world.ahead.store(8 * 24 * 3600, Ordering::SeqCst);
    let (status, text) = webhook.get("/readyz").await;
    assert!(status == 503 && text.contains("not ready"), "{text}");
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_bounded_labels() {
    let world = World::new().await;
    let (image, _) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    webhook.validate(&pod(&[&image])).await.assert_allowed();
    assert!(!webhook.validate(&pod(&[&world.image("unsigned:1.0")])).await.allowed());
    webhook.mutate(&pod(&[&image])).await.assert_allowed();
    let (_, text) = webhook.get("/metrics").await;
    for line in [
        "proofmark_admission_reviews_total{path=\"validate\",operation=\"CREATE\",outcome=\"allowed\"} 1",
        "proofmark_admission_reviews_total{path=\"validate\",operation=\"CREATE\",outcome=\"denied\"} 1",
        "proofmark_admission_reviews_total{path=\"mutate\",operation=\"CREATE\",outcome=\"patched\"} 1",
        "proofmark_admission_decisions_total{policy=\"signed\",outcome=\"pass\"} 1",
        "proofmark_admission_decisions_total{policy=\"signed\",outcome=\"fail\"} 1",
        "proofmark_admission_evidence_lookups_total{result=\"fetched\"} 2",
        "proofmark_admission_tag_lookups_total{result=\"held\"} 1",
        "proofmark_admission_policies 1",
        "proofmark_admission_policies_current 1",
        "proofmark_admission_evidence_held_entries 2",
        "proofmark_admission_review_duration_seconds_count{path=\"validate\"} 2",
        "proofmark_admission_registry_requests_per_review_count 2",
    ] {
        assert!(text.lines().any(|seen| seen == line), "expected {line} in:\n{text}");
    }
    assert!(
        !text.contains("unsigned") && !text.contains("team-a"),
        "no image, no namespace in a label"
    );
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_requests_end_and_takes_no_more() {
    let world = World::new().await;
    let (image, _) = world.signed("app").await;
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    world.wire.send(Wire::Slow(Duration::from_millis(150))).unwrap();
    let url = webhook.url("/validate?timeout=10s");
    let (client, body) = (webhook.client.clone(), pod(&[&image]).to_string());
    let under_way = tokio::spawn(async move { client.post(url).body(body).send().await?.text().await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let address = webhook.server.address();
    webhook.server.stop().await;
    let text = under_way.await.unwrap().unwrap();
    assert!(text.contains("\"allowed\":true"), "{text}");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_not_to_start_has_its_code() {
    let world = World::new().await;
    world.write_policies(&[]);
    let code = async |change: fn(&mut proofmark_admission::Config)| {
        let mut config = world.config();
        change(&mut config);
        Server::start(config).await.unwrap_err().code()
    };
    assert_eq!(
        code(|config| config.policies = config.policies.as_ref().map(|folder| folder.join("absent"))).await,
        "policies-unreadable"
    );
    assert_eq!(
        code(|config| config.trust_root = Some(TrustSource::File(config.policies.as_ref().unwrap().join("absent"))))
            .await,
        "policies-unreadable"
    );
    assert_eq!(code(|config| config.tls.names.clear()).await, "tls-no-names");
    assert_eq!(
        code(|config| config.listen = "192.0.2.1:1".parse().unwrap()).await,
        "listen"
    );
    let error = Server::start({
        let mut config = world.config();
        std::fs::write(config.policies.as_ref().unwrap().join("bad.yaml"), "kind: x").unwrap();
        config.limits.reload = Duration::from_secs(1);
        config
    });
    assert!(matches!(error.await.unwrap_err(), StartError::Basis(_)));
}

/// A client that connects and says nothing does not keep a place for ever, nor others from being served.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_in_nobodys_way() {
    let world = World::new().await;
    let webhook = world.webhook(&[], |_| {}).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(tokio::net::TcpStream::connect(webhook.server.address()).await.unwrap());
    }
    assert_eq!(webhook.get("/healthz").await.0, 200);
    drop(silent);
    webhook.server.stop().await;
}
