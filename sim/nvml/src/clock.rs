//! The one clock of the library.

use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// One instant on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds of `CLOCK_MONOTONIC`, the clock that scripts count on.
    pub monotonic_ns: u64,
    /// Nanoseconds since 1970.
    pub unix_ns: i64,
}

/// By how much Unix time is ahead of `CLOCK_MONOTONIC`, in nanoseconds, as it was taken to be last.
static AHEAD_NS: AtomicI64 = AtomicI64::new(0);

/// The clocks are read one after the other, so what they differ by is never seen twice the same; but a driver stamps a
/// sample once, and its stamp stays. Within this much the difference counts as unchanged. Slewing (500 ppm) moves it on
/// every other second at most. A step shows at once.
const UNCHANGED_NS: i64 = 1_000_000;

/// Reads of the two clocks are tried again when something came in between.
const TRIES: usize = 8;

impl Now {
    /// This instant.
    pub fn read() -> Self {
        let (mut monotonic, mut ahead) = look();
        for _ in 1..TRIES {
            let (later, again) = look();
            let apart = (again - ahead).abs();
            (monotonic, ahead) = (later, again);
            if apart < UNCHANGED_NS / 10 {
                break;
            }
        }
        // In one step, so that threads which read at the same time agree. The closure gives a value always.
        let settle = |kept| Some(settled(kept, ahead));
        let (Ok(kept) | Err(kept)) = AHEAD_NS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, settle);
        let ahead = settled(kept, ahead);
        Self { monotonic_ns: monotonic, unix_ns: monotonic.cast_signed() + ahead }
    }

    /// Microseconds since 1970.
    pub fn unix_us(self) -> i64 {
        self.unix_ns.div_euclid(1_000)
    }
}

/// `CLOCK_MONOTONIC`, and by how much Unix time is ahead of it.
fn look() -> (u64, i64) {
    let unix = clock_gettime(ClockId::Realtime);
    let monotonic = monotonic_ns();
    (monotonic, unix.tv_sec * 1_000_000_000 + unix.tv_nsec - monotonic.cast_signed())
}

fn settled(kept: i64, seen: i64) -> i64 {
    if (seen - kept).abs() <= UNCHANGED_NS { kept } else { seen }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, for a script's `epoch_ns`.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_clocks_differ_by_stays_until_one_of_them_steps() {
        assert_eq!(settled(5_000_000, 5_999_999), 5_000_000);
        assert_eq!(settled(5_000_000, 4_000_001), 5_000_000);
        assert_eq!(settled(5_000_000, 6_000_001), 6_000_001);
        assert_eq!(settled(5_000_000, -3_600_000_000_000), -3_600_000_000_000);
    }
}
