//! The name `cosign`: a link of that name takes cosign's command line and answers in cosign's shapes, held against what
//! cosign 3.1.1 itself prints.

use std::os::unix::fs::symlink;

use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::{Built, Layer, debian_like};
use proofmark_testkit::layouts::LayoutServer;
use proofmark_testkit::manifest::{Expected, Mode, cases};
use proofmark_testkit::peers::COSIGN3;
use serde_json::{Value, json};

use crate::fixtures::arguments;
use crate::world::{PROOFMARK, Registry, home, write};

/// The binary under the name `cosign`.
fn link(home: &Sandbox) -> String {
    let path = home.path().join("cosign");
    symlink(PROOFMARK, &path).unwrap();
    path.display().to_string()
}

fn payloads(outcome: &Outcome) -> Vec<Value> {
    let text = &outcome.expect_success().stdout;
    assert!(text.starts_with('\n'), "cosign begins with an empty line: {text:?}");
    serde_json::from_str(text.trim()).expect("one JSON list")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_takes_cosigns_command_line() {
    let registry = Registry::start().await;
    let home = home();
    let cosign = link(&home);
    let image = registry.push(&debian_like(), "1.0").await;
    let run = |words: &str| home.run(&cosign, words.split(' ').map(|word| word.replace("IMAGE", &image)));
    let unsigned = run("verify --key cosign.pub --insecure-ignore-tlog=true IMAGE");
    unsigned.expect_code(10);
    assert_eq!(unsigned.stdout, "", "nothing for a script to take for a result");

    let quiet = "--use-signing-config=false --tlog-upload=false -y";
    let signed = run(&format!("sign --key cosign.key {quiet} -a env=prod,team=a IMAGE"));
    assert_eq!(signed.expect_success().stdout, "", "cosign prints nothing there");
    // With one dash, as cosign still takes it; of two the last counts; nothing is nothing.
    let verified =
        run("verify -key other.pub --key cosign.pub --insecure-ignore-tlog -a env=prod --certificate-identity= IMAGE");
    assert!(
        verified.stderr.contains("the -key flag is deprecated"),
        "{}",
        verified.stderr
    );
    assert!(
        verified.stderr.contains("The cosign claims were validated"),
        "{}",
        verified.stderr
    );
    assert!(
        !verified.stderr.contains("transparency log was verified offline"),
        "no log was looked at: {}",
        verified.stderr
    );
    let found = payloads(&verified);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["critical"]["identity"]["docker-reference"], json!(image));
    assert_eq!(
        found[0]["critical"]["type"],
        json!("https://sigstore.dev/cosign/sign/v1")
    );
    assert_eq!(found[0]["optional"], json!({"env": "prod", "team": "a"}));
    let text = run("verify --key cosign.pub --insecure-ignore-tlog -o text IMAGE");
    let line: Value = serde_json::from_str(text.expect_success().stdout.trim()).expect("one payload a line");
    assert_eq!(line, found[0]);

    run("verify --key other.pub --insecure-ignore-tlog IMAGE").expect_code(12);
    run("verify --key cosign.pub --insecure-ignore-tlog IMAGE-none").expect_code(11);
    // cosign has no other codes than its four.
    for refused in [
        "verify --key cosign.pub --insecure-ignore-tlog --check-claims=false IMAGE",
        "verify --key cosign.pub --insecure-ignore-tlog --attachment sbom IMAGE",
        "verify --key cosign.pub --insecure-ignore-tlog --no-such-flag IMAGE",
        "verify-attestation --key cosign.pub --insecure-ignore-tlog --type vuln IMAGE",
        "verify --sk IMAGE",
    ] {
        let outcome = run(refused);
        outcome.expect_code(1);
        assert_eq!(outcome.stdout, "", "{refused}");
    }

    write(home.path(), "predicate.json", r#"{"scanner": "none"}"#);
    run(&format!(
        "attest --key cosign.key {quiet} --type vuln --predicate predicate.json IMAGE"
    ))
    .expect_success();
    let attested = run("verify-attestation --key cosign.pub --insecure-ignore-tlog --type vuln IMAGE");
    let envelope: Value = serde_json::from_str(attested.expect_success().stdout.trim()).expect("one envelope a line");
    assert_eq!(envelope["payloadType"], json!("application/vnd.in-toto+json"));
    // The document goes where --output-file says, and nowhere else.
    let filed =
        run("--output-file out.json verify-attestation --key cosign.pub --insecure-ignore-tlog --type vuln IMAGE");
    assert_eq!(filed.expect_success().stdout, "");
    let text = std::fs::read_to_string(home.path().join("out.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(text.trim()).unwrap(), envelope);
}

/// Verified by both, with the same words: each payload that we print has what cosign prints of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_output_is_that_of_cosign_3() {
    let Some(peer) = COSIGN3.or_skip() else { return };
    let server = LayoutServer::fixtures().await;
    let registry = server.address().to_string();
    let home = Sandbox::new();
    let cosign = link(&home);
    let mut compared = 0;
    for case in cases() {
        let same = case.expected == Expected::Accept && case.cosign_3_1_1.agrees;
        let verb = matches!(case.input.mode, Mode::Verify | Mode::VerifyAttestation);
        if !same || !verb || case.repo.is_none() {
            continue;
        }
        let words = arguments(&case, &registry);
        let (ours, theirs) = (home.run(&cosign, &words), home.run(&peer, &words));
        if !theirs.succeeded() {
            // Its runs in the manifest had another network and other flags (--allow-http-registry).
            continue;
        }
        let lines = |outcome: &Outcome| -> Vec<Value> {
            outcome
                .expect_success()
                .stdout
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect()
        };
        let (ours, theirs) = (lines(&ours), lines(&theirs));
        if case.input.mode == Mode::VerifyAttestation {
            for envelope in &theirs {
                let is = |other: &&Value| {
                    ["payload", "payloadType"]
                        .iter()
                        .all(|name| other[name] == envelope[name])
                };
                assert!(
                    ours.iter().any(|other| is(&other)),
                    "{}: {envelope}\nnot in {ours:?}",
                    case.id
                );
            }
        } else {
            let (ours, theirs) = (ours[0].as_array().unwrap(), theirs[0].as_array().unwrap());
            // cosign 3 prints attestations among the signatures, and of an image with both generations only the newer.
            let signatures: Vec<&Value> = theirs
                .iter()
                .filter(|payload| SIGNATURE_TYPES.contains(&payload["critical"]["type"].as_str().unwrap_or_default()))
                .collect();
            for payload in &signatures {
                assert!(
                    ours.iter().any(|other| covers(other, payload)),
                    "{}: {payload}\nis none of {ours:?}",
                    case.id
                );
            }
            assert!(ours.len() >= signatures.len(), "{}: {ours:?}", case.id);
            if !case.id.starts_with("v2-and-v3") {
                assert_eq!(ours.len(), signatures.len(), "{}: {ours:?}\n{theirs:?}", case.id);
            }
        }
        compared += 1;
    }
    println!("cosign 3.1.1: {compared} outputs are the same");
    assert!(compared > 20, "only {compared} outputs were compared");
}

const SIGNATURE_TYPES: [&str; 2] = [
    "cosign container image signature",
    "https://sigstore.dev/cosign/sign/v1",
];

/// Whether `ours` has all that `theirs` has: we add the certificate's subject and issuer, which cosign 3 leaves out of
/// bundles and cosign 2 printed.
fn covers(ours: &Value, theirs: &Value) -> bool {
    let optional = match &theirs["optional"] {
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| ours["optional"].get(name) == Some(value)),
        _ => true,
    };
    ours["critical"] == theirs["critical"] && optional
}

/// Verbs that print nothing in cosign say what they did on standard error; codes 10 to 13 are for the signatures of images.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn what_was_done_is_no_result() {
    let registry = Registry::start().await;
    let home = home();
    let cosign = link(&home);
    let image = registry.push(&debian_like(), "1.0").await;
    let copy = registry.image("copy:1.0");
    let words = |line: &str| -> Vec<String> {
        line.split(' ')
            .map(|word| word.replace("IMAGE", &image).replace("COPY", &copy))
            .collect()
    };
    write(home.path(), "blob", "a file");
    write(home.path(), "bill.json", r#"{"bomFormat": "CycloneDX"}"#);
    let quiet = "--use-signing-config=false --tlog-upload=false -y";
    for done in [
        "generate-key-pair --output-key-prefix new",
        &format!("sign {quiet} --key cosign.key IMAGE"),
        "attach sbom --sbom bill.json --type cyclonedx IMAGE",
        "copy IMAGE COPY",
        "save --dir saved IMAGE",
        "load --dir saved COPY",
        "clean -f --type sbom COPY",
        &format!("sign-blob {quiet} --key cosign.key --bundle blob.json blob"),
        "verify-blob --key cosign.pub --insecure-ignore-tlog --bundle blob.json blob",
    ] {
        let outcome = home.run(&cosign, words(done));
        assert_eq!(outcome.expect_success().stdout, "", "{done}");
        assert_ne!(outcome.stderr, "", "{done}");
    }
    // The same under our own name is a result.
    let ours = home.run(
        PROOFMARK,
        words("verify-blob --key cosign.pub --insecure-ignore-tlog --bundle blob.json blob"),
    );
    assert!(
        ours.expect_success().stdout.starts_with("blob: verified"),
        "{}",
        ours.stdout
    );
    for (failing, code, own) in [
        ("verify --key cosign.pub --insecure-ignore-tlog IMAGE-none", 11, 11),
        (
            "verify-attestation --key cosign.pub --insecure-ignore-tlog IMAGE-none",
            1,
            11,
        ),
        (
            "verify-blob --key other.pub --insecure-ignore-tlog --bundle blob.json blob",
            1,
            12,
        ),
        ("download signature IMAGE-none", 1, 11),
        ("tree IMAGE-none", 1, 11),
        ("triangulate IMAGE-none", 1, 11),
        ("copy IMAGE-none COPY", 1, 11),
        (
            "sign --use-signing-config=false --tlog-upload=false -y --key cosign.key IMAGE-none",
            1,
            11,
        ),
    ] {
        home.run(&cosign, words(failing)).expect_code(code);
        home.run(PROOFMARK, words(failing)).expect_code(own);
    }
    // A group without a command is a question, not a mistake.
    for group in ["bundle", "download", "pkcs11-tool"] {
        home.run(&cosign, [group]).expect_code(0);
        home.run(PROOFMARK, [group]).expect_code(2);
    }
    for refused in ["public-key --sk", "public-key --key cosign.key --slot signature"] {
        let outcome = home.run(&cosign, words(refused));
        outcome.expect_code(1);
        assert!(
            outcome.stderr.contains("[security-key-not-supported]"),
            "{}",
            outcome.stderr
        );
    }
}

/// Scripts pipe the answer in: `y` is a yes and everything else is none, as with cosign. Under our own name only a person at
/// a terminal is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_piped_answer_is_an_answer() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let peer = COSIGN3.or_skip().map(|path| path.display().to_string());
    let ours = link(&home);
    for cosign in [Some(ours), peer].into_iter().flatten() {
        let piped = |words: &str, answer: &str| {
            let words = words.split(' ').map(|word| word.replace("IMAGE", &image));
            home.finish(home.command(&cosign).args(words), answer.as_bytes())
        };
        let signed = |expected: bool| {
            let verify = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog", &image];
            home.run(PROOFMARK, verify).expect_code(if expected { 0 } else { 10 });
        };
        for (answer, cleans) in [
            ("n\n", false),
            ("", false),
            ("yes\n", false),
            ("y\n", true),
            ("Y", true),
        ] {
            home.run(
                PROOFMARK,
                ["sign", "--key", "cosign.key", "--also-legacy", "-y", &image],
            )
            .expect_success();
            let cleaned = piped("clean --allow-http-registry IMAGE", answer);
            cleaned.expect_code(i32::from(!cleans));
            signed(!cleans);
        }
        home.run(PROOFMARK, ["clean", "-f", &image]).expect_success();

        let file = |name: &str| std::fs::read(home.path().join(name)).ok();
        piped("generate-key-pair --output-key-prefix piped", "").expect_success();
        for (answer, replaced) in [("n\n", false), ("", false), ("yes\n", false), ("y\n", true)] {
            let before = (file("piped.key"), file("piped.pub"));
            let again = piped("generate-key-pair --output-key-prefix piped", answer);
            again.expect_code(i32::from(!replaced));
            let after = (file("piped.key"), file("piped.pub"));
            assert_eq!(before.0 != after.0, replaced, "{cosign}: {answer:?}");
            assert_eq!(before.1 != after.1, replaced, "{cosign}: {answer:?}");
        }
        for name in ["piped.key", "piped.pub"] {
            std::fs::remove_file(home.path().join(name)).unwrap();
        }
    }
    // Our own name: nobody is there to ask.
    let generate = home.finish(home.command(PROOFMARK).args(["key", "generate"]), b"y\n");
    generate.expect_code(2);
    assert!(generate.stderr.contains("[file-exists]"), "{}", generate.stderr);
}

