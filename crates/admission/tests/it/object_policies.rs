//! Kyverno's `ImageValidatingPolicy` through the webhook: evidence of all images is gathered first, then the policy is asked
//! once about the object.

use std::time::Duration;

use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::world::{Wire, World, pod, pod_update, review};

impl World {
    /// A policy with the attestor `release`, the world's key.
    pub(crate) fn validating(&self, name: &str, spec: &str) -> (String, String) {
        let key = self.key.public_key_pem().trim_end().replace('\n', "\n          ");
        let spec = spec.trim_end().replace('\n', "\n  ");
        let text = format!(
            "apiVersion: policies.kyverno.io/v1
kind: ImageValidatingPolicy
metadata:
  name: {name}
spec:
  matchConstraints:
    resourceRules:
    - apiGroups: [\"\"]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [pods]
  matchImageReferences:
  - glob: \"{}/*\"
  attestors:
  - name: release
    cosign:
      key:
        data: |
          {key}
      ctlog:
        insecureIgnoreTlog: true
  {spec}
",
            self.wire_address
        );
        (format!("{name}.yaml"), text)
    }
}

pub(crate) const SIGNED: &str = "validationConfigurations: {mutateDigest: false, verifyDigest: false}
validations:
- expression: images.containers.map(image, verifyImageSignatures(image, [attestors.release])).all(e, e > 0)
  message: not signed by the release key";

#[tokio::test(flavor = "multi_thread")]
async fn signed_images_run_and_their_twins_do_not() {
    let world = World::new().await;
    let (signed, digest) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    let foreign = world.push("foreign", "1.0", "foreign").await;
    world.sign("foreign", &foreign, &KeyPair::generate().unwrap()).await;
    let webhook = world.webhook(&[world.validating("check", SIGNED)], |_| {}).await;
    for image in [signed.clone(), format!("{signed}@{digest}")] {
        let response = webhook.validate(&pod(&[&image])).await;
        response.assert_allowed();
        let noted = response.0["auditAnnotations"]["images"].as_str().unwrap();
        assert!(noted.contains("pass (check)"), "{noted}");
    }
    for images in [
        vec![world.image("unsigned:1.0")],
        vec![world.image("foreign:1.0")],
        vec![signed.clone(), world.image("unsigned:1.0")],
    ] {
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        let response = webhook.validate(&pod(&images)).await;
        response.assert_denied_because("validation-failed");
        let text = response.message();
        assert!(text.contains("its images together are refused"), "{text}");
        assert!(text.contains("not signed by the release key"), "{text}");
    }
    let response = webhook.validate(&pod(&[&world.image("foreign:1.0")])).await;
    assert!(
        response.message().contains("[signature-not-by-given-key]"),
        "{}",
        response.message()
    );
    // Nothing concerns it, and that is the default's to say.
    let other = webhook.validate(&pod(&["docker.io/library/nginx:1"])).await;
    other.assert_denied_because("no-policy-matched");
    webhook.server.stop().await;
}

/// kyverno#16336: what an object says about itself is nothing.
#[tokio::test(flavor = "multi_thread")]
async fn kyverno_16336_a_forged_annotation_changes_nothing() {
    let world = World::new().await;
    world.push("unsigned", "1.0", "unsigned").await;
    let webhook = world.webhook(&[world.validating("check", SIGNED)], |_| {}).await;
    let image = world.image("unsigned:1.0");
    let mut forged = pod(&[&image]);
    forged["request"]["object"]["metadata"]["annotations"] = json!({
        "kyverno.io/image-verification-outcomes": format!("{{\"check\":{{\"name\":\"check\",\"ruleResponses\":[{{\"status\":\"pass\"}}]}},\"{image}\":\"pass\"}}"),
    });
    webhook
        .validate(&forged)
        .await
        .assert_denied_because("validation-failed");
    webhook.server.stop().await;
}

/// kyverno#16275: an ephemeral container is an image of the Pod.
#[tokio::test(flavor = "multi_thread")]
async fn kyverno_16275_ephemeral_containers_are_asked_about() {
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    let webhook = world.webhook(&[world.validating("check", SIGNED)], |_| {}).await;
    let debug = |image: &str| {
        let mut review = pod_update(&[&signed], &[&signed]);
        review["request"]["subResource"] = "ephemeralcontainers".into();
        review["request"]["object"]["spec"]["ephemeralContainers"] = json!([{ "name": "debug", "image": image }]);
        review
    };
    // The policy asks for signatures of containers alone; `required` wants every image vouched for.
    webhook
        .validate(&debug(&world.image("unsigned:1.0")))
        .await
        .assert_denied_because("image-not-verified");
    webhook.validate(&debug(&signed)).await.assert_allowed();
    webhook.server.stop().await;
}

/// kyverno#17130: a payload is of statements that this policy has verified, also when the evidence was held.
#[tokio::test(flavor = "multi_thread")]
async fn kyverno_17130_payloads_are_verified_when_evidence_is_held() {
    const PAYLOAD: &str = "validationConfigurations: {mutateDigest: false, verifyDigest: false, required: false}
attestations: [{name: sbom, intoto: {type: cyclonedx}}]
validations:
- expression: images.containers.all(i, verifyAttestationSignatures(i, attestations.sbom, [attestors.release]) > 0)
  message: no signed bill
- expression: images.containers.all(i, extractPayload(i, attestations.sbom).predicate.bomFormat == 'CycloneDX')
  message: another format";
    let world = World::new().await;
    let bill = |format: &str| json!({ "bomFormat": format, "specVersion": "1.5" });
    let good = world.push("good", "1.0", "good").await;
    world
        .attest("good", &good, &world.key, "cyclonedx", bill("CycloneDX"))
        .await;
    let stranger = KeyPair::generate().unwrap();
    let foreign = world.push("foreign", "1.0", "foreign").await;
    world
        .attest("foreign", &foreign, &stranger, "cyclonedx", bill("CycloneDX"))
        .await;
    // Two by the right signer: whoever pushes does not choose which of them is looked at.
    let mixed = world.push("mixed", "1.0", "mixed").await;
    world
        .attest("mixed", &mixed, &world.key, "cyclonedx", bill("CycloneDX"))
        .await;
    world
        .attest("mixed", &mixed, &world.key, "cyclonedx", bill("Other"))
        .await;
    // One by the right signer, and another that only looks better.
    let beside = world.push("beside", "1.0", "beside").await;
    world
        .attest("beside", &beside, &world.key, "cyclonedx", bill("Other"))
        .await;
    world
        .attest("beside", &beside, &stranger, "cyclonedx", bill("CycloneDX"))
        .await;
    let webhook = world.webhook(&[world.validating("check", PAYLOAD)], |_| {}).await;
    for _ in 0..3 {
        webhook
            .validate(&pod(&[&world.image("good:1.0")]))
            .await
            .assert_allowed();
        for (name, message) in [
            ("foreign", "no signed bill"),
            ("mixed", "another format"),
            ("beside", "another format"),
        ] {
            let response = webhook.validate(&pod(&[&world.image(&format!("{name}:1.0"))])).await;
            response.assert_denied_because("validation-failed");
            assert!(response.message().contains(message), "{name}: {}", response.message());
        }
    }
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_pods_is_asked_about_and_updates_that_add_nothing_are_not() {
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    let unsigned = world.image("unsigned:1.0");
    let webhook = world.webhook(&[world.validating("check", SIGNED)], |_| {}).await;
    let deployment = |image: &str| {
        let spec = json!({ "containers": [{ "name": "web", "image": image }] });
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "team-a" },
            "spec": { "replicas": 1, "template": { "metadata": {}, "spec": spec } },
        })
    };
    let created = |image: &str| review("Deployment", "CREATE", &deployment(image), &Value::Null);
    webhook.validate(&created(&signed)).await.assert_allowed();
    webhook
        .validate(&created(&unsigned))
        .await
        .assert_denied_because("validation-failed");
    let scaled = review("Deployment", "UPDATE", &deployment(&unsigned), &deployment(&unsigned));
    webhook.validate(&scaled).await.assert_allowed();
    // An image that was there before is asked about with one that is added.
    webhook
        .validate(&pod_update(&[&unsigned], &[&unsigned, &signed]))
        .await
        .assert_denied_because("validation-failed");
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_pinned_where_the_policy_wants_it() {
    let world = World::new().await;
    let (signed, digest) = world.signed("app").await;
    let spec = SIGNED.replace("mutateDigest: false, verifyDigest: false", "");
    let webhook = world.webhook(&[world.validating("check", &spec)], |_| {}).await;
    webhook
        .validate(&pod(&[&signed]))
        .await
        .assert_denied_because("digest-required");
    let pinned = webhook.mutate(&pod(&[&signed])).await;
    pinned.assert_allowed();
    assert_eq!(
        pinned.patch(),
        [("/spec/containers/0/image".to_owned(), format!("{signed}@{digest}"))]
    );
    webhook
        .validate(&pod(&[&format!("{signed}@{digest}")]))
        .await
        .assert_allowed();
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_is_no_pass() {
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    let ignore = format!("failurePolicy: Ignore\n{SIGNED}");
    let webhook = world.webhook(&[world.validating("check", &ignore)], |_| {}).await;
    world.wire.send(Wire::Down).unwrap();
    let response = webhook.validate(&pod(&[&signed])).await;
    response.assert_denied_because("evidence-unreachable");
    world.wire.send(Wire::Open).unwrap();
    webhook
        .until(|| async { webhook.validate(&pod(&[&signed])).await.allowed() })
        .await;
    // A signature that arrives after a refusal counts.
    let late = world.push("late", "1.0", "late").await;
    let image = world.image("late:1.0");
    webhook
        .validate(&pod(&[&image]))
        .await
        .assert_denied_because("validation-failed");
    world.sign("late", &late, &world.key).await;
    webhook
        .until(|| async { webhook.validate(&pod(&[&image])).await.allowed() })
        .await;
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_look_into_images_that_were_fetched() {
    let world = World::new().await;
    world.push("app", "1.0", "app").await;
    let asks = |architecture: &str| {
        format!(
            "validationConfigurations: {{mutateDigest: false, verifyDigest: false, required: false}}
variables: [{{name: image, expression: \"getImageData(object.spec.containers[0].image)\"}}]
validations:
- expression: variables.image.config.architecture == '{architecture}' && variables.image.manifest.schemaVersion == 2
  messageExpression: \"'this is for ' + variables.image.config.architecture\""
        )
    };
    let image = world.image("app:1.0");
    let webhook = world
        .webhook(&[world.validating("check", &asks("amd64"))], |_| {})
        .await;
    webhook.validate(&pod(&[&image])).await.assert_allowed();
    webhook.server.stop().await;
    let webhook = world
        .webhook(&[world.validating("check", &asks("arm64"))], |_| {})
        .await;
    let response = webhook.validate(&pod(&[&image])).await;
    response.assert_denied_because("validation-failed");
    assert!(
        response.message().contains("this is for amd64"),
        "{}",
        response.message()
    );
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_and_exceptions_are_told() {
    const EXCEPTION: &str = "apiVersion: policies.kyverno.io/v1
kind: PolicyException
metadata: {name: skip-web, namespace: ops}
spec:
  policyRefs: [{kind: ImageValidatingPolicy, name: check}]
  matchConditions: [{name: web, expression: \"object.metadata.name == 'web'\"}]
";
    let world = World::new().await;
    world.push("unsigned", "1.0", "unsigned").await;
    let image = world.image("unsigned:1.0");
    let warns = format!("validationActions: [Warn]\n{SIGNED}");
    let webhook = world.webhook(&[world.validating("check", &warns)], |_| {}).await;
    let response = webhook.validate(&pod(&[&image])).await;
    response.assert_allowed();
    assert!(
        response
            .warnings()
            .iter()
            .any(|text| text.contains("not signed by the release key")),
        "{}",
        response.0
    );
    webhook.server.stop().await;
    let policies = [
        world.validating("check", SIGNED),
        ("exception.yaml".to_owned(), EXCEPTION.to_owned()),
    ];
    let webhook = world.webhook(&policies, |_| {}).await;
    let response = webhook.validate(&pod(&[&image])).await;
    response.assert_allowed();
    let told = "exception ops/skip-web from check: the whole object";
    assert!(
        response.warnings().iter().any(|text| text.contains(told)),
        "{}",
        response.0
    );
    assert!(
        response.0["auditAnnotations"]["findings"]
            .as_str()
            .unwrap()
            .contains(told),
        "{}",
        response.0
    );
    let mut other = pod(&[&image]);
    other["request"]["object"]["metadata"]["name"] = "api".into();
    webhook
        .validate(&other)
        .await
        .assert_denied_because("validation-failed");
    webhook.server.stop().await;
}

/// CVE-2026-4789: a policy that would reach out is not in force, and the one before it is.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_4789_a_policy_that_reaches_out_is_not_loaded() {
    let world = World::new().await;
    world.push("unsigned", "1.0", "unsigned").await;
    let webhook = world.webhook(&[world.validating("check", SIGNED)], |_| {}).await;
    let out = "validations: [{expression: \"http.Get('http://169.254.169.254/').role == 'x' || true\"}]";
    world.write_policies(&[world.validating("check", out)]);
    webhook
        .until(|| async { webhook.get("/readyz").await.1.contains("CVE-2026-4789") })
        .await;
    webhook
        .validate(&pod(&[&world.image("unsigned:1.0")]))
        .await
        .assert_denied_because("validation-failed");
    webhook.server.stop().await;
}

/// A Pod that costs too much to decide is refused and does not hold the webhook.
#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_is_bounded() {
    let world = World::new().await;
    let (signed, _) = world.signed("app").await;
    let costly = "validationConfigurations: {mutateDigest: false, verifyDigest: false, required: false}
validations: [{expression: \"object.spec.list.all(a, object.spec.list.all(b, a == b || true))\"}]";
    let webhook = world.webhook(&[world.validating("check", costly)], |_| {}).await;
    let review = |length: usize| {
        let mut review = pod(&[&signed]);
        review["request"]["object"]["spec"]["list"] = Value::from(vec![1; length]);
        review
    };
    webhook.validate(&review(20)).await.assert_allowed();
    let refused = tokio::time::timeout(Duration::from_secs(20), webhook.validate(&review(20_000))).await;
    refused.unwrap().assert_denied_because("condition-error");
    webhook.server.stop().await;
}
