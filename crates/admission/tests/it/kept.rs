//! Evidence that is kept beyond the process: it answers after a restart, and it cannot be made by whoever writes there.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use proofmark_admission::{Config, Keeping};
use proofmark_testkit::peers::PostgreSql;

use crate::world::{Webhook, Wire, World, pod};

/// As long as evidence answers without the registry, and as long as it is held for `allow-held`.
const MINUTES_11: i64 = 11 * 60;
const HOURS_25: i64 = 25 * 3600;

const WRITTEN: &str = "proofmark_admission_kept_evidence_writes_total{tier=\"folder\",result=\"written\"}";

fn keeping(world: &World) -> Keeping {
    Keeping {
        folder: Some(world.folder.path().join("kept")),
        database: None,
        secret: world.folder.path().join("kept.secret"),
        bounds: Keeping::BOUNDS,
    }
}

fn in_folder(world: &World) -> impl FnOnce(&mut Config) + use<> {
    let keeping = keeping(world);
    |config| config.keeping = Some(keeping)
}

/// Admits the image, and waits until its evidence is kept.
async fn keep(world: &World, webhook: &Webhook, image: &str, tier: &str) {
    webhook.validate(&pod(&[image])).await.assert_allowed();
    let written = format!("proofmark_admission_kept_evidence_writes_total{{tier=\"{tier}\",result=\"written\"}}");
    webhook.until(async || webhook.metric(&written).await > 0.0).await;
    assert!(world.folder.path().exists());
}

fn records(world: &World) -> Vec<PathBuf> {
    let files = std::fs::read_dir(world.folder.path().join("kept")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    // Those that are whole.
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "evidence"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_webhook_answers_without_the_registry() {
    for (policy, late, allowed) in [
        // Young evidence answers, whatever the policy says of outages.
        ("", 0, true),
        ("", MINUTES_11, false),
        ("onUnreachable: allow-held\n", MINUTES_11, true),
        ("onUnreachable: allow-held\n", HOURS_25, false),
    ] {
        let world = World::new().await;
        let (_, digest) = world.signed("app").await;
        let pinned = format!("{}@{digest}", world.image("app"));
        let policies = [world.policy("signed", policy)];
        let webhook = world.webhook(&policies, in_folder(&world)).await;
        keep(&world, &webhook, &pinned, "folder").await;
        webhook.server.stop().await;

        world.wire.send(Wire::Down).unwrap();
        let webhook = world.webhook(&policies, in_folder(&world)).await;
        world.ahead.store(late, Ordering::SeqCst);
        let response = webhook.validate(&pod(&[&pinned])).await;
        assert_eq!(response.allowed(), allowed, "{policy} {late}: {}", response.0);
        let asked = webhook.metric("proofmark_admission_registry_requests_total").await;
        assert_eq!(asked > 0.0, late > 0, "{policy} {late}");
        assert_eq!(response.warnings().is_empty(), late == 0 || !allowed);
        if !allowed {
            response.assert_denied_because("evidence-unreachable");
        }
        webhook.server.stop().await;
        world.ahead.store(0, Ordering::SeqCst);
        // Its twin: a webhook that keeps nothing knows nothing.
        let webhook = world.webhook(&policies, |_| {}).await;
        webhook
            .validate(&pod(&[&pinned]))
            .await
            .assert_denied_because("evidence-unreachable");
        webhook.server.stop().await;
    }
}

/// What is kept is evidence: another policy, and other keys, decide over it anew and without the registry.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_no_decision() {
    let world = World::new().await;
    let (_, digest) = world.signed("app").await;
    let pinned = format!("{}@{digest}", world.image("app"));
    let webhook = world.webhook(&[world.policy("signed", "")], in_folder(&world)).await;
    keep(&world, &webhook, &pinned, "folder").await;
    webhook.server.stop().await;
    let other = rcgen::KeyPair::generate().unwrap().public_key_pem();
    let (name, text) = world.policy("signed", "");
    let indented = |pem: &str| pem.trim_end().replace('\n', "\n              ");
    let text = text.replace(&indented(&world.key.public_key_pem()), &indented(&other));
    world.wire.send(Wire::Down).unwrap();
    let webhook = world.webhook(&[(name, text)], in_folder(&world)).await;
    webhook
        .validate(&pod(&[&pinned]))
        .await
        .assert_denied_because("signature-not-by-given-key");
    webhook.server.stop().await;
}

/// A refusal over kept evidence is looked into again: the signature came after it was kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_rest_on_what_was_kept() {
    let world = World::new().await;
    let image = world.push("app", "1.0", "app").await;
    let pinned = format!("{}@{}", world.image("app"), image.digest);
    let policies = [world.policy("signed", "")];
    let webhook = world.webhook(&policies, in_folder(&world)).await;
    webhook
        .validate(&pod(&[&pinned]))
        .await
        .assert_denied_because("unsigned");
    webhook.until(async || !records(&world).is_empty()).await;
    webhook.server.stop().await;
    world.sign("app", &image, &world.key).await;
    let webhook = world.webhook(&policies, in_folder(&world)).await;
    // As with what is held in memory, not within two seconds.
    world.ahead.store(3, Ordering::SeqCst);
    webhook.validate(&pod(&[&pinned])).await.assert_allowed();
    webhook.server.stop().await;
}

