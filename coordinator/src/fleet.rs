//! Who takes part: registration, clocks, liveness, and who gets which share.
//!
//! Everything here is synchronous and takes `now`; the owner is [`crate::run`].

mod clock;
mod event;
mod partition;
mod registry;

pub use clock::{ClockHistory, ClockStep, ClockTracker};
pub use event::{AgentOutbox, Event, Outbox, Refusal, WorkerOutbox};
pub use partition::{Demand, Division, Portion, split, split_trial};
pub use registry::{Agent, Fleet, MAX_SILENCE, Worker};
