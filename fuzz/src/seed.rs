//! Seeds: what real programs wrote, taken apart into what each target reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::Path;

use proofmark_evidence::bundle::{Bundle, KeyMaterial};
use proofmark_evidence::encoding::pem_decode_all;
use proofmark_evidence::legacy::LegacyLogBundle;
use serde_json::Value;

use crate::fixtures;

/// Seeds of one target: enough to reach every branch that a good document reaches, not megabytes.
const MAX_SEEDS: usize = 40;

/// The largest seed; a fuzzer is slow on large ones.
const MAX_BYTES: usize = 32 * 1024;

/// The longest input that `fuzz/run` makes.
const MAX_LENGTH: u64 = 65_536;

/// Seeds by target.
pub type Seeds = BTreeMap<&'static str, BTreeSet<Vec<u8>>>;

/// All seeds, from the fixtures and from a few texts.
pub fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    walk(&fixtures(), &mut seeds);
    walk(&fixtures().join("../crates/trust-root/embedded"), &mut seeds);
    both_configurations(&mut seeds);
    databases(&mut seeds);
    documents(&mut seeds);
    inside(&mut seeds);
    advisories(&mut seeds);
    for (target, texts) in TEXTS {
        for text in *texts {
            add(&mut seeds, target, text.as_bytes());
        }
    }
    seeds
}

/// rpm's databases, each behind the number of its form. They are longer than other seeds, and cut where the fuzzer stops.
fn databases(seeds: &mut Seeds) {
    let folder = fixtures().join("../crates/sbom/tests/fixtures/rpm");
    for (form, name) in [(0, "Packages.gz"), (2, "rpmdb.sqlite.gz")] {
        let compressed = fs::read(folder.join(name)).unwrap_or_default();
        let mut seed = vec![form];
        let reader = flate2::read::GzDecoder::new(&compressed[..]);
        if reader.take(MAX_LENGTH - 1).read_to_end(&mut seed).is_ok() {
            seeds.entry("rpm").or_default().insert(seed);
        }
    }
}

/// sigstore-python's file with a trusted root and a signing configuration in one; the fixtures have them apart.
fn both_configurations(seeds: &mut Seeds) {
    let documents = |target| seeds.get(target).into_iter().flatten();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let both: Vec<String> = documents("trust_root")
        .flat_map(|root| documents("signing_config").map(|config| (text(root), text(config))))
        .map(|(root, config)| {
            format!(
                "{{\"mediaType\":\"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json\",\
                 \"trustedRoot\":{root},\"signingConfig\":{config}}}"
            )
        })
        .collect();
    for document in both {
        add(seeds, "trust_config", document.as_bytes());
    }
}

