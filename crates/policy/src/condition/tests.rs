//! Tables of conditions against predicates.

use proptest::prelude::*;
use serde_json::json;

use super::kyverno::apply;
use super::value::{Span, write_duration};
use super::*;

fn check(condition: &Condition, predicate: &Value) -> Result<(), Unmet> {
    condition.check(&Facts {
        predicate,
        predicate_type: "https://example.test/type",
        image: &ImageRef::parse("registry.example.com/team/app:1.0").unwrap(),
        now: UnixTime::parse("2026-11-21T12:00:00Z").unwrap(),
    })
}

fn code(result: &Result<(), Unmet>) -> &'static str {
    result.as_ref().map_or_else(|unmet| unmet.code, |()| "met")
}

fn cel(source: &str) -> Condition {
    Condition::Cel(Box::new(CelCondition::compile(source).unwrap()))
}

#[test]
fn cel_over_a_predicate() {
    let predicate = json!({
        "packages": [{"name": "a", "licenses": ["MIT"]}, {"name": "b", "licenses": []}],
        "count": 7, "big": u64::MAX, "ratio": 0.5, "ok": true, "none": null,
        "builder": {"id": "https://github.com/actions/runner"},
        "finished": "2026-11-21T11:00:00Z",
    });
    for (source, expected) in [
        ("predicate.ok", "met"),
        ("!predicate.ok", "condition-false"),
        (
            "predicate.count == 7 && predicate.count > 5 && predicate.count < 8",
            "met",
        ),
        ("predicate.ratio < 1.0", "met"),
        ("predicate.none == null", "met"),
        ("size(predicate.packages) == 2", "met"),
        ("predicate.packages.size() == 3", "condition-false"),
        ("predicate.packages.exists(p, p.name == 'b')", "met"),
        ("predicate.packages.all(p, p.licenses.size() > 0)", "condition-false"),
        ("predicate.packages.filter(p, 'MIT' in p.licenses).size() == 1", "met"),
        ("predicate.packages.map(p, p.name) == ['a', 'b']", "met"),
        ("predicate.builder.id.startsWith('https://github.com/')", "met"),
        ("predicate.builder.id.matches('^https://gitlab')", "condition-false"),
        ("has(predicate.builder) && !has(predicate.scanner)", "met"),
        ("predicateType == 'https://example.test/type'", "met"),
        (
            "image.registry == 'registry.example.com' && image.repository == 'team/app'",
            "met",
        ),
        ("image.tag == '1.0' && image.digest == null", "met"),
        ("age(predicate.finished) == 3600", "met"),
        ("age(predicate.finished) < 60", "condition-false"),
        ("age(predicate.builder.id) < 60", "condition-error"),
        ("predicate.count in [1, 7]", "met"),
        ("predicate.ok ? predicate.count == 7 : false", "met"),
        ("-predicate.count == -7 && predicate.count % 2 == 1", "met"),
        ("predicate.missing == 1", "condition-error"),
        ("predicate.packages[9].name == 'a'", "condition-error"),
        ("predicate.ok == 1 / 0", "condition-error"),
        ("predicate.count", "condition-error"),
        ("predicate", "condition-error"),
        ("predicate.builder.id + 1 == 2", "condition-error"),
    ] {
        let result = check(&cel(source), &predicate);
        assert_eq!(code(&result), expected, "{source}: {result:?}");
    }
}

