//! Ecosystems as OSV names them (`Debian:12`, `PyPI`): which order their versions have, how they write names, and which
//! of their releases an advisory is about.

use std::borrow::Cow;

use crate::order::Scheme;

/// What is known of an ecosystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecosystem {
    /// The name without its release, as OSV writes it: `Debian`, `PyPI`.
    pub name: &'static str,
    /// How its versions are ordered.
    pub scheme: Scheme,
    /// Whether its advisories are about one release of a distribution each.
    pub released: bool,
    names: Names,
}

/// How two spellings of one name are made the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Exact,
    /// ASCII letters without case. Go's too: package URLs write its module paths in lower case.
    NoCase,
    /// PEP 503: without case, runs of `-_.` are one hyphen.
    Python,
}

const fn released(name: &'static str, scheme: Scheme) -> Ecosystem {
    Ecosystem {
        name,
        scheme,
        released: true,
        names: Names::Exact,
    }
}

const fn language(name: &'static str, scheme: Scheme, names: Names) -> Ecosystem {
    Ecosystem {
        name,
        scheme,
        released: false,
        names,
    }
}

/// Of OSV's list those whose version order is known here. The rest is left out of a database and counted.
const ECOSYSTEMS: [Ecosystem; 21] = [
    released("Debian", Scheme::Dpkg),
    released("Ubuntu", Scheme::Dpkg),
    released("Alpine", Scheme::Apk),
    released("AlmaLinux", Scheme::Rpm),
    released("Rocky Linux", Scheme::Rpm),
    released("Red Hat", Scheme::Rpm),
    released("openSUSE", Scheme::Rpm),
    released("Mageia", Scheme::Rpm),
    language("Go", Scheme::Semver, Names::NoCase),
    language("crates.io", Scheme::Semver, Names::Exact),
    language("npm", Scheme::Semver, Names::Exact),
    language("PyPI", Scheme::Pep440, Names::Python),
    language("Maven", Scheme::Maven, Names::Exact),
    language("RubyGems", Scheme::RubyGems, Names::Exact),
    language("NuGet", Scheme::NuGet, Names::NoCase),
    language("Packagist", Scheme::Packagist, Names::NoCase),
    language("Pub", Scheme::Pub, Names::Exact),
    language("CRAN", Scheme::Cran, Names::Exact),
    language("Hackage", Scheme::Hackage, Names::Exact),
    language("Hex", Scheme::Semver, Names::NoCase),
    language("SwiftURL", Scheme::Semver, Names::NoCase),
];

impl Ecosystem {
    /// The ecosystem of the given name, without a release.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ECOSYSTEMS.iter().find(|ecosystem| ecosystem.name == name)
    }

    /// All that are known here.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &ECOSYSTEMS
    }

    /// The name of a package as this ecosystem compares it.
    #[must_use]
    pub fn normalised<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match self.names {
            Names::Exact => Cow::Borrowed(name),
            Names::NoCase if name.bytes().any(|b| b.is_ascii_uppercase()) => Cow::Owned(name.to_ascii_lowercase()),
            Names::NoCase => Cow::Borrowed(name),
            Names::Python => python_name(name),
        }
    }

    /// The release that an advisory's suffix means, as this ecosystem's packages are looked up; `None` if it is one
    /// that no package can be said to be of. An empty suffix stays empty.
    #[must_use]
    pub fn release<'s>(&self, suffix: &'s str) -> Option<Cow<'s, str>> {
        match self.name {
            // `22.04:LTS`, `24.10`, `Pro:16.04:LTS` (the last needs a subscription and is another archive).
            "Ubuntu" => Some(Cow::Borrowed(suffix.strip_suffix(":LTS").unwrap_or(suffix))),
            // `enterprise_linux:9::baseos`; other streams (`rhel_aus:8.4::appstream`) would need the image's content sets.
            "Red Hat" => {
                let version = suffix.strip_prefix("enterprise_linux:")?.split(':').next()?;
                Some(Cow::Borrowed(version))
            }
            _ if self.released => Some(Cow::Borrowed(suffix)),
            _ => suffix.is_empty().then_some(Cow::Borrowed("")),
        }
    }
}

/// Splits `Debian:12` into the name and what follows its first colon.
pub(crate) fn split(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or((text, ""))
}

fn python_name(name: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.bytes().all(plain) && !name.contains("--") {
        return Cow::Borrowed(name);
    }
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !normal.ends_with('-') {
                normal.push('-');
            }
        } else {
            normal.extend(c.to_lowercase());
        }
    }
    Cow::Owned(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_their_ecosystem_does() {
        for (ecosystem, name, expected) in [
            ("PyPI", "Zope.Interface", "zope-interface"),
            ("PyPI", "ruamel_-.yaml", "ruamel-yaml"),
            ("Go", "github.com/BurntSushi/toml", "github.com/burntsushi/toml"),
            ("npm", "JSONStream", "JSONStream"),
            ("NuGet", "Newtonsoft.Json", "newtonsoft.json"),
            ("Debian", "curl", "curl"),
        ] {
            assert_eq!(Ecosystem::named(ecosystem).unwrap().normalised(name), expected);
        }
        assert!(Ecosystem::named("debian").is_none());
        assert!(Ecosystem::named("GIT").is_none());
    }

    #[test]
    fn releases_are_those_that_packages_can_have() {
        for (text, expected) in [
            ("Debian:12", Some("12")),
            ("Debian", Some("")),
            ("Ubuntu:22.04:LTS", Some("22.04")),
            ("Ubuntu:24.10", Some("24.10")),
            ("Ubuntu:Pro:16.04:LTS", Some("Pro:16.04")),
            ("Alpine:v3.20", Some("v3.20")),
            ("Red Hat:enterprise_linux:9::baseos", Some("9")),
            ("Red Hat:rhel_aus:8.4::appstream", None),
            ("openSUSE:Leap 15.6", Some("Leap 15.6")),
            ("PyPI", Some("")),
            ("PyPI:somewhere", None),
        ] {
            let (name, suffix) = split(text);
            let release = Ecosystem::named(name).unwrap().release(suffix);
            assert_eq!(release.as_deref(), expected, "{text}");
        }
    }
}
