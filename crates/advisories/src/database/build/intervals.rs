//! Ranges of an affected entry as intervals: OSV's evaluation, done once for all versions.

use std::cmp::Ordering;

use super::super::format::end;
use super::Names;
use crate::order::Scheme;
use crate::osv::{Affected, Event, Range};

/// Affected from `start` up to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    /// `None` is before every version.
    pub(super) start: Option<u32>,
    pub(super) end: u32,
    /// One of [`end`].
    pub(super) kind: u32,
}

impl Interval {
    pub(super) fn covers(self, version: &str, scheme: Scheme, names: &Names) -> bool {
        if !scheme.accepts(version) {
            return false;
        }
        let after_start = self
            .start
            .is_none_or(|start| scheme.compare(version, names.text(start)).is_ge());
        let to_end = scheme.compare(version, names.text(self.end));
        after_start
            && match self.kind {
                end::OPEN => true,
                end::LAST_AFFECTED => to_end.is_le(),
                _ => to_end.is_lt(),
            }
    }
}

/// The intervals of all ranges, and whether one of them could not be placed.
pub(super) fn of(affected: &Affected<'_>, scheme: Scheme, names: &mut Names) -> (Vec<Interval>, bool) {
    let mut intervals = Vec::new();
    let mut unplaced = false;
    for range in affected.ranges.iter().flatten() {
        match range.kind.as_str() {
            "GIT" => {}
            "SEMVER" | "ECOSYSTEM" if placeable(range, scheme) => {
                intervals.extend(of_range(range, scheme, names));
            }
            // A bound that is no version, or a kind of range that is not known: nothing may be concluded from it.
            _ => unplaced = true,
        }
    }
    (intervals, unplaced)
}

fn placeable(range: &Range<'_>, scheme: Scheme) -> bool {
    range.events.iter().all(|event| match bound(event) {
        Some((Kind::Limit, "*")) | Some((Kind::Introduced, "0")) => true,
        Some((_, version)) => scheme.accepts(version),
        None => false,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Introduced,
    Fixed,
    LastAffected,
    Limit,
}

/// An event has one field; of one with more, the first counts that would end the range.
fn bound<'e>(event: &'e Event<'_>) -> Option<(Kind, &'e str)> {
    let fields = [
        (Kind::Fixed, &event.fixed),
        (Kind::LastAffected, &event.last_affected),
        (Kind::Limit, &event.limit),
        (Kind::Introduced, &event.introduced),
    ];
    let mut present = fields
        .into_iter()
        .filter_map(|(kind, text)| Some((kind, text.as_ref()?.as_str())));
    let first = present.next()?;
    present.next().is_none().then_some(first)
}

/// Sorts, those that are equal as they were. Maven's order has circles (`1.x` is below `1-SNAPSHOT`, that below `1`, and that
/// below `1.x`), and so has PHP's; at them the standard library's sort may panic.
fn in_order<T>(list: Vec<T>, compare: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut sorted = Vec::with_capacity(list.len());
    for new in list {
        let at = sorted.partition_point(|there| compare(there, &new).is_le());
        sorted.insert(at, new);
    }
    sorted
}

/// OSV's `IncludedInRanges`: events in order of version, those of one version as they are written (a range that ends where
/// the next begins is written in that order).
fn of_range(range: &Range<'_>, scheme: Scheme, names: &mut Names) -> Vec<Interval> {
    let mut events: Vec<(Kind, &str)> = range.events.iter().filter_map(bound).collect();
    let limits: Vec<&str> = events
        .iter()
        .filter(|(kind, _)| *kind == Kind::Limit)
        .map(|(_, version)| *version)
        .collect();
    events.retain(|(kind, _)| *kind != Kind::Limit);
    let from_the_start = |event: &(Kind, &str)| *event == (Kind::Introduced, "0");
    let events = in_order(events, |a, b| match (from_the_start(a), from_the_start(b)) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => scheme.compare(a.1, b.1),
    });
    let mut open: Option<Option<&str>> = None;
    let mut spans: Vec<(Option<&str>, &str, u32)> = Vec::new();
    for event in &events {
        let (kind, version) = *event;
        match (kind, open) {
            (Kind::Introduced, None) => open = Some((!from_the_start(event)).then_some(version)),
            (Kind::Fixed, Some(start)) => {
                spans.push((start, version, end::FIXED));
                open = None;
            }
            (Kind::LastAffected, Some(start)) => {
                spans.push((start, version, end::LAST_AFFECTED));
                open = None;
            }
            _ => {}
        }
    }
    if let Some(start) = open {
        spans.push((start, "", end::OPEN));
    }
    let limit = (!limits.contains(&"*"))
        .then(|| limits.into_iter().max_by(|a, b| scheme.compare(a, b)))
        .flatten();
    let mut intervals = Vec::new();
    for (start, mut last, mut kind) in spans {
        // Nothing is said from the furthest limit on.
        if let Some(limit) = limit
            && (kind == end::OPEN || scheme.compare(last, limit).is_gt())
        {
            (last, kind) = (limit, end::LIMIT);
        }
        intervals.push(Interval {
            start: start.map(|start| names.number(start)),
            end: names.number(last),
            kind,
        });
    }
    intervals
}
