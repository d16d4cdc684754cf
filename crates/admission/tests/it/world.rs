//! A registry, a wire to it that can be slow, hang or break, a key, and a webhook.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use proofmark_admission::{Config, Server, TlsConfig};
use proofmark_evidence::bundle::{Bundle, Content, KeyMaterial, VerificationMaterial};
use proofmark_evidence::dsse;
use proofmark_evidence::layout::{EMPTY_CONFIG, bundle_referrer};
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::statement::Statement;
use proofmark_oci::{Descriptor, ImageManifest, media_types};
use proofmark_registry::{Client, Credential, CredentialStore, Secret};
use proofmark_types::{Digest, MediaType, RegistryHost, Repository, Tag, UnixTime};
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the wire to the registry does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire {
    /// Everything goes through.
    Open,
    /// Everything goes through, each request this much later.
    Slow(Duration),
    /// Connections are taken and nothing is ever answered.
    Hanging,
    /// Connections are closed at once.
    Down,
    /// The last byte of everything that comes back is another.
    Lying,
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) registry: proofmark_registry_server::Server,
    /// Not through the wire: for preparing.
    pub(crate) direct: Client,
    pub(crate) wire: watch::Sender<Wire>,
    pub(crate) wire_address: SocketAddr,
    /// Seconds that are added to the clock of webhooks.
    pub(crate) ahead: Arc<AtomicI64>,
    /// The signer whom policies of these tests want.
    pub(crate) key: KeyPair,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// One whose registry shows nothing to who is not `user` with `password`.
    pub(crate) async fn private(user: &str, password: &str) -> Self {
        let users = proofmark_registry_server::Htpasswd::single(user, password).unwrap();
        let mut world = Self::with(|config| config.htpasswd = Some(users)).await;
        let host = RegistryHost::parse(&world.registry.address().to_string()).unwrap();
        let credential = Credential::Password {
            username: user.to_owned(),
            password: Secret::new(password.to_owned()),
        };
        let credentials = CredentialStore::anonymous().with_host(host, credential);
        world.direct = world.direct.with_credentials(credentials);
        world
    }

    async fn with(change: impl FnOnce(&mut proofmark_registry_server::Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut config = proofmark_registry_server::Config::new(folder.path().join("registry"), listen);
        change(&mut config);
        let registry = proofmark_registry_server::Server::start(config).await.unwrap();
        let (wire, state) = watch::channel(Wire::Open);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire_address = listener.local_addr().unwrap();
        tokio::spawn(relay(listener, registry.address(), state));
        Self {
            folder,
            direct: Client::builder().build().unwrap(),
            wire,
            wire_address,
            ahead: Arc::default(),
            key: KeyPair::generate().unwrap(),
            registry,
        }
    }

    /// The image as objects name it: through the wire.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.wire_address)
    }

    fn repository(&self, name: &str) -> Repository {
        Repository::parse(&format!("{}/{name}", self.registry.address())).unwrap()
    }

    /// Pushes a small image; `content` makes its digest.
    pub(crate) async fn push(&self, name: &str, tag: &str, content: &str) -> Descriptor {
        let repository = self.repository(name);
        let config = Bytes::from(format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"author":"{content}"}}"#
        ));
        let media_type = |text: &str| MediaType::parse(text).unwrap();
        let manifest = ImageManifest {
            media_type: media_type(media_types::OCI_MANIFEST),
            artifact_type: None,
            config: Descriptor::of(media_type(media_types::OCI_CONFIG), &config),
            layers: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        self.direct.push_blob(&repository, config).await.unwrap();
        let bytes = Bytes::from(manifest.to_json());
        let descriptor = Descriptor::of(manifest.media_type.clone(), &bytes);
        let tag = Tag::parse(tag).unwrap();
        self.direct
            .push_manifest(&repository, Some(&tag), &manifest.media_type, bytes)
            .await
            .unwrap();
        descriptor
    }

    /// Signs as `cosign sign --key` does, without a log.
    pub(crate) async fn sign(&self, name: &str, image: &Descriptor, key: &KeyPair) {
        self.attach(name, image, key, &Statement::signature(&image.digest, BTreeMap::new()))
            .await;
    }

    /// Attests as `cosign attest --key` does, without a log.
    pub(crate) async fn attest(&self, name: &str, image: &Descriptor, key: &KeyPair, kind: &str, predicate: Value) {
        let kind = PredicateType::resolve(kind).unwrap();
        self.attach(
            name,
            image,
            key,
            &Statement::attestation(name, &image.digest, kind, predicate),
        )
        .await;
    }

    async fn attach(&self, name: &str, image: &Descriptor, key: &KeyPair, statement: &Statement) {
        const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
        let payload = statement.to_json();
        let sig = key.sign(&dsse::pae(PAYLOAD_TYPE, &payload)).unwrap();
        let bundle = Bundle {
            material: VerificationMaterial {
                key: KeyMaterial::PublicKeyHint(String::new()),
                tlog_entries: Vec::new(),
                timestamps: Vec::new(),
            },
            content: Content::Dsse(dsse::Envelope {
                payload_type: PAYLOAD_TYPE.to_owned(),
                payload,
                signatures: vec![dsse::Signature {
                    keyid: String::new(),
                    sig,
                }],
            }),
        };
        let json = bundle.to_json();
        let referrer = bundle_referrer(image, &json, Some(&statement.predicate_type), UnixTime::EPOCH);
        let blobs = [Bytes::from_static(EMPTY_CONFIG), Bytes::from(json)];
        self.direct
            .attach(&self.repository(name), image, &referrer, &blobs)
            .await
            .unwrap();
    }

    /// An image that is signed by the wanted key: its reference by tag, and its digest.
    pub(crate) async fn signed(&self, name: &str) -> (String, Digest) {
        let image = self.push(name, "1.0", name).await;
        self.sign(name, &image, &self.key).await;
        (self.image(&format!("{name}:1.0")), image.digest)
    }

    /// A policy that wants a signature by the world's key; `more` goes into its spec.
    pub(crate) fn policy(&self, name: &str, more: &str) -> (String, String) {
        let key = self.key.public_key_pem().trim_end().replace('\n', "\n              ");
        let more = more.trim_end().replace('\n', "\n  ");
        let text = format!(
            "apiVersion: proofmark.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: {name}
spec:
  match:
    images: [\"{}/**\"]
  signatures:
    requireLog: false
    signers:
      - key: |
              {key}
  {more}
",
            self.wire_address
        );
        (format!("{name}.yaml"), text)
    }

    pub(crate) fn policy_folder(&self) -> PathBuf {
        self.folder.path().join("policies")
    }

    pub(crate) fn write_policies(&self, policies: &[(String, String)]) {
        let folder = self.policy_folder();
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in policies {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }

    pub(crate) fn config(&self) -> Config {
        let tls = TlsConfig::new(
            self.folder.path().join("tls"),
            vec!["127.0.0.1".into(), "localhost".into()],
        );
        let client = Client::builder().build().unwrap();
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), tls, self.policy_folder(), client);
        config.limits.reload = Duration::from_millis(50);
        config.limits.renewal = Duration::from_millis(50);
        let ahead = self.ahead.clone();
        config.clock = Arc::new(move || {
            let seconds = ahead.load(Ordering::SeqCst);
            let (now, offset) = (
                UnixTime::from_system(std::time::SystemTime::now()),
                Duration::from_secs(seconds.unsigned_abs()),
            );
            if seconds < 0 {
                now.minus(offset)
            } else {
                now.plus(offset)
            }
        });
        config
    }

    /// A webhook with these policies.
    pub(crate) async fn webhook(&self, policies: &[(String, String)], change: impl FnOnce(&mut Config)) -> Webhook {
        self.write_policies(policies);
        let mut config = self.config();
        change(&mut config);
        Webhook::of(Server::start(config).await.unwrap())
    }
}