/// Files that catalogers read, from their tests, each behind its number in [`crate::inside`].
fn inside(seeds: &mut Seeds) {
    const FILES: [(&str, u8, &str); 11] = [
        ("archive", 0, "java/example-lib-1.2.0-shaded.jar"),
        ("archive", 0, "java/py4j0.10.9.7.jar"),
        ("archive", 2, "java/all.ear"),
        ("lock_file", 5, "javascript/package-lock-v1.json"),
        ("lock_file", 5, "javascript/package-lock-v3.json"),
        ("lock_file", 8, "javascript/pnpm-v9.yaml"),
        ("lock_file", 13, "javascript/yarn-berry.lock"),
        ("lock_file", 13, "javascript/yarn-v1.lock"),
        ("lock_file", 15, "php/composer.lock"),
        ("package_record", 0, "ruby/hello-gem-1.2.3.gemspec"),
        ("package_record", 1, "php/installed.json"),
    ];
    let folder = fixtures().join("../crates/sbom/tests/fixtures");
    for (target, number, name) in FILES {
        let content = fs::read(folder.join(name)).unwrap_or_default();
        add(seeds, target, &[&[number], &content[..]].concat());
    }
    let mut note = b"\x02\x04\0\0\0\x40\0\0\0\x7e\x1a\xfe\xcaFDO\0".to_vec();
    note.extend(br#"{"type":"deb","os":"debian","name":"a","version":"1.0","osVersion":"12"}"#);
    note.resize(84, 0);
    add(seeds, "program", &note);
    let mut magic = b"\x01\xff Go buildinf:\x08\x02".to_vec();
    magic.resize(33, 0);
    let modules =
        "path\texample.com/app\nmod\texample.com/app\tv1.0.0\nbuild\tGOOS=linux\ndep\ta.test/b\tv1.0.0\th1:x=\n";
    let marks = [[b'0'; 16], [b'1'; 16]].map(|mark| String::from_utf8_lossy(&mark).into_owned());
    let modules = format!("{}{modules}{}", marks[0], marks[1]);
    magic.extend(b"\x08go1.21.0");
    magic.extend([u8::try_from(modules.len() & 0x7f).unwrap_or(0) | 0x80, 1]);
    magic.extend(modules.as_bytes());
    add(seeds, "program", &magic);
    let listing = &crate::inside::LISTING[crate::inside::listing_prefix()..];
    add(seeds, "layer_listing", listing);
}

/// Advisories, and their database.
fn advisories(seeds: &mut Seeds) {
    let folder = fixtures().join("advisories");
    for entry in fs::read_dir(folder.join("osv")).into_iter().flatten().flatten() {
        add(seeds, "advisory", &fs::read(entry.path()).unwrap_or_default());
    }
    for name in ["epss.csv", "known_exploited_vulnerabilities.json"] {
        add(seeds, "feeds", &fs::read(folder.join(name)).unwrap_or_default());
    }
    add(seeds, "advisory_database", &crate::advisories::DATABASE);
}

/// One small document in every format, and in an attestation.
fn documents(seeds: &mut Seeds) {
    let text = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"timestamp":"2026-11-21T12:00:00Z"},"components":[
        {"type":"library","bom-ref":"a","name":"libcurl4","version":"7.88.1-10","purl":"pkg:deb/debian/libcurl4@7.88.1-10?distro=debian-12&upstream=curl"},
        {"type":"library","bom-ref":"b","group":"@babel","name":"core","version":"7.0.0","purl":"pkg:npm/%40babel/core@7.0.0",
         "licenses":[{"expression":"MIT AND LicenseRef-x"}],"properties":[{"name":"proofmark:ownedBy","value":"a"}]}],
        "dependencies":[{"ref":"b","dependsOn":["a"]}]}"#;
    let read = proofmark_sbom::read(text.as_bytes()).expect("a document");
    let info = read.info(proofmark_types::UnixTime::EPOCH, "0.1.0");
    for format in proofmark_sbom::Format::ALL {
        add(seeds, "sbom_document", &format.write(&read.bill, &info));
    }
    let statement =
        format!("{{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicateType\":\"x\",\"predicate\":{text}}}");
    add(seeds, "sbom_document", statement.as_bytes());
}

