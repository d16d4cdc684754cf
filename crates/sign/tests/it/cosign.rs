//! Real cosign verifies what we sign: bundles beside files, and layouts as `cosign save` makes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proofmark_evidence::encoding::base64_decode;
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{layout, legacy};
use proofmark_oci::{Descriptor, ImageManifest, Index, media_types};
use proofmark_sign::{KeylessSession, Options, Password, Signer, SigningKey};
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::peers::{COSIGN2, COSIGN3};
use proofmark_trust_root::Selector;
use proofmark_types::{MediaType, UnixTime};
use proofmark_verify::{KeyAlgorithm, TrustRoot};
use serde_json::json;

use crate::rekor_v1::Old;
use crate::several::{Of, Two};
use crate::world::{WORKFLOW, World, fixture_key};

const KEYS: [&str; 7] = ["p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096", "ed25519"];

/// Without P-384 and P-521: cosign 3.1.1 signs with SHA-384 and SHA-512 there and verifies with SHA-256, so that it
/// refuses its own.
const BUNDLE_KEYS: [&str; 5] = ["p256", "rsa2048", "rsa3072", "rsa4096", "ed25519"];

/// An OCI layout with one image and its evidence.
struct Layout {
    folder: PathBuf,
    image: Descriptor,
    listed: Vec<Descriptor>,
}

impl Layout {
    fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{}}"#;
        let manifest = ImageManifest {
            media_type: MediaType::parse(media_types::OCI_MANIFEST).unwrap(),
            artifact_type: None,
            config: Descriptor::of(MediaType::parse(media_types::OCI_CONFIG).unwrap(), config),
            layers: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let mut layout = Self {
            folder: folder.to_owned(),
            image: Descriptor::of(manifest.media_type.clone(), &manifest.to_json()),
            listed: Vec::new(),
        };
        layout.blob(config);
        layout.list(&manifest, "dev.cosignproject.cosign/image");
        layout
    }

    fn blob(&self, bytes: &[u8]) {
        let digest = proofmark_types::Digest::sha256_of(bytes);
        fs::write(self.folder.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    }

    fn list(&mut self, manifest: &ImageManifest, kind: &str) {
        let bytes = manifest.to_json();
        self.blob(&bytes);
        let mut descriptor = Descriptor::of(manifest.media_type.clone(), &bytes);
        if !kind.is_empty() {
            descriptor.annotations.insert("kind".to_owned(), kind.to_owned());
        }
        self.listed.push(descriptor);
    }

    fn finish(&self) -> String {
        fs::write(self.folder.join("index.json"), Index::of(self.listed.clone()).to_json()).unwrap();
        self.folder.display().to_string()
    }
}

fn statement(image: &Descriptor) -> Statement {
    let kind = PredicateType::resolve("https://example.com/scan/v1").unwrap();
    Statement::attestation("127.0.0.1/app", &image.digest, kind, json!({"a": 1}))
}

fn signature(image: &Descriptor) -> Statement {
    Statement::signature(&image.digest, BTreeMap::from([("env".to_owned(), "prod".to_owned())]))
}

/// A `.sig` and an `.att` image.
async fn legacy_evidence(layout: &mut Layout, signer: &Signer) {
    let payload = Payload::new("127.0.0.1/app", &layout.image.digest, BTreeMap::new());
    let signed = signer.sign_payload(&payload).await.unwrap();
    let attested = signer.sign_legacy_attestation(&statement(&layout.image)).await.unwrap();
    for (layer, blob, kind) in [
        (signed.layer(), &signed.payload, "dev.cosignproject.cosign/sigs"),
        (attested.layer(), &attested.raw, "dev.cosignproject.cosign/atts"),
    ] {
        layout.blob(blob);
        let (manifest, config) = legacy::image(vec![layer]);
        layout.blob(&config);
        layout.list(&manifest, kind);
    }
}

