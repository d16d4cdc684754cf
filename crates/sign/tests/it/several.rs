//! Several services: as many as the signing configuration asks for, others in place of those that fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::statement::Statement;
use proofmark_sign::{ClientIdentity, KeylessSession, Options, SignError, Signer, TimestampTls, Timing};
use proofmark_trust_root::{Selector, Service, ServiceKind, SigningConfig};
use proofmark_types::UnixTime;
use proofmark_verify::TrustRoot;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::world::{World, fixture_key, image, now};

/// Two trust domains of two operators, and a trust root that believes both.
pub(crate) struct Two {
    pub(crate) first: World,
    pub(crate) second: World,
    pub(crate) root: Value,
}

impl Two {
    pub(crate) async fn start() -> Self {
        let (first, second) = (World::start().await, World::start().await);
        let mut root: Value = serde_json::from_slice(&first.trust_root.to_json()).unwrap();
        let other: Value = serde_json::from_slice(&second.trust_root.to_json()).unwrap();
        for list in ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"] {
            let more = other[list].as_array().unwrap().clone();
            root[list].as_array_mut().unwrap().extend(more);
        }
        Self { first, second, root }
    }

    fn options(&self, warnings: &Arc<Mutex<Vec<String>>>) -> Options {
        let heard = Arc::clone(warnings);
        Options {
            trust_root: Some(Arc::new(TrustRoot::parse(self.root.to_string().as_bytes()).unwrap())),
            timing: Timing {
                attempts: 2,
                pause: Duration::from_millis(5),
                ..Timing::default()
            },
            warn: Arc::new(move |warning| heard.lock().unwrap().push(warning.to_string())),
            ..Options::default()
        }
    }

    /// Services of the kinds "log" and "timestamp authority" in this order of operators, and one authority.
    pub(crate) fn config(&self, of: &[Of], logs: Selector, clocks: Selector) -> SigningConfig {
        let mut config = SigningConfig::empty();
        for (place, of) in of.iter().enumerate().rev() {
            let operator = format!("operator-{place}");
            let service = |url: &Url, version| Service::new(url.clone(), version, UnixTime::EPOCH, &operator);
            let dead = Url::parse("http://127.0.0.1:1").unwrap();
            let (authority, log, clock) = match of {
                Of::Nobody => (dead.clone(), dead.clone(), dead),
                Of::First => addresses(&self.first),
                Of::Second => addresses(&self.second),
            };
            config = config
                .with(ServiceKind::Authority, service(&authority, 1))
                .with(ServiceKind::Log, service(&log, 2))
                .with(ServiceKind::TimestampAuthority, service(&clock, 1));
        }
        config.with_selectors(logs, clocks)
    }
}

fn addresses(world: &World) -> (Url, Url, Url) {
    (
        world.config.certificate_authority(now()).unwrap().url.clone(),
        world.config.logs(&[2], now()).unwrap()[0].url.clone(),
        world.config.timestamp_authorities(now()).unwrap()[0].url.clone(),
    )
}

#[derive(Clone, Copy)]
pub(crate) enum Of {
    Nobody,
    First,
    Second,
}

pub(crate) fn statement() -> Statement {
    let kind = PredicateType::resolve("custom").unwrap();
    Statement::attestation("127.0.0.1/app", &image(), kind, json!({"a": 1}))
}

