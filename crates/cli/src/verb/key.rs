//! `key`, `generate-key-pair`, `import-key-pair`, `public-key`: key pairs, in cosign's file format and elsewhere.
//!
//! One implementation with two spellings, ours and cosign's.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use proofmark_sign::SigningKey;
use proofmark_sign::keys::KeyError;
use proofmark_types::KeyReference;
use proofmark_verify::{KeyAlgorithm, PublicKey};
use serde_json::json;

use crate::args::key_reference;
use crate::checking::security_key;
use crate::context::{Context, write_file, write_secret};
use crate::failure::{Exit, Failure, chain};
use crate::{keys, output};

/// Key pairs
#[derive(Subcommand, Debug)]
pub(crate) enum Key {
    /// Make a key pair: PREFIX.key (encrypted) and PREFIX.pub, or in a KMS or a Kubernetes secret
    Generate(Generate),
    /// Take a PKCS#8, SEC1 or PKCS#1 private key over into cosign's format
    Import(Import),
    /// Print the public key of a private key
    Public(Public),
}

/// Make a key pair
#[derive(Args, Debug)]
pub(crate) struct Generate {
    /// Where the pair is kept, if not in files: k8s://NAMESPACE/NAME
    #[arg(value_name = "k8s://NAMESPACE/NAME", value_parser = key_reference, conflicts_with = "kms")]
    place: Option<KeyReference>,

    /// Make the key in this KMS: awskms://…, gcpkms://…, azurekms://…, hashivault://…
    #[arg(long, value_name = "KEY", value_parser = key_reference)]
    kms: Option<KeyReference>,

    /// Names of the files, without their endings
    #[arg(long, default_value = "cosign", value_name = "PREFIX")]
    output_key_prefix: String,

    /// The kind of key: ecdsa-sha2-256-nistp256, ecdsa-sha2-384-nistp384, ecdsa-sha2-512-nistp521, rsa-sign-pkcs1-2048-sha256, rsa-sign-pkcs1-3072-sha256, rsa-sign-pkcs1-4096-sha256 or ed25519
    #[arg(long, default_value = "ecdsa-sha2-256-nistp256", value_name = "ALGORITHM", value_parser = algorithm)]
    signing_algorithm: KeyAlgorithm,

    /// Replace files that exist without asking
    #[arg(short = 'y', long)]
    yes: bool,
}

/// Take over a private key
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The private key: a PEM file (PKCS#8, under a password too, SEC1, PKCS#1 or cosign's), env://NAME or k8s://NAMESPACE/NAME
    #[arg(long, short = 'k', value_name = "KEY", value_parser = key_reference)]
    key: KeyReference,

    /// Names of the files, without their endings
    #[arg(long, default_value = "import-cosign", value_name = "PREFIX")]
    output_key_prefix: String,

    /// Replace files that exist without asking
    #[arg(short = 'y', long)]
    yes: bool,
}

/// Print the public key
#[derive(Args, Debug)]
pub(crate) struct Public {
    /// The key: file, env://NAME, k8s://NAMESPACE/NAME, pkcs11:…, awskms://…, gcpkms://…, azurekms://…, hashivault://…
    #[arg(long, value_name = "KEY", value_parser = key_reference, required_unless_present = "sk")]
    key: Option<KeyReference>,

    /// A security key (PIV); not supported: use pkcs11: with the token's module
    #[arg(long)]
    sk: bool,

    /// Slot of the security key
    #[arg(long, value_name = "SLOT")]
    slot: Option<String>,

    /// Write it to this file
    #[arg(long, value_name = "FILE")]
    outfile: Option<PathBuf>,
}

impl Key {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Generate(verb) => verb.run(context).await,
            Self::Import(verb) => verb.run(context).await,
            Self::Public(verb) => verb.run(context).await,
        }
    }
}

