//! `/validate` over images that are signed, and images that only look so.

use std::time::Duration;

use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::world::{Wire, World, pod, pod_update, review};

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_image_runs_and_its_twins_do_not() {
    let world = World::new().await;
    let (signed, digest) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    let attested = world.push("attested", "1.0", "attested").await;
    world
        .attest(
            "attested",
            &attested,
            &world.key,
            "slsaprovenance1",
            json!({ "buildDefinition": {} }),
        )
        .await;
    // No signature of its own; another image of the same registry has one.
    let borrowed = world.push("borrowed", "1.0", "borrowed").await;
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    for image in [
        signed.clone(),
        format!("{}@{digest}", world.image("app")),
        format!("{signed}@{digest}"),
    ] {
        let response = webhook.validate(&pod(&[&image])).await;
        response.assert_allowed();
        let noted = response.0["auditAnnotations"]["images"].as_str().unwrap();
        assert!(
            noted.contains(&digest.to_string()) && noted.contains("pass (signed)"),
            "{noted}"
        );
    }
    for (image, code) in [
        (world.image("unsigned:1.0"), "unsigned"),
        (world.image("attested:1.0"), "unsigned"),
        (world.image("borrowed:1.0"), "unsigned"),
        (
            format!("{}@{}", world.image("app"), borrowed.digest),
            "evidence-unreachable",
        ),
        ("docker.io/library/nginx:1".to_owned(), "no-policy-matched"),
    ] {
        webhook.validate(&pod(&[&image])).await.assert_denied_because(code);
    }
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_says_what_was_found_and_what_to_do() {
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    let foreign = world.push("foreign", "1.0", "foreign").await;
    world.sign("foreign", &foreign, &KeyPair::generate().unwrap()).await;
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    let response = webhook.validate(&pod(&[&world.image("foreign:1.0")])).await;
    assert!(!response.allowed());
    let text = response.message();
    for part in [
        "Pod team-a/web may not run: 1 of 1 images refused",
        &world.image("foreign:1.0"),
        &foreign.digest.to_string(),
        "policy signed",
        "0 verified signatures, 0 verified attestations, 1 that do not verify",
        "fix: ",
        "proofmark tree ",
        "proofmark verify (",
    ] {
        assert!(text.contains(part), "expected \"{part}\" in:\n{text}");
    }
    // One refused image among accepted ones refuses the object; every refused one is named.
    let response = webhook
        .validate(&pod(&[
            &signed,
            &world.image("unsigned:1.0"),
            &world.image("foreign:1.0"),
        ]))
        .await;
    assert!(
        !response.allowed() && response.message().contains("2 of 3 images"),
        "{}",
        response.message()
    );
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_and_every_place_is_judged() {
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    let unsigned = world.image("unsigned:1.0");
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    let spec = |place: &str, image: &str| match place {
        "volumes" => json!({ "volumes": [{ "image": { "reference": image } }] }),
        _ => json!({ place: [{ "image": image }] }),
    };
    for place in ["containers", "initContainers", "ephemeralContainers", "volumes"] {
        for kind in [
            "Pod",
            "Deployment",
            "ReplicaSet",
            "StatefulSet",
            "DaemonSet",
            "Job",
            "CronJob",
        ] {
            let wrapped = |image: &str| match kind {
                "Pod" => json!({ "spec": spec(place, image) }),
                "CronJob" => {
                    json!({ "spec": { "jobTemplate": { "spec": { "template": { "spec": spec(place, image) } } } } })
                }
                _ => json!({ "spec": { "template": { "spec": spec(place, image) } } }),
            };
            webhook
                .validate(&review(kind, "CREATE", &wrapped(&signed), &Value::Null))
                .await
                .assert_allowed();
            webhook
                .validate(&review(kind, "CREATE", &wrapped(&unsigned), &Value::Null))
                .await
                .assert_denied_because("unsigned");
        }
    }
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_judged_by_what_it_adds() {
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    let unsigned = world.image("unsigned:1.0");
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    let (signed, unsigned) = (signed.as_str(), unsigned.as_str());
    for (old, new, allowed) in [
        (vec![unsigned], vec![unsigned], true),
        (vec![unsigned, signed], vec![signed, unsigned], true),
        (vec![unsigned, signed], vec![signed], true),
        (vec![unsigned], vec![unsigned, signed], true),
        (vec![signed], vec![unsigned], false),
        (vec![signed], vec![signed, unsigned], false),
        // The same image once more is one more container that runs it.
        (vec![unsigned], vec![unsigned, unsigned], false),
        (vec![], vec![unsigned], false),
    ] {
        let response = webhook.validate(&pod_update(&old, &new)).await;
        assert_eq!(
            response.allowed(),
            allowed,
            "{old:?} to {new:?}: {}",
            response.message()
        );
    }
    // Nothing that the object says about itself counts.
    let mut forged = pod(&[unsigned]);
    forged["request"]["object"]["metadata"]["annotations"] =
        json!({ "kyverno.io/verify-images": format!("{{\"{unsigned}\":\"pass\"}}"), "proofmark.dev/verified": "true" });
    webhook.validate(&forged).await.assert_denied_because("unsigned");
    // Neither does an old object in a create.
    let mut create = pod_update(&[unsigned], &[unsigned]);
    create["request"]["operation"] = "CREATE".into();
    webhook.validate(&create).await.assert_denied_because("unsigned");
    for sub_resource in ["scale", "status", "resize"] {
        let mut update = pod_update(&[signed], &[unsigned]);
        update["request"]["subResource"] = sub_resource.into();
        webhook.validate(&update).await.assert_allowed();
    }
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_warn_and_audit_let_it_run_and_say_so() {
    let world = World::new().await;
    world.push("unsigned", "1.0", "unsigned").await;
    let image = world.image("unsigned:1.0");
    let policies = [
        world.policy("warns", "mode: warn\n"),
        world.policy("audits", "mode: audit\n"),
    ];
    let webhook = world.webhook(&policies, |_| {}).await;
    let response = webhook.validate(&pod(&[&image])).await;
    response.assert_allowed();
    assert!(
        response.warnings().iter().any(|text| text.contains("warns")),
        "{:?}",
        response.warnings()
    );
    assert!(response.warnings().iter().all(|text| !text.contains("audits")));
    let findings = response.0["auditAnnotations"]["findings"].as_str().unwrap();
    assert!(
        findings.contains("audits") && findings.contains("[unsigned]"),
        "{findings}"
    );
    webhook.server.stop().await;
    let webhook = world
        .webhook(
            &[world.policy("warns", "mode: warn\n"), world.policy("denies", "")],
            |_| {},
        )
        .await;
    webhook
        .validate(&pod(&[&image]))
        .await
        .assert_denied_because("unsigned");
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attestations_and_their_conditions_count() {
    let world = World::new().await;
    let image = world.push("app", "1.0", "app").await;
    world.sign("app", &image, &world.key).await;
    let name = world.image("app:1.0");
    let more = "attestations:
  - type: spdxjson
    requireLog: false
    condition: predicate.packages.size() > 1
";
    let webhook = world
        .webhook(&[world.policy("sbom", more)], |config| {
            config.limits.refusal_kept = Duration::ZERO;
        })
        .await;
    assert!(!webhook.validate(&pod(&[&name])).await.allowed(), "no attestation yet");
    world
        .attest("app", &image, &world.key, "spdxjson", json!({ "packages": [1] }))
        .await;
    webhook
        .validate(&pod(&[&name]))
        .await
        .assert_denied_because("condition-false");
    world
        .attest(
            "app",
            &image,
            &KeyPair::generate().unwrap(),
            "spdxjson",
            json!({ "packages": [1, 2, 3] }),
        )
        .await;
    assert!(!webhook.validate(&pod(&[&name])).await.allowed(), "by a foreign key");
    world
        .attest("app", &image, &world.key, "spdxjson", json!({ "packages": [1, 2, 3] }))
        .await;
    webhook.validate(&pod(&[&name])).await.assert_allowed();
    webhook.server.stop().await;
}

/// A moved tag gets what the new image deserves, and the pinned Pod of before keeps what it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moved_is_judged_by_where_it_points_now() {
    let world = World::new().await;
    let (image, digest) = world.signed("app").await;
    let webhook = world
        .webhook(&[world.policy("signed", "")], |config| {
            config.limits.tag_kept = Duration::ZERO
        })
        .await;
    webhook.validate(&pod(&[&image])).await.assert_allowed();
    world.push("app", "1.0", "something else").await;
    webhook
        .validate(&pod(&[&image]))
        .await
        .assert_denied_because("unsigned");
    webhook
        .validate(&pod(&[&format!("{image}@{digest}")]))
        .await
        .assert_allowed();
    webhook.server.stop().await;
}

/// 2 + 2n requests for a cold image with n bundles at most, none for a warm one, and each only once however many ask.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_fetched_once() {
    let world = World::new().await;
    let (image, _) = world.signed("app").await;
    world.wire.send(Wire::Slow(Duration::from_millis(40))).unwrap();
    let webhook = world
        .webhook(&[world.policy("signed", ""), world.policy("again", "")], |_| {})
        .await;
    // Eight containers of one image in one Pod, and fifty Pods at once.
    let review = pod(&[image.as_str(); 8]);
    let answers = futures::future::join_all((0..50).map(|_| webhook.validate(&review))).await;
    assert!(answers.iter().all(crate::world::Response::allowed));
    let requests = webhook.metric("proofmark_admission_registry_requests_total").await;
    // Resolve, the referrers, cosign's two tags, one manifest and one blob.
    assert!(requests <= 7.0, "{requests} requests");
    for _ in 0..20 {
        webhook.validate(&review).await.assert_allowed();
    }
    assert!((webhook.metric("proofmark_admission_registry_requests_total").await - requests).abs() < 0.5);
    assert!(
        (webhook
            .metric("proofmark_admission_evidence_lookups_total{result=\"fetched\"}")
            .await
            - 1.0)
            .abs()
            < 0.5
    );
    webhook.server.stop().await;
}

/// The signature arrives a moment after the image: the refusal is not held against it for long.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_remembered() {
    let world = World::new().await;
    let image = world.push("late", "1.0", "late").await;
    let name = world.image("late:1.0");
    let webhook = world
        .webhook(&[world.policy("signed", "")], |config| {
            config.limits.refusal_kept = Duration::from_secs(2);
        })
        .await;
    webhook.validate(&pod(&[&name])).await.assert_denied_because("unsigned");
    world.sign("late", &image, &world.key).await;
    webhook.validate(&pod(&[&name])).await.assert_denied_because("unsigned");
    world.ahead.store(3, std::sync::atomic::Ordering::SeqCst);
    webhook.validate(&pod(&[&name])).await.assert_allowed();
    webhook.server.stop().await;
}

/// Another key in the policies is another generation: what was verified with the old one is not used.
#[tokio::test(flavor = "multi_thread")]
async fn policies_are_reloaded_and_a_broken_one_changes_nothing() {
    let mut world = World::new().await;
    let (image, _) = world.signed("app").await;
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    webhook.validate(&pod(&[&image])).await.assert_allowed();

    std::fs::write(
        world.policy_folder().join("broken.yaml"),
        "kind: ImagePolicy\nunknown: true\n",
    )
    .unwrap();
    webhook
        .until(|| async { webhook.metric("proofmark_admission_policies_current").await < 0.5 })
        .await;
    let (status, text) = webhook.get("/readyz").await;
    assert_eq!(status, 200, "the old policies are in force");
    assert!(
        text.contains("cannot be used") && text.contains("broken.yaml"),
        "{text}"
    );
    webhook.validate(&pod(&[&image])).await.assert_allowed();

    world.key = KeyPair::generate().unwrap();
    world.write_policies(&[world.policy("signed", "")]);
    webhook
        .until(|| async { webhook.metric("proofmark_admission_policies_current").await > 0.5 })
        .await;
    let response = webhook.validate(&pod(&[&image])).await;
    assert!(!response.allowed(), "signed by the key of before");
    webhook.server.stop().await;
}
