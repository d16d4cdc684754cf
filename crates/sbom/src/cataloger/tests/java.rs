//! Java archives: those in the fixtures were made by OpenJDK 17's `jar`; hostile ones, which it would not make, are put
//! together here.

use super::*;

const SHADED: &[u8] = include_bytes!("../../../tests/fixtures/java/example-lib-1.2.0-shaded.jar");
/// An application's ear of a war (deflated, in it a jar with Maven's metadata and one with nothing), and a bundle.
const EAR: &[u8] = include_bytes!("../../../tests/fixtures/java/all.ear");
const PY4J: &[u8] = include_bytes!("../../../tests/fixtures/java/py4j0.10.9.7.jar");

fn facts_of(path: &str, bytes: &[u8]) -> (Vec<Draft>, Option<Unreadable>) {
    let facts = read_bytes(path, bytes).unwrap();
    let problem = facts.iter().find_map(|fact| match fact {
        Fact::Problem(problem) => Some(problem.clone()),
        _ => None,
    });
    (packages(facts), problem)
}

fn shown(drafts: &[Draft]) -> Vec<String> {
    let shown = drafts.iter().map(|draft| {
        let group = draft.group.as_deref().unwrap_or("-");
        let version = draft.version.as_deref().unwrap_or("-");
        let place = draft.inside.as_deref().unwrap_or("itself");
        format!("{group}:{}:{version} in {place}, {:?}", draft.name, draft.uncertain)
    });
    shown.collect()
}

