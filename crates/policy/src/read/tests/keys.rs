//! Keys by where they live: each format, each place, and their reject twins.

use proofmark_types::KeyReference;
use proofmark_verify::PublicKey;

use super::*;
use crate::{KeyAnswers, KeyPlaces};

const NATIVE: &str = "apiVersion: proofmark.dev/v1alpha1
kind: ImagePolicy
metadata: {name: ours}
spec:
  match: {images: [\"**\"]}
  signatures: {signers: [{key: \"REF\"}]}
";
const NATIVE_PATH: &str = "spec.signatures.signers[0].key";

/// A `ClusterPolicy` whose key is `field`.
fn kyverno(field: &str) -> String {
    format!(
        "apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: theirs}}
spec:
  rules:
    - name: check
      match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
      verifyImages:
        - imageReferences: [\"registry.example.com/*\"]
          attestors: [{{entries: [{{keys: {{{field}}}}}]}}]
"
    )
}
const KYVERNO_PATH: &str = "spec.rules[0].verifyImages[0].attestors[0].entries[0].keys";

/// A `ClusterImagePolicy` whose key is `field`.
fn authority(field: &str) -> String {
    format!(
        "apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {{name: controllers}}
spec:
  images: [{{glob: \"**\"}}]
  authorities: [{{key: {{{field}}}}}]
"
    )
}
const AUTHORITY_PATH: &str = "spec.authorities[0].key";

fn ours(reference: &str) -> String {
    NATIVE.replace("REF", reference)
}

fn key() -> PublicKey {
    PublicKey::from_pem(PEM).unwrap()
}

/// Another key than [`key`].
fn other() -> PublicKey {
    let pem = include_str!("../../../../../fixtures/cosign/keys/p256-other/cosign.pub");
    PublicKey::from_pem(pem).unwrap()
}

/// Loads `text` with every reference answered by `answer`.
fn resolved(
    text: &str,
    places: KeyPlaces,
    answer: impl Fn(&KeyReference) -> Result<PublicKey, String>,
) -> Result<PolicySet, PolicyError> {
    let files = [("p.yaml", text.as_bytes())];
    let draft = PolicySet::read(&files, places)?;
    let answers: KeyAnswers = draft
        .key_references()
        .iter()
        .map(|reference| (reference.clone(), answer(reference)))
        .collect();
    draft.with_keys(&answers)
}

#[track_caller]
fn refused(text: &str, places: KeyPlaces, code: &str, path: &str) -> String {
    let error = resolved(text, places, |_| Ok(key())).expect_err(text);
    assert_eq!((error.code(), error.place().path.as_str()), (code, path), "{error}");
    error.to_string()
}

/// Policies of all formats that name a key, and the reference that they have.
fn named() -> Vec<(String, &'static str, String)> {
    let mut all = Vec::new();
    for reference in [
        "https://keys.example.com/cosign.pub",
        "k8s://signing/release",
        "awskms:///alias/release",
        "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "azurekms://example.vault.azure.net/release",
        "hashivault://release",
    ] {
        all.push((ours(reference), reference, NATIVE_PATH.to_owned()));
        let path = format!("{KYVERNO_PATH}.publicKeys");
        all.push((kyverno(&format!("publicKeys: \"{reference}\"")), reference, path));
        let path = format!("{AUTHORITY_PATH}.data");
        all.push((authority(&format!("data: \"{reference}\"")), reference, path));
        if reference.contains("kms://") || reference.starts_with("hashivault") {
            let field = format!("kms: \"{reference}\"");
            all.push((kyverno(&field), reference, format!("{KYVERNO_PATH}.kms")));
            all.push((authority(&field), reference, format!("{AUTHORITY_PATH}.kms")));
        }
    }
    let secret = "{name: release, namespace: signing}";
    let path = format!("{KYVERNO_PATH}.secret");
    all.push((kyverno(&format!("secret: {secret}")), "k8s://signing/release", path));
    let path = format!("{AUTHORITY_PATH}.secretRef");
    all.push((
        authority(&format!("secretRef: {secret}")),
        "k8s://signing/release",
        path,
    ));
    all
}

#[test]
fn every_format_names_keys_by_where_they_live() {
    for (text, reference, path) in named() {
        let asked = std::cell::RefCell::new(Vec::new());
        let set = resolved(&text, KeyPlaces::Cluster, |wanted| {
            asked.borrow_mut().push(wanted.to_string());
            Ok(key())
        })
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(asked.into_inner(), [reference], "{text}");
        let fingerprints: Vec<_> = set
            .verification_keys()
            .iter()
            .map(|key| key.fingerprint().clone())
            .collect();
        assert_eq!(fingerprints, [key().fingerprint().clone()], "{text}");
        let [named] = set.named_keys() else { panic!("{text}") };
        assert_eq!(
            (
                named.reference.to_string().as_str(),
                named.place.path.as_str(),
                &named.fingerprint
            ),
            (reference, path.as_str(), key().fingerprint()),
            "{text}"
        );
    }
}

#[test]
fn a_reference_without_a_key_is_no_policy() {
    for (text, reference, path) in named() {
        // The cause is told, with the policy and the reference.
        let error = resolved(
            &text,
            KeyPlaces::Cluster,
            |_| Err("the service answered 403".to_owned()),
        )
        .unwrap_err();
        assert_eq!(
            (error.code(), error.place().path.as_str()),
            ("policy-key-unresolved", path.as_str()),
            "{text}"
        );
        let said = error.to_string();
        for part in [reference, "the service answered 403", &error.place().policy] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        assert!(!error.place().policy.is_empty());
        // Nobody asked, nobody answered: not a policy without signers.
        assert_eq!(load(&text).unwrap_err().code(), "policy-key-unresolved", "{text}");
        let files = [("p.yaml", text.as_bytes())];
        let stranger = KeyAnswers::from([(KeyReference::parse("hashivault://stranger").unwrap(), Ok(key()))]);
        let draft = PolicySet::read(&files, KeyPlaces::Cluster).unwrap();
        assert_eq!(
            draft.with_keys(&stranger).unwrap_err().code(),
            "policy-key-unresolved",
            "{text}"
        );
    }
}

#[test]
fn another_answer_is_another_signer() {
    let text = ours("hashivault://release");
    let first = resolved(&text, KeyPlaces::Cluster, |_| Ok(key())).unwrap();
    let second = resolved(&text, KeyPlaces::Cluster, |_| Ok(other())).unwrap();
    assert_ne!(key().fingerprint(), other().fingerprint());
    assert_eq!(&first.named_keys()[0].fingerprint, key().fingerprint());
    assert_eq!(&second.named_keys()[0].fingerprint, other().fingerprint());
    assert_eq!(second.verification_keys().len(), 1, "the old key is gone");
    assert_eq!(second.verification_keys()[0].fingerprint(), other().fingerprint());
}

#[test]
fn one_key_under_two_references_is_one_signer() {
    let two = ours("hashivault://a").replace(
        "{signers: [{key: \"hashivault://a\"}]}",
        "{count: 2, signers: [{key: \"hashivault://a\"}, {key: \"k8s://signing/b\"}]}",
    );
    refused(
        &two,
        KeyPlaces::Cluster,
        "policy-value-invalid",
        "spec.signatures.signers[1]",
    );
    let differ = |wanted: &KeyReference| match wanted {
        KeyReference::Vault { .. } => Ok(key()),
        _ => Ok(other()),
    };
    assert_eq!(
        resolved(&two, KeyPlaces::Cluster, differ)
            .unwrap()
            .verification_keys()
            .len(),
        2
    );
}

#[test]
fn files_and_variables_are_for_local_policies_and_tokens_for_none() {
    for (reference, kind) in [("cosign.pub", "file"), ("env://RELEASE_KEY", "environment variable")] {
        for (text, path) in [
            (ours(reference), NATIVE_PATH.to_owned()),
            (
                kyverno(&format!("publicKeys: \"{reference}\"")),
                format!("{KYVERNO_PATH}.publicKeys"),
            ),
            (
                authority(&format!("data: \"{reference}\"")),
                format!("{AUTHORITY_PATH}.data"),
            ),
        ] {
            let said = refused(&text, KeyPlaces::Cluster, "policy-key-place-refused", &path);
            assert!(said.contains(kind), "{said}");
            let set = resolved(&text, KeyPlaces::Local, |_| Ok(key())).unwrap();
            assert!(
                set.notes()
                    .iter()
                    .any(|note| note.text.contains("the admission webhook refuses it")),
                "{text}"
            );
        }
    }
    for places in [KeyPlaces::Cluster, KeyPlaces::Local] {
        let text = ours("pkcs11:token=t;object=k?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-value=1234");
        let said = refused(&text, places, "policy-key-place-refused", NATIVE_PATH);
        assert!(!said.contains("1234"), "{said}");
    }
}

#[test]
fn fields_of_the_peers_take_what_they_are_named_for() {
    let kms = |field: &str, code: &str| {
        let path = |at: &str| format!("{at}.kms");
        refused(&kyverno(field), KeyPlaces::Local, code, &path(KYVERNO_PATH));
        refused(&authority(field), KeyPlaces::Local, code, &path(AUTHORITY_PATH));
    };
    kms("kms: cosign.pub", "policy-key-place-refused");
    kms(
        "kms: \"https://keys.example.com/cosign.pub\"",
        "policy-key-place-refused",
    );
    kms("kms: \"k8s://signing/release\"", "policy-key-place-refused");
    kms("kms: \"awskms://\"", "policy-key-reference-invalid");
    kms("kms: \"mykms://a\"", "policy-key-reference-invalid");
    kms("kms: [a]", "policy-value-invalid");
    let secret = |value: &str, code: &str, below: &str| {
        let (at, field) = (format!("{KYVERNO_PATH}.secret{below}"), format!("secret: {value}"));
        refused(&kyverno(&field), KeyPlaces::Local, code, &at);
        let (at, field) = (
            format!("{AUTHORITY_PATH}.secretRef{below}"),
            format!("secretRef: {value}"),
        );
        refused(&authority(&field), KeyPlaces::Local, code, &at);
    };
    secret("{name: a}", "policy-field-missing", ".namespace");
    secret("{namespace: a}", "policy-field-missing", ".name");
    secret("{name: a, namespace: b, key: c}", "policy-field-unknown", "");
    secret("{name: a/b, namespace: c}", "policy-key-reference-invalid", "");
    secret("{name: \"../a\", namespace: c}", "policy-key-reference-invalid", "");
    for fields in ["kms: \"hashivault://a\", ", "secret: {name: a, namespace: b}, "] {
        let text = kyverno(&format!("{fields}publicKeys: \"hashivault://b\""));
        refused(&text, KeyPlaces::Cluster, "policy-value-invalid", KYVERNO_PATH);
    }
    refused(
        &kyverno("rekor: {}"),
        KeyPlaces::Cluster,
        "policy-value-invalid",
        KYVERNO_PATH,
    );
    refused(
        &authority("hashAlgorithm: sha256"),
        KeyPlaces::Cluster,
        "policy-value-invalid",
        AUTHORITY_PATH,
    );
    let template = kyverno("publicKeys: \"{{ keys.data.release }}\"");
    let path = format!("{KYVERNO_PATH}.publicKeys");
    refused(&template, KeyPlaces::Local, "policy-field-unsupported", &path);
}

#[test]
fn references_that_nothing_reads_are_refused() {
    for reference in [
        "http://keys.example.com/cosign.pub",
        "https://user:secret@keys.example.com/cosign.pub",
        "gitlab://group/project",
        "k8s://signing",
        "mykms://a",
    ] {
        let said = refused(
            &ours(reference),
            KeyPlaces::Local,
            "policy-key-reference-invalid",
            NATIVE_PATH,
        );
        assert!(!said.contains("secret@"), "{said}");
    }
}

#[test]
fn private_keys_are_refused_and_not_repeated() {
    for kind in ["PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED SIGSTORE PRIVATE KEY"] {
        let block = format!("-----BEGIN {kind}-----\\nMIGHAgEAMBMG\\n-----END {kind}-----\\n");
        for (text, path) in [
            (ours(&block), NATIVE_PATH.to_owned()),
            (
                kyverno(&format!("publicKeys: \"{block}\"")),
                format!("{KYVERNO_PATH}.publicKeys"),
            ),
            (kyverno(&format!("kms: \"{block}\"")), format!("{KYVERNO_PATH}.kms")),
            (
                authority(&format!("data: \"{block}\"")),
                format!("{AUTHORITY_PATH}.data"),
            ),
        ] {
            let said = refused(&text, KeyPlaces::Local, "policy-private-key", &path);
            assert!(!said.contains("MIGH"), "{said}");
        }
    }
}

#[test]
fn references_are_counted_before_they_are_opened() {
    let signers = |count: usize| {
        (0..count)
            .map(|number| format!("{{key: \"hashivault://k{number}\"}}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let policy = |name: &str, count: usize| ours("x").replace("ours", name).replace("{key: \"x\"}", &signers(count));
    let read = |text: &str| {
        let files = [("p.yaml", text.as_bytes())];
        PolicySet::read(&files, KeyPlaces::Cluster).map(|draft| draft.key_references().len())
    };
    // The same references again cost nothing.
    assert_eq!(
        read(&format!("{}---\n{}", policy("a", 64), policy("b", 64))).unwrap(),
        64
    );
    let more = ours("hashivault://one-more").replace("ours", "c");
    let error = read(&format!("{}---\n{more}", policy("a", 64))).unwrap_err();
    assert_eq!(
        (error.code(), error.place().policy.as_str()),
        ("policy-too-many-keys", "c")
    );
}
