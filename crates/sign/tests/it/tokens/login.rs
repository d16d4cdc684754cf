//! Logging in: a browser on this machine, a code, and a program's own secret, against an issuer that checks each step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proofmark_sign::token::{Flow, Person, TokenError};
use proofmark_types::Digest;
use reqwest::Url;
use serde_json::{Value, json};

use super::{Fake, Job, SECRET, claims, form, hang, jwt};

/// A change to a document.
type Edit = fn(&mut Value);

/// What a server says.
type Answer = fn() -> Response;

/// What the issuer does that it should not, or says in its own way.
#[derive(Clone, Default)]
struct Odd {
    /// Changes its document.
    document: Option<fn(&mut Value)>,
    /// Changes the claims of its tokens.
    claims: Option<fn(&mut Value)>,
    /// Answers the token endpoint.
    token: Option<fn() -> Response>,
    /// What it answers before a person has entered the code.
    pending: Vec<&'static str>,
}

/// An issuer. Logins are kept by their code.
#[derive(Clone)]
struct Issuer {
    fake: Fake,
    logins: Arc<Mutex<BTreeMap<String, BTreeMap<String, String>>>>,
}

impl Issuer {
    #[expect(clippy::too_many_lines, reason = "one server, path by path")]
    async fn start(odd: Odd) -> Self {
        let logins: Arc<Mutex<BTreeMap<String, BTreeMap<String, String>>>> = Arc::default();
        let kept = Arc::clone(&logins);
        let pending = Mutex::new(odd.pending.clone());
        let fake = Fake::start(move |parts, body| {
            let origin = format!("http://{}", parts.headers["host"].to_str().unwrap());
            let token = |nonce: Option<&str>| {
                let mut claims = claims();
                claims["iss"] = json!(format!("{origin}/auth"));
                claims["nonce"] = json!(nonce);
                if let Some(change) = odd.claims {
                    change(&mut claims);
                }
                json!({"id_token": jwt(&claims), "access_token": "a"})
                    .to_string()
                    .into_response()
            };
            let no = |error: &str| (StatusCode::BAD_REQUEST, json!({"error": error}).to_string()).into_response();
            match parts.uri.path() {
                "/auth/.well-known/openid-configuration" => {
                    let mut document = json!({
                        "issuer": format!("{origin}/auth"),
                        "authorization_endpoint": format!("{origin}/login"),
                        "token_endpoint": format!("{origin}/token"),
                        "device_authorization_endpoint": format!("{origin}/device"),
                        "code_challenge_methods_supported": ["S256", "plain"],
                    });
                    if let Some(change) = odd.document {
                        change(&mut document);
                    }
                    document.to_string().into_response()
                }
                "/device" => {
                    let mut asked = form(body);
                    assert_eq!(
                        (asked["client_id"].as_str(), asked["scope"].as_str()),
                        ("sigstore", "openid email")
                    );
                    asked.insert("nonce".to_owned(), String::new());
                    kept.lock().unwrap().insert("device-1".to_owned(), asked);
                    json!({
                        "device_code": "device-1", "user_code": "WDJB-MJHT",
                        "verification_uri": format!("{origin}/activate"), "expires_in": 60, "interval": 0,
                    })
                    .to_string()
                    .into_response()
                }
                "/token" => {
                    if let Some(answer) = odd.token {
                        return answer();
                    }
                    let asked = form(body);
                    if asked["grant_type"] == "client_credentials" {
                        let basic = format!("Basic {}", STANDARD.encode(format!("sigstore:{SECRET}")));
                        let header = parts.headers.get("authorization").map(|value| value.to_str().unwrap());
                        let posted = asked.get("client_secret").map(String::as_str);
                        return match header == Some(&basic) || posted == Some(SECRET) {
                            true => token(None),
                            false => no("invalid_client"),
                        };
                    }
                    if let Some(error) = pending.lock().unwrap().pop() {
                        return no(error);
                    }
                    let code = asked.get("code").or_else(|| asked.get("device_code")).unwrap();
                    let Some(login) = kept.lock().unwrap().get(code).cloned() else {
                        return no("invalid_grant");
                    };
                    let hash = Digest::sha256_of(asked["code_verifier"].as_bytes());
                    let proven = login["code_challenge"] == URL_SAFE_NO_PAD.encode(hash.as_bytes())
                        && login["code_challenge_method"] == "S256"
                        && login.get("redirect_uri") == asked.get("redirect_uri");
                    match proven {
                        true => token(login.get("nonce").map(String::as_str)),
                        false => no("invalid_grant"),
                    }
                }
                _ => StatusCode::NOT_FOUND.into_response(),
            }
        })
        .await;
        Self { fake, logins }
    }

