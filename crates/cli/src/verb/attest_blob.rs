//! `attest-blob`: state something about a file, signed.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use proofmark_evidence::bundle::{Bundle, Content};
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::encoding::pem_encode;
use proofmark_evidence::legacy::{Detached, DetachedContent, LegacyAttestation};
use proofmark_evidence::predicate::{COSIGN_CUSTOM, PredicateType};
use proofmark_evidence::statement::{Statement, StatementVersion};
use proofmark_types::{Digest, DigestAlgorithm};
use serde_json::{Value, json};

use crate::args::SigningArgs;
use crate::blobs::{Blob, Need};
use crate::context::{Context, read_file, write_file};
use crate::failure::{Failure, chain};
use crate::signing::{Hand, sign_failure};
use crate::verb::sign_blob::{Outputs, say_what_is_lost, timestamp_json};
use crate::verb::verify_attestation::predicate_type;

/// The largest predicate read from standard input, in bytes; of files there is the same limit.
const MAX_PREDICATE_BYTES: u64 = 32 * 1024 * 1024;

/// State something about a file, signed
#[derive(Args, Debug)]
pub(crate) struct AttestBlob {
    /// The file; - for standard input
    #[arg(value_name = "FILE", required_unless_present = "statement")]
    blob: Option<String>,

    /// What is stated (file, mostly JSON); - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "statement")]
    predicate: Option<PathBuf>,

    /// A whole in-toto statement (JSON file), signed as it stands; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["predicate", "hash"])]
    statement: Option<PathBuf>,

    /// Of which type it is: slsaprovenance1, spdxjson, cyclonedx, vuln, openvex, custom, … or a URI
    #[arg(long = "type", default_value = "custom", value_name = "TYPE")]
    kind: String,

    /// The file's SHA-256 in hex, where the file is not at hand
    #[arg(long, value_name = "HEX")]
    hash: Option<String>,

    #[command(flatten)]
    outputs: Outputs,

    /// Write the statement to this file
    #[arg(long, value_name = "FILE")]
    output_attestation: Option<PathBuf>,

    /// Write the RFC 3161 timestamp to this file
    #[arg(long, value_name = "FILE")]
    rfc3161_timestamp_bundle: Option<PathBuf>,

    /// How it is logged (dsse, intoto); the log's own kind is taken, this changes nothing
    #[arg(long, value_name = "KIND", value_parser = ["dsse", "intoto"], default_value = "dsse")]
    rekor_entry_type: String,

    #[command(flatten)]
    signing: SigningArgs,
}

impl AttestBlob {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let names: Vec<&str> = self.blob.iter().map(String::as_str).collect();
        self.outputs
            .check(&names, &[&self.output_attestation, &self.rfc3161_timestamp_bundle])?;
        if self.rekor_entry_type == "intoto" {
            context
                .output
                .note("note: --rekor-entry-type intoto: logs that are in use take dsse, which is what is written");
        }
        let payload = match &self.statement {
            Some(path) => self.given_statement(context, path)?,
            None => {
                let mut statement = self.statement()?;
                // sigstore-python reads v1 alone, and whoever reads bundles reads v1.
                if !self.outputs.is_legacy(&self.signing) {
                    statement.version = StatementVersion::V1;
                }
                statement.to_json()
            }
        };
        // What is written is parsed as a reader will: a statement that we could not read back is not signed.
        let statement = Statement::parse(&payload).map_err(|error| Failure::usage(error.code(), chain(&error)))?;
        let hand = Hand::from_flags(context, &self.signing).await?;
        let made = if self.outputs.is_legacy(&self.signing) {
            say_what_is_lost(context, hand.signer(), self.rfc3161_timestamp_bundle.is_some());
            let signed = hand.signer().sign_written_legacy_attestation(payload.clone()).await;
            Made::Legacy(signed.map_err(sign_failure)?)
        } else {
            let signed = hand.signer().sign_written_statement(payload.clone()).await;
            Made::Bundle(signed.map_err(sign_failure)?)
        };
        let written = self.write(context, &made, &payload)?;
        let envelope = made.envelope_json();
        let text = if self.outputs.prints_signature(&self.signing) {
            String::from_utf8_lossy(&envelope).into_owned() + "\n"
        } else {
            String::new()
        };
        let value = json!({
            "subjects": statement.subjects, "predicateType": statement.predicate_type.as_str(),
            "envelope": serde_json::from_slice::<Value>(&envelope).unwrap_or_default(), "written": written,
        });
        if context.output.is_json() {
            context.output.result("", &value);
        } else {
            context.output.bytes(text.as_bytes());
        }
        Ok(())
    }

    /// The statement of `--predicate` about the file.
    fn statement(&self) -> Result<Statement, Failure> {
        let name = self.blob.as_deref().unwrap_or_default();
        let path = self.predicate.as_deref().unwrap_or_else(|| Path::new(""));
        let kind = predicate_type(&self.kind)?;
        if name == "-" && is_stdin(path) && self.hash.is_none() {
            return Err(Failure::usage(
                "standard-input-twice",
                "the file and the predicate are both to be read from standard input",
            ));
        }
        let predicate = predicate(&self.kind, &kind, &read(path)?, &path.display().to_string())?;
        let digest = match &self.hash {
            Some(hex) => Digest::from_hex(DigestAlgorithm::Sha256, &hex.to_ascii_lowercase())
                .map_err(|error| Failure::usage("malformed-digest", format!("--hash: {}", chain(&error))))?,
            None => Blob::read(name, Need::default())?.digest(),
        };
        let base = Path::new(name)
            .file_name()
            .map_or_else(|| name.into(), |base| base.to_string_lossy());
        Ok(Statement::attestation(&base, &digest, kind, predicate))
    }

    /// The statement of `--statement`, byte by byte.
    fn given_statement(&self, context: &Context, path: &Path) -> Result<Vec<u8>, Failure> {
        let payload = read(path)?;
        let statement = Statement::parse(&payload)
            .map_err(|error| Failure::usage(error.code(), format!("{}: {}", path.display(), chain(&error))))?;
        let Some(name) = self.blob.as_deref().filter(|name| Path::new(name).exists()) else {
            return Ok(payload);
        };
        let need = Need {
            hashes: vec![DigestAlgorithm::Sha384, DigestAlgorithm::Sha512],
            bytes: false,
        };
        let blob = Blob::read(name, need)?;
        let named = statement
            .subjects
            .iter()
            .flat_map(|subject| &subject.digest)
            .any(|(algorithm, hex)| {
                DigestAlgorithm::parse(algorithm)
                    .ok()
                    .and_then(|algorithm| blob.artifact().digest(algorithm))
                    .is_some_and(|digest| digest.hex() == *hex)
            });
        if !named {
            context.output.warn(&format!(
                "the statement is not about {name}: none of its subjects has that file's digest {}",
                blob.digest()
            ));
        }
        Ok(payload)
    }

    /// Writes the files that are asked for; returns their names.
    fn write(&self, context: &Context, made: &Made, payload: &[u8]) -> Result<Value, Failure> {
        let mut written = serde_json::Map::new();
        let mut put = |what: &str, path: &Path, bytes: &[u8]| {
            write_file(path, bytes)?;
            context.output.note(&format!("wrote the {what} to {}", path.display()));
            written.insert(what.to_owned(), json!(path));
            Ok::<(), Failure>(())
        };
        if let Some(path) = &self.outputs.bundle {
            put("bundle", path, &made.bundle_json())?;
        }
        if let Some(path) = &self.outputs.output_signature {
            put("signature", path, &made.envelope_json())?;
        }
        if let Some(path) = &self.output_attestation {
            put("attestation", path, payload)?;
        }
        if let Some(path) = &self.outputs.output_certificate {
            match made.certificate() {
                Some(der) => put("certificate", path, pem_encode("CERTIFICATE", der).as_bytes())?,
                None => context
                    .output
                    .warn("--output-certificate: a signature by a key has no certificate, and none is written"),
            }
        }
        if let Some(path) = &self.rfc3161_timestamp_bundle {
            match made.timestamp() {
                Some(der) => put("timestamp", path, &timestamp_json(der))?,
                None => context
                    .output
                    .warn("--rfc3161-timestamp-bundle: no timestamp authority was asked, and nothing is written"),
            }
        }
        Ok(Value::Object(written))
    }
}

