use proofmark_types::Purl;
use serde_json::{Value, json};

use super::*;

fn spdx(packages: &Value, relationships: &Value) -> Vec<u8> {
    json!({
        "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "app", "documentNamespace": "https://example.org/x",
        "creationInfo": { "created": "2026-11-21T07:13:00Z", "creators": ["Tool: syft-1.18.1", "Organization: Anchore, Inc"] },
        "packages": packages, "relationships": relationships,
    })
    .to_string()
    .into_bytes()
}

fn package(name: &str, version: &str, purl: &str) -> Value {
    json!({
        "name": name, "SPDXID": format!("SPDXRef-{name}"), "versionInfo": version,
        "externalRefs": [{ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl }],
    })
}

fn cyclonedx(components: &Value) -> Vec<u8> {
    json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "components": components })
        .to_string()
        .into_bytes()
}

fn codes(document: &Document) -> Vec<&'static str> {
    document.warnings.iter().map(|warning| warning.code).collect()
}

/// What Syft says of a Debian package whose source has another name, of one whose files another has, and of the image.
#[test]
fn syft_spdx_has_sources_owners_and_the_image() {
    let image = json!({
        "name": "app", "SPDXID": "SPDXRef-Image", "versionInfo": format!("sha256:{}", "a".repeat(64)), "primaryPackagePurpose": "CONTAINER",
    });
    let document = read(&spdx(
        &json!([
            package("libcurl4", "7.88.1-10", "pkg:deb/debian/libcurl4@7.88.1-10?arch=amd64&distro=debian-12&upstream=curl"),
            package("python3-pip", "23.0.1", "pkg:deb/debian/python3-pip@23.0.1?distro=debian-12&upstream=python-pip%4023.0"),
            package("pip", "23.0.1", "pkg:pypi/pip@23.0.1"),
            image,
        ]),
        &json!([
            { "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-Image" },
            { "spdxElementId": "SPDXRef-python3-pip", "relationshipType": "OTHER", "relatedSpdxElement": "SPDXRef-pip",
              "comment": "ownership-by-file-overlap: indicates that …" },
            { "spdxElementId": "SPDXRef-libcurl4", "relationshipType": "DEPENDENCY_OF", "relatedSpdxElement": "SPDXRef-pip" },
            { "spdxElementId": "SPDXRef-pip", "relationshipType": "CONTAINS", "relatedSpdxElement": "SPDXRef-libcurl4" },
        ]),
    ))
    .unwrap();
    assert_eq!(document.origin.to_string(), "SPDX 2.3 JSON");
    assert_eq!(document.tools, ["syft-1.18.1"]);
    assert_eq!(document.authors, ["Organization: Anchore, Inc"]);
    assert_eq!(
        document.subject.digest.as_ref().unwrap().to_string(),
        format!("sha256:{}", "a".repeat(64))
    );
    let bill = &document.bill;
    assert_eq!(bill.packages.len(), 3, "the image is none");
    assert_eq!(bill.distribution.as_ref().unwrap().qualifier(), "debian-12");
    let find = |name: &str| bill.packages.iter().find(|p| p.name == name).unwrap();
    let source = find("libcurl4").source.clone().unwrap();
    assert_eq!((source.name.as_str(), source.version), ("curl", None));
    assert_eq!(
        find("python3-pip").source.clone().unwrap().version.as_deref(),
        Some("23.0")
    );
    assert_eq!(find("pip").owned_by.as_ref(), Some(&find("python3-pip").id));
    assert_eq!(find("libcurl4").owned_by, None, "no package of the system is owned");
    assert_eq!(bill.relationships.len(), 1);
    assert_eq!(
        (&bill.relationships[0].from, &bill.relationships[0].to),
        (&find("pip").id, &find("libcurl4").id)
    );
    assert!(document.warnings.is_empty(), "{:?}", document.warnings);
}

