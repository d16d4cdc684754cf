//! `dockerfile verify`: are the images that a Dockerfile builds on signed?

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::context::{Context, read_text, variable};
use crate::failure::Failure;
use crate::verb::verify::Asked;

/// Check what a Dockerfile builds on
#[derive(Subcommand, Debug)]
pub(crate) enum Dockerfile {
    /// Check the signatures of the images that a Dockerfile names
    Verify(Verify),
}

/// Check the signatures of the images that a Dockerfile names
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The Dockerfile
    file: PathBuf,

    /// Only the image that the last stage is built on
    #[arg(long)]
    base_image_only: bool,

    /// A build argument, as `docker build` is given it
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    build_arg: Vec<(String, String)>,

    #[command(flatten)]
    asked: Asked,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("expected NAME=VALUE, got \"{text}\""))
}

impl Dockerfile {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Verify(verb) = self;
        verb.asked.refuse_given()?;
        let given = verb.build_arg.iter().cloned().collect();
        let outside = |name: &str| variable(name);
        let read = read(&read_text(&verb.file)?, &given, &outside)
            .map_err(|message| Failure::usage("malformed-dockerfile", format!("{}: {message}", verb.file.display())))?;
        let images = if verb.base_image_only {
            read.base.into_iter().collect()
        } else {
            read.images
        };
        if images.is_empty() {
            return Err(Failure::usage(
                "no-images",
                format!("{} builds on no image", verb.file.display()),
            ));
        }
        context
            .output
            .note(&format!("Extracted image(s): {}", images.join(", ")));
        if read.frontend {
            context
                .output
                .note("note: the image of the \"# syntax=\" line reads the file and is not among them");
        }
        let wish = verb.asked.wish(context).await?;
        verb.asked.check(context, &images, &wish).await
    }
}

/// What a Dockerfile builds on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    /// All images, each once, in order: of FROM, of COPY --from and of RUN --mount.
    images: Vec<String>,
    /// What the last stage is built on, through the stages before it; none from scratch.
    base: Option<String>,
    /// Whether it names an image that reads it.
    frontend: bool,
}

