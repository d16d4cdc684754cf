//! The webhook is killed under load, and a cluster starts from nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use proofmark_admission::{Kinds, Server};
use proofmark_testkit::peers::KubeApiServer;
use serde_json::{Value, json};

use super::objects::{object, pod_of, spec_of};
use super::{Site, assert_denied, guarded, until};
use crate::world::{Webhook, World};

/// Requests at once.
const CALLERS: usize = 6;

/// What became of requests.
#[derive(Default)]
struct Tally {
    good_stored: AtomicUsize,
    bad_stored: AtomicUsize,
    denied: AtomicUsize,
    /// The API server could not call the webhook, and refused.
    failed: AtomicUsize,
    other: std::sync::Mutex<Vec<String>>,
}

impl Tally {
    fn count(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::SeqCst)
    }
}

/// Makes Pods, by turns of a signed and of an unsigned image, until told to stop.
async fn press(site: &Site, signed: &str, bad: &str, stop: &AtomicBool, tally: &Tally, caller: usize) {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        let is_bad = number % 2 == 0;
        let pod = pod_of(&format!("load-{caller}-{number}"), &[if is_bad { bad } else { signed }]);
        match site.try_create(&pod, false).await {
            Ok(_) if is_bad => tally.bad_stored.fetch_add(1, Ordering::SeqCst),
            Ok(_) => tally.good_stored.fetch_add(1, Ordering::SeqCst),
            Err(error) if error.status() == Some(403) && is_bad => tally.denied.fetch_add(1, Ordering::SeqCst),
            Err(error) if error.to_string().contains("failed calling webhook") => {
                tally.failed.fetch_add(1, Ordering::SeqCst)
            }
            Err(error) => {
                tally.other.lock().unwrap().push(error.to_string());
                0
            }
        };
    }
}

/// The load goes on while the webhook is there, gone, and there again.
async fn killed_under_load(failure_policy: &str, namespace: &str) -> Option<Arc<Tally>> {
    let (site, world, webhook) = guarded(namespace).await?;
    let (signed, _) = world.signed("app").await;
    world.push("evil", "1.0", "evil").await;
    let bad = world.image("evil:1.0");
    for mut object in site.configurations(&webhook, &Kinds::default()) {
        object["webhooks"][0]["failurePolicy"] = failure_policy.into();
        site.apply_configuration(&object).await;
    }
    let address = webhook.server.address();
    let (stop, tally) = (AtomicBool::new(false), Arc::new(Tally::default()));
    let load = futures::future::join_all((0..CALLERS).map(|caller| press(&site, &signed, &bad, &stop, &tally, caller)));
    let script = async {
        until("both answers are given", async || {
            Tally::count(&tally.good_stored) > 3 && Tally::count(&tally.denied) > 3
        })
        .await;
        // Connections are cut in the middle of whatever they carry.
        drop(webhook);
        let good = Tally::count(&tally.good_stored);
        let before = Tally::count(&tally.failed) + Tally::count(&tally.bad_stored);
        until("requests meet no webhook", async || {
            Tally::count(&tally.failed) + Tally::count(&tally.bad_stored) > before + 5
        })
        .await;
        let mut config = world.config();
        config.listen = address;
        let webhook = Webhook::of(Server::start(config).await.unwrap());
        // A moment for those that were under way; from here on everything is asked about again.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (bad_stored, denied) = (Tally::count(&tally.bad_stored), Tally::count(&tally.denied));
        until("both answers are given again", async || {
            Tally::count(&tally.good_stored) > good + 3 && Tally::count(&tally.denied) > denied + 3
        })
        .await;
        assert_eq!(
            Tally::count(&tally.bad_stored),
            bad_stored,
            "what is unsigned is refused again"
        );
        stop.store(true, Ordering::SeqCst);
        webhook
    };
    let (_, _webhook) = futures::future::join(load, script).await;
    // What is stored is what was counted.
    let list = site
        .cluster
        .get(&format!("/api/v1/namespaces/{namespace}/pods"))
        .await
        .unwrap();
    let stored_bad = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|pod| {
            pod["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap()
                .starts_with(&bad)
        })
        .count();
    assert_eq!(stored_bad, Tally::count(&tally.bad_stored));
    let other = tally.other.lock().unwrap();
    assert!(other.is_empty(), "{other:?}");
    drop(other);
    Some(tally)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_nothing_unsigned_is_stored_with_fail() {
    let Some(tally) = killed_under_load("Fail", "killed-fail").await else {
        return;
    };
    assert_eq!(Tally::count(&tally.bad_stored), 0);
    assert!(Tally::count(&tally.failed) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_ignore_lets_through_while_it_is_gone_and_not_after() {
    let Some(tally) = killed_under_load("Ignore", "killed-ignore").await else {
        return;
    };
    // That is what Ignore means, and why `install` never writes it.
    assert!(Tally::count(&tally.bad_stored) > 0);
    assert_eq!(Tally::count(&tally.failed), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, step by step")]
async fn a_cluster_starts_from_nothing_with_the_webhook_registered_and_not_running() {
    let Some(mut server) = KubeApiServer::start_or_skip().await else {
        return;
    };
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    let webhook = world.webhook(&[world.policy("release", "")], |_| ()).await;
    let address = webhook.server.address();
    let site = Site::on(&server.kubeconfig(), "apps").await;
    // The namespace of the webhook's Service is left out, as are the system's.
    let mut configurations = site.configurations(&webhook, &Kinds::default());
    for object in &mut configurations {
        let expressions = object["webhooks"][0]["namespaceSelector"]["matchExpressions"]
            .as_array_mut()
            .unwrap();
        expressions.truncate(1);
        expressions[0]["values"]
            .as_array_mut()
            .unwrap()
            .push("proofmark".into());
        site.apply_configuration(object).await;
    }
    site.until_asked(&webhook).await;
    drop(webhook);
    server.restart().await;

    let site = Site {
        cluster: proofmark_admission::Cluster::connect(Some(&server.kubeconfig()))
            .await
            .unwrap(),
        ..site
    };
    site.make_namespace("proofmark").await;
    // What the cluster itself needs, and the webhook's own Deployment and Pods, start without it.
    for (namespace, object) in [
        ("kube-system", pod_of("coredns", &["registry.example.com/coredns:1"])),
        (
            "proofmark",
            object(
                "Deployment",
                "proofmark-admission",
                &spec_of(&["registry.example.com/proofmark:1"]),
            ),
        ),
        (
            "proofmark",
            pod_of("proofmark-admission-0", &["registry.example.com/proofmark:1"]),
        ),
    ] {
        if namespace == "kube-system" {
            let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
            let path = "/api/v1/namespaces/kube-system/serviceaccounts";
            site.cluster.create(path, &account).await.unwrap();
        }
        let path = super::objects::path(&object, namespace);
        site.cluster.create(&path, &object).await.unwrap();
    }
    // Nothing else does.
    let pod = pod_of("web", &[&signed]);
    let error = site.try_create(&pod, false).await.unwrap_err();
    assert!(error.to_string().contains("failed calling webhook"), "{error}");

    let mut config = world.config();
    config.listen = address;
    let webhook = Webhook::of(Server::start(config).await.unwrap());
    until("the webhook answers again", async || {
        site.try_create(&pod, true).await.is_ok()
    })
    .await;
    let stored: Value = site.create(&pod).await;
    assert!(
        stored["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap()
            .contains("@sha256:")
    );
    world.push("evil", "1.0", "evil").await;
    let bad = pod_of("bad", &[&world.image("evil:1.0")]);
    assert_denied(site.try_create(&bad, false).await, "unsigned");
    drop(webhook);
}
