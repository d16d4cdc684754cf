//! Images with packages of languages.

use proofmark_sbom::{Bill, PackageKind, Uncertainty};

use crate::image::{Files, Image, named, needs, status};

#[test]
fn java_archives_have_places_in_one_another() {
    let bill = Image::of([Files::new()
        .file("srv/all.ear", include_bytes!("../fixtures/java/all.ear"))
        .file("srv/broken.war", "PK no")
        .file(
            "usr/share/java/example-lib.jar",
            include_bytes!("../fixtures/java/example-lib-1.2.0-shaded.jar"),
        )
        .file("var/lib/dpkg/status", status(&["liblib-java 1.2.0-1"]))
        .file(
            "var/lib/dpkg/info/liblib-java.list",
            "/usr/share/java/example-lib.jar\n",
        )])
    .bill();
    let notes: Vec<_> = bill.notes.iter().map(|note| (note.path.as_str(), note.code)).collect();
    assert_eq!(notes, [("srv/broken.war", "java-archive-malformed")]);
    let jars: Vec<_> = bill
        .packages
        .iter()
        .filter(|package| package.name == "example-lib")
        .map(|package| {
            (
                package.purl.as_ref().unwrap().to_string(),
                package.locations[0].path.as_str(),
                package.owned_by.is_some(),
            )
        })
        .collect();
    let purl = "pkg:maven/org.example/example-lib@1.2.0".to_owned();
    assert_eq!(jars.len(), 2);
    assert!(jars.contains(&(
        purl.clone(),
        "srv/all.ear!/app.war!/WEB-INF/lib/example-lib-1.2.0.jar",
        false
    )));
    assert!(jars.contains(&(purl, "usr/share/java/example-lib.jar", true)));
    assert_eq!(
        named(&bill, "mystery").purl,
        None,
        "a name without a group is no name in a Maven repository"
    );
    assert!(needs(&bill).contains(&"example-lib -> inner".to_owned()));
}

fn names(bill: &Bill, kind: PackageKind) -> Vec<String> {
    let of_kind = bill.packages.iter().filter(|package| package.kind == kind);
    of_kind
        .map(|package| format!("{}@{}", package.name, package.version.as_deref().unwrap_or("-")))
        .collect()
}

const NPM_LOCK: &str = include_str!("../fixtures/javascript/package-lock-v3.json");

#[test]
fn a_lock_file_tells_only_of_what_nothing_installed_tells() {
    // A bundled application: nothing but the lock file says what is in it.
    let bundled = Image::of([Files::new().file("app/package-lock.json", NPM_LOCK)]).bill();
    assert_eq!(bundled.count(PackageKind::Npm), 8);
    let debug = named(&bundled, "debug");
    assert_eq!(debug.uncertain, Some(Uncertainty::NotInstalled));
    assert_eq!(debug.locations[0].path, "app/package-lock.json");
    // An installed one, and another beside it.
    let installed = Image::of([Files::new().file("app/package-lock.json", NPM_LOCK).file(
        "app/node_modules/debug/package.json",
        r#"{"name":"debug","version":"4.3.4"}"#,
    )])
    .bill();
    assert_eq!(names(&installed, PackageKind::Npm), ["debug@4.3.4"]);
    assert_eq!(named(&installed, "debug").uncertain, None);
    let elsewhere = Image::of([Files::new().file("app/package-lock.json", NPM_LOCK).file(
        "other/node_modules/debug/package.json",
        r#"{"name":"debug","version":"4.3.4"}"#,
    )])
    .bill();
    assert_eq!(elsewhere.count(PackageKind::Npm), 8);
    assert_eq!(
        named(&elsewhere, "debug").locations[0].path,
        "other/node_modules/debug/package.json"
    );
}

#[test]
fn a_lock_file_that_was_followed_says_nothing_more() {
    let lock = "GEM\n  specs:\n    hello-gem (1.2.3)\n    windows-only (1.0)\n";
    let gem = include_str!("../fixtures/ruby/hello-gem-1.2.3.gemspec");
    let files = || Files::new().file("app/Gemfile.lock", lock);
    let followed = Image::of([files().file("usr/local/bundle/specifications/hello-gem-1.2.3.gemspec", gem)]).bill();
    assert_eq!(names(&followed, PackageKind::Gem), ["hello-gem@1.2.3"]);
    let not_followed = Image::of([files()]).bill();
    assert_eq!(
        names(&not_followed, PackageKind::Gem),
        ["hello-gem@1.2.3", "windows-only@1.0"]
    );
    let purl = named(&not_followed, "hello-gem").purl.as_ref().map(ToString::to_string);
    assert_eq!(purl.as_deref(), Some("pkg:gem/hello-gem@1.2.3"));
}

