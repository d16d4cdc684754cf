//! `policy`: are these policies understood and what do they mean here; what would they decide; and as our own format.

mod convert;
mod test;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proofmark_policy::{KeyPlaces, Mode, PolicyError, PolicySet};
use serde_json::json;

use crate::context::{Context, read_file, unreadable};
use crate::failure::{Exit, Failure, chain};
use crate::keys;

/// Image policies
#[derive(Subcommand, Debug)]
pub(crate) enum Policy {
    /// Read policies as the admission webhook would, and say what they mean here
    Check(Check),
    Test(test::Test),
    Convert(convert::Convert),
}

/// Read policies
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Policy files, or folders of them (.yaml, .yml, .json)
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
}

impl Policy {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Check(check) => check.run(context),
            Self::Test(test) => test.run(context).await,
            Self::Convert(convert) => convert.run(context),
        }
    }
}

impl Check {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let set = load(&self.paths)?;
        let mut text = String::new();
        for policy in set.summaries() {
            let _ = writeln!(text, "{} {} ({})", policy.kind, policy.name, policy.file);
            for (rule, mode) in &policy.rules {
                let mode = match mode {
                    Mode::Enforce => "enforce",
                    Mode::Warn => "warn",
                    Mode::Audit => "audit",
                };
                let _ = writeln!(text, "  rule {rule}: {mode}");
            }
        }
        for key in set.named_keys() {
            let _ = writeln!(
                text,
                "key {} of {}: {}",
                key.reference, key.place.policy, key.fingerprint
            );
        }
        let keys: Vec<_> = set
            .named_keys()
            .iter()
            .map(|key| {
                json!({
                    "policy": key.place.policy, "file": key.place.file, "field": key.place.path,
                    "reference": key.reference, "fingerprint": key.fingerprint,
                })
            })
            .collect();
        let notes = set.notes();
        for note in &notes {
            let _ = writeln!(text, "note on {}: {}", note.policy, note.text);
        }
        let policies: Vec<_> = set
            .summaries()
            .into_iter()
            .map(|policy| {
                let rules: Vec<_> = policy
                    .rules
                    .iter()
                    .map(|(name, mode)| json!({ "name": name, "mode": mode }))
                    .collect();
                json!({
                    "name": policy.name, "kind": policy.kind, "file": policy.file, "rules": rules,
                    "onUnreachable": policy.on_unreachable,
                })
            })
            .collect();
        context
            .output
            .result(&text, &json!({ "policies": policies, "keys": keys, "notes": notes }));
        Ok(())
    }
}

/// Reads policy files, and folders of them.
fn load(paths: &[PathBuf]) -> Result<PolicySet, Failure> {
    compile(&contents(paths)?)
}

/// The files, each with the name that messages call it.
fn contents(paths: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(policy_files(path)?);
        } else {
            files.push(path.clone());
        }
    }
    if files.is_empty() {
        let named: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        // A check of nothing that passes would pass in CI for ever after the folder was renamed.
        return Err(
            Failure::usage("policy-empty", format!("no policy file is in {}", named.join(", ")))
                .with_hint("policies are the .yaml, .yml and .json files directly in the folder"),
        );
    }
    let mut contents = Vec::new();
    for file in &files {
        contents.push((file.display().to_string(), read_file(file)?));
    }
    Ok(contents)
}

fn compile(contents: &[(String, Vec<u8>)]) -> Result<PolicySet, Failure> {
    let named: Vec<(&str, &[u8])> = contents
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    let draft = PolicySet::read(&named, KeyPlaces::Local).map_err(failure)?;
    let opened = keys::of_policies(draft.key_references());
    let unreachable = opened.unreachable;
    draft.with_keys(&opened.answers).map_err(|error| match error {
        // The policy may be right: nothing was decided about it.
        PolicyError::KeyUnresolved { .. } if unreachable => Failure::new(Exit::Undecided, error.code(), chain(&error)),
        _ => failure(error),
    })
}

fn failure(error: PolicyError) -> Failure {
    Failure::usage(error.code(), chain(&error))
}

/// The policy files of a folder, in order of their names; hidden files (as Kubernetes' `..data`) are not policies.
pub(crate) fn policy_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failure = |error| unreadable(folder, &error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failure)? {
        let path = entry.map_err(failure)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let policy = path
            .extension()
            .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        if !hidden && policy {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
