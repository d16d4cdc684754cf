//! The files that tell what is inside an image. Each target is an image of one file, or a few bytes put where a file has
//! them: the first byte says which.

use std::io::{Cursor, Read};
use std::sync::LazyLock;

use object::write::{Object, StandardSegment};
use object::{Architecture, BinaryFormat, Endianness, SectionKind};

use proofmark_oci::Descriptor;
use proofmark_oci::union::Layer;
use proofmark_sbom::{Listing, Options};
use proofmark_types::{Digest, MediaType};

use crate::targets::read_tar;

/// The files that catalogers read most, each under its name.
pub fn catalog(data: &[u8]) {
    const PATHS: [&str; 11] = [
        "var/lib/dpkg/status",
        "var/lib/dpkg/info/app.md5sums",
        "usr/share/doc/app/copyright",
        "lib/apk/db/installed",
        "etc/os-release",
        "usr/lib/python3/dist-packages/app-1.0.dist-info/METADATA",
        "usr/lib/python3/dist-packages/app-1.0.dist-info/RECORD",
        "app/node_modules/app/package.json",
        "app/package-lock.json",
        "usr/bin/app",
        "var/lib/dpkg/status.d/app",
    ];
    read_one_of(&PATHS, data);
}

/// rpm's database in its forms.
pub fn rpm(data: &[u8]) {
    const PATHS: [&str; 4] = [
        "var/lib/rpm/Packages",
        "var/lib/rpm/Packages.db",
        "var/lib/rpm/rpmdb.sqlite",
        "var/lib/rpmmanifest/container-manifest-2",
    ];
    read_one_of(&PATHS, data);
}

/// Java's archives and Python's wheels.
pub fn archive(data: &[u8]) {
    const PATHS: [&str; 4] = [
        "app/app-1.0.jar",
        "app/app.war",
        "app/all.ear",
        "app/app-1.0-py3-none-any.whl",
    ];
    read_one_of(&PATHS, data);
}

/// Lock files.
pub fn lock_file(data: &[u8]) {
    const PATHS: [&str; 16] = [
        "app/Cargo.lock",
        "app/Package.resolved",
        "app/Pipfile.lock",
        "app/conan.lock",
        "app/npm-shrinkwrap.json",
        "app/package-lock.json",
        "app/packages.lock.json",
        "app/pdm.lock",
        "app/pnpm-lock.yaml",
        "app/poetry.lock",
        "app/pubspec.lock",
        "app/requirements.txt",
        "app/uv.lock",
        "app/yarn.lock",
        "app/Gemfile.lock",
        "app/composer.lock",
    ];
    read_one_of(&PATHS, data);
}

/// What other package managers write of each package.
pub fn package_record(data: &[u8]) {
    const PATHS: [&str; 9] = [
        "usr/lib/ruby/gems/specifications/app-1.0.gemspec",
        "app/vendor/composer/installed.json",
        "app/app.deps.json",
        "opt/conda/conda-meta/app-1.0-0.json",
        "usr/lib/python3/dist-packages/app.egg-info",
        "var/lib/pacman/local/app-1.0-1/desc",
        "var/lib/pacman/local/app-1.0-1/files",
        "usr/lib/opkg/status",
        "usr/lib/jvm/java/release",
    ];
    read_one_of(&PATHS, data);
}

/// Programs as they are, and what build tools put into them.
pub fn program(data: &[u8]) {
    const PATHS: [&str; 5] = [
        "usr/bin/app",
        "usr/bin/python3.11",
        "usr/sbin/nginx",
        "usr/lib/libcrypto.so.3",
        "boot/vmlinuz-6.1.0",
    ];
    const SECTIONS: [&str; 3] = [".dep-v0", ".go.buildinfo", ".note.package"];
    let Some((which, content)) = data.split_first() else {
        return;
    };
    match SECTIONS.get(usize::from(*which)) {
        None => read_one_of(&PATHS, data),
        Some(section) => {
            let content = match *section {
                // Compressed there: the fuzzer is to find ways through the list, not through the compression.
                ".dep-v0" => deflated(content),
                _ => content.to_vec(),
            };
            read_file("usr/bin/app", &with_section(section, &content));
        }
    }
}

/// What is kept of a layer: of a tar with one file.
pub(crate) static LISTING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let tar = tar_of(
        "var/lib/dpkg/status",
        b"Package: app\nStatus: install ok installed\nVersion: 1.0-1\n",
    );
    let media_type = MediaType::parse("application/vnd.oci.image.layer.v1.tar").expect("a media type");
    let descriptor = Descriptor::of(media_type, &tar);
    let diff_id = Digest::sha256_of(&tar);
    let source = move || -> std::io::Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(tar.clone()))) };
    let layer = Layer {
        descriptor: &descriptor,
        diff_id: &diff_id,
        source: &source,
    };
    let listing = Listing::read(&layer, 0, &Options::default()).expect("a layer");
    listing.encode()
});

/// How much of it names the program that wrote it: what another wrote is not read.
pub(crate) fn listing_prefix() -> usize {
    let digest = LISTING.windows(7).position(|part| part == b"sha256:");
    // A byte with the length of the digest goes before it.
    digest.expect("the digest of the layer") - 1
}

/// What the cache of layers keeps, behind the name of this program.
pub fn layer_listing(data: &[u8]) {
    let bytes = [&LISTING[..listing_prefix()], data].concat();
    let Ok(listing) = Listing::decode(&bytes) else { return };
    let _ = listing.check();
    assert_eq!(Listing::decode(&listing.encode()).expect("what was written"), listing);
}

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::new();
    let mut encoder = flate2::read::ZlibEncoder::new(content, flate2::Compression::fast());
    encoder.read_to_end(&mut deflated).expect("memory");
    deflated
}

/// An ELF file with one section.
fn with_section(name: &str, content: &[u8]) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let segment = object.segment_name(StandardSegment::Data).to_vec();
    let section = object.add_section(segment, name.as_bytes().to_vec(), SectionKind::Data);
    object.append_section_data(section, content, 16);
    object.write().expect("an object")
}

fn read_one_of(paths: &[&str], data: &[u8]) {
    if let Some((which, content)) = data.split_first() {
        read_file(paths[usize::from(*which) % paths.len()], content);
    }
}

/// Reads an image of one file.
fn read_file(path: &str, content: &[u8]) {
    read_tar(&tar_of(path, content));
}

fn tar_of(path: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    header.set_cksum();
    builder.append_data(&mut header, path, content).expect("memory");
    builder.into_inner().expect("memory")
}