#[test]
fn purls_of_the_other_kinds() {
    let bill = Image::of([Files::new()
        .file(
            "app/Package.resolved",
            r#"{"pins":[{"location":"https://github.com/apple/swift-nio.git","state":{"version":"2.40.0"}}]}"#,
        )
        .file(
            "app/vendor/composer/installed.json",
            r#"[{"name":"acme/lib","version":"1.0"}]"#,
        )
        .file("app/conan.lock", r#"{"requires":["zlib/1.2.11"]}"#)
        .file(
            "app/pubspec.lock",
            "packages:\n  http:\n    source: hosted\n    version: \"0.13.4\"\n",
        )
        .file(
            "app/a.deps.json",
            r#"{"libraries":{"N.Json/13.0.1":{"type":"package"}}}"#,
        )
        .file(
            "conda-meta/a.json",
            r#"{"name":"numpy","version":"1.26.0","subdir":"linux-64"}"#,
        )
        .file("opt/jdk/release", "JAVA_VERSION=\"21.0.1\"\n")])
    .bill();
    let purls: Vec<_> = bill
        .packages
        .iter()
        .filter_map(|p| p.purl.as_ref())
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        purls,
        [
            "pkg:composer/acme/lib@1.0",
            "pkg:conan/zlib@1.2.11",
            "pkg:conda/numpy@1.26.0",
            "pkg:generic/openjdk@21.0.1",
            "pkg:nuget/N.Json@13.0.1",
            "pkg:pub/http@0.13.4",
            "pkg:swift/github.com/apple/swift-nio@2.40.0",
        ]
    );
}

/// Enough of a program: the header of ELF for x86-64, and bytes.
fn program(text: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    bytes.resize(52, 0);
    bytes.extend_from_slice(&[64, 0, 56, 0, 0, 0, 64, 0, 0, 0, 0, 0]);
    bytes.resize(512, 0);
    bytes.extend_from_slice(text);
    bytes
}

#[test]
fn what_a_system_package_owns_is_told_of_by_it_alone() {
    let nginx = program(b"nginx version: nginx/1.22.1\n\0");
    let owned = "/usr/sbin/nginx\n";
    let bill = Image::of([Files::new()
        .program("usr/sbin/nginx", &nginx)
        .program("opt/nginx/sbin/nginx", &program(b"nginx version: nginx/1.25.3\n\0"))
        .file("var/lib/dpkg/status", status(&["nginx 1.22.1-9"]))
        .file("var/lib/dpkg/info/nginx.list", owned)])
    .bill();
    assert_eq!(names(&bill, PackageKind::Generic), ["nginx@1.25.3"]);
    assert_eq!(names(&bill, PackageKind::Deb), ["nginx@1.22.1-9"]);
}

#[test]
fn a_program_larger_than_memory_allows_is_searched_as_it_passes() {
    let mut node = program(b"");
    node.resize(49 * 1024 * 1024, b'.');
    node.extend_from_slice(b"\0node.js/v20.11.1\0");
    node.resize(50 * 1024 * 1024, b'.');
    let bill = Image::of([Files::new().program("usr/local/bin/node", &node)]).bill();
    assert_eq!(names(&bill, PackageKind::Generic), ["node@20.11.1"]);
    assert_eq!(bill.notes, []);
}

