//! Kyverno's `ImageValidatingPolicy` over objects and real proofs. The policies are our own texts, in the shapes of
//! Kyverno's test corpus; every one that lets something through has twins that do not.

use proofmark_policy::{
    Decision, ImageFacts, Mode, ObjectQuestion, Operation, Outcome, PolicySet, Question, RequestContext, Unavailable,
};
use proofmark_types::ImageRef;
use proofmark_verify::Proofs;
use serde_json::{Value, json};

use crate::world::{assert_denied, assert_pass, codes, load, now, pem, proofs, verifier};

pub(crate) const REGISTRY: &str = "registry.example.com";

/// A policy with the attestors `release` (p256), `other` (p256-other), `second` (p384) and `builder` (rsa2048), whose signatures are in no log.
pub(crate) fn policy(spec: &str) -> String {
    let key = |name: &str, file: &str| {
        let pem = pem(file).replace('\n', "\n          ");
        format!(
            "  - name: {name}\n    cosign:\n      key:\n        data: |\n          {pem}\n      ctlog:\n        insecureIgnoreTlog: true\n"
        )
    };
    format!(
        "apiVersion: policies.kyverno.io/v1beta1\nkind: ImageValidatingPolicy\nmetadata:\n  name: check-images\nspec:\n  \
         matchConstraints:\n    resourceRules:\n    - apiGroups: [\"\"]\n      apiVersions: [v1]\n      operations: [CREATE, UPDATE]\n      resources: [pods]\n  \
         attestors:\n{}{}{}{}  {spec}\n",
        key("release", "p256"),
        key("other", "p256-other"),
        key("second", "p384"),
        key("builder", "rsa2048"),
    )
}

/// What most of these policies begin with: no digest wanted, nothing beside the validations.
pub(crate) const PLAIN: &str =
    "validationConfigurations: {mutateDigest: false, verifyDigest: false, required: false}\n  ";

pub(crate) const SIGNED: &str = r#"validations:
  - expression: images.containers.map(image, verifyImageSignatures(image, [attestors.release])).all(e, e > 0)
    message: not signed by the release key
"#;

/// An object, and what is known about its images.
pub(crate) struct Scene {
    pub(crate) object: Value,
    known: Vec<(ImageRef, Proofs)>,
    missing: Vec<ImageRef>,
    data: Option<Value>,
    request: Option<Value>,
    operation: Operation,
}

impl Scene {
    /// A Pod with one container of this image, of which the layout holds the evidence.
    pub(crate) fn pod(set: &PolicySet, image: &str, layout: &str) -> Self {
        Self {
            object: json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": "web", "namespace": "prod", "labels": { "prod": "true" } },
                "spec": { "containers": [{ "name": "web", "image": image }] },
            }),
            known: Vec::new(),
            missing: Vec::new(),
            data: None,
            request: None,
            operation: Operation::Create,
        }
        .knows(set, image, layout)
    }

    pub(crate) fn knows(mut self, set: &PolicySet, image: &str, layout: &str) -> Self {
        let proofs = proofs(layout, "1.0", &verifier(&set.verification_keys()));
        self.known.push((ImageRef::parse(image).unwrap(), proofs));
        self
    }

    fn unknown(mut self, image: &str) -> Self {
        self.known.clear();
        self.missing.push(ImageRef::parse(image).unwrap());
        self
    }

    pub(crate) fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        self.object.pointer_mut(parent).unwrap()[name] = value;
        self
    }

    pub(crate) fn asked(mut self, resource: &str, sub_resource: &str, operation: Operation) -> Self {
        let (group, resource) = resource.split_once('/').unwrap_or(("", resource));
        self.request = Some(json!({
            "resource": { "group": group, "version": "v1", "resource": resource }, "subResource": sub_resource,
            "userInfo": { "username": "system:serviceaccount:prod:builder", "groups": [] },
        }));
        self.operation = operation;
        self
    }

    pub(crate) fn context(&self) -> RequestContext<'_> {
        RequestContext {
            namespace: Some("prod"),
            name: Some("web"),
            operation: Some(self.operation),
            object: Some(&self.object),
            request: self.request.as_ref(),
            ..RequestContext::default()
        }
    }

    pub(crate) fn decide(&self, set: &PolicySet) -> Decision {
        let unavailable = Unavailable {
            code: "unreachable".to_owned(),
            reason: "no route to host".to_owned(),
        };
        let known = self.known.iter().map(|(image, proofs)| ImageFacts {
            image,
            digest: Some(proofs.subject()),
            proofs: Ok(proofs),
            data: self.data.as_ref(),
        });
        let missing = self.missing.iter().map(|image| ImageFacts {
            image,
            digest: None,
            proofs: Err(&unavailable),
            data: None,
        });
        let images: Vec<ImageFacts<'_>> = known.chain(missing).collect();
        set.decide_object(&ObjectQuestion {
            images: &images,
            context: &self.context(),
            now: now(),
        })
    }
}

