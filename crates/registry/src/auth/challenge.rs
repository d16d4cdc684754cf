//! `WWW-Authenticate` (RFC 9110 §11.6.1; the `Bearer` parameters are those of the distribution token specification).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

use crate::limits::MAX_CHALLENGE_BYTES;

/// Challenges of one answer that are looked at; registries send one, some proxies two.
const MAX_CHALLENGES: usize = 8;

/// How a registry wants us to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The best challenge of an answer: a bearer token is narrower than a password, so it goes first.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut basic = None;
        for value in headers.get_all(WWW_AUTHENTICATE).iter().take(MAX_CHALLENGES) {
            let Ok(text) = value.to_str() else { continue };
            if text.len() > MAX_CHALLENGE_BYTES {
                continue;
            }
            for (scheme, parameters) in parse(text) {
                if scheme.eq_ignore_ascii_case("bearer") {
                    let get = |name: &str| {
                        let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
                    };
                    if let Some(realm) = get("realm") {
                        return Some(Self::Bearer {
                            realm,
                            service: get("service"),
                            scope: get("scope"),
                        });
                    }
                } else if scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

type Parameters = Vec<(String, String)>;

/// Splits a header value into schemes with their parameters; stops at what is not of the grammar.
fn parse(text: &str) -> Vec<(String, Parameters)> {
    let mut challenges: Vec<(String, Parameters)> = Vec::new();
    let mut rest = text;
    while challenges.len() <= MAX_CHALLENGES {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        match after.trim_start().strip_prefix('=') {
            // `word = value`: a parameter of the scheme before it.
            Some(value) if !challenges.is_empty() => {
                let Some((value, after)) = parameter_value(value.trim_start()) else {
                    break;
                };
                if let Some((_, parameters)) = challenges.last_mut() {
                    parameters.push((word.to_owned(), value));
                }
                rest = after;
            }
            _ => {
                challenges.push((word.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
    challenges
}

fn token(text: &str) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|b| !(b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b)))
        .unwrap_or(text.len());
    text.split_at(end)
}

fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..).unwrap_or(""))),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenge::from_headers(&headers)
    }

    #[test]
    fn reads_what_registries_send() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/nginx:pull\"";
        assert_eq!(
            of(&[hub]),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".to_owned(),
                service: Some("registry.docker.io".to_owned()),
                scope: Some("repository:library/nginx:pull".to_owned()),
            })
        );
        assert_eq!(of(&["Basic realm=\"Registry Realm\""]), Some(Challenge::Basic));
        assert_eq!(of(&["basic"]), Some(Challenge::Basic));
        let both = of(&["Basic realm=\"x\", BEARER Realm = \"https://a/t\" , service=s"]);
        assert!(matches!(both, Some(Challenge::Bearer { service: Some(s), .. }) if s == "s"));
        let two = of(&["Basic realm=x", "Bearer realm=\"https://a/\\\"t\""]);
        assert!(matches!(two, Some(Challenge::Bearer { realm, .. }) if realm == "https://a/\"t"));
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for text in [
            "",
            "Negotiate",
            "Bearer",
            "Bearer realm=",
            "Bearer realm=\"open",
            "=,=,=",
            "Bearer service=\"x\"",
        ] {
            assert_eq!(of(&[text]), None, "{text}");
        }
        assert_eq!(of(&[&format!("Basic realm=\"{}\"", "x".repeat(5000))]), None);
        assert_eq!(of(&[&"a,".repeat(2000)]), None);
    }
}
