//! Evidence changed at random: no panic, and nothing proven that was not signed.

use std::fs;
use std::sync::LazyLock;

use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_types::Digest;
use proofmark_verify::{Proof, PublicKey, SignerProof, TrustRoot, Verifier};
use proptest::prelude::*;

use crate::cases::{key, now, trust_root};
use crate::layout::{Layout, root};

struct Subject {
    verifier: Verifier,
    digest: Digest,
    bundle: Vec<u8>,
    said: String,
}

/// All that a proof says that is under a signature.
fn said(proof: &Proof) -> String {
    let signer = match proof.signer() {
        SignerProof::Key { fingerprint, .. } => fingerprint.to_string(),
        SignerProof::Certificate(facts) => format!("{facts:?}"),
        other => format!("{other:?}"),
    };
    format!(
        "{signer} {:?} {:?} {}",
        proof.predicate_type(),
        proof.annotations(),
        proof.predicate()
    )
}

fn verify(verifier: &Verifier, subject: &Digest, bundle: Bundle) -> Option<String> {
    let mut set = EvidenceSet::new(subject.clone());
    set.items.push(Item {
        origin: Origin::Local,
        content: ItemContent::Bundle(bundle),
    });
    verifier.verify(&set, now()).proofs().first().map(said)
}

fn load(verifier: Verifier, folder: &str) -> Subject {
    let layout = Layout::open(&root().join(folder));
    let digest = layout.resolve("1.0").unwrap();
    let ItemContent::Bundle(bundle) = layout.evidence(&digest).items.remove(0).content else {
        panic!()
    };
    let said = verify(&verifier, &digest, bundle.clone()).unwrap();
    Subject {
        verifier,
        digest,
        bundle: bundle.to_json(),
        said,
    }
}

static KEYLESS: LazyLock<Subject> = LazyLock::new(|| {
    load(
        Verifier::new().with_trust_root(trust_root("keyless/trusted_root.json")),
        "negative/src-less-a",
    )
});

static BY_KEY: LazyLock<Subject> = LazyLock::new(|| {
    load(
        Verifier::new().with_key(key("cosign/keys/p256-imp/cosign.pub")),
        "negative/src-key-a",
    )
});

fn check(subject: &Subject, changed: &[u8]) {
    let Ok(bundle) = Bundle::parse(changed) else { return };
    if let Some(said) = verify(&subject.verifier, &subject.digest, bundle) {
        assert_eq!(said, subject.said);
    }
}

/// The binary parts of a bundle: certificate, timestamp, bodies, signatures, checkpoint.
fn change_part(bundle: &mut Bundle, part: usize, place: usize, value: u8) {
    let entry = &mut bundle.material.tlog_entries[0];
    let bytes: &mut Vec<u8> = match part {
        0 => match &mut bundle.material.key {
            proofmark_evidence::bundle::KeyMaterial::Certificate(der) => der,
            other => panic!("{other:?}"),
        },
        1 => &mut bundle.material.timestamps[0],
        2 => &mut entry.canonicalized_body,
        3 => &mut entry.inclusion_proof.as_mut().unwrap().hashes[0],
        _ => &mut entry.log_id,
    };
    let place = place % bytes.len();
    bytes[place] = value;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_the_json(place in any::<prop::sample::Index>(), value in any::<u8>(), which in any::<bool>()) {
        let subject = if which { &*KEYLESS } else { &*BY_KEY };
        let mut changed = subject.bundle.clone();
        let place = place.index(changed.len());
        changed[place] = value;
        check(subject, &changed);
    }

    #[test]
    fn bytes_of_the_parts(part in 0_usize..5, place in any::<usize>(), value in any::<u8>()) {
        let subject = &*KEYLESS;
        let mut bundle = Bundle::parse(&subject.bundle).unwrap();
        change_part(&mut bundle, part, place, value);
        if let Some(said) = verify(&subject.verifier, &subject.digest, bundle) {
            prop_assert_eq!(&said, &subject.said);
        }
    }

    #[test]
    fn parts_cut_off(part in 0_usize..3, length in any::<prop::sample::Index>()) {
        let subject = &*KEYLESS;
        let mut bundle = Bundle::parse(&subject.bundle).unwrap();
        match part {
            0 => if let proofmark_evidence::bundle::KeyMaterial::Certificate(der) = &mut bundle.material.key {
                der.truncate(length.index(der.len()));
            },
            1 => { let bytes = &mut bundle.material.timestamps[0]; bytes.truncate(length.index(bytes.len())); }
            _ => { let bytes = &mut bundle.material.tlog_entries[0].canonicalized_body; bytes.truncate(length.index(bytes.len())); }
        }
        prop_assert!(verify(&subject.verifier, &subject.digest, bundle).is_none());
    }

    #[test]
    fn trust_roots_and_keys(place in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut text = fs::read(root().join("keyless/trusted_root.json")).unwrap();
        let at = place.index(text.len());
        text[at] = value;
        drop(TrustRoot::parse(&text));
        let mut pem = fs::read(root().join("cosign/keys/rsa2048/cosign.pub")).unwrap();
        let at = place.index(pem.len());
        pem[at] = value;
        drop(PublicKey::from_pem(&String::from_utf8_lossy(&pem)));
    }
}