const TEXTS: &[(&str, &[&str])] = &[
    (
        "challenge",
        &[
            "Bearer realm=\"https://auth.test/token\",service=\"registry.test\",scope=\"repository:app:pull\"",
            "Basic realm=\"x\", Bearer realm=\"https://a.test\"",
        ],
    ),
    (
        "link",
        &[
            "</v2/app/tags/list?last=b&n=2>; rel=\"next\"",
            "<https://registry.test/v2/x>; rel=prev, </v2/y>; rel=\"next last\"",
        ],
    ),
    (
        "image_reference",
        &[
            "registry.test:5000/team/app:1.0",
            "app",
            "docker.io/library/app@sha256:0584b54fd9b4b8409c9a6f178ea19dafa4dbc9aec8f075c0c90af0e3feed33ee",
            "linux/arm64/v8",
        ],
    ),
    (
        "digest",
        &[
            "sha256:0584b54fd9b4b8409c9a6f178ea19dafa4dbc9aec8f075c0c90af0e3feed33ee",
            "2026-01-01T00:00:05Z",
        ],
    ),
    (
        "key_reference",
        &[
            "cosign.pub",
            "env://KEY",
            "k8s://ns/name",
            "awskms:///alias/x",
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/1",
            "azurekms://v.vault.azure.net/k",
            "hashivault://k",
            "pkcs11:token=t;object=k?pin-value=1",
        ],
    ),
    (
        "purl",
        &[
            "pkg:deb/debian/openssl@3.0.15-1?arch=amd64&distro=debian-12",
            "pkg:npm/%40scope/name@1.0",
        ],
    ),
    ("tile", &["tile/0/x001/234", "tile/entries/000.p/5"]),
    (
        "credentials",
        &["{\"auths\":{\"registry.test\":{\"auth\":\"dTpw\"}},\"credHelpers\":{\"a.test\":\"x\"}}"],
    ),
    (
        "docker_archive",
        &["[{\"Config\":\"c.json\",\"RepoTags\":[\"app:1.0\"],\"Layers\":[\"a/layer.tar\"]}]"],
    ),
    (
        "catalog",
        &[
            "\0Package: app\nStatus: install ok installed\nVersion: 1.0-1\nArchitecture: amd64\nSource: src (2)\n",
            "\x01d41d8cd98f00b204e9800998ecf8427e  usr/bin/app\n",
            "\x02Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: MIT\n",
            "\x03P:app\nV:1.0-r0\nA:x86_64\nL:MIT\no:app\nF:usr/bin\nR:app\n",
            "\x04ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian'\n",
            "\x05Metadata-Version: 2.1\nName: app\nVersion: 1.0\nLicense: MIT\n",
            "\x06app/__init__.py,sha256=x,3\n",
            "\x07{\"name\":\"app\",\"version\":\"1.0.0\",\"license\":\"MIT\"}",
            "\x08{\"lockfileVersion\":3,\"packages\":{\"\":{\"name\":\"app\"},\"node_modules/a\":{\"version\":\"1.0.0\",\"license\":\"MIT\"}}}",
            "\x09\x7fELF\x02\x01\x01",
            "\x0aPackage: app\nVersion: 1.0-1\nArchitecture: amd64\nSource: src\n",
        ],
    ),
    (
        "rpm",
        &[
            "\x01RpmP\0\0\0\0\0\0\0\0\x01\0\0\0",
            "\x03bash\t5.1-1\t1\t1\tvendor\t(none)\t10\tx86_64\t0\tbash-5.1-1.src.rpm\n",
        ],
    ),
    (
        "sbom_document",
        &[
            "{\"spdxVersion\":\"SPDX-2.3\",\"SPDXID\":\"SPDXRef-DOCUMENT\",\"name\":\"app\",\
             \"creationInfo\":{\"created\":\"2026-11-21T07:13:00Z\",\"creators\":[\"Tool: syft-1.18.1\"]},\
             \"packages\":[{\"name\":\"a\",\"SPDXID\":\"SPDXRef-a\",\"versionInfo\":\"1\",\"licenseDeclared\":\"MIT\",\
             \"checksums\":[{\"algorithm\":\"SHA1\",\"checksumValue\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}],\
             \"externalRefs\":[{\"referenceCategory\":\"PACKAGE-MANAGER\",\"referenceType\":\"purl\",\
             \"referenceLocator\":\"pkg:npm/a@1\"}]}],\
             \"relationships\":[{\"spdxElementId\":\"SPDXRef-DOCUMENT\",\"relatedSpdxElement\":\"SPDXRef-a\",\
             \"relationshipType\":\"DESCRIBES\"}]}",
            "SPDXVersion: SPDX-2.3\nSPDXID: SPDXRef-DOCUMENT\nDocumentName: app\nCreator: Tool: syft-1.18.1\n\
             Created: 2026-11-21T07:13:00Z\n\nPackageName: libcurl4\nSPDXID: SPDXRef-curl\nPackageVersion: 7.88.1-10\n\
             PackageSupplier: Person: Ann (ann@example.org)\nPackageDescription: <text>two\nlines</text>\n\
             ExternalRef: PACKAGE-MANAGER purl pkg:deb/debian/libcurl4@7.88.1-10?distro=debian-12\n\n\
             Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-curl\n",
            "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"version\":1,\"metadata\":{\"timestamp\":\"2026-11-21T07:13:00Z\",\
             \"component\":{\"type\":\"container\",\"name\":\"app\",\"bom-ref\":\"i\"}},\
             \"components\":[{\"type\":\"library\",\"bom-ref\":\"x\",\"group\":\"g\",\"name\":\"a\",\"version\":\"1\",\
             \"purl\":\"pkg:npm/%40g/a@1\",\"licenses\":[{\"license\":{\"id\":\"MIT\"}}],\
             \"hashes\":[{\"alg\":\"SHA-1\",\"content\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}]}],\
             \"dependencies\":[{\"ref\":\"i\",\"dependsOn\":[\"x\"]}]}",
            "<?xml version=\"1.0\"?>\n<bom xmlns=\"http://cyclonedx.org/schema/bom/1.4\" version=\"1\"><metadata>\
             <component type=\"container\" bom-ref=\"i\"><name>app</name></component></metadata><components>\
             <component type=\"library\" bom-ref=\"x\"><group>g</group><name>a&amp;b</name><version>1</version>\
             <licenses><license><id>MIT</id></license></licenses><purl>pkg:maven/g/a@1</purl></component></components>\
             <dependencies><dependency ref=\"i\"><dependency ref=\"x\"/></dependency></dependencies></bom>",
            "{\"artifacts\":[{\"id\":\"a\",\"name\":\"a\",\"version\":\"1\",\"type\":\"npm\",\"foundBy\":\"x\",\"locations\":[{\"path\":\"/a\"}],\
             \"licenses\":[{\"value\":\"MIT\",\"spdxExpression\":\"MIT\"}],\"purl\":\"pkg:npm/a@1\"}],\"artifactRelationships\":[],\
             \"source\":{\"id\":\"s\",\"name\":\"app\",\"type\":\"image\"},\"distro\":{\"id\":\"debian\",\"versionID\":\"12\"},\
             \"descriptor\":{\"name\":\"syft\",\"version\":\"1.18.1\"},\"schema\":{\"version\":\"16.0.0\"}}",
        ],
    ),
    (
        "lock_file",
        &[
            "\0[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://index.test\"\nchecksum = \"00\"\ndependencies = [\"b\"]\n",
            "\x01{\"pins\":[{\"identity\":\"a\",\"location\":\"https://host.test/o/a.git\",\"state\":{\"version\":\"1.0.0\"}}],\"version\":2}",
            "\x02{\"default\":{\"a\":{\"version\":\"==1.0\",\"hashes\":[\"sha256:00\"]}},\"develop\":{}}",
            "\x03{\"version\":\"0.5\",\"requires\":[\"zlib/1.2.13#rev%1.0\"]}",
            "\x06{\"version\":1,\"dependencies\":{\"net8.0\":{\"A\":{\"type\":\"Direct\",\"resolved\":\"1.0.0\",\"dependencies\":{\"B\":\"1\"}}}}}",
            "\x09[[package]]\nname = \"a\"\nversion = \"1.0\"\n[package.dependencies]\nb = \">=1\"\n",
            "\x0apackages:\n  a:\n    dependency: \"direct main\"\n    source: hosted\n    version: \"1.0.0\"\n",
            "\x0ba==1.0 ; python_version > '3' # x\n-r other.txt\nb[c]>=2\n",
            "\x0eGEM\n  remote: https://gems.test/\n  specs:\n    a (1.0.0)\n      b (>= 1)\n\nPLATFORMS\n  ruby\n",
        ],
    ),
    (
        "package_record",
        &[
            "\x02{\"runtimeTarget\":{\"name\":\"net8\"},\"targets\":{\"net8\":{\"A/1.0.0\":{\"dependencies\":{\"B\":\"1.0.0\"}},\"B/1.0.0\":{}}},\"libraries\":{\"A/1.0.0\":{\"type\":\"package\",\"sha512\":\"sha512-AA==\"},\"B/1.0.0\":{\"type\":\"package\"}}}",
            "\x03{\"name\":\"a\",\"version\":\"1.0\",\"build\":\"0\",\"subdir\":\"linux-64\",\"license\":\"MIT\",\"depends\":[\"b >=1\"]}",
            "\x04Metadata-Version: 2.1\nName: a\nVersion: 1.0\nLicense: MIT\nRequires-Dist: b (>=1) ; extra == 'x'\n",
            "\x05%NAME%\na\n\n%VERSION%\n1.0-1\n\n%LICENSE%\nMIT\n\n%DEPENDS%\nb>=1\n",
            "\x06%FILES%\nusr/\nusr/bin/a\n",
            "\x07Package: a\nVersion: 1.0-1\nStatus: install user installed\nArchitecture: x\n",
            "\x08IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_VERSION=\"17.0.1\"\nJAVA_RUNTIME_VERSION=\"17.0.1+12\"\n",
        ],
    ),
    (
        "program",
        &[
            "\x00{\"packages\":[{\"name\":\"app\",\"version\":\"0.1.0\",\"source\":\"local\",\"dependencies\":[1],\"root\":true},{\"name\":\"b\",\"version\":\"1.0.0\",\"source\":\"crates.io\"}]}",
            "\x03\x7fELF\x02\x01\x01\x003.11.4\0%s.so\0Python 3.11.4\0",
            "\x04\x7fELF\x02\x01\x01\0nginx version: nginx/1.24.0\0",
            "\x05\x7fELF\x02\x01\x01\0OpenSSL 3.0.9 30 May 2023\0",
        ],
    ),
    (
        "vex",
        &[
            "{\"@context\":\"https://openvex.dev/ns/v0.2.0\",\"@id\":\"doc\",\"author\":\"us\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"version\":1,\"statements\":[{\"vulnerability\":{\"name\":\"CVE-2022-33891\",\"aliases\":[\"PYSEC-2022-236\"]},\"products\":[{\"@id\":\"pkg:pypi/pyspark\",\"hashes\":{\"sha-256\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"},\"subcomponents\":[{\"@id\":\"pkg:pypi/x\"}]}],\"status\":\"not_affected\",\"justification\":\"vulnerable_code_not_present\"}]}",
            "{\"document\":{\"csaf_version\":\"2.0\",\"tracking\":{\"id\":\"c\",\"current_release_date\":\"2026-01-01T00:00:00Z\"}},\"product_tree\":{\"branches\":[{\"branches\":[{\"product\":{\"product_id\":\"P\",\"name\":\"a\",\"product_identification_helper\":{\"purl\":\"pkg:pypi/pyspark@3.1.1\"}}}]}],\"relationships\":[{\"category\":\"default_component_of\",\"product_reference\":\"P\",\"relates_to_product_reference\":\"P\",\"full_product_name\":{\"product_id\":\"Q\"}}]},\"vulnerabilities\":[{\"cve\":\"CVE-2022-33891\",\"product_status\":{\"known_not_affected\":[\"P\"]},\"flags\":[{\"label\":\"component_not_present\",\"product_ids\":[\"P\"]}]}]}",
            "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"components\":[{\"type\":\"library\",\"name\":\"a\",\"bom-ref\":\"r\",\"purl\":\"pkg:pypi/pyspark@3.1.1\"}],\"vulnerabilities\":[{\"id\":\"CVE-2022-33891\",\"analysis\":{\"state\":\"false_positive\"},\"affects\":[{\"ref\":\"r\"}]}]}",
        ],
    ),
    (
        "results",
        &[
            "{\"SchemaVersion\":2,\"Trivy\":{\"Version\":\"0.76.0\"},\"ArtifactType\":\"container_image\",\"Metadata\":{\"DiffIDs\":[\"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"]},\"Results\":[{\"Target\":\"Python\",\"Class\":\"lang-pkgs\",\"Type\":\"python-pkg\",\"Vulnerabilities\":[{\"VulnerabilityID\":\"CVE-2020-11651\",\"PkgName\":\"salt\",\"PkgIdentifier\":{\"PURL\":\"pkg:pypi/salt@3000.1\"},\"InstalledVersion\":\"3000.1\",\"FixedVersion\":\"3000.2, 2019.2.4\",\"Severity\":\"CRITICAL\",\"CVSS\":{\"nvd\":{\"V3Vector\":\"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\"}}}]}]}",
            "{\"matches\":[{\"vulnerability\":{\"id\":\"GHSA-6vq8-rjxx-h8mh\",\"severity\":\"Critical\",\"cvss\":[],\"fix\":{\"versions\":[\"3000.2\"],\"state\":\"fixed\"}},\"relatedVulnerabilities\":[{\"id\":\"CVE-2020-11651\",\"severity\":\"Critical\"}],\"artifact\":{\"name\":\"salt\",\"version\":\"3000.1\",\"type\":\"python\",\"purl\":\"pkg:pypi/salt@3000.1\",\"locations\":[{\"path\":\"/opt/x\"}]}}],\"source\":{\"type\":\"image\",\"target\":{\"manifestDigest\":\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}},\"descriptor\":{\"name\":\"grype\",\"version\":\"0.116.0\"}}",
        ],
    ),
    (
        "gate",
        &[
            "licences:\n- id: l\n  reason: x\n  action: stop\n  when: { licence: ['GPL-3.0*'], path: ['app/**'] }\nnot-looked-up: { no-version: stop }\n",
            "rules:\n- id: a\n  reason: x\n  action: stop\n  when: { severity: high, fix: available, exploited: true, epss: 0.5, package: [salt], kind: [pypi], path: ['usr/**'], licence: ['GPL-*'] }\n- id: b\n  reason: y\n  action: review\n  when: { unrated: true, cvss: 7.5, ransomware: false, age-days: 30, uncertain: false }\nexceptions:\n- id: CVE-2022-33891\n  package: pyspark\n  reason: x\n  expires: 2027-01-01\n",
        ],
    ),
    (
        "version",
        &[
            "\x001:1.0-1\n1.0~rc1-1\n1.0+b1",
            "\x011.0_alpha1-r0\n1.0-r1\n1.0b",
            "\x021:1.0-1.el9\n1.0~rc1-1\n1.0^git-2",
            "\x031.0.0-rc.1\nv1.0.0\n1.0.0+x",
            "\x041.0.0.1\n1.0.0-A\n1.0.0-a",
            "\x051.0.0+1\n1.0.0+2\n1.0.0",
            "\x061!1.0.dev1\n1.0.post1\n1.0rc1+local",
            "\x071.0-alpha-1\n1.0-SNAPSHOT\n1.0-ga",
            "\x081.0.a\n1.0.0\n1.b",
            "\x091.0-beta1\n1.0p1\ndev-x",
            "\x0a1.0-1\n1.0.1\n1",
            "\x0b1.0\n1.0.0\n2",
        ],
    ),
    (
        "token",
        &["eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2kudGVzdCIsInN1YiI6InMiLCJhdWQiOiJzaWdzdG9yZSIsImV4cCI6MX0.AAAA"],
    ),
];

