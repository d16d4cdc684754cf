//! Objects made, changed and deleted.

use proofmark_admission::{CustomKind, ImagePath, Kinds};
use proofmark_types::Digest;
use serde_json::{Value, json};

use super::objects::{KINDS, object, pod, pod_of, spec_of, spec_pointer};
use super::{Site, assert_denied, guarded, until};
use crate::world::World;

/// An image by tag that hangs on nothing.
async fn unsigned(world: &World, name: &str) -> String {
    world.push(name, "1.0", name).await;
    world.image(&format!("{name}:1.0"))
}

fn pinned(image: &str, digest: &Digest) -> String {
    format!("{image}@{digest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_runs_what_is_signed_and_nothing_else() {
    let Some((site, world, _webhook)) = guarded("kinds").await else {
        return;
    };
    let (signed, digest) = world.signed("app").await;
    let bad = unsigned(&world, "evil").await;
    for (kind, _, plural) in KINDS {
        let name = format!("good-{plural}");
        let good = object(kind, &name, &spec_of(&[&signed]));
        let stored = site.create(&good).await;
        let image = stored
            .pointer(&format!("{}/containers/0/image", spec_pointer(kind)))
            .unwrap();
        let expected = if kind == "Pod" {
            pinned(&signed, &digest)
        } else {
            signed.clone()
        };
        assert_eq!(image, &Value::from(expected), "{kind}: only Pods are pinned");

        for (place, spec) in [
            ("containers", spec_of(&[&signed, &bad])),
            (
                "initContainers",
                json!({ "containers": [{ "name": "c", "image": signed }], "initContainers": [{ "name": "i", "image": bad }] }),
            ),
            (
                "image volumes",
                json!({ "containers": [{ "name": "c", "image": signed }],
                    "volumes": [{ "name": "v", "image": { "reference": bad, "pullPolicy": "Always" } }] }),
            ),
        ] {
            let refused = object(kind, &format!("bad-{plural}"), &spec);
            assert_denied(site.try_create(&refused, false).await, "unsigned");
            assert!(site.stored(&refused).await.is_none(), "{kind}, {place}");
        }

        // A change of the image is looked at, any other is not. The template of a Job cannot be changed.
        if kind != "Job" {
            let mut changed = site.stored(&good).await.unwrap();
            let place = format!("{}/containers/0/image", spec_pointer(kind));
            *changed.pointer_mut(&place).unwrap() = bad.clone().into();
            assert_denied(site.cluster.replace(&site.named(&good), &changed).await, "unsigned");
        }
        let finalizer = json!({ "metadata": { "finalizers": ["proofmark.test/wait"], "labels": { "a": "b" } } });
        site.cluster.merge(&site.named(&good), &finalizer).await.unwrap();
        let none = json!({ "metadata": { "finalizers": null } });
        site.cluster.merge(&site.named(&good), &none).await.unwrap();
        assert!(site.cluster.delete(&site.named(&good)).await.unwrap(), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_workload_stays_operable_when_its_image_is_refused() {
    let Some((site, world, _webhook)) = guarded("old").await else {
        return;
    };
    let bad = unsigned(&world, "old").await;
    let deployment = object("Deployment", "old", &spec_of(&[&bad]));
    let running = pod_of("running", &[&bad]);
    site.unregister().await;
    until("the webhook is no longer asked", async || {
        site.try_create(&running, true).await.is_ok()
    })
    .await;
    site.create(&deployment).await;
    site.create(&running).await;
    site.register(&_webhook, &Kinds::default()).await;

    let named = site.named(&deployment);
    let scale = json!({ "spec": { "replicas": 7 } });
    site.cluster.merge(&format!("{named}/scale"), &scale).await.unwrap();
    assert_eq!(site.stored(&deployment).await.unwrap()["spec"]["replicas"], 7);
    site.cluster
        .merge(&named, &json!({ "spec": { "paused": true } }))
        .await
        .unwrap();
    let status = json!({ "status": { "observedGeneration": 1, "replicas": 1 } });
    site.cluster.merge(&format!("{named}/status"), &status).await.unwrap();
    let phase = json!({ "status": { "phase": "Running" } });
    site.cluster
        .merge(&format!("{}/status", site.named(&running)), &phase)
        .await
        .unwrap();
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": "running", "namespace": site.namespace } });
    site.cluster
        .create(&format!("{}/eviction", site.named(&running)), &eviction)
        .await
        .unwrap();
    assert!(site.cluster.delete(&named).await.unwrap());
    assert_denied(site.try_create(&deployment, false).await, "unsigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_container_is_looked_at_and_pinned() {
    let Some((site, world, _webhook)) = guarded("ephemeral").await else {
        return;
    };
    let (signed, digest) = world.signed("app").await;
    let (debugger, debugger_digest) = world.signed("debugger").await;
    let bad = unsigned(&world, "evil").await;
    let target = pod_of("web", &[&signed]);
    site.create(&target).await;
    let path = format!("{}/ephemeralcontainers", site.named(&target));
    let with = |image: &str| json!({ "spec": { "ephemeralContainers": [{ "name": "debug", "image": image }] } });
    assert_denied(site.cluster.merge(&path, &with(&bad)).await, "unsigned");
    let stored = site.cluster.merge(&path, &with(&debugger)).await.unwrap();
    assert_eq!(
        stored["spec"]["ephemeralContainers"][0]["image"],
        pinned(&debugger, &debugger_digest)
    );
    assert_eq!(stored["spec"]["containers"][0]["image"], pinned(&signed, &digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_volume_is_pinned_like_a_container() {
    let Some((site, world, _webhook)) = guarded("volumes").await else {
        return;
    };
    let (signed, digest) = world.signed("app").await;
    let spec = json!({ "containers": [{ "name": "c", "image": signed }],
        "volumes": [{ "name": "v", "image": { "reference": signed, "pullPolicy": "IfNotPresent" } }] });
    let stored = site.create(&pod("with-volume", &spec)).await;
    assert_eq!(
        stored["spec"]["volumes"][0]["image"]["reference"],
        pinned(&signed, &digest)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_answered_alike_and_stores_nothing() {
    let Some((site, world, webhook)) = guarded("dry").await else {
        return;
    };
    let (signed, digest) = world.signed("app").await;
    let bad = unsigned(&world, "evil").await;
    let good = pod_of("good", &[&signed]);
    let answer = site.try_create(&good, true).await.unwrap();
    assert_eq!(answer["spec"]["containers"][0]["image"], pinned(&signed, &digest));
    assert_denied(site.try_create(&pod_of("bad", &[&bad]), true).await, "unsigned");
    assert!(site.stored(&good).await.is_none());
    assert!(webhook.metric("proofmark_admission_reviews_total").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_an_event_about_who_wanted_it() {
    let Some(site) = Site::new("events").await else { return };
    let world = World::new().await;
    let bad = unsigned(&world, "evil").await;
    let cluster = site.cluster.clone();
    let webhook = world
        .webhook(&[world.policy("release", "")], |config| config.events = Some(cluster))
        .await;
    site.register(&webhook, &Kinds::default()).await;
    let events = async || {
        let list = site.cluster.get("/api/v1/namespaces/events/events").await.unwrap();
        list["items"].as_array().unwrap().clone()
    };
    assert_denied(site.try_create(&pod_of("dry", &[&bad]), true).await, "unsigned");
    let mut of_set = pod_of("of-set", &[&bad]);
    of_set["metadata"]["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1",
        "uid": "8f1c8b6e-0000-4000-8000-000000000000", "controller": true }]);
    for _ in 0..3 {
        assert_denied(site.try_create(&pod_of("direct", &[&bad]), false).await, "unsigned");
        assert_denied(site.try_create(&of_set, false).await, "unsigned");
    }
    until("both are told", async || events().await.len() >= 2).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut about: Vec<String> = events()
        .await
        .iter()
        .map(|event| {
            assert_eq!(
                (&event["reason"], &event["type"]),
                (&json!("ImageRefused"), &json!("Warning"))
            );
            assert!(event["message"].as_str().unwrap().contains("[unsigned]"), "{event}");
            let involved = &event["involvedObject"];
            format!(
                "{} {}",
                involved["kind"].as_str().unwrap(),
                involved["name"].as_str().unwrap()
            )
        })
        .collect();
    about.sort();
    assert_eq!(
        about,
        ["Pod direct", "ReplicaSet web-1"],
        "once each, and none of the dry run"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_resource_is_asked_about_when_its_images_are_known() {
    let Some(site) = Site::new("custom").await else { return };
    let world = World::new().await;
    let (signed, _) = world.signed("step").await;
    let bad = unsigned(&world, "evil").await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "runs.ci.example.com" },
        "spec": {
            "group": "ci.example.com", "scope": "Namespaced",
            "names": { "kind": "Run", "plural": "runs", "singular": "run" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    site.cluster.create(definitions, &definition).await.unwrap();
    let kinds = Kinds::with_custom(vec![CustomKind {
        group: "ci.example.com".into(),
        version: "v1".into(),
        kind: "Run".into(),
        resource: "runs".into(),
        images: vec![ImagePath::parse("/spec/steps/*/image").unwrap()],
    }]);
    let webhook = world
        .webhook(&[world.policy("release", "")], |config| config.kinds = kinds.clone())
        .await;
    site.register(&webhook, &kinds).await;
    let run = |name: &str, images: &[&str]| {
        let steps: Vec<Value> = images.iter().map(|image| json!({ "image": image })).collect();
        json!({ "apiVersion": "ci.example.com/v1", "kind": "Run", "metadata": { "name": name }, "spec": { "steps": steps } })
    };
    until("the kind is served", async || {
        site.try_create(&run("probe", &[&signed]), true).await.is_ok()
    })
    .await;
    site.create(&run("good", &[&signed])).await;
    assert_denied(site.try_create(&run("bad", &[&signed, &bad]), false).await, "unsigned");
    let more = run("good", &[&signed, &bad]);
    assert_denied(site.cluster.merge(&site.named(&more), &more).await, "unsigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_the_webhook_itself_is_left_out_by_the_configuration() {
    let Some((site, world, webhook)) = guarded("system").await else {
        return;
    };
    let bad = unsigned(&world, "evil").await;
    let before = webhook.metric("proofmark_admission_reviews_total").await;
    // Labelled like the test's own, so that only the exclusion by name can be what leaves it out.
    let label = json!({ "metadata": { "labels": { super::LABEL: site.namespace } } });
    site.cluster
        .merge("/api/v1/namespaces/kube-public", &label)
        .await
        .unwrap();
    let pod = pod_of("system", &[&bad]);
    let path = "/api/v1/namespaces/kube-public/pods?dryRun=All";
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
    site.cluster
        .create("/api/v1/namespaces/kube-public/serviceaccounts", &account)
        .await
        .unwrap();
    site.cluster.create(path, &pod).await.unwrap();
    assert_eq!(webhook.metric("proofmark_admission_reviews_total").await, before);
    assert_denied(site.try_create(&pod, true).await, "unsigned");
}
