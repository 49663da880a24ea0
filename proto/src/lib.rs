//! The contract between coordinator, workers and agents. No I/O.
//!
//! ```text
//!   worker / agent                        coordinator
//!   domain type --convert--> wire  ~~gRPC~~>  wire --convert--> domain type
//!                                             (a named error for what makes no sense)
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`wire`] | what protox generated from `proto/fluxfleet/v1`; used in `convert` and `rpc` code alone |
//! | [`message`] | the four message sets, as domain types |
//! | [`convert`] | wire to domain with named errors, domain to wire without any |
//! | [`peer`] | how workers and agents introduce themselves |
//! | [`trial`] | what to run: strategy, target, workload, share |
//! | [`load`] | closed or open, and the limits of a trial |
//! | [`arrival`] | arrival processes: when the requests of an open load are meant to start |
//! | [`health`] | how a generator itself fared |
//! | [`tally`] | what a stretch of load recorded, as mergeable deltas; intervals and records |
//! | [`failure`] | why an item failed, why an item was not sent |
//! | [`latency`] | a set of durations: mergeable histogram plus exact sums |
//! | [`histogram`] | the HDR V2 codec |
//! | [`metric`] | what can be read of a GPU and of a host, number by number |
//! | [`reading`] | host and GPU samples, typed absence |
//! | [`clock`] | the process's monotonic clock and the offset between two of them |
//! | [`id`], [`units`] | newtypes |

pub mod arrival;
pub mod clock;
pub mod convert;
pub mod failure;
pub mod health;
pub mod histogram;
pub mod id;
pub mod latency;
pub mod load;
pub mod message;
pub mod metric;
pub mod peer;
pub mod reading;
pub mod tally;
pub mod trial;
pub mod units;
pub mod wire;

/// Version of the protocol that this build speaks. Raised with each change that an older peer would
/// misunderstand; peers of another version are refused.
pub const PROTOCOL_VERSION: u32 = 4;

/// Longest gRPC message either side accepts, in bytes. An interval of full histograms stays far below.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
