//! Key pairs in Kubernetes secrets: an API server that speaks the part of the API about secrets, over TLS, to us and to
//! cosign.

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_sign::keys::{self, KeyError, PasswordError, Surroundings};
use proofmark_sign::{Password, SigningKey, Timing};
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::https::HttpsServer;
use proofmark_testkit::kubernetes::{KubernetesApi, TOKEN, write_kubeconfig};
use proofmark_testkit::peers::COSIGN3;
use proofmark_types::KeyReference;
use proofmark_verify::{KeyAlgorithm, PublicKey};
use serde_json::{Value, json};

struct World {
    api: KubernetesApi,
    sandbox: Sandbox,
}

impl World {
    async fn start() -> Self {
        let world = Self {
            api: KubernetesApi::start().await,
            sandbox: Sandbox::new(),
        };
        world.api.write_kubeconfig(world.path().as_ref());
        world
    }

    fn path(&self) -> String {
        self.sandbox.path().join("kubeconfig").display().to_string()
    }

    async fn open(&self, name: &str) -> Result<SigningKey, KeyError> {
        let path = self.path();
        let environment = |name: &str| (name == "KUBECONFIG").then(|| path.clone());
        keys::open(&reference(name), &with(&environment, None)).await
    }

    async fn public(&self, name: &str) -> Result<PublicKey, KeyError> {
        let path = self.path();
        let environment = |name: &str| (name == "KUBECONFIG").then(|| path.clone());
        keys::public(&reference(name), &with(&environment, None)).await
    }

    async fn create(&self, name: &str, password: Option<&'static str>) -> Result<PublicKey, KeyError> {
        let path = self.path();
        let environment = |name: &str| (name == "KUBECONFIG").then(|| path.clone());
        keys::create(&reference(name), KeyAlgorithm::EcdsaP384, &with(&environment, password)).await
    }

    fn put(&self, name: &str, data: Value) {
        self.api.put_data(&format!("team/{name}"), data);
    }

    fn release(&self) -> Value {
        self.api.secret("team/release").unwrap()
    }
}

fn reference(name: &str) -> KeyReference {
    format!("k8s://team/{name}").parse().unwrap()
}

fn with<'a>(
    environment: &'a (dyn Fn(&str) -> Option<String> + Sync),
    password: Option<&'static str>,
) -> Surroundings<'a> {
    Surroundings {
        environment,
        password: match password {
            Some(_) => &|_| Ok(Password::new("a password")),
            None => &|what| Err(PasswordError::Missing { what: what.to_owned() }),
        },
        pin: &|_| panic!("no token here"),
        timing: Timing::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_made_once_and_signs_from_the_secret() {
    let world = World::start().await;
    assert_eq!(
        world.create("release", None).await.unwrap_err().code(),
        "password-missing"
    );
    assert_eq!(world.api.secret("team/release"), None);
    let public = world.create("release", Some("a password")).await.unwrap();
    assert_eq!(public.algorithm(), KeyAlgorithm::EcdsaP384);
    let secret = world.release();
    assert_eq!(secret["immutable"], json!(true));
    let field =
        |name: &str| String::from_utf8(STANDARD.decode(secret["data"][name].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(field("cosign.pub"), public.to_pem());
    assert_eq!(field("cosign.password"), "a password");
    assert!(field("cosign.key").starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"));
    // The password is the one in the secret: nobody is asked.
    let key = world.open("release").await.unwrap();
    assert_eq!(key.public_key(), &public);
    assert_eq!(world.public("release").await.unwrap(), public);
    let signature = key.sign(b"message").await.unwrap();
    public.verify(b"message", &signature).unwrap();
    // Never replaced.
    let again = world.create("release", Some("a password")).await.unwrap_err();
    assert_eq!(again.code(), "key-use-refused");
    assert!(again.to_string().contains("not replaced"), "{again}");
    assert_eq!(world.release(), secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_secret_and_cluster_has_its_reason() {
    let world = World::start().await;
    world.create("release", Some("a password")).await.unwrap();
    let mut secret = world.release();
    world.api.put("team/other", secret.clone());
    world.put("empty", json!({}));
    world.put("public-only", json!({"cosign.pub": secret["data"]["cosign.pub"]}));
    world.put("no-password", json!({"cosign.key": secret["data"]["cosign.key"]}));
    secret["metadata"]["name"] = json!("wrong-password");
    secret["data"]["cosign.password"] = json!(STANDARD.encode("another"));
    world.api.put("team/wrong-password", secret);
    for (name, code, reason) in [
        ("absent", "key-use-refused", "404"),
        ("broken", "key-unreachable", "etcdserver"),
        ("huge", "key-answer", "more than"),
        ("other", "key-answer", "another secret"),
        ("empty", "key-answer", "cosign.key"),
        ("public-only", "key-answer", "cosign.key"),
        ("no-password", "password-missing", "cosign.key"),
        ("wrong-password", "key-password-wrong", "k8s://team/wrong-password"),
    ] {
        let error = world.open(name).await.unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
    assert!(world.public("public-only").await.is_ok());
    // Who asks, and whom.
    let server = format!("https://{}", world.api.server.address);
    let stranger = HttpsServer::start(Router::new()).await;
    for (server, token, authority, code) in [
        (
            server.as_str(),
            "another",
            &world.api.server.certificate,
            "key-use-refused",
        ),
        (&server, TOKEN, &stranger.certificate, "key-unreachable"),
        (
            "http://kubernetes.example:8080",
            TOKEN,
            &world.api.server.certificate,
            "key-cluster-unknown",
        ),
        (
            "https://127.0.0.1:1",
            TOKEN,
            &world.api.server.certificate,
            "key-unreachable",
        ),
    ] {
        write_kubeconfig(world.path().as_ref(), server, token, authority);
        let error = world.open("release").await.unwrap_err();
        assert_eq!(error.code(), code, "{server}: {error}");
        assert!(!error.to_string().contains(TOKEN));
    }
    std::fs::remove_file(world.path()).unwrap();
    assert_eq!(world.open("release").await.unwrap_err().code(), "key-cluster-unknown");
}

/// cosign reads the secrets that we make, and we those with its files in them. It writes secrets in protocol buffers,
/// which this server does not read.
#[tokio::test(flavor = "multi_thread")]
async fn cosign_keeps_its_pairs_the_same_way() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let world = World::start().await;
    let ours = world.create("ours", Some("a password")).await.unwrap();
    let path = world.path();
    let folder = Sandbox::new()
        .with("KUBECONFIG", &path)
        .with("COSIGN_PASSWORD", "of cosign");
    let theirs = tokio::task::spawn_blocking(move || {
        let read = folder.run(&cosign, ["public-key", "--key", "k8s://team/ours"]);
        assert_eq!(PublicKey::from_pem(&read.expect_success().stdout).unwrap(), ours);
        folder.run(&cosign, ["generate-key-pair"]).expect_success();
        let file = |name: &str| STANDARD.encode(std::fs::read(folder.path().join(name)).unwrap());
        json!({
            "cosign.key": file("cosign.key"), "cosign.pub": file("cosign.pub"),
            "cosign.password": STANDARD.encode("of cosign"),
        })
    });
    world.put("theirs", theirs.await.unwrap());
    let key = world.open("theirs").await.unwrap();
    assert_eq!(key.public_key(), &world.public("theirs").await.unwrap());
}