fn add(seeds: &mut Seeds, target: &'static str, bytes: &[u8]) {
    let of_target = seeds.entry(target).or_default();
    if of_target.len() < MAX_SEEDS && !bytes.is_empty() && bytes.len() <= MAX_BYTES {
        of_target.insert(bytes.to_vec());
    }
}

fn walk(folder: &Path, seeds: &mut Seeds) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, seeds);
        } else if let Ok(bytes) = fs::read(&path) {
            file(&path, &bytes, seeds);
        }
    }
}

fn file(path: &Path, bytes: &[u8], seeds: &mut Seeds) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.ends_with("root.json") && bytes.windows(12).any(|part| part == b"\"signatures\"") {
        add(seeds, "tuf_metadata", bytes);
    } else if name.contains("trusted_root") {
        add(seeds, "trust_root", bytes);
    } else if name.contains("signing_config") {
        add(seeds, "signing_config", bytes);
    } else if name == "index.json" {
        add(seeds, "layout", bytes);
    } else if name.ends_with(".pub") || name.ends_with(".pem") {
        add(seeds, "certificate", bytes);
    } else if name.ends_with(".yaml") || name.ends_with(".yml") {
        add(seeds, "policy", bytes);
    } else if path.components().any(|part| part.as_os_str() == "admission-reviews") {
        add(seeds, "admission_review", bytes);
    } else if path.to_string_lossy().contains("tile") {
        add(seeds, "tile", bytes);
        add(seeds, "checkpoint", bytes);
        add(seeds, "signed_note", bytes);
    } else if bytes.starts_with(&[0x1f, 0x8b]) || bytes.get(257..262) == Some(b"ustar") {
        add(seeds, "layers", bytes);
    } else {
        document(bytes, seeds);
    }
}

