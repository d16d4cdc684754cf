use std::time::Duration;

use super::queue::{Approval, Waiting, approve, waiting};
use super::*;

const DIGEST: &str = "sha256:0b9e0000000000000000000000000000000000000000000000000000000000aa";

fn at(text: &str) -> UnixTime {
    UnixTime::parse(text).unwrap()
}

fn document(change: (&str, &str)) -> String {
    let text = format!(
        "apiVersion: proofmark.dev/v1alpha1
kind: ImageException
metadata:
  name: incident-4711
spec:
  digest: {DIGEST}
  owner: alice@example.com
  reason: the registry of the signer is down
  issued: 2026-11-21T10:00:00Z
  expires: 2026-11-22T10:00:00Z
"
    );
    assert!(text.contains(change.0));
    text.replacen(change.0, change.1, 1)
}

#[test]
fn an_exception_says_who_why_and_until_when() {
    let exception = Exception::parse(document(("", "")).as_bytes()).unwrap();
    assert_eq!(exception.name, "incident-4711");
    assert_eq!(Exception::parse(&exception.to_json()).unwrap(), exception);
    for (change, code) in [
        (("ImageException", "ImagePolicy"), "exception-malformed"),
        (("v1alpha1", "v1"), "exception-malformed"),
        (("  owner: alice@example.com\n", ""), "exception-malformed"),
        (("alice@example.com", "\" \""), "exception-incomplete"),
        (
            ("  reason: the registry of the signer is down\n", ""),
            "exception-malformed",
        ),
        (
            ("the registry of the signer is down", "\"a\\nb\""),
            "exception-incomplete",
        ),
        (("  expires: 2026-11-22T10:00:00Z\n", ""), "exception-malformed"),
        (("  issued: 2026-11-21T10:00:00Z\n", ""), "exception-malformed"),
        (("2026-11-22T10", "2026-11-21T10"), "exception-order"),
        (("2026-11-22T10:00:00Z", "2026-11-28T10:00:01Z"), "exception-too-long"),
        (("2026-11-22", "2027-11-22"), "exception-too-long"),
        (("0b9e", "0b9"), "exception-malformed"),
        (("  owner", "  images: [\"**\"]\n  owner"), "exception-malformed"),
        (("  owner", "  namespaces: [\"*\"]\n  owner"), "exception-incomplete"),
        (("  owner", "  owner: mallory\n  owner"), "exception-malformed"),
    ] {
        let error = Exception::parse(document(change).as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{change:?}: {error}");
    }
    assert!(Exception::parse(document(("2026-11-22T10:00:00Z", "2026-11-28T10:00:00Z")).as_bytes()).is_ok());
}

#[test]
fn it_is_in_force_from_then_until_then() {
    let exception = Exception::parse(document(("", "")).as_bytes()).unwrap();
    for (now, in_force) in [
        ("2026-11-21T09:58:59Z", false),
        ("2026-11-21T09:59:30Z", true),
        ("2026-11-22T09:59:59Z", true),
        ("2026-11-22T10:00:00Z", false),
        ("2027-11-21T10:00:00Z", false),
    ] {
        assert_eq!(exception.is_in_force(at(now)), in_force, "{now}");
    }
}

fn decision(modes: &[(&str, Mode, bool)]) -> Decision {
    let reasons = modes.iter().map(|(policy, mode, undecided)| DecisionReason {
        policy: (*policy).to_owned(),
        rule: "spec".to_owned(),
        mode: *mode,
        code: "unsigned".to_owned(),
        message: "nothing is signed".to_owned(),
        hint: String::new(),
        undecided: *undecided,
    });
    Decision {
        outcome: Outcome::Fail,
        reasons: reasons.collect(),
        warnings: Vec::new(),
        audit: std::collections::BTreeMap::new(),
        accepted: Vec::new(),
        policies: Vec::new(),
        exceptions: Vec::new(),
    }
}

#[test]
fn it_holds_for_its_digest_its_namespaces_and_its_policies() {
    let now = at("2026-11-21T12:00:00Z");
    let digest = Digest::parse(DIGEST).unwrap();
    let found = |change: (&str, &str), digest: &Digest, namespace: Option<&str>| {
        let exception = Arc::new(Exception::parse(document(change).as_bytes()).unwrap());
        let all = Exceptions {
            exceptions: vec![exception],
            refused: Vec::new(),
        };
        let denied = decision(&[("release", Mode::Enforce, false), ("loud", Mode::Warn, false)]);
        all.find(digest, namespace, &denied, now).is_some()
    };
    let namespaces = ("  owner", "  namespaces: [team-a, dev-*]\n  owner");
    assert!(found(("", ""), &digest, None));
    assert!(!found(("", ""), &Digest::sha256_of(b"another"), None));
    for (namespace, holds) in [
        (Some("team-a"), true),
        (Some("dev-7"), true),
        (Some("team-ab"), false),
        (Some("prod"), false),
        (None, false),
    ] {
        assert_eq!(found(namespaces, &digest, namespace), holds, "{namespace:?}");
    }
    assert!(found(("  owner", "  policies: [release]\n  owner"), &digest, None));
    assert!(!found(("  owner", "  policies: [other]\n  owner"), &digest, None));
}

#[test]
fn a_namespace_is_held_as_the_operator_says() {
    for (given, mode, outcome, warned) in [
        (vec![("a", Mode::Enforce, false)], Mode::Warn, Outcome::Pass, 1),
        (vec![("a", Mode::Enforce, false)], Mode::Audit, Outcome::Pass, 0),
        (vec![("a", Mode::Warn, false)], Mode::Enforce, Outcome::Fail, 0),
        (vec![("a", Mode::Audit, true)], Mode::Enforce, Outcome::Undecided, 0),
        (
            vec![("a", Mode::Audit, true), ("b", Mode::Warn, false)],
            Mode::Enforce,
            Outcome::Fail,
            0,
        ),
    ] {
        let mut decided = decision(&given);
        with_mode(&mut decided, mode);
        assert_eq!(
            (decided.outcome, decided.warnings.len()),
            (outcome, warned),
            "{given:?} {mode:?}"
        );
        assert_eq!(decided.audit.is_empty(), mode != Mode::Audit);
    }
    // What nobody decided is not let through.
    let mut nothing = decision(&[]);
    with_mode(&mut nothing, Mode::Warn);
    assert_eq!(nothing.outcome, Outcome::Fail);
}

fn denied(folder: &Path) -> Waiting {
    let digest = Digest::parse(DIGEST).unwrap();
    let entry = Waiting {
        id: Waiting::name(&digest, Some("team-a")),
        image: "registry.example.com/app:1".to_owned(),
        digest,
        namespace: Some("team-a".to_owned()),
        object: "Pod team-a/web".to_owned(),
        requested_by: "dana@example.com".to_owned(),
        policies: vec!["release".to_owned()],
        codes: vec!["unsigned".to_owned()],
        first: at("2026-11-21T10:00:00Z"),
        last: at("2026-11-21T10:00:00Z"),
        times: 1,
    };
    queue::enter(folder, entry.clone()).unwrap();
    entry
}

fn approval(approver: &str, hours: u64) -> Approval {
    Approval {
        approver: approver.to_owned(),
        owner: None,
        reason: "INC-4711".to_owned(),
        lasts: Duration::from_secs(hours * 3600),
    }
}

#[test]
fn somebody_else_approves_what_waits_and_it_is_recorded() {
    let root = tempfile::tempdir().unwrap();
    let (queue, exceptions) = (root.path().join("queue"), root.path().join("exceptions"));
    fs::create_dir(&queue).unwrap();
    fs::create_dir(&exceptions).unwrap();
    let now = at("2026-11-21T11:00:00Z");
    let entry = denied(&queue);
    denied(&queue);
    assert_eq!(waiting(&queue).unwrap()[0].times, 2);
    let refused = |id: &str, approval| approve(&queue, &exceptions, id, approval, now).unwrap_err().code();
    assert_eq!(
        refused(&entry.id, approval("dana@example.com", 4)),
        "approver-is-requester"
    );
    assert_eq!(
        refused(&entry.id, approval("erin@example.com", 24 * 7 + 1)),
        "exception-too-long"
    );
    assert_eq!(refused(&entry.id, approval("erin@example.com", 0)), "exception-order");
    assert_eq!(refused(&entry.id, approval(" ", 1)), "exception-incomplete");
    assert_eq!(refused("00", approval("erin@example.com", 4)), "queue-entry-unknown");
    assert_eq!(
        refused("../exceptions/x", approval("erin@example.com", 4)),
        "queue-entry-unknown"
    );
    assert!(Exceptions::read(&exceptions).unwrap().exceptions.is_empty());

    let (exception, _) = approve(&queue, &exceptions, &entry.id, approval("erin@example.com", 4), now).unwrap();
    assert_eq!(waiting(&queue).unwrap(), Vec::new());
    let read = Exceptions::read(&exceptions).unwrap();
    assert_eq!(*read.exceptions[0], exception);
    assert_eq!(exception.approved_by.as_deref(), Some("erin@example.com"));
    assert_eq!(exception.requested_by.as_deref(), Some("dana@example.com"));
    assert_eq!(
        (exception.expires, exception.namespaces),
        (at("2026-11-21T15:00:00Z"), vec!["team-a".to_owned()])
    );
    assert_eq!(
        refused(&entry.id, approval("erin@example.com", 4)),
        "queue-entry-unknown"
    );
}

/// One that is not understood is reported, and the others hold.
#[test]
fn a_broken_exception_is_said_and_takes_no_other_with_it() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("good.yaml"), document(("", ""))).unwrap();
    fs::write(root.path().join("long.yaml"), document(("2026-11-22", "2027-11-22"))).unwrap();
    fs::write(root.path().join("large.json"), vec![b' '; 70_000]).unwrap();
    fs::write(root.path().join("note.txt"), "not looked at").unwrap();
    let read = Exceptions::read(root.path()).unwrap();
    assert_eq!(read.exceptions.len(), 1);
    let refused: Vec<_> = read
        .refused
        .iter()
        .map(|(file, error)| (file.as_str(), error.code()))
        .collect();
    assert_eq!(
        refused,
        [
            ("large.json", "exception-unreadable"),
            ("long.yaml", "exception-too-long")
        ]
    );
}
