//! Catalogers on small files that look like real ones, on broken ones, and on any bytes.

mod binary;
mod corrupt;
mod executables;
mod java;
mod lock;
mod managers;
mod rpm;

use proptest::prelude::*;

use super::*;

/// What the cataloger that wants the file says of it.
fn read(path: &str, text: &str) -> Result<Vec<Fact>, Unreadable> {
    read_bytes(path, text.as_bytes())
}

fn read_bytes(path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
    let wanting: Vec<_> = registry().iter().filter(|cataloger| cataloger.wants(path)).collect();
    assert_eq!(wanting.len(), 1, "{path}");
    wanting[0].read(path, bytes)
}

fn packages(facts: Vec<Fact>) -> Vec<Draft> {
    facts
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::Package(draft) => Some(*draft),
            _ => None,
        })
        .collect()
}

fn is_wanted(path: &str) -> bool {
    registry().iter().any(|cataloger| cataloger.wants(path))
}

const STATUS: &str = "\
Package: adduser
Status: install ok installed
Priority: important
Maintainer: Debian Adduser Developers <adduser@packages.debian.org>
Architecture: all
Version: 3.134
Depends: passwd (>= 1:4.13), libc6:any | libc6-compat
Description: add and remove users and groups
 This package includes the 'adduser' and 'deluser' commands.
 .
 More text.
Homepage: https://example.org/adduser

Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: glibc
Version: 2.36-9+deb12u4
Provides: libc6-virtual (= 2.36), other

Package: libc-bin
Status: hold ok half-configured
Architecture: amd64
Source: glibc (2.36-9+deb12u3)
Version: 2.36-9+deb12u3+b1

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: never
Status: unknown ok not-installed
";

#[test]
fn dpkg_lists_what_is_installed() {
    let drafts = packages(read("var/lib/dpkg/status", STATUS).unwrap());
    let names: Vec<_> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    assert_eq!(names, ["adduser", "libc6", "libc-bin"]);
    let adduser = &drafts[0];
    assert_eq!(adduser.version.as_deref(), Some("3.134"));
    assert_eq!(adduser.description.as_deref(), Some("add and remove users and groups"));
    assert_eq!(adduser.homepage.as_deref(), Some("https://example.org/adduser"));
    assert_eq!(
        adduser.needs,
        [
            Need::AnyOf(vec!["passwd".to_owned()]),
            Need::AnyOf(vec!["libc6".to_owned(), "libc6-compat".to_owned()])
        ]
    );
    let source = |name: &str, version: Option<&str>| Source {
        name: name.to_owned(),
        version: version.map(str::to_owned),
    };
    assert_eq!(drafts[1].source, Some(source("glibc", None)));
    assert_eq!(drafts[1].provides, ["libc6-virtual", "other"]);
    assert_eq!(drafts[2].source, Some(source("glibc", Some("2.36-9+deb12u3"))));
}

#[test]
fn distroless_images_have_a_file_a_package() {
    let text = "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n";
    let drafts = packages(read("var/lib/dpkg/status.d/base-files", text).unwrap());
    assert_eq!(drafts[0].name, "base-files");
    assert!(!is_wanted("var/lib/dpkg/status.d/base-files.md5sums"));
    assert!(!is_wanted("var/lib/dpkg/status-old"));
}

#[test]
fn a_status_that_is_none_is_said_to_be_unreadable() {
    let error = read("var/lib/dpkg/status", "this: is\nnot: dpkg\n").unwrap_err();
    assert_eq!(error.code, "dpkg-status-malformed");
    assert!(read("var/lib/dpkg/status", "").unwrap().is_empty());
}

