//! Hard links: what content a name has whose entry has none.

use super::{TarBytes, TestLayer, union_of, walk_with};
use crate::union::Limits;

#[test]
fn a_link_has_the_content_of_an_earlier_file_of_its_layer() {
    let seen = union_of(&[TarBytes::new()
        .file("bin/a", b"program")
        .link("bin/b", "bin/a")
        .link("bin/c", "./bin/a")
        .end()]);
    assert_eq!(seen.told(), ["bin/a=program@0", "bin/b=program@0", "bin/c=program@0"]);
    assert_eq!(seen.links["bin/b"], ("bin/a".to_owned(), true));
}

#[test]
fn a_link_keeps_its_content_when_an_upper_layer_removes_the_first_name() {
    let seen = union_of(&[
        TarBytes::new().file("a", b"content").link("b", "a").end(),
        TarBytes::new().file(".wh.a", b"").end(),
    ]);
    assert_eq!(seen.told(), ["b=content@0"]);
    assert_eq!(seen.links["b"], ("a".to_owned(), false));
}

#[test]
fn a_link_may_lead_to_a_lower_layer() {
    let seen = union_of(&[
        TarBytes::new().file("a", b"lowest").file("x", b"").end(),
        TarBytes::new().file("a", b"lower").end(),
        TarBytes::new().file("y", b"").end(),
        TarBytes::new().link("b", "a").end(),
    ]);
    assert_eq!(seen.told(), ["a=lower@1", "b=lower@3", "x=@0", "y=@2"]);
}

#[test]
fn a_link_to_a_lower_layer_has_the_content_of_its_time() {
    let seen = union_of(&[
        TarBytes::new().file("a", b"old").end(),
        TarBytes::new().link("b", "a").end(),
        TarBytes::new().file("a", b"new").end(),
    ]);
    assert_eq!(seen.told(), ["a=new@2", "b=old@1"]);
}

/// Whoever reads the first of them looks at another file than the one that runs.
#[test]
fn of_a_file_that_the_layer_has_twice_a_link_means_the_last_before_it() {
    let seen = union_of(&[TarBytes::new()
        .file("a", b"decoy")
        .file("a", b"meant")
        .link("b", "a")
        .link("c", "b")
        .end()]);
    assert_eq!(seen.told(), ["a=meant@0", "b=meant@0", "c=meant@0"]);
    let seen = union_of(&[TarBytes::new()
        .file("a", b"meant")
        .link("b", "a")
        .link("c", "b")
        .file("a", b"later")
        .end()]);
    assert_eq!(seen.told(), ["a=later@0", "b=meant@0", "c=meant@0"]);
}

#[test]
fn a_link_may_lead_to_a_link() {
    let seen = union_of(&[
        TarBytes::new().file("a", b"content").link("b", "a").end(),
        TarBytes::new().link("c", "b").link("d", "c").end(),
    ]);
    assert_eq!(
        seen.told(),
        ["a=content@0", "b=content@0", "c=content@1", "d=content@1"]
    );
}

#[test]
fn a_link_to_a_link_of_a_middle_layer_is_looked_for_there() {
    let seen = union_of(&[
        TarBytes::new().file("a", b"lowest").end(),
        TarBytes::new().file("a", b"middle").link("b", "a").end(),
        TarBytes::new().link("c", "b").end(),
    ]);
    assert_eq!(seen.told(), ["a=middle@1", "b=middle@1", "c=middle@2"]);
}

#[test]
fn a_hidden_link_is_not_told() {
    let seen = union_of(&[
        TarBytes::new().file("a", b"content").link("b", "a").end(),
        TarBytes::new().file(".wh.b", b"").end(),
    ]);
    assert_eq!(seen.told(), ["a=content@0"]);
    assert!(seen.links.is_empty());
}

#[test]
fn a_link_that_leads_nowhere_is_reported() {
    for tars in [
        vec![TarBytes::new().link("b", "a").end()],
        // Whited out in between: the link can never have had a target.
        vec![
            TarBytes::new().file("d/a", b"low").end(),
            TarBytes::new().file(".wh.d", b"").end(),
            TarBytes::new().link("b", "d/a").end(),
        ],
        vec![
            TarBytes::new().file("d/a", b"low").end(),
            TarBytes::new().file("d/.wh..wh..opq", b"").end(),
            TarBytes::new().link("b", "d/a").end(),
        ],
        // A symbolic link has no content of its own.
        vec![
            TarBytes::new().file("d/a", b"low").end(),
            TarBytes::new().symlink("d/a", "elsewhere").link("b", "d/a").end(),
        ],
    ] {
        let layers: Vec<TestLayer> = tars.into_iter().map(TestLayer::gzip).collect();
        let (seen, summary) = walk_with(&layers, &Limits::default()).unwrap();
        assert!(!seen.files.contains_key("b"));
        assert_eq!(summary.dangling_links.len(), 1, "{:?}", summary.dangling_links);
        assert_eq!(summary.dangling_links[0].0, "b");
    }
}

#[test]
fn a_link_replaced_further_on_is_not_read() {
    let seen = union_of(&[TarBytes::new().file("a", b"1").link("b", "a").file("b", b"2").end()]);
    assert_eq!(seen.told(), ["a=1@0", "b=2@0"]);
    assert_eq!(seen.retracted, ["b"]);
}

#[test]
fn links_in_a_circle_end() {
    let layers = [TestLayer::gzip(TarBytes::new().link("a", "b").link("b", "a").end())];
    let (seen, summary) = walk_with(&layers, &Limits::default()).unwrap();
    assert!(seen.files.is_empty());
    assert_eq!(summary.dangling_links.len(), 2);
}