    fn job(&self, flow: Option<Flow>) -> Job {
        let mut job = Job::new(&[]);
        job.options.issuer = Some(self.fake.url.join("/auth").unwrap());
        job.options.flow = flow;
        job.options.patience = Duration::from_secs(5);
        job
    }

    /// With a client's secret in a file.
    fn program(&self, folder: &tempfile::TempDir, secret: &str) -> Job {
        let mut job = self.job(Some(Flow::ClientCredentials));
        let path = folder.path().join("secret");
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        job.options.client_secret_file = Some(path);
        job
    }
}

/// What a person's browser asks for after the login, made of the query it was sent to log in with.
type Return = fn(&mut Vec<(String, String)>);

/// Somebody with a browser, who logs in at once.
struct Somebody {
    issuer: Issuer,
    change: Return,
    told: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<Option<StatusCode>>>,
}

impl Somebody {
    fn new(issuer: &Issuer, change: Return) -> Self {
        Self {
            issuer: issuer.clone(),
            change,
            told: Arc::default(),
            answer: Arc::default(),
        }
    }
}

impl Person for Somebody {
    fn browse(&self, address: &Url) -> bool {
        let asked: BTreeMap<String, String> = address
            .query_pairs()
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        assert_eq!(address.path(), "/login");
        assert_eq!(
            (asked["response_type"].as_str(), asked["client_id"].as_str()),
            ("code", "sigstore")
        );
        let mut back = vec![
            ("code".to_owned(), "code-1".to_owned()),
            ("state".to_owned(), asked["state"].clone()),
        ];
        (self.change)(&mut back);
        let mut url = Url::parse(&asked["redirect_uri"]).unwrap();
        url.query_pairs_mut().extend_pairs(&back);
        self.issuer.logins.lock().unwrap().insert("code-1".to_owned(), asked);
        let answer = Arc::clone(&self.answer);
        tokio::spawn(async move {
            // Browsers open connections in advance and ask for icons.
            let idle = tokio::net::TcpStream::connect(url.socket_addrs(|| None).unwrap()[0]).await;
            let icon = reqwest::get(url.join("/favicon.ico").unwrap()).await.unwrap();
            assert_eq!(icon.status(), StatusCode::NOT_FOUND);
            let status = reqwest::get(url).await.unwrap().status();
            *answer.lock().unwrap() = Some(status);
            drop(idle);
        });
        true
    }

    fn tell(&self, text: &str) {
        self.told.lock().unwrap().push(text.to_owned());
    }
}

async fn log_in(odd: Odd, change: Return) -> Result<String, TokenError> {
    let issuer = Issuer::start(odd).await;
    let somebody = Somebody::new(&issuer, change);
    let token = issuer.job(None).token_of(Some(&somebody)).await?;
    Ok(token.claims().subject().to_owned())
}

#[tokio::test]
async fn a_person_logs_in_with_a_browser() {
    assert_eq!(log_in(Odd::default(), |_| {}).await.unwrap(), "job");
    // The page says so, and the address can be opened by hand.
    let issuer = Issuer::start(Odd::default()).await;
    let somebody = Somebody::new(&issuer, |_| {});
    let token = issuer.job(Some(Flow::Browser)).token_of(Some(&somebody)).await;
    token.unwrap();
    assert!(somebody.told.lock().unwrap()[0].contains("/login?response_type=code"));
    while somebody.answer.lock().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*somebody.answer.lock().unwrap(), Some(StatusCode::OK));
}

