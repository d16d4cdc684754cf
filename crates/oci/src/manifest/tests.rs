//! Manifests as registries hold them, and what must be refused with which name.

use super::*;

const SHA: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn descriptor(media_type: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","size":2,"digest":"{SHA}"}}"#)
}

fn image(more: &str) -> String {
    let config = descriptor(media_types::OCI_CONFIG);
    let layer = descriptor(media_types::OCI_LAYER_GZIP);
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]{more}}}"#)
}

fn declared(text: &str) -> MediaType {
    MediaType::parse(text).unwrap()
}

fn parse(json: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(None, json.as_bytes())
}

fn code(json: &str) -> &'static str {
    parse(json).map_or_else(|error| error.code(), |_| "accepted")
}

#[test]
fn a_bundle_referrer_is_written_as_cosign_writes_it() {
    // The shape that cosign 3.1.1 pushes, but for the config's artifactType.
    let text = format!(
        concat!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
            r#""config":{{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"{sha}","#,
            r#""artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json"}},"#,
            r#""layers":[{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","size":675,"digest":"{sha}"}}],"#,
            r#""annotations":{{"dev.sigstore.bundle.content":"dsse-envelope"}},"#,
            r#""subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":423,"digest":"{sha}"}},"#,
            r#""artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json"}}"#
        ),
        sha = SHA
    );
    let Manifest::Image(manifest) = parse(&text).unwrap() else {
        panic!("an image manifest");
    };
    assert_eq!(manifest.subject.as_ref().unwrap().size, 423);
    assert!(!manifest.is_runnable());
    assert_eq!(String::from_utf8(manifest.to_json()).unwrap(), text);
}

#[test]
fn an_index_keeps_platforms_and_annotations() {
    let text = format!(
        concat!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":["#,
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7,"digest":"{sha}","#,
            r#""annotations":{{"a":"b"}},"platform":{{"architecture":"arm64","os":"linux","variant":"v8"}}}}]}}"#
        ),
        sha = SHA
    );
    let Manifest::Index(index) = parse(&text).unwrap() else {
        panic!("an index");
    };
    assert_eq!(
        index.manifests[0].platform.as_ref().unwrap().to_string(),
        "linux/arm64/v8"
    );
    assert_eq!(String::from_utf8(index.to_json()).unwrap(), text);
    let empty = Manifest::parse(Some(&Index::empty().media_type), &Index::empty().to_json()).unwrap();
    assert_eq!(empty, Manifest::Index(Index::empty()));
}

