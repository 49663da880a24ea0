//! What a worker recorded.

use super::common::{latency, mono, nanos};
use super::{InvalidMessage, out_of_range, require};
use crate::failure::{Failures, NotSent};
use crate::id::TrialId;
use crate::tally::{Interval, Phase, Record, Records, Tally};
use crate::trial::TrialEnd;
use crate::units::Micros;
use crate::wire;

impl From<&Interval> for wire::Interval {
    fn from(i: &Interval) -> Self {
        let Interval { trial, seq, from, to, phase, in_flight, tally: t, health } = i;
        Self {
            trial_id: trial.0,
            seq: *seq,
            from_ns: nanos(*from),
            to_ns: nanos(*to),
            requests_sent: t.requests_sent,
            polls_sent: t.polls_sent,
            items_ok: t.items_ok,
            items_failed: t.items_failed,
            requests_ok: t.requests_ok,
            requests_failed: t.requests_failed,
            in_flight: *in_flight,
            bytes_received: t.bytes_received,
            redirects: t.redirects,
            response_time: Some((&t.response_time).into()),
            service_time: Some((&t.service_time).into()),
            first_byte: Some((&t.first_byte).into()),
            send_lateness: Some((&t.send_lateness).into()),
            failed_response_time: Some((&t.failed_response_time).into()),
            generation_time: Some((&t.generation_time).into()),
            errors: t
                .failures
                .iter()
                .map(|(kind, seen)| wire::ErrorCount {
                    kind: kind.to_string(),
                    count: seen.count,
                    example: seen.example.clone(),
                })
                .collect(),
            phase: wire_phase(*phase),
            connections: t.connections,
            pacer_lateness: Some((&t.pacer_lateness).into()),
            send_gap: Some((&t.send_gap).into()),
            not_sent_wait: Some((&t.not_sent_wait).into()),
            connect_time: Some((&t.connect_time).into()),
            tls_time: Some((&t.tls_time).into()),
            not_sent: t
                .not_sent
                .iter()
                .map(|(reason, items)| wire::NotSentCount { reason: reason.to_string(), items })
                .collect(),
            health: health.as_deref().map(Into::into),
        }
    }
}

impl TryFrom<wire::Interval> for Interval {
    type Error = InvalidMessage;
    fn try_from(i: wire::Interval) -> Result<Self, InvalidMessage> {
        // Checked before they are added up anywhere: a sum that wraps could come out right.
        let failed = i.errors.iter().try_fold(0u64, |sum, e| sum.checked_add(e.count));
        if failed != Some(i.items_failed) {
            return Err(out_of_range("items_failed", i.items_failed, "the sum of the failures by kind"));
        }
        let mut failures = Failures::default();
        for e in i.errors {
            failures.add(e.kind.parse()?, e.count, e.example.as_deref());
        }
        let not_sent_sum = i.not_sent.iter().try_fold(0u64, |sum, n| sum.checked_add(n.items));
        if not_sent_sum.is_none() {
            return Err(out_of_range("not_sent", "more than 2^64", "a number of items"));
        }
        let mut not_sent = NotSent::default();
        for n in i.not_sent {
            not_sent.add(n.reason.parse()?, n.items);
        }
        Ok(Self {
            trial: TrialId(i.trial_id),
            seq: i.seq,
            from: mono(i.from_ns, "from_ns")?,
            to: mono(i.to_ns, "to_ns")?,
            phase: phase(i.phase)?,
            in_flight: i.in_flight,
            health: i.health.map(|h| h.try_into().map(Box::new)).transpose()?,
            tally: Tally {
                requests_sent: i.requests_sent,
                polls_sent: i.polls_sent,
                items_ok: i.items_ok,
                items_failed: i.items_failed,
                requests_ok: i.requests_ok,
                requests_failed: i.requests_failed,
                bytes_received: i.bytes_received,
                redirects: i.redirects,
                connections: i.connections,
                response_time: latency(i.response_time, "response_time")?,
                service_time: latency(i.service_time, "service_time")?,
                first_byte: latency(i.first_byte, "first_byte")?,
                send_lateness: latency(i.send_lateness, "send_lateness")?,
                failed_response_time: latency(i.failed_response_time, "failed_response_time")?,
                generation_time: latency(i.generation_time, "generation_time")?,
                pacer_lateness: latency(i.pacer_lateness, "pacer_lateness")?,
                send_gap: latency(i.send_gap, "send_gap")?,
                not_sent_wait: latency(i.not_sent_wait, "not_sent_wait")?,
                connect_time: latency(i.connect_time, "connect_time")?,
                tls_time: latency(i.tls_time, "tls_time")?,
                failures,
                not_sent,
            },
        })
    }
}

