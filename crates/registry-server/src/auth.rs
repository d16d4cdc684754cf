//! Users from an htpasswd file with bcrypt hashes, asked for by Basic authentication (RFC 7617).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_types::{Digest, Hasher};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// The largest htpasswd file read: 1 MiB is over ten thousand users.
const MAX_HTPASSWD_BYTES: usize = 1024 * 1024;

/// bcrypt itself looks at 72 bytes; RFC 7617 sets no bound. Longer credentials are not hashed.
const MAX_CREDENTIAL_BYTES: usize = 1024;

/// bcrypt's cost grows as 2^n; 15 is over a second per attempt on current machines, and already self-inflicted harm.
const MAX_COST: u32 = 15;

/// At most this many bcrypt checks at once: they are meant to be slow, and must not take every core from the others.
const CONCURRENT_CHECKS: usize = 2;

/// At most this many credentials are remembered as good; clients in use at once are fewer.
const MAX_REMEMBERED: usize = 1024;

/// The users of a registry and the bcrypt hashes of their passwords.
#[derive(Clone)]
pub struct Htpasswd {
    users: HashMap<String, String>,
}

impl Htpasswd {
    /// Reads the text of an htpasswd file as `htpasswd -B` writes it: `user:$2y$…` a line, `#` comments.
    pub fn parse(text: &str) -> Result<Self, HtpasswdError> {
        if text.len() > MAX_HTPASSWD_BYTES {
            return Err(HtpasswdError::TooLarge {
                limit: MAX_HTPASSWD_BYTES,
                seen: text.len(),
            });
        }
        let mut users = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line
                .split_once(':')
                .filter(|(user, _)| !user.is_empty())
                .ok_or(HtpasswdError::Malformed { line: line_number })?;
            let parts: bcrypt::HashParts = hash
                .parse()
                .map_err(|_| HtpasswdError::NotBcrypt { line: line_number })?;
            if parts.get_cost() > MAX_COST {
                return Err(HtpasswdError::Cost {
                    line: line_number,
                    limit: MAX_COST,
                    seen: parts.get_cost(),
                });
            }
            if users.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(HtpasswdError::Twice { line: line_number });
            }
        }
        if users.is_empty() {
            return Err(HtpasswdError::Empty);
        }
        Ok(Self { users })
    }

    /// One user with a password in the clear, hashed here: for tests, demonstrations and first steps.
    pub fn single(user: &str, password: &str) -> Result<Self, HtpasswdError> {
        let hash = bcrypt::hash(password, bcrypt::DEFAULT_COST).map_err(|_| HtpasswdError::NotBcrypt { line: 1 })?;
        Self::parse(&format!("{user}:{hash}"))
    }

    fn check(&self, user: &str, password: &str) -> bool {
        // An unknown user costs as much time as a wrong password, so that the time says nothing about who exists.
        let known = self.users.get(user);
        let Some(hash) = known.or_else(|| self.users.values().next()) else {
            return false;
        };
        bcrypt::verify(password, hash).unwrap_or(false) && known.is_some()
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd")
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

/// Why a text is not an htpasswd file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HtpasswdError {
    /// Larger than any list of users.
    #[error("the file is {seen} bytes, expected at most {limit}")]
    TooLarge {
        /// The bound.
        limit: usize,
        /// The size seen.
        seen: usize,
    },
    /// A line without a user or a colon.
    #[error("line {line} is not user:hash")]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// A hash of another kind (MD5, SHA-1, crypt), which htpasswd writes without `-B`.
    #[error("line {line} is not a bcrypt hash; make it with htpasswd -B")]
    NotBcrypt {
        /// Counted from 1.
        line: usize,
    },
    /// A hash so costly that logging in would stop the server.
    #[error("line {line} has bcrypt cost {seen}, expected at most {limit}")]
    Cost {
        /// Counted from 1.
        line: usize,
        /// The bound.
        limit: u32,
        /// The cost seen.
        seen: u32,
    },
    /// The same user on two lines: which password holds would be a guess.
    #[error("line {line} names a user for the second time")]
    Twice {
        /// Counted from 1.
        line: usize,
    },
    /// Nobody could log in.
    #[error("the file names no user")]
    Empty,
}