#[test]
fn packages_without_a_known_url_are_kept_and_named() {
    let document = read(&spdx(
        &json!([
            package("a", "1", "pkg:swid/acme/a@1"),
            package("b", "1", "not a purl"),
            { "name": "c", "SPDXID": "SPDXRef-c" },
        ]),
        &json!(null),
    ))
    .unwrap();
    assert_eq!(
        codes(&document),
        ["purl-type-unknown", "purl-malformed", "purl-missing"]
    );
    assert_eq!(document.bill.packages.len(), 3);
    assert!(document.bill.packages.iter().all(|p| p.kind == PackageKind::Unknown));
    let b = document.bill.packages.iter().find(|p| p.name == "b").unwrap();
    assert_eq!(document.details[&b.id].identifiers, ["not a purl"]);
}

#[test]
fn a_package_is_not_hidden_by_what_it_is_called() {
    let mut hidden = package("openssl", "3.0.1", "pkg:deb/debian/openssl@3.0.1");
    for purpose in ["CONTAINER", "OPERATING-SYSTEM", "APPLICATION"] {
        hidden["primaryPackagePurpose"] = json!(purpose);
        let described = json!([{ "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-openssl" }]);
        let document = read(&spdx(&json!([hidden]), &described)).unwrap();
        assert_eq!(document.bill.packages.len(), 1, "{purpose}");
    }
    for kind in ["file", "operating-system", "container", "application", "library"] {
        let component = json!([{ "type": kind, "name": "openssl", "purl": "pkg:deb/debian/openssl@3.0.1" }]);
        assert_eq!(read(&cyclonedx(&component)).unwrap().bill.packages.len(), 1, "{kind}");
    }
}

#[test]
fn an_ambiguous_reference_owns_nothing() {
    let owner = |version: &str| json!({ "type": "library", "bom-ref": "o", "name": "o", "purl": format!("pkg:deb/debian/o@{version}") });
    let owned = json!({ "type": "library", "bom-ref": "x", "name": "x", "version": "1", "purl": "pkg:npm/x@1",
        "properties": [{ "name": "proofmark:ownedBy", "value": "o" }] });
    let document = read(&cyclonedx(&json!([owner("1"), owned]))).unwrap();
    assert!(document.bill.packages.iter().any(|p| p.owned_by.is_some()));
    let document = read(&cyclonedx(&json!([owner("1"), owner("2"), owned]))).unwrap();
    assert_eq!(document.bill.packages.len(), 3, "none is lost");
    assert!(document.bill.packages.iter().all(|p| p.owned_by.is_none()));
    assert_eq!(codes(&document), ["reference-duplicate"]);
}

/// Trivy: the epoch and the source stand in properties and qualifiers; lock files are components of their own.
#[test]
fn trivy_cyclonedx_has_sources_and_epochs() {
    let property = |name: &str, value: &str| json!({ "name": format!("aquasecurity:trivy:{name}"), "value": value });
    let document = read(&cyclonedx(&json!([
        { "type": "operating-system", "bom-ref": "os", "name": "debian", "version": "12.5",
          "properties": [property("Class", "os-pkgs"), property("Type", "debian")] },
        { "type": "application", "bom-ref": "lock", "name": "Node.js", "properties": [property("Class", "lang-pkgs")] },
        { "type": "library", "bom-ref": "v", "name": "vim", "version": "2:9.0.1378-2",
          "purl": "pkg:deb/debian/vim@9.0.1378-2?arch=amd64&distro=debian-12.5&epoch=2",
          "properties": [property("SrcName", "vim-src"), property("SrcVersion", "9.0.1378"), property("SrcRelease", "2"), property("SrcEpoch", "2"),
                         property("PkgType", "debian")] },
        { "type": "library", "bom-ref": "c", "group": "@babel", "name": "core", "version": "7.0.0", "purl": "pkg:npm/%40babel/core@7.0.0",
          "licenses": [{ "license": { "name": "MIT" } }], "properties": [property("FilePath", "app/node_modules/@babel/core/package.json")] },
    ])))
    .unwrap();
    assert!(document.warnings.is_empty(), "{:?}", document.warnings);
    assert_eq!(document.bill.distribution.as_ref().unwrap().qualifier(), "debian-12.5");
    let [vim, core] = document.bill.packages.as_slice() else {
        panic!("two packages")
    };
    assert_eq!(vim.version.as_deref(), Some("2:9.0.1378-2"));
    let source = vim.source.clone().unwrap();
    assert_eq!(
        (source.name.as_str(), source.version.as_deref()),
        ("vim-src", Some("2:9.0.1378-2"))
    );
    assert_eq!(core.name, "@babel/core");
    assert_eq!(core.licences[0].expression(), Some("MIT"));
    assert_eq!(core.locations[0].path, "app/node_modules/@babel/core/package.json");
}

