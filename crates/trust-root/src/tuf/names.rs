//! Names from metadata as parts of paths and addresses, and which paths a delegation covers.

use aws_lc_rs::digest::{SHA256, digest};

use super::error::TufError;
use super::key::short;

/// File systems take 255 bytes; a version, `.json` and a temporary suffix come on top.
const MAX_FILE_NAME: usize = 200;

/// The roles that the root names itself.
pub(super) const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

/// A name from metadata as one segment of an address: everything but unreserved characters escaped, so that it can
/// neither leave the folder nor start a query.
pub(super) fn segment(name: &str) -> String {
    escape(name, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
    })
}

/// A name from metadata as the name of a file: never a path, never `.` or `..` or hidden, and different names never the
/// same file, whether the file system tells upper from lower case or not.
#[must_use]
pub fn file_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    let escaped = match name.strip_prefix('.') {
        Some(rest) => format!("%2E{}", escape(rest, plain)),
        None => escape(name, plain),
    };
    if escaped.len() > MAX_FILE_NAME {
        // No escaped name begins so.
        return format!("%sha256-{}", hex::encode(digest(&SHA256, name.as_bytes())));
    }
    escaped
}

fn escape(name: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The address of a target below its base, with the hash before the last segment where snapshots are consistent.
pub(super) fn target_address(path: &str, hash: Option<&str>) -> Result<String, TufError> {
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if path.split('/').any(bad) {
        return Err(TufError::TargetPath { path: short(path) });
    }
    let mut segments: Vec<String> = path.split('/').map(segment).collect();
    if let (Some(last), Some(hash)) = (segments.last_mut(), hash) {
        *last = format!("{hash}.{last}");
    }
    Ok(segments.join("/"))
}

/// Whether a path pattern covers a path: segment by segment, `*` and `?` within one (specification 4.5, PATHPATTERN).
/// `[` is a character like any other, which covers less than a shell would.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if segment_matches(pattern, part) => {}
            _ => return false,
        }
    }
}

/// Without recursion: on a mismatch the last `*` takes one character more, so that a hostile pattern costs at most
/// pattern times text.
fn segment_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    p = after;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// SHA-256 of a path in hex: what hash bins are chosen by.
pub(super) fn path_hash(path: &str) -> String {
    hex::encode(digest(&SHA256, path.as_bytes()))
}

/// The bin of a path among `2^bits`: the first bits of the hash of the path (specification 4.5, `succinct_roles`).
pub(super) fn bin_name(prefix: &str, bits: u32, path: &str) -> String {
    let hash = digest(&SHA256, path.as_bytes());
    let mut first = [0; 4];
    first.copy_from_slice(hash.as_ref().get(..4).unwrap_or(&[0; 4]));
    let bits = bits.clamp(1, 32);
    let bin = u32::from_be_bytes(first) >> (32 - bits);
    // As many digits as the highest bin has.
    let width = usize::try_from(bits.div_ceil(4)).unwrap_or(8);
    format!("{prefix}-{bin:0width$x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_the_specification_says() {
        let yes = [
            ("targets/*.tgz", "targets/foo.tgz"),
            ("foo-version-?.tgz", "foo-version-a.tgz"),
            ("*", "x"),
            ("a*b*c", "aXbbYc"),
            ("[ab]", "[ab]"),
            ("*", ""),
        ];
        let no = [
            ("*.tgz", "targets/foo.tgz"),
            ("targets/*.tgz", "targets/a/foo.tgz"),
            ("foo-?.tgz", "foo-alpha.tgz"),
            ("*", "a/b"),
            ("[ab]", "a"),
            ("README.md", "README.MD"),
            ("a*", ""),
        ];
        for (pattern, path) in yes {
            assert!(covers(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in no {
            assert!(!covers(pattern, path), "{pattern} {path}");
        }
        let hostile = "*a".repeat(1_000);
        assert!(!covers(&hostile, &"a".repeat(900)));
    }

    #[test]
    fn cve_2026_24137_names_never_leave_their_folder() {
        for (name, file) in [
            ("..", "%2E."),
            (".", "%2E"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            ("/etc/passwd", "%2Fetc%2Fpasswd"),
            ("a\\b\0", "a%5Cb%00"),
            ("Root", "%52oot"),
            ("trusted_root.json", "trusted_root.json"),
        ] {
            assert_eq!(file_name(name), file);
        }
        assert!(file_name(&"x".repeat(5_000)).len() <= MAX_FILE_NAME);
        for path in ["../x", "a/../b", "/x", "a//b", "x/", ".", ""] {
            assert!(
                matches!(target_address(path, None), Err(TufError::TargetPath { .. })),
                "{path}"
            );
        }
        assert_eq!(target_address("a b/c?d", Some("00")).unwrap(), "a%20b/00.c%3Fd");
    }

    #[test]
    fn bins_have_as_many_digits_as_the_last_one() {
        // python-tuf: SuccinctRoles([], 1, bits, "bin").get_role_for_target("a")
        assert_eq!(&path_hash("a")[..8], "ca978112");
        for (bits, name) in [
            (1, "bin-1"),
            (4, "bin-c"),
            (5, "bin-19"),
            (8, "bin-ca"),
            (32, "bin-ca978112"),
        ] {
            assert_eq!(bin_name("bin", bits, "a"), name);
        }
    }
}
