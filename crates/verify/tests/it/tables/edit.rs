//! Systematic edits of documents: every field of JSON, every element of DER, every line of text, and what is packed
//! inside of them.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// One edit: where, how, and the edited document, made when it is asked for.
pub(super) struct Edit<T> {
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) make: Rc<dyn Fn() -> T>,
}

impl<T: 'static> Edit<T> {
    fn new(path: &str, kind: &'static str, make: impl Fn() -> T + 'static) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            make: Rc::new(make),
        }
    }

    /// The edit of a whole of which this one edits a part.
    pub(super) fn within<U: 'static>(self, prefix: &str, wrap: impl Fn(T) -> U + 'static) -> Edit<U> {
        let make = self.make;
        Edit {
            path: format!("{prefix}{}", self.path),
            kind: self.kind,
            make: Rc::new(move || wrap(make())),
        }
    }
}

/// Edits of each field of a document, and of what its fields hold. `others` are documents of the same kind, whose
/// values are put in the place of this one's.
pub(super) fn json(document: &Rc<Value>, others: &[Rc<Value>]) -> Vec<Edit<Value>> {
    let mut edits = Vec::new();
    walk(document, document, "", others, &mut edits);
    edits
}

fn walk(document: &Rc<Value>, value: &Value, pointer: &str, others: &[Rc<Value>], edits: &mut Vec<Edit<Value>>) {
    let set = |new: Value| {
        let (document, pointer) = (Rc::clone(document), pointer.to_owned());
        move || {
            let mut edited = Value::clone(&document);
            *edited.pointer_mut(&pointer).unwrap() = new.clone();
            edited
        }
    };
    if !pointer.is_empty() {
        let (whole, place) = (Rc::clone(document), pointer.to_owned());
        edits.push(Edit::new(pointer, "removed", move || removed(&whole, &place)));
        edits.push(Edit::new(pointer, "another type", set(other_type(value))));
        let different = others
            .iter()
            .filter_map(|other| other.pointer(pointer))
            .find(|other| *other != value);
        if let Some(other) = different {
            edits.push(Edit::new(pointer, "swapped", set(other.clone())));
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                walk(document, field, &format!("{pointer}/{name}"), others, edits);
            }
        }
        Value::Array(elements) => {
            edits.push(Edit::new(pointer, "emptied", set(Value::Array(Vec::new()))));
            for (index, element) in elements.iter().enumerate() {
                walk(document, element, &format!("{pointer}/{index}"), others, edits);
            }
        }
        Value::String(text) => {
            for (kind, new) in texts(text) {
                edits.push(Edit::new(pointer, kind, set(Value::String(new))));
            }
            let (document, pointer) = (Rc::clone(document), pointer.to_owned());
            let same_place = others.iter().filter_map(|other| other.pointer(&pointer)?.as_str());
            let same_place: Vec<String> = same_place.map(str::to_owned).collect();
            edits.extend(packed(text, &same_place).into_iter().map(|edit| {
                let (document, pointer) = (Rc::clone(&document), pointer.clone());
                edit.within(&pointer.clone(), move |new: String| {
                    let mut edited = Value::clone(&document);
                    *edited.pointer_mut(&pointer).unwrap() = Value::String(new);
                    edited
                })
            }));
        }
        Value::Number(number) => {
            let more = number.as_i64().unwrap_or_default() + 1;
            edits.push(Edit::new(pointer, "one more", set(Value::from(more))));
        }
        Value::Bool(_) | Value::Null => {}
    }
}

