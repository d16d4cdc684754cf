//! Images for tests: each layer a tar of files.

use std::io::{self, Read, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use proofmark_oci::union::{Layer, LayerSource};
use proofmark_oci::{Descriptor, media_types};
use proofmark_sbom::{Bill, DocumentInfo, Options, Package, SbomError, catalog};
use proofmark_types::{Digest, MediaType, UnixTime};

/// A layer under construction.
pub(crate) struct Files(tar::Builder<Vec<u8>>);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.mode(path, 0o644, content.as_ref())
    }

    pub(crate) fn program(self, path: &str, content: &[u8]) -> Self {
        self.mode(path, 0o755, content)
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.linked(tar::EntryType::Link, path, target)
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.linked(tar::EntryType::Symlink, path, target)
    }

    /// Of these bytes, whatever they are.
    pub(crate) fn raw(tar: &[u8]) -> Self {
        let mut files = Self::new();
        files.0.get_mut().extend_from_slice(tar);
        files
    }

    fn mode(mut self, path: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).expect("a length"));
        header.set_mode(mode);
        self.0
            .append_data(&mut header, path, content)
            .expect("memory takes all");
        self
    }

    fn linked(mut self, kind: tar::EntryType, path: &str, target: &str) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o755);
        self.0.append_link(&mut header, path, target).expect("memory takes all");
        self
    }
}

/// An image's layers and what is said of them.
pub(crate) struct Image {
    blobs: Vec<(Descriptor, Digest, Blob)>,
}

struct Blob(Vec<u8>);

impl LayerSource for Blob {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0.as_slice()))
    }
}

impl Image {
    /// Of layers, lowest first.
    pub(crate) fn of(layers: impl IntoIterator<Item = Files>) -> Self {
        let blobs = layers.into_iter().map(|files| {
            let tar = files.0.into_inner().expect("memory takes all");
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&tar).expect("memory takes all");
            let blob = encoder.finish().expect("memory takes all");
            let media_type = MediaType::parse(media_types::OCI_LAYER_GZIP).expect("a media type");
            (Descriptor::of(media_type, &blob), Digest::sha256_of(&tar), Blob(blob))
        });
        Self { blobs: blobs.collect() }
    }

    pub(crate) fn layers(&self) -> Vec<Layer<'_>> {
        self.blobs
            .iter()
            .map(|(descriptor, diff_id, source)| Layer {
                descriptor,
                diff_id,
                source,
            })
            .collect()
    }

    pub(crate) fn catalog(&self, options: &Options) -> Result<Bill, SbomError> {
        catalog(&self.layers(), options)
    }

    pub(crate) fn bill(&self) -> Bill {
        self.catalog(&Options::default()).expect("a good image")
    }

    /// The bytes of a layer, to damage them.
    pub(crate) fn blob(&mut self, layer: usize) -> &mut Vec<u8> {
        &mut self.blobs[layer].2.0
    }
}

pub(crate) fn named<'b>(bill: &'b Bill, name: &str) -> &'b Package {
    let mut found = bill.packages.iter().filter(|package| package.name == name);
    let first = found.next().unwrap_or_else(|| panic!("no package {name}"));
    assert!(found.next().is_none(), "several packages {name}");
    first
}

/// `from -> to`, by name.
pub(crate) fn needs(bill: &Bill) -> Vec<String> {
    let name = |id| bill.package(id).map_or("?", |package| package.name.as_str());
    let mut needs: Vec<String> = bill
        .relationships
        .iter()
        .map(|needed| format!("{} -> {}", name(&needed.from), name(&needed.to)))
        .collect();
    needs.sort();
    needs
}

pub(crate) fn info() -> DocumentInfo {
    DocumentInfo {
        created: UnixTime::parse("2026-11-21T07:13:00Z").expect("a time"),
        name: "registry.example.com/team/app:1.0".to_owned(),
        digest: Some(Digest::sha256_of(b"manifest")),
        repository: None,
        platform: None,
        supplier: None,
        authors: Vec::new(),
        tool_version: "0.1.0".to_owned(),
        details: std::collections::BTreeMap::new(),
    }
}

