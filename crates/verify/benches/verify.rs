//! Microseconds of one verification, by key and keyless, on bundles that cosign wrote.
//!
//! `cargo bench -p proofmark-verify`; numbers are for reading, nothing is asserted.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring tool over fixture files"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_oci::{ImageManifest, Manifest};
use proofmark_types::{Digest, UnixTime};
use proofmark_verify::{PublicKey, TrustRoot, Verifier};

const ROUNDS: u32 = 500;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let pem = fs::read_to_string(root.join("cosign/keys/p256-imp/cosign.pub")).unwrap();
    let key = Verifier::new().with_key(PublicKey::from_pem(&pem).unwrap());
    let trust = Arc::new(TrustRoot::parse(&fs::read(root.join("keyless/trusted_root.json")).unwrap()).unwrap());
    let logged = key.clone().with_trust_root(Arc::clone(&trust));
    let keyless = Verifier::new().with_trust_root(trust);
    let cases = [
        ("key, no log", &key, "negative/src-key-a"),
        ("key, log and timestamp", &logged, "negative/src-key-tlog"),
        ("keyless, log, timestamp and SCT", &keyless, "negative/src-less-a"),
    ];
    let now = UnixTime::parse("2026-11-21T12:00:00Z").unwrap();
    for (name, verifier, layout) in cases {
        let evidence = evidence(&root.join(layout));
        assert_eq!(verifier.verify(&evidence, now).proofs().len(), 1);
        let (start, processor) = (Instant::now(), processor_nanoseconds());
        for _ in 0..ROUNDS {
            black_box(verifier.verify(black_box(&evidence), now));
        }
        let wall = start.elapsed().as_micros() / u128::from(ROUNDS);
        match (processor, processor_nanoseconds()) {
            (Some(before), Some(after)) => {
                println!(
                    "{name:35} {:>6} us CPU, {wall} us wall",
                    (after - before) / 1_000 / u64::from(ROUNDS)
                );
            }
            _ => println!("{name:35} {wall:>6} us wall"),
        }
    }
}

/// Time on a processor so far, where the system tells it; wall time on a busy machine says little.
fn processor_nanoseconds() -> Option<u64> {
    fs::read_to_string("/proc/self/schedstat")
        .ok()?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

/// The bundle of the only referrer of a layout.
fn evidence(folder: &Path) -> EvidenceSet {
    let blobs = fs::read_dir(folder.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let manifests = blobs.filter_map(|path| match Manifest::parse(None, &fs::read(path).unwrap()) {
        Ok(Manifest::Image(manifest)) => Some(manifest),
        _ => None,
    });
    let referrer: ImageManifest = manifests
        .into_iter()
        .find(|manifest| manifest.subject.is_some())
        .unwrap();
    let subject: Digest = referrer.subject.unwrap().digest;
    let layer = &referrer.layers[0];
    let bytes = fs::read(folder.join(proofmark_oci::layout::blob_path(&layer.digest))).unwrap();
    let mut set = EvidenceSet::new(subject);
    set.items.push(Item {
        origin: Origin::Local,
        content: ItemContent::Bundle(Bundle::parse(&bytes).unwrap()),
    });
    set
}
