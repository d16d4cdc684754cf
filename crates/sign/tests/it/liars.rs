//! Services that lie, and services that fail in ways that only show when they are asked twice: nothing that does not
//! verify is handed out, whatever path it was made on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use der::{Decode as _, Encode as _};
use proofmark_evidence::encoding::{base64_encode, pem_decode_all, pem_encode};
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_sign::{KeylessSession, Options, SignError, Signer, Timing};
use proofmark_trust_root::{Service, ServiceKind, SigningConfig};
use proofmark_types::UnixTime;
use proofmark_verify::TrustRoot;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SubjectPublicKeyInfo,
};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{WORKFLOW, World, fixture_key, image, now};

type Lie = Box<dyn Fn(&mut Vec<u8>) + Send + Sync>;

/// Before a real service: what it answers goes through a lie.
#[derive(Clone)]
pub(crate) struct Before {
    pub(crate) url: Url,
    real: Url,
    lie: Arc<Mutex<Lie>>,
    /// How many answers are lost after the real service was asked.
    pub(crate) lose: Arc<AtomicUsize>,
    pub(crate) asked: Arc<AtomicUsize>,
}

async fn forward(State(before): State<Before>, uri: Uri, headers: http::HeaderMap, body: Bytes) -> Response {
    before.asked.fetch_add(1, Ordering::Relaxed);
    let url = before.real.join(uri.path()).unwrap();
    let client = reqwest::Client::new();
    let mut request = match body.is_empty() {
        true => client.get(url),
        false => client.post(url).body(body),
    };
    for name in ["content-type", "authorization"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = answer.bytes().await.unwrap().to_vec();
    let lost = before
        .lose
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if lost.is_ok() {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    (before.lie.lock().unwrap())(&mut body);
    let kind = headers.get("content-type").cloned();
    let mut response = (status, body).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert("content-type", kind);
    }
    response
}

impl Before {
    pub(crate) async fn start(real: &Url) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let before = Self {
            url: Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap(),
            real: real.clone(),
            lie: Arc::new(Mutex::new(Box::new(|_| {}))),
            lose: Arc::default(),
            asked: Arc::default(),
        };
        let app = Router::new().fallback(forward).with_state(before.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        before
    }

    fn lie(&self, lie: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) {
        *self.lie.lock().unwrap() = Box::new(lie);
    }
}

/// The same services, each behind something that may lie.
struct Doubtful {
    world: World,
    authority: Before,
    log: Before,
    clock: Before,
    config: SigningConfig,
}

impl Doubtful {
    async fn start() -> Self {
        let world = World::start().await;
        let authority = Before::start(&world.config.certificate_authority(now()).unwrap().url).await;
        let log = Before::start(&world.config.logs(&[2], now()).unwrap()[0].url).await;
        let real = &world.config.timestamp_authorities(now()).unwrap()[0].url;
        let clock = Before::start(real).await;
        let service = |url: Url, version| Service::new(url, version, UnixTime::EPOCH, "acme");
        let config = SigningConfig::empty()
            .with(ServiceKind::Authority, service(authority.url.clone(), 1))
            .with(ServiceKind::Log, service(log.url.clone(), 2))
            .with(
                ServiceKind::TimestampAuthority,
                service(clock.url.join(real.path()).unwrap(), 1),
            );
        Self {
            world,
            authority,
            log,
            clock,
            config,
        }
    }

    fn options(&self) -> Options {
        Options {
            timing: Timing {
                attempts: 3,
                pause: std::time::Duration::from_millis(5),
                ..Timing::default()
            },
            ..self.world.options()
        }
    }

    async fn keyless(&self) -> Result<Signer, SignError> {
        let session = KeylessSession::begin(&self.config, self.world.ci_token(), self.options()).await?;
        Ok(Signer::Keyless(session))
    }

    fn key(&self) -> Signer {
        Signer::logged_key(fixture_key("p256"), &self.config, self.options()).unwrap()
    }
}

fn statement() -> Statement {
    let kind = PredicateType::resolve("custom").unwrap();
    Statement::attestation("127.0.0.1/app", &image(), kind, json!({"a": 1}))
}

fn reason(error: SignError) -> &'static str {
    match error {
        SignError::NotVerified { code, .. } => code,
        other => other.code(),
    }
}

/// What each way of signing says; all ways must refuse.
async fn bundle_reasons(signer: &Signer) -> [&'static str; 2] {
    let statement = signer.sign_statement(&statement()).await.unwrap_err();
    let file = signer.sign_blob(b"a file").await.unwrap_err();
    [reason(statement), reason(file)]
}