#[test]
fn a_file_of_two_gigabytes_called_package_json_is_noted_by_its_size() {
    // As large as tests may be: the bound is on the size that the archive says, before anything is read.
    let large = vec![b'{'; 33 * 1024 * 1024];
    let bill = Image::of([Files::new()
        .file("a/node_modules/b/package.json", &large)
        .file("a/node_modules/c/package.json", r#"{"name":"c","version":"1"}"#)])
    .bill();
    assert_eq!(bill.notes[0].code, "metadata-too-large");
    assert_eq!(names(&bill, PackageKind::Npm), ["c@1"]);
}

/// Debian's Maven repository has links to archives that do not say their coordinates; who says them is believed.
#[test]
fn debians_repository_names_archives() {
    let archive = |jar: &str| {
        Files::new()
            .file(
                &format!("usr/share/java/{jar}"),
                include_bytes!("../fixtures/java/py4j0.10.9.7.jar"),
            )
            .symlink("usr/share/java/tool.jar", jar)
    };
    let link = "../../../../../java/tool.jar";
    let repository = "usr/share/maven-repo/org/example/tool";
    let files = || {
        archive("tool-9.jar")
            .symlink(&format!("{repository}/1.2/tool-1.2.jar"), link)
            .symlink(&format!("{repository}/debian/tool-debian.jar"), link)
    };
    let bill = Image::of([files()]).bill();
    let tool = named(&bill, "tool");
    assert_eq!(
        tool.purl.as_ref().map(ToString::to_string).as_deref(),
        Some("pkg:maven/org.example/tool@1.2"),
        "what the repository says goes before the file's name"
    );
    assert_eq!(tool.uncertain, None);
    let series = archive("tool-9.jar").symlink(&format!("{repository}/9.x/tool-9.x.jar"), link);
    let bill = Image::of([series]).bill();
    assert_eq!(
        named(&bill, "tool").version.as_deref(),
        Some("9"),
        "a series is no version"
    );
    // Of several names the same counts in whatever order they stand.
    let other = "usr/share/maven-repo/org/example/another/1.2/another-1.2.jar";
    for names in [
        [other, &format!("{repository}/1.2/tool-1.2.jar")],
        [&format!("{repository}/1.2/tool-1.2.jar"), other],
    ] {
        let files = names
            .iter()
            .fold(archive("tool-9.jar"), |files, name| files.symlink(name, link));
        let bill = Image::of([files]).bill();
        assert_eq!(bill.packages[0].name, "another");
    }
    // Without the repository, or with links that lead elsewhere or are named for something else, nothing is made up.
    for other in [
        archive("tool-9.jar"),
        archive("tool-9.jar").symlink(&format!("{repository}/1.2/tool-1.2.jar"), "../../elsewhere.jar"),
        archive("tool-9.jar").symlink(&format!("{repository}/1.2/other-1.2.jar"), link),
        archive("tool-9.jar").symlink(
            "srv/maven-repo/org/example/tool/1.2/tool-1.2.jar",
            "/usr/share/java/tool.jar",
        ),
    ] {
        let bill = Image::of([other]).bill();
        let tool = named(&bill, "tool");
        assert_eq!((tool.purl.as_ref(), tool.group.as_ref()), (None, None));
        assert!(tool.uncertain.is_some());
    }
    // An archive that says what it is stays what it says.
    let own = Files::new()
        .file("usr/share/java/lib.jar", include_bytes!("../fixtures/java/lib-1.2.jar"))
        .symlink(
            "usr/share/maven-repo/org/other/thing/7/thing-7.jar",
            "/usr/share/java/lib.jar",
        );
    let bill = Image::of([own]).bill();
    assert_eq!(
        named(&bill, "lib").purl.as_ref().map(ToString::to_string).as_deref(),
        Some("pkg:maven/org.example/lib@1.2")
    );
}

/// An application's own `package.json` lies beside what was installed for it, or beside its lock file.
#[test]
fn an_application_is_listed_where_its_packages_are() {
    let manifest = r#"{"name":"shop","version":"3.1.0","dependencies":{"left":"1"}}"#;
    let left = r#"{"name":"left","version":"1.0.0"}"#;
    let bill = Image::of([Files::new()
        .file("srv/shop/package.json", manifest)
        .file("srv/shop/node_modules/left/package.json", left)
        .file("srv/other/package.json", r#"{"name":"other","version":"1.0.0"}"#)
        .file("usr/share/doc/x/package.json", manifest)
        .file(
            "srv/shop/node_modules/left/test/package.json",
            r#"{"name":"test-data","version":"0.0.1"}"#,
        )])
    .bill();
    let names: Vec<&str> = bill.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["left", "shop"]);
    let shop = named(&bill, "shop");
    assert_eq!(shop.uncertain, Some(Uncertainty::NotFromRegistry));
    assert_eq!(needs(&bill), ["shop -> left"]);
}

/// A Go program without modules says which package it was built of. Of one that a system package has, that is known.
#[test]
fn a_go_program_without_modules_is_its_package() {
    let program = |path: &str| {
        let text = [&[0; 16][..], b"path\t", path.as_bytes(), b"\n", &[0; 16]].concat();
        let mut program = b"\x7fELF\x02\x01\x01".to_vec();
        program.resize(49 * 1024 * 1024, 0);
        program.extend_from_slice(b"\xff Go buildinf:\x08\x02");
        program.resize(program.len().next_multiple_of(32), 0);
        program.extend_from_slice(b"\x08go1.19.8");
        program.push(u8::try_from(text.len()).unwrap());
        program.extend_from_slice(&text);
        program
    };
    let names = |files: Files| -> Vec<String> {
        let bill = Image::of([files]).bill();
        bill.packages.iter().map(|package| package.name.clone()).collect()
    };
    let tool = program("example.com/tool/cmd/tool");
    let of = |path: &str| Files::new().program(path, &tool);
    assert_eq!(names(of("opt/tool")), ["example.com/tool/cmd/tool", "stdlib"]);
    let owned = of("usr/bin/tool")
        .file("var/lib/dpkg/status", status(&["tool 1"]))
        .file("var/lib/dpkg/info/tool.list", "/usr/bin/tool\n");
    assert_eq!(names(owned), ["tool", "stdlib"]);
    let nameless = program("command-line-arguments");
    assert_eq!(names(Files::new().program("opt/tool", &nameless)), ["stdlib"]);
}
