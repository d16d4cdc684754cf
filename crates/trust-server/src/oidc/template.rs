//! The part of Go's text/template that Fulcio's configuration uses: `{{ .name }}`, `{{ (index . "name") }}`,
//! `{{ if eq .name "text" }}…{{ else }}…{{ end }}`. Anything else is refused when the configuration is read.
//!
//! A text without braces is the name of a claim, as in Fulcio. A name that is missing is an error, never empty.

use std::collections::BTreeMap;

use thiserror::Error;

/// The longest template: Fulcio's longest has some 150 bytes.
const MAX_TEMPLATE_BYTES: usize = 2048;
/// How deep conditions may stand in each other.
const MAX_DEPTH: usize = 8;

/// Why a template is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// Longer than any that is legitimate.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// `{{` without `}}`.
    #[error("an action is not closed")]
    Open,
    /// An action outside of the part that is supported.
    #[error("the action \"{action}\" is not supported")]
    Action {
        /// The action.
        action: String,
    },
    /// `else` or `end` without `if`, an `if` without `end`, or too many in each other.
    #[error("if, else and end do not match")]
    Nesting,
}

/// A template that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
    If {
        condition: Condition,
        then: Vec<Self>,
        otherwise: Vec<Self>,
    },
}

#[derive(Debug, PartialEq, Eq)]
struct Condition {
    name: String,
    /// What it must equal; without, it must not be empty.
    equals: Option<String>,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::TooLong {
                limit: MAX_TEMPLATE_BYTES,
            });
        }
        if !text.contains("{{") {
            return Ok(Self(vec![Part::Name(text.to_owned())]));
        }
        let mut rest = text;
        let (parts, end) = block(&mut rest, 0)?;
        match end {
            Stop::Text => Ok(Self(parts)),
            Stop::Else | Stop::End => Err(TemplateError::Nesting),
        }
    }

    /// The text, or the name that is missing.
    pub(crate) fn evaluate(&self, values: &BTreeMap<String, String>) -> Result<String, String> {
        let mut out = String::new();
        evaluate(&self.0, values, &mut out)?;
        Ok(out)
    }
}

enum Stop {
    Text,
    Else,
    End,
}

fn block(rest: &mut &str, depth: usize) -> Result<(Vec<Part>, Stop), TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::Nesting);
    }
    let mut parts = Vec::new();
    while let Some((before, after)) = rest.split_once("{{") {
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let (action, after) = after.split_once("}}").ok_or(TemplateError::Open)?;
        *rest = after;
        match action.trim() {
            "else" => return Ok((parts, Stop::Else)),
            "end" => return Ok((parts, Stop::End)),
            action => parts.push(match action.strip_prefix("if ") {
                Some(test) => conditional(condition(test)?, rest, depth)?,
                None => Part::Name(name(action)?),
            }),
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text((*rest).to_owned()));
        *rest = "";
    }
    Ok((parts, Stop::Text))
}

fn conditional(condition: Condition, rest: &mut &str, depth: usize) -> Result<Part, TemplateError> {
    let (then, end) = block(rest, depth + 1)?;
    let otherwise = match end {
        Stop::End => Vec::new(),
        Stop::Else => match block(rest, depth + 1)? {
            (parts, Stop::End) => parts,
            (_, Stop::Else | Stop::Text) => return Err(TemplateError::Nesting),
        },
        Stop::Text => return Err(TemplateError::Nesting),
    };
    Ok(Part::If {
        condition,
        then,
        otherwise,
    })
}

fn condition(test: &str) -> Result<Condition, TemplateError> {
    let unsupported = || TemplateError::Action {
        action: format!("if {test}"),
    };
    let Some(arguments) = test.trim().strip_prefix("eq ") else {
        return Ok(Condition {
            name: name(test.trim())?,
            equals: None,
        });
    };
    // The text is what the last pair of quotes holds; the name before it may have a pair of its own.
    let quoted = arguments.trim().strip_suffix('"').ok_or_else(unsupported)?;
    let (left, text) = quoted
        .rsplit_once('"')
        .filter(|(_, text)| !text.contains('\\'))
        .ok_or_else(unsupported)?;
    Ok(Condition {
        name: name(left.trim())?,
        equals: Some(text.to_owned()),
    })
}

