//! The trust root that this machine keeps: taken up without a file, refreshed beside the reviews, shown when it is old, and
//! never replaced by something worse.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use proofmark_admission::{Config, KeptTrust, Server, TrustSource};
use proofmark_trust_root::tuf::{Expiry, Repository};
use proofmark_trust_root::{Home, Place};
use proofmark_trust_server::{InitOptions, init};
use proofmark_types::UnixTime;
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

use crate::world::{World, pod};

const DAY: i64 = 24 * 3600;

/// A trust domain with its TUF repository, and a place that has chosen it.
struct Domain {
    folder: TempDir,
    address: SocketAddr,
    server: Option<proofmark_trust_server::Server>,
    place: Place,
}

impl Domain {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let now = UnixTime::from_system(SystemTime::now());
        let options = InitOptions {
            origin: Url::parse(&format!("http://{address}")).unwrap(),
            operator: "acme".to_owned(),
            issuers: Vec::new(),
            dev_issuer: true,
            now,
        };
        let domain = folder.path().join("domain");
        init(&domain, &options).unwrap();
        let config = proofmark_trust_server::Config::new(&domain, address);
        let server = proofmark_trust_server::Server::start_on(config, listener)
            .await
            .unwrap();
        let place = Home::new(folder.path().join("tuf")).place(&format!("http://{address}/tuf"));
        let kept = place.pin(&fs::read(domain.join("tuf_root.json")).unwrap()).unwrap();
        kept.refresh(&repository(&place), now, Expiry::Enforced).await.unwrap();
        place.adopt(&kept).unwrap();
        Self {
            folder,
            address,
            server: Some(server),
            place,
        }
    }

    async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    /// Publishes another trust root.
    async fn publish(&mut self) {
        self.stop().await;
        let domain = self.folder.path().join("domain");
        let path = domain.join("trusted_root.json");
        let text = fs::read_to_string(&path).unwrap().replace("\"acme\"", "\"acme two\"");
        fs::write(&path, text).unwrap();
        let config = proofmark_trust_server::Config::new(&domain, self.address);
        self.server = Some(proofmark_trust_server::Server::start(config).await.unwrap());
    }

    fn copy(&self) -> PathBuf {
        self.place.folder().join("copy.tar")
    }
}

fn repository(place: &Place) -> Repository {
    Repository::mirror(&Url::parse(place.mirror()).unwrap()).unwrap()
}

