//! Credentials of the clouds' registries.

use proofmark_sign::{CloudRegistry, CloudRegistryName, KmsError};
use proofmark_testkit::key_services::{AwsKms, AzureVault, GoogleKms};

use super::World;

fn find(world: &World, name: &str) -> Result<CloudRegistry, KmsError> {
    let environment = |name: &str| world.variables.get(name).cloned();
    let name = CloudRegistryName::parse(name).unwrap();
    CloudRegistry::find(&name, &world.surroundings(&environment))
}

async fn credential(registry: &CloudRegistry) -> (String, String) {
    let credential = registry.credential().await.unwrap();
    assert!(!format!("{credential:?}").contains(credential.password.as_str()));
    (credential.username.clone(), credential.password.to_string())
}

async fn refused(world: &World, name: &str) -> &'static str {
    match find(world, name) {
        Ok(registry) => registry.credential().await.unwrap_err().code(),
        Err(error) => error.code(),
    }
}

fn aws(kms: &AwsKms) -> World {
    World::default()
        .with("AWS_ACCESS_KEY_ID", AwsKms::USER.0)
        .with("AWS_SECRET_ACCESS_KEY", AwsKms::USER.1)
        .with("AWS_ENDPOINT_URL_ECR", kms.address())
}

const ECR: &str = "111122223333.dkr.ecr.eu-central-1.amazonaws.com";

#[tokio::test]
async fn ecr_is_asked_once_for_as_long_as_the_password_lives() {
    let kms = AwsKms::start();
    // The region is the host's, whatever the environment says.
    let world = aws(&kms).with("AWS_REGION", "us-east-1");
    let registry = find(&world, ECR).unwrap();
    let expected = ("AWS".to_owned(), AwsKms::REGISTRY_PASSWORD.to_owned());
    for _ in 0..3 {
        assert_eq!(credential(&registry).await, expected);
    }
    assert_eq!(
        kms.asked(),
        ["AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"]
    );
    // One that is about to end is not used any more.
    kms.set_registry_seconds(200);
    let registry = find(&world, ECR).unwrap();
    for _ in 0..2 {
        assert_eq!(credential(&registry).await, expected);
    }
    assert_eq!(kms.asked().len(), 3);
    // A host of one's own: the region is the environment's.
    let own = world.with("AWS_REGION", "eu-central-1");
    assert_eq!(
        credential(&find(&own, "aws=registry.acme.example").unwrap()).await,
        expected
    );
}

#[tokio::test]
async fn ecr_says_no_to_others() {
    let kms = AwsKms::start();
    let world = aws(&kms);
    let other = world.with("AWS_SECRET_ACCESS_KEY", "not the secret");
    assert_eq!(refused(&other, ECR).await, "kms-refused");
    let elsewhere = ECR.replace("eu-central-1", "us-east-1");
    assert_eq!(refused(&world, &elsewhere).await, "kms-refused");
    assert_eq!(refused(&world, "aws=registry.acme.example").await, "kms-setting");
    let nobody = world
        .without("AWS_ACCESS_KEY_ID")
        .with("AWS_EC2_METADATA_DISABLED", "true");
    assert_eq!(refused(&nobody, ECR).await, "kms-credentials-missing");
    let gone = world.with("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:9");
    assert_eq!(refused(&gone.impatient(), ECR).await, "service-unreachable");
}

#[tokio::test]
async fn google_gives_access_tokens() {
    let kms = GoogleKms::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.json");
    std::fs::write(&file, kms.service_account_file()).unwrap();
    let account = World::default().with("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap());
    let machine = World::default().with("GCE_METADATA_HOST", kms.host());
    let expected = ("oauth2accesstoken".to_owned(), GoogleKms::REGISTRY_TOKEN.to_owned());
    for world in [&account, &machine] {
        for host in ["europe-west3-docker.pkg.dev", "eu.gcr.io"] {
            assert_eq!(credential(&find(world, host).unwrap()).await, expected);
        }
    }
    let absent = World::default().with("GCE_METADATA_HOST", "127.0.0.1:9");
    assert_eq!(refused(&absent, "gcr.io").await, "kms-credentials-missing");
}

#[tokio::test]
async fn azure_exchanges_the_token_at_the_host_that_was_named() {
    let vault = AzureVault::start();
    let world = World::default()
        .with("AZURE_TENANT_ID", AzureVault::TENANT)
        .with("AZURE_CLIENT_ID", AzureVault::CLIENT)
        .with("AZURE_CLIENT_SECRET", AzureVault::SECRET)
        .with("AZURE_AUTHORITY_HOST", vault.address());
    let machine = World::default().with("AZURE_POD_IDENTITY_AUTHORITY_HOST", vault.address());
    let name = format!("azure={}", vault.host());
    let user = "00000000-0000-0000-0000-000000000000".to_owned();
    for world in [&world, &machine] {
        let registry = find(world, &name).unwrap();
        let before = vault.asked().len();
        for _ in 0..3 {
            assert_eq!(credential(&registry).await, (user.clone(), AzureVault::refresh_token()));
        }
        assert_eq!(vault.asked().len() - before, 2, "a token, and its exchange");
    }
    let other = world.with("AZURE_CLIENT_SECRET", "not the secret");
    assert_eq!(refused(&other, &name).await, "kms-refused");
    assert_eq!(refused(&world.without("AZURE_TENANT_ID"), &name).await, "kms-setting");
    // Another registry at the same address does not take the token.
    let localhost = name.replace("127.0.0.1", "localhost");
    assert_eq!(refused(&world, &localhost).await, "kms-refused");
}
