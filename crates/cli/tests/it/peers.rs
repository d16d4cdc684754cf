//! The same images and signatures through other people's programs: skopeo pushes, two registries keep, and cosign
//! verifies what we sign as we verify what it signs. The image is a Debian root file system where
//! `PROOFMARK_DEBIAN_IMAGE` names its layout, and must be under `CI=true`; else a small one of that shape.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::{Built, Layer, debian_like};
use proofmark_testkit::peers::{COSIGN2, COSIGN3, DockerRegistry, SKOPEO};
use serde_json::{Value, json};

use crate::up::Serving;
use crate::world::{Registry, Trust, WORKFLOW, fails, flags, home, json, run, write};

/// The folder and tag of the image that is released.
fn debian(home: &Path) -> (PathBuf, &'static str) {
    if let Some(folder) = env::var_os("PROOFMARK_DEBIAN_IMAGE").filter(|folder| !folder.is_empty()) {
        return (PathBuf::from(folder), "1.0");
    }
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "PROOFMARK_DEBIAN_IMAGE names no image layout"
    );
    eprintln!("SKIPPED: the real Debian image (set PROOFMARK_DEBIAN_IMAGE); a small one instead");
    let folder = home.join("debian");
    debian_like().write_layout(&folder, "1.0");
    (folder, "1.0")
}

/// Pushes the image of a layout as `app:TAG` with skopeo.
fn push(home: &Sandbox, skopeo: &Path, layout: (&Path, &str), registry: SocketAddr, tag: &str) -> String {
    let image = format!("{registry}/app:{tag}");
    let arguments = [
        "copy".to_owned(),
        "--insecure-policy".to_owned(),
        "--dest-tls-verify=false".to_owned(),
        format!("oci:{}:{}", layout.0.display(), layout.1),
        format!("docker://{image}"),
    ];
    home.run(skopeo, arguments).expect_success();
    image
}

const IGNORED: &str = "--insecure-ignore-tlog=true";

/// cosign with flags that every version takes.
fn cosign(home: &Sandbox, program: &Path, verb: &str, more: &[&str]) -> Outcome {
    let fixed = [verb, "--allow-http-registry=true"];
    home.run(program, fixed.iter().chain(more))
}

fn took(what: &str, started: Instant) {
    println!("{what}: {:.2} s", started.elapsed().as_secs_f64());
}

/// Both registries, the second where docker-registry is there.
async fn registries() -> (Registry, Option<DockerRegistry>) {
    (Registry::start().await, DockerRegistry::start_or_skip())
}

