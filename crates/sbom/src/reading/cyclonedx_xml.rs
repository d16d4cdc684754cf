//! CycloneDX in XML: the same model as in JSON, element by element. No document type, no entities, no fetched schema.

use roxmltree::{Node, ParsingOptions};

use super::cyclonedx::{
    self, Bom, Component, Composition, Contact, Dependency, Entity, Evidence, ExternalReference, Hash, LicenceChoice,
    Metadata, NamedLicence, Occurrence, Property, Tool, Tools,
};
use super::json::List;
use super::{Document, Encoding, ReadError};

/// The most nodes of a document; Syft's of 3,300 packages has 300,000. A node takes some 60 bytes.
const MAX_NODES: u32 = 4_000_000;

/// The most elements inside one another: components nest, and each level of them takes two.
const MAX_DEPTH: usize = 128;

/// Reads the document.
pub(super) fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    let fault = |line, column, message: String| ReadError::Malformed {
        format: "CycloneDX XML",
        line,
        column,
        message,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| fault(0, 0, "not UTF-8".to_owned()))?;
    nested(bytes)?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    let tree = roxmltree::Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached => ReadError::TooMany {
            what: "XML nodes",
            limit: usize::try_from(MAX_NODES).unwrap_or(usize::MAX),
        },
        error => {
            let position = error.pos();
            let number = |of: u32| usize::try_from(of).unwrap_or(usize::MAX);
            fault(number(position.row), number(position.col), error.to_string())
        }
    })?;
    let root = tree.root_element();
    let space = root.tag_name().namespace().unwrap_or_default();
    let version = space.strip_prefix("http://cyclonedx.org/schema/bom/");
    let (true, Some(version)) = (root.tag_name().name() == "bom", version) else {
        return Err(ReadError::Unknown {
            seen: format!(
                "XML whose outermost element is {}",
                super::gather::short(root.tag_name().name())
            ),
        });
    };
    cyclonedx::understand(bom(root, version), Encoding::Xml)
}

/// Refuses what is nested deeper than the reader of XML should recurse, by its tags alone; comments and CDATA may make it
/// count too much or too little by a few, which the bound has room for.
fn nested(bytes: &[u8]) -> Result<(), ReadError> {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate() {
        match (byte, bytes.get(at + 1)) {
            (b'<', Some(b'/')) => depth = depth.saturating_sub(1),
            (b'<', Some(b'!' | b'?')) => {}
            (b'<', _) => depth += 1,
            (b'/', Some(b'>')) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(ReadError::TooMany {
                what: "elements inside one another",
                limit: MAX_DEPTH,
            });
        }
    }
    Ok(())
}

fn bom(root: Node<'_, '_>, version: &str) -> Bom {
    let mut dependencies = List::default();
    for dependency in children(root, "dependencies", "dependency") {
        let mut depends_on = List::default();
        for needed in elements(dependency).filter(|node| is(*node, "dependency")) {
            depends_on.push(needed.attribute("ref").unwrap_or_default().to_owned());
        }
        dependencies.push(Dependency {
            r#ref: dependency.attribute("ref").unwrap_or_default().to_owned(),
            depends_on,
        });
    }
    Bom {
        bom_format: None,
        spec_version: version.to_owned(),
        metadata: child(root, "metadata").map(metadata),
        components: listed(children(root, "components", "component").map(component)),
        dependencies,
        compositions: listed(
            children(root, "compositions", "composition").map(|composition| Composition {
                aggregate: text(composition, "aggregate").unwrap_or_default(),
                assemblies: references(composition, "assemblies", "assembly"),
                dependencies: references(composition, "dependencies", "dependency"),
            }),
        ),
    }
}

fn references<const N: usize>(node: Node<'_, '_>, list: &str, name: &'static str) -> List<String, N> {
    let named = children(node, list, name);
    listed(named.map(|node| node.attribute("ref").unwrap_or_default().to_owned()))
}

