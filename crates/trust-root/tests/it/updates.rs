//! What a good repository may do, and one bad place at a time.

use proofmark_trust_root::tuf::Store;
use serde_json::{Value, json};

use crate::world::{Key, World, keys, role, signed};

type Case = (&'static str, fn(&mut World), &'static str);

async fn check(cases: &[Case]) {
    for (what, change, reason) in cases {
        let mut world = World::new();
        change(&mut world);
        let code = world.refresh().await.map_or_else(|error| error.code(), |_| "");
        assert_eq!(code, *reason, "{what}");
    }
}

#[tokio::test]
async fn each_bad_timestamp_has_its_reason() {
    let cases: [Case; 7] = [
        ("nothing", |_| (), ""),
        (
            "a stranger's timestamp",
            |world| {
                let body = World::timestamp(2, 1);
                let stranger = Key::new(9).alias(9, &world.key.id);
                world.put_raw("timestamp.json", &signed(&[&stranger], &body));
            },
            "tuf-threshold",
        ),
        (
            "a changed field",
            |world| {
                let mut document: Value = serde_json::from_slice(&world.files["timestamp.json"]).unwrap();
                document["signed"]["version"] = json!(2);
                world.put_raw("timestamp.json", &document);
            },
            "tuf-threshold",
        ),
        (
            "another type",
            |world| {
                let mut body = World::timestamp(2, 1);
                body["_type"] = json!("snapshot");
                world.put("timestamp.json", &body);
            },
            "tuf-type",
        ),
        (
            "another major version",
            |world| {
                let mut body = World::timestamp(2, 1);
                body["spec_version"] = json!("2.0.0");
                world.put("timestamp.json", &body);
            },
            "tuf-malformed",
        ),
        (
            "expired",
            |world| {
                let mut body = World::timestamp(2, 1);
                body["expires"] = json!("2026-06-01T00:00:00Z");
                world.put("timestamp.json", &body);
            },
            "tuf-expired",
        ),
        (
            "no timestamp",
            |world| drop(world.files.remove("timestamp.json")),
            "tuf-missing",
        ),
    ];
    check(&cases).await;
}

#[tokio::test]
async fn each_bad_snapshot_has_its_reason() {
    let cases: [Case; 4] = [
        (
            "no snapshot",
            |world| world.put("timestamp.json", &World::timestamp(2, 7)),
            "tuf-missing",
        ),
        (
            "a snapshot of another version",
            |world| {
                world.put("timestamp.json", &World::timestamp(2, 2));
                world.put("2.snapshot.json", &World::snapshot(3, 1));
            },
            "tuf-version",
        ),
        (
            "a snapshot of another hash",
            |world| {
                let mut body = World::timestamp(2, 1);
                body["meta"]["snapshot.json"]["hashes"] = json!({"sha256": "00".repeat(32)});
                world.put("timestamp.json", &body);
            },
            "tuf-hash",
        ),
        (
            "a snapshot of another length",
            |world| {
                let mut body = World::timestamp(2, 1);
                body["meta"]["snapshot.json"]["length"] = json!(100_000);
                world.put("timestamp.json", &body);
            },
            "tuf-length",
        ),
    ];
    check(&cases).await;
}

#[tokio::test]
async fn a_root_needs_the_old_keys_and_its_own() {
    let (one, two) = (Key::new(1), Key::new(2));
    for (signers, good) in [(vec![&one, &two], true), (vec![&two], false), (vec![&one], false)] {
        let mut world = World::new();
        let mut root = world.root(2);
        root["keys"] = keys(&[&one, &two]);
        root["roles"]["root"] = role(&[&two], 1);
        world.put_raw("2.root.json", &signed(&signers, &root));
        match world.refresh().await {
            Ok(trusted) => assert!(good && trusted.root_version() == 2),
            Err(error) => assert!(!good && error.code() == "tuf-threshold", "{error}"),
        }
    }
}

#[tokio::test]
async fn the_store_cannot_bring_a_root_of_its_own() {
    let world = World::new();
    world.refresh().await.unwrap();
    let stranger = Key::new(9);
    let mut root = world.root(2);
    root["keys"] = keys(&[&stranger]);
    for name in ["root", "timestamp", "snapshot", "targets"] {
        root["roles"][name] = role(&[&stranger], 1);
    }
    let history = world.store().folder().unwrap().join("root_history");
    std::fs::write(history.join("2.root.json"), signed(&[&stranger], &root).to_string()).unwrap();
    std::fs::write(
        world.store().folder().unwrap().join("root.json"),
        signed(&[&stranger], &root).to_string(),
    )
    .unwrap();
    assert_eq!(world.refresh().await.unwrap().root_version(), 1);
}

#[tokio::test]
async fn what_is_kept_is_what_came() {
    let mut world = World::new();
    let bytes = [world.files["timestamp.json"].as_slice(), b" \n"].concat();
    world.files.insert("timestamp.json".to_owned(), bytes.clone());
    world.refresh().await.unwrap();
    assert_eq!(
        Store::new(world.store().folder().unwrap().to_owned()).metadata("timestamp"),
        Some(bytes)
    );
}

#[tokio::test]
async fn hash_bins_lead_to_the_role_of_the_path() {
    let key = Key::new(1);
    let mut world = World::new();
    // SHA-256 of "x/file" decides between bin-0 and bin-1; both are signed, one has the target.
    let has = world.targets(1, "x/file", b"content");
    let mut empty = World::head("targets", 1);
    empty["targets"] = json!({});
    let bins = json!({"keyids": [key.id], "threshold": 1, "bit_length": 1, "name_prefix": "bin"});
    let delegations = json!({"keys": keys(&[&key]), "succinct_roles": bins});
    let mut found = 0;
    for order in [
        [("bin-0", has.clone()), ("bin-1", empty.clone())],
        [("bin-0", empty), ("bin-1", has)],
    ] {
        let mut world = World::new();
        world.targets(1, "x/file", b"content");
        world.delegate(delegations.clone(), &order, 2);
        match world.target("x/file").await {
            Ok(content) => {
                assert_eq!(content, b"content");
                found += 1;
            }
            Err(error) => assert_eq!(error.code(), "tuf-no-target"),
        }
    }
    assert_eq!(found, 1);
}

#[tokio::test]
async fn a_target_is_what_was_announced() {
    let mut world = World::new();
    assert_eq!(world.target("file.txt").await.unwrap(), b"content 1");
    let name = world
        .files
        .keys()
        .find(|name| name.starts_with("targets/"))
        .unwrap()
        .clone();
    world.files.insert(name.clone(), b"content 2".to_vec());
    assert_eq!(world.target("file.txt").await.unwrap_err().code(), "tuf-hash");
    world.files.insert(name.clone(), b"content".to_vec());
    assert_eq!(world.target("file.txt").await.unwrap_err().code(), "tuf-length");
    world.files.insert(name.clone(), b"content 1 and more".to_vec());
    assert_eq!(world.target("file.txt").await.unwrap_err().code(), "tuf-too-large");
    world.files.remove(&name);
    assert_eq!(world.target("file.txt").await.unwrap_err().code(), "tuf-missing");
    assert_eq!(world.target("other.txt").await.unwrap_err().code(), "tuf-no-target");
}
