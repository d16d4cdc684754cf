//! Real clients: sigstore-python, cosign 3 and OpenSSL, from this server's documents alone.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::peers::{COSIGN3, OPENSSL, SIGSTORE_PYTHON};
use serde_json::{Value, json};

use crate::world::{CI, CI_IDENTITY, EMAIL, World, now};

const PROVENANCE: &str = r#"{
  "buildDefinition": {"buildType": "https://acme.test/build", "externalParameters": {}},
  "runDetails": {"builder": {"id": "https://acme.test/builder"}}
}"#;

/// A sandbox with an artifact in it, and the server's documents.
struct Bench {
    world: World,
    sandbox: Sandbox,
}

impl Bench {
    async fn start() -> Self {
        let (world, sandbox) = (World::start().await, Sandbox::new());
        std::fs::write(sandbox.path().join("artifact"), "an artifact\n").unwrap();
        std::fs::write(sandbox.path().join("predicate.json"), PROVENANCE).unwrap();
        Self { world, sandbox }
    }

    fn document(&self, name: &str) -> String {
        self.world.directory().join(name).display().to_string()
    }

    /// Runs a peer without blocking the server, which lives on the same runtime.
    async fn run(&self, program: &PathBuf, arguments: &[&str]) -> Outcome {
        tokio::task::block_in_place(|| self.sandbox.run(program, arguments))
    }

