//! Requests and answers of the three services.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode, Encode};
use proofmark_trust_server::{Clock, Config, FolderError, InitError, Server, ServerError, init};
use serde_json::{Value, json};
use x509_cert::Certificate;

use crate::world::{CI, CI_IDENTITY, EMAIL, Key, World, check_entry, now, options};

fn certificates(answer: &Value) -> Vec<Certificate> {
    let chain = answer["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        .as_array()
        .expect("a chain");
    chain.iter().map(|pem| certificate(pem.as_str().unwrap())).collect()
}

fn certificate(pem: &str) -> Certificate {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Certificate::from_der(&STANDARD.decode(body).unwrap()).unwrap()
}

fn signed_by(certificate: &Certificate, issuer: &Certificate) {
    let key = issuer
        .tbs_certificate
        .subject_public_key_info
        .subject_public_key
        .raw_bytes();
    let tbs = certificate.tbs_certificate.to_der().unwrap();
    let signature = certificate.signature.raw_bytes();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
        .verify(&tbs, signature)
        .unwrap();
    assert_eq!(certificate.tbs_certificate.issuer, issuer.tbs_certificate.subject);
}

#[tokio::test]
async fn a_certificate_has_the_profile_of_fulcio() {
    let world = World::start().await;
    let token = world.dev.mint_ci(&CI, now()).unwrap();
    let key = Key::new();
    let (status, answer) = world
        .certificate(&token, &key, "repo:acme/app:ref:refs/heads/main")
        .await;
    assert_eq!(status, 200, "{answer}");
    let chain = certificates(&answer);
    let [leaf, intermediate, root] = chain.as_slice() else {
        panic!("three certificates")
    };
    signed_by(leaf, intermediate);
    signed_by(intermediate, root);
    signed_by(root, root);

    let tbs = &leaf.tbs_certificate;
    assert_eq!(tbs.subject_public_key_info.to_der().unwrap(), key.spki);
    assert!(tbs.subject.is_empty());
    let validity = tbs.validity;
    assert_eq!(
        validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration(),
        Duration::from_secs(600)
    );
    let extensions = tbs.extensions.as_ref().unwrap();
    let seen: Vec<(String, bool)> = extensions.iter().map(|e| (e.extn_id.to_string(), e.critical)).collect();
    let fulcio = |number: u32| (format!("1.3.6.1.4.1.57264.1.{number}"), false);
    let mut expected = vec![
        ("2.5.29.15".to_owned(), true),
        ("2.5.29.37".to_owned(), false),
        ("2.5.29.14".to_owned(), false),
        ("2.5.29.35".to_owned(), false),
        ("2.5.29.17".to_owned(), true),
    ];
    expected.extend([1, 2, 3, 4, 5, 6].map(fulcio));
    expected.extend((8..=22).chain([24]).map(fulcio));
    expected.push(("1.3.6.1.4.1.11129.2.4.2".to_owned(), false));
    assert_eq!(seen, expected);
    let value = |id: &str| {
        extensions
            .iter()
            .find(|e| e.extn_id.to_string() == id)
            .unwrap()
            .extn_value
            .as_bytes()
    };
    assert_eq!(value("2.5.29.17")[4..], *CI_IDENTITY.as_bytes());
    // The old ones are bare text, the later ones DER.
    assert_eq!(value("1.3.6.1.4.1.57264.1.5"), b"acme/app");
    assert_eq!(value("1.3.6.1.4.1.57264.1.20"), b"\x0c\x04push");
    let identifier = |c: &Certificate, id: &str| {
        let all = c.tbs_certificate.extensions.as_ref().unwrap();
        let value = all
            .iter()
            .find(|e| e.extn_id.to_string() == id)
            .unwrap()
            .extn_value
            .as_bytes()
            .to_vec();
        value[value.len() - 20..].to_vec()
    };
    assert_eq!(identifier(leaf, "2.5.29.35"), identifier(intermediate, "2.5.29.14"));
    check_sct(&world, leaf, intermediate);
    world.stop().await;
}

/// The SCT signs the certificate without it (RFC 6962 section 3.2).
fn check_sct(world: &World, leaf: &Certificate, issuer: &Certificate) {
    let mut tbs = leaf.tbs_certificate.clone();
    let list = tbs.extensions.as_mut().unwrap().pop().unwrap().extn_value;
    let list = der::asn1::OctetString::from_der(list.as_bytes()).unwrap();
    let sct = &list.as_bytes()[4..];
    let tbs = tbs.to_der().unwrap();
    let root: Value =
        serde_json::from_slice(&std::fs::read(world.directory().join("trusted_root.json")).unwrap()).unwrap();
    let spki = STANDARD
        .decode(root["ctlogs"][0]["publicKey"]["rawBytes"].as_str().unwrap())
        .unwrap();
    assert_eq!(sct[1..33], *digest(&SHA256, &spki).as_ref());
    let issuer_key = issuer.tbs_certificate.subject_public_key_info.to_der().unwrap();
    let mut signed = vec![0, 0];
    signed.extend_from_slice(&sct[33..41]);
    signed.extend_from_slice(&[0, 1]);
    signed.extend_from_slice(digest(&SHA256, &issuer_key).as_ref());
    signed.extend_from_slice(&u32::try_from(tbs.len()).unwrap().to_be_bytes()[1..]);
    signed.extend_from_slice(&tbs);
    signed.extend_from_slice(&sct[41..43]);
    assert_eq!(sct[43..45], [4, 3], "SHA-256 and ECDSA");
    let public = x509_cert::spki::SubjectPublicKeyInfoRef::from_der(&spki).unwrap();
    let public = public.subject_public_key.raw_bytes();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public)
        .verify(&signed, &sct[47..])
        .unwrap();
}

