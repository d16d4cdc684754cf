//! CPE 2.3 names (NIST IR 7695), made by one rule, for tools that want some.
//!
//! A CPE names a product in NIST's dictionary, and no package says which. So the names made here are a guess by a rule that
//! can be looked up: part `a`; vendor and product from what the package is called; target software from its ecosystem.
//! They are off unless asked for, and nothing here is ever matched by them.
//!
//! | kind | vendor | product | target software |
//! |---|---|---|---|
//! | golang | the path's second element (`github.com/OWNER/…`), else its host | the last element, without `/vN` | `go` |
//! | maven | the group's last element, or its second for `com.`, `org.`, `io.`, `net.` | the artifact | `java` |
//! | npm, composer | the scope or vendor, else the name | the name without it | `node.js`, `php` |
//! | pypi, gem, cargo | the name | the name | `python`, `ruby`, `rust` |
//! | deb, apk, rpm, alpm, others | the source package's name, else the name | the same | any |

use crate::bill::{Bill, Package, PackageKind};
use crate::document::DocumentInfo;

/// Adds a name to each package that has a version and none yet.
pub fn add(bill: &Bill, info: &mut DocumentInfo) {
    for package in &bill.packages {
        if let Some(name) = of(package) {
            let details = info.details.entry(package.id.clone()).or_default();
            if details.cpes.is_empty() {
                details.cpes.push(name);
            }
        }
    }
}

/// The name that the rule gives a package; none without a version, or of an unknown kind.
#[must_use]
pub fn of(package: &Package) -> Option<String> {
    let version = package.version.as_deref().filter(|version| !version.is_empty())?;
    if package.kind == PackageKind::Unknown {
        return None;
    }
    let last = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
    let (vendor, product, target) = match package.kind {
        PackageKind::Golang => {
            let path = match package.name.rsplit_once("/v") {
                Some((path, major)) if !major.is_empty() && major.bytes().all(|b| b.is_ascii_digit()) => path,
                _ => package.name.as_str(),
            };
            let mut elements = path.split('/');
            let host = elements.next().unwrap_or_default();
            (elements.next().unwrap_or(host).to_owned(), last(path), "go")
        }
        PackageKind::Maven => {
            let group = package.group.as_deref().unwrap_or(&package.name);
            let elements: Vec<&str> = group.split('.').collect();
            let vendor = match elements.as_slice() {
                ["com" | "org" | "io" | "net", second, ..] => second,
                elements => elements.last().unwrap_or(&group),
            };
            ((*vendor).to_owned(), package.name.clone(), "java")
        }
        PackageKind::Npm | PackageKind::Composer => {
            let target = if package.kind == PackageKind::Npm {
                "node.js"
            } else {
                "php"
            };
            let vendor = package
                .name
                .trim_start_matches('@')
                .split('/')
                .next()
                .unwrap_or_default();
            (vendor.to_owned(), last(&package.name), target)
        }
        PackageKind::Pypi => (package.name.clone(), package.name.clone(), "python"),
        PackageKind::Gem => (package.name.clone(), package.name.clone(), "ruby"),
        PackageKind::Cargo => (package.name.clone(), package.name.clone(), "rust"),
        _ => {
            let name = package.source.as_ref().map_or(&package.name, |source| &source.name);
            (name.clone(), name.clone(), "*")
        }
    };
    let target = if target == "*" {
        "*".to_owned()
    } else {
        component(target)
    };
    let version = if package.kind == PackageKind::Golang {
        version.trim_start_matches('v')
    } else {
        version
    };
    let name = format!(
        "cpe:2.3:a:{}:{}:{}:*:*:*:*:{target}:*:*",
        component(&vendor),
        component(&product),
        component(version)
    );
    is_valid(&name).then_some(name)
}

/// Lower case; all but letters, digits, dots, dashes and underscores escaped (NIST IR 7695, 6.2); blanks are underscores.
fn component(text: &str) -> String {
    let mut bound = String::with_capacity(text.len());
    for c in text.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' | '.' | '-' => bound.push(c),
            ' ' => bound.push('_'),
            '!'..='~' => {
                bound.push('\\');
                bound.push(c);
            }
            // The rest of Unicode has no form in a CPE.
            _ => bound.push('_'),
        }
    }
    // Alone they would mean "any" and "not applicable".
    if bound == "-" { "\\-".to_owned() } else { bound }
}

