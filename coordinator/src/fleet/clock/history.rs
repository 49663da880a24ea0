//! What is known of a clock, prepared to place many samples.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;

use crate::aggregate::Span;

use super::bound::{NONE, Side};
use super::segment::{Segment, Segments};
use super::{drift, hull};

/// Solving for an instant whose offset depends on that instant: each round leaves a ten thousandth of what was wrong.
const ROUNDS: usize = 5;

/// Samples are asked for when the clock is known, and agents keep them for no longer than this.
const OLDEST: Duration = Duration::from_mins(10);

/// What is known of a peer's clock.
#[derive(Clone, Debug, Default)]
pub struct ClockHistory {
    stretches: Vec<Stretch>,
    /// No sample is older.
    began: Option<Mono>,
}

/// A segment with the instants of our clock between which it may hold; `None` is without end.
#[derive(Clone, Debug)]
struct Stretch {
    above: Envelope,
    below: Envelope,
    from: Option<Mono>,
    until: Option<Mono>,
}

/// The tightest bound at each instant that has one. No bound of another instant is tighter there, so between two
/// neighbours only these two count.
#[derive(Clone, Debug)]
struct Envelope(Vec<(Mono, i64)>);

impl Envelope {
    fn new(side: &Side) -> Self {
        let mut knots: Vec<_> = side.bounds().iter().map(|b| (b.returned, b.ns)).collect();
        for i in 1..knots.len() {
            knots[i].1 = knots[i].1.min(loosened(knots[i - 1], knots[i].0));
        }
        for i in (1..knots.len()).rev() {
            knots[i - 1].1 = knots[i - 1].1.min(loosened(knots[i], knots[i - 1].0));
        }
        Self(knots)
    }

    fn at(&self, at: Mono) -> i64 {
        let next = self.0.partition_point(|&(knot, _)| knot <= at);
        let neighbours = [next.checked_sub(1), Some(next)].into_iter().flatten();
        let bounds = neighbours.filter_map(|i| self.0.get(i)).map(|&knot| loosened(knot, at));
        bounds.min().unwrap_or(NONE).min(NONE)
    }
}

fn loosened((knot, ns): (Mono, i64), at: Mono) -> i64 {
    ns.saturating_add(drift(at.signed_nanos_since(knot)))
}

impl Stretch {
    fn new((segment, (from, until)): (&Segment, (Option<Mono>, Option<Mono>))) -> Self {
        Self { above: Envelope::new(&segment.above), below: Envelope::new(&segment.below), from, until }
    }

    /// Between which instants of ours the peer's clock showed `taken`, if this segment held then.
    fn span(&self, taken: Mono) -> Span {
        let shift = |offset: i64| Mono::from_nanos(taken.as_nanos().saturating_sub(offset));
        let solve = |offset: &dyn Fn(Mono) -> i64| {
            (0..ROUNDS).fold(shift(offset(taken)), |at, _| shift(offset(at))).as_nanos()
        };
        // One nanosecond more, for the rounding of drift.
        let earliest = solve(&|at| self.above.at(at)).saturating_sub(1);
        let latest = solve(&|at| -self.below.at(at)).saturating_add(1);
        Span { earliest: Mono::from_nanos(earliest), latest: Mono::from_nanos(latest) }
    }

    /// The part of a span in which this segment may hold.
    fn within(&self, span: Span) -> Option<Span> {
        let Span { earliest, latest } = span;
        let earliest = self.from.map_or(earliest, |from| earliest.max(from));
        let latest = self.until.map_or(latest, |until| latest.min(until));
        (earliest <= latest).then_some(Span { earliest, latest })
    }

    fn error_at(&self, at: Mono) -> (i64, i64) {
        (-self.below.at(at), self.above.at(at))
    }
}

impl ClockHistory {
    pub(super) fn new(known: &Segments) -> Self {
        let began = known.began().map(|first| first - OLDEST);
        let mut stretches: Vec<_> = known.spans().map(Stretch::new).collect();
        if let Some(first) = stretches.first_mut() {
            first.from = began;
        }
        Self { stretches, began }
    }

    /// Between which instants of our clock the peer's clock showed `taken`, of which we learned at `arrived`. Wherever
    /// that depends on which side of a step it was, the span holds both. Of a stamp that no side explains it is known only
    /// that it came before it arrived. `None`: nothing is known of the clock.
    pub fn place(&self, taken: Mono, arrived: Mono) -> Option<Span> {
        let join =
            |a: Span, b: Span| Span { earliest: a.earliest.min(b.earliest), latest: a.latest.max(b.latest) };
        let spans = || self.stretches.iter().map(|stretch| (stretch, stretch.span(taken)));
        let before_arrival = |span: Span| {
            (span.earliest <= arrived).then(|| Span { latest: span.latest.min(arrived), ..span })
        };
        let possible = spans().filter_map(|(s, span)| s.within(span)).filter_map(before_arrival).reduce(join);
        // What no segment explains tells nothing.
        possible.or_else(|| Some(Span { earliest: self.began?.min(arrived), latest: arrived }))
    }

    /// The smallest and the largest error from the first to the last exchange, in nanoseconds.
    pub(super) fn errors(&self) -> Option<(u64, u64)> {
        let knots = |s: &Stretch| s.above.0.iter().chain(&s.below.0).map(|&(at, _)| at).collect::<Vec<_>>();
        let mut instants: Vec<Mono> = self.stretches.iter().flat_map(knots).collect();
        instants.sort_unstable();
        instants.dedup();
        // An error peaks between two exchanges.
        let middles =
            instants.windows(2).map(|w| Mono::from_nanos(w[0].as_nanos().midpoint(w[1].as_nanos())));
        let middles: Vec<_> = middles.collect();
        let errors = instants.into_iter().chain(middles).filter_map(|at| {
            let possible = self
                .stretches
                .iter()
                .filter(|s| s.from.is_none_or(|from| at >= from) && s.until.is_none_or(|until| at <= until));
            let (least, most) = possible.map(|s| s.error_at(at)).reduce(hull)?;
            Some(super::offset(least, most).error_ns)
        });
        errors.fold(None, |range, error| {
            let (least, most) = range.unwrap_or((error, error));
            Some((least.min(error), most.max(error)))
        })
    }
}
