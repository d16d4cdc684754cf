//! Collecting evidence, and attaching it.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use proofmark_evidence::layout::{fallback_tag, sig_tag};
use proofmark_evidence::{ItemContent, Origin};
use proofmark_oci::{Descriptor, Index, Manifest};
use proofmark_registry::{Client, ImageSource, ReferrersSource};
use proofmark_testkit::layouts::LayoutServer;
use proofmark_testkit::manifest;
use proofmark_types::{Digest, ImageRef, Repository};

use crate::hostile::{Hostile, Reply};
use crate::world::{BUNDLE, OurRegistry, bundle, client, code, impatient, media_type, push, referrer, small_image};

async fn attach_bundle(client: &Client, repository: &Repository, subject: &Descriptor, number: usize) -> Digest {
    let (manifest, blobs) = referrer(subject, BUNDLE, bundle(number).as_bytes());
    client.attach(repository, subject, &manifest, &blobs).await.unwrap()
}

#[tokio::test]
async fn the_budget_of_requests_holds() {
    let registry = OurRegistry::start(true).await;
    let repository = registry.repository("team/app");
    let writer = client();
    let image = small_image("x");
    push(&writer, &repository, &image, Some("1.0")).await;
    for n in 0..=5_u64 {
        let reader = writer.with_fresh_counts();
        let tagged = ImageRef::parse(&format!("{repository}:1.0")).unwrap();
        let resolved = reader.resolve(&tagged).await.unwrap();
        let set = reader.evidence(&repository, &resolved.descriptor.digest).await.unwrap();
        assert_eq!(set.items.len() as u64, n);
        assert!(set.incomplete.is_empty());
        // 2 + 2n, and the two legacy tags.
        assert_eq!(reader.counts().total(), 2 + 2 * n + 2, "{n} bundles");
        assert_eq!(reader.counts().retries, 0);
        attach_bundle(&writer, &repository, &image.descriptor, usize::try_from(n).unwrap()).await;
    }
}

#[tokio::test]
async fn both_layouts_are_one_set_and_bad_neighbours_are_items() {
    let registry = OurRegistry::start(true).await;
    let repository = registry.repository("team/app");
    let client = client();
    let image = small_image("x");
    push(&client, &repository, &image, None).await;
    let subject = &image.descriptor;
    attach_bundle(&client, &repository, subject, 1).await;
    for (kind, content) in [
        (BUNDLE, "no bundle"),
        ("application/spdx+json", "a bare bill is no evidence"),
        ("application/vnd.dsse.envelope.v1+json", "no envelope"),
    ] {
        let (manifest, blobs) = referrer(subject, kind, content.as_bytes());
        client.attach(&repository, subject, &manifest, &blobs).await.unwrap();
    }
    let layer = Descriptor::of(media_type("application/vnd.dev.cosign.simplesigning.v1+json"), b"{}");
    client
        .append_legacy(
            &repository,
            &sig_tag(&subject.digest),
            &[(layer, Bytes::from_static(b"{}"))],
        )
        .await
        .unwrap();
    let set = client.evidence(&repository, &subject.digest).await.unwrap();
    assert!(set.incomplete.is_empty());
    let bundles = set
        .items
        .iter()
        .filter(|item| matches!(item.content, ItemContent::Bundle(_)));
    assert_eq!(bundles.count(), 1);
    let unreadable = |item: &&proofmark_evidence::Item| matches!(item.content, ItemContent::Unreadable { .. });
    assert_eq!(set.items.iter().filter(unreadable).count(), 3);
    assert!(
        set.items
            .iter()
            .any(|item| matches!(item.origin, Origin::SignatureTag { .. }))
    );
}

