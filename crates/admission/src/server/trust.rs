//! The kept trust root is refreshed here, by itself: no request waits for it, and one that fails changes nothing.

use std::sync::Arc;

use proofmark_trust_root::Place;
use proofmark_trust_root::tuf::{Expiry, Repository};

use super::Shared;
use crate::basis::with_causes;
use crate::config::Limits;

/// Looks from time to time whether the copy is due. One at a time among all processes that share the place, and after a
/// failure with the pause that the place keeps. What it brings is taken up by the next look at the disk.
pub(super) async fn keep_fresh(shared: Arc<Shared>, place: Place, repository: Repository, limits: Limits) {
    loop {
        attempt(&shared, &place, &repository, limits).await;
        tokio::time::sleep(limits.trust_refresh).await;
    }
}

async fn attempt(shared: &Shared, place: &Place, repository: &Repository, limits: Limits) {
    let now = (shared.clock)();
    if !place.is_due(now) {
        return;
    }
    let failed = |code: &str, error: String| {
        shared.admission.metrics.trust_refresh("failed");
        tracing::warn!(
            code, %error, mirror = place.mirror(),
            "the trust root could not be refreshed; the one of before stays in force"
        );
        shared.set_trust_failure(Some(error));
    };
    let held = match place.lock() {
        Ok(Some(held)) => held,
        // Another process is at it.
        Ok(None) => return,
        Err(error) => return failed(error.code(), with_causes(&error)),
    };
    if !place.is_due(now) {
        return;
    }
    let work = place.refresh(repository, now, Expiry::Enforced);
    match tokio::time::timeout(limits.trust_patience, work).await {
        Ok(Ok(state)) => {
            shared.admission.metrics.trust_refresh("refreshed");
            shared.set_trust_failure(None);
            tracing::info!(
                mirror = place.mirror(),
                targets = state.targets_version,
                "the trust root was refreshed"
            );
        }
        Ok(Err(error)) => failed(error.code(), with_causes(&error)),
        Err(_) => failed(
            "trust-refresh-timeout",
            format!("{} did not answer within {:?}", place.mirror(), limits.trust_patience),
        ),
    }
    drop(held);
}
