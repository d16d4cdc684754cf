//! The binary with a real kube-apiserver: installed, asked, uninstalled.

use std::time::Duration;

use proofmark_admission::{Cluster, ClusterError};
use proofmark_testkit::peers::KubeApiServer;
use serde_json::{Value, json};

use crate::up::Serving;
use crate::world::{fails, home, run};

const PODS: &str = "/api/v1/namespaces/default/pods?dryRun=All";
const NAME: &str = "proofmark-admission";

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not happen within twenty seconds: {what}");
}

async fn try_pod(cluster: &Cluster, image: &str) -> Result<Value, ClusterError> {
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
        "spec": { "containers": [{ "name": "c", "image": image }] } });
    cluster.create(PODS, &pod).await
}

#[tokio::test(flavor = "multi_thread")]
async fn installed_asked_and_uninstalled() {
    let Some(server) = KubeApiServer::start_or_skip().await else {
        return;
    };
    let kubeconfig = server.kubeconfig();
    let home = home().with("KUBECONFIG", &kubeconfig.display().to_string());
    let cluster = Cluster::connect(Some(&kubeconfig)).await.unwrap();
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
    cluster
        .create("/api/v1/namespaces/default/serviceaccounts", &account)
        .await
        .unwrap();

    let image = "registry.example.com/proofmark:1";
    let applied = run(&home, ["admission", "install", "--image", image, "--apply"]);
    applied.expect_success();
    assert!(
        applied
            .stdout
            .contains("ValidatingWebhookConfiguration proofmark-admission"),
        "{}",
        applied.stdout
    );
    // Twice is once.
    run(&home, ["admission", "install", "--image", image, "--apply"]).expect_success();
    until("nothing runs while nobody answers", async || {
        try_pod(&cluster, "registry.example.com/x").await.is_err()
    })
    .await;

    // There is no network of Pods: the webhook runs here, and the API server is told so.
    let serving = Serving::start(
        &home,
        &[
            "admission",
            "serve",
            "--from-cluster",
            "--listen",
            "127.0.0.1:0",
            "--tls-name",
            "127.0.0.1",
            "--tls-secret",
            "proofmark/proofmark-admission-tls",
            "--register",
            NAME,
        ],
    );
    let address = serving.said["address"].as_str().unwrap();
    for (plural, path) in [
        ("mutatingwebhookconfigurations", "mutate"),
        ("validatingwebhookconfigurations", "validate"),
    ] {
        let place = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{NAME}");
        let mut webhooks = cluster.get(&place).await.unwrap()["webhooks"].clone();
        let config = &mut webhooks[0]["clientConfig"];
        assert!(config["caBundle"].is_string(), "{config}");
        config["service"] = Value::Null;
        config["url"] = format!("https://{address}/{path}").into();
        cluster.merge(&place, &json!({ "webhooks": webhooks })).await.unwrap();
    }
    until("it is asked", async || {
        let refused = try_pod(&cluster, "registry.example.com/x")
            .await
            .unwrap_err()
            .to_string();
        refused.contains("[no-policy-matched]")
    })
    .await;
    let policy = json!({
        "apiVersion": "proofmark.dev/v1alpha1", "kind": "ImagePolicy", "metadata": { "name": "ours" },
        "spec": { "match": { "images": ["**"] }, "registries": ["registry.example.com/**"] },
    });
    cluster
        .create("/apis/proofmark.dev/v1alpha1/imagepolicies", &policy)
        .await
        .unwrap();
    until("the policy is in force", async || {
        try_pod(&cluster, "registry.example.com/x").await.is_ok()
    })
    .await;
    let error = try_pod(&cluster, "elsewhere.example.com/x").await.unwrap_err();
    assert!(error.to_string().contains("[image-not-allowed]"), "{error}");
    serving.stop();

    let removed = run(&home, ["admission", "uninstall"]);
    removed.expect_success();
    until("nobody is asked", async || {
        try_pod(&cluster, "elsewhere.example.com/x").await.is_ok()
    })
    .await;
    for path in [
        format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAME}"),
        "/api/v1/namespaces/proofmark/secrets/proofmark-admission-tls".to_owned(),
    ] {
        assert!(cluster.get(&path).await.unwrap_err().is_absent(), "{path}");
    }
}

#[test]
fn each_unusable_setting_of_a_cluster_has_its_error() {
    let home = home().with("KUBECONFIG", "absent");
    fails(
        &run(
            &home,
            ["admission", "serve", "--from-cluster", "--listen", "127.0.0.1:0"],
        ),
        2,
        "cluster-unknown",
    );
    fails(&run(&home, ["admission", "uninstall"]), 2, "cluster-unknown");
    let malformed = ["admission", "serve", "--from-cluster", "--tls-secret", "name"];
    fails(&run(&home, malformed), 2, "tls-secret-malformed");
    // One of the two is needed.
    run(&home, ["admission", "install"]).expect_code(2);
    run(&home, ["admission", "serve"]).expect_code(2);
}

#[test]
fn what_is_printed_is_what_would_be_applied() {
    let home = home();
    let image = "registry.example.com/proofmark:1";
    let list = crate::world::json(&home, ["admission", "install", "--image", image, "--replicas", "5"]);
    let items = list["items"].as_array().unwrap();
    let of = |kind: &str| {
        items
            .iter()
            .find(|item| item["kind"] == kind)
            .unwrap_or_else(|| panic!("no {kind}"))
    };
    let pod = &of("Deployment")["spec"]["template"]["spec"];
    assert_eq!(of("Deployment")["spec"]["replicas"], 5);
    assert_eq!(pod["containers"][0]["image"], image);
    assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(of("PodDisruptionBudget")["spec"]["minAvailable"], 1);
    assert_eq!(items.last().unwrap()["kind"], "ValidatingWebhookConfiguration");
    assert!(!list.to_string().contains("PRIVATE KEY"));
    // Secrets of others are read only if that is asked for.
    let may_read_secrets = |list: &Value| {
        let rules = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| item["kind"] == "ClusterRole");
        rules
            .into_iter()
            .any(|role| role["rules"].to_string().contains("\"secrets\""))
    };
    assert!(!may_read_secrets(&list));
    let list = crate::world::json(&home, ["admission", "install", "--image", image, "--pull-secrets"]);
    assert!(may_read_secrets(&list));
}
