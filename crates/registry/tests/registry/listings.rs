//! Tags and referrers: pages, ends that do not come, registries without the API.

use proofmark_oci::{Descriptor, Index};
use proofmark_registry::ReferrersSource;
use proofmark_types::Digest;

use crate::hostile::{Hostile, Reply};
use crate::world::{client, code, media_type, tag};

fn number_after(path: &str, mark: &str) -> usize {
    path.split(mark).nth(1).and_then(|rest| rest.parse().ok()).unwrap_or(0)
}

fn entries(from: usize, count: usize) -> Vec<u8> {
    let entry = |number: usize| {
        Descriptor::of(
            media_type("application/vnd.oci.image.manifest.v1+json"),
            number.to_string().as_bytes(),
        )
    };
    Index::of((from..from + count).map(entry).collect()).to_json()
}

#[tokio::test]
async fn tags_of_all_pages_sorted_and_once() {
    let hostile = Hostile::start(|seen| match number_after(&seen.path, "?page=") {
        0 => Reply::json(r#"{"tags":["c","a","-no tag"]}"#)
            .header("link", "</v2/team/app/tags/list?page=1>; rel=\"next\""),
        1 => Reply::json(r#"{"tags":["b","a"]}"#).header("link", "<list?page=2>; rel=\"next\""),
        _ => Reply::json(r#"{"tags":null}"#),
    })
    .await;
    let client = client();
    assert_eq!(
        client.tags(&hostile.repository()).await.unwrap(),
        [tag("a"), tag("b"), tag("c")]
    );
    assert_eq!(client.counts().tags, 3);
}

#[tokio::test]
async fn tag_listings_that_do_not_end_are_errors() {
    let hostile = Hostile::start(|seen| {
        let next = number_after(&seen.path, "?page=") + 1;
        Reply::json(r#"{"tags":["a"]}"#).header("link", format!("</v2/x?page={next}>; rel=\"next\""))
    })
    .await;
    assert_eq!(code(client().tags(&hostile.repository()).await), "too-large");
    assert_eq!(hostile.seen().len(), 100);

    let hostile = Hostile::start(|_| Reply::json(r#"{"tags":["a"]}"#).header("link", "</v2/loop>; rel=\"next\"")).await;
    assert_eq!(code(client().tags(&hostile.repository()).await), "malformed");
    assert_eq!(hostile.seen().len(), 2);

    let many: Vec<String> = (0..100_001).map(|number| format!("\"t{number}\"")).collect();
    let body = format!("{{\"tags\":[{}]}}", many.join(","));
    let hostile = Hostile::start(move |_| Reply::json(&body)).await;
    assert_eq!(code(client().tags(&hostile.repository()).await), "too-large");

    let hostile = Hostile::start(|_| Reply::json("[1]")).await;
    assert_eq!(code(client().tags(&hostile.repository()).await), "malformed");
}

#[tokio::test]
async fn referrers_of_all_pages() {
    let hostile = Hostile::start(|seen| match number_after(&seen.path, "?page=") {
        0 => Reply::index(entries(0, 3)).header("link", "<?page=1>; rel=\"next\""),
        _ => Reply::index(entries(2, 3)),
    })
    .await;
    let found = client()
        .referrers(&hostile.repository(), &Digest::sha256_of(b"x"))
        .await
        .unwrap();
    assert_eq!((found.descriptors.len(), found.source), (5, ReferrersSource::Api));
    assert!(found.cut_short.is_none());
    assert!(
        hostile.seen()[0].path.ends_with(&Digest::sha256_of(b"x").to_string()),
        "no filter is sent"
    );
}

#[tokio::test]
async fn referrers_without_end_are_cut_short_and_say_so() {
    let hostile = Hostile::start(|seen| {
        let next = number_after(&seen.path, "?page=") + 1;
        Reply::index(entries(next * 10, 10)).header("link", format!("<?page={next}>; rel=\"next\""))
    })
    .await;
    let found = client()
        .referrers(&hostile.repository(), &Digest::sha256_of(b"x"))
        .await
        .unwrap();
    assert_eq!(found.descriptors.len(), 1000);
    assert_eq!(found.cut_short.unwrap().code(), "too-large");
    assert_eq!(hostile.seen().len(), 100);

    let hostile = Hostile::start(|_| Reply::index(entries(0, 10)).header("link", "<?again>; rel=\"next\"")).await;
    let found = client()
        .referrers(&hostile.repository(), &Digest::sha256_of(b"x"))
        .await
        .unwrap();
    assert_eq!(found.cut_short.unwrap().code(), "malformed");
    assert_eq!(hostile.seen().len(), 2);
}

#[tokio::test]
async fn a_later_page_that_fails_leaves_the_first_ones() {
    for (status, expected) in [
        (404, "not-found"),
        (429, "throttled"),
        (401, "unauthorized"),
        (500, "unexpected-status"),
    ] {
        let hostile = Hostile::start(move |seen| match number_after(&seen.path, "?page=") {
            0 => Reply::index(entries(0, 10)).header("link", "<?page=1>; rel=\"next\""),
            _ => Reply::new(status, "").header("retry-after", 1000),
        })
        .await;
        let found = client()
            .referrers(&hostile.repository(), &Digest::sha256_of(b"x"))
            .await
            .unwrap();
        assert_eq!(found.descriptors.len(), 10);
        assert_eq!(found.cut_short.unwrap().code(), expected);
    }
}

#[tokio::test]
async fn without_the_api_the_fallback_tag_is_read() {
    let digest = Digest::sha256_of(b"x");
    let path = format!("/v2/team/app/manifests/{}", digest.tag_form());
    for (status, content_type) in [
        (404, ""),
        (400, ""),
        (405, ""),
        (501, ""),
        (406, ""),
        (200, "text/html"),
    ] {
        let fallback = path.clone();
        let hostile = Hostile::start(move |seen| {
            if seen.path == fallback {
                Reply::index(entries(0, 2))
            } else {
                Reply::new(status, "<html>").header("content-type", content_type)
            }
        })
        .await;
        let found = client().referrers(&hostile.repository(), &digest).await.unwrap();
        assert_eq!(found.descriptors.len(), 2, "{status}");
        assert!(matches!(found.source, ReferrersSource::FallbackTag(tag) if tag.as_str() == digest.tag_form()));
    }
    // Neither: nothing refers to it.
    let hostile = Hostile::start(|_| Reply::new(404, "")).await;
    let found = client().referrers(&hostile.repository(), &digest).await.unwrap();
    assert!(found.descriptors.is_empty() && found.cut_short.is_none());
}

#[tokio::test]
async fn a_refusal_is_not_an_empty_list() {
    let digest = Digest::sha256_of(b"x");
    for (status, expected) in [
        (401, "unauthorized"),
        (403, "denied"),
        (429, "throttled"),
        (500, "unexpected-status"),
    ] {
        let hostile = Hostile::start(move |_| Reply::new(status, "").header("retry-after", 1000)).await;
        assert_eq!(code(client().referrers(&hostile.repository(), &digest).await), expected);
    }
    for reply in [|| Reply::index("{"), || Reply::index(r#"{"schemaVersion":2}"#)] {
        let hostile = Hostile::start(move |_| reply()).await;
        assert_eq!(
            code(client().referrers(&hostile.repository(), &digest).await),
            "malformed"
        );
    }
    // The fallback tag is there and is an image, as `cosign copy` leaves it: a list with nothing in it. What does not parse
    // is none.
    let image = crate::world::small_image("x").bytes;
    for (body, expected) in [(image.to_vec(), None), (b"{}".to_vec(), Some("malformed"))] {
        let hostile = Hostile::start(move |seen| {
            if seen.path.contains("/referrers/") {
                Reply::new(404, "")
            } else {
                Reply::manifest(body.clone())
            }
        })
        .await;
        match client().referrers(&hostile.repository(), &digest).await {
            Ok(found) => assert!(
                expected.is_none() && found.descriptors.is_empty() && found.cut_short.is_none(),
                "{found:?}"
            ),
            Err(error) => assert_eq!(Some(error.code()), expected),
        }
    }
}
