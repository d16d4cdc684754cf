//! The manifests that hang on an image: every layout found, copied, saved and removed, and what bounds the work.

use std::time::Duration;

use bytes::Bytes;
use proofmark_evidence::layout::{att_tag, fallback_tag, sbom_tag, sig_tag};
use proofmark_evidence::{ItemContent, Origin};
use proofmark_oci::{Descriptor, ImageManifest, Index, media_types};
use proofmark_registry::{Brought, Client, ImageSource, LayoutImage, LayoutWriter, Place};
use proofmark_types::{Digest, ImageRef, Repository};

use crate::hostile::{Hostile, Reply};
use crate::world::{BUNDLE, OurRegistry, SmallImage, bundle, client, code, media_type, push, referrer, small_image};

const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const ENVELOPE: &str =
    r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="}]}"#;

fn signature_layer() -> (Descriptor, Bytes) {
    let payload = Bytes::from_static(b"{}");
    let mut layer = Descriptor::of(media_type(SIMPLE), &payload);
    layer
        .annotations
        .insert("dev.cosignproject.cosign/signature".to_owned(), "AA==".to_owned());
    (layer, payload)
}

async fn attach(client: &Client, repository: &Repository, subject: &Descriptor, number: usize) -> Descriptor {
    let (manifest, blobs) = referrer(subject, BUNDLE, bundle(number).as_bytes());
    client.attach(repository, subject, &manifest, &blobs).await.unwrap();
    Descriptor::of(manifest.media_type.clone(), &manifest.to_json())
}

/// An image with a bundle, a bundle on that bundle, a `.sig`, an `.att` and a bill.
async fn decorated(client: &Client, repository: &Repository) -> SmallImage {
    let image = small_image("decorated");
    push(client, repository, &image, Some("1.0")).await;
    let subject = &image.descriptor;
    let first = attach(client, repository, subject, 1).await;
    attach(client, repository, &first, 2).await;
    let digest = &subject.digest;
    client
        .append_legacy(repository, &sig_tag(digest), &[signature_layer()])
        .await
        .unwrap();
    let envelope = Bytes::from_static(ENVELOPE.as_bytes());
    let layer = Descriptor::of(media_type(DSSE), &envelope);
    client
        .append_legacy(repository, &att_tag(digest), &[(layer, envelope)])
        .await
        .unwrap();
    let bill = Bytes::from_static(b"{}");
    let layer = Descriptor::of(media_type("text/spdx+json"), &bill);
    client
        .append_legacy(repository, &sbom_tag(digest), &[(layer, bill)])
        .await
        .unwrap();
    image
}

fn places(attachments: &proofmark_registry::Attachments) -> Vec<Place> {
    let mut places: Vec<Place> = attachments.found.iter().map(|each| each.place).collect();
    places.sort();
    places
}

const ALL: [Place; 5] = [
    Place::Referrer,
    Place::Referrer,
    Place::Signatures,
    Place::Attestations,
    Place::Bill,
];

#[tokio::test]
async fn everything_is_found_copied_and_removed() {
    let registry = OurRegistry::start(true).await;
    let without_api = OurRegistry::start(false).await;
    let client = client();
    let from = registry.repository("team/app");
    let image = decorated(&client, &from).await;
    let digest = &image.descriptor.digest;
    let found = client.attachments(&from, digest).await.unwrap();
    assert_eq!(places(&found), ALL);
    assert!(found.incomplete.is_empty());
    let source = ImageSource::registry(&client, &ImageRef::pinned(from.clone(), digest.clone()));
    for to in [registry.repository("other/app"), without_api.repository("team/app")] {
        client.copy_image(&source, &to, None).await.unwrap();
        for round in [Brought::Copied, Brought::Present] {
            for attachment in &found.found {
                let brought = client.bring(&source, attachment, &to, false).await.unwrap();
                assert_eq!(brought, round, "{:?} in {to}", attachment.place);
            }
        }
        let copied = client.attachments(&to, digest).await.unwrap();
        assert_eq!(places(&copied), ALL);
        assert_eq!(
            client.evidence(&to, digest).await.unwrap().items.len(),
            client.evidence(&from, digest).await.unwrap().items.len()
        );
        for attachment in copied.found.iter().rev() {
            assert!(client.remove(&to, attachment).await.unwrap());
            assert!(!client.remove(&to, attachment).await.unwrap(), "it is gone");
        }
        let left = client.attachments(&to, digest).await.unwrap();
        assert!(left.found.is_empty() && left.incomplete.is_empty());
        let empty = ImageRef::tagged(to.clone(), fallback_tag(digest));
        assert_eq!(
            code(client.head(&empty).await),
            "not-found",
            "no empty list stays behind"
        );
    }
}

