//! What can be wrong with a worker's account.

use fluxfleet_proto::id::PeerId;
use thiserror::Error;

/// A report that contradicts what the worker said before.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MergeError {
    /// A worker that has no share in the trial.
    #[error("{0} has no share in this trial")]
    Stranger(PeerId),
    /// A message is missing from a stream that loses none.
    #[error("{what} {got} came where {expected} was due")]
    Hole {
        /// Interval or records message.
        what: &'static str,
        /// Its number.
        got: u64,
        /// The number that was due.
        expected: u64,
    },
    /// Items that ended and items not sent are more or less than the share.
    #[error("{ended} items ended and {not_sent} were not sent, of a share of {planned}")]
    Sum {
        /// Items ok or failed.
        ended: u64,
        /// Items not sent.
        not_sent: u64,
        /// Items of the share.
        planned: u64,
    },
    /// More of something than a share of that many items can give.
    #[error("{got} {what} came of a share of {planned} items")]
    TooMany {
        /// Requests, or items in records.
        what: &'static str,
        /// How many.
        got: u64,
        /// Items of the share.
        planned: u64,
    },
    /// A count that no worker reaches.
    #[error("{0} is no count of anything that happened")]
    Absurd(u64),
    /// A message after the one that was to be the last.
    #[error("more came after the end of its trial")]
    Late,
}
