//! Samples of a host, with what is absent.

use super::common::{mono, nanos, text};
use super::{InvalidMessage, out_of_range, require};
use crate::id::TrialId;
use crate::metric::{GpuMetric, HostMetric};
use crate::reading::{
    Absence, AbsenceReason, GpuEvent, GpuEventKind, GpuProcess, GpuReading, GpuUuid, HostSample, Occasion,
    Reading, SystemReading,
};
use crate::units::Micros;
use crate::wire;
use wire::absence::Reason;
use wire::sample::Occasion as WireOccasion;
use wire::{gpu_event::Kind, reading::Is};

impl From<Absence> for wire::Absence {
    fn from(a: Absence) -> Self {
        let reason = match a.reason {
            AbsenceReason::Unsupported => Reason::Unsupported,
            AbsenceReason::Denied => Reason::Denied,
            AbsenceReason::Lost => Reason::Lost,
            AbsenceReason::Stale => Reason::Stale,
            AbsenceReason::Error => Reason::Error,
            AbsenceReason::NotYet => Reason::NotYet,
        };
        Self { reason: reason.into(), detail: a.detail }
    }
}

impl TryFrom<wire::Absence> for Absence {
    type Error = InvalidMessage;
    fn try_from(a: wire::Absence) -> Result<Self, InvalidMessage> {
        let reason = match Reason::try_from(a.reason) {
            Ok(Reason::Unsupported) => AbsenceReason::Unsupported,
            Ok(Reason::Denied) => AbsenceReason::Denied,
            Ok(Reason::Lost) => AbsenceReason::Lost,
            Ok(Reason::Stale) => AbsenceReason::Stale,
            Ok(Reason::Error) => AbsenceReason::Error,
            Ok(Reason::NotYet) => AbsenceReason::NotYet,
            Ok(Reason::Unspecified) | Err(_) => {
                return Err(out_of_range("reason", a.reason, "a reason of this protocol version"));
            }
        };
        Ok(Self { reason, detail: a.detail })
    }
}

/// The occasion, and the trial whose edge it is.
pub(super) fn occasion_to_wire(occasion: Occasion) -> (WireOccasion, u32) {
    match occasion {
        Occasion::Fast => (WireOccasion::Fast, 0),
        Occasion::Normal => (WireOccasion::Normal, 0),
        Occasion::Slow => (WireOccasion::Slow, 0),
        Occasion::Start(trial) => (WireOccasion::Start, trial.0),
        Occasion::End(trial) => (WireOccasion::End, trial.0),
        Occasion::Event => (WireOccasion::Event, 0),
    }
}

fn occasion(number: i32, trial: u32) -> Result<Occasion, InvalidMessage> {
    Ok(match WireOccasion::try_from(number) {
        Ok(WireOccasion::Fast) => Occasion::Fast,
        Ok(WireOccasion::Normal) => Occasion::Normal,
        Ok(WireOccasion::Slow) => Occasion::Slow,
        Ok(WireOccasion::Start) => Occasion::Start(TrialId(trial)),
        Ok(WireOccasion::End) => Occasion::End(TrialId(trial)),
        Ok(WireOccasion::Event) => Occasion::Event,
        Ok(WireOccasion::Unspecified) | Err(_) => {
            return Err(out_of_range("occasion", number, "an occasion of this protocol version"));
        }
    })
}

fn to_wire(r: Reading) -> wire::Reading {
    let is = match r {
        Ok(value) => Is::Value(value),
        Err(absence) => Is::Absent(absence.into()),
    };
    wire::Reading { is: Some(is) }
}

fn reading(r: Option<wire::Reading>, field: &'static str) -> Result<Reading, InvalidMessage> {
    match require(r.and_then(|r| r.is), field)? {
        Is::Value(v) if v.is_finite() => Ok(Ok(v)),
        Is::Value(v) => Err(out_of_range(field, v, "a finite number")),
        Is::Absent(absence) => Ok(Err(absence.try_into()?)),
    }
}

/// A list that is there, or the reason why not.
fn list<T>(items: Vec<T>, absent: Option<wire::Absence>) -> Result<Reading<Vec<T>>, InvalidMessage> {
    Ok(match absent {
        Some(absence) => Err(absence.try_into()?),
        None => Ok(items),
    })
}

fn list_to_wire<T>(list: Reading<Vec<T>>) -> (Vec<T>, Option<wire::Absence>) {
    match list {
        Ok(items) => (items, None),
        Err(absence) => (Vec::new(), Some(absence.into())),
    }
}

fn known<M>(metric: Option<M>, number: i32) -> Result<M, InvalidMessage> {
    metric.ok_or_else(|| out_of_range("metric", number, "a metric of this protocol version"))
}

