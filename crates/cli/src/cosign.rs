//! The name `cosign`: invoked through a link of that name, the program takes cosign's command line and answers in
//! cosign's shapes.
//!
//! What differs from our own command line, all of it here or asked of [`Manner`]:
//!
//! - arguments as Go reads them: `-key` for `--key` (with cosign's warning), a value that is empty is none, of a flag given
//!   twice the last counts ([`arguments`]);
//! - `verify` and its like print cosign's JSON on standard output and nothing else; verbs that print nothing in cosign say on
//!   standard error what they did (`Context::done`);
//! - signing takes the services of the trusted instance unless told otherwise;
//! - exit codes that cosign does not have become 1, and so do all of them but for the verbs that verify images
//!   ([`Manner::exit`]).

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Arg, ArgAction, Command};

use crate::failure::Exit;
use crate::output::Output;

/// How long cosign's commands may take unless `--timeout` says otherwise.
pub(crate) const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(180);

/// Whose command line this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Our own.
    #[default]
    Proofmark,
    /// That of cosign 3.1: its defaults and its output.
    Cosign,
}

impl Manner {
    /// By the name that the program was called by.
    pub(crate) fn of(program: Option<&OsStr>) -> Self {
        let stem = program.map(Path::new).and_then(Path::file_stem);
        match stem {
            Some(stem) if stem.eq_ignore_ascii_case("cosign") => Self::Cosign,
            _ => Self::Proofmark,
        }
    }

    /// The program's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proofmark => "proofmark",
            Self::Cosign => "cosign",
        }
    }

    pub(crate) fn is_cosign(self) -> bool {
        self == Self::Cosign
    }

    /// The code that the process ends with: cosign has 10 to 13 where the signatures of images are verified, and 1 for all
    /// else.
    pub(crate) fn exit(self, exit: Exit, verb: Verb) -> u8 {
        match (self, verb, exit) {
            (Self::Proofmark, _, exit)
            | (
                Self::Cosign,
                Verb::VerifiesSignatures,
                exit @ (Exit::NoSignature | Exit::NotFound | Exit::NoneAcceptable | Exit::NoCertificate),
            ) => exit as u8,
            (Self::Cosign, ..) => 1,
        }
    }
}

/// What a verb does, as far as cosign's exit codes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `verify`, `dockerfile verify`, `manifest verify`.
    VerifiesSignatures,
    /// Everything else, `verify-attestation` and `verify-blob` among it.
    Other,
}

/// cosign's command line as ours: `root` is ours, with cosign's verbs in it.
pub(crate) fn arguments(given: Vec<OsString>, root: &Command, output: Output) -> Vec<OsString> {
    let mut read = Vec::new();
    let mut given = given.into_iter();
    read.extend(given.next());
    let mut command = root;
    let mut verb: Vec<String> = Vec::new();
    let mut given = given.peekable();
    let mut no_more_flags = false;
    while let Some(word) = given.next() {
        let Some(text) = word
            .to_str()
            .filter(|text| !no_more_flags && text.starts_with('-') && text.len() > 1)
        else {
            if let Some(inner) = word.to_str().and_then(|name| command.find_subcommand(name)) {
                command = inner;
                verb.extend(word.to_str().map(str::to_owned));
            }
            read.push(word);
            continue;
        };
        if text == "--" {
            no_more_flags = true;
            read.push(word);
            continue;
        }
        let text = renamed(&verb, &posix(text, output));
        if text == "version" {
            read.push(text.into());
            continue;
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        // The flags of the program may stand behind its verbs.
        let known = flag(command, &name).or_else(|| flag(root, &name));
        let takes_value = known.is_some_and(takes_value);
        let value = match value {
            None if takes_value => given.next().and_then(|next| next.into_string().ok()),
            value => value,
        };
        match value {
            // Go's flags are texts that are empty until given.
            Some(value) if value.is_empty() && takes_value => {
                output.warn(&format!("{name} is empty and counts as not given, as in cosign"));
            }
            Some(value) => read.push(format!("{name}={value}").into()),
            None => read.push(name.into()),
        }
    }
    read
}

/// Flags with one dash, as cosign still takes them (cosign, `main.go`).
fn posix(text: &str, output: Output) -> String {
    let letters = text.trim_start_matches('-').chars().count();
    if text.starts_with("--") {
        if letters == 1 {
            let new = text[1..].to_owned();
            output.warn(&format!("the flag {text} is deprecated; please use the flag {new}"));
            return new;
        }
        return text.to_owned();
    }
    if letters == 1 {
        return text.to_owned();
    }
    let new = format!("-{text}");
    if new == "--version" {
        output.warn("the -version flag is deprecated; please use the version subcommand instead");
        return "version".to_owned();
    }
    output.warn(&format!(
        "the {text} flag is deprecated; please use the {new} flag instead"
    ));
    new
}

/// Flags of cosign whose short or old name is another flag's here.
fn renamed(verb: &[String], text: &str) -> String {
    let (name, value) = text
        .split_once('=')
        .map_or((text, ""), |(name, _)| (name, &text[name.len()..]));
    let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
    let new = match (verb.as_slice(), name) {
        (["import-key-pair"], "-o") => "--output-key-prefix",
        (["sign-blob"], "--output") => "--output-signature",
        _ => name,
    };
    format!("{new}{value}")
}

fn flag<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| match name.strip_prefix("--") {
        Some(long) => {
            arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&long))
        }
        None => {
            let short = name.strip_prefix('-').and_then(|rest| rest.chars().next());
            short.is_some() && arg.get_short() == short
        }
    })
}

/// Whether the next word is its value.
fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn read(line: &str) -> String {
        let command = crate::args::with_go_switches(crate::command(Manner::Cosign, None));
        let words = line.split(' ').map(|word| OsString::from(word.replace('_', "")));
        arguments(words.collect(), &command, Output::new(Format::Text, true))
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_name_decides() {
        for (name, manner) in [
            ("cosign", Manner::Cosign),
            ("/usr/local/bin/cosign", Manner::Cosign),
            ("COSIGN.exe", Manner::Cosign),
            ("proofmark", Manner::Proofmark),
            ("cosign-linux-amd64", Manner::Proofmark),
        ] {
            assert_eq!(Manner::of(Some(OsStr::new(name))), manner, "{name}");
        }
    }

    #[test]
    fn go_flags() {
        assert_eq!(
            read("cosign verify -key cosign.pub -a a=b image"),
            "cosign verify --key=cosign.pub -a=a=b image"
        );
        assert_eq!(read("cosign verify --o text image"), "cosign verify -o=text image");
        // An underscore alone stands for a word that is empty.
        assert_eq!(
            read("cosign verify --key _ --certificate-identity= --check-claims=false image"),
            "cosign verify --check-claims=false image"
        );
        assert_eq!(
            read("cosign verify --insecure-ignore-tlog image"),
            "cosign verify --insecure-ignore-tlog image"
        );
        assert_eq!(read("cosign -version"), "cosign version");
        assert_eq!(read("cosign verify -- -key"), "cosign verify -- -key");
    }
}