#[tokio::test]
async fn cosign_3_verifies_bundles_by_key_in_a_layout() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    for name in BUNDLE_KEYS {
        let sandbox = Sandbox::new();
        let signer = Signer::key(fixture_key(name));
        fs::write(sandbox.path().join("key.pub"), signer.public_key().to_pem()).unwrap();
        let mut layout = Layout::new(&sandbox.path().join("layout"));
        for statement in [signature(&layout.image), statement(&layout.image)] {
            let bundle = signer.sign_statement(&statement).await.unwrap();
            let (manifest, bytes) = layout::referrer_of(&layout.image, &bundle, UnixTime::EPOCH);
            layout.blob(&bytes);
            layout.blob(layout::EMPTY_CONFIG);
            layout.list(&manifest, "");
        }
        let folder = layout.finish();
        let key = [
            "--key",
            "key.pub",
            "--insecure-ignore-tlog=true",
            "--local-image",
            &folder,
        ];
        let verified = sandbox.run(&cosign, ["verify", "-a", "env=prod"].iter().chain(&key));
        verified.expect_success();
        let wanted = ["verify-attestation", "--type", "https://example.com/scan/v1"];
        sandbox.run(&cosign, wanted.iter().chain(&key)).expect_success();
        sandbox
            .run(&cosign, ["verify", "-a", "env=test"].iter().chain(&key))
            .expect_code(1);
    }
}

#[tokio::test]
async fn both_cosigns_verify_legacy_images_by_key() {
    for (peer, keys) in [(COSIGN2, &KEYS[..]), (COSIGN3, &KEYS[..])] {
        let Some(cosign) = peer.or_skip() else { continue };
        for name in keys {
            let sandbox = Sandbox::new();
            let signer = Signer::key(fixture_key(name));
            fs::write(sandbox.path().join("key.pub"), signer.public_key().to_pem()).unwrap();
            let mut layout = Layout::new(&sandbox.path().join("layout"));
            let annotations = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
            let payload = Payload::new("127.0.0.1/app", &layout.image.digest, annotations);
            let signed = signer.sign_payload(&payload).await.unwrap();
            let attested = signer.sign_legacy_attestation(&statement(&layout.image)).await.unwrap();
            for (layer, blob, kind) in [
                (signed.layer(), &signed.payload, "dev.cosignproject.cosign/sigs"),
                (attested.layer(), &attested.raw, "dev.cosignproject.cosign/atts"),
            ] {
                layout.blob(blob);
                let (manifest, config) = legacy::image(vec![layer]);
                layout.blob(&config);
                layout.list(&manifest, kind);
            }
            let folder = layout.finish();
            let key = [
                "--key",
                "key.pub",
                "--insecure-ignore-tlog=true",
                "--local-image",
                &folder,
            ];
            let verified = sandbox.run(&cosign, ["verify", "-a", "env=prod"].iter().chain(&key));
            assert!(verified.expect_success().stdout.contains("\"env\":\"prod\""), "{name}");
            let wanted = ["verify-attestation", "--type", "https://example.com/scan/v1"];
            sandbox.run(&cosign, wanted.iter().chain(&key)).expect_success();
        }
    }
}

