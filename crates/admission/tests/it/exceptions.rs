//! Exceptions, the queue of those that wait for one, and namespaces that are held otherwise than the policies say.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proofmark_admission::{Approval, approve, waiting};
use proofmark_policy::Mode;
use proofmark_types::UnixTime;

use crate::world::{Webhook, World, pod};

fn now() -> UnixTime {
    UnixTime::from_system(SystemTime::now())
}

fn folders(world: &World) -> (PathBuf, PathBuf) {
    let folders = ["queue", "exceptions"].map(|name| world.folder.path().join(name));
    for folder in &folders {
        std::fs::create_dir(folder).unwrap();
    }
    folders.into()
}

fn exception(folder: &Path, digest: &str, issued: UnixTime, hours: u64) {
    let text = serde_json::json!({
        "apiVersion": "proofmark.dev/v1alpha1", "kind": "ImageException", "metadata": { "name": "incident-4711" },
        "spec": {
            "digest": digest, "owner": "alice@alpha.test", "reason": "the signer is down",
            "issued": issued, "expires": issued.plus(Duration::from_secs(hours * 3600)),
        },
    });
    std::fs::write(folder.join("incident.json"), text.to_string()).unwrap();
}

/// Waits until the webhook says that so many exceptions are in force.
async fn in_force(webhook: &Webhook, number: f64) {
    let metric = "proofmark_admission_exceptions{state=\"in-force\"}";
    webhook.until(async || webhook.metric(metric).await == number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_lets_its_digest_run_and_is_never_silent() {
    let world = World::new().await;
    let (_, exceptions) = folders(&world);
    let image = world.push("app", "1.0", "app").await;
    let other = world.push("app", "2.0", "other").await;
    let pinned = |digest| format!("{}@{digest}", world.image("app"));
    let policies = [world.policy("signed", "")];
    let webhook = world
        .webhook(&policies, |config| config.exceptions = Some(exceptions.clone()))
        .await;
    let (excused, denied) = (pinned(&image.digest), pinned(&other.digest));
    webhook
        .validate(&pod(&[&excused]))
        .await
        .assert_denied_because("unsigned");
    exception(&exceptions, &image.digest.to_string(), now(), 4);
    in_force(&webhook, 1.0).await;
    let response = webhook.validate(&pod(&[&excused])).await;
    response.assert_allowed();
    let warned = response.warnings()[0];
    for said in ["incident-4711", "alice@alpha.test", "the signer is down", "unsigned"] {
        assert!(warned.contains(said), "{warned}");
    }
    let noted = response.0["auditAnnotations"]["exceptions"].as_str().unwrap();
    assert!(noted.contains("incident-4711 of alice@alpha.test until"), "{noted}");
    let used = webhook
        .metric("proofmark_admission_exceptions_used_total{exception=\"incident-4711\"}")
        .await;
    assert_eq!(used, 1.0);
    // By its tag too, since the tag is that digest now; and no other digest, alone or beside it.
    webhook
        .validate(&pod(&[&world.image("app:1.0")]))
        .await
        .assert_allowed();
    for images in [vec![denied.as_str()], vec![excused.as_str(), denied.as_str()]] {
        webhook.validate(&pod(&images)).await.assert_denied_because("unsigned");
    }
    // Expired, not yet, too long: none of these is in force.
    for (issued, hours) in [
        (now().minus(Duration::from_secs(5 * 3600)), 4),
        (now().plus(Duration::from_secs(3600)), 4),
        (now(), 24 * 8),
    ] {
        exception(&exceptions, &image.digest.to_string(), issued, hours);
        in_force(&webhook, 0.0).await;
        webhook
            .validate(&pod(&[&excused]))
            .await
            .assert_denied_because("unsigned");
        exception(&exceptions, &image.digest.to_string(), now(), 4);
        in_force(&webhook, 1.0).await;
    }
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_image_waits_until_somebody_else_approves_it() {
    let world = World::new().await;
    let (queue, exceptions) = folders(&world);
    let image = world.push("app", "1.0", "app").await;
    let pinned = format!("{}@{}", world.image("app"), image.digest);
    let policies = [world.policy("signed", "")];
    let webhook = world
        .webhook(&policies, |config| {
            config.exceptions = Some(exceptions.clone());
            config.queue = Some(queue.clone());
        })
        .await;
    // A dry run changes nothing outside.
    let mut dry = pod(&[&pinned]);
    dry["request"]["dryRun"] = true.into();
    webhook.validate(&dry).await.assert_denied_because("unsigned");
    assert_eq!(
        webhook.metric("proofmark_admission_denied_images_queued_total").await,
        0.0
    );
    for _ in 0..3 {
        webhook
            .validate(&pod(&[&pinned]))
            .await
            .assert_denied_because("unsigned");
    }
    let times = || waiting(&queue).unwrap().first().map_or(0, |waiting| waiting.times);
    webhook.until(async || times() == 3).await;
    let entry = waiting(&queue).unwrap().remove(0);
    assert_eq!(
        (entry.image.as_str(), entry.requested_by.as_str()),
        (pinned.as_str(), "dana@alpha.test")
    );
    assert_eq!(
        (entry.codes, entry.namespace.as_deref()),
        (vec!["unsigned".to_owned()], Some("team-a"))
    );
    let approval = |approver: &str| Approval {
        approver: approver.to_owned(),
        owner: None,
        reason: "INC-4711".to_owned(),
        lasts: Duration::from_secs(3600),
    };
    let own = approve(&queue, &exceptions, &entry.id, approval("dana@alpha.test"), now());
    assert_eq!(own.unwrap_err().code(), "approver-is-requester");
    approve(&queue, &exceptions, &entry.id, approval("erin@alpha.test"), now()).unwrap();
    webhook
        .until(async || webhook.validate(&pod(&[&pinned])).await.allowed())
        .await;
    // Approved for this namespace, not for another.
    let mut elsewhere = pod(&[&pinned]);
    elsewhere["request"]["namespace"] = "team-b".into();
    webhook.validate(&elsewhere).await.assert_denied_because("unsigned");
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_held_as_the_operator_says() {
    let world = World::new().await;
    let image = world.push("app", "1.0", "app").await;
    let pinned = format!("{}@{}", world.image("app"), image.digest);
    let strict = [world.policy("signed", "")];
    let modes = vec![
        ("team-a".to_owned(), Mode::Enforce),
        ("team-*".to_owned(), Mode::Warn),
        ("dev-*".to_owned(), Mode::Audit),
    ];
    let webhook = world
        .webhook(&strict, |config| config.namespace_modes = modes.clone())
        .await;
    for (namespace, allowed, warned, found) in [
        ("team-a", false, false, false),
        ("team-b", true, true, false),
        ("dev-1", true, false, true),
        ("prod", false, false, false),
    ] {
        let mut review = pod(&[&pinned]);
        review["request"]["namespace"] = namespace.into();
        let response = webhook.validate(&review).await;
        assert_eq!(response.allowed(), allowed, "{namespace}: {}", response.0);
        assert_eq!(!response.warnings().is_empty(), warned, "{namespace}: {}", response.0);
        let findings = &response.0["auditAnnotations"]["findings"];
        assert_eq!(
            findings.to_string().contains("unsigned"),
            found,
            "{namespace}: {}",
            response.0
        );
    }
    webhook.server.stop().await;
    // Stricter than the policy, too.
    let lenient = [world.policy("signed", "mode: warn\n")];
    let webhook = world.webhook(&lenient, |config| config.namespace_modes = modes).await;
    webhook
        .validate(&pod(&[&pinned]))
        .await
        .assert_denied_because("unsigned");
    webhook.server.stop().await;
}
