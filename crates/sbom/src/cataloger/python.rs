//! Python distributions: `METADATA` of a `dist-info` folder (PEP 376, core metadata), `PKG-INFO` of an `egg-info`.

use super::text::{Paragraphs, named};
use super::{Cataloger, Draft, Fact, MAX_FACTS, Need, Unreadable};
use crate::bill::PackageKind;

/// Reads the metadata of installed distributions.
pub(super) struct Python;

impl Cataloger for Python {
    fn wants(&self, path: &str) -> bool {
        path.ends_with(".dist-info/METADATA") || path.ends_with(".egg-info/PKG-INFO") || path.ends_with(".egg-info")
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let is_dist_info = path.ends_with(".dist-info/METADATA");
        Ok(vec![Fact::Package(Box::new(distribution(bytes, is_dist_info)?))])
    }
}

/// The distribution of which these are the metadata.
pub(super) fn distribution(bytes: &[u8], is_dist_info: bool) -> Result<Draft, Unreadable> {
    let text = String::from_utf8_lossy(bytes);
    let header = Paragraphs::of_mail(&text)
        .next()
        .ok_or_else(|| Unreadable::new("python-metadata-empty", "it is empty"))?;
    let name = header
        .first_line("Name")
        .ok_or_else(|| Unreadable::new("python-metadata-no-name", "it names no distribution"))?;
    let known = |value: &&str| !matches!(*value, "UNKNOWN" | "None");
    let licences = match header.first_line("License-Expression") {
        Some(expression) => vec![expression.to_owned()],
        None => declared_licences(
            header.get("License").filter(known),
            header.all("Classifier").take(MAX_FACTS),
        ),
    };
    let field = |name| header.first_line(name).filter(known).map(str::to_owned);
    let author =
        named(field("Maintainer"), field("Maintainer-email")).or_else(|| named(field("Author"), field("Author-email")));
    Ok(Draft {
        licences,
        supplier: author,
        homepage: field("Home-page").or_else(|| project_address(header.all("Project-URL").take(MAX_FACTS))),
        description: header.first_line("Summary").filter(known).map(str::to_owned),
        needs: header
            .all("Requires-Dist")
            .take(MAX_FACTS)
            // An extra is needed only by those who ask for it.
            .filter(|need| !need.contains("extra =") && !need.contains("extra=="))
            .map(|need| Need::AnyOf(vec![normalised(required_name(need))]))
            .collect(),
        provides: vec![normalised(name)],
        // The form of setuptools has its needs in a file beside it.
        says_needs: header.all("Requires-Dist").next().is_some() || is_dist_info,
        ..Draft::new(PackageKind::Pypi, name, header.first_line("Version"))
    })
}

/// The page of a project, of `Homepage, https://…` and its like: the first that names one (core metadata, Project-URL).
fn project_address<'u>(urls: impl Iterator<Item = &'u str>) -> Option<String> {
    const LABELS: [&str; 6] = ["homepage", "home", "home-page", "source", "repository", "source code"];
    let urls: Vec<(String, &str)> = urls
        .filter_map(|url| url.split_once(','))
        .map(|(label, url)| (label.trim().to_ascii_lowercase(), url.trim()))
        .collect();
    let found = LABELS
        .iter()
        .find_map(|wanted| urls.iter().find(|(label, _)| label == wanted));
    found.map(|(_, url)| (*url).to_owned())
}

/// The folder that holds the distribution: needs are met from the same one.
pub(crate) fn site_folder(path: &str) -> &str {
    let info = path
        .strip_suffix("/METADATA")
        .or_else(|| path.strip_suffix("/PKG-INFO"))
        .unwrap_or(path);
    info.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The field may hold a short name or the whole text; classifiers are short always.
fn declared_licences<'c>(field: Option<&str>, classifiers: impl Iterator<Item = &'c str>) -> Vec<String> {
    if let Some(short) = field.filter(|value| value.len() <= 100 && !value.contains('\n')) {
        return vec![short.to_owned()];
    }
    classifiers
        .filter_map(|classifier| classifier.strip_prefix("License ::"))
        .filter_map(|classifier| classifier.rsplit("::").next())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty() && name != "OSI Approved")
        .collect()
}

fn required_name(requirement: &str) -> &str {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    requirement
        .get(..end.unwrap_or(requirement.len()))
        .unwrap_or(requirement)
}

/// PEP 503: case and runs of `-`, `_`, `.` do not count.
fn normalised(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !plain.is_empty() {
            plain.push('-');
        }
        plain.push_str(&part.to_ascii_lowercase());
    }
    plain
}