/// Checks requests against the users, and remembers good credentials: clients send them with every request.
pub(crate) struct Gate {
    users: Arc<Htpasswd>,
    key: [u8; 32],
    remembered: Mutex<HashSet<Digest>>,
    checks: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new(users: Htpasswd) -> Result<Self, ApiError> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|error| ApiError::internal("drawing a key", &error))?;
        Ok(Self {
            users: Arc::new(users),
            key,
            remembered: Mutex::default(),
            checks: Arc::new(Semaphore::new(CONCURRENT_CHECKS)),
        })
    }

    /// Lets a request with good credentials pass.
    pub(crate) async fn admit(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let (user, password) = credentials(headers).ok_or_else(ApiError::unauthorized)?;
        let token = self.token(&user, &password);
        if self.lock().contains(&token) {
            return Ok(());
        }
        let permit = Arc::clone(&self.checks).acquire_owned();
        let permit = permit.await.map_err(|_| ApiError::unauthorized())?;
        let users = Arc::clone(&self.users);
        // The permit goes with the check, which goes on when the client does not wait for it: clients that hang up at once
        // would otherwise have as many checks at once as they like.
        let check = move || {
            let _permit = permit;
            users.check(&user, &password)
        };
        let good = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        if !good {
            return Err(ApiError::unauthorized());
        }
        let mut remembered = self.lock();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(token);
        Ok(())
    }

    /// What is remembered of credentials: a hash under a key of this process, never the password.
    fn token(&self, user: &str, password: &str) -> Digest {
        let mut hasher = Hasher::sha256();
        hasher.update(&self.key);
        // The length keeps "ab" + "c" and "a" + "bc" apart.
        hasher.update(&user.len().to_be_bytes());
        hasher.update(user.as_bytes());
        hasher.update(password.as_bytes());
        hasher.finish()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_CREDENTIAL_BYTES {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(user: &str, password: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_passes() {
        let hash = bcrypt::hash("s3cret:with colon", 4).unwrap();
        let gate = Gate::new(Htpasswd::parse(&format!("# people\n\nalice:{hash}\n")).unwrap()).unwrap();
        for _ in 0..2 {
            assert!(gate.admit(&header("alice", "s3cret:with colon")).await.is_ok());
            assert!(gate.admit(&header("alice", "s3cret")).await.is_err());
            assert!(gate.admit(&header("alice", "")).await.is_err());
            assert!(gate.admit(&header("bob", "s3cret:with colon")).await.is_err());
            assert!(gate.admit(&HeaderMap::new()).await.is_err());
        }
        let mut bearer = HeaderMap::new();
        bearer.insert(AUTHORIZATION, "Bearer abc".parse().unwrap());
        assert!(gate.admit(&bearer).await.is_err());
        bearer.insert(AUTHORIZATION, "Basic !!!".parse().unwrap());
        assert!(gate.admit(&bearer).await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_frees_no_place_for_another_check() {
        // A check of a second or so.
        let hash = bcrypt::hash("s3cret", 4).unwrap().replace("$04$", "$14$");
        let gate = Gate::new(Htpasswd::parse(&format!("alice:{hash}")).unwrap()).unwrap();
        for left in (0..CONCURRENT_CHECKS).rev() {
            let headers = header("alice", "guess");
            let asked = tokio::time::timeout(std::time::Duration::ZERO, gate.admit(&headers)).await;
            assert!(asked.is_err(), "the check takes longer");
            assert_eq!(gate.checks.available_permits(), left);
        }
    }

    #[test]
    fn each_malformed_file_has_its_reason() {
        let hash = bcrypt::hash("x", 4).unwrap();
        let reason = |text: &str| Htpasswd::parse(text).unwrap_err();
        assert_eq!(reason("# nobody\n"), HtpasswdError::Empty);
        assert_eq!(reason("alice"), HtpasswdError::Malformed { line: 1 });
        assert_eq!(reason(&format!(":{hash}")), HtpasswdError::Malformed { line: 1 });
        assert_eq!(reason("\nalice:$apr1$x$y"), HtpasswdError::NotBcrypt { line: 2 });
        assert_eq!(reason("alice:secret"), HtpasswdError::NotBcrypt { line: 1 });
        assert_eq!(reason(&format!("a:{hash}\na:{hash}")), HtpasswdError::Twice { line: 2 });
        let costly = hash.replace("$04$", "$31$");
        assert!(matches!(
            reason(&format!("a:{costly}")),
            HtpasswdError::Cost { seen: 31, .. }
        ));
    }

    #[test]
    fn no_password_hash_is_shown() {
        let users = Htpasswd::parse(&format!("alice:{}", bcrypt::hash("x", 4).unwrap())).unwrap();
        assert_eq!(format!("{users:?}"), "Htpasswd { users: 1, .. }");
    }
}
