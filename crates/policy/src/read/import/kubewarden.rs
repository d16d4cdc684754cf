//! Kubewarden's `verify-image-signatures`: its settings, alone or in a (Cluster)AdmissionPolicy.

use serde_json::{Map, Value, json};

use super::{Wild, document};
use crate::error::PolicyError;
use crate::read::native::metadata_of;
use crate::read::node::{Node, Object};

pub(super) fn read(node: &Node<'_>) -> Result<Value, PolicyError> {
    if node.value().get("signatures").is_some() {
        let rules = settings(node, "enforce", None)?;
        return Ok(document("verify-image-signatures", &rules));
    }
    node.object(&["apiVersion", "kind", "metadata", "spec", "status"], &[], |root| {
        root.ignore(&["apiVersion", "status"]);
        let kind = root.required("kind", "ClusterAdmissionPolicy or AdmissionPolicy")?;
        let namespaced = kind.word(&[("ClusterAdmissionPolicy", false), ("AdmissionPolicy", true)])?;
        let name = metadata_of(root, namespaced)?;
        let home = node.value().pointer("/metadata/namespace").filter(|_| namespaced);
        const FIELDS: [&str; 11] = [
            "module",
            "mode",
            "settings",
            "rules",
            "mutating",
            "policyServer",
            "failurePolicy",
            "timeoutSeconds",
            "backgroundAudit",
            "contextAwareResources",
            "matchPolicy",
        ];
        const UNSUPPORTED: [(&str, &str); 3] = [
            (
                "namespaceSelector",
                "put the selector into the webhook's own configuration",
            ),
            (
                "objectSelector",
                "put the selector into the webhook's own configuration",
            ),
            ("matchConditions", "put them into the webhook's own configuration"),
        ];
        let spec = root.required("spec", "module and settings")?;
        let rules = spec.object(&FIELDS, &UNSUPPORTED, |spec| {
            spec.ignore(&FIELDS);
            let module = spec.required("module", "the module verify-image-signatures")?;
            if !module.string()?.contains("verify-image-signatures") {
                return Err(module.unsupported("only the policy verify-image-signatures is about images"));
            }
            let mode = spec.get("mode").map_or(Ok("enforce"), |node| {
                node.word(&[("protect", "enforce"), ("monitor", "audit")])
            })?;
            settings(&spec.required("settings", "signatures")?, mode, home)
        })?;
        Ok(document(&name, &rules))
    })
}

fn settings(node: &Node<'_>, mode: &str, home: Option<&Value>) -> Result<Vec<Value>, PolicyError> {
    node.object(&["signatures", "modifyImagesWithDigest"], &[], |settings| {
        let pin = settings.boolean("modifyImagesWithDigest", true)?;
        let list = settings.required("signatures", "a list of images and who signed them")?.list()?;
        let rule = |(position, item): (usize, &Node<'_>)| {
            let (pattern, demand) = signature(item)?;
            let mut selection = Map::from_iter([("images".to_owned(), json!([pattern.written()]))]);
            if let Some(home) = home {
                selection.insert("within".to_owned(), home.clone());
            }
            Ok(json!({
                "name": format!("signature-{position}"), "match": selection, "mode": mode, "pin": pin, "demand": [demand],
            }))
        };
        list.iter().enumerate().map(rule).collect()
    })
}

/// One entry: everybody who is listed must have signed.
fn signature(node: &Node<'_>) -> Result<(Wild, Value), PolicyError> {
    const CERTIFICATES: &str = "certificates of one's own authority are not read; use keyless with a trust root";
    const UNSUPPORTED: [(&str, &str); 3] = [
        ("certificates", CERTIFICATES),
        ("certificateChain", CERTIFICATES),
        ("requireRekorBundle", CERTIFICATES),
    ];
    const FIELDS: [&str; 6] = [
        "image",
        "pubKeys",
        "keyless",
        "keylessPrefix",
        "githubActions",
        "annotations",
    ];
    node.object(&FIELDS, &UNSUPPORTED, |object| {
        let pattern = Wild::read(&object.required("image", "a pattern")?)?;
        let mut signers = signers(node, object)?;
        if let Some(annotations) = object.get("annotations") {
            let texts: Map<String, Value> = annotations
                .texts()?
                .into_iter()
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .collect();
            for fields in signers.iter_mut().filter_map(Value::as_object_mut) {
                fields.insert("annotations".to_owned(), json!(texts));
            }
        }
        let count = signers.len();
        Ok((pattern, json!({ "signatures": { "signers": signers, "count": count } })))
    })
}

fn signers(node: &Node<'_>, object: &Object<'_>) -> Result<Vec<Value>, PolicyError> {
    const GITHUB: &str = "https://token.actions.githubusercontent.com";
    let mut found = Vec::new();
    for item in object.get("pubKeys").map_or(Ok(Vec::new()), |node| node.list())? {
        // Kubewarden looks at no log for keys.
        found.push(json!({ "key": item.string()?, "requireLog": false }));
    }
    for item in object.get("keyless").map_or(Ok(Vec::new()), |node| node.list())? {
        found.push(item.object(&["issuer", "subject"], &[], |identity| {
            let issuer = identity.required("issuer", "an issuer")?.string()?;
            let subject = identity.required("subject", "a subject")?.string()?;
            Ok(json!({ "keyless": { "issuer": issuer, "subject": subject } }))
        })?);
    }
    for item in object.get("keylessPrefix").map_or(Ok(Vec::new()), |node| node.list())? {
        found.push(item.object(&["issuer", "urlPrefix"], &[], |identity| {
            let issuer = identity.required("issuer", "an issuer")?.string()?;
            let prefix = identity
                .required("urlPrefix", "an address")?
                .string()?
                .trim_end_matches('/');
            let subject = format!("{}/.*", regex::escape(prefix));
            Ok(json!({ "keyless": { "issuer": issuer, "subjectRegExp": subject } }))
        })?);
    }
    for item in object.get("githubActions").map_or(Ok(Vec::new()), |node| node.list())? {
        found.push(item.object(&["owner", "repo"], &[], |workflow| {
            let owner = regex::escape(workflow.required("owner", "an owner")?.string()?);
            let repository = match workflow.string("repo")? {
                Some(repository) => regex::escape(repository),
                None => "[^/]+".to_owned(),
            };
            let subject = format!("https://github\\.com/{owner}/{repository}/.*");
            Ok(json!({ "keyless": { "issuer": GITHUB, "subjectRegExp": subject } }))
        })?);
    }
    if found.is_empty() {
        return Err(node.wrong("pubKeys, keyless, keylessPrefix or githubActions"));
    }
    Ok(found)
}
