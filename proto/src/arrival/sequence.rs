//! Index, instant and lane of each arrival, in order.

use std::sync::Arc;
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use super::{Arrivals, Process, Profile};

/// One arrival of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its place in the fleet's sequence, from 0.
    pub index: u64,
    /// When, since the start.
    pub at: Duration,
    /// Whose it is.
    pub lane: u32,
}

/// All arrivals of a fleet in order; endless when the profile is.
#[derive(Clone, Debug)]
pub struct Sequence {
    source: Source,
    lanes: u32,
    index: u64,
}

#[derive(Clone, Debug)]
enum Source {
    Drawn {
        process: Process,
        profile: Profile,
        /// Expected arrivals up to the last one.
        position: f64,
        spacing: Xoshiro256PlusPlus,
        /// Deals Poisson arrivals to lanes; apart from the spacing, so that the number of lanes does not change
        /// when anything arrives.
        dealing: Xoshiro256PlusPlus,
    },
    Replay(Arc<[Duration]>),
}

impl Sequence {
    pub(super) fn new(arrivals: &Arrivals, lanes: u32) -> Self {
        let source = match arrivals {
            Arrivals::Drawn { process, profile, seed } => {
                let spacing = Xoshiro256PlusPlus::seed_from_u64(*seed);
                let mut dealing = spacing.clone();
                dealing.long_jump();
                Source::Drawn { process: *process, profile: profile.clone(), position: 0.0, spacing, dealing }
            }
            Arrivals::Replay(times) => Source::Replay(Arc::clone(times)),
        };
        Self { source, lanes, index: 0 }
    }
}

impl Iterator for Sequence {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let index = self.index;
        let round = |index: u64| u32::try_from(index % u64::from(self.lanes)).unwrap_or(0);
        let (at, lane) = match &mut self.source {
            Source::Drawn { process, profile, position, spacing, dealing } => {
                *position = match process {
                    // Not by adding up, so that the billionth arrival is still on the grid.
                    Process::Constant => index as f64,
                    _ => *position + process.gap(index == 0, spacing),
                };
                let lane = match process {
                    Process::Poisson => deal(dealing, self.lanes),
                    Process::Constant | Process::Gamma { .. } => round(index),
                };
                (Duration::try_from_secs_f64(profile.reached(*position)?).ok()?, lane)
            }
            Source::Replay(times) => (*times.get(usize::try_from(index).ok()?)?, round(index)),
        };
        self.index += 1;
        Some(Arrival { index, at, lane })
    }

    /// At once where nothing is drawn: even arrivals and a replay.
    fn nth(&mut self, n: usize) -> Option<Arrival> {
        match &self.source {
            Source::Drawn { process: Process::Constant, .. } | Source::Replay(_) => self.index += n as u64,
            Source::Drawn { .. } => {
                for _ in 0..n {
                    self.next()?;
                }
            }
        }
        self.next()
    }
}

