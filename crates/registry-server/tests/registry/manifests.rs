//! Manifests, tags and referrers.

use proofmark_types::{Digest, DigestAlgorithm};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{CONFIG, INDEX, LAYER, MANIFEST, World, descriptor, expect, files, header, refused};

const REPOSITORY: &str = "team/app";

fn at(reference: impl std::fmt::Display) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}")
}

#[tokio::test]
async fn a_manifest_is_read_back_byte_for_byte() {
    let world = World::start().await;
    // Spaces that no serializer would write.
    let compact = world.image_manifest(REPOSITORY, "layer", json!({})).await;
    let manifest = format!("  {}\n", String::from_utf8(compact).unwrap());
    let digest = Digest::sha256_of(manifest.as_bytes());
    let response = world.push(REPOSITORY, "1.0", MANIFEST, manifest.as_bytes()).await;
    let response = expect(response, StatusCode::CREATED).await;
    assert_eq!(header(&response, "location"), at(&digest));
    assert_eq!(header(&response, "docker-content-digest"), digest.to_string());
    assert_eq!(header(&response, "oci-subject"), "");
    for reference in ["1.0".to_owned(), digest.to_string()] {
        let response = expect(world.head(&at(&reference)).send().await.unwrap(), StatusCode::OK).await;
        assert_eq!(header(&response, "content-length"), manifest.len().to_string());
        let response = expect(world.get(&at(&reference)).send().await.unwrap(), StatusCode::OK).await;
        assert_eq!(header(&response, "content-type"), MANIFEST);
        assert_eq!(header(&response, "docker-content-digest"), digest.to_string());
        assert_eq!(response.text().await.unwrap(), manifest);
    }
    let sha512 = Digest::of(DigestAlgorithm::Sha512, manifest.as_bytes());
    let response = world
        .push(REPOSITORY, &sha512.to_string(), MANIFEST, manifest.as_bytes())
        .await;
    expect(response, StatusCode::CREATED).await;
    expect(world.get(&at(&sha512)).send().await.unwrap(), StatusCode::OK).await;
}

#[tokio::test]
async fn manifests_of_docker_and_indexes() {
    let world = World::start().await;
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let manifest = world
        .image_manifest(REPOSITORY, "layer", json!({"mediaType": docker}))
        .await;
    expect(
        world.push(REPOSITORY, "docker", docker, &manifest).await,
        StatusCode::CREATED,
    )
    .await;
    let child = descriptor(docker, &Digest::sha256_of(&manifest), manifest.len());
    for (tag, media_type) in [("list", list), ("index", INDEX)] {
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [child]}).to_string();
        expect(
            world.push(REPOSITORY, tag, media_type, index.as_bytes()).await,
            StatusCode::CREATED,
        )
        .await;
        let response = world.get(&at(tag)).send().await.unwrap();
        assert_eq!(header(&response, "content-type"), media_type);
    }
    let empty = json!({"schemaVersion": 2, "manifests": []}).to_string();
    expect(
        world.push(REPOSITORY, "empty", INDEX, empty.as_bytes()).await,
        StatusCode::CREATED,
    )
    .await;
}

/// What is wrong, the declared type, the manifest, and the code of the refusal.
type Bad = (&'static str, &'static str, String, &'static str);

fn bad_manifests(good: &[u8], present: &Digest, missing: &Digest) -> Vec<Bad> {
    let with = |change: Value| {
        let mut manifest: Value = serde_json::from_slice(good).unwrap();
        for (key, value) in change.as_object().unwrap() {
            manifest[key] = value.clone();
        }
        manifest.to_string()
    };
    let config = |descriptor: Value| with(json!({"config": descriptor}));
    let layer = |digest: &Digest, size: usize| with(json!({"layers": [descriptor(LAYER, digest, size)]}));
    let child = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(MANIFEST, missing, 7)]});
    let invalid = "MANIFEST_INVALID";
    let unknown = "MANIFEST_BLOB_UNKNOWN";
    vec![
        ("not JSON", MANIFEST, "{".to_owned(), invalid),
        ("no object", MANIFEST, "[]".to_owned(), invalid),
        ("nothing", MANIFEST, String::new(), invalid),
        ("schema 1", MANIFEST, with(json!({"schemaVersion": 1})), invalid),
        ("declared otherwise", INDEX, with(json!({})), invalid),
        (
            "of no known kind",
            "text/plain",
            with(json!({"mediaType": "text/plain"})),
            invalid,
        ),
        ("both kinds at once", MANIFEST, with(json!({"manifests": []})), invalid),
        (
            "a digest cut short",
            MANIFEST,
            config(json!({"mediaType": CONFIG, "digest": "sha256:12", "size": 2})),
            invalid,
        ),
        (
            "no size",
            MANIFEST,
            config(json!({"mediaType": CONFIG, "digest": missing.to_string()})),
            invalid,
        ),
        (
            "a key twice",
            MANIFEST,
            with(json!({})).replacen('{', r#"{"schemaVersion":2,"#, 1),
            invalid,
        ),
        ("no such layer", MANIFEST, layer(missing, 7), unknown),
        (
            "no such config",
            MANIFEST,
            config(descriptor(CONFIG, missing, 7)),
            unknown,
        ),
        ("a size that is not the layer's", MANIFEST, layer(present, 6), invalid),
        ("no such child", INDEX, child.to_string(), unknown),
    ]
}

