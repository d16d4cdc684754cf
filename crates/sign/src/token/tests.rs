use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn token(claims: &Value) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256"}"#),
        part(&claims.to_string()),
        part("signature")
    )
}

fn good() -> Value {
    json!({"iss": "https://i.test", "sub": "s", "aud": "sigstore", "iat": 1000, "exp": 2000})
}

fn now() -> UnixTime {
    UnixTime::from_seconds(1500).unwrap()
}

fn code(edit: impl FnOnce(&mut Value)) -> &'static str {
    let mut claims = good();
    edit(&mut claims);
    IdentityToken::parse(&token(&claims))
        .unwrap()
        .check(AUDIENCE, now())
        .unwrap_err()
        .code()
}

#[test]
fn a_good_token_passes_and_does_not_show_itself() {
    let text = token(&good());
    let parsed = IdentityToken::parse(&format!("{text}\n")).unwrap();
    parsed.check(AUDIENCE, now()).unwrap();
    assert_eq!(parsed.secret(), text);
    assert_eq!(format!("{parsed} {parsed:?}"), "*** IdentityToken(***)");
    let mut several = good();
    several["aud"] = json!(["other", "sigstore"]);
    several["exp"] = json!(2000.7);
    IdentityToken::parse(&token(&several))
        .unwrap()
        .check(AUDIENCE, now())
        .unwrap();
}