#[tokio::test]
async fn another_bill_is_replaced_only_by_force() {
    let registry = OurRegistry::start(true).await;
    let client = client();
    let (from, to) = (registry.repository("a"), registry.repository("b"));
    let image = decorated(&client, &from).await;
    let digest = &image.descriptor.digest;
    push(&client, &to, &image, None).await;
    let other = Bytes::from_static(b"another");
    let layer = Descriptor::of(media_type("text/spdx"), &other);
    let tag = sbom_tag(digest);
    client.append_legacy(&to, &tag, &[(layer, other)]).await.unwrap();
    let source = ImageSource::registry(&client, &ImageRef::pinned(from.clone(), digest.clone()));
    let found = client.attachments(&from, digest).await.unwrap();
    let bill = found.found.iter().find(|each| each.place == Place::Bill).unwrap();
    let kept = client.bring(&source, bill, &to, false).await.unwrap();
    assert_eq!(kept, Brought::Kept { tag });
    assert_eq!(client.bring(&source, bill, &to, true).await.unwrap(), Brought::Copied);
    assert_eq!(client.bring(&source, bill, &to, false).await.unwrap(), Brought::Present);
}

#[tokio::test]
async fn a_folder_keeps_all_and_refetches_nothing() {
    let registry = OurRegistry::start(true).await;
    let client = client();
    let from = registry.repository("team/app");
    let image = decorated(&client, &from).await;
    let digest = &image.descriptor.digest;
    let folder = tempfile::tempdir().unwrap();
    let mut requests = Vec::new();
    for _ in 0..2 {
        let counted = client.with_fresh_counts();
        let source = ImageSource::registry(&counted, &ImageRef::pinned(from.clone(), digest.clone()));
        let found = source.attachments(digest).await.unwrap();
        let mut writer = LayoutWriter::create(folder.path()).unwrap();
        writer.image(&source, Some("app:1.0")).await.unwrap();
        for attachment in &found.found {
            writer.attachment(&source, attachment).await.unwrap();
        }
        writer.finish().unwrap();
        requests.push(counted.counts().blobs);
    }
    assert!(requests[0] > 0);
    assert_eq!(requests[1], 0, "what is there is not fetched again");
    let layout = LayoutImage::open(folder.path(), None).unwrap();
    assert_eq!(layout.descriptor().digest, *digest);
    assert_eq!(places(&layout.attachments(digest)), ALL);
    let here = client.evidence(&from, digest).await.unwrap();
    let saved = layout.evidence(digest);
    assert!(saved.incomplete.is_empty());
    let sorted = |set: &proofmark_evidence::EvidenceSet| {
        let mut origins: Vec<Origin> = set.items.iter().map(|item| item.origin.clone()).collect();
        origins.sort();
        origins
    };
    assert_eq!(sorted(&saved), sorted(&here));

    // A referrer that index.json does not list, as cosign leaves it, is found by its subject.
    let index = folder.path().join("index.json");
    let mut listed: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    let entries = listed["manifests"].as_array_mut().unwrap();
    entries.retain(|entry| !entry["artifactType"].is_string());
    std::fs::write(&index, listed.to_string()).unwrap();
    let layout = LayoutImage::open(folder.path(), None).unwrap();
    assert_eq!(places(&layout.attachments(digest)), ALL);
    assert_eq!(sorted(&layout.evidence(digest)), sorted(&here));
    // And nothing else's referrer is.
    assert!(layout.evidence(&Digest::sha256_of(b"other")).items.is_empty());
}

