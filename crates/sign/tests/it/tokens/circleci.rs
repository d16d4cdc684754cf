//! CircleCI: the job's token, and the command that makes one for another audience.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{Job, good, with};

/// A job with a program `circleci` that is this script.
fn job(script: Option<&str>, token: &str) -> (tempfile::TempDir, Job) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(script) = script {
        let path = folder.path().join("circleci");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("relative:{}", folder.path().display());
    let job = Job::new(&[("PATH", path), ("CIRCLE_OIDC_TOKEN_V2", token.to_owned())]);
    (folder, job)
}

fn organisation() -> String {
    with("aud", json!("00000000-aaaa-bbbb-cccc-000000000000"))
}

#[tokio::test]
async fn the_jobs_token_or_one_that_the_command_makes() {
    // The program is not run where the token is right.
    let (_folder, direct) = job(Some("exit 1"), &good());
    assert_eq!(direct.token().await.unwrap().claims().subject(), "job");
    let made = with("sub", json!("made"));
    let script =
        format!(r#"[ "$1 $2 $3 $4" = "run oidc get --claims" ] && [ "$5" = '{{"aud":"sigstore"}}' ] && echo {made}"#);
    let (_folder, asked) = job(Some(&script), &organisation());
    assert_eq!(asked.token().await.unwrap().claims().subject(), "made");
}

#[tokio::test]
async fn a_command_that_fails_has_its_reason() {
    for (script, code) in [
        (None, "token-audience"),
        (Some("exit 3"), "token-command"),
        (Some("exec sleep 30"), "token-command"),
        (Some("echo nonsense"), "token-malformed"),
        (Some("exec cat /dev/zero"), "token-too-large"),
    ] {
        let (_folder, job) = job(script, &organisation());
        assert_eq!(job.code().await, code, "{script:?}");
    }
    let (_folder, wrong) = job(Some(&format!("echo {}", organisation())), &organisation());
    assert_eq!(wrong.code().await, "token-audience");
    let (_folder, late) = job(None, &with("exp", json!(1_600_000_000)));
    assert_eq!(late.code().await, "token-expired");
    let (_folder, garbage) = job(None, "garbage");
    assert_eq!(garbage.code().await, "token-malformed");
}
