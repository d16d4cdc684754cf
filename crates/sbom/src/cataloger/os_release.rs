//! Which distribution an image is made of (os-release(5)).

use super::{Cataloger, Fact, Unreadable};
use crate::bill::Distribution;

/// Reads `os-release`.
pub(super) struct OsRelease;

impl Cataloger for OsRelease {
    fn wants(&self, path: &str) -> bool {
        matches!(path, "etc/os-release" | "usr/lib/os-release")
    }

    fn read(&self, _path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let text = String::from_utf8_lossy(bytes);
        let value = |wanted: &str| {
            text.lines()
                .filter_map(|line| line.trim().split_once('='))
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| unquoted(value.trim()))
                .filter(|value| !value.is_empty())
        };
        let id = value("ID").ok_or_else(|| Unreadable::new("os-release-no-id", "os-release has no ID"))?;
        Ok(vec![Fact::Distribution(Distribution {
            id: id.to_ascii_lowercase(),
            version_id: value("VERSION_ID"),
            name: value("PRETTY_NAME").or_else(|| value("NAME")),
            codename: value("VERSION_CODENAME"),
        })])
    }
}

/// Takes off shell quotes and backslashes.
fn unquoted(value: &str) -> String {
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value);
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}
