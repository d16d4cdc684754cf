//! `tidy`: holds the rules of ARCHITECTURE.md and of the house style that compilers and linters do not know.
//!
//! Each rule is a function from what was read to a list of problems, so that its tests need no repository.

mod advisories;
mod files;
mod metadata;
mod pure;
mod rooms;
mod snapshots;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    place: String,
    rule: &'static str,
    text: String,
}

impl Problem {
    fn new(place: impl Into<String>, rule: &'static str, text: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            rule,
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.place, self.text, self.rule)
    }
}

/// Checks everything and says what it found.
pub(crate) fn run() -> ExitCode {
    match check() {
        Ok((checked, problems)) if problems.is_empty() => {
            say(&format!("tidy: {checked} files and the rooms are in order"));
            ExitCode::SUCCESS
        }
        Ok((_, problems)) => {
            for problem in &problems {
                say(&problem.to_string());
            }
            say(&format!("tidy: {} problems", problems.len()));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("tidy: {error:#}"));
            ExitCode::from(2)
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "this is where the tool talks to the person who runs it"
)]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

fn check() -> anyhow::Result<(usize, Vec<Problem>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in the repository")?;
    let packages = metadata::load(root)?;
    let tracked = tracked_files(root)?;
    let mut problems = rooms::check(&packages);
    problems.extend(pure::check_dependencies(&packages));
    let texts = files::read(root, &tracked)?;
    problems.extend(pure::check_crates(&packages, &texts));
    problems.extend(files::check(&texts));
    problems.extend(files::check_manifests(&packages, &texts));
    problems.extend(snapshots::check(&texts));
    problems.extend(advisories::check(&texts));
    problems.sort();
    Ok((texts.len(), problems))
}

/// What git tracks and is still there, relative to the repository.
fn tracked_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output()
        .context("running git ls-files")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let listed = String::from_utf8(output.stdout).context("a tracked file whose name is not UTF-8")?;
    let paths = listed.split_terminator('\0').map(PathBuf::from);
    Ok(paths.filter(|path| root.join(path).is_file()).collect())
}
