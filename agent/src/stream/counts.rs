//! What became of the samples, for whoever looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one session, kept up to date while it lasts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    unconfirmed: AtomicU64,
    lost: AtomicU64,
}

impl Counts {
    pub(super) fn set(&self, unconfirmed: usize, lost: u64) {
        self.0.unconfirmed.store(unconfirmed as u64, Ordering::Relaxed);
        self.0.lost.store(lost, Ordering::Relaxed);
    }

    /// Samples taken that the coordinator has not confirmed yet.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.0.unconfirmed.load(Ordering::Relaxed)
    }

    /// Samples that were dropped before they could be sent.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}
