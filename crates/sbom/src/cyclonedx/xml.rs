//! CycloneDX in XML: the JSON form's model, element by element in the order of the schema.

use super::{Component, Contact, CyclonedxVersion, Document, Entity, LicenceChoice, Tools};

/// Writes the document.
pub(super) fn write(document: &Document, version: CyclonedxVersion) -> String {
    let mut xml = Xml(String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
    let space = format!("http://cyclonedx.org/schema/bom/{}", version.name());
    xml.open(
        "bom",
        &[
            ("xmlns", &space),
            ("serialNumber", &document.serial_number),
            ("version", "1"),
        ],
    );
    xml.open("metadata", &[]);
    xml.leaf("timestamp", &[], &document.metadata.timestamp.to_string());
    xml.list("lifecycles", &document.metadata.lifecycles, |xml, lifecycle| {
        xml.open("lifecycle", &[]);
        xml.leaf("phase", &[], lifecycle.phase);
        xml.close("lifecycle");
    });
    xml.open("tools", &[]);
    match &document.metadata.tools {
        Tools::Listed([tool]) => {
            xml.open("tool", &[]);
            xml.leaf("name", &[], tool.name);
            xml.leaf("version", &[], &tool.version);
            xml.close("tool");
        }
        Tools::Components { components: [tool] } => {
            xml.open("components", &[]);
            xml.open("component", &[("type", tool.r#type)]);
            xml.leaf("name", &[], tool.name);
            xml.leaf("version", &[], &tool.version);
            xml.close("component");
            xml.close("components");
        }
    }
    xml.close("tools");
    xml.list("authors", &document.metadata.authors, |xml, author| {
        contact(xml, "author", author)
    });
    component(&mut xml, &document.metadata.component);
    if let Some(manufacturer) = &document.metadata.manufacturer {
        entity(&mut xml, "manufacturer", manufacturer);
    }
    xml.close("metadata");
    xml.open("components", &[]);
    for each in &document.components {
        component(&mut xml, each);
    }
    xml.close("components");
    xml.open("dependencies", &[]);
    for dependency in &document.dependencies {
        xml.open("dependency", &[("ref", &dependency.r#ref)]);
        for needed in &dependency.depends_on {
            xml.leaf("dependency", &[("ref", needed)], "");
        }
        xml.close("dependency");
    }
    xml.close("dependencies");
    xml.list("compositions", &document.compositions, |xml, composition| {
        xml.open("composition", &[]);
        xml.leaf("aggregate", &[], composition.aggregate);
        let reference = |name| move |xml: &mut Xml, id: &String| xml.leaf(name, &[("ref", id)], "");
        xml.list("assemblies", &composition.assemblies, reference("assembly"));
        xml.list("dependencies", &composition.dependencies, reference("dependency"));
        xml.close("composition");
    });
    xml.close("bom");
    xml.0
}

fn component(xml: &mut Xml, component: &Component) {
    xml.open(
        "component",
        &[("type", component.r#type), ("bom-ref", &component.bom_ref)],
    );
    if let Some(supplier) = &component.supplier {
        entity(xml, "supplier", supplier);
    }
    xml.maybe("group", component.group.as_deref());
    xml.leaf("name", &[], &component.name);
    xml.maybe("version", component.version.as_deref());
    xml.maybe("description", component.description.as_deref());
    xml.list("hashes", &component.hashes, |xml, hash| {
        xml.leaf("hash", &[("alg", hash.alg)], &hash.content)
    });
    xml.list("licenses", &component.licenses, |xml, choice| match choice {
        LicenceChoice::Expression { expression } => xml.leaf("expression", &[], expression),
        LicenceChoice::Named { license } => {
            xml.open("license", &[]);
            xml.leaf("name", &[], &license.name);
            xml.close("license");
        }
    });
    xml.maybe("cpe", component.cpe.as_deref());
    xml.maybe("purl", component.purl.as_deref());
    xml.list(
        "externalReferences",
        &component.external_references,
        |xml, reference| {
            xml.open("reference", &[("type", reference.r#type)]);
            xml.leaf("url", &[], &reference.url);
            xml.close("reference");
        },
    );
    xml.list("properties", &component.properties, |xml, property| {
        xml.leaf("property", &[("name", &property.name)], &property.value);
    });
    if let Some(evidence) = &component.evidence {
        xml.open("evidence", &[]);
        xml.list("occurrences", &evidence.occurrences, |xml, occurrence| {
            xml.open("occurrence", &[]);
            xml.leaf("location", &[], &occurrence.location);
            xml.close("occurrence");
        });
        xml.close("evidence");
    }
    xml.close("component");
}

fn entity(xml: &mut Xml, name: &str, entity: &Entity) {
    xml.open(name, &[]);
    xml.leaf("name", &[], &entity.name);
    for url in &entity.url {
        xml.leaf("url", &[], url);
    }
    for each in &entity.contact {
        contact(xml, "contact", each);
    }
    xml.close(name);
}

fn contact(xml: &mut Xml, name: &str, contact: &Contact) {
    xml.open(name, &[]);
    xml.maybe("name", contact.name.as_deref());
    xml.maybe("email", contact.email.as_deref());
    xml.close(name);
}

struct Xml(String);

impl Xml {
    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (key, value) in attributes {
            self.0.push(' ');
            self.0.push_str(key);
            self.0.push_str("=\"");
            self.escaped(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push_str(">\n");
    }

    fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.open(name, attributes);
        self.escaped(text);
        self.close(name);
    }

    fn maybe(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, &[], text);
        }
    }

    fn list<T>(&mut self, name: &str, items: &[T], each: impl Fn(&mut Self, &T)) {
        if items.is_empty() {
            return;
        }
        self.open(name, &[]);
        for item in items {
            each(self, item);
        }
        self.close(name);
    }

    /// XML 1.0, 2.2 and 2.4: some characters have no form at all and become blanks.
    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.0.push(' '),
                c => self.0.push(c),
            }
        }
    }
}
