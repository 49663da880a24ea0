//! Merges what the fleet sends into one outcome on the coordinator's clock.

mod outcome;
mod spool;
mod trial;
mod watch;

pub(crate) use outcome::no_endpoint;
pub use outcome::{
    AgentOutcome, Ending, HealthPoint, Lost, PeerClock, PlacedSample, Point, RunOutcome, StrategyOutcome,
    TrialOutcome, Window, WorkerHealth, WorkerOutcome, WorkerTrial,
};
pub use spool::{RecordSpool, SpoolError, SpooledRecord};
pub use trial::{MergeError, TrialMerge};
pub use watch::{SampleMerge, Span};
