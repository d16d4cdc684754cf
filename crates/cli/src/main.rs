//! The `proofmark` binary: parses the command line, runs one verb, ends with its exit code.
//!
//! One file a verb under `verb`; the flags they share are in `args`, what they need to run in `context`, and `output` is
//! the only place that prints.

mod advisories;
mod args;
mod bills;
mod blobs;
mod checking;
mod cloud;
mod context;
mod cosign;
mod failure;
mod hanging;
mod hashed;
mod images;
mod keys;
mod layers;
mod output;
mod report;
mod scanning;
mod seen;
mod signing;
mod trusting;
mod verb;
mod verbs;
mod world;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Command, FromArgMatches};

use crate::context::Context;
use crate::cosign::Manner;
use crate::failure::{Exit, Failure};
use crate::output::{Format, Output};
use crate::verbs::Verb;

/// What may stand before and behind every verb.
#[derive(Args, Debug)]
struct Cli {
    /// How results are written (default: text)
    #[arg(long, short = 'o', value_enum, global = true)]
    output: Option<Format>,

    /// Say only results, warnings and errors
    #[arg(long, short = 'q', global = true)]
    quiet: bool,

    /// What to log on standard error, e.g. `debug` or `proofmark_registry=trace`
    #[arg(long, global = true, value_name = "FILTER", env = "PROOFMARK_LOG")]
    log: Option<String>,

    /// Log what is done on standard error: the same as --log debug
    #[arg(long, short = 'd', global = true)]
    verbose: bool,

    /// Write results to this file instead of standard output
    #[arg(long, global = true, value_name = "FILE")]
    output_file: Option<PathBuf>,

    /// Read layers even where what they contain is in the cache, and keep nothing there (docs/sbom.md)
    #[arg(long, global = true)]
    no_cache: bool,

    /// Give up after this long, e.g. 90s or 3m0s
    #[arg(long, short = 't', global = true, value_name = "DURATION", value_parser = args::go_duration)]
    timeout: Option<Duration>,
}

/// Where the flags of every verb stand in its help: behind its own.
const BEHIND: usize = 900;

/// The command line, under the name that the program was called by: with one verb, or with all.
fn command(manner: Manner, only: Option<&str>) -> Command {
    let program = Command::new(manner.name())
        .bin_name(manner.name())
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .max_term_width(100);
    let program = Cli::augment_args(verbs::defined(program, only).next_display_order(BEHIND))
        .about("Carries a container image from push to admission: SBOM, signatures, verification, policy");
    if manner.is_cosign() {
        // Go's flags: of one that is given twice the last counts.
        return program.args_override_self(true);
    }
    program
}

fn main() -> ExitCode {
    let manner = Manner::of(std::env::args_os().next().as_deref());
    let words = verb::kubectl::as_plugin(std::env::args_os().collect());
    let command = args::with_go_switches(command(manner, words.get(1).and_then(|word| word.to_str())));
    let words = match manner {
        Manner::Proofmark => words,
        Manner::Cosign => cosign::arguments(words, &command, Output::new(Format::Text, false)),
    };
    let parsed = command
        .try_get_matches_from(&words)
        .and_then(|matches| Ok((Verb::from_arg_matches(&matches)?, Cli::from_arg_matches(&matches)?)));
    let (verb, cli) = match parsed {
        Ok(parsed) => parsed,
        // clap prints help and version to standard output with code 0, mistakes to standard error with code 2.
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::SUCCESS;
            }
            if manner.is_cosign() && error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                // A group of commands without a command: cosign prints the same help as with --help.
                return ExitCode::SUCCESS;
            }
            if manner == Manner::Proofmark && json_is_asked(&words) {
                // What clap says begins so, and goes on with help, which is for a person.
                let text = error.to_string();
                let said: Vec<&str> = text
                    .lines()
                    .map(str::trim)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let message = said.join(" ");
                let message = message.trim_start_matches("error: ");
                Output::new(Format::Json, true).failed(&Failure::usage("command-line", message));
            }
            return ExitCode::from(manner.exit(Exit::Usage, cosign::Verb::Other));
        }
    };
    // cosign's JSON is a verb's own business; what else is printed under its name is for a person.
    let format = match manner {
        Manner::Proofmark => cli.output.unwrap_or_default(),
        Manner::Cosign => Format::Text,
    };
    let output = Output::new(format, cli.quiet);
    let codes = match verb {
        Verb::Verify(_) | Verb::Dockerfile(_) | Verb::Manifest(_) => cosign::Verb::VerifiesSignatures,
        _ => cosign::Verb::Other,
    };
    let result = run(verb, cli, output, manner);
    let code = output.finish(result, manner, codes);
    trusting::after(output);
    code
}

/// Whether `-o json` is among the arguments, which could not be parsed.
fn json_is_asked(arguments: &[std::ffi::OsString]) -> bool {
    let arguments: Vec<_> = arguments
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let joined = |word: &String| ["-ojson", "-o=json", "--output=json"].contains(&word.as_str());
    let apart =
        |pair: &[String]| matches!(pair, [flag, value] if (flag == "-o" || flag == "--output") && value == "json");
    arguments.iter().any(joined) || arguments.windows(2).any(apart)
}