/// Whether a text is a formatted CPE 2.3 name: thirteen fields, of the characters that it may have.
#[must_use]
pub fn is_valid(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("cpe:2.3:") else {
        return false;
    };
    let mut fields = vec![String::new()];
    let mut characters = rest.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => {
                    if let Some(field) = fields.last_mut() {
                        field.push(escaped);
                    }
                }
                _ => return false,
            },
            ':' => fields.push(String::new()),
            c if c.is_ascii_alphanumeric() || "._-*?".contains(c) => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
            _ => return false,
        }
    }
    let part = fields
        .first()
        .is_some_and(|part| matches!(part.as_str(), "a" | "o" | "h" | "*" | "-"));
    part && fields.len() == 11 && fields.iter().all(|field| !field.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bill::{PackageId, Source};

    fn package(kind: PackageKind, group: Option<&str>, name: &str, version: &str) -> Package {
        Package {
            id: PackageId::new("x".to_owned()),
            kind,
            group: group.map(str::to_owned),
            name: name.to_owned(),
            version: Some(version.to_owned()).filter(|version| !version.is_empty()),
            modularity: None,
            hashes: Vec::new(),
            purl: None,
            source: None,
            licences: Vec::new(),
            supplier: None,
            homepage: None,
            description: None,
            locations: Vec::new(),
            owned_by: None,
            uncertain: None,
            needs: crate::bill::Completeness::Unknown,
            file: None,
        }
    }

    #[test]
    fn each_kind_has_its_rule() {
        for (kind, group, name, version, expected) in [
            (
                PackageKind::Golang,
                None,
                "github.com/gorilla/mux/v2",
                "v2.0.0",
                "cpe:2.3:a:gorilla:mux:2.0.0:*:*:*:*:go:*:*",
            ),
            (
                PackageKind::Golang,
                None,
                "stdlib",
                "1.22.1",
                "cpe:2.3:a:stdlib:stdlib:1.22.1:*:*:*:*:go:*:*",
            ),
            (
                PackageKind::Maven,
                Some("org.apache.logging"),
                "log4j-core",
                "2.14.1",
                "cpe:2.3:a:apache:log4j-core:2.14.1:*:*:*:*:java:*:*",
            ),
            (
                PackageKind::Npm,
                None,
                "@babel/core",
                "7.0.0",
                "cpe:2.3:a:babel:core:7.0.0:*:*:*:*:node.js:*:*",
            ),
            (
                PackageKind::Pypi,
                None,
                "Django",
                "4.2",
                "cpe:2.3:a:django:django:4.2:*:*:*:*:python:*:*",
            ),
            (
                PackageKind::Deb,
                None,
                "libstdc++6",
                "1:12.2~rc",
                "cpe:2.3:a:libstdc\\+\\+6:libstdc\\+\\+6:1\\:12.2\\~rc:*:*:*:*:*:*:*",
            ),
        ] {
            let name = of(&package(kind, group, name, version)).unwrap();
            assert_eq!(name, expected);
            assert!(is_valid(&name));
        }
        let mut curl = package(PackageKind::Deb, None, "libcurl4", "7.88");
        curl.source = Some(Source {
            name: "curl".to_owned(),
            version: None,
        });
        assert_eq!(of(&curl).unwrap(), "cpe:2.3:a:curl:curl:7.88:*:*:*:*:*:*:*");
        assert_eq!(of(&package(PackageKind::Unknown, None, "a", "1")), None);
        assert_eq!(of(&package(PackageKind::Npm, None, "a", "")), None);
    }

    #[test]
    fn names_that_are_none_are_told() {
        assert!(is_valid("cpe:2.3:o:microsoft:windows_10:-:*:*:*:*:*:x64:*"));
        for text in [
            "",
            "cpe:/a:haxx:curl:7",
            "cpe:2.3:a:haxx:curl",
            "cpe:2.3:x:haxx:curl:7:*:*:*:*:*:*:*",
            "cpe:2.3:a:haxx:curl:7:*:*:*:*:*:*:*:*",
            "cpe:2.3:a:ha xx:curl:7:*:*:*:*:*:*:*",
            "cpe:2.3:a::curl:7:*:*:*:*:*:*:*",
            "cpe:2.3:a:haxx:curl:7+1:*:*:*:*:*:*:*",
            "cpe:2.3:a:haxx:curl\\",
        ] {
            assert!(!is_valid(text), "{text}");
        }
    }
}
