//! Version order beside the ecosystems' own tools: made-up versions, and those of the vectors, compared by both.
//!
//! The pairs are the same in every run. What differs on purpose is left out of them, and said where.

use std::cmp::Ordering;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use proofmark_advisories::Scheme;
use proofmark_testkit::peers::{
    DPKG, GO_SEMVER, JAVA, MAVEN_ARTIFACT, NODE, PHP, RPM, RUBY, SIGSTORE_JS, SIGSTORE_PYTHON,
};

/// Pairs that are made up for each scheme, and how many of the vectors' are asked beside them.
const MADE_UP: usize = 3_000;
const OF_VECTORS: usize = 1_500;

/// Marsaglia's xorshift: the same pairs everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn one_of<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.roll(words.len())]
    }
}

/// What versions of an ecosystem are made of.
struct Grammar {
    starts: &'static [&'static str],
    separators: &'static [&'static str],
    words: &'static [&'static str],
}

const NUMBERS: [&str; 9] = ["0", "1", "2", "3", "9", "10", "11", "00", "01"];

impl Grammar {
    fn version(&self, dice: &mut Dice) -> String {
        let mut version = dice.one_of(self.starts).to_owned();
        version.push_str(dice.one_of(&NUMBERS[..7]));
        for _ in 0..dice.roll(5) {
            version.push_str(dice.one_of(self.separators));
            let word = dice.roll(3) == 0 && !self.words.is_empty();
            version.push_str(if word {
                dice.one_of(self.words)
            } else {
                dice.one_of(&NUMBERS)
            });
        }
        version
    }

    /// Pairs of two versions of which the second is often the first with a little changed.
    fn pairs(&self) -> Vec<(String, String)> {
        let mut dice = Dice(0x5eed_0fed_a1a1_5eed);
        let mut pairs = Vec::new();
        while pairs.len() < MADE_UP {
            let first = self.version(&mut dice);
            let second = match dice.roll(3) {
                0 => self.version(&mut dice),
                1 => format!("{first}{}{}", dice.one_of(self.separators), dice.one_of(&NUMBERS)),
                _ if !self.words.is_empty() => {
                    format!("{first}{}{}", dice.one_of(self.separators), dice.one_of(self.words))
                }
                _ => format!("{first}.0"),
            };
            pairs.push((first, second));
        }
        pairs
    }
}

/// Pairs of the vectors, evenly spread over the file.
fn of_vectors(text: &str) -> Vec<(String, String)> {
    let pairs: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (a, _, b) = (words.next()?, words.next()?, words.next()?);
            (!line.starts_with('#') && !line.starts_with("//")).then(|| (a.to_owned(), b.to_owned()))
        })
        .collect();
    let step = pairs.len().div_ceil(OF_VECTORS);
    pairs.into_iter().step_by(step).collect()
}

macro_rules! vectors {
    ($name:literal) => {
        of_vectors(include_str!(concat!(
            "../../../../fixtures/version-order/",
            $name,
            ".txt"
        )))
    };
}

/// Gives a program all pairs, one a line, and reads one answer a line: a number, or a question mark for what is no version to
/// it.
fn asked(command: &mut Command, pairs: &[(String, String)]) -> Vec<Option<Ordering>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines: String = pairs.iter().map(|(a, b)| format!("{a} {b}\n")).collect();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
    text.split_whitespace()
        .map(|answer| match answer {
            "?" => None,
            number => Some(number.parse::<i32>().unwrap().cmp(&0)),
        })
        .collect()
}

/// Holds our answers against theirs, over pairs that both take for versions; there must be enough of those.
fn compared(scheme: Scheme, pairs: &[(String, String)], theirs: &[Option<Ordering>], at_least: usize) {
    assert_eq!(pairs.len(), theirs.len(), "{scheme:?}: an answer for each pair");
    let mut wrong = Vec::new();
    let mut count = 0;
    for ((a, b), theirs) in pairs.iter().zip(theirs) {
        let Some(theirs) = theirs.filter(|_| scheme.accepts(a) && scheme.accepts(b)) else {
            continue;
        };
        count += 1;
        let ours = scheme.compare(a, b);
        if ours != theirs {
            wrong.push(format!("{a} beside {b}: {ours:?} here, {theirs:?} there"));
        }
    }
    let shown = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "{scheme:?}: {} of {count} differ:\n{shown}",
        wrong.len()
    );
    assert!(
        count >= at_least,
        "{scheme:?}: only {count} of {} were compared",
        pairs.len()
    );
}