fn run(verb: Verb, cli: Cli, output: Output, manner: Manner) -> Result<(), Failure> {
    let verbose = cli
        .verbose
        .then_some("info,proofmark=debug,proofmark_registry=debug,proofmark_sign=debug");
    let filter = cli.log.as_deref().or(verbose);
    start_log(filter, usual_log(&verb))?;
    // What `sbom` writes to its file is the document; its result stays on standard output.
    let is_document = matches!(&verb, Verb::Sbom(sbom) if sbom.is_document());
    if let Some(path) = cli.output_file.as_deref().filter(|_| !is_document) {
        output::send_results_to(path)?;
    }
    let patience = cli.timeout.or_else(|| manner.is_cosign().then_some(cosign::TIMEOUT));
    let verb = match verb {
        Verb::Completion(verb) => return verb.run(command(Manner::Proofmark, None), output),
        Verb::Man(verb) => return verb.run(command(Manner::Proofmark, None), output),
        verb => verb,
    };
    // A verb that asks one registry a few questions is done before threads would be up.
    let mut runtime = match verb {
        Verb::Verify(_)
        | Verb::VerifyAttestation(_)
        | Verb::Tree(_)
        | Verb::Sign(_)
        | Verb::Attest(_)
        | Verb::SignBlob(_)
        | Verb::VerifyBlob(_)
        | Verb::AttestBlob(_)
        | Verb::VerifyBlobAttestation(_)
        | Verb::Bundle(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build().map_err(anyhow::Error::from)?;
    let context = Context::new(output, manner, cli.output, cli.no_cache);
    runtime.block_on(async {
        let work = dispatch(verb, &context);
        match patience {
            None => work.await,
            Some(patience) => tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
                Err(Failure::new(
                    Exit::Undecided,
                    "timeout",
                    format!("not done within {patience:?}, which --timeout allows"),
                ))
            }),
        }
    })
}

/// Runs the verb.
async fn dispatch(verb: Verb, context: &Context) -> Result<(), Failure> {
    match verb {
        Verb::Demo(verb) => verb.run(context).await,
        Verb::Up(verb) => verb.run(context).await,
        Verb::Release(verb) => verb.run(context).await,
        Verb::Sbom(verb) => verb.run(context).await,
        Verb::Scan(verb) => verb.run(context).await,
        Verb::Db(verb) => verb.run(context).await,
        Verb::Sign(verb) => verb.run(context).await,
        Verb::Attest(verb) => verb.run(context).await,
        Verb::Verify(verb) => verb.run(context).await,
        Verb::VerifyAttestation(verb) => verb.run(context).await,
        Verb::Dockerfile(verb) => verb.run(context).await,
        Verb::Manifest(verb) => verb.run(context).await,
        Verb::Generate(verb) => verb.run(context).await,
        Verb::Version(verb) => {
            verb.run(context);
            Ok(())
        }
        Verb::SignBlob(verb) => verb.run(context).await,
        Verb::VerifyBlob(verb) => verb.run(context).await,
        Verb::AttestBlob(verb) => verb.run(context).await,
        Verb::VerifyBlobAttestation(verb) => verb.run(context).await,
        Verb::Bundle(verb) => verb.run(context).await,
        Verb::Tree(verb) => verb.run(context).await,
        Verb::Download(verb) => verb.run(context).await,
        Verb::Copy(verb) => verb.run(context).await,
        Verb::Save(verb) => verb.run(context).await,
        Verb::Load(verb) => verb.run(context).await,
        Verb::Attach(verb) => verb.run(context).await,
        Verb::Clean(verb) => verb.run(context).await,
        Verb::Triangulate(verb) => verb.run(context).await,
        Verb::Upload(verb) => verb.run(context).await,
        Verb::Login(verb) => verb.run(context).await,
        Verb::Key(verb) => verb.run(context).await,
        Verb::GenerateKeyPair(verb) => verb.run(context).await,
        Verb::ImportKeyPair(verb) => verb.run(context).await,
        Verb::PublicKey(verb) => verb.run(context).await,
        Verb::Pkcs11Tool(verb) => verb.run(context).await,
        Verb::Trust(verb) => verb.run(context).await,
        Verb::Initialize(verb) => verb.run(context).await,
        Verb::TrustedRoot(verb) => verb.run(context),
        Verb::SigningConfig(verb) => verb.run(context),
        Verb::Debug(verb) => verb.run(context).await,
        Verb::Env(verb) => verb.run(context),
        Verb::Registry(verb) => verb.run(context).await,
        Verb::Admission(verb) => verb.run(context).await,
        Verb::Kubectl(verb) => verb.run(context).await,
        Verb::Policy(verb) => verb.run(context).await,
        Verb::Completion(_) | Verb::Man(_) => Ok(()),
    }
}

/// What is logged without a filter: warnings. `demo` and `up` say themselves that their identity issuer vouches for anyone,
/// once, and not with each token; a webhook leaves a line for each decision.
fn usual_log(verb: &Verb) -> &'static str {
    match verb {
        Verb::Demo(_) | Verb::Up(_) => "warn,proofmark_trust_server=error",
        Verb::Admission(verb::admission::Admission::Serve(_)) => "warn,proofmark::decision=info",
        _ => "warn",
    }
}

/// Logs go to standard error, coloured on a terminal only.
fn start_log(filter: Option<&str>, usual: &str) -> Result<(), Failure> {
    let filter = filter.unwrap_or(usual);
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(filter)
        .map_err(|error| Failure::usage("malformed-log-filter", format!("\"{filter}\": {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
