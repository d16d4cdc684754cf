//! Licences as packages declare them, and what they are in SPDX's words where that is certain.

mod common;
mod text;

use std::fmt;

use spdx::{Expression, ParseMode};

pub(crate) use text::{is_licence_file, recognise};

/// The longest text taken for a licence's name, in bytes; whole licence texts are not names.
const MAX_LENGTH: usize = 1_000;

/// A declared licence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Licence {
    text: String,
    expression: Option<String>,
}

impl Licence {
    /// Takes what the package says; nothing if it says nothing.
    #[must_use]
    pub fn declared(text: &str) -> Option<Self> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let meaningless = [
            "",
            "unknown",
            "none",
            "noassertion",
            "unlicensed",
            "see license in license",
        ];
        if meaningless.contains(&text.to_ascii_lowercase().as_str()) {
            return None;
        }
        let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_LENGTH).collect();
        Some(Self {
            expression: expression(&text),
            text,
        })
    }

    /// What the package says, on one line.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The SPDX expression, if what the package says is one or has one certain meaning.
    #[must_use]
    pub fn expression(&self) -> Option<&str> {
        self.expression.as_deref()
    }
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expression.as_deref().unwrap_or(&self.text))
    }
}

fn expression(text: &str) -> Option<String> {
    // References to licences outside SPDX's list mean nothing in another document.
    let valid = |text: &str| !text.contains("Ref-") && Expression::parse_mode(text, ParseMode::STRICT).is_ok();
    if valid(text) {
        return Some(text.to_owned());
    }
    if let Some(meant) = common::meaning(text) {
        return Some(meant.to_owned());
    }
    let translated = grouped(text).or_else(|| {
        // Old Alpine packages list names with blanks between them; all apply.
        let names: Option<Vec<_>> = text.split(' ').map(name).collect();
        names.map(|names| names.join(" AND "))
    })?;
    valid(&translated).then_some(translated)
}

/// DEP 5: after a comma, `and` binds less than `or` before it: `A or B, and C`.
fn grouped(text: &str) -> Option<String> {
    let groups: Option<Vec<String>> = text
        .split(", and ")
        .map(|group| {
            let group = translated(group)?;
            Some(if group.contains(" OR ") {
                format!("({group})")
            } else {
                group
            })
        })
        .collect();
    groups.map(|groups| match groups.as_slice() {
        [_] => translated(text).unwrap_or_default(),
        several => several.join(" AND "),
    })
}

/// Names joined by `and` and `or`, which bind as in SPDX expressions, at the end perhaps in brackets.
fn translated(text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains(',') {
        return None;
    }
    let mut expression = String::with_capacity(text.len() + 16);
    let mut atom = String::new();
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    for word in spaced.split_whitespace() {
        let operator = match word.to_ascii_lowercase().as_str() {
            "and" | "&" => " AND ",
            "or" | "|" | "||" => " OR ",
            "(" if atom.is_empty() => "(",
            ")" => ")",
            _ => {
                if !atom.is_empty() {
                    atom.push(' ');
                }
                atom.push_str(word);
                continue;
            }
        };
        // "GPL 2 or later" is one name.
        if !atom.is_empty() {
            expression.push_str(&name(&atom)?);
            atom.clear();
        }
        expression.push_str(operator);
    }
    if !atom.is_empty() {
        expression.push_str(&name(&atom)?);
    }
    Some(expression)
}

/// One licence's name in SPDX's words.
fn name(text: &str) -> Option<String> {
    let known = spdx::identifiers::LICENSES
        .iter()
        .find(|licence| licence.name.eq_ignore_ascii_case(text))
        .and_then(|licence| spdx::license_id(licence.name))
        .filter(|id| !id.is_deprecated());
    if let Some(id) = known {
        return Some(id.name.to_owned());
    }
    let lower = text.to_ascii_lowercase();
    gnu(&lower).or_else(|| alias(&lower).map(str::to_owned))
}

/// `gpl-2+`, `lgplv2.1`, `agpl-3.0-or-later`: Debian's, Alpine's and old SPDX forms.
fn gnu(lower: &str) -> Option<String> {
    let rest = lower.strip_prefix("gnu ").unwrap_or(lower);
    let (family, rest) = ["agpl", "lgpl", "gpl", "gfdl"]
        .iter()
        .find_map(|family| Some((*family, rest.strip_prefix(family)?)))?;
    let rest = rest.trim_start_matches(['-', ' ', 'v']);
    let (version, suffix) = match rest.find(|c: char| !(c.is_ascii_digit() || c == '.')) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let later = match suffix {
        "" | "-only" => "only",
        "+" | "-or-later" => "or-later",
        _ => return None,
    };
    let version = match (family, version.trim_end_matches(".0")) {
        (_, "") => return None,
        (_, version) if version.contains('.') => version.to_owned(),
        (_, version) => format!("{version}.0"),
    };
    let family = if family == "gfdl" {
        "GFDL".to_owned()
    } else {
        family.to_ascii_uppercase()
    };
    let version = if family == "GFDL" {
        version.replace("1.0", "1.1")
    } else {
        version
    };
    let id = format!("{family}-{version}-{later}");
    spdx::license_id(&id).map(|id| id.name.to_owned())
}

