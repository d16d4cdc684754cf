//! Names in layers: normalised, kept inside the root, and told apart from whiteouts.

use super::error::LayerError;

/// The longest path, in bytes: Linux's `PATH_MAX`.
pub(super) const MAX_LENGTH: usize = 4096;

/// The deepest path, in components; the deepest `node_modules` seen have about 60.
pub(super) const MAX_DEPTH: usize = 256;

/// image-spec, layer.md, "Whiteouts".
const WHITEOUT: &[u8] = b".wh.";
/// image-spec, layer.md, "Opaque Whiteout".
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Files that aufs kept for itself; old images have them and no extractor writes them out.
const AUFS: &[u8] = b".wh..wh.";

/// What a name in a layer stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Class<'p> {
    /// The root itself, or a file that no extractor writes.
    Ignored,
    /// Hides what lower layers have in the folder.
    Opaque(&'p [u8]),
    /// Hides what lower layers have under the name in the folder.
    Whiteout(&'p [u8], &'p [u8]),
    /// A file, folder or link.
    Plain(&'p [u8]),
}

/// Takes a name from a tar header to a path from the root: no leading slash, no empty component, no `.`. Anything with
/// `..` is refused, even where it would stay inside: no writer of layers makes it.
pub(super) fn normalise(raw: &[u8]) -> Result<Vec<u8>, LayerError> {
    if raw.contains(&0) {
        return Err(LayerError::PathMalformed { path: shortened(raw) });
    }
    let mut path = Vec::with_capacity(raw.len());
    let mut depth = 0;
    for component in raw.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(LayerError::PathEscape { path: shortened(raw) }),
            component => {
                if depth > 0 {
                    path.push(b'/');
                }
                path.extend_from_slice(component);
                depth += 1;
            }
        }
    }
    if path.len() > MAX_LENGTH || depth > MAX_DEPTH {
        return Err(LayerError::PathTooLong {
            length: path.len(),
            depth,
            max_length: MAX_LENGTH,
            max_depth: MAX_DEPTH,
        });
    }
    Ok(path)
}

/// Tells what a normalised path stands for.
pub(super) fn classify(path: &[u8]) -> Result<Class<'_>, LayerError> {
    let (folder, name) = match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => {
            let (folder, name) = path.split_at(slash);
            (folder, name.strip_prefix(b"/").unwrap_or(name))
        }
        None => (path.get(..0).unwrap_or_default(), path),
    };
    if path.is_empty() {
        return Ok(Class::Ignored);
    }
    if name == OPAQUE {
        return Ok(Class::Opaque(folder));
    }
    if path.split(|b| *b == b'/').any(|component| component.starts_with(AUFS)) {
        return Ok(Class::Ignored);
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Class::Plain(path)),
        Some(b"" | b"." | b"..") => Err(LayerError::WhiteoutMalformed { path: shortened(path) }),
        Some(hidden) => Ok(Class::Whiteout(folder, hidden)),
    }
}

/// The longest piece of a foreign path that an error repeats, in characters.
const MAX_QUOTED: usize = 120;

pub(super) fn shortened(path: &[u8]) -> String {
    String::from_utf8_lossy(path)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(MAX_QUOTED)
        .collect()
}
