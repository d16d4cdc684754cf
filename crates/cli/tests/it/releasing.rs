//! `release`: what it writes is what it reads back, by a key and by an identity, and everyone else can check it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, Layer, debian_like};
use proofmark_types::Digest;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{Registry, Trust, WORKFLOW, fails, flags, home, json, run};

#[tokio::test(flavor = "multi_thread")]
async fn by_a_key_outside_of_any_ci() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let released = run(&home, ["release", "--key", "cosign.key", "-a", "env=prod", &image]);
    let text = &released.expect_success().stdout;
    for said in [
        "released ",
        "2 packages (2 deb)",
        "made here, outside of any CI",
        "scanned     no",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(released.stderr.contains("nothing was scanned"), "{}", released.stderr);
    let by_key = ["--key", "cosign.pub", "--insecure-ignore-tlog"];
    run(&home, ["verify", "-a", "env=prod", &image].into_iter().chain(by_key)).expect_success();
    let bill = json(
        &home,
        ["verify-attestation", "--type", "spdxjson", &image]
            .into_iter()
            .chain(by_key),
    );
    let packages = &bill[0]["attestations"][0]["predicate"]["packages"];
    assert!(packages.to_string().contains("pkg:deb/debian/bash@"), "{packages}");
    let provenance = ["verify-attestation", "--type", "slsaprovenance1", &image];
    let provenance = json(&home, provenance.into_iter().chain(by_key));
    assert_eq!(
        provenance[0]["attestations"][0]["predicateType"],
        json!("https://slsa.dev/provenance/v1")
    );
    let cyclonedx = ["verify-attestation", "--type", "cyclonedx", &image];
    fails(
        &run(&home, cyclonedx.into_iter().chain(by_key)),
        14,
        "no-acceptable-attestation",
    );
    let again = ["release", "--key", "cosign.key", "--sbom", "cyclonedx-json", &image];
    let again = json(&home, again);
    assert_eq!(again["scanned"], json!(false));
    run(&home, cyclonedx.into_iter().chain(by_key)).expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_identity_of_a_workflow() {
    let registry = Registry::start().await;
    let trust = Trust::start().await;
    let home = Sandbox::new();
    let index = Built::index(vec![debian_like(), arm()]);
    let image = registry.push(&index, "1.0").await;
    let mut names = Vec::new();
    let released = json(&home, flags(&["release", &image], &trust.signing()));
    assert_eq!(released["digest"], json!(index.digest().to_string()));
    assert_eq!(released["subjects"].as_array().map(Vec::len), Some(3));
    assert!(released["provenance"].to_string().contains("CI's identity token"));
    // The index and each image by itself, as clusters ask for them.
    for digest in [&index, &index.children()[0], &index.children()[1]].map(Built::digest) {
        let name = registry.image(&format!("app@{digest}"));
        let verified = json(&home, flags(&["verify", &name], &trust.verifying()));
        let signature = &verified[0]["signatures"][0];
        assert_eq!(
            signature["signer"]["subjects"][0]["value"],
            json!(WORKFLOW),
            "{signature}"
        );
        assert_eq!(signature["logs"][0]["inclusionProven"], json!(true));
        let provenance = ["verify-attestation", "--type", "slsaprovenance1", &name];
        let provenance = json(&home, flags(&provenance, &trust.verifying()));
        let predicate = &provenance[0]["attestations"][0]["predicate"];
        let workflow = &predicate["buildDefinition"]["externalParameters"]["workflow"];
        assert_eq!(workflow["repository"], json!("https://github.com/acme/app"));
        names.push(bill(&home, &trust, &name));
    }
    // The bill of the index is that of all its images together.
    assert_eq!(names[1], ["bash", "libc6"]);
    assert_eq!(names[2], ["bash", "only-on-arm"]);
    assert_eq!(names[0], ["bash", "libc6", "only-on-arm"]);
}

/// The names of the packages in the attested bill, the image itself left out.
fn bill(home: &Sandbox, trust: &Trust, image: &str) -> Vec<String> {
    let arguments = ["verify-attestation", "--type", "spdxjson", image];
    let value = json(home, flags(&arguments, &trust.verifying()));
    let packages = &value[0]["attestations"][0]["predicate"]["packages"];
    let libraries = packages
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| package["primaryPackagePurpose"] == "LIBRARY");
    let mut names: Vec<String> = libraries
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    names
}

