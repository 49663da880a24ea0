//! What was sent and not acknowledged yet.

use std::collections::VecDeque;

use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::message::Acked;
use fluxfleet_proto::wire::WorkerUp;

/// Messages kept at most. A coordinator that is further behind than this has other troubles.
const ROOM: usize = 256;

/// Intervals and records in the order of sending, as they went out (their domain form is far larger), kept for
/// a stream that takes up where another broke off.
#[derive(Debug, Default)]
pub(super) struct Ledger(VecDeque<(TrialId, Acked, WorkerUp)>);

impl Ledger {
    /// An interval or a records message goes out. Beyond the room, the oldest are given up.
    pub(super) fn sent(&mut self, trial: TrialId, number: Acked, message: WorkerUp) {
        if self.0.len() == ROOM {
            self.0.pop_front();
        }
        self.0.push_back((trial, number, message));
    }

    /// The coordinator has merged a message.
    pub(super) fn acknowledged(&mut self, trial: TrialId, number: Acked) {
        if let Some(at) = self.0.iter().position(|(t, n, _)| (*t, *n) == (trial, number)) {
            self.0.remove(at);
        }
    }

    /// Messages not acknowledged.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: TrialId = TrialId(1);

    #[test]
    fn an_acknowledgement_clears_the_message_it_names_and_no_other() {
        let mut ledger = Ledger::default();
        let sent =
            [Acked::Records(0), Acked::Records(1), Acked::Interval(0), Acked::Records(2), Acked::Interval(1)];
        for number in sent {
            ledger.sent(TRIAL, number, WorkerUp::default());
        }
        ledger.acknowledged(TrialId(0), Acked::Interval(0));
        ledger.acknowledged(TRIAL, Acked::Interval(2));
        assert_eq!(ledger.len(), 5);
        for number in sent.into_iter().rev() {
            ledger.acknowledged(TRIAL, number);
        }
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn a_coordinator_that_never_acknowledges_costs_bounded_memory() {
        let mut ledger = Ledger::default();
        for seq in 0..ROOM as u64 + 5 {
            ledger.sent(TRIAL, Acked::Interval(seq), WorkerUp::default());
        }
        assert_eq!(ledger.len(), ROOM);
    }
}
