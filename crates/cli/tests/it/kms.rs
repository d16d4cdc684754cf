//! Keys in key services through the binary: made, signed with, verified with, and refused.

use std::fs;

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::debian_like;
use proofmark_testkit::key_services::{AwsKms, AzureVault, Fault, GoogleKms, KeyKind, VaultTransit};

use crate::world::{Registry, fails, home, run};

/// Makes the key, signs with it, verifies with it and with the public half alone; and what must not pass.
async fn round(world: &Sandbox, reference: &str, other: &str, set: impl Fn(Fault)) {
    let registry = Registry::start().await;
    let image = registry.push(&debian_like(), "1.0").await;
    let made = run(world, ["generate-key-pair", "--kms", reference]);
    assert!(made.expect_success().stdout.contains(reference), "{}", made.stdout);
    let file = fs::read_to_string(world.path().join("cosign.pub")).unwrap();
    assert!(!world.path().join("cosign.key").exists());
    let public = run(world, ["public-key", "--key", reference]);
    assert_eq!(public.expect_success().stdout.trim_end(), file.trim_end());

    let verify = |key: &str| run(world, ["verify", "--key", key, "--insecure-ignore-tlog", &image]);
    let sign = || run(world, ["sign", "--key", reference, "--tlog-upload=false", &image]);
    fails(&verify(reference), 10, "no-signature");
    // A service that signs with another key, has no permission to give or does not answer: nothing is attached.
    set(Fault::OtherKey);
    fails(&sign(), 2, "key-signature-not-verified");
    set(Fault::Forbidden);
    fails(&sign(), 2, "key-use-refused");
    set(Fault::Later(100));
    fails(&sign(), 1, "key-unreachable");
    fails(&verify(reference), 10, "no-signature");
    set(Fault::None);
    sign().expect_success();
    for key in [reference, "cosign.pub"] {
        let verified = verify(key);
        assert!(verified.expect_success().stdout.contains(": verified"), "{key}");
    }
    for stranger in [other, "other.pub"] {
        fails(&verify(stranger), 12, "no-acceptable-signature");
    }
}

/// A stranger's `other.pub`, and nothing else.
fn place() -> (Sandbox, String) {
    let stranger = home();
    let text = fs::read_to_string(stranger.path().join("other.pub")).unwrap();
    (Sandbox::new(), text)
}