#[test]
fn names_are_as_the_ecosystem_writes_them() {
    for (said, group, purl, expected) in [
        ("Django", "", "pkg:pypi/django@4.2", "Django"),
        ("django", "", "pkg:pypi/other@4.2", "other"),
        (
            "github.com/BurntSushi/toml",
            "",
            "pkg:golang/github.com/burntsushi/toml@v1.0.0",
            "github.com/BurntSushi/toml",
        ),
        ("core", "@babel", "pkg:npm/%40babel/core@7", "@babel/core"),
        (
            "log4j-core",
            "org.apache",
            "pkg:maven/org.apache/log4j-core@2",
            "log4j-core",
        ),
        ("curl", "", "pkg:deb/debian/curl@7", "curl"),
    ] {
        let document = read(&cyclonedx(
            &json!([{ "type": "library", "group": group, "name": said, "purl": purl }]),
        ))
        .unwrap();
        assert_eq!(document.bill.packages[0].name, expected, "{purl}");
    }
}

#[test]
fn versions_that_differ_are_named_and_those_that_only_look_so_are_not() {
    for (said, purl, expected, code) in [
        ("1.0", "pkg:deb/debian/a@1.0", "1.0", None),
        ("1.0", "pkg:deb/debian/a@1.0?epoch=2", "2:1.0", None),
        ("2:1.0", "pkg:deb/debian/a@1.0", "2:1.0", None),
        ("1.2.3", "pkg:golang/example.org/a@v1.2.3", "1.2.3", None),
        ("1.0", "pkg:deb/debian/a@1.1", "1.0", Some("version-differs")),
        ("1.0", "pkg:npm/a@1.1", "1.0", Some("version-differs")),
    ] {
        let document = read(&cyclonedx(
            &json!([{ "type": "library", "name": "a", "version": said, "purl": purl }]),
        ))
        .unwrap();
        let warned = codes(&document).into_iter().find(|code| *code == "version-differs");
        assert_eq!(document.bill.packages[0].version.as_deref(), Some(expected), "{purl}");
        assert_eq!(warned, code, "{said} {purl}");
    }
}

#[test]
fn a_source_rpm_is_split_at_its_last_two_dashes() {
    let purl = Purl::parse("pkg:deb/x/y@1?upstream=java-17-openjdk-17.0.1-2.el9.src.rpm").unwrap();
    let source = gather::upstream(&purl, PackageKind::Deb).unwrap();
    assert_eq!(
        (source.name.as_str(), source.version.as_deref()),
        ("java-17-openjdk", Some("17.0.1-2.el9"))
    );
    for nothing in ["x.src.rpm", "a-b.src.rpm", "@1"] {
        let purl = Purl::new("deb", "y").unwrap().with_qualifier("upstream", nothing);
        assert_eq!(gather::upstream(&purl, PackageKind::Deb), None, "{nothing}");
    }
}

#[test]
fn conjunctions_are_taken_apart_only_where_that_is_what_they_say() {
    let extracted = BTreeMap::from([("LicenseRef-a".to_owned(), "the A licence".to_owned())]);
    for (text, expected) in [
        ("MIT AND LicenseRef-a", vec!["MIT", "the A licence"]),
        ("(MIT OR Apache-2.0) AND ISC", vec!["MIT OR Apache-2.0", "ISC"]),
        ("MIT OR Apache-2.0 AND ISC", vec!["MIT OR Apache-2.0 AND ISC"]),
        ("MIT OR Apache-2.0", vec!["MIT OR Apache-2.0"]),
        ("(MIT AND ISC) OR (ISC)", vec!["(MIT AND ISC) OR (ISC)"]),
    ] {
        assert_eq!(spdx2::terms(text, &extracted), expected, "{text}");
    }
}

