//! *Until* when: the items run out, or a stop is ordered.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::failure::NotSentReason;

/// An order to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopOrder {
    /// Why the items not sent were not sent.
    pub(crate) reason: NotSentReason,
    /// What is in flight may end until then.
    pub(crate) cut_off: Mono,
}

impl StopOrder {
    /// An order given now.
    pub(crate) fn new(reason: NotSentReason, grace: Duration, now: Mono) -> Self {
        Self { reason, cut_off: now + grace }
    }

    /// What stands after a second order: sending stopped for the first one's reason, and the sooner cut-off
    /// counts.
    pub(crate) fn joined(self, later: Self) -> Self {
        Self { cut_off: self.cut_off.min(later.cut_off), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_order_can_only_hasten_the_end() {
        let now = Mono::from_nanos(0);
        let first = StopOrder::new(NotSentReason::Interrupted, Duration::from_secs(5), now);
        let hasty = StopOrder::new(NotSentReason::WorkerLost, Duration::ZERO, now);
        assert_eq!(first.joined(hasty), StopOrder { reason: NotSentReason::Interrupted, cut_off: now });
        assert_eq!(hasty.joined(first).cut_off, now);
    }
}
