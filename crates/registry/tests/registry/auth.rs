//! Signing in: what is sent, to whom, how often.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use proofmark_registry::{Client, Credential, CredentialStore, Secret};
use proofmark_types::RegistryHost;

use crate::hostile::{Hostile, Reply, Seen};
use crate::world::{client, signed_in, small_image};

/// `alice:wonderland`.
const BASIC: &str = "Basic YWxpY2U6d29uZGVybGFuZA==";

/// A registry with its token server beside it: tokens are `t1`, `t2`, …; the newest one is good.
async fn token_registry(answer: impl Fn(u32) -> Reply + Send + Sync + 'static) -> Hostile {
    let issued = AtomicU32::new(0);
    let image = small_image("x").bytes;
    Hostile::start_knowing(move |own, seen| {
        if seen.path.starts_with("/token") {
            return answer(issued.fetch_add(1, Ordering::Relaxed) + 1);
        }
        let newest = format!("Bearer t{}", issued.load(Ordering::Relaxed));
        if seen.authorization.as_ref() == Some(&newest) {
            Reply::manifest(image.clone())
        } else {
            Reply::challenge(format!(
                "Bearer realm=\"http://{own}/token\",service=\"reg\",scope=\"aws\""
            ))
        }
    })
    .await
}

fn token(number: u32, life: u64) -> Reply {
    Reply::json(format!(r#"{{"token":"t{number}","expires_in":{life}}}"#))
}

fn with_store(store: CredentialStore) -> Client {
    Client::builder().credentials(store).build().unwrap()
}

fn tokens(seen: &[Seen]) -> Vec<&Seen> {
    seen.iter().filter(|seen| seen.path.starts_with("/token")).collect()
}

#[tokio::test]
async fn a_token_is_fetched_once_for_each_repository_and_action() {
    let registry = token_registry(|number| token(number, 300)).await;
    let client = with_store(signed_in(&registry.address.to_string()));
    let image = registry.image("team/app:1");
    let all = futures::future::join_all((0..16).map(|_| client.resolve(&image))).await;
    assert!(all.iter().all(Result::is_ok));
    client.resolve(&image).await.unwrap();
    let seen = registry.seen();
    let asked = tokens(&seen);
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].path,
        "/token?service=reg&scope=repository%3Ateam%2Fapp%3Apull&scope=aws"
    );
    assert_eq!(asked[0].authorization.as_deref(), Some(BASIC));
    assert!(
        seen.iter()
            .all(|seen| seen.path.starts_with("/token") || seen.authorization.as_deref() != Some(BASIC))
    );
    assert_eq!(client.counts().tokens, 1);
    // The scheme is known by now: another repository costs a token and no refusal.
    let before = registry.seen().len();
    let _ = client.resolve(&registry.image("team/other:1")).await;
    assert_eq!(registry.seen().len(), before + 2);
}

#[tokio::test]
async fn a_token_that_was_revoked_or_has_expired_is_replaced() {
    // `t1` is no longer the newest as soon as somebody else fetches one.
    let registry = token_registry(|number| token(number, 300)).await;
    let (first, second) = (client(), client());
    let image = registry.image("team/app:1");
    first.resolve(&image).await.unwrap();
    second.resolve(&image).await.unwrap();
    first.resolve(&image).await.unwrap();
    assert_eq!(tokens(&registry.seen()).len(), 3);

    let registry = token_registry(|number| token(number, 0)).await;
    let client = client();
    client.resolve(&registry.image("team/app:1")).await.unwrap();
    client.resolve(&registry.image("team/app:1")).await.unwrap();
    assert_eq!(tokens(&registry.seen()).len(), 2);
}

