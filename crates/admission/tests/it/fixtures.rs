//! What cosign, Fulcio and rekor-tiles really made, put to the webhook as Pods: 203 images, right and wrong, each under an
//! `ImagePolicy` that asks what the case asks.

use std::time::Duration;

use proofmark_admission::{Admission, Config, Deadline, Request, TlsConfig, TrustSource};
use proofmark_registry::Client;
use proofmark_testkit::layouts::LayoutServer;
use proofmark_testkit::manifest::{Case, Expected, Input, Mode, cases, fixture};
use serde_json::{Map, Value, json};

use crate::world::pod;

fn signer(input: &Input) -> Value {
    if let Some(key) = &input.key {
        return json!({ "key": std::fs::read_to_string(fixture(key)).unwrap() });
    }
    let mut keyless = Map::new();
    for (name, value) in [
        ("subject", &input.identity),
        ("subjectRegExp", &input.identity_regexp),
        ("issuer", &input.issuer),
        ("issuerRegExp", &input.issuer_regexp),
    ] {
        if let Some(value) = value {
            keyless.insert(name.to_owned(), value.clone().into());
        }
    }
    if !input.github.is_empty() {
        keyless.insert("github".to_owned(), json!(input.github));
    }
    json!({ "keyless": keyless })
}

fn policy(case: &Case, registry: &str) -> Value {
    let input = &case.input;
    let mut demand = json!({
        "signers": [signer(input)],
        "requireLog": input.require_tlog,
        "requireTimestamp": input.require_timestamp,
        "requireSct": input.require_sct,
    });
    let mut spec = json!({ "match": { "images": [format!("{registry}/**")] } });
    if input.mode == Mode::Verify {
        if !input.annotations.is_empty() {
            demand["annotations"] = json!(input.annotations);
        }
        spec["signatures"] = demand;
    } else {
        demand["type"] = input.short_type.clone().unwrap().into();
        spec["attestations"] = json!([demand]);
    }
    json!({
        "apiVersion": "proofmark.dev/v1alpha1", "kind": "ImagePolicy", "metadata": { "name": "case" }, "spec": spec,
    })
}

async fn verdict(case: &Case, registry: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.json"), policy(case, registry).to_string()).unwrap();
    let tls = TlsConfig::new(folder.path().join("tls"), vec!["localhost".into()]);
    let client = Client::builder().build().unwrap();
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), tls, folder.path().to_owned(), client);
    config.trust_root = case
        .input
        .trusted_root
        .as_deref()
        .map(|path| TrustSource::File(fixture(path)));
    let admission = Admission::open(&config).unwrap();
    let reference = case.input.reference.clone().unwrap();
    let separator = if reference.contains(':') { '@' } else { ':' };
    let image = format!("{registry}/{}{separator}{reference}", case.repo.clone().unwrap());
    let request = Request::parse(pod(&[&image]).to_string().as_bytes()).unwrap();
    let answer = admission
        .validate(&request, Deadline::after(Duration::from_secs(30)))
        .await;
    (answer.allowed, answer.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_image_gets_the_verdict_of_the_manifest() {
    let server = LayoutServer::fixtures().await;
    let registry = server.address().to_string();
    let mut wrong = Vec::new();
    let mut number = 0;
    for case in cases().iter().filter(|case| case.layout.is_some()) {
        number += 1;
        let (allowed, message) = verdict(case, &registry).await;
        if allowed != (case.expected == Expected::Accept) {
            wrong.push(format!(
                "{}: expected {:?} ({}), got\n{message}",
                case.id, case.expected, case.reason
            ));
        }
    }
    assert_eq!(number, 203);
    assert!(
        wrong.is_empty(),
        "{} of {number} are wrong:\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}