pub(crate) const APP: &str = "registry.example.com/app:1.0";

pub(crate) fn app(set: &PolicySet) -> Decision {
    Scene::pod(set, APP, "cosign/v3-sign-p256").decide(set)
}

/// Whether validations over one signed image hold.
fn holds(validations: &str) -> Decision {
    app(&load(&policy(&format!("{PLAIN}{validations}"))))
}

fn expression(text: &str) -> Decision {
    holds(&format!("validations: [{{expression: {}}}]", json!(text)))
}

#[test]
fn a_signed_image_runs_and_its_twins_do_not() {
    let set = load(&policy(&format!("{PLAIN}{SIGNED}")));
    let decision = app(&set);
    assert_pass(&decision);
    assert_eq!(decision.policies, ["check-images"]);
    assert_eq!(decision.accepted.len(), 1);
    assert_eq!(decision.accepted[0].demand, format!("signature of {APP}"));
    for (layout, found) in [
        ("cosign/unsigned", "unsigned"),
        ("cosign/v3-sign-p384", "key-mismatch"),
        ("cosign/v3-sign-ed25519", "signature-not-by-given-key"),
        ("cosign/v3-sign-and-attest-cyclonedx", "key-mismatch"),
    ] {
        let denied = Scene::pod(&set, APP, layout).decide(&set);
        assert_denied(&denied, "validation-failed");
        let message = &denied.reasons[0].message;
        assert!(message.starts_with("not signed by the release key"), "{message}");
        assert!(message.contains(&format!("[{found}]")), "{layout}: {message}");
    }
}

#[test]
fn all_places_of_images_are_categories() {
    let set = load(&policy(&format!(
        "{PLAIN}validations:\n  - expression: >-\n      (images.containers + images.initContainers + images.?ephemeralContainers.orValue([]) + images.volumes).map(image, verifyImageSignatures(image, [attestors.release])).all(e, e > 0)\n"
    )));
    let other = "registry.example.com/other:1";
    for pointer in ["/spec/initContainers", "/spec/ephemeralContainers"] {
        let scene = |layout| {
            Scene::pod(&set, APP, "cosign/v3-sign-p256")
                .knows(&set, other, layout)
                .with(pointer, json!([{ "image": other }]))
        };
        assert_pass(&scene("cosign/v3-sign-p256").decide(&set));
        assert_denied(&scene("cosign/unsigned").decide(&set), "validation-failed");
    }
    let volume = json!([{ "name": "x", "image": { "reference": other } }]);
    let scene = |layout| {
        Scene::pod(&set, APP, "cosign/v3-sign-p256")
            .knows(&set, other, layout)
            .with("/spec/volumes", volume.clone())
    };
    assert_pass(&scene("cosign/v3-sign-p256").decide(&set));
    assert_denied(&scene("cosign/unsigned").decide(&set), "validation-failed");
    // What is no text, where an image should be, is not passed over.
    let broken = Scene::pod(&set, APP, "cosign/v3-sign-p256").with("/spec/initContainers", json!([{ "image": 5 }]));
    assert_denied(&broken.decide(&set), "object-malformed");
    let broken = Scene::pod(&set, APP, "cosign/v3-sign-p256").with("/spec/initContainers", json!([{ "image": "A B" }]));
    assert_denied(&broken.decide(&set), "invalid-reference");
}

