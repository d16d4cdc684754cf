//! Reports on other authorities' and clients' handling of tokens.

use std::time::{Duration, Instant};

use proofmark_sign::token::IdentityToken;

/// Fulcio: a token of nothing but dots was split into as many parts.
#[test]
fn cve_2025_66506_a_token_of_dots() {
    let start = Instant::now();
    for text in [
        ".".repeat(50_000_000),
        ".".repeat(15_000),
        "a.b.c.d".to_owned(),
        "..".to_owned(),
    ] {
        assert!(IdentityToken::parse(&text).is_err());
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}
