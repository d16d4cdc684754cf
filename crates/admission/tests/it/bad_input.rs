//! What no API server sends, or should not.

use serde_json::{Value, json};

use crate::world::{World, pod, pod_update, review};

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_body_has_its_status_and_code() {
    let world = World::new().await;
    let webhook = world.webhook(&[], |_| {}).await;
    let whole = pod(&["nginx:1"]).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let v1beta1 = whole.replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
    for path in ["/validate", "/mutate", "/validate?timeout=5s"] {
        for (body, status, code) in [
            (String::new(), 400, "review-empty"),
            ("{".to_owned(), 400, "review-malformed"),
            ("hello".to_owned(), 400, "review-malformed"),
            (whole[..whole.len() - 5].to_owned(), 400, "review-malformed"),
            (deep.clone(), 400, "review-malformed"),
            (v1beta1.clone(), 400, "review-other-document"),
            ("{}".to_owned(), 400, "review-other-document"),
            (whole.replace("\"uid\"", "\"oid\""), 400, "review-no-uid"),
            (" ".repeat(8 * 1024 * 1024), 413, "review-too-large"),
        ] {
            let (seen, text) = webhook.send(path, body).await;
            assert_eq!(seen, status, "{path} {code}: {text}");
            let document: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(document["code"], code, "{text}");
        }
        for (change, code) in [
            (("operation", json!("PATCH")), "review-unknown-operation"),
            (("object", Value::Null), "review-no-object"),
            (("kind", json!({})), "review-no-kind"),
        ] {
            let mut bad = pod(&["nginx:1"]);
            bad["request"][change.0] = change.1;
            let response = webhook.review(path, &bad).await;
            assert!(!response.allowed());
            assert_eq!(response.0["status"]["code"], 400);
            assert!(
                response.message().contains(&format!("[{code}]")),
                "{}",
                response.message()
            );
        }
    }
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_refused() {
    let world = World::new().await;
    let webhook = world.webhook(&[], |_| {}).await;
    assert_eq!(webhook.get("/").await.0, 404);
    assert_eq!(webhook.get("/validate").await.0, 405);
    assert_eq!(webhook.get("/mutate").await.0, 405);
    assert_eq!(webhook.send("/healthz", "").await.0, 405);
    assert_eq!(webhook.send("/validate/x", "{}").await.0, 404);
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_parse_never_passes_an_enforcing_set() {
    let world = World::new().await;
    let webhook = world
        .webhook(&[world.policy("signed", "")], |config| {
            config.no_match = proofmark_policy::NoMatch::Allow;
        })
        .await;
    for image in [
        "Not A Ref!!",
        "http://x/y",
        "a//b",
        "a@sha256:12",
        "UPPER",
        &"a".repeat(5000),
        "x\u{0}y",
        "../../x",
    ] {
        let response = webhook.validate(&pod(&[image])).await;
        response.assert_denied_because("invalid-reference");
        assert!(response.message().len() <= 4096);
        let response = webhook.mutate(&pod(&[image])).await;
        assert!(
            response.allowed() && response.patch().is_empty(),
            "pinning is not judging"
        );
    }
    let forging = webhook
        .validate(&pod(&["x\n\nimage registry.example.com/fine:1\n  policy ok: accepted"]))
        .await;
    forging.assert_denied_because("invalid-reference");
    assert!(
        !forging.message().contains("\nimage registry.example.com"),
        "{}",
        forging.message()
    );
    // One bad image among good ones is enough.
    webhook
        .validate(&pod(&["docker.io/library/nginx:1", "Not A Ref!!"]))
        .await
        .assert_denied_because("invalid-reference");
    webhook
        .validate(&pod(&["docker.io/library/nginx:1"]))
        .await
        .assert_allowed();
    // It was stored before: changing a label must still be possible.
    webhook
        .validate(&pod_update(&["Not A Ref!!"], &["Not A Ref!!"]))
        .await
        .assert_allowed();
    webhook.server.stop().await;

    let warning = world
        .webhook(&[world.policy("signed", "mode: warn\n")], |config| {
            config.no_match = proofmark_policy::NoMatch::Allow;
        })
        .await;
    let response = warning.validate(&pod(&["Not A Ref!!"])).await;
    response.assert_allowed();
    assert!(
        response.warnings()[0].contains("not an image reference"),
        "{:?}",
        response.warnings()
    );
    warning.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_whose_images_cannot_be_told_are_refused() {
    let world = World::new().await;
    let webhook = world
        .webhook(&[], |config| config.no_match = proofmark_policy::NoMatch::Allow)
        .await;
    let many: Vec<String> = (0..600).map(|n| format!("a:{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (request, code) in [
        (
            review(
                "Pod",
                "CREATE",
                &json!({ "spec": { "containers": [{ "image": 7 }] } }),
                &Value::Null,
            ),
            "object-malformed",
        ),
        (
            review(
                "Pod",
                "CREATE",
                &json!({ "spec": { "containers": { "image": "x" } } }),
                &Value::Null,
            ),
            "object-malformed",
        ),
        (
            review(
                "Deployment",
                "CREATE",
                &json!({ "spec": { "template": [] } }),
                &Value::Null,
            ),
            "object-malformed",
        ),
        (pod(&many), "too-many-images"),
    ] {
        webhook.validate(&request).await.assert_denied_because(code);
        webhook.mutate(&request.clone()).await;
    }
    // What is stored and odd excuses nothing and is in nobody's way.
    let mut update = pod_update(&["a:1"], &["a:2"]);
    update["request"]["oldObject"] = json!({ "spec": 7 });
    webhook.validate(&update).await.assert_allowed();
    webhook.server.stop().await;
}

/// Bodies wait for their share of memory; many large ones at once are all answered.
#[tokio::test(flavor = "multi_thread")]
async fn many_large_reviews_at_once_are_answered() {
    let world = World::new().await;
    let webhook = world.webhook(&[], |_| {}).await;
    let mut large = pod(&["nginx:1"]);
    large["request"]["object"]["metadata"]["annotations"] = json!({ "padding": "x".repeat(3 * 1024 * 1024) });
    let body = large.to_string();
    let sends = (0..24).map(|_| webhook.send("/validate?timeout=30s", body.clone()));
    for (status, text) in futures::future::join_all(sends).await {
        assert_eq!(status, 200, "{text}");
        assert!(text.contains("no-policy-matched"), "{text}");
    }
    webhook.server.stop().await;
}
