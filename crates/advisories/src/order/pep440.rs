//! PEP 440, as `packaging.version` orders; what does not parse is older than all that does, in the order that
//! setuptools had before PEP 440 ("legacy versions").

use std::cmp::Ordering;

use super::{compare_digits, compare_dotted, compare_no_case, is_number, take, take_digits};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    match (Version::parse(a), Version::parse(b)) {
        (Some(a), Some(b)) => a.compare(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => legacy_key(a).cmp(&legacy_key(b)),
    }
}

#[derive(Debug)]
struct Version<'v> {
    epoch: &'v str,
    release: &'v str,
    /// The phase's letter and number.
    pre: Option<(Phase, &'v str)>,
    post: Option<&'v str>,
    dev: Option<&'v str>,
    local: Option<&'v str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Alpha,
    Beta,
    Candidate,
}

/// Longer words before those that begin them.
const PRE: [(&str, Phase); 8] = [
    ("alpha", Phase::Alpha),
    ("a", Phase::Alpha),
    ("beta", Phase::Beta),
    ("b", Phase::Beta),
    ("preview", Phase::Candidate),
    ("pre", Phase::Candidate),
    ("rc", Phase::Candidate),
    ("c", Phase::Candidate),
];
const POST: [(&str, ()); 3] = [("post", ()), ("rev", ()), ("r", ())];
const DEV: [(&str, ()); 1] = [("dev", ())];

impl<'v> Version<'v> {
    /// PEP 440, appendix B.
    fn parse(text: &'v str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (public, local) = match text.split_once('+') {
            Some((public, local)) => (public, Some(local)),
            None => (text, None),
        };
        if local.is_some_and(|local| !is_local(local)) {
            return None;
        }
        let (epoch, rest) = match public.split_once('!') {
            Some((epoch, rest)) if is_number(epoch) => (epoch, rest),
            Some(_) => return None,
            None => ("", public),
        };
        let (release, rest) = take_release(rest)?;
        let (pre, rest) = match take_word(rest, &PRE) {
            Some((phase, number, rest)) => (Some((phase, number)), rest),
            None => (None, rest),
        };
        let (post, rest) = match implicit_post(rest) {
            Some((number, rest)) => (Some(number), rest),
            None => match take_word(rest, &POST) {
                Some(((), number, rest)) => (Some(number), rest),
                None => (None, rest),
            },
        };
        let (dev, rest) = match take_word(rest, &DEV) {
            Some(((), number, rest)) => (Some(number), rest),
            None => (None, rest),
        };
        rest.is_empty().then_some(Self {
            epoch,
            release,
            pre,
            post,
            dev,
            local,
        })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let number = |a: Option<&str>, b: Option<&str>| compare_digits(a.unwrap_or_default(), b.unwrap_or_default());
        compare_digits(self.epoch, other.epoch)
            .then_with(|| compare_dotted(self.release, other.release))
            .then_with(|| self.phase().cmp(&other.phase()))
            .then_with(|| number(self.pre.map(|(_, n)| n), other.pre.map(|(_, n)| n)))
            .then_with(|| self.post.is_some().cmp(&other.post.is_some()))
            .then_with(|| number(self.post, other.post))
            .then_with(|| self.dev.is_none().cmp(&other.dev.is_none()))
            .then_with(|| number(self.dev, other.dev))
            .then_with(|| match (self.local, other.local) {
                (Some(a), Some(b)) => compare_local(a, b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            })
    }

    /// `packaging.version._cmpkey`: 1.0.dev0 comes before 1.0a0, and 1.0 after all of its phases.
    fn phase(&self) -> u8 {
        match (self.pre, self.post, self.dev) {
            (None, None, Some(_)) => 0,
            (Some((Phase::Alpha, _)), _, _) => 1,
            (Some((Phase::Beta, _)), _, _) => 2,
            (Some((Phase::Candidate, _)), _, _) => 3,
            (None, _, _) => 4,
        }
    }
}

fn take_release(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    loop {
        let (digits, after) = take_digits(rest);
        if digits.is_empty() {
            return None;
        }
        match after.strip_prefix('.') {
            Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
            _ => return text.split_at_checked(text.len() - after.len()),
        }
    }
}

/// One separator at most, one of the words, one separator at most, a number at most.
fn take_word<'v, T: Copy>(text: &'v str, words: &[(&str, T)]) -> Option<(T, &'v str, &'v str)> {
    let text = without_separator(text);
    let starts = |word: &str| {
        text.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    let (word, meaning) = words.iter().find(|(word, _)| starts(word))?;
    let after = text.get(word.len()..)?;
    let (number, rest) = take_digits(without_separator(after));
    // The separator is the word's only if a number or the end follows; otherwise it may begin what comes next.
    if number.is_empty() && !rest.is_empty() {
        return Some((*meaning, "", after));
    }
    Some((*meaning, number, rest))
}

fn implicit_post(text: &str) -> Option<(&str, &str)> {
    let (number, rest) = take_digits(text.strip_prefix('-')?);
    (!number.is_empty()).then_some((number, rest))
}

fn without_separator(text: &str) -> &str {
    text.strip_prefix(['-', '_', '.']).unwrap_or(text)
}

fn is_local(text: &str) -> bool {
    text.split(['-', '_', '.'])
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Numbers after words, the longer after the one that begins it.
fn compare_local(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split(['-', '_', '.']), b.split(['-', '_', '.']));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(two)) => match (is_number(one), is_number(two)) {
                (true, true) => compare_digits(one, two),
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_no_case(one, two),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// `pkg_resources.parse_version` before PEP 440: numbers padded, words marked with `*`, `final` at the end.
fn legacy_key(version: &str) -> String {
    let version = version.to_ascii_lowercase();
    let mut parts: Vec<String> = Vec::new();
    let mut rest = version.as_str();
    while let Some(first) = rest.chars().next() {
        let part;
        if first.is_ascii_digit() {
            (part, rest) = take_digits(rest);
        } else if first.is_ascii_alphabetic() {
            (part, rest) = take(rest, |b| b.is_ascii_alphabetic());
        } else {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            if first != '-' {
                continue;
            }
            part = "-";
        }
        push_legacy(&mut parts, part);
    }
    push_legacy(&mut parts, "final");
    parts.concat()
}

fn push_legacy(parts: &mut Vec<String>, part: &str) {
    let part = match part {
        "pre" | "preview" | "rc" => "c",
        "-" => "final-",
        "dev" => "@",
        other => other,
    };
    if is_number(part) {
        parts.push(format!("{part:0>8}"));
        return;
    }
    let part = format!("*{part}");
    if part.as_str() < "*final" {
        while parts.last().is_some_and(|last| last == "*final-") {
            parts.pop();
        }
    }
    while parts.last().is_some_and(|last| last == "00000000") {
        parts.pop();
    }
    parts.push(part);
}
