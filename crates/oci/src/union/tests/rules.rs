//! image-spec, layer.md: what hides what.

use super::{TarBytes, TestLayer, union_of, walk_with};
use crate::union::Limits;

#[test]
fn an_upper_file_replaces_a_lower_one() {
    let seen = union_of(&[
        TarBytes::new().file("etc/a", b"old").file("etc/b", b"kept").end(),
        TarBytes::new().file("etc/a", b"new").end(),
    ]);
    assert_eq!(seen.told(), ["etc/a=new@1", "etc/b=kept@0"]);
}

#[test]
fn a_whiteout_hides_a_file_and_a_folder_of_lower_layers() {
    let seen = union_of(&[
        TarBytes::new()
            .file("a", b"1")
            .file("d/x", b"2")
            .file("d/y/z", b"3")
            .file("dd", b"4")
            .end(),
        TarBytes::new().file(".wh.a", b"").file(".wh.d", b"").end(),
    ]);
    assert_eq!(seen.told(), ["dd=4@0"]);
}

#[test]
fn a_whiteout_does_not_hide_its_own_layer_nor_upper_ones() {
    let seen = union_of(&[
        TarBytes::new().file("d/a", b"low").file("d/b", b"low").end(),
        TarBytes::new().file(".wh.d", b"").file("d/a", b"mid").end(),
        TarBytes::new().file("d/c", b"top").end(),
    ]);
    assert_eq!(seen.told(), ["d/a=mid@1", "d/c=top@2"]);
}

#[test]
fn the_order_of_a_whiteout_and_a_file_in_one_layer_does_not_matter() {
    let seen = union_of(&[
        TarBytes::new().file("d/a", b"low").end(),
        TarBytes::new().file("d/a", b"mid").file("d/.wh.a", b"").end(),
    ]);
    assert_eq!(seen.told(), ["d/a=mid@1"]);
}

#[test]
fn an_opaque_folder_hides_what_lower_layers_have_in_it() {
    let seen = union_of(&[
        TarBytes::new()
            .file("d/a", b"low")
            .file("d/s/b", b"low")
            .file("e", b"low")
            .end(),
        TarBytes::new()
            .folder("d")
            .file("d/c", b"mid")
            .file("d/.wh..wh..opq", b"")
            .end(),
        TarBytes::new().file("d/f", b"top").end(),
    ]);
    assert_eq!(seen.told(), ["d/c=mid@1", "d/f=top@2", "e=low@0"]);
}

#[test]
fn an_opaque_root_hides_all_below() {
    let seen = union_of(&[
        TarBytes::new().file("a", b"low").file("d/b", b"low").end(),
        TarBytes::new().file(".wh..wh..opq", b"").file("c", b"top").end(),
    ]);
    assert_eq!(seen.told(), ["c=top@1"]);
}

#[test]
fn a_folder_replaced_by_a_file_hides_its_content_and_the_reverse() {
    let seen = union_of(&[
        TarBytes::new().file("x/inner", b"low").file("y", b"low").end(),
        TarBytes::new()
            .file("x", b"file now")
            .file("y/inner", b"folder now")
            .end(),
    ]);
    assert_eq!(seen.told(), ["x=file now@1", "y/inner=folder now@1"]);
}

#[test]
fn a_folder_replaced_by_a_symlink_hides_its_content() {
    let seen = union_of(&[
        TarBytes::new().file("lib/inner", b"low").end(),
        TarBytes::new().symlink("lib", "usr/lib").end(),
    ]);
    assert!(seen.files.is_empty());
    assert_eq!(seen.symlinks["lib"], "usr/lib");
}

#[test]
fn a_file_whited_out_and_brought_back_is_of_the_layer_that_brought_it_back() {
    let seen = union_of(&[
        TarBytes::new().file("a", b"first").end(),
        TarBytes::new().file(".wh.a", b"").end(),
        TarBytes::new().file("a", b"second").end(),
    ]);
    assert_eq!(seen.told(), ["a=second@2"]);
}

#[test]
fn folders_merge() {
    let seen = union_of(&[
        TarBytes::new().folder("d").file("d/a", b"1").end(),
        TarBytes::new().folder("d/").file("d/b", b"2").end(),
    ]);
    assert_eq!(seen.told(), ["d/a=1@0", "d/b=2@1"]);
}

#[test]
fn of_two_entries_of_one_name_in_one_layer_the_later_counts() {
    let seen = union_of(&[TarBytes::new().file("a", b"early").file("./a", b"late").end()]);
    assert_eq!(seen.told(), ["a=late@0"]);
    assert_eq!(seen.retracted, ["a"]);
}

#[test]
fn in_one_layer_a_later_folder_takes_the_place_of_a_file_and_the_reverse() {
    let seen = union_of(&[TarBytes::new()
        .file("a", b"file")
        .file("a/b", b"in folder")
        .file("c/d", b"in folder")
        .file("c/e/f", b"in folder")
        .file("c", b"file")
        .end()]);
    assert_eq!(seen.told(), ["a/b=in folder@0", "c=file@0"]);
    assert_eq!(seen.retracted, ["a", "c/d", "c/e/f"]);
}

#[test]
fn aufs_leftovers_are_not_files() {
    let seen = union_of(&[TarBytes::new()
        .file(".wh..wh.plnk/1.2", b"x")
        .file(".wh..wh.aufs", b"")
        .file("a", b"1")
        .end()]);
    assert_eq!(seen.told(), ["a=1@0"]);
}

#[test]
fn absolute_and_dotted_paths_mean_the_same_file() {
    let seen = union_of(&[
        TarBytes::new().file("./etc//a", b"low").folder("./").end(),
        TarBytes::new().file("/etc/./a", b"top").end(),
    ]);
    assert_eq!(seen.told(), ["etc/a=top@1"]);
}

#[test]
fn devices_are_passed_over_but_hide() {
    let seen = union_of(&[
        TarBytes::new().file("dev/null", b"low").end(),
        TarBytes::new()
            .entry(b'3', "dev/null", "", b"")
            .entry(b'6', "pipe", "", b"")
            .end(),
    ]);
    assert!(seen.files.is_empty());
}

#[test]
fn digests_are_those_of_the_files() {
    let seen = union_of(&[TarBytes::new().file("a", b"abc").file("empty", b"").end()]);
    assert_eq!(
        seen.digests["a"].to_string(),
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        seen.digests["empty"].to_string(),
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

#[test]
fn a_summary_counts_all_layers() {
    let tar = TarBytes::new().file("a", b"1").folder("d").end();
    let length = u64::try_from(tar.len()).unwrap();
    let layers = [TestLayer::gzip(tar.clone()), TestLayer::plain(tar)];
    let (_, summary) = walk_with(&layers, &Limits::default()).unwrap();
    assert_eq!(summary.entries, 4);
    assert_eq!(summary.inflated_bytes, 2 * length);
}
