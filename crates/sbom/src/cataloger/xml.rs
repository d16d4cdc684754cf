//! As much of XML as package metadata need: the text of each element, with the path of names that leads to it.
//!
//! Attributes, entities of one's own and external ones are passed over; nothing is fetched or expanded, so that there
//! is nothing to bomb with.

/// The deepest element looked into; a `pom.xml` has about ten.
const MAX_DEPTH: usize = 64;

/// Tells `each` the path (`project/parent/version`) and text of every element, when it ends. Broken text is read as far
/// as it goes.
pub(super) fn texts(document: &str, each: &mut dyn FnMut(&str, &str)) {
    let mut path = String::new();
    let mut depth = 0;
    let mut text = String::new();
    let mut rest = document;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(&unescaped(before));
        if let Some(after) = tag.strip_prefix("!--") {
            rest = after.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        if let Some(after) = tag.strip_prefix("![CDATA[") {
            let (literal, after) = after.split_once("]]>").unwrap_or((after, ""));
            text.push_str(literal);
            rest = after;
            continue;
        }
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        rest = after;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if tag.starts_with('/') {
            if depth <= MAX_DEPTH {
                each(&path, &text);
                let parent = path.rfind('/').unwrap_or(0);
                path.truncate(parent);
            }
            depth = usize::saturating_sub(depth, 1);
            text.clear();
        } else if !tag.ends_with('/') {
            depth += 1;
            if depth <= MAX_DEPTH {
                let name = tag.split_whitespace().next().unwrap_or_default();
                let name = name.rsplit(':').next().unwrap_or(name);
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(name);
            }
            text.clear();
        }
    }
}

fn unescaped(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let plain = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    plain.into()
}