#[test]
fn each_useless_token_has_its_reason() {
    assert_eq!(code(|c| c["exp"] = 1504.into()), "token-expired");
    assert_eq!(code(|c| c["iat"] = 1900.into()), "token-not-yet-valid");
    assert_eq!(code(|c| c["nbf"] = 1900.into()), "token-not-yet-valid");
    assert_eq!(code(|c| c["aud"] = "sigstore2".into()), "token-audience");
    assert_eq!(code(|c| c["aud"] = json!([])), "token-audience");
    for claim in ["iss", "sub", "exp"] {
        assert_eq!(code(|c| c[claim] = Value::Null), "token-claim-missing");
    }
    let parse = |text: &str| IdentityToken::parse(text).unwrap_err().code();
    assert_eq!(parse(""), "token-malformed");
    assert_eq!(parse("a.b"), "token-malformed");
    assert_eq!(parse("e30.e30."), "token-malformed");
    assert_eq!(parse("e30.W10.e30"), "token-malformed");
    assert_eq!(parse("e30.e30.e30.e30"), "token-malformed");
    assert_eq!(parse(&"a".repeat(MAX_TOKEN_BYTES + 1)), "token-too-large");
    let twice = URL_SAFE_NO_PAD.encode(r#"{"sub":"a","sub":"b"}"#);
    assert_eq!(parse(&format!("e30.{twice}.e30")), "token-malformed");
}

#[test]
fn possession_is_proven_over_the_verified_e_mail_or_the_subject() {
    let claims = |value: Value| Claims::new(value.as_object().unwrap().clone());
    assert_eq!(claims(json!({"sub": "s"})).possession_claims(), ["s"]);
    assert_eq!(
        claims(json!({"sub": "s", "email": "a@b", "email_verified": true})).possession_claims(),
        ["a@b", "s"]
    );
    assert_eq!(claims(json!({"sub": "s", "email": "a@b"})).possession_claims(), ["s"]);
    assert_eq!(
        claims(json!({"sub": "s", "email": "a@b", "email_verified": "true"})).possession_claims(),
        ["a@b", "s"]
    );
}

fn found(given: Option<&str>, environment: &[(&str, &str)]) -> Result<IdentityToken, TokenError> {
    found_with(&TokenOptions::default(), given, environment)
}

fn found_with(
    options: &TokenOptions,
    given: Option<&str>,
    environment: &[(&str, &str)],
) -> Result<IdentityToken, TokenError> {
    let environment: BTreeMap<String, String> = environment
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let lookup = |name: &str| environment.get(name).cloned();
    let empty = tempfile::tempdir().unwrap();
    let sources = Sources {
        given,
        options,
        environment: &lookup,
        root: empty.path(),
        person: None,
        timing: crate::http::Timing::default(),
        now: now(),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(detect(&sources))
}

#[test]
fn the_order_of_sources() {
    let of = |subject: &str| {
        let mut claims = good();
        claims["sub"] = subject.into();
        token(&claims)
    };
    let (first, second) = (of("1"), of("2"));
    let environment = [("SIGSTORE_ID_TOKEN", second.as_str())];
    assert_eq!(found(Some(&first), &environment).unwrap().claims().subject(), "1");
    assert_eq!(found(None, &environment).unwrap().claims().subject(), "2");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{first}\n")).unwrap();
    assert_eq!(
        found(Some(path.to_str().unwrap()), &[]).unwrap().claims().subject(),
        "1"
    );
    let named = [
        ("PROOFMARK_IDENTITY_TOKEN_FILE", path.to_str().unwrap()),
        environment[0],
    ];
    assert_eq!(found(None, &named[..1]).unwrap().claims().subject(), "1");
    assert_eq!(found(None, &named).unwrap().claims().subject(), "2");
    let only = |provider: &str| TokenOptions {
        provider: Some(provider.parse().unwrap()),
        ..TokenOptions::default()
    };
    let from_file = found_with(&only("filesystem"), None, &named).unwrap();
    assert_eq!(from_file.claims().subject(), "1");
    let error = found_with(&only("github-actions"), None, &named).unwrap_err();
    assert_eq!(error.code(), "token-provider-not-here");
    let blind = TokenOptions {
        no_ambient: true,
        ..TokenOptions::default()
    };
    assert_eq!(found_with(&blind, None, &named).unwrap_err().code(), "token-not-found");
    // What is found is checked at once.
    let late = token(&json!({"iss": "i", "sub": "s", "aud": "sigstore", "exp": 1}));
    assert_eq!(found(Some(&late), &[]).unwrap_err().code(), "token-expired");
    let own = TokenOptions {
        client_id: "acme".to_owned(),
        ..TokenOptions::default()
    };
    assert_eq!(
        found_with(&own, Some(&first), &[]).unwrap_err().code(),
        "token-audience"
    );
}

#[test]
fn words_of_the_command_line() {
    for provider in Provider::ALL {
        assert_eq!(provider.to_string().parse::<Provider>().unwrap(), provider);
    }
    assert_eq!("x".parse::<Provider>().unwrap_err().code(), "token-provider-unknown");
    for flow in [Flow::Browser, Flow::Device, Flow::Token, Flow::ClientCredentials] {
        assert_eq!(flow.name().parse::<Flow>().unwrap(), flow);
    }
    assert_eq!("x".parse::<Flow>().unwrap_err().code(), "token-flow-unknown");
}

#[test]
fn a_missing_token_says_what_to_do() {
    let error = found(None, &[("GITHUB_ACTIONS", "true")]).unwrap_err();
    assert_eq!(error.code(), "token-not-found");
    assert!(error.to_string().contains("id-token: write"));
    assert!(
        found(None, &[("GITLAB_CI", "true")])
            .unwrap_err()
            .to_string()
            .contains("id_tokens")
    );
    assert!(found(None, &[]).unwrap_err().to_string().contains("no terminal"));
    assert_eq!(found(Some("/nowhere/token"), &[]).unwrap_err().code(), "token-file");
    assert_eq!(found(Some("/dev/zero"), &[]).unwrap_err().code(), "token-too-large");
    // A token that lost a character is not repeated as if it were a path.
    let error = found(Some("eyJhbGciOiJSUzI1NiJ9.e30.!"), &[]).unwrap_err();
    assert_eq!(error.code(), "token-malformed");
    assert_eq!(
        found(None, &[("SIGSTORE_ID_TOKEN", "x")]).unwrap_err().code(),
        "token-malformed"
    );
    let github = |url: &str| {
        found(
            None,
            &[
                ("ACTIONS_ID_TOKEN_REQUEST_URL", url),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t"),
            ],
        )
        .unwrap_err()
        .code()
    };
    assert_eq!(github("http://github.test/token"), "token-request-url");
    assert_eq!(github("nonsense"), "token-request-url");
}

proptest! {
    #[test]
    fn no_text_panics(text in "[A-Za-z0-9_.-]{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = IdentityToken::parse(&text);
        let payload = URL_SAFE_NO_PAD.encode(&bytes);
        if let Ok(token) = IdentityToken::parse(&format!("e30.{payload}.e30")) {
            let _ = token.check(AUDIENCE, now());
        }
    }
}