/// GHSA-hm8f-75xx-w2vr: the state of the redirect and the nonce of the token are checked.
#[tokio::test]
async fn ghsa_hm8f_75xx_w2vr_another_login_is_refused() {
    let redirects: [(Return, &str); 7] = [
        (|back| back[1].1 = "other".to_owned(), "oidc-state-mismatch"),
        (|back| back[1].1.clear(), "oidc-state-mismatch"),
        (|back| back.truncate(1), "oidc-state-mismatch"),
        (|back| back.push(back[1].clone()), "oidc-state-mismatch"),
        (
            |back| back.push(("iss".to_owned(), "https://other.test".to_owned())),
            "oidc-issuer-mismatch",
        ),
        (
            |back| back[0] = ("error".to_owned(), "access_denied".to_owned()),
            "oidc-denied",
        ),
        (|back| back[0].1 = "another-code".to_owned(), "oidc-denied"),
    ];
    for (change, code) in redirects {
        assert_eq!(log_in(Odd::default(), change).await.unwrap_err().code(), code);
    }
    let tokens: [(Edit, &str); 6] = [
        (|claims| claims["nonce"] = json!("other"), "oidc-nonce-mismatch"),
        (|claims| claims["nonce"] = Value::Null, "oidc-nonce-mismatch"),
        (
            |claims| claims["iss"] = json!("https://other.test"),
            "oidc-issuer-mismatch",
        ),
        (|claims| claims["aud"] = json!("other"), "token-audience"),
        (|claims| claims["exp"] = json!(1_600_000_000), "token-expired"),
        (|claims| claims["sub"] = Value::Null, "token-claim-missing"),
    ];
    for (change, code) in tokens {
        let odd = Odd {
            claims: Some(change),
            ..Odd::default()
        };
        assert_eq!(log_in(odd, |_| {}).await.unwrap_err().code(), code);
    }
}

/// The document decides where codes and secrets go.
#[tokio::test]
async fn an_issuer_that_will_not_do_is_not_asked_for_a_login() {
    let documents: [(Edit, &str); 7] = [
        (
            |document| document["issuer"] = json!("https://other.test"),
            "oidc-issuer-mismatch",
        ),
        (|document| document["issuer"] = json!(7), "oidc-issuer-unusable"),
        (
            |document| document["token_endpoint"] = json!("http://other.test/token"),
            "oidc-issuer-unusable",
        ),
        (
            |document| document["authorization_endpoint"] = json!("javascript:alert(1)"),
            "oidc-issuer-unusable",
        ),
        (
            |document| document["token_endpoint"] = Value::Null,
            "oidc-issuer-unusable",
        ),
        (
            |document| document["authorization_endpoint"] = Value::Null,
            "oidc-issuer-unusable",
        ),
        (
            |document| document["code_challenge_methods_supported"] = json!(["plain"]),
            "oidc-issuer-unusable",
        ),
    ];
    for (change, code) in documents {
        let odd = Odd {
            document: Some(change),
            ..Odd::default()
        };
        assert_eq!(log_in(odd, |_| {}).await.unwrap_err().code(), code);
    }
    let at = async |fake: &Fake| {
        let mut job = Job::new(&[]);
        job.options.issuer = Some(fake.url.clone());
        let nobody = Nobody::default();
        job.token_of(Some(&nobody)).await.unwrap_err().code()
    };
    // CVE-2025-66506 and following: a redirect is not followed, and what is read has a bound.
    let elsewhere = Issuer::start(Odd::default()).await;
    let target = elsewhere
        .fake
        .url
        .join("/auth/.well-known/openid-configuration")
        .unwrap();
    let redirect =
        Fake::start(move |_, _| (StatusCode::FOUND, [("location", target.to_string())]).into_response()).await;
    assert_eq!(at(&redirect).await, "service-refused");
    assert_eq!(elsewhere.fake.asked(), 0);
    assert_eq!(
        at(&Fake::start(|_, _| "0".repeat(100_000).into_response()).await).await,
        "service-answer-too-large"
    );
    assert_eq!(
        at(&Fake::start(|_, _| "<html>".into_response()).await).await,
        "oidc-issuer-unusable"
    );
    assert_eq!(at(&Fake::start(|_, _| hang()).await).await, "service-timeout");
    let mut clear = Job::new(&[]);
    clear.options.issuer = Some(Url::parse("http://issuer.acme.test/auth").unwrap());
    let nobody = Nobody::default();
    assert_eq!(
        clear.token_of(Some(&nobody)).await.unwrap_err().code(),
        "oidc-issuer-unusable"
    );
}

/// Somebody who reads and does nothing.
#[derive(Default)]
struct Nobody(Mutex<Vec<String>>);

impl Person for Nobody {
    fn browse(&self, _: &Url) -> bool {
        false
    }