/// Each of the shapes that a registry holds evidence in, among them those that nobody but cosign's library writes.
#[tokio::test]
async fn every_layout_is_read_into_one_set() {
    let registry = OurRegistry::start(true).await;
    let client = client();
    let repository = registry.repository("team/app");
    let image = small_image("x");
    push(&client, &repository, &image, None).await;
    let subject = &image.descriptor;
    let (signature, payload) = signature_layer();
    let envelope = Descriptor::of(media_type(DSSE), ENVELOPE.as_bytes());
    // (artifact type, config type, layer, blob)
    let kinds = [
        // cosign's experimental OCI 1.1 form, before and after it set the artifact type.
        (
            None,
            "application/vnd.dev.cosign.artifact.sig.v1+json",
            &signature,
            payload.clone(),
        ),
        (
            Some("application/vnd.dev.cosign.artifact.sig.v1+json"),
            "application/vnd.dev.cosign.artifact.sig.v1+json",
            &signature,
            payload,
        ),
        // WriteAttestationsReferrer.
        (
            Some("application/vnd.in-toto+json"),
            media_types::OCI_EMPTY,
            &envelope,
            Bytes::from_static(ENVELOPE.as_bytes()),
        ),
    ];
    for (artifact_type, config_type, layer, blob) in kinds {
        let config = Bytes::from_static(b"{}");
        let manifest = ImageManifest {
            media_type: media_type(media_types::OCI_MANIFEST),
            artifact_type: artifact_type.map(media_type),
            config: Descriptor::of(media_type(config_type), &config),
            layers: vec![layer.clone()],
            subject: Some(subject.clone()),
            annotations: Default::default(),
        };
        client
            .attach(&repository, subject, &manifest, &[config, blob])
            .await
            .unwrap();
    }
    attach(&client, &repository, subject, 1).await;
    let set = client.evidence(&repository, &subject.digest).await.unwrap();
    let count = |wanted: fn(&ItemContent) -> bool| set.items.iter().filter(|item| wanted(&item.content)).count();
    assert_eq!(count(|content| matches!(content, ItemContent::LegacySignature(_))), 2);
    assert_eq!(count(|content| matches!(content, ItemContent::LegacyAttestation(_))), 1);
    assert_eq!(count(|content| matches!(content, ItemContent::Bundle(_))), 1);
    assert_eq!(set.items.len(), 4);
}

/// A list may say what it likes: what is about another image is not taken along.
#[tokio::test]
async fn what_a_list_names_must_name_the_image() {
    let image = small_image("x");
    let (other, _) = referrer(&small_image("y").descriptor, BUNDLE, bundle(1).as_bytes());
    let bytes = other.to_json();
    let listed = Descriptor::of(other.media_type.clone(), &bytes);
    let digest = listed.digest.to_string();
    let hostile = Hostile::start(move |seen| match &seen.path {
        path if path.contains("/referrers/") => Reply::index(Index::of(vec![listed.clone()]).to_json()),
        path if path.ends_with(&digest) => Reply::manifest(bytes.clone()),
        _ => Reply::new(404, ""),
    })
    .await;
    let found = client()
        .attachments(&hostile.repository(), &image.descriptor.digest)
        .await
        .unwrap();
    assert!(found.found.is_empty() && found.incomplete.is_empty());
}

/// What could not be asked for is a gap, and is told apart from what is not there.
#[tokio::test]
async fn a_throttled_list_of_attachments_is_a_gap() {
    let digest = small_image("x").descriptor.digest;
    for (throttled, gaps) in [("/referrers/", 1), (".sig", 1), (".sbom", 1), ("/nothing/", 0)] {
        let hostile = Hostile::start(move |seen| match &seen.path {
            path if path.contains(throttled) => Reply::new(429, "").header("retry-after", 1000),
            _ => Reply::new(404, ""),
        })
        .await;
        let found = client().attachments(&hostile.repository(), &digest).await.unwrap();
        assert!(found.found.is_empty());
        assert_eq!(found.incomplete.len(), gaps, "{throttled}");
        assert!(found.incomplete.iter().all(|gap| gap.code == "throttled"));
    }
    let hostile = Hostile::start(|_| Reply::new(429, "").header("retry-after", 1000)).await;
    let nothing = client().attachments(&hostile.repository(), &digest).await;
    assert_eq!(code(nothing), "throttled", "nothing could be asked at all");
}

/// CVE-2023-46737: a registry lists signatures without end. Here each one leads to another.
#[tokio::test]
async fn cve_2023_46737_endless_referrers_end() {
    let root = small_image("x").descriptor;
    let hostile = Hostile::start(move |seen| {
        // Whatever is asked about has 100 referrers, which nobody has seen before.
        if let Some((_, subject)) = seen.path.split_once("/referrers/") {
            let manifests = (0..100).map(|number| chained(subject, number).1).collect();
            return Reply::index(Index::of(manifests).to_json());
        }
        // None of them is there.
        Reply::new(404, "")
    })
    .await;
    let client = client();
    let found = client.attachments(&hostile.repository(), &root.digest).await.unwrap();
    assert!(found.found.is_empty() && found.incomplete.is_empty());
    assert_eq!(found.missing.len(), 100);
    assert!(client.counts().total() <= 104, "{:?}", client.counts());
}

fn chained(subject: &str, number: u32) -> (Vec<u8>, Descriptor) {
    let subject = Descriptor {
        digest: Digest::parse(subject).unwrap(),
        ..small_image("x").descriptor
    };
    let (manifest, _) = referrer(&subject, BUNDLE, number.to_string().as_bytes());
    let bytes = manifest.to_json();
    let descriptor = Descriptor::of(manifest.media_type, &bytes);
    (bytes, descriptor)
}

