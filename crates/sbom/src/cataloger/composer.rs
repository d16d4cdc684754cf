//! PHP packages: Composer's list of what is installed, and `composer.lock`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::lock::is_foreign;
use super::text::named;
use super::{Cataloger, Draft, Fact, Need, Unreadable};
use crate::bill::{PackageKind, Uncertainty};

/// Reads both.
pub(super) struct Composer;

const INSTALLED: &str = "vendor/composer/installed.json";

impl Cataloger for Composer {
    fn wants(&self, path: &str) -> bool {
        is_file(path, INSTALLED) || (is_file(path, "composer.lock") && !is_foreign(path))
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let malformed = |error: serde_json::Error| Unreadable::new("composer-json-malformed", error.to_string());
        // Composer 1 wrote the bare list.
        let list: List = serde_json::from_slice(bytes).map_err(malformed)?;
        let packages = match list {
            List::Bare(packages) | List::Named { packages } => packages,
        };
        let locked = !is_file(path, INSTALLED);
        let drafts = packages.into_iter().map(|package| draft(package, locked));
        Ok(drafts.map(|draft| Fact::Package(Box::new(draft))).collect())
    }
}

fn is_file(path: &str, name: &str) -> bool {
    path.strip_suffix(name)
        .is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Bare(Vec<Package>),
    Named { packages: Vec<Package> },
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
    license: Option<Value>,
    description: Option<String>,
    homepage: Option<String>,
    #[serde(default)]
    authors: Vec<Author>,
    /// An empty one is written as a list.
    require: Option<Value>,
    dist: Option<Dist>,
}

#[derive(Deserialize)]
struct Author {
    name: Option<String>,
    email: Option<String>,
}

#[derive(Deserialize)]
struct Dist {
    r#type: Option<String>,
    #[serde(flatten)]
    _rest: BTreeMap<String, serde::de::IgnoredAny>,
}

fn draft(package: Package, locked: bool) -> Draft {
    let licences = match &package.license {
        // Several are to be chosen from.
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            (!names.is_empty()).then(|| names.join(" OR ")).into_iter().collect()
        }
        Some(Value::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    let required = package.require.as_ref().and_then(Value::as_object);
    let is_local = package.dist.and_then(|dist| dist.r#type).as_deref() == Some("path");
    let mut draft = Draft {
        licences,
        supplier: package
            .authors
            .into_iter()
            .find_map(|author| named(author.name, author.email)),
        homepage: package.homepage,
        description: package.description,
        locked,
        // `php` and `ext-…` are the platform, not packages.
        needs: required
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.contains('/'))
            .map(|(name, _)| Need::AnyOf(vec![name.clone()]))
            .collect(),
        says_needs: true,
        ..Draft::new(PackageKind::Composer, &package.name, package.version.as_deref())
    };
    if is_local {
        draft.uncertain = Some(Uncertainty::NotFromRegistry);
    } else if locked {
        draft.uncertain = Some(Uncertainty::NotInstalled);
    }
    draft
}
