//! Layers laid over each other at random: what is kept of them gives the same bill to the byte, and what is visible is
//! what the walk over the layers themselves shows.

use std::collections::BTreeMap;

use proofmark_oci::union::{Content, Entry, Limits, Visitor, Wants, walk};
use proofmark_sbom::{Format, Listing, Options, Squash};
use proofmark_types::Digest;
use proptest::prelude::*;

use crate::image::{Files, Image, info, status};

/// One tar entry: what it is, and which of a few names it has and means.
type Choice = (u8, usize, usize, u8);

/// Names in one another, names that catalogers want and names that they do not.
const NAMES: [&str; 12] = [
    "a",
    "a/b",
    "a/node_modules/x/package.json",
    "a/node_modules/y/package.json",
    "a/node_modules/x",
    "store/one",
    "store/two",
    "var/lib/dpkg/status",
    "var/lib/dpkg",
    "usr/bin/openssl",
    "usr/lib/os-release",
    "srv/Cargo.lock",
];

fn files(choices: &[Choice]) -> Files {
    choices
        .iter()
        .fold(Files::new(), |files, (what, name, other, version)| {
            let (path, target) = (NAMES[*name], NAMES[*other]);
            match what % 10 {
                0..=3 => files.file(path, content(path, *version)),
                4 => files.program(path, &[b"\x7fELF\x02\x01\x01".as_slice(), &[*version; 400]].concat()),
                5 | 6 => files.link(path, target),
                7 => files.symlink(path, target),
                8 => files.file(&beside(path, &format!(".wh.{}", last(path))), ""),
                _ => files.file(&beside(path, ".wh..wh..opq"), ""),
            }
        })
}

fn content(path: &str, version: u8) -> String {
    match last(path) {
        // What is no status of packages too: every third is broken.
        "status" if version.is_multiple_of(3) => "Package: broken\n".to_owned(),
        "status" => status(&[&format!("p {version}")]),
        "os-release" => format!("ID=debian\nVERSION_ID={version}\n"),
        _ => format!(r#"{{"name":"n{}","version":"{version}.0.0"}}"#, path.len()),
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn beside(path: &str, name: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

/// The visible files by what a walk shows, each with its content's digest.
#[derive(Default)]
struct Visible(BTreeMap<String, Option<Digest>>);

impl Visitor for Visible {
    fn entry(&mut self, entry: &Entry<'_>) -> Wants {
        self.0.insert(entry.path.to_owned(), None);
        Wants::DIGEST
    }

    fn hard_link(&mut self, entry: &Entry<'_>, _: &str, _: bool) -> Wants {
        self.0.insert(entry.path.to_owned(), None);
        Wants::DIGEST
    }

    fn content(&mut self, _: &Entry<'_>, _: &mut Content<'_>) {
        unreachable!("nothing was asked for");
    }

    fn digest(&mut self, entry: &Entry<'_>, digest: &Digest) {
        for path in std::iter::once(entry.path).chain(entry.also.iter().map(String::as_str)) {
            self.0.insert(path.to_owned(), Some(digest.clone()));
        }
    }

    fn retract(&mut self, path: &str) {
        self.0.remove(path);
    }
}

fn stacks() -> impl Strategy<Value = Vec<Vec<Choice>>> {
    let entry = (any::<u8>(), 0..NAMES.len(), 0..NAMES.len(), 1u8..9);
    proptest::collection::vec(proptest::collection::vec(entry, 0..9), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_kept_of_layers_gives_the_same_documents(stack in stacks(), kept in any::<u8>()) {
        let image = Image::of(stack.iter().map(|choices| files(choices)));
        let layers = image.layers();
        let options = Options::default();
        let mut squash = Squash::new(layers.len(), &options).unwrap();
        for (index, layer) in layers.iter().enumerate().rev() {
            let mut listing = Listing::read(layer, index, &options).unwrap();
            if kept >> index & 1 == 1 {
                listing = Listing::decode(&listing.encode()).unwrap();
            }
            squash.add(index, layer, &listing).unwrap();
        }
        let warm = squash.finish(&layers).unwrap();
        let cold = image.bill();
        prop_assert_eq!(&warm, &cold);
        prop_assert_eq!(Format::SpdxJson.write(&warm, &info()), Format::SpdxJson.write(&cold, &info()));
    }

    #[test]
    fn what_is_visible_is_what_a_walk_shows(stack in stacks()) {
        let image = Image::of(stack.iter().map(|choices| files(choices)));
        let options = Options { file_digests: true, ..Options::default() };
        let bill = image.catalog(&options).unwrap();
        let mut visible = Visible::default();
        walk(&image.layers(), &Limits::default(), &mut visible).unwrap();
        prop_assert_eq!(bill.files, u64::try_from(visible.0.len()).unwrap());
        let digests: Vec<_> = visible.0.into_iter().filter_map(|(path, digest)| Some((path, digest?))).collect();
        prop_assert_eq!(bill.file_digests, digests);
    }
}

#[test]
fn a_listing_of_another_layer_is_refused() {
    let image = Image::of([Files::new().file("a", "a"), Files::new().file("b", "b")]);
    let layers = image.layers();
    let options = Options::default();
    let listing = Listing::read(&layers[0], 0, &options).unwrap();
    let mut squash = Squash::new(layers.len(), &options).unwrap();
    let error = squash.add(1, &layers[1], &listing).unwrap_err();
    assert_eq!(error.code(), "layer-listing-other-layer");
    // Nor is one without the digests that are asked for of use.
    let with_digests = Options {
        file_digests: true,
        ..Options::default()
    };
    assert!(listing.is_of(&layers[0], &options));
    assert!(!listing.is_of(&layers[0], &with_digests));
}
