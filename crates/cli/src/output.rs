//! The one place that prints and exits. Results go to standard output, in a form that a script can read; progress and
//! diagnostics go to standard error, and bars only to a terminal.
#![expect(clippy::print_stderr, reason = "this is the crate's one door to the terminal")]

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead as _, IsTerminal, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cosign::{self, Manner};
use crate::failure::{Exit, Failure};

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person.
    #[default]
    Text,
    /// One JSON document on standard output, also for failures.
    Json,
}

/// Where a verb's words go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// The same, results as JSON.
    pub(crate) fn as_json(self) -> Self {
        Self {
            format: Format::Json,
            ..self
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// The result of a verb: `text` for a person, `value` for a script.
    pub(crate) fn result(self, text: &str, value: &impl Serialize) {
        match self.format {
            Format::Text => line(&harmless(text.trim_end())),
            Format::Json => line(&pretty(value)),
        }
    }

    /// A document that is itself the result, such as an SBOM: written as it is.
    pub(crate) fn document(self, bytes: &[u8]) {
        emit(&[bytes, b"\n"].concat());
    }

    /// Bytes that are themselves the result, with nothing added.
    pub(crate) fn bytes(self, bytes: &[u8]) {
        emit(bytes);
    }

    /// What is going on, for a person.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            eprintln!("{}", harmless(text));
        }
    }

    /// Something that the person should know although it stops nothing; not silenced by `--quiet`.
    pub(crate) fn warn(self, text: &str) {
        eprintln!("warning: {}", harmless(text));
    }

    /// A spinner on a terminal, nothing elsewhere; gone when it is dropped.
    pub(crate) fn spinner(self, text: &str) -> Spinner {
        if self.quiet || !std::io::stderr().is_terminal() {
            return Spinner(None);
        }
        let bar = ProgressBar::new_spinner().with_message(harmless(text).into_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Spinner(Some(bar))
    }

    /// A failure for a script.
    pub(crate) fn failed(self, failure: &Failure) {
        line(&pretty(&serde_json::json!({ "ok": false, "error": failure })));
    }

    /// The end of the process, and what it says last.
    pub(crate) fn finish(self, result: Result<(), Failure>, manner: Manner, verb: cosign::Verb) -> ExitCode {
        match result {
            Ok(()) if UNWRITTEN.load(Ordering::Relaxed) => ExitCode::from(Exit::Undecided as u8),
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                if self.is_json() && !failure.told {
                    self.failed(&failure);
                }
                eprintln!("{}", harmless(&failure.to_string()));
                ExitCode::from(manner.exit(failure.exit, verb))
            }
        }
    }
}

/// A running spinner.
pub(crate) struct Spinner(Option<ProgressBar>);

impl Spinner {
    pub(crate) fn say(&self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(harmless(text).into_owned());
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Asks for a password on the terminal, without showing it where the terminal can do that.
pub(crate) fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks a person; anything but a yes is a no, and none is that there is nobody to ask.
///
/// With `piped` the answer is a line of standard input, whoever wrote it, and only cosign's `y` or `Y` (its
/// `internal/ui/prompt.go`).
pub(crate) fn confirm(question: &str, piped: bool) -> Option<bool> {
    if !piped && !stdin_is_terminal() {
        return None;
    }
    eprint!("{}", harmless(question));
    let mut answer = String::new();
    let read = std::io::stdin().lock().take(MAX_ANSWER_BYTES).read_line(&mut answer);
    let yes = if piped {
        matches!(answer.trim_matches('\n'), "y" | "Y")
    } else {
        matches!(answer.trim(), "y" | "Y" | "yes")
    };
    Some(read.is_ok() && yes)
}

/// The longest answer read.
const MAX_ANSWER_BYTES: u64 = 1024;

/// Text for a person. There are words in it of registries, certificates and documents; what a terminal obeys in them (an
/// erased line, a moved cursor, text from right to left) could show a refusal as its opposite.
fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    match text.contains(obeyed) {
        true => text.replace(obeyed, "\u{fffd}").into(),
        false => text.into(),
    }
}

fn line(text: &str) {
    emit(format!("{text}\n").as_bytes());
}

/// Where results go instead of standard output, once `--output-file` said so.
static RESULTS: OnceLock<Mutex<File>> = OnceLock::new();

/// A result that did not get into its file: the run did not end well then.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Sends results to a file from now on. It is emptied at once: what an earlier run left is not this run's result.
pub(crate) fn send_results_to(path: &Path) -> Result<(), Failure> {
    let file = File::create(path)
        .map_err(|error| Failure::usage("file-unwritable", format!("cannot write {}: {error}", path.display())))?;
    let _ = RESULTS.set(Mutex::new(file));
    Ok(())
}

fn emit(bytes: &[u8]) {
    match RESULTS.get() {
        Some(file) => {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = file.write_all(bytes) {
                eprintln!("warning: the result could not be written: {error}");
                UNWRITTEN.store(true, Ordering::Relaxed);
            }
        }
        None => {
            // A reader that went away (`| head`) is no error of ours.
            let _ = std::io::stdout().lock().write_all(bytes);
        }
    }
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// How many there are, in words: `1 finding`, `2 findings`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_is_shown() {
        // CWE-150: "error: ..", erased, and another text in its place; as escapes of 7 and of 8 bits, and by turning round.
        for told in [
            "\u{1b}[2K\rVerified OK",
            "\u{9b}2KVerified OK",
            "\u{8}\u{8}",
            "\u{202e}KO",
            "\u{2066}x",
        ] {
            let shown = harmless(told);
            assert!(
                shown.starts_with('\u{fffd}') && !shown.contains(['\u{1b}', '\u{9b}', '\r', '\u{202e}']),
                "{shown:?}"
            );
        }
        let plain = "Grüße\n\tan alle";
        assert!(matches!(harmless(plain), Cow::Borrowed(same) if same == plain));
    }
}