#[tokio::test]
async fn each_bad_manifest_has_its_reason() {
    let world = World::start().await;
    let good = world.image_manifest(REPOSITORY, "layer", json!({})).await;
    let missing = Digest::sha256_of(b"missing");
    let before = files(world.folder.path());
    for (what, media_type, manifest, code) in bad_manifests(&good, &Digest::sha256_of(b"layer"), &missing) {
        let request = world.put(&at("1.0")).header("content-type", media_type).body(manifest);
        let message = refused(request, 400, code).await;
        println!("{what}: {message}");
    }
    let push = |reference: &str| {
        world
            .put(&at(reference))
            .header("content-type", MANIFEST)
            .body(good.clone())
    };
    refused(push(&missing.to_string()), 400, "DIGEST_INVALID").await;
    let untyped = world
        .put(&at("1.0"))
        .header("content-type", "no type")
        .body(good.clone());
    refused(untyped, 400, "MANIFEST_INVALID").await;
    refused(push(".x"), 400, "TAG_INVALID").await;
    refused(world.get(&at("sha256:12")), 400, "DIGEST_INVALID").await;
    refused(world.get("/v2/Team/manifests/1"), 400, "NAME_INVALID").await;
    refused(world.get(&at("1.0")), 404, "MANIFEST_UNKNOWN").await;
    refused(world.post(&at("1.0")), 405, "UNSUPPORTED").await;
    assert_eq!(files(world.folder.path()), before, "nothing of what was refused stays");
}

