//! *What* is asked for next: each item of the share, exactly once, whichever thread comes first.
//!
//! This is a closed load's bookkeeping. In an open load the fleet's sequence of arrivals says what is asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fluxfleet_proto::load::{Limits, Warmup};
use fluxfleet_proto::tally::Phase;
use fluxfleet_proto::trial::Share;

/// The items of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Which phase the request belongs to.
    pub(crate) phase: Phase,
    /// Index of the first item within the phase.
    pub(crate) first: u64,
    /// How many.
    pub(crate) items: u32,
}

/// The share's items, handed out in order. Shared by all load threads.
#[derive(Debug)]
pub(crate) struct Claims {
    warmup: Range,
    measured: Range,
    /// Requests meant to start before this are warm-up, as long as there are warm-up items.
    warm_until: Duration,
    duration: Option<Duration>,
    /// When the first measured request was meant to start, in nanoseconds since the start; `u64::MAX` before it is
    /// known.
    measuring_since: AtomicU64,
    closed: AtomicBool,
}

/// Items handed out in order. On cache lines of its own: all threads count here with each request, and what lies
/// beside it would travel from core to core with it (128: processors fetch lines in pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Range {
    first: u64,
    items: u64,
    taken: AtomicU64,
}

impl Range {
    fn new(first: u64, items: u64) -> Self {
        Self { first, items, taken: AtomicU64::new(0) }
    }

    fn take(&self, size: u32, phase: Phase) -> Option<Claim> {
        let take = |taken: u64| (self.items - taken).min(size.into());
        // Nothing else is published through the counter, so no ordering is needed.
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.items).then(|| taken + take(taken))
            })
            .ok()?;
        let items = u32::try_from(take(taken)).unwrap_or(size);
        Some(Claim { phase, first: self.first + taken, items })
    }
}

impl Claims {
    /// All items of a share.
    pub(crate) fn new(share: Share, limits: Limits) -> Self {
        let Share { first_item, items, in_flight: _ } = share;
        let (warmup, warm_until) = match limits.warmup {
            Warmup::None => (0, Duration::ZERO),
            Warmup::Time(time) => (Share::UNBOUNDED, time),
            Warmup::Items(items) => (items, Duration::MAX),
        };
        // A measured phase that begins after a time begins then, whenever its first request does.
        let measuring_since = match limits.warmup {
            Warmup::None => 0,
            Warmup::Time(time) => nanos(time),
            Warmup::Items(_) => u64::MAX,
        };
        Self {
            warmup: Range::new(first_item, warmup),
            measured: Range::new(first_item, items),
            warm_until,
            duration: limits.duration,
            measuring_since: AtomicU64::new(measuring_since),
            closed: AtomicBool::new(false),
        }
    }

    /// The next `size` items, or as many as are left, for a request that is meant to start `at`, since the start.
    /// `None`: there are none, their time is up, or no more may be sent.
    pub(crate) fn claim(&self, size: u32, at: Duration) -> Option<Claim> {
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        if at < self.warm_until
            && let Some(claim) = self.warmup.take(size, Phase::Warmup)
        {
            return Some(claim);
        }
        if let Some(duration) = self.duration
            && at >= self.measuring_since(at).saturating_add(duration)
        {
            return None;
        }
        self.measured.take(size, Phase::Measure)
    }

    /// When the measured phase began; that is `at`, if nobody was there before.
    fn measuring_since(&self, at: Duration) -> Duration {
        let mut since = self.measuring_since.load(Ordering::Relaxed);
        // Only then: an exchange takes the line from the other cores even where it changes nothing.
        if since == u64::MAX {
            let first =
                self.measuring_since.compare_exchange(since, nanos(at), Ordering::Relaxed, Ordering::Relaxed);
            since = first.map_or_else(|known| known, |_| nanos(at));
        }
        Duration::from_nanos(since)
    }

