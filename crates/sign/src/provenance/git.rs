//! Provenance from a local checkout, by the `git` command if there is one, else from the files of `.git`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proofmark_evidence::predicate::slsa::Provenance;
use reqwest::Url;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Times, is_commit, local, source};

/// References point to references; git itself gives up at five.
const MAX_REFERENCES: usize = 5;

/// The most of a file of `.git` that is read: packed references of a repository with 100,000 of them.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// How many folders up a checkout is looked for.
const MAX_PARENTS: usize = 64;

/// Provenance of what is built in a checkout: its commit, whether it was changed, and that nobody vouches for it.
pub fn from_git(folder: &Path, times: Times) -> Result<Provenance, GitError> {
    let git_folder = find(folder)?;
    let checkout = by_command(folder).map_or_else(|| by_files(&git_folder), Ok)?;
    let mut internal = Map::new();
    internal.insert("dirty".to_owned(), checkout.dirty.map_or(Value::Null, Value::Bool));
    let reference = checkout.reference.as_deref().unwrap_or("HEAD");
    let repository = checkout.remote.as_deref().and_then(without_credentials);
    let mut external = Map::new();
    if let Some(repository) = &repository {
        external.insert("repository".to_owned(), Value::from(repository.as_str()));
    }
    external.insert("ref".to_owned(), Value::from(reference));
    let mut dependency = source(repository.as_deref().unwrap_or("local"), reference, checkout.commit);
    if repository.is_none() {
        // Without a remote there is no address to fetch it from.
        dependency.uri = None;
        dependency.name = Some("source".to_owned());
    }
    Ok(local(external, internal, vec![dependency], times))
}

struct Checkout {
    commit: String,
    reference: Option<String>,
    remote: Option<String>,
    /// Whether files differ from the commit; unknown without the command.
    dirty: Option<bool>,
}

fn find(folder: &Path) -> Result<PathBuf, GitError> {
    let not_found = || GitError::NotACheckout {
        folder: folder.to_owned(),
    };
    let absolute = fs::canonicalize(folder).map_err(|_| not_found())?;
    let dot_git = absolute
        .ancestors()
        .take(MAX_PARENTS)
        .map(|parent| parent.join(".git"))
        .find(|path| path.exists())
        .ok_or_else(not_found)?;
    if dot_git.is_dir() {
        return Ok(dot_git);
    }
    // A worktree or submodule: a file that says where the folder is (gitrepository-layout).
    let text = read(&dot_git).ok_or_else(not_found)?;
    let target = text.trim().strip_prefix("gitdir: ").ok_or_else(not_found)?;
    Ok(dot_git.parent().unwrap_or(&absolute).join(target))
}

fn by_command(folder: &Path) -> Option<Checkout> {
    let commit = git(folder, &["rev-parse", "--verify", "HEAD"])?;
    if !is_commit(&commit) {
        return None;
    }
    Some(Checkout {
        commit,
        reference: git(folder, &["symbolic-ref", "--quiet", "HEAD"]),
        remote: git(folder, &["config", "--get", "remote.origin.url"]),
        dirty: git(folder, &["status", "--porcelain", "--untracked-files=normal"]).map(|changes| !changes.is_empty()),
    })
}

/// Runs git without what a repository's own configuration could make it run.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
            "--no-optional-locks",
        ])
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}

fn by_files(git_folder: &Path) -> Result<Checkout, GitError> {
    let unborn = || GitError::NoCommit {
        folder: git_folder.to_owned(),
    };
    // A worktree has its own HEAD and shares everything else.
    let common = read(&git_folder.join("commondir"))
        .map_or_else(|| git_folder.to_owned(), |relative| git_folder.join(relative.trim()));
    let head = read(&git_folder.join("HEAD")).ok_or_else(unborn)?;
    let mut value = head.trim().to_owned();
    let mut reference = None;
    for _ in 0..MAX_REFERENCES {
        let Some(name) = value.strip_prefix("ref: ").map(str::to_owned) else {
            break;
        };
        // A name is a path below the folder; never one out of it.
        if !name.starts_with("refs/") || name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            return Err(unborn());
        }
        value = read(&common.join(&name))
            .map(|text| text.trim().to_owned())
            .or_else(|| packed(&common, &name))
            .ok_or_else(unborn)?;
        reference.get_or_insert(name);
    }
    if !is_commit(&value) {
        return Err(unborn());
    }
    Ok(Checkout {
        commit: value,
        reference,
        remote: remote(&common),
        dirty: None,
    })
}

fn packed(common: &Path, name: &str) -> Option<String> {
    read(&common.join("packed-refs"))?
        .lines()
        .filter(|line| !line.starts_with(['#', '^']))
        .find_map(|line| line.split_once(' ').filter(|(_, listed)| *listed == name))
        .map(|(commit, _)| commit.to_owned())
}

