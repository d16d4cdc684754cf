//! How many signers there are, where an authority of one's own writes whatever names it likes into certificates: real
//! certificates, real signatures, a real log's promise, and the verifier.

use std::collections::BTreeMap;

use proofmark_evidence::encoding::{base64_encode, pem_encode};
use proofmark_evidence::legacy::{LegacyLogBundle, LegacySignature, set_payload};
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_policy::{Outcome, PolicySet};
use proofmark_types::{Digest, UnixTime};
use proofmark_verify::{Proofs, PublicKey, Verifier};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SigningKey,
};
use serde_json::json;

use crate::world::{decide, load, now};

const APP: &str = "registry.example.com/team/app:1.0";

const OWN: &str = "https://own.example";

/// An authority of one's own, and a log.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    log: KeyPair,
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn public(key: &KeyPair) -> PublicKey {
    PublicKey::from_spki_der(&key.subject_public_key_info()).unwrap()
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self {
            params,
            key: new_key(),
            log: new_key(),
        }
    }

    /// What is proven by one signature for each certificate: its key, its names, and who vouched for them.
    fn signed(&self, more: &[PublicKey], by: &[(&KeyPair, &[SanType], &str)]) -> Proofs {
        let subject = Digest::sha256_of(b"an image manifest");
        let payload = Payload::new("registry.example.com/team/app", &subject, BTreeMap::new()).to_json();
        let mut set = EvidenceSet::new(subject);
        for (key, names, issuer) in by {
            let certificate = self.certify(key, names, issuer);
            set.items.push(Item {
                origin: Origin::Local,
                content: ItemContent::LegacySignature(self.logged(&payload, key, certificate)),
            });
        }
        let root = self.params.self_signed(&self.key).unwrap();
        let verifier = Verifier::new()
            .with_log_key(public(&self.log))
            .with_authority_pem(pem_encode("CERTIFICATE", root.der()).as_bytes(), None)
            .unwrap();
        let verifier = more.iter().cloned().fold(verifier, Verifier::with_key);
        let proofs = verifier.verify(&set, now());
        assert_eq!(proofs.proofs().len(), by.len(), "{:?}", proofs.rejections());
        proofs
    }

    fn certify(&self, key: &KeyPair, names: &[SanType], issuer: &str) -> Option<Vec<u8>> {
        if names.is_empty() {
            return None;
        }
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let oid = [1, 3, 6, 1, 4, 1, 57264, 1, 1];
        let extension = CustomExtension::from_oid_content(&oid, issuer.as_bytes().to_vec());
        params.custom_extensions.push(extension);
        let authority = Issuer::from_params(&self.params, &self.key);
        Some(params.signed_by(key, &authority).unwrap().der().to_vec())
    }

    /// A `.sig` layer with what Rekor answered.
    fn logged(&self, payload: &[u8], key: &KeyPair, certificate: Option<Vec<u8>>) -> LegacySignature {
        let signature = key.sign(payload).unwrap();
        let verifier = match &certificate {
            Some(der) => pem_encode("CERTIFICATE", der),
            None => public(key).to_pem(),
        };
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": Digest::sha256_of(payload).hex()}},
            "signature": {"content": base64_encode(&signature), "publicKey": {"content": base64_encode(verifier.as_bytes())}},
        }});
        let body = serde_json::to_vec(&body).unwrap();
        let integrated_time = UnixTime::parse("2026-11-20T12:00:00Z").unwrap();
        let log_id = public(&self.log).fingerprint().as_bytes().to_vec();
        let promised = set_payload(&body, integrated_time, &log_id, 7);
        LegacySignature {
            log_bundle: Some(LegacyLogBundle {
                set: self.log.sign(&promised).unwrap(),
                body,
                integrated_time,
                log_index: 7,
                log_id,
            }),
            payload: payload.to_vec(),
            signature,
            certificate,
            chain: Vec::new(),
            timestamp: None,
        }
    }
}

