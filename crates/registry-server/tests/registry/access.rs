//! Who may, and what no request can do.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use proofmark_registry_server::{Htpasswd, Server, StartError};
use reqwest::StatusCode;

use crate::world::{World, config, expect, header, refused};

#[tokio::test]
async fn the_base_endpoint_and_what_is_none() {
    let world = World::start().await;
    for path in ["/v2/", "/v2"] {
        let response = expect(world.get(path).send().await.unwrap(), StatusCode::OK).await;
        assert_eq!(header(&response, "docker-distribution-api-version"), "registry/2.0");
    }
    assert_eq!(world.get("/healthz").send().await.unwrap().text().await.unwrap(), "ok");
    refused(world.get("/"), 404, "UNSUPPORTED").await;
    refused(world.get("/v1/search"), 404, "UNSUPPORTED").await;
    refused(world.get("/v2/team/app"), 404, "UNSUPPORTED").await;
    refused(world.delete("/v2/_catalog"), 405, "UNSUPPORTED").await;
}

#[tokio::test]
async fn with_users_everything_wants_a_password() {
    let world = World::with(|config| config.htpasswd = Some(Htpasswd::single("alice", "secret").unwrap())).await;
    for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/nothing"] {
        let response = world.get(path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(
            header(&response, "www-authenticate"),
            r#"Basic realm="proofmark", charset="UTF-8""#
        );
    }
    let upload = world.post("/v2/a/blobs/uploads/").basic_auth("alice", Some("wrong"));
    refused(upload, 401, "UNAUTHORIZED").await;
    let base = world
        .get("/v2/")
        .basic_auth("alice", Some("secret"))
        .send()
        .await
        .unwrap();
    expect(base, StatusCode::OK).await;
    let upload = world.post("/v2/a/blobs/uploads/").basic_auth("alice", Some("secret"));
    expect(upload.send().await.unwrap(), StatusCode::ACCEPTED).await;
}

/// A request as it is on the wire: HTTP libraries tidy paths before they send them.
fn raw(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.server.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_folder() {
    let world = World::start().await;
    let secret = world.folder.path().parent().unwrap().join("proofmark-secret");
    for path in [
        "/v2/../../etc/passwd",
        "/v2/a/../../../manifests/x",
        "/v2/a/manifests/../../x",
        "/v2/a/manifests/..%2f..%2fx",
        "/v2/%2e%2e/%2e%2e/manifests/x",
        "/v2/a/blobs/uploads/../../../x",
        "/v2/a/blobs/uploads/..",
        "/v2/_tags/manifests/x",
        "/v2/a/_tags/manifests/x",
        "/v2/a%00/manifests/x",
        "/v2/a\\..\\b/manifests/x",
        "//etc/passwd",
    ] {
        for method in ["GET", "PUT", "DELETE", "POST", "PATCH"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let answer = raw(&world, &request);
            assert!(answer.starts_with("HTTP/1.1 40"), "{method} {path}: {answer}");
        }
    }
    assert!(!secret.exists());
    assert_eq!(crate::world::files(world.folder.path()), ["lock"]);
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let world = World::start().await;
    let second = Server::start(config(world.folder.path())).await;
    assert!(matches!(
        second,
        Err(StartError::Store(proofmark_registry_server::OpenError::Locked { .. }))
    ));
    world.restart().await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Server::start(config(&file)).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot use the folder"), "{error}");
    let mut bad = config(folder.path());
    bad.immutable_tags = vec!["(".to_owned()];
    let error = Server::start(bad).await.unwrap_err();
    assert!(
        error.to_string().contains("\"(\" is not a regular expression"),
        "{error}"
    );
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("lock"), "proofmark registry 2\n").unwrap();
    let error = Server::start(config(other.path())).await.unwrap_err();
    assert!(
        error.to_string().ends_with("is not a registry of this version"),
        "{error}"
    );
    let world = World::start().await;
    let mut taken = config(folder.path());
    taken.listen = world.server.address();
    let error = Server::start(taken).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
}
