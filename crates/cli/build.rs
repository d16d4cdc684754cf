//! Embeds the list of crates that the binary is linked from, in the `.dep-v0` section that `cargo auditable` defined:
//! zlib-compressed JSON that Syft, Trivy, cargo-audit and Proofmark's own cataloger read. So the binary that `demo`
//! puts into an image has a real bill of materials, and so has every released one.
//!
//! The list comes from `cargo metadata`, as cargo-auditable's does. Where it cannot be had the build goes on without
//! it and says so: a missing list is visible in an SBOM, a failed build would only be a nuisance.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use serde::{Deserialize, Serialize};

/// Keeps the section through `--gc-sections`: the linker is told that this symbol is wanted.
const SYMBOL: &str = "PROOFMARK_DEPENDENCY_LIST";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.toml");
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    if let Err(error) = embed() {
        println!("cargo:warning=the binary will carry no dependency list: {error}");
    }
}

fn embed() -> Result<(), Box<dyn Error>> {
    let target = env::var("TARGET")?;
    let Some(format) = binary_format() else {
        return Err(format!("its format on {target} has no .dep-v0 section").into());
    };
    let architecture = architecture().ok_or_else(|| format!("unknown architecture of {target}"))?;
    let list = dependency_list(&metadata(&target)?)?;
    let mut compressed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    compressed.write_all(&serde_json::to_vec(&list)?)?;
    let object = object_file(format, architecture, &compressed.finish()?)?;
    let path = PathBuf::from(env::var("OUT_DIR")?).join("dependency-list.o");
    fs::write(&path, object)?;
    println!("cargo:rustc-link-arg-bins={}", path.display());
    let prefix = if format == BinaryFormat::MachO { "_" } else { "" };
    println!("cargo:rustc-link-arg-bins=-Wl,-u,{prefix}{SYMBOL}");
    Ok(())
}

fn binary_format() -> Option<BinaryFormat> {
    match env::var("CARGO_CFG_TARGET_OS").ok()?.as_str() {
        "linux" | "freebsd" | "netbsd" | "openbsd" => Some(BinaryFormat::Elf),
        "macos" => Some(BinaryFormat::MachO),
        _ => None,
    }
}

fn architecture() -> Option<Architecture> {
    match env::var("CARGO_CFG_TARGET_ARCH").ok()?.as_str() {
        "x86_64" => Some(Architecture::X86_64),
        "aarch64" => Some(Architecture::Aarch64),
        "riscv64" => Some(Architecture::Riscv64),
        "s390x" => Some(Architecture::S390x),
        "powerpc64" => Some(Architecture::PowerPc64),
        _ => None,
    }
}

fn object_file(format: BinaryFormat, architecture: Architecture, contents: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let endianness = match env::var("CARGO_CFG_TARGET_ENDIAN").as_deref() {
        Ok("big") => Endianness::Big,
        _ => Endianness::Little,
    };
    let mut file = Object::new(format, architecture, endianness);
    let segment = if format == BinaryFormat::MachO {
        b"__DATA".to_vec()
    } else {
        Vec::new()
    };
    let section = file.add_section(segment, b".dep-v0".to_vec(), SectionKind::ReadOnlyData);
    let offset = file.append_section_data(section, contents, 1);
    file.add_symbol(Symbol {
        name: SYMBOL.as_bytes().to_vec(),
        value: offset,
        size: u64::try_from(contents.len())?,
        kind: SymbolKind::Data,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    Ok(file.write()?)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    source: Option<String>,
    manifest_path: PathBuf,
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
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// The document of the `.dep-v0` section (cargo-auditable, "Data format").
#[derive(Serialize)]
struct List {
    packages: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    version: String,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    root: bool,
}

/// Offline first: whatever was just compiled is there. Development dependencies may not be, hence the second try.
fn metadata(target: &str) -> Result<Metadata, Box<dyn Error>> {
    let run = |offline: bool| -> Result<Metadata, Box<dyn Error>> {
        let mut command = Command::new(env::var("CARGO")?);
        command.args(["metadata", "--format-version", "1", "--filter-platform", target]);
        if offline {
            command.arg("--offline");
        }
        let output = command.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    run(true).or_else(|_| run(false))
}

/// What the binary is linked from, and what its build ran: development dependencies are left out.
fn dependency_list(metadata: &Metadata) -> Result<List, Box<dyn Error>> {
    let manifest = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    let root = metadata
        .packages
        .iter()
        .find(|package| package.manifest_path == manifest)
        .ok_or("cargo metadata does not list this package")?;
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let linked = reachable(&nodes, root, |kind| kind.is_none());
    let wanted = reachable(&nodes, root, |kind| kind != Some("dev"));
    let mut packages: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|p| wanted.contains(p.id.as_str()))
        .collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let position: BTreeMap<&str, usize> = packages.iter().enumerate().map(|(at, p)| (p.id.as_str(), at)).collect();
    let entry = |package: &&Package| {
        let dependencies: BTreeSet<usize> = nodes
            .get(package.id.as_str())
            .into_iter()
            .flat_map(|node| &node.deps)
            .filter(|dependency| dependency.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev")))
            .filter_map(|dependency| position.get(dependency.pkg.as_str()).copied())
            .collect();
        Entry {
            name: package.name.clone(),
            version: package.version.clone(),
            source: source_name(package.source.as_deref()),
            kind: (!linked.contains(package.id.as_str())).then_some("build"),
            dependencies: dependencies.into_iter().collect(),
            root: package.id == root.id,
        }
    };
    Ok(List {
        packages: packages.iter().map(entry).collect(),
    })
}

fn reachable<'m>(
    nodes: &BTreeMap<&'m str, &'m Node>,
    root: &'m Package,
    follows: impl Fn(Option<&str>) -> bool,
) -> BTreeSet<&'m str> {
    let mut seen = BTreeSet::from([root.id.as_str()]);
    let mut queue = vec![root.id.as_str()];
    while let Some(id) = queue.pop() {
        for dependency in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
            let followed = dependency.dep_kinds.iter().any(|kind| follows(kind.kind.as_deref()));
            if followed && seen.insert(dependency.pkg.as_str()) {
                queue.push(dependency.pkg.as_str());
            }
        }
    }
    seen
}

fn source_name(source: Option<&str>) -> &'static str {
    match source {
        Some(source) if source.starts_with("registry+") => "crates.io",
        Some(source) if source.starts_with("git+") => "git",
        Some(_) => "registry",
        None => "local",
    }
}
