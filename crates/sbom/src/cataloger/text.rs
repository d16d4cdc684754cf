//! Paragraphs of `Field: value` lines, as Debian, Python and (with one letter) Alpine write them.

/// A name and an e-mail address as one line; either alone as it is.
pub(super) fn named(name: Option<String>, mail: Option<String>) -> Option<String> {
    match (name, mail) {
        (Some(name), Some(mail)) if !name.contains('@') && !mail.contains(['<', ',']) => {
            Some(format!("{name} <{mail}>"))
        }
        (name, mail) => name.or(mail),
    }
}

/// The paragraphs of a text: lines between empty ones, continuation lines (those that start with a blank) joined with
/// line feeds.
pub(super) struct Paragraphs<'t> {
    lines: std::iter::Peekable<std::str::Lines<'t>>,
    /// Whether a line of blanks ends a paragraph (deb-control(5)) or continues a field (RFC 5322, 2.2.3).
    blanks_end: bool,
}

/// One paragraph: fields in the order written.
#[derive(Default)]
pub(super) struct Paragraph<'t> {
    fields: Vec<(&'t str, String)>,
}

impl<'t> Paragraphs<'t> {
    /// As Debian writes them.
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            lines: text.lines().peekable(),
            blanks_end: true,
        }
    }

    /// As mail and Python write them.
    pub(super) fn of_mail(text: &'t str) -> Self {
        Self {
            blanks_end: false,
            ..Self::new(text)
        }
    }
}

impl<'t> Iterator for Paragraphs<'t> {
    type Item = Paragraph<'t>;

    fn next(&mut self) -> Option<Paragraph<'t>> {
        let blanks_end = self.blanks_end;
        let is_end = |line: &str| line.is_empty() || (blanks_end && line.trim().is_empty());
        while self.lines.next_if(|line| is_end(line)).is_some() {}
        self.lines.peek()?;
        let mut paragraph = Paragraph::default();
        while let Some(line) = self.lines.next_if(|line| !is_end(line)) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = paragraph.fields.last_mut() {
                    value.push('\n');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                paragraph.fields.push((name, value.trim().to_owned()));
            }
        }
        Some(paragraph)
    }
}

impl Paragraph<'_> {
    /// The first field of the name, if it is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(seen, value)| seen.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// All fields of the name that are not empty.
    pub(super) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.fields
            .iter()
            .filter(move |(seen, value)| seen.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The first line of the field.
    pub(super) fn first_line(&self, name: &str) -> Option<&str> {
        self.get(name)?.lines().next().filter(|line| !line.is_empty())
    }
}
