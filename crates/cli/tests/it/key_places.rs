//! Keys that are not in files, through the binary: addresses and tokens.

use std::fs;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use proofmark_evidence::encoding::{pem_decode_all, pem_encode};
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::https::HttpsServer;
use proofmark_testkit::images::debian_like;
use proofmark_testkit::kubernetes::{KubernetesApi, TOKEN, write_kubeconfig};
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

/// A pair in a Kubernetes secret: made, signed with, checked with, and named in a policy; and each way in which it is not to
/// be had.
#[tokio::test(flavor = "multi_thread")]
async fn images_are_signed_with_a_key_in_a_cluster() {
    let api = KubernetesApi::start().await;
    let registry = Registry::start().await;
    let image = registry.push(&debian_like(), "1.0").await;
    let home = Sandbox::new().with("COSIGN_PASSWORD", "a password");
    let kubeconfig = home.path().join("kubeconfig");
    api.write_kubeconfig(&kubeconfig);
    let home = home.with("KUBECONFIG", &kubeconfig.display().to_string());
    run(&home, ["generate-key-pair", "k8s://team/release"]).expect_success();
    assert!(home.path().join("cosign.pub").exists() && !home.path().join("cosign.key").exists());
    let kept = api.secret("team/release").unwrap();
    // Never replaced.
    let again = ["generate-key-pair", "--yes", "k8s://team/release"];
    fails(&run(&home, again), 2, "key-use-refused");
    assert_eq!(api.secret("team/release").unwrap(), kept);
    run(
        &home,
        ["generate-key-pair", "--output-key-prefix", "other", "k8s://team/other"],
    )
    .expect_success();
    // The password is in the secret: the one of the environment is not it, and nobody is asked.
    let home = home.with("COSIGN_PASSWORD", "another");
    run(&home, ["sign", "--key", "k8s://team/release", &image]).expect_success();
    let verify = |key: &str| run(&home, ["verify", "--key", key, "--insecure-ignore-tlog", &image]);
    verify("k8s://team/release").expect_success();
    verify("cosign.pub").expect_success();
    for other in ["k8s://team/other", "other.pub"] {
        fails(&verify(other), 12, "no-acceptable-signature");
    }
    let public = run(&home, ["public-key", "--key", "k8s://team/release"]);
    let file = fs::read_to_string(home.path().join("cosign.pub")).unwrap();
    assert_eq!(public.expect_success().stdout.trim_end(), file.trim_end());
    for (key, exit, code) in [
        ("k8s://team/absent", 2, "key-use-refused"),
        ("k8s://team/broken", 1, "key-unreachable"),
        ("k8s://team/huge", 2, "key-answer"),
    ] {
        fails(&verify(key), exit, code);
        fails(&run(&home, ["sign", "--key", key, &image]), exit, code);
    }
    // Who asks, and whom.
    let here = format!("https://{}", api.server.address);
    write_kubeconfig(&kubeconfig, &here, "a stranger's", &api.server.certificate);
    fails(&verify("k8s://team/release"), 2, "key-use-refused");
    let stranger = HttpsServer::start(Router::new()).await;
    write_kubeconfig(&kubeconfig, &here, TOKEN, &stranger.certificate);
    let outcome = verify("k8s://team/release");
    assert!(!fails(&outcome, 1, "key-unreachable").stderr.contains(TOKEN));
    fs::remove_file(&kubeconfig).unwrap();
    fails(&verify("k8s://team/release"), 2, "key-cluster-unknown");
}

/// PKCS #8 under a password, as openssl makes it, in every form that is read; and what is not.
#[test]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
fn encrypted_pkcs8_keys_of_openssl_are_taken_over() {
    let Some(openssl) = OPENSSL.or_skip() else { return };
    let home = Sandbox::new().with("COSIGN_PASSWORD", "of the key");
    let openssl = |words: &str| {
        home.run(&openssl, words.split_whitespace()).expect_success();
    };
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out plain.pem");
    openssl("pkey -in plain.pem -pubout -out expected.pub");
    let expected = fs::read_to_string(home.path().join("expected.pub")).unwrap();
    write(home.path(), "password", "of the key");
    let make = |how: &str| {
        openssl(&format!(
            "pkcs8 -topk8 -in plain.pem -out sealed.pem -passout file:password {how}"
        ))
    };
    let import = |home: &Sandbox| {
        let words = [
            "import-key-pair",
            "--key",
            "sealed.pem",
            "--output-key-prefix",
            "taken",
            "-y",
        ];
        run(home, words)
    };
    for how in [
        "",
        "-v2 aes-128-cbc",
        "-v2 aes-192-cbc -v2prf hmacWithSHA512",
        "-v2 aes-256-cbc -v2prf hmacWithSHA1 -iter 100000",
        "-v2 aes256 -v2prf hmacWithSHA384",
        "-scrypt",
        "-scrypt -scrypt_N 16384 -scrypt_r 4 -scrypt_p 2",
    ] {
        println!("{how}");
        make(how);
        import(&home).expect_success();
        let public = fs::read_to_string(home.path().join("taken.pub")).unwrap();
        assert_eq!(public.trim_end(), expected.trim_end());
        fs::remove_file(home.path().join("taken.key")).unwrap();
        let file = home.path().join("sealed.pem").display().to_string();
        let wrong = Sandbox::new().with("COSIGN_PASSWORD", "of another");
        fails(
            &run(&wrong, ["import-key-pair", "--key", &file]),
            2,
            "key-password-wrong",
        );
        fails(
            &run(&Sandbox::new(), ["import-key-pair", "--key", &file]),
            2,
            "password-missing",
        );
    }
    for (how, said) in [
        ("-v2 aes-256-cbc -iter 10000001", "PBKDF2 of 10000001 rounds"),
        (
            "-scrypt -scrypt_N 1024 -scrypt_r 1 -scrypt_p 17",
            "scrypt (N 1024, r 1, p 17)",
        ),
        ("-v2 des3", "cipher 1.2.840.113549.3.7"),
    ] {
        make(how);
        let refused = import(&home);
        let said_so = fails(&refused, 2, "key-encryption-unknown").stderr.contains(said);
        assert!(said_so, "{said}: {}", refused.stderr);
        assert!(!home.path().join("taken.key").exists());
    }
    // openssl makes none that takes so much memory: the block size is put up afterwards.
    make("-scrypt -scrypt_N 16384 -scrypt_r 8 -scrypt_p 1");
    let label = "ENCRYPTED PRIVATE KEY";
    let file = home.path().join("sealed.pem");
    let mut der = pem_decode_all(label, &fs::read_to_string(&file).unwrap())
        .unwrap()
        .remove(0);
    let costs = [2, 1, 8, 2, 1, 1];
    let at = der.windows(costs.len()).position(|window| window == costs).unwrap();
    der[at + 2] = 0x7f;
    fs::write(&file, pem_encode(label, &der)).unwrap();
    let refused = import(&home);
    assert!(
        fails(&refused, 2, "key-encryption-unknown").stderr.contains("r 127"),
        "{}",
        refused.stderr
    );
    // Damaged: it cannot be told from a wrong password, and is not taken.
    make("");
    let pem = fs::read_to_string(home.path().join("sealed.pem")).unwrap();
    let lines: Vec<&str> = pem.lines().collect();
    let (first, last) = (lines.first().unwrap(), lines.last().unwrap());
    write(home.path(), "sealed.pem", format!("{first}\n{}\n{last}\n", lines[1]));
    fails(&import(&home), 2, "key-malformed");
}