async fn relay(listener: TcpListener, to: SocketAddr, state: watch::Receiver<Wire>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let state = state.clone();
        tokio::spawn(async move {
            // Either side may leave at any time.
            let _ = carry(client, to, state).await;
        });
    }
}

async fn carry(client: TcpStream, to: SocketAddr, mut state: watch::Receiver<Wire>) -> std::io::Result<()> {
    if *state.borrow() == Wire::Down {
        return Ok(());
    }
    client.set_nodelay(true)?;
    let server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (down, back) = (state.clone(), state.clone());
    let answers = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if read == 0 {
                return Ok::<_, std::io::Error>(());
            }
            if *back.borrow() == Wire::Lying {
                buffer[read - 1] ^= 1;
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    });
    let questions = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            let wire = *state.borrow();
            match wire {
                Wire::Open | Wire::Lying => {}
                Wire::Slow(delay) => tokio::time::sleep(delay).await,
                Wire::Hanging => {
                    let _ = state.wait_for(|wire| *wire != Wire::Hanging).await;
                }
                Wire::Down => break,
            }
            to_server.write_all(&buffer[..read]).await?;
        }
        Ok(())
    };
    let mut down = down;
    let ended = tokio::select! {
        ended = questions => ended,
        _ = down.wait_for(|wire| *wire == Wire::Down) => Ok(()),
    };
    answers.abort();
    ended
}

