//! The walker against the API server's own description of a PodSpec: a place that names an image and is not walked is a
//! hole in every policy, and each of the peers has had one.

use std::collections::BTreeSet;

use proofmark_admission::Kinds;
use serde_json::{Map, Value, json};

use super::{Site, until};

/// The description as kube-apiserver 1.36.2 serves it (`/openapi/v2`; Kubernetes, Apache-2.0), so that the test needs no
/// API server: of the definitions that a PodSpec refers to, the names of properties and their types.
const RECORDED: &str = include_str!("podspec-1.36.json");

/// What the API server serves is brought to the form of the recorded file.
fn reduced(openapi: &Value) -> Value {
    let definitions = openapi["definitions"].as_object().unwrap();
    let mut wanted = vec!["io.k8s.api.core.v1.PodSpec".to_owned()];
    let mut reduced = Map::new();
    while let Some(name) = wanted.pop() {
        if reduced.contains_key(&name) {
            continue;
        }
        let mut properties = Map::new();
        for (property, schema) in definitions[&name]["properties"].as_object().into_iter().flatten() {
            let (many, inner) = match schema["type"].as_str() {
                Some("array") => ("[]", &schema["items"]),
                Some("object") if schema.get("additionalProperties").is_some() => {
                    ("{}", &schema["additionalProperties"])
                }
                _ => ("", schema),
            };
            let kind = match inner["$ref"].as_str() {
                Some(reference) => {
                    let name = reference.strip_prefix("#/definitions/").unwrap();
                    wanted.push(name.to_owned());
                    name
                }
                None => inner["type"].as_str().unwrap_or("any"),
            };
            properties.insert(property.clone(), format!("{kind}{many}").into());
        }
        reduced.insert(name, properties.into());
    }
    reduced.into()
}

/// Every place below a PodSpec that holds a string and may name an image: by its own name, by the name of what it is in,
/// or by what Kubernetes calls its type.
fn places_of_images(definitions: &Value) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    walk(definitions, "io.k8s.api.core.v1.PodSpec", &mut Vec::new(), &mut found);
    found
}

fn walk(definitions: &Value, name: &str, path: &mut Vec<String>, found: &mut BTreeSet<Vec<String>>) {
    assert!(path.len() < 24, "a PodSpec has no such depth: {path:?}");
    let says_image = |text: &str| text.to_ascii_lowercase().contains("image");
    for (property, kind) in definitions[name]
        .as_object()
        .unwrap_or_else(|| panic!("{name} is not described"))
    {
        let kind = kind.as_str().unwrap();
        let bare = kind.trim_end_matches("[]").trim_end_matches("{}");
        let depth = path.len();
        path.push(property.clone());
        if bare != kind {
            path.push("*".to_owned());
        }
        if definitions
            .get(bare)
            .is_some_and(|inner| inner.as_object().is_some_and(|inner| !inner.is_empty()))
        {
            walk(definitions, bare, path, found);
        } else if says_image(property) || says_image(name) {
            found.insert(path.clone());
        }
        path.truncate(depth);
    }
}

/// Places that say "image" and name none that is pulled: the last parts of their paths.
const NO_IMAGES: [(&[&str], &str); 3] = [
    (&["imagePullPolicy"], "a word"),
    (&["volumes", "*", "image", "pullPolicy"], "a word"),
    (&["volumes", "*", "rbd", "image"], "a block device of Ceph"),
];

fn is_no_image(path: &[String]) -> bool {
    NO_IMAGES
        .iter()
        .any(|(end, _)| path.len() >= end.len() && path[path.len() - end.len()..].iter().eq(end.iter()))
}

/// Puts a string at a place.
fn spec_with(path: &[String], image: &str) -> Value {
    path.iter()
        .rev()
        .fold(Value::from(image), |inner, segment| match segment.as_str() {
            "*" => json!([inner]),
            name => json!({ name: inner }),
        })
}

fn unhandled(definitions: &Value) -> Vec<Vec<String>> {
    let mut missed = Vec::new();
    for path in places_of_images(definitions) {
        if is_no_image(&path) {
            continue;
        }
        let pod = json!({ "spec": spec_with(&path, "registry.example.com/x:1") });
        let kinds = Kinds::default();
        let found = kinds.images("", "Pod", &pod).unwrap();
        if found.len() != 1 || found[0].image != "registry.example.com/x:1" {
            missed.push(path);
        }
    }
    missed
}

