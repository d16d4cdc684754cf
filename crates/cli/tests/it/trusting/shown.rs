//! Results say which trust root was used, how old it is, and whether it is too old.

use std::os::unix::fs::symlink;

use proofmark_testkit::images::debian_like;
use serde_json::{Value, json};

use super::{change_state, days_ago, initialize};
use crate::world::{PROOFMARK, Registry, Trust, WORKFLOW, flags, home, json, run, write};

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one machine, asked in the same way by four verbs")]
async fn results_say_which_trust_root_was_used() {
    let (home, registry, trust) = (home(), Registry::start().await, Trust::start().await);
    let image = registry.push(&debian_like(), "1.0").await;
    let predicate = write(home.path(), "predicate.json", "{}");
    let file = write(home.path(), "file.txt", "content");
    run(&home, flags(&["sign", &image], &trust.signing())).expect_success();
    for words in [
        &["attest", "--predicate", &predicate, &image] as &[&str],
        &["sign-blob", "--bundle", "signature.json", &file],
        &[
            "attest-blob",
            "--predicate",
            &predicate,
            "--bundle",
            "attestation.json",
            &file,
        ],
    ] {
        run(&home, flags(words, &trust.signing())).expect_success();
    }
    let mirror = initialize(&home, &trust);
    let issuer = trust.issuer();
    let identity = ["--certificate-identity", WORKFLOW, "--certificate-oidc-issuer", &issuer];
    let asked: [Vec<&str>; 4] = [
        vec!["verify", &image],
        vec!["verify-attestation", &image],
        vec!["verify-blob", "--bundle", "signature.json", &file],
        vec!["verify-blob-attestation", "--bundle", "attestation.json", &file],
    ];
    let with = |words: &[&'static str]| words.to_vec();
    let root = trust.file("trusted_root.json");
    let result = |words: &[&str], more: &[&str]| -> (Value, String) {
        let all: Vec<&str> = words.iter().chain(&identity).chain(more).copied().collect();
        let value = json(&home, all.iter().copied());
        let value = value.get(0).unwrap_or(&value)["trustRoot"].clone();
        (value, run(&home, all).expect_success().stdout.clone())
    };
    for words in &asked {
        let (value, text) = result(words, &with(&[]));
        assert_eq!(value["origin"], json!({"kind": "tuf", "mirror": mirror}), "{words:?}");
        assert_eq!(value["versions"]["root"], 1, "{value}");
        assert!(value["since"].is_string() && value["expires"].is_string(), "{value}");
        assert_eq!(value["stale"], Value::Null, "{value}");
        let line = format!("trust root: {mirror}, root version 1, targets version 1, refreshed 2");
        assert!(text.contains(&line) && !text.contains("STALE"), "{words:?}: {text}");

        let (value, text) = result(words, &["--trusted-root", &root]);
        assert_eq!(value["origin"], json!({"kind": "file", "path": root}), "{words:?}");
        assert!(text.contains(&format!("trust root: the file {root}")), "{text}");
    }
    change_state(&home, |state| state["refreshed"] = days_ago(100));
    for words in &asked {
        let (value, text) = result(words, &[]);
        let stale = value["stale"].as_str().unwrap_or_default();
        assert!(
            stale.contains("100 days old") && stale.contains(&mirror),
            "{words:?}: {value}"
        );
        assert!(
            text.contains("STALE: ") && text.contains("100 days old"),
            "{words:?}: {text}"
        );
    }

    // Where a key is all that is looked at, no trust root is.
    run(&home, ["sign", "--key", "cosign.key", &image]).expect_success();
    let alone = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog", &image];
    assert_eq!(json(&home, alone)[0]["trustRoot"], Value::Null);
    assert!(!run(&home, alone).expect_success().stdout.contains("trust root"));

    // Under the name `cosign` standard output is cosign's, stale or not.
    let cosign = home.path().join("cosign");
    symlink(PROOFMARK, &cosign).unwrap();
    let all: Vec<&str> = asked[0].iter().chain(&identity).copied().collect();
    let outcome = home.run(&cosign, all);
    let payloads: Vec<Value> = serde_json::from_str(outcome.expect_success().stdout.trim()).unwrap();
    assert!(
        payloads.iter().all(|payload| payload.get("critical").is_some()),
        "{payloads:?}"
    );
    assert!(
        !outcome.stdout.contains("trustRoot") && !outcome.stdout.contains("STALE"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stderr.contains("100 days old"), "{}", outcome.stderr);
    let all: Vec<&str> = asked[2].iter().chain(&identity).copied().collect();
    assert_eq!(home.run(&cosign, all).expect_success().stdout, "");
}
