//! Which paths the layers above have taken, and how.
//!
//! Layers are numbered in the order of reading: 0 is the top. A mark of an earlier number hides what comes later; a
//! mark of the current number does not, because whiteouts count for lower layers only (image-spec, layer.md).

use std::collections::HashMap;

use super::error::LayerError;

/// A name of this many bytes counts as another one; those of real files have 10 to 30.
const NAME_BYTES: usize = 100;

/// What becomes of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// An upper layer hides it.
    Hidden,
    /// It is visible.
    Visible,
    /// It is visible and replaces these files of the same layer, told of before.
    Replaces(Vec<Vec<u8>>),
}

/// The paths seen so far.
pub(super) struct Tree {
    root: Node,
    /// One more than the number of the current layer.
    started: u16,
    names: usize,
    limit: usize,
}

#[derive(Default)]
struct Node {
    #[expect(
        clippy::box_collection,
        reason = "most names are leaves, which pay 8 bytes for it instead of 48"
    )]
    children: Option<Box<HashMap<Box<[u8]>, Self>>>,
    taken: Option<Taken>,
    whited_out: Option<u16>,
    opaque: Option<u16>,
}

#[derive(Clone, Copy)]
struct Taken {
    layer: u16,
    folder: bool,
}

impl Tree {
    /// An empty tree that holds at most `limit` names.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            root: Node::default(),
            started: 0,
            names: 0,
            limit,
        }
    }

    /// Goes on to the next lower layer.
    pub(super) fn next_layer(&mut self) {
        self.started = self.started.saturating_add(1);
    }

    /// Hides everything in `folder` from lower layers.
    pub(super) fn make_opaque(&mut self, folder: &[u8]) -> Result<(), LayerError> {
        let current = self.current();
        let mut node = &mut self.root;
        for name in components(folder) {
            node = node.child(name, &mut self.names, self.limit)?;
        }
        node.opaque.get_or_insert(current);
        Ok(())
    }

    /// Hides `name` in `folder`, and everything below, from lower layers.
    pub(super) fn white_out(&mut self, folder: &[u8], name: &[u8]) -> Result<(), LayerError> {
        let current = self.current();
        let mut node = &mut self.root;
        for name in components(folder).chain([name]) {
            node = node.child(name, &mut self.names, self.limit)?;
        }
        node.whited_out.get_or_insert(current);
        Ok(())
    }

    /// Puts an entry of the current layer at `path`.
    pub(super) fn place(&mut self, path: &[u8], folder: bool) -> Result<Placement, LayerError> {
        let current = self.current();
        let mut gone = Vec::new();
        let mut node = &mut self.root;
        let mut walked = 0;
        for name in components(path) {
            // `node` is a folder above the entry.
            if node.hides_content(current) {
                return Ok(Placement::Hidden);
            }
            if walked > 0 {
                match node.taken {
                    Some(taken) if !taken.folder => {
                        // The same layer has a file where now a folder must be: the later one counts.
                        gone.push(path.get(..walked - 1).unwrap_or_default().to_vec());
                        node.taken = Some(Taken {
                            layer: current,
                            folder: true,
                        });
                    }
                    Some(_) => {}
                    None => {
                        node.taken = Some(Taken {
                            layer: current,
                            folder: true,
                        })
                    }
                }
            }
            node = node.child(name, &mut self.names, self.limit)?;
            walked += name.len() + 1;
        }
        match node.taken {
            _ if node.whited_out.is_some_and(|layer| layer < current) => return Ok(Placement::Hidden),
            Some(taken) if taken.layer < current && !(taken.folder && folder) => return Ok(Placement::Hidden),
            Some(taken) if taken.layer < current => return Ok(Placement::Visible),
            Some(taken) if !taken.folder => gone.push(path.to_vec()),
            Some(_) if !folder => node.forget_files(path, &mut gone),
            Some(_) | None => {}
        }
        node.taken = Some(Taken { layer: current, folder });
        if gone.is_empty() {
            Ok(Placement::Visible)
        } else {
            Ok(Placement::Replaces(gone))
        }
    }

    /// How many names it holds.
    pub(super) fn names(&self) -> usize {
        self.names
    }

    /// Whether `path` is a visible file (or link) that the current layer has brought.
    pub(super) fn is_file_of_this_layer(&self, path: &[u8]) -> bool {
        let mut node = &self.root;
        for name in components(path) {
            match node.children.as_ref().and_then(|children| children.get(name)) {
                Some(child) => node = child,
                None => return false,
            }
        }
        node.taken
            .is_some_and(|taken| !taken.folder && taken.layer == self.current())
    }

    fn current(&self) -> u16 {
        self.started.saturating_sub(1)
    }
}

impl Node {
    /// Whether what is below this name is hidden from the layer `current`.
    fn hides_content(&self, current: u16) -> bool {
        let earlier = |mark: Option<u16>| mark.is_some_and(|layer| layer < current);
        earlier(self.whited_out)
            || earlier(self.opaque)
            || self.taken.is_some_and(|taken| !taken.folder && taken.layer < current)
    }

    fn child(&mut self, name: &[u8], names: &mut usize, limit: usize) -> Result<&mut Self, LayerError> {
        let children = self.children.get_or_insert_default();
        if !children.contains_key(name) {
            if *names >= limit {
                return Err(LayerError::TooManyNames { limit });
            }
            *names += weight(name.len());
            children.insert(name.into(), Self::default());
        }
        children.get_mut(name).ok_or(LayerError::TooManyNames { limit })
    }

    /// Forgets all below this folder, telling the files; what stands there is of the current layer, or a whiteout that
    /// a file in the folder's place makes superfluous.
    fn forget_files(&mut self, path: &[u8], gone: &mut Vec<Vec<u8>>) {
        let mut rest: Vec<(Vec<u8>, Self)> = Vec::new();
        let mut next = Some((path.to_vec(), self.children.take()));
        while let Some((path, children)) = next {
            for (name, child) in children.into_iter().flat_map(|children| *children) {
                let mut below = path.clone();
                below.push(b'/');
                below.extend_from_slice(&name);
                if child.taken.is_some_and(|taken| !taken.folder) {
                    gone.push(below.clone());
                }
                rest.push((below, child));
            }
            next = rest.pop().map(|(path, mut node)| (path, node.children.take()));
        }
        gone.sort_unstable();
    }
}

/// As how many names one of this many bytes counts: the limit stands for memory, and a path may be one name of 4 KiB.
pub(super) fn weight(bytes: usize) -> usize {
    1 + bytes / NAME_BYTES
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty())
}
