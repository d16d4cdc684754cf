//! One test for each report on another policy engine that this room must not repeat, named after it.

use proofmark_policy::{ImagePattern, PolicySet, TextMatch};
use proofmark_types::ImageRef;

use crate::world::{GITHUB, WORKFLOW, assert_denied, assert_pass, decide, load, pem, proofs, verifier};

const APP: &str = "registry.example.com/team/app:1.0";

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: proofmark.dev/v1alpha1\nkind: ImagePolicy\nmetadata:\n  name: p\nspec:\n  match:\n    images: [\"registry.example.com/**\"]\n{spec}"
    )
}

fn attested_by(key: &str, types: &[&str], condition: &str) -> PolicySet {
    let key: String = pem(key).lines().map(|line| format!("            {line}\n")).collect();
    let demands: String = types
        .iter()
        .map(|kind| {
            format!("    - type: {kind}\n      requireLog: false\n{condition}      signers:\n        - key: |\n{key}")
        })
        .collect();
    load(&policy(&format!("  attestations:\n{demands}")))
}

/// cosign: `verify-attestation --type` passed where any attestation was valid.
#[test]
fn cve_2022_35929_a_valid_attestation_of_another_type() {
    let wants = |kind: &str| attested_by("rsa2048", &[kind], "");
    let found = |set: &PolicySet| {
        proofs(
            "cosign/v3-sign-and-attest-cyclonedx",
            "1.0",
            &verifier(&set.verification_keys()),
        )
    };
    let set = wants("cyclonedx");
    assert_pass(&decide(&set, APP, &found(&set)));
    for other in ["spdxjson", "vuln", "slsaprovenance1", "openvex", "custom"] {
        let set = wants(other);
        assert_denied(&decide(&set, APP, &found(&set)), "predicate-type-mismatch");
    }
}

/// policy-controller: one good attestation hid that another, demanded as well, was missing.
#[test]
fn cve_2022_35930_one_good_attestation_and_one_missing() {
    let found = |set: &PolicySet| {
        proofs(
            "cosign/v3-sign-and-attest-cyclonedx",
            "1.0",
            &verifier(&set.verification_keys()),
        )
    };
    for types in [["cyclonedx", "vuln"], ["vuln", "cyclonedx"]] {
        let set = attested_by("rsa2048", &types, "");
        assert_denied(&decide(&set, APP, &found(&set)), "predicate-type-mismatch");
    }
}

/// kyverno: regular expressions for subject and issuer were read, and not applied. Here every field that is written
/// down is applied, and one that is not known is an error wherever it stands.
#[test]
fn cve_2025_29778_every_field_counts_and_unknown_ones_are_errors() {
    let keyless = |identity: &str| policy(&format!("  signatures:\n    signers:\n      - keyless:\n{identity}"));
    let found = |set: &PolicySet| proofs("keyless/keyless-github", "1.0", &verifier(&set.verification_keys()));
    let good = keyless(&format!(
        "          issuerRegExp: 'https://token\\.actions\\.githubusercontent\\.com'\n          subject: {WORKFLOW}\n"
    ));
    let set = load(&good);
    assert_pass(&decide(&set, APP, &found(&set)));
    let other = load(&good.replace("token", "tokens"));
    assert_denied(&decide(&other, APP, &found(&other)), "issuer-mismatch");
    let misspelt = [
        keyless(&format!("          issuer: {GITHUB}\n          subjectRegex: '.*'\n")),
        keyless(&format!(
            "          issuer: {GITHUB}\n          subject: {WORKFLOW}\n          subjects: [x]\n"
        )),
        good.replace("  signatures:", "  signature:"),
        good.replace("spec:", "specs:"),
        good.replace("  match:", "  matches:"),
    ];
    for text in misspelt {
        assert!(PolicySet::load(&[("p.yaml", text.as_bytes())]).is_err(), "{text}");
    }
}

/// in-toto-golang: patterns that matched differently here and there; `!` turned a rule into its opposite.
#[test]
fn cve_2021_41087_and_ghsa_pmwq_pjrm_6p5r_patterns_mean_one_thing() {
    let selects = |pattern: &str, image: &str| {
        let image = ImageRef::parse(image).unwrap();
        ImagePattern::native(pattern).is_ok_and(|pattern| pattern.selects(&image))
    };
    assert!(selects("registry.example.com/**", "registry.example.com/a/b"));
    assert!(selects("registry.example.com/*", "registry.example.com/a"));
    assert!(!selects("registry.example.com/*", "registry.example.com/a/b"));
    assert!(!selects("registry.example.com/a?c/d", "registry.example.com/a/c/d"));
    for negated in [
        "!registry.example.com/a",
        "registry.example.com/!a",
        "registry.example.com/[!b]",
    ] {
        assert!(!selects(negated, "registry.example.com/c"), "{negated}");
    }
    let text = TextMatch::glob("!alpha*").unwrap();
    assert!(text.matches("!alpha-1") && !text.matches("beta"));
}

/// Fulcio: a regular expression for issuers that was not anchored let any address through that had a good one in it.
#[test]
fn cve_2026_22772_expressions_are_anchored() {
    let rule = TextMatch::regexp("https://oidc\\.example\\.com/.*").unwrap();
    assert!(rule.matches("https://oidc.example.com/a"));
    for other in [
        "https://evil.example/?https://oidc.example.com/a",
        "https://oidc.example.com.evil.example/a",
        "https://oidc-example.com/a",
        "https://oidc.example.com/a\n.evil.example",
    ] {
        assert!(!rule.matches(other), "{other}");
    }
    assert!(!TextMatch::regexp("a|b").unwrap().matches("xb"));
}

/// slsa-verifier: a builder whose name only begins like the one that is wanted.
#[test]
fn ghsa_4v7x_pqxf_cx7m_the_builder_is_the_whole_name() {
    let built_by = |id: &str| {
        let condition = format!("      condition: predicate.runDetails.builder.id == '{id}'\n");
        attested_by("p256-imp", &["slsaprovenance1"], &condition)
    };
    let found = |set: &PolicySet| {
        proofs(
            "cosign/v3-sign-and-attest-slsaprovenance1",
            "1.0",
            &verifier(&set.verification_keys()),
        )
    };
    let set = built_by("x");
    let seen = found(&set);
    let builder = seen
        .proofs()
        .iter()
        .find_map(|proof| proof.predicate().pointer("/runDetails/builder/id")?.as_str())
        .unwrap()
        .to_owned();
    let set = built_by(&builder);
    assert_pass(&decide(&set, APP, &found(&set)));
    for other in [
        format!("{builder}/x"),
        builder[..builder.len() - 1].to_owned(),
        builder.to_uppercase(),
    ] {
        let set = built_by(&other);
        assert_denied(&decide(&set, APP, &found(&set)), "condition-false");
    }
}