#[test]
fn attestations_are_opened_only_when_told() {
    use base64::Engine as _;
    let inner: Value = serde_json::from_slice(&spdx(&json!([package("a", "1", "pkg:npm/a@1")]), &json!([]))).unwrap();
    let statement = |predicate: &Value| json!({ "_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", "subject": [], "predicate": predicate });
    let payload = base64::engine::general_purpose::STANDARD.encode(statement(&inner).to_string());
    let envelope = json!({ "payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": [] });
    let bundle = json!({ "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": envelope });
    let custom = statement(&json!({ "Data": inner.to_string(), "Timestamp": "" }));
    let text = statement(&json!(inner.to_string()));
    let told = ReadOptions { unwrap: true };
    for wrapped in [statement(&inner), envelope.clone(), bundle, custom, text] {
        let bytes = wrapped.to_string().into_bytes();
        assert_eq!(read(&bytes).unwrap_err().code(), "document-in-attestation");
        let document = read_with(&bytes, told).unwrap();
        assert_eq!(document.bill.packages[0].name, "a");
        assert_eq!(codes(&document), ["attestation-not-verified"]);
    }
    let twice = statement(&statement(&inner)).to_string();
    assert_eq!(
        read_with(twice.as_bytes(), told).unwrap_err().code(),
        "document-in-attestation"
    );
    let mut other = envelope.clone();
    other["payloadType"] = json!("text/plain");
    assert_eq!(
        read_with(other.to_string().as_bytes(), told).unwrap_err().code(),
        "attestation-without-document"
    );
    let mut broken = envelope;
    broken["payload"] = json!("!");
    assert_eq!(
        read_with(broken.to_string().as_bytes(), told).unwrap_err().code(),
        "attestation-without-document"
    );
    let number = statement(&json!(1)).to_string();
    assert_eq!(
        read_with(number.as_bytes(), told).unwrap_err().code(),
        "attestation-without-document"
    );
}

#[test]
fn each_refused_document_has_its_reason() {
    let version = |text: &str| {
        String::from_utf8(spdx(&json!([]), &json!([])))
            .unwrap()
            .replace("SPDX-2.3", text)
    };
    let deep = format!(
        "{}{}",
        "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"components\":[{\"name\":\"a\",\"components\":[",
        "[".repeat(500)
    );
    let mut nested = json!({ "type": "library", "name": "leaf" });
    for _ in 0..40 {
        nested = json!({ "type": "library", "name": "n", "components": [nested] });
    }
    let nested = String::from_utf8(cyclonedx(&json!([nested]))).unwrap();
    let doubled =
        String::from_utf8(cyclonedx(&json!([])))
            .unwrap()
            .replacen('{', "{\"components\":[{\"name\":\"a\"}],", 1);
    for (text, code) in [
        (String::new(), "document-unknown"),
        ("hello".to_owned(), "document-unknown"),
        ("{}".to_owned(), "document-unknown"),
        ("{\"a\":1}".to_owned(), "document-unknown"),
        ("{".to_owned(), "document-malformed"),
        (version("SPDX-9.9"), "document-version-unknown"),
        (
            "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"0.9\"}".to_owned(),
            "document-version-unknown",
        ),
        (
            "{\"bomFormat\":\"Other\",\"specVersion\":\"1.5\"}".to_owned(),
            "document-unknown",
        ),
        (
            "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"components\":{}}".to_owned(),
            "document-malformed",
        ),
        (
            "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"components\":[{}]}".to_owned(),
            "document-malformed",
        ),
        (deep, "document-malformed"),
        (nested, "document-too-many-values"),
        (doubled, "document-malformed"),
    ] {
        let error = read(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{error}: {}", &text[..text.len().min(80)]);
    }
    assert_eq!(read(b"\xff\xfe{}").unwrap_err().code(), "document-unknown");
}

#[test]
fn documents_made_to_fill_memory_are_refused() {
    let component = "{\"name\":\"\"},";
    let many = format!(
        "{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"components\":[{}{{\"name\":\"\"}}]}}",
        component.repeat(MAX_PACKAGES)
    );
    let error = read(many.as_bytes()).unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::TooMany {
                what: "components",
                limit: MAX_PACKAGES
            }
        ),
        "{error}"
    );
    let commas = format!("{{\"a\":[{}1]}}", "1,".repeat(6_000_001));
    let error = read(commas.as_bytes()).unwrap_err();
    assert!(matches!(error, ReadError::TooMany { what: "values", .. }), "{error}");
    let error = read(&vec![b' '; MAX_DOCUMENT_BYTES + 1]).unwrap_err();
    assert_eq!(error.code(), "document-too-large");
}