#[tokio::test]
async fn cosign_3_verifies_files_by_key() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    for name in BUNDLE_KEYS {
        let sandbox = Sandbox::new();
        let signer = Signer::key(fixture_key(name));
        fs::write(sandbox.path().join("key.pub"), signer.public_key().to_pem()).unwrap();
        fs::write(sandbox.path().join("file"), b"a file").unwrap();
        fs::write(sandbox.path().join("other"), b"another file").unwrap();
        let bundle = signer.sign_blob(b"a file").await.unwrap();
        fs::write(sandbox.path().join("bundle.json"), bundle.to_json()).unwrap();
        let arguments = [
            "verify-blob",
            "--key",
            "key.pub",
            "--bundle",
            "bundle.json",
            "--insecure-ignore-tlog=true",
        ];
        sandbox.run(&cosign, arguments.iter().chain(&["file"])).expect_success();
        sandbox.run(&cosign, arguments.iter().chain(&["other"])).expect_code(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_3_verifies_keyless_signatures_with_our_trust_root() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let world = World::start().await;
    let sandbox = Sandbox::new();
    let root = world
        .folder
        .path()
        .join("trust/trusted_root.json")
        .display()
        .to_string();
    let signer = Signer::Keyless(world.ci_session().await.unwrap());
    let mut layout = Layout::new(&sandbox.path().join("layout"));
    for statement in [signature(&layout.image), statement(&layout.image)] {
        let bundle = signer.sign_statement(&statement).await.unwrap();
        let (manifest, bytes) = layout::referrer_of(&layout.image, &bundle, UnixTime::EPOCH);
        layout.blob(&bytes);
        layout.blob(layout::EMPTY_CONFIG);
        layout.list(&manifest, "");
    }
    let folder = layout.finish();
    let issuer = world.issuer.ci_issuer();
    let trust = [
        "--trusted-root",
        &root,
        "--use-signed-timestamps",
        "--certificate-oidc-issuer",
        &issuer,
    ];
    let identity = ["--certificate-identity", WORKFLOW];
    let image = ["--local-image", folder.as_str()];
    let common = || identity.iter().chain(&trust).chain(&image);
    sandbox.run(&cosign, ["verify"].iter().chain(common())).expect_success();
    let wanted = ["verify-attestation", "--type", "https://example.com/scan/v1"];
    sandbox.run(&cosign, wanted.iter().chain(common())).expect_success();
    let other = ["--certificate-identity", "https://github.com/acme/other"];
    let refused = sandbox.run(&cosign, ["verify"].iter().chain(&other).chain(&trust).chain(&image));
    assert!(!refused.succeeded());

    let bundle = signer.sign_blob(b"a file").await.unwrap();
    fs::write(sandbox.path().join("bundle.json"), bundle.to_json()).unwrap();
    fs::write(sandbox.path().join("file"), b"a file").unwrap();
    let blob = ["verify-blob", "--bundle", "bundle.json"];
    let arguments = blob.iter().chain(&identity).chain(&trust).chain(&["file"]);
    sandbox.run(&cosign, arguments).expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_3_verifies_logged_keys_with_our_trust_root() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let world = World::start().await;
    let root = world
        .folder
        .path()
        .join("trust/trusted_root.json")
        .display()
        .to_string();
    for name in ["p256", "rsa2048"] {
        let sandbox = Sandbox::new();
        let signer = Signer::logged_key(fixture_key(name), &world.config, world.options()).unwrap();
        fs::write(sandbox.path().join("key.pub"), signer.public_key().to_pem()).unwrap();
        let mut layout = Layout::new(&sandbox.path().join("layout"));
        let bundle = signer.sign_statement(&signature(&layout.image)).await.unwrap();
        let (manifest, bytes) = layout::referrer_of(&layout.image, &bundle, UnixTime::EPOCH);
        layout.blob(&bytes);
        layout.blob(layout::EMPTY_CONFIG);
        layout.list(&manifest, "");
        let folder = layout.finish();
        let arguments = [
            "verify",
            "--key",
            "key.pub",
            "--trusted-root",
            &root,
            "--local-image",
            &folder,
        ];
        sandbox.run(&cosign, arguments).expect_success();
    }
}

/// `.sig` and `.att` have no place for the entries of Rekor v2; the timestamp says when.
#[tokio::test(flavor = "multi_thread")]
async fn both_cosigns_verify_keyless_legacy_images_by_their_timestamp() {
    for peer in [COSIGN2, COSIGN3] {
        let Some(cosign) = peer.or_skip() else { continue };
        let world = World::start().await;
        let sandbox = Sandbox::new();
        let root = world
            .folder
            .path()
            .join("trust/trusted_root.json")
            .display()
            .to_string();
        let signer = Signer::Keyless(world.ci_session().await.unwrap());
        let mut layout = Layout::new(&sandbox.path().join("layout"));
        legacy_evidence(&mut layout, &signer).await;
        let folder = layout.finish();
        let issuer = world.issuer.ci_issuer();
        let file = |name: &str| world.folder.path().join("trust").join(name).display().to_string();
        let (authority, clock) = (file("ca-chain.pem"), file("tsa-chain.pem"));
        // cosign 2 reads trust roots for bundles only; here it takes each chain by itself.
        let trust = match peer {
            COSIGN2 => vec![
                "--certificate-chain",
                &authority,
                "--timestamp-certificate-chain",
                &clock,
                "--insecure-ignore-sct=true",
            ],
            _ => vec!["--trusted-root", &root],
        };
        let arguments = [
            "--use-signed-timestamps",
            "--insecure-ignore-tlog=true",
            "--certificate-oidc-issuer",
            &issuer,
            "--certificate-identity",
            WORKFLOW,
            "--local-image",
            &folder,
        ];
        sandbox
            .run(&cosign, ["verify"].iter().chain(&trust).chain(&arguments))
            .expect_success();
        let wanted = ["verify-attestation", "--type", "https://example.com/scan/v1"];
        sandbox
            .run(&cosign, wanted.iter().chain(&trust).chain(&arguments))
            .expect_success();
    }
}

/// What Rekor v1 promises is what the legacy layouts were made for: no flag that ignores the log is needed.
#[tokio::test(flavor = "multi_thread")]
async fn both_cosigns_verify_legacy_images_logged_by_rekor_v1() {
    for peer in [COSIGN2, COSIGN3] {
        let Some(cosign) = peer.or_skip() else { continue };
        let old = Old::start().await;
        for name in ["p256", "p384", "rsa2048"] {
            let sandbox = Sandbox::new().with("SIGSTORE_REKOR_PUBLIC_KEY", "rekor.pub");
            let signer = old.key(fixture_key(name));
            fs::write(sandbox.path().join("key.pub"), signer.public_key().to_pem()).unwrap();
            fs::write(sandbox.path().join("rekor.pub"), old.log.public_key().to_pem()).unwrap();
            let other = Signer::key(SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap());
            fs::write(sandbox.path().join("other.pub"), other.public_key().to_pem()).unwrap();
            let mut layout = Layout::new(&sandbox.path().join("layout"));
            legacy_evidence(&mut layout, &signer).await;
            let folder = layout.finish();
            let root = old.trusted_root.display().to_string();
            // cosign 2 takes the log's key from the environment.
            let trust = match peer {
                COSIGN2 => Vec::new(),
                _ => vec!["--trusted-root", &root],
            };
            let image = ["--key", "key.pub", "--offline=true", "--local-image", &folder];
            sandbox
                .run(&cosign, ["verify"].iter().chain(&trust).chain(&image))
                .expect_success();
            let wanted = ["verify-attestation", "--type", "https://example.com/scan/v1"];
            sandbox
                .run(&cosign, wanted.iter().chain(&trust).chain(&image))
                .expect_success();
            if peer == COSIGN2 {
                // It was the log's key that counted.
                fs::copy(sandbox.path().join("other.pub"), sandbox.path().join("rekor.pub")).unwrap();
                let refused = sandbox.run(&cosign, ["verify"].iter().chain(&image));
                assert!(!refused.succeeded());
            }
        }
    }
}

/// Keyless and without a timestamp authority, as most of the public instance's are: the promise says when.
#[tokio::test(flavor = "multi_thread")]
async fn both_cosigns_verify_keyless_legacy_images_logged_by_rekor_v1() {
    for peer in [COSIGN2, COSIGN3] {
        let Some(cosign) = peer.or_skip() else { continue };
        let old = Old::start().await;
        let sandbox = Sandbox::new().with("SIGSTORE_REKOR_PUBLIC_KEY", "rekor.pub");
        fs::write(sandbox.path().join("rekor.pub"), old.log.public_key().to_pem()).unwrap();
        let signer = old.keyless(&old.timeless()).await;
        let mut layout = Layout::new(&sandbox.path().join("layout"));
        legacy_evidence(&mut layout, &signer).await;
        let folder = layout.finish();
        let root = old.trusted_root.display().to_string();
        let authority = old.world.folder.path().join("trust/ca-chain.pem");
        let authority = authority.display().to_string();
        let trust = match peer {
            COSIGN2 => vec!["--certificate-chain", &authority, "--insecure-ignore-sct=true"],
            _ => vec!["--trusted-root", &root],
        };
        let issuer = old.world.issuer.ci_issuer();
        let arguments = [
            "--offline=true",
            "--certificate-oidc-issuer",
            &issuer,
            "--certificate-identity",
            WORKFLOW,
            "--local-image",
            &folder,
        ];
        sandbox
            .run(&cosign, ["verify"].iter().chain(&trust).chain(&arguments))
            .expect_success();
        let wanted = ["verify-attestation", "--type", "https://example.com/scan/v1"];
        sandbox
            .run(&cosign, wanted.iter().chain(&trust).chain(&arguments))
            .expect_success();
    }
}

/// Without a timestamp authority: the log's promise says when.
#[tokio::test(flavor = "multi_thread")]
async fn cosign_3_verifies_keyless_signatures_logged_by_rekor_v1() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let old = Old::start().await;
    let sandbox = Sandbox::new();
    let root = old.trusted_root.display().to_string();
    let signer = old.keyless(&old.timeless()).await;
    let mut layout = Layout::new(&sandbox.path().join("layout"));
    for statement in [signature(&layout.image), statement(&layout.image)] {
        let bundle = signer.sign_statement(&statement).await.unwrap();
        let (manifest, bytes) = layout::referrer_of(&layout.image, &bundle, UnixTime::EPOCH);
        layout.blob(&bytes);
        layout.blob(layout::EMPTY_CONFIG);
        layout.list(&manifest, "");
    }
    let folder = layout.finish();
    let issuer = old.world.issuer.ci_issuer();
    let trust = [
        "--trusted-root",
        &root,
        "--certificate-oidc-issuer",
        &issuer,
        "--certificate-identity",
        WORKFLOW,
    ];
    let image = ["--local-image", folder.as_str()];
    let common = || trust.iter().chain(&image);
    sandbox.run(&cosign, ["verify"].iter().chain(common())).expect_success();
    let wanted = ["verify-attestation", "--type", "https://example.com/scan/v1"];
    sandbox.run(&cosign, wanted.iter().chain(common())).expect_success();

    let bundle = signer.sign_blob(b"a file").await.unwrap();
    fs::write(sandbox.path().join("bundle.json"), bundle.to_json()).unwrap();
    fs::write(sandbox.path().join("file"), b"a file").unwrap();
    let blob = ["verify-blob", "--bundle", "bundle.json"];
    sandbox
        .run(&cosign, blob.iter().chain(&trust).chain(&["file"]))
        .expect_success();
    // The log is what it is verified by: the root that does not know it refuses.
    let without = old.world.folder.path().join("trust/trusted_root.json");
    let without = ["--trusted-root", without.to_str().unwrap()];
    let refused = sandbox.run(&cosign, blob.iter().chain(&without).chain(&trust[2..]).chain(&["file"]));
    assert!(!refused.succeeded());
}

