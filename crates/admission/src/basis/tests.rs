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
        policies: folder.to_owned(),
        no_match: NoMatch::Allow,
        trust_root: None,
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
        keeper.failure().unwrap().contains("registryes"),
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
            trust_root: Some(path),
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
