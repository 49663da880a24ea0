//! The process's monotonic clock, and the offset between two processes' clocks.
//!
//! Every instant that crosses the wire is a [`Mono`] of its sender. The coordinator alone maps one clock onto
//! another, through a [`ClockOffset`].

use std::ops::{Add, Sub};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::units::Micros;

/// An instant on some process's monotonic clock, in nanoseconds since that clock's arbitrary zero. Negative
/// where a peer's instant, mapped onto this process's clock, lies before its zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(i64);

impl Mono {
    /// From nanoseconds since the clock's zero.
    pub const fn from_nanos(ns: i64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the clock's zero.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Time passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Time passed since `earlier` to the nearest microsecond; zero if `earlier` is later. Each request is measured by it
    /// several times, so it goes without a [`Duration`], which has to be divided into seconds and put together again.
    pub fn micros_since(self, earlier: Self) -> Micros {
        Micros::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Signed nanoseconds since `other`.
    pub const fn signed_nanos_since(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(d)))
    }
}

fn nanos(d: Duration) -> i64 {
    // Not by `as_nanos`, whose 128 bits every reading of the clock would pay for.
    let seconds = i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(d.subsec_nanos()))
}

/// The only way from the machine's clocks to a [`Mono`] or a wall time.
#[derive(Clone, Copy, Debug)]
pub struct Clock;

static ZERO: LazyLock<Instant> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    Instant::now()
});

impl Clock {
    /// Now, on this process's clock. Its zero is the first call.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    pub fn now() -> Mono {
        let zero = *ZERO;
        Mono(nanos(Instant::now().duration_since(zero)))
    }

    /// The `std` instant of a [`Mono`], for timers. Instants before the clock's zero become the zero.
    pub fn instant(at: Mono) -> Instant {
        *ZERO + at.since(Mono(0))
    }

    /// Wall time now, since the Unix epoch. Zero on a machine whose clock stands before 1970.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    pub fn wall() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// How far a peer's clock is ahead of this process's, and how wrong that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// Peer's clock minus ours, in nanoseconds.
    pub offset_ns: i64,
    /// The true offset lies within `offset_ns` plus or minus this.
    pub error_ns: u64,
}

impl ClockOffset {
    /// From one ping: sent and answered by our clock, received and answered by the peer's. The offset is the
    /// midpoint estimate of NTP (RFC 5905, section 8) and the error half the round trip, which holds however
    /// unequal the two ways are.
    ///
    /// `None` when the four instants contradict each other.
    pub fn from_exchange(sent: Mono, received: Mono, replied: Mono, returned: Mono) -> Option<Self> {
        let outer = i128::from(returned.0) - i128::from(sent.0);
        let inner = i128::from(replied.0) - i128::from(received.0);
        let round_trip = outer - inner;
        if outer < 0 || inner < 0 || round_trip < 0 {
            return None;
        }
        let doubled =
            (i128::from(received.0) - i128::from(sent.0)) + (i128::from(replied.0) - i128::from(returned.0));
        Some(Self {
            offset_ns: i64::try_from(doubled / 2).ok()?,
            // Rounded up, with one for the division above.
            error_ns: u64::try_from(round_trip / 2 + 1).ok()?,
        })
    }

    /// Maps an instant of the peer's clock onto ours.
    pub fn to_local(self, peer: Mono) -> Mono {
        Mono(peer.0.saturating_sub(self.offset_ns))
    }

    /// Maps an instant of our clock onto the peer's.
    pub fn to_peer(self, local: Mono) -> Mono {
        Mono(local.0.saturating_add(self.offset_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: i64) -> Mono {
        Mono::from_nanos(ns)
    }

    #[test]
    fn microseconds_since_are_those_of_the_duration_since() {
        for (later, earlier) in
            [(0, 0), (499, 0), (500, 0), (1_499, -1), (1_500, 0), (0, 9), (7_000_000_499, -2)]
        {
            assert_eq!(at(later).micros_since(at(earlier)), at(later).since(at(earlier)).into());
        }
        let longest = at(i64::MAX).micros_since(at(i64::MIN));
        assert_eq!(longest, at(i64::MAX).since(at(i64::MIN)).into());
    }

    #[test]
    fn the_true_offset_lies_within_the_error_however_unequal_the_ways_are() {
        for (out, back) in [(0, 0), (10, 990), (990, 10), (500, 500), (0, 1001)] {
            for offset in [-5_000_000, 0, 7, 123_456_789] {
                let sent = 1_000;
                let received = sent + out + offset;
                let replied = received + 50;
                let returned = replied - offset + back;
                let found = ClockOffset::from_exchange(at(sent), at(received), at(replied), at(returned))
                    .expect("a possible exchange");
                let wrong = (found.offset_ns - offset).unsigned_abs();
                assert!(wrong <= found.error_ns, "off by {wrong}, said {}", found.error_ns);
                assert_eq!(found.to_local(found.to_peer(at(77))), at(77));
            }
        }
    }

    #[test]
    fn an_exchange_that_ends_before_it_began_is_refused() {
        assert_eq!(ClockOffset::from_exchange(at(10), at(0), at(0), at(9)), None);
        assert_eq!(ClockOffset::from_exchange(at(0), at(9), at(8), at(20)), None);
        assert_eq!(ClockOffset::from_exchange(at(0), at(0), at(30), at(20)), None);
    }
}
