//! Names the state of the catalogers and of what they stand on, so that what was kept of a layer is read only by the
//! program that wrote it.

#![expect(clippy::disallowed_methods, reason = "a build script reads files and tells cargo")]

use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let mut hasher = DefaultHasher::new();
    std::env::var("CARGO_PKG_VERSION")?.hash(&mut hasher);
    // The lock file stands for the libraries that inflate and parse.
    for part in ["src", "../oci/src", "../types/src", "../../Cargo.lock"] {
        let path = here.join(part);
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
            hash(&path, &here, &mut hasher)?;
        }
    }
    println!("cargo:rustc-env=PROOFMARK_CATALOG_VERSION={:016x}", hasher.finish());
    Ok(())
}

fn hash(path: &Path, root: &Path, hasher: &mut DefaultHasher) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        return paths.iter().try_for_each(|path| hash(path, root, hasher));
    }
    // The same sources elsewhere are the same.
    path.strip_prefix(root)?.hash(hasher);
    fs::read(path)?.hash(hasher);
    Ok(())
}