#[tokio::test]
async fn ten_thousand_referrers_are_bounded_work_and_a_gap() {
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let subject = small_image("x").descriptor;
    let digest = subject.digest.clone();
    let (good, blobs) = referrer(&subject, BUNDLE, bundle(1).as_bytes());
    let (good_bytes, good_blob) = (good.to_json(), blobs[1].clone());
    let mut listed = Descriptor::of(media_type(kind), &good_bytes);
    listed.artifact_type = Some(media_type(BUNDLE));
    let good_digest = listed.digest.to_string();
    let hostile = Hostile::start(move |seen| {
        if seen.path.contains("/referrers/") {
            let page: usize = seen.path.split("?page=").nth(1).map_or(0, |page| page.parse().unwrap());
            let mut manifests: Vec<Descriptor> = (0..1000)
                .map(|number| Descriptor::of(media_type(kind), format!("{page}-{number}").as_bytes()))
                .collect();
            if page == 3 {
                manifests.push(listed.clone());
            }
            let reply = Reply::index(Index::of(manifests).to_json());
            return match page {
                9 => reply,
                _ => reply.header("link", format!("<?page={}>; rel=\"next\"", page + 1)),
            };
        }
        if seen.path.ends_with(&good_digest) {
            return Reply::manifest(good_bytes.clone());
        }
        if seen.path.contains("/blobs/") {
            return Reply::new(200, good_blob.to_vec());
        }
        Reply::new(404, "")
    })
    .await;
    let client = client();
    let set = client.evidence(&hostile.repository(), &digest).await.unwrap();
    assert!(
        set.incomplete.iter().any(|gap| gap.code == "too-large"),
        "{:?}",
        set.incomplete
    );
    let good = set
        .items
        .iter()
        .filter(|item| matches!(item.content, ItemContent::Bundle(_)));
    assert_eq!(good.count(), 1, "what says it is a bundle is looked at first");
    assert!(client.counts().total() <= 512 + 2 + 10 + 2, "{:?}", client.counts());
}