/// A database that was cut off or written over names some packages still; that others are gone must be said.
#[test]
fn a_database_that_is_broken_in_part_is_read_and_said_to_be_broken() {
    const DPKG: [(&str, &str); 2] = [
        ("var/lib/dpkg/status", "dpkg-status-malformed"),
        ("usr/lib/opkg/status", "dpkg-status-malformed"),
    ];
    let whole = "Package: a\nStatus: install ok installed\nVersion: 1\n\n";
    for rest in [
        "Package: b\nStatus: install ok installed\n",
        "Status: install ok installed\nVersion: 2\n",
        "Package: b\nVersion: 2\nPackage: c\nVersion: 3\n",
        "Pack",
    ] {
        for (path, code) in DPKG {
            let facts = read(path, &format!("{whole}{rest}")).unwrap();
            assert_eq!(problems(&facts), [code], "{path}: {rest:?}");
            assert_eq!(packages(facts)[0].name, "a");
        }
    }
    for rest in ["", "Package: b\nStatus: deinstall ok config-files\n"] {
        assert!(problems(&read(DPKG[0].0, &format!("{whole}{rest}")).unwrap()).is_empty());
    }
    let installed = |rest: &str| read("lib/apk/db/installed", &format!("P:a\nV:1\n\n{rest}")).unwrap();
    for rest in ["C:Q1\nP:b\n", "V:1\n", "P:b\nV:1\nP:c\nV:2\n\n", "C:Q"] {
        assert_eq!(problems(&installed(rest)), ["apk-installed-malformed"], "{rest:?}");
    }
    assert!(problems(&installed("\n\nP:b\nV:2\nF:usr\nR:P:x\n\n\n")).is_empty());
    let desc = read("var/lib/pacman/local/b-2-1/desc", "%NAME%\nb\n\n%VERS").unwrap();
    assert_eq!(problems(&desc), ["alpm-desc-malformed"]);
}

fn problems(facts: &[Fact]) -> Vec<&'static str> {
    let problem = |fact: &Fact| match fact {
        Fact::Problem(problem) => Some(problem.code),
        _ => None,
    };
    facts.iter().filter_map(problem).collect()
}

#[test]
fn dpkg_lists_say_who_owns_a_file() {
    let facts = read("var/lib/dpkg/info/libc6:amd64.list", "/.\n/lib\n/lib/x.so\n").unwrap();
    let Fact::Owned { kind, package, files } = &facts[0] else {
        panic!("a list of files");
    };
    assert_eq!((*kind, package.as_str()), (PackageKind::Deb, "libc6:amd64"));
    assert_eq!(
        files.iter().map(|file| &**file).collect::<Vec<_>>(),
        ["lib", "lib/x.so"]
    );
}