#[test]
fn a_flood_of_warnings_is_counted() {
    let components: Vec<Value> = (0..MAX_WARNINGS + 5)
        .map(|at| json!({ "name": format!("n{at}") }))
        .collect();
    let document = read(&cyclonedx(&json!(components))).unwrap();
    assert_eq!((document.warnings.len(), document.more_warnings), (MAX_WARNINGS, 5));
    assert_eq!(document.bill.packages.len(), MAX_WARNINGS + 5);
}

const TAG_VALUE: &str = "# made by hand
SPDXVersion: SPDX-2.3
DataLicense: CC0-1.0
SPDXID: SPDXRef-DOCUMENT
DocumentName: app
Creator: Tool: syft-1.18.1
Created: 2026-11-21T07:13:00Z

FileName: ./etc/passwd
SPDXID: SPDXRef-File-1

PackageName: libcurl4
SPDXID: SPDXRef-curl
PackageVersion: 7.88.1-10
PackageSupplier: Person: Ann (ann@example.org)
PackageChecksum: SHA256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
PackageLicenseDeclared: curl AND LicenseRef-own
PackageDescription: <text>two
lines, and PackageName: not one</text>
ExternalRef: PACKAGE-MANAGER purl pkg:deb/debian/libcurl4@7.88.1-10?upstream=curl&distro=debian-12
ExternalRef: SECURITY cpe23Type cpe:2.3:a:haxx:curl:7.88.1:*:*:*:*:*:*:*

PackageName: pip
SPDXID: SPDXRef-pip
ExternalRef: PACKAGE-MANAGER purl pkg:pypi/pip@23.0.1

LicenseID: LicenseRef-own
LicenseName: The Own Licence
ExtractedText: <text>do what you like</text>

Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-curl
Relationship: SPDXRef-pip DEPENDS_ON SPDXRef-curl
Relationship: SPDXRef-curl OTHER SPDXRef-pip
RelationshipComment: <text>ownership-by-file-overlap: indicates</text>
";

#[test]
fn tag_value_is_read() {
    let document = read(TAG_VALUE.as_bytes()).unwrap();
    assert_eq!(document.origin.to_string(), "SPDX 2.3 tag-value");
    assert!(document.warnings.is_empty(), "{:?}", document.warnings);
    let [curl, pip] = document.bill.packages.as_slice() else {
        panic!("two packages, {:?}", document.bill.packages)
    };
    assert_eq!(
        (curl.name.as_str(), curl.version.as_deref()),
        ("libcurl4", Some("7.88.1-10"))
    );
    assert_eq!(curl.source.as_ref().unwrap().name, "curl");
    assert_eq!(curl.supplier.as_deref(), Some("Ann (ann@example.org)"));
    assert_eq!(
        curl.description.as_deref(),
        Some("two\nlines, and PackageName: not one")
    );
    let licences: Vec<&str> = curl.licences.iter().map(|licence| licence.text()).collect();
    assert_eq!(licences, ["The Own Licence", "curl"]);
    assert_eq!(curl.hashes.len(), 1);
    assert_eq!(document.details[&curl.id].cpes.len(), 1);
    assert_eq!(pip.owned_by.as_ref(), Some(&curl.id));
    assert_eq!(document.bill.relationships.len(), 1);
    assert_eq!(document.created, Some(UnixTime::parse("2026-11-21T07:13:00Z").unwrap()));
}