/// `.name` or `(index . "name")`, with or without the parentheses.
fn name(action: &str) -> Result<String, TemplateError> {
    let unsupported = || TemplateError::Action {
        action: action.to_owned(),
    };
    if let Some(field) = action.strip_prefix('.') {
        let plain = !field.is_empty() && field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return if plain {
            Ok(field.to_owned())
        } else {
            Err(unsupported())
        };
    }
    let inner = action
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(action);
    inner
        .trim()
        .strip_prefix("index . \"")
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|key| !key.is_empty() && !key.contains(['"', '\\']))
        .map(str::to_owned)
        .ok_or_else(unsupported)
}

fn evaluate(parts: &[Part], values: &BTreeMap<String, String>, out: &mut String) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Name(name) => out.push_str(values.get(name).ok_or_else(|| name.clone())?),
            Part::If {
                condition,
                then,
                otherwise,
            } => {
                let value = values.get(&condition.name).ok_or_else(|| condition.name.clone())?;
                let holds = condition
                    .equals
                    .as_ref()
                    .map_or(!value.is_empty(), |text| text == value);
                evaluate(if holds { then } else { otherwise }, values, out)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(template: &str) -> Result<String, String> {
        let pairs = [("a", "1"), ("ref_type", "tag"), ("oidc.x/y", "true"), ("none", "")];
        let values = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
        Template::parse(template).unwrap().evaluate(&values)
    }

    #[test]
    fn what_the_configuration_of_fulcio_uses_works() {
        assert_eq!(run("a").unwrap(), "1");
        assert_eq!(run("x/{{ .a }}/{{.a}}").unwrap(), "x/1/1");
        assert_eq!(
            run("refs/{{if eq .ref_type \"branch\"}}heads/{{ else }}tags/{{end}}{{ .a }}").unwrap(),
            "refs/tags/1"
        );
        assert_eq!(run("{{(index . \"oidc.x/y\")}}").unwrap(), "true");
        assert_eq!(
            run("{{if eq (index . \"oidc.x/y\") \"true\"}}ssh{{ else }}\"\"{{end}}").unwrap(),
            "ssh"
        );
        assert_eq!(run("{{if .none}}x{{else}}y{{end}}").unwrap(), "y");
        assert_eq!(run("{{if .a}}<b>&{{end}}").unwrap(), "<b>&");
    }

    #[test]
    fn a_missing_name_is_an_error() {
        assert_eq!(run("b").unwrap_err(), "b");
        assert_eq!(run("{{ .b }}").unwrap_err(), "b");
        assert_eq!(run("{{if eq .b \"\"}}x{{end}}").unwrap_err(), "b");
    }

    #[test]
    fn everything_else_is_refused_when_it_is_read() {
        let reason = |text: &str| Template::parse(text).unwrap_err();
        assert_eq!(reason("{{ .a"), TemplateError::Open);
        for action in [
            "printf \"%s\" .a",
            ".a.b",
            ". ",
            "range .a",
            ".a | html",
            "- .a",
            "(index .x \"a\")",
            "$x := .a",
        ] {
            assert!(
                matches!(reason(&format!("{{{{{action}}}}}")), TemplateError::Action { .. }),
                "{action}"
            );
        }
        assert!(matches!(
            reason("{{if eq .a .b}}x{{end}}"),
            TemplateError::Action { .. }
        ));
        for text in [
            "{{if .a}}x",
            "{{end}}{{.a}}",
            "{{.a}}{{else}}",
            "{{if .a}}{{else}}{{else}}{{end}}",
        ] {
            assert_eq!(reason(text), TemplateError::Nesting, "{text}");
        }
        assert_eq!(reason(&"{{if .a}}".repeat(20)), TemplateError::Nesting);
        assert!(matches!(reason(&"{".repeat(3000)), TemplateError::TooLong { .. }));
    }
}
