use serde_json::json;

use super::*;

fn pointers(kinds: &Kinds, group: &str, kind: &str, object: &Value) -> Vec<(String, String)> {
    let found = kinds.images(group, kind, object).unwrap();
    found
        .into_iter()
        .map(|found| (found.pointer, found.image.to_owned()))
        .collect()
}

fn pod_spec() -> Value {
    json!({
        "initContainers": [{ "name": "i", "image": "i:1" }],
        "containers": [{ "name": "a", "image": "a:1" }, { "name": "b", "image": "b:1" }],
        "ephemeralContainers": [{ "name": "e", "image": "e:1" }],
        "volumes": [{ "name": "v", "image": { "reference": "v:1" } }, { "name": "t", "emptyDir": {} }],
    })
}

#[test]
fn every_place_of_every_kind_is_found_and_points_at_its_string() {
    let kinds = Kinds::default();
    for (group, kind, prefix) in [
        ("", "Pod", "/spec"),
        ("", "ReplicationController", "/spec/template/spec"),
        ("", "PodTemplate", "/template/spec"),
        ("apps", "Deployment", "/spec/template/spec"),
        ("apps", "ReplicaSet", "/spec/template/spec"),
        ("apps", "StatefulSet", "/spec/template/spec"),
        ("apps", "DaemonSet", "/spec/template/spec"),
        ("batch", "Job", "/spec/template/spec"),
        ("batch", "CronJob", "/spec/jobTemplate/spec/template/spec"),
    ] {
        let mut object = pod_spec();
        for segment in prefix.trim_start_matches('/').rsplit('/') {
            object = json!({ segment: object });
        }
        let found = pointers(&kinds, group, kind, &object);
        let mut images: Vec<&str> = found.iter().map(|(_, image)| image.as_str()).collect();
        images.sort_unstable();
        assert_eq!(images, ["a:1", "b:1", "e:1", "i:1", "v:1"], "{kind}");
        for (pointer, image) in &found {
            assert!(pointer.starts_with(prefix));
            assert_eq!(object.pointer(pointer).unwrap(), image);
        }
    }
}

#[test]
fn groups_are_told_apart() {
    let kinds = Kinds::default();
    let object = json!({ "spec": pod_spec() });
    assert!(pointers(&kinds, "example.com", "Pod", &object).is_empty());
    assert!(!kinds.knows("example.com", "Pod") && kinds.knows("", "Pod"));
}

#[test]
fn nothing_is_skipped_because_of_its_shape() {
    let kinds = Kinds::default();
    for (spec, expected) in [
        (
            json!({ "containers": [{ "image": 7 }] }),
            "/spec/containers/0/image: expected a string, got a number",
        ),
        (
            json!({ "containers": "x" }),
            "/spec/containers: expected a list, got a string",
        ),
        (
            json!({ "containers": ["x"] }),
            "/spec/containers/0: expected an object, got a string",
        ),
        (
            json!({ "volumes": [{ "image": "x" }] }),
            "/spec/volumes/0/image: expected an object, got a string",
        ),
        (json!([]), "/spec: expected an object, got a list"),
    ] {
        let error = kinds.images("", "Pod", &json!({ "spec": spec })).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.code(), "object-malformed");
    }
}

#[test]
fn absent_null_and_empty_images_are_none() {
    let object = json!({ "spec": { "containers": [{}, { "image": null }, { "image": "" }, null], "volumes": null } });
    assert!(pointers(&Kinds::default(), "", "Pod", &object).is_empty());
    assert!(pointers(&Kinds::default(), "", "Pod", &json!({})).is_empty());
}

#[test]
fn images_are_bounded() {
    let containers: Vec<Value> = (0..=MAX_IMAGES).map(|n| json!({ "image": format!("a:{n}") })).collect();
    let error = Kinds::default()
        .images("", "Pod", &json!({ "spec": { "containers": containers } }))
        .unwrap_err();
    assert_eq!(error, WalkError::TooMany);
}

#[test]
fn lists_are_walked_to_a_bound() {
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "spec": { "containers": [{ "image": "a:1" }] } });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "spec": { "template": { "spec": { "containers": [{ "image": "b:1" }] } } },
    });
    let other = json!({ "apiVersion": "v1", "kind": "ConfigMap" });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [pod, other, job] });
    let kinds = Kinds::default();
    assert_eq!(
        pointers(&kinds, "", "List", &list),
        [
            ("/items/0/spec/containers/0/image".to_owned(), "a:1".to_owned()),
            (
                "/items/2/spec/template/spec/containers/0/image".to_owned(),
                "b:1".to_owned()
            ),
        ]
    );
    let outer = json!({ "items": [list] });
    assert_eq!(pointers(&kinds, "", "List", &outer).len(), 2);
    let outermost = json!({ "items": [{ "apiVersion": "v1", "kind": "List", "items": [outer["items"][0]] }] });
    assert_eq!(kinds.images("", "List", &outermost).unwrap_err(), WalkError::TooDeep);
    assert!(kinds.images("", "List", &json!({ "items": 7 })).is_err());
}

#[test]
fn custom_kinds_and_escaped_names() {
    let kinds = Kinds::with_custom(vec![CustomKind {
        group: "example.com".into(),
        version: "v1".into(),
        kind: "Run".into(),
        resource: "runs".into(),
        images: vec![
            ImagePath::parse("/spec/image").unwrap(),
            ImagePath::parse("/spec/by~1name/*/image").unwrap(),
        ],
    }]);
    let object = json!({ "spec": { "image": "a", "by/name": { "x~y": { "image": "b" } } } });
    let found = pointers(&kinds, "example.com", "Run", &object);
    assert_eq!(found[1].0, "/spec/by~1name/x~0y/image");
    for (pointer, image) in &found {
        assert_eq!(object.pointer(pointer).unwrap(), image);
    }
    assert!(
        kinds
            .rules()
            .iter()
            .any(|rule| rule.group == "example.com" && rule.resources == ["runs"])
    );
    for bad in ["", "spec/image", "/", "/spec//image"] {
        assert_eq!(
            ImagePath::parse(bad).unwrap_err().code(),
            "image-path-malformed",
            "{bad}"
        );
    }
}

#[test]
fn rules_cover_every_kind_and_ephemeral_containers() {
    let rules = Kinds::default().rules();
    let all: Vec<String> = rules
        .iter()
        .flat_map(|rule| rule.resources.iter().map(|name| format!("{}/{name}", rule.group)))
        .collect();
    assert_eq!(
        all,
        [
            "/pods",
            "/pods/ephemeralcontainers",
            "/replicationcontrollers",
            "/podtemplates",
            "apps/deployments",
            "apps/replicasets",
            "apps/statefulsets",
            "apps/daemonsets",
            "batch/jobs",
            "batch/cronjobs",
        ]
    );
    assert!(sub_resource_has_images(None) && sub_resource_has_images(Some("ephemeralcontainers")));
    for other in ["scale", "status", "binding", "eviction", "resize", "exec"] {
        assert!(!sub_resource_has_images(Some(other)), "{other}");
    }
}
