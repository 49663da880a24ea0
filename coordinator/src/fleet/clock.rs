//! A peer's clock against ours, from repeated pings.
//!
//! ```text
//! exchanges -> bound: one-sided, true at its instant, looser with distance
//!           -> segment: all bounds between two steps of the clock
//!           -> history: the same, prepared to place many samples
//! ```
//!
//! One exchange bounds the offset from above by the way out and from below by the way back, however unequal the two are.
//! Away from its instant a bound loosens by [`drift`]. Every bound holds, so at any instant the lowest upper and the
//! highest lower one hold together: estimates from before and after count, and a quick way out in one exchange joins a
//! quick way back in another.
//!
//! Bounds that exclude each other prove that one of the two clocks stepped, or stood still, in between. What is known
//! is then split there; in between, both offsets count. A step that is smaller than the error at that time cannot be
//! seen, and neither can one that is undone before the next ping.

mod bound;
mod history;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::message::ClockPong;

use crate::aggregate::PeerClock;
use segment::{Exchange, Segment, Segments};

pub use history::ClockHistory;

/// How far two machines' monotonic clocks may drift apart, one part in so many: 100 ppm is the worst that quartz clocks
/// are sold with.
const DRIFT_ONE_IN: i64 = 10_000;
/// Pings sent when a peer joins, to have one with little queueing among them.
const BURST: u64 = 8;
/// Time between the pings of the burst.
const BURST_PERIOD: Duration = Duration::from_millis(20);
/// Time between pings afterwards.
const PERIOD: Duration = Duration::from_secs(1);
/// Pings that may be unanswered; older ones are forgotten. A minute's worth: after a break the late answers still count.
const PENDING: usize = 64;

/// What an offset may change by in this time, in nanoseconds, rounded up.
fn drift(ns: i64) -> i64 {
    ns.saturating_abs().saturating_add(DRIFT_ONE_IN - 1) / DRIFT_ONE_IN
}

/// A clock was seen to have stepped against the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// By how much the peer's clock went forward against ours, in nanoseconds.
    pub by_ns: i64,
    /// The step lies between these two instants of our clock.
    pub between: (Mono, Mono),
}

/// Sends pings when they are due and keeps what is known of a peer's clock, for the whole run.
#[derive(Clone, Debug, Default)]
pub struct ClockTracker {
    sent: u64,
    burst: u64,
    due: Option<Mono>,
    pending: VecDeque<(u64, Mono)>,
    exchanges: u64,
    steps: u64,
    known: Segments,
}

impl ClockTracker {
    /// The id of a ping to send now, if one is due.
    pub fn ping(&mut self, now: Mono) -> Option<u64> {
        if self.due.is_some_and(|due| now < due) {
            return None;
        }
        let id = self.sent;
        self.sent += 1;
        self.burst += 1;
        self.due = Some(now + if self.burst < BURST { BURST_PERIOD } else { PERIOD });
        if self.pending.len() == PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back((id, now));
        Some(id)
    }

    /// When the next ping is due; `None`: at once.
    pub fn due(&self) -> Option<Mono> {
        self.due
    }

    /// Takes an answer that arrived at `returned`, and tells when it proves that a clock stepped. Answers to unknown
    /// pings and impossible ones are ignored.
    pub fn pong(&mut self, pong: ClockPong, returned: Mono) -> Option<ClockStep> {
        let place = self.pending.iter().position(|(id, _)| *id == pong.id)?;
        let (_, sent) = self.pending.remove(place)?;
        let estimate = ClockOffset::from_exchange(sent, pong.received, pong.sent, returned)?;
        self.exchanges += 1;
        let step = self.known.add(Exchange::new(sent, returned, estimate));
        self.steps += u64::from(step.is_some());
        step
    }

    /// The peer's clock against ours at any instant of ours, by all that is known. `None` before the first answer.
    pub fn offset_at(&self, at: Mono) -> Option<ClockOffset> {
        let (least, most) = self.known.possible(at).map(|s: &Segment| s.between(at)).reduce(hull)?;
        Some(offset(least, most))
    }

    /// Another stream to the same peer: forgets pings that are not answered and begins with a burst. What is known
    /// stays.
    pub fn renew(&mut self) {
        self.pending.clear();
        (self.burst, self.due) = (0, None);
    }

    /// The estimate to place an instant of the peer's with: the best at that time, which is perhaps long before `now`.
    pub fn offset_for(&self, taken: Mono, now: Mono) -> Option<ClockOffset> {
        let when = self.offset_at(now)?.to_local(taken).min(now);
        self.offset_at(when)
    }

    /// Whether the first burst has been answered, so that the estimate is as good as it gets at once.
    pub fn settled(&self) -> bool {
        self.exchanges >= BURST
    }

    /// What is known, to place samples by.
    pub fn history(&self) -> ClockHistory {
        ClockHistory::new(&self.known)
    }

    /// The clock over the whole run, with its offset at `at`. `None` before the first answer.
    pub fn summary(&self, at: Mono) -> Option<PeerClock> {
        let offset = self.offset_at(at)?;
        let (least_error_ns, most_error_ns) = self.history().errors()?;
        Some(PeerClock {
            offset,
            least_error_ns: least_error_ns.min(offset.error_ns),
            most_error_ns: most_error_ns.max(offset.error_ns),
            exchanges: self.exchanges,
            steps: self.steps,
        })
    }
}

/// The least that holds both.
fn hull((a, b): (i64, i64), (c, d): (i64, i64)) -> (i64, i64) {
    (a.min(c), b.max(d))
}

/// The middle between the least and the most, and how wrong that may be.
fn offset(least: i64, most: i64) -> ClockOffset {
    let (least, most) = (i128::from(least.min(most)), i128::from(least.max(most)));
    let offset = i64::try_from(least.midpoint(most)).unwrap_or_default();
    let error = (most - i128::from(offset)).max(i128::from(offset) - least);
    ClockOffset { offset_ns: offset, error_ns: u64::try_from(error).unwrap_or(u64::MAX) }
}