#[test]
fn as_dpkg_orders() {
    let Some(dpkg) = DPKG.or_skip() else { return };
    let grammar = Grammar {
        starts: &["", "", "", "0:", "1:", "2:"],
        separators: &[".", ".", "-", "+", "~", "", "+deb12u", "~bpo", "-0ubuntu"],
        words: &["rc", "a", "b", "dfsg", "git", "~", "~~", "+", "z", "Z"],
    };
    // The tool compares one pair a run.
    let mut pairs = grammar.pairs();
    pairs.truncate(600);
    pairs.extend(vectors!("debian-versions-generated").into_iter().step_by(4));
    let script = r#"while read -r a b; do
        if "$0" --compare-versions "$a" lt "$b" 2>/dev/null; then echo -1
        elif "$0" --compare-versions "$a" gt "$b" 2>/dev/null; then echo 1
        elif "$0" --compare-versions "$a" eq "$b" 2>/dev/null; then echo 0
        else echo '?'; fi; done"#;
    let theirs = asked(Command::new("sh").arg("-c").arg(script).arg(dpkg), &pairs);
    compared(Scheme::Dpkg, &pairs, &theirs, 800);
}

#[test]
fn as_rpm_orders() {
    let Some(rpm) = RPM.or_skip() else { return };
    let grammar = Grammar {
        starts: &["", "", "", "0:", "1:"],
        separators: &[".", ".", "_", "+", "~", "^", "-", "", ".el"],
        words: &["rc", "a", "b", "el", "fc", "git", "module", "~", "^", "z", "Z"],
    };
    let pairs = [grammar.pairs(), vectors!("redhat-versions")].concat();
    let script = r#"%{lua: for line in io.lines() do local a, b = line:match("^(%S+) (%S+)$"); print(rpm.vercmp(a, b) .. " ") end}"#;
    let theirs = asked(Command::new(rpm).args(["--eval", script]), &pairs);
    compared(Scheme::Rpm, &pairs, &theirs, 2_000);
}

#[test]
fn as_pythons_packaging_orders() {
    let Some(python) = SIGSTORE_PYTHON.or_skip() else {
        return;
    };
    let grammar = Grammar {
        starts: &["", "", "", "v", "1!"],
        separators: &[".", ".", "-", "_", "", "+"],
        words: &[
            "a1", "alpha", "b", "beta2", "rc1", "c", "pre", "preview3", "post1", "post", "rev2", "r", "dev", "dev1",
            "RC2", "ubuntu",
        ],
    };
    let pairs = [grammar.pairs(), vectors!("pypi-versions-generated")].concat();
    let script = "import sys\nfrom pip._vendor.packaging.version import Version, InvalidVersion\nfor line in sys.stdin:\n try:\n  a, b = map(Version, line.split())\n  print((a > b) - (a < b))\n except InvalidVersion: print('?')\n";
    let theirs = asked(Command::new(python).args(["-c", script]), &pairs);
    compared(Scheme::Pep440, &pairs, &theirs, 2_000);
}

fn semver() -> Grammar {
    Grammar {
        starts: &["0.0.", "1.2.", "1.10.", "2.0."],
        separators: &["-", "-", ".", "+"],
        words: &[
            "alpha",
            "beta",
            "rc",
            "rc1",
            "x-y",
            "SNAPSHOT",
            "incompatible",
            "20210101000000-abcdef123456",
        ],
    }
}

#[test]
fn as_npm_orders() {
    let (Some(node), Some(client)) = (NODE.or_skip(), SIGSTORE_JS.or_skip()) else {
        return;
    };
    let pairs = [semver().pairs(), vectors!("semver-versions")].concat();
    let module = client
        .parent()
        .unwrap_or_else(|| Path::new("."))
        .join("node_modules/semver");
    let script = "const semver = require(process.argv[1]);
        for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\\n')) {
          const [a, b] = line.split(' ');
          console.log(semver.valid(a) && semver.valid(b) ? semver.compare(a, b) : '?'); }";
    let theirs = asked(Command::new(node).args(["-e", script]).arg(module), &pairs);
    compared(Scheme::Semver, &pairs, &theirs, 1_000);
}

#[test]
fn as_go_orders() {
    let Some(program) = GO_SEMVER.or_skip() else { return };
    let mut pairs = [semver().pairs(), vectors!("semver-versions")].concat();
    for (a, b) in &mut pairs {
        *a = format!("v{}", a.trim_start_matches('v'));
        *b = format!("v{}", b.trim_start_matches('v'));
    }
    let theirs = asked(&mut Command::new(program), &pairs);
    compared(Scheme::Semver, &pairs, &theirs, 1_000);
}

