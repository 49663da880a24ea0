//! A set of sample numbers, as ranges.

use std::collections::VecDeque;

/// Disjoint ranges of numbers, first and last included, in order; neighbours that touch are one.
///
/// Between two of them lies at least one number that is not in the set. In the ring that is a sample it holds, so
/// there are never more ranges than samples held, and one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(VecDeque<(u64, u64)>);

impl Ranges {
    /// Adds all numbers from `first` to `last`.
    pub(super) fn add(&mut self, mut first: u64, mut last: u64) {
        // Those before `from` end before `first` without touching it; those from `to` on begin after `last` so.
        let from = self.0.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = self.0.partition_point(|&(begin, _)| begin <= last.saturating_add(1));
        for &(begin, end) in self.0.range(from..to) {
            first = first.min(begin);
            last = last.max(end);
        }
        self.0.drain(from..to);
        self.0.insert(from, (first, last));
    }

    /// Removes all numbers up to and including `seq`.
    pub(super) fn forget_through(&mut self, seq: u64) {
        while let Some((first, last)) = self.0.front_mut() {
            if *first > seq {
                return;
            }
            if *last > seq {
                *first = seq + 1;
                return;
            }
            self.0.pop_front();
        }
    }

    /// The first range that reaches `seq`, without its numbers below that.
    pub(super) fn next_from(&self, seq: u64) -> Option<(u64, u64)> {
        let place = self.0.partition_point(|&(_, last)| last < seq);
        self.0.get(place).map(|&(first, last)| (first.max(seq), last))
    }

    /// Moves all of `other` into this.
    pub(super) fn append(&mut self, other: &mut Self) {
        for (first, last) in other.0.drain(..) {
            self.add(first, last);
        }
    }

    /// How many numbers are in it.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: &[(u64, u64)]) -> Ranges {
        let mut ranges = Ranges::default();
        for &(first, last) in of {
            ranges.add(first, last);
        }
        ranges
    }

    #[test]
    fn ranges_that_touch_or_overlap_are_one() {
        assert_eq!(ranges(&[(5, 5), (7, 7)]).0, [(5, 5), (7, 7)]);
        assert_eq!(ranges(&[(5, 5), (7, 7), (6, 6)]).0, [(5, 7)]);
        assert_eq!(ranges(&[(7, 9), (0, 2), (3, 3)]).0, [(0, 3), (7, 9)]);
        assert_eq!(ranges(&[(2, 3), (5, 6), (8, 9), (0, 20)]).0, [(0, 20)]);
        assert_eq!(ranges(&[(0, u64::MAX), (u64::MAX, u64::MAX)]).0, [(0, u64::MAX)]);
    }

    #[test]
    fn they_hold_what_a_set_of_numbers_would_hold() {
        let mut set = std::collections::BTreeSet::new();
        let mut ranges = Ranges::default();
        // Uneven but fixed steps over 0..64.
        for n in (0..64_u64).map(|n| n * 37 % 64).take(40) {
            set.insert(n);
            ranges.add(n, n);
            let all: Vec<u64> = ranges.0.iter().flat_map(|&(first, last)| first..=last).collect();
            assert_eq!(all, set.iter().copied().collect::<Vec<_>>());
            assert!(ranges.0.iter().zip(ranges.0.iter().skip(1)).all(|(a, b)| a.1 + 1 < b.0), "{ranges:?}");
            assert_eq!(ranges.count(), set.len() as u64);
        }
    }

    #[test]
    fn what_is_forgotten_may_end_within_a_range() {
        let mut ranges = ranges(&[(0, 3), (5, 9), (12, 12)]);
        ranges.forget_through(6);
        assert_eq!(ranges.0, [(7, 9), (12, 12)]);
        assert_eq!(ranges.next_from(0), Some((7, 9)));
        assert_eq!(ranges.next_from(8), Some((8, 9)));
        assert_eq!(ranges.next_from(10), Some((12, 12)));
        assert_eq!(ranges.next_from(13), None);
        ranges.forget_through(u64::MAX);
        assert_eq!(ranges, Ranges::default());
    }
}
