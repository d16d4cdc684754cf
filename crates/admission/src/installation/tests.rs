use super::*;

const BUNDLE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn service() -> Target {
    Target::Service {
        namespace: "proofmark".into(),
        name: "admission".into(),
        port: 443,
    }
}

#[test]
fn the_rules_are_the_walkers() {
    let [mutating, validating] = webhook_configuration(&Installation::new(service(), BUNDLE.into())).unwrap();
    assert_eq!(mutating["webhooks"][0]["rules"].as_array().unwrap().len(), 1);
    assert_eq!(
        mutating["webhooks"][0]["rules"][0]["resources"],
        serde_json::json!(["pods", "pods/ephemeralcontainers"])
    );
    let resources: usize = validating["webhooks"][0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["resources"].as_array().unwrap().len())
        .sum();
    assert_eq!(resources, 10);
    for object in [&mutating, &validating] {
        let webhook = &object["webhooks"][0];
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["timeoutSeconds"], 10);
        assert_eq!(webhook["sideEffects"], "None");
        assert_eq!(webhook["admissionReviewVersions"], serde_json::json!(["v1"]));
        let excluded = &webhook["namespaceSelector"]["matchExpressions"][0];
        assert_eq!(excluded["operator"], "NotIn");
        assert_eq!(
            excluded["values"],
            serde_json::json!(["kube-node-lease", "kube-public", "kube-system", "proofmark"])
        );
        assert_eq!(webhook["clientConfig"]["caBundle"], STANDARD.encode(BUNDLE));
    }
    assert_eq!(mutating["webhooks"][0]["reinvocationPolicy"], "IfNeeded");
    assert_eq!(mutating["webhooks"][0]["clientConfig"]["service"]["path"], "/mutate");
}

#[test]
fn the_yaml_reads_back_as_the_same_objects() {
    let installation = Installation {
        kinds: Kinds::with_custom(vec![crate::CustomKind {
            group: "example.com".into(),
            version: "v1".into(),
            kind: "Run".into(),
            resource: "runs".into(),
            images: vec![crate::ImagePath::parse("/spec/image").unwrap()],
        }]),
        ..Installation::new(Target::Url("https://127.0.0.1:8443/".into()), BUNDLE.into())
    };
    let text = webhook_configuration_yaml(&installation).unwrap();
    let objects = webhook_configuration(&installation).unwrap();
    let documents: Vec<&str> = text.split("---\n").filter(|part| !part.is_empty()).collect();
    assert_eq!(documents.len(), 2);
    for (document, object) in documents.iter().zip(&objects) {
        let read: Value = serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"));
        assert_eq!(&read, object, "{document}");
    }
    assert_eq!(
        objects[1]["webhooks"][0]["clientConfig"]["url"],
        "https://127.0.0.1:8443/validate"
    );
}

#[test]
fn each_unusable_setting_has_its_error() {
    let with = |change: fn(&mut Installation)| {
        let mut installation = Installation::new(service(), BUNDLE.into());
        change(&mut installation);
        webhook_configuration(&installation).unwrap_err()
    };
    assert_eq!(
        with(|i| i.timeout_seconds = 0),
        InstallationError::Timeout { seconds: 0 }
    );
    assert_eq!(
        with(|i| i.timeout_seconds = 31),
        InstallationError::Timeout { seconds: 31 }
    );
    assert_eq!(
        with(|i| i.ca_bundle_pem = Some(String::new())),
        InstallationError::NoBundle
    );
    assert!(matches!(
        with(|i| i.name = "A b".into()),
        InstallationError::Name { .. }
    ));
    for url in [
        "http://x",
        "https://",
        "https://u:p@x",
        "https://x?a=b",
        "https://x/path",
    ] {
        let installation = Installation::new(Target::Url(url.into()), BUNDLE.into());
        let error = webhook_configuration(&installation).unwrap_err();
        assert!(matches!(error, InstallationError::Url { .. }), "{url}");
    }
}
