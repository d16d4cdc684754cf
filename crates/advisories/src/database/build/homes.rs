//! Which ecosystems a database is of.
//!
//! A bulk file of OSV has every record that names its ecosystem, and a record names other ecosystems too: npm's file has the
//! few of PyPI's advisories that are about a package of both. A section of those few would answer "nothing known" for all
//! the rest of PyPI. So of a bulk file only that ecosystem is taken which all its records name, its home.

use std::collections::BTreeSet;

use crate::ecosystem::{self, Ecosystem};
use crate::osv::Record;

/// The ecosystems to take.
#[derive(Debug, Default)]
pub(super) struct Homes {
    taken: BTreeSet<&'static str>,
    /// Said by the caller, who knows what the files are.
    only: Option<BTreeSet<&'static str>>,
    bulk: Option<Bulk>,
}

/// A bulk file that is being read.
#[derive(Debug, Default)]
struct Bulk {
    /// What all records so far name; none before the first.
    common: Option<BTreeSet<&'static str>>,
    all: BTreeSet<&'static str>,
}

impl Homes {
    pub(super) fn only(&mut self, ecosystems: BTreeSet<&'static str>) {
        self.only = Some(ecosystems);
    }

    pub(super) fn begin_bulk(&mut self) {
        self.end_bulk();
        self.bulk = Some(Bulk::default());
    }

    /// Records without a common ecosystem are a collection of many, whole in each as far as anybody can tell.
    pub(super) fn end_bulk(&mut self) {
        let Some(bulk) = self.bulk.take() else { return };
        let common = bulk.common.filter(|common| !common.is_empty());
        self.taken.extend(common.unwrap_or(bulk.all));
    }

    /// A record by itself was chosen by somebody, with all that it names.
    pub(super) fn note(&mut self, record: &Record<'_>) {
        let named: BTreeSet<&'static str> = record
            .affected()
            .filter_map(|affected| {
                let (name, _) = ecosystem::split(affected.package.as_ref()?.ecosystem.as_str());
                Ecosystem::named(name).map(|ecosystem| ecosystem.name)
            })
            .collect();
        if named.is_empty() {
            return;
        }
        let Some(bulk) = &mut self.bulk else {
            self.taken.extend(named);
            return;
        };
        match &mut bulk.common {
            Some(common) => common.retain(|name| named.contains(name)),
            None => bulk.common = Some(named.clone()),
        }
        bulk.all.extend(named);
    }

    pub(super) fn takes(&self, ecosystem: &Ecosystem) -> bool {
        match (&self.only, &self.bulk) {
            (Some(only), _) => only.contains(ecosystem.name),
            (None, Some(bulk)) if bulk.all.contains(ecosystem.name) => true,
            (None, _) => self.taken.contains(ecosystem.name),
        }
    }
}
