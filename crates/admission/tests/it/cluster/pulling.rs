//! Private images: evidence is fetched with the Pod's own secrets, and what one team's secret fetched is not given to
//! another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_admission::Kinds;
use serde_json::{Value, json};

use super::objects::{object, path, pod, spec_of};
use super::{Site, assert_denied};
use crate::world::{Webhook, World};

struct Teams {
    site: Site,
    world: World,
    webhook: Webhook,
}

impl Teams {
    async fn new(namespace: &str) -> Option<Self> {
        Self::with(namespace, |world| world.policy("release", "")).await
    }

    async fn with(namespace: &str, policy: impl FnOnce(&World) -> (String, String)) -> Option<Self> {
        let site = Site::new(namespace).await?;
        let world = World::private("puller", "s3cret").await;
        let cluster = site.cluster.clone();
        let webhook = world
            .webhook(&[policy(&world)], |config| config.pull_secrets = Some(cluster))
            .await;
        site.register(&webhook, &Kinds::default()).await;
        Some(Self { site, world, webhook })
    }

    /// A namespace with a pull secret of this password.
    async fn team(&self, name: &str, password: Option<&str>) {
        self.site.make_namespace(name).await;
        if let Some(password) = password {
            self.secret(name, "pull", &self.world.wire_address.to_string(), password)
                .await;
        }
    }

    async fn secret(&self, namespace: &str, name: &str, host: &str, password: &str) {
        let config = json!({ "auths": { host: { "username": "puller", "password": password } } });
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": { "name": name }, "data": { ".dockerconfigjson": STANDARD.encode(config.to_string()) },
        });
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        self.site.cluster.create(&path, &secret).await.unwrap();
    }

    async fn try_pod(
        &self,
        namespace: &str,
        image: &str,
        secrets: &[&str],
    ) -> Result<Value, proofmark_admission::ClusterError> {
        let mut spec = spec_of(&[image]);
        spec["imagePullSecrets"] = secrets.iter().map(|name| json!({ "name": name })).collect();
        let pod = pod("web", &spec);
        let path = format!("{}?dryRun=All", path(&pod, namespace));
        self.site.cluster.create(&path, &pod).await
    }

    async fn requests(&self) -> f64 {
        self.webhook.metric("proofmark_admission_registry_requests_total").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_teams_secret_fetched_is_not_given_to_another() {
    let Some(teams) = Teams::new("pull").await else { return };
    let (image, digest) = teams.world.signed("private").await;
    let pinned = format!("{image}@{digest}");
    for (team, password) in [
        ("pull-a", Some("s3cret")),
        ("pull-b", None),
        ("pull-c", Some("guessed")),
        ("pull-d", Some("s3cret")),
    ] {
        teams.team(team, password).await;
    }
    let stored = teams.try_pod("pull-a", &image, &["pull"]).await.unwrap();
    assert_eq!(stored["spec"]["containers"][0]["image"], pinned);
    // What is held is used again, by who has it.
    let before = teams.requests().await;
    teams.try_pod("pull-a", &pinned, &["pull"]).await.unwrap();
    assert_eq!(teams.requests().await, before);

    // By tag and by digest, to whoever has no secret, another's password, or names a secret of another namespace.
    for image in [&image, &pinned] {
        for (team, secrets) in [
            ("pull-b", vec![]),
            ("pull-b", vec!["pull"]),
            ("pull-b", vec!["pull-a/pull", "../pull-a/secrets/pull"]),
            ("pull-c", vec!["pull"]),
        ] {
            let answer = teams.try_pod(team, image, &secrets).await;
            let error = answer.expect_err("another team's evidence");
            assert!(error.to_string().contains("[unauthorized]"), "{team}: {error}");
        }
    }
    // The same content could have read the same, and is not asked for it twice.
    let before = teams.requests().await;
    teams.try_pod("pull-d", &pinned, &["pull"]).await.unwrap();
    assert_eq!(teams.requests().await, before);
    // The right secret behind a wrong one: the kubelet tries both.
    teams
        .secret("pull-c", "right", &teams.world.wire_address.to_string(), "s3cret")
        .await;
    teams.try_pod("pull-c", &image, &["pull", "right"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_accounts_secrets_count_for_pods_and_for_templates() {
    let Some(teams) = Teams::new("pull-sa").await else {
        return;
    };
    let (image, _) = teams.world.signed("private").await;
    teams.team("pull-sa-a", Some("s3cret")).await;
    for (name, secrets) in [("deployer", json!([{ "name": "pull" }])), ("other", json!([]))] {
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name },
            "imagePullSecrets": secrets });
        let path = "/api/v1/namespaces/pull-sa-a/serviceaccounts";
        teams.site.cluster.create(path, &account).await.unwrap();
    }
    for kind in ["Pod", "Deployment", "CronJob"] {
        let with = |account: &str| {
            let mut spec = spec_of(&[&image]);
            spec["serviceAccountName"] = account.into();
            object(kind, "web", &spec)
        };
        let path = format!("{}?dryRun=All", path(&with("x"), "pull-sa-a"));
        teams
            .site
            .cluster
            .create(&path, &with("deployer"))
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        let error = teams.site.cluster.create(&path, &with("other")).await.expect_err(kind);
        assert!(error.to_string().contains("[unauthorized]"), "{kind}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_for_its_host_and_what_it_finds_is_judged_like_anything_else() {
    let Some(teams) = Teams::new("pull-host").await else {
        return;
    };
    let (image, _) = teams.world.signed("private").await;
    teams.world.push("evil", "1.0", "evil").await;
    teams.team("pull-host-a", Some("s3cret")).await;
    let host = teams.world.wire_address;
    for (name, host) in [
        ("suffix", format!("{host}.attacker.example")),
        ("prefix", format!("127.0.0.1.x/{host}")),
    ] {
        teams.secret("pull-host-a", name, &host, "s3cret").await;
        let error = teams.try_pod("pull-host-a", &image, &[name]).await.expect_err(name);
        assert!(error.to_string().contains("[unauthorized]"), "{name}: {error}");
    }
    let unsigned = teams.world.image("evil:1.0");
    assert_denied(teams.try_pod("pull-host-a", &unsigned, &["pull"]).await, "unsigned");
}

/// Policies over whole objects gather for themselves what no other policy needed.
#[tokio::test(flavor = "multi_thread")]
async fn policies_over_whole_objects_see_with_the_pods_secrets_too() {
    let of = |world: &World| world.validating("whole", crate::object_policies::SIGNED);
    let Some(teams) = Teams::with("pull-whole", of).await else {
        return;
    };
    let (image, _) = teams.world.signed("private").await;
    teams.world.push("evil", "1.0", "evil").await;
    teams.team("pull-whole-a", Some("s3cret")).await;
    teams.team("pull-whole-b", None).await;
    teams.try_pod("pull-whole-a", &image, &["pull"]).await.unwrap();
    let unsigned = teams.world.image("evil:1.0");
    assert_denied(
        teams.try_pod("pull-whole-a", &unsigned, &["pull"]).await,
        "validation-failed",
    );
    let error = teams
        .try_pod("pull-whole-b", &image, &["pull"])
        .await
        .expect_err("another team's evidence");
    assert!(error.to_string().contains("unauthorized"), "{error}");
}
