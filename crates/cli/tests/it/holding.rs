//! `admission queue`, `approve`, `exceptions`, `warm`: what a person does beside a running webhook.

use proofmark_testkit::command::Sandbox;
use serde_json::{Value, json};

use crate::up::Serving;
use crate::world::{fails, json, run};

const DIGEST: &str = "sha256:0b9e0000000000000000000000000000000000000000000000000000000000aa";
const ID: &str = "4f0c2a9d1b7e";

fn home() -> Sandbox {
    let home = Sandbox::new();
    for folder in ["queue", "exceptions", "policies"] {
        std::fs::create_dir(home.path().join(folder)).unwrap();
    }
    home
}

/// As the webhook writes it.
fn waits(home: &Sandbox) {
    let entry = json!({
        "id": ID, "image": "registry.example.com/team/app:1.4", "digest": DIGEST, "namespace": "team-a",
        "object": "Pod team-a/web", "requestedBy": "dana@example.com", "policies": ["release"], "codes": ["unsigned"],
        "first": "2026-11-21T11:00:00Z", "last": "2026-11-21T11:02:14Z", "times": 3,
    });
    std::fs::write(home.path().join(format!("queue/{ID}.json")), entry.to_string()).unwrap();
}

fn approve<'a>(approver: &'a str, lasts: &'a str, id: &'a str) -> Vec<&'a str> {
    let folders = ["--queue", "queue", "--exceptions", "exceptions", "--reason", "INC-4711"];
    [
        ["admission", "approve", id].as_slice(),
        &folders,
        &["--for", lasts, "--approver", approver],
    ]
    .concat()
}

#[test]
fn what_waits_is_approved_by_somebody_else_for_a_time() {
    let home = home();
    waits(&home);
    let listed = run(&home, ["admission", "queue", "--queue", "queue"]);
    let listed = listed.expect_success().stdout.clone();
    for said in [
        ID,
        DIGEST,
        "team-a, 3 times",
        "dana@example.com; unsigned",
        "1 image waiting",
    ] {
        assert!(listed.contains(said), "{listed}");
    }
    for (arguments, code) in [
        (approve("dana@example.com", "4h", ID), "approver-is-requester"),
        (approve("erin@example.com", "169h", ID), "exception-too-long"),
        (approve("erin@example.com", "4h", "ffff"), "queue-entry-unknown"),
    ] {
        fails(&run(&home, arguments), 2, code);
    }
    assert_eq!(std::fs::read_dir(home.path().join("exceptions")).unwrap().count(), 0);
    let approved = json(&home, approve("erin@example.com", "4h", ID));
    assert_eq!(approved["exception"]["approvedBy"], json!("erin@example.com"));
    let listed = json(&home, ["admission", "exceptions", "--exceptions", "exceptions"]);
    assert_eq!(listed["exceptions"][0]["inForce"], json!(true));
    assert_eq!(listed["exceptions"][0]["exception"]["digest"], json!(DIGEST));
    let left = json(&home, ["admission", "queue", "--queue", "queue"]);
    assert_eq!(left["waiting"], json!([]));
    // One that cannot be in force is a failure of the verb, and the others are listed all the same.
    std::fs::write(home.path().join("exceptions/broken.yaml"), "kind: ImageException\n").unwrap();
    let listed = run(&home, ["admission", "exceptions", "--exceptions", "exceptions"]);
    listed.expect_code(3);
    assert!(listed.stdout.contains("in force"), "{listed:?}");
    for said in ["broken.yaml", "[exception-refused]"] {
        assert!(listed.stderr.contains(said), "{listed:?}");
    }
}

#[test]
fn images_are_looked_up_ahead() {
    let home = home();
    let policy = "apiVersion: proofmark.dev/v1alpha1
kind: ImagePolicy
metadata: {name: frozen}
spec:
  match: {images: [\"127.0.0.1:1/**\"]}
  signatures:
    requireLog: false
    signers:
      - keyless: {issuer: \"https://issuer.example.com\", subject: \"ci@example.com\"}
";
    std::fs::write(home.path().join("policies/frozen.yaml"), policy).unwrap();
    let arguments = [
        "admission",
        "serve",
        "--policies",
        "policies",
        "--listen",
        "127.0.0.1:0",
        "--tls-name",
        "127.0.0.1",
        "--exceptions",
        "exceptions",
        "--queue",
        "queue",
        "--evidence-dir",
        "evidence",
        "--namespace-mode",
        "dev-*=warn",
        "--peer-metrics",
        "kyverno",
    ];
    let server = Serving::start(&home, &arguments);
    let (address, authority) = (
        server.said["address"].as_str().unwrap(),
        server.said["ca"].as_str().unwrap(),
    );
    let url = format!("https://{address}");
    let warm = |more: &[&str]| {
        run(
            &home,
            [
                &["-o", "json", "admission", "warm", "--url", &url, "--ca", authority],
                more,
            ]
            .concat(),
        )
    };
    // No policy wants evidence about it.
    let out = warm(&["registry.example.com/app:1"]);
    let said: Value = serde_json::from_str(&out.expect_success().stdout).unwrap();
    assert_eq!(said["images"][0]["evidence"], json!("not-needed"));
    // A registry that is not there, and what is no image.
    std::fs::write(
        home.path().join("images.txt"),
        "# what runs\n127.0.0.1:1/app:1\nNo:Image:\n",
    )
    .unwrap();
    let out = warm(&["--from", "images.txt"]);
    assert_eq!(out.code, Some(1), "{}", out.stderr);
    assert!(
        out.stdout.contains("unreachable") && out.stdout.contains("No:Image:"),
        "{}",
        out.stdout
    );
    // Another authority than the webhook's is no webhook.
    let other = home.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let second = Serving::start(
        &home,
        &[
            "admission",
            "serve",
            "--policies",
            "policies",
            "--listen",
            "127.0.0.1:0",
            "--tls-dir",
            "other",
        ],
    );
    let out = run(
        &home,
        [
            "-o",
            "json",
            "admission",
            "warm",
            "--url",
            &url,
            "--ca",
            "other/ca.crt",
            "registry.example.com/app:1",
        ],
    );
    assert_eq!(out.code, Some(1), "{}", out.stderr);
    assert!(out.stdout.contains("webhook-unreachable"), "{}", out.stdout);
    assert!(home.path().join("proofmark-tls/evidence.secret").exists());
    assert!(server.stop().success());
    assert!(second.stop().success());
}