#[test]
fn each_broken_tag_value_has_its_line() {
    let broken = |from: &str, to: &str| TAG_VALUE.replacen(from, to, 1);
    for (text, line, word) in [
        (broken("PackageName: pip", "PackageName pip is"), 23, "Tag: value"),
        (broken("indicates</text>", "indicates"), 34, "without </text>"),
        (
            broken("SPDXRef-pip DEPENDS_ON SPDXRef-curl", "SPDXRef-pip DEPENDS_ON"),
            32,
            "ID KIND ID",
        ),
        (broken("SHA256: a", "SHA256 a"), 16, "malformed PackageChecksum"),
        (broken("SECURITY cpe23Type", ""), 21, "malformed ExternalRef"),
        (
            broken("SPDXID: SPDXRef-pip", "SPDXID: SPDXRef-pip\nSPDXID: SPDXRef-x"),
            25,
            "second value",
        ),
        (broken("DataLicense", "SPDXVersion"), 3, "second value"),
    ] {
        let ReadError::Malformed {
            line: seen, message, ..
        } = read(text.as_bytes()).unwrap_err()
        else {
            panic!("{word}")
        };
        assert!(message.contains(word), "{message}");
        assert_eq!(seen, line, "{message}");
    }
    assert_eq!(
        read(broken("SPDX-2.3", "SPDX-1.2").as_bytes()).unwrap_err().code(),
        "document-version-unknown"
    );
    let latin = [TAG_VALUE.as_bytes(), b"PackageComment: \xe9"].concat();
    assert_eq!(read(&latin).unwrap_err().code(), "document-malformed");
    assert_eq!(
        read(TAG_VALUE.replacen("SPDXVersion", "Version", 1).as_bytes())
            .unwrap_err()
            .code(),
        "document-unknown"
    );
}

const XML: &str = r#"<?xml version="1.0"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.4" serialNumber="urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79" version="1">
  <metadata><timestamp>2026-11-21T07:13:00Z</timestamp><tools><tool><vendor>a</vendor><name>b</name><version>1</version></tool></tools>
    <component type="container" bom-ref="i"><name>app</name><version>sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</version></component></metadata>
  <components>
    <component type="library" bom-ref="x"><group>org.apache</group><name>log4j&amp;core</name><version>2.14.1</version>
      <hashes><hash alg="SHA-1">aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</hash></hashes>
      <licenses><license><id>Apache-2.0</id></license></licenses><purl>pkg:maven/org.apache/log4j%26core@2.14.1</purl>
      <components><component type="library" bom-ref="y"><name>in<!-- side -->ner</name><version>1</version><purl>pkg:npm/inner@1</purl>
        <licenses><expression>MIT OR ISC</expression></licenses></component></components></component>
  </components>
  <dependencies><dependency ref="x"><dependency ref="y"/></dependency></dependencies>
</bom>"#;

#[test]
fn cyclonedx_xml_is_read() {
    let document = read(XML.as_bytes()).unwrap();
    assert_eq!(document.origin.to_string(), "CycloneDX 1.4 XML");
    assert_eq!(document.tools, ["b-1"]);
    assert!(document.warnings.is_empty(), "{:?}", document.warnings);
    assert!(document.subject.digest.is_some());
    let [log4j, inner] = document.bill.packages.as_slice() else {
        panic!("two packages")
    };
    assert_eq!(
        (log4j.group.as_deref(), log4j.name.as_str()),
        (Some("org.apache"), "log4j&core")
    );
    assert_eq!(log4j.hashes.len(), 1);
    assert_eq!(inner.name, "inner");
    assert_eq!(inner.licences[0].expression(), Some("MIT OR ISC"));
    assert_eq!(document.bill.relationships.len(), 1);
}

