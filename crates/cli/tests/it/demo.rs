//! `demo`: every decision is the expected one, on the program's own image and on others.

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, debian_like};
use serde_json::{Value, json};

use crate::world::{PROOFMARK, fails, run};

fn decided(outcome: &proofmark_testkit::command::Outcome) -> Value {
    let document: Value = serde_json::from_str(&outcome.expect_success().stdout).expect("one JSON document");
    assert_eq!(document["ok"], json!(true));
    let decisions = document["decisions"].as_array().unwrap();
    let cases: Vec<(&str, &str)> = decisions
        .iter()
        .map(|decision| {
            assert_eq!(decision["asExpected"], json!(true), "{decision}");
            (
                decision["case"].as_str().unwrap(),
                decision["decision"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("released", "allow"),
        ("unsigned", "deny"),
        ("signed by another workflow", "deny"),
        ("attested, not signed", "deny"),
        ("without an SBOM", "deny"),
        ("released tag, moved since", "deny"),
    ];
    assert_eq!(cases, expected);
    let pinned = decisions[0]["admittedAs"].as_str().unwrap();
    assert!(pinned.contains("@sha256:"), "{pinned}");
    for denied in &decisions[1..] {
        assert!(!denied["reason"].as_str().unwrap().is_empty());
    }
    document
}

#[test]
fn this_program() {
    let home = Sandbox::new().with_patience(std::time::Duration::from_secs(400));
    let document = decided(&home.run(PROOFMARK, ["demo", "--json"]));
    println!("demo: {} s", document["seconds"]);
    let left = std::fs::read_dir(home.path())
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("proofmark-demo-")
        })
        .count();
    assert_eq!(left, 0, "the temporary folder is gone");
}

#[test]
fn a_layout() {
    let home = Sandbox::new();
    debian_like().write_layout(&home.path().join("image"), "1.0");
    decided(&run(&home, ["demo", "--json", "--layout", "image"]));
    let index = Built::index(vec![debian_like()]);
    index.write_layout(&home.path().join("index"), "1.0");
    decided(&run(&home, ["demo", "--json", "--layout", "index"]));
    let text = run(&home, ["demo", "--layout", "image"]);
    let text = &text.expect_success().stdout;
    assert!(text.contains("every decision is the expected one"), "{text}");
    fails(&run(&home, ["demo", "--layout", "absent"]), 2, "file-unreadable");
    fails(&run(&home, ["demo", "--image", "a b"]), 2, "malformed-reference");
}
