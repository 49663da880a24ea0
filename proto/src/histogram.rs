//! Counts of durations, in the layout of an HdrHistogram, and the bytes that every HdrHistogram implementation reads.
//!
//! The layout is that of 1 us to 2^32 - 1 us with three significant digits: durations below 2048 us are told apart by
//! one microsecond, and each doubling from there on has 1024 buckets (see
//! <https://github.com/HdrHistogram/HdrHistogram>). Laid out in full that takes 190 KB, for each of a dozen histograms
//! in each interval of each worker. Nearly all of it would be zeros, since the durations of one service spread over a few
//! doublings, and each page of it would be fetched from the kernel. So memory is taken only for the doublings where
//! something was counted.

mod v2;

pub use v2::{InvalidHistogram, decode, encode, encode_base64};

/// Shortest duration told apart, in microseconds.
pub const LOWEST_US: u64 = 1;
/// Longest duration held, in microseconds: 71 min 34.9 s. Longer ones are counted as overflow.
pub const HIGHEST_US: u64 = (1 << 32) - 1;
/// Significant decimal digits kept.
pub const DIGITS: u8 = 3;

/// Buckets of an octave: as many to a doubling that each is less than a thousandth of what it holds.
const BUCKETS: usize = 1 << BUCKETS_LOG2;
const BUCKETS_LOG2: u32 = 10;
/// Octaves up to [`HIGHEST_US`]. Octave 0 holds what is below 1024 us, octave `n` from there on what is below 2^(n + 10)
/// us and not in the one before, in buckets of 2^(n - 1) us.
const OCTAVES: usize = (u64::BITS - HIGHEST_US.leading_zeros() - BUCKETS_LOG2 + 1) as usize;
/// Octaves whose memory is at hand in a [prepared](Histogram::prepared) histogram: durations below 16.4 ms.
const PREPARED: usize = 5;

type Octave = Box<[u64; BUCKETS]>;

/// How many durations of each size there were. Merging two gives exactly what counting everything in one would have
/// given.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// `None`: nothing was counted in it, ever. One that was cleared keeps its memory.
    octaves: [Option<Octave>; OCTAVES],
    count: u64,
}

/// Durations that are not told apart, and how many of them there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its shortest duration in microseconds.
    pub lowest: u64,
    /// Its longest duration in microseconds.
    pub highest: u64,
    /// Durations counted.
    pub count: u64,
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.recorded().eq(other.recorded())
    }
}

fn empty_octave() -> Octave {
    // By way of a vector, which takes zeroed memory as it comes; an array would be made on the stack and copied.
    let counts = vec![0; BUCKETS].into_boxed_slice();
    counts.try_into().expect("of that length")
}

/// Octave and place in it; an octave that there is not for durations beyond [`HIGHEST_US`].
#[expect(clippy::cast_possible_truncation, reason = "masked")]
fn place(us: u64) -> (usize, usize) {
    // With the low bits set, whatever is below 1024 falls into the first octave.
    let octave = u64::BITS - BUCKETS_LOG2 - (us | (BUCKETS as u64 - 1)).leading_zeros();
    (octave as usize, (us >> octave.saturating_sub(1)) as usize & (BUCKETS - 1))
}

/// Shortest and longest duration of a bucket.
fn bounds(octave: usize, bucket: usize) -> (u64, u64) {
    let Some(doublings) = octave.checked_sub(1) else { return (bucket as u64, bucket as u64) };
    let lowest = ((BUCKETS + bucket) as u64) << doublings;
    (lowest, lowest + (1 << doublings) - 1)
}

impl Histogram {
    /// Nothing counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing counted, and the memory for what a fast service mostly takes at hand and touched: the first durations
    /// take no longer to count than later ones.
    pub fn prepared() -> Self {
        let mut histogram = Self::new();
        for octave in &mut histogram.octaves[..PREPARED] {
            octave.insert(empty_octave()).fill(0);
        }
        histogram
    }

    /// Counts one duration. `false`: it is beyond [`HIGHEST_US`] and not counted.
    #[must_use]
    pub fn record(&mut self, us: u64) -> bool {
        let (octave, bucket) = place(us);
        let Some(octave) = self.octaves.get_mut(octave) else { return false };
        // One by one neither reaches 2^64, but together with what has come from elsewhere it might.
        let count = &mut octave.get_or_insert_with(empty_octave)[bucket];
        *count = count.saturating_add(1);
        self.count = self.count.saturating_add(1);
        true
    }

