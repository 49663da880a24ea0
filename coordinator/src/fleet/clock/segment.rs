//! What is known of a clock between two of its steps.

use fluxfleet_proto::clock::{ClockOffset, Mono};

use super::bound::{Bound, Side};
use super::{ClockStep, drift, offset};

/// Segments kept. A clock that steps more often is hardly one: the oldest are then blurred into one.
const KEPT: usize = 64;

/// One ping and its answer, as bounds of the offset when the answer was here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    above: Bound,
    below: Bound,
}

impl Exchange {
    /// From its estimate. The peer's clock was read some time between `sent` and `returned`; drift until `returned`
    /// is counted in.
    pub(super) fn new(sent: Mono, returned: Mono, estimate: ClockOffset) -> Self {
        let slack = drift(returned.signed_nanos_since(sent));
        let error = i64::try_from(estimate.error_ns).unwrap_or(i64::MAX).saturating_add(slack);
        let bound = |offset: i64| Bound { sent, returned, ns: offset.saturating_add(error) };
        Self { above: bound(estimate.offset_ns), below: bound(estimate.offset_ns.saturating_neg()) }
    }
}

/// All that is known of the offset while no clock stepped.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// The offset is not above these.
    pub(super) above: Side,
    /// The offset's negative is not above these.
    pub(super) below: Side,
    /// The peer had read its clock in this segment at that instant.
    first: Mono,
    /// The peer had not yet read its clock for the last time in this segment at that instant.
    last: Mono,
}

impl Segment {
    fn new(exchange: Exchange) -> Self {
        let Exchange { above, below } = exchange;
        Self { above: Side::new(above), below: Side::new(below), first: above.returned, last: above.sent }
    }

    /// Least and greatest offset at an instant.
    pub(super) fn between(&self, at: Mono) -> (i64, i64) {
        (-self.below.at(at), self.above.at(at))
    }

    fn add(&mut self, exchange: Exchange) {
        self.above.add(exchange.above);
        self.below.add(exchange.below);
        self.last = self.last.max(exchange.above.sent);
    }

    /// The latest exchange that the new one excludes.
    fn against(&self, new: &Exchange) -> Option<Bound> {
        let (a, b) = (self.above.against(&new.below), self.below.against(&new.above));
        a.into_iter().chain(b).max_by_key(|bound| bound.returned)
    }

    /// Both in one, so loose that it holds at every instant from the first to the last.
    fn blurred(&self, next: &Self) -> Self {
        let (first, last) = (self.first.min(next.first), self.last.max(next.last));
        let length = drift(last.signed_nanos_since(first));
        let loosest = |a: &Side, b: &Side| {
            let ns = a.at(first).max(a.at(last)).max(b.at(first)).max(b.at(last)).saturating_add(length);
            Side::new(Bound { sent: last, returned: last, ns })
        };
        Self {
            above: loosest(&self.above, &next.above),
            below: loosest(&self.below, &next.below),
            first,
            last,
        }
    }
}

/// Segments by time, split where a clock stepped.
#[derive(Clone, Debug, Default)]
pub(super) struct Segments {
    segments: Vec<Segment>,
    /// When the first ping that was answered went out.
    began: Option<Mono>,
}

impl Segments {
    /// Adds an exchange, and tells when it proves a step.
    pub(super) fn add(&mut self, new: Exchange) -> Option<ClockStep> {
        self.began = self.began.or(Some(new.above.sent));
        let stepped = self.segments.len() > 1;
        let Some(current) = self.segments.last_mut() else {
            self.segments.push(Segment::new(new));
            return None;
        };
        // After a step: whether the peer's clock was read before it or after is not known.
        if stepped && new.above.sent < current.first {
            return None;
        }
        let Some(before) = current.against(&new) else {
            current.add(new);
            return None;
        };
        // What came after `before` agrees with both sides of the step: nobody knows to which it belongs.
        let at = new.above.returned;
        let was = current.between(at);
        current.above.cut_after(before.returned);
        current.below.cut_after(before.returned);
        current.last = current.last.min(before.sent);
        let next = Segment::new(new);
        let (was, is) = (offset(was.0, was.1), offset(-new.below.ns, new.above.ns));
        self.segments.push(next);
        if self.segments.len() > KEPT {
            let blurred = self.segments[0].blurred(&self.segments[1]);
            self.segments.splice(..2, [blurred]);
        }
        let by_ns = is.offset_ns.saturating_sub(was.offset_ns);
        Some(ClockStep { by_ns, between: (before.sent, at) })
    }

    /// When the first ping that was answered went out.
    pub(super) fn began(&self) -> Option<Mono> {
        self.began
    }

    /// Segments that may hold at an instant: two or more where a step may lie on either side of it.
    pub(super) fn possible(&self, at: Mono) -> impl Iterator<Item = &Segment> {
        let within = move |(from, until): (Option<Mono>, Option<Mono>)| {
            from.is_none_or(|from| at >= from) && until.is_none_or(|until| at <= until)
        };
        self.spans().filter(move |&(_, span)| within(span)).map(|(segment, _)| segment)
    }

    /// Each segment with the instants between which it may hold; `None` is without end.
    pub(super) fn spans(&self) -> impl Iterator<Item = (&Segment, (Option<Mono>, Option<Mono>))> {
        (0..self.segments.len()).map(|i| {
            let from = i.checked_sub(1).map(|before| self.segments[before].last);
            let until = self.segments.get(i + 1).map(|after| after.first);
            (&self.segments[i], (from, until))
        })
    }
}
