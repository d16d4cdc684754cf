//! What `cargo metadata` says, as much of it as the rules need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// The workspace's packages and everything that they depend on.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// By name, those of this workspace.
    pub(super) members: BTreeMap<String, Member>,
}

/// A package of this workspace.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Its folder, relative to the repository, with `/`.
    pub(super) folder: String,
    /// The packages that it names under `[dependencies]`.
    pub(super) direct: BTreeSet<String>,
    /// All that is linked into it: normal dependencies of normal dependencies.
    pub(super) linked: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

/// `kind` is null for a normal dependency, else `dev` or `build`.
#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Asks cargo about the workspace at `root`.
pub(super) fn load(root: &Path) -> anyhow::Result<Packages> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    parse(&output.stdout, root)
}

fn parse(json: &[u8], root: &Path) -> anyhow::Result<Packages> {
    let metadata: Metadata = serde_json::from_slice(json).context("reading cargo metadata")?;
    let names: BTreeMap<&str, &str> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package.name.as_str()))
        .collect();
    let normal: BTreeMap<&str, Vec<&str>> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), normal_dependencies(node)))
        .collect();
    let mut members = BTreeMap::new();
    for package in &metadata.packages {
        if !metadata.workspace_members.contains(&package.id) {
            continue;
        }
        let folder = Path::new(&package.manifest_path)
            .parent()
            .and_then(|folder| folder.strip_prefix(root).ok())
            .with_context(|| format!("{} lies outside of the repository", package.name))?;
        let named = |ids: BTreeSet<&str>| {
            let known = ids.iter().filter_map(|id| names.get(id));
            known.map(|name| (*name).to_owned()).collect()
        };
        let direct = normal.get(package.id.as_str()).cloned().unwrap_or_default();
        let member = Member {
            folder: folder.to_string_lossy().replace('\\', "/"),
            direct: named(direct.into_iter().collect()),
            linked: named(reachable(&package.id, &normal)),
        };
        members.insert(package.name.clone(), member);
    }
    Ok(Packages { members })
}

fn normal_dependencies(node: &Node) -> Vec<&str> {
    let normal = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
    node.deps
        .iter()
        .filter(normal)
        .map(|dependency| dependency.pkg.as_str())
        .collect()
}

fn reachable<'a>(start: &str, graph: &BTreeMap<&str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut pending: Vec<&'a str> = graph.get(start).cloned().unwrap_or_default();
    while let Some(next) = pending.pop() {
        if seen.insert(next) {
            pending.extend(graph.get(next).into_iter().flatten());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_dependencies_are_followed_and_others_are_not() {
        let node = |id: &str, deps: serde_json::Value| serde_json::json!({"id": id, "deps": deps});
        let dep = |id: &str, kind: Option<&str>| serde_json::json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        let package = |id: &str, path: &str| serde_json::json!({"id": id, "name": id, "manifest_path": path});
        let json = serde_json::json!({
            "packages": [
                package("a", "/repo/crates/a/Cargo.toml"), package("b", "/cargo/b/Cargo.toml"),
                package("c", "/cargo/c/Cargo.toml"), package("d", "/cargo/d/Cargo.toml"),
            ],
            "workspace_members": ["a"],
            "resolve": {"nodes": [
                node("a", serde_json::json!([dep("b", None), dep("d", Some("dev"))])),
                node("b", serde_json::json!([dep("c", None), dep("d", Some("build"))])),
                node("c", serde_json::json!([dep("b", None)])),
                node("d", serde_json::json!([])),
            ]},
        });
        let packages = parse(json.to_string().as_bytes(), Path::new("/repo")).unwrap();
        let a = &packages.members["a"];
        assert_eq!(packages.members.len(), 1);
        assert_eq!(a.folder, "crates/a");
        assert_eq!(a.direct, BTreeSet::from(["b".to_owned()]));
        assert_eq!(a.linked, BTreeSet::from(["b".to_owned(), "c".to_owned()]));
    }
}
