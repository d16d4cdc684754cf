//! Certificates change while the API server asks.
//!
//! The API server's clock is the machine's; the webhook's starts in the past and comes closer, so that every certificate
//! it makes is one that is valid now.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use proofmark_admission::{Certificates, Config, Kinds, Server};
use proofmark_types::UnixTime;

use super::objects::pod_of;
use super::{Site, assert_denied, until};
use crate::world::{Webhook, World};

const DAY: u64 = 24 * 3600;

fn days(number: u64) -> Duration {
    Duration::from_secs(number * DAY)
}

/// Serving certificates live 30 days and are renewed after 20; the authority lives 240, has a successor after 160, and
/// hands over after 180.
fn lifetimes(config: &mut Config) {
    config.tls.serving_lifetime = days(30);
    config.tls.authority_lifetime = days(240);
}

fn days_ago(number: u64) -> UnixTime {
    UnixTime::from_system(SystemTime::now()).minus(days(number))
}

fn set_clock(world: &World, days_ago: u64) {
    world
        .ahead
        .store(-i64::try_from(days_ago * DAY).unwrap(), Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, step by step")]
async fn certificates_and_authorities_change_and_no_request_fails() {
    let Some(site) = Site::new("rotation").await else {
        return;
    };
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    world.push("evil", "1.0", "evil").await;
    let (good, bad) = (pod_of("good", &[&signed]), pod_of("bad", &[&world.image("evil:1.0")]));
    let mut config = world.config();
    lifetimes(&mut config);
    drop(Certificates::open(config.tls.clone(), days_ago(185)).unwrap());
    set_clock(&world, 28);
    let webhook = world.webhook(&[world.policy("release", "")], lifetimes).await;
    let certificates = webhook.server.certificates().clone();
    let first = certificates.ca_bundle_pem();
    assert_eq!(first.matches("BEGIN CERTIFICATE").count(), 1);
    site.register(&webhook, &Kinds::default()).await;

    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = async {
        while !stop.load(Ordering::SeqCst) {
            site.try_create(&good, true).await.unwrap();
            assert_denied(site.try_create(&bad, true).await, "unsigned");
            asked.fetch_add(1, Ordering::SeqCst);
        }
    };
    let script = async {
        let some_requests = async || {
            let before = asked.load(Ordering::SeqCst);
            until("requests are answered", async || {
                asked.load(Ordering::SeqCst) > before + 2
            })
            .await;
        };
        some_requests().await;
        // The successor is published; the old one signs on.
        let before = certificates.serving_end();
        set_clock(&world, 24);
        until("there is a successor", async || certificates.ca_bundle_pem() != first).await;
        assert_eq!(certificates.serving_end(), before);
        assert_eq!(certificates.ca_bundle_pem().matches("BEGIN CERTIFICATE").count(), 2);
        some_requests().await;
        for object in site.configurations(&webhook, &Kinds::default()) {
            site.apply_configuration(&object).await;
        }
        some_requests().await;
        // The successor signs.
        set_clock(&world, 4);
        until("the successor signs", async || {
            certificates.ca_bundle_pem().matches("BEGIN CERTIFICATE").count() == 1
        })
        .await;
        assert!(certificates.serving_end() > before);
        some_requests().await;
        stop.store(true, Ordering::SeqCst);
    };
    futures::future::join(load, script).await;

    // Connections are kept; a new process makes the API server shake hands with the new certificate.
    let address = webhook.server.address();
    webhook.server.stop().await;
    let mut config = world.config();
    lifetimes(&mut config);
    config.listen = address;
    let webhook = Webhook::of(Server::start(config).await.unwrap());
    until("the webhook is called again", async || {
        site.try_create(&good, true).await.is_ok()
    })
    .await;
    assert_denied(site.try_create(&bad, true).await, "unsigned");

    // Who kept the first bundle trusts nobody who is there, and nothing is stored.
    let mut stale = site.configurations(&webhook, &Kinds::default());
    for object in &mut stale {
        use base64::Engine as _;
        object["webhooks"][0]["clientConfig"]["caBundle"] =
            base64::engine::general_purpose::STANDARD.encode(&first).into();
        site.apply_configuration(object).await;
    }
    until("the API server refuses the certificate", async || {
        let error = site.try_create(&good, false).await.err().map(|error| error.to_string());
        if error.is_none() {
            assert!(site.cluster.delete(&site.named(&good)).await.unwrap());
        }
        error.is_some_and(|error| error.contains("certificate signed by unknown authority"))
    })
    .await;
    assert!(site.stored(&good).await.is_none());
}
