//! A run from plan to outcome.
//!
//! ```text
//! assemble -> preflight -> for each strategy: prepare, barrier, start, intervals, drain -> cooldown -> .. -> outcome
//! ```
//!
//! [`conduct`] owns the fleet and everything merged. What peers do arrives as one stream of events; what a trial
//! makes of them is decided by [`TrialRun`], which is synchronous.

mod conductor;
mod gather;
mod preflight;
mod story;
mod ticks;
mod trial;
mod view;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::aggregate::SpoolError;

pub use conductor::{Rig, conduct};
pub use preflight::{Finding, PreflightError, Unreachable, preflight};
pub use trial::{Effect, Rules, TrialRun};

/// Why a run has no outcome.
#[derive(Debug, Error)]
pub enum RunError {
    /// Not everybody joined in time.
    #[error("the fleet did not assemble within {wait_s} s: {missing}")]
    Assembly {
        /// How long was waited.
        wait_s: u64,
        /// Who is there, who is missing, and how they would join.
        missing: String,
    },
    /// The target cannot be reached or serves none of the strategies.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// Records cannot be kept.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The coordinator's own port went away.
    #[error("the coordinator's port closed during the run; this is a fault of fluxfleet")]
    PortClosed,
}

/// The user's wish to stop: the first time softly, the second time at once.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    /// Stop the load, let what is in flight end within a short grace.
    pub soft: CancellationToken,
    /// Wait for nothing.
    pub hard: CancellationToken,
}
