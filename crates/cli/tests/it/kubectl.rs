//! kubectl's plugin, asked about a real cluster with the webhook in it.

use std::path::Path;
use std::time::{Duration, Instant};

use proofmark_admission::Cluster;
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::debian_like;
use proofmark_testkit::peers::KubeApiServer;
use serde_json::{Value, json};

use crate::up::Serving;
use crate::world::{PROOFMARK, Registry, closed_port, fails, home, json, run, write};

const NAMESPACE: &str = "team-a";

/// A cluster that lets run what `cosign.key` has signed.
struct World {
    home: Sandbox,
    server: KubeApiServer,
    cluster: Cluster,
    kubeconfig: String,
    signed: String,
    unsigned: String,
    _registry: Registry,
    _webhook: Serving,
}

impl World {
    async fn start_or_skip() -> Option<Self> {
        let server = KubeApiServer::start_or_skip().await?;
        let cluster = Cluster::connect(Some(&server.kubeconfig())).await.unwrap();
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
        cluster.create("/api/v1/namespaces", &namespace).await.unwrap();
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
        let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        cluster.create(&accounts, &account).await.unwrap();
        let registry = Registry::start().await;
        let home = home();
        let signed = registry.push(&debian_like(), "1.0").await;
        run(&home, ["sign", "--key", "cosign.key", "--tlog-upload=false", &signed]).expect_success();
        debian_like().push(registry.address(), "evil", "1.0").await;
        let unsigned = format!("{}/evil:1.0", registry.address());
        let world = Self {
            _webhook: serve(&home, registry.address().to_string().as_str()),
            kubeconfig: server.kubeconfig().to_str().unwrap().to_owned(),
            home,
            server,
            cluster,
            signed,
            unsigned,
            _registry: registry,
        };
        // A workload of before the webhook, whose image it would not let run.
        let deployments = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments");
        for (name, image) in [("old", &world.unsigned), ("web", &world.signed)] {
            world
                .cluster
                .create(&deployments, &deployment(name, image))
                .await
                .unwrap();
        }
        world.register().await;
        Some(world)
    }

    async fn register(&self) {
        let address = format!("https://{}", self._webhook.said["address"].as_str().unwrap());
        let list = json(
            &self.home,
            ["admission", "install", "--ca", "tls/ca.crt", "--url", &address],
        );
        let objects = list
            .as_array()
            .cloned()
            .unwrap_or_else(|| list["items"].as_array().unwrap().clone());
        for object in objects {
            let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
            let name = object["metadata"]["name"].as_str().unwrap();
            let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{name}");
            self.cluster.apply(&path, &object).await.unwrap();
        }
        // The API server asks it a moment later.
        let probe = write(self.home.path(), "probe.yaml", pod("probe", &self.unsigned).to_string());
        let asked = Instant::now();
        while self.ask(&["try", "-f", &probe]).succeeded() {
            assert!(asked.elapsed() < Duration::from_secs(30), "the webhook is not asked");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn ask(&self, arguments: &[&str]) -> Outcome {
        let place = ["--kubeconfig", &self.kubeconfig, "-n", NAMESPACE];
        run(&self.home, ["kubectl"].iter().chain(arguments).chain(&place).copied())
    }

    fn asked_for_json(&self, arguments: &[&str]) -> Value {
        let place = ["--kubeconfig", &self.kubeconfig, "-n", NAMESPACE, "-o", "json"];
        let outcome = run(&self.home, ["kubectl"].iter().chain(arguments).chain(&place).copied());
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    async fn stored(&self, path: &str) -> Value {
        self.cluster
            .get(&format!("/api/v1/namespaces/{NAMESPACE}/{path}"))
            .await
            .unwrap()
    }
}

fn serve(home: &Sandbox, registry: &str) -> Serving {
    let key = std::fs::read_to_string(home.path().join("cosign.pub")).unwrap();
    let policy = json!({ "apiVersion": "proofmark.dev/v1alpha1", "kind": "ImagePolicy", "metadata": { "name": "signed" },
        "spec": { "match": { "images": [format!("{registry}/**")] }, "signatures": { "signers": [{ "key": key }], "requireLog": false } } });
    std::fs::create_dir(home.path().join("policies")).unwrap();
    write(&home.path().join("policies"), "policy.yaml", policy.to_string());
    let listen = ["--listen", "127.0.0.1:0", "--tls-dir", "tls", "--tls-name", "127.0.0.1"];
    let arguments = [&["admission", "serve", "--policies", "policies"], &listen[..]].concat();
    Serving::start(home, &arguments)
}

fn pod(name: &str, image: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": image }] } })
}

fn deployment(name: &str, image: &str) -> Value {
    let labels = json!({ "app": name });
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": { "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels },
            "spec": { "containers": [{ "name": "c", "image": image }] } } } })
}

