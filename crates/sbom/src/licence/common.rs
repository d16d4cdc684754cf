//! Names and addresses under which Maven's and others' metadata have the best-known licences, where one is meant for
//! certain: "The Apache Software License, Version 2.0", `http://www.apache.org/licenses/LICENSE-2.0.txt`.

/// The SPDX expression of a common name or address.
pub(super) fn meaning(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let address = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    match address {
        Some(address) => of_address(address),
        None => of_name(&lower),
    }
}

fn of_address(address: &str) -> Option<&'static str> {
    let address = address.strip_prefix("www.").unwrap_or(address);
    let address = address.trim_end_matches('/');
    let address = [".txt", ".html", ".htm", ".php", ".md"]
        .iter()
        .find_map(|end| address.strip_suffix(end))
        .unwrap_or(address);
    for list in [
        "spdx.org/licenses/",
        "opensource.org/licenses/",
        "opensource.org/license/",
    ] {
        let Some(name) = address.strip_prefix(list) else {
            continue;
        };
        let known = spdx::identifiers::LICENSES
            .iter()
            .find(|licence| licence.name.eq_ignore_ascii_case(name))
            .and_then(|licence| spdx::license_id(licence.name))
            .filter(|id| !id.is_deprecated());
        if let Some(id) = known {
            return Some(id.name);
        }
    }
    Some(match address {
        "apache.org/licenses/license-2.0"
        | "apache.org/licenses/apache-2.0"
        | "opensource.org/licenses/apache2.0"
        | "repository.jboss.org/licenses/apache-2.0" => "Apache-2.0",
        "opensource.org/licenses/mit-license"
        | "jquery.org/license"
        | "bouncycastle.org/licence"
        | "bouncycastle.org/license" => "MIT",
        "asm.ow2.io/license" | "asm.ow2.org/license" | "asm.objectweb.org/license" => "BSD-3-Clause",
        "antlr.org/license" | "antlr.org/license/bsd" => "BSD-3-Clause",
        // The Eclipse Distribution License is this one by another name.
        "eclipse.org/org/documents/edl-v10" | "eclipse.org/legal/edl-v10" => "BSD-3-Clause",
        "eclipse.org/legal/epl-v10" | "eclipse.org/legal/epl-1.0" | "eclipse.org/org/documents/epl-v10" => "EPL-1.0",
        "eclipse.org/legal/epl-v20" | "eclipse.org/legal/epl-2.0" | "eclipse.org/org/documents/epl-2.0/epl-2.0" => {
            "EPL-2.0"
        }
        "mozilla.org/mpl/2.0" | "mozilla.org/en-us/mpl/2.0" | "mozilla.org/media/mpl/2.0/index" => "MPL-2.0",
        "mozilla.org/mpl/mpl-1.1" | "mozilla.org/mpl/1.1" => "MPL-1.1",
        "creativecommons.org/publicdomain/zero/1.0" | "repository.jboss.org/licenses/cc0-1.0" => "CC0-1.0",
        "glassfish.java.net/public/cddlv1.0" | "opensource.org/licenses/cddl1" => "CDDL-1.0",
        "unlicense.org" => "Unlicense",
        "golang.org/license" => "BSD-3-Clause",
        _ => return None,
    })
}

/// By the words that count: not articles, "license" in any spelling, "version", nor how the version is set off.
fn of_name(lower: &str) -> Option<&'static str> {
    /// The most words of such a name.
    const MAX_WORDS: usize = 12;
    let fillers = [
        "the", "license", "licence", "licenses", "software", "version", "v", "-", "of",
    ];
    let words: Vec<&str> = lower
        .split(|c: char| c.is_whitespace() || ",;".contains(c))
        .filter(|word| !word.is_empty() && !fillers.contains(word))
        .map(|word| {
            let number = word.strip_prefix('v').unwrap_or(word);
            let is_number = number.starts_with(|c: char| c.is_ascii_digit());
            let number = number.trim_end_matches('.');
            if is_number && number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                number.strip_suffix(".0").unwrap_or(number)
            } else {
                word
            }
        })
        .take(MAX_WORDS + 1)
        .collect();
    Some(match words.as_slice() {
        ["apache" | "asl" | "apache2" | "apache-2.0", "2"]
        | ["apache-2.0" | "asl2.0"]
        | ["apache", "public", "2"]
        | ["apache", "foundation", "2"] => "Apache-2.0",
        ["apache", "1.1"] => "Apache-1.1",
        ["eclipse", "public", "1"] | ["epl", "1"] => "EPL-1.0",
        ["eclipse", "public", "2"] | ["epl", "2"] => "EPL-2.0",
        ["eclipse", "distribution", "1"] | ["edl", "1"] => "BSD-3-Clause",
        ["mozilla", "public", "1.1"] | ["mpl", "1.1"] => "MPL-1.1",
        ["mozilla", "public", "2"] | ["mpl", "2"] => "MPL-2.0",
        ["common", "development", "and", "distribution", "1"] | ["cddl", "1"] => "CDDL-1.0",
        ["cddl", "1.1"] => "CDDL-1.1",
        ["mit"] => "MIT",
        ["bsd", "2-clause"] | ["bsd-2-clause"] | ["simplified", "bsd"] | ["2-clause", "bsd"] => "BSD-2-Clause",
        ["bsd", "3-clause"]
        | ["bsd-3-clause"]
        | ["new", "bsd"]
        | ["3-clause", "bsd"]
        | ["revised", "bsd"]
        | ["modified", "bsd"]
        | ["go"] => "BSD-3-Clause",
        ["gpl2", "w/", "cpe"]
        | [
            "gnu",
            "general",
            "public",
            "(gpl)",
            "2",
            "with",
            "classpath",
            "exception",
        ] => "GPL-2.0-only WITH Classpath-exception-2.0",
        ["bouncy", "castle"] => "MIT",
        ["cc0", "1"] | ["cc0"] => "CC0-1.0",
        ["unlicense"] => "Unlicense",
        _ => return None,
    })
}
