//! Which services sign, and who asks them: cosign's flags, the newer ones and those that it has declared old.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use proofmark_sign::token::{IdentityToken, Person, Sources, TokenOptions, detect};
use proofmark_sign::{ClientIdentity, Options, TimestampTls, Timing};
use proofmark_trust_root::{Service, ServiceKind, SigningConfig};
use proofmark_types::UnixTime;
use proofmark_verify::TrustRoot;
use url::Url;

use crate::args::{AuthFlow, OidcArgs, SigningArgs, TimestampClientArgs};
use crate::context::{Context, read_file};
use crate::failure::{Exit, Failure, chain};
use crate::output::Output;
use crate::trusting;

/// The authority that cosign asked before there were signing configurations, and still does without one.
const PUBLIC_AUTHORITY: &str = "https://fulcio.sigstore.dev";
/// The same for the log.
const PUBLIC_LOG: &str = "https://rekor.sigstore.dev";

/// Hosts below these are the public instance's and its staging copy's: what they log, anyone can read.
const PUBLIC_DOMAINS: [&str; 2] = ["sigstore.dev", "sigstage.dev"];

/// The services of one run.
pub(super) struct Chosen {
    pub(super) config: SigningConfig,
    /// Some are the public instance's, which no flag named.
    public: bool,
}

/// Which services the flags ask for, if any:
///
/// 1. those of a file;
/// 2. those of which there are addresses; for an identity, the public instance's authority and log stand in for what
///    is not named, as in cosign;
/// 3. for an identity, those of the instance that is trusted; for a key, only where that is said
///    (`--use-signing-config`), or cosign's command line is taken, whose default it is. An instance that names none is
///    refused: nobody who chose another instance is sent to the public one;
/// 4. without logs where `--tlog-upload=false` says so.
pub(super) fn choose(context: &Context, args: &SigningArgs) -> Result<Option<Chosen>, Failure> {
    let services = &args.services;
    let addressed = [
        &services.fulcio_url,
        &services.rekor_url,
        &services.timestamp_server_url,
        &args.oidc.oidc_issuer,
    ]
    .iter()
    .any(|given| given.is_some());
    let keyless = args.key.is_none() || args.issue_certificate;
    if addressed && (services.signing_config.is_some() || services.use_signing_config == Some(true)) {
        return Err(Failure::usage(
            "services-named-twice",
            "services are named by address and by a signing configuration: which are to be asked?",
        )
        .with_hint(
            "leave out --fulcio-url, --rekor-url, --oidc-issuer and --timestamp-server-url, or the configuration",
        ));
    }
    // cosign 2 signed with a key alone for --tlog-upload=false; cosign 3 wants it said twice.
    let by_default = match services.use_signing_config {
        Some(wanted) => wanted,
        None => keyless || context.manner.is_cosign() && services.tlog_upload,
    };
    let chosen = match &services.signing_config {
        Some(path) => Some(Chosen {
            config: Context::signing_config(Some(path))?,
            public: false,
        }),
        None if addressed => Some(by_address(context, args, keyless)?),
        None if by_default => {
            let config = Context::signing_config(None)?;
            // GitHub's has none of its own; a mirror of one's own may list the public services.
            let public = trusting::instance()?.is_some() || names_public(&config);
            Some(Chosen { config, public })
        }
        None if keyless || context.manner.is_cosign() && services.tlog_upload => {
            Some(by_address(context, args, keyless)?)
        }
        None => None,
    };
    Ok(chosen.map(|chosen| {
        if services.tlog_upload {
            chosen
        } else {
            Chosen {
                config: chosen.config.without(ServiceKind::Log),
                ..chosen
            }
        }
    }))
}

fn by_address(context: &Context, args: &SigningArgs, keyless: bool) -> Result<Chosen, Failure> {
    let services = &args.services;
    let mut config = SigningConfig::empty();
    let mut public = false;
    let mut add = |kind, flag: &str, given: Option<&str>, usual: Option<&str>| -> Result<(), Failure> {
        let Some(text) = given.or(usual) else { return Ok(()) };
        if given.is_none() {
            trusting::may_stand_in(flag)?;
            public = true;
        }
        let url = Url::parse(text)
            .map_err(|error| Failure::usage("malformed-url", format!("{flag}: \"{text}\" is no address: {error}")))?;
        let start = UnixTime::from_seconds(0).map_err(anyhow::Error::from)?;
        let operator = url.host_str().unwrap_or_default().to_owned();
        let service = Service::new(url, 1, start, &operator);
        config = std::mem::replace(&mut config, SigningConfig::empty()).with(kind, service);
        Ok(())
    };
    add(
        ServiceKind::Authority,
        "--fulcio-url",
        services.fulcio_url.as_deref(),
        keyless.then_some(PUBLIC_AUTHORITY),
    )?;
    let log = services.tlog_upload && (keyless || context.manner.is_cosign());
    add(
        ServiceKind::Log,
        "--rekor-url",
        services.rekor_url.as_deref(),
        log.then_some(PUBLIC_LOG),
    )?;
    add(
        ServiceKind::TimestampAuthority,
        "--timestamp-server-url",
        services.timestamp_server_url.as_deref(),
        None,
    )?;
    add(
        ServiceKind::Issuer,
        "--oidc-issuer",
        args.oidc.oidc_issuer.as_deref(),
        None,
    )?;
    Ok(Chosen { config, public })
}