impl Generate {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let pair = Pair::new(&self.output_key_prefix, self.yes);
        let Some(place) = self.kms.or(self.place) else {
            let pair = pair.with_room_for(context, Halves::Both)?;
            let key = SigningKey::generate(self.signing_algorithm)
                .map_err(|error| Failure::new(Exit::Undecided, error.code(), error))?;
            return pair.write(context, &key);
        };
        if let KeyReference::File(_) = place {
            return Err(keys::failure(KeyError::NotCreatable {
                reference: place.to_string(),
            })
            .with_hint("files are named with --output-key-prefix"));
        }
        // Before the key is made: its public half is to be had at once.
        let pair = pair.with_room_for(context, Halves::Public)?;
        let public = keys::create(&place, self.signing_algorithm).await?;
        write_file(&pair.public, public.to_pem().as_bytes())?;
        context.done(
            &format!("private key {place}\npublic key  {}", pair.public.display()),
            &json!({
                "privateKey": place, "publicKey": pair.public,
                "fingerprint": public.fingerprint(), "algorithm": public.algorithm().flag(),
            }),
        );
        Ok(())
    }
}

impl Import {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let key = keys::signing_key(context, &self.key).await?;
        let pair = Pair::new(&self.output_key_prefix, self.yes).with_room_for(context, Halves::Both)?;
        pair.write(context, &key)
    }
}

impl Public {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (Some(reference), false, None) = (&self.key, self.sk, &self.slot) else {
            return Err(security_key());
        };
        let key = keys::public_key(context, reference).await?;
        match self.outfile {
            Some(path) => {
                write_file(&path, key.to_pem().as_bytes())?;
                context
                    .output
                    .note(&format!("public key written to {}", path.display()));
            }
            None => context.output.result(&key.to_pem(), &public_json(&key)),
        }
        Ok(())
    }
}

/// What of a pair is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Halves {
    Both,
    Public,
}

/// The two files of a pair.
struct Pair {
    private: PathBuf,
    public: PathBuf,
    replace: bool,
}

impl Pair {
    fn new(prefix: &str, replace: bool) -> Self {
        Self {
            private: PathBuf::from(format!("{prefix}.key")),
            public: PathBuf::from(format!("{prefix}.pub")),
            replace,
        }
    }

    /// Both files are new, or may be replaced, or nothing is written: a key that is overwritten is lost for good.
    ///
    /// Under the name cosign the answer may be piped in, unless standard input is the password.
    fn with_room_for(mut self, context: &Context, halves: Halves) -> Result<Self, Failure> {
        let private = (halves == Halves::Both).then_some(&self.private);
        let taken: Vec<&PathBuf> = private
            .into_iter()
            .chain([&self.public])
            .filter(|path| path.symlink_metadata().is_ok())
            .collect();
        if self.replace || taken.is_empty() {
            return Ok(self);
        }
        let names: Vec<String> = taken.iter().map(|path| path.display().to_string()).collect();
        let (names, verb) = (names.join(" and "), if names.len() > 1 { "exist" } else { "exists" });
        let piped = context.manner.is_cosign() && keys::password_is_given();
        if output::confirm(&format!("{names} {verb}. Overwrite? [y/N] "), piped) != Some(true) {
            return Err(
                Failure::usage("file-exists", format!("{names} {verb} and nothing is overwritten")).with_hint(
                    "name other files with --output-key-prefix, move the old ones away, or replace them with --yes",
                ),
            );
        }
        self.replace = private.is_some_and(|private| taken.contains(&private));
        Ok(self)
    }

    fn write(&self, context: &Context, key: &SigningKey) -> Result<(), Failure> {
        let password = keys::new_password().map_err(|error| keys::failure(error.into()))?;
        let pem = key
            .to_encrypted_pem(&password)
            .map_err(|error| Failure::usage(error.code(), format!("{}: {}", self.private.display(), chain(&error))))?;
        write_secret(&self.private, pem.as_bytes(), self.replace)?;
        let public = key.public_key();
        write_file(&self.public, public.to_pem().as_bytes())?;
        context.done(
            &format!(
                "private key {}\npublic key  {}",
                self.private.display(),
                self.public.display()
            ),
            &json!({
                "privateKey": self.private, "publicKey": self.public,
                "fingerprint": public.fingerprint(), "algorithm": public.algorithm().flag(),
            }),
        );
        Ok(())
    }
}

fn public_json(key: &PublicKey) -> serde_json::Value {
    json!({ "pem": key.to_pem(), "fingerprint": key.fingerprint(), "algorithm": key.algorithm().name() })
}

fn algorithm(name: &str) -> Result<KeyAlgorithm, String> {
    KeyAlgorithm::from_flag(name).ok_or_else(|| {
        let known: Vec<_> = KeyAlgorithm::ALL.into_iter().map(KeyAlgorithm::flag).collect();
        format!("expected one of {}", known.join(", "))
    })
}
