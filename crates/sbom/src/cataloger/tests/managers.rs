//! What package managers of languages and of Arch write of what they installed: the gem's specification was written by
//! RubyGems 3.3, `installed.json` by Composer 2.5; the others are written after their documentation.

use super::*;

#[test]
fn a_gem_is_what_its_specification_says() {
    let text = include_str!("../../../tests/fixtures/ruby/hello-gem-1.2.3.gemspec");
    for path in [
        "usr/local/bundle/specifications/hello-gem-1.2.3.gemspec",
        "usr/lib/ruby/gems/3.1.0/specifications/default/hello-gem-1.2.3.gemspec",
    ] {
        let drafts = packages(read(path, text).unwrap());
        let gem = &drafts[0];
        assert_eq!(
            (gem.kind, gem.name.as_str(), gem.version.as_deref()),
            (PackageKind::Gem, "hello-gem", Some("1.2.3"))
        );
        assert_eq!(gem.licences, ["MIT", "Ruby"]);
        assert_eq!(gem.supplier.as_deref(), Some("A. Author <a@example.org>"));
        assert_eq!(gem.homepage.as_deref(), Some("https://example.org/hello"));
        assert_eq!(gem.description.as_deref(), Some("Says hello"));
        assert_eq!(
            gem.needs,
            [Need::AnyOf(vec!["rake".to_owned()])],
            "not what development needs"
        );
        assert!(!gem.locked && gem.uncertain.is_none());
    }
    assert!(!is_wanted("app/hello.gemspec"));
}

#[test]
fn a_version_that_ruby_works_out_is_in_the_files_name() {
    let text = "Gem::Specification.new do |s|\n  s.name = 'a'\n  s.version = A::VERSION\nend\n";
    let drafts = packages(read("specifications/a-2.0.1-x86_64-linux.gemspec", text).unwrap());
    assert_eq!(drafts[0].version.as_deref(), Some("2.0.1"));
    assert_eq!(drafts[0].uncertain, Some(Uncertainty::FromFileName));
    let error = read("specifications/a-1.gemspec", "puts 1\ns.name = \"no end").unwrap_err();
    assert_eq!(error.code, "gem-specification-malformed");
}

#[test]
fn composer_lists_what_it_installed() {
    let text = include_str!("../../../tests/fixtures/php/installed.json");
    let drafts = packages(read("app/vendor/composer/installed.json", text).unwrap());
    let names: Vec<_> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    assert_eq!(
        names,
        ["acme/dev", "acme/lib"],
        "what development needs is there as well"
    );
    let lib = &drafts[1];
    assert_eq!(lib.version.as_deref(), Some("v2.1.0"));
    assert_eq!(lib.licences, ["MIT OR GPL-2.0-only"]);
    assert_eq!(lib.supplier.as_deref(), Some("A. Author"));
    assert_eq!(lib.uncertain, Some(Uncertainty::NotFromRegistry), "it is from a folder");
    assert!(!lib.locked);
    let one = r#"[{"name":"a/b","version":"1.0.0","require":{"php":">=7","c/d":"^1"}},{"name":"c/d","version":"1.1","require":[]}]"#;
    let drafts = packages(read("vendor/composer/installed.json", one).unwrap());
    assert_eq!(drafts[0].needs, [Need::AnyOf(vec!["c/d".to_owned()])]);
    let error = read("vendor/composer/installed.json", "{\"packages\":7}").unwrap_err();
    assert_eq!(error.code, "composer-json-malformed");
}

#[test]
fn dotnet_says_what_was_built_in() {
    let text = r#"{"runtimeTarget":{"name":".NETCoreApp,Version=v8.0"},
        "targets":{".NETCoreApp,Version=v8.0":{"app/1.0.0":{"dependencies":{"Newtonsoft.Json":"13.0.1"}},"Newtonsoft.Json/13.0.1":{}}},
        "libraries":{"app/1.0.0":{"type":"project","serviceable":false,"sha512":""},
        "Newtonsoft.Json/13.0.1":{"type":"package","serviceable":true,"sha512":"sha512-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="},
        "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/8.0.1":{"type":"runtimepack"}}}"#;
    let drafts = packages(read("app/app.deps.json", text).unwrap());
    let shown: Vec<_> = drafts
        .iter()
        .map(|draft| (draft.name.as_str(), draft.version.as_deref().unwrap(), draft.uncertain))
        .collect();
    assert_eq!(
        shown,
        [
            ("Newtonsoft.Json", "13.0.1", None),
            ("app", "1.0.0", Some(Uncertainty::NotFromRegistry)),
            ("Microsoft.NETCore.App.Runtime.linux-x64", "8.0.1", None)
        ]
    );
    assert_eq!(drafts[1].needs, [Need::Sibling(0)]);
    let expected: String = (0..64).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        drafts[0].hashes.iter().map(FileHash::hex).collect::<Vec<_>>(),
        [expected]
    );
    assert_eq!(
        read("a.deps.json", "{\"libraries\":[]}").unwrap_err().code,
        "dotnet-deps-malformed"
    );
}

