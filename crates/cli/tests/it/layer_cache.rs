//! What layers contain, kept: the same bill without the layer, and never a worse one.

use std::fs;
use std::path::PathBuf;
use std::thread;

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, Layer, debian_like};
use proofmark_types::Digest;

use crate::world::{Registry, fails, home, json, run};

/// Layers that hide, replace and link to what is in one another.
fn stacked() -> Built {
    let package = |name: &str| format!(r#"{{"name":"{name}","version":"1.0.0"}}"#);
    let status = |version: u8| format!("Package: p\nStatus: install ok installed\nVersion: {version}\n\n");
    let layers = [
        Layer::gzip()
            .file("etc/os-release", "ID=debian\nVERSION_ID=12\n")
            .file("var/lib/dpkg/status", status(1))
            .file("var/lib/dpkg/info/p.list", "/usr/share/nodejs/owned/package.json\n")
            .file("usr/share/nodejs/owned/package.json", package("owned"))
            .file("app/node_modules/gone/package.json", package("gone"))
            .file("app/node_modules/opaque/package.json", package("opaque"))
            .file("store/low", package("low"))
            .file("store/same", package("same"))
            .hard_link("app/node_modules/same/package.json", "store/same"),
        Layer::gzip()
            .file("var/lib/dpkg/status", status(2))
            .whiteout("app/node_modules/gone")
            .opaque("app/node_modules/opaque")
            .hard_link("app/node_modules/low/package.json", "store/low")
            .file("app/node_modules/bad/package.json", "{"),
        Layer::uncompressed()
            .symlink("latest", "app")
            .file("srv/Gemfile.lock", ""),
    ];
    Built::image("linux/amd64", &layers, |_| ())
}

fn written(home: &Sandbox) -> Vec<PathBuf> {
    let Ok(folder) = fs::read_dir(home.path().join(".cache/proofmark/layers")) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The entry of the layer that has the packages.
fn entry(home: &Sandbox) -> PathBuf {
    let has_packages = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).contains("bash");
    written(home).into_iter().find(has_packages).unwrap()
}

fn dated() -> Sandbox {
    Sandbox::new().with("SOURCE_DATE_EPOCH", "1700000000")
}

#[test]
fn a_warm_cache_says_the_same_to_the_byte() {
    for image in [debian_like(), stacked()] {
        let layers = image.blobs().len() - 1;
        for scope in ["squashed", "all-layers"] {
            let home = dated();
            image.write_layout(&home.path().join("layout"), "1.0");
            let look = |flag: &str| {
                let outcome = run(&home, ["sbom", "--scope", scope, "-f", "spdx-json", flag, "layout"]);
                (outcome.expect_success().stdout.clone(), outcome.stderr.clone())
            };
            let without = look("--no-cache");
            assert_eq!(written(&home).len(), 0);
            let cold = look("-q");
            assert_eq!(written(&home).len(), layers, "{:?}", written(&home));
            let warm = look("-q");
            assert_eq!(cold, without);
            assert_eq!(warm, without);
        }
    }
}

/// Nothing of a layer is fetched whose content is known; whoever wants it read says so.
#[test]
fn a_layer_that_is_known_is_not_fetched() {
    let home = dated();
    let image = debian_like();
    image.write_layout(&home.path().join("layout"), "1.0");
    let look = || run(&home, ["sbom", "-f", "cyclonedx-json", "layout"]);
    let cold = look().expect_success().stdout.clone();
    for layer in &image.blobs()[1..] {
        let name = Digest::sha256_of(layer).hex();
        fs::remove_file(home.path().join("layout/blobs/sha256").join(name)).unwrap();
    }
    assert_eq!(look().expect_success().stdout, cold);
    fails(&run(&home, ["sbom", "--no-cache", "layout"]), 11, "not-found");
    let nowhere = home.with("PROOFMARK_LAYER_CACHE", "");
    fails(&run(&nowhere, ["sbom", "layout"]), 11, "not-found");
}

#[test]
fn a_damaged_entry_is_said_and_read_anew() {
    let home = dated();
    debian_like().write_layout(&home.path().join("layout"), "1.0");
    let look = || run(&home, ["sbom", "-f", "spdx-json", "layout"]);
    let good = look().expect_success().clone();
    let entry = entry(&home);
    let whole = fs::read(&entry).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [flipped.as_slice(), &whole[..whole.len() / 2], b"", b"something else"] {
        fs::write(&entry, damaged).unwrap();
        let outcome = look();
        assert_eq!(outcome.expect_success().stdout, good.stdout);
        assert!(outcome.stderr.contains("[layer-cache-damaged]"), "{}", outcome.stderr);
        assert_eq!(fs::read(&entry).unwrap(), whole, "it is whole again");
        let outcome = look();
        assert_eq!(outcome.expect_success().stderr, good.stderr);
    }
}

/// An entry with other words in it and the right checksum.
fn forged(entry: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let head = b"proofmark layer cache 1\n".len();
    let mut body = entry[head + 64..].to_vec();
    let places: Vec<usize> = (0..body.len() - from.len())
        .filter(|at| body[*at..].starts_with(from.as_bytes()))
        .collect();
    assert!(!places.is_empty(), "{from} is not in it");
    for at in places {
        body[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    [&entry[..head], Digest::sha256_of(&body).hex().as_bytes(), &body].concat()
}

/// Nothing proves that an entry was not made up: `sbom` believes what this user wrote (docs/sbom.md says so), and
/// `release`, which signs what it says, does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_never_comes_from_the_cache() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    json(&home, ["sbom", &image]);
    let entry = entry(&home);
    let whole = fs::read(&entry).unwrap();
    fs::write(&entry, forged(&whole, "bash", "dash")).unwrap();
    assert!(json(&home, ["sbom", &image])["packages"].to_string().contains("dash"));
    assert!(
        !json(&home, ["sbom", "--no-cache", &image])["packages"]
            .to_string()
            .contains("dash")
    );
    run(&home, ["release", "--key", "cosign.key", &image]).expect_success();
    let signed = [
        "verify-attestation",
        "--type",
        "spdxjson",
        "--key",
        "cosign.pub",
        "--insecure-ignore-tlog",
        &image,
    ];
    let signed = json(&home, signed)[0]["attestations"][0]["predicate"]["packages"].to_string();
    assert!(signed.contains("bash") && !signed.contains("dash"), "{signed}");
    assert_eq!(fs::read(&entry).unwrap(), whole, "what was read is kept");
}

/// What passes the checksum and makes no sense is found while it is used, and the image read without it.
#[test]
fn an_entry_that_makes_no_sense_is_said_and_read_anew() {
    let home = dated();
    debian_like().write_layout(&home.path().join("layout"), "1.0");
    let look = || run(&home, ["sbom", "-f", "spdx-json", "layout"]);
    let good = look().expect_success().stdout.clone();
    let entry = entry(&home);
    let whole = fs::read(&entry).unwrap();
    for (from, to) in [("\"Package\"", "\"Backage\""), ("\"needs\":", "\"meeds\":")] {
        fs::write(&entry, forged(&whole, from, to)).unwrap();
        let outcome = look();
        assert_eq!(outcome.expect_success().stdout, good);
        assert!(outcome.stderr.contains("[layer-cache-damaged]"), "{}", outcome.stderr);
    }
    // Of another layer.
    let other = stacked();
    other.write_layout(&home.path().join("other"), "1.0");
    let expected = run(&home, ["sbom", "-f", "spdx-json", "other"])
        .expect_success()
        .stdout
        .clone();
    for path in written(&home) {
        fs::write(path, &whole).unwrap();
    }
    assert_eq!(
        run(&home, ["sbom", "-f", "spdx-json", "other"]).expect_success().stdout,
        expected
    );
}

#[cfg(unix)]
#[test]
fn what_others_could_have_written_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let chmod = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let home = dated();
    debian_like().write_layout(&home.path().join("layout"), "1.0");
    let look = || run(&home, ["sbom", "-f", "spdx-json", "layout"]);
    let good = look().expect_success().stdout.clone();
    let entry = entry(&home);
    let folder = entry.parent().unwrap().to_owned();
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else is to look into it");
    fs::write(&entry, forged(&fs::read(&entry).unwrap(), "bash", "dash")).unwrap();

    chmod(&entry, 0o666);
    let outcome = look();
    assert_eq!(outcome.expect_success().stdout, good);
    assert!(
        outcome.stderr.contains("can be written by others (mode 0666)"),
        "{}",
        outcome.stderr
    );

    fs::write(&entry, forged(&fs::read(&entry).unwrap(), "bash", "dash")).unwrap();
    chmod(&folder, 0o777);
    let outcome = look();
    assert_eq!(outcome.expect_success().stdout, good);
    assert!(outcome.stderr.contains("[layer-cache-unsafe]"), "{}", outcome.stderr);
}

#[test]
fn many_at_once_say_the_same() {
    let home = dated();
    stacked().write_layout(&home.path().join("layout"), "1.0");
    let look = |flag| {
        run(&home, ["sbom", "-f", "spdx-json", flag, "layout"])
            .expect_success()
            .clone()
    };
    let expected = look("--no-cache");
    thread::scope(|scope| {
        let workers: Vec<_> = (0..6).map(|_| scope.spawn(|| look("-q"))).collect();
        for worker in workers {
            let outcome = worker.join().unwrap();
            assert_eq!((&outcome.stdout, &outcome.stderr), (&expected.stdout, &expected.stderr));
        }
    });
    let names: Vec<_> = written(&home);
    assert_eq!(
        names.len(),
        3,
        "one entry for each layer, nothing half written: {names:?}"
    );
}

/// A layer that nothing can be kept for is no reason to say nothing.
#[test]
fn a_folder_that_cannot_be_written_is_said() {
    let home = dated().with("PROOFMARK_LAYER_CACHE", "file/below");
    debian_like().write_layout(&home.path().join("layout"), "1.0");
    fs::write(home.path().join("file"), "").unwrap();
    let outcome = run(&home, ["sbom", "layout"]);
    assert!(
        outcome.expect_success().stderr.contains("layer-cache-un"),
        "{}",
        outcome.stderr
    );
}
