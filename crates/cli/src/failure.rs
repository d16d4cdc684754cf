//! How a command ends when it does not end well: one exit code, one stable word, one text for a person.
//!
//! The codes are part of the interface (design, "The command line"); 10 to 13 are cosign's own.

use std::fmt;

use serde::Serialize;

/// The exit codes of every verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Something could not be reached or went wrong inside: nothing is known, so nothing passes.
    Undecided = 1,
    /// The command line, or a file that it names, is not understood.
    Usage = 2,
    /// A gate or a policy said no.
    Refused = 3,
    /// The image has no signature.
    NoSignature = 10,
    /// The image, or its tag, is not in the registry.
    NotFound = 11,
    /// There are signatures, and none is acceptable.
    NoneAcceptable = 12,
    /// A certificate was wanted and the signature has none.
    NoCertificate = 13,
    /// There is no attestation of the type asked for, or none acceptable.
    NoAttestation = 14,
    /// The tag points elsewhere than it did.
    TagMoved = 15,
    /// The registry refused the credentials, or wants some.
    Credentials = 20,
}

/// A command's failure. What it looked at and found belongs in `details`, one line each.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    #[serde(serialize_with = "exit_number")]
    pub(crate) exit: Exit,
    /// Stable, kebab-case; documented in `docs/exit-codes.md`.
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// Whether the verb's own result, which is on standard output, says all this.
    #[serde(skip)]
    pub(crate) told: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl fmt::Display) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.to_string(),
            details: Vec::new(),
            hint: None,
            told: false,
        }
    }

    /// A mistake on the command line or in a file that it names.
    pub(crate) fn usage(code: &str, message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, code, message)
    }

    pub(crate) fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    pub(crate) fn with_details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A message of several lines shows an excerpt of a file after the first.
        let (first, rest) = self.message.split_once('\n').unwrap_or((&self.message, ""));
        write!(f, "error: {} [{}]", first.trim_end(), self.code)?;
        for line in rest.trim_end().lines() {
            write!(f, "\n{line}")?;
        }
        for detail in &self.details {
            // A detail is one thing: a line end in a foreign word must not begin what reads as another.
            write!(f, "\n  {}", detail.replace('\n', "\n    "))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Internal errors carry their causes in one line, outermost first.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Undecided, "internal", format!("{error:#}"))
    }
}

/// The text of an error and of all its causes, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn exit_number<S: serde::Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(*exit as u8)
}
