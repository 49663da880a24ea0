//! The start barrier of the load threads.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};

/// The last stretch before the start is waited for by looking at the clock: a sleeping thread wakes up late by
/// anything from 50 us to a scheduler tick.
const SPIN: Duration = Duration::from_micros(300);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Order {
    #[default]
    None,
    OpenAt(Mono),
    Stop,
}

#[derive(Debug, Default)]
struct State {
    /// Every thread has come; before that nobody is let through.
    complete: bool,
    order: Order,
}

/// How a thread was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Release {
    /// The instant that was ordered, the same for all threads (and all workers, each on its own clock).
    pub(super) planned: Mono,
    /// The instant at which this thread really went.
    pub(super) at: Mono,
}

/// Holds threads back until all have come and a given instant is there.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is a plain value; a panic elsewhere cannot leave it half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All threads have come.
    pub(super) fn complete(&self) {
        self.state().complete = true;
        self.changed.notify_all();
    }

    /// Opens the gate at an instant, unless it was opened or stopped before.
    pub(super) fn open(&self, at: Mono) {
        let mut state = self.state();
        if state.order == Order::None {
            state.order = Order::OpenAt(at);
            self.changed.notify_all();
        }
    }

    /// Whoever still waits goes away empty-handed.
    pub(super) fn stop(&self) {
        self.state().order = Order::Stop;
        self.changed.notify_all();
    }

    /// Waits until it is known when the gate opens. `None` if it was stopped before.
    pub(super) fn ordered(&self) -> Option<Mono> {
        let mut state = self.state();
        loop {
            match state.order {
                Order::Stop => return None,
                Order::OpenAt(at) if state.complete => return Some(at),
                Order::None | Order::OpenAt(_) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Waits until the gate opens, at the instant that [`ordered`](Self::ordered) told. `None` if it was stopped before.
    pub(super) fn pass(&self, at: Mono) -> Option<Release> {
        let mut state = self.state();
        loop {
            if state.order == Order::Stop {
                return None;
            }
            let left = at.since(Clock::now());
            if left <= SPIN {
                break;
            }
            let wait = self.changed.wait_timeout(state, left.saturating_sub(SPIN));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        loop {
            let now = Clock::now();
            if now >= at {
                return Some(Release { planned: at, at: now });
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn through(gate: &Gate) -> Option<Release> {
        gate.ordered().and_then(|at| gate.pass(at))
    }

    fn waiting(gate: &Arc<Gate>) -> std::thread::JoinHandle<Option<Release>> {
        let gate = Arc::clone(gate);
        std::thread::spawn(move || through(&gate))
    }

    #[test]
    fn nobody_is_released_before_the_instant() {
        let gate = Arc::new(Gate::default());
        let threads: Vec<_> = (0..4).map(|_| waiting(&gate)).collect();
        let at = Clock::now() + Duration::from_millis(30);
        gate.open(at);
        gate.complete();
        for thread in threads {
            assert!(thread.join().unwrap().unwrap().at >= at);
        }
    }

    #[test]
    fn an_instant_that_has_passed_releases_at_once() {
        let gate = Gate::default();
        gate.complete();
        gate.open(Clock::now() - Duration::from_secs(1));
        gate.open(Clock::now() + Duration::from_secs(1000));
        assert!(through(&gate).is_some());
    }

    #[test]
    fn a_start_waits_for_the_last_thread() {
        let gate = Arc::new(Gate::default());
        let thread = waiting(&gate);
        gate.open(Clock::now());
        let complete = Clock::now();
        gate.complete();
        assert!(thread.join().unwrap().unwrap().at >= complete);
    }

    #[test]
    fn a_stop_wins_over_a_start_that_has_not_come_yet() {
        let gate = Arc::new(Gate::default());
        let thread = waiting(&gate);
        gate.open(Clock::now() + Duration::from_secs(1000));
        gate.complete();
        let at = gate.ordered().expect("it is not stopped yet");
        gate.stop();
        assert_eq!(gate.pass(at), None);
        assert_eq!(thread.join().unwrap(), None);
        assert_eq!(through(&gate), None);
    }
}
