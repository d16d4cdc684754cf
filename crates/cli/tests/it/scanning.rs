//! `db` and `scan`: real advisories, images that have what they are about, and all that must not pass.

use std::fs;
use std::io::{Cursor, Write as _};

use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::{Built, Layer, debian_like};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::world::{fails, fixture_path, json, run, write};

mod documents;
mod reports;
mod results;

/// An image with one Python package and no distribution.
fn with_salt(home: &Sandbox, version: &str) {
    let metadata = format!("Metadata-Version: 2.1\nName: salt\nVersion: {version}\n");
    let path = format!("usr/lib/python3/site-packages/salt-{version}.dist-info/METADATA");
    let layer = Layer::gzip().file(&path, &metadata);
    Built::image("linux/amd64", &[layer], |_| ()).write_layout(&home.path().join(version), "1.0");
}

/// A scan that is no pass says why, and what was found nevertheless.
fn refuses<'o>(outcome: &'o Outcome, exit: i32, code: &str) -> &'o Outcome {
    assert_eq!(outcome.code, Some(exit), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(&format!("[{code}]")), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("gate: "), "{}", outcome.stdout);
    outcome
}

/// A folder with the database of the fixtures and two images.
fn prepared() -> Sandbox {
    let home = Sandbox::new().with("PROOFMARK_DB", "advisories.db");
    run(
        &home,
        [
            "db",
            "import",
            &fixture_path("advisories/osv"),
            &feed("epss.csv"),
            &kev(),
        ],
    )
    .expect_success();
    with_salt(&home, "3000.1");
    with_salt(&home, "3000.2");
    home
}

fn feed(name: &str) -> String {
    fixture_path(&format!("advisories/{name}"))
}

fn kev() -> String {
    feed("known_exploited_vulnerabilities.json")
}

#[test]
fn what_is_critical_exploited_and_fixable_is_stopped() {
    let home = prepared();
    // CVE-2020-11651 is in CISA's catalogue, 3000.2 mends it, and PyPA does not say how bad it is.
    let stopped = run(&home, ["-o", "json", "scan", "3000.1"]);
    assert_eq!(stopped.code, Some(3), "{}", stopped.stderr);
    let said = first_document(&stopped.stdout);
    let finding = &said["findings"][0];
    assert_eq!(finding["id"], json!("CVE-2020-11651"));
    assert_eq!(finding["fixedIn"], json!("3000.2"));
    assert_eq!(finding["exploited"]["since"], json!("2021-11-03"));
    assert_eq!(
        finding["decision"],
        json!({ "is": "stopped", "rule": "unrated-exploited-fixable" })
    );
    assert_eq!(said["gate"]["verdict"], json!("stop"));
    assert_eq!(said["database"]["old"], json!(true), "the fixtures are of 2025");
    let table = run(&home, ["scan", "3000.1"]);
    refuses(&table, 3, "gate-refused");
    assert!(
        table.stdout.contains("CVE-2020-11651") && table.stdout.contains("gate: stop"),
        "{}",
        table.stdout
    );
    assert!(table.stderr.contains("database is old"), "{}", table.stderr);

    let passed = json(&home, ["scan", "3000.2"]);
    assert_eq!(passed["gate"]["verdict"], json!("pass"));
    assert_eq!((&passed["lookedUp"], &passed["findings"]), (&json!(1), &json!([])));
}

/// `-o json` of a failing verb writes the result and then the failure.
fn first_document(text: &str) -> Value {
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    documents.next().unwrap().unwrap()
}

#[test]
fn what_could_not_be_looked_up_is_no_pass() {
    let home = prepared();
    debian_like().write_layout(&home.path().join("debian"), "1.0");
    let undecided = run(&home, ["scan", "debian"]);
    refuses(&undecided, 1, "scan-undecided");
    assert!(
        undecided.stderr.contains("distribution-not-in-database"),
        "{}",
        undecided.stderr
    );
    assert!(undecided.stdout.contains("0 looked up, 2 not"), "{}", undecided.stdout);
    refuses(
        &run(&home, ["scan", "--max-db-age", "30", "3000.2"]),
        1,
        "scan-undecided",
    );
    // Without the catalogue nobody can say what is exploited.
    let without = Sandbox::new().with("PROOFMARK_DB", "advisories.db");
    run(&without, ["db", "import", &fixture_path("advisories/osv")]).expect_success();
    with_salt(&without, "3000.2");
    let undecided = run(&without, ["scan", "3000.2"]);
    refuses(&undecided, 1, "scan-undecided");
    assert!(
        undecided.stderr.contains("no-exploited-catalogue"),
        "{}",
        undecided.stderr
    );
}

