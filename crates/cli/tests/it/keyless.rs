//! Trying keyless signing on one machine.

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::debian_like;

use crate::world::{Registry, Trust, fails, flags, json, run, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_development_issuer_signs_on_this_machine() {
    let (home, registry, trust) = (Sandbox::new(), Registry::start().await, Trust::start().await);
    let image = registry.push(&debian_like(), "1.0").await;
    let folder = trust.file("");
    let minted = json(&home, ["trust", "token", "--dir", &folder, "--email", "a@acme.test"]);
    let token = minted["token"].as_str().unwrap().to_owned();
    let plain = run(&home, ["trust", "token", "--dir", &folder]);
    assert_eq!(plain.expect_success().stdout.trim().matches('.').count(), 2);
    let (config, root) = (trust.file("signing_config.json"), trust.file("trusted_root.json"));
    let services = [
        "--signing-config".to_owned(),
        config,
        "--trusted-root".to_owned(),
        root.clone(),
    ];
    let sign = ["sign", &image, "--identity-token", &token];
    run(&home, flags(&sign, &services)).expect_success();
    let issuer = minted["issuer"].as_str().unwrap();
    let verify = |who: &str| {
        let arguments = [
            "verify",
            &image,
            "--trusted-root",
            &root,
            "--certificate-identity",
            who,
            "--certificate-oidc-issuer",
            issuer,
        ];
        run(&home, arguments)
    };
    verify("a@acme.test").expect_success();
    assert!(!verify("b@acme.test").succeeded());
}

#[test]
fn the_development_issuer_is_for_this_machine() {
    let home = Sandbox::new();
    let init = |folder: &str, origin: &str| {
        let arguments = [
            "trust",
            "init",
            "--dir",
            folder,
            "--origin",
            origin,
            "--insecure-development-issuer",
        ];
        run(&home, arguments)
    };
    fails(
        &init("public", "https://trust.acme.test"),
        2,
        "trust-development-issuer-public",
    );
    // A folder that was moved, or made by hand.
    init("moved", "http://127.0.0.1:1").expect_success();
    write(
        &home.path().join("moved"),
        "INSECURE-development-issuer",
        "https://trust.acme.test",
    );
    let moved = run(&home, ["trust", "token", "--dir", "moved"]);
    fails(&moved, 2, "development-issuer-elsewhere");
    fails(
        &run(&home, ["trust", "token", "--dir", "absent"]),
        2,
        "development-issuer-absent",
    );
}
