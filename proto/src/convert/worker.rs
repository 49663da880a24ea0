//! The worker's stream.

use std::time::Duration;

use super::common::{latency, mono, nanos, non_zero, text};
use super::{InvalidMessage, out_of_range, require};
use crate::failure::{Failures, NotSent};
use crate::id::TrialId;
use crate::load::{Limits, Load, Warmup};
use crate::message::{Acked, WorkerCommand, WorkerReport};
use crate::peer::WorkerHello;
use crate::tally::{Interval, Phase, Record, Records, Tally};
use crate::trial::{
    Assignment, DriverChoice, HttpVersion, Method, Share, Strategy, Target, Transport, TrialEnd, Workload,
};
use crate::units::Micros;
use crate::wire;
use wire::{worker_down::Message as Down, worker_up::Message as Up};

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

impl From<WorkerReport> for wire::WorkerUp {
    fn from(report: WorkerReport) -> Self {
        let message = match report {
            WorkerReport::Hello(h) => Up::Hello(h.into()),
            WorkerReport::ClockPong(p) => Up::ClockPong(p.into()),
            WorkerReport::Ready(t, ceiling) => {
                Up::Ready(wire::Ready { trial_id: t.0, ceiling: ceiling.map(Into::into) })
            }
            WorkerReport::Interval(i) => Up::Interval((&*i).into()),
            WorkerReport::Records(r) => Up::Records(r.into()),
            WorkerReport::TrialDone(t, end) => Up::TrialDone(trial_done(t, end)),
            WorkerReport::Fault(t, message) => Up::Fault(wire::Fault { trial_id: t.map(|t| t.0), message }),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::WorkerUp> for WorkerReport {
    type Error = InvalidMessage;
    fn try_from(up: wire::WorkerUp) -> Result<Self, InvalidMessage> {
        Ok(match require(up.message, "message")? {
            Up::Hello(h) => Self::Hello(h.try_into()?),
            Up::ClockPong(p) => Self::ClockPong(p.try_into()?),
            Up::Ready(r) => Self::Ready(TrialId(r.trial_id), r.ceiling.map(TryInto::try_into).transpose()?),
            Up::Interval(i) => Self::Interval(Box::new(i.try_into()?)),
            Up::Records(r) => Self::Records(r.try_into()?),
            Up::TrialDone(d) => Self::TrialDone(TrialId(d.trial_id), trial_end(d)?),
            Up::Fault(f) => Self::Fault(f.trial_id.map(TrialId), f.message),
        })
    }
}

impl From<WorkerCommand> for wire::WorkerDown {
    fn from(command: WorkerCommand) -> Self {
        let message = match command {
            WorkerCommand::Welcome(w) => Down::Welcome(w.into()),
            WorkerCommand::ClockPing(id) => Down::ClockPing(wire::ClockPing { id }),
            WorkerCommand::Prepare(a) => Down::Prepare((*a).into()),
            WorkerCommand::Start(t, at) => Down::Start(wire::Start { trial_id: t.0, at_ns: nanos(at) }),
            WorkerCommand::Stop(t, reason, grace) => {
                Down::Stop(wire::Stop { trial_id: t.0, reason: reason.to_string(), grace_ms: millis(grace) })
            }
            WorkerCommand::Ack(t, acked) => Down::Ack(wire::Ack {
                trial_id: t.0,
                seq: Some(match acked {
                    Acked::Interval(seq) => wire::ack::Seq::Interval(seq),
                    Acked::Records(seq) => wire::ack::Seq::Records(seq),
                }),
            }),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::WorkerDown> for WorkerCommand {
    type Error = InvalidMessage;
    fn try_from(down: wire::WorkerDown) -> Result<Self, InvalidMessage> {
        Ok(match require(down.message, "message")? {
            Down::Welcome(w) => Self::Welcome(w.into()),
            Down::ClockPing(p) => Self::ClockPing(p.id),
            Down::Prepare(p) => Self::Prepare(Box::new(p.try_into()?)),
            Down::Start(s) => Self::Start(TrialId(s.trial_id), mono(s.at_ns, "at_ns")?),
            Down::Stop(s) => {
                Self::Stop(TrialId(s.trial_id), s.reason.parse()?, Duration::from_millis(s.grace_ms))
            }
            Down::Ack(a) => Self::Ack(
                TrialId(a.trial_id),
                match require(a.seq, "seq")? {
                    wire::ack::Seq::Interval(seq) => Acked::Interval(seq),
                    wire::ack::Seq::Records(seq) => Acked::Records(seq),
                },
            ),
            Down::Update(_) => {
                return Err(out_of_range("message", "update", "a message of this protocol version"));
            }
        })
    }
}

impl From<WorkerHello> for wire::WorkerHello {
    fn from(h: WorkerHello) -> Self {
        let WorkerHello { protocol_version, name, host, software_version, threads, cores, labels } = h;
        Self {
            protocol_version,
            name,
            host,
            software_version,
            threads,
            cores,
            labels: labels.into_iter().collect(),
        }
    }
}

impl TryFrom<wire::WorkerHello> for WorkerHello {
    type Error = InvalidMessage;
    fn try_from(h: wire::WorkerHello) -> Result<Self, InvalidMessage> {
        let wire::WorkerHello { protocol_version, name, host, software_version, threads, cores, labels } = h;
        Ok(Self {
            protocol_version,
            name: text(name, "name")?,
            host,
            software_version,
            threads: non_zero(threads, "threads")?.get(),
            cores,
            labels: labels.into_iter().collect(),
        })
    }
}

impl From<Assignment> for wire::Prepare {
    fn from(a: Assignment) -> Self {
        let Assignment {
            trial,
            strategy,
            target,
            workload,
            share,
            load,
            limits,
            calibrate,
            record_requests,
            interval,
        } = a;
        Self {
            trial_id: trial.0,
            strategy: Some(strategy.into()),
            target: Some(wire::Target {
                base_url: target.base_url,
                timeout_ms: millis(target.timeout),
                headers: target
                    .headers
                    .into_iter()
                    .map(|(name, value)| wire::Header { name, value })
                    .collect(),
                max_body_bytes: target.max_body_bytes,
                transport: Some(target.transport.into()),
            }),
            workload: Some(wire::Workload {
                prompts: workload.prompts,
                parameters_json: workload.parameters_json,
                seed: workload.seed,
            }),
            share: Some(wire::Share {
                first_item: share.first_item,
                items: share.items,
                in_flight: share.in_flight,
            }),
            record_requests,
            interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX),
            open: match load {
                Load::Closed => None,
                Load::Open(open) => Some(open.into()),
            },
            duration_ms: limits.duration.map(millis),
            warmup: match limits.warmup {
                Warmup::None => None,
                Warmup::Time(d) => Some(wire::prepare::Warmup::WarmupMs(millis(d))),
                Warmup::Items(n) => Some(wire::prepare::Warmup::WarmupItems(n)),
            },
            calibrate_ms: calibrate.map(|d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX)),
        }
    }
}

impl TryFrom<wire::Prepare> for Assignment {
    type Error = InvalidMessage;
    fn try_from(p: wire::Prepare) -> Result<Self, InvalidMessage> {
        let target = require(p.target, "target")?;
        let workload = require(p.workload, "workload")?;
        let share = require(p.share, "share")?;
        if workload.prompts.is_empty() {
            return Err(InvalidMessage::Missing("prompts"));
        }
        if share.in_flight == 0 && share.items > 0 {
            return Err(out_of_range("in_flight", 0, "at least 1 when there are items"));
        }
        if share.first_item.checked_add(share.items).is_none() {
            return Err(out_of_range("items", share.items, "a range that ends below 2^64"));
        }
        Ok(Self {
            trial: TrialId(p.trial_id),
            strategy: require(p.strategy, "strategy")?.try_into()?,
            target: Target {
                base_url: text(target.base_url, "base_url")?,
                timeout: Duration::from_millis(target.timeout_ms),
                headers: target.headers.into_iter().map(|h| (h.name, h.value)).collect(),
                max_body_bytes: target.max_body_bytes,
                transport: target.transport.map(TryInto::try_into).transpose()?.unwrap_or_default(),
            },
            workload: Workload {
                prompts: workload.prompts,
                parameters_json: workload.parameters_json,
                seed: workload.seed,
            },
            share: Share { first_item: share.first_item, items: share.items, in_flight: share.in_flight },
            load: match p.open {
                None => Load::Closed,
                Some(open) => Load::Open(open.try_into()?),
            },
            limits: Limits {
                warmup: match p.warmup {
                    None => Warmup::None,
                    Some(wire::prepare::Warmup::WarmupMs(ms)) => Warmup::Time(Duration::from_millis(ms)),
                    Some(wire::prepare::Warmup::WarmupItems(n)) => Warmup::Items(n),
                },
                duration: p.duration_ms.map(Duration::from_millis),
            },
            calibrate: p.calibrate_ms.map(|ms| Duration::from_millis(ms.into())),
            record_requests: p.record_requests,
            interval: Duration::from_millis(non_zero(p.interval_ms, "interval_ms")?.get().into()),
        })
    }
}

impl From<Transport> for wire::Transport {
    fn from(t: Transport) -> Self {
        use wire::transport::Driver;
        let Transport { driver, http, proxy, ca_pem, insecure } = t;
        let driver = match driver {
            DriverChoice::Auto => Driver::Auto,
            DriverChoice::Direct => Driver::Direct,
            DriverChoice::General => Driver::General,
        };
        Self { driver: driver.into(), http2: http == HttpVersion::Two, proxy, ca_pem, insecure }
    }
}

impl TryFrom<wire::Transport> for Transport {
    type Error = InvalidMessage;
    fn try_from(t: wire::Transport) -> Result<Self, InvalidMessage> {
        use wire::transport::Driver;
        let driver = match Driver::try_from(t.driver) {
            Ok(Driver::Auto) => DriverChoice::Auto,
            Ok(Driver::Direct) => DriverChoice::Direct,
            Ok(Driver::General) => DriverChoice::General,
            Err(_) => return Err(out_of_range("driver", t.driver, "a driver of this protocol version")),
        };
        let http = if t.http2 { HttpVersion::Two } else { HttpVersion::One };
        Ok(Self { driver, http, proxy: t.proxy, ca_pem: t.ca_pem, insecure: t.insecure })
    }
}

impl From<Strategy> for wire::Strategy {
    fn from(s: Strategy) -> Self {
        use wire::strategy::Method as M;
        let method = match s.method {
            Method::Single { path } => M::Single(wire::Single { path }),
            Method::Batch { path, size } => M::Batch(wire::Batch { path, size: size.get() }),
            Method::Async { submit_path, id_field, status_path, poll_interval } => M::Async(wire::Async {
                submit_path,
                id_field,
                status_path,
                poll_interval_ms: millis(poll_interval),
            }),
        };
        Self { name: s.name, method: Some(method) }
    }
}

impl TryFrom<wire::Strategy> for Strategy {
    type Error = InvalidMessage;
    fn try_from(s: wire::Strategy) -> Result<Self, InvalidMessage> {
        use wire::strategy::Method as M;
        let method = match require(s.method, "method")? {
            M::Single(m) => Method::Single { path: m.path },
            M::Batch(m) => Method::Batch { path: m.path, size: non_zero(m.size, "size")? },
            M::Async(m) => Method::Async {
                submit_path: m.submit_path,
                id_field: text(m.id_field, "id_field")?,
                status_path: m.status_path,
                poll_interval: Duration::from_millis(m.poll_interval_ms.max(1)),
            },
        };
        Ok(Self { name: text(s.name, "strategy.name")?, method })
    }
}

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

fn trial_done(trial: TrialId, end: TrialEnd) -> wire::TrialDone {
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

fn trial_end(d: wire::TrialDone) -> Result<TrialEnd, InvalidMessage> {
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
