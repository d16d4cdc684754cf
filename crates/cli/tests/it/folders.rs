//! Images in folders: saved, loaded, shared with other programs, and what may not be lost on the way.

use std::fs;

use proofmark_registry::LayoutImage;
use proofmark_testkit::images::{Built, debian_like};
use proofmark_testkit::peers::{COSIGN2, COSIGN3, ORAS};

use crate::hanging::{VERIFY, as_json, decorate, hanging, verified};
use crate::world::{Registry, fails, home, run, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_holds_everything() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let home = home();
    let image = from.push(&debian_like(), "1.0").await;
    decorate(&home, &image);
    run(&home, ["save", "--dir", "saved", &image]).expect_success();
    let loaded = to.image("loaded:1");
    run(&home, ["load", "--dir", "saved", &loaded]).expect_success();
    assert_eq!(hanging(&home, &loaded), (4, 5));
    verified(&home, &loaded);
    // Saved again, nothing is fetched twice, and the folder is the same.
    let before = fs::read(home.path().join("saved/index.json")).unwrap();
    run(&home, ["save", "--dir", "saved", &image]).expect_success();
    assert_eq!(fs::read(home.path().join("saved/index.json")).unwrap(), before);

    // A folder of something else is left alone.
    fs::create_dir(home.path().join("mine")).unwrap();
    write(&home.path().join("mine"), "precious", "x");
    fails(
        &run(&home, ["save", "--dir", "mine", &image]),
        1,
        "local-image-unreadable",
    );
    assert_eq!(fs::read_dir(home.path().join("mine")).unwrap().count(), 1);
    fails(&run(&home, ["load", "--dir", "mine", &loaded]), 11, "not-found");

    // Damage anywhere is found before anything gets a name.
    let tree = as_json(&home, ["tree", &image]);
    let layer = tree["attachments"][0]["layers"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = home.path().join("saved/blobs").join(layer.replace(':', "/"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, bytes).unwrap();
    let fresh = to.image("fresh:1");
    fails(&run(&home, ["load", "--dir", "saved", &fresh]), 1, "digest-mismatch");
    fails(&run(&home, ["tree", &fresh]), 11, "not-found");
}

/// A folder of another program keeps what it lists; one of another image is refused; one of an image that has moved on
/// is brought up to date.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_folder_lists_is_not_lost() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let home = home();
    let image = from.push(&debian_like(), "1.0").await;
    decorate(&home, &image);
    let theirs = Built::image("linux/arm64", &[], |_| ());
    let folder = home.path().join("shared");
    theirs.write_layout(&folder, "theirs");
    run(&home, ["save", "--dir", "shared", &image]).expect_success();
    // Theirs is found by its name, ours by its mark and by its name, evidence and all.
    let there = LayoutImage::open(&folder, Some("theirs")).unwrap();
    assert_eq!(there.descriptor().digest, *theirs.digest());
    let local = VERIFY.into_iter().chain(["--local-image", "shared"]);
    run(&home, local.clone()).expect_success();
    for cosign in [COSIGN2, COSIGN3].into_iter().filter_map(|peer| peer.or_skip()) {
        home.run(&cosign, local.clone()).expect_success();
    }
    let loaded = to.image("loaded:1");
    run(&home, ["load", "--dir", "shared", &loaded]).expect_success();
    assert_eq!(hanging(&home, &loaded), (4, 5));
    if let Some(oras) = ORAS.or_skip() {
        let tags = home.run(&oras, ["repo", "tags", "--oci-layout", "shared"]);
        assert!(
            tags.expect_success().stdout.lines().any(|tag| tag == "theirs"),
            "{}",
            tags.stdout
        );
    }
    // Again, and nothing changes.
    let before = fs::read(folder.join("index.json")).unwrap();
    run(&home, ["save", "--dir", "shared", &image]).expect_success();
    assert_eq!(fs::read(folder.join("index.json")).unwrap(), before);

    // Another image would make it a folder of two.
    let other = from.push(&Built::image("linux/s390x", &[], |_| ()), "other").await;
    let refused = run(&home, ["save", "--dir", "shared", &other]);
    let refused = fails(&refused, 3, "folder-taken");
    assert!(refused.stderr.contains(&image), "{}", refused.stderr);
    assert_eq!(fs::read(folder.join("index.json")).unwrap(), before);

    // The same name, moved on: the folder follows it, without the signatures of what it was.
    from.push(&Built::image("linux/s390x", &[], |_| ()), "1.0").await;
    run(&home, ["save", "--dir", "shared", &image]).expect_success();
    fails(&run(&home, local), 10, "no-signature");
    LayoutImage::open(&folder, Some("theirs")).unwrap();

    // What does not parse is not written over.
    fs::write(folder.join("index.json"), "{").unwrap();
    fails(&run(&home, ["save", "--dir", "shared", &image]), 1, "malformed");
    assert_eq!(fs::read_to_string(folder.join("index.json")).unwrap(), "{");
}

/// `load` adds: signatures and attestations are merged, another bill stays until -f.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_leaves_what_is_there() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let home = home();
    let image = from.push(&debian_like(), "1.0").await;
    decorate(&home, &image);
    run(&home, ["save", "--dir", "saved", &image]).expect_success();
    let there = to.push(&debian_like(), "1.0").await;
    run(&home, ["sign", "--key", "other.key", "--also-legacy", "-y", &there]).expect_success();
    let bill = write(home.path(), "bom.json", r#"{"mine":true}"#);
    run(
        &home,
        ["attach", "sbom", "--sbom", &bill, "--type", "cyclonedx", &there],
    )
    .expect_success();
    let sbom = || run(&home, ["download", "sbom", &there]).expect_success().stdout.clone();

    let loaded = run(&home, ["load", "--dir", "saved", &there]);
    assert!(
        loaded.expect_success().stderr.contains("-f replaces it") && loaded.stdout.contains("kept"),
        "{}{}",
        loaded.stdout,
        loaded.stderr
    );
    assert_eq!(sbom(), r#"{"mine":true}"#);
    verified(&home, &there);
    run(
        &home,
        ["verify", "--key", "other.pub", "--insecure-ignore-tlog", &there],
    )
    .expect_success();
    run(&home, ["load", "-f", "--dir", "saved", &there]).expect_success();
    assert_eq!(sbom(), r#"{"a":1}"#);
}

/// cosign reads our folders and we read cosign's, either generation.
#[tokio::test(flavor = "multi_thread")]
async fn folders_are_exchanged_with_cosign() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    decorate(&home, &image);
    run(&home, ["save", "--dir", "ours", &image]).expect_success();
    for (name, peer) in [("two", COSIGN2), ("three", COSIGN3)] {
        let Some(cosign) = peer.or_skip() else { continue };
        let local = VERIFY.into_iter().chain(["--local-image", "ours"]);
        home.run(&cosign, local).expect_success();
        let by_other = [
            "verify",
            "--key",
            "other.pub",
            "--insecure-ignore-tlog",
            "--local-image",
            "ours",
        ];
        assert!(
            !home.run(&cosign, by_other).succeeded(),
            "{name} looks at what is in the folder"
        );
        let theirs = registry.image(&format!("{name}:1"));
        home.run(&cosign, ["load", "--dir", "ours", &theirs]).expect_success();
        home.run(&cosign, VERIFY.into_iter().chain([theirs.as_str()]))
            .expect_success();
        verified(&home, &theirs);
        // Neither loads the bundles where there is an `.att` image.
        assert_eq!(hanging(&home, &theirs).0, 2, "{name}");
        home.run(&cosign, ["save", "--dir", name, &image]).expect_success();
        let ours = registry.image(&format!("{name}-back:1"));
        run(&home, ["load", "--dir", name, &ours]).expect_success();
        verified(&home, &ours);
        home.run(&cosign, VERIFY.into_iter().chain([ours.as_str()]))
            .expect_success();
        // cosign 3 has the bundles in the folder and lists none of them; we find them all the same.
        assert_eq!(hanging(&home, &ours).0, if name == "two" { 2 } else { 4 }, "{name}");
    }
}
