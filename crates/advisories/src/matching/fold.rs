//! One finding for one vulnerability, however many databases tell of it.

use std::collections::BTreeSet;

use super::Finding;
use crate::database::Advisory;
use crate::order::Scheme;

/// The CVE if it is one vulnerability that has one; else the advisory's own name.
pub(super) fn name<'d>(advisory: &Advisory<'d>) -> &'d str {
    let mut names = std::iter::once(advisory.id)
        .chain(advisory.aliases.iter().copied())
        .chain(advisory.upstream.iter().copied())
        .filter(|name| name.starts_with("CVE-"));
    match (names.next(), names.next()) {
        (Some(only), None) => only,
        _ => advisory.id,
    }
}

/// Folds the findings of one package.
pub(super) fn fold(hits: Vec<Finding<'_>>, scheme: Scheme) -> Vec<Finding<'_>> {
    let mut folded: Vec<Finding<'_>> = Vec::new();
    let mut many = Vec::new();
    for hit in hits {
        if is_about_many(&hit) {
            many.push(hit);
            continue;
        }
        match folded.iter_mut().find(|there| is_same(there, &hit)) {
            Some(there) => join(there, hit, scheme),
            None => folded.push(hit),
        }
    }
    // An advisory about several vulnerabilities adds nothing where each of them is there by itself.
    for hit in many {
        let cves = cves(&hit);
        let by_themselves: Vec<usize> = folded
            .iter()
            .enumerate()
            .filter(|(_, there)| cves.contains(there.id))
            .map(|(place, _)| place)
            .collect();
        if by_themselves.len() < cves.len() {
            folded.push(hit);
            continue;
        }
        for place in by_themselves {
            if let Some(there) = folded.get_mut(place) {
                there.advisories.extend(hit.advisories.iter().copied());
            }
        }
    }
    folded
}

fn cves<'d>(finding: &Finding<'d>) -> BTreeSet<&'d str> {
    let names = std::iter::once(finding.id).chain(finding.aliases.iter().copied());
    names.filter(|name| name.starts_with("CVE-")).collect()
}

fn is_about_many(finding: &Finding<'_>) -> bool {
    cves(finding).len() > 1
}

/// The same name, or one is named among the other's aliases.
fn is_same(a: &Finding<'_>, b: &Finding<'_>) -> bool {
    let named = |one: &Finding<'_>, other: &Finding<'_>| {
        one.aliases
            .iter()
            .any(|alias| *alias == other.id || other.advisories.contains(alias))
    };
    a.id == b.id || named(a, b) || named(b, a)
}

/// The worse rating, the further fix, every exploit that is known.
fn join<'d>(there: &mut Finding<'d>, other: Finding<'d>, scheme: Scheme) {
    if (other.rating, other.score) > (there.rating, there.score) {
        (there.rating, there.score, there.vector) = (other.rating, other.score, other.vector);
        there.told_by = other.told_by;
    }
    there.fixed = match (there.fixed, other.fixed) {
        (Some(a), Some(b)) => Some(if scheme.compare(a, b).is_ge() { a } else { b }),
        (a, b) => a.or(b),
    };
    if other.exploited && (!there.exploited || (other.ransomware && !there.ransomware)) {
        there.exploited_detail = other.exploited_detail;
    }
    there.exploited |= other.exploited;
    there.ransomware |= other.ransomware;
    there.epss = there.epss.max(other.epss);
    there.published = match (there.published, other.published) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    if there.summary.is_empty() {
        there.summary = other.summary;
    }
    there.advisories.extend(other.advisories);
    let mut aliases: BTreeSet<&str> = there.aliases.iter().chain(&other.aliases).copied().collect();
    aliases.remove(there.id);
    there.aliases = aliases.into_iter().collect();
}