#[test]
fn conda_has_a_file_a_package() {
    let text = r#"{"name":"numpy","version":"1.26.0","build":"py311h","channel":"conda-forge","subdir":"linux-64","license":"BSD-3-Clause","depends":["python >=3.11","libblas"],"files":["a"]}"#;
    let drafts = packages(read("opt/conda/conda-meta/numpy-1.26.0-py311h.json", text).unwrap());
    assert_eq!(
        (drafts[0].kind, drafts[0].version.as_deref()),
        (PackageKind::Conda, Some("1.26.0"))
    );
    assert_eq!(drafts[0].needs.len(), 2);
    assert_eq!(
        read("conda-meta/a.json", "{}").unwrap_err().code,
        "conda-record-malformed"
    );
    assert!(!is_wanted("opt/conda/conda-meta/history"));
}

#[test]
fn arch_has_a_folder_a_package() {
    let desc = "%NAME%\nlib-x\n\n%VERSION%\n1:2.0-3\n\n%BASE%\nx\n\n%DESC%\nA library\n\n%ARCH%\nx86_64\n\n%LICENSE%\nMIT\nApache\n\n%DEPENDS%\nglibc>=2.3\nzlib\n\n%PROVIDES%\nlibx.so=1-64\n";
    let drafts = packages(read("var/lib/pacman/local/lib-x-1:2.0-3/desc", desc).unwrap());
    let draft = &drafts[0];
    assert_eq!(
        (draft.kind, draft.name.as_str(), draft.version.as_deref()),
        (PackageKind::Alpm, "lib-x", Some("1:2.0-3"))
    );
    assert_eq!(draft.licences, ["MIT", "Apache"]);
    assert_eq!(draft.provides, ["libx.so"]);
    assert_eq!(draft.needs[0], Need::AnyOf(vec!["glibc".to_owned()]));
    let facts = read(
        "var/lib/pacman/local/lib-x-1:2.0-3/files",
        "%FILES%\nusr/\nusr/lib/libx.so\n\n%BACKUP%\netc/x\n",
    )
    .unwrap();
    let expected = Fact::Owned {
        kind: PackageKind::Alpm,
        package: "lib-x".to_owned(),
        files: vec!["usr/lib/libx.so".into()],
    };
    assert_eq!(facts, [expected]);
    let error = read("var/lib/pacman/local/a-1-1/desc", "%VERSION%\n1\n").unwrap_err();
    assert_eq!(error.code, "alpm-desc-malformed");
    assert!(!is_wanted("var/lib/pacman/local/ALPM_DB_VERSION"));
}

#[test]
fn opkg_writes_what_dpkg_does() {
    let drafts = packages(
        read(
            "usr/lib/opkg/status",
            "Package: busybox\nVersion: 1.36.1-1\nStatus: install user installed\nArchitecture: mips\n",
        )
        .unwrap(),
    );
    assert_eq!(drafts[0].version.as_deref(), Some("1.36.1-1"));
    assert!(is_wanted("usr/lib/opkg/info/busybox.list"));
}

#[test]
fn a_wheel_is_not_installed() {
    let error = read_bytes("wheels/a-1.0-py3-none-any.whl", b"PK").unwrap_err();
    assert_eq!(error.code, "python-wheel-malformed");
    let metadata = b"Metadata-Version: 2.1\nName: hello\nVersion: 1.0.2\n";
    let wheel = java::zip(&[("hello/__init__.py", b""), ("hello-1.0.2.dist-info/METADATA", metadata)]);
    let drafts = packages(read_bytes("wheels/hello-1.0.2-py3-none-any.whl", &wheel).unwrap());
    assert_eq!(
        (drafts[0].name.as_str(), drafts[0].uncertain),
        ("hello", Some(Uncertainty::NotInstalled))
    );
    assert_eq!(drafts[0].inside.as_deref(), Some("hello-1.0.2.dist-info/METADATA"));
    let empty = java::zip(&[("hello/METADATA", metadata)]);
    assert_eq!(read_bytes("a.whl", &empty).unwrap_err().reason, "it has no METADATA");
}

#[test]
fn java_runtimes_say_their_release() {
    // Of Debian's OpenJDK 17.
    let text = "IMPLEMENTOR=\"Debian\"\nJAVA_RUNTIME_VERSION=\"17.0.15+6-Debian-1deb12u1\"\nJAVA_VERSION=\"17.0.15\"\nOS_NAME=\"Linux\"\n";
    let drafts = packages(read("usr/lib/jvm/java-17-openjdk-amd64/release", text).unwrap());
    assert_eq!(
        (drafts[0].name.as_str(), drafts[0].version.as_deref()),
        ("openjdk", Some("17.0.15+6-Debian-1deb12u1"))
    );
    let eight = "JAVA_VERSION=\"1.8.0_382\"\nIMPLEMENTOR=\"Temurin\"\n";
    assert_eq!(
        packages(read("opt/java/openjdk/release", eight).unwrap())[0]
            .version
            .as_deref(),
        Some("1.8.0_382")
    );
    assert!(read("etc/x/release", "a file of another kind\n").unwrap().is_empty());
}
