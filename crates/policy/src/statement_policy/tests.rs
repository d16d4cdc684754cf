use serde_json::json;

use super::*;

const IMAGE: &str = "registry.example.com/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn check(files: &[(&str, &str)], statement: &Value) -> Result<(), StatementRefusal> {
    let policies = StatementPolicies::read(files.iter().copied()).expect("a policy");
    policies.check(&StatementFacts {
        statement,
        image: &IMAGE.parse().expect("a reference"),
        now: UnixTime::from_seconds(1_700_000_000).expect("a time"),
    })
}

fn statement(builder: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [{"name": "app", "digest": {"sha256": "00"}}],
        "predicate": {"builder": {"id": builder}, "materials": [{"uri": "git+https://github.com/acme/app"}]},
    })
}

/// The form of cosign's documentation: version 0 of the language.
const REGO: &str = r#"
package signature
import input.predicate
allow[msg] { false; msg := "" }
"#;

const BUILDER: &str = r#"
package signature

default allow = false

allow {
    input.predicateType == "https://slsa.dev/provenance/v0.2"
    startswith(input.predicate.builder.id, "https://github.com/acme/")
}
"#;

#[test]
fn rego_allows_and_does_not() {
    assert_eq!(
        check(&[("p.rego", BUILDER)], &statement("https://github.com/acme/app")),
        Ok(())
    );
    let refused = check(&[("p.rego", BUILDER)], &statement("https://github.com/other/app")).expect_err("refused");
    assert_eq!(refused.code, "policy-not-satisfied");
    assert!(refused.reason.contains("false"), "{refused}");
    // A set is not `true`, even when it has members.
    let set = REGO.replace("false;", "true;");
    assert_eq!(
        check(&[("p.rego", &set)], &statement("x")).expect_err("refused").code,
        "policy-not-satisfied"
    );
}

#[test]
fn rego_that_is_undefined_does_not_allow() {
    let undefined = "package signature\nallow { input.predicate.absent == 1 }";
    let refused = check(&[("p.rego", undefined)], &statement("x")).expect_err("refused");
    assert_eq!(refused.code, "policy-not-satisfied");
    assert!(refused.reason.contains("undefined"), "{refused}");
}

#[test]
fn rego_has_several_modules_and_newer_syntax() {
    let helper = "package helpers\ngood { input.predicate.builder.id == \"a\" }";
    let main = "package signature\nimport data.helpers\nallow { helpers.good }";
    assert_eq!(check(&[("m.rego", main), ("h.rego", helper)], &statement("a")), Ok(()));
    assert!(check(&[("m.rego", main), ("h.rego", helper)], &statement("b")).is_err());
    let v1 = "package signature\nimport rego.v1\nallow if { input.predicate.builder.id in {\"a\", \"b\"} }";
    assert_eq!(check(&[("p.rego", v1)], &statement("a")), Ok(()));
    assert!(check(&[("p.rego", v1)], &statement("c")).is_err());
}

#[test]
fn rego_knows_the_given_time_and_reaches_nothing_else() {
    let time = |now: &str| format!("package signature\nallow {{ time.now_ns() == {now} }}");
    assert_eq!(
        check(&[("p.rego", &time("1700000000000000000"))], &statement("x")),
        Ok(())
    );
    assert!(check(&[("p.rego", &time("1"))], &statement("x")).is_err());
    for call in [
        r#"http.send({"method": "get", "url": "http://127.0.0.1/"})"#,
        "opa.runtime()",
        r#"rand.intn("x", 10) >= 0"#,
        r#"uuid.rfc4122("x")"#,
    ] {
        let policy = format!("package signature\nallow {{ {call} }}");
        let outcome = StatementPolicies::read([("p.rego", policy.as_str())]).map(|policies| {
            policies.check(&StatementFacts {
                statement: &statement("x"),
                image: &IMAGE.parse().expect("a reference"),
                now: UnixTime::from_seconds(0).expect("a time"),
            })
        });
        assert!(!matches!(outcome, Ok(Ok(()))), "{call} is evaluated");
    }
}

/// `.cargo/config.toml` says which zones are built in. One that is not must not make a rule undefined: `not late` would hold.
#[test]
fn rego_knows_few_time_zones_and_says_so_of_others() {
    let clock = |zone: &str| {
        format!(
            "package signature\nallow {{ not late }}\nlate {{ [hour, _, _] := time.clock([time.now_ns(), \"{zone}\"]); hour > 18 }}"
        )
    };
    // 22:13:20 UTC, 17:13:20 in New York.
    assert_eq!(
        check(&[("p.rego", &clock("America/New_York"))], &statement("x")),
        Ok(())
    );
    assert!(check(&[("p.rego", &clock("Europe/London"))], &statement("x")).is_err());
    for zone in ["Asia/Nowhere", "Pacific/Auckland"] {
        let refusal = check(&[("p.rego", &clock(zone))], &statement("x")).unwrap_err();
        assert_eq!(refusal.code, ERROR, "{zone}: {}", refusal.reason);
    }
}

#[test]
fn rego_that_does_not_end_is_ended() {
    let endless = "package signature\nallow { count([1 | numbers.range(1, 4000)[_]; numbers.range(1, 4000)[_]; numbers.range(1, 4000)[_]]) > 0 }";
    let refused = check(&[("p.rego", endless)], &statement("x")).expect_err("refused");
    assert_eq!(refused.code, "policy-not-evaluated", "{refused}");
}

#[test]
fn cel_sees_the_predicate() {
    let policy = r#"predicate.builder.id.startsWith("https://github.com/acme/") && image.repository == "app""#;
    assert_eq!(
        check(&[("p.cel", policy)], &statement("https://github.com/acme/app")),
        Ok(())
    );
    let refused = check(&[("p.cel", policy)], &statement("https://github.com/other")).expect_err("refused");
    assert_eq!(refused.code, "policy-not-satisfied");
    let broken = check(&[("p.cel", "predicate.absent.more == 1")], &statement("x")).expect_err("refused");
    assert_eq!(broken.code, "policy-not-evaluated");
    // Every file must hold.
    let both = [("a.cel", "true"), ("b.cel", "false")];
    assert_eq!(check(&both, &statement("x")).expect_err("refused").policy, "b.cel");
}

#[test]
fn what_is_no_policy_is_said_at_the_start() {
    for (name, source, code) in [
        ("p.cue", "predicateType: \"x\"", "policy-in-cue"),
        ("p.json", "{}", "policy-language-unknown"),
        ("policy", "allow", "policy-language-unknown"),
        ("p.cel", "predicate.", "malformed-policy"),
        ("p.rego", "package signature\nallow {", "malformed-policy"),
        ("p.rego", "package other\nallow { true }", "malformed-policy"),
        ("p.rego", "package signature\ndeny { true }", "malformed-policy"),
    ] {
        let error = StatementPolicies::read([(name, source)]).expect_err(source);
        assert_eq!(error.code(), code, "{source}: {error}");
    }
    let long = format!("package signature\nallow {{ true }}\n#{}", "x".repeat(1024 * 1024));
    assert_eq!(
        StatementPolicies::read([("p.rego", long.as_str())])
            .expect_err("long")
            .code(),
        "policy-too-long"
    );
}
