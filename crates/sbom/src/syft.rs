//! Syft's own JSON, schema 16.0.18: what Syft 1.18 writes, and Syft and Grype read.
//!
//! Written is what a bill has. Of a package manager's own fields that is what Grype matches with: the source package,
//! the RPM module, a Java archive's coordinates and hashes. Of files only those are listed that could not be read. The format has no place for the time
//! or for a doubt about a package's identity.

use proofmark_types::Digest;
use serde_json::{Value, json};

use crate::bill::{Bill, Location, Note, Package, PackageKind};
use crate::document::{DocumentInfo, TOOL, line};

/// The schema's version, Syft 1.18.1's.
const SCHEMA: &str = "16.0.18";

/// The longest description written, in characters.
const MAX_LINE: usize = 400;

/// Writes the document; the same bytes for the same bill and information.
#[must_use]
pub fn write(bill: &Bill, info: &DocumentInfo) -> Vec<u8> {
    let owned = bill.packages.iter().filter_map(|package| {
        let owner = package.owned_by.as_ref()?;
        Some(json!({ "parent": owner, "child": package.id, "type": "ownership-by-file-overlap" }))
    });
    let needs = bill
        .relationships
        .iter()
        .map(|relationship| json!({ "parent": relationship.to, "child": relationship.from, "type": "dependency-of" }));
    let document = json!({
        "artifacts": bill.packages.iter().map(|package| artifact(bill, info, package)).collect::<Vec<_>>(),
        "artifactRelationships": owned.chain(needs).collect::<Vec<_>>(),
        "files": bill.notes.iter().map(not_read).collect::<Vec<_>>(),
        "source": source(bill, info),
        "distro": distribution(bill),
        "descriptor": { "name": TOOL, "version": info.tool_version },
        "schema": {
            "version": SCHEMA,
            "url": format!("https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-{SCHEMA}.json"),
        },
    });
    serde_json::to_vec(&document).unwrap_or_default()
}

/// A file that could not be read, where Syft says so of its own.
fn not_read(note: &Note) -> Value {
    let path = format!("/{}", line(&note.path, 4096));
    let id = Digest::sha256_of(path.as_bytes()).hex();
    json!({
        "id": id.get(..16).unwrap_or(&id), "location": { "path": path },
        "unknowns": [line(&format!("{} ({})", note.reason, note.code), MAX_LINE)],
    })
}

fn artifact(bill: &Bill, info: &DocumentInfo, package: &Package) -> Value {
    let details = info.details.get(&package.id);
    let cpes = details.into_iter().flat_map(|details| &details.cpes);
    let licences = package.licences.iter().map(|licence| {
        json!({
            "value": licence.text(), "spdxExpression": licence.expression().unwrap_or_default(), "type": "declared",
            "urls": [], "locations": [],
        })
    });
    let mut artifact = json!({
        "id": package.id,
        "name": line(&package.name, MAX_LINE),
        "version": package.version.as_ref().map(|version| line(version, MAX_LINE)).unwrap_or_default(),
        "type": word(package.kind),
        "foundBy": format!("{TOOL}-{}", package.kind),
        "locations": package.locations.iter().map(|place| location(bill, place)).collect::<Vec<_>>(),
        "licenses": licences.collect::<Vec<_>>(),
        "language": language(package.kind),
        "cpes": cpes.map(|cpe| json!({ "cpe": cpe, "source": TOOL })).collect::<Vec<_>>(),
        "purl": package.purl.as_ref().map(ToString::to_string).unwrap_or_default(),
    });
    if let (Some((kind, metadata)), Some(artifact)) = (metadata(package), artifact.as_object_mut()) {
        artifact.insert("metadataType".to_owned(), json!(kind));
        artifact.insert("metadata".to_owned(), metadata);
    }
    artifact
}

fn location(bill: &Bill, place: &Location) -> Value {
    let path = format!("/{}", line(&place.path, 4096));
    match bill.layers.get(place.layer) {
        Some(layer) => json!({ "path": path, "accessPath": path, "layerID": layer.diff_id }),
        None => json!({ "path": path, "accessPath": path }),
    }
}

/// Syft's word for a kind (`syft/pkg/type.go`).
fn word(kind: PackageKind) -> &'static str {
    match kind {
        PackageKind::Golang => "go-module",
        PackageKind::Pypi => "python",
        PackageKind::Cargo => "rust-crate",
        PackageKind::Maven => "java-archive",
        PackageKind::Composer => "php-composer",
        PackageKind::Nuget => "dotnet",
        PackageKind::Pub => "dart-pub",
        PackageKind::Generic => "binary",
        PackageKind::Unknown => "UnknownPackage",
        PackageKind::Alpm
        | PackageKind::Apk
        | PackageKind::Conan
        | PackageKind::Conda
        | PackageKind::Deb
        | PackageKind::Gem
        | PackageKind::Npm
        | PackageKind::Rpm
        | PackageKind::Swift => kind.purl_type(),
    }
}

