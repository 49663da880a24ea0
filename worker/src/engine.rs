//! Runs one trial's share, with or without a coordinator.
//!
//! ```text
//!                     Handle: start(at), stop(reason, grace)
//!                        |
//!   Assignment --> Shared (strategy, claims, gate, stop order)
//!                        |                 ^        ^
//!                 load thread 0 .. n       |        |      one current-thread runtime each
//!                   closed: slots, open: Pacer -> places;  -> Strategy::ask -> Recorder
//!                        |  parts: tallies, records   (bounded: a slow reader slows the load down)
//!                        v
//!                 collector thread: asks every thread each interval, merges, numbers
//!                        |
//!                        v
//!                 Receiver<Output>: Ready, Interval.., Records.., Done | Fault
//! ```
//!
//! Every trial ends with exactly one [`Output::Done`] or [`Output::Fault`], after everything else. Dropping the
//! [`Handle`] stops the load at once: load is never left without an owner.

mod awake;
pub mod calibrate;
mod collect;
mod condition;
mod crowd;
mod deadline;
mod files;
mod gate;
mod load;
mod open;
mod poll_delay;
mod precedence;
mod shared;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::tally::{Interval, Records};
use fluxfleet_proto::trial::{Assignment, TrialEnd};
use tokio::sync::mpsc;

use gate::Gate;
use shared::Control;

/// What a trial gives off, in this order: `Ready`, then intervals and records, then the end.
#[derive(Debug)]
pub enum Output {
    /// Clients are built, threads wait for the start. With the ceiling, if the assignment asked for it.
    Ready(Option<Ceiling>),
    /// What was recorded since the previous one.
    Interval(Box<Interval>),
    /// Requests in detail, when asked for.
    Records(Records),
    /// The trial is over, and everything before this was given off.
    Done(TrialEnd),
    /// The trial cannot be run or cannot go on. Nothing follows.
    Fault(String),
}

/// The way to command a trial. Dropping it stops the trial at once.
#[derive(Debug)]
pub struct Handle {
    control: Arc<Control>,
}

impl Handle {
    /// Releases all threads at this instant of the process's clock; at once when it has passed. The second of
    /// two starts is ignored.
    pub fn start(&self, at: Mono) {
        self.control.gate.open(at);
    }

    /// Nothing more is sent from now on. What is in flight may end within the grace, then it has failed as
    /// interrupted. A trial not begun yet ends without a request. A second stop can only shorten the grace.
    pub fn stop(&self, reason: NotSentReason, grace: Duration) {
        self.control.stop(reason, grace, Clock::now());
    }

    /// Gives back an interval that is not needed any more. Optional: without, each interval takes its memory anew from the
    /// kernel, and while a process does that, its load threads may have to wait.
    pub fn give_back(&self, interval: Interval) {
        self.control.give_back(interval.phase, interval.tally);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop(NotSentReason::Interrupted, Duration::ZERO);
    }
}

/// Outputs that may wait for their reader before the load is slowed down.
const OUTPUT_ROOM: usize = 16;

/// Prepares a trial on threads of its own and returns at once; [`Output::Ready`] tells when it may start.
///
/// # Errors
/// When the operating system gives no thread for the trial.
pub fn prepare(
    assignment: Assignment,
    threads: NonZeroUsize,
) -> Result<(Handle, mpsc::Receiver<Output>), std::io::Error> {
    let control = Arc::new(Control::new(assignment.share, assignment.limits, Gate::default()));
    let (outputs, receiver) = mpsc::channel(OUTPUT_ROOM);
    // Made first: if the thread cannot be started, dropping it stops nothing that runs.
    let handle = Handle { control: Arc::clone(&control) };
    std::thread::Builder::new()
        .name(format!("collect-{}", assignment.trial.0))
        .spawn(move || collect::run(assignment, threads, &control, outputs))?;
    Ok((handle, receiver))
}