fn removed(document: &Value, pointer: &str) -> Value {
    let mut edited = document.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match edited.pointer_mut(parent).unwrap() {
        Value::Object(fields) => {
            fields.remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        Value::Array(elements) => {
            elements.remove(name.parse().unwrap());
        }
        _ => unreachable!("only these have children"),
    }
    edited
}

fn other_type(value: &Value) -> Value {
    match value {
        Value::String(_) => Value::from(987_654_321),
        _ => Value::from("seven"),
    }
}

/// Edits of a text: of its bytes where it is base64, else of its characters.
fn texts(text: &str) -> Vec<(&'static str, String)> {
    let mut edits = vec![("blank", String::new()), ("longer", format!("{text}AAAA"))];
    if text.parse::<i64>().is_ok() {
        edits.push(("one more", (text.parse::<i64>().unwrap() + 1).to_string()));
        return edits;
    }
    match unpack(text) {
        Some(bytes) => edits.extend(
            flips(&bytes)
                .into_iter()
                .map(|(kind, bytes)| (kind, STANDARD.encode(bytes))),
        ),
        None if text.is_ascii() && !text.is_empty() => {
            let flipped = |at: usize| {
                let mut bytes = text.as_bytes().to_vec();
                // A digit of hex, so that a digest stays one.
                bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
                String::from_utf8(bytes).unwrap()
            };
            edits.push(("first changed", flipped(0)));
            edits.push(("last changed", flipped(text.len() - 1)));
        }
        None => {}
    }
    edits
}

fn flips(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let flipped = |at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let last = bytes.len() - 1;
    vec![
        ("first changed", flipped(0)),
        ("middle changed", flipped(last / 2)),
        ("last changed", flipped(last)),
        ("shorter", bytes[..last].to_vec()),
    ]
}

/// Base64 that packs something: short words are words.
fn unpack(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    (bytes.len() >= 16).then_some(bytes)
}

/// Edits of what a text packs: JSON, DER, PEM, or lines.
fn packed(text: &str, others: &[String]) -> Vec<Edit<String>> {
    if text.starts_with('{')
        && let Ok(value) = serde_json::from_str::<Value>(text)
    {
        let others = others.iter().filter_map(|other| serde_json::from_str(other).ok());
        let others: Vec<Rc<Value>> = others.map(Rc::new).collect();
        let edits = json(&Rc::new(value), &others).into_iter();
        return edits.map(|edit| edit.within("#", |value| value.to_string())).collect();
    }
    if text.starts_with("-----BEGIN CERTIFICATE-----") {
        let der = proofmark_evidence::encoding::pem_decode_all("CERTIFICATE", text).unwrap_or_default();
        let Some(der) = der.into_iter().next() else {
            return Vec::new();
        };
        let pem = |der: Vec<u8>| proofmark_evidence::encoding::pem_encode("CERTIFICATE", &der);
        return self::der(&der).into_iter().map(|edit| edit.within("#", pem)).collect();
    }
    if text.contains("\n\n\u{2014} ") {
        return lines(text);
    }
    let Some(bytes) = unpack(text) else {
        return Vec::new();
    };
    let encode = |bytes: Vec<u8>| STANDARD.encode(bytes);
    if let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(&bytes) {
        let others = others
            .iter()
            .filter_map(|other| serde_json::from_slice(&STANDARD.decode(other).ok()?).ok());
        let others: Vec<Rc<Value>> = others.map(Rc::new).collect();
        let edits = json(&Rc::new(value), &others).into_iter();
        return edits
            .map(|edit| edit.within("#", move |value| STANDARD.encode(value.to_string())))
            .collect();
    }
    der(&bytes).into_iter().map(|edit| edit.within("#", encode)).collect()
}

/// A signed note: each line changed, and each taken away.
fn lines(text: &str) -> Vec<Edit<String>> {
    let all: Rc<Vec<String>> = Rc::new(text.split_inclusive('\n').map(str::to_owned).collect());
    let mut edits = Vec::new();
    for index in 0..all.len() {
        let path = format!("#{index}");
        let whole = Rc::clone(&all);
        edits.push(Edit::new(&path, "removed", move || {
            let kept = whole.iter().enumerate().filter(|(at, _)| *at != index);
            kept.map(|(_, line)| line.as_str()).collect()
        }));
        for (kind, at) in [("first changed", 0), ("last changed", usize::MAX)] {
            let whole = Rc::clone(&all);
            edits.push(Edit::new(&path, kind, move || {
                let changed = |line: &String| {
                    let mut characters: Vec<char> = line.trim_end_matches('\n').chars().collect();
                    let last = characters.len().saturating_sub(2);
                    match characters.get_mut(at.min(last)) {
                        Some(character) => *character = if *character == 'k' { 'q' } else { 'k' },
                        None => characters.push('k'),
                    }
                    characters.iter().collect::<String>() + "\n"
                };
                let edited = whole.iter().enumerate();
                edited
                    .map(|(at, line)| if at == index { changed(line) } else { line.clone() })
                    .collect()
            }));
        }
    }
    edits
}

/// One element of DER, taken apart as far as it goes.
#[derive(Clone)]
struct Element {
    tag: u8,
    /// The bytes before the children: of a bit string its first.
    before: Vec<u8>,
    children: Vec<Self>,
    content: Vec<u8>,
}

fn elements(mut bytes: &[u8]) -> Option<Vec<Element>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
        let (header, length) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81 => (3, usize::from(*bytes.get(2)?)),
            0x82 => (4, usize::from(*bytes.get(2)?) << 8 | usize::from(*bytes.get(3)?)),
            _ => return None,
        };
        let content = bytes.get(header..header + length)?;
        bytes = &bytes[header + length..];
        found.push(element(tag, content)?);
    }
    Some(found)
}

