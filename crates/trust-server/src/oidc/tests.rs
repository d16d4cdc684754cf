use serde_json::json;

use super::config::check_all;
use super::*;

fn issuer(config: IssuerConfig) -> Issuer {
    check_all(&[config]).unwrap().pop().unwrap()
}

fn read(issuer: &Issuer, claims: Value) -> Result<Principal, TokenError> {
    principal(issuer, claims.as_object().unwrap())
}

fn github_claims() -> Value {
    json!({
        "sub": "repo:acme/app:environment:prod", "repository": "acme/app", "repository_owner": "acme",
        "repository_id": "1", "repository_owner_id": 2, "repository_visibility": "private", "ref": "refs/heads/main",
        "sha": "aa", "workflow": "Release", "workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main",
        "workflow_sha": "bb", "job_workflow_ref": "acme/ci/.github/workflows/build.yml@refs/tags/v1",
        "job_workflow_sha": "cc", "event_name": "push", "run_id": "77", "run_attempt": "3",
        "runner_environment": "github-hosted", "environment": "prod", "nested": {"a": 1},
    })
}

#[test]
fn github_claims_become_the_extensions_of_fulcio() {
    let issuer = issuer(IssuerConfig::github(
        "https://token.actions.githubusercontent.com",
        None,
    ));
    let principal = read(&issuer, github_claims()).unwrap();
    let caller = "https://github.com/acme/app/.github/workflows/r.yml@refs/heads/main";
    let called = "https://github.com/acme/ci/.github/workflows/build.yml@refs/tags/v1";
    assert_eq!(principal.subject, Subject::Uri(called.to_owned()));
    let expected = [
        (1, "https://token.actions.githubusercontent.com"),
        (2, "push"),
        (3, "aa"),
        (4, "Release"),
        (5, "acme/app"),
        (6, "refs/heads/main"),
        (8, "https://token.actions.githubusercontent.com"),
        (9, called),
        (10, "cc"),
        (11, "github-hosted"),
        (12, "https://github.com/acme/app"),
        (13, "aa"),
        (14, "refs/heads/main"),
        (15, "1"),
        (16, "https://github.com/acme"),
        (17, "2"),
        (18, caller),
        (19, "bb"),
        (20, "push"),
        (21, "https://github.com/acme/app/actions/runs/77/attempts/3"),
        (22, "private"),
        (23, "prod"),
        (24, "repo:acme/app:environment:prod"),
    ];
    let seen: Vec<(u64, &str)> = principal.extensions.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(seen, expected);
    assert_eq!(principal.challenges, ["repo:acme/app:environment:prod"]);
}

