//! `up` and the servers by themselves: they say where they are, stop when told to, and find what they had.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::debian_like;
use proofmark_trust_server::DevIssuer;
use serde_json::{Value, json};

use crate::world::{PROOFMARK, WORKFLOW, ci_token, fails, fixture_path, flags, json, run, write};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs until it is told to stop; killed if a test gives up on it.
pub(crate) struct Serving {
    child: Child,
    /// What it said when it was ready.
    pub(crate) said: Value,
}

impl Serving {
    /// Starts the binary with `-o json` and waits for its first document.
    pub(crate) fn start(home: &Sandbox, arguments: &[&str]) -> Self {
        let mut command = home.command(PROOFMARK);
        let mut child = command
            .args(["-o", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while serde_json::from_str::<Value>(&text).is_err() {
            let read = lines.read_line(&mut text).unwrap();
            assert!(read > 0, "it ended: {text}");
        }
        Self {
            child,
            said: serde_json::from_str(&text).unwrap(),
        }
    }

    /// Ends it as a supervisor does.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(asked.elapsed() < PATIENCE, "it does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `up` in the folder `data`.
fn up(home: &Sandbox, registry: &str, trust: &str) -> Serving {
    let ports = [
        "--registry-port",
        registry,
        "--trust-port",
        trust,
        "--admission-port",
        "0",
    ];
    let arguments: Vec<&str> = ["up", "--dir", "data"].into_iter().chain(ports).collect();
    Serving::start(home, &arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_and_logged_is_there_the_next_time() {
    let home = Sandbox::new();
    let first = up(&home, "0", "0");
    let registry = first.said["registry"].as_str().unwrap().to_owned();
    let trust = first.said["trust"].as_str().unwrap().to_owned();
    debian_like().push(registry.parse().unwrap(), "app", "1.0").await;
    let issuer = DevIssuer::open(&home.path().join("data/trust")).unwrap();
    let image = format!("{registry}/app:1.0");
    let token = ci_token(&issuer);
    let file = |name: &str| first.said[name].as_str().unwrap().to_owned();
    let (config, root) = (file("signingConfig"), file("trustedRoot"));
    let release = |image: &str| {
        json(
            &home,
            [
                "release",
                "--signing-config",
                &config,
                "--trusted-root",
                &root,
                "--identity-token",
                &token,
                image,
            ],
        )
    };
    release(&image);
    assert!(first.stop().success(), "a server that is told to stop ends well");

    let ports = [&registry, &trust].map(|address| address.rsplit(':').next().unwrap().to_owned());
    let elsewhere = run(
        &home,
        ["up", "--dir", "data", "--registry-port", "0", "--trust-port", "1"],
    );
    let elsewhere = fails(&elsewhere, 2, "trust-origin");
    assert!(
        elsewhere.stderr.contains(&format!("--trust-port {}", ports[1])),
        "{}",
        elsewhere.stderr
    );
    let second = up(&home, &ports[0], "0");
    assert_eq!(second.said["trust"], json!(trust));
    let who = [
        "--trusted-root".to_owned(),
        root.clone(),
        "--certificate-identity".to_owned(),
        WORKFLOW.to_owned(),
        "--certificate-oidc-issuer".to_owned(),
        issuer.ci_issuer(),
    ];
    let indexes = || {
        let verified = json(&home, flags(&["verify", &image], &who));
        let mut indexes: Vec<u64> = verified[0]["signatures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|signature| signature["logs"][0]["index"].as_u64().unwrap())
            .collect();
        indexes.sort_unstable();
        indexes
    };
    let before = indexes();
    assert_eq!(before.len(), 1);
    release(&image);
    let after = indexes();
    assert_eq!(after.len(), 2, "the log goes on where it was: {before:?} {after:?}");
    assert_eq!(after[0], before[0]);
    assert!(after[1] >= before[0] + 3, "three entries a release: {after:?}");
    assert!(second.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken() {
    let home = Sandbox::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let registry = run(&home, ["registry", "serve", "--dir", "r", "--listen", &address]);
    let registry = fails(&registry, 1, "registry-not-started");
    assert!(registry.stderr.contains(&address), "{}", registry.stderr);
    let port = address.rsplit(':').next().unwrap();
    let up = run(
        &home,
        [
            "up",
            "--dir",
            "data",
            "--registry-port",
            "0",
            "--trust-port",
            port,
            "--admission-port",
            "0",
        ],
    );
    let up = fails(&up, 1, "trust-listen");
    assert!(
        up.stderr.contains(port) && up.stderr.contains("--trust-port"),
        "{}",
        up.stderr
    );
    let pattern = [
        "registry",
        "serve",
        "--dir",
        "r",
        "--listen",
        "127.0.0.1:0",
        "--immutable-tags",
        "(",
    ];
    run(&home, pattern).expect_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_by_itself() {
    let home = Sandbox::new();
    let arguments = ["registry", "serve", "--dir", "r", "--listen", "127.0.0.1:0"];
    let server = Serving::start(&home, &arguments);
    let address = server.said["address"].as_str().unwrap().to_owned();
    debian_like().push(address.parse().unwrap(), "app", "1.0").await;
    json(&home, ["tree", &format!("{address}/app:1.0")]);
    assert!(server.stop().success());
    write(home.path(), "users", "ci:not a hash\n");
    let outcome = run(
        &home,
        [
            "registry",
            "serve",
            "--dir",
            "r",
            "--listen",
            "127.0.0.1:0",
            "--htpasswd",
            "users",
        ],
    );
    fails(&outcome, 2, "htpasswd-unusable");
}

#[test]
fn a_trust_domain_is_made_once() {
    let home = Sandbox::new();
    let init = || {
        run(
            &home,
            [
                "trust",
                "init",
                "--dir",
                "t",
                "--origin",
                "http://127.0.0.1:1",
                "-o",
                "json",
            ],
        )
    };
    let made = init();
    assert!(made.expect_success().stderr.contains("--issuers"), "{}", made.stderr);
    let before = std::fs::read(home.path().join("t/trusted_root.json")).unwrap();
    let again = init();
    again.expect_code(2);
    assert_eq!(std::fs::read(home.path().join("t/trusted_root.json")).unwrap(), before);
    let serve = run(&home, ["trust", "serve", "--dir", "absent", "--listen", "127.0.0.1:0"]);
    assert!(matches!(serve.code, Some(1 | 2)));
    assert!(
        serve.stderr.contains("trust init") || serve.stderr.contains("absent"),
        "{}",
        serve.stderr
    );
    write(
        home.path(),
        "issuers.yaml",
        "oidc-issuers: [{issuer-url: x, no-such: y}]\n",
    );
    let outcome = run(
        &home,
        [
            "trust",
            "init",
            "--dir",
            "u",
            "--origin",
            "http://127.0.0.1:1",
            "--issuers",
            "issuers.yaml",
        ],
    );
    fails(&outcome, 2, "trust-issuer");
    // The example of the documentation is one that is read.
    let page = include_str!("../../../../docs/trust.md");
    let example: String = page
        .lines()
        .skip_while(|line| *line != "oidc-issuers:")
        .take_while(|line| !line.starts_with('$'))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(example.contains("ci-provider"), "{example}");
    write(home.path(), "example.yaml", &example);
    let origin = "http://127.0.0.1:1";
    let arguments = [
        "trust",
        "init",
        "--dir",
        "v",
        "--origin",
        origin,
        "--issuers",
        "example.yaml",
    ];
    assert_eq!(run(&home, arguments).expect_success().stderr, "");
    assert!(!home.path().join("u/trusted_root.json").exists());
}

#[test]
fn a_webhook_by_itself() {
    let home = Sandbox::new();
    std::fs::create_dir(home.path().join("policies")).unwrap();
    let arguments = [
        "admission",
        "serve",
        "--policies",
        "policies",
        "--listen",
        "127.0.0.1:0",
    ];
    let server = Serving::start(&home, &arguments);
    let authority = server.said["ca"].as_str().unwrap().to_owned();
    let list = json(&home, ["admission", "install", "--ca", &authority]);
    assert_eq!(list["kind"], json!("List"));
    let yaml = run(&home, ["admission", "install", "--ca", &authority]);
    assert!(yaml.expect_success().stdout.contains("MutatingWebhookConfiguration"));
    assert!(server.stop().success());
    let absent = run(
        &home,
        ["admission", "serve", "--policies", "absent", "--listen", "127.0.0.1:0"],
    );
    assert!(
        matches!(absent.code, Some(1 | 2)),
        "{:?} {}",
        absent.code,
        absent.stderr
    );
    let wrong = fixture_path("manifest.json");
    run(&home, ["admission", "install", "--ca", &wrong]).expect_code(2);
    // The file beside ca.crt holds the key of the authority too, and what is printed goes to the cluster.
    let secret = authority.replace("ca.crt", "authority.pem");
    assert_ne!(secret, authority);
    let refused = run(&home, ["admission", "install", "--ca", &secret]);
    let refused = fails(&refused, 2, "installation-unusable");
    assert!(refused.stderr.contains("ca.crt"), "{}", refused.stderr);
}

/// A reader that goes away is no failure.
#[test]
fn a_pipe_that_is_closed() {
    let home = Sandbox::new();
    let mut child = home
        .command(PROOFMARK)
        .args(["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success(), "{stderr}");
    assert_eq!(stderr, "");
}
