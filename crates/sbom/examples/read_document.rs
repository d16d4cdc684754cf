//! Reads documents and says what came of them: `read_document FILE...`.

#![expect(clippy::disallowed_methods, reason = "an example reads files and takes the time")]
#![expect(clippy::print_stdout, reason = "an example's result")]

use std::collections::BTreeMap;
use std::time::Instant;

use proofmark_sbom::{ReadOptions, read_with};

fn main() {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).expect("a file");
        let started = Instant::now();
        match read_with(&bytes, ReadOptions { unwrap: true }) {
            Ok(document) => {
                let mut warnings: BTreeMap<&str, usize> = BTreeMap::new();
                for warning in &document.warnings {
                    *warnings.entry(warning.code).or_default() += 1;
                }
                let bill = &document.bill;
                println!(
                    "{path}: {} in {:?}: {} packages, {} relationships, {} owned, {} with source, {} with licence, distribution {}, by {:?}, {:?}, warnings {warnings:?}",
                    document.origin,
                    started.elapsed(),
                    bill.packages.len(),
                    bill.relationships.len(),
                    bill.packages.iter().filter(|p| p.owned_by.is_some()).count(),
                    bill.packages.iter().filter(|p| p.source.is_some()).count(),
                    bill.packages.iter().filter(|p| !p.licences.is_empty()).count(),
                    bill.distribution.as_ref().map(|d| d.qualifier()).unwrap_or_default(),
                    document.tools,
                    document.subject.digest,
                );
            }
            Err(error) => println!("{path}: {error} [{}]", error.code()),
        }
    }
}
