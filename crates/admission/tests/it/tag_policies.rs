//! Policies about some tags only: the digest alone decides what runs, so no tag beside one is a way around them.

use crate::world::{World, pod};

#[tokio::test(flavor = "multi_thread")]
async fn another_tag_before_the_digest_is_no_way_around_a_policy() {
    let world = World::new().await;
    let unsigned = world.push("app", "prod-1", "unsigned").await;
    let (_, signed) = world.signed("app").await;
    let (name, text) = world.policy("prod", "");
    let policy = [(name, text.replace("/**", "/app:prod-*"))];
    let webhook = world
        .webhook(&policy, |config| config.no_match = proofmark_policy::NoMatch::Allow)
        .await;
    let app = world.image("app");
    for image in [
        format!("{app}:prod-1"),
        format!("{app}:prod-1@{}", unsigned.digest),
        format!("{app}:other@{}", unsigned.digest),
        format!("{app}@{}", unsigned.digest),
    ] {
        webhook
            .validate(&pod(&[&image]))
            .await
            .assert_denied_because("unsigned");
    }
    // What `/mutate` writes for another tag is concerned as well: it may be the same image.
    let response = webhook.validate(&pod(&[&format!("{app}:other@{signed}")])).await;
    response.assert_allowed();
    let noted = response.0["auditAnnotations"]["images"].as_str().unwrap();
    assert!(noted.contains("pass (prod)"), "{noted}");
    // Another repository is not.
    let elsewhere = world.push("elsewhere", "prod-1", "elsewhere").await;
    let image = format!("{}:prod-1@{}", world.image("elsewhere"), elsewhere.digest);
    webhook.validate(&pod(&[&image])).await.assert_allowed();
    webhook.server.stop().await;
}