fn addresses(ours: &Registry, docker: Option<&DockerRegistry>) -> Vec<(&'static str, SocketAddr)> {
    let mut all = vec![("our registry", ours.address())];
    all.extend(docker.map(|docker| ("docker-registry", docker.address())));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn released_by_a_key_and_checked_by_everyone() {
    let Some(skopeo) = SKOPEO.or_skip() else { return };
    let home = home();
    let (folder, tag) = debian(home.path());
    let (ours, docker) = registries().await;
    for (name, registry) in addresses(&ours, docker.as_ref()) {
        let image = push(&home, &skopeo, (&folder, tag), registry, "1.0");
        let started = Instant::now();
        let released = json(&home, ["release", "--key", "cosign.key", "--also-legacy", &image]);
        took(&format!("release --key --also-legacy on {name}"), started);
        println!("  {}", released["subjects"][0]["packages"]);
        let by_key = ["--key", "cosign.pub", "--insecure-ignore-tlog", &image];
        let started = Instant::now();
        run(&home, ["verify"].into_iter().chain(by_key)).expect_success();
        took(&format!("verify --key on {name}"), started);
        for kind in ["spdxjson", "slsaprovenance1"] {
            let arguments = ["verify-attestation", "--type", kind];
            run(&home, arguments.into_iter().chain(by_key)).expect_success();
        }
        for peer in [COSIGN3, COSIGN2] {
            let Some(program) = peer.or_skip() else { continue };
            let good = ["--key", "cosign.pub", IGNORED, &image];
            cosign(&home, &program, "verify", &good).expect_success();
            for kind in ["spdxjson", "slsaprovenance1"] {
                let arguments: Vec<&str> = ["--type", kind].into_iter().chain(good).collect();
                cosign(&home, &program, "verify-attestation", &arguments).expect_success();
            }
            let other = cosign(&home, &program, "verify", &["--key", "other.pub", IGNORED, &image]);
            assert!(!other.succeeded(), "{other:?}");
        }
        // Signature, SBOM and provenance, each as a bundle and as cosign 2 reads it.
        let tree = json(&home, ["tree", &image]);
        assert_eq!(tree["incomplete"], json!([]));
        assert_eq!(tree["evidence"].as_array().map(Vec::len), Some(6), "{tree}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn released_by_an_identity_and_checked_by_everyone() {
    let Some(skopeo) = SKOPEO.or_skip() else { return };
    let home = home();
    let trust = Trust::start().await;
    let (folder, tag) = debian(home.path());
    let (ours, docker) = registries().await;
    for (name, registry) in addresses(&ours, docker.as_ref()) {
        let image = push(&home, &skopeo, (&folder, tag), registry, "1.0");
        let started = Instant::now();
        run(&home, flags(&["release", &image], &trust.signing())).expect_success();
        took(&format!("release, keyless, on {name}"), started);
        let started = Instant::now();
        run(&home, flags(&["verify", &image], &trust.verifying())).expect_success();
        took(&format!("verify, keyless, on {name}"), started);
        for kind in ["spdxjson", "slsaprovenance1"] {
            let arguments = ["verify-attestation", "--type", kind, &image];
            run(&home, flags(&arguments, &trust.verifying())).expect_success();
        }
        let Some(program) = COSIGN3.or_skip() else { continue };
        let good = trust.verifying();
        let arguments = flags(&["--use-signed-timestamps", &image], &good);
        cosign(&home, &program, "verify", &arguments).expect_success();
        for kind in ["spdxjson", "slsaprovenance1"] {
            let arguments = flags(&["--use-signed-timestamps", "--type", kind, &image], &good);
            cosign(&home, &program, "verify-attestation", &arguments).expect_success();
        }
        let mut other = good.clone();
        other[3] = WORKFLOW.replace("release.yml", "experiment.yml");
        let arguments = flags(&["--use-signed-timestamps", &image], &other);
        assert!(!cosign(&home, &program, "verify", &arguments).succeeded());
    }
}

/// cosign 2 reads no bundles: it is given the tags, and trust as separate chains.
#[tokio::test(flavor = "multi_thread")]
async fn cosign_2_checks_the_legacy_tags_of_an_identity() {
    let Some(program) = COSIGN2.or_skip() else { return };
    let home = home();
    let trust = Trust::start().await;
    let registry = Registry::start().await;
    let image = registry.push(&debian_like(), "1.0").await;
    run(&home, flags(&["release", "--also-legacy", &image], &trust.signing())).expect_success();
    let (authority, clock) = (trust.file("ca-chain.pem"), trust.file("tsa-chain.pem"));
    let issuer = trust.issuer();
    let common = |identity| {
        [
            IGNORED,
            "--insecure-ignore-sct=true",
            "--use-signed-timestamps",
            "--certificate-chain",
            &authority,
            "--timestamp-certificate-chain",
            &clock,
            "--certificate-oidc-issuer",
            &issuer,
            "--certificate-identity",
            identity,
            &image,
        ]
    };
    cosign(&home, &program, "verify", &common(WORKFLOW)).expect_success();
    for kind in ["spdxjson", "slsaprovenance1"] {
        let arguments: Vec<&str> = ["--type", kind].into_iter().chain(common(WORKFLOW)).collect();
        cosign(&home, &program, "verify-attestation", &arguments).expect_success();
    }
    let other = "https://github.com/acme/app/.github/workflows/experiment.yml@refs/heads/main";
    assert!(!cosign(&home, &program, "verify", &common(other)).succeeded());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cosign_signs_with_a_key_we_verify() {
    let home = home();
    write(home.path(), "predicate.json", r#"{"scanner": "none"}"#);
    let (ours, docker) = registries().await;
    for (name, registry) in addresses(&ours, docker.as_ref()) {
        for (peer, tag) in [(COSIGN3, "three"), (COSIGN2, "two")] {
            let Some(program) = peer.or_skip() else { continue };
            // A digest of its own for each, so that nobody's signature stands in for another's.
            let built = Built::image("linux/amd64", &[Layer::gzip().file("tag", tag)], |_| ());
            built.push(registry, "app", tag).await;
            let image = format!("{registry}/app@{}", built.digest());
            let mut common = vec!["--key", "cosign.key", "--tlog-upload=false", "--yes"];
            if peer == COSIGN3 {
                common.push("--use-signing-config=false");
            }
            let with = |more: &[&'static str]| {
                let mut all = common.clone();
                all.extend(more);
                all
            };
            let mut sign = with(&["-a", "env=prod"]);
            sign.push(&image);
            cosign(&home, &program, "sign", &sign).expect_success();
            let mut attest = with(&["--type", "custom", "--predicate", "predicate.json"]);
            attest.push(&image);
            cosign(&home, &program, "attest", &attest).expect_success();

            let by = |verb: &'static str, key: &'static str, more: &[&'static str]| {
                let fixed = [verb, "--key", key, "--insecure-ignore-tlog", &image];
                run(&home, fixed.into_iter().chain(more.iter().copied()))
            };
            println!("{name}, {tag}");
            by("verify", "cosign.pub", &["-a", "env=prod"]).expect_success();
            by("verify-attestation", "cosign.pub", &["--type", "custom"]).expect_success();
            fails(&by("verify", "other.pub", &[]), 12, "no-acceptable-signature");
            fails(
                &by("verify", "cosign.pub", &["-a", "env=test"]),
                12,
                "no-acceptable-signature",
            );
            fails(
                &by("verify-attestation", "other.pub", &["--type", "custom"]),
                14,
                "no-acceptable-attestation",
            );
            fails(
                &by("verify-attestation", "cosign.pub", &["--type", "spdxjson"]),
                14,
                "no-acceptable-attestation",
            );
        }
    }
}

/// The last link: the released image runs, pinned; its unsigned sibling does not.
#[tokio::test(flavor = "multi_thread")]
async fn the_released_image_is_admitted() {
    let Some(skopeo) = SKOPEO.or_skip() else { return };
    let home = home();
    let trust = Trust::start().await;
    let (folder, tag) = debian(home.path());
    let (ours, docker) = registries().await;
    let sibling = home.path().join("sibling");
    Built::image("linux/amd64", &[], |_| ()).write_layout(&sibling, "1.0");
    for (name, registry) in addresses(&ours, docker.as_ref()) {
        let image = push(&home, &skopeo, (&folder, tag), registry, "1.0");
        let unsigned = push(&home, &skopeo, (&sibling, "1.0"), registry, "unsigned");
        let released = json(&home, flags(&["release", &image], &trust.signing()));
        let digest = released["digest"].as_str().unwrap();
        let policies = home.path().join(registry.port().to_string());
        std::fs::create_dir(&policies).unwrap();
        write(&policies, "release.yaml", policy(registry, &trust.issuer()));
        let folder = policies.display().to_string();
        run(&home, ["policy", "check", &folder]).expect_success();
        let root = trust.file("trusted_root.json");
        let server = Serving::start(
            &home,
            &[
                "admission",
                "serve",
                "--policies",
                &folder,
                "--trusted-root",
                &root,
                "--listen",
                "127.0.0.1:0",
                "--tls-name",
                "127.0.0.1",
            ],
        );
        let cluster = Cluster::of(&home, &server.said);
        let started = Instant::now();
        let answer = cluster.ask("mutate", &image).await;
        took(&format!("admission, nothing held, from {name}"), started);
        assert_eq!(answer["allowed"], json!(true), "{answer}");
        let patch = STANDARD.decode(answer["patch"].as_str().unwrap()).unwrap();
        let patch: Value = serde_json::from_slice(&patch).unwrap();
        let pinned = format!("@{digest}");
        let pins = patch.as_array().unwrap().iter().any(|operation| {
            operation["op"] == "replace"
                && operation["value"]
                    .as_str()
                    .is_some_and(|value| value.ends_with(&pinned))
        });
        assert!(pins, "{patch}");
        let by_digest = format!("{registry}/app{pinned}");
        let answer = cluster.ask("validate", &by_digest).await;
        assert_eq!(answer["allowed"], json!(true), "{answer}");
        let denied = cluster.ask("validate", &unsigned).await;
        assert_eq!(denied["allowed"], json!(false), "{denied}");
        let message = denied["status"]["message"].as_str().unwrap();
        assert!(
            message.contains("[unsigned]") && message.contains("proofmark release"),
            "{message}"
        );
        assert!(server.stop().success());
    }
}

fn policy(registry: SocketAddr, issuer: &str) -> String {
    format!(
        "apiVersion: proofmark.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: release
spec:
  match:
    images: [\"{registry}/**\"]
  signatures:
    signers:
      - keyless: {{ subject: \"{WORKFLOW}\", issuer: \"{issuer}\" }}
  attestations:
    - type: spdxjson
      condition: size(predicate.packages) > 0
    - type: slsaprovenance1
"
    )
}

/// What the API server is to the webhook.
struct Cluster {
    http: reqwest::Client,
    webhook: String,
}

impl Cluster {
    fn of(home: &Sandbox, said: &Value) -> Self {
        let authority = std::fs::read(home.path().join(said["ca"].as_str().unwrap())).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&authority).unwrap())
            .no_proxy()
            .build()
            .unwrap();
        let webhook = format!("https://{}", said["address"].as_str().unwrap());
        Self { http, webhook }
    }

    /// The response about a new Pod with this image.
    async fn ask(&self, path: &str, image: &str) -> Value {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "one",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "name": "app",
                "namespace": "production",
                "operation": "CREATE",
                "userInfo": {"username": "test"},
                "object": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "app", "namespace": "production"},
                    "spec": {"containers": [{"name": "app", "image": image}]},
                },
                "oldObject": null,
                "dryRun": false,
            },
        });
        let url = format!("{}/{path}?timeout=10s", self.webhook);
        let answer = self.http.post(url).json(&review).send().await.unwrap();
        let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
        assert_eq!(answer["response"]["uid"], json!("one"));
        answer["response"].clone()
    }
}
