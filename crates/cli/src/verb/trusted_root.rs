//! `trusted-root create`: a trust root from keys and certificates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proofmark_trust_root::{PartKind, TRUSTED_ROOT, TrustRootParts};
use proofmark_types::UnixTime;
use proofmark_verify::Validity;

use crate::context::{Context, read_text, write_file};
use crate::failure::{Failure, chain};
use crate::trusting;

/// Trust roots
#[derive(Subcommand, Debug)]
pub(crate) enum TrustedRoot {
    /// Make a trusted_root.json from keys and certificates
    Create(Box<Create>),
}

/// Make a trusted_root.json from keys and certificates
///
/// A service is a list of key=value, separated by commas, as in cosign.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// A certificate authority: url, certificate-chain (PEM file, the root last), perhaps start-time and end-time
    #[arg(long, value_name = "SPEC")]
    fulcio: Vec<String>,

    /// A transparency log: url, public-key (PEM file), start-time, perhaps end-time and origin
    #[arg(long, value_name = "SPEC")]
    rekor: Vec<String>,

    /// A certificate transparency log: url, public-key (PEM file), start-time, perhaps end-time
    #[arg(long, value_name = "SPEC")]
    ctfe: Vec<String>,

    /// A timestamp authority: url, certificate-chain (PEM file, the root last), perhaps start-time and end-time
    #[arg(long, value_name = "SPEC")]
    tsa: Vec<String>,

    /// Begin with the trust root that is used by default
    #[arg(long)]
    with_default_services: bool,

    /// Of that, leave out the certificate authorities
    #[arg(long)]
    no_default_fulcio: bool,

    /// Of that, leave out the transparency logs
    #[arg(long)]
    no_default_rekor: bool,

    /// Of that, leave out the certificate transparency logs
    #[arg(long)]
    no_default_ctfe: bool,

    /// Of that, leave out the timestamp authorities
    #[arg(long)]
    no_default_tsa: bool,

    /// Where to write it (default: standard output)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl TrustedRoot {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Create(args) = self;
        args.run(context)
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let unusable = |error: proofmark_trust_root::PartError| Failure::usage("trusted-root-unusable", chain(&error));
        let mut parts = TrustRootParts::empty();
        if self.with_default_services {
            parts = TrustRootParts::of(&trusting::document(TRUSTED_ROOT)?.bytes).map_err(unusable)?;
        }
        let left_out = [
            (self.no_default_fulcio, PartKind::Authorities),
            (self.no_default_rekor, PartKind::Logs),
            (self.no_default_ctfe, PartKind::CtLogs),
            (self.no_default_tsa, PartKind::TimestampAuthorities),
        ];
        for (_, kind) in left_out.into_iter().filter(|(left_out, _)| *left_out) {
            parts = parts.without(kind);
        }
        let given = [
            ("--fulcio", &self.fulcio, PartKind::Authorities),
            ("--rekor", &self.rekor, PartKind::Logs),
            ("--ctfe", &self.ctfe, PartKind::CtLogs),
            ("--tsa", &self.tsa, PartKind::TimestampAuthorities),
        ];
        for (flag, specs, kind) in given {
            for text in specs {
                add(&mut parts, &Spec::parse(flag, text)?, kind)?;
            }
        }
        let bytes = parts.to_json().map_err(unusable)?;
        finish(context, self.out.as_deref(), &bytes)
    }
}

fn add(parts: &mut TrustRootParts, spec: &Spec, kind: PartKind) -> Result<(), Failure> {
    let is_log = matches!(kind, PartKind::Logs | PartKind::CtLogs);
    spec.only(if is_log {
        &["url", "public-key", "start-time", "end-time", "origin"]
    } else {
        &["url", "certificate-chain", "start-time", "end-time"]
    })?;
    let validity = Validity {
        start: spec.time("start-time")?,
        end: spec.time("end-time")?,
    };
    let url = spec.required("url")?;
    let file = spec.required(if is_log { "public-key" } else { "certificate-chain" })?;
    if is_log {
        spec.required("start-time")?;
    }
    let text = read_text(Path::new(file))?;
    let added = if is_log {
        parts.add_log(kind, url, &text, validity, spec.get("origin"))
    } else {
        parts.add_authority(kind, url, &text, validity)
    };
    added.map_err(|error| Failure::usage(error.code(), format!("{file}: {}", chain(&error))))
}

/// Writes a document where it is wanted.
pub(crate) fn finish(context: &Context, out: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    match out {
        Some(path) => {
            write_file(path, &[bytes, b"\n"].concat())?;
            context.output.note(&format!("wrote {}", path.display()));
        }
        None => context.output.document(bytes),
    }
    Ok(())
}

/// A service on the command line: `key=value,key=value`.
pub(crate) struct Spec {
    flag: &'static str,
    values: BTreeMap<String, String>,
}

impl Spec {
    pub(crate) fn parse(flag: &'static str, text: &str) -> Result<Self, Failure> {
        let malformed = |reason: String| Failure::usage("malformed-service", format!("{flag}: {reason}"));
        let mut values = BTreeMap::new();
        for part in text.split(',') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| malformed(format!("expected key=value, got \"{part}\"")))?;
            if values.insert(key.trim().to_owned(), value.trim().to_owned()).is_some() {
                return Err(malformed(format!("{key} is given twice")));
            }
        }
        Ok(Self { flag, values })
    }

    /// A misspelt end-time would be a service that never ends.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Failure> {
        match self.values.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(self.malformed(&format!("unknown key \"{key}\", expected {}", known.join(", ")))),
            None => Ok(()),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, key: &str) -> Result<&str, Failure> {
        self.get(key)
            .ok_or_else(|| self.malformed(&format!("{key} is missing")))
    }

    pub(crate) fn time(&self, key: &str) -> Result<Option<UnixTime>, Failure> {
        let read = |text: &str| {
            UnixTime::parse(text)
                .map_err(|_| self.malformed(&format!("{key} is to be like 2024-01-01T00:00:00Z, got \"{text}\"")))
        };
        self.get(key).map(read).transpose()
    }

    pub(crate) fn malformed(&self, reason: &str) -> Failure {
        Failure::usage("malformed-service", format!("{}: {reason}", self.flag))
    }
}
