//! Tables of patterns against references, with the confusions that peers had.

use proofmark_types::ImageRef;
use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn image(text: &str) -> ImageRef {
    ImageRef::parse(&text.replace("@D", &format!("@sha256:{HEX}"))).unwrap()
}

type Reader = fn(&str) -> Result<ImagePattern, PatternError>;

const READERS: [Reader; 3] = [
    ImagePattern::native,
    ImagePattern::cluster_image_policy,
    ImagePattern::kyverno,
];

/// Pattern, reference, whether it selects, whether it allows.
type Row = (&'static str, &'static str, bool, bool);

fn check(read: Reader, rows: &[Row]) {
    for (pattern, reference, selects, allows) in rows {
        let parsed = read(pattern).unwrap();
        assert_eq!(
            parsed.selects(&image(reference)),
            *selects,
            "{pattern} selects {reference}"
        );
        assert_eq!(
            parsed.allows(&image(reference)),
            *allows,
            "{pattern} allows {reference}"
        );
    }
}

#[test]
fn kyverno_wildcards_cross_slashes_but_not_out_of_the_host() {
    check(
        ImagePattern::kyverno,
        &[
            ("registry.example.com/*", "registry.example.com/app:1.0", true, true),
            ("registry.example.com/*", "registry.example.com/team/app@D", true, true),
            (
                "registry.example.com/*",
                "registry.example.com/team/app:1@D",
                true,
                true,
            ),
            (
                "registry.example.com/*",
                "registry.example.com.evil.io/app",
                false,
                false,
            ),
            (
                "registry.example.com/*",
                "evil.io/registry.example.com/app",
                false,
                false,
            ),
            ("registry.example.com/*", "registry.example.com:5000/app", false, false),
            ("registry.example.com/*", "nginx", false, false),
            // Portieris 0.14.2, and Kyverno: the whole reference was one text.
            ("*.trusted.com/org/*", "x.trusted.com/org/app:1", true, true),
            (
                "*.trusted.com/org/*",
                "attacker.com/x.trusted.com/org/evil",
                false,
                false,
            ),
            (
                "*.trusted.com/org/*",
                "attacker.com/x/y.trusted.com/org/evil",
                false,
                false,
            ),
            ("*trusted.com/*", "x.trusted.com/app", true, true),
            ("*trusted.com/*", "evil.io/trusted.com/app", false, false),
            ("*", "anything.example/x/y:z", true, true),
            ("*", "nginx", true, true),
            ("*/nginx:*", "nginx:1.27", true, true),
            ("*/nginx:*", "ghcr.io/a/b/nginx:1", true, true),
            ("*/nginx:*", "ghcr.io/a/b/mynginx:1", false, false),
            ("docker.io/nginx:*", "nginx:1", true, true),
            ("docker.io/library/*", "nginx:1", true, true),
            ("index.docker.io/library/*", "nginx:1", true, true),
            ("ghcr.io/org/app", "ghcr.io/org/app", true, true),
            ("ghcr.io/org/app", "ghcr.io/org/app:latest", true, true),
            ("ghcr.io/org/app", "ghcr.io/org/app:2", true, false),
            ("ghcr.io/org/app:1.*", "ghcr.io/org/app:1.9", true, true),
            ("ghcr.io/org/app:1.*", "ghcr.io/org/app:2.0", false, false),
            // A digest must not be a way around a policy over tags, nor a pass through one.
            ("ghcr.io/org/app:1.*", "ghcr.io/org/app@D", true, false),
            ("ghcr.io/org/app:1.*", "ghcr.io/org/app:2.0@D", true, false),
            ("ghcr.io/org/app:1.*", "ghcr.io/org/other:2.0@D", false, false),
            ("*:*", "ghcr.io/app", true, false),
            ("*:*", "ghcr.io/app:1", true, true),
            ("*:*", "registry.example.com:5000/app", true, false),
            ("*:latest", "ghcr.io/app", true, false),
            ("*:latest", "ghcr.io/app:1", false, false),
            ("*@sha256:*", "ghcr.io/app@D", true, true),
            ("*@sha256:*", "ghcr.io/app:1", true, false),
            ("*@sha256:*", "ghcr.io/app:1@D", true, true),
            ("localhost:*/app", "localhost:5000/app", true, true),
            ("localhost:*/app", "localhost:5000/b", false, false),
            ("registry.*/app", "registry.io:6666/app", true, false),
            ("registry.example.com/*", "registry.example.com:443/app", true, true),
            ("registry.example.com:443/*", "registry.example.com/app", true, true),
            ("docker.io/*", "docker.io:443/library/nginx", true, true),
            ("registry.example.com*", "registry.example.com/app:1", true, true),
            (
                "registry.example.com*",
                "registry.example.com.evil.io/app",
                false,
                false,
            ),
            ("nginx*", "nginx:1", true, true),
            ("nginx*", "nginx.evil.io/app", false, false),
            ("bitnami/*", "bitnami/redis:7", true, true),
            ("*example*", "registry.example.com/app", true, false),
            ("*example*", "ghcr.io/example/app", true, true),
            ("REGISTRY.example.com/*", "registry.example.com/app", true, true),
        ],
    );
}