#[test]
fn a_package_database_that_cannot_be_read_is_no_pass() {
    let home = prepared();
    let layer = Layer::gzip()
        .file("etc/os-release", "ID=almalinux\nVERSION_ID=\"9.2\"\n")
        .file(
            "var/lib/rpm/rpmdb.sqlite",
            "SQLite format 3\0 and then nothing that is a page of it",
        );
    Built::image("linux/amd64", &[layer], |_| ()).write_layout(&home.path().join("broken"), "1.0");
    let outcome = run(&home, ["scan", "broken"]);
    refuses(&outcome, 1, "scan-undecided");
    assert!(
        outcome.stderr.contains("var/lib/rpm/rpmdb.sqlite"),
        "{}",
        outcome.stderr
    );
}

/// Azure Linux' images without rpm have a list, OpenWrt's opkg a status file of its own.
#[test]
fn every_form_of_a_package_database_counts() {
    let home = prepared();
    for (number, path) in [
        "var/lib/rpmmanifest/container-manifest-2",
        "usr/lib/opkg/status",
        "var/lib/dpkg/status",
    ]
    .into_iter()
    .enumerate()
    {
        let layer = Layer::gzip()
            .file("etc/os-release", "ID=almalinux\nVERSION_ID=\"9.2\"\n")
            .file(path, "Package: without a version\nStatus: install ok installed\n");
        let folder = format!("broken-{number}");
        Built::image("linux/amd64", &[layer], |_| ()).write_layout(&home.path().join(&folder), "1.0");
        let outcome = run(&home, ["scan", &folder]);
        refuses(&outcome, 1, "scan-undecided");
        assert!(outcome.stderr.contains(&format!("{path}: ")), "{}", outcome.stderr);
    }
}

#[test]
fn exceptions_and_vex_hold_back_what_they_name() {
    let home = prepared();
    let rules = "rules: [{id: ours, reason: a test, action: stop, when: {exploited: true}}]\n";
    let exception = |until: &str| {
        format!(
            "{rules}exceptions: [{{id: CVE-2020-11651, package: salt, reason: no master runs, expires: {until}}}]\n"
        )
    };
    let vex = |package: &str| {
        json!({
            "@context": "https://openvex.dev/ns/v0.2.0", "@id": "v", "author": "us", "timestamp": "2026-01-01T00:00:00Z",
            "version": 1, "statements": [{
                "vulnerability": { "name": "CVE-2020-11651" }, "products": [{ "@id": package }],
                "status": "not_affected", "justification": "component_not_present",
            }],
        })
        .to_string()
    };
    write(home.path(), "gate.yaml", rules);
    write(home.path(), "lasting.yaml", exception("9999-12-31"));
    write(home.path(), "ended.yaml", exception("2020-01-01"));
    write(home.path(), "vex.json", vex("pkg:pypi/salt@3000.1"));
    write(home.path(), "other.json", vex("pkg:pypi/pepper@3000.1"));
    refuses(
        &run(&home, ["scan", "--gate", "gate.yaml", "3000.1"]),
        3,
        "gate-refused",
    );
    refuses(
        &run(&home, ["scan", "--gate", "ended.yaml", "3000.1"]),
        3,
        "gate-refused",
    );
    let unheard = run(&home, ["scan", "--vex", "other.json", "3000.1"]);
    refuses(&unheard, 3, "gate-refused");
    assert!(unheard.stderr.contains("matched no finding"), "{}", unheard.stderr);
    run(&home, ["scan", "--gate", "lasting.yaml", "3000.1"]).expect_success();
    let held = json(&home, ["scan", "--vex", "vex.json", "3000.1"]);
    assert_eq!(held["findings"][0]["decision"]["rule"], json!("vex:v"));
    write(home.path(), "typo.yaml", rules.replace("exploited", "exploitd"));
    fails(
        &run(&home, ["scan", "--gate", "typo.yaml", "3000.1"]),
        2,
        "gate-malformed",
    );
    fails(
        &run(&home, ["scan", "--vex", "gate.yaml", "3000.1"]),
        2,
        "vex-unknown-format",
    );
}

