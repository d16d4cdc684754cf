use std::os::unix::fs::PermissionsExt;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn config(folder: &Path) -> TlsConfig {
    TlsConfig::new(
        folder.to_owned(),
        vec!["proofmark.example.svc".to_owned(), "127.0.0.1".to_owned()],
    )
}

fn start() -> UnixTime {
    UnixTime::parse("2026-11-20T10:00:00Z").unwrap()
}

fn leaf(certificates: &Certificates) -> Vec<u8> {
    certificates.state().serving.cert[0].to_vec()
}

fn blocks(pem: &str) -> usize {
    pem.matches("-----BEGIN CERTIFICATE-----").count()
}

#[test]
fn the_authority_is_kept_and_the_serving_certificate_is_new_at_each_start() {
    let folder = tempfile::tempdir().unwrap();
    let first = Certificates::open(config(folder.path()), start()).unwrap();
    let second = Certificates::open(config(folder.path()), start().plus(DAY)).unwrap();
    assert_eq!(first.ca_bundle_pem(), second.ca_bundle_pem());
    assert_ne!(leaf(&first), leaf(&second));
    assert_eq!(second.authority_end(), start().plus(365 * DAY));
    let bundle = std::fs::read_to_string(folder.path().join("ca.crt")).unwrap();
    assert_eq!(bundle, first.ca_bundle_pem());
    assert_eq!(blocks(&bundle), 1);
}

#[test]
fn the_key_is_its_owners_and_nothing_is_left_over() {
    let folder = tempfile::tempdir().unwrap();
    Certificates::open(config(&folder.path().join("tls")), start()).unwrap();
    let mode = |name: &str| {
        std::fs::metadata(folder.path().join("tls").join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("authority.pem"), 0o600);
    assert_eq!(mode("."), 0o700);
    let mut names: Vec<_> = std::fs::read_dir(folder.path().join("tls"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["authority.pem", "ca.crt"]);
}

#[test]
fn the_serving_certificate_is_renewed_at_two_thirds() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(config(folder.path()), start()).unwrap();
    let first = leaf(&certificates);
    let before = start().plus(DAY * 14 / 3).minus(Duration::from_secs(60));
    assert_eq!(certificates.renew(before).unwrap(), Renewal::default());
    assert_eq!(leaf(&certificates), first);
    let due = start().plus(DAY * 14 / 3);
    let renewal = certificates.renew(due).unwrap();
    assert!(renewal.serving && !renewal.bundle);
    assert_ne!(leaf(&certificates), first);
    assert_eq!(certificates.serving_end(), due.plus(7 * DAY));
}

#[test]
fn the_authority_overlaps_with_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(config(folder.path()), start()).unwrap();
    let old = certificates.ca_bundle_pem();
    let announced = start().plus(DAY * 244);
    assert!(certificates.renew(announced).unwrap().bundle);
    let both = certificates.ca_bundle_pem();
    assert_eq!(blocks(&both), 2);
    assert!(both.starts_with(&old), "the old authority still signs");
    assert_eq!(std::fs::read_to_string(folder.path().join("ca.crt")).unwrap(), both);
    // A restart in between keeps both.
    let certificates = Certificates::open(config(folder.path()), announced.plus(DAY)).unwrap();
    assert_eq!(certificates.ca_bundle_pem(), both);
    let handover = start().plus(DAY * 352);
    let renewal = certificates.renew(handover).unwrap();
    assert!(renewal.bundle && renewal.serving);
    let new = certificates.ca_bundle_pem();
    assert!(blocks(&new) == 1 && both.ends_with(&new));
    assert_eq!(certificates.authority_end(), announced.plus(365 * DAY));
    assert!(!folder.path().join("authority-next.pem").exists());
}

#[test]
fn an_authority_that_has_ended_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let old = Certificates::open(config(folder.path()), start())
        .unwrap()
        .ca_bundle_pem();
    let new = Certificates::open(config(folder.path()), start().plus(400 * DAY)).unwrap();
    assert_ne!(new.ca_bundle_pem(), old);
    assert_eq!(new.authority_end(), start().plus(765 * DAY));
}

#[test]
fn each_unusable_setting_has_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let code = |config: TlsConfig| Certificates::open(config, start()).unwrap_err().code();
    let with = |change: fn(&mut TlsConfig)| {
        let mut changed = config(folder.path());
        change(&mut changed);
        changed
    };
    assert_eq!(code(with(|config| config.names.clear())), "tls-no-names");
    assert_eq!(
        code(with(|config| config.names = vec!["ä b".to_owned()])),
        "tls-certificate"
    );
    assert_eq!(
        code(with(|config| config.serving_lifetime = Duration::from_secs(1))),
        "tls-lifetimes"
    );
    assert_eq!(
        code(with(|config| config.authority_lifetime = config.serving_lifetime)),
        "tls-lifetimes"
    );
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert_eq!(code(config(&folder.path().join("file"))), "tls-folder");
    for content in [
        "",
        "garbage",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(folder.path().join("authority.pem"), content).unwrap();
        assert_eq!(code(config(folder.path())), "tls-authority-unreadable", "{content}");
        assert_eq!(
            std::fs::read_to_string(folder.path().join("authority.pem")).unwrap(),
            content,
            "never overwritten"
        );
    }
}