fn remote(common: &Path) -> Option<String> {
    let config = read(&common.join("config"))?;
    let mut inside = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[remote \"origin\"]";
        } else if inside
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "url"
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(MAX_FILE_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

/// The address of a remote as it may be published: without user and password; `git@host:path` as `ssh://host/path`.
/// `None` for a folder of this machine.
fn without_credentials(remote: &str) -> Option<String> {
    if let Ok(mut url) = Url::parse(remote)
        && url.has_host()
        && url.scheme() != "file"
    {
        // An address without a host cannot have either, and this one has a host.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        url.set_query(None);
        url.set_fragment(None);
        return Some(url.to_string());
    }
    let (host, path) = remote.split_once(':')?;
    let host = host.rsplit('@').next()?;
    let valid = !host.is_empty() && !host.contains('/') && !path.starts_with("//") && host.len() > 1;
    valid.then(|| format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

/// Why a folder has no provenance.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GitError {
    /// Neither it nor a folder above has a `.git`.
    #[error("{} is not in a git checkout", folder.display())]
    NotACheckout {
        /// The folder.
        folder: PathBuf,
    },
    /// A repository without a commit, or a damaged one.
    #[error("the git repository at {} has no commit", folder.display())]
    NoCommit {
        /// Its folder.
        folder: PathBuf,
    },
}

impl GitError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotACheckout { .. } => "provenance-not-a-checkout",
            Self::NoCommit { .. } => "provenance-no-commit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn checkout(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn commit_of(files: &[(&str, &str)]) -> Result<Checkout, GitError> {
        let folder = checkout(files);
        by_files(&find(folder.path())?)
    }

    #[test]
    fn files_alone_are_enough() {
        let config = "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://user:pw@host.test/a/b.git\n";
        let found = commit_of(&[
            (".git/HEAD", "ref: refs/heads/main\n"),
            (".git/refs/heads/main", COMMIT),
            (".git/config", config),
        ])
        .unwrap();
        assert_eq!(
            (found.commit.as_str(), found.reference.as_deref()),
            (COMMIT, Some("refs/heads/main"))
        );
        assert_eq!(
            found.remote.as_deref().and_then(without_credentials).unwrap(),
            "https://host.test/a/b.git"
        );
        assert_eq!(found.dirty, None);
        let packed = format!("# pack-refs with: peeled\n{COMMIT} refs/heads/main\n^{COMMIT}\n");
        let found = commit_of(&[(".git/HEAD", "ref: refs/heads/main"), (".git/packed-refs", &packed)]).unwrap();
        assert_eq!(found.commit, COMMIT);
        let detached = commit_of(&[(".git/HEAD", COMMIT)]).unwrap();
        assert_eq!((detached.commit.as_str(), detached.reference), (COMMIT, None));
        let worktree = commit_of(&[
            (".git", "gitdir: main/.git/worktrees/w\n"),
            ("main/.git/worktrees/w/HEAD", "ref: refs/heads/x"),
            ("main/.git/worktrees/w/commondir", "../..\n"),
            ("main/.git/refs/heads/x", COMMIT),
        ])
        .unwrap();
        assert_eq!(worktree.commit, COMMIT);
    }

    #[test]
    fn what_is_no_checkout_has_its_reason() {
        let code = |files: &[(&str, &str)]| commit_of(files).err().unwrap().code();
        assert_eq!(code(&[(".git/HEAD", "ref: refs/heads/main")]), "provenance-no-commit");
        assert_eq!(code(&[(".git/HEAD", "ref: ../../etc/passwd")]), "provenance-no-commit");
        assert_eq!(code(&[(".git/HEAD", "ref: refs/../../x")]), "provenance-no-commit");
        assert_eq!(code(&[(".git/HEAD", "nonsense")]), "provenance-no-commit");
        assert_eq!(code(&[(".git/config", "")]), "provenance-no-commit");
        let looped = [
            (".git/HEAD", "ref: refs/heads/a"),
            (".git/refs/heads/a", "ref: refs/heads/a"),
        ];
        assert_eq!(code(&looped), "provenance-no-commit");
        assert_eq!(code(&[(".git", "nonsense")]), "provenance-not-a-checkout");
        let missing = from_git(Path::new("/nowhere/at/all"), Times::default());
        assert_eq!(missing.unwrap_err().code(), "provenance-not-a-checkout");
    }

    #[test]
    fn the_predicate_says_that_it_is_local() {
        let folder = checkout(&[(".git/HEAD", COMMIT)]);
        let predicate = from_git(folder.path(), Times::default()).unwrap().to_predicate();
        assert_eq!(predicate["runDetails"]["builder"]["id"], super::super::LOCAL_BUILDER);
        assert_eq!(predicate["buildDefinition"]["internalParameters"]["verified"], false);
        let dependency = &predicate["buildDefinition"]["resolvedDependencies"][0];
        assert_eq!(dependency["digest"]["gitCommit"], COMMIT);
        assert!(dependency.get("uri").is_none());
    }

    #[test]
    fn remotes_lose_their_credentials() {
        for (remote, published) in [
            ("git@github.com:a/b.git", Some("ssh://github.com/a/b.git")),
            ("https://token@host.test/a/b", Some("https://host.test/a/b")),
            ("ssh://git@host.test:22/a", Some("ssh://host.test:22/a")),
            ("/srv/git/a.git", None),
            ("../a", None),
            ("C:\\repo", None),
            ("file:///srv/a", None),
        ] {
            assert_eq!(without_credentials(remote).as_deref(), published, "{remote}");
        }
    }

    #[test]
    fn the_command_says_whether_files_were_changed() {
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| git(folder.path(), arguments);
        if Command::new("git").arg("--version").output().is_err() {
            return;
        }
        run(&["init", "--quiet"]).unwrap();
        fs::write(folder.path().join("file"), "1").unwrap();
        run(&["add", "file"]).unwrap();
        run(&[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "--quiet",
            "-m",
            "x",
        ])
        .unwrap();
        let dirty = || {
            let predicate = from_git(folder.path(), Times::default()).unwrap().to_predicate();
            predicate["buildDefinition"]["internalParameters"]["dirty"].clone()
        };
        assert_eq!(dirty(), false);
        fs::write(folder.path().join("file"), "2").unwrap();
        assert_eq!(dirty(), true);
    }
}