fn metadata(node: Node<'_, '_>) -> Metadata {
    let tools = child(node, "tools").map(|tools| {
        let listed_tools = elements(tools).filter(|node| is(*node, "tool"));
        let components = children(tools, "components", "component");
        let inner = children(node, "tools", "component");
        let all = listed_tools.chain(components).chain(inner);
        Tools::Listed(listed(all.map(|tool| Tool {
            name: text(tool, "name").unwrap_or_default(),
            version: text(tool, "version"),
        })))
    });
    Metadata {
        timestamp: text(node, "timestamp"),
        tools,
        authors: listed(children(node, "authors", "author").map(|author| Contact {
            name: text(author, "name"),
            email: text(author, "email"),
        })),
        manufacture: entity(node, "manufacture"),
        manufacturer: entity(node, "manufacturer"),
        component: child(node, "component").map(component),
    }
}

fn entity(node: Node<'_, '_>, name: &str) -> Option<Entity> {
    child(node, name).map(|entity| Entity {
        name: text(entity, "name"),
        url: listed(elements(entity).filter(|node| is(*node, "url")).map(own_text)),
        contact: listed(
            elements(entity)
                .filter(|node| is(*node, "contact"))
                .map(|contact| Contact {
                    name: text(contact, "name"),
                    email: text(contact, "email"),
                }),
        ),
    })
}

fn component(node: Node<'_, '_>) -> Component {
    let licences = child(node, "licenses").into_iter().flat_map(elements);
    let evidence = child(node, "evidence").map(|evidence| Evidence {
        occurrences: listed(children(evidence, "occurrences", "occurrence").map(|place| Occurrence {
            location: text(place, "location"),
        })),
    });
    Component {
        r#type: node.attribute("type").map(str::to_owned),
        bom_ref: node.attribute("bom-ref").map(str::to_owned),
        group: text(node, "group"),
        name: text(node, "name").unwrap_or_default(),
        version: text(node, "version"),
        description: text(node, "description"),
        publisher: text(node, "publisher"),
        author: text(node, "author"),
        supplier: entity(node, "supplier"),
        manufacturer: entity(node, "manufacturer"),
        hashes: listed(children(node, "hashes", "hash").map(hash)),
        licenses: listed(licences.map(|choice| match choice.tag_name().name() {
            "expression" => LicenceChoice {
                license: None,
                expression: Some(own_text(choice)),
            },
            _ => LicenceChoice {
                license: Some(NamedLicence {
                    id: text(choice, "id"),
                    name: text(choice, "name"),
                }),
                expression: None,
            },
        })),
        cpe: text(node, "cpe"),
        purl: text(node, "purl"),
        properties: listed(children(node, "properties", "property").map(|property| Property {
            name: property.attribute("name").unwrap_or_default().to_owned(),
            value: Some(own_text(property)),
        })),
        external_references: listed(children(node, "externalReferences", "reference").map(|reference| {
            ExternalReference {
                r#type: reference.attribute("type").map(str::to_owned),
                url: text(reference, "url"),
                hashes: listed(children(reference, "hashes", "hash").map(hash)),
            }
        })),
        evidence,
        components: listed(children(node, "components", "component").map(component)),
    }
}

fn hash(node: Node<'_, '_>) -> Hash {
    Hash {
        alg: node.attribute("alg").unwrap_or_default().to_owned(),
        content: own_text(node),
    }
}

fn listed<T, const N: usize>(items: impl Iterator<Item = T>) -> List<T, N> {
    let mut list = List::default();
    for item in items {
        list.push(item);
    }
    list
}

fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

/// Elements of other namespaces are other people's extensions, whatever their name.
fn is(node: Node<'_, '_>, name: &str) -> bool {
    let space = node.tag_name().namespace().unwrap_or_default();
    node.tag_name().name() == name && space.starts_with("http://cyclonedx.org/schema/bom/")
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    elements(node).find(|node| is(*node, name))
}

fn children<'a, 'i>(node: Node<'a, 'i>, list: &str, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    child(node, list)
        .into_iter()
        .flat_map(elements)
        .filter(move |node| is(*node, name))
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    child(node, name).map(own_text).filter(|text| !text.is_empty())
}

/// All text directly inside: comments split it.
fn own_text(node: Node<'_, '_>) -> String {
    let pieces: String = node
        .children()
        .filter(Node::is_text)
        .filter_map(|node| node.text())
        .collect();
    pieces.trim().to_owned()
}
