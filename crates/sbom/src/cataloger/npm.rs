//! Node.js packages: the `package.json` at the root of each folder in a `node_modules`, and in Debian's
//! `usr/share/nodejs`, which is one by another name.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::{Cataloger, Draft, Fact, Need, Unreadable};
use crate::bill::PackageKind;

/// Reads `package.json`.
pub(super) struct Npm;

/// Debian's folder of Node.js packages.
const DEBIAN_MODULES: &str = "usr/share/nodejs/";

impl Cataloger for Npm {
    fn wants(&self, path: &str) -> bool {
        package_folder(path).is_some()
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let manifest: PackageJson = serde_json::from_slice(bytes)
            .map_err(|error| Unreadable::new("npm-package-json-malformed", error.to_string()))?;
        let Some(name) = text(manifest.name.as_ref()) else {
            // A marker such as {"type":"module"}; the folder's name is no identity.
            return Ok(Vec::new());
        };
        let version = text(manifest.version.as_ref());
        let installed_as = package_folder(path).map(|(_, name)| name.to_owned());
        let needed = manifest.dependencies.as_ref().and_then(Value::as_object);
        let mut licences = Vec::new();
        collect_licences(manifest.license.as_ref(), &mut licences);
        collect_licences(manifest.licenses.as_ref(), &mut licences);
        let supplier = supplier(&manifest);
        Ok(vec![Fact::Package(Box::new(Draft {
            licences,
            supplier,
            homepage: text(manifest.homepage.as_ref()).map(str::to_owned),
            description: text(manifest.description.as_ref()).map(str::to_owned),
            needs: needed
                .into_iter()
                .flatten()
                .map(|(name, _)| Need::AnyOf(vec![name.clone()]))
                .collect(),
            provides: installed_as.into_iter().collect(),
            ..Draft::new(PackageKind::Npm, name, version)
        }))])
    }
}

/// The modules folder a `package.json` is in, and the name it is installed under, if it is a package's own and not one
/// of a folder inside the package.
pub(crate) fn package_folder(path: &str) -> Option<(&str, &str)> {
    let folder = path.strip_suffix("/package.json")?;
    let (modules, name) = match folder.rfind("node_modules/") {
        Some(at) if at == 0 || folder.get(..at).is_some_and(|before| before.ends_with('/')) => {
            folder.split_at(at + "node_modules/".len())
        }
        _ => folder.strip_prefix(DEBIAN_MODULES).map(|name| (DEBIAN_MODULES, name))?,
    };
    let is_root = match name.strip_prefix('@') {
        Some(scoped) => scoped.split('/').count() == 2,
        None => !name.contains('/'),
    };
    (is_root && !name.is_empty() && !name.starts_with('.')).then_some((modules, name))
}

#[derive(Deserialize)]
struct PackageJson {
    name: Option<Value>,
    version: Option<Value>,
    license: Option<Value>,
    licenses: Option<Value>,
    author: Option<Value>,
    maintainers: Option<Value>,
    contributors: Option<Value>,
    repository: Option<Value>,
    homepage: Option<Value>,
    description: Option<Value>,
    dependencies: Option<Value>,
    #[serde(flatten)]
    _rest: BTreeMap<String, serde::de::IgnoredAny>,
}

fn text(value: Option<&Value>) -> Option<&str> {
    value
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

/// Who wrote or keeps the package; else in whose account its source is.
fn supplier(manifest: &PackageJson) -> Option<String> {
    let person = |value: &Value| match value {
        Value::Object(person) => text(person.get("name"))
            .or_else(|| text(person.get("email")))
            .map(str::to_owned),
        person => text(Some(person)).map(str::to_owned),
    };
    let people = [&manifest.author, &manifest.maintainers, &manifest.contributors];
    let named = people.into_iter().flatten().find_map(|value| match value {
        Value::Array(values) => values.iter().find_map(person),
        value => person(value),
    });
    named.or_else(|| match &manifest.repository {
        Some(Value::Object(repository)) => account(text(repository.get("url"))?),
        repository => account(text(repository.as_ref())?),
    })
}

/// The account in a repository's address: `github.com/jshttp` of `git+https://github.com/jshttp/accepts.git`, of
/// `git@github.com:jshttp/accepts` and of npm's `jshttp/accepts`.
fn account(repository: &str) -> Option<String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.len() <= 100 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    for (host, short) in [
        ("github.com", "github:"),
        ("gitlab.com", "gitlab:"),
        ("bitbucket.org", "bitbucket:"),
    ] {
        let rest = repository
            .split_once(host)
            .and_then(|(_, rest)| rest.strip_prefix(['/', ':']))
            .or_else(|| repository.strip_prefix(short));
        let owner = rest.and_then(|rest| rest.split('/').next());
        if let Some(owner) = owner.filter(|owner| is_name(owner)) {
            return Some(format!("{host}/{owner}"));
        }
    }
    let (owner, name) = repository.split_once('/')?;
    (is_name(owner) && is_name(name)).then(|| format!("github.com/{owner}"))
}

/// `"MIT"`, `{"type":"MIT"}`, or a list of either.
fn collect_licences(value: Option<&Value>, into: &mut Vec<String>) {
    let one = |value: &Value| {
        let name = match value {
            Value::Object(members) => text(members.get("type")).or_else(|| text(members.get("name"))),
            value => text(Some(value)),
        };
        name.map(str::to_owned)
    };
    match value {
        Some(Value::Array(values)) => into.extend(values.iter().filter_map(one)),
        Some(value) => into.extend(one(value)),
        None => {}
    }
}
