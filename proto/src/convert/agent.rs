//! The agent's stream.

use std::time::Duration;

use super::common::{mono, nanos, non_zero, text};
use super::{InvalidMessage, out_of_range, require};
use crate::id::{RunId, SessionId};
use crate::message::{AgentCommand, AgentReport};
use crate::peer::AgentHello;
use crate::reading::{
    Absence, AbsenceReason, Device, GpuReading, GpuUuid, HostSample, Reading, SystemReading,
};
use crate::units::Micros;
use crate::wire;
use wire::absence::Reason;
use wire::{agent_down::Message as Down, agent_up::Message as Up, reading::Is};

impl From<AgentReport> for wire::AgentUp {
    fn from(report: AgentReport) -> Self {
        let message = match report {
            AgentReport::Hello(h) => Up::Hello(h.into()),
            AgentReport::ClockPong(p) => Up::ClockPong(p.into()),
            AgentReport::Samples(s) => {
                Up::Samples(wire::Samples { samples: s.into_iter().map(Into::into).collect() })
            }
            AgentReport::Gap(first_seq, last_seq, reason) => {
                Up::Gap(wire::Gap { first_seq, last_seq, reason })
            }
            AgentReport::Goodbye => Up::Goodbye(wire::Goodbye {}),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::AgentUp> for AgentReport {
    type Error = InvalidMessage;
    fn try_from(up: wire::AgentUp) -> Result<Self, InvalidMessage> {
        Ok(match require(up.message, "message")? {
            Up::Hello(h) => Self::Hello(h.try_into()?),
            Up::ClockPong(p) => Self::ClockPong(p.try_into()?),
            Up::Samples(s) => {
                Self::Samples(s.samples.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
            }
            Up::Gap(g) if g.first_seq > g.last_seq => {
                return Err(out_of_range("last_seq", g.last_seq, "at least first_seq"));
            }
            Up::Gap(g) => Self::Gap(g.first_seq, g.last_seq, g.reason),
            Up::Goodbye(wire::Goodbye {}) => Self::Goodbye,
        })
    }
}

impl From<AgentCommand> for wire::AgentDown {
    fn from(command: AgentCommand) -> Self {
        let message = match command {
            AgentCommand::Welcome(w) => Down::Welcome(w.into()),
            AgentCommand::ClockPing(id) => Down::ClockPing(wire::ClockPing { id }),
            AgentCommand::Watch(period) => {
                Down::Watch(wire::Watch { period_ms: u32::try_from(period.as_millis()).unwrap_or(u32::MAX) })
            }
            AgentCommand::Ack(seq) => Down::Ack(wire::SamplesAck { seq }),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::AgentDown> for AgentCommand {
    type Error = InvalidMessage;
    fn try_from(down: wire::AgentDown) -> Result<Self, InvalidMessage> {
        Ok(match require(down.message, "message")? {
            Down::Welcome(w) => Self::Welcome(w.into()),
            Down::ClockPing(p) => Self::ClockPing(p.id),
            Down::Watch(w) => {
                Self::Watch(Duration::from_millis(non_zero(w.period_ms, "period_ms")?.get().into()))
            }
            Down::Ack(a) => Self::Ack(a.seq),
        })
    }
}

impl From<AgentHello> for wire::AgentHello {
    fn from(h: AgentHello) -> Self {
        let (devices, gpus_absent) = match h.devices {
            Ok(devices) => (devices, None),
            Err(absence) => (Vec::new(), Some(absence.into())),
        };
        Self {
            protocol_version: h.protocol_version,
            host: h.host,
            software_version: h.software_version,
            devices: devices.into_iter().map(|d| wire::Device { uuid: d.uuid.0, name: d.name }).collect(),
            gpus_absent,
            session: h.session.0.to_be_bytes().to_vec(),
            run_id: h.run.map(|run| run.as_str().to_owned()),
        }
    }
}

impl TryFrom<wire::AgentHello> for AgentHello {
    type Error = InvalidMessage;
    fn try_from(h: wire::AgentHello) -> Result<Self, InvalidMessage> {
        let device = |d: wire::Device| {
            Ok::<_, InvalidMessage>(Device { uuid: GpuUuid(text(d.uuid, "uuid")?), name: d.name })
        };
        Ok(Self {
            protocol_version: h.protocol_version,
            host: text(h.host, "host")?,
            software_version: h.software_version,
            devices: match h.gpus_absent {
                Some(absence) => Err(absence.try_into()?),
                None => Ok(h.devices.into_iter().map(device).collect::<Result<_, _>>()?),
            },
            session: session(&h.session)?,
            run: h.run_id.map(RunId::new),
        })
    }
}

fn session(bytes: &[u8]) -> Result<SessionId, InvalidMessage> {
    let bytes = bytes.try_into().map_err(|_| out_of_range("session", bytes.len(), "16 bytes long"))?;
    Ok(SessionId(u128::from_be_bytes(bytes)))
}

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

impl From<HostSample> for wire::Sample {
    fn from(s: HostSample) -> Self {
        Self {
            seq: s.seq,
            taken_ns: nanos(s.taken),
            wall_ns: s.wall_ns,
            took_us: s.took.0,
            cpu_percent: Some(to_wire(s.system.cpu_percent)),
            memory_used_bytes: Some(to_wire(s.system.memory_used_bytes)),
            memory_total_bytes: Some(to_wire(s.system.memory_total_bytes)),
            gpus: s.gpus.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Sample> for HostSample {
    type Error = InvalidMessage;
    fn try_from(s: wire::Sample) -> Result<Self, InvalidMessage> {
        Ok(Self {
            seq: s.seq,
            taken: mono(s.taken_ns, "taken_ns")?,
            wall_ns: s.wall_ns,
            took: Micros(s.took_us),
            system: SystemReading {
                cpu_percent: reading(s.cpu_percent, "cpu_percent")?,
                memory_used_bytes: reading(s.memory_used_bytes, "memory_used_bytes")?,
                memory_total_bytes: reading(s.memory_total_bytes, "memory_total_bytes")?,
            },
            gpus: s.gpus.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<GpuReading> for wire::GpuSample {
    fn from(g: GpuReading) -> Self {
        let (throttle, throttle_absent) = match g.throttle {
            Ok(reasons) => (reasons, None),
            Err(absence) => (Vec::new(), Some(absence.into())),
        };
        Self {
            uuid: g.uuid.0,
            utilization_percent: Some(to_wire(g.utilization_percent)),
            memory_used_bytes: Some(to_wire(g.memory_used_bytes)),
            memory_total_bytes: Some(to_wire(g.memory_total_bytes)),
            power_w: Some(to_wire(g.power_w)),
            energy_j: Some(to_wire(g.energy_j)),
            temperature_c: Some(to_wire(g.temperature_c)),
            sm_clock_mhz: Some(to_wire(g.sm_clock_mhz)),
            throttle,
            throttle_absent,
        }
    }
}

impl TryFrom<wire::GpuSample> for GpuReading {
    type Error = InvalidMessage;
    fn try_from(g: wire::GpuSample) -> Result<Self, InvalidMessage> {
        Ok(Self {
            uuid: GpuUuid(text(g.uuid, "uuid")?),
            utilization_percent: reading(g.utilization_percent, "utilization_percent")?,
            memory_used_bytes: reading(g.memory_used_bytes, "memory_used_bytes")?,
            memory_total_bytes: reading(g.memory_total_bytes, "memory_total_bytes")?,
            power_w: reading(g.power_w, "power_w")?,
            energy_j: reading(g.energy_j, "energy_j")?,
            temperature_c: reading(g.temperature_c, "temperature_c")?,
            sm_clock_mhz: reading(g.sm_clock_mhz, "sm_clock_mhz")?,
            throttle: match g.throttle_absent {
                Some(absence) => Err(absence.try_into()?),
                None => Ok(g.throttle),
            },
        })
    }
}