    fn tell(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[tokio::test]
async fn nobody_is_waited_for_without_end() {
    let issuer = Issuer::start(Odd::default()).await;
    let mut job = issuer.job(None);
    job.options.patience = Duration::from_millis(100);
    let nobody = Nobody::default();
    assert_eq!(
        job.token_of(Some(&nobody)).await.unwrap_err().code(),
        "oidc-nobody-came"
    );
    // And where nobody can be asked, nobody is.
    assert_eq!(job.code().await, "token-not-found");
    job.options.flow = Some(Flow::Token);
    assert_eq!(job.token_of(Some(&nobody)).await.unwrap_err().code(), "token-not-found");
    let redirect = |text: &str| {
        let mut job = issuer.job(None);
        job.options.redirect = Some(Url::parse(text).unwrap());
        job
    };
    for address in ["https://localhost:1/cb", "http://acme.test/cb"] {
        let error = redirect(address).token_of(Some(&nobody)).await.unwrap_err();
        assert_eq!(error.code(), "oidc-redirect");
    }
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://127.0.0.1:{}/cb", taken.local_addr().unwrap().port());
    let error = redirect(&address).token_of(Some(&nobody)).await.unwrap_err();
    assert_eq!(error.code(), "oidc-listen");
    drop(taken);
    let somebody = Somebody::new(&issuer, |_| {});
    redirect(&address).token_of(Some(&somebody)).await.unwrap();
}

#[tokio::test]
async fn a_person_logs_in_by_a_code() {
    let issuer = Issuer::start(Odd {
        pending: vec!["authorization_pending", "authorization_pending"],
        ..Odd::default()
    })
    .await;
    let nobody = Nobody::default();
    let token = issuer.job(Some(Flow::Device)).token_of(Some(&nobody)).await.unwrap();
    assert_eq!(token.claims().subject(), "job");
    let told = nobody.0.lock().unwrap()[0].clone();
    assert!(told.contains("WDJB-MJHT") && told.contains("/activate"), "{told}");
    for (pending, code) in [
        ("access_denied", "oidc-denied"),
        ("expired_token", "oidc-code-expired"),
        ("server_error\u{1b}[2J", "oidc-denied"),
    ] {
        let issuer = Issuer::start(Odd {
            pending: vec![pending],
            ..Odd::default()
        })
        .await;
        let error = issuer
            .job(Some(Flow::Device))
            .token_of(Some(&nobody))
            .await
            .unwrap_err();
        assert_eq!(error.code(), code);
        assert!(!error.to_string().contains('\u{1b}'));
    }
    let without = Issuer::start(Odd {
        document: Some(|document| document["device_authorization_endpoint"] = Value::Null),
        ..Odd::default()
    })
    .await;
    let error = without
        .job(Some(Flow::Device))
        .token_of(Some(&nobody))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "oidc-issuer-unusable");
    for (claims, code) in [
        (
            (|claims| claims["aud"] = json!("other")) as fn(&mut Value),
            "token-audience",
        ),
        (
            |claims| claims["iss"] = json!("https://other.test"),
            "oidc-issuer-mismatch",
        ),
    ] {
        let issuer = Issuer::start(Odd {
            claims: Some(claims),
            ..Odd::default()
        })
        .await;
        let error = issuer
            .job(Some(Flow::Device))
            .token_of(Some(&nobody))
            .await
            .unwrap_err();
        assert_eq!(error.code(), code);
    }
}

#[tokio::test]
async fn a_program_asks_with_its_own_secret() {
    let folder = tempfile::tempdir().unwrap();
    for document in [
        None,
        Some(
            (|document| document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]))
                as fn(&mut Value),
        ),
    ] {
        let issuer = Issuer::start(Odd {
            document,
            ..Odd::default()
        })
        .await;
        assert_eq!(
            issuer
                .program(&folder, SECRET)
                .token()
                .await
                .unwrap()
                .claims()
                .subject(),
            "job"
        );
        assert_eq!(issuer.program(&folder, "wrong").code().await, "oidc-denied");
    }
    let issuer = Issuer::start(Odd::default()).await;
    assert_eq!(
        issuer.job(Some(Flow::ClientCredentials)).code().await,
        "oidc-no-client-secret"
    );
    let answers: [(Answer, &str); 6] = [
        (
            || (StatusCode::INTERNAL_SERVER_ERROR, SECRET).into_response(),
            "service-refused",
        ),
        (
            || (StatusCode::FOUND, [("location", "/x")]).into_response(),
            "service-refused",
        ),
        (|| SECRET.into_response(), "token-answer"),
        (|| r#"{"access_token":"a"}"#.into_response(), "token-answer"),
        (|| r#"{"id_token":"a"}"#.into_response(), "token-malformed"),
        (hang, "service-timeout"),
    ];
    for (answer, code) in answers {
        let issuer = Issuer::start(Odd {
            token: Some(answer),
            ..Odd::default()
        })
        .await;
        assert_eq!(issuer.program(&folder, SECRET).code().await, code);
    }
}
