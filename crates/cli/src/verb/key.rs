//! `key`: key pairs in cosign's file format.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proofmark_sign::{SigningKey, SigningKeyError};
use proofmark_verify::{KeyAlgorithm, PublicKey};
use serde_json::json;

use crate::context::{Context, read_text, write_file};
use crate::failure::{Exit, Failure, chain};
use crate::signing::password;

/// Key pairs in cosign's file format
#[derive(Subcommand, Debug)]
pub(crate) enum Key {
    /// Make a P-256 key pair: PREFIX.key (encrypted) and PREFIX.pub
    Generate(Generate),
    /// Take a PKCS#8, SEC1 or PKCS#1 private key over into cosign's format
    Import(Import),
    /// Print the public key of a private key
    Public(Public),
}

/// Make a P-256 key pair
#[derive(Args, Debug)]
pub(crate) struct Generate {
    /// Names of the files, without their endings
    #[arg(long, default_value = "cosign", value_name = "PREFIX")]
    output_key_prefix: String,
}

/// Take over a private key
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The private key (PEM file)
    #[arg(long, short = 'k', value_name = "FILE")]
    key: PathBuf,

    /// Names of the files, without their endings
    #[arg(long, default_value = "import-cosign", value_name = "PREFIX")]
    output_key_prefix: String,
}

/// Print the public key
#[derive(Args, Debug)]
pub(crate) struct Public {
    /// The private key (file)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

impl Key {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Generate(args) => {
                let key = SigningKey::generate(KeyAlgorithm::EcdsaP256)
                    .map_err(|error| unusable(Path::new("the new key"), &error))?;
                write_pair(context, &key, &args.output_key_prefix)
            }
            Self::Import(args) => {
                let key = read(context, &args.key)?;
                write_pair(context, &key, &args.output_key_prefix)
            }
            Self::Public(args) => {
                let key = read(context, &args.key)?;
                context
                    .output
                    .result(&key.public_key().to_pem(), &public_json(key.public_key()));
                Ok(())
            }
        }
    }
}

fn read(context: &Context, path: &Path) -> Result<SigningKey, Failure> {
    let text = read_text(path)?;
    let key = match SigningKey::from_pem(&text, None) {
        Err(SigningKeyError::PasswordNeeded) => {
            let password = password(context, &format!("Password of {}: ", path.display()))?;
            SigningKey::from_pem(&text, Some(&password))
        }
        read => read,
    };
    key.map_err(|error| unusable(path, &error))
}

/// Both files are new, or nothing is written: a key that is overwritten is lost for good.
fn write_pair(context: &Context, key: &SigningKey, prefix: &str) -> Result<(), Failure> {
    let private = PathBuf::from(format!("{prefix}.key"));
    let public = PathBuf::from(format!("{prefix}.pub"));
    for path in [&private, &public] {
        if path.exists() {
            return Err(Failure::usage(
                "file-exists",
                format!("{} exists and is not overwritten", path.display()),
            )
            .with_hint("name other files with --output-key-prefix, or move the old ones away"));
        }
    }
    let password = password(context, "Password for the private key (empty for none): ")?;
    let pem = key
        .to_encrypted_pem(&password)
        .map_err(|error| unusable(&private, &error))?;
    write_secret(&private, pem.as_bytes())?;
    write_file(&public, key.public_key().to_pem().as_bytes())?;
    context.output.result(
        &format!("private key {}\npublic key  {}", private.display(), public.display()),
        &json!({ "privateKey": private, "publicKey": public, "fingerprint": key.public_key().fingerprint() }),
    );
    Ok(())
}

/// A new file that only its owner can read.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|error| {
            Failure::new(
                Exit::Undecided,
                "file-unwritable",
                format!("cannot write {}: {error}", path.display()),
            )
        })
}

fn public_json(key: &PublicKey) -> serde_json::Value {
    json!({ "pem": key.to_pem(), "fingerprint": key.fingerprint(), "algorithm": key.algorithm().name() })
}

fn unusable(path: &Path, error: &SigningKeyError) -> Failure {
    Failure::usage(error.code(), format!("{}: {}", path.display(), chain(error)))
}
