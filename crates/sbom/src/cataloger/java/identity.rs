//! Which package an archive is, of what its metadata, its manifest and its name say.

use crate::bill::Uncertainty;

use super::manifest::Manifest;

/// What names a package in a Maven repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coordinates {
    pub(super) group: Option<String>,
    pub(super) artifact: String,
    pub(super) version: Option<String>,
}

/// What an archive is, and why that may be wrong.
pub(super) struct Own {
    pub(super) coordinates: Coordinates,
    pub(super) uncertain: Option<Uncertainty>,
}

/// What an archive's file name says: `commons-io-2.11.0.jar`.
pub(super) struct FileName {
    stem: String,
    name: String,
    version: Option<String>,
}

/// What is put behind a version in a file's name to tell one form of an archive from another.
const CLASSIFIERS: [&str; 10] = [
    "-sources",
    "-javadoc",
    "-tests",
    "-jar-with-dependencies",
    "-shaded",
    "-all",
    "-exec",
    "-plain",
    "-standalone",
    "-uber",
];

impl FileName {
    /// The version in the name.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(super) fn of(path: &str) -> Self {
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let plain = CLASSIFIERS
            .iter()
            .find_map(|end| stem.strip_suffix(end))
            .unwrap_or(stem);
        // The version starts at the first dash before a digit.
        let split = plain.char_indices().find(|(at, c)| {
            let rest = plain.get(at + 1..).unwrap_or_default();
            let rest = rest.strip_prefix('v').unwrap_or(rest);
            *c == '-' && *at > 0 && rest.starts_with(|c: char| c.is_ascii_digit())
        });
        let (name, version) = match split {
            Some((at, _)) => (plain.get(..at).unwrap_or_default(), plain.get(at + 1..)),
            None => glued(plain),
        };
        Self {
            stem: stem.to_owned(),
            name: name.to_owned(),
            version: version.map(str::to_owned),
        }
    }

    /// Whether the file may be named so because it is this package.
    fn is_of(&self, coordinates: &Coordinates) -> bool {
        let rest = self.stem.strip_prefix(coordinates.artifact.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_', '.']))
    }
}

/// A version right behind a name: `py4j0.10.9.7`. Without two dots it may as well be part of the name: `log4j1.2`.
fn glued(stem: &str) -> (&str, Option<&str>) {
    let name = stem.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let version = stem.get(name.len()..).unwrap_or_default();
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version.matches('.').count() >= 2
        && !version.ends_with('.')
        && !version.contains("..");
    if is_version && name.ends_with(|c: char| c.is_ascii_alphabetic()) {
        (name, Some(version))
    } else {
        (stem, None)
    }
}

/// Decides in these steps:
///
/// 1. of several packages that Maven's metadata tell of, the archive is the one it is named after, of several such the
///    one with the longest name;
/// 2. the only one told of is the archive whatever its name, unless the name or the manifest says another version: then
///    something was shaded into an archive that says little of itself (Guice, with cglib in it);
/// 3. else the manifest and the name tell.
pub(super) fn own(name: &FileName, told: &[Coordinates], manifest: &Manifest) -> Option<Own> {
    let certain = |coordinates: &Coordinates| {
        Some(Own {
            coordinates: coordinates.clone(),
            uncertain: None,
        })
    };
    let named = told.iter().filter(|coordinates| name.is_of(coordinates));
    if let Some(best) = named.max_by_key(|coordinates| coordinates.artifact.len()) {
        return certain(best);
    }
    match told {
        [] => Some(guessed(name, manifest)),
        [only] if !contradicts(name.version.as_deref(), only) && !contradicts(stated(manifest), only) => certain(only),
        // Without a version of its own it may as well be a bundle that nobody published.
        _ => (name.version.is_some() || stated(manifest).is_some()).then(|| guessed(name, manifest)),
    }
}