    /// Nothing more is handed out.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Items of the measured phase not handed out.
    pub(crate) fn left(&self) -> u64 {
        self.measured.items - self.measured.taken.load(Ordering::Relaxed)
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX - 1).min(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Mutex;

    const NONE: Limits = Limits { warmup: Warmup::None, duration: None };

    fn share(first_item: u64, items: u64) -> Share {
        Share { first_item, items, in_flight: 1 }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn measured(first: u64, items: u32) -> Claim {
        Claim { phase: Phase::Measure, first, items }
    }

    fn warmup(first: u64, items: u32) -> Claim {
        Claim { phase: Phase::Warmup, first, items }
    }

    proptest! {
        #[test]
        fn every_item_is_handed_out_once_by_racing_threads(
            first_item in 0u64..1_000_000, items in 0u64..2_000, warm in 0u64..100, size in 1u32..9,
            threads in 1usize..5,
        ) {
            let limits = Limits { warmup: Warmup::Items(warm), duration: None };
            let claims = Claims::new(share(first_item, items), limits);
            let seen = Mutex::new((Vec::new(), 0));
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        while let Some(claim) = claims.claim(size, ms(1)) {
                            let mut seen = seen.lock().unwrap();
                            match claim.phase {
                                Phase::Warmup => seen.1 += u64::from(claim.items),
                                Phase::Measure => {
                                    let end = claim.first + u64::from(claim.items);
                                    seen.0.extend(claim.first..end);
                                }
                            }
                        }
                    });
                }
            });
            let (mut seen, warmed) = seen.into_inner().unwrap();
            seen.sort_unstable();
            prop_assert_eq!(seen, (first_item..first_item + items).collect::<Vec<_>>());
            prop_assert_eq!((warmed, claims.left()), (warm, 0));
        }
    }

    #[test]
    fn the_last_request_asks_for_what_is_left_even_at_the_end_of_the_number_range() {
        let claims = Claims::new(share(0, u64::MAX), NONE);
        claims.measured.taken.store(u64::MAX - 3, Ordering::Relaxed);
        assert_eq!(claims.claim(4, ms(0)), Some(measured(u64::MAX - 3, 3)));
        assert_eq!(claims.claim(4, ms(0)), None);
    }

    #[test]
    fn closed_claims_hand_out_nothing() {
        let claims = Claims::new(share(5, 3), NONE);
        assert_eq!(claims.claim(1, ms(0)), Some(measured(5, 1)));
        claims.close();
        assert_eq!((claims.claim(1, ms(0)), claims.left()), (None, 2));
    }

    #[test]
    fn a_warm_up_by_time_is_counted_apart_and_the_measured_time_begins_after_it() {
        let limits = Limits { warmup: Warmup::Time(ms(100)), duration: Some(ms(50)) };
        let claims = Claims::new(share(0, Share::UNBOUNDED), limits);
        assert_eq!(claims.claim(2, ms(0)), Some(warmup(0, 2)));
        assert_eq!(claims.claim(2, ms(99)), Some(warmup(2, 2)));
        assert_eq!(claims.claim(2, ms(120)), Some(measured(0, 2)));
        assert_eq!(claims.claim(2, ms(149)), Some(measured(2, 2)));
        assert_eq!(claims.claim(2, ms(150)), None);
    }

    #[test]
    fn after_a_warm_up_by_items_the_measured_time_begins_with_its_first_request() {
        let limits = Limits { warmup: Warmup::Items(3), duration: Some(ms(50)) };
        let claims = Claims::new(share(7, 100), limits);
        assert_eq!(claims.claim(2, ms(0)), Some(warmup(7, 2)));
        assert_eq!(claims.claim(2, ms(900)), Some(warmup(9, 1)));
        assert_eq!(claims.claim(2, ms(1000)), Some(measured(7, 2)));
        assert_eq!(claims.claim(2, ms(1049)), Some(measured(9, 2)));
        assert_eq!(claims.claim(2, ms(1050)), None);
        assert_eq!(claims.left(), 96);
    }
}
