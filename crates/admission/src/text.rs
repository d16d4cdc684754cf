//! Cutting and flattening foreign text before it goes into answers and logs.

/// `text` cut to at most `limit` bytes at a character boundary, with `…` where something was left out.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    const MARK: &str = "…";
    let mut end = limit.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

/// `text` on one line: every run of white space, with control characters counted in, becomes one space.
pub(crate) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(shortened("short", 10), "short");
        assert_eq!(shortened("ääääääää", 10), "äää…");
        assert!(shortened(&"x".repeat(100), 10).len() <= 10);
    }

    #[test]
    fn line_breaks_and_controls_go() {
        assert_eq!(one_line("a\nb\t\u{7}c  d"), "a b c d");
    }
}