#[test]
fn each_unusable_cel_condition_has_its_reason() {
    let reason = |source: &str| CelCondition::compile(source).unwrap_err();
    assert_eq!(reason("  "), ConditionError::Empty);
    assert!(matches!(reason(&"x".repeat(5000)), ConditionError::TooLong { .. }));
    assert!(matches!(reason(&"(".repeat(200)), ConditionError::TooDeep { .. }));
    assert!(matches!(
        reason(&format!("{}true", "!".repeat(200))),
        ConditionError::TooDeep { .. }
    ));
    assert!(matches!(reason("predicate."), ConditionError::Syntax { .. }));
    assert!(matches!(reason("predicate.a = 1"), ConditionError::Syntax { .. }));
    assert!(matches!(reason("object.spec"), ConditionError::Variable { name, .. } if name == "object"));
    assert!(matches!(reason("predicate.a.exists(p, q.b)"), ConditionError::Variable { name, .. } if name == "q"));
    assert!(matches!(reason("http('https://x')"), ConditionError::Function { name } if name == "http"));
    assert!(matches!(reason("http_get('https://x')"), ConditionError::Function { name } if name == "http_get"));
    assert!(matches!(reason("predicate.read()"), ConditionError::Function { name } if name == "read"));
    let thrice = "predicate.a.all(x, predicate.b.all(y, predicate.c.all(z, x == y && y == z)))";
    assert!(matches!(reason(thrice), ConditionError::TooCostly { depth: 3, .. }));
}

/// Chains nest in the tree though not in brackets; the longest that is accepted must not exhaust a thread's stack.
#[test]
fn the_longest_chains_are_evaluated_or_refused() {
    let fill = |start: &str, link: &str, logic: Logic| {
        let mut text = start.to_owned();
        while bounded(&format!("{text}{link}"), logic).is_ok() {
            text.push_str(link);
        }
        text
    };
    let predicate = json!({"a": {"a": 1}});
    for (start, link) in [
        ("1", "+1"),
        ("predicate.a", ".a"),
        ("predicate.a", "[0]"),
        ("true", "||true"),
        ("true", "&&true"),
        ("true", "==true"),
        ("true", "?true:true"),
        ("'a'", "+'a'"),
        ("[1]", ".map(x,x)"),
        ("predicate", ".size()"),
        ("predicate.a", ".all(x,x)"),
        ("", "("),
        ("", "!"),
        ("", "[1].exists(x,"),
    ] {
        if let Ok(condition) = CelCondition::compile(&fill(start, link, Logic::Balanced)) {
            let _ = check(&Condition::Cel(Box::new(condition)), &predicate);
        }
    }
    // Brackets that are closed again, one within the other.
    for (open, close) in [
        ("(", ")"),
        ("[1].exists(x,", ")"),
        ("size(", ")"),
        ("[", "]"),
        ("!(", ")"),
        ("{1:", "}"),
    ] {
        let count = (1..).take_while(|count| {
            bounded(
                &format!("{}1{}", open.repeat(*count), close.repeat(*count)),
                Logic::Balanced,
            )
            .is_ok()
        });
        let count = count.last().unwrap();
        let text = format!("{}1{}", open.repeat(count), close.repeat(count));
        if let Ok(condition) = CelCondition::compile(&text) {
            let _ = check(&Condition::Cel(Box::new(condition)), &predicate);
        }
    }
    for (start, link) in [
        ("a", ".a"),
        ("a", "||a"),
        ("a", "&&a"),
        ("a", "==a"),
        ("a", "|a"),
        ("a", "[0]"),
        ("a", "[*]"),
        ("a", "[]"),
        ("a", ".*"),
        ("a", "[?a]"),
    ] {
        if let Ok(condition) = block(
            &format!("{{{{ {} }}}}", fill(start, link, Logic::Nested)),
            "Equals",
            json!(1),
        ) {
            let _ = check(&condition, &predicate);
        }
    }
}

#[test]
fn many_terms_are_not_deep() {
    let terms = vec!["predicate.a == 1"; 60].join(" && ");
    assert_eq!(code(&check(&cel(&terms), &json!({"a": 1}))), "met");
}

#[test]
fn loops_over_parts_add_and_loops_over_the_whole_multiply() {
    let nested = "predicate.a.all(x, x.b.all(y, y.c.all(z, z == 1)))";
    assert!(CelCondition::compile(nested).is_ok());
    let product = cel("predicate.a.all(x, predicate.a.exists(y, x == y))");
    let small = json!({"a": [1, 2, 3]});
    assert_eq!(code(&check(&product, &small)), "met");
    let large = json!({"a": (0..3000).collect::<Vec<_>>()});
    let refused = check(&product, &large).unwrap_err();
    assert_eq!(refused.code, "condition-error");
    assert!(refused.actual.contains("3000"), "{refused:?}");
}

