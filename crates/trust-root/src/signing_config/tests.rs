use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> UnixTime {
    UnixTime::parse(text).unwrap()
}

fn log(url: &str, version: u32, start: &str, end: Option<&str>, operator: &str) -> Value {
    json!({"url": url, "majorApiVersion": version, "operator": operator,
        "validFor": {"start": start, "end": end}})
}

fn config(logs: &Value, selector: &Value) -> SigningConfig {
    let value = json!({"mediaType": MEDIA_TYPE, "rekorTlogUrls": logs, "rekorTlogConfig": selector});
    SigningConfig::parse(value.to_string().as_bytes()).unwrap()
}

fn chosen(logs: &Value, selector: &Value, supported: &[u32]) -> Result<Vec<String>, &'static str> {
    config(logs, selector)
        .logs(supported, at("2026-11-21T00:00:00Z"))
        .map(|services| {
            services
                .iter()
                .map(|service| service.url.host_str().unwrap().to_owned())
                .collect()
        })
        .map_err(|error| error.code())
}

#[test]
fn the_schema_s_rules_of_selection() {
    let logs = json!([
        log("https://old.a", 1, "2020-01-01T00:00:00Z", None, "a"),
        log("https://next.a", 2, "2027-01-01T00:00:00Z", None, "a"),
        log(
            "https://ended.a",
            2,
            "2020-01-01T00:00:00Z",
            Some("2026-01-01T00:00:00Z"),
            "a"
        ),
        log("https://first.b", 2, "2025-01-01T00:00:00Z", None, "b"),
        log("https://second.b", 2, "2026-01-01T00:00:00Z", None, "b"),
        log("https://only.c", 3, "2025-01-01T00:00:00Z", None, "c"),
    ]);
    let any = json!({"selector": "ANY"});
    let all = json!({"selector": "ALL"});
    let exact = |count: u32| json!({"selector": "EXACT", "count": count});
    assert_eq!(chosen(&logs, &any, &[1, 2]).unwrap(), ["old.a"]);
    assert_eq!(chosen(&logs, &any, &[2]).unwrap(), ["second.b"]);
    assert_eq!(chosen(&logs, &all, &[1, 2]).unwrap(), ["old.a", "second.b"]);
    assert_eq!(chosen(&logs, &exact(2), &[1, 2]).unwrap(), ["old.a", "second.b"]);
    assert_eq!(
        chosen(&logs, &exact(3), &[1, 2]).unwrap_err(),
        "signing-config-too-few-logs"
    );
    assert_eq!(
        chosen(&logs, &exact(3), &[1, 2, 3]).unwrap(),
        ["old.a", "second.b", "only.c"]
    );
    assert_eq!(chosen(&logs, &any, &[9]).unwrap_err(), "signing-config-too-few-logs");
    assert_eq!(chosen(&logs, &all, &[9]).unwrap_err(), "signing-config-too-few-logs");
    assert_eq!(chosen(&json!([]), &any, &[2]).unwrap(), Vec::<String>::new());
    assert_eq!(
        chosen(&json!([]), &exact(1), &[2]).unwrap_err(),
        "signing-config-too-few-logs"
    );
}

/// Those of other operators are kept for when one fails; the number to use does not change.
#[test]
fn others_are_kept_behind_those_to_use() {
    let logs = json!([
        log("https://a.test", 2, "2026-01-01T00:00:00Z", None, "a"),
        log("https://b.test", 2, "2026-01-01T00:00:00Z", None, "b"),
        log("https://c.test", 1, "2026-01-01T00:00:00Z", None, "c"),
    ]);
    let now = at("2026-11-21T00:00:00Z");
    for (selector, wanted) in [
        (json!({"selector": "ANY"}), 1),
        (json!({"selector": "EXACT", "count": 2}), 2),
        (json!({"selector": "ALL"}), 2),
    ] {
        let config = config(&logs, &selector);
        let choice = config.log_choice(&[2], now).unwrap();
        let operators: Vec<&str> = choice.services().iter().map(|log| log.operator.as_str()).collect();
        assert_eq!(
            (choice.wanted().len(), operators),
            (wanted, vec!["a", "b"]),
            "{selector}"
        );
    }
}

