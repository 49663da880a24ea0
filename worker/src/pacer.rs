//! *When* in practice: turns a thread's arrivals into orders to send, each at its time.
//!
//! [`Pacer`] decides, synchronously and with a `now` of the caller's; [`Alarm`] wakes the caller up, finer than the
//! runtime's own timers, which tick once a millisecond.
//!
//! An arrival that finds no place in flight stays in the sequence until one is free (or is given up at once, when
//! the plan says so). Nothing is stored for it, so a service that falls behind for hours costs no memory here.

mod alarm;

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::load::WhenFull;

pub(crate) use alarm::{Alarm, Rung};

use crate::claim::Claim;

/// One arrival of this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Intended start, since the trial's start.
    pub(crate) at: Duration,
    /// The lane it came on.
    pub(crate) lane: u32,
    /// What it asks for.
    pub(crate) claim: Claim,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send this; a place is taken for it.
    Send {
        /// What.
        due: Due,
        /// Its intended start.
        intended: Mono,
        /// How late the pacer took it up; `None` when it had to wait for a place.
        lateness: Option<Duration>,
    },
    /// Give this up.
    GiveUp {
        /// What.
        due: Due,
        /// Its intended start.
        intended: Mono,
    },
    /// Nothing until then.
    Wait {
        /// When the next arrival is due.
        at: Mono,
        /// And the one after it.
        then: Option<Mono>,
    },
    /// An arrival is due and no place is free: nothing until one is, or until then.
    Full(Option<Mono>),
    /// Nothing any more.
    Done,
}

/// The arrivals of a thread, in their order.
pub(crate) trait Arrivals: Iterator<Item = Due> {
    /// When the trial's time is up, since its start, as far as the arrivals taken so far tell: a time limit that
    /// counts from the end of a warm-up of so many items is known once these have been taken.
    fn time_up(&self) -> Option<Duration>;
}

/// Why arrivals that the pacer gives up are not sent.
pub(crate) const GIVEN_UP: NotSentReason = NotSentReason::NoPlace;

/// One thread's pacer.
#[derive(Debug)]
pub(crate) struct Pacer<A> {
    arrivals: A,
    /// The first that has neither been sent nor given up.
    next: Option<Due>,
    /// The one after it.
    then: Option<Due>,
    start: Mono,
    places: usize,
    when_full: WhenFull,
    /// Arrivals meant to start before this had to wait for a place.
    full_until: Option<Mono>,
    full: bool,
    closed: bool,
}

impl<A: Arrivals> Pacer<A> {
    /// Arrivals that count from `start`, of which `places` may be in flight at a time.
    pub(crate) fn new(mut arrivals: A, start: Mono, places: usize, when_full: WhenFull) -> Self {
        let (next, then) = (arrivals.next(), arrivals.next());
        Self { arrivals, next, then, start, places, when_full, full_until: None, full: false, closed: false }
    }

    /// What is to be done now. To be asked again until it says to wait.
    pub(crate) fn step(&mut self, now: Mono) -> Step {
        if self.closed {
            return Step::Done;
        }
        let Some(due) = self.next else { return Step::Done };
        let intended = self.start + due.at;
        if intended > now {
            return Step::Wait { at: intended, then: self.then.map(|then| self.start + then.at) };
        }
        if self.places > 0 {
            self.places -= 1;
            self.advance();
            let waited = self.full_until.is_some_and(|until| intended < until);
            return Step::Send { due, intended, lateness: (!waited).then(|| now.since(intended)) };
        }
        let time_up = self.arrivals.time_up().map(|end| self.start + end);
        if self.when_full == WhenFull::Drop || time_up.is_some_and(|end| now >= end) {
            self.advance();
            return Step::GiveUp { due, intended };
        }
        self.full = true;
        Step::Full(time_up)
    }

    /// Whether something would be sent now.
    pub(crate) fn is_due(&self, now: Mono) -> bool {
        let due = self.next.is_some_and(|next| self.start + next.at <= now);
        due && self.places > 0 && !self.closed
    }

    fn advance(&mut self) {
        self.next = std::mem::replace(&mut self.then, self.arrivals.next());
    }

    /// A request has ended.
    pub(crate) fn release(&mut self, now: Mono) {
        self.places += 1;
        if std::mem::take(&mut self.full) {
            self.full_until = Some(now);
        }
    }

    /// Nothing more is to be sent.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::tally::Phase;

    const START: Mono = Mono::from_nanos(1_000_000_000);

    fn at(ms: u64) -> Mono {
        START + Duration::from_millis(ms)
    }

    fn due(ms: u64) -> Due {
        let claim = Claim { phase: Phase::Measure, first: ms, items: 1 };
        Due { at: Duration::from_millis(ms), lane: 0, claim }
    }

    /// Arrivals at these milliseconds.
    struct Listed {
        times: std::slice::Iter<'static, u64>,
        /// Known once no more than so many arrivals are left.
        time_up: Option<(usize, u64)>,
    }

    impl Iterator for Listed {
        type Item = Due;

        fn next(&mut self) -> Option<Due> {
            self.times.next().map(|&ms| due(ms))
        }
    }

    impl Arrivals for Listed {
        fn time_up(&self) -> Option<Duration> {
            self.time_up
                .filter(|(left, _)| self.times.len() <= *left)
                .map(|(_, ms)| Duration::from_millis(ms))
        }
    }

