//! cosign's variables that replace a part of the default trust root by a PEM file: accepted with the right ones, refused
//! without one of them and with a stranger's, and cosign says the same.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::peers::COSIGN3;
use serde_json::Value;

use crate::blobs::advisories::Rekor;
use crate::world::{PROOFMARK, Trust, fails, flags, home, run, write};

const ROOT: &str = "SIGSTORE_ROOT_FILE";
const CT_LOG: &str = "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE";
const REKOR: &str = "SIGSTORE_REKOR_PUBLIC_KEY";
const TSA: &str = "SIGSTORE_TSA_CERTIFICATE_FILE";

/// A public key as the variables want it.
fn pem(spki: &[u8]) -> String {
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(spki)
    )
}

/// The files of a domain, and the key of a log of version 1 beside it.
fn files(home: &Sandbox, name: &str, trust: &Trust, rekor: &Rekor) -> Vec<(&'static str, String)> {
    let root: Value = serde_json::from_slice(&fs::read(trust.file("trusted_root.json")).unwrap()).unwrap();
    let ct_log = root["ctlogs"][0]["publicKey"]["rawBytes"].as_str().unwrap();
    let ct_log = write(
        home.path(),
        &format!("{name}-ct.pub"),
        pem(&STANDARD.decode(ct_log).unwrap()),
    );
    let log = write(home.path(), &format!("{name}-rekor.pub"), pem(rekor.key().spki_der()));
    vec![
        (ROOT, trust.file("ca-chain.pem")),
        (CT_LOG, ct_log),
        (REKOR, log),
        (TSA, trust.file("tsa-chain.pem")),
    ]
}

fn with(home: &Sandbox, program: &Path, words: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = home.command(program);
    command.args(words).envs(variables.iter().copied());
    home.finish(&mut command, b"")
}

/// The last word in brackets: the reason.
fn reason(outcome: &Outcome) -> String {
    let code = |line: &str| Some(line.strip_suffix(']')?.rsplit_once('[')?.1.to_owned());
    outcome.stderr.lines().rev().find_map(code).unwrap_or_default()
}

