//! How values are read: as Go's flag packages read them where cosign has the flag.

use std::time::Duration;

use clap::ArgAction;
use clap::builder::{Arg, Command};
use proofmark_types::KeyReference;

/// Reads `key=value`.
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("expected key=value, got \"{text}\"")),
    }
}

/// Reads the annotations of one `-a`: one, or several with commas between them; a value that has a comma stands in
/// quotes (`-a '"list=a,b",env=prod'`), as in cosign.
pub(crate) fn annotation(text: &str) -> Result<Annotations, String> {
    fields(text)?
        .iter()
        .map(|field| key_value(field))
        .collect::<Result<_, _>>()
        .map(Annotations)
}

/// What one `-a` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations(pub(crate) Vec<(String, String)>);

impl Annotations {
    /// All of them, in order.
    pub(crate) fn flatten(given: &[Self]) -> impl Iterator<Item = (String, String)> + '_ {
        given.iter().flat_map(|one| one.0.iter().cloned())
    }
}

/// One line of comma-separated values (RFC 4180): a field in quotes may have commas, and quotes written twice.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut field = String::new();
            let mut remaining = quoted;
            loop {
                let (part, after) = remaining
                    .split_once('"')
                    .ok_or_else(|| format!("a quote is not closed in \"{text}\""))?;
                field.push_str(part);
                match after.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        remaining = more;
                    }
                    None => break (field, after),
                }
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (field, after) = rest.split_at(end);
            (field.to_owned(), after)
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => return Err(format!("something follows a closed quote in \"{text}\"")),
        }
    }
}

/// Reads a key reference; the text is not repeated, for it may be a key itself.
pub(crate) fn key_reference(text: &str) -> Result<KeyReference, String> {
    text.parse::<KeyReference>().map_err(|error| error.to_string())
}

/// Reads a duration as Go writes it (`3m0s`, `1.5h`, `250ms`), or plain seconds.
pub(crate) fn go_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a duration such as 90s, 3m0s or 1h, got \"{text}\"");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(u64::from(seconds)));
    }
    proofmark_types::go_duration(text, usize::MAX).ok_or_else(expected)
}

/// Go's spellings of a truth value.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("expected true or false, got \"{text}\"")),
    }
}

/// Every switch of every verb takes `--flag`, `--flag=true` and `--flag=false`.
pub(crate) fn with_go_switches(command: Command) -> Command {
    let switch = |arg: Arg| {
        if !matches!(arg.get_action(), ArgAction::SetTrue) || arg.get_id() == "help" || arg.get_id() == "version" {
            return arg;
        }
        let absent = if arg.get_default_values().is_empty() {
            "false"
        } else {
            "true"
        };
        arg.action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value(absent)
            .hide_default_value(true)
            .value_name("BOOL")
            .value_parser(truth)
    };
    command.mut_args(switch).mut_subcommands(with_go_switches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_cosigns() {
        let read = |text: &str| annotation(text).map(|read| read.0);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read("env=prod"), Ok(vec![pair("env", "prod")]));
        assert_eq!(read("a=1,b=2=3"), Ok(vec![pair("a", "1"), pair("b", "2=3")]));
        assert_eq!(
            read(r#""list=x,y ""z""",b="#),
            Ok(vec![pair("list", r#"x,y "z""#), pair("b", "")])
        );
        for wrong in ["", "env", "=1", "a=1,b", r#""a=1"#, r#""a=1"b"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(go_duration("3m0s"), Ok(Duration::from_secs(180)));
        assert_eq!(go_duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(go_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(go_duration("90"), Ok(Duration::from_secs(90)));
        for wrong in ["", "m", "3x", "-3s", "1.2.3s", "3m0"] {
            assert!(go_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn truth_is_gos() {
        assert_eq!((truth("T"), truth("0")), (Ok(true), Ok(false)));
        assert!(truth("yes").is_err());
    }
}
