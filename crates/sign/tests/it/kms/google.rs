//! Google Cloud KMS.

use proofmark_testkit::key_services::{Fault, GoogleKms, KeyKind};
use proofmark_verify::KeyAlgorithm;

use super::{World, faults, refused, signs};

const RING: &str = "projects/acme.example:prod/locations/europe-west3/keyRings/ci";

struct Place {
    kms: GoogleKms,
    folder: tempfile::TempDir,
}

impl Place {
    fn start() -> Self {
        Self {
            kms: GoogleKms::start(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn bare(&self) -> World {
        World::default()
            .with("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", self.kms.address())
            .with("GCE_METADATA_HOST", "127.0.0.1:9")
    }

    fn with_file(&self, name: &str, text: &str) -> World {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        self.bare()
            .with("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().unwrap())
    }

    fn world(&self) -> World {
        self.with_file("account.json", &self.kms.service_account_file())
    }

    fn add(&self, name: &str, kind: KeyKind) -> String {
        let resource = format!("{RING}/cryptoKeys/{name}");
        self.kms.add(&resource, kind, true);
        format!("gcpkms://{resource}")
    }
}

#[tokio::test]
async fn every_kind_of_key_signs() {
    let place = Place::start();
    let world = place.world();
    for (kind, algorithm) in [
        (KeyKind::P256, KeyAlgorithm::EcdsaP256),
        (KeyKind::P384, KeyAlgorithm::EcdsaP384),
        (KeyKind::Rsa2048, KeyAlgorithm::Rsa2048),
        (KeyKind::Rsa3072, KeyAlgorithm::Rsa3072),
        (KeyKind::Rsa4096, KeyAlgorithm::Rsa4096),
        (KeyKind::RsaPss2048, KeyAlgorithm::Rsa2048),
        (KeyKind::Ed25519, KeyAlgorithm::Ed25519),
    ] {
        let reference = place.add(&format!("{kind:?}"), kind);
        for reference in [
            reference.clone(),
            format!("{reference}/versions/1"),
            format!("{reference}/cryptoKeyVersions/1"),
        ] {
            signs(&world.open(&reference).await.unwrap(), algorithm).await;
        }
    }
}

#[tokio::test]
async fn the_newest_enabled_version_is_taken_and_kept() {
    let place = Place::start();
    let world = place.world();
    let reference = place.add("k", KeyKind::P256);
    let resource = reference.strip_prefix("gcpkms://").unwrap();
    for enabled in [false, true, true, true, true, true, true, true, true, true, false] {
        place.kms.add(resource, KeyKind::P256, enabled);
    }
    // Eleven is the greatest that is enabled; as a text, 9 would be.
    let newest = world.open(&reference).await.unwrap();
    let eleventh = world.open(&format!("{reference}/versions/11")).await.unwrap();
    assert_eq!(newest.public_key(), eleventh.public_key());
    place.kms.add(resource, KeyKind::P256, true);
    signs(&newest, KeyAlgorithm::EcdsaP256).await;
    let newer = world.open(&reference).await.unwrap();
    assert_ne!(newest.public_key(), newer.public_key());

    assert_eq!(
        refused(&world, &format!("{reference}/versions/12")).await,
        "kms-refused"
    );
    assert_eq!(
        refused(&world, &format!("{reference}/versions/99")).await,
        "kms-key-not-found"
    );
    let disabled = format!("{RING}/cryptoKeys/disabled");
    place.kms.add(&disabled, KeyKind::P256, false);
    assert_eq!(refused(&world, &format!("gcpkms://{disabled}")).await, "kms-key-kind");
    assert_eq!(
        refused(&world, &format!("gcpkms://{RING}/cryptoKeys/absent")).await,
        "kms-key-not-found"
    );
}

#[tokio::test]
async fn credentials_are_found_where_google_keeps_them() {
    let place = Place::start();
    let reference = place.add("k", KeyKind::P256);
    let kms = &place.kms;
    let subject = place.folder.path().join("subject");
    std::fs::write(&subject, kms.subject_token()).unwrap();
    let subject = subject.to_str();
    let usual = place.folder.path().join(".config/gcloud");
    std::fs::create_dir_all(&usual).unwrap();
    std::fs::write(usual.join("application_default_credentials.json"), kms.user_file()).unwrap();
    let home = place.folder.path().to_str().unwrap();
    for (name, world) in [
        ("service account", place.world()),
        ("person", place.with_file("user.json", &kms.user_file())),
        ("gcloud's own file", place.bare().with("HOME", home)),
        (
            "gcloud's folder",
            place.bare().with("CLOUDSDK_CONFIG", usual.to_str().unwrap()),
        ),
        (
            "federation, file",
            place.with_file("f1.json", &kms.federation_file(subject, false)),
        ),
        (
            "federation, address",
            place.with_file("f2.json", &kms.federation_file(None, false)),
        ),
        (
            "federation, impersonation",
            place.with_file("f3.json", &kms.federation_file(None, true)),
        ),
        ("metadata", place.bare().with("GCE_METADATA_HOST", kms.host())),
    ] {
        let key = world
            .open(&reference)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        signs(&key, KeyAlgorithm::EcdsaP256).await;
    }
}

#[tokio::test]
async fn credentials_that_are_not_right_are_told_apart() {
    let place = Place::start();
    let reference = place.add("k", KeyKind::P256);
    let kms = &place.kms;
    let account = kms.service_account_file();
    let changed = |from: &str, to: &str| {
        assert!(account.contains(from));
        account.replace(from, to)
    };
    let federation = kms.federation_file(None, true);
    for (text, code) in [
        (changed("signer@acme", "other@acme"), "kms-refused"),
        (changed("http://127.0.0.1", "http://tokens.example"), "kms-file"),
        (changed("service_account", "impersonated_service_account"), "kms-file"),
        (changed("-----BEGIN PRIVATE KEY-----", "-----BEGIN"), "kms-setting"),
        ("{ \"private_key\": \"user-secret\"".to_owned(), "kms-file"),
        (
            federation.replace("Bearer ci-secret", "Bearer other"),
            "service-refused",
        ),
        (federation.replace("\"value\"", "\"token\""), "kms-file"),
        (federation.replace("providers/ci", "providers/other"), "kms-refused"),
        (
            federation.replace("\"url\":\"http://127.0.0.1", "\"url\":\"http://tokens.example"),
            "kms-file",
        ),
    ] {
        let world = place.with_file("bad.json", &text);
        assert_eq!(refused(&world, &reference).await, code, "{text}");
    }
    let absent = place.bare().with("GOOGLE_APPLICATION_CREDENTIALS", "/absent");
    assert_eq!(refused(&absent, &reference).await, "kms-file");
    assert_eq!(refused(&place.bare(), &reference).await, "kms-credentials-missing");
    let elsewhere = place
        .world()
        .with("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", "http://kms.example/");
    assert_eq!(refused(&elsewhere, &reference).await, "kms-setting");
    // A server that merely has the name of the metadata server is not believed.
    let not_google = place.bare().with("GCE_METADATA_HOST", format!("{}/v1", kms.host()));
    assert_eq!(refused(&not_google, &reference).await, "kms-credentials-missing");
}

#[tokio::test]
async fn a_service_that_misbehaves_is_found_out() {
    let place = Place::start();
    let reference = place.add("k", KeyKind::P384);
    let key = place.world().open(&reference).await.unwrap();
    let hanging = place.world().impatient().open(&reference).await.unwrap();
    // The token of the first account's key is held; both keys go on with theirs.
    faults(&key, &hanging, |fault| place.kms.set_fault(fault)).await;
    place.kms.set_fault(Fault::Checksum);
    let before = place.kms.signed();
    let error = key.sign(b"message").await.unwrap_err();
    assert_eq!(error.code(), "key-answer");
    assert!(error.to_string().contains("CRC32C"), "{error}");
    // "Perform a limited number of retries."
    assert_eq!(place.kms.signed() - before, 3);
    place.kms.corrupt_public_keys();
    assert_eq!(refused(&place.world(), &reference).await, "kms-corrupted");
}

#[tokio::test]
async fn a_key_and_its_ring_are_made_once() {
    let place = Place::start();
    let world = place.world();
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Rsa3072] {
        let reference = format!("gcpkms://{RING}/cryptoKeys/{}", algorithm.name().replace(' ', "-"));
        let made = world.create(&reference, algorithm).await.unwrap();
        assert_eq!(world.create(&reference, algorithm).await.unwrap(), made);
        signs(&world.open(&reference).await.unwrap(), algorithm).await;
    }
    for (name, algorithm, code) in [
        ("ECDSA-P-256", KeyAlgorithm::EcdsaP384, "kms-key-kind"),
        ("new", KeyAlgorithm::EcdsaP521, "kms-key-kind"),
        ("new/versions/1", KeyAlgorithm::EcdsaP256, "key-reference"),
    ] {
        let reference = format!("gcpkms://{RING}/cryptoKeys/{name}");
        assert_eq!(world.create(&reference, algorithm).await.unwrap_err().code(), code);
    }
}