#[tokio::test]
async fn a_signing_request_and_a_bearer_token_are_taken_as_sigstore_python_sends_them() {
    let world = World::start().await;
    let token = world.dev.mint_email(EMAIL, now()).unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&pair).unwrap();
    let send = async |pem: String| {
        let body = json!({"certificateSigningRequest": STANDARD.encode(pem)});
        let request = world
            .http
            .post(format!("{}/api/v2/signingCert", world.origin))
            .bearer_auth(&token);
        let response = request
            .header("accept", "application/pem-certificate-chain")
            .body(body.to_string());
        let response = response.send().await.unwrap();
        let status = response.status().as_u16();
        (
            status,
            serde_json::from_slice::<Value>(&response.bytes().await.unwrap()).unwrap(),
        )
    };
    let pem = request.pem().unwrap();
    let (status, answer) = send(pem.clone()).await;
    assert_eq!(status, 200, "{answer}");
    let leaf = certificates(&answer).remove(0);
    let spki = leaf.tbs_certificate.subject_public_key_info.to_der().unwrap();
    assert_eq!(spki, rcgen::PublicKeyData::subject_public_key_info(&pair));

    // A request that is signed by another key than it carries.
    let mut der = request.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let broken = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        STANDARD.encode(der)
    );
    let (status, answer) = send(broken).await;
    assert_eq!((status, &answer["reason"]), (400, &json!("possession-not-proven")));
    let (status, answer) = send("nonsense".to_owned()).await;
    assert_eq!((status, &answer["reason"]), (400, &json!("csr-malformed")));
    world.stop().await;
}