/// Other names with one certain meaning.
fn alias(lower: &str) -> Option<&'static str> {
    Some(match lower {
        "expat" | "mit license" | "the mit license" | "mit/expat" | "mit-license" | "mit/x11" => "MIT",
        "mit-x11" | "x11" => "X11",
        "apache-2"
        | "apache 2.0"
        | "apache2"
        | "apache 2"
        | "apache license 2.0"
        | "apache license version 2.0"
        | "asl 2.0" => "Apache-2.0",
        "bsd-2-clause" | "bsd-2" | "bsd 2-clause" | "2-clause bsd" | "simplified bsd" => "BSD-2-Clause",
        "bsd-3-clause"
        | "bsd-3"
        | "bsd 3-clause"
        | "3-clause bsd"
        | "new bsd"
        | "new bsd license"
        | "bsd3"
        | "bsd 3-clause license"
        | "3-clause bsd license"
        | "modified bsd" => "BSD-3-Clause",
        "bsd-4-clause" | "bsd-4" => "BSD-4-Clause",
        "bsd-4-clause-uc" => "BSD-4-Clause-UC",
        "isc license" | "iscl" | "isc license iscl" => "ISC",
        "zlib" => "Zlib",
        "artistic" | "artistic-1" | "artistic-1.0" => "Artistic-1.0-Perl",
        "artistic-2" => "Artistic-2.0",
        "mpl-1.1" => "MPL-1.1",
        "mpl-2" | "mpl 2.0" | "mozilla public license 2.0" => "MPL-2.0",
        "cc0" | "cc0-1" | "cc0 1.0" => "CC0-1.0",
        "unlicense" | "the unlicense" => "Unlicense",
        "boost" | "bsl-1" => "BSL-1.0",
        "openssl" => "OpenSSL",
        "python" | "python software foundation license" | "psf" | "psfl" | "psf-2" => "PSF-2.0",
        "ofl-1.1" => "OFL-1.1",
        "bsd-0-clause" | "0bsd" => "0BSD",
        "wtfpl" | "wtfpl-2" => "WTFPL",
        "vim" => "Vim",
        "bzip2" => "bzip2-1.0.6",
        "ijg" => "IJG",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression_of(text: &str) -> Option<String> {
        Licence::declared(text)?.expression().map(str::to_owned)
    }

    #[test]
    fn names_with_one_certain_meaning_become_expressions() {
        for (text, expected) in [
            ("MIT", "MIT"),
            ("Expat", "MIT"),
            ("MIT  License", "MIT"),
            ("(MIT OR Apache-2.0)", "(MIT OR Apache-2.0)"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2", "GPL-2.0-only"),
            ("GPL-2.0+", "GPL-2.0-or-later"),
            ("GPLv3", "GPL-3.0-only"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("LGPL-2+", "LGPL-2.0-or-later"),
            ("AGPL-3.0", "AGPL-3.0-only"),
            ("GFDL-1.3+", "GFDL-1.3-or-later"),
            ("BSD-3-clause", "BSD-3-Clause"),
            ("GPL-2+ and Expat", "GPL-2.0-or-later AND MIT"),
            ("GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0-Perl"),
            (
                "GPL-1+ or Artistic, and BSD-3-clause",
                "(GPL-1.0-or-later OR Artistic-1.0-Perl) AND BSD-3-Clause",
            ),
            ("GPL2 MIT", "GPL-2.0-only AND MIT"),
            (
                "GPL-2.0-only WITH Classpath-exception-2.0",
                "GPL-2.0-only WITH Classpath-exception-2.0",
            ),
            ("Apache 2.0", "Apache-2.0"),
            ("The Apache Software License, Version 2.0", "Apache-2.0"),
            ("Apache License, 2.0", "Apache-2.0"),
            ("Apache License V2.0", "Apache-2.0"),
            ("http://www.apache.org/licenses/LICENSE-2.0.txt", "Apache-2.0"),
            ("https://opensource.org/licenses/BSD-2-Clause", "BSD-2-Clause"),
            ("http://www.opensource.org/licenses/mit-license.php", "MIT"),
            ("https://spdx.org/licenses/BSD-3-Clause.html", "BSD-3-Clause"),
            ("http://www.eclipse.org/org/documents/edl-v10.php", "BSD-3-Clause"),
            ("Eclipse Public License - v 2.0", "EPL-2.0"),
            ("EPL 2.0", "EPL-2.0"),
            ("MPL 1.1", "MPL-1.1"),
            ("The New BSD License", "BSD-3-Clause"),
            ("GPL2 w/ CPE", "GPL-2.0-only WITH Classpath-exception-2.0"),
            (
                "The GNU General Public License (GPL), Version 2, With Classpath Exception",
                "GPL-2.0-only WITH Classpath-exception-2.0",
            ),
        ] {
            assert_eq!(expression_of(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn names_without_a_certain_meaning_stay_as_they_are() {
        for text in [
            "BSD",
            "BSD License",
            "GPL",
            "Apache Software License",
            "GPL-2+ with OpenSSL exception",
            "public-domain",
            "LicenseRef-mine",
            "MIT AND LicenseRef-mine",
            "(MIT",
            "MIT OR",
            "MIT, Apache-2.0",
            "SEE LICENSE IN LICENSE.md",
            "The Apache Software License",
            "Apache License, Version 2.0 and others",
            "The BSD License",
            "CDDL License",
            "http://jodd.org/license.html",
            "http://opensource.org/licenses/bsd-license.php",
            "http://www.apache.org/licenses/",
            "https://www.gnu.org/software/classpath/license.html",
        ] {
            let licence = Licence::declared(text).unwrap();
            assert_eq!(licence.expression(), None, "{text}");
            assert_eq!(licence.text(), text);
        }
    }

    #[test]
    fn nothing_said_is_no_licence() {
        for text in ["", "  ", "UNKNOWN", "None", "NOASSERTION", "UNLICENSED"] {
            assert_eq!(Licence::declared(text), None, "{text}");
        }
    }

    #[test]
    fn whole_texts_are_cut() {
        let licence = Licence::declared(&"word ".repeat(1000)).unwrap();
        assert!(licence.text().chars().count() <= MAX_LENGTH);
    }
}
