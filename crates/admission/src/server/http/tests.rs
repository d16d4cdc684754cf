use super::*;

#[test]
fn the_way_back_is_kept_free() {
    for (query, expected) in [
        (Some("timeout=10s"), 9000),
        (Some("timeout=1s"), 900),
        (Some("a=b&timeout=30s"), 29_000),
        (Some("timeout=500ms"), 400),
        (Some("timeout=50ms"), 0),
        (Some("timeout=1h"), 29_000),
        (Some("timeout=nonsense"), 9000),
        (Some("timeout=1s1s1s1s1s1s1s"), 9000),
        (Some("timeout=4000000000000000h4000000000000000h"), 9000),
        (Some(""), 9000),
        (None, 9000),
    ] {
        assert_eq!(budget(query), Duration::from_millis(expected), "{query:?}");
    }
}

#[tokio::test]
async fn a_panic_is_one_requests_denial() {
    let folder = tempfile::tempdir().unwrap();
    let client = proofmark_registry::Client::builder().build().unwrap();
    let tls = crate::TlsConfig::new(folder.path().join("tls"), vec!["localhost".into()]);
    let config = crate::Config::new("127.0.0.1:0".parse().unwrap(), tls, folder.path().to_owned(), client);
    let admission = Admission::open(&config).unwrap();
    let answer = isolated(&admission, async { panic!("a bug") }).await;
    assert!(!answer.allowed);
    assert_eq!(answer.code, 500);
    assert!(answer.message.contains("[internal-error]"));
    assert!(
        admission
            .metrics
            .render()
            .contains("proofmark_admission_panics_total 1")
    );
    assert!(isolated(&admission, async { Answer::allow() }).await.allowed);
}
