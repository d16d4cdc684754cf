//! What this machine keeps: believed only as it was signed, only where nobody else could have written it, and only as new
//! as it is.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proofmark_trust_root::tuf::{Expiry, Repository};
use proofmark_trust_root::{Home, Instance, Origin, Place, SIGNING_CONFIG, TRUSTED_ROOT};
use proofmark_types::UnixTime;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::world::{Key, World, now, signed};

const MIRROR: &str = "https://mirror.test";

/// A repository with documents, and a home that has chosen it.
struct Machine {
    folder: TempDir,
    world: World,
    place: Place,
}

impl Machine {
    async fn new(mirror: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("tuf"));
        let mut machine = Self {
            place: home.place(mirror),
            folder,
            world: World::new(),
        };
        machine.publish(2, &[TRUSTED_ROOT, SIGNING_CONFIG]);
        let pinned = machine.place.pin(&machine.world.pinned).unwrap();
        pinned
            .refresh(&machine.repository(), now(), Expiry::Enforced)
            .await
            .unwrap();
        machine.place.adopt(&pinned).unwrap();
        machine
    }

    /// Lists these documents of the public instance in a new version.
    fn publish(&mut self, version: u64, names: &[&str]) {
        let mut body = World::head("targets", version);
        body["targets"] = json!({});
        for name in names {
            let content = match *name {
                TRUSTED_ROOT => Instance::Public.trusted_root(),
                _ => Instance::Public.signing_config().unwrap(),
            };
            let one = self.world.targets(version, name, content);
            body["targets"][*name] = one["targets"][*name].clone();
        }
        self.world.put(&format!("{version}.targets.json"), &body);
        self.world
            .put(&format!("{version}.snapshot.json"), &World::snapshot(version, version));
        self.world.put("timestamp.json", &World::timestamp(version, version));
    }

    fn repository(&self) -> Repository {
        Repository::files(self.world.files.clone())
    }

    async fn refresh(&self) -> String {
        let refreshed = self.place.refresh(&self.repository(), now(), Expiry::Enforced).await;
        refreshed.map_or_else(|error| error.code().to_owned(), |_| String::new())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.folder().join(name)
    }

    /// Why the trust root is refused, and what that rests on.
    fn refusal(&self) -> (&'static str, String) {
        let error = self.place.document(TRUSTED_ROOT).expect_err("a document was returned");
        let cause = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
        assert!(error.hint().is_some(), "{error}");
        (error.code(), format!("{error} {cause}"))
    }

    /// Packs the copy anew, its files changed.
    fn repack(&self, change: impl Fn(&str, Vec<u8>) -> Vec<u8>) {
        let path = self.file("copy.tar");
        let bytes = fs::read(&path).unwrap();
        let mut packed = tar::Builder::new(Vec::new());
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let content = change(&name, content);
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len().try_into().unwrap());
            header.set_mode(0o600);
            packed.append_data(&mut header, &name, content.as_slice()).unwrap();
        }
        fs::write(&path, packed.into_inner().unwrap()).unwrap();
    }
}

