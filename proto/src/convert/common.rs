//! Clock messages, latencies, and what several messages hold.

use std::time::Duration;

use super::{InvalidMessage, out_of_range, require};
use crate::clock::Mono;
use crate::histogram::{self, Histogram};
use crate::id::{PeerId, RunId};
use crate::latency::Latency;
use crate::message::{ClockPong, Welcome};
use crate::units::Micros;
use crate::wire;

/// A time onto the wire, in whole milliseconds.
pub(super) fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// An instant off the wire.
pub(super) fn mono(ns: u64, field: &'static str) -> Result<Mono, InvalidMessage> {
    i64::try_from(ns).map(Mono::from_nanos).map_err(|_| out_of_range(field, ns, "below 2^63 nanoseconds"))
}

/// An instant onto the wire. This process's own instants are never negative; a mapped one that is becomes 0.
pub(super) fn nanos(at: Mono) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(0)
}

impl From<Welcome> for wire::Welcome {
    fn from(w: Welcome) -> Self {
        Self { run_id: w.run.as_str().to_owned(), peer_id: w.peer.0 }
    }
}

impl From<wire::Welcome> for Welcome {
    fn from(w: wire::Welcome) -> Self {
        Self { run: RunId::new(w.run_id), peer: PeerId(w.peer_id) }
    }
}

impl From<ClockPong> for wire::ClockPong {
    fn from(p: ClockPong) -> Self {
        Self { id: p.id, received_ns: nanos(p.received), sent_ns: nanos(p.sent) }
    }
}

impl TryFrom<wire::ClockPong> for ClockPong {
    type Error = InvalidMessage;
    fn try_from(p: wire::ClockPong) -> Result<Self, InvalidMessage> {
        Ok(Self {
            id: p.id,
            received: mono(p.received_ns, "received_ns")?,
            sent: mono(p.sent_ns, "sent_ns")?,
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is meant")]
fn halves(n: u128) -> (u64, u64) {
    ((n >> 64) as u64, n as u64)
}

fn whole(hi: u64, lo: u64) -> u128 {
    u128::from(hi) << 64 | u128::from(lo)
}

impl From<&Latency> for wire::Latency {
    fn from(l: &Latency) -> Self {
        let (sum_us_hi, sum_us_lo) = halves(l.sum_us);
        let (sum_sq_hi, sum_sq_lo) = halves(l.sum_sq);
        Self {
            histogram_v2: if l.histogram().is_empty() {
                Vec::new()
            } else {
                histogram::encode(l.histogram())
            },
            overflow: l.overflow,
            sum_us_hi,
            sum_us_lo,
            sum_sq_hi,
            sum_sq_lo,
            min_us: l.min().map(|m| m.0),
            max_us: l.max().map(|m| m.0),
        }
    }
}

/// Reads a latency; an absent one is empty.
pub(super) fn latency(l: Option<wire::Latency>, field: &'static str) -> Result<Latency, InvalidMessage> {
    let Some(l) = l else { return Ok(Latency::new()) };
    let wire::Latency { histogram_v2, overflow, sum_us_hi, sum_us_lo, sum_sq_hi, sum_sq_lo, min_us, max_us } =
        l;
    let histogram = if histogram_v2.is_empty() {
        Histogram::new()
    } else {
        histogram::decode(&histogram_v2).map_err(|source| InvalidMessage::Histogram { field, source })?
    };
    let latency = Latency {
        overflow,
        sum_us: whole(sum_us_hi, sum_us_lo),
        sum_sq: whole(sum_sq_hi, sum_sq_lo),
        extremes: min_us.zip(max_us).map(|(a, b)| (Micros(a), Micros(b))),
        histogram,
    };
    let count = u128::from(latency.histogram().len()) + u128::from(overflow);
    let consistent = match latency.extremes {
        None => count == 0 && latency.sum_us == 0 && latency.sum_sq == 0,
        Some((min, max)) => {
            count > 0
                && min <= max
                && u64::try_from(count).is_ok()
                && count.saturating_mul(min.0.into()) <= latency.sum_us
                && latency.sum_us <= count.saturating_mul(max.0.into())
        }
    };
    if consistent { Ok(latency) } else { Err(InvalidMessage::Contradiction(field)) }
}

/// A count that the domain holds as `NonZeroU32`.
pub(super) fn non_zero(n: u32, field: &'static str) -> Result<std::num::NonZeroU32, InvalidMessage> {
    std::num::NonZeroU32::new(n).ok_or_else(|| out_of_range(field, n, "at least 1"))
}

/// A text that must not be empty.
pub(super) fn text(s: String, field: &'static str) -> Result<String, InvalidMessage> {
    require((!s.is_empty()).then_some(s), field)
}
