//! Whose advisories are fetched, from where, and how large they may be.

use proofmark_advisories::{Ecosystem, Origin};
use proofmark_types::is_loopback;
use url::Url;

use crate::failure::Failure;

/// OSV's bucket, as its documentation names it (google.github.io/osv.dev/data/#data-dumps).
const OSV: &str = "https://storage.googleapis.com/osv-vulnerabilities/";
/// The address that CISA publishes the catalogue at.
const KEV: &str = "https://www.cisa.gov/sites/default/files/feeds/";
/// The address that FIRST publishes the scores at; it redirects to the file of the day.
const EPSS: &str = "https://epss.empiricalsecurity.com/";

const KEV_FILE: &str = "known_exploited_vulnerabilities.json";
const EPSS_FILE: &str = "epss_scores-current.csv.gz";

/// The largest bulk file, npm's, has some 300 MB.
const MAX_ZIP_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// The catalogue has 1.5 MB, the scores 10 MB.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Where feeds are fetched from instead of their publishers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    /// All of them: `NAME/all.zip` for each ecosystem, and the two files by their names.
    pub(crate) mirror: Option<String>,
    pub(crate) osv: Option<String>,
    pub(crate) kev: Option<String>,
    pub(crate) epss: Option<String>,
}

/// A file that a publisher keeps up to date.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    /// What it is called: the ecosystem, or the file's name.
    pub(crate) name: String,
    /// Its name in the folder of kept files.
    pub(crate) file: String,
    pub(crate) url: Url,
    pub(crate) kind: Kind,
    pub(crate) limit: u64,
}

/// What a feed consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A zip file of records about an ecosystem.
    Records(&'static Ecosystem),
    /// CISA's catalogue.
    Exploited,
    /// EPSS scores.
    Scores,
}

impl Feed {
    /// Those of the ecosystems named, or of all that are known here; the catalogue and the scores always, since gates ask
    /// for them.
    pub(crate) fn of(names: &[String], origins: &Origins) -> Result<Vec<Self>, Failure> {
        let beneath = |own: &Option<String>, usual: &str| {
            base(own.as_ref().or(origins.mirror.as_ref()).map_or(usual, String::as_str))
        };
        let osv = beneath(&origins.osv, OSV)?;
        let mut feeds = Vec::new();
        for ecosystem in ecosystems(names)? {
            feeds.push(Self {
                name: ecosystem.name.to_owned(),
                file: format!("{}.zip", ecosystem.name),
                url: below(&osv, &[ecosystem.name, "all.zip"])?,
                kind: Kind::Records(ecosystem),
                limit: MAX_ZIP_BYTES,
            });
        }
        for (own, usual, file, kind) in [
            (&origins.kev, KEV, KEV_FILE, Kind::Exploited),
            (&origins.epss, EPSS, EPSS_FILE, Kind::Scores),
        ] {
            feeds.push(Self {
                name: file.to_owned(),
                file: file.to_owned(),
                url: below(&beneath(own, usual)?, &[file])?,
                kind,
                limit: MAX_FILE_BYTES,
            });
        }
        Ok(feeds)
    }
}

fn ecosystems(names: &[String]) -> Result<Vec<&'static Ecosystem>, Failure> {
    if names.is_empty() {
        return Ok(Ecosystem::all().iter().collect());
    }
    let mut chosen: Vec<&'static Ecosystem> = Vec::new();
    for name in names {
        if let Some(origin) = Origin::refused_for(name) {
            let message = format!("advisories of {name} may not be used here: {}", origin.licence);
            return Err(Failure::usage("ecosystem-licence", message));
        }
        let Some(ecosystem) = Ecosystem::named(name) else {
            let known: Vec<&str> = Ecosystem::all().iter().map(|ecosystem| ecosystem.name).collect();
            let message = format!("\"{name}\" is no ecosystem that is known here");
            return Err(Failure::usage("ecosystem-unknown", message).with_hint(format!("one of {}", known.join(", "))));
        };
        if !chosen.contains(&ecosystem) {
            chosen.push(ecosystem);
        }
    }
    Ok(chosen)
}

/// An address that others lie beneath.
fn base(text: &str) -> Result<Url, Failure> {
    let refused = |why: &str| {
        // Not repeated: there may be a password in it.
        Err(Failure::usage("feed-address", format!("the address of a mirror {why}"))
            .with_hint("expected https://host/path; http:// to this machine alone"))
    };
    let Ok(mut url) = Url::parse(text) else {
        return refused("is no URL");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refused("has credentials in it, which would be written down with it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refused("has a query or a fragment, which no file can lie beneath");
    }
    if !is_allowed(&url) {
        return refused("is neither https nor on this machine: what comes from it could be anybody's");
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn below(base: &Url, segments: &[&str]) -> Result<Url, Failure> {
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut path) => {
            path.pop_if_empty().extend(segments);
        }
        Err(()) => return Err(Failure::usage("feed-address", "the address of a mirror has no path")),
    }
    Ok(url)
}

/// TLS, or a connection that does not leave this machine.
pub(super) fn is_allowed(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(url),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_and_mirrors() {
        let urls = |names: &[&str], origins: &Origins| -> Vec<String> {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let feeds = Feed::of(&names, origins).unwrap();
            feeds.iter().map(|feed| feed.url.to_string()).collect()
        };
        assert_eq!(
            urls(&["Rocky Linux", "Rocky Linux"], &Origins::default()),
            [
                "https://storage.googleapis.com/osv-vulnerabilities/Rocky%20Linux/all.zip",
                "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json",
                "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz",
            ]
        );
        let origins = Origins {
            mirror: Some("https://mirror.test/osv".to_owned()),
            epss: Some("http://127.0.0.1:9/".to_owned()),
            ..Origins::default()
        };
        assert_eq!(
            urls(&["Go"], &origins),
            [
                "https://mirror.test/osv/Go/all.zip",
                "https://mirror.test/osv/known_exploited_vulnerabilities.json",
                "http://127.0.0.1:9/epss_scores-current.csv.gz",
            ]
        );
        assert_eq!(urls(&[], &Origins::default()).len(), Ecosystem::all().len() + 2);
    }

    #[test]
    fn addresses_and_names_that_are_refused() {
        for address in [
            "mirror.test",
            "http://mirror.test/",
            "ftp://mirror.test/",
            "file:///etc/",
            "https://user@mirror.test/",
            "https://:password@mirror.test/",
            "https://mirror.test/?token=1",
            "https://mirror.test/#x",
            "http://127.0.0.1.mirror.test/",
        ] {
            let origins = Origins {
                mirror: Some(address.to_owned()),
                ..Origins::default()
            };
            let failure = Feed::of(&[], &origins).unwrap_err();
            assert_eq!(failure.code, "feed-address", "{address}");
            assert!(!failure.message.contains("password@"), "{address}");
        }
        for (name, code) in [
            ("Wolfi", "ecosystem-licence"),
            ("Chainguard", "ecosystem-licence"),
            ("debian", "ecosystem-unknown"),
            ("../x", "ecosystem-unknown"),
        ] {
            let failure = Feed::of(&[name.to_owned()], &Origins::default()).unwrap_err();
            assert_eq!(failure.code, code, "{name}");
        }
    }
}
