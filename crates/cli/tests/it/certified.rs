//! Keys with a certificate: of an authority of one's own, or of Fulcio.

use proofmark_evidence::encoding::{base64_encode, pem_encode};
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::debian_like;
use proofmark_testkit::peers::{COSIGN2, COSIGN3};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::world::{Registry, Trust, WORKFLOW, fails, home, run, write};

/// What is asked of certificates here: no issuer is in them, and nothing was logged or published.
const ASKED: &str = "--insecure-ignore-tlog --insecure-ignore-sct --certificate-oidc-issuer-regexp .*";
const WHO: &str = "--certificate-identity release@acme.test";

fn line(home: &Sandbox, words: &str) -> Outcome {
    run(home, words.split_whitespace())
}

/// Writes an authority and a key that it certified: NAME-{root,middle,chain,leaf}.pem, NAME.key; and of the same
/// intermediate key a certificate that has expired, NAME-expired.pem, with the root after it.
fn authority(home: &Sandbox, name: &str) {
    let params = |what: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let text = format!("{name} {what}");
        params.distinguished_name.push(DnType::CommonName, text);
        params
    };
    let ca = |what: &str| {
        let mut params = params(what);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    };
    let root = CertifiedIssuer::self_signed(ca("root"), KeyPair::generate().unwrap()).unwrap();
    let middle_key = KeyPair::generate().unwrap();
    let mut expired = ca("middle");
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let expired = expired.signed_by(&middle_key, &root).unwrap();
    let middle = CertifiedIssuer::signed_by(ca("middle"), middle_key, &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = params("leaf");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.subject_alt_names = vec![SanType::Rfc822Name("release@acme.test".try_into().unwrap())];
    let leaf = leaf.signed_by(&key, &middle).unwrap();
    let pem = |der: &[u8]| pem_encode("CERTIFICATE", der);
    let (root, middle, expired) = (pem(root.der()), pem(middle.der()), pem(expired.der()));
    let put = |what: &str, text: String| write(home.path(), &format!("{name}-{what}.pem"), text);
    put("chain", format!("{middle}{root}"));
    put("expired-chain", format!("{expired}{root}"));
    put("root", root);
    put("middle", middle);
    put("expired", expired);
    put("leaf", pem(leaf.der()));
    let twice = base64_encode(pem(leaf.der()).as_bytes());
    write(home.path(), &format!("{name}-leaf.b64"), twice);
    put("key", key.serialize_pem());
    let import = format!("import-key-pair --key {name}-key.pem --output-key-prefix {name} -y");
    line(home, &import).expect_success();
}

