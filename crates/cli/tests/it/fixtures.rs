//! All cases of `fixtures/manifest.json` through the command line, with cosign's own flags: accepted with exit 0, rejected
//! with the codes of a verdict, never with that of a failure, and for the reason that the manifest gives.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;

use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::layouts::LayoutServer;
use proofmark_testkit::manifest::{Case, Expected, Mode, cases};

use self::reasons::REASONS;
use crate::world::{PROOFMARK, fixture_path};

mod reasons;

/// How many run at once: a case is a process of under 100 ms.
const AT_ONCE: usize = 2;

/// How many there are: a case that is lost is seen.
const ALL: usize = 215;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_has_its_verdict_and_reason() {
    let server = LayoutServer::fixtures().await;
    let registry = server.address().to_string();
    let all = cases();
    let total = all.len();
    assert_eq!(total, ALL);
    let queue = Mutex::new(VecDeque::from(all));
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let home = Sandbox::new();
                loop {
                    // The lock is for taking a case, not for running it.
                    let taken = queue.lock().unwrap().pop_front();
                    let Some(case) = taken else { break };
                    let outcome = home.run(PROOFMARK, arguments(&case, &registry));
                    if let Some(problem) = problem(&case, &outcome) {
                        wrong.lock().unwrap().push(problem);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let right = total - wrong.len();
    println!("fixtures: {right} of {total} through the command line");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What is wrong with how it ended: the verdict, or the reason that it names.
fn problem(case: &Case, outcome: &Outcome) -> Option<String> {
    let tell = |what: &str| {
        Some(format!(
            "{}: {what}: expected {:?} ({}), exit {:?}\n{}{}",
            case.id, case.expected, case.reason, outcome.code, outcome.stdout, outcome.stderr
        ))
    };
    let right = match (case.expected, outcome.code) {
        (Expected::Accept, code) => code == Some(0),
        // A tag that names nothing: 11 and no other.
        (Expected::Reject, code) if case.image_digest.is_none() && case.repo.is_some() => code == Some(11),
        (Expected::Reject, code) => matches!(code, Some(10 | 12 | 13 | 14)),
    };
    if !right {
        return tell("another verdict");
    }
    if case.expected == Expected::Accept {
        return None;
    }
    if !outcome.stderr.starts_with("error: ") {
        return tell("nothing is said");
    }
    let Some((_, codes)) = REASONS.iter().find(|(reason, _)| *reason == case.reason) else {
        return tell("the table has no such reason");
    };
    let named = |code: &str| outcome.stderr.contains(&format!("[{code}]"));
    if codes.iter().any(|code| named(code)) {
        None
    } else {
        tell(&format!("none of {codes:?} is named"))
    }
}

/// No reason of the table is made up, and none of the manifest is left out.
#[test]
fn the_table_has_the_reasons_of_the_manifest() {
    let rejected: std::collections::BTreeSet<String> = cases()
        .into_iter()
        .filter(|case| case.expected == Expected::Reject)
        .map(|case| case.reason)
        .collect();
    let known: std::collections::BTreeSet<String> = REASONS.iter().map(|(reason, _)| (*reason).to_owned()).collect();
    assert_eq!(known, rejected);
    assert_eq!(REASONS.len(), known.len(), "a reason is there twice");
}

pub(crate) fn arguments(case: &Case, registry: &str) -> Vec<String> {
    let input = &case.input;
    let verb = match input.mode {
        Mode::Verify => "verify",
        Mode::VerifyAttestation => "verify-attestation",
        Mode::VerifyBlob => "verify-blob",
        Mode::VerifyBlobAttestation => "verify-blob-attestation",
    };
    let mut arguments = vec![verb.to_owned()];
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            arguments.extend([name.to_owned(), value]);
        }
    };
    flag("--key", input.key.as_deref().map(fixture_path));
    flag("--trusted-root", input.trusted_root.as_deref().map(fixture_path));
    flag("--certificate-identity", input.identity.clone());
    flag("--certificate-identity-regexp", input.identity_regexp.clone());
    flag("--certificate-oidc-issuer", input.issuer.clone());
    flag("--certificate-oidc-issuer-regexp", input.issuer_regexp.clone());
    flag(
        "--type",
        input.short_type.clone().or_else(|| input.predicate_type.clone()),
    );
    for (name, value) in &input.annotations {
        flag("-a", Some(format!("{name}={value}")));
    }
    for (name, value) in &input.github {
        flag(&format!("--certificate-github-workflow-{name}"), Some(value.clone()));
    }
    for (name, given) in [
        ("--insecure-ignore-tlog", !input.require_tlog),
        ("--insecure-ignore-sct", !input.require_sct),
        ("--use-signed-timestamps", input.require_timestamp),
    ] {
        if given {
            arguments.push(name.to_owned());
        }
    }
    let (Some(repository), Some(reference)) = (&case.repo, &input.reference) else {
        let bundle = case.bundle.as_deref().expect("a blob has a bundle");
        let artifact = case.artifact.as_deref().expect("a blob is a file");
        arguments.extend(["--bundle".to_owned(), fixture_path(bundle), fixture_path(artifact)]);
        return arguments;
    };
    let separator = if reference.contains(':') { '@' } else { ':' };
    arguments.push(format!("{registry}/{repository}{separator}{reference}"));
    arguments
}