#[test]
fn signers_are_counted_once() {
    let counts = |layout: &str, attestors: &str, wanted: usize| {
        let text = format!(
            "{PLAIN}validations:\n  - expression: images.containers.all(i, verifyImageSignatures(i, [{attestors}]) == {wanted})\n"
        );
        let set = load(&policy(&text));
        Scene::pod(&set, APP, layout).decide(&set)
    };
    assert_pass(&counts("cosign/two-signers", "attestors.release, attestors.second", 2));
    assert_pass(&counts("cosign/two-signers", "attestors.release, attestors.other", 1));
    assert_pass(&counts("cosign/two-signers", "attestors.release, attestors.release", 1));
    assert_pass(&counts("cosign/v3-sign-p256", "attestors.release, attestors.second", 1));
    assert_pass(&counts("cosign/unsigned", "attestors.release, attestors.second", 0));
    assert_denied(
        &counts("cosign/v3-sign-p256", "attestors.release, attestors.second", 2),
        "validation-failed",
    );
}

#[test]
fn one_key_under_two_names_is_one_signer() {
    let text = policy(&format!(
        "{PLAIN}validations:\n  - expression: images.containers.all(i, verifyImageSignatures(i, [attestors.release, attestors.other]) >= 2)\n"
    ));
    let set = load(&text.replace(
        &pem("p256-other").replace('\n', "\n          "),
        &pem("p256").replace('\n', "\n          "),
    ));
    assert_denied(&app(&set), "validation-failed");
}

#[test]
fn an_image_outside_of_the_references_counts_nothing() {
    let set = load(&policy(&format!(
        "{PLAIN}matchImageReferences: [{{glob: \"ghcr.io/*\"}}]\n  {SIGNED}"
    )));
    assert_pass(&app(&set));
    let direct = "validations:\n  - expression: verifyImageSignatures(object.spec.containers[0].image, [attestors.release]) > 0\n";
    let set = load(&policy(&format!(
        "{PLAIN}matchImageReferences: [{{glob: \"ghcr.io/*\"}}]\n  {direct}"
    )));
    assert_denied(&app(&set), "validation-failed");
    let set = load(&policy(&format!(
        "{PLAIN}matchImageReferences: [{{glob: \"{REGISTRY}/*\"}}]\n  {direct}"
    )));
    assert_pass(&app(&set));
    let set = load(&policy(&format!(
        "{PLAIN}matchImageReferences: [{{expression: \"ref.startsWith('ghcr.io/')\"}}]\n  {direct}"
    )));
    assert_denied(&app(&set), "validation-failed");
    // The same images by every spelling: braces, short names, an expression over the reference.
    for reference in [
        "{glob: \"{ghcr.io,registry.example.com}/*\"}",
        "{glob: \"*/app:*\"}",
        "{expression: \"ref.startsWith('registry.example.com/')\"}",
        "{expression: \"image(ref).registry() == 'registry.example.com'\"}",
    ] {
        let set = load(&policy(&format!(
            "{PLAIN}matchImageReferences: [{reference}]\n  {SIGNED}"
        )));
        assert_pass(&app(&set));
        let unsigned = Scene::pod(&set, APP, "cosign/unsigned").decide(&set);
        assert_denied(&unsigned, "validation-failed");
    }
    // An expression that fails is not a no.
    let set = load(&policy(&format!(
        "{PLAIN}matchImageReferences: [{{expression: \"ref.size() / 0 == 1\"}}]\n  {SIGNED}"
    )));
    assert_denied(&app(&set), "condition-error");
}

#[test]
fn payloads_are_whole_statements_of_the_signers_that_were_asked_for() {
    const ATTESTED: &str = "cosign/v3-sign-and-attest-cyclonedx";
    let run = |validations: &str, layout: &str| {
        let set = load(&policy(&format!(
            "{PLAIN}attestations:\n  - name: sbom\n    intoto: {{type: https://cyclonedx.org/bom}}\n  - name: scan\n    intoto: {{type: https://cosign.sigstore.dev/attestation/vuln/v1}}\n  validations:\n{validations}"
        )));
        Scene::pod(&set, APP, layout).decide(&set)
    };
    let verify = "  - expression: images.containers.map(image, verifyAttestationSignatures(image, attestations.sbom, [attestors.builder])).all(e, e > 0)\n";
    let extract = "  - expression: images.containers.map(image, extractPayload(image, attestations.sbom).predicate.bomFormat == 'CycloneDX').all(e, e)\n    message: no bill\n";
    assert_pass(&run(&format!("{verify}{extract}"), ATTESTED));
    assert_denied(
        &run(&format!("{verify}{extract}"), "cosign/v3-sign-p256"),
        "validation-failed",
    );
    let wrong = extract.replace("CycloneDX", "SPDX");
    let denied = run(&format!("{verify}{wrong}"), ATTESTED);
    assert_denied(&denied, "validation-failed");
    assert!(denied.reasons[0].message.starts_with("no bill"), "{denied:#?}");
    // An attestation of another type, and by another signer.
    assert_denied(&run(&verify.replace("sbom", "scan"), ATTESTED), "validation-failed");
    assert_denied(&run(&verify.replace("builder", "other"), ATTESTED), "validation-failed");
    // A field that is not there is an error and not false.
    assert_denied(
        &run(
            &format!("{verify}{}", extract.replace("bomFormat", "nothing")),
            ATTESTED,
        ),
        "condition-error",
    );
}

