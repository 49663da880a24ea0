//! The poll delay: how late a load thread comes to what is due, as it may come to an answer.
//!
//! Looked at about once in [`PACE`], so that of a thread that is away for a share of its time, the same share of the looks
//! says so. An open load has an alarm of its own for its arrivals, and what that says of the thread is as good as any
//! other's word: another alarm beside it would wake the thread for nothing but itself.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};

use crate::pacer::{Alarm, Rung};
use crate::record::Recorder;

/// Time between two looks.
const PACE: Duration = Duration::from_millis(10);
/// Time between two looks while the load's own alarm rings often enough.
const REST: Duration = Duration::from_millis(100);

/// One load thread's looks at its poll delay.
#[derive(Debug)]
pub(super) struct PollDelay {
    /// When the next look is due.
    next: Cell<Mono>,
    /// Looks that the load's own alarm was good for, of late.
    heard: Cell<u32>,
}

impl PollDelay {
    /// The first look is due at once.
    pub(super) fn new() -> Self {
        Self { next: Cell::new(Clock::now()), heard: Cell::new(0) }
    }

    /// The load's own alarm rang.
    pub(super) fn heard(&self, rung: Rung, recorder: &RefCell<Recorder>) {
        if self.look(rung, recorder) {
            self.heard.set(self.heard.get() + 1);
        }
    }

    /// Whether a look was due.
    fn look(&self, Rung { at, late }: Rung, recorder: &RefCell<Recorder>) -> bool {
        let due = at >= self.next.get();
        if due {
            recorder.borrow_mut().polled(late);
            self.next.set(at + PACE);
        }
        due
    }

    /// Sees to it that there are looks where the load has no alarm that rings. Goes on until it is dropped.
    pub(super) async fn run(&self, recorder: &RefCell<Recorder>) {
        // Without a timer nothing is known, and nothing is claimed.
        let Ok(alarm) = Alarm::new() else { return };
        let mut pace = PACE;
        loop {
            alarm.set(Clock::now() + pace, None);
            let rung = loop {
                if let Some(rung) = alarm.rung().await {
                    break rung;
                }
            };
            self.look(rung, recorder);
            // Half of those that were due, at least.
            let enough = 2 * self.heard.take() * PACE >= pace;
            pace = if enough { REST } else { PACE };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Tallies;

    fn looks(recorder: &RefCell<Recorder>) -> u64 {
        recorder.borrow_mut().swap(Tallies::default()).poll_delay.count()
    }

    #[test]
    fn however_often_an_alarm_rings_it_is_looked_at_once_in_a_pace() {
        let recorder = RefCell::new(Recorder::new(Tallies::default(), false, None));
        let delay = PollDelay::new();
        let first = Clock::now();
        for ms in 0..100 {
            let at = first + Duration::from_millis(ms);
            delay.heard(Rung { at, late: Duration::ZERO }, &recorder);
        }
        assert_eq!(looks(&recorder), 10);
    }

    #[test]
    fn without_an_alarm_of_the_load_there_are_looks_all_the_same() {
        let options = tokio::runtime::LocalOptions::default();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(options).unwrap();
        let recorder = RefCell::new(Recorder::new(Tallies::default(), false, None));
        runtime.block_on(async {
            let delay = PollDelay::new();
            let enough = async {
                let mut seen = 0;
                while seen < 3 {
                    tokio::time::sleep(PACE).await;
                    seen += looks(&recorder);
                }
            };
            tokio::select! {
                () = delay.run(&recorder) => panic!("it goes on"),
                () = enough => {}
                () = tokio::time::sleep(Duration::from_secs(20)) => panic!("no look in 20 s"),
            }
        });
    }
}