#[test]
fn copyright_files_name_licences() {
    let licences = |text: &str| match read("usr/share/doc/foo/copyright", text).unwrap().remove(0) {
        Fact::DebianLicences { package, licences } => {
            assert_eq!(package, "foo");
            licences
        }
        other => panic!("{other:?}"),
    };
    let machine = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: foo

Files: *
Copyright: someone
License: GPL-2+ or Artistic

Files: x/*
License: Expat
 Permission is hereby granted

License: GPL-2+ or Artistic
 text
";
    assert_eq!(licences(machine), ["Expat", "GPL-2+ or Artistic"]);
    let prose = "On Debian systems, see /usr/share/common-licenses/GPL-2.\nAlso `/usr/share/common-licenses/LGPL-2.1'";
    assert_eq!(licences(prose), ["GPL-2", "LGPL-2.1"]);
    assert!(licences("All rights reversed.").is_empty());
}

#[test]
fn documentation_folders_may_be_links() {
    let link = |path, target| doc_link(path, target).map(|(a, b)| format!("{a} -> {b}"));
    assert_eq!(
        link("usr/share/doc/libfoo1", "libfoo-common").unwrap(),
        "libfoo1 -> libfoo-common"
    );
    assert_eq!(link("usr/share/doc/a/copyright", "../b/copyright").unwrap(), "a -> b");
    assert_eq!(link("usr/share/doc/a", "/usr/share/doc/b/").unwrap(), "a -> b");
    assert_eq!(link("usr/share/doc/a/examples", "x"), None);
    assert_eq!(link("usr/share/doc/a", ".."), None);
    assert_eq!(link("usr/lib/a", "b"), None);
}

#[test]
fn apk_lists_packages_and_their_files() {
    let text = "\
C:Q1abc=
P:musl
V:1.2.5-r0
A:x86_64
T:the musl c library (libc) implementation
U:https://musl.libc.org/
L:MIT
o:musl
m:Timo <timo@example.org>
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
R:libc.musl-x86_64.so.1

P:busybox
V:1.36.1-r29
A:x86_64
L:GPL-2.0-only
o:busybox
D:so:libc.musl-x86_64.so.1 !conflict
F:bin
R:busybox
";
    let facts = read("lib/apk/db/installed", text).unwrap();
    assert!(facts.contains(&Fact::Owned {
        kind: PackageKind::Apk,
        package: "busybox".to_owned(),
        files: vec!["bin/busybox".into()],
    }));
    let drafts = packages(facts);
    assert_eq!(drafts[0].provides, ["so:libc.musl-x86_64.so.1"]);
    assert_eq!(drafts[0].licences, ["MIT"]);
    assert_eq!(drafts[1].version.as_deref(), Some("1.36.1-r29"));
    assert_eq!(
        drafts[1].needs,
        [Need::AnyOf(vec!["so:libc.musl-x86_64.so.1".to_owned()])]
    );
    assert!(is_wanted("usr/lib/apk/db/installed"));
    assert_eq!(
        read("lib/apk/db/installed", "junk").unwrap_err().code,
        "apk-installed-malformed"
    );
}

#[test]
fn python_metadata_are_read() {
    let text = "\
Metadata-Version: 2.1
Name: Flask_Thing
Version: 2.2.2
Summary: A framework
Home-page: https://example.org
Author: UNKNOWN
License: BSD-3-Clause
Classifier: License :: OSI Approved :: BSD License
Requires-Dist: Werkzeug (>=2.2.2)
Requires-Dist: importlib-metadata>=3.6.0; python_version < \"3.10\"
Requires-Dist: asgiref>=3.2; extra == 'async'

Name: not a header any more
";
    let path = "usr/lib/python3/dist-packages/flask-2.2.2.dist-info/METADATA";
    let drafts = packages(read(path, text).unwrap());
    assert_eq!(drafts.len(), 1);
    assert_eq!(drafts[0].name, "Flask_Thing");
    assert_eq!(drafts[0].licences, ["BSD-3-Clause"]);
    assert_eq!(drafts[0].supplier, None);
    assert_eq!(drafts[0].provides, ["flask-thing"]);
    assert_eq!(
        drafts[0].needs,
        [
            Need::AnyOf(vec!["werkzeug".to_owned()]),
            Need::AnyOf(vec!["importlib-metadata".to_owned()])
        ]
    );
    assert_eq!(site_folder(path), "usr/lib/python3/dist-packages");
}

#[test]
fn python_licences_come_from_where_they_are_short() {
    let licences = |fields: &str| {
        let text = format!("Name: x\nVersion: 1\n{fields}\n");
        packages(read("x.dist-info/METADATA", &text).unwrap())
            .remove(0)
            .licences
    };
    assert_eq!(
        licences("License-Expression: MIT OR Apache-2.0\nLicense: ignored"),
        ["MIT OR Apache-2.0"]
    );
    let long = "License: Copyright\n  many\n          \n  lines\nClassifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: BSD License";
    assert_eq!(licences(long), ["BSD License"]);
    assert!(licences("License: UNKNOWN").is_empty());
}

#[test]
fn eggs_are_read_and_nameless_metadata_noted() {
    for path in [
        "usr/lib/python3/dist-packages/six-1.16.0.egg-info",
        "site/foo.egg-info/PKG-INFO",
    ] {
        assert_eq!(
            packages(read(path, "Name: six\nVersion: 1.16.0\n").unwrap())[0].name,
            "six"
        );
    }
    assert_eq!(
        read("x.dist-info/METADATA", "Version: 1\n").unwrap_err().code,
        "python-metadata-no-name"
    );
    assert_eq!(
        read("x.dist-info/METADATA", "").unwrap_err().code,
        "python-metadata-empty"
    );
    let no_version = packages(read("x.dist-info/METADATA", "Name: x\n").unwrap());
    assert_eq!(no_version[0].uncertain, Some(Uncertainty::NoVersion));
}

#[test]
fn npm_packages_are_the_roots_of_folders_in_node_modules() {
    for (path, expected) in [
        (
            "app/node_modules/lodash/package.json",
            Some(("app/node_modules/", "lodash")),
        ),
        ("node_modules/@a/b/package.json", Some(("node_modules/", "@a/b"))),
        (
            "a/node_modules/b/node_modules/c/package.json",
            Some(("a/node_modules/b/node_modules/", "c")),
        ),
        (
            "usr/share/nodejs/abbrev/package.json",
            Some(("usr/share/nodejs/", "abbrev")),
        ),
        (
            "usr/share/nodejs/@types/node/package.json",
            Some(("usr/share/nodejs/", "@types/node")),
        ),
        ("app/node_modules/lodash/fp/package.json", None),
        ("app/node_modules/@a/package.json", None),
        ("app/node_modules/package.json", None),
        ("app/node_modules/.package-lock/package.json", None),
        ("app/package.json", None),
        ("app/my_node_modules/x/package.json", None),
    ] {
        assert_eq!(package_folder(path), expected, "{path}");
    }
}

#[test]
fn npm_manifests_are_read_in_all_their_forms() {
    let draft = |json: &str| packages(read("node_modules/x/package.json", json).unwrap());
    let full = draft(
        r#"{"name":"@a/x","version":"1.2.3","license":"MIT","author":{"name":"A"},"homepage":"https://e.org",
        "dependencies":{"b":"^1"},"scripts":{"name":"not this"}}"#,
    );
    assert_eq!(full[0].name, "@a/x");
    assert_eq!(full[0].supplier.as_deref(), Some("A"));
    assert_eq!(full[0].needs, [Need::AnyOf(vec!["b".to_owned()])]);
    assert_eq!(full[0].provides, ["x"]);
    for licence in [
        r#""license":{"type":"MIT","url":"u"}"#,
        r#""licenses":[{"type":"MIT"}]"#,
        r#""license":["MIT"]"#,
    ] {
        let drafts = draft(&format!(r#"{{"name":"x","version":"1",{licence}}}"#));
        assert_eq!(drafts[0].licences, ["MIT"], "{licence}");
    }
    assert!(draft(r#"{"type":"module"}"#).is_empty());
    assert_eq!(
        draft("\u{feff}{\"name\":\"x\"}")[0].uncertain,
        Some(Uncertainty::NoVersion)
    );
    assert_eq!(
        draft(r#"{"name":"x","version":1,"license":null,"author":7,"dependencies":[]}"#)[0].version,
        None
    );
    for bad in ["", "{", "[]", r#"{"name":"x"} trailing"#] {
        assert_eq!(
            read("node_modules/x/package.json", bad).unwrap_err().code,
            "npm-package-json-malformed",
            "{bad}"
        );
    }
}

#[test]
fn os_release_names_the_distribution() {
    let text = "# comment\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID='debian'\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
    let facts = read("etc/os-release", text).unwrap();
    let Fact::Distribution(distribution) = &facts[0] else {
        panic!("a distribution");
    };
    assert_eq!(distribution.qualifier(), "debian-12");
    assert_eq!(distribution.name.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
    let rolling = read("usr/lib/os-release", "ID=arch\nNAME=\"a \\\"b\\\"\"\n").unwrap();
    let Fact::Distribution(distribution) = &rolling[0] else {
        panic!("a distribution");
    };
    assert_eq!(distribution.qualifier(), "arch");
    assert_eq!(distribution.name.as_deref(), Some("a \"b\""));
    assert_eq!(
        read("etc/os-release", "VERSION_ID=1").unwrap_err().code,
        "os-release-no-id"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No bytes make a cataloger panic.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for path in [
            "etc/os-release",
            "var/lib/dpkg/status",
            "var/lib/dpkg/info/x.list",
            "usr/share/doc/x/copyright",
            "lib/apk/db/installed",
            "x.dist-info/METADATA",
            "node_modules/x/package.json",
        ] {
            for cataloger in registry() {
                if cataloger.wants(path) {
                    let _ = cataloger.read(path, &bytes);
                }
            }
        }
    }

    #[test]
    fn any_text_of_fields_is_read_or_refused(text in "([A-Z][a-z]{0,8}:[ -~]{0,20}\n| [ -~]{0,20}\n|\n){0,40}") {
        let _ = read("var/lib/dpkg/status", &text);
        let _ = read("x.dist-info/METADATA", &text);
        let _ = read("usr/share/doc/x/copyright", &format!("Format: x\n{text}"));
        let _ = read("lib/apk/db/installed", &text);
    }

    #[test]
    fn any_path_is_judged(path in "[ -~]{0,60}", target in "[ -~]{0,30}") {
        let _ = is_wanted(&path);
        let _ = doc_link(&format!("usr/share/doc/{path}"), &target);
        let _ = package_folder(&format!("{path}/package.json"));
    }
}

#[test]
fn a_few_bytes_do_not_say_a_thousand_long_paths() {
    // apk and rpm name a folder once for many files.
    let folder = "f/".repeat(2_000);
    let mut budget = PathBudget::new();
    let kept = (0..100_000).filter_map(|_| budget.path(&folder, "name")).count();
    assert!(
        (16_000..17_000).contains(&kept),
        "{kept} paths of 4,004 bytes are in 64 MB"
    );
    assert_eq!(PathBudget::new().path(&"x".repeat(5_000), "y"), None);
    let database = format!(
        "P:app\nV:1\nF:{}\nR:lost\nF:usr/bin\nR:app\nF:\nR:root\n",
        "x".repeat(5_000)
    );
    let facts = read("lib/apk/db/installed", &database).unwrap();
    let Fact::Owned { files, .. } = &facts[0] else {
        panic!("a list of files");
    };
    assert_eq!(
        files.iter().map(|file| &**file).collect::<Vec<_>>(),
        ["usr/bin/app", "root"]
    );
}

#[test]
fn texts_for_people_are_cut() {
    let text = "\u{e9}".repeat(100_000);
    let manifest = format!("{{\"name\":\"a\",\"version\":\"1\",\"description\":\"{text}\",\"license\":\"{text}\"}}");
    let mut drafts = packages(read("node_modules/a/package.json", &manifest).unwrap());
    assert!(drafts[0].text_bytes() > 400_000);
    drafts[0].shorten();
    assert_eq!(drafts[0].description.as_ref().map(String::len), Some(4_000));
    assert!(drafts[0].text_bytes() < 9_000);
}

#[test]
fn an_npm_package_without_author_has_its_keepers_or_its_account() {
    let supplier = |more: &str| {
        let text = format!(r#"{{"name":"a","version":"1.0.0",{more}}}"#);
        packages(read("node_modules/a/package.json", &text).unwrap())[0]
            .supplier
            .clone()
    };
    for (more, expected) in [
        (r#""author":{"name":"Ann"},"maintainers":["Bob"]"#, Some("Ann")),
        (r#""author":"","maintainers":[{"name":"Bob"}]"#, Some("Bob")),
        (r#""contributors":["Cem <c@example.org>"]"#, Some("Cem <c@example.org>")),
        (r#""repository":"jshttp/accepts""#, Some("github.com/jshttp")),
        (r#""repository":"gitlab:a/b""#, Some("gitlab.com/a")),
        (
            r#""repository":{"type":"git","url":"git+https://github.com/jshttp/accepts.git"}"#,
            Some("github.com/jshttp"),
        ),
        (
            r#""repository":{"url":"git@github.com:jshttp/accepts.git"}"#,
            Some("github.com/jshttp"),
        ),
        (r#""repository":{"url":"https://example.org/a/b.git"}"#, None),
        (r#""repository":"https://github.com/<script>/b""#, None),
        (r#""repository":7"#, None),
    ] {
        assert_eq!(supplier(more).as_deref(), expected, "{more}");
    }
}
