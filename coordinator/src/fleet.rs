//! Who takes part: registration, clocks, liveness, and who gets which share.
//!
//! Everything here is synchronous and takes `now`; the owner is [`crate::run`].

mod clock;
mod event;
mod notice;
mod partition;
mod presence;
mod registry;

pub use clock::{ClockHistory, ClockStep, ClockTracker};
pub use event::{AgentOutbox, Cut, Event, Leaving, Outbox, Refusal, Seat, WorkerOutbox};
pub use notice::{Notice, Who};
pub use partition::{Demand, Division, Portion, split, split_trial};
pub use presence::{MAX_AWAY, Presence, Return};
pub use registry::{Agent, Fading, Fleet, MAX_SILENCE, Worker};