fn language(kind: PackageKind) -> &'static str {
    match kind {
        PackageKind::Golang => "go",
        PackageKind::Pypi => "python",
        PackageKind::Cargo => "rust",
        PackageKind::Maven => "java",
        PackageKind::Composer => "php",
        PackageKind::Nuget => "dotnet",
        PackageKind::Pub => "dart",
        PackageKind::Npm => "javascript",
        PackageKind::Gem => "ruby",
        PackageKind::Swift => "swift",
        PackageKind::Conan => "c++",
        _ => "",
    }
}

/// The fields of the package managers from which Grype takes what it matches.
fn metadata(package: &Package) -> Option<(&'static str, Value)> {
    let source = package.source.as_ref();
    let name = source.map(|source| source.name.as_str()).unwrap_or_default();
    let architecture = package
        .purl
        .as_ref()
        .and_then(|purl| purl.qualifier("arch"))
        .unwrap_or_default();
    let version = package.version.as_deref().unwrap_or_default();
    let supplier = line(package.supplier.as_deref().unwrap_or_default(), MAX_LINE);
    let description = line(package.description.as_deref().unwrap_or_default(), MAX_LINE);
    match package.kind {
        PackageKind::Deb => Some((
            "dpkg-db-entry",
            json!({
                "package": package.name, "source": name, "version": version,
                "sourceVersion": source.and_then(|source| source.version.as_deref()).unwrap_or_default(),
                "architecture": architecture, "maintainer": supplier, "installedSize": 0, "files": [],
            }),
        )),
        PackageKind::Apk => Some((
            "apk-db-entry",
            json!({
                "package": package.name, "originPackage": name, "maintainer": supplier, "version": version,
                "architecture": architecture, "url": package.homepage.as_deref().unwrap_or_default(),
                "description": description, "size": 0, "installedSize": 0, "pullDependencies": [], "provides": [],
                "pullChecksum": "", "gitCommitOfApkPort": "", "files": [],
            }),
        )),
        PackageKind::Rpm => {
            let (epoch, rest) = match version.split_once(':') {
                Some((epoch, rest)) => (epoch.parse::<u32>().ok(), rest),
                None => (None, version),
            };
            let (number, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
            let upstream = package.purl.as_ref().and_then(|purl| purl.qualifier("upstream"));
            Some((
                "rpm-db-entry",
                json!({
                    "name": package.name, "version": number, "epoch": epoch, "architecture": architecture,
                    "release": release, "sourceRpm": upstream.filter(|text| text.ends_with(".rpm")).unwrap_or_default(),
                    "size": 0, "vendor": supplier, "modularityLabel": package.modularity, "files": [],
                }),
            ))
        }
        PackageKind::Maven => {
            let hashes = package.hashes.iter().map(
                |hash| json!({ "algorithm": hash.algorithm().spdx_name().to_ascii_lowercase(), "value": hash.hex() }),
            );
            Some((
                "java-archive",
                json!({
                    "virtualPath": package.locations.first().map(|place| format!("/{}", place.path)).unwrap_or_default(),
                    "pomProperties": {
                        "path": "", "name": "", "groupId": package.group.as_deref().unwrap_or_default(),
                        "artifactId": package.name, "version": version,
                    },
                    "digest": hashes.collect::<Vec<_>>(),
                }),
            ))
        }
        _ => None,
    }
}

fn source(bill: &Bill, info: &DocumentInfo) -> Value {
    let digest = info.digest.as_ref().map(ToString::to_string).unwrap_or_default();
    let layers = bill.layers.iter().map(|layer| {
        json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer.diff_id, "size": layer.size })
    });
    let platform = info.platform.as_ref();
    json!({
        "id": info.digest.as_ref().map(|digest| digest.hex()).unwrap_or_default(),
        "name": line(&info.name, MAX_LINE),
        "version": digest,
        "type": "image",
        "metadata": {
            "userInput": line(&info.name, MAX_LINE),
            "imageID": "",
            "manifestDigest": digest,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "tags": [],
            "imageSize": bill.layers.iter().map(|layer| layer.size).sum::<u64>(),
            "layers": layers.collect::<Vec<_>>(),
            "manifest": null,
            "config": null,
            "repoDigests": [],
            "architecture": platform.map(|platform| platform.architecture.as_str()).unwrap_or_default(),
            "os": platform.map(|platform| platform.os.as_str()).unwrap_or_default(),
        },
    })
}

fn distribution(bill: &Bill) -> Value {
    let Some(distribution) = &bill.distribution else {
        return json!({});
    };
    json!({
        "id": distribution.id,
        "versionID": distribution.version_id,
        "prettyName": distribution.name,
        "name": distribution.name,
        "versionCodename": distribution.codename,
    })
}