#[test]
fn the_walker_knows_every_place_of_an_image() {
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    let places = places_of_images(&recorded);
    for known in ["containers", "initContainers", "ephemeralContainers"] {
        assert!(
            places.contains(&vec![known.to_owned(), "*".to_owned(), "image".to_owned()]),
            "{known}: {places:?}"
        );
    }
    let volume = ["volumes", "*", "image", "reference"].map(str::to_owned).to_vec();
    assert!(places.contains(&volume), "{places:?}");
    assert_eq!(
        unhandled(&recorded),
        Vec::<Vec<String>>::new(),
        "places of images that the walker does not walk"
    );
}

#[test]
fn a_new_place_fails_until_it_is_walked() {
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    // A field of a container, a list of strings, a source of volumes.
    let mut with = recorded.clone();
    with["io.k8s.api.core.v1.Container"]["sidecarImage"] = "string".into();
    assert_eq!(
        unhandled(&with).len(),
        2,
        "containers and init containers: {:?}",
        unhandled(&with)
    );
    let mut with = recorded.clone();
    with["io.k8s.api.core.v1.PodSpec"]["preloadImages"] = "string[]".into();
    assert_eq!(unhandled(&with), [["preloadImages", "*"]]);
    let mut with = recorded;
    with["io.k8s.api.core.v1.Volume"]["bundle"] = "io.k8s.api.core.v1.OciImageSource".into();
    with["io.k8s.api.core.v1.OciImageSource"] = json!({ "reference": "string" });
    assert_eq!(unhandled(&with), [["volumes", "*", "bundle", "reference"]]);
}

/// What the API server serves; it puts it together after it is ready.
async fn openapi(site: &Site) -> Value {
    let mut served = Value::Null;
    until("the description is served", async || {
        served = site.cluster.get("/openapi/v2").await.unwrap_or_default();
        served["definitions"].get("io.k8s.api.batch.v1.CronJob").is_some()
    })
    .await;
    served
}

/// The recorded description is that of the API server the suite runs with. `PROOFMARK_RECORD=1` writes it anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_description_is_the_api_servers() {
    let Some(site) = Site::new("schema").await else { return };
    let seen = reduced(&openapi(&site).await);
    if std::env::var_os("PROOFMARK_RECORD").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cluster/podspec-1.36.json");
        std::fs::write(path, format!("{seen:#}\n")).unwrap();
        return;
    }
    assert_eq!(unhandled(&seen), Vec::<Vec<String>>::new());
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    assert_eq!(seen, recorded);
}

/// Kinds that hold a PodSpec are found by what refers to one.
#[tokio::test(flavor = "multi_thread")]
async fn no_kind_that_holds_a_pod_spec_is_left_out() {
    let Some(site) = Site::new("schema-kinds").await else {
        return;
    };
    let openapi = openapi(&site).await;
    let definitions = openapi["definitions"].as_object().unwrap();
    let mut holders: BTreeSet<String> = ["io.k8s.api.core.v1.PodSpec".to_owned()].into();
    loop {
        let before = holders.len();
        for (name, definition) in definitions {
            let text = definition["properties"].to_string();
            if holders
                .iter()
                .any(|holder| text.contains(&format!("\"#/definitions/{holder}\"")))
            {
                holders.insert(name.clone());
            }
        }
        if holders.len() == before {
            break;
        }
    }
    let kinds = Kinds::default();
    let mut seen = 0;
    for holder in &holders {
        for kind in definitions[holder]["x-kubernetes-group-version-kind"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let (group, kind) = (kind["group"].as_str().unwrap(), kind["kind"].as_str().unwrap());
            let is_list = kind.ends_with("List");
            assert!(
                is_list || kinds.knows(group, kind),
                "{kind} of {group:?} holds a PodSpec and is not known"
            );
            seen += usize::from(!is_list);
        }
    }
    assert!(seen >= 9, "{holders:?}");
}
