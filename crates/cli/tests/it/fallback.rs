//! The tag under which a registry without a referrers API has the list of what hangs on an image, when something else is
//! there: `cosign copy` puts the image itself.

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, debian_like};
use proofmark_testkit::peers::{COSIGN3, DockerRegistry};
use serde_json::json;

use crate::world::{Registry, fails, home, json, run};

const VERIFY: [&str; 4] = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog"];

fn verify(home: &Sandbox, image: &str) -> proofmark_testkit::command::Outcome {
    run(home, VERIFY.into_iter().chain([image]))
}

fn sign(home: &Sandbox, image: &str) -> proofmark_testkit::command::Outcome {
    run(home, ["sign", "--key", "cosign.key", "-y", image])
}

/// cosign copies no bundles, and leaves the image under the tag: that is an image without bundles, not a list that cannot
/// be read, and whoever copies or signs afterwards puts a list there.
#[tokio::test(flavor = "multi_thread")]
async fn what_cosign_copied_has_no_bundles_and_can_be_signed() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let home = home();
    let ours = || Registry::with(|config| config.referrers_api = false);
    let docker = [(); 3].map(|()| DockerRegistry::start_or_skip());
    let (from, copied, signed) = (ours().await, ours().await, ours().await);
    let mut worlds = vec![[from.address(), copied.address(), signed.address()]];
    if let [Some(from), Some(copied), Some(signed)] = &docker {
        worlds.push([from.address(), copied.address(), signed.address()]);
    }
    for [from, copied, signed] in worlds {
        let built = debian_like();
        built.push(from, "app", "1").await;
        let [image, copied, signed] = [from, copied, signed].map(|address| format!("{address}/app:1"));
        sign(&home, &image).expect_success();
        for to in [&copied, &signed] {
            home.run(&cosign, ["copy", "--allow-http-registry", &image, to])
                .expect_success();
            // What is under the tag is the image.
            let tag = format!(
                "{}:{}",
                to.trim_end_matches(":1"),
                built.digest().to_string().replace(':', "-")
            );
            let tree = json(&home, ["tree", &tag]);
            assert_eq!(tree["digest"], json!(built.digest()), "{tag}");
            fails(&verify(&home, to), 10, "no-signature");
            let theirs = home.run(&cosign, VERIFY.into_iter().chain(["--allow-http-registry", to]));
            theirs.expect_code(10);
            let tree = json(&home, ["tree", to]);
            assert_eq!((&tree["incomplete"], &tree["evidence"]), (&json!([]), &json!([])));
        }
        run(&home, ["copy", &image, &copied]).expect_success();
        sign(&home, &signed).expect_success();
        for to in [&copied, &signed] {
            verify(&home, to).expect_success();
            home.run(&cosign, VERIFY.into_iter().chain(["--allow-http-registry", to]))
                .expect_success();
        }
        let cleaned = json(&home, ["clean", "-f", &signed]);
        assert_eq!(cleaned["removed"].as_array().map(Vec::len), Some(1));
        fails(&verify(&home, &signed), 10, "no-signature");
    }
}

/// Some other image under that name is somebody's: it is read as no list, and not written over.
#[tokio::test(flavor = "multi_thread")]
async fn another_image_under_that_tag_is_left_alone() {
    let home = home();
    let registry = Registry::with(|config| config.referrers_api = false).await;
    let built = debian_like();
    let image = registry.push(&built, "1").await;
    let tag = built.digest().to_string().replace(':', "-");
    let other = Built::image("linux/arm64", &[], |_| ());
    let there = registry.push(&other, &tag).await;
    fails(&verify(&home, &image), 10, "no-signature");
    let refused = sign(&home, &image);
    let refused = fails(&refused, 1, "malformed");
    assert!(refused.stderr.contains("expected an index"), "{}", refused.stderr);
    run(&home, ["clean", "-f", &image]).expect_success();
    assert_eq!(json(&home, ["tree", &there])["digest"], json!(other.digest()));
}