/// A variable, and the reasons of a refusal without it and with a stranger's.
type Part = (&'static str, &'static str, &'static str);

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one signature, held against each variable in turn")]
async fn each_variable_replaces_its_part() {
    let (home, trust, stranger) = (home(), Trust::start().await, Trust::start().await);
    let (rekor, other_rekor) = (Rekor::new(), Rekor::new());
    let own = files(&home, "own", &trust, &rekor);
    let others = files(&home, "other", &stranger, &other_rekor);
    write(home.path(), "file", "what is signed");
    // Logged: cosign's older bundle, with the promise of a log of version 1, the one kind that these variables can name.
    let sign = ["sign-blob", "--bundle", "logged", "--new-bundle-format=false", "file"];
    run(&home, flags(&sign, &trust.signing())).expect_success();
    let mut bundle: Value = serde_json::from_slice(&fs::read(home.path().join("logged")).unwrap()).unwrap();
    let certificate = String::from_utf8(STANDARD.decode(bundle["cert"].as_str().unwrap()).unwrap()).unwrap();
    let signature = bundle["base64Signature"].as_str().unwrap().to_owned();
    bundle["rekorBundle"] = rekor.promise(b"what is signed", &signature, &certificate).await;
    write(home.path(), "logged", bundle.to_string());
    // Timestamped, and not logged: of newer bundles cosign says that it wants a whole trusted root.
    let sign = [
        "sign-blob",
        "--bundle",
        "stamped",
        "--new-bundle-format=false",
        "--rfc3161-timestamp",
        "stamp",
        "file",
    ];
    run(&home, flags(&sign, &trust.signing())).expect_success();

    let identity = trust.verifying()[2..].to_vec();
    let logged = ["verify-blob", "--bundle", "logged", "--new-bundle-format=false", "file"];
    let stamped = [
        "verify-blob",
        "--bundle",
        "stamped",
        "--new-bundle-format=false",
        "--rfc3161-timestamp",
        "stamp",
        "--insecure-ignore-tlog",
        "--use-signed-timestamps",
        "file",
    ];
    let cosign = COSIGN3.or_skip();
    let cases: [(&[&str], &[Part]); 2] = [
        (
            &logged,
            &[
                (ROOT, "certificate-untrusted", "certificate-untrusted"),
                (CT_LOG, "sct-missing", "sct-missing"),
                (REKOR, "log-entry-missing", "log-entry-missing"),
            ],
        ),
        (
            &stamped,
            &[
                (ROOT, "certificate-untrusted", "certificate-untrusted"),
                (CT_LOG, "sct-missing", "sct-missing"),
                (TSA, "timestamp-untrusted", "timestamp-untrusted"),
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (words, parts) in cases {
        let words = flags(words, &identity);
        let mut check = |what: &str, variables: &[(&str, &str)], expected: Option<&str>| {
            let ours = with(&home, PROOFMARK.as_ref(), &words, variables);
            let (code, said) = (ours.code, reason(&ours));
            let right = match expected {
                None => code == Some(0),
                Some(expected) => code == Some(12) && said == expected && ours.stdout.is_empty(),
            };
            if !right {
                wrong.push(format!(
                    "{what} of {words:?}: expected {expected:?}, {code:?} [{said}]\n{}",
                    ours.stderr
                ));
            }
            let Some(cosign) = &cosign else { return };
            let theirs = with(&home, cosign, &words, variables);
            if theirs.succeeded() != expected.is_none() {
                wrong.push(format!("cosign, {what} of {words:?}: {}", theirs.stderr));
            }
        };
        let named = |name: &str| parts.iter().any(|(part, ..)| *part == name);
        let all = || {
            own.iter()
                .filter(|(name, _)| named(name))
                .map(|(name, path)| (*name, path.as_str()))
        };
        check("all", &all().collect::<Vec<_>>(), None);
        for (part, without, strangers) in parts {
            let left: Vec<_> = all().filter(|(name, _)| name != part).collect();
            check(&format!("without {part}"), &left, Some(without));
            let other = others.iter().find(|(name, _)| name == part).unwrap();
            let swapped: Vec<_> = left.into_iter().chain([(*part, other.1.as_str())]).collect();
            check(&format!("a stranger's {part}"), &swapped, Some(strangers));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_not_passed_over() {
    let (home, trust) = (home(), Trust::start().await);
    write(home.path(), "file", "what is signed");
    write(
        home.path(),
        "broken",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    );
    run(
        &home,
        flags(&["sign-blob", "--bundle", "bundle", "file"], &trust.signing()),
    )
    .expect_success();
    let verifying = trust.verifying();
    let words = ["verify-blob", "--bundle", "bundle", "file"];
    let default = flags(&words, &verifying[2..]);
    for name in [CT_LOG, REKOR, TSA] {
        let outcome = with(&home, PROOFMARK.as_ref(), &default, &[(name, "absent")]);
        fails(&outcome, 2, "file-unreadable");
        let outcome = with(&home, PROOFMARK.as_ref(), &default, &[(name, "broken")]);
        let said = &fails(&outcome, 2, "trusted-root-unusable").stderr;
        assert!(said.contains("broken"), "{said}");
        // Beside a file that is named they count for nothing.
        let outcome = with(
            &home,
            PROOFMARK.as_ref(),
            &flags(&words, &verifying),
            &[(name, "absent")],
        );
        outcome.expect_success();
    }
    // A server is told to take a file instead.
    fs::create_dir(home.path().join("policies")).unwrap();
    let serve = [
        "admission",
        "serve",
        "--policies",
        "policies",
        "--listen",
        "127.0.0.1:0",
    ];
    let outcome = with(&home, PROOFMARK.as_ref(), &serve, &[(REKOR, "broken")]);
    fails(&outcome, 2, "flag-not-supported");
}
