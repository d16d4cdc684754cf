//! Access tokens of Google's services, renewed when they end.

use proofmark_types::UnixTime;
use tokio::sync::Mutex;

use super::source::Source;
use crate::kms::settings::Secret;
use crate::kms::wire::Wire;
use crate::kms::{KmsError, now};

/// Tokens are renewed this long before they end, as Google's own libraries do.
const EARLY: std::time::Duration = std::time::Duration::from_secs(225);

/// A token and its end.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: Secret,
    pub(super) ends: UnixTime,
}

/// Tokens of one source.
#[derive(Debug)]
pub(super) struct Tokens {
    source: Source,
    held: Mutex<Option<Token>>,
}

impl Tokens {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            held: Mutex::new(None),
        }
    }

    /// The project that is charged for requests of people's own accounts.
    pub(super) fn quota_project(&self) -> Option<&str> {
        self.source.quota_project.as_deref()
    }

    /// A token that is valid for a while.
    pub(super) async fn get(&self, wire: &Wire) -> Result<Secret, KmsError> {
        let mut held = self.held.lock().await;
        if let Some(token) = held.as_ref()
            && token.ends > now().plus(EARLY)
        {
            return Ok(token.text.clone());
        }
        let fresh = self.source.fetch(wire).await?;
        let text = fresh.text.clone();
        *held = Some(fresh);
        Ok(text)
    }
}
