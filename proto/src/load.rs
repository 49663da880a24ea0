//! *When* requests start, and *until* when: closed or open load, and the limits of a trial.

use std::time::Duration;

use crate::arrival::{Arrivals, Lanes};

/// When the requests of a trial start.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Load {
    /// As soon as another has ended: the share's number of requests is held in flight.
    #[default]
    Closed,
    /// At their own times, whatever became of the others. The share's `in_flight` is the most at a time.
    Open(OpenLoad),
}

/// An open load, as one worker gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenLoad {
    /// The fleet's arrivals; one is one request.
    pub arrivals: Arrivals,
    /// Which of them are this worker's.
    pub lanes: Lanes,
    /// Items of the whole fleet's measured phase; the arrivals after them do not take place. `None`: no limit.
    pub items: Option<u64>,
    /// What happens to an arrival that finds no place in flight.
    pub when_full: WhenFull,
}

/// What happens to an arrival of an open load that finds as many requests in flight as are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits for a place; its response time runs from its intended start. What still waits when the trial's
    /// time is up is not sent.
    #[default]
    Wait,
    /// It is not sent.
    Drop,
}

/// When measuring begins, and when nothing more is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What comes before the measured phase.
    pub warmup: Warmup,
    /// Length of the measured phase, by intended starts; `None`: as long as the items last.
    pub duration: Option<Duration>,
}

/// The part of a trial before measuring begins. Its items come on top of those planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Warmup {
    /// None.
    #[default]
    None,
    /// Requests meant to start before this has passed.
    Time(Duration),
    /// The first so many items: of this worker in a closed load, of the fleet in an open one.
    Items(u64),
}

/// In-flight limit of a share that has none.
pub const NO_LIMIT: u32 = u32::MAX;
