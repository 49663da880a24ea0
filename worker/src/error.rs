//! Why a worker ended other than by its coordinator's leave.

use std::time::Duration;

use thiserror::Error;

/// A worker that could not join, or lost, its coordinator.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// The address is no address.
    #[error("`{address}` is not a coordinator address ({problem}); give HOST:PORT, such as `10.0.0.5:7070`")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody answered.
    #[error(
        "no coordinator answered at {address} within {} s ({problem}); start it there with \
         `fluxfleet run --listen ADDR`, or check the address and the firewall between", waited.as_secs()
    )]
    Unreachable {
        /// Where.
        address: String,
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt ran into.
        problem: String,
    },
    /// The coordinator does not take this worker.
    #[error("the coordinator at {address} refused this worker: {words}; {advice}")]
    Refused {
        /// Which coordinator.
        address: String,
        /// What it said.
        words: String,
        /// What to do.
        advice: &'static str,
    },
    /// Something answered that does not speak the protocol.
    #[error("what answers at {address} is no fluxfleet coordinator ({problem}); check the address")]
    Stranger {
        /// Where.
        address: String,
        /// What was seen.
        problem: String,
    },
    /// The stream broke.
    #[error(
        "lost the coordinator at {address} {during} ({problem}); all load was stopped at once, {unacked} messages \
         of measurements were never acknowledged; see the coordinator's own output for why it ended"
    )]
    Lost {
        /// Which coordinator.
        address: String,
        /// Between trials, or in which one.
        during: String,
        /// How the stream ended.
        problem: String,
        /// Intervals and records sent and never acknowledged.
        unacked: usize,
    },
    /// The operating system gave no thread or no runtime.
    #[error("cannot start the session thread ({0}); check the limits on threads and open files")]
    Thread(#[from] std::io::Error),
    /// A bug.
    #[error("the session ended without a result, which is a bug of this program")]
    Vanished,
}

impl WorkerError {
    /// The process exit code: 2 for bad flags, 6 when the fleet did not come or stay together, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Address { .. } => 2,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Stranger { .. } | Self::Lost { .. } => 6,
            Self::Thread(_) | Self::Vanished => 1,
        }
    }
}
