//! Standard input, and files larger than what is held in memory.

use proofmark_testkit::command::Sandbox;

use super::{fixture_key, refused, verify};
use crate::world::{PROOFMARK, fails, home, write};

#[test]
fn standard_input_is_a_file() {
    let home = home();
    write(home.path(), "file", "what is signed");
    let piped = |arguments: &[&str], input: &[u8]| home.finish(home.command(PROOFMARK).args(arguments), input);
    piped(
        &["sign-blob", "--key", "cosign.key", "--bundle", "bundle", "-"],
        b"what is signed",
    )
    .expect_success();
    verify(&home, &["--bundle", "bundle", "file"]).expect_success();
    let check = [
        "verify-blob",
        "--key",
        "cosign.pub",
        "--insecure-ignore-tlog",
        "--bundle",
        "bundle",
        "-",
    ];
    piped(&check, b"what is signed").expect_success();
    refused(&piped(&check, b"what is signed\n"), 12, "signature-not-by-given-key");
    let attest = [
        "attest-blob",
        "--key",
        "cosign.key",
        "--predicate",
        "-",
        "--bundle",
        "att",
        "file",
    ];
    piped(&attest, b"seen by me").expect_success();
    let twice = [
        "attest-blob",
        "--key",
        "cosign.key",
        "--predicate",
        "-",
        "--bundle",
        "b",
        "-",
    ];
    fails(&piped(&twice, b""), 2, "standard-input-twice");
}

/// A file of more than is held is signed and verified by its digests; an Ed25519 key is given the bytes.
#[test]
fn a_large_file_passes_through() {
    let home = Sandbox::new();
    let file = std::fs::File::create(home.path().join("large")).unwrap();
    file.set_len(40 * 1024 * 1024).unwrap();
    for name in ["p256", "p384", "rsa2048", "ed25519"] {
        let (key, public, home) = fixture_key(&home, name);
        let sign = ["sign-blob", "--key", &key, "--bundle", "bundle", "large"];
        home.run(PROOFMARK, sign).expect_success();
        let check = [
            "verify-blob",
            "--key",
            &public,
            "--insecure-ignore-tlog",
            "--bundle",
            "bundle",
        ];
        let check = |blob: &str| home.run(PROOFMARK, check.iter().copied().chain([blob]));
        check("large").expect_success();
        use std::io::{Seek as _, Write as _};
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .open(home.path().join("large"))
            .unwrap();
        file.seek(std::io::SeekFrom::End(-1)).unwrap();
        file.write_all(b"x").unwrap();
        refused(&check("large"), 12, "signature-not-by-given-key");
        file.seek(std::io::SeekFrom::End(-1)).unwrap();
        file.write_all(&[0]).unwrap();
    }
}