/// Whoever can write the folder, but does not have the secret, can make the registry be asked again and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_the_folder_cannot_make_a_pass() {
    let world = World::new().await;
    let (_, signed) = world.signed("app").await;
    let unsigned = world.push("app", "2.0", "unsigned").await;
    let pinned =
        [signed.to_string(), unsigned.digest.to_string()].map(|digest| format!("{}@{digest}", world.image("app")));
    let policies = [world.policy("signed", "")];
    let webhook = world.webhook(&policies, in_folder(&world)).await;
    keep(&world, &webhook, &pinned[0], "folder").await;
    let good = records(&world).remove(0);
    webhook
        .validate(&pod(&[&pinned[1]]))
        .await
        .assert_denied_because("unsigned");
    webhook.until(async || records(&world).len() == 2).await;
    webhook.server.stop().await;
    let bad = records(&world).into_iter().find(|file| *file != good).unwrap();
    let content = std::fs::read(&good).unwrap();
    let mut changed = content.clone();
    *changed.last_mut().unwrap() ^= 1;
    let long = vec![0; 9 * 1024 * 1024];
    let cut = content[..content.len() / 2].to_vec();
    for forged in [content, changed, long, cut, Vec::new()] {
        std::fs::write(&bad, &forged).unwrap();
        let webhook = world.webhook(&policies, in_folder(&world)).await;
        webhook
            .validate(&pod(&[&pinned[1]]))
            .await
            .assert_denied_because("unsigned");
        let refused = webhook
            .metric("proofmark_admission_kept_evidence_reads_total{tier=\"folder\",result=\"not-authentic\"}")
            .await;
        assert_eq!(refused, 1.0);
        // What was fetched takes the place of the forgery.
        webhook.until(async || webhook.metric(WRITTEN).await > 0.0).await;
        webhook.server.stop().await;
    }
    // With another secret nothing that is there counts.
    std::fs::remove_file(world.folder.path().join("kept.secret")).unwrap();
    world.wire.send(Wire::Down).unwrap();
    let webhook = world.webhook(&policies, in_folder(&world)).await;
    webhook
        .validate(&pod(&[&pinned[0]]))
        .await
        .assert_denied_because("evidence-unreachable");
    webhook.server.stop().await;
}

/// One replica asks the registry, the other reads what it kept.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_what_is_in_the_database() {
    let Some(database) = PostgreSql::start_or_skip() else {
        return;
    };
    let world = World::new().await;
    let (_, digest) = world.signed("app").await;
    let pinned = format!("{}@{digest}", world.image("app"));
    let policies = [world.policy("signed", "")];
    let shared = |config: &mut Config| {
        config.keeping = Some(Keeping {
            folder: None,
            database: Some(database.address()),
            ..keeping(&world)
        });
    };
    let one = world.webhook(&policies, shared).await;
    keep(&world, &one, &pinned, "database").await;
    world.wire.send(Wire::Down).unwrap();
    let two = world.webhook(&policies, shared).await;
    two.validate(&pod(&[&pinned])).await.assert_allowed();
    assert_eq!(two.metric("proofmark_admission_registry_requests_total").await, 0.0);
    two.server.stop().await;
    // Whoever can write the table, but does not have the secret, makes nothing.
    database.sql("UPDATE proofmark_evidence SET record = set_byte(record, 60, 255 - get_byte(record, 60))");
    let two = world.webhook(&policies, shared).await;
    two.validate(&pod(&[&pinned]))
        .await
        .assert_denied_because("evidence-unreachable");
    let refused = "proofmark_admission_kept_evidence_reads_total{tier=\"database\",result=\"not-authentic\"}";
    assert_eq!(two.metric(refused).await, 1.0);
    two.server.stop().await;
    // A database that is gone is a miss: the registry is asked.
    drop(database);
    world.wire.send(Wire::Open).unwrap();
    world.ahead.store(MINUTES_11, Ordering::SeqCst);
    one.validate(&pod(&[&pinned])).await.assert_allowed();
    one.server.stop().await;
}