    async fn python(&self, python: &PathBuf, arguments: &[&str]) -> Outcome {
        let config = self.document("trust_config.json");
        let all = [&["-m", "sigstore", "--trust-config", &config], arguments].concat();
        self.run(python, &all).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigstore_python_signs_attests_and_verifies() {
    let Some(python) = SIGSTORE_PYTHON.or_skip() else {
        return;
    };
    let bench = Bench::start().await;
    let email = bench.world.dev.mint_email(EMAIL, now()).unwrap();
    let issuer = bench.world.dev.email_issuer();
    let common = ["--oidc-disable-ambient-providers", "--identity-token"];
    let sign = [&["sign"], &common[..], &[&email, "--bundle", "signed.json", "artifact"]].concat();
    bench.python(&python, &sign).await.expect_success();
    let verify = |bundle, identity, issuer| {
        let policy = ["--cert-identity", identity, "--cert-oidc-issuer", issuer];
        [&["verify", "identity", "--bundle", bundle], &policy[..], &["artifact"]].concat()
    };
    bench
        .python(&python, &verify("signed.json", EMAIL, &issuer))
        .await
        .expect_success();
    bench
        .python(&python, &verify("signed.json", "mallory@acme.test", &issuer))
        .await
        .expect_code(1);

    let ci = bench.world.dev.mint_ci(&CI, now()).unwrap();
    let kind = "https://slsa.dev/provenance/v1";
    let predicate = [
        "--predicate",
        "predicate.json",
        "--predicate-type",
        kind,
        "--bundle",
        "attested.json",
        "artifact",
    ];
    let attest = [&["attest"], &common[..], &[&ci], &predicate].concat();
    bench.python(&python, &attest).await.expect_success();
    let issuer = bench.world.dev.ci_issuer();
    bench
        .python(&python, &verify("attested.json", CI_IDENTITY, &issuer))
        .await
        .expect_success();
    std::fs::write(bench.sandbox.path().join("artifact"), "another artifact\n").unwrap();
    bench
        .python(&python, &verify("attested.json", CI_IDENTITY, &issuer))
        .await
        .expect_code(1);
    bench.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_signs_attests_and_verifies() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let bench = Bench::start().await;
    let token = bench.world.dev.mint_ci(&CI, now()).unwrap();
    let (root, config) = (
        bench.document("trusted_root.json"),
        bench.document("signing_config.json"),
    );
    let services = [
        "--signing-config",
        &config,
        "--trusted-root",
        &root,
        "--identity-token",
        &token,
        "--yes",
    ];
    let sign = [&["sign-blob", "artifact", "--bundle", "signed.json"], &services[..]].concat();
    bench.run(&cosign, &sign).await.expect_success();
    let issuer = bench.world.dev.ci_issuer();
    let policy = |identity| {
        [
            "--trusted-root",
            root.as_str(),
            "--certificate-identity",
            identity,
            "--certificate-oidc-issuer",
            issuer.as_str(),
        ]
    };
    let good = policy(CI_IDENTITY);
    let verify = [
        "verify-blob",
        "artifact",
        "--bundle",
        "signed.json",
        "--use-signed-timestamps",
    ];
    bench
        .run(&cosign, &[&verify[..], &good].concat())
        .await
        .expect_success();
    let foreign = policy("https://github.com/acme/other/.github/workflows/release.yml@refs/heads/main");
    let refused = bench.run(&cosign, &[&verify[..], &foreign].concat()).await;
    assert!(!refused.succeeded());

    let attest = [
        "attest-blob",
        "artifact",
        "--predicate",
        "predicate.json",
        "--type",
        "slsaprovenance1",
    ];
    let attest = [&attest[..], &["--bundle", "attested.json"], &services].concat();
    bench.run(&cosign, &attest).await.expect_success();
    let verify = [
        "verify-blob-attestation",
        "artifact",
        "--type",
        "slsaprovenance1",
        "--bundle",
        "attested.json",
    ];
    bench
        .run(&cosign, &[&verify[..], &good].concat())
        .await
        .expect_success();
    bench.world.stop().await;
}

/// What one peer signs, the other verifies.
#[tokio::test(flavor = "multi_thread")]
async fn peers_verify_each_other() {
    let (Some(python), Some(cosign)) = (SIGSTORE_PYTHON.or_skip(), COSIGN3.or_skip()) else {
        return;
    };
    let bench = Bench::start().await;
    let token = bench.world.dev.mint_email(EMAIL, now()).unwrap();
    let issuer = bench.world.dev.email_issuer();
    let root = bench.document("trusted_root.json");
    let sign = [
        "sign",
        "--oidc-disable-ambient-providers",
        "--identity-token",
        &token,
        "--bundle",
        "python.json",
        "artifact",
    ];
    bench.python(&python, &sign).await.expect_success();
    let verify = [
        "verify-blob",
        "artifact",
        "--bundle",
        "python.json",
        "--trusted-root",
        &root,
    ];
    let policy = ["--certificate-identity", EMAIL, "--certificate-oidc-issuer", &issuer];
    bench
        .run(&cosign, &[&verify[..], &policy].concat())
        .await
        .expect_success();

    let config = bench.document("signing_config.json");
    let sign = [
        "sign-blob",
        "artifact",
        "--bundle",
        "cosign.json",
        "--signing-config",
        &config,
    ];
    let rest = ["--trusted-root", &root, "--identity-token", &token, "--yes"];
    bench.run(&cosign, &[&sign[..], &rest].concat()).await.expect_success();
    let policy = ["--cert-identity", EMAIL, "--cert-oidc-issuer", &issuer, "artifact"];
    let verify = [&["verify", "identity", "--bundle", "cosign.json"], &policy[..]].concat();
    bench.python(&python, &verify).await.expect_success();
    bench.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_verifies_timestamps_of_each_hash() {
    let Some(openssl) = OPENSSL.or_skip() else { return };
    let bench = Bench::start().await;
    let chain = bench.document("tsa-chain.pem");
    let path = |name: &str| bench.sandbox.path().join(name);
    for hash in ["-sha256", "-sha384", "-sha512"] {
        for extra in [
            &["-cert"][..],
            &[],
            &["-no_nonce"],
            &["-tspolicy", "1.3.6.1.4.1.57264.2", "-cert"],
        ] {
            let query = [
                &["ts", "-query", "-data", "artifact", "-out", "query"],
                &[hash][..],
                extra,
            ]
            .concat();
            bench.run(&openssl, &query).await.expect_success();
            let url = format!("{}/api/v1/timestamp", bench.world.origin);
            let request = bench
                .world
                .http
                .post(url)
                .header("content-type", "application/timestamp-query");
            let reply = request
                .body(std::fs::read(path("query")).unwrap())
                .send()
                .await
                .unwrap();
            assert_eq!(reply.status().as_u16(), 200);
            std::fs::write(path("reply"), reply.bytes().await.unwrap()).unwrap();
            // Against the query, so that the nonce and the policy are compared; and against the data.
            let trust = ["-in", "reply", "-CAfile", chain.as_str(), "-untrusted", chain.as_str()];
            let by_query = [&["ts", "-verify", "-queryfile", "query"], &trust[..]].concat();
            bench.run(&openssl, &by_query).await.expect_success();
            let by_data = [&["ts", "-verify", "-data", "artifact"], &trust[..]].concat();
            bench.run(&openssl, &by_data).await.expect_success();
            let other = [&["ts", "-verify", "-data", "predicate.json"], &trust[..]].concat();
            assert!(!bench.run(&openssl, &other).await.succeeded());
        }
    }
    // SHA-1 is refused.
    bench
        .run(
            &openssl,
            &["ts", "-query", "-data", "artifact", "-sha1", "-out", "query"],
        )
        .await
        .expect_success();
    let url = format!("{}/api/v1/timestamp", bench.world.origin);
    let request = bench
        .world
        .http
        .post(url)
        .header("content-type", "application/timestamp-query");
    let reply = request
        .body(std::fs::read(path("query")).unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status().as_u16(), 400);
    bench.world.stop().await;
}

/// sigstore-js still asks for the entry kind that Rekor dropped; what it gets is the kind that it also verifies.
#[tokio::test]
async fn an_envelope_sent_as_sigstore_js_does_is_logged_as_newer_clients_want_it() {
    let world = World::start().await;
    let key = crate::world::Key::new();
    let signature = key.sign(b"DSSEv1 28 application/vnd.in-toto+json 2 {}");
    let request = json!({"dsseRequestV002": {
        "envelope": {
            "payload": STANDARD.encode("{}"),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": STANDARD.encode(&signature), "keyid": ""}],
        },
        "verifiers": [{
            "publicKey": {"rawBytes": STANDARD.encode(&key.spki)},
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        }],
    }});
    let (status, entry) = world.post("/api/v2/log/entries", &request).await;
    assert_eq!(status, 201, "{entry}");
    let (_, body, _) = crate::world::check_entry(&entry, &world.log_key());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["kind"], "hashedrekord");
    assert_eq!(
        body["spec"]["hashedRekordV002"]["signature"]["content"],
        STANDARD.encode(&signature)
    );
    world.stop().await;
}