#[test]
fn kyvernos_operators() {
    let rows = [
        ("Equals", json!("a"), json!("a"), Some(true)),
        ("Equals", json!("a"), json!("b"), Some(false)),
        (
            "Equals",
            json!("https://github.com/x"),
            json!("https://github.com/*"),
            Some(true),
        ),
        // A wildcard in the predicate widens nothing.
        ("Equals", json!("*"), json!("a"), Some(false)),
        ("Equals", json!(5), json!(5), Some(true)),
        ("Equals", json!(5), json!("5"), Some(true)),
        ("Equals", json!("60m"), json!("1h"), Some(true)),
        ("Equals", json!(true), json!(true), Some(true)),
        ("Equals", json!(true), json!("true"), Some(false)),
        ("Equals", json!([1, 2]), json!([1, 2]), Some(true)),
        ("Equals", json!({"a": 1}), json!({"a": 2}), Some(false)),
        ("NotEquals", json!("a"), json!("b"), Some(true)),
        ("NotEquals", json!("a"), json!("*"), Some(false)),
        ("AnyIn", json!(["a", "b"]), json!(["b", "c"]), Some(true)),
        ("AnyIn", json!(["a"]), json!(["b"]), Some(false)),
        ("AnyIn", json!([]), json!(["b"]), Some(false)),
        ("AllIn", json!(["a", "b"]), json!(["a", "b", "c"]), Some(true)),
        ("AllIn", json!(["a", "z"]), json!(["a", "b"]), Some(false)),
        ("AnyNotIn", json!(["a", "z"]), json!(["a"]), Some(true)),
        ("AnyNotIn", json!(["a"]), json!(["a"]), Some(false)),
        ("AllNotIn", json!(["a", "b"]), json!(["c"]), Some(true)),
        ("AllNotIn", json!(["a", "c"]), json!(["c"]), Some(false)),
        ("AllNotIn", json!(["log4j-core"]), json!(["log4j*"]), Some(false)),
        ("AllNotIn", json!([]), json!(["c"]), Some(true)),
        ("AllNotIn", json!([{"name": "a"}]), json!(["a"]), None),
        ("AllNotIn", json!(7), json!([7]), Some(false)),
        ("In", json!("a"), json!(["a"]), Some(true)),
        ("NotIn", json!("a"), json!(["a"]), Some(false)),
        ("In", json!(["a"]), json!(["a"]), None),
        ("NotIn", json!(["a"]), json!(["a"]), None),
        ("GreaterThan", json!(5), json!(4), Some(true)),
        ("GreaterThan", json!(5), json!(5), Some(false)),
        ("GreaterThanOrEquals", json!(5), json!("5"), Some(true)),
        ("LessThan", json!(4.5), json!(5), Some(true)),
        ("LessThanOrEquals", json!("25h0m0s"), json!("24h"), Some(false)),
        ("LessThan", json!("23h59m"), json!("24h"), Some(true)),
        ("LessThan", json!("high"), json!(5), None),
        ("DurationLessThan", json!("90s"), json!("2m"), Some(true)),
        ("DurationGreaterThan", json!(3600), json!("59m"), Some(true)),
        ("DurationGreaterThanOrEquals", json!("1h"), json!("60m"), Some(true)),
        ("DurationLessThanOrEquals", json!("soon"), json!("60m"), None),
    ];
    for (word, key, value, expected) in rows {
        let operator = Operator::parse(word).unwrap();
        assert_eq!(apply(operator, &key, &value).ok(), expected, "{key} {word} {value}");
    }
    assert!(matches!(
        Operator::parse("Contains"),
        Err(ConditionError::Operator { .. })
    ));
}