#[tokio::test]
async fn a_throttled_list_is_a_gap_and_not_an_absence() {
    let digest = Digest::sha256_of(b"x");
    for (status, expected) in [(429, "throttled"), (500, "unexpected-status"), (403, "denied")] {
        let hostile = Hostile::start(move |seen| {
            if seen.path.contains("/referrers/") {
                Reply::new(status, "").header("retry-after", 1000)
            } else {
                Reply::new(404, "")
            }
        })
        .await;
        let set = client().evidence(&hostile.repository(), &digest).await.unwrap();
        assert!(set.items.is_empty());
        assert_eq!(set.incomplete.len(), 1);
        assert_eq!(set.incomplete[0].code, expected);
        assert!(!set.is_empty());
    }
    // Nothing at all could be asked: an error.
    let hostile = Hostile::start(|_| Reply::new(429, "").header("retry-after", 1000)).await;
    assert_eq!(
        code(client().evidence(&hostile.repository(), &digest).await),
        "throttled"
    );
    // Everything could be asked, and there is nothing.
    let hostile = Hostile::start(|_| Reply::new(404, "")).await;
    assert!(
        client()
            .evidence(&hostile.repository(), &digest)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_referrer_that_cannot_be_had_is_told_apart_from_one_that_lies() {
    let image = small_image("x");
    let subject = image.descriptor.clone();
    let referrers: Vec<Vec<u8>> = (0..4)
        .map(|number| referrer(&subject, BUNDLE, bundle(number).as_bytes()).0.to_json())
        .collect();
    let manifests: Vec<Descriptor> = referrers
        .iter()
        .map(|bytes| Descriptor::of(media_type("application/vnd.oci.image.manifest.v1+json"), bytes))
        .collect();
    let digests: Vec<String> = manifests.iter().map(|each| each.digest.to_string()).collect();
    let hostile = Hostile::start(move |seen| {
        let which = digests.iter().position(|digest| seen.path.ends_with(digest));
        match which {
            _ if seen.path.contains("/referrers/") => Reply::index(Index::of(manifests.clone()).to_json()),
            Some(0) => Reply::new(404, ""),
            Some(1) => Reply::manifest(referrers[2].clone()),
            Some(2) => Reply::never(),
            // The manifest is there, its bundle is throttled.
            Some(3) => Reply::manifest(referrers[3].clone()),
            _ if seen.path.contains("/blobs/") => Reply::new(429, "").header("retry-after", 1000),
            _ => Reply::new(404, ""),
        }
    })
    .await;
    let client = impatient().build().unwrap();
    let set = client.evidence(&hostile.repository(), &subject.digest).await.unwrap();
    let items: Vec<&str> = set
        .items
        .iter()
        .map(|item| match &item.content {
            ItemContent::Unreadable { code, .. } => *code,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(items, ["not-found", "digest-mismatch"]);
    let gaps: Vec<&str> = set.incomplete.iter().map(|gap| gap.code).collect();
    assert_eq!(gaps, ["timeout", "throttled"]);
}

#[tokio::test]
async fn evidence_can_be_kept_in_another_repository() {
    let registry = OurRegistry::start(true).await;
    let (images, kept) = (
        registry.repository("team/app"),
        registry.repository("security/evidence"),
    );
    let image = small_image("x");
    let plain = client();
    push(&plain, &images, &image, None).await;
    let client = Client::builder()
        .evidence_repository(Some(kept.clone()))
        .build()
        .unwrap();
    attach_bundle(&client, &images, &image.descriptor, 1).await;
    let digest = &image.descriptor.digest;
    assert_eq!(client.evidence(&images, digest).await.unwrap().items.len(), 1);
    assert!(plain.evidence(&images, digest).await.unwrap().is_empty());
    assert_eq!(plain.evidence(&kept, digest).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn attaching_to_another_subject_is_refused() {
    let (one, two) = (small_image("1").descriptor, small_image("2").descriptor);
    let (manifest, blobs) = referrer(&one, BUNDLE, b"{}");
    let hostile = Hostile::start(|_| Reply::new(500, "")).await;
    let attached = client().attach(&hostile.repository(), &two, &manifest, &blobs).await;
    assert_eq!(code(attached), "malformed");
    assert!(hostile.seen().is_empty());
}

/// sigstore/cosign 4641: the fallback index had the config's media type as artifact type and no annotations.
#[tokio::test]
async fn the_fallback_index_says_what_the_manifest_says() {
    let registry = OurRegistry::start(false).await;
    let repository = registry.repository("team/app");
    let client = client();
    let image = small_image("x");
    push(&client, &repository, &image, None).await;
    let digest = attach_bundle(&client, &repository, &image.descriptor, 1).await;
    let found = client.referrers(&repository, &image.descriptor.digest).await.unwrap();
    assert_eq!(
        found.source,
        ReferrersSource::FallbackTag(fallback_tag(&image.descriptor.digest))
    );
    let [listed] = found.descriptors.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(listed.digest, digest);
    assert_eq!(listed.artifact_type, Some(media_type(BUNDLE)));
    assert_eq!(
        listed.annotations.get("test.example/kind").map(String::as_str),
        Some(BUNDLE)
    );
    // Again: already listed, nothing is written.
    let again = client.with_fresh_counts();
    assert_eq!(attach_bundle(&again, &repository, &image.descriptor, 1).await, digest);
    assert_eq!(again.counts().pushed_manifests, 1);
    let set = client.evidence(&repository, &image.descriptor.digest).await.unwrap();
    assert_eq!(set.items.len(), 1);
}

/// sigstore/cosign 2432: of eight parallel writers two to six were listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_at_once_are_all_listed() {
    let registry = OurRegistry::start(false).await;
    let repository = registry.repository("team/app");
    let image = small_image("x");
    push(&client(), &repository, &image, None).await;
    eight_writers(&repository, &image.descriptor).await;
}

/// Eight clients that know nothing of each other, as eight processes do.
pub(crate) async fn eight_writers(repository: &Repository, subject: &Descriptor) {
    let clients: Vec<Client> = (0..8).map(|_| client()).collect();
    let writers = clients
        .iter()
        .enumerate()
        .map(|(number, client)| attach_bundle(client, repository, subject, number));
    let written: BTreeSet<Digest> = join_all(writers).await.into_iter().collect();
    assert_eq!(written.len(), 8);
    let found = client().referrers(repository, &subject.digest).await.unwrap();
    let listed: BTreeSet<Digest> = found.descriptors.into_iter().map(|each| each.digest).collect();
    assert_eq!(listed, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_legacy_writers_at_once_are_all_kept() {
    let registry = OurRegistry::start(false).await;
    let repository = registry.repository("team/app");
    let image = small_image("x");
    push(&client(), &repository, &image, None).await;
    let name = sig_tag(&image.descriptor.digest);
    let layers: Vec<(Descriptor, Bytes)> = (0..8)
        .map(|number| {
            let blob = Bytes::from(format!("{{\"n\":{number}}}"));
            (
                Descriptor::of(media_type("application/vnd.dev.cosign.simplesigning.v1+json"), &blob),
                blob,
            )
        })
        .collect();
    let shared = client();
    let clients: Vec<Client> = (0..8).map(|n| if n < 4 { shared.clone() } else { client() }).collect();
    let writers = clients
        .iter()
        .zip(&layers)
        .map(|(client, layer)| client.append_legacy(&repository, &name, std::slice::from_ref(layer)));
    for written in join_all(writers).await {
        written.unwrap();
    }
    let tagged = ImageRef::tagged(repository.clone(), name);
    let Manifest::Image(kept) = client().resolve(&tagged).await.unwrap().parse().unwrap() else {
        panic!("an image")
    };
    assert_eq!(kept.layers.len(), 8);
    client().blob(&repository, &kept.config, 10_000).await.unwrap();
    assert_eq!(
        client()
            .evidence(&repository, &image.descriptor.digest)
            .await
            .unwrap()
            .items
            .len(),
        8
    );
}

/// A registry with the API that does not say so, and is behind with its list.
#[tokio::test]
async fn a_list_that_is_behind_is_waited_for() {
    let image = small_image("x");
    let (manifest, blobs) = referrer(&image.descriptor, BUNDLE, b"{}");
    let listed = Descriptor::of(manifest.media_type.clone(), &manifest.to_json());
    for (behind, expected) in [(2, None), (u32::MAX, Some("referrer-not-listed"))] {
        let looks = AtomicU32::new(0);
        let listed = listed.clone();
        let hostile = Hostile::start(move |seen| match seen.method.as_str() {
            "HEAD" => Reply::new(200, ""),
            "PUT" => Reply::new(201, ""),
            _ if looks.fetch_add(1, Ordering::Relaxed) < behind => Reply::index(Index::of(Vec::new()).to_json()),
            _ => Reply::index(Index::of(vec![listed.clone()]).to_json()),
        })
        .await;
        let client = client();
        let attached = client
            .attach(&hostile.repository(), &image.descriptor, &manifest, &blobs)
            .await;
        assert_eq!(attached.err().map(|error| error.code()), expected);
        assert_eq!(
            client.counts().pushed_manifests,
            1,
            "no fallback tag that nobody would read"
        );
    }
}

/// A registry on which each write is undone: the list never settles, and that is said.
#[tokio::test]
async fn a_list_that_never_settles_is_an_error() {
    let hostile = Hostile::start(|seen| match seen.method.as_str() {
        "HEAD" => Reply::new(200, ""),
        "PUT" => Reply::new(201, ""),
        _ => Reply::new(404, ""),
    })
    .await;
    let image = small_image("x");
    let (manifest, blobs) = referrer(&image.descriptor, BUNDLE, b"{}");
    let client = client();
    let repository = hostile.repository();
    let attached = client.attach(&repository, &image.descriptor, &manifest, &blobs);
    let error = tokio::time::timeout(Duration::from_secs(60), attached)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.code(), "referrer-not-listed");
}

/// What the client finds in a registry is what the same layout holds as a folder, for all layouts made with cosign.
#[tokio::test]
async fn fixtures_read_alike_from_a_registry_and_from_their_folder() {
    let server = LayoutServer::fixtures().await;
    let client = client();
    let mut compared = BTreeSet::new();
    let mut items = 0;
    for case in manifest::cases() {
        let (Some(repo), Some(layout), Some(digest)) = (case.repo, case.layout, case.image_digest) else {
            continue;
        };
        if !compared.insert(repo.clone()) {
            continue;
        }
        let repository = Repository::parse(&format!("{}/{repo}", server.address())).unwrap();
        let remote = client.evidence(&repository, &digest).await.unwrap();
        let folder = manifest::fixture(&layout);
        let local = match ImageSource::open(&folder, Some(&digest.to_string())) {
            Ok(source) => source.evidence(&digest).await.unwrap(),
            Err(error) => panic!("{layout}: {error}"),
        };
        let origins = |set: &proofmark_evidence::EvidenceSet| -> BTreeSet<(Origin, bool)> {
            let readable = |content: &ItemContent| !matches!(content, ItemContent::Unreadable { .. });
            set.items
                .iter()
                .map(|item| (item.origin.clone(), readable(&item.content)))
                .collect()
        };
        assert!(remote.incomplete.is_empty(), "{repo}: {:?}", remote.incomplete);
        assert_eq!(origins(&remote), origins(&local), "{repo}");
        items += remote.items.len();
    }
    assert!(
        compared.len() > 60 && items > 60,
        "{} layouts, {items} items",
        compared.len()
    );
}
