//! What Maven puts into an archive: `pom.properties`, and `pom.xml` as far as it says things without variables.

use super::super::text::named;
use super::super::xml;
use super::super::{Draft, Need};
use super::identity::Coordinates;

/// The most dependencies of a package.
const MAX_DEPENDENCIES: usize = 10_000;

/// `groupId=…`, `artifactId=…`, `version=…`; what is missing is told by the folder, `META-INF/maven/group/artifact/`.
pub(super) fn properties(folder: &str, content: &[u8]) -> Option<Coordinates> {
    let text = String::from_utf8_lossy(content);
    let value = |wanted: &str| {
        text.lines()
            .filter_map(|line| line.trim().split_once(['=', ':']))
            .find(|(name, _)| name.trim() == wanted)
            .map(|(_, value)| value.trim().to_owned())
            .filter(|value| is_told(value))
    };
    let mut folders = folder.strip_prefix("META-INF/maven/").unwrap_or_default().split('/');
    let mut from_folder = || folders.next().filter(|name| !name.is_empty()).map(str::to_owned);
    let (group, artifact) = (from_folder(), from_folder());
    Some(Coordinates {
        group: value("groupId").or(group),
        artifact: value("artifactId").or(artifact)?,
        version: value("version"),
    })
}

/// What is said, and not left to a variable.
fn is_told(value: &str) -> bool {
    !value.is_empty() && !value.contains("${") && !value.contains('@')
}

/// A `pom.xml`.
#[derive(Default)]
pub(super) struct Pom {
    group: Option<String>,
    artifact: Option<String>,
    version: Option<String>,
    parent_group: Option<String>,
    parent_version: Option<String>,
    licences: Vec<String>,
    url: Option<String>,
    description: Option<String>,
    organisation: Option<String>,
    /// The first developer's name and address.
    developer: (Option<String>, Option<String>),
    needs: Vec<String>,
}

impl Pom {
    pub(super) fn read(text: &str) -> Self {
        let mut pom = Self::default();
        let mut dependency = Dependency::default();
        xml::texts(text, &mut |path, text| {
            let text = text.trim();
            if path == "project/dependencies/dependency" {
                pom.dependency(std::mem::take(&mut dependency));
                return;
            }
            let is_mail = path == "project/developers/developer/email";
            if !is_told(text) && path != "project/description" && !is_mail {
                return;
            }
            let text = text.to_owned();
            match path {
                "project/groupId" => pom.group = Some(text),
                "project/artifactId" => pom.artifact = Some(text),
                "project/version" => pom.version = Some(text),
                "project/parent/groupId" => pom.parent_group = Some(text),
                "project/parent/version" => pom.parent_version = Some(text),
                "project/licenses/license/name" => pom.licences.push(text),
                "project/url" => pom.url = Some(text),
                "project/description" => pom.description = Some(text).filter(|text| !text.is_empty()),
                "project/organization/name" => pom.organisation = Some(text),
                "project/developers/developer/name" => pom.developer.0 = pom.developer.0.take().or(Some(text)),
                _ if is_mail => pom.developer.1 = pom.developer.1.take().or(Some(text)),
                "project/dependencies/dependency/groupId" => dependency.group = Some(text),
                "project/dependencies/dependency/artifactId" => dependency.artifact = Some(text),
                "project/dependencies/dependency/scope" => dependency.scope = Some(text),
                "project/dependencies/dependency/optional" => dependency.optional = text == "true",
                _ => {}
            }
        });
        pom
    }

    fn dependency(&mut self, dependency: Dependency) {
        let runs_with = matches!(dependency.scope.as_deref(), None | Some("compile" | "runtime"));
        let group = match dependency.group {
            // Of the project's own group, which Maven writes as a variable.
            None => self.group.clone().or_else(|| self.parent_group.clone()),
            group => group,
        };
        if let (Some(group), Some(artifact)) = (group, dependency.artifact)
            && runs_with
            && !dependency.optional
            && self.needs.len() < MAX_DEPENDENCIES
        {
            self.needs.push(format!("{group}:{artifact}"));
        }
    }

    /// What it is of, if it says that without variables; group and version may be its parent's.
    pub(super) fn coordinates(&self) -> Option<Coordinates> {
        Some(Coordinates {
            group: Some(self.group.clone().or_else(|| self.parent_group.clone())?),
            artifact: self.artifact.clone()?,
            version: self.version.clone().or_else(|| self.parent_version.clone()),
        })
    }

    pub(super) fn is_of(&self, coordinates: &Coordinates) -> bool {
        let group = self.group.as_ref().or(self.parent_group.as_ref());
        self.artifact.as_ref() == Some(&coordinates.artifact) && group == coordinates.group.as_ref()
    }

    pub(super) fn complete(&self, draft: &mut Draft) {
        draft.licences.clone_from(&self.licences);
        draft.homepage.clone_from(&self.url);
        draft.description.clone_from(&self.description);
        let (developer, mail) = self.developer.clone();
        draft.supplier = self.organisation.clone().or_else(|| named(developer, mail));
        draft
            .needs
            .extend(self.needs.iter().map(|name| Need::AnyOf(vec![name.clone()])));
    }
}

#[derive(Default)]
struct Dependency {
    group: Option<String>,
    artifact: Option<String>,
    scope: Option<String>,
    optional: bool,
}