/// Entries of two logs and timestamps of two authorities, as `EXACT` and `ALL` ask for them.
#[tokio::test(flavor = "multi_thread")]
async fn cosign_3_verifies_signatures_in_several_logs() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let two = Two::start().await;
    let sandbox = Sandbox::new();
    fs::write(sandbox.path().join("root.json"), two.root.to_string()).unwrap();
    fs::write(sandbox.path().join("file"), b"a file").unwrap();
    fs::write(sandbox.path().join("other"), b"another file").unwrap();
    let config = two.config(&[Of::First, Of::Second], Selector::Exact(2), Selector::All);
    let options = || Options {
        trust_root: Some(Arc::new(TrustRoot::parse(two.root.to_string().as_bytes()).unwrap())),
        ..Options::default()
    };
    let issuer = two.first.issuer.ci_issuer();
    let ephemeral = KeylessSession::begin(&config, two.first.ci_token(), options())
        .await
        .unwrap();
    let certified = fixture_key("p256");
    let certified = KeylessSession::begin_with_key(&config, two.first.ci_token(), certified, options());
    for session in [ephemeral, certified.await.unwrap()] {
        let signer = Signer::Keyless(session);
        let mut layout = Layout::new(&sandbox.path().join("layout"));
        let bundle = signer.sign_statement(&signature(&layout.image)).await.unwrap();
        assert_eq!(
            (bundle.material.tlog_entries.len(), bundle.material.timestamps.len()),
            (2, 2)
        );
        let (manifest, bytes) = layout::referrer_of(&layout.image, &bundle, UnixTime::EPOCH);
        layout.blob(&bytes);
        layout.blob(layout::EMPTY_CONFIG);
        layout.list(&manifest, "");
        let folder = layout.finish();
        let trust = [
            "--trusted-root",
            "root.json",
            "--use-signed-timestamps",
            "--certificate-oidc-issuer",
            &issuer,
            "--certificate-identity",
            WORKFLOW,
        ];
        let image = ["verify", "--local-image", &folder];
        sandbox.run(&cosign, image.iter().chain(&trust)).expect_success();
        let bundle = signer.sign_blob(b"a file").await.unwrap();
        fs::write(sandbox.path().join("bundle.json"), bundle.to_json()).unwrap();
        let blob = ["verify-blob", "--bundle", "bundle.json"];
        sandbox
            .run(&cosign, blob.iter().chain(&trust).chain(&["file"]))
            .expect_success();
        let refused = sandbox.run(&cosign, blob.iter().chain(&trust).chain(&["other"]));
        assert!(!refused.succeeded());
    }
}