fn document(bytes: &[u8], seeds: &mut Seeds) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    add(seeds, "json", bytes);
    let has = |name: &str| value.get(name).is_some();
    if let Ok(parsed) = Bundle::parse(bytes) {
        add(seeds, "bundle", bytes);
        take_apart(&parsed, seeds);
    } else if has("payloadType") {
        add(seeds, "dsse", bytes);
        add(seeds, "detached", bytes);
    } else if has("critical") {
        add(seeds, "simple_signing", bytes);
    } else if has("rootfs") {
        add(seeds, "config", bytes);
    } else if has("layers") || has("manifests") {
        add(seeds, "manifest", bytes);
        legacy(&value, seeds);
    }
}

fn take_apart(bundle: &Bundle, seeds: &mut Seeds) {
    if let Some(envelope) = bundle.envelope() {
        add(seeds, "dsse", &envelope.to_json());
        add(seeds, "statement", &envelope.payload);
    }
    if let KeyMaterial::Certificate(der) = &bundle.material.key {
        add(seeds, "certificate", der);
        add(seeds, "scts", der);
    }
    for stamp in &bundle.material.timestamps {
        add(seeds, "timestamp", stamp);
    }
    for entry in &bundle.material.tlog_entries {
        add(seeds, "log_body", &entry.canonicalized_body);
        if let Some(proof) = &entry.inclusion_proof {
            add(seeds, "checkpoint", proof.checkpoint.as_bytes());
            add(seeds, "signed_note", proof.checkpoint.as_bytes());
        }
    }
}

/// The annotations of layers, and what is in them.
fn legacy(manifest: &Value, seeds: &mut Seeds) {
    let layers = manifest.get("layers").and_then(Value::as_array);
    for annotations in layers
        .into_iter()
        .flatten()
        .filter_map(|layer| layer.get("annotations"))
    {
        add(seeds, "legacy_layer", format!("{annotations}\n{{}}").as_bytes());
        for value in annotations
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, value)| value.as_str())
        {
            if let Ok(log) = LegacyLogBundle::parse(value) {
                add(seeds, "log_body", &log.body);
            }
            for der in pem_decode_all("CERTIFICATE", value).unwrap_or_default() {
                add(seeds, "certificate", &der);
            }
        }
    }
}

/// Writes the seeds to `corpus/<target>/`, and says how many there are of each.
pub fn write() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in seeds() {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
        println!("{target}: {}", seeds.len());
    }
    Ok(())
}
