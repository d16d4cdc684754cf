//! What the environment and small files of configuration say, and the rules for addresses and secrets in them.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use reqwest::Url;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::KmsError;
use crate::http::is_link_local;
use proofmark_types::is_loopback;

/// The largest file of credentials or configuration read: Google's have 3 KB, AWS configurations with many profiles 100.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Environment variables, injected; an empty one counts as absent, as in the vendors' own tools.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a> {
    environment: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

impl<'a> Settings<'a> {
    pub(super) fn new(environment: &'a (dyn Fn(&str) -> Option<String> + Sync)) -> Self {
        Self { environment }
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        self.get(name).map(Secret::new)
    }

    /// The value of the first variable that is set, and its name.
    pub(super) fn first(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names.iter().find_map(|&name| self.get(name).map(|value| (name, value)))
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    /// A path in the person's home; none where there is no home.
    pub(super) fn home(&self, path: &str) -> Option<PathBuf> {
        self.get("HOME").map(|home| Path::new(&home).join(path))
    }

    /// The address in a variable.
    pub(super) fn address(&self, name: &'static str) -> Result<Option<Url>, KmsError> {
        self.get(name)
            .map(|value| address(&value).map_err(|reason| KmsError::Setting { name, reason }))
            .transpose()
    }
}

/// A secret of some service: wiped when dropped, masked when shown.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// As a header that is not logged; `prefix` as in `Bearer `.
    pub(super) fn header(&self, prefix: &str) -> Result<HeaderValue, KmsError> {
        let text = Zeroizing::new(format!("{prefix}{}", self.expose()));
        let mut value = HeaderValue::from_str(&text).map_err(|_| KmsError::SecretUnsendable)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// An address that secrets may be sent to: https, or this machine.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let url = plain_address(text)?;
    if url.scheme() == "https" || is_loopback(&url) {
        return Ok(url);
    }
    Err(format!("expected https, or http on this machine, seen {url}"))
}

/// An address of a service that clouds put on the machine's own link: instance metadata, container credentials.
pub(super) fn local_address(text: &str) -> Result<Url, String> {
    let url = plain_address(text)?;
    if url.scheme() == "https" || is_loopback(&url) || is_link_local(&url) {
        return Ok(url);
    }
    Err(format!(
        "expected https, or http on this machine or its link (169.254.0.0/16), seen {url}"
    ))
}

/// The same for a host of the reference, which has no scheme: `https`, or `http` if it is this machine.
pub(super) fn host_address(host: &str) -> Result<Url, String> {
    let secure = plain_address(&format!("https://{host}/"))?;
    if secure.path() != "/" {
        return Err(format!("expected a host and perhaps a port, seen {host}"));
    }
    if is_loopback(&secure) {
        plain_address(&format!("http://{host}/"))
    } else {
        Ok(secure)
    }
}

fn plain_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("not an address: {error}"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err("expected an http or https address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("expected an address without user, query and fragment".to_owned());
    }
    Ok(url)
}

/// `base` with more segments, each encoded.
pub(super) fn join<'s>(base: &Url, segments: impl IntoIterator<Item = &'s str>) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// A file that a setting names.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<String>, KmsError> {
    let failed = |reason: String| KmsError::File {
        path: path.display().to_string(),
        reason,
    };
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let read = file
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(failed(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_to_https_or_this_machine_only() {
        for good in [
            "https://kms.example/",
            "http://127.0.0.1:8200",
            "http://localhost:1",
            "http://[::1]:1/x",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://kms.example/",
            "http://10.0.0.1/",
            "http://127.0.0.1.example/",
            "ftp://127.0.0.1/",
            "https://user@kms.example/",
            "https://kms.example/?a=b",
            "https://kms.example/#a",
            "kms.example",
            "",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
        assert!(address("http://169.254.169.254/").is_err());
    }

    #[test]
    fn metadata_is_asked_on_the_link_only() {
        for good in [
            "http://169.254.169.254",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1",
            "http://metadata.google.internal/",
        ] {
            assert!(local_address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://169.255.0.1/",
            "http://metadata.google.internal.example/",
            "http://[fd00:ec3::23]/",
        ] {
            assert!(local_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_no_path() {
        assert_eq!(
            host_address("localhost:4566").unwrap().as_str(),
            "http://localhost:4566/"
        );
        assert_eq!(host_address("kms.example").unwrap().as_str(), "https://kms.example/");
        assert_eq!(host_address("127.0.0.1.example").unwrap().scheme(), "https");
        for bad in ["kms.example/path", "user@kms.example", "kms.example?x", "a b", ""] {
            assert!(host_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = Secret::new("hush");
        assert!(!format!("{secret:?}").contains("hush"));
        assert!(!format!("{:?}", secret.header("Bearer ").unwrap()).contains("hush"));
        assert!(Secret::new("a\nb").header("").is_err());
    }
}
