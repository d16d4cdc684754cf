//! What each target does with its bytes. A function here returns, quickly, whatever it is given; and it holds what must
//! always be true of what it parsed.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use proofmark_admission::Request;
use proofmark_evidence::bundle::{Bundle, LogEntry};
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::layout::{DSSE_ENVELOPE, SIMPLE_SIGNING};
use proofmark_evidence::legacy::{Detached, read_layer};
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, Origin};
use proofmark_merkle::tile::{self, TilePath};
use proofmark_merkle::{Checkpoint, SignedCheckpoint, SignedNote};
use proofmark_oci::union::{self, Layer};
use proofmark_oci::{Descriptor, ImageConfig, Manifest, Platform};
use proofmark_policy::PolicySet;
use proofmark_registry::CredentialStore;
use proofmark_sbom::{Options, ReadOptions};
use proofmark_sign::token::IdentityToken;
use proofmark_trust_root::{ClientTrustConfig, SigningConfig};
use proofmark_types::{Digest, ImageRef, KeyReference, MediaType, Purl, Tag, UnixTime};
use proofmark_verify::{Artifact, PublicKey, TrustRoot, Verifier};

pub use crate::advisories::*;
pub use crate::inside::*;

/// A key whose private half was thrown away when it was made: nothing that it is said to have signed is genuine.
const NOBODYS_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";

static KEY: LazyLock<PublicKey> = LazyLock::new(|| PublicKey::from_pem(NOBODYS_KEY).expect("a key"));
static ROOT: LazyLock<Arc<TrustRoot>> = LazyLock::new(|| {
    let bytes = fs::read(fixtures().join("keyless/trusted_root.json")).expect("the fixtures' trust root");
    Arc::new(TrustRoot::parse(&bytes).expect("a trust root"))
});
pub(crate) static NOW: LazyLock<UnixTime> = LazyLock::new(|| UnixTime::parse("2026-11-21T12:00:00Z").expect("a time"));

/// The folder of fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// A verifier that believes nobody who signs anything, and must look at everything nevertheless.
fn stranger() -> Verifier {
    Verifier::new().with_key(KEY.clone())
}

fn media_type(text: &str) -> MediaType {
    MediaType::parse(text).expect("a media type")
}

/// A Sigstore bundle, verified too.
pub fn bundle(data: &[u8]) {
    let _ = LogEntry::parse(data);
    let Ok(parsed) = Bundle::parse(data) else { return };
    assert_eq!(Bundle::parse(&parsed.to_json()).expect("what was written"), parsed);
    let proofs = stranger().verify_blob(&parsed, &Artifact::Bytes(b"an artifact"), *NOW);
    assert!(proofs.proofs().is_empty(), "nobody signed this");
    let rooted = stranger().with_trust_root(Arc::clone(&ROOT));
    let _ = rooted.verify_blob(&parsed, &Artifact::Bytes(b"an artifact"), *NOW);
}

/// A DSSE envelope.
pub fn dsse(data: &[u8]) {
    if let Ok(parsed) = Envelope::parse(data) {
        assert_eq!(Envelope::parse(&parsed.to_json()).expect("what was written"), parsed);
    }
}

/// An in-toto statement.
pub fn statement(data: &[u8]) {
    let _ = Statement::parse(data);
}

/// A simple-signing payload.
pub fn simple_signing(data: &[u8]) {
    let _ = Payload::parse(data);
}

/// A layer of the older layouts: its annotations, and after a line end its bytes.
pub fn legacy_layer(data: &[u8]) {
    let split = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (annotations, blob) = data.split_at(split);
    let annotations = serde_json::from_slice(annotations).unwrap_or_default();
    for kind in [SIMPLE_SIGNING, DSSE_ENVELOPE] {
        let mut layer = Descriptor::of(media_type(kind), blob);
        layer.annotations = std::collections::BTreeMap::clone(&annotations);
        let mut set = EvidenceSet::new(Digest::sha256_of(b"an image"));
        set.items.push(Item {
            origin: Origin::Local,
            content: read_layer(&layer, blob),
        });
        assert!(stranger().verify(&set, *NOW).proofs().is_empty(), "nobody signed this");
    }
}

/// A signature in a file of its own, and cosign's older bundle.
pub fn detached(data: &[u8]) {
    let read = [
        Detached::signature(data),
        Detached::attestation(data),
        Detached::signature_bundle(data),
        Detached::attestation_bundle(data),
        Detached::signature(b"AQI=").and_then(|one| one.with_certificate(data)),
        Detached::signature(b"AQI=").and_then(|one| one.with_chain(data)),
        Detached::signature(b"AQI=").and_then(|one| one.with_timestamp(data)),
    ];
    let _ = Detached::is_bundle(data);
    for one in read.into_iter().flatten() {
        let proofs = stranger().verify_blob_legacy(&one, &Artifact::Bytes(b"an artifact"), *NOW);
        assert!(proofs.proofs().is_empty(), "nobody signed this");
    }
}

