use std::path::Path;

use super::*;

const POLICY: &str = "apiVersion: proofmark.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: NAME
spec:
  match:
    images: [\"registry.example.com/**\"]
  mode: MODE
  registries: [\"registry.example.com/team/**\"]
";

fn policy(name: &str, mode: &str) -> String {
    POLICY.replace("NAME", name).replace("MODE", mode)
}

fn sources(folder: &Path) -> Sources {
    Sources {
        policies: Some(folder.to_owned()),
        cluster: None,
        no_match: NoMatch::Allow,
        trust_root: None,
        open_keys: None,
        keys: Duration::ZERO,
        keys_retry: Duration::ZERO,
    }
}

#[test]
fn a_set_that_does_not_compile_never_replaces_one_that_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, policy("one", "enforce")).unwrap();
    let keeper = Keeper::open(sources(folder.path())).unwrap();
    assert_eq!((keeper.current().number, keeper.current().enforces), (1, true));
    assert!(matches!(keeper.look(), Looked::Unchanged));

    fs::write(&file, policy("one", "enforce").replace("registries", "registryes")).unwrap();
    let Looked::Kept(error) = keeper.look() else {
        panic!("must be kept")
    };
    assert_eq!(error.code(), "policies-do-not-compile");
    assert_eq!(keeper.current().number, 1);
    // Said once, remembered until it is mended.
    assert!(matches!(keeper.look(), Looked::Unchanged));
    assert!(
        keeper.failure().unwrap().text.contains("registryes"),
        "{:?}",
        keeper.failure()
    );

    fs::write(&file, policy("one", "warn")).unwrap();
    assert!(matches!(keeper.look(), Looked::Replaced));
    assert_eq!((keeper.failure(), keeper.current().enforces), (None, false));

    fs::remove_dir_all(folder.path()).unwrap();
    let Looked::Kept(error) = keeper.look() else {
        panic!("must be kept")
    };
    assert_eq!(error.code(), "policies-unreadable");
    assert_eq!(keeper.current().number, 1);
    fs::create_dir(folder.path()).unwrap();
    fs::write(&file, policy("one", "warn")).unwrap();
    keeper.look();
    assert_eq!(keeper.failure(), None, "what is mended is no failure");
}

#[test]
fn only_policy_files_are_read_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.yml"), policy("b", "audit")).unwrap();
    fs::write(folder.path().join("a.yaml"), policy("a", "audit")).unwrap();
    fs::write(folder.path().join("README.md"), "not a policy").unwrap();
    fs::create_dir(folder.path().join("..data")).unwrap();
    fs::write(folder.path().join(".hidden.yaml"), "not a policy").unwrap();
    let keeper = Keeper::open(sources(folder.path())).unwrap();
    let names: Vec<String> = keeper
        .current()
        .policies
        .summaries()
        .into_iter()
        .map(|summary| summary.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(!keeper.current().enforces, "audit refuses nothing");
    let strict = Sources {
        no_match: NoMatch::Deny,
        ..sources(folder.path())
    };
    assert!(Keeper::open(strict).unwrap().current().enforces);
}

#[test]
fn each_unusable_folder_has_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let code = |sources: Sources| Keeper::open(sources).err().unwrap().code();
    assert_eq!(code(sources(&folder.path().join("absent"))), "policies-unreadable");
    let trust_root = |content: Option<&[u8]>| {
        let path = folder.path().join("root.data");
        let _ = fs::remove_file(&path);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        Sources {
            trust_root: Some(TrustSource::File(path)),
            ..sources(folder.path())
        }
    };
    assert_eq!(code(trust_root(None)), "policies-unreadable");
    assert_eq!(code(trust_root(Some(b"{}x"))), "trust-root-malformed");
    let large = usize::try_from(MAX_TRUST_ROOT_BYTES).unwrap() + 1;
    assert_eq!(code(trust_root(Some(&vec![b' '; large]))), "policies-too-large");
    fs::write(folder.path().join("a.yaml"), "kind: ConfigMap\napiVersion: v1\n").unwrap();
    assert_eq!(code(sources(folder.path())), "policies-do-not-compile");
}

/// Answers of a key service that can be changed, and how often it was asked.
#[derive(Default)]
struct KeyService {
    answer: Mutex<Option<proofmark_verify::PublicKey>>,
    asked: std::sync::atomic::AtomicUsize,
}

impl KeyService {
    fn set(&self, name: Option<&str>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/cosign/keys");
        let key = name.map(|name| {
            let pem = fs::read_to_string(folder.join(name).join("cosign.pub")).unwrap();
            proofmark_verify::PublicKey::from_pem(&pem).unwrap()
        });
        *self.answer.lock().unwrap() = key;
    }