#[test]
fn as_rubygems_orders() {
    let Some(ruby) = RUBY.or_skip() else { return };
    let grammar = Grammar {
        starts: &[""],
        separators: &[".", ".", ".", "-", ""],
        words: &["a", "b1", "alpha", "beta", "pre", "rc", "rc1", "Z"],
    };
    let pairs = [grammar.pairs(), vectors!("rubygems-versions-generated")].concat();
    let script = "STDIN.each_line { |line| a, b = line.split; puts(Gem::Version.correct?(a) && Gem::Version.correct?(b) ? Gem::Version.new(a) <=> Gem::Version.new(b) : '?') }";
    let theirs = asked(Command::new(ruby).args(["-W0", "-e", script]), &pairs);
    compared(Scheme::RubyGems, &pairs, &theirs, 3_000);
}

#[test]
fn as_php_orders() {
    let Some(php) = PHP.or_skip() else { return };
    let grammar = Grammar {
        starts: &[""],
        separators: &[".", ".", "-", "_", "+", ""],
        words: &["dev", "alpha", "a", "beta", "b", "RC", "rc", "pl", "p", "patch", "x"],
    };
    let pairs = [grammar.pairs(), vectors!("packagist-versions-generated")].concat();
    let script =
        "while ($line = fgets(STDIN)) { [$a, $b] = explode(' ', trim($line)); echo version_compare($a, $b), \"\\n\"; }";
    let theirs = asked(Command::new(php).args(["-r", script]), &pairs);
    compared(Scheme::Packagist, &pairs, &theirs, 3_000);
}

/// Versions as Maven's repositories have them. Left out is where Maven 3.9's program and the "Version Order Specification" that our
/// vectors are of differ: a word after a dot (`2.cr`, for the program as good as `2-cr`, in the specification before every word
/// after a hyphen), and a number after a word that means nothing (`2-final-1`).
fn maven_version(dice: &mut Dice) -> String {
    const NOTHINGS: [&str; 4] = ["ga", "final", "release", "Final"];
    const WORDS: [&str; 11] = [
        "alpha",
        "a",
        "beta",
        "b",
        "m",
        "milestone",
        "rc",
        "cr",
        "snapshot",
        "sp",
        "jre",
    ];
    let mut version = dice.one_of(&["1", "2", "2", "10"]).to_owned();
    for _ in 0..dice.roll(4) {
        version.push('.');
        version.push_str(dice.one_of(&["0", "0", "1", "2", "10"]));
    }
    match dice.roll(5) {
        0 => {}
        1 => version.push_str(&format!("-{}", dice.one_of(&WORDS))),
        2 => {
            let number = dice.one_of(&["1", "2", "10"]);
            version.push_str(&format!("-{}{}{number}", dice.one_of(&WORDS), dice.one_of(&["", "-"])));
        }
        3 => version.push_str(&format!("{}{}", dice.one_of(&[".", "-"]), dice.one_of(&NOTHINGS))),
        _ => version.push_str(&format!("-{}", dice.one_of(&["1", "2", "SNAPSHOT", "RC1"]))),
    }
    version
}

#[test]
fn as_maven_orders() {
    let (Some(java), Some(jar)) = (JAVA.or_skip(), MAVEN_ARTIFACT.or_skip()) else {
        return;
    };
    let mut dice = Dice(0x5eed_0fed_a1a1_5eed);
    let mut made_up = Vec::new();
    for _ in 0..MADE_UP {
        made_up.push((maven_version(&mut dice), maven_version(&mut dice)));
    }
    let pairs = [made_up, vectors!("maven-versions-generated")].concat();
    // Its own main compares each argument with the one before.
    let output = Command::new(java)
        .arg("-cp")
        .arg(jar)
        .arg("org.apache.maven.artifact.versioning.ComparableVersion")
        .args(pairs.iter().flat_map(|(a, b)| [a, b]))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let between: Vec<Option<Ordering>> = text
        .lines()
        .filter(|line| line.starts_with("   "))
        .map(|line| match line.split_whitespace().nth(1) {
            Some("<") => Some(Ordering::Less),
            Some("==") => Some(Ordering::Equal),
            Some(">") => Some(Ordering::Greater),
            _ => panic!("not understood: {line}"),
        })
        .collect();
    let theirs: Vec<_> = between.into_iter().step_by(2).collect();
    compared(Scheme::Maven, &pairs, &theirs, 3_000);
}
