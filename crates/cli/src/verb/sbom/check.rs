//! `sbom check`: whether a document has the elements that rules ask for.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use proofmark_sbom::elements::{self, Element, Rules};
use proofmark_sbom::{Document, read};
use serde_json::json;

use crate::args::RegistryArgs;
use crate::bills::DocumentFormat;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::seen::{self, Look};
use crate::verb::sbom::PartyArgs;

/// The packages named for an element that they lack; the number is always said.
const NAMED: usize = 5;

/// Does a document have the minimum elements of NTIA and BSI TR-03183-2?
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// A document (- reads standard input), or an image, whose document in the format of --format is checked
    subject: String,

    /// Whose rules; several are all checked (default: both)
    #[arg(long, value_enum, value_name = "RULES", value_delimiter = ',')]
    rules: Vec<WhoseRules>,

    /// The format in which an image's document is checked: not every one has a place for everything
    #[arg(long, short = 'f', value_enum, default_value = "cyclonedx-json")]
    format: DocumentFormat,

    #[command(flatten)]
    parties: PartyArgs,

    /// Take the document out of an attestation, whose signature is not verified
    #[arg(long)]
    unwrap: bool,

    /// Which image of an index, e.g. linux/arm64 (default: this machine's); all is every one
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhoseRules {
    /// The minimum elements of the U.S. Department of Commerce
    Ntia,
    /// The required fields of BSI TR-03183-2, version 2.1.0
    Bsi,
}

impl Check {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let document = self.document(context).await?;
        let rules = match self.rules.as_slice() {
            [] => vec![WhoseRules::Ntia, WhoseRules::Bsi],
            some => some.to_vec(),
        };
        let rules = rules.into_iter().map(|rules| match rules {
            WhoseRules::Ntia => Rules::Ntia,
            WhoseRules::Bsi => Rules::Bsi,
        });
        let elements: Vec<Element> = rules.flat_map(|rules| elements::check(&document, rules)).collect();
        let lacking: Vec<&Element> = elements.iter().filter(|element| !element.is_met()).collect();
        if lacking.is_empty() {
            let value = json!({
                "document": document.origin.to_string(), "packages": document.bill.packages.len(),
                "elements": elements.iter().map(|element| json!({
                    "code": element.code, "title": element.title, "asked": element.asked, "lacking": 0,
                })).collect::<Vec<_>>(),
            });
            context.output.result(&table(&elements), &value);
            return Ok(());
        }
        let message = format!(
            "{} of {} elements are lacking in {} ({} packages)",
            lacking.len(),
            elements.len(),
            self.subject,
            document.bill.packages.len()
        );
        let details = lacking.iter().map(|element| line(&document, element));
        Err(Failure::new(Exit::Refused, "elements-lacking", message).with_details(details))
    }

    async fn document(&self, context: &Context) -> Result<Document, Failure> {
        if seen::is_document(&self.subject) {
            return seen::document(context, &self.subject, self.unwrap);
        }
        let how = Look {
            platform: self.platform.as_deref(),
            all_layers: false,
            unwrap: self.unwrap,
            registry: &self.registry,
        };
        let mut seen = seen::look(context, &self.subject, &how).await?;
        self.parties.clone().apply(&mut seen.info);
        let bytes = self.format.write(&seen.bill, &seen.info);
        read(&bytes).map_err(|error| Failure::new(Exit::Undecided, error.code(), error))
    }
}

fn table(elements: &[Element]) -> String {
    let mut text = String::new();
    for element in elements {
        let _ = writeln!(text, "{:22} {}: all {}", element.code, element.title, element.asked);
    }
    text
}

fn line(document: &Document, element: &Element) -> String {
    let names: Vec<&str> = element
        .packages
        .iter()
        .take(NAMED)
        .filter_map(|id| Some(document.bill.package(id)?.name.as_str()))
        .collect();
    let mut text = format!(
        "{}: {}, lacking in {} of {}",
        element.code, element.title, element.lacking, element.asked
    );
    if !names.is_empty() {
        let more = if element.packages.len() > names.len() {
            ", …"
        } else {
            ""
        };
        let _ = write!(text, " ({}{more})", names.join(", "));
    }
    text
}