/// Without COSIGN_PASSWORD what is piped in is the password, as with cosign: it answers nothing.
#[test]
fn a_piped_password_is_no_answer() {
    let home = Sandbox::new();
    let cosign = link(&home);
    let generate = |input: &[u8]| home.finish(home.command(&cosign).arg("generate-key-pair"), input);
    generate(b"y\n").expect_success();
    let key = std::fs::read(home.path().join("cosign.key")).unwrap();
    let again = generate(b"y\n");
    again.expect_code(1);
    assert!(again.stderr.contains("[file-exists]"), "{}", again.stderr);
    assert_eq!(std::fs::read(home.path().join("cosign.key")).unwrap(), key);
}

/// `cosign tree` is read by scripts: ours has the same lines.
#[tokio::test(flavor = "multi_thread")]
async fn the_tree_is_that_of_cosign_3() {
    let registry = Registry::start().await;
    let home = home();
    let cosign = link(&home);
    let image = registry.push(&debian_like(), "1.0").await;
    let run = |words: &str| home.run(&cosign, words.split(' ').map(|word| word.replace("IMAGE", &image)));
    let tree = |program: &str| -> Vec<String> {
        let outcome = home.run(program, ["tree", &image]);
        let mut lines: Vec<String> = outcome.expect_success().stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let peer = COSIGN3.or_skip().map(|path| path.display().to_string());
    let empty = tree(&cosign);
    assert_eq!(empty.len(), 3, "{empty:?}");
    if let Some(peer) = &peer {
        assert_eq!(empty, tree(peer));
    }
    let quiet = "--use-signing-config=false --tlog-upload=false -y --key cosign.key";
    write(home.path(), "predicate.json", r#"{"scanner": "none"}"#);
    for signing in [
        &format!("sign {quiet} IMAGE"),
        &format!("sign {quiet} --new-bundle-format=false IMAGE"),
        &format!("sign {quiet} --new-bundle-format=false -a a=b IMAGE"),
        &format!("attest {quiet} --type vuln --predicate predicate.json IMAGE"),
        &format!("attest {quiet} --new-bundle-format=false --type custom --predicate predicate.json IMAGE"),
        "attach sbom --sbom predicate.json --type cyclonedx IMAGE",
    ] {
        run(signing).expect_success();
    }
    let full = tree(&cosign);
    assert_eq!(full.iter().filter(|line| line.contains("🍒")).count(), 6, "{full:?}");
    assert_eq!(
        full.iter().filter(|line| line.starts_with("└── ")).count(),
        5,
        "{full:?}"
    );
    if let Some(peer) = &peer {
        assert_eq!(full, tree(peer));
    }
}

/// What has nothing to do says so, once; several images are verified at once and reported as they were named.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn flags_that_change_nothing_say_so() {
    let registry = Registry::start().await;
    let home = home();
    let cosign = link(&home);
    let other = Built::image("linux/arm64", &[Layer::gzip().file("a", "b")], |_| ());
    let images: Vec<String> = [
        registry.push(&debian_like(), "1.0").await,
        registry.push(&other, "2.0").await,
    ]
    .into();
    let quiet = [
        "--use-signing-config=false",
        "--tlog-upload=false",
        "-y",
        "--key",
        "cosign.key",
    ];
    let names = || images.iter().map(String::as_str);
    home.run(&cosign, ["sign"].into_iter().chain(quiet).chain(names()))
        .expect_success();
    let verify = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog", "-o", "text"];
    let plain = home.run(&cosign, verify.into_iter().chain(names()));
    plain.expect_success();
    for flag in ["--k8s-keychain", "--experimental-oci11", "--new-bundle-format=false"] {
        let outcome = home.run(&cosign, verify.into_iter().chain([flag]).chain(names()));
        assert_eq!(outcome.expect_success().stdout, plain.stdout, "{flag}");
        let said = outcome
            .stderr
            .lines()
            .filter(|line| line.contains(&format!("{flag}:")))
            .count();
        assert_eq!(said, 1, "{flag}: {}", outcome.stderr);
        let name = flag.split('=').next().unwrap();
        assert!(!plain.stderr.contains(name), "{}", plain.stderr);
    }
    let digests = |outcome: &Outcome| -> Vec<String> {
        let lines = outcome.expect_success().stdout.lines();
        lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                let payload: Value = serde_json::from_str(line).unwrap();
                payload["critical"]["image"].to_string()
            })
            .collect()
    };
    let order = digests(&plain);
    assert_eq!(order.len(), 2, "{order:?}");
    for workers in ["1", "2", "200"] {
        let outcome = home.run(
            &cosign,
            verify.into_iter().chain(["--max-workers", workers]).chain(names()),
        );
        assert_eq!(digests(&outcome), order, "{workers}");
    }
    let turned = home.run(
        &cosign,
        verify.into_iter().chain(images.iter().rev().map(String::as_str)),
    );
    assert_eq!(digests(&turned), order.iter().rev().cloned().collect::<Vec<_>>());
    // Of several that fail the first that was named decides, whichever answers first.
    let missing = registry.image("none:1");
    let (first, second) = (images[0].as_str(), images[1].as_str());
    let wrong = [
        "verify",
        "--key",
        "other.pub",
        "--insecure-ignore-tlog",
        "--max-workers=8",
    ];
    home.run(&cosign, wrong.into_iter().chain([first, missing.as_str()]))
        .expect_code(12);
    home.run(&cosign, wrong.into_iter().chain([missing.as_str(), second]))
        .expect_code(11);
}

#[test]
fn debug_says_where_tokens_would_come_from() {
    let home = Sandbox::new().with("SIGSTORE_ID_TOKEN", "a.b.c");
    let cosign = link(&home);
    let text = home
        .run(&cosign, ["debug", "providers"])
        .expect_success()
        .stdout
        .clone();
    assert!(text.lines().any(|line| line == "envvar: true"), "{text}");
    assert!(text.lines().any(|line| line == "github-actions: false"), "{text}");
    let Some(peer) = COSIGN3.or_skip() else { return };
    let theirs = home.run(&peer, ["debug", "providers"]).expect_success().stdout.clone();
    for line in theirs.lines() {
        assert!(text.lines().any(|ours| ours == line), "{line}\nis not in\n{text}");
    }
}