/// Whether a version that the archive says of itself is another than that of the coordinates. Bundles write `1.2.0` for
/// `1.2` and a dot before `SNAPSHOT`.
fn contradicts(version: Option<&str>, coordinates: &Coordinates) -> bool {
    let (Some(version), Some(told)) = (version, coordinates.version.as_deref()) else {
        return false;
    };
    let (version, told) = (version.replace('-', "."), told.replace('-', "."));
    // `geronimo-interceptor_3.0_spec` is in a file named `geronimo-interceptor-3.0-spec-1.0.1`.
    !version.starts_with(&told) && !told.starts_with(&version) && !version.ends_with(&format!(".{told}"))
}

/// The version that the manifest says.
fn stated(manifest: &Manifest) -> Option<&str> {
    ["Implementation-Version", "Bundle-Version", "Specification-Version"]
        .iter()
        .find_map(|attribute| manifest.get(attribute))
        .and_then(|version| version.split_whitespace().next())
        .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// From the manifest and the file's name.
fn guessed(name: &FileName, manifest: &Manifest) -> Own {
    if let Some(own) = jenkins(manifest).or_else(|| tomcat(name, manifest)) {
        return own;
    }
    let artifact = match manifest.get("Implementation-Title") {
        // A name such as app.jar says less than a title that could be a name.
        Some(title) if name.version.is_none() && is_artifact(title) => title.to_owned(),
        _ => name.name.clone(),
    };
    let stated = stated(manifest);
    let version = match (&name.version, stated) {
        // `4.1.100.Final-linux-x86_64`: the manifest knows where the version ends.
        (Some(named), Some(stated)) if named.starts_with(stated) => Some(stated.to_owned()),
        (Some(named), _) => Some(named.clone()),
        (None, stated) => stated.map(str::to_owned),
    };
    let group = group(&artifact, manifest);
    Own {
        uncertain: Some(match (&group, &name.version) {
            (None, Some(_)) if stated.is_none() => Uncertainty::FromFileName,
            _ => Uncertainty::NoCoordinates,
        }),
        coordinates: Coordinates {
            group,
            artifact,
            version,
        },
    }
}

/// Jenkins' plug-ins name their coordinates in attributes of their own.
fn jenkins(manifest: &Manifest) -> Option<Own> {
    let version = manifest.get("Plugin-Version")?;
    let artifact = manifest.get("Artifact-Id").or_else(|| manifest.get("Short-Name"))?;
    let group = manifest.get("Group-Id");
    Some(Own {
        uncertain: group.is_none().then_some(Uncertainty::NoCoordinates),
        coordinates: Coordinates {
            group: group.map(str::to_owned),
            artifact: artifact.to_owned(),
            version: version.split_whitespace().next().map(str::to_owned),
        },
    })
}

/// Tomcat's own archives, of which the manifest says no more than that they are Tomcat's: in its folder `lib` they lack
/// the start or all of their artifacts' names, and Debian writes the major version into them.
fn tomcat(name: &FileName, manifest: &Manifest) -> Option<Own> {
    const ARCHIVES: [&str; 17] = [
        "annotations-api",
        "catalina",
        "catalina-ant",
        "catalina-ha",
        "catalina-ssi",
        "coyote",
        "dbcp",
        "el-api",
        "jasper",
        "jasper-el",
        "jaspic-api",
        "jdbc",
        "jsp-api",
        "juli",
        "servlet-api",
        "util",
        "websocket-api",
    ];
    const OTHERS: [&str; 8] = [
        "api",
        "jni",
        "storeconfig",
        "tribes",
        "util-scan",
        "websocket",
        "dbcp2",
        "juli-adapters",
    ];
    if manifest.get("Implementation-Title") != Some("Apache Tomcat") {
        return None;
    }
    let version = stated(manifest)?;
    let major = version.split('.').next().unwrap_or_default();
    let stem = name.name.as_str();
    let named = [
        "tomcat-".to_owned(),
        format!("tomcat{major}-"),
        format!("tomcat{major}-catalina-"),
    ]
    .iter()
    .find_map(|start| stem.strip_prefix(start.as_str()))
    .or_else(|| stem.strip_prefix("catalina-").filter(|rest| OTHERS.contains(rest)));
    let rest = named.unwrap_or(stem);
    let known = ARCHIVES.contains(&rest) || (named.is_some() && (OTHERS.contains(&rest) || rest.starts_with("i18n-")));
    known.then(|| Own {
        coordinates: Coordinates {
            group: Some("org.apache.tomcat".to_owned()),
            artifact: format!("tomcat-{rest}"),
            version: Some(version.to_owned()),
        },
        uncertain: Some(Uncertainty::NoCoordinates),
    })
}

fn is_artifact(title: &str) -> bool {
    !title.is_empty() && title.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The group, in this order: the name is one that a well-known project publishes under one group only; a bundle's symbolic
/// name is group and artifact with a dot between (maven-bundle-plugin's rule where the two do not overlap); the vendor's
/// name is a group, in a manifest that says this archive's name or that sbt wrote.
fn group(artifact: &str, manifest: &Manifest) -> Option<String> {
    let well_known = WELL_KNOWN.iter().find(|(name, _)| match name.strip_suffix('*') {
        Some(start) => artifact.starts_with(start),
        None => artifact == *name,
    });
    if let Some((_, group)) = well_known {
        return Some((*group).to_owned());
    }
    let is_group = |group: &str| group.contains('.') && is_artifact(group) && !ROOFS.contains(&group);
    if let Some(group) = manifest
        .symbolic_name()
        .and_then(|name| name.strip_suffix(artifact)?.strip_suffix('.'))
        .filter(|group| is_group(group))
    {
        return Some(group.to_owned());
    }
    // `org.objenesis` is of the group that it is named after.
    if let Some(group) = manifest.symbolic_name().filter(|name| {
        let labels = name.split_once('.');
        labels.is_some_and(|(_, last)| last == artifact && is_group(name))
    }) {
        return Some(group.to_owned());
    }
    let group = manifest
        .get("Implementation-Vendor-Id")
        .filter(|group| is_group(group))?;
    // sbt writes the organisation for the vendor too, and versions of Scala into names.
    let by_sbt =
        manifest.get("Implementation-Vendor") == Some(group) && manifest.get("Specification-Vendor") == Some(group);
    (by_sbt || manifest.get("Implementation-Title") == Some(artifact)).then(|| group.to_owned())
}

/// Under whose names many publish, each under one of its own: `com.google.gson` is of `com.google.code.gson`.
const ROOFS: [&str; 12] = [
    "com.github",
    "com.google",
    "com.googlecode",
    "com.oracle",
    "com.sun",
    "io.github",
    "net.sf",
    "net.sourceforge",
    "org.apache",
    "org.codehaus",
    "org.eclipse",
    "org.glassfish",
];

/// Projects whose builds (Gradle, Ant, sbt) leave no Maven metadata in their archives, and the one group under which
/// each publishes names of this kind.
const WELL_KNOWN: [(&str, &str); 94] = [
    ("activation", "javax.activation"),
    ("ant", "org.apache.ant"),
    ("ant-launcher", "org.apache.ant"),
    ("antlr", "antlr"),
    ("antlr4-runtime", "org.antlr"),
    ("arpack_combined_all", "net.sourceforge.f2j"),
    ("aspectjrt", "org.aspectj"),
    ("aspectjweaver", "org.aspectj"),
    ("bcpkix-*", "org.bouncycastle"),
    ("bcprov-*", "org.bouncycastle"),
    ("bcutil-*", "org.bouncycastle"),
    ("derby", "org.apache.derby"),
    ("derbyclient", "org.apache.derby"),
    ("derbyshared", "org.apache.derby"),
    ("derbytools", "org.apache.derby"),
    ("elasticsearch", "org.elasticsearch"),
    ("gradle-tooling-api", "org.gradle"),
    ("gson", "com.google.code.gson"),
    ("hadoop-client-*", "org.apache.hadoop"),
    ("hamcrest-core", "org.hamcrest"),
    ("hamcrest-library", "org.hamcrest"),
    ("ivy", "org.apache.ivy"),
    ("jackson-core-asl", "org.codehaus.jackson"),
    ("jackson-jaxrs", "org.codehaus.jackson"),
    ("jackson-mapper-asl", "org.codehaus.jackson"),
    ("jackson-xc", "org.codehaus.jackson"),
    ("jdo-api", "javax.jdo"),
    ("jodd-core", "org.jodd"),
    ("json4s-ast_*", "org.json4s"),
    ("json4s-core_*", "org.json4s"),
    ("json4s-jackson_*", "org.json4s"),
    ("jsr305", "com.google.code.findbugs"),
    ("jta", "javax.transaction"),
    ("junit", "junit"),
    ("kafka-clients", "org.apache.kafka"),
    ("kotlin-reflect", "org.jetbrains.kotlin"),
    ("kotlin-stdlib*", "org.jetbrains.kotlin"),
    ("kotlinx-coroutines-*", "org.jetbrains.kotlinx"),
    ("libfb303", "org.apache.thrift"),
    ("libthrift", "org.apache.thrift"),
    ("log4j", "log4j"),
    ("logging-interceptor", "com.squareup.okhttp3"),
    ("lucene-*", "org.apache.lucene"),
    ("lz4-java", "org.lz4"),
    ("micrometer-*", "io.micrometer"),
    ("mockito-core", "org.mockito"),
    ("okhttp", "com.squareup.okhttp3"),
    ("okio", "com.squareup.okio"),
    ("okio-jvm", "com.squareup.okio"),
    ("oro", "oro"),
    ("py4j", "net.sf.py4j"),
    ("reactor-core", "io.projectreactor"),
    ("reactor-netty*", "io.projectreactor.netty"),
    ("retrofit", "com.squareup.retrofit2"),
    ("RoaringBitmap", "org.roaringbitmap"),
    ("rocksdbjni", "org.rocksdb"),
    ("scala-compiler", "org.scala-lang"),
    ("scala-library", "org.scala-lang"),
    ("scala-reflect", "org.scala-lang"),
    ("spring-aop", "org.springframework"),
    ("spring-aspects", "org.springframework"),
    ("spring-beans", "org.springframework"),
    ("spring-boot", "org.springframework.boot"),
    ("spring-boot-actuator", "org.springframework.boot"),
    ("spring-boot-actuator-autoconfigure", "org.springframework.boot"),
    ("spring-boot-autoconfigure", "org.springframework.boot"),
    ("spring-boot-devtools", "org.springframework.boot"),
    ("spring-boot-jarmode-layertools", "org.springframework.boot"),
    ("spring-boot-loader", "org.springframework.boot"),
    ("spring-boot-starter", "org.springframework.boot"),
    ("spring-boot-starter-web", "org.springframework.boot"),
    ("spring-context", "org.springframework"),
    ("spring-context-support", "org.springframework"),
    ("spring-core", "org.springframework"),
    ("spring-expression", "org.springframework"),
    ("spring-jcl", "org.springframework"),
    ("spring-jdbc", "org.springframework"),
    ("spring-messaging", "org.springframework"),
    ("spring-orm", "org.springframework"),
    ("spring-security-*", "org.springframework.security"),
    ("spring-test", "org.springframework"),
    ("spring-tx", "org.springframework"),
    ("spring-web", "org.springframework"),
    ("spring-webflux", "org.springframework"),
    ("spring-webmvc", "org.springframework"),
    ("spring-websocket", "org.springframework"),
    ("tink", "com.google.crypto.tink"),
    ("tomcat-embed-*", "org.apache.tomcat.embed"),
    ("transaction-api", "javax.transaction"),
    ("xalan", "xalan"),
    ("xercesImpl", "xerces"),
    ("xml-apis", "xml-apis"),
    ("xz", "org.tukaani"),
    ("zstd-jni", "com.github.luben"),
];
