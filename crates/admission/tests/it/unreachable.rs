//! Registries that are slow, hang, break or lie.

use std::time::{Duration, Instant};

use crate::world::{Wire, World, pod};

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_hangs_costs_the_deadline_and_no_more() {
    let world = World::new().await;
    let (image, digest) = world.signed("app").await;
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    world.wire.send(Wire::Hanging).unwrap();
    for image in [image.clone(), format!("{image}@{digest}")] {
        let started = Instant::now();
        let response = webhook.review("/validate?timeout=1s", &pod(&[&image])).await;
        let took = started.elapsed();
        response.assert_denied_because("evidence-unreachable");
        assert!(response.message().contains("[deadline]"), "{}", response.message());
        assert!(response.message().contains("undecided"), "{}", response.message());
        assert!(
            took < Duration::from_secs(1),
            "{took:?}: the API server has given up by then"
        );
    }
    let response = webhook.review("/mutate?timeout=1s", &pod(&[&image])).await;
    response.assert_denied_because("evidence-unreachable");
    // The lookup went on: when the registry is back, so is the answer, without a new request by us.
    world.wire.send(Wire::Open).unwrap();
    webhook.validate(&pod(&[&image])).await.assert_allowed();
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_means_what_the_policy_says() {
    for (mode, held, allowed) in [
        ("deny", false, false),
        ("deny", true, false),
        ("allow-held", false, false),
        ("allow-held", true, true),
        ("warn", false, true),
        ("warn", true, true),
    ] {
        let world = World::new().await;
        let (image, digest) = world.signed("app").await;
        let pinned = format!("{image}@{digest}");
        let webhook = world
            .webhook(&[world.policy("signed", &format!("onUnreachable: {mode}\n"))], |_| {})
            .await;
        if held {
            webhook.validate(&pod(&[&pinned])).await.assert_allowed();
        }
        world.wire.send(Wire::Down).unwrap();
        // What was verified minutes ago needs nobody.
        if held {
            webhook.validate(&pod(&[&pinned])).await.assert_allowed();
        }
        world.ahead.store(3600, std::sync::atomic::Ordering::SeqCst);
        let response = webhook.validate(&pod(&[&pinned])).await;
        assert_eq!(response.allowed(), allowed, "{mode}, held {held}: {}", response.0);
        if allowed {
            assert!(
                !response.warnings().is_empty(),
                "{mode}: nothing is let through silently"
            );
        } else {
            response.assert_denied_because("evidence-unreachable");
        }
        world.ahead.store(3600 * 25, std::sync::atomic::Ordering::SeqCst);
        let response = webhook.validate(&pod(&[&pinned])).await;
        assert_eq!(
            response.allowed(),
            mode == "warn",
            "{mode}: what is held ends after a day"
        );
        webhook.server.stop().await;
    }
}

/// Held evidence that does not satisfy is no pass, registry or not.
#[tokio::test(flavor = "multi_thread")]
async fn held_evidence_must_satisfy() {
    let world = World::new().await;
    let image = world.push("app", "1.0", "app").await;
    let pinned = format!("{}@{}", world.image("app"), image.digest);
    let webhook = world
        .webhook(&[world.policy("signed", "onUnreachable: allow-held\n")], |_| {})
        .await;
    webhook
        .validate(&pod(&[&pinned]))
        .await
        .assert_denied_because("unsigned");
    world.wire.send(Wire::Down).unwrap();
    world.ahead.store(3600, std::sync::atomic::Ordering::SeqCst);
    assert!(!webhook.validate(&pod(&[&pinned])).await.allowed());
    webhook.server.stop().await;
}

/// A refusal is looked into again; that the registry is down by then does not make it better.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_become_a_pass_when_the_registry_goes() {
    let world = World::new().await;
    let image = world.push("app", "1.0", "app").await;
    let pinned = format!("{}@{}", world.image("app"), image.digest);
    let webhook = world
        .webhook(&[world.policy("signed", "onUnreachable: warn\n")], |_| {})
        .await;
    webhook
        .validate(&pod(&[&pinned]))
        .await
        .assert_denied_because("unsigned");
    world.wire.send(Wire::Down).unwrap();
    world.ahead.store(60, std::sync::atomic::Ordering::SeqCst);
    webhook
        .validate(&pod(&[&pinned]))
        .await
        .assert_denied_because("unsigned");
    // Once what was known is old, nothing is known, and the policy lets it run.
    world.ahead.store(3600, std::sync::atomic::Ordering::SeqCst);
    webhook.validate(&pod(&[&pinned])).await.assert_allowed();
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_need_no_evidence_ask_nobody() {
    let world = World::new().await;
    let policy = format!(
        "apiVersion: proofmark.dev/v1alpha1
kind: ImagePolicy
metadata: {{ name: allowed }}
spec:
  match: {{ images: [\"**\"] }}
  registries: [\"{}/team/**\"]
",
        world.wire_address
    );
    let webhook = world.webhook(&[("allowed.yaml".to_owned(), policy)], |_| {}).await;
    world.wire.send(Wire::Hanging).unwrap();
    webhook
        .validate(&pod(&[&world.image("team/app:1")]))
        .await
        .assert_allowed();
    webhook
        .validate(&pod(&[&world.image("other/app:1")]))
        .await
        .assert_denied_because("image-not-allowed");
    webhook
        .validate(&pod(&["nginx"]))
        .await
        .assert_denied_because("image-not-allowed");
    assert!(
        webhook
            .metric("proofmark_admission_registry_requests_total")
            .await
            .abs()
            < 0.5
    );
    webhook.server.stop().await;
}

/// A registry that answers something else: each has its code, and a fix that fits.
#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_a_registry_is_told_apart() {
    for (answer, code, fix) in [
        ("404 Not Found", "not-found", "check the name and the tag"),
        ("401 Unauthorized", "unauthorized", "give the webhook credentials"),
        ("403 Forbidden", "denied", "give the webhook credentials"),
        (
            "429 Too Many Requests\r\nRetry-After: 3600",
            "throttled",
            "wait and try again",
        ),
        (
            "500 Internal Server Error",
            "unexpected-status",
            "check that the registry is up",
        ),
    ] {
        let registry = answering(answer).await;
        let world = World::new().await;
        let (name, policy) = world.policy("signed", "");
        let policy = policy.replace(&world.wire_address.to_string(), &registry);
        let webhook = world.webhook(&[(name, policy.clone())], |_| {}).await;
        let response = webhook.validate(&pod(&[&format!("{registry}/app:1")])).await;
        response.assert_denied_because("evidence-unreachable");
        let text = response.message();
        assert!(
            text.contains(&format!("[{code}]")) && text.contains(fix),
            "{answer}: {text}"
        );
        webhook.server.stop().await;
        // Only a registry that is out of reach is what `warn` is about.
        let warn = policy.replace("spec:\n", "spec:\n  onUnreachable: warn\n");
        let webhook = world.webhook(&[("signed.yaml".to_owned(), warn)], |_| {}).await;
        for path in ["/mutate", "/validate"] {
            let response = webhook.review(path, &pod(&[&format!("{registry}/app:1")])).await;
            assert_eq!(
                response.allowed(),
                code != "not-found",
                "{answer} {path}: {}",
                response.0
            );
        }
        webhook.server.stop().await;
    }
}

/// Answers every request with this status line and nothing else.
async fn answering(status: &'static str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = [0; 8192];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    if stream.write_all(head.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Whoever may push can hang so much on an image that reading it outlasts every deadline. That is no outage.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_referrers_is_no_outage() {
    let world = World::new().await;
    let image = world.push("app", "1.0", "app").await;
    let junk = rcgen::KeyPair::generate().unwrap();
    for _ in 0..40 {
        world.sign("app", &image, &junk).await;
    }
    let pinned = format!("{}@{}", world.image("app"), image.digest);
    let policy = [world.policy("signed", "onUnreachable: warn\n")];
    // Each request is answered well within the deadline; all of them together are not.
    let slow = Wire::Slow(Duration::from_millis(150));
    let webhook = world.webhook(&policy, |_| {}).await;
    world.wire.send(slow).unwrap();
    let response = webhook.review("/validate?timeout=1s", &pod(&[&pinned])).await;
    response.assert_denied_because("evidence-unreachable");
    for said in ["[evidence-too-slow]", "proofmark tree"] {
        assert!(response.message().contains(said), "{}", response.message());
    }
    webhook.server.stop().await;
    // The same where the lookup itself ran out of time.
    let webhook = world
        .webhook(&policy, |config| config.limits.lookup = Duration::from_millis(700))
        .await;
    let response = webhook.validate(&pod(&[&pinned])).await;
    response.assert_denied_because("evidence-unreachable");
    assert!(
        response.message().contains("[evidence-too-slow]"),
        "{}",
        response.message()
    );
    webhook.server.stop().await;
    // Its twin: a registry that answers nothing is out of reach, whatever hangs on the image.
    let webhook = world.webhook(&policy, |_| {}).await;
    world.wire.send(Wire::Hanging).unwrap();
    let response = webhook.review("/validate?timeout=1s", &pod(&[&pinned])).await;
    response.assert_allowed();
    assert!(
        response.warnings()[0].contains("[deadline]"),
        "{:?}",
        response.warnings()
    );
    // And with enough time, what was pushed is read and does not do.
    world.wire.send(Wire::Open).unwrap();
    world.ahead.store(60, std::sync::atomic::Ordering::SeqCst);
    webhook
        .validate(&pod(&[&pinned]))
        .await
        .assert_denied_because("signature-not-by-given-key");
    webhook.server.stop().await;
}

/// An image that has to wait behind such images is not let through either; behind a registry that hangs it is.
#[tokio::test(flavor = "multi_thread")]
async fn to_wait_behind_a_flood_is_no_outage() {
    for (flooded, code) in [(true, "[overloaded]"), (false, "[deadline]")] {
        let world = World::new().await;
        let junk = rcgen::KeyPair::generate().unwrap();
        let mut pinned = Vec::new();
        for number in 0..9 {
            let image = world.push("app", &format!("{number}"), &format!("{number}")).await;
            for _ in 0..if number < 8 { 2 } else { 0 } {
                world.sign("app", &image, &junk).await;
            }
            pinned.push(format!("{}@{}", world.image("app"), image.digest));
        }
        let policy = [world.policy("signed", "onUnreachable: warn\n")];
        let webhook = world
            .webhook(&policy, |config| config.limits.gatherings_of_a_registry = 8)
            .await;
        let wire = if flooded {
            Wire::Slow(Duration::from_millis(600))
        } else {
            Wire::Hanging
        };
        world.wire.send(wire).unwrap();
        let (last, first) = pinned.split_last().unwrap();
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let objects = [pod(&first), pod(&[last])];
        let (_, response) = tokio::join!(webhook.review("/validate?timeout=2s", &objects[0]), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            webhook.review("/validate?timeout=1s", &objects[1]).await
        });
        assert_eq!(response.allowed(), !flooded, "{}", response.0);
        assert!(response.0.to_string().contains(code), "{}", response.0);
        webhook.server.stop().await;
    }
}