async fn legacy_reasons(signer: &Signer) -> [&'static str; 2] {
    let payload = Payload::new("127.0.0.1/app", &image(), BTreeMap::new());
    let signature = signer.sign_payload(&payload).await.unwrap_err();
    let attestation = signer.sign_legacy_attestation(&statement()).await.unwrap_err();
    [reason(signature), reason(attestation)]
}

fn edited(path: &'static str, value: Value) -> impl Fn(&mut Vec<u8>) {
    move |body| {
        let Ok(mut document) = serde_json::from_slice::<Value>(body) else {
            return;
        };
        if let Some(place) = document.pointer_mut(path) {
            *place = value.clone();
        }
        *body = document.to_string().into_bytes();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lies_is_named_and_nothing_is_handed_out() {
    let world = Doubtful::start().await;
    // A second entry, so that a proof has a hash in it.
    world.key().sign_statement(&statement()).await.unwrap();
    let hash = || json!("q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=");
    for signer in [world.keyless().await.unwrap(), world.key()] {
        for (path, value, code) in [
            ("/logId/keyId", hash(), "log-not-trusted"),
            ("/logIndex", json!("7"), "inclusion-proof-invalid"),
            ("/canonicalizedBody", json!("e30="), "log-entry-other"),
            ("/inclusionProof/hashes/0", hash(), "inclusion-proof-invalid"),
            (
                "/inclusionProof/checkpoint/envelope",
                json!("x"),
                "checkpoint-malformed",
            ),
            ("/inclusionProof", Value::Null, "log-answer"),
        ] {
            world.log.lie(edited(path, value));
            assert_eq!(bundle_reasons(&signer).await, [code; 2], "{path}");
        }
        world.log.lie(|body| {
            let text = String::from_utf8(body.clone()).unwrap();
            // The last characters of the checkpoint's signature.
            let end = text.find("\\n\"").unwrap();
            let mut changed = text.into_bytes();
            changed[end - 6] = if changed[end - 6] == b'A' { b'B' } else { b'A' };
            *body = changed;
        });
        let [statement, file] = bundle_reasons(&signer).await;
        assert!(
            statement.starts_with("checkpoint-") && file == statement,
            "{statement} {file}"
        );
        world.log.lie(|_| {});
        signer.sign_statement(&self::statement()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_lies_is_named_and_nothing_is_handed_out() {
    let world = Doubtful::start().await;
    let signers = [world.keyless().await.unwrap(), world.key()];
    // An answer to another request: its nonce and imprint are not ours.
    let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let first = Arc::clone(&kept);
    world.clock.lie(move |body| {
        let mut kept = first.lock().unwrap();
        *body = kept.get_or_insert_with(|| body.clone()).clone();
    });
    signers[0].sign_statement(&statement()).await.unwrap();
    for signer in &signers {
        assert_eq!(bundle_reasons(signer).await, ["timestamp-answer"; 2]);
        assert_eq!(legacy_reasons(signer).await, ["timestamp-answer"; 2]);
    }
    // The right time under a wrong signature.
    world.clock.lie(|body| {
        if let Some(last) = body.last_mut() {
            *last ^= 1;
        }
    });
    for signer in &signers {
        for code in [bundle_reasons(signer).await, legacy_reasons(signer).await].concat() {
            assert!(code.starts_with("timestamp-"), "{code}");
        }
    }
    world.clock.lie(|body| body.clear());
    for signer in &signers {
        assert_eq!(bundle_reasons(signer).await, ["timestamp-answer"; 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_lies_is_named() {
    let world = Doubtful::start().await;
    let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let first = Arc::clone(&kept);
    world.authority.lie(move |body| {
        let mut kept = first.lock().unwrap();
        *body = kept.get_or_insert_with(|| body.clone()).clone();
    });
    world.keyless().await.unwrap();
    // The certificate of an earlier session, on another key.
    let error = world.keyless().await.unwrap_err();
    assert_eq!(error.code(), "authority-answer");
    assert!(error.to_string().contains("another key"), "{error}");
    // A byte of its signature.
    world.authority.lie(|body| {
        let mut document: Value = serde_json::from_slice(body).unwrap();
        let leaf = &mut document["signedCertificateEmbeddedSct"]["chain"]["certificates"][0];
        let text = leaf.as_str().unwrap().replace("-----END", "#");
        let at = text.find('#').unwrap() - 12;
        let changed = if &text[at..=at] == "A" { "B" } else { "A" };
        *leaf = json!(format!("{}{changed}{}", &text[..at], &text[at + 1..]).replace('#', "-----END"));
        *body = document.to_string().into_bytes();
    });
    let signer = world.keyless().await.unwrap();
    for code in [bundle_reasons(&signer).await, legacy_reasons(&signer).await].concat() {
        assert!(code.starts_with("certificate-"), "{code}");
    }
}

/// An authority that the trust root knows, and that keeps its certificates from the certificate transparency log: what it
/// does for us it could do for anyone unseen.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_publishes_nothing_is_named() {
    let world = Doubtful::start().await;
    let hidden = Hidden::new();
    let path = world.world.folder.path().join("trust/trusted_root.json");
    let mut root: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    root["certificateAuthorities"].as_array_mut().unwrap().push(json!({
        "subject": {"organization": "hidden", "commonName": "hidden"}, "uri": "https://hidden.test",
        "certChain": {"certificates": [{"rawBytes": base64_encode(hidden.issuer.der())}]},
        "validFor": {"start": "2020-01-01T00:00:00Z"},
    }));
    let parsed = |root: &Value| Arc::new(TrustRoot::parse(root.to_string().as_bytes()).unwrap());
    let begin = async |root: Arc<TrustRoot>| {
        let options = Options {
            trust_root: Some(root),
            ..world.options()
        };
        let session = KeylessSession::begin(&world.config, world.world.ci_token(), options);
        Signer::Keyless(session.await.unwrap())
    };
    let honest = begin(parsed(&root)).await;
    honest.sign_statement(&statement()).await.unwrap();
    world.authority.lie(move |body| hidden.answer(body));
    let signer = begin(parsed(&root)).await;
    assert_eq!(bundle_reasons(&signer).await, ["sct-missing"; 2]);
    assert_eq!(legacy_reasons(&signer).await, ["sct-missing"; 2]);
    // Where no such logs are known none is wanted.
    root["ctlogs"] = json!([]);
    let signer = begin(parsed(&root)).await;
    signer.sign_statement(&statement()).await.unwrap();
}

/// An authority that answers for another one, without certificate timestamps.
struct Hidden {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Hidden {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    /// The same key, certified by this one.
    fn answer(&self, body: &mut Vec<u8>) {
        let mut document: Value = serde_json::from_slice(body).unwrap();
        let chain = &mut document["signedCertificateEmbeddedSct"]["chain"]["certificates"];
        let leaf = pem_decode_all("CERTIFICATE", chain[0].as_str().unwrap()).unwrap();
        let leaf = x509_cert::Certificate::from_der(&leaf[0]).unwrap();
        let key = leaf.tbs_certificate.subject_public_key_info.to_der().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(WORKFLOW.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let issuer = b"https://issuer.test".to_vec();
        let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 1], issuer);
        params.custom_extensions.push(extension);
        let key = SubjectPublicKeyInfo::from_der(&key).unwrap();
        let certified = params.signed_by(&key, &self.issuer).unwrap();
        *chain = json!([
            pem_encode("CERTIFICATE", certified.der()),
            pem_encode("CERTIFICATE", self.issuer.der())
        ]);
        *body = document.to_string().into_bytes();
    }
}

/// cosign #4711: a write whose answer is lost is written again, and one usable entry is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_ends_with_one_usable_entry() {
    let world = Doubtful::start().await;
    world.log.lose.store(2, Ordering::Relaxed);
    let bundle = world
        .keyless()
        .await
        .unwrap()
        .sign_statement(&statement())
        .await
        .unwrap();
    let [entry] = bundle.material.tlog_entries.as_slice() else {
        panic!("{bundle:?}")
    };
    assert_eq!((entry.log_index, world.log.asked.load(Ordering::Relaxed)), (0, 3));
    // The next entry is the second.
    let next = world.key().sign_statement(&statement()).await.unwrap();
    assert_eq!(next.material.tlog_entries[0].log_index, 1);
    // Lost each time, the failure says that nothing was decided; the same again then succeeds.
    let signer = Signer::logged_key(fixture_key("rsa2048"), &world.config, world.options()).unwrap();
    world.log.lose.store(3, Ordering::Relaxed);
    let error = signer.sign_statement(&statement()).await.unwrap_err();
    assert_eq!((error.code(), error.is_unreachable()), ("service-refused", true));
    let bundle = signer.sign_statement(&statement()).await.unwrap();
    assert_eq!(bundle.material.tlog_entries[0].log_index, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_about_nothing_is_not_signed() {
    let world = Doubtful::start().await;
    let mut about_nothing = statement();
    about_nothing.subjects.clear();
    let signer = world.key();
    let error = signer.sign_statement(&about_nothing).await.unwrap_err();
    assert_eq!(error.code(), "statement-without-subject");
    let error = signer.sign_legacy_attestation(&about_nothing).await.unwrap_err();
    assert_eq!(error.code(), "statement-without-subject");
    assert_eq!(world.log.asked.load(Ordering::Relaxed), 0);
}
