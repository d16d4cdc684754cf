use super::*;

fn digest() -> Digest {
    Digest::parse("sha256:0584b54fd9b4b8409c9a6f178ea19dafa4dbc9aec8f075c0c90af0e3feed33ee").unwrap()
}

#[test]
fn tags_are_cosigns() {
    let base = "sha256-0584b54fd9b4b8409c9a6f178ea19dafa4dbc9aec8f075c0c90af0e3feed33ee";
    assert_eq!(fallback_tag(&digest()).as_str(), base);
    assert_eq!(sig_tag(&digest()).as_str(), format!("{base}.sig"));
    assert_eq!(att_tag(&digest()).as_str(), format!("{base}.att"));
    assert_eq!(sbom_tag(&digest()).as_str(), format!("{base}.sbom"));
    let long = Digest::of(proofmark_types::DigestAlgorithm::Sha512, b"");
    assert_eq!(fallback_tag(&long).as_str().len(), "sha512-".len() + 64);
}

#[test]
fn bundle_types_are_known_by_their_prefix() {
    for (text, expected) in [
        ("application/vnd.dev.sigstore.bundle.v0.3+json", true),
        ("application/vnd.dev.sigstore.bundle+json;version=0.1", true),
        ("application/vnd.dev.sigstore.bundle.v9+json", true),
        ("application/vnd.oci.empty.v1+json", false),
    ] {
        assert_eq!(
            is_bundle_media_type(&MediaType::parse(text).unwrap()),
            expected,
            "{text}"
        );
    }
}

#[test]
fn the_manifest_decides_what_is_evidence_not_the_listing() {
    let subject = Descriptor::of(MediaType::of_constant(media_types::OCI_MANIFEST), b"image");
    let mut manifest = bundle_referrer(&subject, b"{}", None, UnixTime::EPOCH);
    assert_eq!(manifest.annotations[CONTENT_ANNOTATION], "message-signature");
    assert!(is_evidence(&manifest));
    manifest.artifact_type = None;
    assert!(is_evidence(&manifest), "the layer is enough");
    manifest.layers.clear();
    assert!(!is_evidence(&manifest));
}

#[test]
fn a_list_is_believed_about_the_order_alone() {
    let listed = |artifact_type: Option<&str>, annotation: Option<&str>| {
        let mut listed = Descriptor::of(MediaType::of_constant(media_types::OCI_MANIFEST), b"referrer");
        listed.artifact_type = artifact_type.map(|text| MediaType::parse(text).unwrap());
        listed
            .annotations
            .extend(annotation.map(|name| (name.to_owned(), String::new())));
        Promise::of(&listed)
    };
    for evidence in [
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        COSIGN_SIGNATURE_ARTIFACT,
        IN_TOTO_ARTIFACT,
        SIMPLE_SIGNING,
        DSSE_ENVELOPE,
    ] {
        assert_eq!(listed(Some(evidence), None), Promise::Evidence, "{evidence}");
    }
    for anything in [None, Some(media_types::OCI_EMPTY), Some(media_types::OCI_CONFIG)] {
        assert_eq!(listed(anything, None), Promise::Unknown, "{anything:?}");
        assert_eq!(
            listed(anything, Some("org.example/note")),
            Promise::Unknown,
            "{anything:?}"
        );
        assert_eq!(listed(anything, Some(CONTENT_ANNOTATION)), Promise::Evidence);
    }
    let other = Some("application/vnd.example.note.v1");
    assert_eq!(listed(other, None), Promise::SomethingElse);
    assert_eq!(listed(other, Some(PREDICATE_TYPE_ANNOTATION)), Promise::Evidence);
    assert!(Promise::Evidence < Promise::Unknown && Promise::Unknown < Promise::SomethingElse);
}
