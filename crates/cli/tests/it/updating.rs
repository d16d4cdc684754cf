//! `db update` against publishers on loopback that serve well, badly, and not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use futures::StreamExt as _;
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::https::HttpsServer;
use proofmark_testkit::images::{Built, Layer};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::world::{PROOFMARK, fails, fixture_path, json, run, write};

const KEV: &str = "known_exploited_vulnerabilities.json";
const EPSS: &str = "epss_scores-current.csv.gz";

/// What a path answers with.
#[derive(Clone, Debug)]
enum Answer {
    /// The file, known again by its tag.
    File(Vec<u8>),
    Status(u16),
    Page(Vec<u8>),
    Redirect(String),
    /// It says that it has so many bytes more than it sends.
    Cut(Vec<u8>),
    /// It says that it has so many bytes.
    Announced(u64),
    /// It begins and never ends.
    Hanging,
}

/// The path, the tag that was sent along, and all headers.
type Asked = (String, Option<String>, HeaderMap);

/// A publisher's files, and who asked for what.
#[derive(Clone, Debug, Default)]
struct Publisher {
    files: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Publisher {
    /// One with the fixtures: PyPI's file has all of the records, others' too.
    fn new() -> Self {
        let publisher = Self::default();
        publisher.set("PyPI/all.zip", Answer::File(zipped(|_| true)));
        publisher.set("Go/all.zip", Answer::File(zipped(|name| name.starts_with("GO-"))));
        publisher.set(KEV, Answer::File(fixture("known_exploited_vulnerabilities.json")));
        publisher.set(EPSS, Answer::File(gzipped(&fixture("epss.csv"))));
        publisher
    }

    fn set(&self, path: &str, answer: Answer) {
        self.files.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// Its address with plain HTTP.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn answer(State(publisher): State<Publisher>, request: Request) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let known = request.headers().get(header::IF_NONE_MATCH);
    let known = known.map(|value| value.to_str().unwrap().to_owned());
    let asked = (path.clone(), known.clone(), request.headers().clone());
    publisher.asked.lock().unwrap().push(asked);
    let answer = publisher.files.lock().unwrap().get(&path).cloned();
    let response = Response::builder();
    match answer.unwrap_or(Answer::Status(404)) {
        Answer::File(bytes) => {
            let tag = format!("\"{}\"", proofmark_types::Digest::sha256_of(&bytes));
            if known.as_deref() == Some(&tag) {
                return response.status(304).body(Body::empty()).unwrap();
            }
            response.header(header::ETAG, tag).body(bytes.into()).unwrap()
        }
        Answer::Status(status) => response.status(status).body("no".into()).unwrap(),
        Answer::Page(bytes) => {
            let response = response.header(header::CONTENT_TYPE, "text/html; charset=utf-8");
            response.body(bytes.into()).unwrap()
        }
        Answer::Redirect(to) => {
            let response = response.status(StatusCode::FOUND).header(header::LOCATION, to);
            response.body(Body::empty()).unwrap()
        }
        Answer::Cut(bytes) => {
            let length = bytes.len() + 100;
            let piece = futures::stream::iter([Ok(bytes), Err(std::io::Error::other("cut"))]);
            let response = response.header(header::CONTENT_LENGTH, length);
            response.body(Body::from_stream(piece)).unwrap()
        }
        Answer::Announced(length) => {
            let response = response.header(header::CONTENT_LENGTH, length);
            response.body(Body::from_stream(endless())).unwrap()
        }
        Answer::Hanging => response.body(Body::from_stream(endless())).unwrap(),
    }
}

/// The beginning of a zip file, and then nothing.
fn endless() -> impl futures::Stream<Item = std::io::Result<Vec<u8>>> {
    futures::stream::iter([Ok(b"PK\x03\x04".to_vec())]).chain(futures::stream::pending())
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixture_path(&format!("advisories/{name}"))).unwrap()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A bulk file of the fixtures' records that are wanted.
fn zipped(wanted: impl Fn(&str) -> bool) -> Vec<u8> {
    let folder = fs::read_dir(fixture_path("advisories/osv")).unwrap();
    let records = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let records: Vec<_> = records.filter(|name| wanted(name)).collect();
    zip_of(
        records
            .iter()
            .map(|name| (name.clone(), fixture(&format!("osv/{name}")))),
    )
}

fn zip_of(files: impl Iterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A home with an image in it that has what an advisory of PyPI's is about.
fn home() -> Sandbox {
    let home = Sandbox::new().with("PROOFMARK_DB", "advisories.db");
    let metadata = "Metadata-Version: 2.1\nName: salt\nVersion: 3000.1\n";
    let layer = Layer::gzip().file("usr/lib/python3/site-packages/salt-3000.1.dist-info/METADATA", metadata);
    Built::image("linux/amd64", &[layer], |_| ()).write_layout(&home.path().join("salt"), "1.0");
    home
}

fn arguments<'a>(mirror: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let both = [
        "db",
        "update",
        "--ecosystem",
        "PyPI",
        "--ecosystem",
        "Go",
        "--mirror",
        mirror,
    ];
    [&both[..], more].concat()
}

fn first_document(text: &str) -> Value {
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    documents.next().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_is_fetched_and_nothing_else() {
    let (publisher, home) = (Publisher::new(), home());
    let mirror = publisher.start().await;
    let first = json(&home, arguments(&mirror, &[]));
    // PyPI's file has records of Go and AlmaLinux too: the one has its own file, and of the other there is no more.
    let names: Vec<&str> = first["ecosystems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["ecosystem"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["Go", "PyPI"]);
    assert_eq!(first["exploited"]["entries"], json!(4));
    assert!(first["scores"]["entries"].as_u64().unwrap() > 0);
    assert_eq!(
        (&first["lacking"], &first["database"]["partial"]),
        (&json!([]), &json!(false))
    );
    for file in first["files"].as_array().unwrap() {
        assert!(
            file["name"].as_str().unwrap().starts_with(&mirror) && file["fetched"].is_string(),
            "{file}"
        );
    }
    let asked = publisher.take_asked();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|(_, known, _)| known.is_none()));
    for (_, _, headers) in &asked {
        assert!(!headers.contains_key(header::AUTHORIZATION) && !headers.contains_key(header::COOKIE));
    }
    // CVE-2020-11651 is in the catalogue: the gate stops it.
    let stopped = run(&home, ["-o", "json", "scan", "salt"]);
    assert_eq!(
        first_document(stopped.expect_code(3).stdout.as_str())["findings"][0]["id"],
        json!("CVE-2020-11651")
    );

    let again = run(&home, arguments(&mirror, &[]));
    assert_eq!(
        again.expect_success().stderr.matches("not changed").count(),
        4,
        "{}",
        again.stderr
    );
    assert!(publisher.take_asked().iter().all(|(_, known, _)| known.is_some()));
    let second = json(&home, ["db", "status"]);
    assert_eq!(second["ecosystems"], first["ecosystems"]);
    assert!(second["files"][0]["fetched"].as_str() >= first["files"][0]["fetched"].as_str());

    // One that changed is fetched, the others are not.
    publisher.set("Go/all.zip", Answer::File(zipped(|name| name.starts_with("GO-2023"))));
    let third = json(&home, arguments(&mirror, &[]));
    let changed: Vec<&Value> = (0..4)
        .filter(|at| third["files"][at]["digest"] != first["files"][at]["digest"])
        .map(|at| &first["files"][at]["name"])
        .collect();
    assert_eq!(changed, [&json!(format!("{mirror}/Go/all.zip"))]);
    // A kept file that somebody changed is not used, and not taken for what the publisher has.
    write(home.path(), "advisories.db.feeds/Go.zip", b"PK");
    publisher.take_asked();
    run(&home, arguments(&mirror, &[])).expect_success();
    let asked = publisher.take_asked();
    assert!(
        asked
            .iter()
            .all(|(path, known, _)| known.is_none() == (path == "Go/all.zip")),
        "{asked:?}"
    );
    // What another address sent is not what this one has.
    let other = publisher.start().await;
    run(&home, arguments(&other, &[])).expect_success();
    assert!(publisher.take_asked().iter().all(|(_, known, _)| known.is_none()));
}

/// What PyPI's file can be instead, and why it is not taken.
fn bad(mirror: &str) -> Vec<(&'static str, Answer, &'static str)> {
    let good = zipped(|name| name.starts_with("PYSEC"));
    let mut flipped = good.clone();
    flipped[120] ^= 0x55;
    let zeros = vec![0; 16 * 1024 * 1024];
    let bomb = zip_of((0..5).map(|at| (format!("{at}.json"), zeros.clone())));
    let none = zip_of(std::iter::once(("readme.txt".to_owned(), b"nothing".to_vec())));
    vec![
        ("cut short", Answer::Cut(good.clone()), "feed-unreachable"),
        ("an error", Answer::Status(500), "feed-unreachable"),
        ("too many requests", Answer::Status(429), "feed-unreachable"),
        ("gone", Answer::Status(404), "feed-refused"),
        ("unchanged since never", Answer::Status(304), "feed-refused"),
        ("a page", Answer::Page(good.clone()), "feed-not-one"),
        ("a text", Answer::File(b"<!doctype html>".to_vec()), "feed-not-one"),
        ("nothing", Answer::File(Vec::new()), "feed-not-one"),
        ("too large", Answer::Announced(5 << 30), "feed-too-large"),
        (
            "half a zip",
            Answer::File(good[..good.len() / 2].to_vec()),
            "zip-broken",
        ),
        ("another byte", Answer::File(flipped), "zip-broken"),
        ("a bomb", Answer::File(bomb), "zip-too-large"),
        ("no records", Answer::File(none), "zip-without-records"),
        (
            "Go's",
            Answer::File(zipped(|name| name.starts_with("GO-"))),
            "feed-not-one",
        ),
        (
            "to a file",
            Answer::Redirect("file:///etc/passwd".to_owned()),
            "feed-redirect",
        ),
        (
            "to ftp",
            Answer::Redirect("ftp://127.0.0.1/all.zip".to_owned()),
            "feed-redirect",
        ),
        (
            "off this machine",
            Answer::Redirect("http://192.0.2.1/all.zip".to_owned()),
            "feed-redirect",
        ),
        (
            "with a password",
            Answer::Redirect("https://a:b@127.0.0.1/".to_owned()),
            "feed-redirect",
        ),
        (
            "round in circles",
            Answer::Redirect(format!("{mirror}/PyPI/all.zip")),
            "feed-redirect",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_fails_keeps_what_was_there_and_is_said() {
    let (publisher, home) = (Publisher::new(), home());
    let mirror = publisher.start().await;
    run(&home, arguments(&mirror, &[])).expect_success();
    let kept = fs::read(home.path().join("advisories.db.feeds/PyPI.zip")).unwrap();
    for (what, answer, code) in bad(&mirror) {
        // Asked as if for the first time, so that what was kept does not answer.
        let unasked = what == "unchanged since never";
        if unasked {
            fs::remove_file(home.path().join("advisories.db.feeds/feeds.json")).unwrap();
            fs::remove_file(home.path().join("advisories.db")).unwrap();
        }
        publisher.set("PyPI/all.zip", answer);
        let outcome = run(&home, ["-o", "json"].into_iter().chain(arguments(&mirror, &[])));
        assert_eq!(outcome.code, Some(1), "{what}: {}", outcome.stderr);
        assert!(
            outcome.stderr.contains(&format!("[{code}]")),
            "{what}: {}",
            outcome.stderr
        );
        assert!(outcome.stderr.contains("[feeds-lacking]"), "{what}: {}", outcome.stderr);
        let lacking = &first_document(&outcome.stdout)["lacking"][0];
        assert_eq!(
            (&lacking["feed"], &lacking["code"]),
            (&json!("PyPI"), &json!(code)),
            "{what}"
        );
        assert_eq!(lacking["keptFrom"].is_string(), !unasked, "{what}");
        if unasked {
            publisher.set("PyPI/all.zip", Answer::File(zipped(|_| true)));
            run(&home, arguments(&mirror, &[])).expect_success();
        }
        assert_eq!(
            fs::read(home.path().join("advisories.db.feeds/PyPI.zip")).unwrap(),
            kept,
            "{what}"
        );
    }
    // What is kept finds what it found, and every result says how old it is.
    let scanned = run(&home, ["-o", "json", "scan", "salt"]);
    let said = first_document(scanned.expect_code(3).stdout.as_str());
    assert_eq!(said["findings"][0]["id"], json!("CVE-2020-11651"));
    assert_eq!(said["database"]["partial"], json!(true));
    let codes: Vec<&Value> = said["database"]["notices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| &n["code"])
        .collect();
    assert!(codes.contains(&&json!("database-feed-stale")), "{codes:?}");
    let text = run(&home, ["scan", "salt"]);
    assert!(text.stdout.contains("[database-feed-stale]") && text.stderr.contains("[database-feed-stale]"));
    let sarif: Value = serde_json::from_str(&run(&home, ["scan", "-f", "sarif", "salt"]).stdout).unwrap();
    let said = sarif["runs"][0]["invocations"][0]["toolExecutionNotifications"].to_string();
    assert!(said.contains("database-feed-stale"), "{said}");
    let status = run(&home, ["db", "status"]);
    assert!(
        status.expect_success().stdout.contains("[database-feed-stale]"),
        "{}",
        status.stdout
    );
    // The next that comes through takes it away.
    publisher.set("PyPI/all.zip", Answer::File(zipped(|_| true)));
    assert_eq!(json(&home, arguments(&mirror, &[]))["lacking"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_came_is_lacking_and_nothing_is_lost_for_it() {
    let (publisher, home) = (Publisher::new(), home());
    let mirror = publisher.start().await;
    publisher.set("PyPI/all.zip", Answer::Status(404));
    let partial = run(&home, ["-o", "json"].into_iter().chain(arguments(&mirror, &[])));
    let said = first_document(partial.expect_code(1).stdout.as_str());
    assert_eq!(
        (&said["lacking"][0]["feed"], &said["lacking"][0]["keptFrom"]),
        (&json!("PyPI"), &Value::Null)
    );
    assert_eq!(
        said["database"]["notices"]
            .to_string()
            .matches("database-feed-lacking")
            .count(),
        1
    );
    // Go's file has nothing of PyPI, and nothing found would not mean anything.
    let scanned = run(&home, ["scan", "salt"]);
    assert!(
        scanned.expect_code(1).stderr.contains("[ecosystem-not-in-database]"),
        "{}",
        scanned.stderr
    );

    // An imported database that has it is not exchanged for one that has not.
    run(&home, ["db", "import", &fixture_path("advisories/osv")]).expect_success();
    let path = home.path().join("advisories.db");
    let imported = fs::read(&path).unwrap();
    fails(&run(&home, arguments(&mirror, &[])), 1, "update-would-lose");
    assert_eq!(fs::read(&path).unwrap(), imported);
    publisher.files.lock().unwrap().clear();
    fails(&run(&home, arguments(&mirror, &[])), 1, "feeds-unreachable");
    fails(
        &run(&home, arguments("http://127.0.0.1:1", &[])),
        1,
        "feeds-unreachable",
    );
    assert_eq!(fs::read(&path).unwrap(), imported);

    fails(
        &run(&home, ["db", "update", "--ecosystem", "Wolfi"]),
        2,
        "ecosystem-licence",
    );
    fails(
        &run(&home, ["db", "update", "--ecosystem", "pypi"]),
        2,
        "ecosystem-unknown",
    );
    fails(&run(&home, arguments("http://mirror.test", &[])), 2, "feed-address");
    fails(
        &run(&home, arguments(&mirror, &["--mirror-cacert", "advisories.db"])),
        2,
        "http-client",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_and_one_that_is_killed() {
    let (publisher, home) = (Publisher::new(), home());
    let mirror = publisher.start().await;
    run(&home, arguments(&mirror, &[])).expect_success();
    let path = home.path().join("advisories.db");
    let before = fs::read(&path).unwrap();
    // Killed in the middle of a feed: the database is the old one, and the next update finds nothing in its way.
    publisher.set("PyPI/all.zip", Answer::Hanging);
    publisher.take_asked();
    let mut command = home.command(PROOFMARK);
    let mut child = command
        .args(arguments(&mirror, &[]))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let part = home.path().join("advisories.db.feeds/PyPI.zip.part");
    for _ in 0..600 {
        if fs::metadata(&part).is_ok_and(|metadata| metadata.len() > 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(part.exists(), "it is in the middle");
    // Meanwhile the database answers.
    run(&home, ["scan", "salt"]).expect_code(3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    publisher.set("PyPI/all.zip", Answer::File(zipped(|_| true)));
    let children: Vec<_> = (0..4)
        .map(|_| {
            home.command(PROOFMARK)
                .args(arguments(&mirror, &[]))
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    run(&home, ["db", "status"]).expect_success();
    let left: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().ends_with(".part")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_and_never_back_to_plain_http() {
    let (publisher, home) = (Publisher::new(), home());
    let plain = publisher.start().await;
    let server = HttpsServer::start(publisher.router()).await;
    let mirror = format!("https://localhost:{}", server.address.port());
    write(home.path(), "ca.pem", &server.certificate);
    fails(&run(&home, arguments(&mirror, &[])), 1, "feeds-unreachable");
    run(&home, arguments(&mirror, &["--mirror-cacert", "ca.pem"])).expect_success();
    // As EPSS does: to the file of the day.
    publisher.set("scores-of-today.csv.gz", Answer::File(gzipped(&fixture("epss.csv"))));
    publisher.set(EPSS, Answer::Redirect("/scores-of-today.csv.gz".to_owned()));
    run(&home, arguments(&mirror, &["--mirror-cacert", "ca.pem"])).expect_success();
    publisher.set(EPSS, Answer::Redirect(format!("{plain}/scores-of-today.csv.gz")));
    let outcome = run(&home, arguments(&mirror, &["--mirror-cacert", "ca.pem"]));
    assert!(
        outcome.expect_code(1).stderr.contains("[feed-redirect]"),
        "{}",
        outcome.stderr
    );
    // Each feed from where it is said to be.
    let (osv, kev, epss) = (Publisher::new(), Publisher::new(), Publisher::new());
    let (at_osv, at_kev, at_epss) = (osv.start().await, kev.start().await, epss.start().await);
    let flags = ["--osv-url", &at_osv, "--kev-url", &at_kev, "--epss-url", &at_epss];
    run(&home, ["db", "update", "--ecosystem", "Go"].into_iter().chain(flags)).expect_success();
    for (publisher, expected) in [(osv, "Go/all.zip"), (kev, KEV), (epss, EPSS)] {
        let paths: Vec<String> = publisher.take_asked().into_iter().map(|(path, ..)| path).collect();
        assert_eq!(paths, [expected]);
    }
}
