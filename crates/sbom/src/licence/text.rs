//! Licences by their texts, for packages that say theirs only in a file.
//!
//! What a file starts with counts: many append the licences of what they contain. A text is known by sentences that no
//! other licence has, not by likeness; a changed or unknown text is no licence here.

/// The most bytes of a file that are looked at.
const MAX_BYTES: usize = 64 * 1024;

/// How far into the text, in letters of its normal form, a licence may start: after a title and names of owners.
const MAX_PREFACE: usize = 1_500;

/// How long the shorter licences are, in letters of their normal form; all sentences of one stand within.
const MAX_SHORT: usize = 3_000;

/// A text and the sentences in it by which it is known, in lower case, with single blanks for all that is not a letter or
/// a digit. The first stands where the text starts.
struct Known {
    id: &'static str,
    sentences: &'static [&'static str],
    /// What does not stand in it, but in one that is longer.
    without: &'static [&'static str],
}

const MIT_GRANT: &str = "permission is hereby granted free of charge to any person obtaining a copy of this software and \
     associated documentation files the software to deal in the software without restriction";
const BSD_GRANT: &str = "redistribution and use in source and binary forms with or without modification are permitted \
     provided that the following conditions are met";
const BSD_NAMES: &str = "endorse or promote products derived from this software without";
const BSD_ADVERTISING: &str = "all advertising materials mentioning features";
const BSD_END: &str = "any express or implied warranties including but not limited to";

const KNOWN: [Known; 21] = [
    of("Apache-2.0", &["apache license version 2 0 january 2004"]),
    of("Apache-1.1", &["the apache software license version 1 1"]),
    Known {
        id: "MIT",
        sentences: &[
            MIT_GRANT,
            "the software is provided as is without warranty of any kind express or implied",
        ],
        without: &["except as contained in this notice the name"],
    },
    Known {
        id: "BSD-4-Clause",
        sentences: &[BSD_GRANT, BSD_ADVERTISING, BSD_NAMES, BSD_END],
        without: &["openssl"],
    },
    Known {
        id: "BSD-3-Clause",
        sentences: &[BSD_GRANT, BSD_NAMES, BSD_END],
        without: &[BSD_ADVERTISING],
    },
    Known {
        id: "BSD-2-Clause",
        sentences: &[BSD_GRANT, "redistributions in binary form must reproduce", BSD_END],
        without: &[BSD_NAMES, BSD_ADVERTISING],
    },
    Known {
        id: "ISC",
        sentences: &[
            "permission to use copy modify and",
            "distribute this software for any purpose with or without fee is hereby granted provided that the above \
             copyright notice and this permission notice appear in all copies",
            "the software is provided as is and the author",
        ],
        without: &[],
    },
    Known {
        id: "0BSD",
        sentences: &[
            "permission to use copy modify and or distribute this software for any purpose with or without fee is \
             hereby granted the software is provided as is",
        ],
        without: &[],
    },
    of("MPL-2.0", &["mozilla public license version 2 0"]),
    of("MPL-1.1", &["mozilla public license version 1 1"]),
    of("EPL-1.0", &["eclipse public license v 1 0"]),
    of("EPL-2.0", &["eclipse public license v 2 0"]),
    of(
        "CDDL-1.0",
        &["common development and distribution license cddl version 1 0"],
    ),
    of(
        "CDDL-1.1",
        &["common development and distribution license cddl version 1 1"],
    ),
    of("BSL-1.0", &["boost software license version 1 0 august 17th 2003"]),
    of(
        "Unlicense",
        &["this is free and unencumbered software released into the public domain"],
    ),
    of(
        "Zlib",
        &[
            "this software is provided as is without any express or implied warranty",
            "the origin of this software must not be misrepresented",
        ],
    ),
    of("PSF-2.0", &["python software foundation license version 2"]),
    of("CC0-1.0", &["cc0 1 0 universal"]),
    of("Artistic-2.0", &["the artistic license 2 0"]),
    of(
        "WTFPL",
        &["do what the fuck you want to public license version 2 december 2004"],
    ),
];

