//! Registries that said "later": until then nobody asks them, whichever request was told so.
//!
//! Without this every request under way would be told by itself, and each telling counts against the limit that it is
//! about (kyverno#9505: a registry that throttles is asked more, not less).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use proofmark_types::RegistryHost;

use crate::jitter;

/// Hosts remembered; past this those whose time is over are forgotten, and then no more are added.
const MAX_HOSTS: usize = 1024;

/// How far those who waited for the same moment are spread, at most.
const SPREAD: Duration = Duration::from_millis(250);

/// Until when each registry is left alone.
#[derive(Debug, Default)]
pub(crate) struct Brakes(Mutex<HashMap<RegistryHost, Instant>>);

impl Brakes {
    /// Leaves the registry alone for `wait`.
    pub(super) fn pull(&self, registry: &RegistryHost, wait: Duration) {
        let now = Instant::now();
        let Some(until) = now.checked_add(wait) else { return };
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, until| *until > now);
        }
        if hosts.len() < MAX_HOSTS || hosts.contains_key(registry) {
            let entry = hosts.entry(registry.clone()).or_insert(until);
            *entry = until.max(*entry);
        }
    }

    /// How long the registry is to be left alone from now on; a little more, so that not all come back at once.
    pub(super) fn wait(&self, registry: &RegistryHost) -> Option<Duration> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = hosts.get(registry)?.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then(|| left + jitter::up_to(SPREAD.min(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> RegistryHost {
        RegistryHost::parse(name).unwrap()
    }

    #[test]
    fn one_registry_is_left_alone_and_no_other() {
        let brakes = Brakes::default();
        assert_eq!(brakes.wait(&host("a.test")), None);
        brakes.pull(&host("a.test"), Duration::from_secs(60));
        // A shorter wait does not undo a longer one.
        brakes.pull(&host("a.test"), Duration::from_secs(1));
        let wait = brakes.wait(&host("a.test")).unwrap();
        assert!(
            wait > Duration::from_secs(59) && wait <= Duration::from_secs(60) + SPREAD,
            "{wait:?}"
        );
        assert_eq!(brakes.wait(&host("b.test")), None);
        brakes.pull(&host("b.test"), Duration::ZERO);
        assert_eq!(brakes.wait(&host("b.test")), None);
    }

    #[test]
    fn hosts_are_bounded() {
        let brakes = Brakes::default();
        for number in 0..2 * MAX_HOSTS {
            brakes.pull(&host(&format!("h{number}.test")), Duration::from_secs(60));
        }
        assert_eq!(brakes.0.lock().unwrap().len(), MAX_HOSTS);
    }
}
