use super::*;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

fn claims(value: &Value) -> Claims {
    Claims::new(value.as_object().unwrap().clone())
}

fn github() -> Value {
    json!({
        "iss": "https://token.actions.githubusercontent.com", "sub": "repo:acme/app:ref:refs/heads/main",
        "repository": "acme/app", "repository_id": "1", "repository_owner_id": 2, "event_name": "push",
        "runner_environment": "github-hosted", "ref": "refs/heads/main", "sha": SHA,
        "workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
        "job_workflow_ref": "acme/shared/.github/workflows/build.yml@refs/tags/v1",
        "run_id": "7", "run_attempt": "2"
    })
}

fn gitlab() -> Value {
    json!({
        "iss": "https://gitlab.acme.test", "sub": "project_path:team/app:ref_type:tag:ref:v1",
        "project_path": "team/app", "project_id": "3", "namespace_id": "4", "pipeline_id": "5",
        "pipeline_source": "push", "runner_environment": "self-hosted", "ref": "v1", "ref_type": "tag", "sha": SHA,
        "ci_config_ref_uri": "gitlab.acme.test/team/app//.gitlab-ci.yml@refs/tags/v1", "job_id": "9"
    })
}

#[test]
fn github_s_own_shape() {
    let times = Times {
        started_on: Some(UnixTime::EPOCH),
        finished_on: None,
    };
    let predicate = from_claims(&claims(&github()), times).unwrap().to_predicate();
    let expected = json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {
                "ref": "refs/heads/main", "repository": "https://github.com/acme/app", "path": ".github/workflows/release.yml"}},
            "internalParameters": {"github": {
                "event_name": "push", "repository_id": "1", "repository_owner_id": "2", "runner_environment": "github-hosted"}},
            "resolvedDependencies": [{"uri": "git+https://github.com/acme/app@refs/heads/main", "digest": {"gitCommit": SHA}}]
        },
        "runDetails": {
            "builder": {"id": "https://github.com/acme/shared/.github/workflows/build.yml@refs/tags/v1"},
            "metadata": {"invocationId": "https://github.com/acme/app/actions/runs/7/attempts/2", "startedOn": "1970-01-01T00:00:00Z"}
        }
    });
    assert_eq!(predicate, expected);
}

#[test]
fn an_enterprise_server_is_named_by_its_issuer() {
    let mut value = github();
    value["iss"] = "https://ghes.acme.test/_services/token".into();
    let provenance = from_claims(&claims(&value), Times::default()).unwrap();
    assert!(
        provenance
            .run_details
            .builder
            .id
            .starts_with("https://ghes.acme.test/acme/shared/")
    );
    value["iss"] = "https://token.actions.githubusercontent.com/acme".into();
    let provenance = from_claims(&claims(&value), Times::default()).unwrap();
    assert!(
        provenance
            .run_details
            .builder
            .id
            .starts_with("https://github.com/acme/shared/")
    );
}

#[test]
fn gitlab_in_the_same_shape() {
    let predicate = from_claims(&claims(&gitlab()), Times::default())
        .unwrap()
        .to_predicate();
    assert_eq!(
        predicate["buildDefinition"]["externalParameters"]["workflow"],
        json!({"ref": "refs/tags/v1", "repository": "https://gitlab.acme.test/team/app", "path": ".gitlab-ci.yml"})
    );
    assert_eq!(
        predicate["buildDefinition"]["resolvedDependencies"][0]["uri"],
        "git+https://gitlab.acme.test/team/app@refs/tags/v1"
    );
    assert_eq!(
        predicate["runDetails"],
        json!({"builder": {"id": "https://gitlab.acme.test/team/app//.gitlab-ci.yml@refs/tags/v1"},
            "metadata": {"invocationId": "https://gitlab.acme.test/team/app/-/jobs/9"}})
    );
}

#[test]
fn each_bad_token_has_its_reason() {
    let code = |value: Value| from_claims(&claims(&value), Times::default()).unwrap_err().code();
    assert_eq!(
        code(json!({"iss": "https://accounts.acme.test", "email": "a@b"})),
        "provenance-unknown-issuer"
    );
    for claim in ["repository", "workflow_ref", "ref", "sha", "run_id", "run_attempt"] {
        let mut value = github();
        value.as_object_mut().unwrap().remove(claim);
        assert_eq!(code(value), "provenance-claim-missing", "{claim}");
    }
    for claim in ["project_path", "ref", "sha", "job_id", "ref_type"] {
        let mut value = gitlab();
        value[claim] = "".into();
        assert_eq!(code(value), "provenance-claim-missing", "{claim}");
    }
    let mut value = github();
    value["sha"] = "main".into();
    assert_eq!(code(value), "provenance-claim-malformed");
    let mut value = github();
    value["workflow_ref"] = "other/app/.github/workflows/release.yml@refs/heads/main".into();
    assert_eq!(code(value), "provenance-claim-malformed");
}

#[test]
fn a_build_without_source_says_so() {
    let predicate = unsourced(Times::default()).to_predicate();
    assert_eq!(predicate["runDetails"]["builder"]["id"], LOCAL_BUILDER);
    assert_eq!(predicate["buildDefinition"]["internalParameters"]["verified"], false);
}
