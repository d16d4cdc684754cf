//! Version order: every line of the vectors, and the laws of a total order on made-up versions.

use std::cmp::Ordering;

use proofmark_advisories::{Database, Scheme};
use proptest::prelude::*;

use crate::world::database_of;

/// The scheme, the files and how many lines they must have: a file that lost its lines must not pass.
fn vectors() -> [(Scheme, &'static str, usize); 19] {
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!("../../../../fixtures/version-order/", $name, ".txt"))
        };
    }
    [
        (Scheme::Apk, file!("alpine-versions"), 389),
        (Scheme::Apk, file!("alpine-versions-generated"), 6_989),
        (Scheme::Cran, file!("cran-versions"), 10),
        (Scheme::Cran, file!("cran-versions-generated"), 28),
        (Scheme::Dpkg, file!("debian-versions"), 15),
        (Scheme::Dpkg, file!("debian-versions-generated"), 7_221),
        (Scheme::Hackage, file!("hackage-versions"), 5),
        (Scheme::Maven, file!("maven-versions"), 51),
        (Scheme::Maven, file!("maven-versions-generated"), 7_376),
        (Scheme::NuGet, file!("nuget-versions"), 17),
        (Scheme::Packagist, file!("packagist-versions"), 46),
        (Scheme::Packagist, file!("packagist-versions-generated"), 5_315),
        (Scheme::Pub, file!("pub-versions"), 49),
        (Scheme::Pep440, file!("pypi-versions"), 18),
        (Scheme::Pep440, file!("pypi-versions-generated"), 6_187),
        (Scheme::Rpm, file!("redhat-versions"), 82),
        (Scheme::RubyGems, file!("rubygems-versions"), 12),
        (Scheme::RubyGems, file!("rubygems-versions-generated"), 2_049),
        (Scheme::Semver, file!("semver-versions"), 43),
    ]
}

fn lines(text: &str) -> impl Iterator<Item = (&str, Ordering, &str)> {
    text.lines()
        .filter(|line| !(line.trim().is_empty() || line.starts_with('#') || line.starts_with("//")))
        .map(|line| {
            let mut words = line.split_whitespace();
            let (Some(a), Some(sign), Some(b), None) = (words.next(), words.next(), words.next(), words.next()) else {
                panic!("not `a < b`: {line}");
            };
            let expected = match sign {
                "<" => Ordering::Less,
                "=" => Ordering::Equal,
                ">" => Ordering::Greater,
                other => panic!("no sign: {other}"),
            };
            (a, expected, b)
        })
}

