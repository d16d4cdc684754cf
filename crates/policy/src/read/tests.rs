//! Reject twins of every field, and of files as a whole.

mod cluster_image_policy;
mod keys;
mod kyverno;
mod native;

use proptest::prelude::*;

use self::cluster_image_policy::CLUSTER_IMAGE_POLICY;
use self::kyverno::KYVERNO;
use self::native::native;
use crate::{PolicyError, PolicySet};

pub(super) const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEug7T1XYg/XWI+qgvSH1tqB3tUoqv\nW4L4vhbY+f/SCFEBatr/02pih4se0k5Tyt7lO7pKz4cc97qgB9E44J1RnQ==\n-----END PUBLIC KEY-----\n";

fn load(text: &str) -> Result<PolicySet, PolicyError> {
    PolicySet::load(&[("p.yaml", text.as_bytes())])
}

fn pem(by: usize) -> String {
    let pad = " ".repeat(by);
    PEM.lines().map(|line| format!("{pad}{line}\n")).collect()
}

/// What is replaced, by what, the code of the error, and the path that it names.
type Twin = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn twins(good: &str, rows: &[Twin]) {
    if let Err(error) = load(good) {
        panic!("{error}\n{good}");
    }
    let mut wrong = Vec::new();
    for (from, to, code, path) in rows {
        assert!(good.contains(from), "{from} is not in the policy");
        let bad = good.replacen(from, to, 1);
        match load(&bad) {
            Ok(_) => wrong.push(format!("accepted {to:?} for {from:?}")),
            Err(error) => {
                if error.code() != *code || error.place().path != *path {
                    wrong.push(format!("{to:?} [{}]: {error}", error.code()));
                }
                assert!(error.to_string().starts_with("p.yaml"), "{error}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_hold_several_documents_and_lists() {
    let one = "apiVersion: proofmark.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: NAME}\nspec: {match: {images: [\"**\"]}, requireDigest: true}\n";
    let two = format!("{}---\n{}---\n", one.replace("NAME", "a"), one.replace("NAME", "b"));
    assert_eq!(load(&two).unwrap().summaries().len(), 2);
    let items: String = ["a", "b"]
        .iter()
        .map(|name| {
            let text = one.replace("NAME", name);
            let mut lines = text.lines();
            let first = format!("- {}\n", lines.next().unwrap());
            first + &lines.map(|line| format!("  {line}\n")).collect::<String>()
        })
        .collect();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    assert_eq!(load(&list).unwrap().summaries().len(), 2);
    let twice = format!("{one}---\n{one}");
    assert_eq!(load(&twice).unwrap_err().code(), "policy-name-duplicate");
    let files = PolicySet::load(&[("a.yaml", one.as_bytes()), ("b.yaml", one.as_bytes())]);
    assert!(matches!(files, Err(PolicyError::DuplicateName { first, .. }) if first == "a.yaml"));
}

#[test]
fn what_is_no_policy_is_refused() {
    for (text, code) in [
        ("", "policy-empty"),
        ("---\n---\n", "policy-empty"),
        ("apiVersion: v1\nkind: ConfigMap\n", "policy-kind-unknown"),
        ("just text", "policy-kind-unknown"),
        ("[1, 2]", "policy-kind-unknown"),
        ("kind: List\nitems: []\n", "policy-value-invalid"),
        ("kind: List\nitem: []\n", "policy-field-unknown"),
        ("a: b: c", "policy-not-yaml"),
        ("a: 1\na: 2\n", "policy-not-yaml"),
        ("a: &x [*x]", "policy-not-yaml"),
    ] {
        match load(text) {
            Ok(_) => panic!("accepted {text:?}"),
            Err(error) => assert_eq!(error.code(), code, "{text:?}: {error}"),
        }
    }
    let not_utf8 = PolicySet::load(&[("p", &[0xff, 0xfe, 0x00])]).unwrap_err();
    assert_eq!(not_utf8.code(), "policy-not-yaml");
    let large = "#".repeat(2_000_000);
    assert_eq!(load(&large).unwrap_err().code(), "policy-too-large");
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(load(&deep).unwrap_err().code(), "policy-not-yaml");
}

/// The verifier tries 64 keys; one more would be a stranger for no reason that anyone could see.
#[test]
fn keys_are_bounded_over_all_policies() {
    let keys: Vec<String> = (0..=255_u8)
        .filter_map(|byte| {
            // RFC 8410: the SubjectPublicKeyInfo of Ed25519 is this prefix and a point; half of all bytes are one.
            let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
            spki.extend([byte; 31]);
            spki.push(0x11);
            proofmark_verify::PublicKey::from_spki_der(&spki).ok()
        })
        .map(|key| key.to_pem())
        .collect();
    assert!(keys.len() > 65);
    let with = |count: usize| {
        let policies: String = keys
            .iter()
            .take(count)
            .enumerate()
            .map(|(position, pem)| {
                let pem: String = pem.lines().map(|line| format!("          {line}\n")).collect();
                format!("apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: p{position}}}\nspec:\n  images: [{{glob: \"**\"}}]\n  authorities:\n    - key:\n        data: |\n{pem}---\n")
            })
            .collect();
        load(&policies)
    };
    assert_eq!(with(64).unwrap().verification_keys().len(), 64);
    assert_eq!(with(65).unwrap_err().code(), "policy-too-many-keys");
}

/// A billion laughs: what aliases expand to is bounded before it is built.
#[test]
fn aliases_do_not_explode() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        let refs = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
    }
    assert_eq!(load(&text).unwrap_err().code(), "policy-not-yaml");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = load(&text);
    }

    #[test]
    fn no_mutation_of_a_policy_panics(position in 0_usize..2000, with in "[ a-z{}\\[\\]:\"*&-]{0,4}", which in 0_usize..3) {
        let text = match which {
            0 => native(),
            1 => KYVERNO.replace("PEM\n", &pem(22)),
            _ => CLUSTER_IMAGE_POLICY.replace("PEM\n", &pem(10)),
        };
        let at = position % text.len();
        let mutated = format!("{}{with}{}", &text[..at], text.get(at + with.len()..).unwrap_or(""));
        let _ = load(&mutated);
    }
}