/// An archive of stored files, each with the size that the list shall say.
pub(super) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut list = Vec::new();
    for (name, content) in files {
        let at = u32::try_from(bytes.len()).unwrap();
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let mut common = vec![10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend_from_slice(&size);
        common.extend_from_slice(&size);
        common.extend_from_slice(&name_length);
        common.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(b"PK\x03\x04");
        bytes.extend_from_slice(&common);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(content);
        list.extend_from_slice(b"PK\x01\x02\x0a\x00");
        list.extend_from_slice(&common);
        list.extend_from_slice(&[0; 10]);
        list.extend_from_slice(&at.to_le_bytes());
        list.extend_from_slice(name.as_bytes());
    }
    let start = u32::try_from(bytes.len()).unwrap();
    let length = u32::try_from(list.len()).unwrap();
    bytes.extend(list);
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    bytes.extend_from_slice(&count);
    bytes.extend_from_slice(&count);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&start.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

#[test]
fn a_shaded_archive_is_all_that_it_holds() {
    let (drafts, problem) = facts_of("app/example-lib-1.2.0-shaded.jar", SHADED);
    assert_eq!(problem, None);
    let mut all = shown(&drafts);
    assert_eq!(all.remove(0), "org.example:example-lib:1.2.0 in itself, None");
    all.sort();
    assert_eq!(
        all,
        [
            "org.example:inner:3.1 in META-INF/maven/org.example/inner/pom.properties, None",
            "org.example:other:3.1 in META-INF/maven/org.example/other/pom.properties, None",
        ]
    );
    let own = &drafts[0];
    assert_eq!(own.licences, ["Apache-2.0"]);
    assert_eq!(own.homepage.as_deref(), Some("https://example.org/lib"));
    assert_eq!(own.description.as_deref(), Some("A library & more"));
    assert_eq!(own.supplier.as_deref(), Some("Example & Co"));
    assert_eq!(own.provides, ["org.example:example-lib"]);
    let inner = Need::AnyOf(vec!["org.example:inner".to_owned()]);
    assert_eq!(
        own.needs,
        [inner, Need::Sibling(1), Need::Sibling(2)],
        "not what tests need"
    );
    // What sha1sum says of the file.
    let sha1 = own
        .hashes
        .iter()
        .find(|hash| hash.algorithm() == crate::FileHashAlgorithm::Sha1);
    assert_eq!(
        sha1.map(FileHash::hex),
        Some("91723713c5b1af66bc606f02772236ffec73ca93")
    );
    assert!(drafts[1].hashes.is_empty(), "the file is not only this one");
}

#[test]
fn archives_in_archives_are_read_where_they_lie() {
    let (drafts, problem) = facts_of("srv/all.ear", EAR);
    assert_eq!(problem, None);
    assert_eq!(
        shown(&drafts),
        [
            "-:all:- in itself, Some(NoVersion)",
            "org.roaringbitmap:RoaringBitmap:0.9.25 in RoaringBitmap-0.9.25.jar, Some(NoCoordinates)",
            "-:shop:5.0.1 in app.war, Some(NoCoordinates)",
            "org.example:example-lib:1.2.0 in app.war!/WEB-INF/lib/example-lib-1.2.0.jar, None",
            "-:mystery:2.0 in app.war!/WEB-INF/lib/mystery-2.0.jar, Some(FromFileName)",
        ]
    );
    let jar = &drafts[3].hashes[0];
    assert_eq!(
        jar.hex(),
        "b0f472981e4f382711a17a1f6a68f5b07999ce10",
        "sha1sum of the jar before it was put in"
    );
    assert_eq!(drafts[1].licences, ["https://www.apache.org/licenses/LICENSE-2.0"]);
    assert_eq!(
        drafts[1].supplier.as_deref(),
        Some("Some vendor with a name that is so long that the line is cut in two by the tool")
    );
}

#[test]
fn no_version_is_invented() {
    let (drafts, _) = facts_of("py4j0.10.9.7.jar", PY4J);
    // Syft 1.18 says py4j0 10.9.7 of it.
    assert_eq!(
        shown(&drafts),
        ["net.sf.py4j:py4j:0.10.9.7 in itself, Some(NoCoordinates)"]
    );
    let (drafts, _) = facts_of("log4j1.2.jar", PY4J);
    assert_eq!(
        shown(&drafts),
        ["net.sf.py4j:py4j:- in itself, Some(NoVersion)"],
        "1.2 may be part of the name"
    );
}

#[test]
fn coordinates_come_from_where_they_are_certain() {
    let manifest =
        |text: &str| format!("Manifest-Version: 1.0\r\n{text}\r\n\r\nName: x\r\nBundle-SymbolicName: no\r\n");
    for (file, metadata, content, expected) in [
        (
            "app.jar",
            "META-INF/maven/g.h/real/pom.properties",
            "groupId=g.h\nartifactId=real\nversion=1.0\n".to_owned(),
            "g.h:real:1.0 in itself, None",
        ),
        (
            "real-1.5.jar",
            "META-INF/maven/g.h/real/pom.properties",
            "groupId=g.h\nartifactId=real\nversion=${revision}\n".to_owned(),
            "g.h:real:1.5 in itself, Some(FromFileName)",
        ),
        (
            "geronimo-interceptor-3.0-spec-1.0.1.jar",
            "META-INF/maven/org.apache.geronimo.specs/geronimo-interceptor_3.0_spec/pom.properties",
            "version=1.0.1\n".to_owned(),
            "org.apache.geronimo.specs:geronimo-interceptor_3.0_spec:1.0.1 in itself, None",
        ),
        (
            "fat-9.jar",
            "META-INF/maven/g.h/real/pom.properties",
            "version=1.0\n".to_owned(),
            "-:fat:9 in itself, Some(FromFileName); g.h:real:1.0 in META-INF/maven/g.h/real/pom.properties, None",
        ),
        (
            "real-1.0.jar",
            "META-INF/maven/g.h/real/pom.xml",
            "<project><parent><groupId>g.h</groupId><version>1.0</version></parent><artifactId>real</artifactId></project>"
                .to_owned(),
            "g.h:real:1.0 in itself, None",
        ),
        (
            "real-1.0.jar",
            "META-INF/maven/g.h/real/pom.xml",
            "<project><groupId>${g}</groupId><artifactId>real</artifactId></project>".to_owned(),
            "-:real:1.0 in itself, Some(FromFileName)",
        ),
        (
            "git.hpi",
            "META-INF/MANIFEST.MF",
            manifest("Plugin-Version: 5.2.0 (private)\r\nGroup-Id: org.jenkins-ci.plugins\r\nShort-Name: git"),
            "org.jenkins-ci.plugins:git:5.2.0 in itself, None",
        ),
        (
            "netty-4.1.1.Final-linux-x86_64.jar",
            "META-INF/MANIFEST.MF",
            manifest("Implementation-Version: 4.1.1.Final\r\nImplementation-Vendor-Id: netty"),
            "-:netty:4.1.1.Final in itself, Some(NoCoordinates)",
        ),
        (
            "spring-core-5.3.9.jar",
            "META-INF/MANIFEST.MF",
            manifest("Implementation-Title: spring-core\r\nImplementation-Version: 5.3.9"),
            "org.springframework:spring-core:5.3.9 in itself, Some(NoCoordinates)",
        ),
    ] {
        let (drafts, problem) = facts_of(file, &zip(&[(metadata, content.as_bytes())]));
        assert_eq!(problem, None, "{file}");
        assert_eq!(shown(&drafts).join("; "), expected, "{file}");
    }
}

/// Manifests of Spark's jars and Tomcat's, as far as they count here, and what Maven Central has the jars as.
#[test]
fn manifests_of_published_archives_name_their_groups() {
    let sbt = "Implementation-Title: TITLE\nImplementation-Version: 2.1.0\nImplementation-Vendor: GROUP\n\
               Implementation-Vendor-Id: GROUP\nSpecification-Title: TITLE\nSpecification-Vendor: GROUP\n";
    let sbt = |title: &str, group: &str| sbt.replace("TITLE", title).replace("GROUP", group);
    let tomcat =
        "Implementation-Title: Apache Tomcat\nImplementation-Version: 9.0.70\nSpecification-Title: Apache Tomcat\n";
    let symbolic = |name: &str| format!("Bundle-SymbolicName: {name}\nBundle-Version: 1.0\n");
    for (file, manifest, expected) in [
        (
            "scala-xml_2.12-2.1.0.jar",
            sbt("scala-xml", "org.scala-lang.modules"),
            "org.scala-lang.modules:scala-xml_2.12:2.1.0",
        ),
        (
            "algebra_2.12-2.1.0.jar",
            sbt("core", "org.typelevel"),
            "org.typelevel:algebra_2.12:2.1.0",
        ),
        (
            "gson-2.2.4.jar",
            symbolic("com.google.gson"),
            "com.google.code.gson:gson:2.2.4",
        ),
        ("ivy-2.5.1.jar", symbolic("org.apache.ivy"), "org.apache.ivy:ivy:2.5.1"),
        (
            "objenesis-3.2.jar",
            symbolic("org.objenesis"),
            "org.objenesis:objenesis:3.2",
        ),
        ("xz-1.9.jar", symbolic("org.tukaani.xz"), "org.tukaani:xz:1.9"),
        (
            "catalina.jar",
            tomcat.to_owned(),
            "org.apache.tomcat:tomcat-catalina:9.0.70",
        ),
        (
            "catalina-tribes.jar",
            tomcat.to_owned(),
            "org.apache.tomcat:tomcat-tribes:9.0.70",
        ),
        (
            "tomcat-i18n-fr.jar",
            tomcat.to_owned(),
            "org.apache.tomcat:tomcat-i18n-fr:9.0.70",
        ),
        (
            "tomcat9-coyote.jar",
            tomcat.to_owned(),
            "org.apache.tomcat:tomcat-coyote:9.0.70",
        ),
    ] {
        let (drafts, _) = facts_of(file, &zip(&[("META-INF/MANIFEST.MF", manifest.as_bytes())]));
        assert_eq!(
            shown(&drafts),
            [format!("{expected} in itself, Some(NoCoordinates)")],
            "{file}"
        );
    }
}

#[test]
fn a_manifest_that_names_something_else_gives_no_group() {
    for (file, manifest) in [
        // Under these names many publish.
        (
            "thing-1.0.jar",
            "Bundle-SymbolicName: org.apache.thing\nBundle-Version: 1.0\n",
        ),
        (
            "apache-1.0.jar",
            "Bundle-SymbolicName: org.apache\nBundle-Version: 1.0\n",
        ),
        // Of what was shaded in: hadoop-client-runtime has the manifest of another.
        (
            "thing-1.0.jar",
            "Implementation-Title: Other\nImplementation-Version: 1.0\nImplementation-Vendor: Other Foundation\n\
             Implementation-Vendor-Id: org.other\nSpecification-Vendor: Other Foundation\n",
        ),
        (
            "my-app.jar",
            "Implementation-Title: Apache Tomcat\nImplementation-Version: 9.0.70\n",
        ),
    ] {
        let (drafts, _) = facts_of(file, &zip(&[("META-INF/MANIFEST.MF", manifest.as_bytes())]));
        assert_eq!(drafts[0].group, None, "{file}: {manifest}");
    }
}

#[test]
fn a_licence_file_speaks_where_the_metadata_do_not() {
    let text =
        b"\n                                 Apache License\n                           Version 2.0, January 2004\n";
    let other = b"Boost Software License - Version 1.0 - August 17th, 2003\n";
    let licences = |files: &[(&str, &[u8])]| facts_of("a-1.0.jar", &zip(files)).0[0].licences.clone();
    assert_eq!(licences(&[("META-INF/LICENSE", text)]), ["Apache-2.0"]);
    assert_eq!(
        licences(&[("LICENSE.txt", text), ("META-INF/LICENSE", other)]),
        ["Apache-2.0", "BSL-1.0"]
    );
    let declared: (&str, &[u8]) = ("META-INF/MANIFEST.MF", b"Bundle-License: MIT\n");
    assert_eq!(licences(&[declared, ("META-INF/LICENSE", text)]), ["MIT"]);
    for name in ["META-INF/licenses/LICENSE", "org/a/License.class", "META-INF/NOTICE"] {
        assert_eq!(licences(&[(name, text)]), [""; 0], "{name} is of something else");
    }
}

#[test]
fn what_is_shaded_in_does_not_name_the_archive() {
    // As Debian's guice.jar is, of which cglib's metadata are the only ones.
    let manifest = b"Bundle-SymbolicName: com.google.inject\nBundle-Version: 4.2.3\n";
    let cglib = b"groupId=cglib\nartifactId=cglib\nversion=3.2.12\n";
    let bytes = zip(&[
        ("META-INF/MANIFEST.MF", manifest),
        ("META-INF/maven/cglib/cglib/pom.properties", cglib),
    ]);
    let (drafts, _) = facts_of("guice.jar", &bytes);
    assert_eq!(
        shown(&drafts),
        [
            "-:guice:4.2.3 in itself, Some(NoCoordinates)",
            "cglib:cglib:3.2.12 in META-INF/maven/cglib/cglib/pom.properties, None",
        ]
    );
}

#[test]
fn a_script_before_an_archive_does_not_hide_it() {
    let bytes = [b"#!/bin/sh\nexec java -jar \"$0\"\n".as_slice(), SHADED].concat();
    let (drafts, problem) = facts_of("example-lib.jar", &bytes);
    assert_eq!((drafts.len(), problem), (3, None));
}

#[test]
fn a_jar_in_a_jar_a_hundred_deep_ends() {
    let mut bytes = zip(&[("A.class", b"")]);
    for _ in 0..100 {
        bytes = zip(&[("inner-1.0.jar", &bytes)]);
    }
    let (drafts, problem) = facts_of("outer-1.0.jar", &bytes);
    assert_eq!(drafts.len(), 8);
    let problem = problem.unwrap();
    assert_eq!(problem.code, "java-archive-too-deep");
    assert!(
        problem.reason.starts_with("inner-1.0.jar!/inner-1.0.jar!/"),
        "{}",
        problem.reason
    );
}

#[test]
fn a_bomb_is_noted_and_the_rest_read() {
    use std::io::Write as _;
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..32 {
        deflate.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = deflate.finish().unwrap();
    let properties: &[u8] = b"groupId=g.h\nartifactId=real\nversion=1\n";
    let mut bytes = zip(&[
        ("META-INF/maven/g.h/real/pom.properties", properties),
        ("bomb-1.0.jar", &bomb),
    ]);
    // The list says that the last file is deflated.
    let listed = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    bytes[listed + 10] = 8;
    let (drafts, problem) = facts_of("real-1.jar", &bytes);
    assert_eq!(shown(&drafts), ["g.h:real:1 in itself, None"]);
    let problem = problem.unwrap();
    assert_eq!(problem.code, "java-archive-too-large");
    assert!(problem.reason.starts_with("bomb-1.0.jar: "), "{}", problem.reason);
}

#[test]
fn one_archive_listed_a_thousand_times_is_paid_for_each_time() {
    let padding = vec![0; 1 << 20];
    let inner = zip(&[("x", &padding)]);
    let mut bytes = zip(&[("inner-1.0.jar", &inner)]);
    let end = bytes.len() - 22;
    let start = usize::try_from(u32::from_le_bytes(bytes[end + 16..][..4].try_into().unwrap())).unwrap();
    let entry = bytes[start..end].to_vec();
    bytes.truncate(start);
    for _ in 0..1000 {
        bytes.extend_from_slice(&entry);
    }
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0\xe8\x03\xe8\x03");
    bytes.extend_from_slice(&u32::try_from(entry.len() * 1000).unwrap().to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    let (drafts, problem) = facts_of("outer-1.0.jar", &bytes);
    assert_eq!(problem.unwrap().code, "java-archive-too-large");
    assert!(drafts.len() < 40, "{}", drafts.len());
}

#[test]
fn long_names_do_not_multiply() {
    let long = format!("{}.jar", "n".repeat(60_000));
    let properties: &[u8] = b"groupId=g.h\nartifactId=a\nversion=1\n";
    let inner = zip(&[
        ("META-INF/maven/g.h/a/pom.properties", properties),
        ("META-INF/maven/g.h/b/pom.properties", b"version=2\n"),
    ]);
    let (drafts, problem) = facts_of("a.war", &zip(&[(&long, &zip(&[(&long, &inner)]))]));
    assert_eq!(problem, None);
    assert!(drafts.len() >= 3);
    assert!(
        drafts
            .iter()
            .filter_map(|draft| draft.inside.as_ref())
            .all(|inside| inside.len() <= 1024)
    );
}

#[test]
fn what_is_no_archive_is_noted() {
    for (bytes, reason) in [
        (b"not a jar".as_slice(), "x.jar: it is no zip archive"),
        (&SHADED[..SHADED.len() - 30], "x.jar: it is no zip archive"),
        (&SHADED[900..], "x.jar: its list of files leads out of it"),
    ] {
        let (drafts, problem) = facts_of("x.jar", bytes);
        let problem = problem.unwrap();
        assert_eq!(
            (problem.code, problem.reason.as_str()),
            ("java-archive-malformed", reason)
        );
        assert!(drafts.is_empty());
    }
    let mut encrypted = zip(&[("META-INF/MANIFEST.MF", b"x: y\n")]);
    let listed = encrypted
        .windows(4)
        .rposition(|window| window == b"PK\x01\x02")
        .unwrap();
    encrypted[listed + 8] |= 1;
    let (drafts, problem) = facts_of("y-1.jar", &encrypted);
    assert_eq!(problem.unwrap().reason, "y-1.jar: it is encrypted");
    assert_eq!(drafts[0].name, "y");
}

#[test]
fn names_that_end_so_are_archives() {
    for path in ["a.jar", "opt/B.WAR", "x/y.ear", "plugins/git.jpi"] {
        assert!(is_wanted(path), "{path}");
    }
    for path in ["a/.jar", ".war", "a.jar.txt", "ajar"] {
        assert!(!is_wanted(path), "{path}");
    }
}

proptest! {
    #[test]
    fn changed_archives_do_no_harm(at in 0usize..4000, value: u8, which in 0usize..2) {
        let mut bytes = [SHADED, EAR][which].to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = read_bytes("x.jar", &bytes);
    }
}