/// Whether a certificate or a log entry would be the public instance's.
fn names_public(config: &SigningConfig) -> bool {
    let public = |service: &Service| {
        service.url.host_str().is_some_and(|host| {
            PUBLIC_DOMAINS.iter().any(|domain| {
                host.trim_end_matches('.')
                    .strip_suffix(domain)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
        })
    };
    [ServiceKind::Authority, ServiceKind::Log]
        .into_iter()
        .any(|kind| config.services(kind).iter().any(public))
}

/// What signing takes beside the services.
pub(super) fn options(
    context: &Context,
    args: &SigningArgs,
    trust_root: Option<&Arc<TrustRoot>>,
) -> Result<Options, Failure> {
    let output = context.output;
    let usual = Options::default();
    Ok(Options {
        trust_root: trust_root.cloned(),
        audience: args
            .oidc
            .oidc_client_id
            .clone()
            .unwrap_or_else(|| usual.audience.clone()),
        timestamp_tls: timestamp_tls(&args.timestamp_client)?,
        warn: Arc::new(move |warning| output.warn(&warning.to_string())),
        ..usual
    })
}

fn timestamp_tls(args: &TimestampClientArgs) -> Result<TimestampTls, Failure> {
    let mut tls = TimestampTls::default();
    if let Some(path) = &args.timestamp_client_cacert {
        tls.authorities = Some(read_file(path)?);
    }
    if let (Some(certificate), Some(key)) = (&args.timestamp_client_cert, &args.timestamp_client_key) {
        tls.identity = Some(ClientIdentity {
            certificate: read_file(certificate)?,
            key: read_file(key)?.into(),
        });
    }
    tls.server_name.clone_from(&args.timestamp_server_name);
    Ok(tls)
}

/// The identity token that the flags, the surroundings or a person give.
pub(super) async fn token(context: &Context, args: &OidcArgs, chosen: &Chosen) -> Result<IdentityToken, Failure> {
    let issuer = chosen
        .config
        .issuer(Context::now())
        .ok()
        .map(|service| service.url.clone());
    let mut options = TokenOptions::default();
    let unusable =
        |flag: &str, error: &dyn std::error::Error| Failure::usage("command-line", format!("{flag}: {}", chain(error)));
    if let Some(name) = &args.oidc_provider {
        options.provider = Some(name.parse().map_err(|error| unusable("--oidc-provider", &error))?);
    }
    if let Some(text) = &args.oidc_redirect_url {
        options.redirect = Some(Url::parse(text).map_err(|error| unusable("--oidc-redirect-url", &error))?);
    }
    if let Some(flow) = args.fulcio_auth_flow {
        let flow = match flow {
            AuthFlow::Normal => "normal",
            AuthFlow::Device => "device",
            AuthFlow::Token => "token",
            AuthFlow::ClientCredentials => "client_credentials",
        };
        options.flow = Some(flow.parse().map_err(|error| unusable("--fulcio-auth-flow", &error))?);
    }
    if let Some(id) = &args.oidc_client_id {
        options.client_id.clone_from(id);
    }
    options.no_ambient = args.oidc_disable_ambient_providers;
    options.client_secret_file.clone_from(&args.oidc_client_secret_file);
    options.issuer = issuer;
    find(context, args.identity_token.as_deref(), &options).await
}

/// Looks for a token.
pub(crate) async fn find(
    context: &Context,
    given: Option<&str>,
    options: &TokenOptions,
) -> Result<IdentityToken, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let person = AtTerminal(context.output);
    let there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    detect(&Sources {
        given,
        options,
        environment: &environment,
        root: std::path::Path::new("/"),
        person: there.then_some(&person as &dyn Person),
        timing: Timing::default(),
        now: Context::now(),
    })
    .await
    .map_err(|error| {
        let exit = if error.is_unreachable() {
            Exit::Undecided
        } else {
            Exit::Usage
        };
        Failure::new(exit, error.code(), chain(&error))
    })
}

/// The person at this terminal.
struct AtTerminal(Output);

impl Person for AtTerminal {
    fn browse(&self, address: &Url) -> bool {
        let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        Command::new(program)
            .arg(address.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .is_ok()
    }

    fn tell(&self, text: &str) {
        self.0.note(text);
    }
}

/// What publishing an identity means, said before it is done: to a log that no flag named, and to whoever did not say
/// `--yes` (cosign asks before every keyless signature; services of one's own were chosen on purpose).
pub(super) fn confirm(context: &Context, chosen: &Chosen, yes: bool) -> Result<(), Failure> {
    if !chosen.public || yes {
        return Ok(());
    }
    context.output.note(
        "The identity that signs (an e-mail address, a workflow, an account) will be in the certificate, and with it in \
         a public transparency log, where it can never be removed and anyone can read it.",
    );
    let declined = |message: &str| {
        Failure::usage("confirmation-needed", message).with_hint(
            "--yes (-y) agrees; --signing-config FILE names other services, --key KEY signs without an identity",
        )
    };
    if !std::io::stdin().is_terminal() {
        return Err(declined("there is no terminal to ask whether that is wanted"));
    }
    context.output.note("Go on? [y/N]");
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(declined("the answer was no"))
}
