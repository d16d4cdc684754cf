//! Denied images that wait, approving them, and the exceptions that come of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use proofmark_admission::{Approval, ApprovalError, Exceptions, MAX_LIFE, approve, waiting};
use serde_json::json;

use crate::args::go_duration;
use crate::context::Context;
use crate::failure::{Exit, Failure, chain};
use crate::output::counted;

/// List denied images that wait for approval
#[derive(Args, Debug)]
pub(crate) struct Queue {
    /// Folder of --queue of `admission serve`
    #[arg(long, value_name = "FOLDER")]
    queue: PathBuf,
}

/// Approve a denied image for a time
///
/// Writes an exception that names the digest, the namespace and the policies that denied it, who approved it, why, and
/// until when. Somebody else approves than the one whose request was denied.
#[derive(Args, Debug)]
pub(crate) struct Approve {
    /// What it waits under, as `admission queue` lists it
    #[arg(value_name = "ID")]
    id: String,

    /// Folder of --queue of `admission serve`
    #[arg(long, value_name = "FOLDER")]
    queue: PathBuf,

    /// Folder of --exceptions of `admission serve`
    #[arg(long, value_name = "FOLDER")]
    exceptions: PathBuf,

    /// For how long, at most 168h
    #[arg(long = "for", value_name = "DURATION", value_parser = go_duration)]
    lasts: Duration,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Who approves, as the cluster knows them
    #[arg(long, value_name = "USER")]
    approver: String,

    /// Who answers for it (default: whoever approves)
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
}

/// List the exceptions of a folder
#[derive(Args, Debug)]
pub(crate) struct ListExceptions {
    /// Folder of --exceptions of `admission serve`
    #[arg(long, value_name = "FOLDER")]
    exceptions: PathBuf,
}

impl Queue {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let found = waiting(&self.queue).map_err(|error| unreadable(&self.queue, &error))?;
        let mut text = String::new();
        for entry in &found {
            text.push_str(&format!(
                "{}  {}\n  {}\n  in {}, {} time{}, last {} by {}; {}\n",
                entry.id,
                entry.image,
                entry.digest,
                entry.namespace.as_deref().unwrap_or("no namespace"),
                entry.times,
                if entry.times == 1 { "" } else { "s" },
                entry.last,
                entry.requested_by,
                entry.codes.join(", "),
            ));
        }
        text.push_str(&format!("{} waiting", counted(found.len(), "image")));
        context.output.result(&text, &json!({ "waiting": found }));
        Ok(())
    }
}

impl Approve {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let approval = Approval {
            approver: self.approver,
            owner: self.owner,
            reason: self.reason,
            lasts: self.lasts,
        };
        let approved = approve(&self.queue, &self.exceptions, &self.id, approval, Context::now());
        let (exception, path) = approved.map_err(|error| {
            let exit = match error {
                ApprovalError::File { .. } => Exit::Undecided,
                _ => Exit::Usage,
            };
            let failure = Failure::new(exit, error.code(), chain(&error));
            match error {
                ApprovalError::Unknown { .. } => failure.with_hint("`proofmark admission queue` lists what waits"),
                ApprovalError::Own { .. } => failure.with_hint("have somebody else approve it"),
                ApprovalError::Exception(_) => failure.with_hint(format!(
                    "say who and why, and approve for at most {}h",
                    MAX_LIFE.as_secs() / 3600
                )),
                _ => failure,
            }
        })?;
        context.output.result(
            &format!(
                "{} may run in {} until {}\n  {}",
                exception.digest,
                exception.namespaces.join(", "),
                exception.expires,
                path.display()
            ),
            &json!({ "file": path, "name": exception.name, "exception": exception }),
        );
        Ok(())
    }
}

impl ListExceptions {
    /// One that is not in force for a mistake in it makes the verb fail: it does not do what its author believes.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let read = Exceptions::read(&self.exceptions).map_err(|error| unreadable(&self.exceptions, &error))?;
        let now = Context::now();
        let state = |in_force: bool| if in_force { "in force" } else { "not in force" };
        let mut text = String::new();
        let mut listed = Vec::new();
        for exception in &read.exceptions {
            let in_force = exception.is_in_force(now);
            text.push_str(&format!(
                "{}  {}, {} to {}\n  {}\n  {}: {}\n",
                exception.name,
                state(in_force),
                exception.issued,
                exception.expires,
                exception.digest,
                exception.owner,
                exception.reason
            ));
            listed.push(json!({ "name": exception.name, "inForce": in_force, "exception": exception }));
        }
        let refused: Vec<String> = read
            .refused
            .iter()
            .map(|(file, error)| format!("{file}: {error} [{}]", error.code()))
            .collect();
        text.push_str(&counted(listed.len(), "exception"));
        context
            .output
            .result(&text, &json!({ "exceptions": listed, "refused": refused }));
        if refused.is_empty() {
            return Ok(());
        }
        let message = format!("{} in the folder cannot be in force", counted(refused.len(), "file"));
        Err(Failure::new(Exit::Refused, "exception-refused", message).with_details(refused))
    }
}

fn unreadable(folder: &Path, error: &std::io::Error) -> Failure {
    let message = format!("cannot read {}: {error}", folder.display());
    Failure::new(Exit::Undecided, "file-unreadable", message)
}