/// kyverno#17130: there, `extractPayload` gave out data that nobody had verified, on a cache hit.
#[test]
fn kyverno_17130_no_payload_without_verification() {
    const ATTESTED: &str = "cosign/v3-sign-and-attest-cyclonedx";
    let run = |validations: &str| {
        let set = load(&policy(&format!(
            "{PLAIN}attestations: [{{name: sbom, intoto: {{type: cyclonedx}}}}]\n  validations:\n{validations}"
        )));
        Scene::pod(&set, APP, ATTESTED).decide(&set)
    };
    let extract =
        "  - expression: images.containers.all(i, extractPayload(i, 'sbom').predicate.bomFormat == 'CycloneDX')\n";
    let verify = |who: &str, how: &str| {
        format!(
            "  - expression: images.containers.all(i, verifyAttestationSignatures(i, attestations.sbom, [{who}]) {how})\n"
        )
    };
    assert_pass(&run(&format!("{}{extract}", verify("attestors.builder", "> 0"))));
    // Not asked for; asked for by nobody who signed, whatever the policy makes of that; asked for afterwards.
    assert_denied(&run(extract), "condition-error");
    assert_denied(
        &run(&format!("{}{extract}", verify("attestors.other", "== 0"))),
        "condition-error",
    );
    assert_denied(&run(&format!("{}{extract}", verify("", "== 0"))), "condition-error");
    assert_denied(
        &run(&format!("{extract}{}", verify("attestors.builder", "> 0"))),
        "condition-error",
    );
    let signatures_only =
        "  - expression: images.containers.all(i, verifyImageSignatures(i, [attestors.builder]) > 0)\n";
    assert_denied(&run(&format!("{signatures_only}{extract}")), "condition-error");
}

/// kyverno#16336: there, the webhook believed an annotation that anyone can write.
#[test]
fn kyverno_16336_required_is_evidence_and_no_annotation() {
    let required = "validationConfigurations: {mutateDigest: false, verifyDigest: false}\n  validations: [{expression: \"true\"}]\n";
    let set = load(&policy(required));
    let outcome = format!("{{\"{APP}\": {{\"name\": \"check-images\", \"verified\": true}}}}");
    let forged = json!({ "kyverno.io/image-verification-outcomes": outcome, "kyverno.io/verify-images": outcome });
    let scene = Scene::pod(&set, APP, "cosign/v3-sign-p256").with("/metadata/annotations", forged);
    let denied = scene.decide(&set);
    assert_denied(&denied, "image-not-verified");
    assert!(denied.reasons[0].message.contains("no policy asks"), "{denied:#?}");
    // Asked for and found; asked for and not found, which the expression lets through.
    let asked = |how: &str| {
        required.replace(
            "\"true\"",
            &format!("\"images.containers.all(i, verifyImageSignatures(i, [attestors.release]) {how})\""),
        )
    };
    assert_pass(&app(&load(&policy(&asked("> 0")))));
    let set = load(&policy(&asked(">= 0")));
    let denied = Scene::pod(&set, APP, "cosign/unsigned").decide(&set);
    assert_denied(&denied, "image-not-verified");
    assert!(denied.reasons[0].message.contains("was found"), "{denied:#?}");
    // Another policy of the same request may have asked, and only about the same image.
    let both = format!(
        "{}---\n{}",
        policy(required).replace("check-images", "catch-all"),
        policy(&asked("> 0"))
    );
    assert_pass(&app(&load(&both)));
    let set = load(&both);
    let init = json!([{ "image": "registry.example.com/other:1" }]);
    let scene = Scene::pod(&set, APP, "cosign/v3-sign-p256")
        .knows(&set, "registry.example.com/other:1", "cosign/v3-sign-p256")
        .with("/spec/initContainers", init);
    let denied = scene.decide(&set);
    assert_eq!(codes(&denied), ["image-not-verified"]);
    assert!(
        denied.reasons.iter().all(|reason| reason.message.contains("other:1")),
        "{denied:#?}"
    );
}