fn block(key: &str, operator: &str, value: Value) -> Result<Condition, ConditionError> {
    let comparison = Comparison::compile(key, Operator::parse(operator)?, &value, None)?;
    Ok(Condition::Kyverno(vec![Block {
        any: Vec::new(),
        all: vec![comparison],
    }]))
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table")]
fn jmespath_over_a_predicate() {
    let predicate = json!({
        "components": [{"name": "a", "version": "1.0"}, {"name": "b", "version": "2.0"}],
        "builder": {"id": "https://github.com/actions/runner"},
        "metadata": {"scanFinishedOn": "2026-11-20T12:00:00Z", "count": 3},
        "empty": [],
    });
    for (key, operator, value, expected) in [
        ("{{ components[].name }}", "AllNotIn", json!(["banned"]), "met"),
        ("{{ components[].name }}", "AllNotIn", json!(["b"]), "condition-false"),
        ("{{ components[?name=='a'].version }}", "AnyIn", json!(["1.*"]), "met"),
        ("{{ length(components) }}", "Equals", json!(2), "met"),
        ("{{ length(components) }}", "GreaterThan", json!(5), "condition-false"),
        ("{{builder.id}}", "Equals", json!("https://github.com/*"), "met"),
        (
            "{{ regex_match('^https://github', builder.id) }}",
            "Equals",
            json!(true),
            "met",
        ),
        (
            "{{ regex_match('^https://gitlab', builder.id) }}",
            "Equals",
            json!(true),
            "condition-false",
        ),
        (
            "{{ regex_match('(', builder.id) }}",
            "Equals",
            json!(true),
            "condition-error",
        ),
        (
            "{{ time_since('', metadata.scanFinishedOn, '') }}",
            "LessThanOrEquals",
            json!("24h"),
            "met",
        ),
        (
            "{{ time_since('', metadata.scanFinishedOn, '') }}",
            "LessThan",
            json!("24h"),
            "condition-false",
        ),
        (
            "{{ time_since('', builder.id, '') }}",
            "LessThan",
            json!("24h"),
            "condition-error",
        ),
        (
            "{{ time_since('2006', metadata.scanFinishedOn, '') }}",
            "LessThan",
            json!("24h"),
            "condition-error",
        ),
        ("x-{{ components[0].name }}-y", "Equals", json!("x-a-y"), "met"),
        ("x-{{ metadata.count }}", "Equals", json!("x-3"), "met"),
        ("{{ to_upper(components[0].name) }}", "Equals", json!("A"), "met"),
        ("{{ to_lower('X') }}", "Equals", json!("x"), "met"),
        ("{{ split(builder.id, '/')[2] }}", "Equals", json!("github.com"), "met"),
        ("{{ trim(components[1].version, '0.') }}", "Equals", json!("2"), "met"),
        (
            "{{ components[0].name }}",
            "Equals",
            json!("{{ components[0].name }}"),
            "met",
        ),
        ("{{ empty }}", "AllNotIn", json!(["x"]), "met"),
        // What is not there is an error: an empty bill must not pass a ban.
        ("{{ packages[].name }}", "AllNotIn", json!(["x"]), "condition-error"),
        ("{{ missing }}", "NotEquals", json!("x"), "condition-error"),
    ] {
        let result = check(&block(key, operator, value).unwrap(), &predicate);
        assert_eq!(code(&result), expected, "{key}: {result:?}");
    }
}

#[test]
fn each_unusable_comparison_has_its_reason() {
    let reason = |key: &str, operator: &str, value: Value| block(key, operator, value).unwrap_err();
    assert!(matches!(
        reason("plain", "Equals", json!(1)),
        ConditionError::Operand { .. }
    ));
    assert!(matches!(
        reason("{{ a", "Equals", json!(1)),
        ConditionError::Syntax { .. }
    ));
    assert!(matches!(
        reason("{{ a[ }}", "Equals", json!(1)),
        ConditionError::Syntax { .. }
    ));
    assert!(matches!(reason("{{ }}", "Equals", json!(1)), ConditionError::Empty));
    assert!(matches!(
        reason("{{ http_get(a) }}", "Equals", json!(1)),
        ConditionError::Function { name } if name == "http_get"
    ));
    assert!(matches!(
        reason("{{ a[?x_y(@)] }}", "Equals", json!(1)),
        ConditionError::Function { .. }
    ));
    assert!(matches!(
        reason("{{ a }}", "AnyIn", json!("1-10")),
        ConditionError::Operand { .. }
    ));
    assert!(matches!(
        reason("{{ a }}", "AnyIn", json!("a | b")),
        ConditionError::Operand { .. }
    ));
    assert!(matches!(
        reason("{{ a }}", "AnyIn", json!({"a": 1})),
        ConditionError::Operand { .. }
    ));
    assert!(matches!(
        reason("{{ a }}", "Matches", json!(1)),
        ConditionError::Operator { .. }
    ));
    let deep = format!("{{{{ {}a{} }}}}", "(".repeat(200), ")".repeat(200));
    assert!(matches!(
        reason(&deep, "Equals", json!(1)),
        ConditionError::TooDeep { .. }
    ));
    let long = format!("{{{{ {} }}}}", "a".repeat(5000));
    assert!(matches!(
        reason(&long, "Equals", json!(1)),
        ConditionError::TooLong { .. }
    ));
}

#[test]
fn any_needs_one_and_all_need_all() {
    let compile = |value: i64| Comparison::compile("{{ a }}", Operator::Equals, &json!(value), None).unwrap();
    let predicate = json!({"a": 1});
    let blocks = |any: &[i64], all: &[i64]| {
        let make = |values: &[i64]| values.iter().map(|value| compile(*value)).collect::<Vec<_>>();
        Condition::Kyverno(vec![Block {
            any: make(any),
            all: make(all),
        }])
    };
    assert_eq!(code(&check(&blocks(&[2, 1], &[]), &predicate)), "met");
    assert_eq!(code(&check(&blocks(&[2, 3], &[]), &predicate)), "condition-false");
    assert_eq!(code(&check(&blocks(&[], &[1, 1]), &predicate)), "met");
    assert_eq!(code(&check(&blocks(&[], &[1, 2]), &predicate)), "condition-false");
    assert_eq!(code(&check(&blocks(&[1], &[2]), &predicate)), "condition-false");
    assert_eq!(code(&check(&Condition::Kyverno(Vec::new()), &predicate)), "met");
}

#[test]
fn durations_are_gos() {
    for (text, seconds) in [
        ("1h", Some(3600)),
        ("1h30m", Some(5400)),
        ("1.5h", Some(5400)),
        ("-90s", Some(-90)),
        ("0", Some(0)),
        ("1000ms", Some(1)),
        ("1.000000000h", Some(3600)),
        ("", None),
        ("1", None),
        ("h", None),
        ("1d", None),
        ("1.2.3s", None),
        (".s", None),
        ("9999999999999h", None),
    ] {
        assert_eq!(Span::parse(text), seconds.map(Span::from_seconds), "{text}");
    }
    assert_eq!(write_duration(Span::from_seconds(90_061)), "25h1m1s");
    assert_eq!(write_duration(Span::from_seconds(-61)), "-1m1s");
    assert_eq!(write_duration(Span::from_seconds(5)), "5s");
}

proptest! {
    #[test]
    fn no_expression_panics(text in "\\PC{0,60}") {
        if let Ok(condition) = CelCondition::compile(&text) {
            let _ = check(&Condition::Cel(Box::new(condition)), &json!({"a": [1, {"b": null}]}));
        }
        if let Ok(condition) = block(&format!("{{{{ {text} }}}}"), "AllIn", json!(["a"])) {
            let _ = check(&condition, &json!({"a": [1, {"b": null}]}));
        }
    }

    #[test]
    fn no_likely_expression_panics(text in "(predicate|a|[0-9]|\\.|\\[|\\]|\\(|\\)|==|\\+|-|'x'|exists|size| |,|\\|\\||&&|\\*|:|@|\\?){1,16}") {
        if let Ok(condition) = CelCondition::compile(&text) {
            let _ = check(&Condition::Cel(Box::new(condition)), &json!({"a": [1, {"b": null}]}));
        }
        if let Ok(condition) = block(&format!("{{{{ {text} }}}}"), "AllIn", json!(["a"])) {
            let _ = check(&condition, &json!({"a": [1, {"b": null}]}));
        }
    }
}
