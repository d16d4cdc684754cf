//! `sbom diff`: what two images, or two documents, differ in.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use proofmark_sbom::Bill;
use proofmark_sbom::difference::{Difference, Entry};
use serde_json::{Value, json};

use super::seen::{self, Look};
use crate::args::RegistryArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Packages and licences that came, went and changed between two images or documents
#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// The first: an image, or a document
    first: String,

    /// The second
    second: String,

    /// End with exit code 3 if they differ
    #[arg(long)]
    exit_code: bool,

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
        let first = self.bill(context, &self.first).await?;
        let second = self.bill(context, &self.second).await?;
        let difference = Difference::between(&first, &second);
        if self.exit_code && !difference.is_empty() {
            let message = format!("{} and {} differ", self.first, self.second);
            let details = text(&difference);
            return Err(
                Failure::new(Exit::Refused, "bills-differ", message).with_details(details.lines().map(str::to_owned))
            );
        }
        let said = text(&difference);
        let said = if said.is_empty() { "no difference\n" } else { &said };
        context.output.result(said, &value(&difference));
        Ok(())
    }

    async fn bill(&self, context: &Context, text: &str) -> Result<Bill, Failure> {
        if seen::is_document(text) {
            return Ok(seen::document(context, text, self.unwrap)?.bill);
        }
        let how = Look {
            platform: self.platform.as_deref(),
            all_layers: false,
            registry: &self.registry,
        };
        Ok(seen::look(context, text, &how).await?.bill)
    }
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
