//! `/mutate`.

use serde_json::{Value, json};

use crate::world::{Response, Wire, World, pod, pod_update, review};

/// The object after the patch.
fn patched(review: &Value, response: &Response) -> Value {
    let mut object = review["request"]["object"].clone();
    for (pointer, value) in response.patch() {
        *object
            .pointer_mut(&pointer)
            .unwrap_or_else(|| panic!("{pointer} points nowhere")) = value.into();
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2022_47633_tags_become_digests_and_the_result_is_admitted() {
    let world = World::new().await;
    let (image, digest) = world.signed("app").await;
    let (side, side_digest) = world.signed("side").await;
    let webhook = world
        .webhook(&[world.policy("signed", "")], |config| {
            config.no_match = proofmark_policy::NoMatch::Allow;
        })
        .await;
    let latest = world.push("app", "latest", "app").await;
    assert_eq!(latest.digest, digest);
    let by_digest = format!("{}@{digest}", world.image("app"));
    let request = review(
        "Pod",
        "CREATE",
        &json!({
            "metadata": { "generateName": "web-", "ownerReferences": [{ "controller": true, "kind": "ReplicaSet" }] },
            "spec": {
                "initContainers": [{ "name": "i", "image": side }],
                "containers": [
                    { "name": "a", "image": image },
                    { "name": "b", "image": by_digest },
                    { "name": "c", "image": "docker.io/library/nginx:1" },
                    { "name": "d", "image": image },
                    { "name": "e", "image": world.image("app") },
                    { "name": "f", "image": "Not A Ref!!" },
                ],
                "volumes": [{ "name": "v", "image": { "reference": side } }],
            },
        }),
        &Value::Null,
    );
    let response = webhook.mutate(&request).await;
    response.assert_allowed();
    let pinned = format!("{image}@{digest}");
    let pinned_side = format!("{side}@{side_digest}");
    assert_eq!(
        response.patch(),
        [
            ("/spec/volumes/0/image/reference".to_owned(), pinned_side.clone()),
            ("/spec/initContainers/0/image".to_owned(), pinned_side),
            ("/spec/containers/0/image".to_owned(), pinned.clone()),
            ("/spec/containers/3/image".to_owned(), pinned),
            (
                "/spec/containers/4/image".to_owned(),
                format!("{}:latest@{digest}", world.image("app"))
            ),
        ]
    );
    let mut next = request.clone();
    next["request"]["object"] = patched(&request, &response);
    next["request"]["object"]["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .pop();
    assert!(
        webhook.mutate(&next).await.patch().is_empty(),
        "pinning twice changes nothing"
    );
    webhook.validate(&next).await.assert_allowed();

    // A dry run is the same question.
    let mut dry = request.clone();
    dry["request"]["dryRun"] = true.into();
    assert_eq!(webhook.mutate(&dry).await.patch(), response.patch());
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pods_are_changed_and_only_where_they_change() {
    let world = World::new().await;
    let (image, digest) = world.signed("app").await;
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    let template = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "a", "image": image }] } } } });
    for kind in ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"] {
        let response = webhook.mutate(&review(kind, "CREATE", &template, &Value::Null)).await;
        assert!(response.allowed() && response.patch().is_empty(), "{kind}");
    }
    // What was there before the webhook stays as it is; what is added is pinned.
    let response = webhook.mutate(&pod_update(&[&image], &[&image])).await;
    assert!(response.allowed() && response.patch().is_empty());
    let mut debug = pod_update(&[&world.image("old:1")], &[&world.image("old:1")]);
    debug["request"]["subResource"] = "ephemeralcontainers".into();
    debug["request"]["object"]["spec"]["ephemeralContainers"] = json!([{ "name": "d", "image": image }]);
    let response = webhook.mutate(&debug).await;
    assert_eq!(
        response.patch(),
        [(
            "/spec/ephemeralContainers/0/image".to_owned(),
            format!("{image}@{digest}")
        )]
    );
    let mut delete = pod(&[&image]);
    delete["request"]["operation"] = "DELETE".into();
    assert!(webhook.mutate(&delete).await.patch().is_empty());
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_cannot_be_resolved_is_a_question_to_the_policy() {
    let world = World::new().await;
    let (image, _) = world.signed("app").await;
    let absent = world.image("app:absent");
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    let response = webhook.mutate(&pod(&[&absent])).await;
    response.assert_denied_because("evidence-unreachable");
    assert!(response.message().contains("[not-found]"), "{}", response.message());
    assert!(
        response.message().contains("check the name and the tag"),
        "{}",
        response.message()
    );
    webhook.server.stop().await;

    // The policy says that an unreachable registry is no reason to refuse: unpinned, with a warning.
    let webhook = world
        .webhook(&[world.policy("signed", "onUnreachable: warn\n")], |_| {})
        .await;
    world.wire.send(Wire::Down).unwrap();
    let response = webhook.mutate(&pod(&[&image])).await;
    response.assert_allowed();
    assert!(response.patch().is_empty());
    assert!(
        response.warnings()[0].contains("unreachable"),
        "{:?}",
        response.warnings()
    );
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_may_leave_tags_alone() {
    let world = World::new().await;
    let (image, _) = world.signed("app").await;
    let webhook = world.webhook(&[world.policy("signed", "pin: false\n")], |_| {}).await;
    let response = webhook.mutate(&pod(&[&image])).await;
    assert!(response.allowed() && response.patch().is_empty());
    webhook.validate(&pod(&[&image])).await.assert_allowed();
    webhook.server.stop().await;
}
