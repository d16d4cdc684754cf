//! An archive's manifest (Java's "JAR File Specification"): attributes of the main section.

use std::collections::BTreeMap;

use super::super::Draft;

/// The most lines of a manifest: those of signed archives name every file.
const MAX_LINES: usize = 10_000;

/// The main section.
#[derive(Default)]
pub(super) struct Manifest(BTreeMap<String, String>);

impl Manifest {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut attributes: Vec<Vec<u8>> = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n').take(MAX_LINES) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match line {
                // The section's end.
                [] if !attributes.is_empty() => break,
                [] => {}
                // Lines are cut at 72 bytes, in the middle of a letter if need be.
                [b' ', rest @ ..] => {
                    if let Some(last) = attributes.last_mut() {
                        last.extend_from_slice(rest);
                    }
                }
                line => attributes.push(line.to_vec()),
            }
        }
        let pairs = attributes.iter().filter_map(|attribute| {
            let text = String::from_utf8_lossy(attribute);
            let (name, value) = text.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        });
        Self(pairs.collect())
    }

    /// An attribute that says something: build tools leave variables where they know nothing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(&name.to_ascii_lowercase())?;
        let known = !value.is_empty() && !value.contains("${") && !matches!(value.as_str(), "unspecified" | "unknown");
        known.then_some(value)
    }

    /// `org.example.app;singleton:=true` without its directives.
    pub(super) fn symbolic_name(&self) -> Option<&str> {
        let name = self.get("Bundle-SymbolicName")?.split(';').next()?.trim();
        (!name.is_empty()).then_some(name)
    }

    /// Adds what the package's own metadata left open.
    pub(super) fn complete(&self, draft: &mut Draft) {
        let first = |names: &[&str]| names.iter().find_map(|name| self.get(name)).map(str::to_owned);
        draft.supplier = draft
            .supplier
            .take()
            .or_else(|| first(&["Bundle-Vendor", "Implementation-Vendor", "Specification-Vendor"]));
        draft.homepage = draft.homepage.take().or_else(|| first(&["Bundle-DocURL", "Url"]));
        draft.description = draft
            .description
            .take()
            .or_else(|| first(&["Bundle-Description", "Bundle-Name", "Implementation-Title"]));
        if draft.licences.is_empty()
            && let Some(licences) = self.get("Bundle-License")
        {
            // `name;link=address, name;description="a, b"`.
            let unquoted: String = licences.split('"').step_by(2).collect();
            draft.licences = unquoted
                .split(',')
                .filter_map(|licence| licence.split(';').next())
                .map(|licence| licence.trim().to_owned())
                .filter(|licence| !licence.is_empty())
                .collect();
        }
    }
}