#[test]
fn cluster_image_policy_globs_stay_within_a_component() {
    check(
        ImagePattern::cluster_image_policy,
        &[
            ("registry.example.com/**", "registry.example.com/a/b/c:1", true, true),
            ("registry.example.com/**", "registry.example.com/a@D", true, true),
            ("registry.example.com/*", "registry.example.com/a:1", true, true),
            ("registry.example.com/*", "registry.example.com/a/b:1", false, false),
            ("registry.example.com/*/*", "registry.example.com/a/b:1", true, true),
            ("*.example.com/**", "a.example.com/x", true, true),
            ("*.example.com/**", "evil.io/a.example.com/x", false, false),
            ("**.example.com/x", "evil.io/a.example.com/x", false, false),
            ("*", "nginx:1", true, true),
            ("*", "bitnami/redis", false, false),
            ("*", "ghcr.io/app", false, false),
            ("*/*", "bitnami/redis:7", true, true),
            ("*/*", "ghcr.io/org", false, false),
            ("**", "ghcr.io/a/b/c", true, true),
            ("**/app", "ghcr.io/a/b/app:1", true, true),
            ("**/app", "ghcr.io/app:1", true, true),
            ("**/app", "ghcr.io/a/myapp", false, false),
            ("ghcr.io/org/app:v1*", "ghcr.io/org/app:v1.2", true, true),
            // After the digest is written in, policy-controller no longer matches this one.
            ("ghcr.io/org/app:v1*", "ghcr.io/org/app@D", true, false),
            ("ghcr.io/org/app:v1*", "ghcr.io/org/app:v1.2@D", true, true),
            // Nor one that has another tag before it.
            ("ghcr.io/org/app:v1*", "ghcr.io/org/app:v2@D", true, false),
            ("ghcr.io/org/app:v1*", "ghcr.io/org/app:v2", false, false),
            ("ghcr.io/org/app*", "ghcr.io/org/app-two:1", true, true),
            ("ghcr.io/org/app", "ghcr.io/org/app:5", true, true),
            ("ghcr.io/**/app", "ghcr.io/a/b/app:5", true, true),
            ("ghcr.io/**/app", "ghcr.io/app:5", true, true),
            ("ghcr.io/**/app", "ghcr.io/a/b/c", false, false),
            ("nginx", "nginx:1", true, true),
            ("bitnami/*", "bitnami/redis:1", true, true),
        ],
    );
}

#[test]
fn native_patterns_name_their_registry() {
    check(
        ImagePattern::native,
        &[
            (
                "registry.example.com/team/**",
                "registry.example.com/team/a/b",
                true,
                true,
            ),
            (
                "registry.example.com/team/**",
                "registry.example.com/teams/a",
                false,
                false,
            ),
            (
                "registry.example.com/team/**",
                "registry.example.com/x/team/a",
                false,
                false,
            ),
            ("127.0.0.1:*/app", "127.0.0.1:41234/app:1.0", true, true),
            ("127.0.0.1:5000/**", "127.0.0.1:5001/app", false, false),
            ("**", "nginx", true, true),
            ("*/app", "ghcr.io/app", true, true),
            ("*/app", "ghcr.io/x/app", false, false),
            ("docker.io/library/nginx", "nginx:1.27", true, true),
            ("ghcr.io/app:prod-*", "ghcr.io/app:prod-1", true, true),
            ("ghcr.io/app:prod-*", "ghcr.io/app:dev", false, false),
            ("ghcr.io/app:prod-*", "ghcr.io/app:dev@D", true, false),
            ("ghcr.io/app:prod-*", "ghcr.io/app@D", true, false),
            ("ghcr.io/app:prod-*", "ghcr.io/other:dev@D", false, false),
        ],
    );
    assert!(ImagePattern::native("**").unwrap().is_everything());
    assert!(!ImagePattern::native("ghcr.io/**").unwrap().is_everything());
    assert!(ImagePattern::kyverno("*").unwrap().is_everything());
    assert!(!ImagePattern::kyverno("*:*").unwrap().is_everything());
}

#[test]
fn a_tag_beside_a_digest_exempts_nothing() {
    let exempts = |pattern: &str, reference: &str| ImagePattern::native(pattern).unwrap().exempts(&image(reference));
    assert!(exempts("ghcr.io/app:debug", "ghcr.io/app:debug"));
    assert!(!exempts("ghcr.io/app:debug", "ghcr.io/app:debug@D"));
    assert!(exempts("ghcr.io/app", "ghcr.io/app:debug@D"));
    assert!(exempts("ghcr.io/app:*", "ghcr.io/app:debug@D"));
    let named = format!("ghcr.io/app:debug@sha256:{HEX}");
    assert!(exempts(&named, "ghcr.io/app:debug@D"));
    assert!(!exempts("ghcr.io/app:debug@sha256:*", "ghcr.io/app:debug@D"));
}

