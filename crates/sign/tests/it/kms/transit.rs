//! The transit engine of HashiCorp Vault itself: `interop/vault-transit`, if it has been built.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use proofmark_testkit::peers::VAULT_TRANSIT;
use proofmark_verify::KeyAlgorithm;

use super::{World, refused, signs};

/// The running engine; it ends with its standard input.
struct Engine {
    child: Child,
    world: World,
}

impl Engine {
    fn start(program: &std::path::Path) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let world = World::default()
            .with("VAULT_ADDR", said["address"].as_str().unwrap())
            .with("VAULT_TOKEN", said["token"].as_str().unwrap());
        Self { child, world }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn vaults_own_engine_makes_keys_and_signs() {
    let Some(program) = VAULT_TRANSIT.or_skip() else { return };
    let engine = Engine::start(&program);
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::EcdsaP521,
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::Rsa4096,
        KeyAlgorithm::Ed25519,
    ] {
        let reference = format!("hashivault://key-{}", algorithm.name().replace(' ', "-").to_lowercase());
        let made = engine.world.create(&reference, algorithm).await.unwrap();
        assert_eq!(engine.world.create(&reference, algorithm).await.unwrap(), made);
        let key = engine.world.open(&reference).await.unwrap();
        assert_eq!(key.public_key(), &made);
        signs(&key, algorithm).await;
    }
    let error = engine
        .world
        .create("hashivault://key-ecdsa-p-256", KeyAlgorithm::Rsa2048)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "kms-key-kind");
    assert_eq!(refused(&engine.world, "hashivault://absent").await, "kms-key-not-found");
    let stranger = engine.world.with("VAULT_TOKEN", "hvs.stranger");
    assert_eq!(refused(&stranger, "hashivault://key-ecdsa-p-256").await, "kms-refused");
}
