//! HashiCorp Vault's and OpenBao's transit engine.

use proofmark_testkit::key_services::{KeyKind, VaultTransit};
use proofmark_verify::KeyAlgorithm;

use super::{World, faults, refused, signs};

fn world(vault: &VaultTransit) -> World {
    World::default()
        .with("VAULT_ADDR", vault.address())
        .with("VAULT_TOKEN", vault.token())
}

#[tokio::test]
async fn every_kind_of_key_signs() {
    let vault = VaultTransit::start();
    for (kind, algorithm) in [
        (KeyKind::P256, KeyAlgorithm::EcdsaP256),
        (KeyKind::P384, KeyAlgorithm::EcdsaP384),
        (KeyKind::P521, KeyAlgorithm::EcdsaP521),
        (KeyKind::Rsa2048, KeyAlgorithm::Rsa2048),
        (KeyKind::Rsa3072, KeyAlgorithm::Rsa3072),
        (KeyKind::Rsa4096, KeyAlgorithm::Rsa4096),
        (KeyKind::Ed25519, KeyAlgorithm::Ed25519),
    ] {
        let name = format!("{kind:?}");
        vault.add(&name, kind);
        let key = world(&vault).open(&format!("hashivault://{name}")).await.unwrap();
        signs(&key, algorithm).await;
    }
}

#[tokio::test]
async fn the_version_that_was_opened_signs_although_the_key_is_rotated() {
    let vault = VaultTransit::start();
    vault.add("release", KeyKind::P256);
    let old = world(&vault).open("hashivault://release").await.unwrap();
    vault.add("release", KeyKind::P256);
    let new = world(&vault).open("openbao://release").await.unwrap();
    assert_ne!(old.public_key(), new.public_key());
    for key in [&old, &new] {
        signs(key, KeyAlgorithm::EcdsaP256).await;
    }
}

#[tokio::test]
async fn settings_are_found_where_both_programs_keep_them() {
    let vault = VaultTransit::at("keys/signing", Some("team/a"));
    vault.add("k", KeyKind::P256);
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".vault-token"), format!("{}\n", vault.token())).unwrap();
    let base = World::default()
        .with("HOME", home.path().to_str().unwrap())
        .with("TRANSIT_SECRET_ENGINE_PATH", "/keys/signing/");
    let hashicorp = base
        .with("VAULT_ADDR", vault.address())
        .with("VAULT_NAMESPACE", "team/a");
    signs(
        &hashicorp.open("hashivault://k").await.unwrap(),
        KeyAlgorithm::EcdsaP256,
    )
    .await;
    let openbao = base
        .without("HOME")
        .with("BAO_ADDR", vault.address())
        .with("BAO_NAMESPACE", "team/a")
        .with("BAO_TOKEN", vault.token());
    signs(&openbao.open("openbao://k").await.unwrap(), KeyAlgorithm::EcdsaP256).await;

    for (world, code) in [
        (hashicorp.without("VAULT_NAMESPACE"), "kms-key-not-found"),
        (hashicorp.without("TRANSIT_SECRET_ENGINE_PATH"), "kms-key-not-found"),
        (
            hashicorp.with("TRANSIT_SECRET_ENGINE_PATH", "keys/../sys"),
            "kms-setting",
        ),
        (hashicorp.without("HOME"), "kms-credentials-missing"),
        (hashicorp.without("VAULT_ADDR"), "kms-setting"),
        (hashicorp.with("VAULT_TOKEN", "hvs.wrong"), "kms-refused"),
        (
            hashicorp.with("VAULT_TOKEN", "hvs.line\nend"),
            "kms-credential-malformed",
        ),
        // The token is sent to https or this machine only, and to one server.
        (hashicorp.with("VAULT_ADDR", "http://vault.example:8200"), "kms-setting"),
        (hashicorp.with("BAO_ADDR", "https://bao.example"), "kms-setting"),
        // OpenBao's token is not for Vault's address.
        (
            hashicorp.without("HOME").with("BAO_TOKEN", vault.token()),
            "kms-credentials-missing",
        ),
        (hashicorp.with("VAULT_CACERT", "/absent"), "kms-file"),
    ] {
        assert_eq!(refused(&world, "hashivault://k").await, code, "{:?}", world.variables);
    }
    assert_eq!(refused(&hashicorp, "hashivault://absent").await, "kms-key-not-found");
}

#[tokio::test]
async fn a_server_that_misbehaves_is_found_out() {
    let vault = VaultTransit::start();
    vault.add("k", KeyKind::P384);
    let key = world(&vault).open("hashivault://k").await.unwrap();
    let hanging = world(&vault).impatient().open("hashivault://k").await.unwrap();
    faults(&key, &hanging, |fault| vault.set_fault(fault)).await;
}

#[tokio::test]
async fn a_key_is_made_once() {
    let vault = VaultTransit::start();
    let world = world(&vault);
    for (name, algorithm) in [
        ("p256", KeyAlgorithm::EcdsaP256),
        ("p521", KeyAlgorithm::EcdsaP521),
        ("rsa", KeyAlgorithm::Rsa3072),
        ("ed", KeyAlgorithm::Ed25519),
    ] {
        let reference = format!("hashivault://{name}");
        let made = world.create(&reference, algorithm).await.unwrap();
        assert_eq!(made.algorithm(), algorithm);
        assert_eq!(world.create(&reference, algorithm).await.unwrap(), made);
        assert_eq!(world.open(&reference).await.unwrap().public_key(), &made);
    }
    let error = world
        .create("hashivault://p256", KeyAlgorithm::EcdsaP384)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "kms-key-kind");
}