/// A leaf certificate, a chain of one's own, and a public key.
pub fn certificate(data: &[u8]) {
    proofmark_verify::fuzzing::certificate(data, &KEY);
    let _ = Verifier::new().with_ca_chain(&[data.to_vec()]);
    let _ = Verifier::new().with_authority_pem(data, Some(data));
    let _ = PublicKey::from_spki_der(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = PublicKey::from_pem(text);
    }
}

/// An RFC 3161 response.
pub fn timestamp(data: &[u8]) {
    proofmark_verify::fuzzing::timestamp(data, b"a signature", &ROOT, *NOW);
}

/// The body of a log entry.
pub fn log_body(data: &[u8]) {
    proofmark_verify::fuzzing::log_body(data, &KEY);
}

/// A list of SCTs, and the certificate that they are in.
pub fn scts(data: &[u8]) {
    proofmark_verify::fuzzing::scts(data, data);
}

/// A signed note (C2SP).
pub fn signed_note(data: &[u8]) {
    if let Ok(note) = SignedNote::parse(data) {
        let again = SignedNote::parse(note.encode().as_bytes()).expect("what was written");
        assert_eq!(again.text(), note.text());
    }
}

/// A checkpoint, signed and bare.
pub fn checkpoint(data: &[u8]) {
    let _ = SignedCheckpoint::parse(data);
    if let Ok(parsed) = std::str::from_utf8(data).map(Checkpoint::parse)
        && let Ok(parsed) = parsed
    {
        assert_eq!(
            Checkpoint::parse(&parsed.text()).expect("what was written").root(),
            parsed.root()
        );
    }
}

/// Tiles of a log, their entries, and their paths.
pub fn tile(data: &[u8]) {
    let _ = tile::parse_hashes(data);
    let _ = tile::parse_entries(data);
    if let Ok(path) = std::str::from_utf8(data).map(TilePath::parse)
        && let Ok(path) = path
    {
        assert_eq!(
            TilePath::parse(&path.path()).expect("what was written").path(),
            path.path()
        );
    }
}

/// `trusted_root.json`.
pub fn trust_root(data: &[u8]) {
    if let Ok(parsed) = TrustRoot::parse(data) {
        let again = TrustRoot::parse(&parsed.to_json()).expect("what was written");
        assert_eq!(again.logs().len(), parsed.logs().len());
    }
}

/// Metadata of The Update Framework, of each role.
pub fn tuf_metadata(data: &[u8]) {
    proofmark_trust_root::tuf::read_for_fuzzing(data);
}

/// `signing_config.json`.
pub fn signing_config(data: &[u8]) {
    let _ = SigningConfig::parse(data);
}

/// Both of them in one file, as sigstore-python has it.
pub fn trust_config(data: &[u8]) {
    let _ = ClientTrustConfig::parse(data);
}

/// A manifest or an index.
pub fn manifest(data: &[u8]) {
    let kinds = [
        None,
        Some("application/vnd.oci.image.manifest.v1+json"),
        Some("application/vnd.oci.image.index.v1+json"),
        Some("application/vnd.docker.distribution.manifest.v2+json"),
    ];
    for kind in kinds {
        if let Ok(Manifest::Image(parsed)) = Manifest::parse(kind.map(media_type).as_ref(), data) {
            let _ = proofmark_evidence::layout::is_evidence(&parsed);
            let written = parsed.to_json();
            Manifest::parse(None, &written).expect("what was written");
        }
    }
}

/// The config of an image.
pub fn config(data: &[u8]) {
    if let Ok(parsed) = ImageConfig::parse(data) {
        ImageConfig::parse(&parsed.to_json()).expect("what was written");
    }
}

/// `index.json` of an OCI layout.
pub fn layout(data: &[u8]) {
    let _ = proofmark_oci::layout::check_marker(data);
    if let Ok(index) = proofmark_oci::layout::parse_index(data) {
        let _ = proofmark_oci::layout::select(&index, None);
        let _ = proofmark_oci::layout::select(&index, Some("1.0"));
    }
}

/// `manifest.json` of a `docker save` archive.
pub fn docker_archive(data: &[u8]) {
    if let Ok(images) = proofmark_oci::docker_archive::parse(data) {
        let _ = proofmark_oci::docker_archive::select(&images, None);
    }
}

