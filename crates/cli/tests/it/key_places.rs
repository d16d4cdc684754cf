//! Keys that are not in files, through the binary: addresses and tokens.

use std::fs;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::https::HttpsServer;
use proofmark_testkit::images::debian_like;
use proofmark_testkit::peers::{COSIGN3, OPENSSL, SOFTHSM, SOFTHSM_UTIL};

use crate::world::{Registry, fails, fixture_path, json, run, write};

#[tokio::test(flavor = "multi_thread")]
async fn public_keys_are_fetched_over_https_only() {
    let public = fs::read_to_string(fixture_path("cosign/keys/p256/cosign.pub")).unwrap();
    let private = fs::read_to_string(fixture_path("cosign/keys/p256/cosign.key")).unwrap();
    let key = public.clone();
    let server = HttpsServer::start(
        Router::new()
            .route("/cosign.pub", get(|| async move { key }))
            .route("/cosign.key", get(|| async move { private }))
            .route("/huge", get(|| async { "A".repeat(100_000) }))
            .route(
                "/moved",
                get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/cosign.pub")]) }),
            ),
    )
    .await;
    let home = Sandbox::new();
    let authority = write(home.path(), "authority.pem", &server.certificate);
    let home = home.with("SSL_CERT_FILE", &authority).with("COSIGN_PASSWORD", "x");
    let at = |path: &str| format!("https://{}/{path}", server.address);
    let read = |path: &str| run(&home, ["public-key", "--key", &at(path)]);
    assert_eq!(read("cosign.pub").expect_success().stdout.trim_end(), public.trim_end());
    fails(&read("cosign.key"), 2, "public-key-unusable");
    fails(&read("absent"), 2, "service-refused");
    fails(&read("moved"), 2, "service-refused");
    fails(&read("huge"), 2, "service-answer-too-large");
    let stranger = Sandbox::new();
    fails(
        &run(&stranger, ["public-key", "--key", &at("cosign.pub")]),
        1,
        "service-unreachable",
    );
    // Nothing is signed with what anyone can read.
    fails(
        &run(&home, ["import-key-pair", "--key", &at("cosign.pub")]),
        2,
        "key-public-only",
    );
    let plain = format!("http://{}/cosign.pub", server.address);
    let refused = run(&home, ["public-key", "--key", &plain]);
    assert!(
        refused.expect_code(2).stderr.contains("use https://"),
        "{}",
        refused.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn images_are_signed_with_a_token_and_checked_with_cosign() {
    let (Some(module), Some(tool), Some(openssl)) = (SOFTHSM.or_skip(), SOFTHSM_UTIL.or_skip(), OPENSSL.or_skip())
    else {
        return;
    };
    let home = Sandbox::new();
    fs::create_dir(home.path().join("tokens")).unwrap();
    let tokens = format!("directories.tokendir = {}\n", home.path().join("tokens").display());
    let configuration = write(home.path(), "softhsm2.conf", tokens);
    let module = module.display().to_string();
    let home = home
        .with("SOFTHSM2_CONF", &configuration)
        .with("COSIGN_PKCS11_MODULE_PATH", &module)
        .with("COSIGN_PKCS11_PIN", "1234-5678")
        // No PIN: it must not be tried as one.
        .with("COSIGN_PASSWORD", "a password");
    let init = [
        "--init-token",
        "--free",
        "--label",
        "team",
        "--so-pin",
        "officer",
        "--pin",
        "1234-5678",
    ];
    home.run(&tool, init).expect_success();
    let registry = Registry::start().await;
    let image = registry.push(&debian_like(), "1.0").await;
    for (label, id, make) in [
        ("p256", "01", ["EC", "ec_paramgen_curve:P-256"]),
        ("p384", "02", ["EC", "ec_paramgen_curve:P-384"]),
        ("rsa", "03", ["RSA", "rsa_keygen_bits:3072"]),
    ] {
        let [kind, option] = make;
        home.run(
            &openssl,
            ["genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", "key.pem"],
        )
        .expect_success();
        let import = [
            "--import",
            "key.pem",
            "--token",
            "team",
            "--label",
            label,
            "--id",
            id,
            "--pin",
            "1234-5678",
        ];
        home.run(&tool, import).expect_success();
        fs::remove_file(home.path().join("key.pem")).unwrap();
        let key = format!("pkcs11:token=team;object={label}");
        run(&home, ["sign", "--key", &key, &image]).expect_success();
        let by_token = ["verify", "--key", &key, "--insecure-ignore-tlog", &image];
        run(&home, by_token).expect_success();
        let public = format!("{label}.pub");
        run(&home, ["public-key", "--key", &key, "--outfile", &public]).expect_success();
        run(&home, ["verify", "--key", &public, "--insecure-ignore-tlog", &image]).expect_success();
    }
    fails(
        &run(&home, ["sign", "--key", "pkcs11:token=team;object=absent", &image]),
        2,
        "key-use-refused",
    );
    let wrong = "pkcs11:token=team;object=rsa?pin-value=0000";
    let outcome = run(&home, ["sign", "--key", wrong, &image]);
    assert!(!fails(&outcome, 2, "key-use-refused").stderr.contains("0000"));
    // Which key is which says the list.
    let slots = json(&home, ["pkcs11-tool", "list-tokens"]);
    let slot = slots
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["label"] == "team")
        .unwrap()["slot"]
        .to_string();
    let listed = json(&home, ["pkcs11-tool", "list-keys-uris", "--slot-id", &slot]);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    for key in listed.as_array().unwrap() {
        let uri = key["uri"].as_str().unwrap();
        let public = run(&home, ["public-key", "--key", uri]).expect_success().stdout.clone();
        let file = format!("{}.pub", key["label"].as_str().unwrap());
        assert_eq!(
            public.trim_end(),
            fs::read_to_string(home.path().join(file)).unwrap().trim_end()
        );
    }
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let fixed = [
        "verify",
        "--allow-http-registry=true",
        "--insecure-ignore-tlog=true",
        "--key",
    ];
    for key in ["p256.pub", "rsa.pub"] {
        home.run(&cosign, fixed.iter().chain(&[key, &image])).expect_success();
    }
}
