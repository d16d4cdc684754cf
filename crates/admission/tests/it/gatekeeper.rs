//! OPA Gatekeeper's external data: its wire format, its certificate, and the same decisions.

use std::net::SocketAddr;

use proofmark_admission::StartError;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::world::{Webhook, World};

/// An authority, and a client's certificate with its key of it, in PEM.
fn authority() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    // As cert-controller makes Gatekeeper's.
    let mut client = CertificateParams::new(["gatekeeper-webhook-service.gatekeeper-system.svc".to_owned()]).unwrap();
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = client.signed_by(&key, &issuer).unwrap().pem();
    (pem, format!("{certificate}{}", key.serialize_pem()))
}

/// Gatekeeper, as it asks.
fn gatekeeper(webhook: &Webhook, identity: &str) -> reqwest::Client {
    let authorities = reqwest::Certificate::from_pem_bundle(webhook.server.ca_bundle_pem().as_bytes()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only(authorities)
        .identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap())
        .no_proxy()
        .build()
        .unwrap()
}

fn question(keys: &[String]) -> Value {
    json!({ "apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest", "request": { "keys": keys } })
}

async fn ask(client: &reqwest::Client, address: SocketAddr, question: &Value) -> (u16, String) {
    let url = format!("https://{address}/gatekeeper");
    let response = client.post(url).body(question.to_string()).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn answered(client: &reqwest::Client, webhook: &Webhook, question: &Value) -> Value {
    let (status, text) = ask(client, webhook.server.address(), question).await;
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["kind"], "ProviderResponse");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_answered_as_pods_of_them_would_be() {
    let world = World::new().await;
    let (signed, digest) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    let unsigned = world.image("unsigned:1.0");
    let (pem, identity) = authority();
    let webhook = world
        .webhook(&[world.policy("signed", "")], |config| {
            config.gatekeeper = Some(pem.clone().into_bytes());
            config.namespace_modes = vec![("dev-*".to_owned(), proofmark_policy::Mode::Warn)];
        })
        .await;
    let client = gatekeeper(&webhook, &identity);
    let keys = [
        format!("team-a {signed}"),
        format!("team-a {unsigned}"),
        format!("dev-a {unsigned}"),
        format!("team-a {signed}@{digest}"),
        "team-a not an image".to_owned(),
        signed.clone(),
    ];
    let answer = answered(&client, &webhook, &question(&keys)).await;
    assert_eq!(answer["apiVersion"], "externaldata.gatekeeper.sh/v1beta1");
    let response = &answer["response"];
    assert_eq!(
        (&response["idempotent"], &response["systemError"]),
        (&json!(true), &json!(""))
    );
    let items = response["items"].as_array().unwrap();
    let pinned = format!("{signed}@{digest}");
    for (item, (key, value, error)) in items.iter().zip([
        (&keys[0], pinned.as_str(), ""),
        (&keys[1], "", "[unsigned]"),
        // A namespace that is only warned: as for the API server.
        (&keys[2], unsigned.as_str(), ""),
        (&keys[3], pinned.as_str(), ""),
        (&keys[4], "", "[invalid-reference]"),
        (&keys[5], "", "[key-malformed]"),
    ]) {
        assert_eq!(item["key"], key.as_str());
        let seen = item["value"].as_str().unwrap();
        assert!(seen.starts_with(value) && seen.is_empty() == value.is_empty(), "{item}");
        let seen = item["error"].as_str().unwrap();
        assert!(seen.contains(error) && seen.is_empty() == error.is_empty(), "{item}");
    }
    assert_eq!(items.len(), keys.len());
    // What cannot be answered at all is an error of the whole.
    let many: Vec<String> = (0..513)
        .map(|number| format!("team-a r.example.com/app:{number}"))
        .collect();
    let mut other = question(&keys);
    other["apiVersion"] = "externaldata.gatekeeper.sh/v2".into();
    for (asked, expected) in [
        (question(&many), "at most 512 keys"),
        (other, "expected externaldata.gatekeeper.sh/v1beta1"),
    ] {
        let answer = answered(&client, &webhook, &asked).await;
        let error = answer["response"]["systemError"].as_str().unwrap();
        assert!(error.contains(expected), "{error}");
        assert_eq!(answer["response"]["items"], json!([]));
    }
    assert_eq!(
        ask(&client, webhook.server.address(), &json!({ "kind": 1 })).await.0,
        400
    );
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_gatekeeper_is_answered() {
    let world = World::new().await;
    let (image, _) = world.signed("app").await;
    let keys = [format!("team-a {image}")];
    let (pem, identity) = authority();
    let (_, stranger) = authority();
    let webhook = world
        .webhook(&[world.policy("signed", "")], |config| {
            config.gatekeeper = Some(pem.clone().into_bytes());
        })
        .await;
    // Without a certificate: the API server is answered, and this is not.
    let address = webhook.server.address();
    let (status, text) = ask(&webhook.client, address, &question(&keys)).await;
    assert!(status == 403 && text.contains("client certificate"), "{status} {text}");
    assert_eq!(webhook.get("/healthz").await.0, 200);
    // With somebody else's.
    let client = gatekeeper(&webhook, &stranger);
    let url = format!("https://{address}/gatekeeper");
    assert!(client.post(url).body("{}").send().await.is_err());
    let client = gatekeeper(&webhook, &identity);
    assert_eq!(ask(&client, address, &question(&keys)).await.0, 200);
    webhook.server.stop().await;
    // Where nobody has asked for it, it is not there.
    let webhook = world.webhook(&[world.policy("signed", "")], |_| {}).await;
    assert_eq!(
        ask(&webhook.client, webhook.server.address(), &question(&keys)).await.0,
        404
    );
    webhook.server.stop().await;
    for wrong in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let mut config = world.config();
        config.gatekeeper = Some(wrong.as_bytes().to_vec());
        let error = proofmark_admission::Server::start(config).await.unwrap_err();
        assert!(matches!(error, StartError::Gatekeeper { .. }), "{error}");
        assert_eq!(error.code(), "gatekeeper-authority");
    }
}