/// kyverno#16275: there, ephemeral containers went past a policy over Pods.
#[test]
fn kyverno_16275_ephemeral_containers_are_images_of_pods() {
    let block = "validations:\n  - expression: object.spec.?ephemeralContainers.orValue([]).size() == 0\n    message: no debugging here\n";
    let set = load(&policy(&format!("{PLAIN}{block}")));
    let debug = || {
        let scene = Scene::pod(&set, APP, "cosign/v3-sign-p256");
        scene.with(
            "/spec/ephemeralContainers",
            json!([{ "image": "docker.io/library/busybox" }]),
        )
    };
    let asked = debug().asked("pods", "ephemeralcontainers", Operation::Update);
    assert_denied(&asked.decide(&set), "validation-failed");
    // Also where the policy is about new Pods alone: new containers are what it is about.
    let creates = load(&policy(&format!("{PLAIN}{block}")).replace("[CREATE, UPDATE]", "[CREATE]"));
    assert_denied(
        &debug()
            .asked("pods", "ephemeralcontainers", Operation::Update)
            .decide(&creates),
        "validation-failed",
    );
    assert!(
        debug()
            .asked("pods", "", Operation::Update)
            .decide(&creates)
            .policies
            .is_empty()
    );
    assert!(
        debug()
            .asked("pods", "status", Operation::Update)
            .decide(&set)
            .policies
            .is_empty()
    );
    let without = Scene::pod(&set, APP, "cosign/v3-sign-p256").asked("pods", "ephemeralcontainers", Operation::Update);
    assert_pass(&without.decide(&set));
}

#[test]
fn digests_are_wanted_in_pods() {
    let set = load(&policy(&format!(
        "validationConfigurations: {{required: false}}\n  {SIGNED}"
    )));
    assert_denied(&app(&set), "digest-required");
    let proofs = proofs("cosign/v3-sign-p256", "1.0", &verifier(&set.verification_keys()));
    let pinned = format!("{APP}@{}", proofs.subject());
    assert_pass(&Scene::pod(&set, &pinned, "cosign/v3-sign-p256").decide(&set));
    // Templates are pinned when their Pods are made.
    assert_pass(&crate::image_validating_matching::deployment(&set, "cosign/v3-sign-p256").decide(&set));
    assert!(
        set.concerns(&ImageRef::parse(APP).unwrap(), &RequestContext::default())
            .pin
    );
    let off = load(&policy(&format!("{PLAIN}{SIGNED}")));
    assert!(
        !off.concerns(&ImageRef::parse(APP).unwrap(), &RequestContext::default())
            .pin
    );
}

#[test]
fn actions_deny_warn_or_record() {
    let with = |actions: &str| {
        let set = load(&policy(&format!("{PLAIN}validationActions: {actions}\n  {SIGNED}")));
        Scene::pod(&set, APP, "cosign/unsigned").decide(&set)
    };
    assert_denied(&with("[Deny]"), "validation-failed");
    assert_denied(&with("[Deny, Audit]"), "validation-failed");
    let warned = with("[Warn]");
    assert_pass(&warned);
    assert!(
        warned.warnings[0].contains("not signed by the release key"),
        "{warned:#?}"
    );
    assert!(warned.audit.is_empty());
    let recorded = with("[Audit]");
    assert_pass(&recorded);
    assert!(recorded.warnings.is_empty());
    assert!(
        recorded.audit["check-images.validations-0"].contains("not signed"),
        "{recorded:#?}"
    );
    let both = with("[Warn, Audit]");
    assert_eq!((both.warnings.len(), both.audit.len()), (1, 1));
    assert!(both.reasons.iter().all(|reason| reason.mode == Mode::Warn));
}

