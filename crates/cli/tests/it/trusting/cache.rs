//! The cache of trust roots: what somebody changed in it is refused aloud, and who else may write to it makes it worthless.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proofmark_testkit::command::{Outcome, Sandbox};
use serde_json::Value;

use super::{initialize, mirror, place};
use crate::world::{PROOFMARK, Trust, fails, json, run};

const VERIFY: [&str; 6] = [
    "verify",
    "--certificate-identity",
    "a",
    "--certificate-oidc-issuer",
    "b",
    "127.0.0.1:1/app:1",
];

/// Changes a byte of the trust root that is kept.
fn swap_root(home: &Sandbox) {
    let file = place(home).join("copy.tar");
    let mut bytes = fs::read(&file).unwrap();
    let word = b"certificateAuthorities";
    let at = bytes.windows(word.len()).position(|part| part == word).unwrap();
    bytes[at] = b'C';
    fs::write(&file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_trust_root_is_refused_aloud() {
    let (home, trust) = (Sandbox::new(), Trust::start().await);
    let mirror = initialize(&home, &trust);
    // Trusted so far: the registry is what is missing.
    fails(&run(&home, VERIFY), 1, "unreachable");
    swap_root(&home);
    let said = &fails(&run(&home, VERIFY), 2, "trust-cache-changed").stderr.clone();
    for part in [&mirror, "copy.tar", "SHA-256", "proofmark initialize", "--trusted-root"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Neither signing nor an archive for other machines is made of it.
    let token = trust.token();
    let sign = run(
        &home,
        ["sign", "--yes", "--identity-token", &token, "127.0.0.1:1/app:1"],
    );
    fails(&sign, 2, "trust-cache-changed");
    fails(&run(&home, ["trust", "export", "trust.tar"]), 2, "trust-cache-changed");
    // A script sees it in the status, which does not end.
    let status = json(&home, ["trust", "status"]);
    assert_eq!(
        status["repositories"][0]["refused"]["code"], "trust-cache-changed",
        "{status}"
    );
    assert_eq!(status["repositories"][0]["trustedRoot"], Value::Null);
    assert!(run(&home, ["trust", "status"]).stdout.contains("REFUSED: "));
    // The webhook believes the same place, and starts as little; of a file it knows nothing better.
    fs::create_dir(home.path().join("policies")).unwrap();
    let taken = trust.address().to_string();
    let serve = ["admission", "serve", "--policies", "policies", "--listen", &taken];
    fails(&run(&home, serve), 2, "trust-cache-changed");
    let root = trust.file("trusted_root.json");
    fails(
        &run(&home, serve.into_iter().chain(["--trusted-root", &root])),
        1,
        "listen",
    );
    // A file does without, and a refresh mends it.
    let root = trust.file("trusted_root.json");
    fails(
        &run(&home, VERIFY.into_iter().chain(["--trusted-root", &root])),
        1,
        "unreachable",
    );
    run(&home, ["trust", "refresh"]).expect_success();
    fails(&run(&home, VERIFY), 1, "unreachable");
    fails(&run(&home, serve), 1, "listen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_others_can_write_to_is_refused() {
    let (home, trust) = (Sandbox::new(), Trust::start().await);
    initialize(&home, &trust);
    let folder = home.path().join(".cache/proofmark/tuf");
    let allow = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o777);
    let outcome = run(&home, VERIFY);
    let said = &fails(&outcome, 2, "trust-cache-unsafe").stderr;
    assert!(said.contains("0777") && said.contains("chmod -R go-w"), "{said}");
    let (mirror, root) = (mirror(&trust), trust.file("tuf_root.json"));
    let outcome = run(&home, ["initialize", "--mirror", &mirror, "--root", &root]);
    fails(&outcome, 1, "trust-cache-unsafe");
    allow(0o755);
    fails(&run(&home, VERIFY), 1, "unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_state_is_not_as_good_as_none() {
    let (home, trust) = (Sandbox::new(), Trust::start().await);
    initialize(&home, &trust);
    fs::write(place(&home).join("state.json"), "{\"refreshed\": 7}").unwrap();
    fails(&run(&home, VERIFY), 2, "trust-cache-damaged");
    run(&home, ["trust", "refresh"]).expect_success();
    fails(&run(&home, VERIFY), 1, "unreachable");
}

/// Without a folder nobody knows what was chosen: nothing is trusted that was not named.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_home_nothing_is_trusted_that_was_not_named() {
    let (home, trust) = (Sandbox::new(), Trust::start().await);
    initialize(&home, &trust);
    let bare = |more: &[&str], mirror: Option<&str>| -> Outcome {
        let mut command = home.command(PROOFMARK);
        command.args(VERIFY).args(more).env_remove("HOME");
        if let Some(mirror) = mirror {
            command.env("TUF_MIRROR", mirror);
        }
        home.finish(&mut command, b"")
    };
    let outcome = bare(&[], None);
    let said = &fails(&outcome, 2, "trust-choice-unknown").stderr;
    assert!(
        said.contains("HOME") && said.contains("--trusted-root") && said.contains("TUF_MIRROR="),
        "{said}"
    );
    let root = trust.file("trusted_root.json");
    fails(&bare(&["--trusted-root", &root], None), 1, "unreachable");
    fails(&bare(&[], Some("https://tuf-repo-cdn.sigstore.dev")), 1, "unreachable");
    fails(&bare(&[], Some("https://mirror.test")), 2, "trust-not-initialized");
}

/// Several at once, half of them with a wrong root: each ends by itself as it would alone.
#[tokio::test(flavor = "multi_thread")]
async fn several_initialize_at_once() {
    let (home, trust, stranger) = (Sandbox::new(), Trust::start().await, Trust::start().await);
    let mirror = mirror(&trust);
    let roots = [trust.file("tuf_root.json"), stranger.file("tuf_root.json")];
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..6)
            .map(|number| {
                let (home, mirror, root) = (&home, &mirror, &roots[number % 2]);
                scope.spawn(move || (number, run(home, ["initialize", "--mirror", mirror, "--root", root])))
            })
            .collect();
        for one in runs {
            let (number, outcome) = one.join().unwrap();
            if number % 2 == 0 {
                outcome.expect_success();
            } else {
                fails(&outcome, 1, "tuf-threshold");
            }
        }
    });
    fails(&run(&home, VERIFY), 1, "unreachable");
    let status = json(&home, ["trust", "status"]);
    assert_eq!(status["repositories"][0]["mirror"], mirror.as_str());
    assert_eq!(status["repositories"][0]["trustedRoot"]["versions"]["root"], 1);
}