impl From<HostSample> for wire::Sample {
    fn from(s: HostSample) -> Self {
        let HostSample { seq, occasion, taken, wall_ns, took, system, gpus, events } = s;
        let (occasion, trial_id) = occasion_to_wire(occasion);
        let host = |(metric, reading): (HostMetric, &Reading)| wire::HostReading {
            metric: metric.number(),
            reading: Some(to_wire(reading.clone())),
        };
        Self {
            seq,
            taken_ns: nanos(taken),
            wall_ns,
            took_us: took.0,
            occasion: occasion.into(),
            trial_id,
            host: system.values.iter().map(host).collect(),
            cores: system.core_percent.map(|cores| {
                let (percent, absent) = list_to_wire(cores);
                wire::Cores { percent, absent }
            }),
            gpus: gpus.into_iter().map(Into::into).collect(),
            events: events.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Sample> for HostSample {
    type Error = InvalidMessage;
    fn try_from(s: wire::Sample) -> Result<Self, InvalidMessage> {
        let host = |r: wire::HostReading| {
            let metric = known(HostMetric::from_number(r.metric), r.metric)?;
            Ok::<_, InvalidMessage>((metric, reading(r.reading, metric.name())?))
        };
        let system = SystemReading {
            values: s.host.into_iter().map(host).collect::<Result<_, _>>()?,
            core_percent: s.cores.map(|c| list(c.percent, c.absent)).transpose()?,
        };
        if let Some(Ok(cores)) = &system.core_percent
            && let Some(odd) = cores.iter().find(|share| !share.is_finite())
        {
            return Err(out_of_range("cores", odd, "finite numbers"));
        }
        Ok(Self {
            seq: s.seq,
            occasion: occasion(s.occasion, s.trial_id)?,
            taken: mono(s.taken_ns, "taken_ns")?,
            wall_ns: s.wall_ns,
            took: Micros(s.took_us),
            system,
            gpus: s.gpus.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            events: s.events.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<GpuReading> for wire::GpuSample {
    fn from(g: GpuReading) -> Self {
        let GpuReading { uuid, values, repeated, driver_wall_ns, throttle, processes } = g;
        let gpu = |(metric, reading): (GpuMetric, &Reading)| wire::GpuReading {
            metric: metric.number(),
            reading: Some(to_wire(reading.clone())),
        };
        Self {
            uuid: uuid.0,
            readings: values.iter().map(gpu).collect(),
            repeated: repeated.into_iter().map(GpuMetric::number).collect(),
            driver_wall_ns,
            throttle: throttle.map(|throttle| {
                let (reasons, absent) = list_to_wire(throttle);
                wire::Throttle { reasons, absent }
            }),
            processes: processes.map(|processes| {
                let (processes, absent) = list_to_wire(processes);
                wire::GpuProcesses { processes: processes.into_iter().map(Into::into).collect(), absent }
            }),
        }
    }
}

impl TryFrom<wire::GpuSample> for GpuReading {
    type Error = InvalidMessage;
    fn try_from(g: wire::GpuSample) -> Result<Self, InvalidMessage> {
        let gpu = |r: wire::GpuReading| {
            let metric = known(GpuMetric::from_number(r.metric), r.metric)?;
            Ok::<_, InvalidMessage>((metric, reading(r.reading, metric.name())?))
        };
        let repeated = |number: i32| known(GpuMetric::from_number(number), number);
        let processes = |p: wire::GpuProcesses| {
            let all = p.processes.into_iter().map(TryInto::try_into).collect::<Result<Vec<_>, _>>()?;
            list(all, p.absent)
        };
        Ok(Self {
            uuid: GpuUuid(text(g.uuid, "uuid")?),
            values: g.readings.into_iter().map(gpu).collect::<Result<_, _>>()?,
            repeated: g.repeated.into_iter().map(repeated).collect::<Result<_, _>>()?,
            driver_wall_ns: g.driver_wall_ns,
            throttle: g.throttle.map(|t| list(t.reasons, t.absent)).transpose()?,
            processes: g.processes.map(processes).transpose()?,
        })
    }
}

impl From<GpuProcess> for wire::GpuProcess {
    fn from(p: GpuProcess) -> Self {
        Self {
            pid: p.pid,
            name: p.name,
            memory_bytes: Some(to_wire(p.memory_bytes)),
            utilization_percent: Some(to_wire(p.utilization_percent)),
        }
    }
}

impl TryFrom<wire::GpuProcess> for GpuProcess {
    type Error = InvalidMessage;
    fn try_from(p: wire::GpuProcess) -> Result<Self, InvalidMessage> {
        Ok(Self {
            pid: p.pid,
            name: p.name,
            memory_bytes: reading(p.memory_bytes, "memory_bytes")?,
            utilization_percent: reading(p.utilization_percent, "utilization_percent")?,
        })
    }
}

impl From<GpuEvent> for wire::GpuEvent {
    fn from(e: GpuEvent) -> Self {
        let kind = match e.kind {
            GpuEventKind::Xid(number) => Kind::Xid(number),
            GpuEventKind::Gone(absence) => Kind::Gone(absence.into()),
            GpuEventKind::Back => Kind::Back(true),
            GpuEventKind::Found(device) => Kind::Found(device.into()),
        };
        Self { uuid: e.uuid.map(|uuid| uuid.0), kind: Some(kind) }
    }
}

impl TryFrom<wire::GpuEvent> for GpuEvent {
    type Error = InvalidMessage;
    fn try_from(e: wire::GpuEvent) -> Result<Self, InvalidMessage> {
        let kind = match require(e.kind, "kind")? {
            Kind::Xid(number) => GpuEventKind::Xid(number),
            Kind::Gone(absence) => GpuEventKind::Gone(absence.try_into()?),
            Kind::Back(_) => GpuEventKind::Back,
            Kind::Found(device) => GpuEventKind::Found(device.try_into()?),
        };
        Ok(Self { uuid: e.uuid.map(GpuUuid), kind })
    }
}
