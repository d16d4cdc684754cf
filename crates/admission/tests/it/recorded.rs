//! What kube-apiserver 1.36.2 really sends.

use std::path::PathBuf;

use proofmark_admission::{CustomKind, ImagePath, Kinds};
use serde_json::Value;

use crate::world::World;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/admission-reviews"))
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

/// Every case with every review that its API call sent, those of the mutating hook included.
fn reviews() -> Vec<(String, Value, String, Value)> {
    let index = read("index.json");
    let mut all = Vec::new();
    for (name, case) in index["cases"].as_object().unwrap() {
        for hook in ["validate", "mutate"] {
            for file in case[hook].as_array().unwrap() {
                let review = read(file.as_str().unwrap());
                all.push((name.clone(), case.clone(), hook.to_owned(), review));
            }
        }
    }
    assert!(all.len() >= 100, "only {} reviews found", all.len());
    all
}

/// `spec.containers[0].image` as a JSON pointer.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace('[', ".").replace(']', "").replace('.', "/"))
}

fn image_run() -> CustomKind {
    CustomKind {
        group: "fixtures.example.com".into(),
        version: "v1".into(),
        kind: "ImageRun".into(),
        resource: "imageruns".into(),
        images: vec![
            ImagePath::parse("/spec/image").unwrap(),
            ImagePath::parse("/spec/steps/*/image").unwrap(),
        ],
    }
}

#[test]
fn the_walker_finds_exactly_the_images_of_the_index() {
    let kinds = Kinds::with_custom(vec![image_run()]);
    for (name, case, hook, review) in reviews() {
        let request = &review["request"];
        let kind = |field: &str| request["kind"][field].as_str().unwrap();
        let found = kinds.images(kind("group"), kind("kind"), &request["object"]).unwrap();
        let mut found: Vec<(String, String)> = found
            .into_iter()
            .map(|found| (found.pointer, found.image.to_owned()))
            .collect();
        let mut expected: Vec<(String, String)> = case["images_in_object"]
            .as_array()
            .unwrap()
            .iter()
            .map(|place| {
                (
                    pointer(place[0].as_str().unwrap()),
                    place[1].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        found.sort();
        expected.sort();
        // The mutating hook of one case sees the object before the API server's own changes; images are the same.
        assert_eq!(found, expected, "{name} ({hook})");
    }
}

#[test]
fn without_being_told_custom_resources_have_no_images() {
    let review = read("custom-resource-create.json");
    let kinds = Kinds::default();
    assert!(!kinds.knows("fixtures.example.com", "ImageRun"));
    assert!(
        kinds
            .images("fixtures.example.com", "ImageRun", &review["request"]["object"])
            .unwrap()
            .is_empty()
    );
}

/// With no policy and every unmatched image refused, exactly the requests that add an image are refused, and nobody
/// is asked about them.
#[tokio::test(flavor = "multi_thread")]
async fn only_requests_that_add_an_image_are_judged() {
    const ADD_NOTHING: [&str; 11] = [
        "pod-delete",
        "pod-delete-collection",
        "deployment-delete",
        "deployment-scale",
        "replicaset-scale",
        "statefulset-scale",
        "replicationcontroller-scale",
        "pod-update-label-only",
        "job-update-label",
        "deployment-update-no-image-change",
        "pod-update-server-side-apply",
    ];
    let world = World::new().await;
    let webhook = world.webhook(&[], |_| {}).await;
    for (name, case, _, review) in reviews() {
        let adds = !ADD_NOTHING.contains(&name.as_str()) && case["kind"]["kind"] != "ImageRun";
        let response = webhook.validate(&review).await;
        if name == "pod-update-server-side-apply" {
            // One field manager adds a container to those of another.
            assert_eq!(response.allowed(), !adds_image(&review), "{name}");
        } else {
            assert_eq!(response.allowed(), !adds, "{name}: {}", response.0);
        }
        if !response.allowed() {
            assert_eq!(response.0["status"]["code"], 403, "{name}");
        }
        let response = webhook.mutate(&review).await;
        assert!(
            response.allowed() && response.patch().is_empty(),
            "{name}: {}",
            response.0
        );
    }
    assert!(
        webhook
            .metric("proofmark_admission_registry_requests_total")
            .await
            .abs()
            < 0.5
    );
    webhook.server.stop().await;
}

fn adds_image(review: &Value) -> bool {
    let images = |object: &Value| -> Vec<String> {
        let containers = object["spec"]["containers"].as_array().unwrap();
        containers
            .iter()
            .map(|container| container["image"].as_str().unwrap().to_owned())
            .collect()
    };
    let old = images(&review["request"]["oldObject"]);
    images(&review["request"]["object"])
        .iter()
        .any(|image| !old.contains(image))
}
