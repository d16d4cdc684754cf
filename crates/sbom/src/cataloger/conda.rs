//! Conda packages: a JSON file for each in an environment's `conda-meta`.

use serde::Deserialize;

use super::{Cataloger, Draft, Fact, Need, Unreadable};
use crate::bill::PackageKind;

/// Reads `conda-meta`.
pub(super) struct Conda;

#[derive(Deserialize)]
struct Record {
    name: String,
    version: String,
    subdir: Option<String>,
    license: Option<String>,
    #[serde(default)]
    depends: Vec<String>,
}

impl Cataloger for Conda {
    fn wants(&self, path: &str) -> bool {
        path.strip_suffix(".json")
            .and_then(|path| path.rsplit_once('/'))
            .is_some_and(|(folder, _)| folder == "conda-meta" || folder.ends_with("/conda-meta"))
    }

    fn read(&self, _path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let record: Record = serde_json::from_slice(bytes)
            .map_err(|error| Unreadable::new("conda-record-malformed", error.to_string()))?;
        let needs = record.depends.iter().filter_map(|need| need.split(' ').next());
        Ok(vec![Fact::Package(Box::new(Draft {
            architecture: record.subdir,
            licences: record.license.into_iter().collect(),
            needs: needs.map(|name| Need::AnyOf(vec![name.to_owned()])).collect(),
            ..Draft::new(PackageKind::Conda, &record.name, Some(&record.version))
        }))])
    }
}