    /// Adds everything that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        for (mine, theirs) in self.octaves.iter_mut().zip(&other.octaves) {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => {
                    mine.iter_mut().zip(theirs.iter()).for_each(|(m, t)| *m = m.saturating_add(*t));
                }
                (mine @ None, Some(theirs)) if theirs.iter().any(|count| *count > 0) => {
                    *mine = Some(theirs.clone());
                }
                _ => {}
            }
        }
        self.count = self.count.saturating_add(other.count);
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        // What holds nothing needs no clearing, which would touch all of its memory.
        if !self.is_empty() {
            self.octaves.iter_mut().flatten().for_each(|octave| octave.fill(0));
            self.count = 0;
        }
    }

    /// Durations counted.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it has memory to count in without asking for more, as after the first duration.
    pub fn has_memory(&self) -> bool {
        self.octaves.iter().any(Option::is_some)
    }

    /// The buckets in which something was counted, the shortest durations first.
    pub fn recorded(&self) -> impl Iterator<Item = Bucket> {
        let octaves = self.octaves.iter().enumerate().filter_map(|(n, octave)| Some((n, octave.as_ref()?)));
        octaves.flat_map(|(octave, counts)| {
            let counted = counts.iter().copied().enumerate().filter(|(_, count)| *count > 0);
            counted.map(move |(bucket, count)| {
                let (lowest, highest) = bounds(octave, bucket);
                Bucket { lowest, highest, count }
            })
        })
    }

    /// The longest duration of the bucket that holds the duration of this rank, from 1 for the shortest. `None` beyond
    /// what was counted.
    pub fn at_rank(&self, rank: u64) -> Option<u64> {
        let mut left = rank.max(1);
        self.recorded().find_map(|bucket| {
            let there = left <= bucket.count;
            left -= bucket.count.min(left);
            there.then_some(bucket.highest)
        })
    }

    /// Durations counted of at most so many microseconds, and those that are not told apart from them.
    pub fn at_most(&self, us: u64) -> u64 {
        self.recorded().take_while(|bucket| bucket.lowest <= us).map(|bucket| bucket.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram as Reference;
    use proptest::prelude::*;

    fn reference() -> Reference<u64> {
        Reference::new_with_bounds(LOWEST_US, HIGHEST_US, DIGITS).expect("the constants are a valid layout")
    }

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        for us in values {
            assert!(histogram.record(*us));
        }
        histogram
    }

    /// Of each size alike.
    fn durations() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::vec(
            (0u32..32, any::<u32>()).prop_map(|(bits, us)| u64::from(us >> bits)),
            0..200,
        )
    }

    proptest! {
        // The reference is 190 KB: some dozens of them say as much as hundreds.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn buckets_are_those_of_the_reference(values in durations()) {
            let mut theirs = reference();
            for us in &values {
                theirs.record(*us).expect("in range");
            }
            let expected: Vec<_> = theirs
                .iter_recorded()
                .map(|value| Bucket {
                    lowest: theirs.lowest_equivalent(value.value_iterated_to()),
                    highest: theirs.highest_equivalent(value.value_iterated_to()),
                    count: value.count_since_last_iteration(),
                })
                .collect();
            let ours = of(&values);
            prop_assert_eq!(ours.recorded().collect::<Vec<_>>(), expected);
            prop_assert_eq!(ours.len(), theirs.len());
            for us in values {
                prop_assert_eq!(ours.at_most(us), theirs.count_between(0, us));
            }
        }

        #[test]
        fn the_duration_of_a_rank_is_in_its_bucket(mut values in durations(), rank in 1u64..220) {
            let found = of(&values).at_rank(rank);
            values.sort_unstable();
            let exact = usize::try_from(rank).ok().and_then(|rank| values.get(rank - 1));
            prop_assert_eq!(found, exact.map(|us| reference().highest_equivalent(*us)));
        }
    }

    #[test]
    fn the_layout_ends_where_it_says() {
        let mut histogram = Histogram::new();
        assert!(
            histogram.record(HIGHEST_US) && !histogram.record(HIGHEST_US + 1) && !histogram.record(u64::MAX)
        );
        assert_eq!((histogram.len(), histogram.at_rank(1)), (1, Some(HIGHEST_US)));
        assert_eq!(OCTAVES * BUCKETS, reference().distinct_values());
    }

    #[test]
    fn memory_is_taken_where_something_is_counted_and_kept_when_it_is_cleared() {
        let octaves = |h: &Histogram| h.octaves.iter().flatten().count();
        let mut histogram = of(&[1, 2, 1_000_000]);
        assert_eq!(octaves(&histogram), 2);
        histogram.clear();
        assert_eq!((octaves(&histogram), &histogram), (2, &Histogram::new()));
        // What was cleared is no reason to take memory elsewhere.
        assert!(histogram.record(7));
        let mut other = Histogram::new();
        other.merge(&histogram);
        assert_eq!((octaves(&other), &other), (1, &of(&[7])));
        assert!(!Histogram::new().has_memory() && Histogram::prepared().has_memory());
    }

    #[test]
    fn counts_from_elsewhere_do_not_wrap_around() {
        let mut histogram = of(&[5]);
        for _ in 0..70 {
            let twin = histogram.clone();
            histogram.merge(&twin);
        }
        assert_eq!((histogram.len(), histogram.at_rank(u64::MAX)), (u64::MAX, Some(5)));
        assert!(histogram.record(5));
    }
}
