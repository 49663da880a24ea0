//! One-sided bounds of an offset.

use fluxfleet_proto::clock::Mono;

use super::drift;

/// Bounds kept on one side of a segment. Pings come once a second, so that is more than an hour; then the better of two
/// neighbours is kept, and so on: after eight hours, one for each 8 s, between which drift adds 400 us at most.
const KEPT: usize = 4096;

/// Bounds closer together than this count as neighbours from the beginning. Shorter than the pings' period.
const SPACING_NS: i64 = 1_000_000;

/// Stands for "no bound": far beyond any clock, and still safe to add to.
pub(super) const NONE: i64 = i64::MAX / 4;

/// An offset, or its negative, is not above this at an instant; away from it the bound loosens by drift.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// The ping went out then: the peer read its clock later.
    pub(super) sent: Mono,
    /// The answer was here then: the peer had read its clock. The bound holds at this instant.
    pub(super) returned: Mono,
    /// In nanoseconds.
    pub(super) ns: i64,
}

impl Bound {
    /// What it says at another instant.
    pub(super) fn at(&self, at: Mono) -> i64 {
        self.ns.saturating_add(drift(at.signed_nanos_since(self.returned)))
    }
}

/// All bounds on one side, by time.
#[derive(Clone, Debug)]
pub(super) struct Side {
    bounds: Vec<Bound>,
    spacing_ns: i64,
}

impl Side {
    /// One bound.
    pub(super) fn new(bound: Bound) -> Self {
        Self { bounds: vec![bound], spacing_ns: SPACING_NS }
    }

    /// The tightest at an instant; [`NONE`] when there is no bound.
    pub(super) fn at(&self, at: Mono) -> i64 {
        self.bounds.iter().map(|b| b.at(at)).min().unwrap_or(NONE).min(NONE)
    }

    /// All bounds, by time.
    pub(super) fn bounds(&self) -> &[Bound] {
        &self.bounds
    }

    /// The latest that excludes a bound of the other side.
    pub(super) fn against(&self, other: &Bound) -> Option<Bound> {
        let excludes = |b: &&Bound| b.at(other.returned).saturating_add(other.ns) < 0;
        self.bounds.iter().rfind(excludes).copied()
    }

    /// Adds one.
    pub(super) fn add(&mut self, bound: Bound) {
        let place = self.bounds.partition_point(|b| b.returned <= bound.returned);
        match place.checked_sub(1) {
            Some(before) if self.slot(&self.bounds[before]) == self.slot(&bound) => {
                self.bounds[before] = tighter(self.bounds[before], bound);
            }
            _ => self.bounds.insert(place, bound),
        }
        while self.bounds.len() > KEPT {
            self.spacing_ns = self.spacing_ns.saturating_mul(2);
            let mut thinned: Vec<Bound> = Vec::with_capacity(KEPT);
            for bound in std::mem::take(&mut self.bounds) {
                match thinned.last_mut() {
                    Some(last) if self.slot(last) == self.slot(&bound) => *last = tighter(*last, bound),
                    _ => thinned.push(bound),
                }
            }
            self.bounds = thinned;
        }
    }

    fn slot(&self, bound: &Bound) -> i64 {
        bound.returned.as_nanos().div_euclid(self.spacing_ns)
    }

    /// Forgets what came later.
    pub(super) fn cut_after(&mut self, last: Mono) {
        self.bounds.retain(|b| b.returned <= last);
    }
}

/// The later one, if they are equal.
fn tighter(earlier: Bound, later: Bound) -> Bound {
    if later.ns <= earlier.ns { later } else { earlier }
}
