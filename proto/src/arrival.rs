//! Arrival processes: *when* the requests of an open load are meant to start.
//!
//! ```text
//!   Process (spacing, in expected arrivals)  ->  Profile (rate over time)  ->  instants since the start
//!      constant | Poisson | gamma                 steady | steps | ramps
//!   Replay (a list of instants)              ------------------------------>
//! ```
//!
//! A fleet has *one* sequence of arrivals, which everybody who knows the [`Arrivals`] can walk. Each arrival has
//! an index and belongs to one *lane*; a worker sends those of its lanes. The fleet's arrivals are therefore
//! exactly the whole sequence, however many workers it has. Evenly spaced, gamma and replayed arrivals go round
//! the lanes; Poisson arrivals fall to a lane at random, so that each lane's stream is itself a Poisson process,
//! independent of the others (the splitting property).
//!
//! | file | duty |
//! |---|---|
//! | `process` | spacing between arrivals when one is expected per unit |
//! | [`profile`](Profile) | the rate over time, its integral and the inverse of that |
//! | `sequence` | both together: index, instant and lane of each arrival |
//! | `phases` | which arrivals take place: warm-up, measured phase, end |
//! | `gaps` | what gaps a lane should show, to test what was really sent |

mod gaps;
mod phases;
mod process;
mod profile;
mod sequence;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub use gaps::{GapLaw, UNIT as GAP_UNIT};
pub use phases::{Phases, Planned};
pub use process::Process;
pub use profile::{InvalidProfile, Profile, Stage};
pub use sequence::{Arrival, Sequence};

/// The arrivals of a whole fleet.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// Drawn from a process.
    Drawn {
        /// Spacing.
        process: Process,
        /// Rate over time, in arrivals a second.
        profile: Profile,
        /// The same seed gives the same arrivals, whatever the fleet.
        seed: u64,
    },
    /// At these times since the start, in ascending order.
    Replay(Arc<[Duration]>),
}

impl Arrivals {
    /// Evenly spaced at one rate, without an end.
    ///
    /// # Errors
    /// When the rate is no positive number.
    pub fn constant(rate: f64) -> Result<Self, InvalidProfile> {
        Ok(Self::Drawn { process: Process::Constant, profile: Profile::steady(rate)?, seed: 0 })
    }

    /// The same items in requests of `size`: rates of items become rates of requests. A replay's entries are requests
    /// already.
    #[must_use]
    pub fn in_requests(&self, size: NonZeroU32) -> Self {
        match self {
            Self::Drawn { process, profile, seed } => Self::Drawn {
                process: *process,
                // A rate in range is still in range when it gets smaller, unless it becomes nothing at all.
                profile: profile.scaled(1.0 / f64::from(size.get())).unwrap_or_else(|_| profile.clone()),
                seed: *seed,
            },
            Self::Replay(_) => self.clone(),
        }
    }

    /// All arrivals in order, dealt to `lanes` lanes (at least 1).
    pub fn sequence(&self, lanes: u32) -> Sequence {
        Sequence::new(self, lanes.max(1))
    }

    /// When the last arrival is over; `None`: they go on for ever.
    pub fn length(&self) -> Option<Duration> {
        match self {
            Self::Drawn { profile, .. } => profile.length(),
            Self::Replay(times) => Some(times.last().copied().unwrap_or_default()),
        }
    }

    /// Arrivals expected before `at`.
    pub fn expected(&self, at: Duration) -> f64 {
        match self {
            Self::Drawn { profile, .. } => profile.expected(at.as_secs_f64()),
            Self::Replay(times) => times.partition_point(|t| *t < at) as f64,
        }
    }
}

/// Which lanes of the fleet are a worker's: `first .. first + count` of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// The first one.
    pub first: u32,
    /// How many; at least 1 where anything is to be sent.
    pub count: u32,
    /// Lanes of the whole fleet; at least 1.
    pub of: u32,
}

impl Lanes {
    /// All lanes of a fleet of one worker.
    pub fn all(of: u32) -> Self {
        Self { first: 0, count: of, of }
    }

    /// Whether a lane is among them.
    pub fn hold(self, lane: u32) -> bool {
        lane.checked_sub(self.first).is_some_and(|own| own < self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_items_is_divided_by_a_requests_items_and_a_replay_is_not() {
        let four = NonZeroU32::new(4).expect("4");
        let items = Arrivals::constant(10.0).expect("a rate");
        assert_eq!(items.in_requests(four), Arrivals::constant(2.5).expect("a rate"));
        assert_eq!(items.in_requests(NonZeroU32::MIN), items);
        let replay = Arrivals::Replay([Duration::ZERO, Duration::from_secs(1)].into());
        assert_eq!(replay.in_requests(four), replay);
    }
}