/// It is told on standard output, and ends so.
fn denied(outcome: &Outcome) {
    let told = &outcome.expect_code(3).stderr;
    assert!(told.contains("[admission-denied]"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_says_what_it_would_do_and_why() {
    let Some(world) = World::start_or_skip().await else {
        return;
    };
    tries_store_nothing(&world).await;
    workloads_are_explained(&world).await;
    what_cannot_be_asked_is_said(&world);
}

async fn tries_store_nothing(world: &World) {
    let folder = world.home.path().join("manifests");
    std::fs::create_dir(&folder).unwrap();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [deployment("api", &world.signed)] });
    write(
        &folder,
        "good.yaml",
        format!("{}\n---\n{list}\n", pod("good", &world.signed)),
    );
    let allowed = world.ask(&["try", "-f", "manifests"]);
    let text = &allowed.expect_success().stdout;
    assert!(text.contains("Pod team-a/good: allowed"), "{text}");
    assert!(
        text.contains(&format!("{0} becomes {0}@sha256:", world.signed)),
        "{text}"
    );
    assert!(text.contains("Deployment team-a/api: allowed"), "{text}");

    write(&folder, "bad.yaml", deployment("bad", &world.unsigned).to_string());
    let refused = world.ask(&["try", "-f", "manifests"]);
    denied(&refused);
    let text = &refused.stdout;
    assert!(text.contains("Deployment team-a/bad: denied by validate."), "{text}");
    assert!(
        text.contains("[unsigned]") && text.contains("Pod team-a/good: allowed"),
        "{text}"
    );
    let value = world.asked_for_json(&["try", "-f", "manifests/bad.yaml"]);
    assert_eq!(value["objects"][0]["allowed"], false, "{value}");
    // A workload that is there is asked about as a change of it.
    write(&folder, "bad.yaml", deployment("web", &world.unsigned).to_string());
    denied(&world.ask(&["try", "-f", "manifests/bad.yaml"]));
    assert_eq!(world.stored("pods").await["items"], json!([]));
}

async fn workloads_are_explained(world: &World) {
    let fine = world.ask(&["why", "deploy/web"]);
    let text = &fine.expect_success().stdout;
    assert!(
        text.contains("no denial is among the events") && text.contains("allowed"),
        "{text}"
    );

    // What the controller of ReplicaSets notes; there is none here.
    let message =
        "Error creating: admission webhook \"validate.proofmark.dev\" denied the request: proofmark: as it was then";
    for (name, about, minute) in [("e1", "old-5d4f", 1), ("e2", "other-5d4f", 2), ("e3", "old-5d4f", 3)] {
        let event = json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": name },
            "involvedObject": { "kind": "ReplicaSet", "name": about, "namespace": NAMESPACE }, "type": "Warning",
            "reason": "FailedCreate", "message": format!("{message} {minute}"), "lastTimestamp": format!("2026-01-01T00:0{minute}:00Z") });
        let events = format!("/api/v1/namespaces/{NAMESPACE}/events");
        world.cluster.create(&events, &event).await.unwrap();
    }
    for named in ["deploy/old", "deployments/old", "Deployment/old"] {
        let refused = world.ask(&["why", named]);
        denied(&refused);
        let text = &refused.stdout;
        assert!(
            text.contains("denied at 2026-01-01T00:03:00Z (ReplicaSet old-5d4f)"),
            "{text}"
        );
        assert!(
            text.contains("as it was then 1") && !text.contains("as it was then 2"),
            "{text}"
        );
        assert!(
            text.contains("a Pod of it, now:\n  Pod team-a/old-…: denied by") && text.contains("[unsigned]"),
            "{text}"
        );
    }
    let value = world.asked_for_json(&["why", "deploy/old"]);
    assert_eq!(value["denials"].as_array().map(Vec::len), Some(2), "{value}");
    assert_eq!(value["now"]["allowed"], false, "{value}");
}

fn what_cannot_be_asked_is_said(world: &World) {
    fails(&world.ask(&["why", "deploy/absent"]), 11, "cluster-not-found");
    fails(&world.ask(&["why", "secret/x"]), 2, "workload-unknown");
    let unknown = write(
        world.home.path(),
        "unknown.yaml",
        r#"{"apiVersion":"acme.example/v1","kind":"App","metadata":{"name":"x"}}"#,
    );
    fails(&world.ask(&["try", "-f", &unknown]), 11, "cluster-not-found");
    let wrong = write(
        world.home.path(),
        "wrong.yaml",
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{}}"#,
    );
    fails(&world.ask(&["try", "-f", &wrong]), 2, "cluster-refused");
    fails(
        &world.ask(&["try", "-f", &write(world.home.path(), "none.yaml", "")]),
        2,
        "no-objects",
    );
    // By kubectl's name for it, and without a cluster.
    let plugin = world.home.path().join("kubectl-proofmark");
    std::os::unix::fs::symlink(Path::new(PROOFMARK), &plugin).unwrap();
    let called = world.home.run(
        &plugin,
        ["why", "deploy/old", "-n", NAMESPACE, "--kubeconfig", &world.kubeconfig],
    );
    denied(&called);
    let text = std::fs::read_to_string(world.server.kubeconfig()).unwrap();
    let gone = text.replace(&world.server.address().to_string(), &closed_port().to_string());
    let gone = write(world.home.path(), "gone.kubeconfig", gone);
    let outcome = run(&world.home, ["kubectl", "why", "deploy/old", "--kubeconfig", &gone]);
    fails(&outcome, 1, "cluster-unreachable");
    let absent = run(&world.home, ["kubectl", "why", "deploy/old", "--kubeconfig", "absent"]);
    fails(&absent, 2, "cluster-unknown");
}