/// Reads an image of one layer with this tar, as it is and deflated.
pub(crate) fn read_tar(tar: &[u8]) {
    let diff_id = Digest::sha256_of(tar);
    let mut deflated = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(tar, flate2::Compression::fast());
    encoder.read_to_end(&mut deflated).expect("memory");
    for bytes in [tar.to_vec(), deflated] {
        let descriptor = Descriptor::of(media_type("application/vnd.oci.image.layer.v1.tar+gzip"), &bytes);
        let source = move || -> std::io::Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(bytes.clone()))) };
        let layer = Layer {
            descriptor: &descriptor,
            diff_id: &diff_id,
            source: &source,
        };
        let options = Options {
            file_digests: true,
            limits: union::Limits {
                entries: 10_000,
                names: 10_000,
                layer_bytes: 16 << 20,
                inflated_bytes: 64 << 20,
                ..union::Limits::default()
            },
        };
        let _ = proofmark_sbom::catalog(&[layer], &options);
    }
}

/// A layer.
pub fn layers(data: &[u8]) {
    read_tar(data);
}

/// A document of anyone, alone or in an attestation. What was read can be written in every format and read again.
pub fn sbom_document(data: &[u8]) {
    let Ok(read) = proofmark_sbom::read_with(data, ReadOptions { unwrap: true }) else {
        return;
    };
    let info = read.info(*NOW, "0.1.0");
    for format in proofmark_sbom::Format::ALL {
        let again = proofmark_sbom::read(&format.write(&read.bill, &info)).expect("what was written");
        assert_eq!(again.bill.packages.len(), read.bill.packages.len(), "{format}");
    }
}

/// JSON as evidence may use it.
pub fn json(data: &[u8]) {
    let _ = proofmark_evidence::json::parse(data, 1 << 20);
}

/// `WWW-Authenticate`.
pub fn challenge(data: &[u8]) {
    let _ = proofmark_registry::fuzzing::challenge(data);
}

/// `Link`: never to another host.
pub fn link(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(target) = proofmark_registry::fuzzing::link(text)
    {
        assert!(target.starts_with('/'), "{target}");
    }
}

/// `config.json` with credentials.
pub fn credentials(data: &[u8]) {
    let _ = CredentialStore::from_json("auth.json", data);
}

/// Files of policies, of every kind.
pub fn policy(data: &[u8]) {
    let _ = PolicySet::load(&[("policy.yaml", data)]);
}

/// An admission review.
pub fn admission_review(data: &[u8]) {
    let _ = Request::parse(data);
}

/// An identity token.
pub fn token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = IdentityToken::parse(text);
    }
}

/// References, tags and platforms.
pub fn image_reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Tag::parse(text);
    let _ = Platform::parse(text);
    let _ = MediaType::parse(text);
    if let Ok(reference) = ImageRef::parse(text) {
        let written = reference.to_string();
        assert_eq!(
            ImageRef::parse(&written).expect("what was written").to_string(),
            written
        );
    }
}

/// Digests and times.
pub fn digest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = UnixTime::parse(text);
    if let Ok(digest) = Digest::parse(text) {
        assert_eq!(digest.to_string(), text);
    }
}

/// References to keys.
pub fn key_reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(reference) = KeyReference::parse(text) {
        // Not the same value: a PIN is written as asterisks.
        let written = reference.to_string();
        assert_eq!(
            KeyReference::parse(&written).expect("what was written").to_string(),
            written
        );
    }
}

/// Package URLs.
pub fn purl(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(purl) = Purl::parse(text) {
        let written = purl.to_string();
        assert_eq!(Purl::parse(&written).expect("what was written").to_string(), written);
    }
}

/// A target by its name, as `corpus/` has it.
pub type Target = fn(&[u8]);

macro_rules! targets {
    ($($name:ident)*) => {
        /// Every target.
        pub const TARGETS: &[(&str, Target)] = &[$((stringify!($name), $name)),*];
    };
}

targets! {
    bundle dsse statement simple_signing legacy_layer detached certificate timestamp log_body scts signed_note checkpoint
    tile trust_root tuf_metadata signing_config trust_config manifest config layout docker_archive layers challenge link credentials
    policy catalog rpm archive lock_file package_record program layer_listing sbom_document advisory advisory_database feeds vex results
    gate version image_reference digest key_reference purl admission_review token json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    #[test]
    fn every_target_takes_every_seed_and_its_halves() {
        let seeds = seed::seeds();
        for (name, target) in TARGETS {
            let own: Vec<_> = seeds.get(name).into_iter().flatten().collect();
            for bytes in own {
                target(bytes);
                target(&bytes[..bytes.len() / 2]);
                target(&bytes[bytes.len() / 2..]);
            }
            target(b"");
        }
    }

    #[test]
    fn every_target_begins_with_something() {
        let seeds = seed::seeds();
        let without: Vec<_> = TARGETS.iter().filter(|(name, _)| !seeds.contains_key(name)).collect();
        assert!(without.is_empty(), "{without:?}");
    }

    #[test]
    fn every_target_has_a_file_and_a_line() {
        let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        for (name, _) in TARGETS {
            assert!(
                manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
                "{name}"
            );
        }
        let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz_targets")).unwrap();
        // And the one with all of them.
        assert_eq!(files.count(), TARGETS.len() + 1);
    }
}
