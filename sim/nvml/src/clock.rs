//! The one clock of the library.

use rustix::time::{ClockId, clock_gettime};

/// One instant on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds of `CLOCK_MONOTONIC`, the clock that scripts count on.
    pub monotonic_ns: u64,
    /// Microseconds since 1970.
    pub unix_us: i64,
}

impl Now {
    /// This instant.
    pub fn read() -> Self {
        let unix = clock_gettime(ClockId::Realtime);
        Self { monotonic_ns: monotonic_ns(), unix_us: unix.tv_sec * 1_000_000 + unix.tv_nsec / 1_000 }
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, for a script's `epoch_ns`.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
