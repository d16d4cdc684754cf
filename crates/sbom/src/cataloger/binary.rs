//! Programs and libraries that no package manager installed, known by the version that stands in their bytes.
//!
//! A rule names files and what stands beside the version there. Nothing is searched with backtracking: a fixed text is
//! found, and at it a version is or is not. What a distribution's package owns is told of by that package; `assemble`
//! leaves it out here.

use memchr::memmem;

use super::{Draft, Fact};
use crate::bill::{PackageFile, PackageKind, Uncertainty};

/// How a program says its version.
struct Rule {
    package: &'static str,
    /// Names of files; a star at the end stands for anything.
    files: &'static [&'static str],
    place: Place,
    /// The fewest numbers of a version: `Apache/2` is none.
    numbers: usize,
    suffix: Suffix,
}

/// Where the version stands.
enum Place {
    /// Behind the text.
    After(&'static [u8]),
    /// Before the text.
    Before(&'static [u8]),
    /// Between zeros, starting with the numbers in the file's name (`python3.11`).
    Named,
}

/// What may follow the numbers and belongs to the version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suffix {
    /// Nothing but a mark of a version before the release (`rc1`).
    PreRelease,
    /// One letter (`1.1.1w`).
    Letter,
    /// This letter and a number, always (`9.2p1`).
    Always(u8),
    /// This letter and a number, which are left out (`3.1.2p20`).
    Dropped(u8),
}

const fn after(package: &'static str, files: &'static [&'static str], text: &'static [u8], numbers: usize) -> Rule {
    Rule {
        package,
        files,
        place: Place::After(text),
        numbers,
        suffix: Suffix::PreRelease,
    }
}

/// In the order of the names. The texts were taken from the programs as Debian 12 and the projects' own images have
/// them; `tests/binary.rs` has the bytes.
const RULES: &[Rule] = &[
    after("bash", &["bash"], b"@(#)Bash version ", 3),
    after("busybox", &["busybox*"], b"BusyBox v", 3),
    after("curl", &["curl"], b"\0curl/", 3),
    after("curl", &["libcurl.so*", "libcurl-gnutls.so*"], b"CLIENT libcurl ", 3),
    after("dropbear", &["dropbear*", "dbclient"], b"SSH-2.0-dropbear_", 2),
    after("expat", &["libexpat.so*"], b"expat_", 3),
    after("git", &["git"], b"git/", 3),
    after("glibc", &["libc.so.6", "libc-2*"], b"stable release version ", 2),
    after("gnutls", &["libgnutls.so*"], b"GnuTLS ", 3),
    after("haproxy", &["haproxy"], b"\0 version ", 3),
    after("haproxy", &["haproxy"], b"HA-Proxy version ", 3),
    after("httpd", &["httpd", "apache2"], b"Apache/", 3),
    after("lighttpd", &["lighttpd"], b"lighttpd/", 3),
    Rule {
        package: "mariadb",
        files: &["mariadbd", "mysqld", "mariadb"],
        place: Place::Before(b"-MariaDB"),
        numbers: 3,
        suffix: Suffix::PreRelease,
    },
    after("memcached", &["memcached"], b"memcached ", 3),
    after("mysql", &["mysqld", "mysql"], b"/mysql-", 3),
    after("nginx", &["nginx", "nginx-debug"], b"nginx version: nginx/", 3),
    after("node", &["node", "nodejs"], b"node.js/v", 3),
    after("openresty", &["nginx", "openresty"], b"nginx version: openresty/", 3),
    Rule {
        package: "openssh",
        files: &["sshd", "ssh", "ssh-keygen"],
        place: Place::After(b"OpenSSH_"),
        numbers: 2,
        suffix: Suffix::Always(b'p'),
    },
    Rule {
        package: "openssl",
        files: &["openssl", "libcrypto.so*", "libcrypto-*.so*"],
        place: Place::After(b"OpenSSL "),
        numbers: 3,
        suffix: Suffix::Letter,
    },
    after("perl", &["perl", "perl5*", "libperl.so*"], b"\0v5.", 3),
    after(
        "php",
        &["php", "php5*", "php7*", "php8*", "php-fpm*", "php-cgi*", "libphp*"],
        b"X-Powered-By: PHP/",
        3,
    ),
    after("postgresql", &["postgres"], b"\0PostgreSQL ", 2),
    Rule {
        package: "python",
        files: &["python2*", "python3*", "libpython2*", "libpython3*"],
        place: Place::Named,
        numbers: 3,
        suffix: Suffix::PreRelease,
    },
    Rule {
        package: "redis",
        files: &["redis-server", "redis-sentinel", "redis-check-*"],
        place: Place::Before(b"buildkitsandbox-"),
        numbers: 3,
        suffix: Suffix::PreRelease,
    },
    Rule {
        package: "ruby",
        files: &["ruby", "ruby2*", "ruby3*", "libruby.so*", "libruby-*"],
        place: Place::After(b"\0ruby "),
        numbers: 3,
        suffix: Suffix::Dropped(b'p'),
    },
    after("varnish", &["varnishd"], b"varnish-", 3),
    after("zlib", &["libz.so*"], b" deflate ", 3),
];

/// The longest version, with what decides whether it is one: how much of a piece is kept for the next.
const CONTEXT: usize = 128;

/// The most places of a file that are looked at for a rule.
const MAX_PLACES: usize = 100_000;

/// Looks for what a file's rules say, in its bytes as they pass.
pub(crate) struct Search<'p> {
    rules: Vec<&'static Rule>,
    /// The end of what has been seen.
    kept: Vec<u8>,
    found: Vec<(&'static str, String)>,
    name: &'p str,
    places: usize,
}

impl<'p> Search<'p> {
    /// For a file of the name; most have no rule, and nothing is searched in them.
    pub(crate) fn new(path: &'p str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_of = |rule: &&Rule| rule.files.iter().any(|file| matches(file, name));
        Self {
            rules: RULES.iter().filter(is_of).collect(),
            kept: Vec::new(),
            found: Vec::new(),
            name,
            places: 0,
        }
    }

    /// Takes the next piece of the file.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        if self.rules.is_empty() {
            return;
        }
        let mut border = std::mem::take(&mut self.kept);
        let is_first = border.is_empty();
        border.extend_from_slice(piece.get(..CONTEXT).unwrap_or(piece));
        if !is_first {
            self.search(&border);
        }
        self.search(piece);
        self.kept = match piece.len().checked_sub(CONTEXT) {
            Some(start) => piece.get(start..).unwrap_or_default().to_vec(),
            None => {
                border.drain(..border.len().saturating_sub(CONTEXT));
                border
            }
        };
    }

