//! Token services of CI systems and of Google.

use std::fs;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, KeyPair, RsaKeyPair, UnparsedPublicKey};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proofmark_evidence::encoding::pem_encode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Fake, Job, SECRET, form, good, hang, with};

/// A service that is asked once for a token, and answers it in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    GitHub,
    Buildkite,
    Metadata,
    ServiceAccount,
}

const KINDS: [Kind; 4] = [Kind::GitHub, Kind::Buildkite, Kind::Metadata, Kind::ServiceAccount];

impl Kind {
    /// What surrounds a job there, with its service at `fake`.
    fn job(self, fake: &Fake, folder: &TempDir) -> Job {
        let secret = SECRET.to_owned();
        let mut job = match self {
            Self::GitHub => Job::new(&[
                (
                    "ACTIONS_ID_TOKEN_REQUEST_URL",
                    format!("{}token?api-version=2.0", fake.url),
                ),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", secret),
            ]),
            Self::Buildkite => Job::new(&[
                ("BUILDKITE_AGENT_ACCESS_TOKEN", secret),
                ("BUILDKITE_AGENT_ENDPOINT", format!("{}v3", fake.url)),
                ("BUILDKITE_JOB_ID", "job/1".to_owned()),
            ]),
            Self::Metadata => Job::new(&[("GCE_METADATA_HOST", fake.url.authority().to_owned())]),
            Self::ServiceAccount => Job::new(&[("GOOGLE_APPLICATION_CREDENTIALS", service_account(folder, fake).0)]),
        };
        if matches!(self, Self::Metadata | Self::ServiceAccount) {
            job.options.provider = Some("google".parse().unwrap());
        }
        job
    }

    /// The answer with a token, if the question is right.
    fn answer(self, parts: &Parts, body: &[u8], token: &str) -> Response {
        let header = |name: &str| parts.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let asked = format!("{} {}", parts.method, parts.uri);
        let refuse = || (StatusCode::UNAUTHORIZED, format!("not {asked}")).into_response();
        match self {
            Self::GitHub => {
                if asked != "GET /token?api-version=2.0&audience=sigstore"
                    || header("authorization") != format!("Bearer {SECRET}")
                {
                    return refuse();
                }
                json!({"value": token, "count": 1000}).to_string().into_response()
            }
            Self::Buildkite => {
                let body: Value = serde_json::from_slice(body).unwrap();
                if asked != "POST /v3/jobs/job%2F1/oidc/tokens"
                    || header("authorization") != format!("Token {SECRET}")
                    || body != json!({"audience": "sigstore"})
                {
                    return refuse();
                }
                (StatusCode::CREATED, json!({"token": token}).to_string()).into_response()
            }
            Self::Metadata => {
                let path = "/computeMetadata/v1/instance/service-accounts/default/identity";
                if asked != format!("GET {path}?audience=sigstore&format=full") || header("metadata-flavor") != "Google"
                {
                    return refuse();
                }
                ([("metadata-flavor", "Google")], token.to_owned()).into_response()
            }
            Self::ServiceAccount => {
                let form = form(body);
                if asked != "POST /token" || form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
                    return refuse();
                }
                json!({"id_token": token}).to_string().into_response()
            }
        }
    }
}

/// A file as Google makes them for service accounts, and the public key.
fn service_account(folder: &TempDir, fake: &Fake) -> (String, Vec<u8>) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let path = folder.path().join("account.json");
    let content = json!({
        "type": "service_account",
        "client_email": "app@acme.iam.gserviceaccount.com",
        "private_key_id": "key-1",
        "private_key": pem_encode("PRIVATE KEY", der.as_ref()),
        "token_uri": format!("{}token", fake.url),
    });
    fs::write(&path, content.to_string()).unwrap();
    (path.display().to_string(), pair.public_key().as_ref().to_vec())
}

#[tokio::test]
async fn each_service_is_asked_as_it_documents() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let fake = Fake::start(move |parts, body| kind.answer(parts, body, &good())).await;
        let token = kind.job(&fake, &folder).token().await;
        assert_eq!(token.unwrap().claims().subject(), "job", "{kind:?}");
    }
}

