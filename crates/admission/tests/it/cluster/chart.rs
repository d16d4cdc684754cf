//! The Helm chart makes the objects that `install` makes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use proofmark_admission::{Installation, Target, Workload, objects};
use proofmark_testkit::peers::HELM_TEMPLATE;
use serde_json::{Value, json};

type Objects = BTreeMap<(String, String), Value>;

fn by_name(objects: impl IntoIterator<Item = Value>) -> Objects {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    objects
        .into_iter()
        .map(|object| ((text(&object["kind"]), text(&object["metadata"]["name"])), object))
        .collect()
}

fn rendered(program: &Path, namespace: &str, values: &Value) -> Result<Objects, String> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/proofmark-admission");
    let output = Command::new(program)
        .arg(chart)
        .args(["release", namespace, &values.to_string()])
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    Ok(by_name(documents.into_iter().filter(|document| !document.is_null())))
}

fn installed(namespace: &str, name: &str, change: impl FnOnce(&mut Installation, &mut Workload)) -> Objects {
    let mut installation = Installation::self_registering(Target::Service {
        namespace: namespace.into(),
        name: name.into(),
        port: 443,
    });
    installation.name = name.into();
    let mut workload = Workload::new("registry.example.com/proofmark:1".into());
    change(&mut installation, &mut workload);
    let mut objects = by_name(objects(&installation, &workload).unwrap());
    // Helm makes it.
    objects.remove(&("Namespace".to_owned(), namespace.to_owned())).unwrap();
    objects
}

#[test]
fn the_chart_makes_what_install_makes() {
    let Some(program) = HELM_TEMPLATE.or_skip() else { return };
    let image = "registry.example.com/proofmark:1";
    let chart = |namespace: &str, values: Value| rendered(&program, namespace, &values).unwrap();
    let usual = installed("proofmark", "proofmark-admission", |_, _| ());
    assert_eq!(usual.len(), 11);
    assert_eq!(chart("proofmark", json!({ "image": image })), usual);
    let values = json!({
        "image": image, "name": "gate", "replicas": 5, "allowUnmatched": true, "pullSecrets": true, "timeoutSeconds": 7,
        "excludeNamespaces": ["zoo", "kube-system", "build"],
    });
    let other = installed("security", "gate", |installation, workload| {
        installation.timeout_seconds = 7;
        installation.excluded_namespaces = ["zoo", "kube-system", "build"].map(str::to_owned).to_vec();
        workload.replicas = 5;
        workload.allow_unmatched = true;
        workload.pull_secrets = true;
    });
    assert_ne!(other, usual);
    assert_eq!(chart("security", values), other);
    // Without an image there is nothing to run.
    let refused = rendered(&program, "proofmark", &json!({})).unwrap_err();
    assert!(refused.contains("which image of proofmark to run"), "{refused}");
}