    /// What was found.
    pub(crate) fn finish(self) -> Vec<Fact> {
        let facts = self.found.into_iter().map(|(package, version)| {
            Fact::Package(Box::new(Draft {
                uncertain: Some(Uncertainty::FromContent),
                file: Some(PackageFile::program()),
                ..Draft::new(PackageKind::Generic, package, Some(&version))
            }))
        });
        facts.collect()
    }

    fn search(&mut self, bytes: &[u8]) {
        for rule in self.rules.clone() {
            if self.found.iter().any(|(package, _)| *package == rule.package) {
                continue;
            }
            let places = MAX_PLACES.saturating_sub(self.places);
            let version = match rule.place {
                Place::After(text) => memmem::find_iter(bytes, text).take(places).find_map(|at| {
                    self.places += 1;
                    // A version that starts in the text: perl's `v5.`.
                    let start = at + text.len() - in_text(text).len();
                    rule.version(bytes.get(start..)?)
                }),
                Place::Before(text) => memmem::find_iter(bytes, text).take(places).find_map(|at| {
                    self.places += 1;
                    let word = bytes.get(start_before(bytes, at)..at)?;
                    // As if more followed, which it does.
                    let padded = [word, b"--"].concat();
                    rule.version(&padded).filter(|version| version.len() == word.len())
                }),
                Place::Named => named(self.name).and_then(|prefix| {
                    let text = format!("\0{prefix}.");
                    memmem::find_iter(bytes, text.as_bytes()).take(places).find_map(|at| {
                        let version = rule.version(bytes.get(at + 1..)?)?;
                        let end = at + 1 + version.len();
                        (bytes.get(end) == Some(&0)).then_some(version)
                    })
                }),
            };
            self.found.extend(version.map(|version| (rule.package, version)));
        }
    }
}

