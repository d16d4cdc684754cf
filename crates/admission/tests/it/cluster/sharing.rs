//! Everything that `install` prints, applied to an API server; replicas with the permissions that it gives and no others.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_admission::{
    Certificates, Cluster, Config, Installation, Server, Sharing, Target, TlsConfig, Workload, made_by_the_webhook,
    object_path, objects,
};
use proofmark_testkit::peers::KubeApiServer;
use proofmark_types::UnixTime;
use serde_json::{Value, json};

use super::objects::pod_of;
use super::{Site, assert_denied, until};
use crate::world::{Webhook, World};

const NAMESPACE: &str = "proofmark";
const NAME: &str = "proofmark-admission";
const DAY: u64 = 24 * 3600;

fn installation(port: u16) -> Installation {
    Installation::self_registering(Target::Service {
        namespace: NAMESPACE.into(),
        name: NAME.into(),
        port,
    })
}

/// A token of the service account, as a Pod would have it.
async fn account(site: &Site, server: &KubeApiServer) -> PathBuf {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAME}/token");
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let answer = site.cluster.create(&path, &request).await.unwrap();
    server.kubeconfig_of("webhook", answer["status"]["token"].as_str().unwrap())
}

async fn replica(world: &World, kubeconfig: &Path, folder: &str) -> Config {
    let cluster = Cluster::connect(Some(kubeconfig)).await.unwrap();
    let base = world.config();
    let mut tls = TlsConfig::new(
        world.folder.path().join(folder),
        vec![format!("{NAME}.{NAMESPACE}.svc"), "127.0.0.1".into()],
    );
    tls.serving_lifetime = Duration::from_secs(30 * DAY);
    tls.authority_lifetime = Duration::from_secs(240 * DAY);
    let mut config = Config::of_cluster(base.listen, tls, cluster.clone(), base.client.clone());
    config.limits = base.limits;
    config.limits.kinds = Duration::from_millis(100);
    config.clock = base.clock;
    config.sharing = Some(Sharing {
        cluster,
        secret: Some((NAMESPACE.into(), format!("{NAME}-tls"))),
        configurations: Some(NAME.into()),
    });
    config
}