pub(crate) const OS_RELEASE: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";

/// A small Debian: three layers, a package upgraded, one removed, language packages owned and not owned.
pub(crate) fn debian() -> Image {
    let base = Files::new()
        .file("usr/lib/os-release", OS_RELEASE)
        .symlink("etc/os-release", "../usr/lib/os-release")
        .file(
            "var/lib/dpkg/status",
            status(&["libc6 2.36-9", "curl 7.88.1-9", "doomed 1.0"]),
        )
        .file(
            "var/lib/dpkg/info/libc6:amd64.list",
            "/.\n/lib\n/lib/x86_64-linux-gnu/libc.so.6\n",
        )
        .file("var/lib/dpkg/info/curl.list", "/usr/bin/curl\n")
        .file("var/lib/dpkg/info/doomed.list", "/usr/bin/doomed\n")
        .file(
            "usr/share/doc/libc6/copyright",
            "Format: x\n\nFiles: *\nLicense: LGPL-2.1+\n",
        )
        .symlink("usr/share/doc/curl", "libc6")
        .file("usr/bin/doomed", "x");
    let upgrade = Files::new()
        .file(
            "var/lib/dpkg/status",
            status(&[
                "libc6 2.36-9",
                "curl 7.88.1-10",
                "python3-six 1.16.0-4",
                "node-abbrev 1.1.1-2",
            ]),
        )
        .file("var/lib/dpkg/info/curl.list", "/usr/bin/curl\n")
        .file("var/lib/dpkg/info/.wh.doomed.list", "")
        .file("usr/bin/.wh.doomed", "")
        .file(
            "var/lib/dpkg/info/python3-six.list",
            "/usr/lib/python3/dist-packages/six-1.16.0.egg-info\n",
        )
        .file(
            "usr/lib/python3/dist-packages/six-1.16.0.egg-info",
            "Name: six\nVersion: 1.16.0\n",
        )
        .file(
            "var/lib/dpkg/info/node-abbrev.list",
            "/usr/share/nodejs/abbrev/package.json\n",
        )
        .file(
            "usr/share/nodejs/abbrev/package.json",
            r#"{"name":"abbrev","version":"1.1.1","license":"ISC"}"#,
        );
    let app = Files::new()
        .file(
            "app/node_modules/web/package.json",
            r#"{"name":"web","version":"1.0.0","dependencies":{"abbrev":"1","left":"*"}}"#,
        )
        .file(
            "app/node_modules/web/node_modules/left/package.json",
            r#"{"name":"left","version":"2.0.0","license":"See the file"}"#,
        )
        .file(
            "app/node_modules/left/package.json",
            r#"{"name":"left-outer","version":"1.0.0"}"#,
        )
        .file("app/store/abbrev.json", r#"{"name":"abbrev","version":"1.0.9"}"#)
        .link("app/node_modules/abbrev/package.json", "app/store/abbrev.json")
        .file(
            "srv/lib/Flask-2.0.dist-info/METADATA",
            "Name: Flask\nVersion: 2.0\nLicense: BSD-3-Clause\nRequires-Dist: six>=1\n",
        )
        .file("srv/lib/six-1.0.dist-info/METADATA", "Name: six\nVersion: 1.0\n");
    Image::of([base, upgrade, app])
}

/// A dpkg status of `name version`s.
pub(crate) fn status(packages: &[&str]) -> String {
    let paragraph = |package: &&str| {
        let (name, version) = package.split_once(' ').expect("name version");
        let depends = if name == "libc6" { "" } else { "Depends: libc6 (>= 2)\n" };
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n{depends}\n")
    };
    packages.iter().map(paragraph).collect()
}
