//! Policies that are objects of the cluster: taken up, refused, said so.

use std::time::Duration;

use proofmark_admission::{Config, Kinds, Server, policy_definition};
use proofmark_testkit::peers::KubeApiServer;
use serde_json::{Value, json};

use super::objects::pod_of;
use super::{Site, assert_denied, until};
use crate::world::{Webhook, World};

const POLICIES: &str = "/apis/proofmark.dev/v1alpha1/imagepolicies";

/// The world's policy as an object; `more` is put into its spec.
fn policy(world: &World, name: &str, more: &Value) -> Value {
    let key = world.key.public_key_pem();
    let mut object = json!({
        "apiVersion": "proofmark.dev/v1alpha1", "kind": "ImagePolicy", "metadata": { "name": name },
        "spec": {
            "match": { "images": [format!("{}/**", world.wire_address)] },
            "signatures": { "requireLog": false, "signers": [{ "key": key }] },
        },
    });
    for (name, value) in more.as_object().unwrap() {
        object["spec"][name] = value.clone();
    }
    object
}

async fn start(site: &Site, world: &World) -> Webhook {
    std::fs::create_dir_all(world.policy_folder()).unwrap();
    let base = world.config();
    let mut config = Config::of_cluster(base.listen, base.tls.clone(), site.cluster.clone(), base.client.clone());
    config.limits = base.limits;
    config.limits.kinds = Duration::from_millis(100);
    Webhook::of(Server::start(config).await.unwrap())
}

async fn ready(site: &Site, name: &str) -> (Value, Value, Value) {
    let object = site.cluster.get(&format!("{POLICIES}/{name}")).await.unwrap();
    let condition = object["status"]["conditions"][0].clone();
    (
        condition["status"].clone(),
        condition["reason"].clone(),
        condition["message"].clone(),
    )
}