#[tokio::test]
async fn requests_for_certificates_are_refused_with_a_class_and_an_id() {
    let world = World::start().await;
    let key = Key::new();
    let good = world.dev.mint_email(EMAIL, now()).unwrap();
    let reason = async |body: Value| refused(&world, body).await;
    // Sigstore's clients sign the address when there is one, others the subject; nothing else proves possession.
    let (status, _) = world.certificate(&good, &key, "development|alice@acme.test").await;
    assert_eq!(status, 200);
    assert_eq!(
        reason(key.request(&good, "mallory@acme.test")).await,
        "possession-not-proven"
    );
    let mut stolen = key.request(&good, EMAIL);
    stolen["publicKeyRequest"]["publicKey"]["content"] = json!(Key::new().pem());
    assert_eq!(reason(stolen).await, "possession-not-proven");
    assert_eq!(reason(key.request("", EMAIL)).await, "token-missing");
    assert_eq!(reason(key.request("a.b.c", EMAIL)).await, "token-malformed");
    let past = world
        .dev
        .mint_email(EMAIL, now().minus(Duration::from_secs(601)))
        .unwrap();
    assert_eq!(reason(key.request(&past, EMAIL)).await, "token-expired");
    let with = |claims: Value| world.dev.mint(claims.as_object().unwrap(), now()).unwrap();
    let email = world.dev.email_issuer();
    let base = json!({"iss": email, "sub": "1", "email": EMAIL, "email_verified": true});
    let alter = |claim: &str, value: Value| {
        let mut claims = base.clone();
        claims[claim] = value;
        with(claims)
    };
    assert_eq!(
        reason(key.request(&alter("aud", json!("other")), EMAIL)).await,
        "token-audience"
    );
    assert_eq!(
        reason(key.request(&alter("email_verified", json!(false)), EMAIL)).await,
        "token-email-not-verified"
    );
    assert_eq!(
        reason(key.request(&alter("iss", json!("https://evil.test")), EMAIL)).await,
        "token-issuer-unknown"
    );
    assert_eq!(
        reason(key.request(&alter("sub", json!("")), EMAIL)).await,
        "token-claim"
    );
    // GHSA-f83f-xpx7-ffpw.
    let began = Instant::now();
    assert_eq!(
        reason(key.request(&".".repeat(3_000_000), EMAIL)).await,
        "token-too-long"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    world.stop().await;
}

#[tokio::test]
async fn requests_without_a_proof_of_possession_are_refused() {
    let world = World::start().await;
    let key = Key::new();
    let good = world.dev.mint_email(EMAIL, now()).unwrap();
    let reason = async |body: Value| refused(&world, body).await;
    assert_eq!(
        reason(json!({"credentials": {"oidcIdentityToken": good}})).await,
        "request-kind"
    );
    let mut both = key.request(&good, EMAIL);
    both["certificateSigningRequest"] = json!("AAAA");
    assert_eq!(reason(both).await, "request-kind");
    let mut garbage = key.request(&good, EMAIL);
    garbage["publicKeyRequest"]["publicKey"]["content"] =
        json!("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----");
    assert_eq!(reason(garbage).await, "public-key-malformed");
    assert_eq!(reason(json!([])).await, "token-missing");
    assert_eq!(reason(json!("x")).await, "request-malformed");
    world.stop().await;
}

/// The reason class of a refusal, which has an id as well.
async fn refused(world: &World, body: Value) -> String {
    let (status, answer) = world.post("/api/v2/signingCert", &body).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["code"], json!(3));
    assert_eq!(answer["requestId"].as_str().unwrap().len(), 16);
    answer["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_entry_is_proven_and_a_repeated_one_answered_again() {
    let world = World::start().await;
    let (key, log) = (Key::new(), world.log_key());
    let request = key.entry(b"one");
    let (status, first) = world.post("/api/v2/log/entries", &request).await;
    assert_eq!(status, 201, "{first}");
    assert_eq!(
        (&first["integratedTime"], &first["inclusionPromise"]),
        (&json!("0"), &Value::Null)
    );
    assert_eq!(
        first["kindVersion"],
        json!({"kind": "hashedrekord", "version": "0.0.2"})
    );
    assert_eq!(check_entry(&first, &log).0, 0);
    for index in 1..5_u64 {
        let (_, entry) = world
            .post("/api/v2/log/entries", &key.entry(&index.to_be_bytes()))
            .await;
        assert_eq!(check_entry(&entry, &log).0, index);
    }
    let (status, again) = world.post("/api/v2/log/entries", &request).await;
    assert_eq!(status, 201);
    let (index, _, checkpoint) = check_entry(&again, &log);
    assert_eq!((index, checkpoint.unverified().size()), (0, 5));
    let (status, served) = world.get("/api/v2/checkpoint").await;
    assert_eq!((status, served), (200, checkpoint.encode().into_bytes()));
    let (status, bundle) = world.get("/api/v2/tile/entries/000.p/5").await;
    assert_eq!(status, 200);
    assert_eq!(proofmark_merkle::tile::parse_entries(&bundle).unwrap().len(), 5);
    for path in [
        "tile/entries/000.p/6",
        "tile/entries/000",
        "tile/0/../checkpoint",
        "tile/0/0",
        "tile/%2e%2e/x",
    ] {
        assert_eq!(world.get(&format!("/api/v2/{path}")).await.0, 404, "{path}");
    }
    world.stop().await;
}

#[tokio::test]
async fn refused_entries_leave_no_trace() {
    let world = World::start().await;
    let mut altered = Key::new().entry(b"one");
    altered["hashedRekordRequestV002"]["digest"] = json!(STANDARD.encode([7; 32]));
    let (status, answer) = world.post("/api/v2/log/entries", &altered).await;
    assert_eq!(
        (status, &answer["reason"], &answer["code"]),
        (400, &json!("entry-signature"), &json!(3))
    );
    let url = format!("{}/api/v2/log/entries", world.origin);
    let large = world
        .http
        .post(url)
        .body(vec![b' '; 4 * 1024 * 1024 + 1])
        .send()
        .await
        .unwrap();
    assert_eq!(large.status().as_u16(), 413);
    let checkpoint = String::from_utf8(world.get("/api/v2/checkpoint").await.1).unwrap();
    assert_eq!(checkpoint.lines().nth(1), Some("0"));
    world.stop().await;
}

#[tokio::test]
async fn services_that_are_not_here_say_so() {
    let world = World::start().await;
    for path in ["/api/v1/signingCert", "/api/v1/log/entries"] {
        let (status, answer) = world.post(path, &json!({})).await;
        assert_eq!((status, &answer["reason"]), (410, &json!("api-version-gone")));
    }
    assert_eq!(world.get("/").await.0, 404);
    assert_eq!(world.get("/healthz").await, (200, br#"{"status":"SERVING"}"#.to_vec()));
    let (_, bundle) = world.get("/api/v2/trustBundle").await;
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    assert_eq!(bundle["chains"][0]["certificates"].as_array().unwrap().len(), 2);
    for name in ["trusted_root.json", "signing_config.json", "trust_config.json"] {
        let (status, served) = world.get(&format!("/{name}")).await;
        assert_eq!(
            (status, served),
            (200, std::fs::read(world.directory().join(name)).unwrap())
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn timestamps_are_refused_with_their_reason() {
    let world = World::start().await;
    let send = async |media_type: &str, body: Vec<u8>| {
        let url = format!("{}/api/v1/timestamp", world.origin);
        let request = world.http.post(url).header("content-type", media_type).body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (status, kind, response.bytes().await.unwrap().to_vec())
    };
    let json = |text: &str| text.as_bytes().to_vec();
    let hash = STANDARD.encode([7; 32]);
    let good = json(&format!(
        r#"{{"artifactHash":"{hash}","hashAlgorithm":"sha256","certificates":true}}"#
    ));
    let (status, kind, reply) = send("application/json", good.clone()).await;
    assert_eq!((status, kind.as_str()), (200, "application/timestamp-reply"));
    assert_eq!(reply[4..9], [0x30, 0x03, 0x02, 0x01, 0x00], "granted");
    assert_eq!(send("text/plain", good).await.0, 415);
    let (status, _, answer) = send("application/timestamp-query", vec![0; 2000]).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((status, &answer["reason"]), (400, &json!("timestamp-request-too-long")));
    assert_eq!(world.get("/api/v1/timestamp/certchain").await.0, 200);
    world.stop().await;
}

/// timestamp-authority: a media type of many parts was split into all of them.
#[tokio::test]
async fn cve_2025_66564_a_media_type_of_many_parts() {
    let world = World::start().await;
    for (media_type, status) in [
        (format!("application/timestamp-query{}", ";".repeat(6_000)), 400),
        (";".repeat(6_000), 415),
    ] {
        let url = format!("{}/api/v1/timestamp", world.origin);
        let request = world.http.post(url).header("content-type", media_type).body(vec![1]);
        assert_eq!(request.send().await.unwrap().status().as_u16(), status);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_clock_that_went_back_issues_nothing() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let back = Arc::new(AtomicU64::new(0));
    let read = Arc::clone(&back);
    let clock = Clock::new(move || std::time::SystemTime::now() - Duration::from_secs(read.load(Ordering::Relaxed)));
    let world = World::with(Vec::new(), clock).await;
    let key = Key::new();
    let token = world.dev.mint_email(EMAIL, now()).unwrap();
    assert_eq!(world.certificate(&token, &key, EMAIL).await.0, 200);
    back.store(60, Ordering::Relaxed);
    let (status, answer) = world.certificate(&token, &key, EMAIL).await;
    assert_eq!((status, &answer["reason"]), (503, &json!("clock-went-back")));
    world.stop().await;
}

#[tokio::test]
async fn keys_are_private_and_never_overwritten() {
    let world = World::start().await;
    let directory = world.directory();
    for file in std::fs::read_dir(directory.join("keys")).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(
        std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let again = init(&directory, &options("http://127.0.0.1:1", Vec::new()));
    assert!(matches!(again, Err(InitError::Folder(FolderError::Exists { .. }))));
    // Without its configuration the folder is still not taken: the keys are there.
    std::fs::remove_file(directory.join("trust.yaml")).unwrap();
    let again = init(&directory, &options("http://127.0.0.1:1", Vec::new()));
    assert_eq!(again.unwrap_err().code(), "trust-folder-exists");
    world.stop().await;
}

#[tokio::test]
async fn a_second_server_on_one_folder_fails() {
    let world = World::start().await;
    let config = Config::new(world.directory(), "127.0.0.1:0".parse().unwrap());
    let second = Server::start(config.clone()).await;
    assert!(matches!(second, Err(ServerError::Folder(FolderError::Locked { .. }))));
    let folder = world.stop().await;
    let second = Server::start(config).await.expect("the folder was given back");
    second.stop().await;
    drop(folder);
}

#[tokio::test]
async fn an_origin_is_an_origin_and_the_development_issuer_must_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for origin in [
        "http://h.test/fulcio",
        "ftp://h.test",
        "http://h.test?x",
        "http://u@h.test",
        "mailto:x",
    ] {
        let made = init(&folder.path().join("x"), &options(origin, Vec::new()));
        assert!(matches!(made, Err(InitError::Origin { .. })), "{origin}");
    }
    // The issuer that vouches for anything is not for the world, neither from the start nor later.
    let public = init(
        &folder.path().join("x"),
        &options("https://trust.acme.test", Vec::new()),
    );
    assert_eq!(public.unwrap_err().code(), "trust-development-issuer-public");
    assert!(!folder.path().join("x").exists());
    let moved = folder.path().join("moved");
    init(&moved, &options("https://localhost:7", Vec::new())).unwrap();
    let file = moved.join("trust.yaml");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("https://localhost:7", "https://trust.acme.test");
    std::fs::write(&file, text).unwrap();
    let started = Server::start(Config::new(&moved, "127.0.0.1:0".parse().unwrap())).await;
    assert_eq!(started.unwrap_err().code(), "trust-development-issuer-public");
    let quiet = folder.path().join("quiet");
    let mut without = options("https://trust.acme.test", Vec::new());
    without.dev_issuer = false;
    init(&quiet, &without).unwrap();
    assert!(proofmark_trust_server::DevIssuer::open(&quiet).is_err());
    let server = Server::start(Config::new(&quiet, "127.0.0.1:0".parse().unwrap()))
        .await
        .unwrap();
    let url = format!("http://{}/insecure-development-issuer/ci/jwks", server.address());
    assert_eq!(reqwest::get(url).await.unwrap().status().as_u16(), 404);
    server.stop().await;
    let config = std::fs::read_to_string(quiet.join("signing_config.json")).unwrap();
    assert!(!config.contains("insecure"), "{config}");
}