#[test]
fn docker_manifests_are_read() {
    let text = image(&format!(r#","mediaType":"{}""#, media_types::DOCKER_MANIFEST));
    let manifest = Manifest::parse(Some(&declared(media_types::DOCKER_MANIFEST)), text.as_bytes()).unwrap();
    assert_eq!(*manifest.media_type(), media_types::DOCKER_MANIFEST);
}

#[test]
fn without_a_type_inside_the_one_outside_or_the_content_decides() {
    let text = image("");
    assert_eq!(*parse(&text).unwrap().media_type(), media_types::OCI_MANIFEST);
    let outside = declared("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8");
    let manifest = Manifest::parse(Some(&outside), text.as_bytes()).unwrap();
    assert_eq!(*manifest.media_type(), media_types::DOCKER_MANIFEST);
}

#[test]
fn manifests_that_are_two_things_at_once() {
    // CVE-2021-41190.
    let both = image(r#","manifests":[]"#);
    assert_eq!(code(&both), "manifest-ambiguous");
    for kind in [media_types::OCI_MANIFEST, media_types::OCI_INDEX] {
        let error = Manifest::parse(Some(&declared(kind)), both.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "manifest-ambiguous", "{kind}");
    }
    let says_index = image(&format!(r#","mediaType":"{}""#, media_types::OCI_INDEX));
    assert_eq!(code(&says_index), "manifest-media-type-mismatch");
    let says_manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
        media_types::OCI_MANIFEST
    );
    assert_eq!(code(&says_manifest), "manifest-media-type-mismatch");
    let embedded = image(&format!(r#","mediaType":"{}""#, media_types::OCI_MANIFEST));
    let error = Manifest::parse(Some(&declared(media_types::DOCKER_MANIFEST)), embedded.as_bytes()).unwrap_err();
    assert_eq!(error.code(), "manifest-media-type-mismatch");
}

#[test]
fn keys_that_two_readers_understand_differently() {
    for more in [
        r#","layers":[]"#,
        r#","Layers":[]"#,
        r#","CONFIG":{}"#,
        r#","mediatype":"application/vnd.oci.image.index.v1+json""#,
        r#","annotations":{"a":"1","a":"2"}"#,
        r#","unknown":{"deep":[{"x":1,"x":2}]}"#,
    ] {
        assert_eq!(code(&image(more)), "manifest-ambiguous-key", "{more}");
    }
    let inner = image("").replace(r#""size":2"#, r#""size":2,"Digest":"sha256:00""#);
    assert_eq!(code(&inner), "manifest-ambiguous-key");
    assert_eq!(code(&image(r#","unknown":{"a":1,"A":2}"#)), "accepted");
}

#[test]
fn malformed_manifests() {
    let good = image("");
    for (bad, expected) in [
        (String::new(), "manifest-malformed"),
        ("[]".to_owned(), "manifest-malformed"),
        (format!("{good} x"), "manifest-malformed"),
        (good.replace('}', ""), "manifest-malformed"),
        ("[".repeat(100_000), "manifest-malformed"),
        (
            good.replace(r#""schemaVersion":2"#, r#""schemaVersion":1"#),
            "manifest-schema-version",
        ),
        (good.replace(r#""schemaVersion":2,"#, ""), "manifest-schema-version"),
        (
            good.replace(r#""schemaVersion":2"#, r#""schemaVersion":"2""#),
            "manifest-schema-version",
        ),
        (r#"{"schemaVersion":2}"#.to_owned(), "manifest-empty"),
        (
            image(r#","mediaType":"application/json""#),
            "manifest-unknown-media-type",
        ),
        (image(r#","mediaType":"nonsense""#), "manifest-media-type-malformed"),
        (image(r#","annotations":{"a":1}"#), "manifest-malformed"),
        (image(r#","subject":{}"#), "manifest-malformed"),
        (good.replace(SHA, "sha256:zz"), "manifest-digest-malformed"),
        (good.replace(SHA, &SHA.to_uppercase()), "manifest-digest-malformed"),
        (good.replace(r#""size":2"#, r#""size":-2"#), "manifest-malformed"),
        (
            good.replace(r#""size":2"#, r#""size":9223372036854775808"#),
            "manifest-malformed",
        ),
        (good.replace(r#""size":2"#, r#""size":2.5"#), "manifest-malformed"),
    ] {
        assert_eq!(code(&bad), expected, "{}", bad.chars().take(200).collect::<String>());
    }
}

#[test]
fn more_than_the_limits() {
    let large = vec![b' '; usize::try_from(MAX_MANIFEST_BYTES).unwrap() + 1];
    assert_eq!(Manifest::parse(None, &large).unwrap_err().code(), "manifest-too-large");

    let layer = descriptor(media_types::OCI_LAYER);
    let layers = |count: usize| {
        let config = descriptor(media_types::OCI_CONFIG);
        format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#,
            vec![layer.clone(); count].join(",")
        )
    };
    assert_eq!(code(&layers(MAX_LAYERS)), "accepted");
    assert_eq!(code(&layers(MAX_LAYERS + 1)), "manifest-too-many");

    let annotations = |count: usize| {
        let pairs: Vec<String> = (0..count).map(|i| format!(r#""k{i}":"v""#)).collect();
        image(&format!(r#","annotations":{{{}}}"#, pairs.join(",")))
    };
    assert_eq!(code(&annotations(MAX_ANNOTATIONS)), "accepted");
    assert_eq!(code(&annotations(MAX_ANNOTATIONS + 1)), "manifest-too-many");
}

#[test]
fn ten_thousand_referrers_fit_an_index() {
    let index = Index::of(vec![Descriptor::of(declared(media_types::OCI_MANIFEST), b"x"); 10_000]);
    let json = index.to_json();
    assert!(u64::try_from(json.len()).unwrap() < MAX_MANIFEST_BYTES);
    assert_eq!(Manifest::parse(None, &json).unwrap(), Manifest::Index(index));
}