fn wire_phase(phase: Phase) -> i32 {
    match phase {
        Phase::Warmup => wire::Phase::Warmup.into(),
        Phase::Measure => wire::Phase::Measure.into(),
    }
}

fn phase(phase: i32) -> Result<Phase, InvalidMessage> {
    match wire::Phase::try_from(phase) {
        Ok(wire::Phase::Warmup) => Ok(Phase::Warmup),
        Ok(wire::Phase::Measure) => Ok(Phase::Measure),
        Err(_) => Err(out_of_range("phase", phase, "a phase of this protocol version")),
    }
}

impl From<Records> for wire::Records {
    fn from(r: Records) -> Self {
        Self {
            trial_id: r.trial.0,
            seq: r.seq,
            records: r
                .records
                .into_iter()
                .map(|r| {
                    let (error_kind, error) = r.error.map(|(k, e)| (k.to_string(), e)).unzip();
                    wire::Record {
                        first_item: r.first_item,
                        items: r.items,
                        items_ok: r.items_ok,
                        intended_ns: nanos(r.intended),
                        response_time_us: r.response_time.0,
                        service_time_us: r.service_time.0,
                        generation_time_us: r.generation_time.map(|m| m.0),
                        error_kind,
                        error,
                        phase: wire_phase(r.phase),
                        not_sent_reason: r.not_sent.map(|reason| reason.to_string()),
                    }
                })
                .collect(),
        }
    }
}

impl TryFrom<wire::Records> for Records {
    type Error = InvalidMessage;
    fn try_from(r: wire::Records) -> Result<Self, InvalidMessage> {
        let record = |r: wire::Record| {
            if r.items_ok > r.items {
                return Err(out_of_range("items_ok", r.items_ok, "at most the request's items"));
            }
            Ok(Record {
                first_item: r.first_item,
                items: r.items,
                items_ok: r.items_ok,
                intended: mono(r.intended_ns, "intended_ns")?,
                response_time: Micros(r.response_time_us),
                service_time: Micros(r.service_time_us),
                generation_time: r.generation_time_us.map(Micros),
                error: match r.error_kind {
                    Some(kind) => Some((kind.parse()?, r.error.unwrap_or_default())),
                    None => None,
                },
                phase: phase(r.phase)?,
                not_sent: r.not_sent_reason.map(|reason| reason.parse()).transpose()?,
            })
        };
        Ok(Self {
            trial: TrialId(r.trial_id),
            seq: r.seq,
            records: r.records.into_iter().map(record).collect::<Result<_, _>>()?,
        })
    }
}

/// How a worker's part ended, onto the wire.
pub(super) fn trial_done(trial: TrialId, end: TrialEnd) -> wire::TrialDone {
    let TrialEnd { intervals, records, not_sent, started, active } = end;
    wire::TrialDone {
        trial_id: trial.0,
        intervals,
        records,
        items_not_sent: not_sent.map_or(0, |(n, _)| n),
        not_sent_reason: not_sent.map(|(_, reason)| reason.to_string()),
        started_ns: started.map(nanos),
        first_send_ns: active.map(|(first, _)| nanos(first)),
        last_end_ns: active.map(|(_, last)| nanos(last)),
    }
}

/// How a worker's part ended, off the wire.
pub(super) fn trial_end(d: wire::TrialDone) -> Result<TrialEnd, InvalidMessage> {
    let not_sent = match d.items_not_sent {
        0 => None,
        n => Some((n, require(d.not_sent_reason, "not_sent_reason")?.parse()?)),
    };
    let instant = |ns: Option<u64>, field| ns.map(|ns| mono(ns, field)).transpose();
    Ok(TrialEnd {
        intervals: d.intervals,
        records: d.records,
        not_sent,
        started: instant(d.started_ns, "started_ns")?,
        active: instant(d.first_send_ns, "first_send_ns")?.zip(instant(d.last_end_ns, "last_end_ns")?),
    })
}