#[tokio::test]
async fn a_manifest_of_more_than_four_mebibytes_is_refused() {
    let world = World::start().await;
    let limit = 4 * 1024 * 1024;
    let announced = vec![b' '; limit + 1];
    let pieces: Vec<_> = vec![b' '; 100_000_000]
        .chunks(1 << 20)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    let streamed = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    for body in [announced.into(), streamed] {
        let request = world.put(&at("1.0")).header("content-type", MANIFEST).body(body);
        // The server answers before the body ends; the client sees the answer or the closed connection.
        if let Ok(response) = request.send().await {
            assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
    let request = world
        .put(&at("1.0"))
        .header("content-type", MANIFEST)
        .body(vec![b' '; limit]);
    refused(request, 400, "MANIFEST_INVALID").await;
    assert_eq!(files(world.folder.path()), ["lock"]);
}

#[tokio::test]
async fn a_layer_that_is_not_distributable_may_be_missing() {
    let world = World::start().await;
    let missing = Digest::sha256_of(b"missing");
    for media_type in [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        let layers = json!({"layers": [descriptor(media_type, &missing, 7)]});
        let manifest = world.image_manifest(REPOSITORY, "x", layers).await;
        expect(
            world.push(REPOSITORY, "1", MANIFEST, &manifest).await,
            StatusCode::CREATED,
        )
        .await;
    }
}

#[tokio::test]
async fn tags_move_are_listed_in_pages_and_go() {
    let world = World::start().await;
    refused(world.get("/v2/team/app/tags/list"), 404, "NAME_UNKNOWN").await;
    let first = world.image(REPOSITORY, "b", "first").await;
    for tag in ["a", "C", "1.0", "latest"] {
        world.image(REPOSITORY, tag, "first").await;
    }
    let second = world.image(REPOSITORY, "b", "second").await;
    let response = world.get(&at("b")).send().await.unwrap();
    assert_eq!(header(&response, "docker-content-digest"), second.to_string());
    expect(world.get(&at(&first)).send().await.unwrap(), StatusCode::OK).await;

    assert_eq!(world.tags(REPOSITORY).await, ["1.0", "C", "a", "b", "latest"]);
    let mut next = format!("/v2/{REPOSITORY}/tags/list?n=2");
    let mut seen: Vec<String> = Vec::new();
    while !next.is_empty() {
        let response = world.get(&next).send().await.unwrap();
        let link = header(&response, "link");
        let list: Value = response.json().await.unwrap();
        seen.extend(
            list["tags"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tag| tag.as_str().unwrap().to_owned()),
        );
        next = link.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
    }
    assert_eq!(seen, ["1.0", "C", "a", "b", "latest"]);
    let tags = async |query: &str| {
        let response = world
            .get(&format!("/v2/{REPOSITORY}/tags/list?{query}"))
            .send()
            .await
            .unwrap();
        response.json::<Value>().await.unwrap()["tags"].clone()
    };
    assert_eq!(tags("last=a").await, json!(["b", "latest"]));
    assert_eq!(tags("last=B").await, json!(["C", "a", "b", "latest"]));
    assert_eq!(tags("n=0").await, json!([]));
    refused(
        world.get("/v2/team/app/tags/list?n=x"),
        400,
        "PAGINATION_NUMBER_INVALID",
    )
    .await;
    refused(
        world.get("/v2/team/app/tags/list?n=-1"),
        400,
        "PAGINATION_NUMBER_INVALID",
    )
    .await;

    expect(world.delete(&at("latest")).send().await.unwrap(), StatusCode::ACCEPTED).await;
    refused(world.get(&at("latest")), 404, "MANIFEST_UNKNOWN").await;
    refused(world.delete(&at("latest")), 404, "MANIFEST_UNKNOWN").await;
    // With the manifest go its tags.
    expect(world.delete(&at(&first)).send().await.unwrap(), StatusCode::ACCEPTED).await;
    assert_eq!(world.tags(REPOSITORY).await, ["b"]);
    refused(world.get(&at(&first)), 404, "MANIFEST_UNKNOWN").await;
    refused(world.delete(&at(&first)), 404, "MANIFEST_UNKNOWN").await;
}

#[tokio::test]
async fn the_catalog_lists_repositories_that_hold_something() {
    let world = World::start().await;
    let catalog = async |query: &str| {
        let response = world.get(&format!("/v2/_catalog{query}")).send().await.unwrap();
        let link = header(&response, "link");
        (response.json::<Value>().await.unwrap()["repositories"].clone(), link)
    };
    assert_eq!(catalog("").await, (json!([]), String::new()));
    for repository in ["b", "a/x", "a-b", "a", "a/x/y"] {
        world.image(repository, "1", "content").await;
    }
    world.blob("only-a-blob", b"x").await;
    assert_eq!(catalog("").await.0, json!(["a", "a-b", "a/x", "a/x/y", "b"]));
    let (page, link) = catalog("?n=2&last=a").await;
    assert_eq!(page, json!(["a-b", "a/x"]));
    assert_eq!(link, "</v2/_catalog?n=2&last=a%2Fx>; rel=\"next\"");
}

#[tokio::test]
async fn referrers_are_listed_filtered_and_deleted() {
    let world = World::start().await;
    let subject = Digest::sha256_of(b"a subject that comes later, if at all");
    let list = async |query: &str| {
        let response = world
            .get(&format!("/v2/{REPOSITORY}/referrers/{subject}{query}"))
            .send()
            .await
            .unwrap();
        let response = expect(response, StatusCode::OK).await;
        assert_eq!(header(&response, "content-type"), INDEX);
        let applied = header(&response, "oci-filters-applied");
        (response.json::<Value>().await.unwrap()["manifests"].clone(), applied)
    };
    assert_eq!(list("").await, (json!([]), String::new()));
    let named = descriptor(MANIFEST, &subject, 7);
    let artifact = json!({"subject": named, "artifactType": "application/a+json", "annotations": {"k": "v"}});
    let artifact = world.image_manifest(REPOSITORY, "1", artifact).await;
    let image = world.image_manifest(REPOSITORY, "2", json!({"subject": named})).await;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": named}).to_string();
    for (media_type, manifest) in [(MANIFEST, &artifact), (MANIFEST, &image), (INDEX, &index.into_bytes())] {
        let digest = Digest::sha256_of(manifest);
        let response = world.push(REPOSITORY, &digest.to_string(), media_type, manifest).await;
        let response = expect(response, StatusCode::CREATED).await;
        assert_eq!(header(&response, "oci-subject"), subject.to_string());
    }
    let (all, applied) = list("").await;
    assert_eq!((all.as_array().unwrap().len(), applied.as_str()), (3, ""));
    let (some, applied) = list("?artifactType=application/a%2Bjson").await;
    let expected = json!([{
        "mediaType": MANIFEST, "digest": Digest::sha256_of(&artifact).to_string(), "size": artifact.len(),
        "artifactType": "application/a+json", "annotations": {"k": "v"},
    }]);
    assert_eq!((some, applied.as_str()), (expected.clone(), "artifactType"));
    assert_eq!(list("?artifactType=application/a+json").await.0, expected);
    // Without an artifact type of its own, a manifest is listed by its config's.
    let (some, _) = list(&format!("?artifactType={CONFIG}")).await;
    assert_eq!(some[0]["digest"], Digest::sha256_of(&image).to_string());
    assert_eq!(
        list("?artifactType=application/none").await,
        (json!([]), "artifactType".to_owned())
    );

    let path = at(Digest::sha256_of(&artifact));
    expect(world.delete(&path).send().await.unwrap(), StatusCode::ACCEPTED).await;
    assert_eq!(list("").await.0.as_array().unwrap().len(), 2);
    refused(world.get("/v2/team/app/referrers/sha256:1"), 400, "DIGEST_INVALID").await;
    refused(
        world.get(&format!("/v2/team/app/referrers/{subject}?artifactType=x")),
        400,
        "UNSUPPORTED",
    )
    .await;
}

#[tokio::test]
async fn many_referrers_come_in_pages_of_four_mebibytes() {
    let world = World::start().await;
    let subject = descriptor(MANIFEST, &Digest::sha256_of(b"subject"), 7);
    let long = "x".repeat(1_500_000);
    for number in 0..5 {
        let more = json!({"subject": subject, "annotations": {"number": number.to_string(), "long": long}});
        let manifest = world.image_manifest(REPOSITORY, "1", more).await;
        let digest = Digest::sha256_of(&manifest).to_string();
        expect(
            world.push(REPOSITORY, &digest, MANIFEST, &manifest).await,
            StatusCode::CREATED,
        )
        .await;
    }
    let mut next = format!(
        "/v2/{REPOSITORY}/referrers/{}?artifactType={CONFIG}",
        Digest::sha256_of(b"subject")
    );
    let mut digests = Vec::new();
    while !next.is_empty() {
        let response = expect(world.get(&next).send().await.unwrap(), StatusCode::OK).await;
        next = header(&response, "link")
            .split(['<', '>'])
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let body = response.bytes().await.unwrap();
        assert!(body.len() <= 4 * 1024 * 1024);
        let page: Value = serde_json::from_slice(&body).unwrap();
        digests.extend(
            page["manifests"]
                .as_array()
                .unwrap()
                .iter()
                .map(|m| m["digest"].to_string()),
        );
    }
    digests.dedup();
    assert_eq!(digests.len(), 5);
}

#[tokio::test]
async fn without_the_referrers_api_it_acts_like_older_registries() {
    let world = World::with(|config| config.referrers_api = false).await;
    let subject = Digest::sha256_of(b"subject");
    let more = json!({"subject": descriptor(MANIFEST, &subject, 7)});
    let manifest = world.image_manifest(REPOSITORY, "1", more).await;
    let response = world.push(REPOSITORY, "x", MANIFEST, &manifest).await;
    assert_eq!(header(&expect(response, StatusCode::CREATED).await, "oci-subject"), "");
    refused(
        world.get(&format!("/v2/{REPOSITORY}/referrers/{subject}")),
        404,
        "UNSUPPORTED",
    )
    .await;
    // What was pushed meanwhile is listed when the API is there again.
    let world = world.restart().await;
    let response = world
        .get(&format!("/v2/{REPOSITORY}/referrers/{subject}"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.json::<Value>().await.unwrap()["manifests"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn an_immutable_tag_keeps_its_first_digest() {
    let world = World::with(|config| config.immutable_tags = vec![r"v\d+".to_owned(), "sha256-.*".to_owned()]).await;
    let first = world.image(REPOSITORY, "v1", "first").await;
    world.image(REPOSITORY, "v1", "first").await;
    let second = world.image_manifest(REPOSITORY, "second", json!({})).await;
    let push = |tag: &str| {
        world
            .put(&at(tag))
            .header("content-type", MANIFEST)
            .body(second.clone())
    };
    let message = refused(push("v1"), 409, "DENIED").await;
    assert_eq!(
        message,
        format!("the tag v1 is immutable here and already names {first}; push under a new tag")
    );
    refused(world.delete(&at("v1")), 409, "DENIED").await;
    refused(world.delete(&at(&first)), 409, "DENIED").await;
    let response = world.get(&at("v1")).send().await.unwrap();
    assert_eq!(header(&response, "docker-content-digest"), first.to_string());
    // Patterns are over the whole tag, and lists of evidence go on growing.
    for tag in ["v1-rc", "xv1", &first.tag_form(), &format!("{}.sig", first.tag_form())] {
        world.image(REPOSITORY, tag, "first").await;
        expect(push(tag).send().await.unwrap(), StatusCode::CREATED).await;
        expect(world.delete(&at(tag)).send().await.unwrap(), StatusCode::ACCEPTED).await;
    }
    // A tag that only looks like evidence is not.
    world.image(REPOSITORY, "sha256-abc", "first").await;
    refused(push("sha256-abc"), 409, "DENIED").await;
}

/// An immutable tag whose layers anyone may delete keeps its digest and nothing else.
#[tokio::test]
async fn an_immutable_tag_keeps_all_that_its_image_consists_of() {
    let world = World::with(|config| config.immutable_tags = vec![r"v\d+".to_owned()]).await;
    let image = world.image(REPOSITORY, "free", "held").await;
    let other = world.image(REPOSITORY, "other", "not held").await;
    let size = world
        .get(&at("free"))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .len();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": image, "size": size}
    ]});
    let index = serde_json::to_vec(&index).unwrap();
    expect(world.push(REPOSITORY, "v1", INDEX, &index).await, StatusCode::CREATED).await;
    let blob = |content: &str| format!("/v2/{REPOSITORY}/blobs/{}", Digest::sha256_of(content.as_bytes()));
    let message = refused(world.delete(&blob("held")), 409, "DENIED").await;
    assert!(message.contains("belongs to the image of the tag v1"), "{message}");
    refused(world.delete(&at(&image)), 409, "DENIED").await;
    // Names beside the image's own are free, and so is what other images consist of.
    expect(world.delete(&at("free")).send().await.unwrap(), StatusCode::ACCEPTED).await;
    expect(
        world.delete(&blob("not held")).send().await.unwrap(),
        StatusCode::ACCEPTED,
    )
    .await;
    expect(world.delete(&at(&other)).send().await.unwrap(), StatusCode::ACCEPTED).await;
    let whole = world.get(&blob("held")).send().await.unwrap();
    assert_eq!(whole.bytes().await.unwrap(), "held");
}

#[tokio::test]
async fn one_tag_pushed_by_many_at_once_ends_at_one_of_them() {
    let world = std::sync::Arc::new(World::with(|config| config.immutable_tags = vec!["v1".to_owned()]).await);
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let world = std::sync::Arc::clone(&world);
            tokio::spawn(async move {
                let manifest = world.image_manifest(REPOSITORY, &number.to_string(), json!({})).await;
                let status = world.push(REPOSITORY, "v1", MANIFEST, &manifest).await.status();
                (status == StatusCode::CREATED).then(|| Digest::sha256_of(&manifest))
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        winners.extend(task.await.unwrap());
    }
    let response = world.get(&at("v1")).send().await.unwrap();
    assert_eq!(winners.len(), 1);
    assert_eq!(header(&response, "docker-content-digest"), winners[0].to_string());
}