/// The other platform's image: one package in common with [`debian_like`] but for the architecture, one of its own.
fn arm() -> Built {
    let status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b7\n\n\
                  Package: only-on-arm\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1\n\n";
    let release =
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n";
    let layer = Layer::gzip()
        .file("etc/os-release", release)
        .file("var/lib/dpkg/status", status);
    Built::image("linux/arm64", &[layer], |_| ())
}

/// One image of an index cannot be read: nothing of the index is signed.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_read_whole_before_anything_is_signed() {
    let registry = Registry::start().await;
    let home = home();
    let broken = Layer::gzip().file("../escape", "");
    let index = Built::index(vec![debian_like(), Built::image("linux/arm64", &[broken], |_| ())]);
    let image = registry.push(&index, "1.0").await;
    let outcome = run(&home, ["release", "--key", "cosign.key", &image]);
    fails(&outcome, 1, "layer-path-escape");
    for digest in [&index, &index.children()[0]].map(Built::digest) {
        let name = registry.image(&format!("app@{digest}"));
        assert_eq!(json(&home, ["tree", &name])["evidence"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_released() {
    let registry = Registry::start().await;
    let home = home();
    let missing = registry.image("app:1.0");
    fails(
        &run(&home, ["release", "--key", "cosign.key", &missing]),
        11,
        "not-found",
    );
}

/// A way to a registry that, while it is told to, takes manifests of evidence, says that all is well, and keeps none.
struct Forgetful {
    address: SocketAddr,
    forgets: Arc<AtomicBool>,
}

impl Forgetful {
    async fn before(registry: &Registry) -> Self {
        let forgets = Arc::new(AtomicBool::new(false));
        let (behind, switch) = (registry.address(), Arc::clone(&forgets));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let router = axum::Router::new().fallback(move |request: Request| {
            let (client, forgets) = (client.clone(), switch.load(Ordering::SeqCst));
            async move { pass_on(&client, behind, request, forgets).await }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, forgets }
    }
}

async fn pass_on(client: &reqwest::Client, behind: SocketAddr, request: Request, forgets: bool) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 * 1024 * 1024).await.unwrap();
    let path = head.uri.path_and_query().unwrap().to_string();
    let manifest: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let (true, &Method::PUT, Some(subject)) = (forgets, &head.method, manifest["subject"]["digest"].as_str()) {
        let mut kept_nothing = Response::new(Body::empty());
        *kept_nothing.status_mut() = StatusCode::CREATED;
        let digest = Digest::sha256_of(&body).to_string();
        for (name, value) in [
            ("location", path.as_str()),
            ("docker-content-digest", &digest),
            ("oci-subject", subject),
        ] {
            kept_nothing
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).unwrap());
        }
        return kept_nothing;
    }
    let mut headers = head.headers;
    headers.remove("host");
    let passed = client
        .request(head.method, format!("http://{behind}{path}"))
        .headers(headers);
    let answer = passed.body(body).send().await.unwrap();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    *response.body_mut() = Body::from(answer.bytes().await.unwrap());
    response
}

/// That of an earlier release of the same image satisfies the same demand: it is not taken for what this one wrote.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_release_is_not_read_back_for_this_one() {
    let registry = Registry::start().await;
    let way = Forgetful::before(&registry).await;
    let home = home();
    debian_like().push(way.address, "app", "1.0").await;
    let image = format!("{}/app:1.0", way.address);
    let release = |build: &str| run(&home, ["release", "--key", "cosign.key", "-a", build, &image]);
    release("build=1").expect_success();
    way.forgets.store(true, Ordering::SeqCst);
    let lost = release("build=2");
    fails(&lost, 1, "not-read-back");
    assert!(lost.stderr.contains("the signature was written to"), "{}", lost.stderr);
    // The same signature is there, of the first release; when and how it was built this time is not.
    let lost = release("build=1");
    fails(&lost, 1, "not-read-back");
    assert!(!lost.stderr.contains("the signature was written to"), "{}", lost.stderr);
    way.forgets.store(false, Ordering::SeqCst);
    release("build=2").expect_success();
}
