//! Who answers for something: the author of a document, the supplier of an image or of a package. Each format writes a
//! name and a way to reach it in fields of its own; packages write both in a line, in many ways.

use crate::document::{line, web_address};

/// The longest name kept, in characters.
const MAX_NAME: usize = 400;

/// The longest e-mail address (RFC 5321, 4.5.3.1.3: a path of 256 with its brackets).
const MAX_MAIL: usize = 254;

/// Whether somebody or an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartyKind {
    /// A person.
    Person,
    /// An organisation, a company, a project.
    Organization,
}

/// A name, and how to reach it as far as that is said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party {
    kind: PartyKind,
    name: String,
    mail: Option<String>,
    url: Option<String>,
}

impl Party {
    /// From a line: `Person: Ann <ann@example.org>`, `Organization: Example Ltd (https://example.org)`. Of one that does
    /// not say which, it is an organisation. Nothing if it has no name and no address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::of_line(text, PartyKind::Organization)
    }

    /// The same, of a line that is of this kind if it does not say.
    pub(crate) fn of_line(text: &str, kind: PartyKind) -> Option<Self> {
        let (kind, text) = match text.trim() {
            text if text.starts_with("Person:") => (PartyKind::Person, text.trim_start_matches("Person:")),
            text if text.starts_with("Organization:") => {
                (PartyKind::Organization, text.trim_start_matches("Organization:"))
            }
            text => (kind, text),
        };
        Some(Self {
            kind,
            name: name_in(text)?,
            mail: mail_in(text),
            url: url_in(text),
        })
    }

    /// Somebody or an organisation.
    #[must_use]
    pub fn kind(&self) -> PartyKind {
        self.kind
    }

    /// The name; where only an address is said, what is before its sign.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An e-mail address.
    #[must_use]
    pub fn mail(&self) -> Option<&str> {
        self.mail.as_deref()
    }

    /// A web address.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// SPDX 2.3, 6.8 and 7.5: `Person: name (mail)`, `Organization: name (mail)`.
    pub(crate) fn spdx(&self) -> String {
        let kind = match self.kind {
            PartyKind::Person => "Person",
            PartyKind::Organization => "Organization",
        };
        match &self.mail {
            Some(mail) => format!("{kind}: {} ({mail})", self.name),
            None => format!("{kind}: {}", self.name),
        }
    }

    /// In a line that [`Party::parse`] understands; also what a hash is made of.
    pub(crate) fn text(&self) -> String {
        match &self.url {
            Some(url) => format!("{} ({url})", self.spdx()),
            None => self.spdx(),
        }
    }
}

/// The name in `Ann <ann@example.org> (https://example.org)`; of an address without a name, what is before its sign.
fn name_in(text: &str) -> Option<String> {
    let bare = text.split(['<', '(']).next().unwrap_or_default();
    let is_mail = |word: &&str| word.find('@').is_some_and(|at| at > 0);
    let words: Vec<&str> = bare.split_whitespace().filter(|word| !is_mail(word)).collect();
    let name = line(&words.join(" "), MAX_NAME);
    let name = name.trim_matches(['"', ',', ' ']);
    if !name.is_empty() {
        return Some(name.to_owned());
    }
    let mail = words_of(text).find(is_mail)?;
    let before = mail.split('@').next().unwrap_or_default();
    Some(line(before, MAX_NAME)).filter(|name| !name.is_empty())
}

/// The first e-mail address in a text, as far as validators accept it.
pub(crate) fn mail_in(text: &str) -> Option<String> {
    let is_mail = |word: &&str| {
        let Some((user, host)) = word.split_once('@') else {
            return false;
        };
        let plain = |text: &str, more: &[u8]| {
            let mut bytes = text.bytes();
            !text.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
        };
        let labels = || host.split('.');
        word.len() <= MAX_MAIL
            && plain(user, b".!#$%&*+-/=?^_{|}~")
            && !user.starts_with('.')
            && !user.ends_with('.')
            && !user.contains("..")
            && labels().count() > 1
            && labels().all(|label| plain(label, b"-") && !label.starts_with('-') && !label.ends_with('-'))
    };
    words_of(text).find(is_mail).map(str::to_owned)
}

/// The first web address in a text.
pub(crate) fn url_in(text: &str) -> Option<String> {
    words_of(text)
        .find_map(|word| web_address(Some(word)))
        .map(str::to_owned)
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "<>(),;\"".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_how_to_reach_it() {
        for (text, name, mail, url) in [
            (
                "Ann <ann@example.org> (https://example.org)",
                "Ann",
                Some("ann@example.org"),
                Some("https://example.org"),
            ),
            ("Ahmed TAHRI @Ousret", "Ahmed TAHRI @Ousret", None, None),
            (
                "\"Ahmed R. TAHRI\" <a@example.org>",
                "Ahmed R. TAHRI",
                Some("a@example.org"),
                None,
            ),
            ("Ann, ann@example.org", "Ann", Some("ann@example.org"), None),
            ("ann@example.org", "ann", Some("ann@example.org"), None),
            ("<ann@example.org>", "ann", Some("ann@example.org"), None),
            ("Ann (ann@example.org)", "Ann", Some("ann@example.org"), None),
            ("@babel", "@babel", None, None),
            ("Ann <ann at example.org>", "Ann", None, None),
            ("Ann <ann@localhost>", "Ann", None, None),
            ("Ann <.ann@example.org>", "Ann", None, None),
            ("Ann <a@b@example.org>", "Ann", None, None),
            ("Ann (javascript:alert(1))", "Ann", None, None),
        ] {
            let party = Party::parse(text).unwrap();
            assert_eq!((party.name(), party.mail(), party.url()), (name, mail, url), "{text}");
            let again = Party::parse(&party.text()).unwrap();
            assert_eq!(again, party, "{text}");
        }
        for text in ["", "<>", "(https://example.org)", "Person:", "\u{1}"] {
            assert_eq!(Party::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_may_say_which_of_the_two_it_is() {
        let kind = |text| Party::parse(text).unwrap().kind();
        assert_eq!(kind("Person: Ann"), PartyKind::Person);
        assert_eq!(kind("Organization: Example Ltd"), PartyKind::Organization);
        assert_eq!(kind("Example Ltd"), PartyKind::Organization);
        let person = Party::of_line("Ann", PartyKind::Person).unwrap();
        assert_eq!(person.spdx(), "Person: Ann");
    }
}
