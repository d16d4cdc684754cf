//! TLS: authorities given by the caller, and what plain HTTP is never used for.

use std::net::SocketAddr;
use std::sync::Arc;

use proofmark_registry::Client;
use proofmark_types::{ImageRef, RegistryHost};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::hostile::{Hostile, Reply};
use crate::world::{client, code, signed_in, small_image};

/// A server whose certificate is from an authority of its own; it gives every request the same answer.
struct Secure {
    address: SocketAddr,
    authority: String,
    /// Certificate and key of a client that it knows.
    client: String,
}

impl Secure {
    async fn start(answer: Vec<u8>) -> Self {
        Self::start_asking(answer, false).await
    }

    async fn start_for_clients(answer: Vec<u8>) -> Self {
        Self::start_asking(answer, true).await
    }

    async fn start_asking(answer: Vec<u8>, asks: bool) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let client = CertificateParams::new(["client".to_owned()]).unwrap();
        let client = client.signed_by(&client_key, &issuer).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut known = RootCertStore::empty();
        known.add(issuer.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(known), Arc::clone(&provider));
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks {
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let config = builder.with_single_cert(vec![leaf.der().clone()], private).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => request.push(byte),
                            Err(_) => return,
                        }
                    }
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self {
            address,
            authority: issuer.pem(),
            client: format!("{}\n{}", client.pem(), client_key.serialize_pem()),
        }
    }

    fn image(&self) -> ImageRef {
        format!("{}/team/app:1", self.address).parse().unwrap()
    }
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn an_authority_given_is_trusted_and_no_other() {
    let image = small_image("x");
    let server = Secure::start(answer("200 OK", &image.bytes)).await;
    let trusting = |pem: &str| {
        let builder = Client::builder().require_https(true).root_certificates(pem.as_bytes());
        builder.build().unwrap()
    };
    let resolved = trusting(&server.authority).resolve(&server.image()).await.unwrap();
    assert_eq!(resolved.descriptor, image.descriptor);

    let other = Secure::start(Vec::new()).await;
    let error = trusting(&other.authority).resolve(&server.image()).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(error.hint().unwrap().contains("authority"), "{error}");
    for junk in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let built = Client::builder()
            .require_https(true)
            .root_certificates(junk.as_bytes())
            .build();
        match built {
            Err(error) => assert_eq!(error.code(), "setup"),
            Ok(client) => assert_eq!(code(client.resolve(&server.image()).await), "setup", "{junk}"),
        }
    }
}

#[tokio::test]
async fn https_never_leads_to_http() {
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}/stolen", plain.local_addr().unwrap());
    let server = Secure::start(answer(&format!("307 Go\r\nlocation: {to}"), b"")).await;
    // Even where plain HTTP is allowed for hosts without TLS.
    for allow in [false, true] {
        let client = Client::builder()
            .require_https(true)
            .allow_http(allow)
            .root_certificates(server.authority.as_bytes())
            .build()
            .unwrap();
        let error = client.resolve(&server.image()).await.unwrap_err();
        assert_eq!(error.code(), "redirect-refused");
        assert!(error.to_string().contains("https must not lead to http"), "{error}");
    }
    let challenge = "401 No\r\nwww-authenticate: Bearer realm=\"http://127.0.0.1:1/token\"";
    let server = Secure::start(answer(challenge, b"")).await;
    let client = Client::builder()
        .require_https(true)
        .root_certificates(server.authority.as_bytes())
        .build()
        .unwrap();
    assert_eq!(code(client.resolve(&server.image()).await), "realm-refused");
}

