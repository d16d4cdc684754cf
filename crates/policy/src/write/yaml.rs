//! YAML as people read it, of plain values. Every text that could be anything else is quoted; texts of several lines, as
//! keys are, stand as blocks.

use std::fmt::Write as _;

use serde_json::Value;

/// A document, without the line of dashes.
#[must_use]
pub fn write_yaml(value: &Value) -> String {
    let mut text = String::new();
    node(value, 0, false, &mut text);
    text
}

/// `inline`: behind `- `, where the first field stands on the same line.
fn node(value: &Value, depth: usize, inline: bool, text: &mut String) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (position, (name, value)) in fields.iter().enumerate() {
                if position > 0 || !inline {
                    text.push_str(&pad);
                }
                let _ = write!(text, "{}:", scalar(&Value::String(name.clone())));
                below(value, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(text, "{pad}-");
                match item {
                    Value::Object(fields) if !fields.is_empty() => {
                        text.push(' ');
                        node(item, depth + 1, true, text);
                    }
                    other => below(other, depth, text),
                }
            }
        }
        other => {
            let _ = writeln!(text, "{pad}{}", scalar(other));
        }
    }
}

fn below(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            node(value, depth + 1, false, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            node(value, depth + 1, false, text);
        }
        Value::String(lines) if is_block(lines) => {
            text.push_str(" |\n");
            for line in lines.lines() {
                let _ = writeln!(text, "{}{line}", "  ".repeat(depth + 1));
            }
        }
        other => {
            let _ = writeln!(text, " {}", scalar(other));
        }
    }
}

/// Whether a text comes back the same from a block: it ends in one line end, begins with none and no space, and has
/// nothing in it that YAML would take for something else.
fn is_block(text: &str) -> bool {
    let plain = |c: char| {
        c == '\n' || !c.is_control() && c != '\u{feff}' && c != '\u{2028}' && c != '\u{2029}' && c != '\u{85}'
    };
    text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n', '\t'])
        && text.lines().all(|line| !line.trim().is_empty())
        && text.chars().all(plain)
}

/// A word stands as it is; everything else in quotes, which JSON and YAML share.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else {
        return value.to_string();
    };
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    const KEYWORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && !KEYWORDS.contains(&text.to_ascii_lowercase().as_str()) {
        text.clone()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn back(value: &Value) -> Value {
        serde_saphyr::from_str(&write_yaml(value)).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in [
            json!({"a": [], "b": {}, "c": [[1, 2], [{"d": null}]], "e": "x: y", "f": "true", "g": true, "h": "1.0"}),
            json!({"key": "-----BEGIN-----\nabc\n-----END-----\n", "not": "a\n\nb", "cut": "a\nb", "space": " a\nb\n"}),
            json!({"y": "n", "#": "# no comment", "*": "*", "!t": "&a", "-": "- x", "": ""}),
        ] {
            assert_eq!(back(&value), value, "{}", write_yaml(&value));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in "\\PC{0,20}", lines in "[a-z: #\\n-]{0,12}") {
            let value = json!({"a": text, "b": [lines], (text): lines});
            prop_assert_eq!(back(&value), value);
        }
    }
}
