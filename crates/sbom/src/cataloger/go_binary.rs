//! Go programs' build information (Go's `debug/buildinfo`): the version of Go and the modules linked in.
//!
//! Since Go 1.18 the two strings stand behind the header; before, the header has pointers to them. Programs too large
//! to be held in memory are scanned for the first form as they pass.

use super::executable::Executable;
use super::{Draft, Fact, Need, Unreadable};
use crate::bill::{PackageFile, PackageKind, Uncertainty};

const MAGIC: &[u8] = b"\xff Go buildinf:";

/// `debug/buildinfo`: the header stands at a multiple of this.
const ALIGNMENT: usize = 16;

/// The header's length; the strings follow it.
const HEADER: usize = 32;

/// The longest module list read, in bytes; Kubernetes' has about 30,000.
const MAX_MODULES_BYTES: u64 = 4 * 1024 * 1024;

/// `debug/buildinfo`, `errNotGoExe`: the linker frames the list with 16 bytes at each end.
const FRAME: usize = 16;

/// The modules that the program says it is made of.
pub(super) fn read(executable: &Executable<'_>) -> Result<Vec<Fact>, Unreadable> {
    let named = [".go.buildinfo", "__go_buildinfo"]
        .iter()
        .find_map(|name| executable.section(name));
    let found = match named {
        Some(section) => find(section).map(|(header, _)| header),
        // PE has no section of its own for it; stripped ELF may have lost its section table.
        None if executable.is_without_names() => executable
            .segments()
            .find_map(|segment| find(segment).map(|(header, _)| header)),
        None => None,
    };
    match found {
        Some(header) => from_header(header, Some(executable)),
        None => Ok(Vec::new()),
    }
}

/// Finds an aligned header; returns the bytes from there, and how far in they start.
fn find(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let at = ALIGNMENT * bytes.chunks(ALIGNMENT).position(|chunk| chunk.starts_with(MAGIC))?;
    bytes.get(at..).map(|header| (header, at))
}

fn from_header(header: &[u8], executable: Option<&Executable<'_>>) -> Result<Vec<Fact>, Unreadable> {
    let malformed = || Unreadable::new("go-build-info-malformed", "its header does not lead to two texts");
    let pointer_size = header.get(MAGIC.len()).copied().unwrap_or_default();
    let flags = header.get(MAGIC.len() + 1).copied().unwrap_or_default();
    let (version, modules) = if flags & 2 != 0 {
        let (version, rest) = inline(header.get(HEADER..).unwrap_or_default()).ok_or_else(malformed)?;
        let (modules, _) = inline(rest).ok_or_else(malformed)?;
        (version, modules)
    } else {
        let executable = executable.ok_or_else(malformed)?;
        let pointers = Pointers {
            executable,
            size: usize::from(pointer_size),
            big_endian: flags & 1 != 0,
        };
        let version = pointers
            .text(header.get(16..).unwrap_or_default())
            .ok_or_else(malformed)?;
        let second = header.get(16 + pointers.size..).unwrap_or_default();
        // A program built without modules has none to tell of.
        (version, pointers.text(second).unwrap_or_default())
    };
    if version.is_empty() {
        return Err(malformed());
    }
    Ok(facts(
        &String::from_utf8_lossy(version),
        &String::from_utf8_lossy(unframed(modules)),
    ))
}

/// A length as a varint, and as many bytes.
fn inline(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if length > MAX_MODULES_BYTES {
                return None;
            }
            return bytes.get(at + 1..)?.split_at_checked(usize::try_from(length).ok()?);
        }
    }
    None
}

/// The form before Go 1.18: pointers to Go strings, which are a pointer and a length each.
struct Pointers<'e, 'b> {
    executable: &'e Executable<'b>,
    size: usize,
    big_endian: bool,
}

impl<'b> Pointers<'_, 'b> {
    fn text(&self, pointer: &[u8]) -> Option<&'b [u8]> {
        let address = self.number(pointer)?;
        let size = u64::try_from(self.size).ok()?;
        let string = self.executable.at(address, size * 2)?;
        let length = self.number(string.get(self.size..)?)?;
        if length > MAX_MODULES_BYTES {
            return None;
        }
        self.executable.at(self.number(string)?, length)
    }

    fn number(&self, bytes: &[u8]) -> Option<u64> {
        match (self.size, self.big_endian) {
            (4, false) => bytes.first_chunk().map(|b| u32::from_le_bytes(*b).into()),
            (4, true) => bytes.first_chunk().map(|b| u32::from_be_bytes(*b).into()),
            (8, false) => bytes.first_chunk().map(|b| u64::from_le_bytes(*b)),
            (8, true) => bytes.first_chunk().map(|b| u64::from_be_bytes(*b)),
            _ => None,
        }
    }
}

/// Takes the linker's frame off, as `debug/buildinfo` does.
fn unframed(modules: &[u8]) -> &[u8] {
    let end = modules.len().saturating_sub(FRAME);
    match modules.get(FRAME..end) {
        Some(inner) if inner.ends_with(b"\n") => inner,
        _ => &[],
    }
}