/// Fails with the code, for the reason.
fn for_reason(outcome: &Outcome, exit: i32, code: &str, reason: &str) {
    fails(outcome, exit, code);
    assert!(
        outcome.stderr.contains(reason),
        "expected {reason} in\n{}",
        outcome.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn images_signed_with_a_certificate_of_ones_own() {
    let (home, registry) = (home(), Registry::start().await);
    authority(&home, "acme");
    authority(&home, "evil");
    write(home.path(), "predicate.json", r#"{"scanner": "none"}"#);
    let signing = "--key acme.key --certificate acme-leaf.pem --certificate-chain acme-chain.pem";
    for (name, form) in [("bundle", ""), ("legacy", "--new-bundle-format=false")] {
        let built = debian_like();
        built.push(registry.address(), name, "1.0").await;
        let image = registry.image(&format!("{name}:1.0"));
        line(&home, &format!("sign {signing} {form} {image}")).expect_success();
        line(
            &home,
            &format!("attest {signing} {form} --type custom --predicate predicate.json {image}"),
        )
        .expect_success();
        for (verb, exit, code) in [
            ("verify", 12, "no-acceptable-signature"),
            ("verify-attestation --type custom", 14, "no-acceptable-attestation"),
        ] {
            let check = |flags: &str| line(&home, &format!("{verb} {ASKED} {flags} {image}"));
            println!("{name}: {verb}");
            for trusted in [
                "--certificate-chain acme-chain.pem",
                "--ca-roots acme-root.pem --ca-intermediates acme-middle.pem",
            ] {
                check(&format!("{trusted} {WHO}")).expect_success();
                for_reason(
                    &check(&format!("{trusted} --certificate-identity other@acme.test")),
                    exit,
                    code,
                    "release@acme.test",
                );
            }
            for untrusted in [
                "--certificate-chain evil-chain.pem",
                "--ca-roots evil-root.pem --ca-intermediates evil-middle.pem",
                "--ca-roots evil-root.pem --ca-intermediates acme-middle.pem",
            ] {
                for_reason(
                    &check(&format!("{untrusted} {WHO}")),
                    exit,
                    code,
                    "certificate-untrusted",
                );
            }
            // The certificate that must have signed, in each form in which cosign writes one.
            for leaf in ["leaf.pem", "leaf.b64"] {
                let by = |name: &str| format!("--certificate-chain acme-chain.pem {WHO} --certificate {name}-{leaf}");
                check(&by("acme")).expect_success();
                for_reason(&check(&by("evil")), exit, code, "");
            }
            // The key counts for nothing where a certificate is wanted, nor the certificate where a key is.
            for_reason(
                &line(&home, &format!("{verb} --key evil.pub --insecure-ignore-tlog {image}")),
                exit,
                code,
                "",
            );
            // Short of what is asked, none is waived silently.
            let strict = "--insecure-ignore-tlog --certificate-oidc-issuer-regexp .*";
            fails(
                &line(
                    &home,
                    &format!("{verb} {strict} --certificate-chain acme-chain.pem {WHO} {image}"),
                ),
                exit,
                code,
            );
            let workflow = "--certificate-github-workflow-name release";
            fails(
                &check(&format!("--certificate-chain acme-chain.pem {WHO} {workflow}")),
                exit,
                code,
            );
        }
    }
}

/// What was signed with an expired authority, or another's certificate, never leaves.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_will_not_do_sign_nothing() {
    let (home, registry) = (home(), Registry::start().await);
    authority(&home, "acme");
    authority(&home, "evil");
    write(home.path(), "broken.pem", "-----BEGIN CERTIFICATE-----\n!\n");
    write(home.path(), "empty.pem", "");
    let image = registry.push(&debian_like(), "1.0").await;
    for (words, code, reason) in [
        (
            "--certificate evil-leaf.pem --certificate-chain evil-chain.pem",
            "certificate-key-mismatch",
            "--certificate is to be the one of --key",
        ),
        (
            "--certificate acme-leaf.pem --certificate-chain evil-chain.pem",
            "signature-not-verified",
            "does not chain to a known authority",
        ),
        (
            "--certificate acme-leaf.pem --certificate-chain acme-expired-chain.pem",
            "signature-not-verified",
            "outside its validity",
        ),
        (
            "--certificate acme-leaf.pem --certificate-chain broken.pem",
            "malformed-certificate",
            "broken.pem",
        ),
        (
            "--certificate acme-leaf.pem --certificate-chain empty.pem",
            "malformed-certificate",
            "empty.pem",
        ),
    ] {
        let outcome = line(&home, &format!("sign --key acme.key {words} {image}"));
        for_reason(&outcome, 2, code, reason);
    }
    let found = line(
        &home,
        &format!("verify {ASKED} {WHO} --certificate-chain acme-chain.pem {image}"),
    );
    fails(&found, 10, "no-signature");
}

/// `release` reads back what it wrote, as anyone would.
#[tokio::test(flavor = "multi_thread")]
async fn released_with_a_certificate_of_ones_own() {
    let (home, registry) = (home(), Registry::start().await);
    authority(&home, "acme");
    let image = registry.push(&debian_like(), "1.0").await;
    let signing = "--key acme.key --certificate acme-leaf.pem --certificate-chain";
    for (chain, exit) in [("acme-root.pem", 2), ("acme-chain.pem", 0)] {
        let released = line(&home, &format!("release {signing} {chain} {image}"));
        released.expect_code(exit);
        let verify = format!("verify {ASKED} {WHO} --certificate-chain acme-chain.pem {image}");
        line(&home, &verify).expect_code(if exit == 0 { 0 } else { 10 });
    }
    // Without a chain the trusted root is to know the authority, and the public one does not.
    write(home.path(), "file", "a file");
    let alone = "sign-blob --key acme.key --certificate acme-leaf.pem --bundle file.json file";
    fails(&line(&home, alone), 2, "signature-not-verified");
    assert!(!home.path().join("file.json").exists());
}

#[test]
fn files_signed_with_a_certificate_of_ones_own() {
    let home = home();
    authority(&home, "acme");
    authority(&home, "evil");
    write(home.path(), "file", "a file");
    write(home.path(), "other", "another");
    write(home.path(), "predicate.json", r#"{"scanner": "none"}"#);
    let signing = "--key acme.key --certificate acme-leaf.pem --certificate-chain acme-chain.pem";
    line(&home, &format!("sign-blob {signing} --bundle file.json file")).expect_success();
    line(
        &home,
        &format!("attest-blob {signing} --type custom --predicate predicate.json --bundle att.json file"),
    )
    .expect_success();
    let old = "--output-signature file.sig --output-certificate file.crt";
    line(
        &home,
        &format!("sign-blob {signing} --new-bundle-format=false {old} file"),
    )
    .expect_success();
    let chain = "--certificate-chain acme-chain.pem";
    let roots = "--ca-roots acme-root.pem --ca-intermediates acme-middle.pem";
    for (verb, given) in [
        ("verify-blob", "--bundle file.json"),
        ("verify-blob-attestation --type custom", "--bundle att.json"),
        ("verify-blob", "--signature file.sig --certificate file.crt"),
    ] {
        println!("{verb} {given}");
        let check = |flags: &str, file: &str| line(&home, &format!("{verb} {given} {ASKED} {flags} {file}"));
        for trusted in [chain, roots] {
            check(&format!("{trusted} {WHO}"), "file").expect_success();
            assert_ne!(check(&format!("{trusted} {WHO}"), "other").code, Some(0));
            let whom = check(&format!("{trusted} --certificate-identity x@acme.test"), "file");
            assert!(
                !whom.succeeded() && whom.stderr.contains("release@acme.test"),
                "{}",
                whom.stderr
            );
        }
        let evil = check(&format!("--certificate-chain evil-chain.pem {WHO}"), "file");
        assert!(
            !evil.succeeded() && evil.stderr.contains("certificate-untrusted"),
            "{}",
            evil.stderr
        );
    }
    // The intermediate that the flags give has expired, and the signature brings none.
    let bare = "verify-blob --signature file.sig --certificate acme-leaf.pem";
    for expired in [
        "--certificate-chain acme-expired-chain.pem",
        "--ca-roots acme-root.pem --ca-intermediates acme-expired.pem",
    ] {
        let outcome = line(&home, &format!("{bare} {ASKED} {WHO} {expired} file"));
        assert!(
            !outcome.succeeded() && outcome.stderr.contains("[certificate-outside-validity]"),
            "{}",
            outcome.stderr
        );
    }
    // Another's certificate of the same subject.
    let other = format!("verify-blob --signature file.sig --certificate evil-leaf.pem {ASKED} {WHO}");
    let outcome = line(&home, &format!("{other} --certificate-chain evil-chain.pem file"));
    assert!(
        !outcome.succeeded() && outcome.stderr.contains("signature-"),
        "{}",
        outcome.stderr
    );
}

/// cosign's `--issue-certificate`, and services by their addresses.
#[tokio::test(flavor = "multi_thread")]
async fn fulcio_certifies_a_key_of_ones_own() {
    let (home, registry, trust) = (home(), Registry::start().await, Trust::start().await);
    let image = registry.push(&debian_like(), "1.0").await;
    let (root, token, issuer) = (trust.file("trusted_root.json"), trust.token(), trust.issuer());
    let address = trust.address();
    let known = format!("--trusted-root {root} --identity-token {token}");
    let certified = format!("sign --key cosign.key --issue-certificate {known}");
    let config = trust.file("signing_config.json");
    line(
        &home,
        &format!("{certified} --signing-config {config} --output-certificate out.pem {image}"),
    )
    .expect_success();
    let verify = |image: &str, more: &str| {
        line(
            &home,
            &format!("verify --trusted-root {root} --certificate-oidc-issuer {issuer} {more} {image}"),
        )
    };
    let who = format!("--certificate-identity {WORKFLOW}");
    verify(&image, &who).expect_success();
    fails(
        &verify(&image, &format!("--certificate-identity {WORKFLOW}x")),
        12,
        "no-acceptable-signature",
    );
    // It is the key's: another signature by it is verified with the certificate.
    write(home.path(), "file", "a file");
    line(&home, "sign-blob --key cosign.key --output-signature file.sig file").expect_success();
    let blob = format!("verify-blob --trusted-root {root} --insecure-ignore-tlog --certificate out.pem {who}");
    let blob = |file: &str| {
        let issuer = format!("--certificate-oidc-issuer {issuer} --signature file.sig");
        line(&home, &format!("{blob} {issuer} {file}"))
    };
    blob("file").expect_success();
    write(home.path(), "other", "another");
    assert!(!blob("other").succeeded());

    // Without a configuration each service has its flag.
    let second = debian_like();
    second.push(registry.address(), "addressed", "1.0").await;
    let image = registry.image("addressed:1.0");
    let clock = format!("--timestamp-server-url http://{address}/api/v1/timestamp");
    let services = format!("--fulcio-url http://{address} --tlog-upload=false");
    let gone = format!(
        "--fulcio-url http://{} --tlog-upload=false",
        crate::world::closed_port()
    );
    let none = line(&home, &format!("sign {known} {gone} {clock} --yes {image}"));
    assert_eq!(none.code, Some(1), "{}", none.stderr);
    // Nobody says the time.
    fails(
        &line(&home, &format!("sign {known} {services} --yes {image}")),
        2,
        "signing-config-no-timestamp-authority",
    );
    line(&home, &format!("sign {known} {services} {clock} --yes {image}")).expect_success();
    fails(&verify(&image, &who), 12, "no-acceptable-signature");
    verify(&image, &format!("{who} --insecure-ignore-tlog --use-signed-timestamps")).expect_success();

    // A key with a timestamp, and with a log of another kind than the flag is for.
    let file = "sign-blob --key cosign.key --bundle stamped.json --yes";
    line(&home, &format!("{file} --trusted-root {root} {clock} file")).expect_success();
    let check = "verify-blob --key cosign.pub --insecure-ignore-tlog --use-signed-timestamps";
    let check = |bundle: &str| line(&home, &format!("{check} --trusted-root {root} --bundle {bundle} file"));
    check("stamped.json").expect_success();
    line(&home, "sign-blob --key cosign.key --bundle plain.json file").expect_success();
    assert!(!check("plain.json").succeeded());
    let logged = line(
        &home,
        &format!("sign-blob --key cosign.key --bundle l.json --trusted-root {root} --rekor-url http://{address} file"),
    );
    assert!(
        logged.stderr.contains("[service-refused]") && !home.path().join("l.json").exists(),
        "{}",
        logged.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_verifies_certificates_of_ones_own() {
    let (home, registry) = (home(), Registry::start().await);
    authority(&home, "acme");
    authority(&home, "evil");
    let signing = "--key acme.key --certificate acme-leaf.pem --certificate-chain acme-chain.pem";
    let image = registry.push(&debian_like(), "1.0").await;
    line(&home, &format!("sign {signing} --new-bundle-format=false {image}")).expect_success();
    for (peer, format) in [(COSIGN3, "--new-bundle-format=false"), (COSIGN2, "")] {
        let Some(program) = peer.or_skip() else { continue };
        let check = |who: &str, chain: &str| {
            let words = format!(
                "verify --allow-http-registry=true --insecure-ignore-tlog=true --insecure-ignore-sct=true {format} \
                 --certificate-oidc-issuer-regexp .* --certificate-identity {who} --certificate-chain {chain} {image}"
            );
            home.run(&program, words.split_whitespace())
        };
        check("release@acme.test", "acme-chain.pem").expect_success();
        assert!(!check("other@acme.test", "acme-chain.pem").succeeded());
        assert!(!check("release@acme.test", "evil-chain.pem").succeeded());
    }
}

/// Bundles by a certificate below an intermediate: cosign has both authorities in a trusted root, which is how it takes them.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn cosign_verifies_bundles_below_an_intermediate() {
    let (home, registry) = (home(), Registry::start().await);
    for name in ["acme", "evil"] {
        authority(&home, name);
        let fulcio = format!("url=https://ca.{name}.test,certificate-chain={name}-chain.pem");
        line(
            &home,
            &format!("trusted-root create --fulcio {fulcio} --out {name}-root.json"),
        )
        .expect_success();
    }
    write(home.path(), "file", "a file");
    write(home.path(), "other", "another");
    write(home.path(), "predicate.json", r#"{"scanner": "none"}"#);
    let signing = "--key acme.key --certificate acme-leaf.pem --certificate-chain acme-chain.pem";
    let predicate = "--type custom --predicate predicate.json";
    let image = registry.push(&debian_like(), "1.0").await;
    for words in [
        format!("sign {signing} {image}"),
        format!("attest {signing} {predicate} {image}"),
        format!("sign-blob {signing} --bundle file.json file"),
        format!("attest-blob {signing} {predicate} --bundle att.json file"),
    ] {
        line(&home, &words).expect_success();
    }
    // It is what cosign writes too, and we read.
    if let Some(program) = COSIGN3.or_skip() {
        let built = debian_like();
        built.push(registry.address(), "theirs", "1.0").await;
        let theirs = registry.image("theirs:1.0");
        let words = format!(
            "sign {signing} --allow-http-registry=true --use-signing-config=false --tlog-upload=false \
             --new-bundle-format=true --yes {theirs}"
        );
        home.run(&program, words.split_whitespace()).expect_success();
        let check = |chain: &str| {
            line(
                &home,
                &format!("verify {ASKED} {WHO} --certificate-chain {chain} {theirs}"),
            )
        };
        check("acme-chain.pem").expect_success();
        for_reason(
            &check("evil-chain.pem"),
            12,
            "no-acceptable-signature",
            "certificate-untrusted",
        );
    }
    let http = "--allow-http-registry=true";
    for (peer, newer) in [(COSIGN3, true), (COSIGN2, false)] {
        let Some(program) = peer.or_skip() else { continue };
        let check = |verb: &str, who: &str, root: &str, what: &str| {
            let words = format!(
                "{verb} --insecure-ignore-tlog=true --insecure-ignore-sct=true --new-bundle-format=true \
                 --certificate-oidc-issuer-regexp .* --certificate-identity {who} --trusted-root {root}-root.json {what}"
            );
            home.run(&program, words.split_whitespace())
        };
        let mut shapes = vec![
            ("verify-blob --bundle file.json".to_owned(), "file"),
            (
                "verify-blob-attestation --type custom --bundle att.json".to_owned(),
                "file",
            ),
        ];
        // cosign 2.5 reads bundles beside files alone.
        if newer {
            shapes.push((format!("verify-attestation --type custom {http}"), &image));
            shapes.push((format!("verify {http}"), &image));
        }
        for (verb, what) in shapes {
            check(&verb, "release@acme.test", "acme", what).expect_success();
            let refused = |outcome: Outcome, reason: &str| {
                assert!(
                    !outcome.succeeded() && outcome.stderr.contains(reason),
                    "{reason}: {outcome:?}"
                );
            };
            refused(check(&verb, "other@acme.test", "acme", what), "release@acme.test");
            refused(check(&verb, "release@acme.test", "evil", what), "certificate");
            if what == "file" {
                refused(check(&verb, "release@acme.test", "acme", "other"), "");
            }
        }
    }
}
