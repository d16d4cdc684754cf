//! Lock files: those of npm 9 (versions 1 to 3 of the format), yarn 1 and 4, pnpm 8 and 9 of the same application, and
//! Composer's, were written by these programs; the others are written after their documentation.

use super::*;

fn shown(path: &str, text: &str) -> Vec<String> {
    let drafts = packages(read(path, text).unwrap());
    assert!(drafts.iter().all(|draft| draft.locked), "{path}");
    let mut shown: Vec<_> = drafts
        .iter()
        .map(|draft| {
            let mark = if draft.uncertain == Some(Uncertainty::NotFromRegistry) {
                " local"
            } else {
                ""
            };
            format!("{}@{}{mark}", draft.name, draft.version.as_deref().unwrap_or("-"))
        })
        .collect();
    shown.sort();
    shown.dedup();
    shown
}

/// What the application needs at run time, of which `is-odd` is asked for under another's name.
const RUNTIME: [&str; 8] = [
    "debug@4.3.4",
    "fsevents@2.3.2",
    "is-buffer@1.1.6",
    "is-even@1.0.0",
    "is-number@3.0.0",
    "is-odd@0.1.2",
    "kind-of@3.2.2",
    "ms@2.1.2",
];

#[test]
fn every_javascript_lock_file_says_the_same() {
    for (path, text) in [
        (
            "app/package-lock.json",
            include_str!("../../../tests/fixtures/javascript/package-lock-v1.json"),
        ),
        (
            "package-lock.json",
            include_str!("../../../tests/fixtures/javascript/package-lock-v2.json"),
        ),
        (
            "app/npm-shrinkwrap.json",
            include_str!("../../../tests/fixtures/javascript/package-lock-v3.json"),
        ),
        (
            "app/pnpm-lock.yaml",
            include_str!("../../../tests/fixtures/javascript/pnpm-v6.yaml"),
        ),
    ] {
        assert_eq!(shown(path, text), RUNTIME, "{path}");
    }
    // These say not what only development needs.
    let mut all: Vec<_> = RUNTIME.into_iter().chain(["left-pad@1.3.0"]).collect();
    all.sort();
    for (path, text) in [
        (
            "app/yarn.lock",
            include_str!("../../../tests/fixtures/javascript/yarn-v1.lock"),
        ),
        (
            "app/pnpm-lock.yaml",
            include_str!("../../../tests/fixtures/javascript/pnpm-v9.yaml"),
        ),
    ] {
        assert_eq!(shown(path, text), all, "{path}");
    }
    // yarn 4 adds what builds the one package with native parts.
    let berry = shown(
        "app/yarn.lock",
        include_str!("../../../tests/fixtures/javascript/yarn-berry.lock"),
    );
    for name in all {
        assert!(berry.contains(&name.to_owned()), "{name} in {berry:?}");
    }
    assert!(!berry.iter().any(|name| name.starts_with("shop@")), "{berry:?}");
}

#[test]
fn what_is_not_from_the_registry_says_so() {
    let npm = r#"{"lockfileVersion":3,"packages":{"":{"name":"a"},"lib":{"version":"1.0.0"},
        "node_modules/lib":{"resolved":"lib","link":true},
        "node_modules/g":{"version":"2.0.0","resolved":"git+ssh://git@example.org/g.git#abc"}}}"#;
    assert_eq!(shown("package-lock.json", npm), ["g@2.0.0 local"]);
    let yarn = "\"g@git+https://example.org/g.git\":\n  version \"2.0.0\"\n  resolved \"git+https://example.org/g.git#abc\"\n\n\
        \"@s/a@^1.0.0\", \"@s/a@^1.1.0\":\n  version \"1.2.0\"\n";
    assert_eq!(shown("yarn.lock", yarn), ["@s/a@1.2.0", "g@2.0.0 local"]);
    let pnpm =
        "lockfileVersion: 5.4\npackages:\n  /@s/a/1.2.0_react@18.0.0:\n    dev: false\n  /b/2.0.0:\n    dev: true\n";
    assert_eq!(shown("pnpm-lock.yaml", pnpm), ["@s/a@1.2.0"]);
}