fn mail(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

/// A policy that wants so many signers; anybody fills any of its four places, and the keys have theirs.
fn wanting(count: usize, keys: &[PublicKey]) -> PolicySet {
    let mut signers = String::new();
    for place in 1..=4 {
        signers.push_str(&format!(
            "      - keyless: {{issuerRegExp: 'https://[a-z]+\\.example', subjectRegExp: '(alice|Alice|bob|spiffe).{{{place},}}'}}\n"
        ));
    }
    for key in keys {
        let pem: String = key
            .to_pem()
            .lines()
            .map(|line| format!("            {line}\n"))
            .collect();
        signers.push_str(&format!("      - key: |\n{pem}"));
    }
    load(&format!(
        "apiVersion: proofmark.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {{name: p}}\nspec:\n  match: {{images: [\"**\"]}}\n  signatures:\n    requireSct: false\n    count: {count}\n    signers:\n{signers}"
    ))
}

/// How many signers are counted: so many are enough, and one more is too many.
#[track_caller]
fn assert_signers(expected: usize, keys: &[PublicKey], proofs: &Proofs) {
    assert_eq!(decide(&wanting(expected, keys), APP, proofs).outcome, Outcome::Pass);
    let denied = decide(&wanting(expected + 1, keys), APP, proofs);
    assert_eq!(denied.outcome, Outcome::Fail, "{denied:#?}");
    let counted = format!("{expected} of the {}", expected + 1);
    assert!(denied.reasons[0].message.contains(&counted), "{denied:#?}");
}

#[test]
fn two_lists_of_names_of_one_signer_are_one_signer() {
    let authority = Authority::new();
    let (one, two, three) = (new_key(), new_key(), new_key());
    let (alice, bob, build) = (
        mail("alice@example.com"),
        mail("bob@example.com"),
        uri("spiffe://example.com/build"),
    );
    let count = |expected, by: &[(&KeyPair, &[SanType], &str)]| {
        assert_signers(expected, &[], &authority.signed(&[], by));
    };
    let alone = std::slice::from_ref(&alice);
    let other = std::slice::from_ref(&bob);
    let robot = std::slice::from_ref(&build);
    let alice_and_build = [alice.clone(), build.clone()];
    // Different people are different signers.
    count(2, &[(&one, alone, OWN), (&two, other, OWN)]);
    count(3, &[(&one, alone, OWN), (&two, other, OWN), (&three, robot, OWN)]);
    // One name in two lists, whatever else is in them, and in whatever order.
    count(1, &[(&one, alone, OWN), (&two, &alice_and_build, OWN)]);
    count(
        1,
        &[
            (&two, &[build.clone(), alice.clone()], OWN),
            (&one, &alice_and_build, OWN),
        ],
    );
    // What one certificate ties together is one signer in all of them; who is not tied to it is another.
    count(
        1,
        &[(&one, alone, OWN), (&two, robot, OWN), (&three, &alice_and_build, OWN)],
    );
    count(
        2,
        &[(&one, alone, OWN), (&two, other, OWN), (&three, &alice_and_build, OWN)],
    );
    // One key is one signer, under any name.
    count(1, &[(&one, alone, OWN), (&one, other, OWN)]);
    // Mail is the same person for every issuer and in either case; other names are their issuer's.
    count(
        1,
        &[
            (&one, alone, "https://a.example"),
            (&two, &[mail("Alice@EXAMPLE.com")], "https://b.example"),
        ],
    );
    count(
        2,
        &[(&one, robot, "https://a.example"), (&two, robot, "https://b.example")],
    );
    count(
        1,
        &[(&one, robot, "https://a.example"), (&two, robot, "https://a.example")],
    );
}

#[test]
fn a_key_and_its_certificate_are_one_signer() {
    let authority = Authority::new();
    let (one, two) = (new_key(), new_key());
    let keys = [public(&one)];
    let alice = [mail("alice@example.com")];
    let bare = authority.signed(&keys, &[(&one, &[], OWN), (&one, &alice, OWN)]);
    assert_signers(1, &keys, &bare);
    let two = authority.signed(&keys, &[(&one, &[], OWN), (&two, &alice, OWN)]);
    assert_signers(2, &keys, &two);
}