#[test]
fn conditions_decide_what_is_looked_at_and_their_errors_refuse() {
    let when = |condition: &str, more: &str| {
        load(&policy(&format!(
            "{PLAIN}{more}matchConditions: [{{name: when, expression: {}}}]\n  {SIGNED}",
            json!(condition)
        )))
    };
    let unsigned = |set: &PolicySet| Scene::pod(set, APP, "cosign/unsigned").decide(set);
    assert_denied(
        &unsigned(&when("object.metadata.labels.prod == 'true'", "")),
        "validation-failed",
    );
    assert!(
        unsigned(&when("object.metadata.labels.prod == 'false'", ""))
            .policies
            .is_empty()
    );
    assert_denied(
        &unsigned(&when("object.metadata.annotations.x == 'y'", "")),
        "condition-error",
    );
    assert_denied(&unsigned(&when("object.metadata.name", "")), "condition-error");
    // `failurePolicy: Ignore` does not make an error a pass.
    assert_denied(
        &unsigned(&when(
            "object.metadata.annotations.x == 'y'",
            "failurePolicy: Ignore\n  ",
        )),
        "condition-error",
    );
    // Nobody looked the namespace up.
    assert_denied(
        &unsigned(&when("namespaceObject.metadata.name == 'prod'", "")),
        "condition-error",
    );
    let set = when("request.operation == 'CREATE' && request.namespace == 'prod'", "");
    assert_denied(&unsigned(&set), "validation-failed");
}

#[test]
fn variables_are_evaluated_when_they_are_needed() {
    let with = |variables: &str, validation: &str| {
        let set = load(&policy(&format!(
            "{PLAIN}variables:\n{variables}  validations: [{{expression: {}, messageExpression: \"'env is ' + variables.env\"}}]\n",
            json!(validation)
        )));
        app(&set)
    };
    let env = "  - {name: env, expression: \"object.metadata.?labels.?env.orValue('none')\"}\n  - {name: broken, expression: \"object.spec.nothing.there\"}\n  - {name: twice, expression: \"variables.env + variables.env\"}\n";
    assert_pass(&with(env, "variables.env == 'none'"));
    assert_pass(&with(env, "variables.twice == 'nonenone'"));
    let denied = with(env, "variables.env == 'prod'");
    assert_denied(&denied, "validation-failed");
    assert!(denied.reasons[0].message.starts_with("env is none"), "{denied:#?}");
    let broken = with(env, "variables.broken == 'x'");
    assert_denied(&broken, "condition-error");
    assert!(broken.reasons[0].message.contains("variables.broken"), "{broken:#?}");
    // Evaluated only as far as it matters.
    assert_pass(&with(env, "variables.env == 'none' || variables.broken == 'x'"));
}

#[test]
fn what_nobody_could_find_out_is_undecided_and_never_a_pass() {
    let set = load(&policy(&format!("{PLAIN}{SIGNED}")));
    let down = Scene::pod(&set, APP, "cosign/v3-sign-p256").unknown(APP).decide(&set);
    assert_eq!(down.outcome, Outcome::Undecided, "{down:#?}");
    assert_eq!(codes(&down), ["evidence-unreachable"]);
    // Not even looked up: an expression does not decide where the server connects.
    let elsewhere = "validations:\n  - expression: verifyImageSignatures('internal.example.com/admin:1', [attestors.release]) == 0\n";
    let set = load(&policy(&format!("{PLAIN}{elsewhere}")));
    let denied = app(&set);
    assert_eq!(denied.outcome, Outcome::Undecided);
    assert_eq!(codes(&denied), ["image-not-gathered"]);
    let data =
        "validations:\n  - expression: getImageData(object.spec.containers[0].image).config.architecture == 'amd64'\n";
    let set = load(&policy(&format!("{PLAIN}{data}")));
    let scene = Scene::pod(&set, APP, "cosign/v3-sign-p256");
    assert!(set.object_concern(&scene.context()).needs_data);
    assert_eq!(codes(&scene.decide(&set)), ["evidence-unreachable"]);
}

#[test]
fn image_data_is_what_was_gathered() {
    for function in ["getImageData", "image.GetMetadata", "image.getMetadata"] {
        let text = format!(
            "{PLAIN}variables: [{{name: image, expression: \"{function}(object.spec.containers[0].image)\"}}]\n  validations:\n  - expression: variables.image.config.architecture == \"amd64\"\n    messageExpression: \"'image architecture is not supported: ' + string(variables.image.config.architecture)\"\n"
        );
        let set = load(&policy(&text));
        let mut scene = Scene::pod(&set, APP, "cosign/v3-sign-p256");
        scene.data = Some(json!({ "config": { "architecture": "amd64" } }));
        assert_pass(&scene.decide(&set));
        scene.data = Some(json!({ "config": { "architecture": "riscv64" } }));
        let denied = scene.decide(&set);
        assert_denied(&denied, "validation-failed");
        assert!(
            denied.reasons[0]
                .message
                .starts_with("image architecture is not supported: riscv64"),
            "{denied:#?}"
        );
        scene.data = Some(json!({ "imageIndex": {} }));
        assert_denied(&scene.decide(&set), "condition-error");
    }
}