#[test]
fn a_database_is_whole_or_none() {
    let home = prepared();
    let status = json(&home, ["db", "status"]);
    let names: Vec<&str> = status["ecosystems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|section| section["ecosystem"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["AlmaLinux", "Go", "PyPI"]);
    assert_eq!(status["leftOut"]["withdrawn"], json!(1));
    let path = home.path().join("advisories.db");
    let good = fs::read(&path).unwrap();

    // An import that fails leaves what is there.
    write(home.path(), "cut.zip", &zipped()[..400]);
    fails(&run(&home, ["db", "import", "cut.zip"]), 2, "zip-broken");
    let mut flipped = zipped();
    flipped[120] ^= 0x55;
    write(home.path(), "flipped.zip", flipped);
    fails(&run(&home, ["db", "import", "flipped.zip"]), 2, "zip-broken");
    write(home.path(), "text.json", "{}");
    fails(&run(&home, ["db", "import", "text.json"]), 2, "advisory-not-osv");
    fails(&run(&home, ["db", "import", &kev()]), 2, "no-advisories");
    fails(&run(&home, ["db", "import", "nowhere.zip"]), 2, "file-unreadable");
    assert_eq!(fs::read(&path).unwrap(), good);

    // A damaged one finds nothing out, and says so.
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    fs::write(&path, &bad).unwrap();
    fails(&run(&home, ["scan", "3000.1"]), 1, "database-damaged");
    fs::write(&path, &good[..last]).unwrap();
    fails(&run(&home, ["db", "status"]), 1, "database-length");
    fs::remove_file(&path).unwrap();
    fails(&run(&home, ["scan", "3000.1"]), 1, "database-missing");
}

/// A bulk file as OSV has them.
fn zipped() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let folder = fixture_path("advisories/osv");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(&fs::read(path).unwrap()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn bulk_files_are_read_and_what_is_broken_in_them_is_named() {
    let home = prepared();
    let from_folder = json(&home, ["db", "status"]);
    write(home.path(), "all.zip", zipped());
    let from_zip = json(&home, ["db", "import", "all.zip", &kev(), &feed("epss.csv")]);
    assert_eq!(from_zip["ecosystems"], from_folder["ecosystems"]);
    let mut writer = zip::ZipWriter::new_append(Cursor::new(zipped())).unwrap();
    writer.start_file("broken.json", SimpleFileOptions::default()).unwrap();
    writer.write_all(b"{").unwrap();
    write(home.path(), "broken.zip", writer.finish().unwrap().into_inner());
    let outcome = run(&home, ["db", "import", "broken.zip"]);
    assert!(
        outcome.expect_success().stderr.contains("broken.json"),
        "{}",
        outcome.stderr
    );
    assert_eq!(json(&home, ["db", "status"])["leftOut"]["unreadable"], json!(1));
}

#[test]
fn reports_for_machines() {
    let home = prepared();
    let document = |format: &str, image: &str| -> Value {
        serde_json::from_str(&run(&home, ["scan", "-f", format, image]).stdout).unwrap()
    };
    let sarif = document("sarif", "3000.1");
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(
        (&result["ruleId"], &result["level"]),
        (&json!("CVE-2020-11651"), &json!("warning"))
    );
    let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(
        *uri,
        json!("usr/lib/python3/site-packages/salt-3000.1.dist-info/METADATA")
    );
    assert_eq!(document("sarif", "3000.2")["runs"][0]["results"], json!([]));
    // The fixtures are of 2025: that is said in every format, also where nothing is found.
    let said = &document("sarif", "3000.2")["runs"][0]["invocations"][0]["toolExecutionNotifications"][0];
    assert_eq!(
        (&said["level"], &said["descriptor"]["id"]),
        (&json!("warning"), &json!("database-old"))
    );
    let result = &document("cosign-vuln", "3000.2")["scanner"]["result"];
    assert_eq!(result["database"]["notices"][0]["code"], json!("database-old"));
    assert_eq!(
        document("json", "3000.2")["database"]["notices"][0]["code"],
        json!("database-old")
    );
    let text = run(&home, ["scan", "3000.2"]);
    assert!(text.stdout.contains("[database-old]"), "{}", text.stdout);
    let predicate = document("cosign-vuln", "3000.1");
    assert_eq!(
        predicate["scanner"]["result"]["findings"][0]["id"],
        json!("CVE-2020-11651")
    );
    assert_eq!(document("json", "3000.1")["gate"]["verdict"], json!("stop"));
}
