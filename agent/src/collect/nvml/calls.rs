//! What the calls into NVML cost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::latency::Latency;

/// How long each call took, by its name.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<BTreeMap<&'static str, Latency>>);

impl Calls {
    /// Makes a call and notes how long it took.
    pub(super) fn time<T>(&self, name: &'static str, call: impl FnOnce() -> T) -> T {
        let begun = Clock::now();
        let answer = call();
        let took = Clock::now().since(begun);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().record(took.into());
        answer
    }

    /// All so far.
    pub(super) fn all(&self) -> BTreeMap<&'static str, Latency> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
