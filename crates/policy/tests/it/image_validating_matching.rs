//! Which requests an `ImageValidatingPolicy` is about, and how it reads what makes Pods.

use std::collections::BTreeMap;

use proofmark_policy::{Operation, PolicySet, RequestContext};
use proofmark_types::ImageRef;
use serde_json::json;

use crate::image_validating::{APP, PLAIN, SIGNED, Scene, app, policy};
use crate::world::{assert_denied, assert_pass, load};

pub(crate) fn deployment(set: &PolicySet, layout: &str) -> Scene {
    let mut scene = Scene::pod(set, APP, layout);
    let pod = scene.object.clone();
    scene.object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "prod" },
        "spec": { "replicas": 1, "template": { "metadata": { "labels": pod["metadata"]["labels"] }, "spec": pod["spec"] } },
    });
    scene.asked("apps/deployments", "", Operation::Create)
}

#[test]
fn what_makes_pods_is_read_as_the_pod_that_it_makes() {
    let labelled = "matchConditions:\n  - name: prod\n    expression: has(object.metadata.labels) && has(object.metadata.labels.prod) && object.metadata.labels.prod == 'true'\n  ";
    let set = load(&policy(&format!("{PLAIN}{labelled}{SIGNED}")));
    assert_pass(&deployment(&set, "cosign/v3-sign-p256").decide(&set));
    assert_denied(&deployment(&set, "cosign/unsigned").decide(&set), "validation-failed");
    let mut unlabelled = deployment(&set, "cosign/unsigned");
    unlabelled.object["spec"]["template"]["metadata"] = json!({});
    assert!(unlabelled.decide(&set).policies.is_empty());
    // `spec` is the Pod's, the namespace is the object's own.
    let paths =
        "validations: [{expression: \"size(object.spec.containers) == 1 && object.metadata.namespace == 'prod'\"}]\n";
    let set = load(&policy(&format!("{PLAIN}{paths}")));
    assert_pass(&deployment(&set, "cosign/unsigned").decide(&set));
    // Cron jobs have their template elsewhere.
    let mut cron = deployment(&set, "cosign/unsigned").asked("batch/cronjobs", "", Operation::Create);
    cron.object["kind"] = json!("CronJob");
    cron.object["spec"] = json!({ "jobTemplate": { "spec": cron.object["spec"] } });
    let signed = load(&policy(&format!("{PLAIN}{SIGNED}")));
    assert_pass(&cron.decide(&set));
    assert_denied(&cron.decide(&signed), "validation-failed");
}

#[test]
fn autogen_can_be_limited_and_is_off_for_what_is_not_about_pods_alone() {
    let concerned = |text: &str| {
        let set = load(text);
        !deployment(&set, "cosign/unsigned").decide(&set).policies.is_empty()
    };
    let plain = policy(&format!("{PLAIN}{SIGNED}"));
    assert!(concerned(&plain));
    let limited = |list: &str| {
        policy(&format!(
            "{PLAIN}autogen: {{podControllers: {{controllers: {list}}}}}\n  {SIGNED}"
        ))
    };
    assert!(concerned(&limited("[deployments, cronjobs]")));
    assert!(!concerned(&limited("[statefulsets]")));
    assert!(!concerned(&limited("[]")));
    assert!(!concerned(
        &plain.replace("resources: [pods]", "resources: [pods, services]")
    ));
    let selected = plain.replace(
        "    resourceRules:",
        "    objectSelector: {matchLabels: {prod: \"true\"}}\n    resourceRules:",
    );
    assert!(!concerned(&selected));
    // By its own name it is about the object as it is.
    let direct = plain
        .replace("apiGroups: [\"\"]", "apiGroups: [apps]")
        .replace("resources: [pods]", "resources: [deployments]");
    assert!(concerned(&direct));
    let set = load(&direct.replace(
        SIGNED,
        "validations: [{expression: \"object.spec.replicas == 1 && size(images.containers) == 1\"}]\n",
    ));
    assert_pass(&deployment(&set, "cosign/unsigned").decide(&set));
}

