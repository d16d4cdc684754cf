//! `sbom diff`: what two images, or two documents, differ in.

mod findings;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use proofmark_sbom::difference::{Difference, Entry};
use serde_json::{Value, json};

use self::findings::Known;
use crate::args::RegistryArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::scanning::{Findings, Judge, JudgeArgs, Judged};
use crate::seen::{self, Look, Seen};

/// Packages, licences and, with --findings, known vulnerabilities that came, went and changed between two images or documents
#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// The first: what `sbom` can look at, or a document
    first: String,

    /// The second
    second: String,

    /// End with exit code 3 if they differ
    #[arg(long)]
    exit_code: bool,

    /// Also compare what is known to be wrong with the packages
    #[arg(long)]
    findings: bool,

    #[command(flatten)]
    judge: JudgeArgs,

    /// Take documents out of attestations, whose signatures are not verified
    #[arg(long)]
    unwrap: bool,

    /// Which image of an index, e.g. linux/arm64 (default: this machine's); all is every one
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Diff {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let wanted = self.findings || self.judge.is_demanded();
        let judge = wanted.then(|| self.judge.judge()).transpose()?;
        let first = self.seen(context, &self.first).await?;
        let second = self.seen(context, &self.second).await?;
        let difference = Difference::between(&first.bill, &second.bill);
        let known = match &judge {
            None => None,
            Some(judge) => {
                let (before, after) = (
                    judged(judge, &self.first, &first)?,
                    judged(judge, &self.second, &second)?,
                );
                before.warn(context.output);
                after.warn(context.output);
                Some(Known::between(&before, &after))
            }
        };
        let same = difference.is_empty() && known.as_ref().is_none_or(Known::is_empty);
        let told = text(&difference) + &known.as_ref().map(Known::text).unwrap_or_default();
        if self.exit_code && !same {
            let message = format!("{} and {} differ", self.first, self.second);
            let details = told.lines().map(str::to_owned);
            return Err(Failure::new(Exit::Refused, "bills-differ", message).with_details(details));
        }
        let outcome = known
            .as_ref()
            .map_or(Ok(()), |known| known.outcome(self.judge.gate.is_some()));
        let mut value = value(&difference);
        if let (Some(known), Value::Object(fields)) = (&known, &mut value) {
            known.add_to(fields);
            if let Err(failure) = &outcome {
                fields.insert("ok".to_owned(), Value::Bool(false));
                fields.insert("error".to_owned(), serde_json::to_value(failure).unwrap_or_default());
            }
        }
        let said = if told.is_empty() { "no difference\n" } else { &told };
        context.output.result(said, &value);
        outcome.map_err(|failure| Failure { told: true, ..failure })
    }

    async fn seen(&self, context: &Context, text: &str) -> Result<Seen, Failure> {
        let how = Look {
            // Documents are of the platform that they are of.
            platform: self.platform.as_deref().filter(|_| !seen::is_document(text)),
            all_layers: false,
            unwrap: self.unwrap,
            registry: &self.registry,
        };
        seen::examine(context, text, &how).await
    }
}

fn judged<'f>(judge: &'f Judge, name: &'f str, seen: &'f Seen) -> Result<Findings<'f>, Failure> {
    judge.judge(Judged {
        name,
        digest: seen.digest(),
        bill: &seen.bill,
        lacking: &seen.lacking,
    })
}

fn text(difference: &Difference) -> String {
    let mut text = String::new();
    let list = |versions: &BTreeSet<String>| versions.iter().cloned().collect::<Vec<_>>().join(", ");
    for (sign, entries) in [("+", &difference.added), ("-", &difference.removed)] {
        for entry in entries {
            let _ = writeln!(text, "{sign} {} {} {}", entry.kind, entry.name, list(&entry.versions));
        }
    }
    for change in &difference.changed {
        let _ = writeln!(
            text,
            "~ {} {} {} -> {}",
            change.kind,
            change.name,
            list(&change.from),
            list(&change.to)
        );
    }
    for change in &difference.relicensed {
        let _ = writeln!(
            text,
            "~ {} {} licence {} -> {}",
            change.kind,
            change.name,
            list(&change.from),
            list(&change.to)
        );
    }
    for licence in &difference.licences_added {
        let _ = writeln!(text, "+ licence {licence}");
    }
    for licence in &difference.licences_removed {
        let _ = writeln!(text, "- licence {licence}");
    }
    text
}

fn value(difference: &Difference) -> Value {
    let entries = |entries: &[Entry]| {
        let entries = entries
            .iter()
            .map(|entry| json!({ "type": entry.kind.purl_type(), "name": entry.name, "versions": entry.versions }));
        entries.collect::<Vec<_>>()
    };
    json!({
        "added": entries(&difference.added),
        "removed": entries(&difference.removed),
        "changed": difference.changed.iter().map(|change| json!({
            "type": change.kind.purl_type(), "name": change.name, "from": change.from, "to": change.to,
        })).collect::<Vec<_>>(),
        "relicensed": difference.relicensed.iter().map(|change| json!({
            "type": change.kind.purl_type(), "name": change.name, "from": change.from, "to": change.to,
        })).collect::<Vec<_>>(),
        "licencesAdded": difference.licences_added,
        "licencesRemoved": difference.licences_removed,
    })
}
