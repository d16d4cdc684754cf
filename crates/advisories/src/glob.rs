//! Patterns of names and paths: `*` stands for any text, all else for itself.

/// Whether `pattern` matches the whole of `text`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else {
        return rest.is_empty();
    };
    // Leftmost is enough for all but the last, which must end the text.
    let between = parts.clone().count().saturating_sub(1);
    for part in parts.take(between) {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("openssl", "openssl", true),
            ("openssl", "openssl3", false),
            ("open*", "openssl", true),
            ("*ssl", "openssl", true),
            ("*ssl", "openssl3", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("**", "x", true),
            ("ab*ab", "abab", true),
            ("usr/lib/*/x", "usr/lib/a/b/x", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