/// Lines of tab-separated words: `path package`, `mod path version sum`, `dep path version sum`, `=> path version sum` for the
/// replacement of the line before.
fn facts(go_version: &str, modules: &str) -> Vec<Fact> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut main = None;
    let mut package = None;
    let mut stamped = None;
    for line in modules.lines() {
        let mut words = line.split('\t');
        let (word, path, version) = (words.next(), words.next(), words.next());
        match (word, path) {
            (Some("mod"), Some(path)) => {
                main = Some(drafts.len());
                drafts.push(module(path, version));
            }
            (Some("path"), Some(path)) => package = Some(path),
            (Some("dep"), Some(path)) => drafts.push(module(path, version)),
            (Some("=>"), Some(path)) => {
                if let Some(last) = drafts.last_mut() {
                    *last = module(path, version);
                }
            }
            (Some("build"), Some(setting)) => stamped = stamped.or_else(|| stamped_version(setting)),
            _ => {}
        }
    }
    // Built without modules: of which module it is, nobody says, but the package does stand there. One built of files
    // that were named has no name.
    if let (None, Some(path)) = (main, package.filter(|path| path.contains('.') && path.contains('/'))) {
        main = Some(drafts.len());
        drafts.push(Draft::new(PackageKind::Golang, path, None));
    }
    // `go1.22.1 X:experiment`, `devel go1.23-abcdef`.
    let release = go_version
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go"))
        .map(|version| version.split('-').next().unwrap_or(version));
    drafts.push(Draft::new(PackageKind::Golang, "stdlib", release));
    if let Some(main) = main {
        let others = (0..drafts.len()).filter(|at| *at != main).map(Need::Sibling).collect();
        if let Some(draft) = drafts.get_mut(main) {
            draft.needs = others;
            draft.says_needs = true;
            draft.file = Some(PackageFile::program());
            if let (None, Some(version)) = (&draft.version, stamped) {
                draft.version = Some(version);
                draft.uncertain = Some(Uncertainty::FromContent);
            }
        }
    }
    drafts.into_iter().map(|draft| Fact::Package(Box::new(draft))).collect()
}

/// The version that the linker was told to write into a variable (`-ldflags="-X main.version=1.2.3"`), as releases of
/// programs that are built from a checkout say theirs.
fn stamped_version(setting: &str) -> Option<String> {
    /// The longest version taken.
    const MAX_VERSION: usize = 64;
    let flags = setting.strip_prefix("-ldflags=")?;
    flags.split_whitespace().find_map(|word| {
        let word = word.trim_matches(['"', '\'', '\\']);
        let (variable, value) = word.strip_prefix("-X=").unwrap_or(word).split_once('=')?;
        let name = variable.rsplit('.').next()?.to_ascii_lowercase();
        let is_version = matches!(
            name.as_str(),
            "version"
                | "buildversion"
                | "appversion"
                | "releaseversion"
                | "gitversion"
                | "fullversion"
                | "versionstring"
        );
        let number = value.strip_prefix('v').unwrap_or(value);
        let (major, rest) = number.split_once('.')?;
        let valid = !major.is_empty()
            && major.bytes().all(|b| b.is_ascii_digit())
            && rest.starts_with(|c: char| c.is_ascii_digit())
            && number.len() <= MAX_VERSION
            && number.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b));
        (is_version && valid).then(|| format!("v{number}"))
    })
}

fn module(path: &str, version: Option<&str>) -> Draft {
    let version = version.filter(|version| !version.is_empty() && *version != "(devel)");
    let local = path.starts_with(['.', '/']);
    Draft {
        uncertain: match version {
            None if local => Some(Uncertainty::NotFromRegistry),
            None => Some(Uncertainty::DevelopmentVersion),
            Some(_) => None,
        },
        ..Draft::new(PackageKind::Golang, path, version)
    }
}

/// Looks for the build information in a program that is too large to be held, piece by piece.
#[derive(Default)]
pub(crate) struct Scanner {
    /// The end of what has been seen, or all from the header on once it is found.
    kept: Vec<u8>,
    /// How far into the file `kept` starts.
    offset: usize,
    found: bool,
    /// Whether the form before Go 1.18 was seen, whose texts stand elsewhere in the file.
    has_pointers: bool,
}

/// How many bytes are wanted behind the header: both strings and their lengths.
const WANTED: usize = HEADER + 5 * 1024 * 1024;

impl Scanner {
    /// Takes the next piece of the file.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        if self.found {
            let missing = WANTED.saturating_sub(self.kept.len());
            self.kept.extend_from_slice(piece.get(..missing).unwrap_or(piece));
            return;
        }
        self.kept.extend_from_slice(piece);
        // `offset` is a multiple of the alignment, so positions in `kept` are aligned as in the file.
        let any = find(&self.kept);
        self.has_pointers |= any.is_some();
        let inline = any.filter(|(header, _)| header.get(MAGIC.len() + 1).is_none_or(|flags| flags & 2 != 0));
        let dropped = match inline {
            Some((_, at)) => {
                self.found = true;
                at
            }
            None => self.kept.len().saturating_sub(HEADER) / ALIGNMENT * ALIGNMENT,
        };
        self.kept.drain(..dropped);
        self.offset += dropped;
    }

    /// What the program says, if it is a Go program.
    pub(crate) fn finish(&self) -> Result<Vec<Fact>, Unreadable> {
        if self.found {
            from_header(&self.kept, None)
        } else if self.has_pointers {
            let reason = "it is too large for the build information of before Go 1.18 to be followed";
            Err(Unreadable::new("executable-too-large", reason))
        } else {
            Ok(Vec::new())
        }
    }
}
