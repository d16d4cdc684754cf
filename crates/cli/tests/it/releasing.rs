//! `release`: what it writes is what it reads back, by a key and by an identity, and everyone else can check it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::{Built, Layer, debian_like};
use proofmark_types::Digest;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{Registry, Trust, WORKFLOW, fails, fixture_path, flags, home, json, run, write};

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
    /// The paths that were got.
    got: Arc<Mutex<Vec<String>>>,
}

impl Forgetful {
    async fn before(registry: &Registry) -> Self {
        let forgets = Arc::new(AtomicBool::new(false));
        let (behind, switch) = (registry.address(), Arc::clone(&forgets));
        let got = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&got);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let router = axum::Router::new().fallback(move |request: Request| {
            let (client, forgets) = (client.clone(), switch.load(Ordering::SeqCst));
            if request.method() == Method::GET {
                noted.lock().unwrap().push(request.uri().path().to_owned());
            }
            async move { pass_on(&client, behind, request, forgets).await }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, forgets, got }
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

/// A Python package of which fixtures know something in version 3000.1, and nothing in 3000.2.
fn salt(version: &str) -> Layer {
    let metadata = format!("Metadata-Version: 2.1\nName: salt\nVersion: {version}\n");
    Layer::gzip().file(&format!("site-packages/salt-{version}.dist-info/METADATA"), metadata)
}

fn advised(home: &Sandbox) {
    let import = [
        "db",
        "import",
        "--db",
        "advisories.db",
        &fixture_path("advisories/osv"),
        &fixture_path("advisories/known_exploited_vulnerabilities.json"),
    ];
    run(home, import).expect_success();
}

const GATE: &str = "https://proofmark.dev/attestations/gate/v1";

fn with_salt(platform: &str, version: &str) -> Built {
    Built::image(platform, &[salt(version)], |_| ())
}

fn release_by_key(home: &Sandbox, image: &str, more: &[&str]) -> Outcome {
    let arguments = ["-o", "json", "release", "--key", "cosign.key", image].into_iter();
    run(home, arguments.chain(more.iter().copied()))
}

const BY_KEY: [&str; 3] = ["--key", "cosign.pub", "--insecure-ignore-tlog"];

/// What one image of an index stops, stops the release of all, and nothing of it is signed.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_pass_is_not_released() {
    let registry = Registry::start().await;
    let home = home();
    advised(&home);
    let bad = Built::index(vec![
        with_salt("linux/amd64", "3000.2"),
        with_salt("linux/arm64", "3000.1"),
    ]);
    let name = registry.push(&bad, "bad").await;
    for (more, exit, code) in [
        (&["--db", "advisories.db"] as &[&str], 3, "gate-refused"),
        (&["--db", "absent.db"], 1, "database-missing"),
        (&["--max-db-age", "1"], 1, "database-missing"),
        (&["--db", "advisories.db", "--skip-scan"], 2, "command-line"),
    ] {
        let refused = release_by_key(&home, &name, more);
        assert_eq!(refused.code, Some(exit), "{more:?}: {}", refused.stderr);
        let said: Value = serde_json::from_str(&refused.stdout).unwrap();
        assert_eq!(said["error"]["code"], json!(code), "{more:?}");
        let verify = ["verify", &name].into_iter().chain(BY_KEY);
        fails(&run(&home, verify), 10, "no-signature");
    }
    let arm = bad.children()[1].digest().to_string();
    let refused = release_by_key(&home, &name, &["--db", "advisories.db"]);
    assert!(
        refused.stderr.contains(&arm) && refused.stderr.contains("CVE-2020-11651"),
        "{}",
        refused.stderr
    );
    // An old database decides nothing where it may not be old.
    let old = release_by_key(&home, &name, &["--db", "advisories.db", "--max-db-age", "30"]);
    assert!(old.stderr.contains("[gate-refused]"), "{}", old.stderr);
    let fine = registry.push(&with_salt("linux/amd64", "3000.2"), "fine").await;
    let old = release_by_key(&home, &fine, &["--db", "advisories.db", "--max-db-age", "30"]);
    assert_eq!(old.code, Some(1), "{}", old.stderr);
    assert!(old.stderr.contains("[database-old]"), "{}", old.stderr);
    // Without a scan there is no decision, and it is said.
    let skipped = release_by_key(&home, &name, &["--skip-scan"]);
    assert!(
        skipped.expect_success().stderr.contains("nothing was scanned"),
        "{}",
        skipped.stderr
    );
    let gate = ["verify-attestation", "--type", GATE, &name].into_iter().chain(BY_KEY);
    fails(&run(&home, gate), 14, "no-acceptable-attestation");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_was_scanned_and_says_so() {
    let registry = Registry::start().await;
    let home = home();
    advised(&home);
    let good = Built::index(vec![
        with_salt("linux/amd64", "3000.2"),
        with_salt("linux/arm64", "3001"),
    ]);
    let name = registry.push(&good, "good").await;
    let released = release_by_key(&home, &name, &["--db", "advisories.db"]);
    let said: Value = serde_json::from_str(&released.expect_success().stdout).unwrap();
    assert_eq!(
        (&said["scanned"], said["scans"].as_array().map(Vec::len)),
        (&json!(true), Some(2))
    );
    let attested = |kind: &str, image: &str| {
        let verify = ["verify-attestation", "--type", kind, image].into_iter().chain(BY_KEY);
        json(&home, verify)[0]["attestations"][0]["predicate"].clone()
    };
    let status = json(&home, ["db", "status", "--db", "advisories.db"]);
    for (built, images) in [(&good, 2), (&good.children()[0], 1)] {
        let name = registry.image(&format!("app@{}", built.digest()));
        let gate = attested(GATE, &name);
        assert_eq!(gate["verdict"], json!("pass"));
        assert_eq!(gate["images"].as_array().map(Vec::len), Some(images));
        assert!(gate["database"]["digest"].is_string());
        assert_eq!(gate["database"]["digest"], status["database"]["digest"]);
        let result = attested("vuln", &name)["scanner"]["result"].clone();
        let listed = if images == 2 { &result["images"][1] } else { &result };
        assert_eq!(
            (&listed["lookedUp"], &listed["findings"]),
            (&json!(1), &json!([])),
            "{result}"
        );
    }
}

/// The SBOM, the scan and all statements about them come out of one reading.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_an_image_is_pulled_once() {
    let registry = Registry::start().await;
    let way = Forgetful::before(&registry).await;
    let home = home();
    advised(&home);
    let image = Built::image("linux/amd64", &[salt("3000.2"), salt("3001")], |_| ());
    image.push(way.address, "app", "1.0").await;
    let name = format!("{}/app:1.0", way.address);
    way.got.lock().unwrap().clear();
    let released = run(
        &home,
        ["release", "--key", "cosign.key", "--db", "advisories.db", &name],
    );
    assert!(
        released.expect_success().stdout.contains("gate pass"),
        "{}",
        released.stdout
    );
    let got = way.got.lock().unwrap().clone();
    for blob in image.blobs() {
        let digest = Digest::sha256_of(blob).to_string();
        let times = got.iter().filter(|path| path.ends_with(&digest)).count();
        assert_eq!(times, 1, "{digest}: {got:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_demands_a_decision_that_is_new() {
    let registry = Registry::start().await;
    let home = home();
    advised(&home);
    let image = Built::image("linux/amd64", &[salt("3000.2")], |_| ());
    let name = registry.push(&image, "1.0").await;
    run(
        &home,
        ["release", "--key", "cosign.key", "--db", "advisories.db", &name],
    )
    .expect_success();
    for (condition, passes) in [
        ("predicate.verdict == \"pass\" && age(predicate.decidedOn) < 3600", true),
        ("age(predicate.decidedOn) < -1", false),
        ("predicate.verdict == \"stop\"", false),
        ("predicate.images.all(image, image.notLookedUp == 0)", true),
        ("predicate.images.all(image, image.lookedUp == 0)", false),
    ] {
        write(home.path(), "gate.cel", condition);
        let verify = ["verify-attestation", "--type", GATE, "--policy", "gate.cel", &name];
        let outcome = run(
            &home,
            verify
                .into_iter()
                .chain(["--key", "cosign.pub", "--insecure-ignore-tlog"]),
        );
        if passes {
            outcome.expect_success();
        } else {
            fails(&outcome, 14, "policy-not-satisfied");
        }
    }
}