/// `0.0.0.0` reaches this machine and is not loopback by name: a stand-in for any other host.
#[tokio::test]
async fn plain_http_elsewhere_only_where_it_is_allowed() {
    let image = small_image("x");
    let bytes = image.bytes.clone();
    let hostile = Hostile::start(move |_| Reply::manifest(bytes.clone())).await;
    let host = format!("0.0.0.0:{}", hostile.address.port());
    let elsewhere: ImageRef = format!("{host}/team/app:1").parse().unwrap();
    let error = client().resolve(&elsewhere).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(error.hint().unwrap().contains("plain HTTP"), "{error}");
    assert!(hostile.seen().is_empty());

    let allowing = Client::builder().allow_http(true).build().unwrap();
    for requests in [2, 3] {
        allowing.resolve(&elsewhere).await.unwrap();
        assert_eq!(allowing.counts().total(), requests, "TLS is tried once");
    }
    let named = Client::builder()
        .http_for(RegistryHost::parse(&host).unwrap())
        .build()
        .unwrap();
    named.resolve(&elsewhere).await.unwrap();
    assert_eq!(named.counts().total(), 1);

    // A certificate that does not hold is no reason to do without.
    let server = Secure::start(answer("200 OK", &image.bytes)).await;
    let secure: ImageRef = format!("0.0.0.0:{}/team/app:1", server.address.port()).parse().unwrap();
    let error = allowing.resolve(&secure).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(allowing.counts().total(), 4);
}

/// Whoever is on the way can make TLS fail; a password sent in the clear for that would be theirs.
#[tokio::test]
async fn no_credentials_go_over_plain_http_that_was_fallen_back_to() {
    let hostile = Hostile::start(|_| Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\"")).await;
    let host = format!("0.0.0.0:{}", hostile.address.port());
    let elsewhere: ImageRef = format!("{host}/team/app:1").parse().unwrap();
    let secret = |seen: &[crate::hostile::Seen]| seen.iter().any(|seen| seen.authorization.is_some());
    let falling = Client::builder()
        .allow_http(true)
        .credentials(signed_in(&host))
        .build()
        .unwrap();
    for _ in 0..2 {
        let error = falling.resolve(&elsewhere).await.unwrap_err();
        assert_eq!(error.code(), "unauthorized");
        assert!(error.to_string().contains("credentials are not shown"), "{error}");
        assert!(error.hint().unwrap().contains("--plain-http-registry"), "{error}");
    }
    assert!(hostile.seen().len() >= 2 && !secret(&hostile.seen()));
    // Where the host is named as one without TLS, they are.
    let named = Client::builder()
        .http_for(RegistryHost::parse(&host).unwrap())
        .credentials(signed_in(&host))
        .build()
        .unwrap();
    assert_eq!(code(named.resolve(&elsewhere).await), "unauthorized");
    assert!(secret(&hostile.seen()));
}

#[tokio::test]
async fn any_certificate_is_taken_where_that_is_said_and_only_there() {
    let image = small_image("x");
    let server = Secure::start(answer("200 OK", &image.bytes)).await;
    for (any, expected) in [(false, Some("unreachable")), (true, None)] {
        let client = Client::builder()
            .require_https(true)
            .danger_accept_any_certificate(any)
            .build()
            .unwrap();
        let resolved = client.resolve(&server.image()).await;
        assert_eq!(resolved.err().map(|error| error.code()), expected);
    }
    // What is asked for by digest is checked all the same.
    let client = Client::builder()
        .require_https(true)
        .danger_accept_any_certificate(true)
        .build()
        .unwrap();
    let other = small_image("y").descriptor.digest;
    let pinned = server.image().with_digest(other);
    assert_eq!(code(client.resolve(&pinned).await), "digest-mismatch");
}

/// A server that asks for a certificate, and answers only those who have one of its authority.
#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let image = small_image("x");
    let server = Secure::start_for_clients(answer("200 OK", &image.bytes)).await;
    let builder = || {
        Client::builder()
            .require_https(true)
            .root_certificates(server.authority.as_bytes())
    };
    let known = builder().client_certificate(server.client.as_bytes()).build().unwrap();
    known.resolve(&server.image()).await.unwrap();
    let unknown = builder().build().unwrap();
    assert_eq!(code(unknown.resolve(&server.image()).await), "unreachable");
    let stranger = Secure::start_for_clients(Vec::new()).await;
    let other = builder()
        .client_certificate(stranger.client.as_bytes())
        .build()
        .unwrap();
    assert_eq!(code(other.resolve(&server.image()).await), "unreachable");
    for junk in ["", "no certificate", &server.authority] {
        assert_eq!(
            builder()
                .client_certificate(junk.as_bytes())
                .build()
                .unwrap_err()
                .code(),
            "setup",
            "{junk}"
        );
    }
}
