//! The second pass: the content of hard links, where a visitor asked for it and it was not at hand.

use std::collections::{HashMap, HashSet};

use super::content::show;
use super::tar::{Header, Kind, Tar};
use super::{Entry, Layer, Limits, UnionError, Visitor, Wants, path, read_tar_of};

/// The most links followed: far over the packages of any image.
pub const MAX_PENDING: usize = 50_000;

/// How often the same layer may be read again because a link's target is itself a link; no writer nests them.
pub(super) const MAX_ROUNDS: usize = 3;

/// A visible name whose content is wanted and stands under another name.
pub(super) struct Pending {
    /// The visible name.
    pub(super) path: String,
    /// The name that has the content.
    pub(super) target: String,
    /// What is wanted of it.
    pub(super) wants: Wants,
    /// The layer that brought the link.
    pub(super) layer: usize,
    /// The topmost layer that can have the target.
    pub(super) search: usize,
}

/// Reads the layers again, from the topmost that has a link, and shows the content; returns the links that dangle.
pub(super) fn deliver(
    layers: &[Layer<'_>],
    limits: &Limits,
    visitor: &mut dyn Visitor,
    mut pending: Vec<Pending>,
) -> Result<Vec<(String, String)>, UnionError> {
    let mut dangling = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let mut again = Vec::new();
        for (index, layer) in layers.iter().enumerate().rev() {
            if !pending.iter().any(|p| p.search >= index) {
                continue;
            }
            let mut pass = Pass::new(index, &mut pending);
            read_tar_of(layer, index, limits, 0, &mut |tar, header| {
                pass.visit(tar, &header, visitor)
            })?;
            let left = pass.finish(&mut dangling, &mut again);
            pending.extend(left);
        }
        dangling.extend(pending.drain(..).map(|p| (p.path, p.target)));
        if again.is_empty() {
            break;
        }
        pending = again;
    }
    dangling.extend(pending.into_iter().map(|p| (p.path, p.target)));
    dangling.sort_unstable();
    Ok(dangling)
}

/// One layer of the second pass.
struct Pass {
    layer: usize,
    /// By target.
    wanted: HashMap<String, Vec<Pending>>,
    /// Those that have had their content, by target: of a file that the layer has twice, a link means the last before it.
    given: HashMap<String, Vec<Pending>>,
    /// The links of this layer itself, to their targets.
    own: HashMap<String, String>,
    /// The targets and the folders above them.
    concerned: HashSet<String>,
    /// Links that turned out to lead to other links.
    moved: Vec<Pending>,
    /// Folders and names that lower layers cannot fill.
    hidden: Vec<String>,
}

impl Pass {
    fn new(layer: usize, pending: &mut Vec<Pending>) -> Self {
        let mut wanted: HashMap<String, Vec<Pending>> = HashMap::new();
        for link in pending.extract_if(.., |p| p.search >= layer) {
            wanted.entry(link.target.clone()).or_default().push(link);
        }
        let links = wanted.values().flatten().filter(|link| link.layer == layer);
        let own = links.map(|link| (link.path.clone(), link.target.clone())).collect();
        let mut concerned = HashSet::from([String::new()]);
        for target in wanted.keys() {
            let folders = target.match_indices('/').map(|(at, _)| target.split_at(at).0);
            concerned.extend(folders.chain([target.as_str()]).map(str::to_owned));
        }
        Self {
            layer,
            wanted,
            given: HashMap::new(),
            own,
            concerned,
            moved: Vec::new(),
            hidden: Vec::new(),
        }
    }

    fn visit(
        &mut self,
        tar: &mut Tar<'_>,
        header: &Header,
        visitor: &mut dyn Visitor,
    ) -> Result<(), super::LayerError> {
        let path = match path::classify(&header.path)? {
            path::Class::Ignored => return Ok(()),
            path::Class::Opaque(folder) => {
                self.hide(&[folder, b"/"].concat());
                return Ok(());
            }
            path::Class::Whiteout(folder, name) => {
                self.hide(&[folder, b"/", name].concat());
                return Ok(());
            }
            path::Class::Plain(path) => path,
        };
        let name = String::from_utf8_lossy(path);
        if header.kind == Kind::HardLink {
            self.bind(&name);
        }
        let links = match (self.wanted.remove(name.as_ref()), header.kind) {
            (Some(links), _) => links,
            (None, Kind::File) => match self.given.remove(name.as_ref()) {
                Some(links) => links,
                None => return Ok(()),
            },
            (None, _) => return Ok(()),
        };
        match header.kind {
            Kind::File => {
                let links = give(tar, header, links, visitor)?;
                self.given.insert(name.into_owned(), links);
                Ok(())
            }
            Kind::HardLink => {
                let target = String::from_utf8_lossy(&header.link).into_owned();
                self.moved.extend(links.into_iter().map(|link| Pending {
                    target: target.clone(),
                    search: self.layer,
                    ..link
                }));
                Ok(())
            }
            Kind::Folder | Kind::Symlink | Kind::Special => {
                // No content: whatever lower layers have under the name, the link did not mean it.
                self.hidden.push(name.clone().into_owned());
                self.wanted.insert(name.into_owned(), links);
                Ok(())
            }
        }
    }

    /// The link itself: files of its target's name that follow in its own layer are not what it means.
    fn bind(&mut self, link: &str) {
        if let Some(target) = self.own.remove(link)
            && let Some(links) = self.given.get_mut(&target)
        {
            links.retain(|pending| pending.path != link);
            if links.is_empty() {
                self.given.remove(&target);
            }
        }
    }

    /// Notes what lower layers cannot fill, if it concerns a target.
    fn hide(&mut self, path: &[u8]) {
        let path = String::from_utf8_lossy(path);
        let path = path.trim_start_matches('/');
        if self.concerned.remove(path.trim_end_matches('/')) {
            self.hidden.push(path.to_owned());
        }
    }

    fn finish(mut self, dangling: &mut Vec<(String, String)>, again: &mut Vec<Pending>) -> Vec<Pending> {
        again.append(&mut self.moved);
        let (lost, left): (Vec<_>, Vec<_>) = self
            .wanted
            .into_values()
            .flatten()
            .partition(|p| self.hidden.iter().any(|hidden| is_at_or_below(&p.target, hidden)));
        dangling.extend(lost.into_iter().map(|p| (p.path, p.target)));
        left
    }
}

/// `hidden` ends with a slash for an opaque folder, which hides only what is in it.
fn is_at_or_below(target: &str, hidden: &str) -> bool {
    match hidden.strip_suffix('/') {
        Some(_) => target.starts_with(hidden),
        None if hidden.is_empty() => true,
        None => target
            .strip_prefix(hidden)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

fn give(
    tar: &mut Tar<'_>,
    header: &Header,
    mut links: Vec<Pending>,
    visitor: &mut dyn Visitor,
) -> Result<Vec<Pending>, super::LayerError> {
    links.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let Some((first, others)) = links.split_first() else {
        return Ok(links);
    };
    let also: Vec<String> = others.iter().map(|link| link.path.clone()).collect();
    let wants = links.iter().fold(Wants::NOTHING, |sum, link| Wants {
        content: sum.content || link.wants.content,
        digest: sum.digest || link.wants.digest,
    });
    let entry = Entry {
        path: &first.path,
        also: &also,
        size: header.size,
        mode: header.mode,
        layer: first.layer,
    };
    show(tar, &entry, wants, visitor)?;
    Ok(links)
}