fn element(tag: u8, content: &[u8]) -> Option<Element> {
    let skipped = usize::from(tag == 0x03);
    let packs = matches!(tag, 0x03 | 0x04) && content.len() > 6 && content[skipped] == 0x30;
    let inside = if tag & 0x20 != 0 {
        Some(elements(content)?)
    } else if packs {
        elements(&content[skipped..])
    } else {
        None
    };
    let children = inside.unwrap_or_default();
    let before = if children.is_empty() { 0 } else { skipped };
    Some(Element {
        tag,
        before: content[..before].to_vec(),
        content: if children.is_empty() {
            content.to_vec()
        } else {
            Vec::new()
        },
        children,
    })
}

impl Element {
    fn encode(&self) -> Vec<u8> {
        let mut content = self.before.clone();
        content.extend_from_slice(&self.content);
        content.extend(self.children.iter().flat_map(Self::encode));
        let mut encoded = vec![self.tag];
        match content.len() {
            length @ 0..=0x7f => encoded.push(length as u8),
            length @ 0x80..=0xff => encoded.extend([0x81, length as u8]),
            length => encoded.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        encoded.extend(content);
        encoded
    }

    fn at(&mut self, place: &[usize]) -> &mut Self {
        place.iter().fold(self, |element, index| &mut element.children[*index])
    }
}

/// Edits of each element of DER; none if it is no DER.
pub(super) fn der(bytes: &[u8]) -> Vec<Edit<Vec<u8>>> {
    let Some(whole) = elements(bytes).filter(|found| found.len() == 1 && found[0].encode() == bytes) else {
        return Vec::new();
    };
    let whole = Rc::new(whole[0].clone());
    let mut edits = Vec::new();
    walk_der(&whole, &whole, &mut Vec::new(), &mut edits);
    edits
}

fn walk_der(whole: &Rc<Element>, element: &Element, place: &mut Vec<usize>, edits: &mut Vec<Edit<Vec<u8>>>) {
    let path: String = place.iter().map(|index| format!("/{index}")).collect();
    let mut push = |kind: &'static str, change: fn(&mut Element)| {
        let (whole, place) = (Rc::clone(whole), place.clone());
        edits.push(Edit::new(&path, kind, move || {
            let mut edited = Element::clone(&whole);
            change(edited.at(&place));
            edited.encode()
        }));
    };
    push("another type", |element| element.tag ^= 0x01);
    if !element.content.is_empty() {
        push("first changed", |element| element.content[0] ^= 1);
        push("last changed", |element| *element.content.last_mut().unwrap() ^= 1);
        push("longer", |element| element.content.push(0));
    }
    if let Some((last, parent)) = place.clone().split_last() {
        let (whole, parent, last) = (Rc::clone(whole), parent.to_vec(), *last);
        edits.push(Edit::new(&path, "removed", move || {
            let mut edited = Element::clone(&whole);
            edited.at(&parent).children.remove(last);
            edited.encode()
        }));
    }
    for (index, child) in element.children.iter().enumerate() {
        place.push(index);
        walk_der(whole, child, place, edits);
        place.pop();
    }
}
