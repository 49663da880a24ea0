//! The generators that are measured: fluxfleet, its peers, and bare loops.
//!
//! | file | duty |
//! |---|---|
//! | [`find`] | where a peer is, and its version |
//! | [`invoke`] | a job to a command line |
//! | [`output`] | what a peer says of its own run |
//! | [`drive`] | runs a job on its cores, bounded in time, and weighs it |

pub mod drive;
pub mod find;
pub mod invoke;
pub mod output;

use std::time::Duration;

use serde::Serialize;

/// A generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// The shipped programs: a worker, and a coordinator beside it.
    Fluxfleet,
    /// The worker's engine alone.
    FluxfleetEngine,
    /// The worker's engine with a record of each request kept besides.
    FluxfleetRecords,
    /// The shipped programs, the worker without root's privileges.
    FluxfleetUnprivileged,
    /// wrk, in C.
    Wrk,
    /// oha, in Rust.
    Oha,
    /// hey, in Go.
    Hey,
    /// k6, in Go.
    K6,
    /// wrk2, in C.
    Wrk2,
    /// A loop over hyper that measures nothing.
    Hyper,
    /// A loop over reqwest that measures nothing.
    Reqwest,
    /// A loop over bare sockets that measures nothing; one that is given a rate never sleeps.
    Sockets,
}

impl Tool {
    /// All of them, in the order in which they take turns: wrk between those that are held against it, for machines whose
    /// speed changes meanwhile.
    pub const ALL: [Self; 12] = [
        Self::Fluxfleet,
        Self::Wrk,
        Self::FluxfleetEngine,
        Self::FluxfleetRecords,
        Self::FluxfleetUnprivileged,
        Self::Oha,
        Self::Hey,
        Self::K6,
        Self::Wrk2,
        Self::Hyper,
        Self::Reqwest,
        Self::Sockets,
    ];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fluxfleet => "fluxfleet",
            Self::FluxfleetEngine => "fluxfleet, its engine alone",
            Self::FluxfleetRecords => "fluxfleet, its engine with a record of each request",
            Self::FluxfleetUnprivileged => "fluxfleet, without privileges",
            Self::Wrk => "wrk",
            Self::Oha => "oha",
            Self::Hey => "hey",
            Self::K6 => "k6",
            Self::Wrk2 => "wrk2",
            Self::Hyper => "bare hyper loop",
            Self::Reqwest => "bare reqwest loop",
            Self::Sockets => "bare socket loop",
        }
    }

    /// Whether it is fluxfleet in another way.
    pub fn is_variant(self) -> bool {
        matches!(self, Self::FluxfleetEngine | Self::FluxfleetRecords | Self::FluxfleetUnprivileged)
    }

    /// The program to look for; `None` when this workspace has it.
    pub fn program(self) -> Option<&'static str> {
        match self {
            Self::Wrk => Some("wrk"),
            Self::Oha => Some("oha"),
            Self::Hey => Some("hey"),
            Self::K6 => Some("k6"),
            Self::Wrk2 => Some("wrk2"),
            Self::Fluxfleet
            | Self::FluxfleetEngine
            | Self::FluxfleetRecords
            | Self::FluxfleetUnprivileged
            | Self::Hyper
            | Self::Reqwest
            | Self::Sockets => None,
        }
    }

    /// Whether it can do jobs of this kind.
    pub fn can(self, shape: Shape) -> bool {
        match shape {
            // Privileges matter to open loads alone.
            Shape::Closed { .. } => !matches!(self, Self::Wrk2 | Self::FluxfleetUnprivileged),
            Shape::Open { .. } => {
                use Tool::{Fluxfleet, FluxfleetUnprivileged, Hey, K6, Oha, Sockets, Wrk2};
                matches!(self, Fluxfleet | FluxfleetUnprivileged | Oha | Hey | K6 | Wrk2 | Sockets)
            }
            Shape::Held { .. } => {
                matches!(self, Self::Fluxfleet | Self::Wrk | Self::Oha | Self::Hey | Self::K6)
            }
        }
    }
}

/// What a generator is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As many requests as it can, each connection sending the next when the last was answered.
    Closed {
        /// Connections.
        connections: u32,
        /// Load threads.
        threads: usize,
        /// How long.
        duration: Duration,
    },
    /// A constant rate, whatever the answers do.
    Open {
        /// Requests a second.
        rate: u32,
        /// How long.
        duration: Duration,
    },
    /// So many requests at once, each on a connection of its own, against a server that answers after the delay.
    Held {
        /// Requests.
        requests: u32,
        /// The server's delay.
        delay: Duration,
    },
}

impl Shape {
    /// How long the job should take, start and end not included.
    pub fn length(self) -> Duration {
        match self {
            Self::Closed { duration, .. } | Self::Open { duration, .. } => duration,
            Self::Held { delay, .. } => delay,
        }
    }

    /// Load threads; what asks for a rate, or for requests at once, needs one.
    pub fn threads(self) -> usize {
        match self {
            Self::Closed { threads, .. } => threads,
            Self::Open { .. } | Self::Held { .. } => 1,
        }
    }
}
