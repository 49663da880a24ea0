//! Closed load: a fixed number of requests in flight.

use fluxfleet_proto::clock::Mono;

/// Slots of thread `index` out of `threads`, so that together they hold exactly `in_flight`. Threads beyond
/// the number of slots get none.
pub(crate) fn slots(in_flight: u32, threads: usize, index: usize) -> usize {
    let in_flight = in_flight as usize;
    in_flight / threads + usize::from(index < in_flight % threads)
}

/// One place in flight. A request is meant to start the moment its slot is free: at the start barrier, then
/// whenever the slot's previous request has ended.
#[derive(Debug)]
pub(crate) struct ClosedSlot {
    free_since: Mono,
}

impl ClosedSlot {
    /// A slot that is free from the release at the start barrier on.
    pub(crate) fn new(released: Mono) -> Self {
        Self { free_since: released }
    }

    /// When the next request is meant to start.
    pub(crate) fn intended(&self) -> Mono {
        self.free_since
    }

    /// The slot's request has ended.
    pub(crate) fn ended(&mut self, at: Mono) {
        self.free_since = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_threads_hold_exactly_what_is_to_be_in_flight(in_flight in 0u32..10_000, threads in 1usize..200) {
            let split: Vec<_> = (0..threads).map(|i| slots(in_flight, threads, i)).collect();
            prop_assert_eq!(split.iter().sum::<usize>(), in_flight as usize);
            prop_assert!(split.iter().max().unwrap() - split.iter().min().unwrap() <= 1);
        }
    }
}