#[tokio::test]
async fn each_bad_token_has_its_reason() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        for (token, code) in [
            (with("aud", json!("somebody-else")), "token-audience"),
            (with("exp", json!(1_600_000_000)), "token-expired"),
            (with("sub", Value::Null), "token-claim-missing"),
            ("not a token".to_owned(), "token-malformed"),
            (String::new(), "token-malformed"),
            ("a".repeat(20_000), "token-too-large"),
        ] {
            let fake = Fake::start(move |parts, body| kind.answer(parts, body, &token)).await;
            assert_eq!(kind.job(&fake, &folder).code().await, code, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn each_service_that_fails_has_its_reason() {
    type Say = fn(&str) -> Response;
    let cases: [(Say, &str, bool, usize); 7] = [
        (
            |sent| (StatusCode::INTERNAL_SERVER_ERROR, sent.to_owned()).into_response(),
            "service-refused",
            true,
            3,
        ),
        (
            |_| (StatusCode::TOO_MANY_REQUESTS, "slower").into_response(),
            "service-refused",
            true,
            3,
        ),
        (
            |sent| (StatusCode::FORBIDDEN, format!("{sent} is not allowed")).into_response(),
            "service-refused",
            false,
            1,
        ),
        (
            |_| (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response(),
            "service-refused",
            false,
            1,
        ),
        (
            |_| ([("metadata-flavor", "Google")], "<html>").into_response(),
            "garbage",
            false,
            1,
        ),
        (
            |_| ([("metadata-flavor", "Google")], "0".repeat(100_000)).into_response(),
            "service-answer-too-large",
            false,
            1,
        ),
        (|_| hang(), "service-timeout", true, 3),
    ];
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        for (say, code, later, count) in &cases {
            let say = *say;
            // A service can repeat what it was sent only.
            let sent = match kind {
                Kind::GitHub | Kind::Buildkite => SECRET,
                Kind::Metadata | Kind::ServiceAccount => "nothing",
            };
            let fake = Fake::start(move |_, _| say(sent)).await;
            let error = kind.job(&fake, &folder).token().await.unwrap_err();
            let wanted = match (*code, kind) {
                // Its answer is the token alone.
                ("garbage", Kind::Metadata) => "token-malformed",
                ("garbage", _) => "token-answer",
                (code, _) => code,
            };
            assert_eq!(
                (error.code(), error.is_unreachable(), fake.asked()),
                (wanted, *later, *count),
                "{kind:?} {error}"
            );
        }
    }
}

/// A secret goes to https, or to this machine, and to no other.
#[tokio::test]
async fn secrets_are_not_sent_in_the_clear() {
    let secret = || SECRET.to_owned();
    let elsewhere = |path: &str| format!("http://ci.acme.test/{path}");
    let github = Job::new(&[
        ("ACTIONS_ID_TOKEN_REQUEST_URL", elsewhere("token")),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", secret()),
    ]);
    let buildkite = Job::new(&[
        ("BUILDKITE_AGENT_ACCESS_TOKEN", secret()),
        ("BUILDKITE_AGENT_ENDPOINT", elsewhere("v3")),
        ("BUILDKITE_JOB_ID", "1".to_owned()),
    ]);
    for job in [github, buildkite] {
        assert_eq!(job.code().await, "token-request-url");
    }
    let unnamed = Job::new(&[("BUILDKITE_AGENT_ACCESS_TOKEN", secret())]);
    assert_eq!(unnamed.code().await, "token-provider-not-here");
}

#[tokio::test]
async fn a_service_account_signs_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let asked: Arc<Mutex<String>> = Arc::default();
    let said = Arc::clone(&asked);
    let fake = Fake::start(move |_, body| {
        form(body)["assertion"].clone_into(&mut said.lock().unwrap());
        json!({"id_token": good()}).to_string().into_response()
    })
    .await;
    let (path, public) = service_account(&folder, &fake);
    let mut job = Job::new(&[("GOOGLE_APPLICATION_CREDENTIALS", path)]);
    job.options.provider = Some("google-workload-identity".parse().unwrap());
    job.token().await.unwrap();
    let assertion = asked.lock().unwrap().clone();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &public)
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], "app@acme.iam.gserviceaccount.com");
    assert_eq!(claims["target_audience"], "sigstore");
    assert_eq!(claims["aud"], format!("{}token", fake.url));
    // Without being asked for, such a key is no sign of an identity.
    job.options.provider = None;
    assert_eq!(job.code().await, "token-not-found");
}