/// Whether a name is one of a rule's: `libz.so*`, `libcrypto-*.so*`.
fn matches(file: &str, name: &str) -> bool {
    let mut parts = file.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut starred = false;
    for part in parts {
        starred = true;
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    starred || rest.is_empty()
}

/// The digits and dots at the end of a rule's text, which are the version's start.
fn in_text(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .rposition(|b| !(b.is_ascii_digit() || *b == b'.'))
        .map_or(0, |at| at + 1);
    // `SSH-2.0-dropbear_` ends with none.
    text.get(start..).unwrap_or_default()
}

/// Where the word that ends at a place starts.
fn start_before(bytes: &[u8], end: usize) -> usize {
    const LONGEST: usize = 32;
    let first = end.saturating_sub(LONGEST);
    let word = bytes.get(first..end).unwrap_or_default();
    let start = word.iter().rposition(|b| !(b.is_ascii_alphanumeric() || *b == b'.'));
    start.map_or(first, |at| first + at + 1)
}

/// `3.11` of `python3.11` and `libpython3.11.so.1.0`.
fn named(file: &str) -> Option<&str> {
    let start = file.find(|c: char| c.is_ascii_digit())?;
    let rest = file.get(start..)?;
    let (major, after) = rest.split_once('.')?;
    let minor = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let is_major = !major.is_empty() && major.bytes().all(|b| b.is_ascii_digit());
    (is_major && minor > 0).then(|| rest.get(..major.len() + 1 + minor))?
}

impl Rule {
    /// The version at the start of the bytes.
    fn version(&self, bytes: &[u8]) -> Option<String> {
        /// More are a number of another kind.
        const MAX_DIGITS: usize = 6;
        let window = bytes.get(..CONTEXT / 2).unwrap_or(bytes);
        let mut end = 0;
        let mut numbers = 0;
        loop {
            let digits = window.get(end..)?.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=MAX_DIGITS).contains(&digits) {
                return None;
            }
            end += digits;
            numbers += 1;
            match (window.get(end), window.get(end + 1)) {
                (Some(b'.'), Some(next)) if next.is_ascii_digit() => end += 1,
                _ => break,
            }
        }
        if numbers < self.numbers {
            return None;
        }
        let rest = window.get(end..)?;
        let kept = self.suffix.length(rest)?;
        let text = window.get(..end + kept)?;
        // What a piece ends in the middle of goes on in the next.
        window.get(end + kept + 1)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

impl Suffix {
    /// How much of what follows the numbers belongs to the version; nothing if what follows says that it is none.
    fn length(self, rest: &[u8]) -> Option<usize> {
        let digits = |at: usize| {
            rest.get(at..)
                .map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
        };
        let ends = |at: usize| !rest.get(at).is_some_and(u8::is_ascii_alphanumeric);
        if ends(0) && !matches!(self, Self::Always(_)) {
            let dash = usize::from(rest.first() == Some(&b'-'));
            let pre = pre_release(rest.get(dash..)?);
            return Some(if pre > 0 { dash + pre } else { 0 });
        }
        match self {
            Self::PreRelease => Some(pre_release(rest)).filter(|length| *length > 0 && ends(*length)),
            Self::Letter => (rest.first()?.is_ascii_lowercase() && ends(1)).then_some(1),
            Self::Always(letter) | Self::Dropped(letter) => {
                let length = 1 + digits(1);
                let valid = rest.first() == Some(&letter) && length > 1 && ends(length);
                valid.then_some(if matches!(self, Self::Dropped(_)) { 0 } else { length })
            }
        }
    }
}

/// The length of `rc1`, `RC2`, `beta3`, `alpha1`, `b2`, `a1`.
fn pre_release(rest: &[u8]) -> usize {
    const WORDS: [&[u8]; 6] = [b"alpha", b"beta", b"rc", b"RC", b"a", b"b"];
    let length = WORDS
        .iter()
        .find(|word| rest.starts_with(word))
        .map_or(0, |word| word.len());
    let digits = rest
        .get(length..)
        .map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count());
    if length > 0 && digits > 0 { length + digits } else { 0 }
}
