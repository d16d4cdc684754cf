//! Connaisseur's Helm values: `application.validators` and `application.policy` (docs of Connaisseur 3, `README` and
//! `docs/validators`). The most specific pattern of an image decides.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Wild, document, most_specific};
use crate::error::PolicyError;
use crate::read::node::{Node, Object};

pub(super) fn read(node: &Node<'_>) -> Result<Value, PolicyError> {
    // The other values of the chart say how Connaisseur is installed.
    let names: Vec<&str> = node
        .value()
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    node.object(&names, &[], |root| {
        root.ignore(&names);
        let application = root.required("application", "validators and policy")?;
        const SWITCHES: [&str; 3] = ["features", "logLevel", "alerting"];
        let known: Vec<&str> = ["validators", "policy"].into_iter().chain(SWITCHES).collect();
        application.object(&known, &[], |application| {
            application.ignore(&SWITCHES);
            let mut validators = BTreeMap::new();
            for item in application.required("validators", "a list of validators")?.list()? {
                let (name, validator) = validator(&item)?;
                validators.insert(name, validator);
            }
            let entries = application.required("policy", "a list of patterns")?.list()?;
            let patterns: Vec<Wild> = entries.iter().map(pattern_of).collect::<Result<_, _>>()?;
            let mut rules = Vec::new();
            for (position, entry) in entries.iter().enumerate() {
                let selection = most_specific(position, &patterns);
                rules.push(rule(entry, selection, &validators)?);
            }
            Ok(document("connaisseur", &rules))
        })
    })
}

fn pattern_of(entry: &Node<'_>) -> Result<Wild, PolicyError> {
    entry.object(&["pattern", "validator", "with"], &[], |object| {
        object.ignore(&["validator", "with"]);
        Wild::read(&object.required("pattern", "a pattern")?)
    })
}

enum Validator {
    Static {
        approve: bool,
    },
    /// Signers by the name of the trust root.
    Cosign(BTreeMap<String, Value>),
}

fn validator(node: &Node<'_>) -> Result<(String, Validator), PolicyError> {
    const NOT_COSIGN: &str = "Notary signatures are not verified";
    let kind = node.value().get("type").and_then(Value::as_str).unwrap_or_default();
    if kind.starts_with("notary") || kind == "nv2" || kind == "nv1" {
        return Err(node.unsupported(NOT_COSIGN));
    }
    const FIELDS: [&str; 6] = ["name", "type", "approve", "trustRoots", "auth", "host"];
    node.object(
        &FIELDS,
        &[("cert", "a registry's certificate authority is set at the server")],
        |object| {
            // Credentials are bound to hosts by whoever runs the server.
            object.ignore(&["auth"]);
            let name = object.required("name", "a name")?.string()?.to_owned();
            if object
                .required("type", "cosign or static")?
                .word(&[("static", true), ("cosign", false)])?
            {
                let approve = object.required("approve", "true or false")?.boolean()?;
                return Ok((name, Validator::Static { approve }));
            }
            if let Some(host) = object.get("host") {
                return Err(host.unsupported("which log is trusted is decided by the trust root of the server"));
            }
            let mut roots = BTreeMap::new();
            for item in object.required("trustRoots", "a list of keys and identities")?.list()? {
                let (name, signer) = trust_root(&item)?;
                roots.insert(name, signer);
            }
            Ok((name, Validator::Cosign(roots)))
        },
    )
}

fn trust_root(node: &Node<'_>) -> Result<(String, Value), PolicyError> {
    node.object(
        &["name", "key", "keyless"],
        &[("cert", "certificates of one's own authority are not read")],
        |object| {
            let name = object.required("name", "a name")?.string()?.to_owned();
            let signer = match (object.get("key"), object.get("keyless")) {
                (Some(key), None) => json!({ "key": key.string()? }),
                (None, Some(node)) => {
                    node.object(&["issuer", "issuerRegex", "subject", "subjectRegex"], &[], |identity| {
                        let mut fields = Map::new();
                        for (theirs, ours) in [
                            ("issuer", "issuer"),
                            ("issuerRegex", "issuerRegExp"),
                            ("subject", "subject"),
                            ("subjectRegex", "subjectRegExp"),
                        ] {
                            if let Some(text) = identity.string(theirs)? {
                                fields.insert(ours.to_owned(), json!(text));
                            }
                        }
                        Ok(json!({ "keyless": fields }))
                    })?
                }
                _ => return Err(node.wrong("either key or keyless")),
            };
            Ok((name, signer))
        },
    )
}

