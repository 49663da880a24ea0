//! What the calls into NVML cost.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::units::Micros;

/// How long each call took.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    by_name: BTreeMap<&'static str, Latency>,
    all: Latency,
}

impl Calls {
    /// Makes a call and notes how long it took.
    pub(super) fn time<T>(&self, name: &'static str, call: impl FnOnce() -> T) -> T {
        let begun = Clock::now();
        let answer = call();
        let took = Micros::from_duration(Clock::now().since(begun));
        let mut taken = self.taken();
        taken.by_name.entry(name).or_default().record(took);
        taken.all.record(took);
        answer
    }

    /// All so far, by name.
    pub(super) fn by_name(&self) -> BTreeMap<&'static str, Latency> {
        self.taken().by_name.clone()
    }

    /// What the share `q` of all calls did not exceed.
    pub(super) fn quantile(&self, q: f64) -> Option<Micros> {
        self.taken().all.quantile(q)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
