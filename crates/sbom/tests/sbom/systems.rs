//! Images of distributions other than Debian and Alpine.

use std::io::Read as _;

use flate2::read::GzDecoder;
use proofmark_sbom::PackageKind;

use crate::image::{Files, Image, named, needs};

pub(crate) fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut inflated).expect("a fixture");
    inflated
}

/// Written by rpm 4.18 when it installed three packages built for these tests.
fn rpm_database() -> Vec<u8> {
    inflated(include_bytes!("../fixtures/rpm/rpmdb.sqlite.gz"))
}

const RHEL: &str = "ID=\"rhel\"\nVERSION_ID=\"9.4\"\nPRETTY_NAME=\"Red Hat Enterprise Linux 9.4\"\n";

#[test]
fn an_rpm_image() {
    let bill = Image::of([
        Files::new()
            .file("etc/os-release", RHEL)
            .file("usr/bin/tool", "tool\n")
            .file("var/lib/rpm/rpmdb.sqlite", "replaced further up"),
        Files::new()
            .file("usr/bin/app", "app\n")
            .file(
                "usr/lib/node_modules/inner/package.json",
                r#"{"name":"inner","version":"1.0.0"}"#,
            )
            .file("var/lib/rpm/rpmdb.sqlite", rpm_database()),
    ])
    .bill();
    assert_eq!(bill.notes, []);
    assert_eq!(bill.count(PackageKind::Rpm), 3);
    let app = named(&bill, "app");
    assert_eq!(app.modularity.as_deref(), Some("app:stable:8020020240101:abcdef12"));
    assert_eq!(
        app.purl.as_ref().map(ToString::to_string).as_deref(),
        Some(
            "pkg:rpm/redhat/app@1.4.0-3?arch=x86_64&distro=rhel-9.4&epoch=2&rpmmod=app:stable:8020020240101:abcdef12\
             &upstream=app-1.4.0-3.src.rpm"
        )
    );
    let layer = |name| named(&bill, name).locations[0].layer;
    assert_eq!(
        (layer("tool"), layer("app")),
        (0, 1),
        "the database is in the upper layer, not the tool"
    );
    assert_eq!(named(&bill, "inner").owned_by, Some(app.id.clone()));
    assert_eq!(needs(&bill), ["app -> tool"]);
}

#[test]
fn a_broken_rpm_database_leaves_the_rest() {
    let bill = Image::of([Files::new()
        .file("etc/os-release", RHEL)
        .file(
            "usr/lib/node_modules/inner/package.json",
            r#"{"name":"inner","version":"1.0.0"}"#,
        )
        .file("var/lib/rpm/rpmdb.sqlite", &rpm_database()[..5000])
        .file("var/lib/rpm/Packages", "nothing of the kind")])
    .bill();
    let notes: Vec<_> = bill.notes.iter().map(|note| (note.path.as_str(), note.code)).collect();
    assert_eq!(
        notes,
        [
            ("var/lib/rpm/Packages", "rpm-database-malformed"),
            ("var/lib/rpm/rpmdb.sqlite", "rpm-database-malformed")
        ]
    );
    assert_eq!(named(&bill, "inner").version.as_deref(), Some("1.0.0"));
}
