//! `signing-config create`: which services a signer asks.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use proofmark_trust_root::{SIGNING_CONFIG, SIGNING_CONFIG_REKOR_V2, SigningConfig as Config};
use serde_json::{Map, Value, json};

use crate::context::{Context, read_file};
use crate::failure::{Failure, chain};
use crate::trusting;
use crate::verb::trusted_root::{Spec, finish};

/// Signing configurations
#[derive(Subcommand, Debug)]
pub(crate) enum SigningConfig {
    /// Make a signing_config.json from addresses
    Create(Box<Create>),
}

/// Make a signing_config.json from addresses
///
/// A service is a list of key=value, separated by commas, as in cosign: url, api-version, start-time, operator, perhaps
/// end-time.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// A certificate authority
    #[arg(long, value_name = "SPEC")]
    fulcio: Vec<String>,

    /// A transparency log
    #[arg(long, value_name = "SPEC")]
    rekor: Vec<String>,

    /// An identity provider
    #[arg(long, value_name = "SPEC")]
    oidc_provider: Vec<String>,

    /// A timestamp authority; its url is the whole address
    #[arg(long, value_name = "SPEC")]
    tsa: Vec<String>,

    /// How many logs are written to: ANY, ALL or EXACT:COUNT
    #[arg(long, value_name = "CHOICE")]
    rekor_config: Option<String>,

    /// How many timestamp authorities are asked: ANY, ALL or EXACT:COUNT
    #[arg(long, value_name = "CHOICE")]
    tsa_config: Option<String>,

    /// Begin with this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["with_default_services", "with_default_rekor_v2"])]
    base_config: Option<PathBuf>,

    /// Begin with the signing configuration that is used by default
    #[arg(long)]
    with_default_services: bool,

    /// Begin with the one of the same instance that has version 2 of the log
    #[arg(long)]
    with_default_rekor_v2: bool,

    /// Of that, leave out the certificate authorities
    #[arg(long)]
    no_default_fulcio: bool,

    /// Of that, leave out the logs
    #[arg(long)]
    no_default_rekor: bool,

    /// Of that, leave out the identity providers
    #[arg(long)]
    no_default_oidc: bool,

    /// Of that, leave out the timestamp authorities
    #[arg(long)]
    no_default_tsa: bool,

    /// Where to write it (default: standard output)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl SigningConfig {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Create(args) = self;
        args.run(context)
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let unusable = |reason: String| Failure::usage("signing-config-malformed", reason);
        let mut document = self.base()?;
        let left_out = [
            (self.no_default_fulcio, "caUrls"),
            (self.no_default_rekor, "rekorTlogUrls"),
            (self.no_default_oidc, "oidcUrls"),
            (self.no_default_tsa, "tsaUrls"),
        ];
        for (_, field) in left_out.into_iter().filter(|(left_out, _)| *left_out) {
            document.remove(field);
        }
        let given = [
            ("--fulcio", &self.fulcio, "caUrls"),
            ("--rekor", &self.rekor, "rekorTlogUrls"),
            ("--oidc-provider", &self.oidc_provider, "oidcUrls"),
            ("--tsa", &self.tsa, "tsaUrls"),
        ];
        for (flag, specs, field) in given {
            for text in specs {
                let service = service(&Spec::parse(flag, text)?)?;
                let list = document.entry(field).or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(service);
                }
            }
        }
        let choices = [
            (
                "--rekor",
                "--rekor-config",
                &self.rekor,
                &self.rekor_config,
                "rekorTlogConfig",
            ),
            ("--tsa", "--tsa-config", &self.tsa, &self.tsa_config, "tsaConfig"),
        ];
        for (flag, choice_flag, specs, choice, field) in choices {
            match choice {
                Some(text) => {
                    document.insert(field.to_owned(), selector(choice_flag, text)?);
                }
                None if !specs.is_empty() && !document.contains_key(field) => {
                    let message = format!("{flag} is given, and nothing says how many of them are asked");
                    return Err(Failure::usage("malformed-service", message)
                        .with_hint(format!("give {choice_flag} ANY, ALL or EXACT:COUNT")));
                }
                None => {}
            }
        }
        let bytes = serde_json::to_vec_pretty(&document).map_err(anyhow::Error::from)?;
        Config::parse(&bytes).map_err(|error| unusable(chain(&error)))?;
        finish(context, self.out.as_deref(), &bytes)
    }

    fn base(&self) -> Result<Map<String, Value>, Failure> {
        let bytes = if let Some(path) = &self.base_config {
            read_file(path)?
        } else if self.with_default_rekor_v2 {
            trusting::document(SIGNING_CONFIG_REKOR_V2)
                .map_err(|failure| match failure.code.as_str() {
                    "trust-no-document" => {
                        failure.with_hint("this program carries no copy of it: `proofmark initialize` fetches it")
                    }
                    _ => failure,
                })?
                .bytes
                .into_owned()
        } else if self.with_default_services {
            trusting::document(SIGNING_CONFIG)?.bytes.into_owned()
        } else {
            let media_type = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
            return Ok(Map::from_iter([("mediaType".to_owned(), json!(media_type))]));
        };
        let unusable = |reason: String| Failure::usage("signing-config-malformed", reason);
        Config::parse(&bytes).map_err(|error| unusable(chain(&error)))?;
        serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))
    }
}

fn service(spec: &Spec) -> Result<Value, Failure> {
    spec.only(&["url", "api-version", "start-time", "end-time", "operator"])?;
    let version = spec.required("api-version")?;
    let version: u32 = version
        .parse()
        .map_err(|_| spec.malformed(&format!("api-version is to be a number, got \"{version}\"")))?;
    spec.required("start-time")?;
    let mut window = Map::new();
    for (key, field) in [("start-time", "start"), ("end-time", "end")] {
        if let Some(time) = spec.time(key)? {
            window.insert(field.to_owned(), json!(time));
        }
    }
    Ok(json!({
        "url": spec.required("url")?, "majorApiVersion": version, "validFor": window,
        "operator": spec.required("operator")?,
    }))
}

fn selector(flag: &str, text: &str) -> Result<Value, Failure> {
    let malformed = || {
        let message = format!("{flag}: expected ANY, ALL or EXACT:COUNT, got \"{text}\"");
        Failure::usage("malformed-service", message)
    };
    match text.split_once(':') {
        None if text == "ANY" || text == "ALL" => Ok(json!({ "selector": text })),
        Some(("EXACT", count)) => {
            let count: u32 = count.parse().map_err(|_| malformed())?;
            if count == 0 {
                return Err(malformed());
            }
            Ok(json!({"selector": "EXACT", "count": count}))
        }
        _ => Err(malformed()),
    }
}