/// The bundle that both configurations have; none while they differ.
async fn published(site: &Site) -> Option<String> {
    let mut bundles = Vec::new();
    for plural in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{NAME}");
        let object = site.cluster.get(&path).await.unwrap();
        let bundle = object["webhooks"][0]["clientConfig"]["caBundle"].as_str()?.to_owned();
        bundles.push(String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap());
    }
    (bundles[0] == bundles[1]).then(|| bundles.swap_remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_install_prints_is_enough_and_uninstalling_leaves_nothing() {
    let Some(server) = KubeApiServer::start_or_skip().await else {
        return;
    };
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    world.push("evil", "1.0", "evil").await;
    let (good, bad) = (pod_of("good", &[&signed]), pod_of("bad", &[&world.image("evil:1.0")]));
    let site = Site::on(&server.kubeconfig(), "shared").await;

    // There is no network of Pods here: the Service is a name for this machine, and has the first replica's port.
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let installation = installation(address.port());
    let everything = objects(&installation, &Workload::new("registry.example.com/proofmark:1".into())).unwrap();
    for object in &everything {
        let mut object = object.clone();
        if object["kind"] == "Service" {
            object["spec"] = json!({ "type": "ExternalName", "externalName": "localhost" });
        }
        let path = object_path(&object).unwrap();
        until(&path, async || site.cluster.apply(&path, &object).await.is_ok()).await;
    }
    assert_eq!(published(&site).await, None);
    assert!(
        site.try_create(&good, true).await.is_err(),
        "nobody answers yet, and nothing runs"
    );

    // An authority of half a year ago in the first replica's folder; the second has none.
    let kubeconfig = account(&site, &server).await;
    let mut config = replica(&world, &kubeconfig, "tls-1").await;
    config.listen = address;
    let past = UnixTime::from_system(SystemTime::now()).minus(Duration::from_secs(185 * DAY));
    drop(Certificates::open(config.tls.clone(), past).unwrap());
    world.ahead.store(-i64::try_from(28 * DAY).unwrap(), Ordering::SeqCst);
    let one = Webhook::of(Server::start(config).await.unwrap());
    let two = Webhook::of(
        Server::start(replica(&world, &kubeconfig, "tls-2").await)
            .await
            .unwrap(),
    );
    assert_eq!(one.server.ca_bundle_pem(), two.server.ca_bundle_pem());
    assert_eq!(published(&site).await, Some(one.server.ca_bundle_pem()));

    // Policies, their state and Events, with these permissions.
    let policy = json!({
        "apiVersion": "proofmark.dev/v1alpha1", "kind": "ImagePolicy", "metadata": { "name": "release" },
        "spec": { "match": { "images": [format!("{}/**", world.wire_address)] },
            "signatures": { "requireLog": false, "signers": [{ "key": world.key.public_key_pem() }] } },
    });
    let policies = "/apis/proofmark.dev/v1alpha1/imagepolicies";
    site.cluster.create(policies, &policy).await.unwrap();
    until("it is in force", async || site.try_create(&good, true).await.is_ok()).await;
    assert_denied(site.try_create(&bad, true).await, "unsigned");
    until("it says so", async || {
        let stored = site.cluster.get(&format!("{policies}/release")).await.unwrap();
        stored["status"]["conditions"][0]["reason"] == "InForce"
    })
    .await;
    let mut broken = policy.clone();
    broken["metadata"]["name"] = "broken".into();
    broken["spec"]["unheardOf"] = true.into();
    site.cluster.create(policies, &broken).await.unwrap();
    until("an event is posted", async || {
        let events = site.cluster.get("/api/v1/namespaces/default/events").await.unwrap();
        events["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["reason"] == "PolicyNotInForce")
    })
    .await;
    site.cluster.delete(&format!("{policies}/broken")).await.unwrap();
    assert_eq!(one.metric("proofmark_admission_cluster_writes_failed_total").await, 0.0);

    // And nothing else.
    let webhook = Cluster::connect(Some(&kubeconfig)).await.unwrap();
    for path in [
        "/api/v1/namespaces/kube-system/secrets".to_owned(),
        format!("/api/v1/namespaces/{NAMESPACE}/secrets"),
        format!("/api/v1/namespaces/{NAMESPACE}/secrets/another"),
        "/api/v1/pods".to_owned(),
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations".to_owned(),
    ] {
        assert_eq!(webhook.get(&path).await.unwrap_err().status(), Some(403), "{path}");
    }

    // The successor is the same one everywhere, and the cluster is told of it before it signs.
    for (days_ago, authorities) in [(24, 2), (4, 1)] {
        world
            .ahead
            .store(-i64::try_from(days_ago * DAY).unwrap(), Ordering::SeqCst);
        until("all have the same authorities", async || {
            let bundle = one.server.ca_bundle_pem();
            bundle.matches("BEGIN CERTIFICATE").count() == authorities
                && bundle == two.server.ca_bundle_pem()
                && published(&site).await == Some(bundle)
        })
        .await;
        site.try_create(&good, true).await.unwrap();
        assert_denied(site.try_create(&bad, true).await, "unsigned");
    }
    // A replica that starts from nothing has it, too; also in place of the first.
    one.server.stop().await;
    let mut config = replica(&world, &kubeconfig, "tls-3").await;
    config.listen = address;
    let three = Webhook::of(Server::start(config).await.unwrap());
    assert_eq!(three.server.ca_bundle_pem(), two.server.ca_bundle_pem());
    until("it is called", async || site.try_create(&good, true).await.is_ok()).await;
    assert_denied(site.try_create(&bad, true).await, "unsigned");

    three.server.stop().await;
    two.server.stop().await;
    uninstalled(&site, &installation, &everything).await;
}

async fn uninstalled(site: &Site, installation: &Installation, everything: &[Value]) {
    let mut paths: Vec<String> = everything.iter().map(|object| object_path(object).unwrap()).collect();
    paths.insert(1, made_by_the_webhook(installation).unwrap());
    for path in paths.iter().rev() {
        assert!(site.cluster.delete(path).await.unwrap(), "{path}");
    }
    // Nobody is asked any more.
    until("everything runs", async || {
        site.try_create(&pod_of("any", &["nowhere.invalid/x"]), true)
            .await
            .is_ok()
    })
    .await;
    for path in &paths {
        until(path, async || match site.cluster.get(path).await {
            Err(error) => error.is_absent(),
            // There is no controller here that would end it.
            Ok(object) => object["metadata"]["deletionTimestamp"].is_string(),
        })
        .await;
    }
}
