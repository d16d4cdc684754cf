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

    #[command(flatten)]
    apart: Apart,

    /// Where to write it (default: standard output)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The services as cosign took them before: each part a flag of its own, matched by its place.
#[derive(Args, Debug)]
struct Apart {
    /// Before --fulcio: certificates of an authority (PEM file, the root last)
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "fulcio")]
    certificate_chain: Vec<PathBuf>,

    /// Before --fulcio: its address
    #[arg(long, value_name = "URL", hide = true, conflicts_with = "fulcio")]
    fulcio_uri: Vec<String>,

    /// Before --rekor: public key of a transparency log (PEM file), perhaps a comma and the log's origin
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "rekor")]
    rekor_key: Vec<String>,

    /// Before --rekor: its address
    #[arg(long, value_name = "URL", hide = true, conflicts_with = "rekor")]
    rekor_url: Vec<String>,

    /// Before --rekor: since when it counts
    #[arg(long, value_name = "TIME", hide = true, conflicts_with = "rekor")]
    rekor_start_time: Vec<String>,

    /// Before --rekor: until when it counts
    #[arg(long, value_name = "TIME", hide = true, conflicts_with = "rekor")]
    rekor_end_time: Vec<String>,

    /// Before --ctfe: public key of a certificate transparency log (PEM file)
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "ctfe")]
    ctfe_key: Vec<String>,

    /// Before --ctfe: its address
    #[arg(long, value_name = "URL", hide = true, conflicts_with = "ctfe")]
    ctfe_url: Vec<String>,

    /// Before --ctfe: since when it counts
    #[arg(long, value_name = "TIME", hide = true, conflicts_with = "ctfe")]
    ctfe_start_time: Vec<String>,

    /// Before --ctfe: until when it counts
    #[arg(long, value_name = "TIME", hide = true, conflicts_with = "ctfe")]
    ctfe_end_time: Vec<String>,

    /// Before --tsa: certificates of a timestamp authority (PEM file, the root last)
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "tsa")]
    timestamp_certificate_chain: Vec<PathBuf>,

    /// Before --tsa: its address
    #[arg(long, value_name = "URL", hide = true, conflicts_with = "tsa")]
    timestamp_uri: Vec<String>,
}

impl Apart {
    fn add(&self, context: &Context, parts: &mut TrustRootParts) -> Result<(), Failure> {
        let authorities = [
            (
                ("--certificate-chain", &self.certificate_chain),
                ("--fulcio-uri", &self.fulcio_uri),
                ("--fulcio", PartKind::Authorities),
            ),
            (
                ("--timestamp-certificate-chain", &self.timestamp_certificate_chain),
                ("--timestamp-uri", &self.timestamp_uri),
                ("--tsa", PartKind::TimestampAuthorities),
            ),
        ];
        for ((flag, files), (url_flag, urls), (new, kind)) in authorities {
            in_place((flag, files.len()), &[(url_flag, urls)])?;
            old(context, !files.is_empty(), flag, new);
            for (index, file) in files.iter().enumerate() {
                let url = urls.get(index).map_or("", String::as_str);
                parts
                    .add_authority(kind, url, &read_text(file)?, Validity { start: None, end: None })
                    .map_err(|error| Failure::usage(error.code(), format!("{}: {}", file.display(), chain(&error))))?;
            }
        }
        self.add_logs(context, parts)
    }

    fn add_logs(&self, context: &Context, parts: &mut TrustRootParts) -> Result<(), Failure> {
        let logs = [
            (
                ("--rekor-key", &self.rekor_key),
                [
                    ("--rekor-url", &self.rekor_url),
                    ("--rekor-start-time", &self.rekor_start_time),
                    ("--rekor-end-time", &self.rekor_end_time),
                ],
                ("--rekor", PartKind::Logs),
            ),
            (
                ("--ctfe-key", &self.ctfe_key),
                [
                    ("--ctfe-url", &self.ctfe_url),
                    ("--ctfe-start-time", &self.ctfe_start_time),
                    ("--ctfe-end-time", &self.ctfe_end_time),
                ],
                ("--ctfe", PartKind::CtLogs),
            ),
        ];
        for ((flag, keys), rest, (new, kind)) in logs {
            in_place((flag, keys.len()), &rest)?;
            old(context, !keys.is_empty(), flag, new);
            let [(_, urls), (start_flag, starts), (end_flag, ends)] = rest;
            for (index, key) in keys.iter().enumerate() {
                let (file, origin) = match key.split_once(',') {
                    Some((file, origin)) if kind == PartKind::Logs => (file, Some(origin)),
                    _ => (key.as_str(), None),
                };
                let validity = Validity {
                    // As cosign writes it.
                    start: Some(time(start_flag, starts.get(index))?.unwrap_or(UnixTime::EPOCH)),
                    end: time(end_flag, ends.get(index))?,
                };
                let url = urls.get(index).map_or("", String::as_str);
                parts
                    .add_log(kind, url, &read_text(Path::new(file))?, validity, origin)
                    .map_err(|error| Failure::usage(error.code(), format!("{file}: {}", chain(&error))))?;
            }
        }
        Ok(())
    }
}

/// An end that belongs to no log would be a log that never ends.
fn in_place((flag, count): (&str, usize), rest: &[(&str, &Vec<String>)]) -> Result<(), Failure> {
    match rest.iter().find(|(_, values)| values.len() > count) {
        Some((name, values)) => Err(Failure::usage(
            "malformed-service",
            format!("{name} is given {} times, and {flag} {count}", values.len()),
        )),
        None => Ok(()),
    }
}

fn old(context: &Context, given: bool, flag: &str, new: &str) {
    if given {
        context
            .output
            .note(&format!("{flag} has been replaced; use {new} instead"));
    }
}

fn time(flag: &str, text: Option<&String>) -> Result<Option<UnixTime>, Failure> {
    let read = |text: &String| {
        UnixTime::parse(text).map_err(|_| {
            Failure::usage(
                "malformed-service",
                format!("{flag} is to be like 2024-01-01T00:00:00Z, got \"{text}\""),
            )
        })
    };
    text.map(read).transpose()
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
        self.apart.add(context, &mut parts)?;
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