/// Reads a Dockerfile (docs.docker.com/reference/dockerfile).
///
/// 1. Lines that go on are joined; comments and here-documents are left out.
/// 2. ARG sets variables, build arguments go before what it says, the environment stands in as in cosign; one that nothing
///    sets is an error, since another image would be checked than is built on. FROM sees those before the first FROM: what
///    ARG and ENV of a stage say is its own, and would name another image than the one that is built on.
/// 3. FROM names an image, an earlier stage or nothing (`scratch`); so do COPY --from and RUN --mount=…,from=….
fn read(
    text: &str,
    given: &BTreeMap<String, String>,
    outside: &dyn Fn(&str) -> Option<String>,
) -> Result<Read, String> {
    let mut read = Read {
        frontend: names_frontend(text),
        ..Read::default()
    };
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut of_stage = variables.clone();
    // Each stage's name and what it is built on.
    let mut stages: Vec<(String, Option<String>)> = Vec::new();
    let add = |images: &mut Vec<String>, image: &str| {
        if !images.iter().any(|known| known == image) {
            images.push(image.to_owned());
        }
    };
    // 1.
    for line in instructions(text) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let rest = rest.trim();
        match word.to_ascii_uppercase().as_str() {
            // 2.
            kind @ ("ARG" | "ENV") => {
                let told = if kind == "ARG" { Some(given) } else { None };
                let variables = if stages.is_empty() {
                    &mut variables
                } else {
                    &mut of_stage
                };
                set(variables, rest, told, outside)?;
            }
            // 3.
            "FROM" => {
                let rest = expand(rest, &variables, outside)?;
                let mut words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
                let image = words
                    .next()
                    .ok_or_else(|| format!("FROM without an image: \"{line}\""))?;
                let name = match (words.next(), words.next()) {
                    (Some(by), Some(name)) if by.eq_ignore_ascii_case("as") => name.to_ascii_lowercase(),
                    _ => String::new(),
                };
                let earlier = stages
                    .iter()
                    .rev()
                    .find(|(stage, _)| !stage.is_empty() && *stage == image.to_ascii_lowercase());
                let base = match earlier {
                    Some((_, base)) => base.clone(),
                    None if image == "scratch" => None,
                    None => {
                        add(&mut read.images, image);
                        Some(image.to_owned())
                    }
                };
                read.base.clone_from(&base);
                stages.push((name, base));
                of_stage.clone_from(&variables);
            }
            "COPY" | "ADD" | "RUN" => {
                for from in rest
                    .split_whitespace()
                    .take_while(|word| word.starts_with("--"))
                    .filter_map(source)
                {
                    let from = expand(from, &of_stage, outside)?;
                    let is_stage = from.parse::<usize>().is_ok_and(|number| number < stages.len())
                        || stages.iter().any(|(stage, _)| *stage == from.to_ascii_lowercase());
                    if !is_stage && from != "scratch" {
                        add(&mut read.images, &from);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(read)
}

/// Whether a `# syntax=` line names an image that reads the file.
fn names_frontend(text: &str) -> bool {
    text.lines()
        .take_while(|line| line.trim_start().starts_with('#'))
        .any(|line| {
            line.trim_start_matches(['#', ' '])
                .to_ascii_lowercase()
                .starts_with("syntax=")
        })
}

/// The fields of ARG or ENV as variables; what `given` has goes before what the file says.
fn set(
    variables: &mut BTreeMap<String, String>,
    fields: &str,
    given: Option<&BTreeMap<String, String>>,
    outside: &dyn Fn(&str) -> Option<String>,
) -> Result<(), String> {
    for field in fields.split_whitespace() {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let value = value.trim_matches(['"', '\'']);
        let value = match given.and_then(|given| given.get(name)) {
            Some(value) => Some(value.clone()),
            None if field.contains('=') => Some(expand(value, variables, outside)?),
            None => outside(name),
        };
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

/// What a flag of COPY or RUN reads from.
fn source(flag: &str) -> Option<&str> {
    if let Some(from) = flag.strip_prefix("--from=") {
        return Some(from);
    }
    flag.strip_prefix("--mount=")?
        .split(',')
        .find_map(|part| part.strip_prefix("from="))
}

/// Whole instructions, without comments and here-documents.
fn instructions(text: &str) -> Vec<String> {
    let escape = if text.lines().take_while(|line| line.starts_with('#')).any(|line| {
        line.trim_start_matches(['#', ' '])
            .to_ascii_lowercase()
            .replace(' ', "")
            == "escape=`"
    }) {
        '`'
    } else {
        '\\'
    };
    let mut whole = Vec::new();
    let mut current = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && !current.is_empty()) {
            continue;
        }
        if let Some(part) = trimmed.strip_suffix(escape) {
            current.push_str(part);
            current.push(' ');
            continue;
        }
        current.push_str(trimmed);
        for end in here_documents(&current) {
            for inner in lines.by_ref() {
                if inner.trim_start_matches('\t') == end {
                    break;
                }
            }
        }
        if !current.is_empty() {
            whole.push(std::mem::take(&mut current));
        }
    }
    if !current.is_empty() {
        whole.push(current);
    }
    whole
}

/// The words that end the here-documents that an instruction opens.
fn here_documents(line: &str) -> Vec<String> {
    let opens = ["RUN", "COPY", "ADD"].iter().any(|word| {
        line.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    });
    if !opens {
        return Vec::new();
    }
    line.match_indices("<<")
        .filter_map(|(at, _)| {
            let word: String = line
                .get(at + 2..)?
                .trim_start_matches('-')
                .trim_start_matches(['"', '\''])
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            (!word.is_empty()).then_some(word)
        })
        .collect()
}

/// `$NAME`, `${NAME}`, `${NAME:-usual}` and `${NAME:+other}`.
fn expand(
    text: &str,
    variables: &BTreeMap<String, String>,
    outside: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let value = |name: &str| variables.get(name).cloned().or_else(|| outside(name));
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, modifier, after) = if let Some(inner) = after.strip_prefix('{') {
            let (inner, after) = inner
                .split_once('}')
                .ok_or_else(|| format!("a brace is not closed in \"{text}\""))?;
            let (name, modifier) = inner
                .split_once(':')
                .map_or((inner, None), |(name, rest)| (name, Some(rest)));
            (name, modifier, after)
        } else {
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            (name, None, after)
        };
        let known = value(name).filter(|value| !value.is_empty());
        let put = match modifier.map(|modifier| modifier.split_at_checked(1)) {
            None => {
                known.ok_or_else(|| format!("nothing says what ${name} is in \"{text}\"; give --build-arg {name}=…"))?
            }
            Some(Some(("-", usual))) => known.unwrap_or_else(|| usual.to_owned()),
            Some(Some(("+", other))) => known.map(|_| other.to_owned()).unwrap_or_default(),
            Some(_) => return Err(format!("\"{text}\" has a substitution that is not known")),
        };
        expanded.push_str(&put);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(text: &str) -> Vec<String> {
        read(text, &BTreeMap::new(), &|_| None).unwrap().images
    }

    #[test]
    fn stages_arguments_and_sources() {
        let text = "# syntax=docker/dockerfile:1\n\
            ARG VERSION=3.20\n\
            ARG BASE=registry.example.com/alpine:${VERSION}\n\
            FROM --platform=linux/amd64 golang:1.22 AS Build\n\
            COPY --from=tools.example.com/lint:2 /lint /lint\n\
            RUN --mount=type=bind,from=cache.example.com/c:1,target=/c \\\n  make\n\
            FROM $BASE as run\n\
            COPY --from=build /app /app\nCOPY --from=0 /b /b\n\
            from run\n";
        let read = read(text, &BTreeMap::new(), &|_| None).unwrap();
        assert_eq!(
            read.images,
            [
                "golang:1.22",
                "tools.example.com/lint:2",
                "cache.example.com/c:1",
                "registry.example.com/alpine:3.20"
            ]
        );
        assert_eq!(read.base.as_deref(), Some("registry.example.com/alpine:3.20"));
        assert!(read.frontend);
    }

    #[test]
    fn what_is_no_image() {
        assert_eq!(images("FROM scratch\nCOPY a b\n"), [""; 0]);
        // The words of a here-document and of a comment are not instructions.
        let text = "FROM a:1\nRUN <<EOF sqlite\nFROM users\nEOF\n# FROM b:1\nRUN echo \\\n# FROM c:1\n  FROM d\n";
        assert_eq!(images(text), ["a:1"]);
    }

    #[test]
    fn what_a_stage_sets_is_not_what_the_next_is_built_on() {
        let text = "ARG BASE=unsigned:1\nFROM signed:1\nARG BASE=signed:1\nENV BASE=signed:1\n\
            COPY --from=$BASE /a /a\nFROM $BASE\nCOPY --from=$BASE /b /b\n";
        let read = read(text, &BTreeMap::new(), &|_| None).unwrap();
        assert_eq!(read.images, ["signed:1", "unsigned:1"]);
        assert_eq!(read.base.as_deref(), Some("unsigned:1"));
    }

    #[test]
    fn variables_are_known_or_an_error() {
        let text = "ARG TAG\nFROM app:${TAG}\n";
        assert!(read(text, &BTreeMap::new(), &|_| None).is_err());
        let given = BTreeMap::from([("TAG".to_owned(), "2".to_owned())]);
        assert_eq!(read(text, &given, &|_| None).unwrap().images, ["app:2"]);
        let outside = |name: &str| (name == "TAG").then(|| "3".to_owned());
        assert_eq!(read(text, &BTreeMap::new(), &outside).unwrap().images, ["app:3"]);
        assert_eq!(images("FROM app:${TAG:-latest}${X:+-x}\n"), ["app:latest"]);
        assert!(read("FROM app:${TAG?}\n", &BTreeMap::new(), &|_| None).is_err());
        assert!(read("FROM\n", &BTreeMap::new(), &|_| None).is_err());
    }
}