#[test]
fn each_hostile_xml_has_its_reason() {
    let doctype = XML.replacen(
        "<bom",
        "<!DOCTYPE bom [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>\n<bom",
        1,
    );
    let entity = XML.replacen("&amp;", "&b;", 1);
    let deep = format!(
        "<bom xmlns=\"http://cyclonedx.org/schema/bom/1.4\">{}",
        "<components>".repeat(100_000)
    );
    let hidden = XML.replacen("bom/1.4", "bom/0.1", 1);
    let nested = {
        let (open, close) = ("<components><component><name>n</name>", "</component></components>");
        format!(
            "<bom xmlns=\"http://cyclonedx.org/schema/bom/1.4\">{}{}</bom>",
            open.repeat(50),
            close.repeat(50)
        )
    };
    for (text, code) in [
        (doctype, "document-malformed"),
        (entity, "document-malformed"),
        (deep, "document-too-many-values"),
        (nested, "document-too-many-values"),
        (hidden, "document-version-unknown"),
        (XML.replacen("cyclonedx.org", "example.org", 1), "document-unknown"),
        ("<html></html>".to_owned(), "document-unknown"),
        ("<bom".to_owned(), "document-malformed"),
        (XML.replacen("</bom>", "", 1), "document-malformed"),
    ] {
        let error = read(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    let foreign = XML.replacen("<name>in", "<name xmlns=\"urn:x\">evil</name><name>in", 1);
    assert_eq!(
        read(foreign.as_bytes()).unwrap().bill.packages[1].name,
        "inner",
        "not another namespace's"
    );
}

fn syft() -> Value {
    let layer = |digit: &str| format!("sha256:{}", digit.repeat(64));
    json!({
        "artifacts": [
            { "id": "1", "name": "libcurl4", "version": "7.88.1-10", "type": "deb", "purl": "pkg:deb/debian/libcurl4@7.88.1-10?distro=debian-12",
              "locations": [{ "path": "/var/lib/dpkg/status", "layerID": layer("a") }],
              "licenses": [{ "value": "curl", "spdxExpression": "curl", "type": "declared" }, "ISC"],
              "cpes": [{ "cpe": "cpe:2.3:a:haxx:curl:7.88.1:*:*:*:*:*:*:*", "source": "x" }],
              "metadata": { "source": "curl", "sourceVersion": "7.88.1-9", "maintainer": "Ann", "files": [] } },
            { "id": "2", "name": "pip", "version": "UNKNOWN", "type": "python", "purl": "", "metadata": { "source": { "a": 1 }, "homepage": 5 } },
            { "id": "3", "name": "serde", "version": "1.0.0", "type": "rust-crate", "purl": "pkg:cargo/serde@1.0.0", "metadata": { "source": "crates.io" } },
        ],
        "artifactRelationships": [
            { "parent": "1", "child": "2", "type": "ownership-by-file-overlap" },
            { "parent": "1", "child": "3", "type": "dependency-of" },
            { "parent": "9", "child": "f", "type": "contains" },
        ],
        "source": { "name": "app", "version": layer("c"), "type": "image", "metadata": { "userInput": "app", "manifestDigest": layer("b") } },
        "distro": { "id": "debian", "versionID": "12", "prettyName": "Debian GNU/Linux 12 (bookworm)", "versionCodename": "bookworm" },
        "descriptor": { "name": "syft", "version": "1.18.1" },
        "schema": { "version": "16.0.18" },
    })
}

#[test]
fn syft_json_is_read() {
    let document = read(syft().to_string().as_bytes()).unwrap();
    assert_eq!(document.origin.to_string(), "Syft 16.0.18 JSON");
    assert_eq!(codes(&document), ["purl-missing"]);
    assert_eq!(document.subject.digest.unwrap().hex(), "b".repeat(64));
    let bill = &document.bill;
    assert_eq!(
        bill.distribution.as_ref().unwrap().codename.as_deref(),
        Some("bookworm")
    );
    let find = |name: &str| bill.packages.iter().find(|p| p.name == name).unwrap();
    let source = find("libcurl4").source.clone().unwrap();
    assert_eq!(
        (source.name.as_str(), source.version.as_deref()),
        ("curl", Some("7.88.1-9"))
    );
    assert_eq!(find("libcurl4").licences.len(), 2);
    assert_eq!(find("pip").kind, PackageKind::Pypi, "by Syft's word for it");
    assert_eq!(
        (find("pip").version.as_deref(), find("pip").uncertain),
        (None, Some(crate::Uncertainty::NoVersion))
    );
    assert_eq!(find("pip").owned_by.as_ref(), Some(&find("libcurl4").id));
    assert_eq!(find("serde").source, None, "a registry is no source package");
    assert_eq!(bill.relationships[0].from, find("serde").id);
    assert_eq!(document.details[&find("libcurl4").id].cpes.len(), 1);
}

#[test]
fn other_syft_documents_are_refused() {
    let mut document = syft();
    for version in ["99.0.0", "1.0", "", "x"] {
        document["schema"]["version"] = json!(version);
        assert_eq!(
            read(document.to_string().as_bytes()).unwrap_err().code(),
            "document-version-unknown"
        );
    }
    document["schema"] = json!(1);
    assert_eq!(
        read(document.to_string().as_bytes()).unwrap_err().code(),
        "document-malformed"
    );
}
