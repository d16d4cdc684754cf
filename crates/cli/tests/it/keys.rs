//! `key`: what it writes, and what it refuses to overwrite or to open.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proofmark_testkit::command::Sandbox;
use serde_json::json;

use crate::world::{PASSWORD, fails, fixture_path, home, json, run, write};

#[test]
fn a_pair_is_made_once_and_only_its_owner_reads_the_key() {
    let home = home();
    let key = home.path().join("cosign.key");
    let before = fs::read(&key).unwrap();
    assert!(before.starts_with(b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let public = run(&home, ["key", "public", "--key", "cosign.key"]);
    let file = fs::read_to_string(home.path().join("cosign.pub")).unwrap();
    assert_eq!(public.expect_success().stdout.trim_end(), file.trim_end());

    let again = run(&home, ["key", "generate"]);
    assert!(fails(&again, 2, "file-exists").stderr.contains("--output-key-prefix"));
    assert_eq!(fs::read(&key).unwrap(), before);
}

#[test]
fn a_wrong_password_and_a_missing_one_are_told_apart() {
    let made = home();
    let key = write(
        made.path(),
        "copy.key",
        fs::read(made.path().join("cosign.key")).unwrap(),
    );
    let wrong = Sandbox::new().with("COSIGN_PASSWORD", "another");
    let outcome = run(&wrong, ["key", "public", "--key", &key]);
    assert!(!fails(&outcome, 2, "key-password-wrong").stderr.contains("another"));
    let none = Sandbox::new();
    let outcome = run(&none, ["key", "public", "--key", &key]);
    assert!(
        fails(&outcome, 2, "password-missing")
            .stderr
            .contains("COSIGN_PASSWORD")
    );
    let outcome = run(&none, ["key", "generate"]);
    fails(&outcome, 2, "password-missing");
    assert!(!none.path().join("cosign.key").exists() && !none.path().join("cosign.pub").exists());
}

#[test]
fn cosigns_keys_are_opened_and_other_files_are_not() {
    let home = Sandbox::new().with("COSIGN_PASSWORD", PASSWORD);
    for name in ["p256", "p384", "rsa2048", "ed25519"] {
        let file = |file: &str| fixture_path(&format!("cosign/keys/{name}/{file}"));
        let password = fs::read_to_string(file("password.txt")).unwrap();
        let home = Sandbox::new().with("COSIGN_PASSWORD", password.trim_end());
        let public = run(&home, ["key", "public", "--key", &file("cosign.key")]);
        let expected = fs::read_to_string(file("cosign.pub")).unwrap();
        assert_eq!(public.expect_success().stdout.trim_end(), expected.trim_end(), "{name}");
    }
    let public = fixture_path("cosign/keys/p256/cosign.pub");
    let text = write(home.path(), "text", "no key");
    for (file, code) in [
        (public.as_str(), "key-label"),
        (&text, "key-not-pem"),
        ("absent", "file-unreadable"),
        ("env://ABSENT", "key-variable-missing"),
    ] {
        fails(&run(&home, ["key", "import", "--key", file]), 2, code);
    }
    // A public key is the public key of itself.
    let same = run(&home, ["public-key", "--key", &public]);
    assert_eq!(
        same.expect_success().stdout.trim_end(),
        fs::read_to_string(&public).unwrap().trim_end()
    );
    fails(&run(&home, ["key", "public", "--key", &text]), 2, "public-key-unusable");
    let unknown = run(&home, ["key", "public", "--key", "mykms://x"]);
    assert!(unknown.expect_code(2).stderr.contains("unknown kind of key"));
}

#[test]
fn a_key_is_taken_over_whole_or_not_at_all() {
    let home = Sandbox::new().with("COSIGN_PASSWORD", PASSWORD);
    // Cut short.
    let pem = "-----BEGIN EC PRIVATE KEY-----\n\
        MHcCAQEEIHjv/fOBiBuWFt9lYtMUSYXAgtJjwD7Ygjn6YnIvfHnRoAoGCCqGSM49\n\
        AwEHoUQDQgAEtKBQ0YaB3kJ7jr4bwmjhtrfZvQvjJn1lTJt6kq0dn+Qm+bB2bSjN\n\
        -----END EC PRIVATE KEY-----\n";
    write(home.path(), "broken.pem", pem);
    let outcome = run(&home, ["key", "import", "-k", "broken.pem"]);
    fails(&outcome, 2, "key-malformed");
    assert!(!home.path().join("import-cosign.key").exists());

    let password = fs::read_to_string(fixture_path("cosign/keys/p256/password.txt")).unwrap();
    let home = Sandbox::new().with("COSIGN_PASSWORD", password.trim_end());
    let key = fixture_path("cosign/keys/p256/cosign.key");
    let imported = json(&home, ["key", "import", "-k", &key]);
    assert_eq!(imported["privateKey"], json!("import-cosign.key"));
    let public = fs::read_to_string(home.path().join("import-cosign.pub")).unwrap();
    assert_eq!(
        public,
        fs::read_to_string(fixture_path("cosign/keys/p256/cosign.pub")).unwrap()
    );
}

#[test]
fn cosigns_spellings_do_the_same_for_every_kind_of_key() {
    let home = Sandbox::new().with("COSIGN_PASSWORD", PASSWORD);
    for algorithm in [
        "ecdsa-sha2-256-nistp256",
        "ecdsa-sha2-384-nistp384",
        "ecdsa-sha2-512-nistp521",
        "rsa-sign-pkcs1-2048-sha256",
        "ed25519",
    ] {
        let made = json(
            &home,
            [
                "generate-key-pair",
                "--signing-algorithm",
                algorithm,
                "--output-key-prefix",
                algorithm,
            ],
        );
        assert_eq!(made["algorithm"], json!(algorithm));
        let (key, public) = (format!("{algorithm}.key"), format!("{algorithm}.pub"));
        let imported = format!("{algorithm}-again");
        run(
            &home,
            ["import-key-pair", "--key", &key, "--output-key-prefix", &imported, "-y"],
        )
        .expect_success();
        run(
            &home,
            [
                "public-key",
                "--key",
                &format!("{imported}.key"),
                "--outfile",
                "out.pub",
            ],
        )
        .expect_success();
        let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
        assert_eq!(read("out.pub"), read(&public), "{algorithm}");
        assert_eq!(read(&format!("{imported}.pub")), read(&public), "{algorithm}");
    }
    let outcome = run(
        &home,
        ["generate-key-pair", "--signing-algorithm", "rsa-sign-pkcs1-1024-sha256"],
    );
    assert!(
        outcome.stderr.contains("rsa-sign-pkcs1-4096-sha256"),
        "{}",
        outcome.stderr
    );
    outcome.expect_code(2);
}

#[test]
fn nothing_is_overwritten_unless_that_is_said() {
    let home = home();
    let read = |name: &str| fs::read(home.path().join(name)).unwrap();
    let (key, public) = (read("cosign.key"), read("cosign.pub"));
    for verb in [
        &["generate-key-pair"][..],
        &[
            "import-key-pair",
            "--key",
            "cosign.key",
            "--output-key-prefix",
            "cosign",
        ],
        &["key", "generate", "--yes=false"],
    ] {
        let outcome = run(&home, verb.iter().copied());
        assert!(fails(&outcome, 2, "file-exists").stderr.contains("--yes"));
    }
    // The public half alone is in the way too.
    fs::rename(home.path().join("cosign.key"), home.path().join("kept.key")).unwrap();
    fails(&run(&home, ["generate-key-pair"]), 2, "file-exists");
    fs::rename(home.path().join("kept.key"), home.path().join("cosign.key")).unwrap();
    assert_eq!((read("cosign.key"), read("cosign.pub")), (key.clone(), public));
    run(&home, ["generate-key-pair", "--yes"]).expect_success();
    assert_ne!(read("cosign.key"), key);
    let mode = fs::metadata(home.path().join("cosign.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Places where no key is made.
    for place in [
        &["env://COSIGN_PRIVATE_KEY"][..],
        &["--kms", "other.key"],
        &["https://keys.example/a.pub"],
    ] {
        let outcome = run(
            &home,
            ["generate-key-pair", "--output-key-prefix", "b"]
                .iter()
                .chain(place)
                .copied(),
        );
        fails(&outcome, 2, "key-not-creatable");
    }
    assert!(!home.path().join("b.pub").exists());
}

#[test]
fn keys_are_read_from_the_environment() {
    let made = home();
    let text = fs::read_to_string(made.path().join("cosign.key")).unwrap();
    let elsewhere = Sandbox::new()
        .with("COSIGN_PASSWORD", PASSWORD)
        .with("SIGNING_KEY", &text);
    let public = run(&elsewhere, ["public-key", "--key", "env://SIGNING_KEY"]);
    let expected = fs::read_to_string(made.path().join("cosign.pub")).unwrap();
    assert_eq!(public.expect_success().stdout.trim_end(), expected.trim_end());
}