/// How many entries and timestamps there are, and how many services were passed over.
async fn signed(two: &Two, config: &SigningConfig) -> Result<(usize, usize, usize), SignError> {
    let warnings = Arc::default();
    let options = two.options(&warnings);
    let session = KeylessSession::begin(config, two.first.ci_token(), options).await?;
    let bundle = Signer::Keyless(session).sign_statement(&statement()).await?;
    let material = &bundle.material;
    let logs: std::collections::BTreeSet<_> = material.tlog_entries.iter().map(|entry| &entry.log_id).collect();
    assert_eq!(logs.len(), material.tlog_entries.len());
    let passed = warnings.lock().unwrap().len();
    Ok((logs.len(), material.timestamps.len(), passed))
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_services_as_are_asked_for() {
    let two = Two::start().await;
    let both = [Of::First, Of::Second];
    for (logs, clocks, expected) in [
        (Selector::Any, Selector::Any, (1, 1, 0)),
        (Selector::All, Selector::Any, (2, 1, 0)),
        (Selector::Exact(2), Selector::Exact(1), (2, 1, 0)),
        (Selector::Exact(1), Selector::All, (1, 2, 0)),
    ] {
        let config = two.config(&both, logs, clocks);
        assert_eq!(signed(&two, &config).await.unwrap(), expected, "{logs:?} {clocks:?}");
    }
    let short = two.config(&both, Selector::Exact(3), Selector::Any);
    assert_eq!(
        signed(&two, &short).await.unwrap_err().code(),
        "signing-config-too-few-logs"
    );
    let short = two.config(&both, Selector::Any, Selector::Exact(3));
    let code = signed(&two, &short).await.unwrap_err().code();
    assert_eq!(code, "signing-config-too-few-timestamp-authorities");
}

/// The next operator is asked where one may stand for another, and it is said; where all must answer, none may be missing.
#[tokio::test(flavor = "multi_thread")]
async fn another_operator_stands_in_for_one_that_fails() {
    let two = Two::start().await;
    let one_dead = [Of::Nobody, Of::First];
    let any = two.config(&one_dead, Selector::Any, Selector::Any);
    // The authority, the log and the timestamp authority.
    assert_eq!(signed(&two, &any).await.unwrap(), (1, 1, 3));
    let spare = [Of::Nobody, Of::First, Of::Second];
    let exact = two.config(&spare, Selector::Exact(2), Selector::Exact(2));
    assert_eq!(signed(&two, &exact).await.unwrap(), (2, 2, 3));
    for (logs, clocks) in [
        (Selector::All, Selector::Any),
        (Selector::Any, Selector::All),
        (Selector::Exact(2), Selector::Any),
    ] {
        let config = two.config(&one_dead, logs, clocks);
        let error = signed(&two, &config).await.unwrap_err();
        assert_eq!(
            (error.code(), error.is_unreachable()),
            ("service-unreachable", true),
            "{logs:?}"
        );
    }
}

/// Two addresses of one log are one log.
#[tokio::test(flavor = "multi_thread")]
async fn one_log_under_two_names_is_one() {
    let two = Two::start().await;
    let twice = two.config(&[Of::First, Of::First], Selector::Exact(2), Selector::Any);
    let options = two.options(&Arc::default());
    let signer = Signer::logged_key(fixture_key("p256"), &twice, options).unwrap();
    let SignError::NotVerified { code, .. } = signer.sign_statement(&statement()).await.unwrap_err() else {
        panic!("another failure")
    };
    assert_eq!(code, "log-not-trusted");
}

/// A server that says this.
async fn saying(status: StatusCode, name: &'static str, value: String) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let app = Router::new().fallback(move || {
        let header = (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
        async move { (status, HeaderMap::from_iter([header])) }
    });
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_is_asked_for_is_kept_or_refused() {
    let two = Two::start().await;
    let sign = async |after: String, until: Option<u64>| {
        let log = saying(StatusCode::SERVICE_UNAVAILABLE, "retry-after", after).await;
        let (authority, _, clock) = addresses(&two.first);
        let service = |url: Url, version| Service::new(url, version, UnixTime::EPOCH, "acme");
        let config = SigningConfig::empty()
            .with(ServiceKind::Authority, service(authority, 1))
            .with(ServiceKind::Log, service(log, 2))
            .with(ServiceKind::TimestampAuthority, service(clock, 1));
        // The first look at the clock is before the certificate, the others after.
        let looks = AtomicU64::new(0);
        let options = Options {
            clock: Arc::new(move || {
                let late = until.filter(|_| looks.fetch_add(1, Ordering::Relaxed) > 0);
                now().plus(Duration::from_secs(late.unwrap_or(0)))
            }),
            ..two.options(&Arc::default())
        };
        let session = KeylessSession::begin(&config, two.first.ci_token(), options)
            .await
            .unwrap();
        let start = Instant::now();
        let error = Signer::Keyless(session).sign_statement(&statement()).await.unwrap_err();
        (error.code(), error.to_string(), start.elapsed())
    };
    let (code, _, took) = sign("1".to_owned(), None).await;
    assert!(
        code == "service-refused" && took >= Duration::from_secs(1),
        "{code} {took:?}"
    );
    let (code, text, took) = sign("600".to_owned(), None).await;
    assert!(code == "service-busy" && text.contains("600 s"), "{text}");
    assert!(took < Duration::from_secs(10));
    let (code, ..) = sign("Fri, 31 Dec 2100 23:59:59 GMT".to_owned(), None).await;
    assert_eq!(code, "service-busy");
    let (code, ..) = sign("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), None).await;
    assert_eq!(code, "service-refused");
    // Certificates live for ten minutes; this one has some seconds left.
    let (code, text, _) = sign("30".to_owned(), Some(590)).await;
    assert!(
        code == "certificate-outlived" && text.contains("fresh token"),
        "{code} {text}"
    );
}

/// In front of a timestamp authority: TLS that wants to know its clients.
struct Tls {
    url: Url,
    authority: String,
    identity: ClientIdentity,
    stranger: ClientIdentity,
}

impl Tls {
    async fn start(real: &Url) -> Self {
        let authority = issuer("tsa tls");
        let leaf = |names: &[&str], usage| {
            let key = KeyPair::generate().unwrap();
            let mut params =
                CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
            params.extended_key_usages = vec![usage];
            (params.signed_by(&key, &authority).unwrap(), key)
        };
        let (server, server_key) = leaf(&["tsa.acme.test"], ExtendedKeyUsagePurpose::ServerAuth);
        let (client, client_key) = leaf(&["client"], ExtendedKeyUsagePurpose::ClientAuth);
        let other = issuer("other");
        let key = KeyPair::generate().unwrap();
        let foreign = CertificateParams::new(vec!["client".to_owned()])
            .unwrap()
            .signed_by(&key, &other)
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![server.der().clone()],
                server_key.serialize_der().try_into().unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        url.set_path(real.path());
        let target = real.socket_addrs(|| None).unwrap()[0];
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(mut tls) = acceptor.accept(stream).await
                        && let Ok(mut plain) = TcpStream::connect(target).await
                    {
                        let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
                    }
                });
            }
        });
        let identity = |pem: String, key: &KeyPair| ClientIdentity {
            certificate: pem.into_bytes(),
            key: key.serialize_pem().into_bytes().into(),
        };
        Self {
            url,
            authority: authority.pem(),
            identity: identity(client.pem(), &client_key),
            stranger: identity(foreign.pem(), &key),
        }
    }
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// cosign's `--timestamp-client-cacert`, `--timestamp-client-cert`, `--timestamp-client-key`, `--timestamp-server-name`.
#[tokio::test(flavor = "multi_thread")]
async fn a_timestamp_authority_knows_its_clients() {
    let two = Two::start().await;
    let tls = Tls::start(&addresses(&two.first).2).await;
    let service = Service::new(tls.url.clone(), 1, UnixTime::EPOCH, "acme");
    let config = SigningConfig::empty().with(ServiceKind::TimestampAuthority, service);
    let sign = async |timestamp_tls: TimestampTls| {
        let options = Options {
            timestamp_tls,
            ..two.options(&Arc::default())
        };
        let signer = Signer::logged_key(fixture_key("p256"), &config, options).unwrap();
        let bundle = signer.sign_statement(&statement()).await?;
        Ok::<_, SignError>(bundle.material.timestamps.len())
    };
    let right = TimestampTls {
        authorities: Some(tls.authority.clone().into_bytes()),
        identity: Some(tls.identity.clone()),
        server_name: Some("tsa.acme.test".to_owned()),
    };
    assert_eq!(sign(right.clone()).await.unwrap(), 1);
    for wrong in [
        TimestampTls::default(),
        TimestampTls {
            identity: None,
            ..right.clone()
        },
        TimestampTls {
            identity: Some(tls.stranger.clone()),
            ..right.clone()
        },
        TimestampTls {
            authorities: None,
            ..right.clone()
        },
        TimestampTls {
            server_name: None,
            ..right.clone()
        },
        TimestampTls {
            server_name: Some("other.acme.test".to_owned()),
            ..right.clone()
        },
    ] {
        assert_eq!(sign(wrong).await.unwrap_err().code(), "service-unreachable");
    }
    let garbage = TimestampTls {
        identity: Some(ClientIdentity {
            certificate: b"x".to_vec(),
            key: b"y".to_vec().into(),
        }),
        ..right
    };
    assert_eq!(sign(garbage).await.unwrap_err().code(), "http-client");
}
