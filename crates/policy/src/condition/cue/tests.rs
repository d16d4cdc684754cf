use serde_json::json;

use super::*;

/// As in policy-controller's documentation.
const SCAN: &str = r#"
import "time"

before: time.Parse(time.RFC3339, "2026-11-20T00:00:00Z")
after: time.Parse(time.RFC3339, "2026-11-01T00:00:00Z")

// The type must be this one.
predicateType: "https://cosign.sigstore.dev/attestation/vuln/v1"

predicate: {
  scanner: uri: =~"^pkg:github/aquasecurity/"
  metadata: {
    scanStartedOn: <before
    scanStartedOn: >after & time.Time
  }
  findings: [...{severity: "LOW" | "MEDIUM", score?: <5}]
}
"#;

fn scan() -> Value {
    json!({
        "predicateType": "https://cosign.sigstore.dev/attestation/vuln/v1",
        "predicate": {
            "scanner": {"uri": "pkg:github/aquasecurity/trivy"},
            "metadata": {"scanStartedOn": "2026-11-03T08:14:00Z"},
            "findings": [{"severity": "LOW", "score": 3.1}, {"severity": "MEDIUM"}],
        },
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut changed = scan();
    *changed.pointer_mut(pointer).unwrap() = value;
    changed
}

#[test]
fn a_statement_meets_every_constraint_or_the_first_is_named() {
    let policy = Cue::parse(SCAN).unwrap();
    policy.check(&scan()).unwrap();
    let mut without = scan();
    without["predicate"]["metadata"] = json!({});
    for (statement, path) in [
        (with("/predicateType", json!("other")), "predicateType"),
        (
            with("/predicate/scanner/uri", json!("x pkg:github/aquasecurity/")),
            "predicate.scanner.uri",
        ),
        (
            with("/predicate/metadata/scanStartedOn", json!("2026-10-31T23:59:59Z")),
            "predicate.metadata.scanStartedOn",
        ),
        (
            with("/predicate/metadata/scanStartedOn", json!("2026-11-21T00:00:00Z")),
            "predicate.metadata.scanStartedOn",
        ),
        // Spelled between the two, and before both: 23:30 of the day before in UTC.
        (
            with("/predicate/metadata/scanStartedOn", json!("2026-11-01T00:30:00+01:00")),
            "predicate.metadata.scanStartedOn",
        ),
        (
            with("/predicate/metadata/scanStartedOn", json!("2026-11-02")),
            "predicate.metadata.scanStartedOn",
        ),
        (
            with("/predicate/metadata/scanStartedOn", json!(5)),
            "predicate.metadata.scanStartedOn",
        ),
        (
            with("/predicate/findings/0/severity", json!("HIGH")),
            "predicate.findings[0].severity",
        ),
        (
            with("/predicate/findings/0/score", json!(5)),
            "predicate.findings[0].score",
        ),
        (with("/predicate/findings", json!({})), "predicate.findings"),
        // CUE would be content with a field that is not there.
        (without, "predicate.metadata.scanStartedOn"),
        (json!({}), "predicateType"),
    ] {
        let (expected, _) = policy.check(&statement).unwrap_err();
        assert!(expected.starts_with(path), "{expected}: {statement}");
    }
}

#[test]
fn values_and_lists() {
    for (constraint, good, bad) in [
        ("1", json!(1), json!(2)),
        ("1.0", json!(1), json!("1")),
        ("true", json!(true), json!("true")),
        ("null", json!(null), json!(false)),
        ("string", json!("x"), json!(1)),
        ("int", json!(-1), json!(1.5)),
        ("number & >=2", json!(2), json!(1.9)),
        ("bool", json!(false), json!(0)),
        ("!=\"a\"", json!("b"), json!("a")),
        ("!~\"a\"", json!("b"), json!("bab")),
        ("(1 | 2) & >1", json!(2), json!(1)),
        ("[1, 2]", json!([1, 2]), json!([1, 2, 3])),
        ("[1, ...int]", json!([1, 2, 3]), json!([1, 2, "x"])),
        ("[...]", json!([1]), json!("x")),
        (
            "{a: 1, \"b c\": d: 2}",
            json!({"a": 1, "b c": {"d": 2}, "e": 3}),
            json!({"a": 1, "b c": {"d": 3}}),
        ),
        ("{a?: 1, ...}", json!({}), json!({"a": 2})),
    ] {
        let policy =
            Cue::parse(&format!("predicate: x: {constraint}")).unwrap_or_else(|error| panic!("{constraint}: {error}"));
        let statement = |value: &Value| json!({"predicate": {"x": value}});
        assert_eq!(policy.check(&statement(&good)), Ok(()), "{constraint} {good}");
        assert!(policy.check(&statement(&bad)).is_err(), "{constraint} {bad}");
    }
}

/// What is beyond the subset is an error when the policy is loaded.
#[test]
fn each_thing_that_is_not_read_is_named() {
    for (source, reason) in [
        ("#A: int\npredicate: #A", "'#'"),
        ("predicate: x: *1 | 2", "'*'"),
        ("import \"list\"\npredicate: x: list.MinItems(1)", "the package list"),
        ("predicate: { if true { a: 1 } }", "if is not read"),
        ("predicate: \"a\\(b)\"", "interpolation"),
        ("predicate: x: other", "\"other\" is not defined"),
        ("a: int\npredicate: x: <a", "not one plain value"),
        ("a: 1\na: 2\npredicate: x: <a", "not one plain value"),
        ("predicate: x: time.Time", "not imported"),
        (
            "import \"time\"\npredicate: x: <time.Parse(time.Kitchen, \"1PM\")",
            "time.RFC3339",
        ),
        (
            "import \"time\"\npredicate: x: <time.Parse(time.RFC3339, \"today\")",
            "today",
        ),
        ("predicate: x: =~\"(\"", "regular expression"),
        ("predicate: x: len(y)", "len("),
        ("predicate: { a: 1", "got the end"),
        ("predicate: x: \"a", "does not end"),
        ("predicate: x: [1, 2", "got the end"),
        ("x: 1", "would accept everything"),
        ("_type: \"a\"\npredicate: {}", "_type"),
        ("predicate: x: 1 2", "end of a field"),
        ("predicate: x: \"\"\"\n a\n \"\"\"", "several lines"),
    ] {
        let error = Cue::parse(source).unwrap_err().to_string();
        assert!(error.contains(reason), "{source}: {error}");
    }
    assert_eq!(Cue::parse(" ").unwrap_err(), ConditionError::Empty);
    assert!(matches!(
        Cue::parse(&"a".repeat(70_000)),
        Err(ConditionError::TooLong { .. })
    ));
    let deep = format!("predicate: {}1{}", "[".repeat(5000), "]".repeat(5000));
    assert!(Cue::parse(&deep).unwrap_err().to_string().contains("deeper"));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z{}\\[\\]:,.\"<>=~!|&?()\\n -]{0,60}") {
        let _ = Cue::parse(&format!("predicate: {text}"));
    }
}
