use proofmark_oci::union::{Header, Kind};
use proptest::prelude::*;

use super::*;
use crate::bill::PackageKind;
use crate::cataloger::{Draft, Need};

fn header(path: &str, kind: Kind, link: &str) -> Header {
    Header {
        path: path.as_bytes().to_vec(),
        kind,
        size: if kind == Kind::File { 300 } else { 0 },
        mode: 0o755,
        link: link.as_bytes().to_vec(),
    }
}

fn package() -> Fact {
    let mut draft = Draft::new(PackageKind::Npm, "x", None);
    draft.needs = vec![Need::AnyOf(vec!["y".to_owned()]), Need::Sibling(3)];
    draft.hashes = crate::bill::FileHash::parse(crate::bill::FileHashAlgorithm::Sha1, &"a".repeat(40))
        .into_iter()
        .collect();
    Fact::Package(Box::new(draft))
}

fn listing() -> Listing {
    let mut events = Events::default();
    let facts = encode::facts(&[
        package(),
        Fact::Problem(Unreadable::new("lock-file-malformed", "because")),
    ]);
    events.push(&header("usr", Kind::Folder, ""), &[], None);
    events.push(
        &header("usr/bin/x", Kind::File, ""),
        &facts,
        Some(&Digest::sha256_of(b"x")),
    );
    events.push(&header("usr/bin/y", Kind::HardLink, "usr/bin/x"), &[], None);
    events.push(&header("bin", Kind::Symlink, "usr/bin"), &[], None);
    Listing {
        digest: Digest::sha256_of(b"blob"),
        diff_id: Digest::sha256_of(b"tar"),
        size: 4,
        inflated: 1 << 40,
        file_digests: true,
        dropped: 7,
        left_out: 9,
        events: events.into_bytes(),
        links: BTreeMap::from([("usr/bin/y".to_owned(), facts)]),
    }
}

#[test]
fn what_is_written_is_read() {
    let listing = listing();
    let read = Listing::decode(&listing.encode()).unwrap();
    assert_eq!(read, listing);
    assert_eq!(read.check().unwrap(), 4);
    let events: Vec<_> = read.events().map(Result::unwrap).collect();
    assert_eq!(events[0].header, header("usr", Kind::Folder, ""));
    assert_eq!(events[1].header, header("usr/bin/x", Kind::File, ""));
    assert_eq!(events[1].digest, Some(Digest::sha256_of(b"x")));
    assert_eq!(facts_of("x", events[1].facts.unwrap()).unwrap()[0], package());
    assert_eq!(events[2].header, header("usr/bin/y", Kind::HardLink, "usr/bin/x"));
    assert_eq!(events[3].header.link, b"usr/bin");
    assert_eq!(read.linked("usr/bin/y"), listing.linked("usr/bin/y"));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = listing().encode();
    for length in 0..bytes.len() {
        Listing::decode(&bytes[..length]).unwrap_err();
    }
    let longer = [bytes.as_slice(), b"\0"].concat();
    assert_eq!(Listing::decode(&longer).unwrap_err().code(), "layer-listing-damaged");
}

#[test]
fn another_programs_listing_is_refused_by_name() {
    let bytes = listing().encode();
    assert_eq!(Listing::decode(b"tar").unwrap_err().code(), "layer-listing-unknown");
    let mut other = bytes;
    other[encode::MAGIC.len() + 1] ^= 1;
    assert_eq!(Listing::decode(&other).unwrap_err().code(), "layer-listing-version");
}

#[test]
fn facts_that_no_cataloger_tells_are_refused() {
    let refused = |json: &str| facts_of("x", json.as_bytes()).unwrap_err().code();
    for json in [
        "{}",
        "[{\"Package\":{}}]",
        "[{\"Problem\":{\"code\":\"no-such-code\",\"reason\":\"\"}}]",
        "[{\"Unheard\":1}]",
        "[",
    ] {
        assert_eq!(refused(json), "layer-listing-facts", "{json}");
    }
    let hash = String::from_utf8(encode::facts(&[package()])).unwrap();
    assert_eq!(refused(&hash.replace(&"a".repeat(40), "aa")), "layer-listing-facts");
}

#[test]
fn one_file_may_not_crowd_out_the_databases_of_distributions() {
    let facts = [package()];
    let bytes = encode::facts(&facts);
    let paid = |path: &str, used: usize| {
        let mut budget = Budget { used, dropped: 0 };
        let paid = budget.pay(path, &facts);
        (
            paid == bytes,
            String::from_utf8_lossy(&paid).contains("facts-too-many"),
            budget.dropped,
        )
    };
    let whole = (true, false, 0);
    let (others, system) = ("node_modules/x/package.json", "var/lib/dpkg/status");
    let room = MAX_FACT_BYTES - RESERVED_BYTES - bytes.len();
    assert_eq!(paid(others, room), whole);
    assert_eq!(paid(others, room + 1), (false, true, 0));
    assert_eq!(paid(system, room + 1), whole);
    assert_eq!(paid(system, MAX_FACT_BYTES - bytes.len()), whole);
    // When not even that can be said any more, it is counted.
    assert_eq!(paid(others, MAX_FACT_BYTES), (false, false, 1));
    assert_eq!(paid(system, MAX_FACT_BYTES), (false, false, 1));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..2000, with: u8) {
        let _ = Listing::decode(&bytes).map(|listing| listing.check());
        let mut whole = listing().encode();
        let at = at % whole.len();
        whole[at] = with;
        let _ = Listing::decode(&whole).map(|listing| listing.check());
    }
}