/// A lane, each as likely as any other (Lemire's multiplication; its bias of at most lanes / 2^32 is far below
/// what any test of a load could see).
fn deal(random: &mut Xoshiro256PlusPlus, lanes: u32) -> u32 {
    u32::try_from((u64::from(random.next_u32()) * u64::from(lanes)) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrival::{GapLaw, Lanes, Stage};
    use proptest::prelude::*;

    fn drawn(process: Process, rate: f64, seed: u64) -> Arrivals {
        Arrivals::Drawn { process, profile: Profile::steady(rate).expect("a rate"), seed }
    }

    /// Largest distance between the gaps' distribution and a law (Kolmogorov and Smirnov).
    fn distance(mut gaps: Vec<f64>, law: GapLaw) -> f64 {
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        let off = |(i, &gap): (usize, &f64)| {
            let below = law.share_below(gap);
            (below - i as f64 / n).abs().max(((i + 1) as f64 / n - below).abs())
        };
        gaps.iter().enumerate().map(off).fold(0.0, f64::max)
    }

    /// Critical distance at one in a thousand.
    fn critical(n: usize) -> f64 {
        1.95 / (n as f64).sqrt()
    }

    fn gaps(arrivals: impl Iterator<Item = Arrival>, unit: f64) -> Vec<f64> {
        let times: Vec<f64> = arrivals.map(|a| a.at.as_secs_f64()).collect();
        times.windows(2).map(|w| (w[1] - w[0]) / unit).collect()
    }

    #[test]
    fn a_constant_rate_keeps_its_grid_to_the_end() {
        let arrivals = drawn(Process::Constant, 30_000.0, 0);
        let last = arrivals.sequence(7).nth(3_000_000).expect("endless");
        assert_eq!((last.at, last.index), (Duration::from_secs(100), 3_000_000));
    }

    #[test]
    fn the_lanes_of_a_constant_rate_interleave_into_the_grid() {
        let arrivals = drawn(Process::Constant, 1000.0, 0);
        let all: Vec<_> = arrivals.sequence(4).take(400).collect();
        for lane in 0..4 {
            let mine: Vec<_> = all.iter().filter(|a| a.lane == lane).collect();
            assert!(mine.windows(2).all(|w| w[1].at == w[0].at + Duration::from_millis(4)));
            assert_eq!(mine[0].at, Duration::from_millis(u64::from(lane)));
        }
    }

    #[test]
    fn the_whole_and_every_lane_of_a_poisson_load_are_poisson_processes() {
        let arrivals = drawn(Process::Poisson, 500.0, 42);
        let whole = gaps(arrivals.sequence(3).take(60_000), 1.0 / 500.0);
        assert!(distance(whole.clone(), GapLaw::Exponential) < critical(whole.len()));
        let mut counts = Vec::new();
        for lane in 0..3 {
            let mine = gaps(arrivals.sequence(3).take(60_000).filter(|a| a.lane == lane), 3.0 / 500.0);
            assert!(distance(mine.clone(), GapLaw::Exponential) < critical(mine.len()), "lane {lane}");
            counts.push(mine.len() as f64);
        }
        // Independence of the lanes: which lane an arrival falls to says nothing of the next one's.
        let lanes: Vec<u32> = arrivals.sequence(3).take(60_000).map(|a| a.lane).collect();
        let same = lanes.windows(2).filter(|w| w[0] == w[1]).count() as f64 / 59_999.0;
        assert!((same - 1.0 / 3.0).abs() < 0.01, "{same}");
        assert!(counts.iter().all(|c| (c / 20_000.0 - 1.0).abs() < 0.03), "{counts:?}");
    }

    #[test]
    fn gamma_gaps_have_their_shape_in_the_whole_and_in_each_lane() {
        for shape in [0.25, 1.0, 4.0] {
            // One a second: a fast rate would round the shortest of these gaps to whole nanoseconds.
            let arrivals = drawn(Process::Gamma { shape }, 1.0, 7);
            let whole = gaps(arrivals.sequence(2).take(40_000), 1.0);
            assert!(distance(whole.clone(), GapLaw::of(Process::Gamma { shape }, 1)) < critical(whole.len()));
            let lane = gaps(arrivals.sequence(2).take(40_000).filter(|a| a.lane == 1), 2.0);
            assert!(distance(lane.clone(), GapLaw::of(Process::Gamma { shape }, 2)) < critical(lane.len()));
            let mean = whole.iter().sum::<f64>() / whole.len() as f64;
            assert!((mean - 1.0).abs() < 0.05, "{shape}: {mean}");
        }
    }

    #[test]
    fn a_staged_poisson_load_is_one_of_unit_rate_on_its_own_clock() {
        let stage = |from, to, s| Stage { from, to, length: Some(Duration::from_secs(s)) };
        let profile =
            Profile::try_new(vec![stage(0.0, 400.0, 50), stage(400.0, 400.0, 20), stage(50.0, 50.0, 40)])
                .expect("valid");
        let arrivals = Arrivals::Drawn { process: Process::Poisson, profile: profile.clone(), seed: 3 };
        let positions: Vec<f64> =
            arrivals.sequence(1).map(|a| profile.expected(a.at.as_secs_f64())).collect();
        let gaps: Vec<f64> = positions.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(distance(gaps, GapLaw::Exponential) < critical(positions.len()));
        // 10,000 + 8,000 + 2,000 expected; four standard deviations.
        assert!((positions.len() as f64 - 20_000.0).abs() < 4.0 * 20_000f64.sqrt(), "{}", positions.len());
    }

    proptest! {
        #[test]
        fn the_fleets_arrivals_are_the_same_whatever_the_fleet(
            seed: u64, which in 0u8..3, workers in proptest::collection::vec(1u32..4, 1..6),
        ) {
            let process = [Process::Constant, Process::Poisson, Process::Gamma { shape: 0.5 }][usize::from(which)];
            let arrivals = drawn(process, 50.0, seed);
            let of: u32 = workers.iter().sum();
            let mut first = 0;
            let mut merged = Vec::new();
            for count in workers {
                let lanes = Lanes { first, count, of };
                first += count;
                merged.extend(arrivals.sequence(of).take(500).filter(|a| lanes.hold(a.lane)).map(|a| (a.index, a.at)));
            }
            merged.sort_unstable();
            let whole: Vec<_> = arrivals.sequence(1).take(500).map(|a| (a.index, a.at)).collect();
            prop_assert_eq!(merged, whole);
        }
    }

    #[test]
    fn a_replay_ends_with_its_list() {
        let times: Vec<_> = [0, 5, 5, 9].map(Duration::from_millis).into();
        let arrivals = Arrivals::Replay(times.clone().into());
        assert_eq!(arrivals.sequence(2).map(|a| a.at).collect::<Vec<_>>(), times);
        assert_eq!(arrivals.sequence(2).map(|a| a.lane).collect::<Vec<_>>(), [0, 1, 0, 1]);
        assert_eq!(arrivals.length(), Some(Duration::from_millis(9)));
    }
}
