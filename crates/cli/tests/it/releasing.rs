//! `release`: what it writes is what it reads back, by a key and by an identity, and everyone else can check it.

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, debian_like};
use serde_json::json;

use crate::world::{Registry, Trust, WORKFLOW, fails, flags, home, json, run};

#[tokio::test(flavor = "multi_thread")]
async fn by_a_key_outside_of_any_ci() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let released = run(&home, ["release", "--key", "cosign.key", "-a", "env=prod", &image]);
    let text = &released.expect_success().stdout;
    for said in [
        "released ",
        "2 packages (2 deb)",
        "made here, outside of any CI",
        "scanned     no",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(released.stderr.contains("nothing was scanned"), "{}", released.stderr);
    let by_key = ["--key", "cosign.pub", "--insecure-ignore-tlog"];
    run(&home, ["verify", "-a", "env=prod", &image].into_iter().chain(by_key)).expect_success();
    let bill = json(
        &home,
        ["verify-attestation", "--type", "spdxjson", &image]
            .into_iter()
            .chain(by_key),
    );
    let packages = &bill[0]["attestations"][0]["predicate"]["packages"];
    assert!(packages.to_string().contains("pkg:deb/debian/bash@"), "{packages}");
    let provenance = ["verify-attestation", "--type", "slsaprovenance1", &image];
    let provenance = json(&home, provenance.into_iter().chain(by_key));
    assert_eq!(
        provenance[0]["attestations"][0]["predicateType"],
        json!("https://slsa.dev/provenance/v1")
    );
    let cyclonedx = ["verify-attestation", "--type", "cyclonedx", &image];
    fails(
        &run(&home, cyclonedx.into_iter().chain(by_key)),
        14,
        "no-acceptable-attestation",
    );
    let again = ["release", "--key", "cosign.key", "--sbom", "cyclonedx-json", &image];
    let again = json(&home, again);
    assert_eq!(again["scanned"], json!(false));
    run(&home, cyclonedx.into_iter().chain(by_key)).expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_identity_of_a_workflow() {
    let registry = Registry::start().await;
    let trust = Trust::start().await;
    let home = Sandbox::new();
    let index = Built::index(vec![debian_like(), Built::image("linux/arm64", &[], |_| ())]);
    let image = registry.push(&index, "1.0").await;
    let released = json(&home, flags(&["release", &image], &trust.signing()));
    assert_eq!(released["digest"], json!(index.digest().to_string()));
    assert_eq!(released["subjects"].as_array().map(Vec::len), Some(3));
    assert!(released["provenance"].to_string().contains("CI's identity token"));
    // The index and each image by itself, as clusters ask for them.
    for digest in [&index, &index.children()[0], &index.children()[1]].map(Built::digest) {
        let name = registry.image(&format!("app@{digest}"));
        let verified = json(&home, flags(&["verify", &name], &trust.verifying()));
        let signature = &verified[0]["signatures"][0];
        assert_eq!(
            signature["signer"]["subjects"][0]["value"],
            json!(WORKFLOW),
            "{signature}"
        );
        assert_eq!(signature["logs"][0]["inclusionProven"], json!(true));
        let provenance = ["verify-attestation", "--type", "slsaprovenance1", &name];
        let provenance = json(&home, flags(&provenance, &trust.verifying()));
        let predicate = &provenance[0]["attestations"][0]["predicate"];
        let workflow = &predicate["buildDefinition"]["externalParameters"]["workflow"];
        assert_eq!(workflow["repository"], json!("https://github.com/acme/app"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_released() {
    let registry = Registry::start().await;
    let home = home();
    let missing = registry.image("app:1.0");
    fails(
        &run(&home, ["release", "--key", "cosign.key", &missing]),
        11,
        "not-found",
    );
}