    fn asked(&self) -> usize {
        self.asked.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn open(self: &Arc<Self>) -> OpenKeys {
        let service = self.clone();
        Arc::new(move |references| {
            service.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let answer = service.answer.lock().unwrap().clone();
            let answer = answer.ok_or_else(|| "the service is down".to_owned());
            references
                .iter()
                .map(|reference| (reference.clone(), answer.clone()))
                .collect()
        })
    }
}

/// A policy whose key lives in a service, the folder it is in, and the service with the key `p256`.
fn key_policy() -> (tempfile::TempDir, Arc<KeyService>, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let text = policy("named", "enforce").replace(
        "  registries: [\"registry.example.com/team/**\"]\n",
        "  signatures: {signers: [{key: \"hashivault://release\"}]}\n",
    );
    fs::write(folder.path().join("a.yaml"), text).unwrap();
    let service = Arc::new(KeyService::default());
    service.set(Some("p256"));
    let sources = Sources {
        open_keys: Some(service.open()),
        ..sources(folder.path())
    };
    (folder, service, sources)
}

fn fingerprint(keeper: &Keeper) -> Digest {
    keeper.current().policies.verification_keys()[0].fingerprint().clone()
}

#[test]
fn keys_that_cannot_be_opened_are_no_policies_at_the_start() {
    let (folder, service, sources) = key_policy();
    service.set(None);
    let error = Keeper::open(sources.clone()).err().unwrap();
    assert_eq!(error.code(), "policy-keys-unresolved");
    let said = with_causes(&error);
    for part in ["named", "hashivault://release", "the service is down"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // Without anything that opens keys, too; and with policies that name this machine's files.
    let nobody = Sources {
        open_keys: None,
        ..sources.clone()
    };
    assert_eq!(Keeper::open(nobody).err().unwrap().code(), "policy-keys-unresolved");
    service.set(Some("p256"));
    assert!(Keeper::open(sources.clone()).is_ok());
    let file = folder.path().join("a.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let asked = service.asked();
    for local in ["cosign.pub", "env://KEY", "pkcs11:token=t;object=k"] {
        fs::write(&file, text.replace("hashivault://release", local)).unwrap();
        let error = Keeper::open(sources.clone()).err().unwrap();
        assert_eq!(error.code(), "policies-do-not-compile", "{local}");
        assert!(error.to_string().contains("cannot be named here"), "{error}");
    }
    assert_eq!(service.asked(), asked, "what is refused is not opened");
}

#[test]
fn another_key_at_the_same_place_is_another_generation() {
    let (_folder, service, sources) = key_policy();
    let keeper = Keeper::open(sources).unwrap();
    let (first, generation) = (fingerprint(&keeper), keeper.current().generation.clone());
    assert!(matches!(keeper.look(), Looked::Unchanged), "the same key again");
    assert_eq!(service.asked(), 2);
    service.set(Some("p256-other"));
    assert!(matches!(keeper.look(), Looked::Replaced));
    assert_ne!(fingerprint(&keeper), first);
    assert_ne!(
        keeper.current().generation,
        generation,
        "held proofs of the old key are not used"
    );
    assert_eq!(keeper.current().policies.verification_keys().len(), 1);
}

#[test]
fn the_old_generation_stays_while_keys_cannot_be_opened() {
    let (folder, service, sources) = key_policy();
    let keeper = Keeper::open(sources).unwrap();
    let first = fingerprint(&keeper);
    // The service goes away; nothing changed on disk.
    service.set(None);
    let Looked::Kept(error) = keeper.look() else {
        panic!("must be kept")
    };
    assert_eq!(error.code(), "policy-keys-unresolved");
    assert_eq!(fingerprint(&keeper), first);
    assert!(keeper.failure().unwrap().text.contains("the service is down"));
    assert!(matches!(keeper.look(), Looked::Unchanged), "said once");
    // A policy that comes meanwhile waits too, and is tried again without being touched.
    let second = policy("second", "audit");
    fs::write(folder.path().join("b.yaml"), second).unwrap();
    keeper.look();
    assert_eq!(keeper.current().number, 1);
    service.set(Some("p256"));
    assert!(matches!(keeper.look(), Looked::Replaced));
    assert_eq!((keeper.failure(), keeper.current().number), (None, 2));
    assert_eq!(fingerprint(&keeper), first);
}

#[test]
fn keys_are_opened_again_only_when_it_is_time() {
    let (folder, service, sources) = key_policy();
    let hour = Duration::from_secs(3600);
    let patient = Sources {
        keys: hour,
        keys_retry: hour,
        ..sources
    };
    let keeper = Keeper::open(patient).unwrap();
    service.set(None);
    for _ in 0..3 {
        assert!(matches!(keeper.look(), Looked::Unchanged));
    }
    assert_eq!(service.asked(), 1);
    // Changed files are read at once, and a failure is not repeated every few seconds.
    fs::write(folder.path().join("b.yaml"), policy("second", "audit")).unwrap();
    assert!(matches!(keeper.look(), Looked::Kept(_)));
    for _ in 0..3 {
        assert!(matches!(keeper.look(), Looked::Unchanged));
    }
    assert_eq!(service.asked(), 2);
}
