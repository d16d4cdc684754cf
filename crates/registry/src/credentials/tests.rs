//! Which entry is found for which repository, and what a helper may do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use proofmark_types::{RegistryHost, Repository};
use tempfile::TempDir;

use super::*;
use crate::credentials::auth_file::places;

fn repository(name: &str) -> Repository {
    Repository::parse(name).unwrap()
}

fn store(json: &str) -> CredentialStore {
    CredentialStore {
        files: vec![Arc::new(AuthFile::parse("test", json.as_bytes()).unwrap())],
        ..CredentialStore::default()
    }
}

fn password(username: &str, password: &str) -> Option<Credential> {
    Some(Credential::Password {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
    })
}

#[tokio::test]
async fn the_most_specific_key_decides() {
    let store = store(
        r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"aHViOnB3"},
            "https://Registry.example.com/v2/":{"auth":"aG9zdDpwdw=="},
            "registry.example.com/team":{"auth":"dGVhbTpwdw=="},
            "registry.example.com/team/app":{"auth":"YXBwOnB3"},
            "registry.example.com:5000":{"username":"port","password":"pw"},
            "quay.io":{"identitytoken":"tok","auth":"eDp5"},
            "ghcr.io":{"registrytoken":"bearer"}}}"#,
    );
    for (name, expected) in [
        ("nginx", password("hub", "pw")),
        ("registry.example.com/other", password("host", "pw")),
        ("registry.example.com/team", password("team", "pw")),
        ("registry.example.com/team/other/deep", password("team", "pw")),
        ("registry.example.com/team/app", password("app", "pw")),
        ("registry.example.com/team/app/x", password("app", "pw")),
        ("registry.example.com/team-app", password("host", "pw")),
        ("registry.example.com:5000/team/app", password("port", "pw")),
        ("registry.example.com:5001/team/app", None),
        ("evil.registry.example.com/team/app", None),
        ("registry.example.com.evil.io/team/app", None),
        (
            "quay.io/x",
            Some(Credential::IdentityToken(Secret::new("tok".to_owned()))),
        ),
        (
            "ghcr.io/x",
            Some(Credential::RegistryToken(Secret::new("bearer".to_owned()))),
        ),
    ] {
        assert_eq!(store.lookup(&repository(name)).await.unwrap(), expected, "{name}");
    }
}

#[tokio::test]
async fn given_credentials_go_first_and_are_exact() {
    let file = store(r#"{"auths":{"a.example.com":{"auth":"ZmlsZTpwdw=="}}}"#);
    let given = |name: &str| password(name, "pw").unwrap();
    let store = CredentialStore::anonymous()
        .with_host(RegistryHost::parse("b.example.com").unwrap(), given("host"))
        .with_repository(repository("b.example.com/team"), given("team"))
        .then(file);
    for (name, expected) in [
        ("a.example.com/x", password("file", "pw")),
        ("b.example.com/x", password("host", "pw")),
        ("b.example.com/team/x", password("team", "pw")),
        ("b.example.com/teamx", password("host", "pw")),
        ("c.example.com/x", None),
    ] {
        assert_eq!(store.lookup(&repository(name)).await.unwrap(), expected, "{name}");
    }
    assert!(!format!("{store:?}").contains("\"pw\""), "secrets are masked");
}

#[test]
fn malformed_files_are_errors_that_show_no_secret() {
    for content in [
        "{",
        "[]",
        r#"{"auths":{"x.io":{"auth":"c2VjcmV0"}}}"#,
        r#"{"auths":{"x.io":{"auth":"!!secret!!"}}}"#,
        r#"{"auths":{"x.io":"secret"}}"#,
    ] {
        let error = AuthFile::parse("file", content.as_bytes()).unwrap_err();
        assert!(matches!(error, CredentialError::Malformed { .. }), "{content}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    AuthFile::parse("file", b" \n").unwrap();
    AuthFile::parse("file", b"{\"psFormat\":\"x\"}").unwrap();
    let huge = vec![b' '; 1024 * 1024 + 1];
    assert!(AuthFile::parse("file", &huge).is_err());
    let missing = CredentialStore::from_file(Path::new("/nonexistent/config.json"));
    assert!(matches!(missing, Err(CredentialError::File { .. })));
}

#[test]
fn files_are_looked_for_where_podman_and_docker_put_them() {
    let environment = |pairs: &'static [(&'static str, &'static str)]| {
        places(move |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        })
    };
    let all = environment(&[
        ("HOME", "/h"),
        ("DOCKER_CONFIG", "/d"),
        ("XDG_RUNTIME_DIR", "/run/user/1"),
        ("REGISTRY_AUTH_FILE", "/r/auth.json"),
    ]);
    let expected = [
        "/r/auth.json",
        "/d/config.json",
        "/run/user/1/containers/auth.json",
        "/h/.config/containers/auth.json",
        "/h/.docker/config.json",
    ];
    assert_eq!(all, expected.map(PathBuf::from));
    assert_eq!(environment(&[("DOCKER_CONFIG", "")]), Vec::<PathBuf>::new());
}

fn with_helper(script: &str, json: &str) -> (TempDir, CredentialStore) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("docker-credential-test");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut store = store(json);
    let mut helpers = HelperCache::default();
    helpers.folder = Some(folder.path().to_owned());
    store.helpers = Arc::new(helpers);
    (folder, store)
}

const HELPED: &str = r#"{"credHelpers":{"x.io":"test"},"auths":{"y.io":{}},"credsStore":"test"}"#;

