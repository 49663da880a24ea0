//! Wire to domain with named errors; domain to wire without any.
//!
//! Everything that comes off a stream passes through `TryFrom` here, once. Past it no value needs checking.
//!
//! | file | duty |
//! |---|---|
//! | `worker`, `agent` | the messages of each stream |
//! | `assignment`, `load` | what a worker is to run, and when; how its generator fared |
//! | `tally` | what a worker recorded |
//! | `sample` | what an agent read |
//! | `common` | clock messages, latencies, and what several messages hold |

mod agent;
mod assignment;
mod common;
mod load;
mod sample;
mod tally;
mod worker;

use thiserror::Error;

use crate::failure::UnknownName;
use crate::histogram::InvalidHistogram;

/// A message that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidMessage {
    /// A field that must be set is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field holds what it must not.
    #[error("`{field}` is {value}, which is not {expected}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A latency whose histogram cannot be read.
    #[error("`{field}`: {source}")]
    Histogram {
        /// The field.
        field: &'static str,
        /// Why.
        source: InvalidHistogram,
    },
    /// A latency whose histogram, sums and extremes contradict each other.
    #[error("`{0}`: its histogram, sums and extremes contradict each other")]
    Contradiction(&'static str),
    /// A kind or reason this version does not know.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
}

pub(crate) fn require<T>(value: Option<T>, field: &'static str) -> Result<T, InvalidMessage> {
    value.ok_or(InvalidMessage::Missing(field))
}

pub(crate) fn out_of_range(
    field: &'static str,
    value: impl ToString,
    expected: &'static str,
) -> InvalidMessage {
    InvalidMessage::OutOfRange { field, value: value.to_string(), expected }
}
