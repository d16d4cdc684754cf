//! One test for each published mistake of other TUF clients: the attack is made, and refused for the reason it was made
//! for. The good twin of each is the repository before the change, which is accepted first.

use proofmark_trust_root::Home;
use proofmark_trust_root::tuf::{Expiry, TufError};
use serde_json::json;

use crate::world::{Key, World, keys, now, role, signed};

/// go-tuf < 0.3.0: versions could go back, of the timestamp and of all that it leads to.
#[tokio::test]
async fn cve_2022_29173_rollback() {
    for (timestamp, snapshot, targets) in [(1, 2, 2), (3, 1, 2), (3, 3, 1)] {
        let mut world = World::new();
        world.publish(2, 2, 2);
        world.refresh().await.unwrap();
        world.publish(timestamp, snapshot, targets);
        assert_eq!(
            world.refused().await,
            "tuf-rollback",
            "{timestamp} {snapshot} {targets}"
        );
        // What was believed stays.
        world.publish(4, 4, 4);
        assert_eq!(world.refresh().await.unwrap().targets_version(), 4);
    }
}

/// The same through the root: a version is skipped, repeated or gone back to.
#[tokio::test]
async fn cve_2022_29173_root_versions() {
    for version in [1, 3] {
        let mut world = World::new();
        world.refresh().await.unwrap();
        let root = world.root(version);
        world.put("2.root.json", &root);
        assert_eq!(world.refused().await, "tuf-version", "{version}");
    }
}

/// go-tuf < 0.3.2: one key under several ids met a threshold of several keys.
#[tokio::test]
async fn ghsa_3633_5h82_39pq_one_key_under_two_ids() {
    let (one, two) = (Key::new(1), Key::new(2));
    for (second, number, good) in [(Key::new(2), 2, true), (one.alias(1, &two.id), 1, false)] {
        let mut world = World::new();
        let mut root = world.root(2);
        root["keys"] = keys(&[&one, &second]);
        root["roles"]["timestamp"] = role(&[&one, &second], 2);
        world.put("2.root.json", &root);
        let body = World::timestamp(2, 1);
        world.put_raw("timestamp.json", &signed(&[&one, &second], &body));
        match world.refresh().await {
            Ok(trusted) => assert!(good && trusted.timestamp_version() == 2, "key {number}"),
            Err(error) => {
                assert!(!good, "{error}");
                assert!(
                    matches!(error, TufError::Threshold { needed: 2, seen: 1, .. }),
                    "{error}"
                );
            }
        }
    }
}

/// tough < 0.7.1: the same signature repeated met a threshold; one key named twice in a role, too.
#[tokio::test]
async fn rustsec_2020_0024_repeated_signatures() {
    let mut world = World::new();
    world.refresh().await.unwrap();
    let body = World::timestamp(2, 1);
    let signature = world.key.signature(&body);
    world.put_raw(
        "timestamp.json",
        &json!({"signatures": [signature, signature], "signed": body}),
    );
    assert_eq!(world.refused().await, "tuf-duplicate-key");

    let mut world = World::new();
    let mut root = world.root(2);
    root["roles"]["timestamp"] = role(&[&world.key, &world.key], 2);
    world.put("2.root.json", &root);
    assert_eq!(world.refused().await, "tuf-duplicate-key");
}

/// go-tuf < 2.0.1: delegations were looked up in the order of a map. The first that is written decides, always.
#[tokio::test]
async fn cve_2024_47534_order_of_delegations() {
    let key = Key::new(1);
    for names in [["a", "b", "c", "d"], ["d", "c", "b", "a"]] {
        let mut world = World::new();
        let delegated: Vec<_> = names
            .iter()
            .map(|name| (*name, world.targets(1, "x/file", name.as_bytes())))
            .collect();
        let roles: Vec<_> = names
            .iter()
            .map(|name| {
                json!({"name": name, "keyids": [key.id], "threshold": 1, "terminating": false, "paths": ["x/*"]})
            })
            .collect();
        let delegations = json!({"keys": keys(&[&key]), "roles": roles});
        world.delegate(delegations, &delegated, 2);
        for _ in 0..8 {
            assert_eq!(world.target("x/file").await.unwrap(), names[0].as_bytes());
        }
    }
}