fn swap(text: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(text).unwrap();
    let swapped = text.replacen(from, to, 1);
    assert_ne!(swapped, text, "{from}");
    swapped.into_bytes()
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn what_was_fetched_is_used_with_its_versions() {
    let machine = Machine::new(MIRROR).await;
    let document = machine.place.document(TRUSTED_ROOT).unwrap().unwrap();
    assert_eq!(document.bytes.as_ref(), Instance::Public.trusted_root());
    assert_eq!(document.since, now());
    let versions = document.versions.unwrap();
    assert_eq!((versions.root, versions.timestamp, versions.targets), (1, 2, 2));
    assert_eq!(document.expires, Some(UnixTime::parse("2027-01-01T00:00:00Z").unwrap()));
    assert_eq!(document.staleness(now()), None);
    let origin = Origin::Kept {
        mirror: MIRROR.to_owned(),
    };
    assert_eq!(document.origin, origin);
    assert!(machine.place.document(SIGNING_CONFIG).unwrap().is_some());
    assert!(machine.place.export().unwrap().is_some());
    // Due after a day, and where the clock was set back: what comes from the future says nothing about its age.
    let due = |time: &str| machine.place.is_due(UnixTime::parse(time).unwrap());
    assert!(!due("2026-06-01T12:00:00Z") && due("2026-06-02T01:00:00Z") && due("2026-05-31T00:00:00Z"));
}

type Change = (&'static str, fn(&Machine), &'static str, &'static str);

/// Swapped by someone who can write here: refused, and nothing takes its place, not even the copy in the program.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of what can be changed")]
async fn a_swapped_copy_is_refused_and_nothing_takes_its_place() {
    let changes: [Change; 11] = [
        (
            "another trust root of the same length",
            |machine| {
                machine.repack(|name, content| match name.ends_with(TRUSTED_ROOT) {
                    true => swap(content, "sigstore.dev", "sigstore.bad"),
                    false => content,
                })
            },
            "trust-cache-changed",
            "SHA-256",
        ),
        (
            "a longer one",
            |machine| {
                machine.repack(|name, content| match name.ends_with(TRUSTED_ROOT) {
                    true => [content, b" ".to_vec()].concat(),
                    false => content,
                })
            },
            "trust-cache-changed",
            "trusted_root.json",
        ),
        (
            "targets that announce another",
            |machine| {
                machine.repack(|name, content| match name.ends_with(".targets.json") {
                    true => swap(content, "\"length\":", "\"length\":1"),
                    false => content,
                })
            },
            "trust-cache-changed",
            "targets",
        ),
        (
            "targets of a stranger",
            |machine| {
                let stranger = Key::new(9).alias(9, &machine.world.key.id);
                machine.repack(|name, content| match name.ends_with(".targets.json") {
                    true => {
                        let document: Value = serde_json::from_slice(&content).unwrap();
                        signed(&[&stranger], &document["signed"]).to_string().into_bytes()
                    }
                    false => content,
                });
            },
            "trust-cache-changed",
            "targets",
        ),
        (
            "a timestamp of a stranger",
            |machine| {
                let stranger = Key::new(9).alias(9, &machine.world.key.id);
                machine.repack(|name, content| match name {
                    "timestamp.json" => {
                        let document: Value = serde_json::from_slice(&content).unwrap();
                        signed(&[&stranger], &document["signed"]).to_string().into_bytes()
                    }
                    _ => content,
                });
            },
            "trust-cache-changed",
            "timestamp",
        ),
        (
            "half of it",
            |machine| {
                let path = machine.file("copy.tar");
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            },
            "trust-cache-damaged",
            "copy.tar",
        ),
        (
            "none of it",
            |machine| fs::remove_file(machine.file("copy.tar")).unwrap(),
            "trust-cache-damaged",
            "not there any more",
        ),
        (
            "a folder in its place",
            |machine| {
                fs::remove_file(machine.file("copy.tar")).unwrap();
                fs::create_dir(machine.file("copy.tar")).unwrap();
            },
            "trust-cache-damaged",
            "copy.tar",
        ),
        (
            "a state that is no JSON",
            |machine| fs::write(machine.file("state.json"), "{").unwrap(),
            "trust-cache-damaged",
            "state.json",
        ),
        (
            "a state that leads nowhere",
            |machine| {
                fs::remove_file(machine.file("state.json")).unwrap();
                std::os::unix::fs::symlink("/nonexistent/state", machine.file("state.json")).unwrap();
            },
            "trust-cache-damaged",
            "state.json",
        ),
        (
            "a pinned root that is a folder",
            |machine| {
                fs::remove_file(machine.file("pinned-root.json")).unwrap();
                fs::create_dir(machine.file("pinned-root.json")).unwrap();
            },
            "trust-cache-damaged",
            "pinned-root.json",
        ),
    ];
    // Of the public instance's mirror the program has a copy of its own, older than this one.
    for mirror in [MIRROR, Instance::Public.mirror()] {
        for (what, change, code, word) in changes {
            let machine = Machine::new(mirror).await;
            // Later than the program was built.
            let state = fs::read_to_string(machine.file("state.json")).unwrap();
            let later = state.replace("2026-06-01", "2026-12-01");
            fs::write(machine.file("state.json"), later).unwrap();
            assert!(machine.place.document(TRUSTED_ROOT).unwrap().is_some(), "{what}");
            change(&machine);
            let (seen, said) = machine.refusal();
            assert_eq!(seen, code, "{what}: {said}");
            assert!(said.contains(word), "{what}: {said}");
            assert!(machine.place.export().is_err(), "{what}");
        }
    }
    // A refresh mends it: it begins with the pinned root, not with the copy.
    let machine = Machine::new(MIRROR).await;
    machine.repack(|_, content| content.into_iter().rev().collect());
    assert_eq!(machine.refusal().0, "trust-cache-changed");
    assert_eq!(machine.refresh().await, "");
    assert!(machine.place.document(TRUSTED_ROOT).unwrap().is_some());
    // Another root to begin with: what is here does not follow from it.
    let stranger = Key::new(9);
    let mut root = machine.world.root(1);
    root["keys"] = crate::world::keys(&[&stranger]);
    for role in ["root", "timestamp", "snapshot", "targets"] {
        root["roles"][role] = crate::world::role(&[&stranger], 1);
    }
    let root = signed(&[&stranger], &root).to_string();
    fs::write(machine.file("pinned-root.json"), root).unwrap();
    assert_eq!(machine.refusal().0, "trust-cache-changed");
}

#[tokio::test]
async fn what_others_can_write_is_not_read() {
    let machine = Machine::new(MIRROR).await;
    let home = machine.folder.path().join("tuf");
    // What is made here is for this user alone, whatever the umask.
    for folder in [&home, &machine.place.folder().to_owned(), &machine.file("metadata")] {
        let mode = fs::metadata(folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", folder.display());
    }
    let names = ["copy.tar", "state.json", "pinned-root.json", "metadata", ""];
    let paths = names.iter().map(|name| machine.file(name)).chain([home.clone()]);
    for path in paths {
        let before = fs::metadata(&path).unwrap().permissions().mode();
        for bits in [0o020, 0o002] {
            allow(&path, before | bits);
            let (code, said) = machine.refusal();
            assert_eq!(code, "trust-cache-unsafe", "{}", path.display());
            assert!(said.contains("can be written by others"), "{said}");
            assert_eq!(
                machine.refresh().await,
                if path.ends_with("copy.tar") || path.ends_with("state.json") {
                    ""
                } else {
                    "trust-cache-unsafe"
                },
                "{}",
                path.display()
            );
            if path.is_file() {
                let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
            }
        }
        allow(&path, before);
        assert!(
            machine.place.document(TRUSTED_ROOT).unwrap().is_some(),
            "{}",
            path.display()
        );
        // Others may read.
        allow(&path, before | 0o044);
        assert!(machine.place.document(TRUSTED_ROOT).is_ok(), "{}", path.display());
    }
    let choice = Home::new(home.clone());
    choice.choose(&machine.place).unwrap();
    assert_eq!(choice.chosen().unwrap().mirror(), MIRROR);
    allow(&home.join("chosen.json"), 0o666);
    assert_eq!(choice.chosen().unwrap_err().code(), "trust-cache-unsafe");
}

/// Needs an administrator, who alone can give files away.
#[tokio::test]
async fn what_belongs_to_another_user_is_not_read() {
    let machine = Machine::new(MIRROR).await;
    if std::os::unix::fs::chown(machine.file("copy.tar"), Some(12_345), None).is_err() {
        println!("SKIPPED: only an administrator can give a file to another user");
        return;
    }
    let (code, said) = machine.refusal();
    assert_eq!(code, "trust-cache-unsafe");
    assert!(said.contains("belongs to user 12345"), "{said}");
    std::os::unix::fs::chown(machine.file("copy.tar"), Some(0), None).unwrap();
    assert!(machine.place.document(TRUSTED_ROOT).is_ok());
    std::os::unix::fs::chown(machine.place.folder(), Some(12_345), None).unwrap();
    assert_eq!(machine.refusal().0, "trust-cache-unsafe");
}

/// A refresh that stops half-way leaves metadata that is newer than the copy: the copy is whole all the same.
#[tokio::test]
async fn a_refresh_that_stops_half_way_changes_nothing() {
    let mut machine = Machine::new(MIRROR).await;
    machine.publish(3, &[TRUSTED_ROOT]);
    let body = machine.world.targets(3, TRUSTED_ROOT, b"{\"another\": 1}");
    machine.world.put("3.targets.json", &body);
    machine.world.files.retain(|name, _| !name.starts_with("targets/"));
    assert_eq!(machine.refresh().await, "tuf-missing");
    let document = machine.place.document(TRUSTED_ROOT).unwrap().unwrap();
    assert_eq!(document.versions.unwrap().targets, 2);
    assert_eq!(document.bytes.as_ref(), Instance::Public.trusted_root());
    assert_eq!(machine.place.state().unwrap().failures, 1);
}

#[tokio::test]
async fn a_withdrawn_document_is_gone() {
    for mirror in [MIRROR, Instance::Public.mirror()] {
        let mut machine = Machine::new(mirror).await;
        assert!(machine.place.document(SIGNING_CONFIG).unwrap().is_some());
        machine.publish(3, &[TRUSTED_ROOT]);
        let late = UnixTime::parse("2026-12-01T00:00:00Z").unwrap();
        machine
            .place
            .refresh(&machine.repository(), late, Expiry::Enforced)
            .await
            .unwrap();
        assert!(machine.place.document(TRUSTED_ROOT).unwrap().is_some());
        assert!(machine.place.document(SIGNING_CONFIG).unwrap().is_none(), "{mirror}");
    }
}

/// Expired metadata that a person took all the same makes nothing newer than its own date.
#[tokio::test]
async fn an_expired_archive_does_not_count_as_fresh() {
    let machine = Machine::new(MIRROR).await;
    let expires = UnixTime::parse("2027-01-01T00:00:00Z").unwrap();
    let late = UnixTime::parse("2027-05-01T00:00:00Z").unwrap();
    let enforced = machine
        .place
        .refresh(&machine.repository(), late, Expiry::Enforced)
        .await;
    assert_eq!(enforced.unwrap_err().code(), "tuf-expired");
    let state = machine
        .place
        .refresh(&machine.repository(), late, Expiry::Waived)
        .await
        .unwrap();
    assert_eq!(state.refreshed, Some(expires));
    let document = machine.place.document(TRUSTED_ROOT).unwrap().unwrap();
    assert_eq!(document.since, expires);
    assert!(document.staleness(late).unwrap().contains("expired at 2027-01-01"));
    assert!(machine.place.is_due(late));
    // A program that was built after that date has the newer copy.
    let public = Machine::new(Instance::Public.mirror()).await;
    let taken = Instance::Public.taken();
    assert!(now() < taken);
    let document = public.place.document(TRUSTED_ROOT).unwrap().unwrap();
    assert_eq!(document.origin, Origin::Embedded(Instance::Public));
}

/// One that never ends is a failure too: the next one waits.
#[tokio::test]
async fn a_refresh_that_hangs_backs_off() {
    let machine = Machine::new(MIRROR).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
    let repository = Repository::mirror(&url).unwrap();
    let later = UnixTime::parse("2026-06-03T00:00:00Z").unwrap();
    assert!(machine.place.is_due(later));
    let work = machine.place.refresh(&repository, later, Expiry::Enforced);
    assert!(tokio::time::timeout(Duration::from_millis(200), work).await.is_err());
    let state = machine.place.state().unwrap();
    assert_eq!((state.failures, state.refreshed), (1, Some(now())));
    assert!(!machine.place.is_due(later));
    assert!(machine.place.is_due(UnixTime::parse("2026-06-03T00:20:00Z").unwrap()));
    // What is here stays, and one that succeeds forgets the failure.
    assert!(machine.place.document(TRUSTED_ROOT).unwrap().is_some());
    assert_eq!(machine.refresh().await, "");
    assert_eq!(machine.place.state().unwrap().failures, 0);
}

#[tokio::test]
async fn one_at_a_time_and_no_mirror_is_in_the_way_of_another() {
    let machine = Machine::new(MIRROR).await;
    let held = machine.place.lock().unwrap();
    assert!(held.is_some() && machine.place.lock().unwrap().is_none());
    drop(held);
    assert!(machine.place.lock().unwrap().is_some());
    // The lock stays the same one when the folder is exchanged under it.
    let held = machine.place.lock().unwrap();
    let other = machine.place.pin(b"another root").unwrap();
    machine.place.adopt(&other).unwrap();
    assert!(held.is_some() && machine.place.lock().unwrap().is_none());
    // A mirror of the name that a new place once had.
    let home = Home::new(machine.folder.path().join("tuf"));
    let neighbour = home.place(&format!("{MIRROR}.new"));
    fs::create_dir_all(neighbour.folder()).unwrap();
    machine.place.pin(b"a third root").unwrap();
    assert!(neighbour.folder().exists());
}
