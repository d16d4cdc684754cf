//! Whom an identity is told to: the services of the instance that was chosen, and the public ones only where that is the
//! public one.

use std::fs;

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::debian_like;

use super::initialize;
use crate::world::{Registry, Trust, fails, run};

/// A home in which a reachable public service would be a mistake that is seen: nothing leaves this machine.
fn isolated() -> Sandbox {
    let nowhere = "http://127.0.0.1:9";
    Sandbox::new()
        .with("COSIGN_PASSWORD", "a password")
        .with("HTTPS_PROXY", nowhere)
        .with("https_proxy", nowhere)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_never_goes_to_a_public_log_that_was_not_chosen() {
    let (home, registry, trust) = (isolated(), Registry::start().await, Trust::start().await);
    let image = registry.push(&debian_like(), "1.0").await;
    let token = trust.token();
    let sign = |more: &[&str]| {
        let fixed = ["sign", "--identity-token", &token, &image];
        run(&home, fixed.into_iter().chain(more.iter().copied()))
    };
    // Nothing was chosen: the public services, and only after a yes.
    fails(&sign(&[]), 2, "confirmation-needed");
    let mirror = initialize(&home, &trust);
    // One's own services were chosen on purpose: nothing is asked.
    sign(&[]).expect_success();
    let own = format!("http://{}", trust.address());
    // Neither a flag that is left out nor a yes leads to the public ones.
    for (more, missing) in [
        (&["--yes", "--use-signing-config=false"] as &[&str], "--fulcio-url"),
        (&["--yes", "--fulcio-url", &own], "--rekor-url"),
        (&["--yes", "--rekor-url", &own], "--fulcio-url"),
    ] {
        let outcome = sign(more);
        let said = &fails(&outcome, 2, "public-service-not-chosen").stderr;
        assert!(said.contains(missing) && said.contains(&mirror), "{more:?}: {said}");
    }
    // A key's signature under cosign's name goes to a log by default; it is no other log's either.
    let cosign = home.path().join("cosign");
    std::os::unix::fs::symlink(crate::world::PROOFMARK, &cosign).unwrap();
    let keys = home.run(&cosign, ["generate-key-pair"]);
    assert!(keys.succeeded(), "{}", keys.stderr);
    let outcome = home.run(
        &cosign,
        [
            "sign",
            "--key",
            "cosign.key",
            "--use-signing-config=false",
            "-y",
            &image,
        ],
    );
    assert!(!outcome.succeeded());
    assert!(
        outcome.stderr.contains("[public-service-not-chosen]"),
        "{}",
        outcome.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_without_services_is_no_reason_to_ask_the_public_ones() {
    let (registry, trust) = (Registry::start().await, Trust::start().await);
    let image = registry.push(&debian_like(), "1.0").await;
    let token = trust.token();
    // GitHub's root is in this program, and it names no services.
    let home = isolated().with("TUF_MIRROR", "https://tuf-repo.github.com");
    for more in [&[] as &[&str], &["--yes"]] {
        let fixed = ["sign", "--identity-token", &token, &image];
        let outcome = run(&home, fixed.into_iter().chain(more.iter().copied()));
        let said = &fails(&outcome, 2, "signing-config-missing").stderr;
        assert!(
            said.contains("https://tuf-repo.github.com") && said.contains("--signing-config"),
            "{said}"
        );
    }
}

/// A mirror of one's own may list the public services: they stay public, and that is said before.
#[tokio::test(flavor = "multi_thread")]
async fn public_services_that_a_mirror_lists_are_asked_for() {
    let (home, registry, trust) = (isolated(), Registry::start().await, Trust::start().await);
    let image = registry.push(&debian_like(), "1.0").await;
    let path = trust.file("signing_config.json");
    let own = format!("http://{}", trust.address());
    let text = fs::read_to_string(&path).unwrap();
    let at = text.find("rekorTlogUrls").unwrap();
    let (before, after) = text.split_at(at);
    fs::write(
        &path,
        format!("{before}{}", after.replacen(&own, "https://rekor.sigstore.dev", 1)),
    )
    .unwrap();
    let trust = trust.restart().await;
    initialize(&home, &trust);
    let outcome = run(&home, ["sign", "--identity-token", &trust.token(), &image]);
    fails(&outcome, 2, "confirmation-needed");
}