/// The second half of it: a role is believed for whom delegates to it on this path, not for another who knows its name.
#[tokio::test]
async fn cve_2024_47534_keys_of_another_delegator() {
    let (key, other) = (Key::new(1), Key::new(2));
    for (keyholder, good) in [(&key, true), (&other, false)] {
        let mut world = World::new();
        let body = world.targets(1, "x/file", b"content");
        let roles = json!([
            {"name": "a", "keyids": [keyholder.id], "threshold": 1, "terminating": true, "paths": ["x/*"]},
        ]);
        let delegations = json!({"keys": keys(&[&key, &other]), "roles": roles});
        world.delegate(delegations, &[("a", body)], 2);
        match world.target("x/file").await {
            Ok(_) => assert!(good),
            Err(error) => assert!(!good && error.code() == "tuf-threshold", "{error}"),
        }
    }
}

/// go-tuf < 2.3.1: metadata of an unexpected shape ended the process. Each is refused by name, and nothing panics.
#[tokio::test]
async fn cve_2026_23991_shapes_that_crash() {
    let shapes = [
        "",
        "null",
        "[]",
        "{}",
        "{\"signed\": null, \"signatures\": null}",
        "{\"signed\": {}, \"signatures\": [null]}",
        "{\"signed\": [], \"signatures\": []}",
        "{\"signed\": {\"_type\": \"timestamp\"}, \"signatures\": [{\"keyid\": \"\", \"sig\": \"\"}]}",
        "{\"signed\": {\"_type\": 1, \"version\": -1}, \"signatures\": [{\"keyid\": 1}]}",
        "{\"signed\": {\"version\": 1.5}, \"signatures\": []}",
        "{\"signed\": {\"a\": 1, \"a\": 2}, \"signatures\": []}",
    ];
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for name in ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"] {
        for shape in shapes.iter().copied().chain([deep.as_str()]) {
            let mut world = World::new();
            world.files.insert(name.to_owned(), shape.as_bytes().to_vec());
            let code = world.refused().await;
            let expected = [
                "json-syntax",
                "json-duplicate-key",
                "tuf-malformed",
                "tuf-threshold",
                "tuf-too-large",
            ];
            assert!(expected.contains(&code), "{name} {shape:.60}: {code}");
        }
    }
    // Signed, and still of a shape that it must not have.
    let null_meta = |kind: &str| {
        let mut body = World::head(kind, 2);
        body["meta"] = json!({"snapshot.json": null, "targets.json": null});
        body
    };
    let mut world = World::new();
    world.put("timestamp.json", &null_meta("timestamp"));
    assert_eq!(world.refused().await, "tuf-malformed");
    let mut world = World::new();
    world.put("timestamp.json", &World::timestamp(2, 2));
    world.put("2.snapshot.json", &null_meta("snapshot"));
    assert_eq!(world.refused().await, "tuf-malformed");
}

/// The same by size: a file larger than its kind may be is not read to its end.
#[tokio::test]
async fn cve_2026_23991_sizes() {
    for (name, size) in [
        ("2.root.json", 600_000),
        ("timestamp.json", 17_000),
        ("1.snapshot.json", 2_100_000),
        ("1.targets.json", 5_100_000),
    ] {
        let mut world = World::new();
        world.files.insert(name.to_owned(), vec![b' '; size]);
        assert_eq!(world.refused().await, "tuf-too-large", "{name}");
    }
}