fn rule(
    entry: &Node<'_>,
    selection: Map<String, Value>,
    validators: &BTreeMap<String, Validator>,
) -> Result<Value, PolicyError> {
    entry.object(&["pattern", "validator", "with"], &[], |object| {
        let pattern = object.required("pattern", "a pattern")?.string()?.to_owned();
        let name = object.string("validator")?.unwrap_or("default");
        let validator = validators
            .get(name)
            .ok_or_else(|| entry.wrong(&format!("a validator that there is; {name} is not defined")))?;
        let demand = match (validator, object.get("with")) {
            (Validator::Static { approve }, None) => vec![json!({ "static": if *approve { "pass" } else { "fail" } })],
            (Validator::Static { .. }, Some(with)) => {
                return Err(with.unsupported("a static validator asks for nothing"));
            }
            (Validator::Cosign(roots), None) => demands(entry, roots, &Wish::default())?,
            (Validator::Cosign(roots), Some(with)) => demands(entry, roots, &wish(&with)?)?,
        };
        let pin = object
            .get("with")
            .is_none_or(|with| with.value().get("mode") != Some(&json!("insecureValidateOnly")));
        Ok(json!({ "name": pattern, "match": selection, "pin": pin, "demand": demand }))
    })
}

/// `with`.
#[derive(Default)]
struct Wish {
    root: Option<String>,
    threshold: Option<usize>,
    required: Vec<String>,
    no_log: bool,
    no_sct: bool,
}

fn wish(with: &Node<'_>) -> Result<Wish, PolicyError> {
    const FIELDS: [&str; 6] = [
        "trustRoot",
        "threshold",
        "required",
        "verifyInTransparencyLog",
        "verifySCT",
        "mode",
    ];
    with.object(&FIELDS, &[], |with: &Object<'_>| {
        if let Some(mode) = with.get("mode") {
            mode.word(&[("mutate", ()), ("insecureValidateOnly", ())])?;
        }
        let required = with.get("required").map_or(Ok(Vec::new()), |node| node.strings())?;
        Ok(Wish {
            root: with.string("trustRoot")?.map(ToOwned::to_owned),
            threshold: with.get("threshold").map(|node| node.count()).transpose()?,
            required: required.into_iter().map(ToOwned::to_owned).collect(),
            no_log: !with.boolean("verifyInTransparencyLog", true)?,
            no_sct: !with.boolean("verifySCT", true)?,
        })
    })
}

/// Of `*`, as many as `threshold` says, or all; of `required` each.
fn demands(entry: &Node<'_>, roots: &BTreeMap<String, Value>, wish: &Wish) -> Result<Vec<Value>, PolicyError> {
    let signer = |name: &str| {
        let mut signer = roots
            .get(name)
            .cloned()
            .ok_or_else(|| entry.wrong(&format!("a trust root that there is; {name} is not defined")))?;
        if let Some(fields) = signer.as_object_mut() {
            if wish.no_log {
                fields.insert("requireLog".to_owned(), json!(false));
            }
            if wish.no_sct {
                fields.insert("requireSct".to_owned(), json!(false));
            }
        }
        Ok::<_, PolicyError>(signer)
    };
    let root = wish.root.as_deref().unwrap_or("default");
    if root != "*" {
        if wish.threshold.is_some() || !wish.required.is_empty() {
            return Err(entry.wrong("trustRoot \"*\" beside threshold and required"));
        }
        return Ok(vec![json!({ "signatures": { "signers": [signer(root)?] } })]);
    }
    let all: Vec<Value> = roots.keys().map(|name| signer(name)).collect::<Result<_, _>>()?;
    let count = wish.threshold.unwrap_or(if wish.required.is_empty() {
        all.len()
    } else {
        wish.required.len()
    });
    let mut demands = vec![json!({ "signatures": { "signers": all, "count": count } })];
    for name in &wish.required {
        demands.push(json!({ "signatures": { "name": format!("signature of {name}"), "signers": [signer(name)?] } }));
    }
    Ok(demands)
}
