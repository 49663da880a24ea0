//! The agent's stream.

use std::time::Duration;

use super::common::{mono, nanos, non_zero, text};
use super::sample::occasion_to_wire;
use super::{InvalidMessage, out_of_range, require};
use crate::id::{RunId, SessionId, TrialId};
use crate::message::{AgentCommand, AgentReport, Cadence};
use crate::peer::AgentHello;
use crate::reading::{Device, GpuUuid, Occasion};
use crate::wire;
use wire::sample::Occasion as WireOccasion;
use wire::{agent_down::Message as Down, agent_up::Message as Up};

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
            AgentCommand::Watch(Cadence { fast, normal, slow }) => {
                let ms = |period: Duration| u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
                Down::Watch(wire::Watch { period_ms: ms(normal), fast_ms: ms(fast), slow_ms: ms(slow) })
            }
            AgentCommand::Mark(occasion, at) => {
                let (occasion, trial_id) = occasion_to_wire(occasion);
                let end = occasion == WireOccasion::End;
                Down::Mark(wire::Mark { trial_id, end, at_ns: at.map(nanos) })
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
                let period = |ms, field| {
                    Ok::<_, InvalidMessage>(Duration::from_millis(non_zero(ms, field)?.get().into()))
                };
                Self::Watch(Cadence {
                    fast: period(w.fast_ms, "fast_ms")?,
                    normal: period(w.period_ms, "period_ms")?,
                    slow: period(w.slow_ms, "slow_ms")?,
                })
            }
            Down::Mark(m) => {
                let trial = TrialId(m.trial_id);
                let occasion = if m.end { Occasion::End(trial) } else { Occasion::Start(trial) };
                Self::Mark(occasion, m.at_ns.map(|ns| mono(ns, "at_ns")).transpose()?)
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
            devices: devices.into_iter().map(Into::into).collect(),
            gpus_absent,
            session: h.session.0.to_be_bytes().to_vec(),
            run_id: h.run.map(|run| run.as_str().to_owned()),
        }
    }
}

impl TryFrom<wire::AgentHello> for AgentHello {
    type Error = InvalidMessage;
    fn try_from(h: wire::AgentHello) -> Result<Self, InvalidMessage> {
        Ok(Self {
            protocol_version: h.protocol_version,
            host: text(h.host, "host")?,
            software_version: h.software_version,
            devices: match h.gpus_absent {
                Some(absence) => Err(absence.try_into()?),
                None => Ok(h.devices.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?),
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

impl From<Device> for wire::Device {
    fn from(d: Device) -> Self {
        let Device { uuid, name, index, pci_bus, architecture, parent } = d;
        Self { uuid: uuid.0, name, index, pci_bus, architecture, parent_uuid: parent.map(|p| p.0) }
    }
}

impl TryFrom<wire::Device> for Device {
    type Error = InvalidMessage;
    fn try_from(d: wire::Device) -> Result<Self, InvalidMessage> {
        Ok(Self {
            uuid: GpuUuid(text(d.uuid, "uuid")?),
            name: d.name,
            index: d.index,
            pci_bus: d.pci_bus,
            architecture: d.architecture,
            parent: d.parent_uuid.map(GpuUuid),
        })
    }
}
