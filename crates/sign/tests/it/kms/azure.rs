//! Azure Key Vault.

use proofmark_testkit::key_services::{AzureVault, KeyKind};
use proofmark_verify::KeyAlgorithm;

use super::{World, faults, refused, signs};

fn world(vault: &AzureVault) -> World {
    World::default()
        .with("AZURE_TENANT_ID", AzureVault::TENANT)
        .with("AZURE_CLIENT_ID", AzureVault::CLIENT)
        .with("AZURE_CLIENT_SECRET", AzureVault::SECRET)
        .with("AZURE_AUTHORITY_HOST", vault.address())
}

#[tokio::test]
async fn every_kind_of_key_signs() {
    let vault = AzureVault::start();
    for (kind, algorithm) in [
        (KeyKind::P256, KeyAlgorithm::EcdsaP256),
        (KeyKind::P384, KeyAlgorithm::EcdsaP384),
        (KeyKind::P521, KeyAlgorithm::EcdsaP521),
        (KeyKind::Rsa2048, KeyAlgorithm::Rsa2048),
        (KeyKind::Rsa3072, KeyAlgorithm::Rsa3072),
        (KeyKind::Rsa4096, KeyAlgorithm::Rsa4096),
    ] {
        let name = format!("{kind:?}");
        vault.add(&name, kind);
        let reference = format!("azurekms://{}/{name}", vault.host());
        signs(&world(&vault).open(&reference).await.unwrap(), algorithm).await;
    }
}

#[tokio::test]
async fn a_version_is_kept() {
    let vault = AzureVault::start();
    vault.add("k", KeyKind::P256);
    let reference = format!("azurekms://{}/k", vault.host());
    let world = world(&vault);
    let old = world.open(&reference).await.unwrap();
    vault.add("k", KeyKind::P256);
    signs(&old, KeyAlgorithm::EcdsaP256).await;
    let new = world.open(&reference).await.unwrap();
    assert_ne!(new.public_key(), old.public_key());
    let first = world.open(&format!("{reference}/{:032x}", 0xabc0)).await.unwrap();
    assert_eq!(first.public_key(), old.public_key());
    signs(&first, KeyAlgorithm::EcdsaP256).await;
    assert_eq!(
        refused(&world, &format!("{reference}/{:032x}", 0xabc9)).await,
        "kms-key-not-found"
    );
}

#[tokio::test]
async fn credentials_are_found_where_azure_keeps_them() {
    let vault = AzureVault::start();
    vault.add("k", KeyKind::P256);
    let reference = format!("azurekms://{}/k", vault.host());
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, AzureVault::FEDERATED).unwrap();
    let secret = world(&vault);
    let federated = secret
        .without("AZURE_CLIENT_SECRET")
        .with("AZURE_FEDERATED_TOKEN_FILE", token.to_str().unwrap());
    let app_service = World::default()
        .with("IDENTITY_ENDPOINT", format!("{}msi/token", vault.address()))
        .with("IDENTITY_HEADER", AzureVault::IDENTITY_HEADER);
    let machine = World::default().with("AZURE_POD_IDENTITY_AUTHORITY_HOST", vault.address());
    for (name, world) in [
        ("secret", &secret),
        ("federated", &federated),
        ("app service", &app_service),
        ("machine", &machine),
    ] {
        let key = world
            .open(&reference)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        signs(&key, KeyAlgorithm::EcdsaP256).await;
    }
    for (world, code) in [
        (secret.with("AZURE_CLIENT_SECRET", "another"), "kms-refused"),
        (secret.without("AZURE_CLIENT_ID"), "kms-setting"),
        (secret.without("AZURE_TENANT_ID"), "kms-setting"),
        (secret.with("AZURE_TENANT_ID", "../common"), "kms-setting"),
        (
            secret.with("AZURE_AUTHORITY_HOST", "http://login.example/"),
            "kms-setting",
        ),
        (federated.with("AZURE_FEDERATED_TOKEN_FILE", "/absent"), "kms-file"),
        (app_service.without("IDENTITY_HEADER"), "kms-setting"),
        (app_service.with("IDENTITY_HEADER", "x"), "kms-refused"),
        (
            app_service.with("IDENTITY_ENDPOINT", "http://10.0.0.1/msi"),
            "kms-setting",
        ),
        (
            machine.with("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9/"),
            "kms-credentials-missing",
        ),
    ] {
        assert_eq!(refused(&world, &reference).await, code, "{:?}", world.variables);
    }
}

/// A token of Key Vault is for all vaults: it is not sent to a host that merely has such a reference.
#[tokio::test]
async fn tokens_are_sent_to_microsofts_hosts_only() {
    let vault = AzureVault::start();
    for host in [
        "vault.evil.example",
        "vault.azure.net.evil.example",
        "evilvault.azure.net.example",
        "myvault.vault.azure.org",
    ] {
        let reference = format!("azurekms://{host}/k");
        assert_eq!(refused(&world(&vault), &reference).await, "key-reference", "{host}");
    }
    assert_eq!(vault.asked(), Vec::<String>::new());
}

/// The challenge of a vault names an authority; ours is chosen by configuration, and the secret goes nowhere else.
#[tokio::test]
async fn a_challenge_is_not_followed() {
    let vault = AzureVault::start();
    let other = AzureVault::start();
    vault.add("k", KeyKind::P256);
    vault.challenge(&other.address());
    let reference = format!("azurekms://{}/k", vault.host());
    assert_eq!(refused(&world(&vault), &reference).await, "kms-refused");
    assert_eq!(other.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_vault_that_misbehaves_is_found_out() {
    let vault = AzureVault::start();
    vault.add("k", KeyKind::P521);
    let reference = format!("azurekms://{}/k", vault.host());
    let key = world(&vault).open(&reference).await.unwrap();
    let hanging = world(&vault).impatient().open(&reference).await.unwrap();
    faults(&key, &hanging, |fault| vault.set_fault(fault)).await;
}

#[tokio::test]
async fn a_key_is_made_once() {
    let vault = AzureVault::start();
    let world = world(&vault);
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP521, KeyAlgorithm::Rsa2048] {
        let reference = format!("azurekms://{}/{}", vault.host(), algorithm.name().replace(' ', "-"));
        let made = world.create(&reference, algorithm).await.unwrap();
        // Asked for again, the real one would give it a second version.
        assert_eq!(world.create(&reference, algorithm).await.unwrap(), made);
        signs(&world.open(&reference).await.unwrap(), algorithm).await;
    }
    for (name, algorithm, code) in [
        ("ECDSA-P-256", KeyAlgorithm::EcdsaP384, "kms-key-kind"),
        ("new", KeyAlgorithm::Ed25519, "kms-key-kind"),
        ("new/abc0", KeyAlgorithm::EcdsaP256, "key-reference"),
    ] {
        let reference = format!("azurekms://{}/{name}", vault.host());
        assert_eq!(world.create(&reference, algorithm).await.unwrap_err().code(), code);
    }
}