/// The key file goes both ways: cosign opens ours and signs with it, whatever the kind, and we verify what it signed.
#[test]
fn cosign_opens_our_key_files() {
    for (peer, flags) in [
        (COSIGN2, &["--tlog-upload=false"][..]),
        (
            COSIGN3,
            &[
                "--tlog-upload=false",
                "--use-signing-config=false",
                "--new-bundle-format=false",
            ],
        ),
    ] {
        let Some(cosign) = peer.or_skip() else { continue };
        for algorithm in KeyAlgorithm::ALL {
            let sandbox = Sandbox::new().with("COSIGN_PASSWORD", "a password");
            let key = SigningKey::generate(algorithm).unwrap();
            let pem = key.to_encrypted_pem(&Password::new("a password")).unwrap();
            fs::write(sandbox.path().join("cosign.key"), pem.as_bytes()).unwrap();
            fs::write(sandbox.path().join("file"), b"a file").unwrap();
            let shown = sandbox.run(&cosign, ["public-key", "--key", "cosign.key"]);
            assert_eq!(shown.expect_success().stdout.trim(), key.public_key().to_pem().trim());
            let signing = [
                "sign-blob",
                "--key",
                "cosign.key",
                "--yes",
                "--output-signature",
                "signature",
            ];
            sandbox
                .run(&cosign, signing.iter().chain(flags).chain(&["file"]))
                .expect_success();
            let signature = fs::read_to_string(sandbox.path().join("signature")).unwrap();
            let signature = base64_decode(signature.trim()).unwrap();
            let used = key.public_key().verify(b"a file", &signature);
            assert!(used.is_ok(), "{algorithm:?}");
            assert!(key.public_key().verify(b"another file", &signature).is_err());
        }
        let sandbox = Sandbox::new().with("COSIGN_PASSWORD", "a password");
        let made = sandbox.run(&cosign, ["generate-key-pair", "--output-key-prefix", "made"]);
        made.expect_success();
        let text = fs::read_to_string(sandbox.path().join("made.key")).unwrap();
        let made = SigningKey::from_pem(&text, Some(&Password::new("a password"))).unwrap();
        let public = fs::read_to_string(sandbox.path().join("made.pub")).unwrap();
        assert_eq!(made.public_key().to_pem().trim(), public.trim());
    }
}
