use super::*;

fn review(request: &Value) -> Vec<u8> {
    serde_json::json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request })
        .to_string()
        .into_bytes()
}

fn pod_request() -> Value {
    serde_json::json!({
        "uid": "u-1",
        "kind": { "group": "", "version": "v1", "kind": "Pod" },
        "resource": { "group": "", "version": "v1", "resource": "pods" },
        "name": "web", "namespace": "team-a", "operation": "CREATE",
        "userInfo": { "username": "dana", "groups": ["devs"] },
        "object": { "metadata": { "name": "web" } },
        "oldObject": null, "dryRun": true, "options": { "kind": "CreateOptions" },
    })
}

fn refused(body: &[u8]) -> &'static str {
    Request::parse(body).expect_err("the review must be refused").code()
}

#[test]
fn a_whole_request_is_read() {
    let request = Request::parse(&review(&pod_request())).unwrap();
    assert_eq!(request.uid, "u-1");
    assert_eq!(request.kind.kind, "Pod");
    assert_eq!(request.operation, Operation::Create);
    assert_eq!(request.user.username, "dana");
    assert!(request.dry_run && request.old_object.is_none() && request.options.is_some());
    assert_eq!(request.subject(), "Pod team-a/web");
}

#[test]
fn each_bad_review_has_its_code() {
    let with = |name: &str, value: Value| {
        let mut request = pod_request();
        request[name] = value;
        review(&request)
    };
    let without = |name: &str| {
        let mut request = pod_request();
        request.as_object_mut().unwrap().remove(name);
        review(&request)
    };
    let document = |api_version: &str, kind: &str| {
        serde_json::json!({ "apiVersion": api_version, "kind": kind, "request": pod_request() }).to_string()
    };
    let whole = review(&pod_request());
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for (body, code) in [
        (Vec::new(), "review-empty"),
        (b"not json".to_vec(), "review-malformed"),
        (whole[..whole.len() / 2].to_vec(), "review-malformed"),
        ([&whole[..], b"{}"].concat(), "review-malformed"),
        (b"[]".to_vec(), "review-malformed"),
        (b"null".to_vec(), "review-malformed"),
        (deep.into_bytes(), "review-malformed"),
        (
            with("object", serde_json::json!({ "x": 1 }))
                .iter()
                .copied()
                .chain(*b"x")
                .collect(),
            "review-malformed",
        ),
        (vec![b' '; MAX_REVIEW_BYTES + 1], "review-too-large"),
        (
            document("admission.k8s.io/v1beta1", "AdmissionReview").into_bytes(),
            "review-other-document",
        ),
        (
            document("admission.k8s.io/v1", "Pod").into_bytes(),
            "review-other-document",
        ),
        (b"{}".to_vec(), "review-other-document"),
        (
            br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#.to_vec(),
            "review-no-request",
        ),
        (
            br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"x","allowed":true}}"#
                .to_vec(),
            "review-no-request",
        ),
        (without("uid"), "review-no-uid"),
        (with("uid", "".into()), "review-no-uid"),
        (with("uid", "u".repeat(1000).into()), "review-no-uid"),
        (with("uid", 7.into()), "review-malformed"),
        (with("operation", "PATCH".into()), "review-unknown-operation"),
        (without("operation"), "review-unknown-operation"),
        (without("kind"), "review-no-kind"),
        (without("object"), "review-no-object"),
        (with("object", Value::Null), "review-no-object"),
        (with("object", "a string".into()), "review-no-object"),
        (with("kind", "Pod".into()), "review-malformed"),
        (with("dryRun", "yes".into()), "review-malformed"),
    ] {
        assert_eq!(
            refused(&body),
            code,
            "{}",
            String::from_utf8_lossy(&body[..body.len().min(200)])
        );
    }
}

#[test]
fn a_refusal_has_the_uid_where_there_is_one() {
    let mut request = pod_request();
    request["operation"] = "DANCE".into();
    assert_eq!(Request::parse(&review(&request)).unwrap_err().uid(), Some("u-1"));
    assert_eq!(Request::parse(b"{").unwrap_err().uid(), None);
}

#[test]
fn a_delete_needs_no_object() {
    let mut request = pod_request();
    request["operation"] = "DELETE".into();
    request["object"] = Value::Null;
    assert!(Request::parse(&review(&request)).unwrap().object.is_none());
}

fn answered(answer: &Answer) -> Value {
    let review: Value = serde_json::from_slice(&answer.to_json("u-1")).unwrap();
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    assert_eq!(review["response"]["uid"], "u-1");
    review["response"].clone()
}

#[test]
fn a_denial_has_code_reason_and_a_bounded_message() {
    let response = answered(&Answer::deny(403, "x".repeat(100_000)));
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 403);
    assert_eq!(response["status"]["reason"], "Forbidden");
    assert!(response["status"]["message"].as_str().unwrap().len() <= MAX_MESSAGE_BYTES);
    assert!(response.get("patch").is_none());
    assert_eq!(answered(&Answer::default())["allowed"], false);
}

#[test]
fn warnings_are_lines_within_what_the_api_server_shows() {
    let mut answer = Answer::allow();
    answer.warnings = (0..200).map(|n| format!("{n}\n{}", "y".repeat(500))).collect();
    let response = answered(&answer);
    let warnings = response["warnings"].as_array().unwrap();
    let texts: Vec<&str> = warnings.iter().map(|warning| warning.as_str().unwrap()).collect();
    assert!(
        texts
            .iter()
            .all(|text| !text.contains('\n') && text.len() <= MAX_WARNING_BYTES)
    );
    assert!(texts.iter().map(|text| text.len()).sum::<usize>() <= MAX_WARNINGS_BYTES);
    assert!(texts.last().unwrap().contains("more warnings not shown"));
}

#[test]
fn a_patch_is_base64_of_json_patch_and_a_denial_has_none() {
    let mut answer = Answer::allow();
    answer.patch.push(PatchOperation::Replace {
        path: "/spec/containers/0/image".into(),
        value: "a".into(),
    });
    let response = answered(&answer);
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    assert_eq!(
        patch,
        serde_json::json!([{ "op": "replace", "path": "/spec/containers/0/image", "value": "a" }])
    );
    answer.allowed = false;
    assert!(answered(&answer).get("patch").is_none());
}