/// CVE-2023-46737, the other way round: evidence about evidence without end.
#[tokio::test]
async fn cve_2023_46737_a_chain_of_evidence_ends() {
    let root = small_image("x").descriptor;
    let known = std::sync::Mutex::new(std::collections::BTreeMap::<String, Vec<u8>>::new());
    let hostile = Hostile::start(move |seen| {
        let mut known = known.lock().unwrap();
        if let Some((_, subject)) = seen.path.split_once("/referrers/") {
            let (bytes, descriptor) = chained(subject, 0);
            known.insert(descriptor.digest.to_string(), bytes);
            return Reply::index(Index::of(vec![descriptor]).to_json());
        }
        let digest = seen.path.rsplit('/').next().unwrap_or_default();
        known
            .get(digest)
            .map_or_else(|| Reply::new(404, ""), |bytes| Reply::manifest(bytes.clone()))
    })
    .await;
    let found = client().attachments(&hostile.repository(), &root.digest).await.unwrap();
    assert_eq!(found.found.len(), 4, "as deep as the limit, and no deeper");
    assert_eq!(found.incomplete.len(), 1);
    assert_eq!(found.incomplete[0].code, "too-large");
}

/// CVE-2024-29903: a manifest with more layers than anybody signs.
#[tokio::test]
async fn cve_2024_29903_layers_are_counted_before_they_are_read() {
    let subject = small_image("x").descriptor;
    let (layer, payload) = signature_layer();
    for (layers, readable) in [(300, true), (100_000, false)] {
        let manifest = ImageManifest {
            layers: vec![layer.clone(); layers],
            ..referrer(&subject, SIMPLE, b"{}").0
        };
        let bytes = manifest.to_json();
        let payload = payload.clone();
        let hostile = Hostile::start(move |seen| match &seen.path {
            path if path.ends_with(".sig") => Reply::manifest(bytes.clone()),
            path if path.contains("/blobs/") => Reply::new(200, payload.to_vec()),
            _ => Reply::new(404, ""),
        })
        .await;
        let client = client();
        let set = client.evidence(&hostile.repository(), &subject.digest).await.unwrap();
        if readable {
            assert_eq!(set.items.len(), 256);
            assert_eq!(
                set.incomplete[0].code, "too-large",
                "more may be there, so nothing is decided"
            );
        } else {
            // More than a manifest may have: it is not even parsed into layers.
            let unreadable = set
                .items
                .iter()
                .all(|item| matches!(item.content, ItemContent::Unreadable { .. }));
            assert!(unreadable && set.items.len() + set.incomplete.len() == 1, "{set:?}");
        }
        assert!(client.counts().blobs <= 256);
    }
}

/// CVE-2024-29902: an attachment that fills memory, by what it says, by what it is, and by never ending.
#[tokio::test]
async fn cve_2024_29902_no_attachment_is_larger_than_it_says() {
    let subject = small_image("x").descriptor;
    let (layer, _) = signature_layer();
    // Declared, what comes, the code, whether it is asked for at all.
    type Case = (u64, fn() -> Reply, &'static str, bool);
    let cases: [Case; 4] = [
        (1 << 40, || Reply::new(200, ""), "too-large", false),
        (33 * 1024 * 1024, || Reply::new(200, ""), "too-large", false),
        (2, || Reply::new(200, vec![0; 1 << 20]), "size-mismatch", true),
        (
            2,
            || Reply::stream(65_536, u64::MAX, Duration::ZERO),
            "size-mismatch",
            true,
        ),
    ];
    for (declared, answer, expected, asked) in cases {
        let mut layer = layer.clone();
        layer.size = declared;
        let manifest = ImageManifest {
            layers: vec![layer],
            ..referrer(&subject, SIMPLE, b"{}").0
        };
        let bytes = manifest.to_json();
        let hostile = Hostile::start(move |seen| match &seen.path {
            path if path.ends_with(".sig") => Reply::manifest(bytes.clone()),
            path if path.contains("/blobs/") => answer(),
            _ => Reply::new(404, ""),
        })
        .await;
        let client = client();
        let set = client.evidence(&hostile.repository(), &subject.digest).await.unwrap();
        assert_eq!(set.items.len(), 1);
        let ItemContent::Unreadable { code, .. } = &set.items[0].content else {
            panic!("{:?}", set.items[0]);
        };
        assert_eq!(*code, expected, "{declared}");
        assert_eq!(client.counts().blobs > 0, asked, "{declared}");
    }
}
