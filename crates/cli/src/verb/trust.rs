//! `trust`: a certificate authority, a transparency log and a timestamp authority of one's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proofmark_trust_server::{Config, InitOptions, IssuerConfig, Server, init};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::context::{Context, read_text};
use crate::failure::{Exit, Failure, chain};
use crate::verb::up::until_stopped;

mod kept;
mod token;

use self::token::Token;

/// Certificate authority, transparency log and timestamps of one's own
#[derive(Subcommand, Debug)]
pub(crate) enum Trust {
    /// Make the keys, certificates and documents of a new trust domain
    Init(Init),
    /// Serve a trust domain: Fulcio, Rekor v2 and RFC 3161 on one origin and port
    Serve(Serve),
    /// Mint an identity token of the INSECURE development issuer, to try keyless signing on this machine
    Token(Token),
    /// Show where trust comes from: which copy, its versions, its age
    Status(kept::Status),
    /// Write the repository kept here into one file, for a machine without a network
    Export(kept::Export),
    /// Take over such a file, checked as if it came from the repository itself
    Import(kept::Import),
    /// Fetch what is newer than the copy kept here
    Refresh(kept::Refresh),
}

/// Make a new trust domain
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// The folder; must not hold a trust domain yet
    #[arg(long, default_value = "proofmark-trust", value_name = "FOLDER")]
    dir: PathBuf,

    /// Where clients will reach it: scheme, host and port, no path
    #[arg(long, value_name = "URL")]
    origin: Url,

    /// Who runs it; shown in certificates and documents
    #[arg(long, default_value = "proofmark", value_name = "NAME")]
    operator: String,

    /// Whose identity tokens are believed: a YAML file, `oidc-issuers: [{issuer-url, type, ci-provider, …}]` (docs/trust.md)
    #[arg(long, value_name = "FILE")]
    issuers: Option<PathBuf>,

    /// Add the INSECURE development issuer, which vouches for anything. For demonstrations only
    #[arg(long)]
    insecure_development_issuer: bool,
}

/// Serve a trust domain
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The folder that `trust init` made
    #[arg(long, default_value = "proofmark-trust", value_name = "FOLDER")]
    dir: PathBuf,

    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:5555", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
}

impl Trust {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Init(args) => args.run(context),
            Self::Serve(args) => args.run(context).await,
            Self::Token(args) => args.run(context),
            Self::Status(args) => args.run(context),
            Self::Export(args) => args.run(context),
            Self::Import(args) => args.run(context).await,
            Self::Refresh(args) => args.run(context).await,
        }
    }
}

impl Init {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let options = InitOptions {
            origin: self.origin.clone(),
            operator: self.operator,
            issuers: self.issuers.map_or(Ok(Vec::new()), |path| read_issuers(&path))?,
            dev_issuer: self.insecure_development_issuer,
            now: Context::now(),
        };
        if options.issuers.is_empty() && !options.dev_issuer {
            context
                .output
                .warn("no identity issuer is believed yet, so nobody can sign keyless; name some with --issuers FILE");
        }
        init(&self.dir, &options).map_err(|error| Failure::usage(error.code(), chain(&error)))?;
        let file = |name: &str| self.dir.join(name);
        context.output.result(
            &format!(
                "trust domain {} in {}\n  give verifiers {}\n  give signers   {}\n  sigstore-python takes {}\n  TUF clients begin with {} and {}/tuf\nserve it with `proofmark trust serve --dir {}`",
                self.origin,
                self.dir.display(),
                file("trusted_root.json").display(),
                file("signing_config.json").display(),
                file("trust_config.json").display(),
                file("tuf_root.json").display(),
                self.origin.as_str().trim_end_matches('/'),
                self.dir.display(),
            ),
            &json!({
                "origin": self.origin.as_str(), "folder": self.dir,
                "trustedRoot": file("trusted_root.json"),
                "signingConfig": file("signing_config.json"),
                "trustConfig": file("trust_config.json"),
                "tufRoot": file("tuf_root.json"),
            }),
        );
        Ok(())
    }
}

impl Serve {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = Server::start(Config::new(self.dir.clone(), self.listen))
            .await
            .map_err(|error| {
                let failure = Failure::new(Exit::Undecided, error.code(), chain(&error));
                if self.dir.join("trust.yaml").exists() {
                    failure
                } else {
                    failure.with_hint("`proofmark trust init` makes a trust domain; --dir says where it is")
                }
            })?;
        context.output.result(
            &format!(
                "trust services of {} at {}; stop them with Ctrl-C",
                self.dir.display(),
                server.address()
            ),
            &json!({ "address": server.address(), "folder": self.dir }),
        );
        until_stopped().await;
        server.stop().await;
        Ok(())
    }
}

/// What an entry of the file may say.
const ISSUERS_HINT: &str = "an issuer has issuer-url and type: ci-provider (with ci-provider: github-workflow or gitlab-pipeline), email, kubernetes, or uri (with subject-domain); docs/trust.md shows one";

/// The file of `--issuers`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Issuers {
    oidc_issuers: Vec<IssuerConfig>,
}

fn read_issuers(path: &Path) -> Result<Vec<IssuerConfig>, Failure> {
    let unusable = |reason: String| {
        Failure::usage("trust-issuer", format!("{}: {reason}", path.display())).with_hint(ISSUERS_HINT)
    };
    let text = read_text(path)?;
    serde_saphyr::from_str::<Issuers>(&text)
        .map(|file| file.oidc_issuers)
        .map_err(|error| unusable(error.to_string().trim_start_matches("error: ").to_owned()))
}
