//! Where trust comes from: a TUF mirror of ours, an archive over an air gap, keys and certificates on the command line;
//! and cosign, which does the same with the same flags.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::debian_like;
use proofmark_testkit::peers::{COSIGN3, OPENSSL};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::world::{Registry, Trust, WORKFLOW, closed_port, fails, flags, home, json, run};

mod cache;
mod env;
mod services;
mod shown;

/// Chooses the mirror of a trust domain.
fn initialize(home: &Sandbox, trust: &Trust) -> String {
    let (mirror, root) = (mirror(trust), trust.file("tuf_root.json"));
    run(home, ["initialize", "--mirror", &mirror, "--root", &root]).expect_success();
    mirror
}

/// The folder of the place that counts now.
fn place(home: &Sandbox) -> PathBuf {
    let status = json(home, ["trust", "status"]);
    PathBuf::from(status["repositories"][0]["folder"].as_str().unwrap())
}

/// Changes what is kept about how the copy came about.
fn change_state(home: &Sandbox, change: impl FnOnce(&mut Value)) {
    let file = place(home).join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut state);
    fs::write(&file, state.to_string()).unwrap();
}

fn days_ago(days: u64) -> Value {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    json!(proofmark_types::UnixTime::from_system(then))
}

/// The address of the mirror that a trust domain serves.
fn mirror(trust: &Trust) -> String {
    let config: Value = serde_json::from_slice(&fs::read(trust.file("signing_config.json")).unwrap()).unwrap();
    format!("{}/tuf", config["caUrls"][0]["url"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initialized_machine_verifies_without_a_file() {
    let (home, registry, trust) = (home(), Registry::start().await, Trust::start().await);
    let image = registry.push(&debian_like(), "1.0").await;
    run(&home, flags(&["sign", &image], &trust.signing())).expect_success();
    let identity = [
        "--certificate-identity",
        WORKFLOW,
        "--certificate-oidc-issuer",
        &trust.issuer(),
    ];
    let verify = || run(&home, ["verify"].into_iter().chain(identity).chain([image.as_str()]));

    // The public instance is trusted until told otherwise, and it knows nothing of this signature.
    fails(&verify(), 12, "no-acceptable-signature");
    let mirror = mirror(&trust);
    let root = trust.file("tuf_root.json");
    let done = json(&home, ["initialize", "--mirror", &mirror, "--root", &root]);
    assert_eq!(done["state"]["rootVersion"], 1, "{done}");
    assert_eq!(done["trustedRoot"]["origin"]["mirror"], mirror.as_str(), "{done}");
    verify().expect_success();

    let status = json(&home, ["trust", "status"]);
    assert_eq!(status["repositories"][0]["mirror"], mirror.as_str());
    assert_eq!(status["repositories"][0]["used"], true);
    assert_eq!(status["repositories"][0]["trustedRoot"]["stale"], Value::Null);
    assert_eq!(status["repositories"][1]["trustedRoot"]["origin"]["kind"], "embedded");
    let text = run(&home, ["trust", "status"]).stdout;
    assert!(
        text.contains(&format!("* {mirror}")) && text.contains("root version 1"),
        "{text}"
    );
    // What one machine chose is nothing to another.
    let other = Sandbox::new();
    fails(
        &other.run(
            crate::world::PROOFMARK,
            ["verify"].into_iter().chain(identity).chain([image.as_str()]),
        ),
        12,
        "no-acceptable-signature",
    );
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn initialize_believes_only_what_the_root_leads_to() {
    let (home, trust, stranger) = (Sandbox::new(), Trust::start().await, Trust::start().await);
    let mirror = mirror(&trust);
    let (own, other) = (trust.file("tuf_root.json"), stranger.file("tuf_root.json"));
    let refused = |arguments: &[&str], exit: i32, code: &str| {
        let all: Vec<&str> = ["initialize", "--mirror", &mirror]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        fails(&run(&home, all), exit, code);
    };
    refused(&[], 1, "tuf-no-root");
    refused(&["--root", &other], 1, "tuf-threshold");
    refused(
        &["--root", &own, "--root-checksum", &"00".repeat(32)],
        1,
        "root-checksum-differs",
    );
    refused(
        &["--root", &own, "--root-checksum", "md5:00"],
        2,
        "root-checksum-malformed",
    );
    let address = format!("{mirror}/1.root.json");
    refused(&["--root", &address], 2, "root-checksum-missing");
    refused(&["--root-checksum", &"00".repeat(32)], 2, "root-checksum-without-root");
    run(&home, ["initialize", "--mirror", &mirror, "--staging"]).expect_code(2);
    // Nothing of it changed what is trusted.
    assert_eq!(
        json(&home, ["trust", "status"])["repositories"][0]["instance"],
        "public"
    );

    let checksum = proofmark_types::Digest::sha256_of(&fs::read(&own).unwrap()).hex();
    let by_address = [
        "initialize",
        "--mirror",
        &mirror,
        "--root",
        &address,
        "--root-checksum",
        &checksum,
    ];
    run(&home, by_address).expect_success();
    // A wrong root later does not take away the right one.
    refused(&["--root", &other], 1, "tuf-threshold");
    let status = json(&home, ["trust", "status"]);
    assert_eq!(status["repositories"][0]["mirror"], mirror.as_str());
    assert_eq!(status["repositories"][0]["state"]["rootVersion"], 1, "{status}");
    // A choice that cannot be read is not the public instance's.
    let chosen = home.path().join(".cache/proofmark/tuf/chosen.json");
    let kept = fs::read(&chosen).unwrap();
    fs::remove_file(&chosen).unwrap();
    fs::create_dir(&chosen).unwrap();
    assert!(!run(&home, ["trust", "status"]).succeeded());
    fs::remove_dir(&chosen).unwrap();
    fs::write(&chosen, kept).unwrap();

    let unreachable = format!("http://{}/tuf", closed_port());
    let outcome = run(&home, ["initialize", "--mirror", &unreachable, "--root", &own]);
    fails(&outcome, 1, "tuf-unreachable");
    assert!(outcome.stderr.contains("trust import"), "{}", outcome.stderr);
    fails(&run(&home, ["initialize", "--mirror", "ftp://a.test"]), 2, "tuf-mirror");
    // A choice by the environment that nobody initialized is no reason to trust the public instance instead.
    let elsewhere = Sandbox::new().with("TUF_MIRROR", &unreachable);
    let outcome = run(
        &elsewhere,
        [
            "verify",
            "--certificate-identity",
            "a",
            "--certificate-oidc-issuer",
            "b",
            "a.test/b",
        ],
    );
    fails(&outcome, 2, "trust-not-initialized");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_crosses_an_air_gap_and_does_not_go_back() {
    let (connected, isolated) = (Sandbox::new(), Sandbox::new());
    let trust = Trust::start().await;
    let mirror = mirror(&trust);
    let root = trust.file("tuf_root.json");
    let file = connected.path().join("trust.tar").display().to_string();
    fails(&run(&connected, ["trust", "export", &file]), 2, "trust-nothing-kept");
    run(&connected, ["initialize", "--mirror", &mirror, "--root", &root]).expect_success();
    run(&connected, ["trust", "export", &file]).expect_success();

    fails(&run(&isolated, ["trust", "import", &file]), 2, "trust-other-mirror");
    let import = |root: &str, file: &str| {
        run(
            &isolated,
            ["trust", "import", file, "--mirror", &mirror, "--root", root],
        )
    };
    fails(
        &import(&Trust::start().await.file("tuf_root.json"), &file),
        1,
        "tuf-threshold",
    );
    import(&root, &file).expect_success();
    let status = json(&isolated, ["trust", "status"]);
    assert_eq!(status["repositories"][0]["mirror"], mirror.as_str(), "{status}");
    assert_eq!(status["repositories"][0]["used"], true);

    // Unpacked it is a mirror, for us and for others.
    let folder = isolated.path().join("mirror");
    fs::create_dir(&folder).unwrap();
    let unpacked = isolated.run("/bin/tar", ["-xf", &file, "-C", &folder.display().to_string()]);
    unpacked.expect_success();
    let local = format!("file://{}", folder.display());
    run(&isolated, ["initialize", "--mirror", &local, "--root", &root]).expect_success();

    // A changed byte in the archive.
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(14).position(|part| part == b"snapshot.json\"").unwrap();
    bytes[at] = b'S';
    let broken = isolated.path().join("broken.tar").display().to_string();
    fs::write(&broken, &bytes).unwrap();
    let fresh = Sandbox::new();
    let outcome = run(
        &fresh,
        ["trust", "import", &broken, "--mirror", &mirror, "--root", &root],
    );
    fails(&outcome, 1, "tuf-threshold");
    fs::write(&broken, &bytes[..700]).unwrap();
    let outcome = run(
        &fresh,
        ["trust", "import", &broken, "--mirror", &mirror, "--root", &root],
    );
    fails(&outcome, 2, "trust-archive-malformed");

    // The server publishes something newer; the archive of before is a step back.
    let path = trust.file("trusted_root.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"acme\"", "\"acme two\"");
    fs::write(&path, text).unwrap();
    let trust = trust.restart().await;
    run(&connected, ["trust", "refresh"]).expect_success();
    let newer = connected.path().join("newer.tar").display().to_string();
    run(&connected, ["trust", "export", &newer]).expect_success();
    import(&root, &newer).expect_success();
    fails(&import(&root, &file), 1, "tuf-rollback");
    drop(trust);
}

/// Online it is refreshed after the verb; offline not at all; and a mirror that never answers holds nobody up.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn a_refresh_in_the_background_delays_nothing() {
    let trust = Trust::start().await;
    let (mirror, root) = (mirror(&trust), trust.file("tuf_root.json"));
    let home = Sandbox::new();
    run(&home, ["initialize", "--mirror", &mirror, "--root", &root]).expect_success();
    let place = json(&home, ["trust", "status"])["repositories"][0]["folder"].clone();
    let state_file = Path::new(place.as_str().unwrap()).join("state.json");
    // Two days ago.
    let mut state: Value = serde_json::from_slice(&fs::read(&state_file).unwrap()).unwrap();
    let before = proofmark_types::UnixTime::from_system(SystemTime::now() - Duration::from_secs(2 * 86_400));
    state["refreshed"] = json!(before);
    fs::write(&state_file, state.to_string()).unwrap();
    let verify = [
        "verify",
        "--certificate-identity",
        "a",
        "--certificate-oidc-issuer",
        "b",
        "127.0.0.1:1/app:1",
    ];
    // Offline nothing is tried.
    run(&home, verify).expect_code(1);
    std::thread::sleep(Duration::from_millis(500));
    let kept: Value = serde_json::from_slice(&fs::read(&state_file).unwrap()).unwrap();
    assert_eq!(
        kept["refreshed"],
        json!(before),
        "PROOFMARK_OFFLINE keeps it from being refreshed"
    );
    // Online it is refreshed after the verb has ended.
    let mut command = home.command(crate::world::PROOFMARK);
    command.args(verify).env_remove("PROOFMARK_OFFLINE");
    home.finish(&mut command, b"").expect_code(1);
    let started = Instant::now();
    loop {
        let kept: Value = serde_json::from_slice(&fs::read(&state_file).unwrap()).unwrap();
        if kept["refreshed"] != json!(before) {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "nothing refreshed it: {kept}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }

    // A mirror that accepts and never answers: the verb ends all the same.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = silent.accept().await {
            let mut head = [0; 64];
            let _ = stream.read(&mut head).await;
            let _ = stream.flush().await;
            open.push(stream);
        }
    });
    let home = Sandbox::new().with("TUF_MIRROR", &address);
    let folder = home.path().join(".cache/proofmark/tuf");
    let source = state_file.parent().unwrap();
    let name: String = address
        .bytes()
        .map(|byte| match byte {
            b':' => "%3A".to_owned(),
            b'/' => "%2F".to_owned(),
            byte => char::from(byte).to_string(),
        })
        .collect();
    let copied = home.run(
        "/bin/sh",
        [
            "-c",
            &format!(
                "mkdir -p {0} && cp -r {1} {0}/'{name}'",
                folder.display(),
                source.display()
            ),
        ],
    );
    copied.expect_success();
    let state_file = folder.join(&name).join("state.json");
    let begin = |more: (&str, &str)| {
        fs::write(&state_file, state.to_string()).unwrap();
        let started = Instant::now();
        let mut command = home.command(crate::world::PROOFMARK);
        command.args(verify).env_remove("PROOFMARK_OFFLINE").env(more.0, more.1);
        // Until both pipes are closed too, which a build waits for.
        home.finish(&mut command, b"").expect_code(1);
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{more:?}: {:?}",
            started.elapsed()
        );
    };
    begin(("CI", "true"));
    // The attempt is written down before its end: it is not made again at once.
    let started = Instant::now();
    loop {
        let kept: Value = serde_json::from_slice(&fs::read(&state_file).unwrap()).unwrap();
        if kept["failures"] == 1 {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no attempt is noted: {kept}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    held.abort();
    // Nobody there at all.
    begin(("CI", "true"));
    begin(("LANG", "C"));
}

#[tokio::test(flavor = "multi_thread")]
async fn staleness_is_said() {
    let (home, trust) = (Sandbox::new(), Trust::start().await);
    let mirror = initialize(&home, &trust);
    change_state(&home, |state| state["refreshed"] = days_ago(100));
    let verify = [
        "verify",
        "--certificate-identity",
        "a",
        "--certificate-oidc-issuer",
        "b",
        "127.0.0.1:1/app:1",
    ];
    let said = run(&home, verify).stderr;
    assert!(
        said.contains(&format!("warning: the trust root of {mirror} is 100 days old")),
        "{said}"
    );
    assert!(said.contains("proofmark initialize"), "{said}");
    let status = json(&home, ["trust", "status"]);
    assert!(
        status["repositories"][0]["trustedRoot"]["stale"].is_string(),
        "{status}"
    );
    assert!(run(&home, ["trust", "status"]).stdout.contains("STALE"));
    // A file is nobody's copy: nothing is said of its age.
    let file = trust.file("trusted_root.json");
    let said = run(&home, verify.into_iter().chain(["--trusted-root", file.as_str()])).stderr;
    assert!(!said.contains("warning"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_initializes_from_our_mirror() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let (home, trust) = (Sandbox::new(), Trust::start().await);
    let (mirror, root) = (mirror(&trust), trust.file("tuf_root.json"));
    home.run(&cosign, ["initialize", "--mirror", &mirror, "--root", &root])
        .expect_success();
    run(&home, ["initialize", "--mirror", &mirror, "--root", &root]).expect_success();
    // Both begin with it, add to it and leave out of it in the same way.
    let spec = "url=https://f.test,api-version=1,start-time=2024-01-01T00:00:00Z,operator=a";
    for more in [
        &["--with-default-services"] as &[&str],
        &["--with-default-rekor-v2"],
        &["--with-default-services", "--no-default-fulcio"],
        &["--with-default-services", "--fulcio", spec],
        &["--with-default-services", "--rekor", spec, "--rekor-config", "ALL"],
        &[
            "--with-default-services",
            "--no-default-tsa",
            "--tsa",
            spec,
            "--tsa-config",
            "EXACT:1",
        ],
    ] {
        same(&home, &cosign, &[&["signing-config", "create"], more].concat());
    }
    for more in [&[] as &[&str], &["--no-default-rekor", "--no-default-tsa"]] {
        let fixed: &[&str] = &["trusted-root", "create", "--with-default-services"];
        same(&home, &cosign, &[fixed, more].concat());
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
fn made_documents_are_cosigns() {
    let (Some(cosign), Some(openssl)) = (COSIGN3.or_skip(), OPENSSL.or_skip()) else {
        return;
    };
    let home = Sandbox::new();
    let script = "set -e\n\
        $0 ecparam -name prime256v1 -genkey -noout -out k.pem; $0 ec -in k.pem -pubout -out k.pub\n\
        $0 genpkey -algorithm ed25519 -out e.pem; $0 pkey -in e.pem -pubout -out e.pub\n\
        $0 genrsa -out r.pem 2048; $0 rsa -in r.pem -pubout -out r.pub\n\
        $0 req -x509 -new -key k.pem -subj /O=acme/CN=root -days 3650 -out ca.pem\n\
        $0 req -new -key k.pem -subj /O=acme/CN=tsa -out l.csr\n\
        printf 'keyUsage=critical,digitalSignature\\nextendedKeyUsage=critical,timeStamping\\n' > l.ext\n\
        $0 x509 -req -in l.csr -CA ca.pem -CAkey k.pem -days 300 -extfile l.ext -out l.pem -set_serial 7\n\
        cat l.pem ca.pem > tsa.pem";
    home.run("/bin/sh", ["-c", script, &openssl.display().to_string()])
        .expect_success();
    let start = "start-time=2024-01-01T00:00:00Z";
    let arguments = [
        "trusted-root".to_owned(),
        "create".to_owned(),
        "--fulcio=url=https://f.test,certificate-chain=ca.pem,end-time=2030-01-01T00:00:00Z".to_owned(),
        format!("--rekor=url=https://r.test,public-key=e.pub,{start},origin=r.test/log"),
        format!("--rekor=url=https://r2.test,public-key=e.pub,{start}"),
        format!("--rekor=url=https://r3.test,public-key=k.pub,{start},end-time=2025-01-01T00:00:00Z"),
        format!("--rekor=url=https://r4.test,public-key=r.pub,{start}"),
        format!("--ctfe=url=https://c.test,public-key=k.pub,{start}"),
        "--tsa=url=https://t.test/api/v1/timestamp,certificate-chain=tsa.pem".to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    same(&home, &cosign, &arguments);
    let service = format!("api-version=1,{start},operator=a");
    let arguments = [
        "signing-config".to_owned(),
        "create".to_owned(),
        format!("--fulcio=url=https://f.test,{service},end-time=2030-01-01T00:00:00Z"),
        format!("--rekor=url=https://r.test,{service}"),
        format!("--rekor=url=https://r2.test,{service}"),
        "--rekor-config=EXACT:2".to_owned(),
        format!("--oidc-provider=url=https://o.test/auth,{service}"),
        format!("--tsa=url=https://t.test/api/v1/timestamp,{service}"),
        "--tsa-config=ALL".to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    same(&home, &cosign, &arguments);
    // The flags that cosign had before, matched by their place.
    for old in [
        "--rekor-key e.pub,r.test/log --rekor-url https://r.test --rekor-start-time 2024-01-01T00:00:00Z",
        "--rekor-key k.pub --rekor-key r.pub --rekor-url https://r.test --rekor-url https://r2.test \
            --rekor-start-time 2024-01-01T00:00:00Z --rekor-end-time 2025-01-01T00:00:00Z",
        "--ctfe-key k.pub --ctfe-url https://c.test --ctfe-start-time 2024-01-01T00:00:00Z",
        "--ctfe-key k.pub --ctfe-url https://c.test --ctfe-start-time 2024-01-01T00:00:00Z --ctfe-end-time 2025-01-01T00:00:00Z",
        "--certificate-chain ca.pem --fulcio-uri https://f.test",
        "--timestamp-certificate-chain tsa.pem --timestamp-uri https://t.test",
    ] {
        let words: Vec<&str> = old.split_whitespace().collect();
        same(
            &home,
            &cosign,
            &[&["trusted-root", "create"], words.as_slice()].concat(),
        );
    }
    for wrong in [
        "--rekor-key k.pub --rekor-end-time soon",
        "--rekor-key k.pub --rekor-end-time 2025-01-01T00:00:00Z --rekor-end-time 2026-01-01T00:00:00Z",
        "--ctfe-url https://c.test",
        "--fulcio-uri https://f.test",
    ] {
        let words = ["trusted-root", "create"].into_iter().chain(wrong.split_whitespace());
        fails(&run(&home, words), 2, "malformed-service");
    }
    // What neither takes.
    for (wrong, code) in [
        (
            ["trusted-root", "create", "--rekor=url=https://r.test,public-key=e.pub"],
            "malformed-service",
        ),
        (
            [
                "trusted-root",
                "create",
                "--rekor=url=https://r.test,public-key=e.pub,end-tme=x",
            ],
            "malformed-service",
        ),
        (
            ["signing-config", "create", "--fulcio=url=https://f.test"],
            "malformed-service",
        ),
        (
            ["signing-config", "create", "--rekor-config=EXACT:0"],
            "malformed-service",
        ),
    ] {
        fails(&run(&home, wrong), 2, code);
    }
}

/// Both write the same JSON, in whatever order of fields. cosign writes an authority's name anew from its certificate,
/// also where the trust root that it begins with has another; ours is left as it was.
fn same(home: &Sandbox, cosign: &Path, arguments: &[&str]) {
    let theirs = home.run(cosign, arguments).expect_success().stdout.clone();
    let ours = run(home, arguments.iter().copied()).expect_success().stdout.clone();
    let read = |text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        // cosign keeps logs by their key, and writes them in any order.
        for list in ["tlogs", "ctlogs"] {
            if let Some(logs) = value.get_mut(list).and_then(Value::as_array_mut) {
                logs.sort_by_key(|log| log["logId"]["keyId"].to_string());
            }
        }
        if arguments.contains(&"--with-default-services") {
            for list in ["certificateAuthorities", "timestampAuthorities"] {
                let authorities = value.get_mut(list).and_then(Value::as_array_mut);
                for authority in authorities.into_iter().flatten() {
                    authority.as_object_mut().unwrap().remove("subject");
                }
            }
        }
        value
    };
    assert_eq!(read(&ours), read(&theirs), "{arguments:?}");
}

#[test]
fn env_names_what_cosign_names_and_hides_secrets() {
    let home = Sandbox::new()
        .with("COSIGN_PASSWORD", "hunter2")
        .with("TUF_ROOT", "/a/folder")
        .with("VAULT_TOKEN", "hunter3");
    let text = run(&home, ["env"]).expect_success().stdout.clone();
    assert!(
        text.contains("COSIGN_PASSWORD=******") && text.contains("TUF_ROOT=/a/folder"),
        "{text}"
    );
    assert!(!text.contains("hunter"), "{text}");
    let shown = json(&home, ["env", "--show-sensitive-values"]);
    assert_eq!(shown["COSIGN_PASSWORD"], "hunter2");
    let short = run(&home, ["env", "--show-descriptions=false"]).stdout;
    assert!(!short.contains('#'), "{short}");
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let theirs = home
        .run(cosign, ["env", "--show-descriptions=false"])
        .expect_success()
        .stdout
        .clone();
    for name in theirs
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
    {
        assert!(shown.get(name).is_some(), "{name}");
    }
}
