//! A peer's clock against ours, from repeated pings.

use std::collections::VecDeque;
use std::time::Duration;

use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::message::ClockPong;

/// How far two machines' monotonic clocks may drift apart: 100 ppm is the worst that quartz clocks are sold
/// with. An old estimate loses this much certainty a second.
const DRIFT_NS_PER_MS: u64 = 100;
/// Pings sent when a peer joins, to have one with little queueing among them.
const BURST: u64 = 8;
/// Time between the pings of the burst.
const BURST_PERIOD: Duration = Duration::from_millis(20);
/// Time between pings afterwards.
const PERIOD: Duration = Duration::from_secs(1);
/// Estimates kept. The best of them by error and age is used.
const KEPT: usize = 64;
/// Pings that may be unanswered; older ones are forgotten.
const PENDING: usize = 64;

/// Sends pings when they are due and keeps the best estimate.
#[derive(Clone, Debug, Default)]
pub struct ClockTracker {
    sent: u64,
    burst: u64,
    due: Option<Mono>,
    pending: VecDeque<(u64, Mono)>,
    estimates: VecDeque<(Mono, ClockOffset)>,
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

    /// Takes an answer that arrived at `returned`. Answers to unknown pings and impossible ones are ignored.
    pub fn pong(&mut self, pong: ClockPong, returned: Mono) {
        let Some(place) = self.pending.iter().position(|(id, _)| *id == pong.id) else { return };
        let Some((_, sent)) = self.pending.remove(place) else { return };
        if let Some(estimate) = ClockOffset::from_exchange(sent, pong.received, pong.sent, returned) {
            if self.estimates.len() == KEPT {
                self.estimates.pop_front();
            }
            self.estimates.push_back((returned, estimate));
        }
    }

    /// Another stream to the same peer: forgets pings that are not answered and begins with a burst. Estimates stay,
    /// with the error of their age.
    pub fn renew(&mut self) {
        self.pending.clear();
        (self.burst, self.due) = (0, None);
    }

    /// The estimate with the smallest error at `when`, its distance from then counted in. `None` before the first
    /// answer.
    pub fn offset(&self, when: Mono) -> Option<ClockOffset> {
        let aged = |&(at, estimate): &(Mono, ClockOffset)| {
            let age_ms = u64::try_from(at.since(when).max(when.since(at)).as_millis()).unwrap_or(u64::MAX);
            ClockOffset {
                error_ns: estimate.error_ns.saturating_add(age_ms.saturating_mul(DRIFT_NS_PER_MS)),
                ..estimate
            }
        };
        self.estimates.iter().map(aged).min_by_key(|estimate| estimate.error_ns)
    }

    /// The estimate to place an instant of the peer's with: the best at that time, which is perhaps long before `now`.
    pub fn offset_for(&self, taken: Mono, now: Mono) -> Option<ClockOffset> {
        let when = self.offset(now)?.to_local(taken).min(now);
        self.offset(when)
    }

    /// Whether the first burst has been answered, so that the estimate is as good as it gets at once.
    pub fn settled(&self) -> bool {
        self.estimates.len() as u64 >= BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: i64) -> Mono {
        Mono::from_nanos(us * 1000)
    }

    fn answer(tracker: &mut ClockTracker, now: i64, out: i64, back: i64, offset: i64) {
        let id = tracker.ping(at(now)).expect("due");
        let pong = ClockPong { id, received: at(now + out + offset), sent: at(now + out + offset) };
        tracker.pong(pong, at(now + out + back));
    }

    #[test]
    fn the_ping_with_the_shortest_round_trip_wins() {
        let mut tracker = ClockTracker::default();
        assert_eq!(tracker.offset(at(0)), None);
        answer(&mut tracker, 0, 5_000, 100, 700);
        answer(&mut tracker, 20_000, 100, 110, 700);
        answer(&mut tracker, 40_000, 100, 9_000, 700);
        let offset = tracker.offset(at(50_000)).expect("three answers");
        assert!((offset.offset_ns - 700_000).unsigned_abs() <= offset.error_ns);
        assert!(offset.error_ns < 120_000, "{}", offset.error_ns);
    }

    #[test]
    fn an_estimate_loses_certainty_with_age_until_a_newer_one_is_better() {
        let mut tracker = ClockTracker::default();
        answer(&mut tracker, 0, 10, 10, 0);
        let fresh = tracker.offset(at(20)).expect("answered").error_ns;
        let old = tracker.offset(at(60_000_020)).expect("answered").error_ns;
        assert_eq!(old - fresh, 60_000 * DRIFT_NS_PER_MS);
        answer(&mut tracker, 60_000_000, 500, 500, 3_000);
        assert_eq!(tracker.offset(at(60_001_000)).expect("answered").offset_ns, 3_000_000);
    }

    #[test]
    fn pings_come_in_a_burst_and_then_once_a_second() {
        let mut tracker = ClockTracker::default();
        let sent: Vec<i64> = (0..4000).filter(|ms| tracker.ping(at(ms * 1000)).is_some()).collect();
        assert_eq!(sent, [0, 20, 40, 60, 80, 100, 120, 140, 1140, 2140, 3140]);
    }

    #[test]
    fn what_was_taken_long_ago_is_placed_by_what_was_known_then() {
        let mut tracker = ClockTracker::default();
        answer(&mut tracker, 0, 10, 10, 0);
        // Away for a minute, while the clocks drift apart by 3 ms.
        tracker.renew();
        answer(&mut tracker, 60_000_000, 10, 10, 3_000);
        let (taken, now) = (at(1_000_000), at(60_000_100));
        let offset = tracker.offset_for(taken, now).expect("answered");
        assert_eq!(offset.offset_ns, 0);
        assert!(offset.error_ns < 1_100 * DRIFT_NS_PER_MS, "a second from the ping: {}", offset.error_ns);
        // Half a minute from both, either is as wrong as half a minute's drift.
        let between = tracker.offset_for(at(30_000_000), now).expect("answered");
        assert!(between.error_ns >= 29_000 * DRIFT_NS_PER_MS, "{}", between.error_ns);
    }

    #[test]
    fn a_new_stream_begins_with_a_burst_and_forgets_what_was_not_answered() {
        let mut tracker = ClockTracker::default();
        let before: Vec<u64> = (0..4000).filter_map(|ms| tracker.ping(at(ms * 1000))).collect();
        tracker.renew();
        let last = *before.last().expect("some");
        tracker.pong(ClockPong { id: last, received: at(1), sent: at(1) }, at(4_000_000));
        assert_eq!(tracker.offset(at(4_000_000)), None);
        let sent: Vec<u64> = (4000..4140).filter_map(|ms| tracker.ping(at(ms * 1000))).collect();
        assert_eq!(sent, (last + 1..=last + 7).collect::<Vec<_>>());
    }

    #[test]
    fn answers_nobody_asked_for_change_nothing() {
        let mut tracker = ClockTracker::default();
        tracker.pong(ClockPong { id: 3, received: at(1), sent: at(1) }, at(5));
        let id = tracker.ping(at(0)).expect("due");
        tracker.pong(ClockPong { id, received: at(10), sent: at(5) }, at(20));
        assert_eq!(tracker.offset(at(30)), None);
    }
}
