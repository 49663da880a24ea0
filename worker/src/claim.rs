//! *What* is asked for next: each item of the share, exactly once, whichever thread comes first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fluxfleet_proto::trial::Share;

/// The items of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Index of the first item within the plan.
    pub(crate) first: u64,
    /// How many.
    pub(crate) items: u32,
}

/// The share's items, handed out in order. Shared by all load threads.
#[derive(Debug)]
pub(crate) struct Claims {
    first: u64,
    items: u64,
    claimed: AtomicU64,
    closed: AtomicBool,
}

impl Claims {
    /// All items of a share.
    pub(crate) fn new(share: Share) -> Self {
        let Share { first_item, items, in_flight: _ } = share;
        Self { first: first_item, items, claimed: AtomicU64::new(0), closed: AtomicBool::new(false) }
    }

    /// The next `size` items, or as many as are left. `None`: there are none, or no more may be sent.
    pub(crate) fn claim(&self, size: u32) -> Option<Claim> {
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let take = |claimed: u64| (self.items - claimed).min(size.into());
        // Nothing else is published through the counter, so no ordering is needed.
        let claimed = self
            .claimed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |claimed| {
                (claimed < self.items).then(|| claimed + take(claimed))
            })
            .ok()?;
        let items = u32::try_from(take(claimed)).unwrap_or(size);
        Some(Claim { first: self.first + claimed, items })
    }

    /// Nothing more is handed out.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Items handed out so far.
    pub(crate) fn claimed(&self) -> u64 {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Items not handed out.
    pub(crate) fn left(&self) -> u64 {
        self.items - self.claimed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Mutex;

    proptest! {
        #[test]
        fn every_item_is_handed_out_once_by_racing_threads(
            first_item in 0u64..1_000_000, items in 0u64..2_000, size in 1u32..9, threads in 1usize..5,
        ) {
            let claims = Claims::new(Share { first_item, items, in_flight: 1 });
            let seen = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        while let Some(claim) = claims.claim(size) {
                            let end = claim.first + u64::from(claim.items);
                            seen.lock().unwrap().extend(claim.first..end);
                        }
                    });
                }
            });
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            prop_assert_eq!(seen, (first_item..first_item + items).collect::<Vec<_>>());
            prop_assert_eq!(claims.left(), 0);
        }
    }

    #[test]
    fn the_last_request_asks_for_what_is_left_even_at_the_end_of_the_number_range() {
        let claims = Claims::new(Share { first_item: 0, items: u64::MAX, in_flight: 1 });
        claims.claimed.store(u64::MAX - 3, Ordering::Relaxed);
        assert_eq!(claims.claim(4), Some(Claim { first: u64::MAX - 3, items: 3 }));
        assert_eq!(claims.claim(4), None);
    }

    #[test]
    fn closed_claims_hand_out_nothing() {
        let claims = Claims::new(Share { first_item: 5, items: 3, in_flight: 1 });
        assert_eq!(claims.claim(1), Some(Claim { first: 5, items: 1 }));
        claims.close();
        assert_eq!((claims.claim(1), claims.left()), (None, 2));
    }
}
