//! When to dial again.

use std::time::Duration;

/// The wait after the first failed try, before it is varied.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits between tries: doubled from 0.2 s to 5 s, each shortened by up to half at random, so that the agents of a
/// fleet do not all dial in the same moment. Before the first try there is none.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    tries: u32,
    random: u64,
}

impl Backoff {
    /// Waits that vary as `seed` has it.
    pub(super) fn new(seed: u64) -> Self {
        Self { tries: 0, random: seed }
    }

    /// How long to wait before the next try.
    pub(super) fn next(&mut self) -> Duration {
        let Some(doublings) = self.tries.checked_sub(1) else {
            self.tries = 1;
            return Duration::ZERO;
        };
        self.tries = self.tries.saturating_add(1);
        let whole = FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST);
        whole.mul_f64(1.0 - self.uniform() / 2.0)
    }

    /// The next of a sequence of numbers from 0 to below 1: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_is_at_once_and_waits_double_up_to_five_seconds() {
        let mut backoff = Backoff::new(1);
        assert_eq!(backoff.next(), Duration::ZERO);
        for whole in [200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
            let (wait, whole) = (backoff.next(), Duration::from_millis(whole));
            assert!(wait > whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= LONGEST);
        }
    }

    #[test]
    fn two_agents_wait_differently() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            [(); 5].map(|()| backoff.next())
        };
        assert_eq!(waits(3), waits(3));
        assert_ne!(waits(3)[1..], waits(4)[1..]);
    }
}