#[test]
fn both_ends_of_a_window_are_inside() {
    let logs = json!([log(
        "https://a.test",
        2,
        "2026-01-01T00:00:00Z",
        Some("2026-01-02T00:00:00Z"),
        "a"
    )]);
    let config = config(&logs, &json!({"selector": "ANY"}));
    for (time, usable) in [
        ("2025-12-31T23:59:59Z", false),
        ("2026-01-01T00:00:00Z", true),
        ("2026-01-02T00:00:00Z", true),
        ("2026-01-02T00:00:01Z", false),
    ] {
        assert_eq!(config.logs(&[2], at(time)).is_ok(), usable, "{time}");
    }
}

#[test]
fn a_real_configuration_round_trips() {
    let bytes = include_bytes!("../../../../fixtures/keyless/signing_config.json");
    let config = SigningConfig::parse(bytes).unwrap();
    let now = at("2026-11-21T00:00:00Z");
    let authority = config.certificate_authority(now).unwrap();
    assert_eq!(
        authority.endpoint("/api/v2/signingCert").as_str(),
        "http://fulcio.alpha.test:15055/api/v2/signingCert"
    );
    assert!(authority.is_exposed());
    assert_eq!(
        config.timestamp_authorities(now).unwrap()[0].url.path(),
        "/api/v1/timestamp"
    );
    assert_eq!(config.to_json(), bytes.trim_ascii_end());
    assert_eq!(SigningConfig::parse(&config.to_json()).unwrap(), config);
}

#[test]
fn a_prefix_is_kept_and_loopback_is_not_exposed() {
    for (base, endpoint, exposed) in [
        ("https://h.test/fulcio/", "https://h.test/fulcio/api", false),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/api", false),
        ("http://[::1]:9", "http://[::1]:9/api", false),
        ("http://localhost", "http://localhost/api", false),
        ("http://localhost.h.test", "http://localhost.h.test/api", true),
    ] {
        let service = Service::new(Url::parse(base).unwrap(), 1, UnixTime::EPOCH, "o");
        assert_eq!(
            (service.endpoint("/api").as_str(), service.is_exposed()),
            (endpoint, exposed)
        );
    }
}

#[test]
fn each_bad_configuration_has_its_reason() {
    let code = |value: Value| SigningConfig::parse(value.to_string().as_bytes()).unwrap_err().code();
    let with_url = |url: &str| code(json!({"mediaType": MEDIA_TYPE, "caUrls": [{"url": url, "majorApiVersion": 1}]}));
    assert_eq!(
        code(json!({"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.1+json"})),
        "signing-config-media-type"
    );
    assert_eq!(code(json!({})), "signing-config-malformed");
    assert_eq!(
        code(json!({"mediaType": MEDIA_TYPE, "caUrl": []})),
        "signing-config-malformed"
    );
    assert_eq!(
        code(json!({"mediaType": MEDIA_TYPE, "caUrls": [{"url": "https://a", "validfor": {}}]})),
        "signing-config-malformed"
    );
    assert_eq!(with_url("ftp://a"), "signing-config-address");
    assert_eq!(with_url("https://user@a"), "signing-config-address");
    assert_eq!(with_url("https://a/?x"), "signing-config-address");
    assert_eq!(with_url("a"), "signing-config-address");
    for selector in [
        json!({"selector": "SOME"}),
        json!({}),
        json!({"selector": "EXACT"}),
        json!({"selector": "EXACT", "count": 0}),
    ] {
        assert_eq!(
            code(json!({"mediaType": MEDIA_TYPE, "tsaConfig": selector})),
            "signing-config-selector"
        );
    }
    let many = vec![json!({"url": "https://a"}); MAX_SERVICES + 1];
    assert_eq!(
        code(json!({"mediaType": MEDIA_TYPE, "oidcUrls": many})),
        "signing-config-too-many"
    );
    assert_eq!(
        SigningConfig::parse(b"{\"a\":1,\"a\":1}").unwrap_err().code(),
        "json-duplicate-key"
    );
    assert_eq!(
        SigningConfig::parse(&vec![b' '; 300_000]).unwrap_err().code(),
        "json-too-large"
    );
}
