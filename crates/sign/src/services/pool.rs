//! Services of one kind, each of another operator: so many of them are asked, and others stand in for those that fail.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{BoxFuture, try_join_all};
use proofmark_trust_root::Choice;
use reqwest::Url;
use thiserror::Error;

use crate::error::{Service, SignError};

/// What went wrong without being a failure yet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Warning {
    /// A service did not answer, and the signing configuration allows another in its place.
    #[error("the {service} at {url} was passed over: {reason}; asking {next}")]
    PassedOver {
        /// What it is.
        service: Service,
        /// Which did not answer.
        url: Url,
        /// Why.
        reason: String,
        /// Which is asked now.
        next: Url,
    },
}

/// Who hears of warnings.
#[derive(Clone)]
pub(crate) struct Listener(pub(crate) Arc<dyn Fn(&Warning) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// The services, and how many of them are to answer.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    kind: Service,
    urls: Vec<Url>,
    pub(crate) wanted: usize,
}

impl Pool {
    pub(crate) fn of(
        kind: Service,
        choice: &Choice<'_>,
        address: impl Fn(&proofmark_trust_root::Service) -> Url,
    ) -> Self {
        Self {
            kind,
            urls: choice.services().iter().map(|service| address(service)).collect(),
            wanted: choice.wanted().len(),
        }
    }

    /// Asks as many as are wanted, all at the same time. One that decides nothing is passed over with a warning, and
    /// the next operator is asked in its place, as long as there is one: the number is kept, and that they are all
    /// different. An answer that is wrong is not passed over.
    pub(crate) async fn gather<'f, T>(
        &self,
        at_most: usize,
        listener: &Listener,
        ask: impl Fn(Url) -> BoxFuture<'f, Result<T, SignError>>,
    ) -> Result<Vec<T>, SignError> {
        let wanted = self.wanted.min(at_most);
        // The others' operators are spare, also those that a legacy layout has no room for.
        let next = AtomicUsize::new(wanted);
        let (next, ask) = (&next, &ask);
        let one = |first: &'_ Url| {
            let mut url = first.clone();
            async move {
                loop {
                    let error = match ask(url.clone()).await {
                        Err(error) if error.may_be_passed_over() => error,
                        outcome => return outcome,
                    };
                    let Some(spare) = self.urls.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return Err(error);
                    };
                    (listener.0)(&Warning::PassedOver {
                        service: self.kind,
                        url,
                        reason: error.to_string(),
                        next: spare.clone(),
                    });
                    url = spare.clone();
                }
            }
        };
        try_join_all(self.urls.iter().take(wanted).map(one)).await
    }
}