#[test]
fn functions_of_kyverno_and_kubernetes() {
    for text in [
        "image('nginx').registry() == 'index.docker.io'",
        "parseImageReference('nginx').repository() == 'library/nginx'",
        "image('nginx').tag() == 'latest' && image('nginx').identifier() == 'latest'",
        "image('ghcr.io/a/b:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').tag() == ''",
        "image('ghcr.io/a/b@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').containsDigest()",
        "!image('ghcr.io/a/b:1').containsDigest() && image('ghcr.io/a/b:1').digest() == ''",
        "isImage('ghcr.io/a/b:1') && !isImage('A B')",
        "object.spec.containers.map(e, parseImageReference(e.image)).map(i, i.registry() == 'registry.example.com').all(e, e)",
        "images.containers.map(image, image.contains('app')).all(e, e)",
        "'a-1-2'.find('[0-9]') == '1' && 'a-1-2'.findAll('[0-9]') == ['1', '2']",
        "'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b' && 'AB'.lowerAscii() == 'ab'",
        "'%s has %d'.format(['x', 2]) == 'x has 2' && 'abc'.substring(1) == 'bc' && 'a-a'.replace('-', '') == 'aa'",
        "sets.contains([1, 2], [1]) && !sets.contains([1], [1, 2]) && sets.intersects([1, 2], [2, 3]) && sets.equivalent([1, 2], [2, 1])",
        "math.ceil(1.2) == 2.0 && math.greatest(1, 2) == 2",
        "sha256('abc') == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad' && hash.sha256('abc') == sha256('abc')",
        "json.unmarshal('{\"a\": [1]}').a[0] == 1 && json.marshal({'a': 1}) == '{\"a\":1}' && yaml.parse('a: {b: 1}').a.b == 1",
        "parseServiceAccount('system:serviceaccount:ns:me').Name == 'me' && user.parseServiceAccount('root').Namespace == ''",
        "time.now() > timestamp('2026-11-20T00:00:00Z') && time.now() - timestamp('2026-11-21T11:00:00Z') == duration('1h')",
        "object.metadata.?labels.?nothing.orValue('x') == 'x' && optional.of(1).hasValue()",
        "'prod' in object.metadata.labels && has(object.metadata.labels.prod)",
    ] {
        assert_pass(&expression(text));
        assert_denied(&expression(&format!("!({text})")), "validation-failed");
    }
    for text in [
        "image('A B').registry() == ''",
        "json.unmarshal('{') == 1",
        "'a'.matches('(')",
        "1 / 0 == 1",
        "'text'",
    ] {
        assert_denied(&expression(text), "condition-error");
    }
}