/// go-tuf < 2.3.1: a threshold of 0 needed no signature.
#[tokio::test]
async fn cve_2026_23992_threshold_zero() {
    for name in ["root", "timestamp", "snapshot", "targets"] {
        let mut world = World::new();
        let mut root = world.root(2);
        root["roles"][name]["threshold"] = json!(0);
        world.put("2.root.json", &root);
        assert_eq!(world.refused().await, "tuf-threshold-zero", "{name}");
    }
    let mut world = World::new();
    let body = world.targets(1, "x/file", b"content");
    let roles = json!([{"name": "a", "keyids": [], "threshold": 0, "terminating": true, "paths": ["x/*"]}]);
    world.delegate(json!({"keys": {}, "roles": roles}), &[("a", body)], 2);
    assert_eq!(world.target("x/file").await.unwrap_err().code(), "tuf-threshold-zero");
}

/// go-tuf < 2.4.1: the name of a repository became a path. A mirror's folder is one segment, whatever it is called.
#[test]
fn cve_2026_24686_names_of_repositories() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().to_owned());
    for mirror in [
        "../../etc",
        "/etc",
        "..",
        ".",
        "https://a.test/../../x",
        "a\0b",
        "C:\\x",
    ] {
        let place = home.place(mirror);
        let name = place.folder().strip_prefix(folder.path()).unwrap();
        assert_eq!(name.components().count(), 1, "{mirror}");
        assert!(
            matches!(name.components().next(), Some(std::path::Component::Normal(_))),
            "{mirror}"
        );
    }
}

/// sigstore/sigstore's cache wrote targets where their names led. Names that lead anywhere are no targets here, and
/// roles with such names are kept as files of the folder.
#[tokio::test]
async fn cve_2026_24137_names_of_targets_and_roles() {
    for name in ["../escaped", "a/../../escaped", "/escaped", "a//b", ".."] {
        let mut world = World::new();
        let mut body = world.targets(2, "file.txt", b"content");
        body["targets"][name] = body["targets"]["file.txt"].clone();
        world.put("2.targets.json", &body);
        world.put("2.snapshot.json", &World::snapshot(2, 2));
        world.put("timestamp.json", &World::timestamp(2, 2));
        assert_eq!(world.target("file.txt").await.unwrap(), b"content");
        assert_eq!(
            world.target(name).await.unwrap_err().code(),
            "tuf-target-path",
            "{name}"
        );
    }
    let mut world = World::new();
    let key = Key::new(1);
    let mut body = World::head("targets", 1);
    body["targets"] = json!({});
    let roles =
        json!([{"name": "../../role", "keyids": [key.id], "threshold": 1, "terminating": false, "paths": ["*"]}]);
    world.delegate(
        json!({"keys": keys(&[&key]), "roles": roles}),
        &[("../../role", body.clone())],
        2,
    );
    world.put("1...%2F..%2Frole.json", &body);
    assert_eq!(world.target("nothing").await.unwrap_err().code(), "tuf-no-target");
    let kept: Vec<String> = std::fs::read_dir(world.store().folder().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(kept.contains(&"%2E.%2F..%2Frole.json".to_owned()), "{kept:?}");
    // A delegated "root" would be kept where the real one is.
    let mut world = World::new();
    let roles = json!([{"name": "root", "keyids": [key.id], "threshold": 1, "terminating": false, "paths": ["*"]}]);
    world.delegate(json!({"keys": keys(&[&key]), "roles": roles}), &[], 2);
    assert_eq!(world.refused().await, "tuf-malformed");
}

/// Not an advisory, but what one needs: the waiver of expiry waives nothing else.
#[tokio::test]
async fn a_waived_expiry_waives_nothing_else() {
    let late = now().plus(std::time::Duration::from_secs(3 * 365 * 24 * 3600));
    let mut world = World::new();
    let refused = world.refresh_at(late, Expiry::Enforced).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), "tuf-expired");
    world.publish(2, 2, 2);
    world.refresh_at(late, Expiry::Waived).await.unwrap();
    world.publish(1, 1, 1);
    let refused = world.refresh_at(late, Expiry::Waived).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), "tuf-rollback");
}