/// What was signed, in either format.
enum Made {
    Bundle(Bundle),
    Legacy(LegacyAttestation),
}

impl Made {
    fn bundle_json(&self) -> Vec<u8> {
        match self {
            Self::Bundle(bundle) => bundle.to_json(),
            Self::Legacy(signed) => Detached {
                content: DetachedContent::Attestation {
                    envelope: signed.envelope.clone(),
                    raw: signed.raw.clone(),
                },
                certificate: signed.certificate.clone(),
                chain: signed.chain.clone(),
                log_bundle: signed.log_bundle.clone(),
                timestamp: signed.timestamp.clone(),
            }
            .to_bundle_json(),
        }
    }

    fn envelope_json(&self) -> Vec<u8> {
        match self {
            Self::Bundle(Bundle {
                content: Content::Dsse(envelope),
                ..
            }) => Envelope::to_json(envelope),
            Self::Bundle(_) => Vec::new(),
            Self::Legacy(signed) => signed.raw.clone(),
        }
    }

    fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Bundle(bundle) => bundle.material.key.leaf(),
            Self::Legacy(signed) => signed.certificate.as_deref(),
        }
    }

    fn timestamp(&self) -> Option<&[u8]> {
        match self {
            Self::Bundle(bundle) => bundle.material.timestamps.first().map(Vec::as_slice),
            Self::Legacy(signed) => signed.timestamp.as_deref(),
        }
    }
}

/// The predicate as cosign puts it into a statement: a `custom` one as text in `Data` with the time, SPDX tag-value
/// (`--type spdx`) as one text, everything else as the JSON object that it is.
pub(crate) fn predicate(name: &str, kind: &PredicateType, bytes: &[u8], file: &str) -> Result<Value, Failure> {
    let text = || {
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| Failure::usage("file-not-text", format!("{file} is not UTF-8 text")))
    };
    if kind.as_str() == COSIGN_CUSTOM {
        return Ok(json!({ "Data": text()?, "Timestamp": Context::document_time()?.to_string() }));
    }
    if name == "spdx" {
        return text().map(Value::String);
    }
    match serde_json::from_slice(bytes) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(Failure::usage(
            "predicate-not-object",
            format!("{file} is not a JSON object"),
        )),
        Err(error) => Err(Failure::usage(
            "predicate-not-json",
            format!("{file} is not JSON: {error}"),
        )),
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if !is_stdin(path) {
        return read_file(path);
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_PREDICATE_BYTES + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| Failure::usage("file-unreadable", format!("cannot read standard input: {error}")))?;
    if bytes.len() as u64 > MAX_PREDICATE_BYTES {
        return Err(Failure::usage(
            "file-too-large",
            format!("standard input has more than {MAX_PREDICATE_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}
