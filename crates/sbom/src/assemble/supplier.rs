//! Who supplies a package that does not say it: the owner of its name, where a registry gives names to owners.

use crate::bill::{Package, PackageKind};
use crate::cataloger::Draft;

/// Forges, where the first element of a path is a person's or an organisation's.
const FORGES: [&str; 5] = ["github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitee.com"];

/// What the package says; else, of what lies in a system package's files, who supplies that package (SPDX 2.3, 7.5: the
/// actual distribution source); else whose its name is: a Maven group, an npm scope, a Composer vendor, a Go module's account
/// or domain. A group that is no domain (`commons-io`) is a project's own.
pub(super) fn supplier(draft: &Draft, owned_by: Option<&Package>) -> Option<String> {
    let said = draft.supplier.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let of_system = || Some(format!("Organization: {}", owned_by?.supplier.as_deref()?));
    let of_name = || owner(draft).map(str::to_owned);
    said.map(str::to_owned).or_else(of_system).or_else(of_name)
}

/// The page of the project, where the package says it; of a Go module the address that the `go` command itself asks for it
/// (Go Modules Reference, "Finding a repository for a module path").
pub(super) fn homepage(draft: &Draft) -> Option<String> {
    let said = draft.homepage.clone();
    said.or_else(|| {
        (draft.kind == PackageKind::Golang)
            .then(|| module_address(&draft.name))
            .flatten()
    })
}

fn module_address(path: &str) -> Option<String> {
    if path == "stdlib" {
        return Some("https://pkg.go.dev/std".to_owned());
    }
    let owner = module_owner(path)?;
    let host = path.split('/').next().unwrap_or_default();
    let elements = match FORGES.contains(&host) && owner != host {
        // Host, account and repository; the rest is a folder in it.
        true => 3,
        false => usize::MAX,
    };
    let path: Vec<&str> = path.split('/').take(elements).collect();
    Some(format!("https://{}", path.join("/")))
}

fn owner(draft: &Draft) -> Option<&str> {
    let name = draft.name.as_str();
    match draft.kind {
        PackageKind::Maven | PackageKind::Swift => draft.group.as_deref(),
        PackageKind::Npm => name
            .split_once('/')
            .map(|(scope, _)| scope)
            .filter(|s| s.starts_with('@')),
        PackageKind::Composer => name.split_once('/').map(|(vendor, _)| vendor),
        PackageKind::Golang if name == "stdlib" => Some("The Go Authors"),
        PackageKind::Golang => module_owner(name),
        _ => None,
    }
}

fn module_owner(path: &str) -> Option<&str> {
    let (host, rest) = path.split_once('/')?;
    if !host.contains('.') || host.starts_with('.') {
        return None;
    }
    let account = rest.split('/').next().unwrap_or_default();
    if FORGES.contains(&host) && !account.is_empty() {
        path.get(..host.len() + 1 + account.len())
    } else {
        Some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: PackageKind, group: Option<&str>, name: &str) -> Option<String> {
        let mut draft = Draft::new(kind, name, Some("1"));
        draft.group = group.map(str::to_owned);
        supplier(&draft, None)
    }

    #[test]
    fn names_that_registries_give_to_owners_name_the_owner() {
        for (kind, group, name, expected) in [
            (PackageKind::Maven, Some("org.example"), "a", Some("org.example")),
            (PackageKind::Maven, None, "a", None),
            (PackageKind::Npm, None, "@babel/core", Some("@babel")),
            (PackageKind::Npm, None, "lodash", None),
            (PackageKind::Composer, None, "symfony/console", Some("symfony")),
            (PackageKind::Golang, None, "github.com/a/b/v2", Some("github.com/a")),
            (PackageKind::Golang, None, "golang.org/x/net", Some("golang.org")),
            (PackageKind::Golang, None, "stdlib", Some("The Go Authors")),
            (PackageKind::Golang, None, "./local/thing", None),
            (PackageKind::Golang, None, "main", None),
            (PackageKind::Pypi, None, "requests", None),
            (PackageKind::Deb, None, "a/b", None),
        ] {
            assert_eq!(of(kind, group, name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_module_path_is_an_address() {
        let page = |name| homepage(&Draft::new(PackageKind::Golang, name, Some("v1")));
        for (name, expected) in [
            ("github.com/a/b/v2", Some("https://github.com/a/b")),
            ("github.com/a/b/sub/folder", Some("https://github.com/a/b")),
            ("golang.org/x/net", Some("https://golang.org/x/net")),
            ("stdlib", Some("https://pkg.go.dev/std")),
            ("./local/thing", None),
            ("main", None),
        ] {
            assert_eq!(page(name).as_deref(), expected, "{name}");
        }
        assert_eq!(homepage(&Draft::new(PackageKind::Cargo, "golang.org/x", None)), None);
        let mut said = Draft::new(PackageKind::Golang, "golang.org/x/net", None);
        said.homepage = Some("https://example.org".to_owned());
        assert_eq!(homepage(&said).as_deref(), Some("https://example.org"));
    }

    #[test]
    fn what_the_package_says_goes_first() {
        let mut draft = Draft::new(PackageKind::Npm, "@babel/core", Some("1"));
        draft.supplier = Some("Ann".to_owned());
        assert_eq!(supplier(&draft, None).as_deref(), Some("Ann"));
        draft.supplier = Some(" ".to_owned());
        assert_eq!(supplier(&draft, None).as_deref(), Some("@babel"));
    }
}