#[test]
fn a_denied_tag_is_the_one_that_is_written() {
    let denies = |reference: &str| ImagePattern::kyverno("*:latest").unwrap().denies(&image(reference));
    assert!(denies("ghcr.io/app"));
    assert!(denies("ghcr.io/app:latest"));
    assert!(denies("ghcr.io/app:latest@D"));
    assert!(!denies("ghcr.io/app:1@D"));
    assert!(!denies("ghcr.io/app@D"));
}

#[test]
fn servers_of_docker_hub_dodge_no_policy_over_it() {
    for server in ["registry-1.docker.io", "registry.hub.docker.com"] {
        let reference = format!("{server}/library/nginx:1");
        check_one(ImagePattern::native, "docker.io/**", &reference);
        check_one(ImagePattern::kyverno, "docker.io/nginx:*", &reference);
        check_one(ImagePattern::cluster_image_policy, "*", &reference);
    }
}

/// Selected, and not allowed.
fn check_one(read: Reader, pattern: &str, reference: &str) {
    let parsed = read(pattern).unwrap();
    assert!(parsed.selects(&image(reference)), "{pattern} selects {reference}");
    assert!(!parsed.allows(&image(reference)), "{pattern} allows {reference}");
}

#[test]
fn each_malformed_pattern_has_its_reason() {
    let reason = |text: &str| ImagePattern::native(text).unwrap_err();
    assert_eq!(reason(""), PatternError::Empty);
    assert!(matches!(
        ImagePattern::kyverno("registry.example.com"),
        Err(PatternError::HostOnly { .. })
    ));
    assert!(matches!(reason("nginx"), PatternError::NoHost { .. }));
    assert!(matches!(reason("team/app"), PatternError::NoHost { .. }));
    assert!(matches!(reason("ghcr.io//app"), PatternError::Malformed { .. }));
    assert!(matches!(reason("ghcr.io/app:"), PatternError::Malformed { .. }));
    assert!(matches!(reason("ghcr.io/app@"), PatternError::Malformed { .. }));
    assert!(matches!(
        reason("ghcr.io/{{ x }}"),
        PatternError::Character { character: '{', .. }
    ));
    assert!(matches!(
        reason("ghcr.io/(a|b)"),
        PatternError::Character { character: '(', .. }
    ));
    assert!(matches!(
        reason(&"a".repeat(600)),
        PatternError::TooLong { length: 600 }
    ));
}

#[test]
fn an_open_host_is_noticed() {
    assert!(
        ImagePattern::kyverno("registry.example.com*/x")
            .unwrap()
            .has_open_host()
    );
    assert!(!ImagePattern::kyverno("*/x").unwrap().has_open_host());
    assert!(!ImagePattern::kyverno("*.example.com/x").unwrap().has_open_host());
}

proptest! {
    #[test]
    fn what_is_allowed_is_selected(pattern in "[a-c*.]{1,4}(/[a-c*]{1,3}){0,3}(:[a-c*]{1,2})?", name in "[a-c]{1,2}\\.[a-c](/[a-c]{1,2}){1,3}(:[a-c]{1,2})?") {
        let reference = ImageRef::parse(&name).unwrap();
        for read in READERS {
            if let Ok(parsed) = read(&pattern) {
                prop_assert!(!parsed.allows(&reference) || parsed.selects(&reference), "{} on {}", pattern, name);
            }
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        for read in READERS {
            if let Ok(parsed) = read(&text) {
                let _ = parsed.selects(&image("nginx"));
            }
        }
    }
}

/// policy-controller's own tests select by `**demo**`, wherever the name stands.
#[test]
fn a_glob_that_begins_with_two_stars_may_begin_in_the_host() {
    let pattern = ImagePattern::cluster_image_policy("**demo**").unwrap();
    let image = |text: &str| text.parse().unwrap();
    for selected in [
        "registry.local:5000/policy/demo",
        "demo.example.com/app:1",
        "nginx/demo-app",
        "ghcr.io/a/b/mydemo/c",
    ] {
        assert!(pattern.selects(&image(selected)), "{selected}");
    }
    assert!(!pattern.selects(&image("registry.local:5000/app")));
    // What lets through does not reach into the host.
    assert!(pattern.allows(&image("registry.local:5000/policy/demo")));
    assert!(!pattern.allows(&image("demo.example.com/app:1")));
    for mixed in ["**demo*", "**dem?", "**demo**:v1"] {
        assert!(
            matches!(
                ImagePattern::cluster_image_policy(mixed),
                Err(PatternError::Malformed { .. })
            ),
            "{mixed}"
        );
    }
}

/// A pattern that no image matches is a policy that is about nothing; policy-controller refuses it too.
#[test]
fn brackets_are_of_an_address() {
    for broken in ["[", "registry.example.com/[ab]/x", "registry.example.com/a]"] {
        assert!(
            matches!(
                ImagePattern::cluster_image_policy(broken),
                Err(PatternError::Malformed { .. })
            ),
            "{broken}"
        );
    }
    assert!(ImagePattern::native("[::1]:5000/**").is_ok());
}