#[test]
fn an_own_github_or_gitlab_has_its_own_url() {
    let own = issuer(IssuerConfig::github(
        "https://ghes.test/_services/token",
        Some("https://ghes.test"),
    ));
    let principal = read(&own, github_claims()).unwrap();
    assert!(
        principal
            .extensions
            .contains(&(12, "https://ghes.test/acme/app".to_owned()))
    );
    // A claim of the same name wins over the default, as in Fulcio; no real issuer sends one.
    let own = issuer(IssuerConfig::gitlab("https://gitlab.test", Some("https://gitlab.test")));
    let claims = json!({
        "sub": "project_path:acme/app:ref_type:tag:ref:v1", "project_path": "acme/app", "namespace_path": "acme",
        "project_id": "4", "namespace_id": "5", "project_visibility": "internal", "pipeline_source": "push",
        "job_id": "9", "ref": "v1", "ref_type": "tag", "sha": "aa", "runner_environment": "self-hosted",
        "ci_config_ref_uri": "gitlab.test/acme/app//.gitlab-ci.yml@refs/tags/v1", "ci_config_sha": "bb",
    });
    let principal = read(&own, claims).unwrap();
    assert_eq!(
        principal.subject,
        Subject::Uri("https://gitlab.test/acme/app//.gitlab-ci.yml@refs/tags/v1".to_owned())
    );
    let value = |number| {
        principal
            .extensions
            .iter()
            .find(|(n, _)| *n == number)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(value(12), Some("https://gitlab.test/acme/app"));
    assert_eq!(value(14), Some("refs/tags/v1"));
    assert_eq!(value(16), Some("https://gitlab.test/acme"));
    assert_eq!(value(21), Some("https://gitlab.test/acme/app/-/jobs/9"));
    assert_eq!(value(23), None, "an empty environment is left out");
    assert_eq!(value(2), None, "the old extensions are GitHub's alone");
}

#[test]
fn a_ci_token_without_a_claim_or_with_a_line_break_is_refused() {
    let issuer = issuer(IssuerConfig::github(
        "https://token.actions.githubusercontent.com",
        None,
    ));
    for claim in ["job_workflow_ref", "sha", "run_id", "sub"] {
        let mut claims = github_claims();
        claims.as_object_mut().unwrap().remove(claim);
        assert_eq!(
            read(&issuer, claims).unwrap_err(),
            TokenError::Claim {
                claim: claim.to_owned()
            }
        );
    }
    for value in [json!("a\nb"), json!("x".repeat(3000)), json!({"a": 1})] {
        let mut claims = github_claims();
        claims["workflow"] = value;
        assert_eq!(read(&issuer, claims).unwrap_err().code(), "token-claim");
    }
}

#[test]
fn people_have_a_verified_address() {
    let issuer = issuer(IssuerConfig::email("https://idp.test"));
    let with =
        |email: Value, verified: Value| read(&issuer, json!({"sub": "1", "email": email, "email_verified": verified}));
    let principal = with(json!("a@b.test"), json!(true)).unwrap();
    assert_eq!(principal.subject, Subject::Email("a@b.test".to_owned()));
    assert_eq!(principal.challenges, ["1", "a@b.test"]);
    for verified in [json!(false), json!("true"), json!(1), Value::Null] {
        assert_eq!(
            with(json!("a@b.test"), verified).unwrap_err(),
            TokenError::EmailNotVerified
        );
    }
    for email in [
        "",
        "a",
        "@b.test",
        "a@",
        "a@b@c",
        "a b@c.test",
        "ä@b.test",
        "a@b.test\n",
    ] {
        assert_eq!(
            with(json!(email), json!(true)).unwrap_err().code(),
            "token-claim",
            "{email}"
        );
    }
}

#[test]
fn workloads_stay_within_their_domain() {
    let issuer = issuer(IssuerConfig::uri("https://idp.test", "https://acme.test"));
    let subject = |sub: &str| read(&issuer, json!({"sub": sub}));
    let principal = subject("https://acme.test/team/a").unwrap();
    assert_eq!(principal.subject, Subject::Uri("https://acme.test/team/a".to_owned()));
    for foreign in [
        "http://acme.test/x",
        "https://acme.test.evil.test/x",
        "https://evil.test/https://acme.test",
        "team/a",
        "https://acme.test:8443/x",
        "https://user@acme.test/x",
        "mailto:a@acme.test",
        "https://ácme.test/",
    ] {
        assert_eq!(
            subject(foreign).unwrap_err().code(),
            "token-subject-domain",
            "{foreign}"
        );
    }
}

#[test]
fn service_accounts_have_both_names() {
    let issuer = issuer(IssuerConfig::kubernetes("https://kubernetes.default.svc"));
    let of = |inner: Value| {
        read(
            &issuer,
            json!({"sub": "system:serviceaccount:a:b", "kubernetes.io": inner}),
        )
    };
    let principal = of(json!({"namespace": "a", "serviceaccount": {"name": "b", "uid": "u"}})).unwrap();
    assert_eq!(
        principal.subject,
        Subject::Uri("https://kubernetes.io/namespaces/a/serviceaccounts/b".to_owned())
    );
    for inner in [
        json!({}),
        json!({"namespace": "", "serviceaccount": {"name": "b"}}),
        json!({"namespace": "a"}),
        json!({"namespace": "a", "serviceaccount": {"name": ""}}),
        json!("x"),
        json!({"namespace": "a/serviceaccounts/root", "serviceaccount": {"name": "b"}}),
    ] {
        assert_eq!(of(inner).unwrap_err().code(), "token-claim");
    }
}

#[test]
fn configurations_that_are_ambiguous_or_unsafe_are_refused() {
    let reason = |configs: &[IssuerConfig]| check_all(configs).unwrap_err();
    let email = IssuerConfig::email("https://idp.test");
    assert!(matches!(
        reason(&[email.clone(), email.clone()]),
        IssuerConfigError::Twice { .. }
    ));
    for url in [
        "http://idp.test",
        "idp.test",
        "ftp://idp.test",
        "https://idp.test?x=1",
        "https://u:p@idp.test",
        "file:///x",
    ] {
        assert!(
            matches!(reason(&[IssuerConfig::email(url)]), IssuerConfigError::Url { .. }),
            "{url}"
        );
    }
    check_all(&[
        IssuerConfig::email("http://127.0.0.1:99"),
        IssuerConfig::email("http://localhost:1/x"),
    ])
    .unwrap();
    let mut wrong = email.clone();
    wrong.subject_domain = Some("https://x.test".to_owned());
    assert!(matches!(
        reason(&[wrong]),
        IssuerConfigError::Field {
            field: "subject-domain",
            ..
        }
    ));
    let mut wrong = email.clone();
    wrong.kind = IssuerType::CiProvider;
    assert!(matches!(
        reason(&[wrong]),
        IssuerConfigError::Field {
            field: "ci-provider",
            ..
        }
    ));
    let mut custom = email;
    custom.kind = IssuerType::CiProvider;
    let mut templates = ProviderTemplates {
        subject_alternative_name_template: "https://ci.test/{{ .job }}".to_owned(),
        ..ProviderTemplates::default()
    };
    templates
        .extension_templates
        .insert("no-such-extension".to_owned(), "x".to_owned());
    custom.ci_provider = Some(CiProvider::Custom(templates.clone()));
    assert!(matches!(reason(&[custom.clone()]), IssuerConfigError::Extension { .. }));
    templates.extension_templates.clear();
    templates
        .extension_templates
        .insert("build-trigger".to_owned(), "{{ printf .x }}".to_owned());
    custom.ci_provider = Some(CiProvider::Custom(templates));
    assert!(matches!(reason(&[custom]), IssuerConfigError::Template { .. }));
    let many: Vec<IssuerConfig> = (0..101)
        .map(|n| IssuerConfig::email(&format!("https://i{n}.test")))
        .collect();
    assert!(matches!(reason(&many), IssuerConfigError::TooMany { .. }));
}

#[test]
fn the_configuration_is_written_as_it_is_read() {
    let text = "issuer-url: https://ci.test\ntype: ci-provider\nci-provider:\n  subject-alternative-name-template: \
                https://ci.test/{{ .job }}\n  extension-templates:\n    build-trigger: why\n";
    let config: IssuerConfig = serde_saphyr::from_str(text).unwrap();
    assert_eq!(config.client_id, "sigstore");
    let read = issuer(config.clone());
    let principal = principal(
        &read,
        json!({"sub": "s", "job": "7", "why": "push"}).as_object().unwrap(),
    )
    .unwrap();
    assert_eq!(principal.subject, Subject::Uri("https://ci.test/7".to_owned()));
    let again: IssuerConfig = serde_saphyr::from_str(&serde_saphyr::to_string(&config).unwrap()).unwrap();
    assert_eq!(again, config);
    assert!(serde_saphyr::from_str::<IssuerConfig>(&format!("{text}unknown: 1\n")).is_err());
}
