//! The worker's stream.

use std::time::Duration;

use super::common::{millis, mono, nanos, non_zero, text};
use super::tally::{trial_done, trial_end};
use super::{InvalidMessage, out_of_range, require};
use crate::id::TrialId;
use crate::message::{Acked, WorkerCommand, WorkerReport};
use crate::peer::WorkerHello;
use crate::wire;
use wire::{worker_down::Message as Down, worker_up::Message as Up};

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
