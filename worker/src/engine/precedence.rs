//! How far a load thread goes before the machine's other work.
//!
//! An arrival that is due cannot wait; whatever else the machine does can for some microseconds. In order of what they
//! do for punctuality, and of the privileges they take:
//!
//! - Real time (`SCHED_FIFO`, sched(7)): as soon as it is woken up, the thread runs.
//! - A priority among the others (setpriority(2)): it gets the larger share of a core, but whoever runs when it is woken
//!   up may use up its slice first, some milliseconds.
//! - None. The lateness in the report says what that costs.
//!
//! In real time a thread leaves to the others only what it does not use. One that needs nearly a whole core is late
//! anyway, and would stall the machine: it steps back to a priority for as long as that lasts.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;

use crate::health;

/// How far load threads go before the machine's other work, in steps of `nice`.
const BEFORE_OTHERS: i32 = -15;
/// A thread that was busy for more than this share of the time is not in real time.
const MOST_BUSY: f64 = 0.9;

/// A load thread's place before others. To be used in that thread alone.
#[derive(Debug)]
pub(super) struct Precedence {
    real_time: bool,
    /// Processor time used by the thread so far, when last looked at, and when that was.
    seen: (Duration, Mono),
}

impl Precedence {
    /// Asks for as much as it can get, for a thread that has used so much processor time by now.
    pub(super) fn claim(used: Duration, now: Mono) -> Self {
        health::prefer(BEFORE_OTHERS);
        Self { real_time: policy::real_time(), seen: (used, now) }
    }

    /// Looks whether the thread may be in real time, by what it has used since this was last asked.
    pub(super) fn review(&mut self, used: Duration, now: Mono) {
        let (before, since) = std::mem::replace(&mut self.seen, (used, now));
        let may = may_be_real_time(used.saturating_sub(before), now.since(since));
        if may && !self.real_time {
            self.real_time = policy::real_time();
        } else if !may && self.real_time {
            policy::ordinary();
            self.real_time = false;
        }
    }
}

/// Gives up what the calling thread has taken over from a load thread that started it.
pub(super) fn renounce() {
    policy::ordinary();
    if health::preference().is_some_and(|steps| steps < 0) {
        health::prefer(0);
    }
}

fn may_be_real_time(used: Duration, span: Duration) -> bool {
    used <= span.mul_f64(MOST_BUSY)
}

/// Scheduling of the calling thread.
#[cfg(target_os = "linux")]
mod policy {
    use thread_priority::{
        NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
        ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };

    use crate::health;

    const OTHER: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);

    /// Whether it is in real time from now on, behind all others that are.
    pub(super) fn real_time() -> bool {
        let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, fifo).is_ok()
    }

    /// From now on it is not in real time; its priority among the others is what it was.
    pub(super) fn ordinary() {
        // The library sets a priority with the policy. One that is lowered may not be raised again without privileges.
        let Some(steps) = health::preference() else { return };
        // Refused by no system: it asks for less.
        let _ = set_thread_priority_and_policy(thread_native_id(), same(steps), OTHER);
    }

    /// The library's number for a priority in steps of `nice`, of which it has 100 for 40 steps.
    pub(super) fn same(steps: i32) -> ThreadPriority {
        (0..100u8)
            .filter_map(|number| ThreadPriorityValue::try_from(number).ok())
            .map(ThreadPriority::Crossplatform)
            .find(|priority| priority.to_posix(OTHER) == Ok(steps))
            .unwrap_or(ThreadPriority::Min)
    }
}

#[cfg(not(target_os = "linux"))]
mod policy {
    pub(super) fn real_time() -> bool {
        false
    }

    pub(super) fn ordinary() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(ms: u64) -> Mono {
        Mono::from_nanos(0) + Duration::from_millis(ms)
    }

    #[test]
    fn who_needs_nearly_a_whole_core_is_not_in_real_time() {
        assert!(may_be_real_time(ms(0), ms(1000)));
        assert!(may_be_real_time(ms(900), ms(1000)));
        assert!(!may_be_real_time(ms(901), ms(1000)));
        assert!(!may_be_real_time(ms(1001), ms(1000)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_priority_among_others_can_be_kept() {
        use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy};
        let other = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        for steps in -20..20 {
            assert_eq!(policy::same(steps).to_posix(other), Ok(steps));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_steps_back_while_it_needs_its_core_and_what_it_starts_takes_nothing_over() {
        use thread_priority::{
            NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy,
            thread_schedule_policy,
        };
        let other = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        let policy = || thread_schedule_policy().unwrap();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let nice_of_the_others = nice();
        // A thread of its own: the policy stays with it.
        std::thread::spawn(move || {
            policy::ordinary();
            let before = nice();
            let mut precedence = Precedence::claim(ms(0), at(0));
            let (claimed, first) = (policy(), nice());
            // Without privileges it is refused, and then nothing changes at all.
            let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
            assert_eq!(claimed, if precedence.real_time { fifo } else { other });
            precedence.review(ms(300), at(1000));
            assert_eq!(policy(), claimed);
            precedence.review(ms(1290), at(2000));
            assert_eq!((policy(), nice()), (other, first), "it needs its core");
            precedence.review(ms(1300), at(3000));
            assert_eq!(policy(), claimed);
            let child = move || {
                renounce();
                (policy(), nice())
            };
            assert_eq!(std::thread::spawn(child).join().unwrap(), (other, first.max(0)));
            // Leaving real time lowers nothing.
            assert_eq!(before, nice_of_the_others, "it was an ordinary one before");
        })
        .join()
        .unwrap();
    }
}
