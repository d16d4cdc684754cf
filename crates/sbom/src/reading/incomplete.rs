//! What a document says itself that it lacks. A reader who looks for vulnerabilities must know it: what is not listed is not
//! thereby absent.

use super::gather::{Gathered, short};
use crate::bill::{LEFT_OUT, Note};

/// The most files taken over by name; of further ones it is known that they are.
const MAX_NOTES: usize = 10_000;

/// The code of files that a document says could not be read, where it gives none of those below; why, is in the words.
const CODE: &str = "not-read";

impl Gathered {
    /// Says that something is not listed.
    pub(super) fn lacks(&mut self, what: impl Into<String>) {
        // One is enough to know; a hundred show the kinds.
        if self.incomplete.len() < 100 {
            self.incomplete.push(what.into());
        }
    }

    /// A file that could not be read: `/path: reason (code)`, as our writers have it.
    pub(super) fn not_read(&mut self, text: &str) {
        let Some((path, reason)) = text.trim_start_matches('/').split_once(": ") else {
            self.lacks(format!("not read: {}", short(text)));
            return;
        };
        self.not_read_for(path, reason);
    }

    /// The same, in two parts.
    pub(super) fn not_read_for(&mut self, path: &str, reason: &str) {
        if self.notes.len() >= MAX_NOTES {
            self.lacks(format!("more than {MAX_NOTES} files could not be read"));
            return;
        }
        let ending = reason.strip_suffix(')').and_then(|reason| reason.rsplit_once(" ("));
        // The codes by which [`Note::may_hide_packages`] decides must not be lost in a document.
        let known = |code: &str| LEFT_OUT.into_iter().chain([CODE]).find(|known| *known == code);
        let (reason, code) = match ending.and_then(|(reason, code)| Some((reason, known(code)?))) {
            Some(both) => both,
            None => (reason, CODE),
        };
        self.notes.push(Note {
            path: path.trim_start_matches('/').to_owned(),
            code,
            reason: crate::document::line(reason, 400),
        });
    }

    /// The comment that our SPDX documents have: how many files could not be read, and which.
    pub(super) fn comment(&mut self, comment: Option<&str>) {
        let Some((count, named)) = comment.and_then(|text| text.trim().split_once(" files could not be read: ")) else {
            return;
        };
        let Ok(count) = count.parse::<usize>() else { return };
        let mut found = 0_usize;
        // Every one begins with its path.
        for text in named.trim_start_matches('/').split("; /") {
            self.not_read(text);
            found += 1;
        }
        if found < count {
            self.lacks(format!("{count} files could not be read, of which {found} are named"));
        }
    }
}

#[cfg(test)]
mod tests {
    use proofmark_types::UnixTime;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Bill, Document, DocumentInfo, Format, read};

    fn note(path: &str, code: &'static str) -> Note {
        Note {
            path: path.to_owned(),
            code,
            reason: "no SQLite file (it is cut off)".to_owned(),
        }
    }

    fn written(format: Format, notes: Vec<Note>) -> Document {
        let bill = Bill {
            notes,
            ..Bill::default()
        };
        let info = DocumentInfo {
            created: UnixTime::EPOCH,
            name: "app".to_owned(),
            digest: None,
            repository: None,
            platform: None,
            supplier: None,
            authors: Vec::new(),
            tool_version: "0".to_owned(),
            details: std::collections::BTreeMap::new(),
        };
        read(&format.write(&bill, &info)).unwrap()
    }

    #[test]
    fn what_was_not_read_is_kept_in_every_format() {
        for format in Format::ALL {
            let document = written(
                format,
                vec![
                    note("srv/big.json", "metadata-too-large"),
                    note("var/lib/rpm/rpmdb.sqlite", "rpm-database-malformed"),
                ],
            );
            let notes = &document.bill.notes;
            let paths: Vec<&str> = notes.iter().map(|note| note.path.as_str()).collect();
            assert_eq!(paths, ["srv/big.json", "var/lib/rpm/rpmdb.sqlite"], "{format}");
            assert!(notes.iter().all(Note::may_hide_packages), "{format}: {notes:?}");
            assert!(
                notes
                    .iter()
                    .all(|note| note.reason.contains("no SQLite file (it is cut off)"))
            );
            // Some formats have a word for it as well.
            assert!(
                document
                    .incomplete
                    .iter()
                    .all(|text| text.contains("composition") || text.contains("not list all")),
                "{format}: {:?}",
                document.incomplete
            );
            for notes in [Vec::new(), vec![note("srv/a.jar", "java-archive-malformed")]] {
                let count = notes.len();
                let document = written(format, notes);
                assert_eq!(document.bill.notes.len(), count, "{format}");
                assert!(document.incomplete.is_empty(), "{format}: {:?}", document.incomplete);
            }
        }
    }

    #[test]
    fn files_that_are_counted_and_not_named_are_not_forgotten() {
        let many: Vec<Note> = (0..1_100)
            .map(|at| note(&format!("srv/{at}.jar"), "java-archive-malformed"))
            .collect();
        let document = written(Format::SpdxJson, many);
        assert_eq!(document.bill.notes.len(), 1_000);
        assert!(
            document.incomplete[0].starts_with("1100 files"),
            "{:?}",
            document.incomplete
        );
    }

    #[test]
    fn a_file_that_was_not_read_decides_by_where_it_is() {
        assert!(!note("srv/x", CODE).may_hide_packages());
        assert!(note("var/lib/dpkg/status", CODE).may_hide_packages());
    }

    #[test]
    fn documents_say_that_they_are_not_complete() {
        let cyclonedx = |compositions: Value| {
            json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "compositions": compositions }).to_string()
        };
        let spdx = |to: &str| {
            json!({
                "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "x", "packages": [],
                "relationships": [{ "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "CONTAINS", "relatedSpdxElement": to }],
            })
            .to_string()
        };
        let spdx3 = |completeness: &str| {
            json!({ "@graph": [
                { "type": "CreationInfo", "@id": "_:c", "specVersion": "3.0.1", "created": "2026-01-01T00:00:00Z" },
                { "type": "Relationship", "spdxId": "r", "from": "a", "to": ["b"], "relationshipType": "contains", "completeness": completeness },
            ] })
            .to_string()
        };
        let xml = |aggregate: &str| {
            format!(
                "<bom xmlns=\"http://cyclonedx.org/schema/bom/1.5\"><compositions><composition><aggregate>{aggregate}</aggregate>\
                 <assemblies><assembly ref=\"a\"/></assemblies></composition></compositions></bom>"
            )
        };
        for (text, lacks) in [
            (cyclonedx(json!([{ "aggregate": "incomplete" }])), true),
            (
                cyclonedx(json!([{ "aggregate": "incomplete_first_party_only", "assemblies": ["a"] }])),
                true,
            ),
            (
                cyclonedx(json!([{ "aggregate": "complete", "assemblies": ["a"] }])),
                false,
            ),
            (
                cyclonedx(json!([{ "aggregate": "incomplete", "dependencies": ["a"] }])),
                false,
            ),
            (spdx("NOASSERTION"), true),
            (spdx("NONE"), false),
            (spdx3("incomplete"), true),
            (spdx3("complete"), false),
            (xml("incomplete"), true),
            (xml("complete"), false),
        ] {
            assert_eq!(!read(text.as_bytes()).unwrap().incomplete.is_empty(), lacks, "{text}");
        }
    }
}
