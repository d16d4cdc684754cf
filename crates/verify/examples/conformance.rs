//! Runs the bundles of a checkout of sigstore-conformance through the verifier and prints the score.
//!
//! `cargo run -p proofmark-verify --example conformance -- CHECKOUT PRODUCTION_TRUSTED_ROOT`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool that is run by hand over files"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;
use std::{env, fs};

use proofmark_evidence::bundle::Bundle;
use proofmark_types::{Digest, UnixTime};
use proofmark_verify::{Artifact, Proof, PublicKey, SctProof, SignerProof, TimeSource, TrustRoot, Verifier};

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [checkout, production] = arguments.as_slice() else {
        eprintln!("usage: conformance CHECKOUT PRODUCTION_TRUSTED_ROOT");
        return ExitCode::from(2);
    };
    let assets = Path::new(checkout).join("test/assets/bundle-verify");
    let Ok(entries) = fs::read_dir(&assets) else {
        eprintln!("no folder {}", assets.display());
        return ExitCode::from(2);
    };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("bundle.sigstore.json").exists())
        .collect();
    folders.sort();
    let (mut right, mut total) = (0_usize, 0_usize);
    for folder in &folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for by_digest in [false, true] {
            let outcome = check(folder, Path::new(production), by_digest);
            let expected = !name.ends_with("_fail");
            total += 1;
            right += usize::from(outcome.is_ok() == expected);
            let mark = if outcome.is_ok() == expected { "  " } else { "!!" };
            println!(
                "{mark} {name} {}",
                outcome.err().unwrap_or_else(|| "accepted".to_owned())
            );
        }
    }
    println!("{right} of {total}");
    if right == total {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn check(folder: &Path, production: &Path, by_digest: bool) -> Result<(), String> {
    let read = |name: &str| fs::read(folder.join(name));
    let text = |name: &str, default: &str| {
        fs::read_to_string(folder.join(name)).map_or_else(|_| default.to_owned(), |text| text.trim().to_owned())
    };
    let bundle = Bundle::parse(&read("bundle.sigstore.json").map_err(|error| error.to_string())?)
        .map_err(|error| format!("{}: {error}", error.code()))?;
    let artifact = read("artifact")
        .or_else(|_| fs::read(folder.join("../a.txt")))
        .map_err(|error| error.to_string())?;
    let with_key = folder.join("key.pub").exists();
    let mut verifier = Verifier::new();
    let root = if folder.join("trusted_root.json").exists() {
        read("trusted_root.json")
    } else {
        fs::read(production)
    };
    if !with_key || folder.join("trusted_root.json").exists() {
        let root = TrustRoot::parse(&root.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
        verifier = verifier.with_trust_root(Arc::new(root));
    }
    if with_key {
        verifier = verifier.with_key(PublicKey::from_pem(&text("key.pub", "")).map_err(|error| error.to_string())?);
    }
    let now = UnixTime::from_system(SystemTime::now());
    let digest = Digest::sha256_of(&artifact);
    let artifact = if by_digest {
        Artifact::Digest(&digest)
    } else {
        Artifact::Bytes(&artifact)
    };
    let proofs = verifier.verify_blob(&bundle, &artifact, now);
    match proofs.rejections().first() {
        Some(rejection) => return Err(format!("{}: {}", rejection.reason.code(), rejection.reason)),
        None if proofs.proofs().is_empty() => return Err("nothing proven".to_owned()),
        None => {}
    }
    let wanted = (text("identity", IDENTITY), text("issuer", ISSUER));
    proofs
        .proofs()
        .iter()
        .try_for_each(|proof| examine(proof, with_key, &wanted))
}

/// What the conformance suite's entry point asks for: a log entry, and for certificates an SCT and a time.
fn examine(proof: &Proof, with_key: bool, wanted: &(String, String)) -> Result<(), String> {
    match proof.signer() {
        SignerProof::Key { .. } if with_key => Ok(()),
        SignerProof::Certificate(facts) => {
            if proof.time_source() == TimeSource::CurrentTime {
                return Err("no time".to_owned());
            }
            if proof.log().is_none() {
                return Err("no log entry".to_owned());
            }
            if !matches!(proof.sct(), SctProof::Verified(_)) {
                return Err(format!("SCT: {:?}", proof.sct()));
            }
            let named = facts
                .identity
                .subjects
                .iter()
                .any(|subject| subject.value() == wanted.0);
            if named && facts.identity.issuer.as_ref() == Some(&wanted.1) {
                Ok(())
            } else {
                Err(format!("identity {}", facts.identity))
            }
        }
        _ => Err("another kind of signer".to_owned()),
    }
}