const fn of(id: &'static str, sentences: &'static [&'static str]) -> Known {
    Known {
        id,
        sentences,
        without: &[],
    }
}

/// The SPDX identifier of the licence that a text starts with.
pub(crate) fn recognise(bytes: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(bytes.get(..MAX_BYTES).unwrap_or(bytes));
    let text = normal(&text);
    let found = KNOWN.iter().filter_map(|known| {
        let (first, rest) = known.sentences.split_first()?;
        let at = text.find(first).filter(|at| *at <= MAX_PREFACE)?;
        let body = text.get(at..)?;
        let end = body.char_indices().nth(MAX_SHORT).map_or(body.len(), |(end, _)| end);
        let body = body.get(..end)?;
        let holds = rest.iter().all(|sentence| body.contains(sentence));
        let other = known.without.iter().any(|sentence| body.contains(sentence));
        (holds && !other).then_some((at, known.id))
    });
    found.min_by_key(|(at, _)| *at).map(|(_, id)| id)
}

/// Letters and digits in lower case, words a blank apart.
fn normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.extend(word.chars().flat_map(char::to_lowercase));
    }
    normal
}

/// Whether a file holds a licence, by its name: `LICENSE`, `LICENSE.txt`, `LICENCE-MIT`, `COPYING.md`.
pub(crate) fn is_licence_file(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let (stem, end) = lower.split_once('.').unwrap_or((&lower, ""));
    let named = ["license", "licence", "copying"].iter().any(|word| {
        let rest = stem.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    });
    named && matches!(end, "" | "txt" | "md" | "rst")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIT: &str = "The MIT License (MIT)\n\nCopyright (c) 2015 A\n\nPermission is hereby granted, free of charge, to \
        any person obtaining a copy\nof this software and associated documentation files (the \"Software\"), to deal\n\
        in the Software without restriction, including without limitation the rights\n\nTHE SOFTWARE IS PROVIDED \"AS \
        IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR\nIMPLIED, INCLUDING";
    const APACHE: &str = "\n                                 Apache License\n                           Version 2.0, \
        January 2004\n                        http://www.apache.org/licenses/\n\n   TERMS AND CONDITIONS";
    const BSD: &str = "Redistribution and use in source and binary forms, with or without\nmodification, are permitted \
        provided that the following conditions are met:\n * Redistributions of source code must\n * Redistributions in \
        binary form must reproduce the above\nNAMES ADVERTISING\nTHIS SOFTWARE IS PROVIDED \"AS IS\" AND ANY EXPRESS OR \
        IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO";
    const NAMES: &str = "may be used to endorse or promote products derived from this software without specific";

    #[test]
    fn a_text_is_known_by_its_own_sentences() {
        assert_eq!(recognise(MIT.as_bytes()), Some("MIT"));
        assert_eq!(recognise(APACHE.as_bytes()), Some("Apache-2.0"));
        let bsd = |names: &str, advertising: &str| BSD.replace("NAMES", names).replace("ADVERTISING", advertising);
        assert_eq!(recognise(bsd("", "").as_bytes()), Some("BSD-2-Clause"));
        assert_eq!(recognise(bsd(NAMES, "").as_bytes()), Some("BSD-3-Clause"));
        let advertising = "All advertising materials mentioning features or use";
        assert_eq!(recognise(bsd(NAMES, advertising).as_bytes()), Some("BSD-4-Clause"));
    }

    #[test]
    fn a_text_with_a_changed_grant_is_not_known() {
        for (from, to) in [
            ("free of charge", "for a fee"),
            ("without restriction", "for non-commercial purposes"),
            ("WITHOUT WARRANTY", "WITH WARRANTY"),
            (
                "THE SOFTWARE IS PROVIDED",
                "Except as contained in this notice, the name(s) of A\nTHE SOFTWARE IS PROVIDED",
            ),
        ] {
            assert!(MIT.contains(from));
            assert_eq!(recognise(MIT.replace(from, to).as_bytes()), None, "{from}");
        }
        assert_eq!(recognise(APACHE.replace("2.0", "3.0").as_bytes()), None);
        assert_eq!(recognise(b"see the file LICENSE"), None);
        assert_eq!(recognise(b""), None);
    }

    #[test]
    fn what_a_file_starts_with_counts() {
        let both = format!("{APACHE}\n{}\n{MIT}", "word ".repeat(100));
        assert_eq!(recognise(both.as_bytes()), Some("Apache-2.0"));
        let late = format!("{}\n{MIT}", "word ".repeat(1_000));
        assert_eq!(
            recognise(late.as_bytes()),
            None,
            "that is the licence of something in it"
        );
    }

    #[test]
    fn licence_files_are_told_by_name() {
        for name in ["LICENSE", "license.txt", "LICENSE-MIT", "COPYING.md", "Licence.rst"] {
            assert!(is_licence_file(name), "{name}");
        }
        for name in [
            "License.class",
            "licenses",
            "LICENSE.protobuf.txt",
            "NOTICE",
            "LICENSEE",
        ] {
            assert!(!is_licence_file(name), "{name}");
        }
    }
}
