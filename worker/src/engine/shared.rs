//! What the threads of a trial share.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::load::Limits;
use fluxfleet_proto::tally::{Phase, Record, Tally};
use fluxfleet_proto::trial::Share;
use tokio::sync::watch;

use super::gate::Gate;
use crate::claim::Claims;
use crate::record::Tallies;
use crate::stop::StopOrder;

/// How a trial is commanded.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) gate: Gate,
    pub(super) claims: Claims,
    order: watch::Sender<Option<StopOrder>>,
    /// By phase: an empty tally with the memory of an earlier interval.
    spares: Mutex<[Option<Tally>; 2]>,
}

impl Control {
    pub(super) fn new(share: Share, limits: Limits, gate: Gate) -> Self {
        Self {
            gate,
            claims: Claims::new(share, limits),
            order: watch::Sender::new(None),
            spares: Mutex::default(),
        }
    }

    /// Keeps the memory of an interval of this phase for a later one.
    pub(super) fn give_back(&self, phase: Phase, mut tally: Tally) {
        tally.clear();
        self.spares()[usize::from(phase == Phase::Measure)] = Some(tally);
    }

    /// An empty tally for an interval of this phase, with the memory of an earlier one if that was given back.
    pub(super) fn spare(&self, phase: Phase) -> Tally {
        self.spares()[usize::from(phase == Phase::Measure)].take().unwrap_or_default()
    }

    fn spares(&self) -> MutexGuard<'_, [Option<Tally>; 2]> {
        // Whole at any time, whoever has panicked.
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self, reason: NotSentReason, grace: Duration, now: Mono) {
        // The order first: whoever finds the claims closed or the gate stopped also finds the reason.
        let order = StopOrder::new(reason, grace, now);
        self.order.send_modify(|known| *known = Some(known.map_or(order, |known| known.joined(order))));
        self.claims.close();
        self.gate.stop();
    }

    /// The stop order, if there is one.
    pub(super) fn order(&self) -> Option<StopOrder> {
        *self.order.borrow()
    }

    /// Follows the stop order.
    pub(super) fn orders(&self) -> watch::Receiver<Option<StopOrder>> {
        self.order.subscribe()
    }
}

/// What a load thread hands to the collector.
#[derive(Debug)]
pub(super) enum Part {
    /// The thread is at the barrier.
    Ready,
    /// The thread cannot run.
    Unable(String),
    /// The thread was released at the barrier, having used so much processor time before.
    Started(usize, Mono, Duration),
    /// Enough records for a message.
    Records(Vec<Record>),
    /// What this thread was asked for at an interval's end.
    Flushed(usize, Box<Flushed>),
    /// This thread has ended.
    Finished(usize, Box<Finished>),
    /// The thread has panicked.
    Died,
}

/// What a thread recorded since it was last asked.
#[derive(Debug)]
pub(super) struct Flushed {
    pub(super) tallies: Tallies,
    pub(super) records: Vec<Record>,
    pub(super) in_flight: u64,
    pub(super) socket_errors: u64,
    /// Of the thread, since it began.
    pub(super) processor_time: Duration,
    pub(super) at: Mono,
}

/// A thread's last word.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) last: Flushed,
    /// First send and last end.
    pub(super) active: Option<(Mono, Mono)>,
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::units::Micros;

    use super::*;

    fn has_memory(tally: &Tally) -> bool {
        tally.service_time.histogram().has_memory()
    }

    #[test]
    fn each_phase_has_its_last_memory_again_and_nothing_that_was_in_it() {
        let control =
            Control::new(Share { first_item: 0, items: 1, in_flight: 1 }, Limits::default(), Gate::default());
        let mut used = Tally { requests_sent: 1, ..Tally::default() };
        used.service_time.record(Micros(7));
        assert!(has_memory(&used));
        for _ in 0..3 {
            // What the other phase gives back, which has none, takes no place from it.
            control.give_back(Phase::Measure, used.clone());
            control.give_back(Phase::Warmup, Tally::default());
            let spare = control.spare(Phase::Measure);
            assert!(has_memory(&spare));
            assert_eq!(spare, Tally::default());
            assert!(!has_memory(&control.spare(Phase::Warmup)));
        }
        assert!(!has_memory(&control.spare(Phase::Measure)), "nobody has it twice");
    }
}
