//! Node.js packages: the `package.json` at the root of each folder in a `node_modules`, and in Debian's
//! `usr/share/nodejs`, which is one by another name.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::text::named;
use super::{Cataloger, Draft, Fact, Need, Unreadable};
use crate::bill::{PackageKind, Uncertainty};

/// Reads `package.json`.
pub(super) struct Npm;

/// Debian's folder of Node.js packages.
const DEBIAN_MODULES: &str = "usr/share/nodejs/";

impl Cataloger for Npm {
    fn wants(&self, path: &str) -> bool {
        package_folder(path).is_some() || is_application(path)
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
        let application = installed_as.is_none();
        Ok(vec![Fact::Package(Box::new(Draft {
            licences,
            supplier,
            homepage: text(manifest.homepage.as_ref())
                .map(str::to_owned)
                .or_else(|| Some(format!("https://{}", account_and_name(&manifest)?))),
            description: text(manifest.description.as_ref()).map(str::to_owned),
            needs: needed
                .into_iter()
                .flatten()
                .map(|(name, _)| Need::AnyOf(vec![name.clone()]))
                .collect(),
            // Whatever it is called, it was not fetched under that name.
            uncertain: match version {
                Some(_) => application.then_some(Uncertainty::NotFromRegistry),
                None => Some(Uncertainty::NoVersion),
            },
            application,
            provides: installed_as.into_iter().collect(),
            // Which of those that it may do without it has, and uses, it does not say.
            says_needs: ![&manifest.optional_dependencies, &manifest.peer_dependencies]
                .into_iter()
                .flatten()
                .any(|names| names.as_object().is_some_and(|names| !names.is_empty())),
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

/// Whether it is the `package.json` of an application, if it is one: `assemble` asks whether packages are installed
/// beside it. Below `usr` lie those of packages, as test data and documentation.
fn is_application(path: &str) -> bool {
    let folder = match path.strip_suffix("package.json") {
        Some("") => "",
        Some(folder) if folder.ends_with('/') => folder,
        _ => return false,
    };
    let of_system = folder.starts_with("usr/") && !folder.starts_with("usr/src/") && !folder.starts_with("usr/local/");
    !of_system && !folder.split('/').any(|part| part == "node_modules")
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
    #[serde(rename = "optionalDependencies")]
    optional_dependencies: Option<Value>,
    #[serde(rename = "peerDependencies")]
    peer_dependencies: Option<Value>,
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
        Value::Object(person) => {
            let field = |name| text(person.get(name)).map(str::to_owned);
            let named = named(field("name"), field("email"))?;
            Some(match field("url") {
                Some(url) if field("email").is_none() => format!("{named} ({url})"),
                _ => named,
            })
        }
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

/// The page of a repository at a well-known forge: `github.com/jshttp/accepts`.
fn account_and_name(manifest: &PackageJson) -> Option<String> {
    let repository = match &manifest.repository {
        Some(Value::Object(repository)) => text(repository.get("url")),
        repository => text(repository.as_ref()),
    }?;
    let account = account(repository)?;
    let (_, owner) = account.split_once('/')?;
    let rest = repository.split_once(owner)?.1.strip_prefix('/')?;
    let name = rest.split(['/', '#', '?']).next().unwrap_or_default();
    let name = name.strip_suffix(".git").unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (!name.is_empty() && name.len() <= 100 && name.bytes().all(plain)).then(|| format!("{account}/{name}"))
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