fn with(place: &Place, repository: Option<Repository>) -> impl FnOnce(&mut Config) {
    let place = place.clone();
    move |config| {
        config.trust_root = Some(TrustSource::Kept(Box::new(KeptTrust { place, repository })));
        config.limits.trust_refresh = Duration::from_millis(50);
        // The clock of these tests goes ahead, that of their client does not.
        config.limits.renewal = Duration::from_secs(3600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_refreshed_beside_the_reviews() {
    let (world, mut domain) = (World::new().await, Domain::start().await);
    let (image, _) = world.signed("app").await;
    let change = with(&domain.place, Some(repository(&domain.place)));
    let webhook = world.webhook(&[world.policy("signed", "")], change).await;
    let refreshes = |result: &str| format!("proofmark_admission_trust_root_refreshes_total{{result=\"{result}\"}}");
    let (status, text) = webhook.get("/readyz").await;
    let line = format!(
        "trust root: {}, root version 1, targets version 1",
        domain.place.mirror()
    );
    assert!(
        status == 200 && text.contains(&line) && !text.contains("STALE"),
        "{text}"
    );
    assert!(webhook.metric("proofmark_admission_trust_root_age_seconds").await < 60.0);
    assert_eq!(webhook.metric("proofmark_admission_trust_root_stale").await, 0.0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(webhook.metric(&refreshes("refreshed")).await, 0.0, "nothing was due");

    // Two days on, there is another one.
    domain.publish().await;
    world.ahead.store(2 * DAY, Ordering::SeqCst);
    webhook
        .until(|| async { webhook.get("/readyz").await.1.contains("targets version 2") })
        .await;
    assert_eq!(webhook.metric(&refreshes("refreshed")).await, 1.0);
    // The copy is there a moment before its age.
    webhook
        .until(|| async { webhook.metric("proofmark_admission_trust_root_age_seconds").await < 60.0 })
        .await;
    webhook.validate(&pod(&[&image])).await.assert_allowed();

    // Two days later nobody answers: the old one stays, it is said, and it is not tried again at once.
    domain.stop().await;
    world.ahead.store(4 * DAY, Ordering::SeqCst);
    webhook
        .until(|| async { webhook.metric(&refreshes("failed")).await > 0.0 })
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(webhook.metric(&refreshes("failed")).await, 1.0);
    let (status, text) = webhook.get("/readyz").await;
    assert_eq!(status, 200, "{text}");
    assert!(
        text.contains("targets version 2") && text.contains("trust root: not refreshed, "),
        "{text}"
    );
    webhook.validate(&pod(&[&image])).await.assert_allowed();

    // Its metadata expires: that is seen, and it stays in force.
    world.ahead.store(10 * DAY, Ordering::SeqCst);
    let (_, text) = webhook.get("/readyz").await;
    assert!(
        text.contains("trust root: STALE, ") && text.contains("expired at"),
        "{text}"
    );
    assert_eq!(webhook.metric("proofmark_admission_trust_root_stale").await, 1.0);
    webhook.validate(&pod(&[&image])).await.assert_allowed();
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_copy_never_replaces_the_one_in_force() {
    let (world, domain) = (World::new().await, Domain::start().await);
    let webhook = world
        .webhook(&[world.policy("signed", "")], with(&domain.place, None))
        .await;
    assert_eq!(webhook.metric("proofmark_admission_policies_current").await, 1.0);
    let good = fs::read(domain.copy()).unwrap();
    let mut bad = good.clone();
    let word = b"certificateAuthorities";
    let at = bad.windows(word.len()).position(|part| part == word).unwrap();
    bad[at] = b'C';
    fs::write(domain.copy(), &bad).unwrap();
    webhook
        .until(|| async { webhook.metric("proofmark_admission_policies_current").await == 0.0 })
        .await;
    let (status, text) = webhook.get("/readyz").await;
    assert_eq!(status, 200, "the one of before is in force: {text}");
    assert!(
        text.contains("is not what") && text.contains("trust root: http"),
        "{text}"
    );
    // At the start there is nothing to fall back to.
    let mut config = world.config();
    with(&domain.place, None)(&mut config);
    assert_eq!(Server::start(config).await.unwrap_err().code(), "trust-cache-changed");
    let mut config = world.config();
    let unknown = Home::new(domain.folder.path().join("tuf")).place("https://mirror.test");
    with(&unknown, None)(&mut config);
    assert_eq!(Server::start(config).await.unwrap_err().code(), "trust-not-initialized");
    fs::write(domain.copy(), &good).unwrap();
    webhook
        .until(|| async { webhook.metric("proofmark_admission_policies_current").await == 1.0 })
        .await;
    webhook.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_hangs_holds_nothing_up() {
    let (world, domain) = (World::new().await, Domain::start().await);
    let (image, _) = world.signed("app").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
    let change = with(&domain.place, Some(Repository::mirror(&url).unwrap()));
    let webhook = world.webhook(&[world.policy("signed", "")], change).await;
    world.ahead.store(2 * DAY, Ordering::SeqCst);
    // It is at it by now, and has the place to itself.
    webhook
        .until(|| async { domain.place.state().unwrap().failures == 1 })
        .await;
    assert!(domain.place.lock().unwrap().is_none(), "one at a time");
    let started = Instant::now();
    webhook.validate(&pod(&[&image])).await.assert_allowed();
    assert_eq!(webhook.get("/readyz").await.0, 200);
    webhook.server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());

    // A refresh that takes too long is given up, and said.
    let change = with(&domain.place, Some(Repository::mirror(&url).unwrap()));
    world.ahead.store(0, Ordering::SeqCst);
    let webhook = world
        .webhook(&[world.policy("signed", "")], |config| {
            change(config);
            config.limits.trust_patience = Duration::from_millis(200);
        })
        .await;
    world.ahead.store(4 * DAY, Ordering::SeqCst);
    webhook
        .until(|| async { webhook.get("/readyz").await.1.contains("did not answer within 200ms") })
        .await;
    webhook.server.stop().await;
}
