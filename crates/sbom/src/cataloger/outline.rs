//! Lines that mean something by how far they are indented: the lock files of yarn, pnpm and Dart, which are YAML as
//! their own programs write it. Anchors, flow collections over lines and the rest of YAML are not read.

/// A line: how far it is indented, and its key and value without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'t> {
    pub(super) indent: usize,
    pub(super) key: &'t str,
    pub(super) value: &'t str,
}

/// The lines that are neither empty nor comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(|line| {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        let content = content.trim_end();
        if content.is_empty() || content.starts_with(['#', '-']) {
            return None;
        }
        let (key, value) = split(content);
        Some(Line {
            indent,
            key,
            value: unquoted(value.trim()),
        })
    })
}

/// `"@a/b@^1":`, `version: 1.0`, or as yarn 1 writes it `version "1.0"`.
fn split(content: &str) -> (&str, &str) {
    if let Some(quote) = content.chars().next().filter(|c| matches!(c, '"' | '\''))
        && let Some((key, rest)) = content.get(1..).and_then(|rest| rest.split_once(quote))
        // `"a", "b":` is one key.
        && !rest.starts_with(',')
    {
        return (key, rest.strip_prefix(':').unwrap_or(rest));
    }
    if let Some(key) = content.strip_suffix(':') {
        return (key, "");
    }
    if let Some((key, value)) = content.split_once(": ") {
        return (key, value);
    }
    content.split_once(' ').unwrap_or((content, ""))
}

/// Without quotes around it.
pub(super) fn unquoted(text: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(text)
}
