//! Eight processes that attest one image at the same time (sigstore/cosign 2432: of eight, six and two survived): each is
//! listed afterwards, or has said that it is not and ended with a failure.

use std::collections::BTreeSet;

use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::debian_like;
use proofmark_testkit::peers::DockerRegistry;
use serde_json::Value;

use crate::world::{PROOFMARK, Registry, home, run, write};

const WRITERS: usize = 8;

/// Attests as many predicates at once as there are writers.
fn attest_at_once(home: &Sandbox, image: &str, more: &[&str]) -> Vec<Outcome> {
    let files: Vec<String> = (0..WRITERS)
        .map(|number| {
            write(
                home.path(),
                &format!("{number}.json"),
                format!(r#"{{"writer":{number}}}"#),
            )
        })
        .collect();
    let fixed = [
        "attest",
        "--key",
        "cosign.key",
        "--type",
        "custom",
        "-y",
        image,
        "--predicate",
    ];
    std::thread::scope(|scope| {
        let writers: Vec<_> = files
            .iter()
            .map(|file| {
                let arguments: Vec<&str> = fixed
                    .iter()
                    .copied()
                    .chain([file.as_str()])
                    .chain(more.iter().copied())
                    .collect();
                scope.spawn(move || home.run(PROOFMARK, arguments))
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    })
}

/// Which writers' attestations anyone finds, by the generation of their layout.
fn found(home: &Sandbox, image: &str, bundles: bool) -> BTreeSet<usize> {
    let downloaded = run(home, ["download", "attestation", image]);
    let mut found = BTreeSet::new();
    for line in downloaded.stdout.lines() {
        let document: Value = serde_json::from_str(line).unwrap();
        let envelope = document.get("dsseEnvelope");
        if envelope.is_some() != bundles {
            continue;
        }
        let payload = envelope.unwrap_or(&document)["payload"].as_str().unwrap();
        let payload = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload).unwrap();
        let statement: Value = serde_json::from_slice(&payload).unwrap();
        found.insert(usize::try_from(statement["predicate"]["writer"].as_u64().unwrap()).unwrap());
    }
    found
}

fn all_are_listed_or_say_so(outcomes: &[Outcome], found: &BTreeSet<usize>) {
    for (number, outcome) in outcomes.iter().enumerate() {
        if outcome.code == Some(0) {
            assert!(
                found.contains(&number),
                "writer {number} ended well and is not among {found:?}"
            );
        } else {
            assert!(outcome.stderr.contains("[referrer-not-listed]"), "{}", outcome.stderr);
        }
    }
    println!("{} of {WRITERS} are listed", found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_on_a_fallback_tag() {
    let registry = Registry::with(|config| config.referrers_api = false).await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let outcomes = attest_at_once(&home, &image, &[]);
    all_are_listed_or_say_so(&outcomes, &found(&home, &image, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_on_att_tags() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let outcomes = attest_at_once(&home, &image, &["--new-bundle-format=false"]);
    all_are_listed_or_say_so(&outcomes, &found(&home, &image, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_on_docker_registry() {
    let Some(registry) = DockerRegistry::start_or_skip() else {
        return;
    };
    let home = home();
    debian_like().push(registry.address(), "app", "1.0").await;
    let image = format!("{}/app:1.0", registry.address());
    let outcomes = attest_at_once(&home, &image, &["--also-legacy"]);
    all_are_listed_or_say_so(&outcomes, &found(&home, &image, true));
    all_are_listed_or_say_so(&outcomes, &found(&home, &image, false));
}

/// Eight logins at once, of processes that know nothing of each other: each is kept, ten times over.
#[test]
fn eight_logins_at_once_are_all_kept() {
    let home = Sandbox::new();
    for round in 0..10 {
        let hosts: Vec<String> = (0..WRITERS)
            .map(|number| format!("r{round}-{number}.example.com"))
            .collect();
        std::thread::scope(|scope| {
            for host in &hosts {
                let home = &home;
                scope.spawn(move || {
                    let mut command = home.command(PROOFMARK);
                    command.args(["login", "-u", "ci", "--password-stdin", host]);
                    home.finish(&mut command, b"s3cret").expect_success();
                });
            }
        });
    }
    let config = std::fs::read(home.path().join(".docker/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        config["auths"].as_object().map(serde_json::Map::len),
        Some(10 * WRITERS)
    );
}