pub(crate) struct Webhook {
    pub(crate) server: Server,
    pub(crate) client: reqwest::Client,
}

/// The `response` of a review, checked for what every answer must have.
pub(crate) struct Response(pub(crate) Value);

impl Webhook {
    pub(crate) fn of(server: Server) -> Self {
        let client = trusting(&server.ca_bundle_pem());
        Self { server, client }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.server.address())
    }

    pub(crate) async fn send(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let request = self
            .client
            .post(self.url(path))
            .header("content-type", "application/json")
            .body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn review(&self, path: &str, review: &Value) -> Response {
        let (status, text) = self.send(path, review.to_string()).await;
        assert_eq!(status, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        Response(answer["response"].clone())
    }

    pub(crate) async fn validate(&self, review: &Value) -> Response {
        self.review("/validate?timeout=10s", review).await
    }

    pub(crate) async fn mutate(&self, review: &Value) -> Response {
        self.review("/mutate?timeout=10s", review).await
    }

    /// The value of a metric whose line begins with `start`; 0 when there is none.
    pub(crate) async fn metric(&self, start: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        text.lines()
            .filter(|line| line.starts_with(start))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Waits for a background task to have done its work.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, mut done: impl FnMut() -> F) {
        for _ in 0..200 {
            if done().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("it did not happen within five seconds");
    }
}

pub(crate) fn trusting(ca_bundle_pem: &str) -> reqwest::Client {
    let authorities = reqwest::Certificate::from_pem_bundle(ca_bundle_pem.as_bytes()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only(authorities)
        .no_proxy()
        .build()
        .unwrap()
}

impl Response {
    pub(crate) fn allowed(&self) -> bool {
        self.0["allowed"] == true
    }

    pub(crate) fn message(&self) -> &str {
        self.0["status"]["message"].as_str().unwrap_or_default()
    }

    pub(crate) fn warnings(&self) -> Vec<&str> {
        let warnings = self.0["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
        warnings.iter().map(|warning| warning.as_str().unwrap()).collect()
    }

    /// The JSON patch: pointer and value of each replacement.
    pub(crate) fn patch(&self) -> Vec<(String, String)> {
        let Some(patch) = self.0["patch"].as_str() else {
            assert!(self.0.get("patchType").is_none());
            return Vec::new();
        };
        assert_eq!(self.0["patchType"], "JSONPatch");
        let bytes = base64::engine::general_purpose::STANDARD.decode(patch).unwrap();
        let operations: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
        let text = |operation: &Value, name: &str| operation[name].as_str().unwrap().to_owned();
        operations
            .iter()
            .map(|operation| {
                assert_eq!(operation["op"], "replace");
                (text(operation, "path"), text(operation, "value"))
            })
            .collect()
    }

    pub(crate) fn assert_denied_because(&self, code: &str) {
        assert!(!self.allowed(), "expected a denial because of {code}, got {}", self.0);
        assert_eq!(self.0["status"]["code"], 403, "{}", self.0);
        assert!(
            self.message().contains(&format!("[{code}]")),
            "expected [{code}] in:\n{}",
            self.message()
        );
    }

    pub(crate) fn assert_allowed(&self) {
        assert!(self.allowed(), "{}", self.message());
    }
}

/// A review of a new Pod with these images.
pub(crate) fn pod(images: &[&str]) -> Value {
    let containers: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(position, image)| json!({ "name": format!("c{position}"), "image": image }))
        .collect();
    review(
        "Pod",
        "CREATE",
        &json!({ "metadata": { "name": "web" }, "spec": { "containers": containers } }),
        &Value::Null,
    )
}

/// A review of an update of a Pod from some images to others.
pub(crate) fn pod_update(old: &[&str], new: &[&str]) -> Value {
    let mut update = pod(new);
    update["request"]["operation"] = "UPDATE".into();
    update["request"]["oldObject"] = pod(old)["request"]["object"].clone();
    update
}

pub(crate) fn review(kind: &str, operation: &str, object: &Value, old_object: &Value) -> Value {
    let group = match kind {
        "Pod" => "",
        "Job" | "CronJob" => "batch",
        _ => "apps",
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": group, "version": "v1", "kind": kind },
            "resource": { "group": group, "version": "v1", "resource": format!("{}s", kind.to_lowercase()) },
            "name": "web", "namespace": "team-a", "operation": operation,
            "userInfo": { "username": "dana@alpha.test" },
            "object": object, "oldObject": old_object, "dryRun": false,
        },
    })
}