#[test]
fn other_languages_lock_files() {
    let poetry = "[[package]]\nname = \"Flask\"\nversion = \"2.3.2\"\noptional = false\n\n[package.dependencies]\nname = \"no\"\n\n\
        [[package]]\nname = \"pytest\"\nversion = \"7.0\"\ncategory = \"dev\"\n\n[metadata]\n";
    let cases = [
        ("app/poetry.lock", poetry, "Flask@2.3.2"),
        (
            "app/uv.lock",
            "version = 1\n[[package]]\nname = \"me\"\nversion = \"0\"\nsource = { virtual = \".\" }\n[[package]]\nname = \"six\"\nversion = \"1.16.0\"\n",
            "six@1.16.0",
        ),
        (
            "Pipfile.lock",
            r#"{"_meta":{},"default":{"six":{"version":"==1.16.0"},"own":{"path":"."}},"develop":{"x":{"version":"==1"}}}"#,
            "own@- local six@1.16.0",
        ),
        (
            "requirements.txt",
            "# c\nsix==1.16.0 ; python_version > '3' # why\nflask[async]==2.0 \\\n    --hash=sha256:00\nopen>=1\n-r other.txt\nbad name==1\n",
            "flask@2.0 six@1.16.0",
        ),
        (
            "Cargo.lock",
            "[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+https://example.org/index\"\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n",
            "app@0.1.0 local serde@1.0.1",
        ),
        (
            "packages.lock.json",
            r#"{"version":1,"dependencies":{"net8.0":{"Newtonsoft.Json":{"type":"Direct","resolved":"13.0.1"},"own":{"type":"Project"}}}}"#,
            "Newtonsoft.Json@13.0.1",
        ),
        (
            "conan.lock",
            r#"{"version":"0.5","requires":["zlib/1.2.11#ffa7%1","own/1.0@me/stable"],"build_requires":["cmake/3.2#0"]}"#,
            "own@1.0 zlib@1.2.11",
        ),
        (
            "conan.lock",
            r#"{"graph_lock":{"nodes":{"0":{"ref":"zlib/1.2.11#ffa7"},"1":{"ref":"cmake/3.2","context":"build"},"2":{}}}}"#,
            "zlib@1.2.11",
        ),
        (
            "pubspec.lock",
            "# by pub\npackages:\n  http:\n    dependency: \"direct main\"\n    description:\n      name: http\n    source: hosted\n    version: \"0.13.4\"\n  test:\n    dependency: \"direct dev\"\n    source: hosted\n    version: \"1.0.0\"\n  flutter:\n    dependency: \"direct main\"\n    source: sdk\n    version: \"0.0.0\"\nsdks:\n  dart: \"3\"\n",
            "http@0.13.4",
        ),
        (
            "Gemfile.lock",
            "GIT\n  remote: https://example.org/g.git\n  specs:\n    g (1.0)\n\nGEM\n  remote: https://example.org/\n  specs:\n    nokogiri (1.15.4-x86_64-linux)\n      racc (~> 1.4)\n    racc (1.7.1)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  nokogiri\n",
            "g@1.0 local nokogiri@1.15.4 racc@1.7.1",
        ),
        (
            "composer.lock",
            include_str!("../../../tests/fixtures/php/composer.lock"),
            "acme/lib@v2.1.0 local",
        ),
    ];
    for (path, text, expected) in cases {
        assert_eq!(shown(path, text).join(" "), expected, "{path}");
    }
}

#[test]
fn a_swift_package_is_its_repository() {
    let two = r#"{"pins":[{"identity":"swift-nio","kind":"remoteSourceControl","location":"https://github.com/apple/swift-nio.git",
        "state":{"revision":"a","version":"2.40.0"}}],"version":2}"#;
    let one = r#"{"object":{"pins":[{"package":"NIO","repositoryURL":"git@github.com:apple/swift-nio","state":{"branch":null,"revision":"a","version":"2.40.0"}}]},"version":1}"#;
    for text in [two, one] {
        let drafts = packages(read("Package.resolved", text).unwrap());
        let draft = &drafts[0];
        assert_eq!(
            (draft.group.as_deref(), draft.name.as_str(), draft.version.as_deref()),
            (Some("github.com/apple"), "swift-nio", Some("2.40.0"))
        );
    }
}

#[test]
fn broken_lock_files_are_noted() {
    for (path, text) in [
        ("package-lock.json", "{"),
        ("Pipfile.lock", "[]"),
        ("packages.lock.json", "{}"),
        ("conan.lock", "{}"),
        ("Package.resolved", "{}"),
        ("pubspec.lock", "nothing"),
        ("pnpm-lock.yaml", "packages:\n  a@1:\n"),
        ("yarn.lock", "this is\nno lock file\n"),
    ] {
        assert_eq!(read(path, text).unwrap_err().code, "lock-file-malformed", "{path}");
    }
    assert_eq!(read("composer.lock", "{}").unwrap_err().code, "composer-json-malformed");
    // JSON as deep as it likes.
    let deep = format!("{{\"dependencies\":{}", "{\"a\":{\"dependencies\":".repeat(100_000));
    assert_eq!(
        read("package-lock.json", &deep).unwrap_err().code,
        "lock-file-malformed"
    );
    assert!(read("yarn.lock", "# yarn lockfile v1\n\n").unwrap().is_empty());
}

#[test]
fn a_lock_file_without_end_is_noted() {
    let text: String = (0..50_001).map(|at| format!("p{at}==1\n")).collect();
    assert_eq!(read("requirements.txt", &text).unwrap_err().code, "lock-file-too-large");
}

#[test]
fn lock_files_of_packages_are_not_the_images() {
    for path in [
        "app/node_modules/a/package-lock.json",
        "usr/lib/python3/site-packages/a/requirements.txt",
        "root/.cargo/registry/src/a/Cargo.lock",
        "usr/lib/ruby/gems/3.1.0/gems/rbs-2.1.0/steep/Gemfile.lock",
        "app/vendor/a/b/composer.lock",
        "usr/share/nodejs/lodash-cli/npm-shrinkwrap.json",
    ] {
        assert!(!is_wanted(path), "{path}");
    }
    assert!(is_wanted("opt/nodejs/app/package-lock.json"));
}

proptest! {
    #[test]
    fn any_text_does_no_harm(text: String, which in 0usize..16) {
        let paths = ["package-lock.json", "yarn.lock", "pnpm-lock.yaml", "poetry.lock", "Pipfile.lock", "requirements.txt",
            "Cargo.lock", "packages.lock.json", "conan.lock", "Package.resolved", "pubspec.lock", "Gemfile.lock",
            "composer.lock", "specifications/a-1.gemspec", "var/lib/pacman/local/a-1-1/desc", "a.deps.json"];
        let _ = read(paths[which], &text);
    }
}