#[test]
fn every_line_of_the_vectors() {
    let mut wrong = Vec::new();
    for (scheme, text, expected_lines) in vectors() {
        let mut count = 0;
        for (a, expected, b) in lines(text) {
            count += 1;
            let seen = scheme.compare(a, b);
            if seen != expected || scheme.compare(b, a) != expected.reverse() {
                wrong.push(format!("{scheme:?}: {a} is {seen:?}, not {expected:?}, beside {b}"));
            }
        }
        assert_eq!(count, expected_lines, "{scheme:?}");
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the vectors do not say: behaviours named in the specifications and in reports against other scanners.
#[test]
fn lines_of_our_own() {
    for (scheme, text) in [
        (
            Scheme::Semver,
            "v0.0.0-20210101000000-abcdef123456 < v0.0.0-20210101000001-000000000000",
        ),
        (Scheme::Semver, "v1.2.4-0.20210101000000-abcdef123456 > v1.2.3"),
        (Scheme::Semver, "v1.2.4-0.20210101000000-abcdef123456 < v1.2.4"),
        (Scheme::Semver, "v2.0.0+incompatible = 2.0.0"),
        (Scheme::Semver, "1.2.3.4 > 1.2.3"),
        (Scheme::Semver, "1.2 = 1.2.0"),
        (Scheme::Semver, "1.22rc1 < 1.22.0"),
        (Scheme::Pep440, "1.0.dev1 < 1.0a1.dev1"),
        (Scheme::Pep440, "1.0a1.dev1 < 1.0a1"),
        (Scheme::Pep440, "1.0-1 = 1.0.post1"),
        (Scheme::Pep440, "1.0.rev2 = 1.0.POST2"),
        (Scheme::Pep440, "1.0preview1 = 1.0rc1"),
        (Scheme::Pep440, "1.0+abc.5 < 1.0+abc.10"),
        (Scheme::Pep440, "1.0 < 1.0+abc"),
        (Scheme::Pep440, "2004d < 0.1"),
        (Scheme::Dpkg, "1:0.9 > 2.0"),
        (Scheme::Dpkg, "1.0~rc1-1 < 1.0-1"),
        (Scheme::Dpkg, "1.0-1+b1 > 1.0-1"),
        (Scheme::Dpkg, "1.0-1+deb12u1 < 1.0-1+deb12u10"),
        (Scheme::Rpm, "0:3.0.7-27.el9 < 0:3.0.7-27.el9.1"),
        (Scheme::Rpm, "1.0~.^ = 1.0~^"),
        (Scheme::Apk, "1.2.11-r3 < 1.2.11-r10"),
        (Scheme::Apk, "1.1.1w-r0 > 1.1.1l-r9"),
        (Scheme::Apk, "1.2~abc-r1 = 1.2~def-r1"),
        (Scheme::Maven, "2.0-rc1 < 2.0"),
        (Scheme::Maven, "2.0.SP1 > 2.0"),
        (Scheme::Maven, "2.14.1 < 2.15.0"),
        (Scheme::RubyGems, "1.0-1 < 1.0"),
        (Scheme::RubyGems, "7.0.4.1 > 7.0.4"),
    ] {
        for (a, expected, b) in lines(text) {
            assert!(scheme.accepts(a) && scheme.accepts(b), "{scheme:?} {text}");
            assert_eq!(scheme.compare(a, b), expected, "{scheme:?} {text}");
        }
    }
}

/// What cannot be placed must be said to be so: a comparison with it would be read as "not affected".
#[test]
fn no_version_is_not_accepted() {
    for (scheme, text) in [
        (Scheme::Dpkg, "a:1.0"),
        (Scheme::Dpkg, "1.0 1"),
        (Scheme::Dpkg, "1.0$"),
        (Scheme::Apk, "latest"),
        (Scheme::Apk, "1..2"),
        (Scheme::Apk, "1.2_blah"),
        (Scheme::Apk, "1-r-1"),
        (Scheme::Rpm, "-"),
        (Scheme::Semver, "(devel)"),
        (Scheme::Semver, "latest"),
        (Scheme::Semver, "v"),
        (Scheme::Semver, "1.0.ß"),
        (Scheme::RubyGems, "master"),
        (Scheme::RubyGems, "1.0_1"),
        (Scheme::Hackage, "1.0a"),
        (Scheme::Cran, "1..0"),
        (Scheme::Maven, "${project.version}\n"),
        (Scheme::Pep440, "..."),
    ] {
        assert!(!scheme.accepts(text), "{scheme:?} {text}");
    }
    for scheme in Scheme::ALL {
        assert!(!scheme.accepts(""), "{scheme:?}");
        assert!(!scheme.accepts(&"1".repeat(513)), "{scheme:?}");
        assert!(scheme.accepts("1.0"), "{scheme:?}");
    }
}

/// As `ComparableVersion` of Maven 3.9 has them: a word after a dot is below one after a hyphen, whatever the words are.
#[test]
fn mavens_order_has_circles() {
    let circle = ["1.x", "1-SNAPSHOT", "1", "1.x"];
    for pair in circle.windows(2) {
        assert_eq!(Scheme::Maven.compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
    }
    // Bounds in a circle are placed somehow; the standard library's sort panics at most of such lists.
    let mut random = 1_u32;
    let ranges: Vec<String> = (0..20)
        .map(|_| {
            let events: Vec<String> = (0..40)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let kind = ["introduced", "fixed"][(random >> 30) as usize % 2];
                    format!(r#"{{"{kind}":"{}"}}"#, circle[(random >> 16) as usize % 3])
                })
                .collect();
            format!(r#"{{"type":"ECOSYSTEM","events":[{}]}}"#, events.join(","))
        })
        .collect();
    let record = format!(
        r#"{{"id":"T-1","modified":"2024-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"Maven","name":"g:a"}},
        "ranges":[{}]}}]}}"#,
        ranges.join(",")
    );
    let database = database_of(&[&record]);
    Database::open(&database).unwrap().verify().unwrap();
}

/// Words that mean something somewhere, in versions short enough that many are equal or nearly so.
fn version() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[0-9]{1,2}",
        1 => prop::sample::select(vec![
            "alpha", "a", "beta", "b", "rc", "RC", "pre", "dev", "post", "p", "sp", "snapshot", "ga", "x", "el9", "git", "000",
        ])
        .prop_map(str::to_owned),
    ];
    let separator = prop::sample::select(vec![".", ".", ".", "-", "_", "+", "~", "^", ":", "!", "-r", ""]);
    ("(v|1:|1!)?[0-9]", prop::collection::vec((separator, part), 0..5)).prop_map(|(first, rest)| {
        rest.iter()
            .fold(first, |text, (sign, part)| format!("{text}{sign}{part}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn every_order_is_total(a in version(), b in version(), c in version()) {
        for scheme in Scheme::ALL {
            prop_assert_eq!(scheme.compare(&a, &a), Ordering::Equal, "{:?}", scheme);
            prop_assert_eq!(scheme.compare(&a, &b), scheme.compare(&b, &a).reverse(), "{:?}", scheme);
            // Maven's has circles, see below.
            if scheme == Scheme::Maven || ![&a, &b, &c].iter().all(|version| scheme.accepts(version)) {
                continue;
            }
            let mut three = [&a, &b, &c];
            three.sort_by(|x, y| scheme.compare(x, y));
            let [low, middle, high] = three;
            prop_assert_ne!(scheme.compare(low, high), Ordering::Greater, "{:?} {:?}", scheme, three);
            let strict = scheme.compare(low, middle).is_lt() || scheme.compare(middle, high).is_lt();
            prop_assert_eq!(scheme.compare(low, high).is_lt(), strict, "{:?} {:?}", scheme, three);
        }
    }

    #[test]
    fn any_text_is_compared_without_panic(a in "\\PC{0,40}", b in "\\PC{0,40}") {
        for scheme in Scheme::ALL {
            prop_assert_eq!(scheme.compare(&a, &b), scheme.compare(&b, &a).reverse(), "{:?}", scheme);
        }
    }
}