#[test]
fn constraints_select_and_what_is_not_known_does_not_exclude() {
    let concerned = |text: &str, scene: &dyn Fn(Scene) -> Scene| {
        let set = load(text);
        let scene = scene(Scene::pod(&set, APP, "cosign/unsigned"));
        !scene.decide(&set).policies.is_empty()
    };
    let same = |scene: Scene| scene;
    let plain = policy(&format!("{PLAIN}{SIGNED}"));
    let with = |constraint: &str| plain.replace("    resourceRules:", &format!("    {constraint}\n    resourceRules:"));
    assert!(concerned(&plain, &same));
    for (constraint, expected) in [
        ("objectSelector: {matchLabels: {prod: \"true\"}}", true),
        ("objectSelector: {matchLabels: {prod: \"false\"}}", false),
        (
            "objectSelector: {matchExpressions: [{key: prod, operator: Exists}]}",
            true,
        ),
        (
            "objectSelector: {matchExpressions: [{key: prod, operator: DoesNotExist}]}",
            false,
        ),
        (
            "objectSelector: {matchExpressions: [{key: prod, operator: NotIn, values: [\"true\"]}]}",
            false,
        ),
        (
            "objectSelector: {matchExpressions: [{key: prod, operator: In, values: [\"true\"]}]}",
            true,
        ),
        ("namespaceSelector: {matchLabels: {checked: \"true\"}}", true),
        (
            "excludeResourceRules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [\"*\"], resources: [pods]}]",
            false,
        ),
        (
            "excludeResourceRules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [UPDATE], resources: [pods]}]",
            true,
        ),
        (
            "excludeResourceRules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [\"*\"], resources: [pods], resourceNames: [web]}]",
            false,
        ),
        (
            "excludeResourceRules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [\"*\"], resources: [pods], resourceNames: [api]}]",
            true,
        ),
    ] {
        assert_eq!(concerned(&with(constraint), &same), expected, "{constraint}");
    }
    let updated = |scene: Scene| scene.asked("pods", "", Operation::Update);
    assert!(concerned(&plain, &updated));
    assert!(!concerned(&plain.replace("[CREATE, UPDATE]", "[CREATE]"), &updated));
    assert!(concerned(&plain.replace("[CREATE, UPDATE]", "[\"*\"]"), &updated));
    let cluster = plain.replace("resources: [pods]", "resources: [pods]\n      scope: Cluster");
    assert!(!concerned(&cluster, &same));
}

/// Labels of a namespace that somebody looked up do exclude.
#[test]
fn labels_of_the_namespace_select() {
    let plain = policy(&format!("{PLAIN}{SIGNED}"));
    let with = |constraint: &str| plain.replace("    resourceRules:", &format!("    {constraint}\n    resourceRules:"));
    let set = load(&with("namespaceSelector: {matchLabels: {checked: \"true\"}}"));
    let scene = Scene::pod(&set, APP, "cosign/unsigned");
    for (labels, expected) in [(vec![("checked", "true")], true), (Vec::new(), false)] {
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let context = RequestContext {
            namespace_labels: Some(&labels),
            ..scene.context()
        };
        assert_eq!(
            !set.object_concern(&context).policies.is_empty(),
            expected,
            "{labels:?}"
        );
    }
}

#[test]
fn a_namespaced_policy_is_about_its_own_namespace() {
    let namespaced = |namespace: &str| {
        let text = policy(&format!("{PLAIN}{SIGNED}"))
            .replace("kind: ImageValidatingPolicy", "kind: NamespacedImageValidatingPolicy")
            .replace(
                "  name: check-images",
                &format!("  name: check-images\n  namespace: {namespace}"),
            );
        load(&text)
    };
    let own = namespaced("prod");
    assert_eq!(own.summaries()[0].kind, "NamespacedImageValidatingPolicy");
    assert_eq!(own.summaries()[0].name, "prod/check-images");
    assert_pass(&app(&own));
    assert_denied(
        &Scene::pod(&own, APP, "cosign/unsigned").decide(&own),
        "validation-failed",
    );
    let other = namespaced("dev");
    assert!(
        Scene::pod(&other, APP, "cosign/unsigned")
            .decide(&other)
            .policies
            .is_empty()
    );
    // Where the namespace is not known, it is not another one.
    assert!(
        !other
            .concerns(&ImageRef::parse(APP).unwrap(), &RequestContext::default())
            .is_none()
    );
}