#[test]
fn images_of_custom_resources_are_found_by_the_policy() {
    let text = policy(&format!(
        "{PLAIN}images: [{{name: steps, expression: \"object.spec.steps.map(s, s.image)\"}}]\n  validations:\n  - expression: images.steps.all(i, verifyImageSignatures(i, [attestors.release]) > 0)\n"
    ))
    .replace("apiGroups: [\"\"]", "apiGroups: [tekton.dev]")
    .replace("resources: [pods]", "resources: [tasks]");
    let set = load(&text);
    let scene = |layout| {
        let mut scene = Scene::pod(&set, APP, layout);
        scene.object = json!({ "apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {}, "spec": { "steps": [{ "image": APP }] } });
        scene.asked("tekton.dev/tasks", "", Operation::Create)
    };
    assert_eq!(set.object_concern(&scene("cosign/unsigned").context()).images, [APP]);
    assert_pass(&scene("cosign/v3-sign-p256").decide(&set));
    assert_denied(&scene("cosign/unsigned").decide(&set), "validation-failed");
    let broken = scene("cosign/unsigned").with("/spec/steps", json!([{ "image": 7 }]));
    assert_denied(&broken.decide(&set), "condition-error");
}

#[test]
fn an_image_alone_is_asked_about_as_a_pod_of_it() {
    let set = load(&policy(&format!(
        "{PLAIN}matchImageReferences: [{{glob: \"{REGISTRY}/*\"}}]\n  {SIGNED}"
    )));
    let signed = proofs("cosign/v3-sign-p256", "1.0", &verifier(&set.verification_keys()));
    let unsigned = proofs("cosign/unsigned", "1.0", &verifier(&set.verification_keys()));
    assert_pass(&crate::world::decide(&set, APP, &signed));
    assert_denied(&crate::world::decide(&set, APP, &unsigned), "validation-failed");
    assert_denied(
        &crate::world::decide(&set, "ghcr.io/a/b:1", &signed),
        "no-policy-matched",
    );
    let concern = set.concerns(&ImageRef::parse(APP).unwrap(), &RequestContext::default());
    assert_eq!(concern.policies, ["check-images"]);
    assert!(concern.needs_digest && concern.needs_evidence);
}

/// An image that the policy does not find in the object is none of its images: the default decides.
#[test]
fn an_image_that_the_policy_does_not_find_is_not_let_through_by_it() {
    let text = policy(&format!("{PLAIN}{SIGNED}"))
        .replace("apiGroups: [\"\"]", "apiGroups: [tekton.dev]")
        .replace("resources: [pods]", "resources: [tasks]");
    let set = load(&text);
    let mut scene = Scene::pod(&set, APP, "cosign/v3-sign-p256");
    scene.object = json!({ "apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {}, "spec": { "steps": [{ "image": APP }] } });
    let scene = scene.asked("tekton.dev/tasks", "", Operation::Create);
    let context = scene.context();
    let plan = set.object_concern(&context);
    assert_eq!((plan.policies.len(), plan.images.len()), (1, 0));
    let image = ImageRef::parse(APP).unwrap();
    for context in [
        context,
        RequestContext {
            objects: Some(&plan),
            ..context
        },
    ] {
        assert!(set.concerns(&image, &context).is_none());
        let found = proofs("cosign/v3-sign-p256", "1.0", &verifier(&set.verification_keys()));
        let decision = set.decide(&Question {
            image: &image,
            digest: Some(found.subject()),
            proofs: Ok(&found),
            index_proofs: None,
            elsewhere: &[],
            held: None,
            context: &context,
            now: now(),
        });
        assert_denied(&decision, "no-policy-matched");
    }
}

#[test]
fn all_expressions_of_a_policy_share_a_budget() {
    let loops = "  - expression: object.spec.list.all(a, object.spec.list.all(b, a == b || true))\n";
    let decide = |number: usize| {
        let set = load(&policy(&format!("{PLAIN}validations:\n{}", loops.repeat(number))));
        let scene = Scene::pod(&set, APP, "cosign/unsigned");
        scene.with("/spec/list", Value::from(vec![1; 500])).decide(&set)
    };
    assert_pass(&decide(2));
    let denied = decide(60);
    assert_denied(&denied, "condition-error");
    assert!(denied.reasons[0].message.contains("together"), "{denied:#?}");
}

#[test]
fn what_an_evaluation_can_cost_is_bounded() {
    // Two loops over lists that whoever makes the object chooses.
    let set = load(&policy(&format!(
        "{PLAIN}validations: [{{expression: \"object.spec.list.all(a, object.spec.list.all(b, a == b || true))\"}}]\n"
    )));
    let list = |length: usize| Value::from(vec![1; length]);
    let scene = |length| Scene::pod(&set, APP, "cosign/unsigned").with("/spec/list", list(length));
    assert_pass(&scene(50).decide(&set));
    assert_denied(&scene(3000).decide(&set), "condition-error");
    // Texts that double with every variable.
    let doubling: String = (1..40)
        .map(|n| {
            format!(
                "  - {{name: v{n}, expression: \"variables.v{} + variables.v{}\"}}\n",
                n - 1,
                n - 1
            )
        })
        .collect();
    let set = load(&policy(&format!(
        "{PLAIN}variables:\n  - {{name: v0, expression: \"'0123456789abcdef'\"}}\n{doubling}  validations: [{{expression: \"variables.v39 != ''\"}}]\n"
    )));
    assert_denied(&app(&set), "condition-error");
}