#[tokio::test]
async fn helpers_answer_for_their_server_and_are_asked_once() {
    let script = r#"read -r server || true; echo "$server" >> "$0.log"; printf '{"ServerURL":"%s","Username":"u-%s","Secret":"s"}' "$server" "$server""#;
    let (folder, store) = with_helper(script, HELPED);
    for (name, user) in [
        ("x.io/a", "u-x.io"),
        ("x.io/b", "u-x.io"),
        ("y.io/a", "u-y.io"),
        ("z.io/a", "u-z.io"),
        ("nginx", "u-https://index.docker.io/v1/"),
    ] {
        assert_eq!(
            store.lookup(&repository(name)).await.unwrap(),
            password(user, "s"),
            "{name}"
        );
    }
    let log = fs::read_to_string(folder.path().join("docker-credential-test.log")).unwrap();
    assert_eq!(log.lines().count(), 4, "x.io was asked once");
}

#[tokio::test]
async fn a_token_of_a_helper_is_an_identity_token() {
    let (_folder, store) = with_helper(r#"echo '{"Username":"<token>","Secret":"t"}'"#, HELPED);
    let found = store.lookup(&repository("x.io/a")).await.unwrap();
    assert_eq!(found, Some(Credential::IdentityToken(Secret::new("t".to_owned()))));
}

#[tokio::test]
async fn a_helper_without_an_entry_is_no_error() {
    let script = "echo 'credentials not found in native keychain'; exit 1";
    let (_folder, store) = with_helper(script, HELPED);
    assert_eq!(store.lookup(&repository("x.io/a")).await.unwrap(), None);
}

#[tokio::test]
async fn bad_helpers_are_named() {
    for script in [
        "echo 'no key'; exit 3",
        "echo nonsense",
        "yes | head -c 200000",
        "echo '{}'",
    ] {
        let (_folder, store) = with_helper(script, HELPED);
        let error = store.lookup(&repository("x.io/a")).await.unwrap_err();
        assert!(
            matches!(&error, CredentialError::Helper { helper, .. } if helper == "test"),
            "{error}"
        );
    }
    let absent = store(r#"{"credHelpers":{"x.io":"proofmark-test-absent"}}"#);
    assert!(matches!(
        absent.lookup(&repository("x.io/a")).await,
        Err(CredentialError::Helper { .. })
    ));
    for name in ["../../bin/sh", "a/b", ""] {
        let file = format!(r#"{{"credHelpers":{{"x.io":"{name}"}}}}"#);
        let found = store(&file).lookup(&repository("x.io/a")).await;
        assert!(matches!(found, Err(CredentialError::HelperName { .. })), "{name}");
    }
}

#[tokio::test]
async fn content_of_strangers_runs_no_helper() {
    let json = br#"{"auths":{"a.io":{"auth":"YTpi"}},"credHelpers":{"x.io":"test"},"credsStore":"test"}"#;
    let store = CredentialStore::from_json("secret default/pull", json).unwrap();
    assert_eq!(store.lookup(&repository("x.io/a")).await.unwrap(), None);
    assert_eq!(store.lookup(&repository("a.io/a")).await.unwrap(), password("a", "b"));
}

/// Counts how often it is asked.
#[derive(Debug, Default)]
struct Cloud {
    asked: AtomicUsize,
    fails: bool,
}

impl CredentialProvider for Cloud {
    fn credential(&self) -> Pin<Box<dyn Future<Output = Result<Credential, String>> + Send + '_>> {
        Box::pin(async {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.fails {
                return Err("the cloud is not there".to_owned());
            }
            Ok(password("cloud", "s").unwrap())
        })
    }
}

#[tokio::test]
async fn a_provider_is_asked_for_its_host_alone_and_after_the_files() {
    let cloud = Arc::new(Cloud::default());
    let host = |name: &str| RegistryHost::parse(name).unwrap();
    let files = store(r#"{"auths":{"acme.azurecr.io/given":{"auth":"YTpi"}}}"#);
    let store = files.with_provider(host("acme.azurecr.io"), cloud.clone());
    for (name, expected) in [
        ("acme.azurecr.io/app", password("cloud", "s")),
        ("acme.azurecr.io/given/app", password("a", "b")),
        // docker-credential-acr-env issue 21.
        ("acme.azurecr.io.attacker.com/app", None),
        ("evil.acme.azurecr.io/app", None),
        ("acme.azurecr.io:443/app", None),
        ("other.azurecr.io/app", None),
    ] {
        assert_eq!(store.lookup(&repository(name)).await.unwrap(), expected, "{name}");
    }
    assert_eq!(cloud.asked.load(Ordering::Relaxed), 1);
    let appended = CredentialStore::anonymous().then(store);
    let found = appended.lookup(&repository("acme.azurecr.io/app")).await.unwrap();
    assert_eq!(found, password("cloud", "s"));
}

#[tokio::test]
async fn a_provider_that_fails_is_no_anonymous_request() {
    let cloud = Arc::new(Cloud {
        fails: true,
        ..Cloud::default()
    });
    let store = CredentialStore::anonymous().with_provider(RegistryHost::parse("gcr.io").unwrap(), cloud);
    let error = store.lookup(&repository("gcr.io/acme/app")).await.unwrap_err();
    assert_eq!(error.to_string(), "no credential for gcr.io: the cloud is not there");
    assert_eq!(store.lookup(&repository("eu.gcr.io/acme/app")).await.unwrap(), None);
}
