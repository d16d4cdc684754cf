//! `~/.aws/config` and `~/.aws/credentials` (AWS SDKs and Tools Reference Guide, "Shared config and credentials files").

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::kms::KmsError;
use crate::kms::settings::{Secret, Settings, read_file};

/// Profiles that are read; people with an organisation's accounts have hundreds.
const MAX_PROFILES: usize = 10_000;

/// The settings of all profiles. Values may be secrets.
#[derive(Default)]
pub(super) struct Profiles {
    sections: BTreeMap<String, BTreeMap<String, Secret>>,
}

impl Profiles {
    /// Reads both files; what is absent is empty, and in doubt the credentials file says it.
    pub(super) fn read(settings: &Settings<'_>) -> Result<Self, KmsError> {
        let mut profiles = Self::default();
        for (variable, usual, prefixed) in [
            ("AWS_CONFIG_FILE", ".aws/config", true),
            ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", false),
        ] {
            let Some(path) = settings
                .get(variable)
                .map(PathBuf::from)
                .or_else(|| settings.home(usual))
            else {
                continue;
            };
            if path.is_file() {
                profiles.add(&read_file(&path)?, prefixed);
            }
        }
        Ok(profiles)
    }

    /// The value of a setting in a profile.
    pub(super) fn get(&self, profile: &str, name: &str) -> Option<&Secret> {
        self.sections.get(profile)?.get(name)
    }

    pub(super) fn text(&self, profile: &str, name: &str) -> Option<String> {
        self.get(profile, name).map(|value| value.expose().to_owned())
    }

    pub(super) fn has(&self, profile: &str) -> bool {
        self.sections.contains_key(profile)
    }

    /// `prefixed`: the sections are `[profile NAME]`, but `[default]`, as in the configuration file.
    fn add(&mut self, text: &str, prefixed: bool) {
        let mut section: Option<String> = None;
        for line in text.lines() {
            // An indented line belongs to the setting above it (`s3 =`), which is none of ours.
            if line.starts_with([' ', '\t', '#', ';']) || line.trim().is_empty() {
                continue;
            }
            if let Some(header) = line.strip_prefix('[') {
                section = header
                    .split_once(']')
                    .and_then(|(name, _)| named(name.trim(), prefixed));
                if let Some(name) = &section
                    && self.sections.len() < MAX_PROFILES
                {
                    self.sections.entry(name.clone()).or_default();
                }
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            if let Some(settings) = section.as_ref().and_then(|section| self.sections.get_mut(section)) {
                // A comment after a value begins with a space.
                let value = value.split(" #").next().unwrap_or_default();
                let value = value.split(" ;").next().unwrap_or_default().trim();
                settings.insert(name.trim().to_ascii_lowercase(), Secret::new(value));
            }
        }
    }
}

fn named(header: &str, prefixed: bool) -> Option<String> {
    if !prefixed || header == "default" {
        return Some(header.to_owned());
    }
    let name = header.strip_prefix("profile")?;
    name.starts_with([' ', '\t']).then(|| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_one_and_credentials_win() {
        let mut profiles = Profiles::default();
        profiles.add(
            "[default]\nregion = eu-west-1\naws_access_key_id = old\n[profile ci]\nregion=us-east-2 # here\n\
             s3 =\n  region = nested\n[sso-session x]\nsso_region = eu-north-1\n[profiles]\nregion = no\n",
            true,
        );
        profiles.add(
            "# mine\n[default]\naws_access_key_id = new\naws_secret_access_key = a=b\n[ci]\nAWS_ACCESS_KEY_ID = AKIA\n",
            false,
        );
        let text = |profile, name| profiles.text(profile, name).unwrap();
        assert_eq!(text("default", "region"), "eu-west-1");
        assert_eq!(text("default", "aws_access_key_id"), "new");
        assert_eq!(text("default", "aws_secret_access_key"), "a=b");
        assert_eq!(text("ci", "region"), "us-east-2");
        assert_eq!(text("ci", "aws_access_key_id"), "AKIA");
        assert!(!profiles.has("x") && !profiles.has("s") && !profiles.has("profiles"));
    }
}