#[tokio::test]
async fn anonymous_tokens_are_asked_for_without_credentials() {
    let registry = token_registry(|number| Reply::json(format!(r#"{{"access_token":"t{number}"}}"#))).await;
    client().resolve(&registry.image("team/app:1")).await.unwrap();
    assert_eq!(tokens(&registry.seen())[0].authorization, None);
}

#[tokio::test]
async fn an_identity_token_goes_into_a_form() {
    let registry = token_registry(|number| Reply::json(format!(r#"{{"access_token":"t{number}"}}"#))).await;
    let host = RegistryHost::parse(&registry.address.to_string()).unwrap();
    let store = CredentialStore::anonymous().with_host(
        host.clone(),
        Credential::IdentityToken(Secret::new("refresh&me".to_owned())),
    );
    with_store(store).resolve(&registry.image("team/app:1")).await.unwrap();
    let seen = registry.seen();
    let asked = tokens(&seen)[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/token"));
    let form = String::from_utf8(asked.body.clone()).unwrap();
    assert!(
        form.contains("grant_type=refresh_token") && form.contains("refresh_token=refresh%26me"),
        "{form}"
    );

    let store = CredentialStore::anonymous().with_host(host, Credential::RegistryToken(Secret::new("t1".to_owned())));
    with_store(store).resolve(&registry.image("team/app:1")).await.unwrap();
    assert_eq!(tokens(&registry.seen()).len(), 1, "a registry token is used as it is");
}

#[tokio::test]
async fn a_registry_that_never_has_enough_is_left() {
    for challenge in ["Basic realm=\"x\"", "Bearer realm=\"http://{own}/token\",service=\"s\""] {
        let hostile = Hostile::start_knowing(move |own, seen| {
            if seen.path.starts_with("/token") {
                return token(7, 300);
            }
            Reply::challenge(challenge.replace("{own}", &own.to_string()))
        })
        .await;
        let client = with_store(signed_in(&hostile.address.to_string()));
        let error = client.resolve(&hostile.image("a/b:1")).await.unwrap_err();
        assert_eq!(error.code(), "unauthorized");
        assert!(error.to_string().contains("signed in as \"alice\""), "{error}");
        assert!(!error.to_string().contains("wonderland"), "{error}");
        assert!(hostile.seen().len() <= 6, "{}", hostile.seen().len());
    }
}

#[tokio::test]
async fn without_credentials_one_request_says_so() {
    for challenge in ["Basic realm=\"x\"", "Negotiate", "nonsense"] {
        let hostile = Hostile::start(move |_| Reply::challenge(challenge)).await;
        let error = client().resolve(&hostile.image("a/b:1")).await.unwrap_err();
        assert_eq!(error.code(), "unauthorized");
        assert!(error.is_unauthorized() && error.hint().unwrap().contains("log in"));
        assert_eq!(hostile.seen().len(), 1, "{challenge}");
    }
}

#[tokio::test]
async fn credentials_are_for_their_host_alone() {
    let hostile = Hostile::start(|_| Reply::challenge("Basic realm=\"x\"")).await;
    let client = with_store(
        signed_in("127.0.0.1:1")
            .then(signed_in("localhost"))
            .then(signed_in("127.0.0.1")),
    );
    let error = client.resolve(&hostile.image("a/b:1")).await.unwrap_err();
    assert!(error.to_string().contains("no credentials were found"), "{error}");
    assert!(hostile.seen().iter().all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn token_servers_elsewhere_are_refused() {
    for realm in [
        "http://example.com/token",
        "ftp://example.com/token",
        "https://user:pw@example.com/token",
        "not an address",
    ] {
        let hostile = Hostile::start(move |_| Reply::challenge(format!("Bearer realm=\"{realm}\""))).await;
        let client = with_store(signed_in(&hostile.address.to_string()));
        let error = client.resolve(&hostile.image("a/b:1")).await.unwrap_err();
        assert_eq!(error.code(), "realm-refused", "{realm}");
        assert_eq!(hostile.seen().len(), 1);
    }
    // https, but of another domain: not asked, because the password would go there.
    let hostile = Hostile::start(|_| Reply::challenge("Bearer realm=\"https://sso.example.com/token\"")).await;
    let client = with_store(signed_in(&hostile.address.to_string()));
    let error = client.resolve(&hostile.image("a/b:1")).await.unwrap_err();
    assert_eq!(error.code(), "realm-refused");
    assert!(error.to_string().contains("sso.example.com"), "{error}");
    assert_eq!(client.counts().tokens, 0);
}

#[tokio::test]
async fn token_servers_that_misbehave_are_named() {
    let huge = "x".repeat(100_000);
    for (reply, expected) in [
        (Reply::json("{}"), "malformed"),
        (Reply::json("secret-token"), "malformed"),
        (Reply::json(r#"{"token":""}"#), "malformed"),
        (Reply::json(r#"{"token":"a\nb"}"#), "setup"),
        (Reply::json(format!(r#"{{"token":"{huge}"}}"#)), "too-large"),
        (Reply::new(401, "who are you"), "unauthorized"),
        (Reply::new(403, ""), "denied"),
        (Reply::new(500, ""), "unexpected-status"),
        (Reply::redirect("http://127.0.0.1:1/"), "unexpected-status"),
    ] {
        let reply = std::sync::Mutex::new(Some(reply));
        let registry = token_registry(move |_| reply.lock().unwrap().take().unwrap()).await;
        let client = with_store(signed_in(&registry.address.to_string()));
        let error = client.resolve(&registry.image("a/b:1")).await.unwrap_err();
        assert_eq!(error.code(), expected);
        assert!(!error.to_string().contains("secret-token"), "{error}");
        assert_eq!(tokens(&registry.seen()).len(), 1);
    }
}

#[tokio::test]
async fn a_push_asks_for_the_right_to_push_and_a_mount_for_both() {
    let registry = token_registry(|number| token(number, 300)).await;
    let client = client();
    let _ = client
        .push_manifest(
            &registry.repository(),
            None,
            &small_image("x").manifest.media_type,
            Bytes::from_static(b"{}"),
        )
        .await;
    let other = registry.image("team/base:1").repository().clone();
    let digest = small_image("x").descriptor.digest;
    let _ = client.mount_blob(&registry.repository(), &other, &digest).await;
    let seen = registry.seen();
    let asked: Vec<&str> = tokens(&seen).iter().map(|seen| seen.path.as_str()).collect();
    let push = "/token?service=reg&scope=repository%3Ateam%2Fapp%3Apull%2Cpush";
    assert_eq!(asked[0], format!("{push}&scope=aws"));
    assert_eq!(
        asked[1],
        format!("{push}&scope=repository%3Ateam%2Fbase%3Apull&scope=aws")
    );
}

#[tokio::test]
async fn other_credentials_share_nothing_learned() {
    let registry = token_registry(|number| token(number, 300)).await;
    let first = with_store(signed_in(&registry.address.to_string()));
    let image = registry.image("team/app:1");
    first.resolve(&image).await.unwrap();
    let second = first.with_credentials(CredentialStore::anonymous());
    second.resolve(&image).await.unwrap();
    let seen = registry.seen();
    assert_eq!(tokens(&seen).len(), 2);
    assert_eq!(tokens(&seen)[1].authorization, None);
    assert_eq!(first.with_fresh_counts().counts().total(), 0);
    assert_eq!(
        first.counts(),
        second.counts(),
        "counted together unless asked otherwise"
    );
}