fn with_stranger(world: Sandbox, text: &str) -> Sandbox {
    fs::write(world.path().join("other.pub"), text).unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn aws() {
    let kms = AwsKms::start();
    let (sandbox, other) = place();
    let world = sandbox
        .with("AWS_REGION", "eu-central-1")
        // What is asked in the clear on this machine is not for a proxy to see.
        .with("HTTP_PROXY", "http://127.0.0.1:9")
        .with("http_proxy", "http://127.0.0.1:9")
        .with("AWS_ACCESS_KEY_ID", AwsKms::USER.0)
        .with("AWS_SECRET_ACCESS_KEY", AwsKms::USER.1);
    let world = with_stranger(world, &other);
    kms.add("alias/other", KeyKind::P256);
    let reference = |name: &str| format!("awskms://{}/alias/{name}", kms.host());
    round(&world, &reference("release"), &reference("other"), |fault| {
        kms.set_fault(fault)
    })
    .await;
    let absent = run(&world, ["public-key", "--key", &reference("absent")]);
    fails(&absent, 2, "kms-key-not-found");
    let nobody = Sandbox::new()
        .with("AWS_REGION", "eu-central-1")
        .with("AWS_EC2_METADATA_DISABLED", "true");
    let nobody = run(&nobody, ["public-key", "--key", &reference("release")]);
    assert!(
        fails(&nobody, 2, "kms-credentials-missing")
            .stderr
            .contains("AWS_ACCESS_KEY_ID")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn google() {
    let kms = GoogleKms::start();
    let (sandbox, other) = place();
    let file = sandbox.path().join("account.json");
    fs::write(&file, kms.service_account_file()).unwrap();
    let world = sandbox
        .with("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())
        .with("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &kms.address());
    let world = with_stranger(world, &other);
    let ring = "projects/acme/locations/global/keyRings/ci";
    kms.add(&format!("{ring}/cryptoKeys/other"), KeyKind::P256, true);
    let reference = |name: &str| format!("gcpkms://{ring}/cryptoKeys/{name}");
    round(&world, &reference("release"), &reference("other"), |fault| {
        kms.set_fault(fault)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure() {
    let vault = AzureVault::start();
    let (sandbox, other) = place();
    let world = sandbox
        .with("AZURE_TENANT_ID", AzureVault::TENANT)
        .with("AZURE_CLIENT_ID", AzureVault::CLIENT)
        .with("AZURE_CLIENT_SECRET", AzureVault::SECRET)
        .with("AZURE_AUTHORITY_HOST", &vault.address());
    let world = with_stranger(world, &other);
    vault.add("other", KeyKind::P256);
    let reference = |name: &str| format!("azurekms://{}/{name}", vault.host());
    round(&world, &reference("release"), &reference("other"), |fault| {
        vault.set_fault(fault)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vault() {
    let transit = VaultTransit::start();
    let (sandbox, other) = place();
    let world = sandbox
        .with("VAULT_ADDR", &transit.address())
        .with("VAULT_TOKEN", &transit.token());
    let world = with_stranger(world, &other);
    transit.add("other", KeyKind::P256);
    round(&world, "hashivault://release", "hashivault://other", |fault| {
        transit.set_fault(fault)
    })
    .await;
    // Every kind that the service has, in both layouts of a signature.
    let registry = Registry::start().await;
    for algorithm in [
        "ecdsa-sha2-384-nistp384",
        "ecdsa-sha2-512-nistp521",
        "rsa-sign-pkcs1-3072-sha256",
        "ed25519",
    ] {
        let image = registry.push(&debian_like(), algorithm).await;
        let reference = format!("hashivault://{algorithm}");
        let arguments = [
            "generate-key-pair",
            "--yes",
            "--signing-algorithm",
            algorithm,
            "--kms",
            &reference,
        ];
        run(&world, arguments).expect_success();
        for format in ["--new-bundle-format=true", "--new-bundle-format=false"] {
            let sign = ["sign", "--key", &reference, "--tlog-upload=false", format, &image];
            run(&world, sign).expect_success();
            let verify = [
                "verify",
                "--key",
                "cosign.pub",
                "--insecure-ignore-tlog",
                format,
                &image,
            ];
            run(&world, verify).expect_success();
        }
    }
}

/// A registry that asks for a password, and what the cloud gives for it.
#[tokio::test(flavor = "multi_thread")]
async fn registries_of_clouds_know_us_by_our_identity_there() {
    let aws = AwsKms::start();
    let google = GoogleKms::start();
    for (cloud, user, password) in [
        ("aws", "AWS", AwsKms::REGISTRY_PASSWORD),
        ("google", "oauth2accesstoken", GoogleKms::REGISTRY_TOKEN),
    ] {
        let users = proofmark_registry_server::Htpasswd::single(user, password).unwrap();
        let registry = Registry::with(|config| config.htpasswd = Some(users)).await;
        let world = home()
            .with("AWS_REGION", "eu-central-1")
            .with("AWS_ACCESS_KEY_ID", AwsKms::USER.0)
            .with("AWS_SECRET_ACCESS_KEY", AwsKms::USER.1)
            .with("AWS_ENDPOINT_URL_ECR", &aws.address())
            .with("GCE_METADATA_HOST", &google.host());
        fs::write(world.path().join("file"), "x").unwrap();
        let image = registry.image("a:1");
        let upload = |flags: &[&str]| run(&world, [&["upload", "blob", "-f", "file", &image], flags].concat());
        let named = format!("{cloud}={}", registry.address());
        upload(&["--cloud-registry", &named]).expect_success();
        // Nobody is asked for a host that was not named, or is another name of it.
        let other = named.replace("127.0.0.1", "localhost");
        for flags in [&[][..], &["--cloud-registry", &other]] {
            fails(&upload(flags), 20, "unauthorized");
        }
        let refused = world
            .with("AWS_SECRET_ACCESS_KEY", "other")
            .with("GCE_METADATA_HOST", "127.0.0.1:9");
        let refused = run(
            &refused,
            ["upload", "blob", "-f", "file", &image, "--cloud-registry", &named],
        );
        let text = fails(&refused, 20, "credentials").stderr.clone();
        assert!(text.contains("no credential for 127.0.0.1"), "{text}");
    }
    let unknown = run(
        &home(),
        [
            "tree",
            "registry.example.com/a:1",
            "--cloud-registry",
            "evil.azurecr.io.attacker.com",
        ],
    );
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("say whose it is"), "{}", unknown.stderr);
}
