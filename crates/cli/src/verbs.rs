//! The verbs, and how a command line comes to its own.
//!
//! To define the flags of all verbs takes longer than to verify a signature. So a command line that starts with a verb
//! defines that verb alone; help, completions, the manual and mistakes have them all.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use crate::verb;

/// Makes [`Verb`], its parser and [`defined`]: what `derive(Subcommand)` makes, which has no way to leave verbs out.
/// `flags` stands before a verb with arguments, `verbs` before one that has verbs of its own.
macro_rules! verbs {
    ($(#[doc = $about:literal] $name:literal => $kind:ident $variant:ident($arguments:ty);)+) => {
        /// What to do.
        #[derive(Debug)]
        pub(crate) enum Verb {
            $(#[doc = $about] $variant($arguments),)+
        }

        /// The command with the one verb that is named, or, if there is none of that name, with all of them.
        pub(crate) fn defined(command: Command, only: Option<&str>) -> Command {
            let command = command.subcommand_required(true).arg_required_else_help(true);
            match only {
                Some("--version" | "-V") => command,
                $(Some($name) => command.subcommand(verbs!($kind $arguments, $name, $about)),)+
                _ => command$(.subcommand(verbs!($kind $arguments, $name, $about)))+,
            }
        }

        impl FromArgMatches for Verb {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                Self::from_arg_matches_mut(&mut matches.clone())
            }

            fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
                let (name, mut matches) = matches
                    .remove_subcommand()
                    .ok_or_else(|| clap::Error::raw(ErrorKind::MissingSubcommand, "a verb is required"))?;
                match name.as_str() {
                    $($name => FromArgMatches::from_arg_matches_mut(&mut matches).map(Self::$variant),)+
                    other => {
                        let message = format!("the verb \"{other}\" is not known");
                        Err(clap::Error::raw(ErrorKind::InvalidSubcommand, message))
                    }
                }
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
    (flags $arguments:ty, $name:literal, $about:literal) => {
        <$arguments as Args>::augment_args(Command::new($name)).about($about.trim()).long_about(None)
    };
    (verbs $arguments:ty, $name:literal, $about:literal) => {
        <$arguments as Subcommand>::augment_subcommands(Command::new($name))
            .subcommand_required(true)
            .arg_required_else_help(true)
            .about($about.trim())
            .long_about(None)
    };
}

verbs! {
    /// The whole chain on this machine in a minute, nothing else installed
    "demo" => flags Demo(verb::demo::Demo);
    /// Registry, trust services and admission on loopback, data kept in a folder
    "up" => flags Up(verb::up::Up);
    /// The one CI step: digest, SBOM, provenance, sign, attest, read back and verify
    "release" => flags Release(verb::release::Release);
    /// What is inside an image: packages, licences, relationships
    "sbom" => flags Sbom(verb::sbom::Sbom);
    /// Known vulnerabilities of what is inside an image, and whether it may pass
    "scan" => flags Scan(Box<verb::scan::ScanVerb>);
    /// The database of known vulnerabilities
    "db" => verbs Db(verb::db::Db);
    /// Sign an image
    "sign" => flags Sign(verb::sign::Sign);
    /// State something about an image, signed
    "attest" => flags Attest(verb::attest::Attest);
    /// Check an image's signatures
    "verify" => flags Verify(verb::verify::Verify);
    /// Check an image's attestations of one type
    "verify-attestation" => flags VerifyAttestation(verb::verify_attestation::VerifyAttestation);
    /// Check what a Dockerfile builds on
    "dockerfile" => verbs Dockerfile(verb::dockerfile::Dockerfile);
    /// What a cluster lets run, and why not: `kubectl proofmark`
    "kubectl" => verbs Kubectl(verb::kubectl::Kubectl);
    /// Check what Kubernetes manifests run
    "manifest" => verbs Manifest(verb::manifest::Manifest);
    /// Sign a file
    "sign-blob" => flags SignBlob(Box<verb::sign_blob::SignBlob>);
    /// Check the signature on a file
    "verify-blob" => flags VerifyBlob(Box<verb::verify_blob::VerifyBlob>);
    /// State something about a file, signed
    "attest-blob" => flags AttestBlob(Box<verb::attest_blob::AttestBlob>);
    /// Check an attestation about a file
    "verify-blob-attestation" => flags VerifyBlobAttestation(Box<verb::verify_blob_attestation::VerifyBlobAttestation>);
    /// What comes with a signature
    "bundle" => verbs Bundle(verb::bundle::BundleVerb);
    /// Show what hangs on an image
    "tree" => flags Tree(verb::tree::Tree);
    /// Fetch what hangs on an image, unverified
    "download" => verbs Download(verb::download::Download);
    /// Copy an image with all that hangs on it
    "copy" => flags Copy(verb::copy::Copy);
    /// Save an image with all that hangs on it in a folder
    "save" => flags Save(verb::save::Save);
    /// Load a saved image, with all that hangs on it, into a registry
    "load" => flags Load(verb::load::Load);
    /// Hang something on an image that was made elsewhere
    "attach" => verbs Attach(verb::attach::Attach);
    /// Remove what hangs on an image: signatures, attestations, bills
    "clean" => flags Clean(verb::clean::Clean);
    /// Print under which name cosign keeps signatures, attestations or a bill
    "triangulate" => flags Triangulate(verb::triangulate::Triangulate);
    /// Put files into a registry
    "upload" => verbs Upload(verb::upload::Upload);
    /// Keep user name and password for a registry
    "login" => flags Login(verb::login::Login);
    /// Key pairs in cosign's file format
    "key" => verbs Key(verb::key::Key);
    /// Make a key pair, in files, a KMS or a Kubernetes secret: the same as `key generate`
    "generate-key-pair" => flags GenerateKeyPair(verb::key::Generate);
    /// Take a private key over into cosign's format: the same as `key import`
    "import-key-pair" => flags ImportKeyPair(verb::key::Import);
    /// Print the public key of a private one: the same as `key public`
    "public-key" => flags PublicKey(verb::key::Public);
    /// What is in a PKCS #11 token
    "pkcs11-tool" => verbs Pkcs11Tool(verb::pkcs11_tool::Pkcs11Tool);
    /// Certificate authority, transparency log and timestamps of one's own
    "trust" => verbs Trust(verb::trust::Trust);
    /// Fetch the newest trust root of an instance, and use it from then on
    "initialize" => flags Initialize(verb::initialize::Initialize);
    /// Trust roots
    "trusted-root" => verbs TrustedRoot(verb::trusted_root::TrustedRoot);
    /// Signing configurations
    "signing-config" => verbs SigningConfig(verb::signing_config::SigningConfig);
    /// Find out why something is not as expected
    "debug" => verbs Debug(verb::debug::Debug);
    /// Print the environment variables that are read, and what they are set to
    "env" => flags Env(verb::env::Env);
    /// An OCI registry
    "registry" => verbs Registry(verb::registry::Registry);
    /// The Kubernetes admission webhook
    "admission" => verbs Admission(verb::admission::Admission);
    /// Image policies
    "policy" => verbs Policy(verb::policy::Policy);
    /// Print the payload of a signature, unsigned
    "generate" => flags Generate(verb::generate::Generate);
    /// Print the version
    "version" => flags Version(verb::version::Version);
    /// Print the completion script of a shell
    "completion" => flags Completion(verb::completion::Completion);
    /// Print the manual: one page for each verb, one after the other
    "man" => flags Man(verb::completion::Man);
}