    fn pacer(
        times: &'static [u64],
        places: usize,
        when_full: WhenFull,
        time_up: Option<u64>,
    ) -> Pacer<Listed> {
        let time_up = time_up.map(|ms| (times.len(), ms));
        Pacer::new(Listed { times: times.iter(), time_up }, START, places, when_full)
    }

    fn wait(ms: u64, then: Option<u64>) -> Step {
        Step::Wait { at: at(ms), then: then.map(at) }
    }

    fn send(ms: u64, lateness: Option<u64>) -> Step {
        Step::Send { due: due(ms), intended: at(ms), lateness: lateness.map(Duration::from_millis) }
    }

    #[test]
    fn nothing_goes_before_its_time_and_everything_overdue_goes_at_once() {
        let mut pacer = pacer(&[0, 5, 5, 9], 9, WhenFull::Wait, None);
        assert_eq!(pacer.step(START), send(0, Some(0)));
        assert_eq!(pacer.step(at(3)), wait(5, Some(5)));
        assert!(!pacer.is_due(at(4)) && pacer.is_due(at(5)));
        assert_eq!(pacer.step(at(7)), send(5, Some(2)));
        assert_eq!(pacer.step(at(7)), send(5, Some(2)));
        assert_eq!(pacer.step(at(7)), wait(9, None));
        assert_eq!(pacer.step(at(9)), send(9, Some(0)));
        assert_eq!(pacer.step(at(9)), Step::Done);
    }

    #[test]
    fn who_waits_for_a_place_is_sent_late_and_the_pacer_is_not_blamed() {
        let mut pacer = pacer(&[0, 2, 4, 8], 1, WhenFull::Wait, None);
        assert_eq!(pacer.step(at(0)), send(0, Some(0)));
        assert_eq!(pacer.step(at(2)), Step::Full(None));
        pacer.release(at(6));
        assert_eq!(pacer.step(at(6)), send(2, None));
        assert_eq!(pacer.step(at(6)), Step::Full(None));
        pacer.release(at(9));
        assert_eq!(pacer.step(at(9)), send(4, None));
        assert_eq!(pacer.step(at(9)), Step::Full(None), "what is due at 8 finds it full too");
        pacer.release(at(10));
        assert_eq!(pacer.step(at(10)), send(8, None));
    }

    #[test]
    fn a_place_that_was_never_wanting_leaves_the_pacer_responsible() {
        let mut pacer = pacer(&[0, 2, 9], 1, WhenFull::Wait, None);
        assert_eq!(pacer.step(at(0)), send(0, Some(0)));
        pacer.release(at(1));
        assert_eq!(pacer.step(at(3)), send(2, Some(1)));
        pacer.release(at(8));
        assert_eq!(pacer.step(at(9)), send(9, Some(0)));
    }

    #[test]
    fn who_still_waits_when_the_time_is_up_is_given_up_with_its_intended_start() {
        let mut pacer = pacer(&[0, 2, 4], 1, WhenFull::Wait, Some(5));
        assert_eq!(pacer.step(at(0)), send(0, Some(0)));
        assert_eq!(pacer.step(at(2)), Step::Full(Some(at(5))));
        for ms in [2, 4] {
            assert_eq!(pacer.step(at(5)), Step::GiveUp { due: due(ms), intended: at(ms) });
        }
        assert_eq!(pacer.step(at(5)), Step::Done);
    }

    #[test]
    fn a_time_limit_that_shows_during_the_load_counts_from_then_on() {
        let times = Listed { times: [0, 2, 4, 6].iter(), time_up: Some((0, 5)) };
        let mut pacer = Pacer::new(times, START, 1, WhenFull::Wait);
        assert_eq!(pacer.step(at(0)), send(0, Some(0)));
        assert_eq!(pacer.step(at(2)), Step::Full(None), "not known yet");
        pacer.release(at(3));
        assert_eq!(pacer.step(at(3)), send(2, None));
        assert_eq!(pacer.step(at(4)), Step::Full(Some(at(5))));
        assert_eq!(pacer.step(at(5)), Step::GiveUp { due: due(4), intended: at(4) });
    }

    #[test]
    fn an_arrival_taken_up_after_the_end_for_the_pacers_own_lateness_is_sent_all_the_same() {
        let mut pacer = pacer(&[4], 1, WhenFull::Wait, Some(5));
        assert_eq!(pacer.step(at(6)), send(4, Some(2)));
    }

    #[test]
    fn where_the_plan_says_so_nobody_waits() {
        let mut pacer = pacer(&[0, 2, 4], 1, WhenFull::Drop, None);
        assert_eq!(pacer.step(at(0)), send(0, Some(0)));
        assert_eq!(pacer.step(at(2)), Step::GiveUp { due: due(2), intended: at(2) });
        pacer.release(at(3));
        assert_eq!(pacer.step(at(4)), send(4, Some(0)));
    }

    #[test]
    fn a_closed_pacer_sends_nothing_more() {
        let mut pacer = pacer(&[0, 2], 1, WhenFull::Wait, None);
        pacer.close();
        assert_eq!(pacer.step(at(9)), Step::Done);
    }
}