/// The account to be is asked of IAM with what we are: a machine, a service account, or a person.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn another_account_is_impersonated() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(|parts, body| {
        let header = |name: &str| parts.headers.get(name).map_or("", |value| value.to_str().unwrap());
        match parts.uri.path() {
            "/computeMetadata/v1/instance/service-accounts/default/token" => (
                [("metadata-flavor", "Google")],
                json!({"access_token": SECRET, "expires_in": 3599, "token_type": "Bearer"}).to_string(),
            )
                .into_response(),
            "/token" => {
                let form = form(body);
                let asks = match form["grant_type"].as_str() {
                    "refresh_token" => form["refresh_token"] == "r" && form["client_secret"] == "s",
                    _ => true,
                };
                match asks {
                    true => json!({"access_token": SECRET}).to_string().into_response(),
                    false => StatusCode::BAD_REQUEST.into_response(),
                }
            }
            "/iam/v1/projects/-/serviceAccounts/signer@acme.iam.gserviceaccount.com:generateIdToken"
                if header("authorization") == format!("Bearer {SECRET}")
                    && serde_json::from_slice::<Value>(body).unwrap()
                        == json!({"audience": "sigstore", "includeEmail": true}) =>
            {
                json!({"token": good()}).to_string().into_response()
            }
            _ => (StatusCode::NOT_FOUND, SECRET).into_response(),
        }
    })
    .await;
    let person = folder.path().join("person.json");
    let uri = format!("{}token", fake.url);
    let content = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r", "token_uri": uri,
    });
    fs::write(&person, content.to_string()).unwrap();
    for credentials in [
        None,
        Some(service_account(&folder, &fake).0),
        Some(person.display().to_string()),
    ] {
        let mut environment = vec![
            (
                "GOOGLE_SERVICE_ACCOUNT_NAME",
                "signer@acme.iam.gserviceaccount.com".to_owned(),
            ),
            ("GCE_METADATA_HOST", fake.url.authority().to_owned()),
            (
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS",
                format!("{}iam/", fake.url),
            ),
        ];
        environment.extend(credentials.map(|path| ("GOOGLE_APPLICATION_CREDENTIALS", path)));
        let mut job = Job::new(&environment);
        assert_eq!(job.token().await.unwrap().claims().subject(), "job");
        let other = "other@acme.iam.gserviceaccount.com".to_owned();
        job.environment.insert("GOOGLE_SERVICE_ACCOUNT_NAME".to_owned(), other);
        assert_eq!(job.code().await, "service-refused");
    }
    // A person has no identity token of the kind that is asked for.
    let mut job = Job::new(&[("GOOGLE_APPLICATION_CREDENTIALS", person.display().to_string())]);
    job.options.provider = Some("google".parse().unwrap());
    assert_eq!(job.code().await, "token-provider-not-here");
    for content in [
        "",
        "{}",
        r#"{"type":"external_account"}"#,
        r#"{"type":"service_account"}"#,
    ] {
        fs::write(&person, content).unwrap();
        assert_eq!(job.code().await, "token-file", "{content}");
    }
}

/// A machine is Google's if its BIOS says so and its metadata server has an account for it.
#[tokio::test]
async fn a_machine_of_googles_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(|parts, body| match parts.uri.path() {
        path if path.ends_with("/email") => ([("metadata-flavor", "Google")], "a@b").into_response(),
        _ => Kind::Metadata.answer(parts, body, &good()),
    })
    .await;
    let mut job = Job::new(&[("GCE_METADATA_HOST", fake.url.authority().to_owned())]);
    job.root = folder.path().to_owned();
    assert_eq!(job.token().await.unwrap().claims().subject(), "job");
    // Somebody else's server at that address.
    let other = Fake::start(|_, _| good().into_response()).await;
    let mut job = Job::new(&[("GCE_METADATA_HOST", other.url.authority().to_owned())]);
    assert_eq!(job.code().await, "token-not-found");
    job.options.provider = Some("google".parse().unwrap());
    assert_eq!(job.code().await, "token-answer");
}