/// One scenario, because there is one set of policies in a cluster: it has an API server of its own.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, step by step")]
async fn policies_are_followed_taken_up_whole_and_their_state_is_said() {
    let Some(server) = KubeApiServer::start_or_skip().await else {
        return;
    };
    let site = Site::on(&server.kubeconfig(), "followed").await;
    let world = World::new().await;
    let (signed, digest) = world.signed("app").await;
    world.push("evil", "1.0", "evil").await;
    let bad = world.image("evil:1.0");
    let (good, evil) = (pod_of("good", &[&signed]), pod_of("evil", &[&bad]));

    // Without the kind there is no policy, and without a policy nothing runs.
    let webhook = start(&site, &world).await;
    site.register(&webhook, &Kinds::default()).await;
    assert_denied(site.try_create(&good, true).await, "no-policy-matched");

    // The kind is installed, a policy is made: it is taken up, and says so.
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    site.cluster.create(definitions, &policy_definition()).await.unwrap();
    let release = policy(&world, "release", &json!({}));
    until("the policy is stored", async || {
        site.cluster.create(POLICIES, &release).await.is_ok()
    })
    .await;
    until("it is in force", async || site.try_create(&good, true).await.is_ok()).await;
    assert_denied(site.try_create(&evil, true).await, "unsigned");
    until("it says so", async || ready(&site, "release").await.1 == "InForce").await;
    assert_eq!(ready(&site, "release").await.0, "True");
    let stored = site.create(&good).await;
    assert_eq!(stored["spec"]["containers"][0]["image"], format!("{signed}@{digest}"));

    // The schema refuses values of another type before they are stored, and drops no field that it does not know.
    let shapeless = policy(&world, "shapeless", &json!({ "mode": "sometimes" }));
    let error = site.cluster.create(POLICIES, &shapeless).await.unwrap_err();
    assert!(error.to_string().contains("spec.mode"), "{error}");
    let mistyped = policy(&world, "mistyped", &json!({ "registryes": ["x"] }));
    let stored = site.cluster.create(POLICIES, &mistyped).await.unwrap();
    assert_eq!(stored["spec"]["registryes"], json!(["x"]));
    until("it says that it is not in force", async || {
        ready(&site, "mistyped").await.0 == "False"
    })
    .await;
    assert!(
        ready(&site, "mistyped")
            .await
            .2
            .as_str()
            .unwrap()
            .contains("registryes")
    );
    site.cluster.delete(&format!("{POLICIES}/mistyped")).await.unwrap();
    until("the rest is current", async || {
        webhook.metric("proofmark_admission_policies_current").await == 1.0
    })
    .await;

    // One that the schema cannot know to be wrong: the old set stays in force, and that is said three times.
    let broken = policy(
        &world,
        "broken",
        &json!({ "attestations": [{ "type": "spdxjson", "condition": "predicate.(" }] }),
    );
    site.cluster.create(POLICIES, &broken).await.unwrap();
    until("it says that it is not in force", async || {
        ready(&site, "broken").await.0 == "False"
    })
    .await;
    let (_, reason, message) = ready(&site, "broken").await;
    assert_eq!(reason, "PoliciesDoNotCompile");
    assert!(message.as_str().unwrap().contains("condition"), "{message}");
    assert_eq!(ready(&site, "release").await.1, "InForce", "what was in force stays so");
    until("an event says so", async || {
        let events = site.cluster.get("/api/v1/namespaces/default/events").await.unwrap();
        events["items"].as_array().unwrap().iter().any(|event| {
            event["reason"] == "PolicyNotInForce"
                && event["involvedObject"]["name"] == "broken"
                && event["type"] == "Warning"
        })
    })
    .await;
    assert_eq!(webhook.metric("proofmark_admission_policies_current").await, 0.0);
    assert_eq!(webhook.metric("proofmark_admission_policies ").await, 1.0);
    site.try_create(&pod_of("more", &[&signed]), true).await.unwrap();
    assert_denied(site.try_create(&evil, true).await, "unsigned");

    // Another policy waits for it; a replica that starts now knows none, and lets nothing run.
    let waiting = policy(&world, "waiting", &json!({ "requireDigest": true }));
    site.cluster.create(POLICIES, &waiting).await.unwrap();
    until("the other waits", async || {
        ready(&site, "waiting").await.1 == "WaitingForOthers"
    })
    .await;
    let late = start(&site, &world).await;
    let (status, text) = late.get("/readyz").await;
    assert_eq!(status, 503, "{text}");
    let review = crate::world::pod(&[&signed]);
    let answer = late.validate(&review).await;
    assert!(
        !answer.allowed() && answer.message().contains("[policies-not-known]"),
        "{}",
        answer.message()
    );
    let answer = late.mutate(&review).await;
    assert!(
        !answer.allowed() && answer.message().contains("[policies-not-known]"),
        "{}",
        answer.message()
    );

    // Mended: all of them are in force, in both replicas.
    let mended = json!({ "spec": { "attestations": null } });
    site.cluster
        .merge(&format!("{POLICIES}/broken"), &mended)
        .await
        .unwrap();
    for name in ["release", "broken", "waiting"] {
        until("all are in force", async || ready(&site, name).await.1 == "InForce").await;
    }
    late.until(async || late.get("/readyz").await.0 == 200).await;
    assert!(
        late.validate(&crate::world::pod(&[&format!("{signed}@{digest}")]))
            .await
            .allowed()
    );

    // A peer's kind, and one of its objects that says nothing about images.
    kyverno(&site, &world).await;
    assert_denied(
        site.try_create(&pod_of("k", &[&signed]), true).await,
        "image-not-allowed",
    );
    site.cluster
        .delete("/apis/kyverno.io/v1/clusterpolicies/elsewhere")
        .await
        .unwrap();
    until("it is gone", async || {
        site.try_create(&pod_of("k", &[&signed]), true).await.is_ok()
    })
    .await;

    // The last policies go: nothing runs.
    for name in ["release", "broken", "waiting"] {
        site.cluster.delete(&format!("{POLICIES}/{name}")).await.unwrap();
    }
    until("none is left", async || {
        site.try_create(&pod_of("k", &[&signed]), true).await.is_err()
    })
    .await;
    assert_denied(
        site.try_create(&pod_of("k", &[&signed]), true).await,
        "no-policy-matched",
    );
}

async fn kyverno(site: &Site, world: &World) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "clusterpolicies.kyverno.io" },
        "spec": {
            "group": "kyverno.io", "scope": "Cluster",
            "names": { "kind": "ClusterPolicy", "plural": "clusterpolicies", "singular": "clusterpolicy" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    site.cluster.create(definitions, &definition).await.unwrap();
    let policy = |name: &str, rule: Value| {
        json!({ "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": { "name": name },
            "spec": { "validationFailureAction": "Enforce", "rules": [rule] } })
    };
    let any_pod = json!({ "any": [{ "resources": { "kinds": ["Pod"] } }] });
    let labels = policy(
        "labels",
        json!({ "name": "labels", "match": any_pod.clone(),
        "validate": { "message": "label it", "pattern": { "metadata": { "labels": { "team": "?*" } } } } }),
    );
    let elsewhere = policy(
        "elsewhere",
        json!({ "name": "registry", "match": any_pod,
        "validate": { "message": "from elsewhere", "pattern": { "spec": { "containers": [{ "image": "elsewhere.example.com/*" }] } } } }),
    );
    let path = "/apis/kyverno.io/v1/clusterpolicies";
    until("the kind is served", async || {
        site.cluster.create(path, &labels).await.is_ok()
    })
    .await;
    site.cluster.create(path, &elsewhere).await.unwrap();
    let pod = pod_of("k", &[&world.image("app:1.0")]);
    until("it is in force", async || site.try_create(&pod, true).await.is_err()).await;
}
