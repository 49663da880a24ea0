//! Open load, limits, health.

use std::sync::Arc;
use std::time::Duration;

use super::common::{latency, millis, non_zero};
use super::{InvalidMessage, out_of_range, require};
use crate::arrival::{Arrivals, Lanes, Process, Profile, Stage};
use crate::health::{Ceiling, Health};
use crate::load::{OpenLoad, WhenFull};
use crate::wire;
use wire::drawn::Process as WireProcess;
use wire::open_load::Arrivals as WireArrivals;

fn ns(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl From<OpenLoad> for wire::OpenLoad {
    fn from(load: OpenLoad) -> Self {
        let OpenLoad { arrivals, lanes, items, when_full } = load;
        let arrivals = match arrivals {
            Arrivals::Drawn { process, profile, seed } => {
                let (process, shape) = match process {
                    Process::Constant => (WireProcess::Constant, 0.0),
                    Process::Poisson => (WireProcess::Poisson, 0.0),
                    Process::Gamma { shape } => (WireProcess::Gamma, shape),
                };
                let stage = |s: &Stage| wire::Stage {
                    from: s.from,
                    to: s.to,
                    length_us: s.length.map(|l| u64::try_from(l.as_micros()).unwrap_or(u64::MAX)),
                };
                WireArrivals::Drawn(wire::Drawn {
                    process: process.into(),
                    shape,
                    stages: profile.stages().iter().map(stage).collect(),
                    seed,
                })
            }
            Arrivals::Replay(times) => {
                let mut before = Duration::ZERO;
                let gaps_ns = times
                    .iter()
                    .map(|&at| ns(at.saturating_sub(std::mem::replace(&mut before, at))))
                    .collect();
                WireArrivals::Replay(wire::Replay { gaps_ns })
            }
        };
        Self {
            arrivals: Some(arrivals),
            first_lane: lanes.first,
            lane_count: lanes.count,
            lanes: lanes.of,
            items,
            drop_when_full: when_full == WhenFull::Drop,
        }
    }
}

impl TryFrom<wire::OpenLoad> for OpenLoad {
    type Error = InvalidMessage;
    fn try_from(load: wire::OpenLoad) -> Result<Self, InvalidMessage> {
        let arrivals = match require(load.arrivals, "arrivals")? {
            WireArrivals::Drawn(d) => drawn(d)?,
            WireArrivals::Replay(r) => Arrivals::Replay(replay(&r.gaps_ns)?),
        };
        let lanes = Lanes {
            first: load.first_lane,
            count: load.lane_count,
            of: non_zero(load.lanes, "lanes")?.get(),
        };
        if lanes.first.checked_add(lanes.count).is_none_or(|end| end > lanes.of) {
            return Err(out_of_range("lane_count", lanes.count, "a range within the fleet's lanes"));
        }
        let when_full = if load.drop_when_full { WhenFull::Drop } else { WhenFull::Wait };
        Ok(Self { arrivals, lanes, items: load.items, when_full })
    }
}

fn drawn(d: wire::Drawn) -> Result<Arrivals, InvalidMessage> {
    let process = match WireProcess::try_from(d.process) {
        Ok(WireProcess::Constant) => Process::Constant,
        Ok(WireProcess::Poisson) => Process::Poisson,
        Ok(WireProcess::Gamma) if Process::is_shape(d.shape) => Process::Gamma { shape: d.shape },
        Ok(WireProcess::Gamma) => return Err(out_of_range("shape", d.shape, "a shape that can be drawn")),
        Err(_) => return Err(out_of_range("process", d.process, "a process of this protocol version")),
    };
    let stage =
        |s: &wire::Stage| Stage { from: s.from, to: s.to, length: s.length_us.map(Duration::from_micros) };
    let profile = Profile::try_new(d.stages.iter().map(stage).collect())
        .map_err(|e| out_of_range("stages", e, "a profile"))?;
    Ok(Arrivals::Drawn { process, profile, seed: d.seed })
}

fn replay(gaps: &[u64]) -> Result<Arc<[Duration]>, InvalidMessage> {
    let mut at = 0u64;
    gaps.iter()
        .map(|gap| {
            at = at.checked_add(*gap).ok_or_else(|| out_of_range("gaps_ns", gap, "a time below 2^64 ns"))?;
            Ok(Duration::from_nanos(at))
        })
        .collect()
}

impl From<&Health> for wire::Health {
    fn from(h: &Health) -> Self {
        let Health {
            threads_busy,
            cores_busy,
            poll_delay,
            open_files,
            open_files_limit,
            ports_used,
            ports_limit,
            socket_errors,
            resident_bytes,
        } = h;
        Self {
            threads_busy: threads_busy.clone(),
            cores_busy: cores_busy.clone(),
            poll_delay: Some(poll_delay.into()),
            open_files: *open_files,
            open_files_limit: *open_files_limit,
            ports_used: *ports_used,
            ports_limit: *ports_limit,
            socket_errors: *socket_errors,
            resident_bytes: *resident_bytes,
        }
    }
}

impl TryFrom<wire::Health> for Health {
    type Error = InvalidMessage;
    fn try_from(h: wire::Health) -> Result<Self, InvalidMessage> {
        // A little above 1 is the clocks' grain.
        let shares = |shares: Vec<f64>, field| match shares.iter().find(|s| !(0.0..=1.5).contains(*s)) {
            Some(odd) => Err(out_of_range(field, odd, "a share from 0 to 1")),
            None => Ok(shares),
        };
        Ok(Self {
            threads_busy: shares(h.threads_busy, "threads_busy")?,
            cores_busy: shares(h.cores_busy, "cores_busy")?,
            poll_delay: latency(h.poll_delay, "poll_delay")?,
            open_files: h.open_files,
            open_files_limit: h.open_files_limit,
            ports_used: h.ports_used,
            ports_limit: h.ports_limit,
            socket_errors: h.socket_errors,
            resident_bytes: h.resident_bytes,
        })
    }
}

impl From<Ceiling> for wire::Ceiling {
    fn from(c: Ceiling) -> Self {
        let Ceiling { requests_per_s, time_per_request, threads, measured } = c;
        Self {
            requests_per_s,
            time_per_request_ns: ns(time_per_request),
            threads,
            measured_ms: millis(measured),
        }
    }
}

impl TryFrom<wire::Ceiling> for Ceiling {
    type Error = InvalidMessage;
    fn try_from(c: wire::Ceiling) -> Result<Self, InvalidMessage> {
        if !(c.requests_per_s > 0.0 && c.requests_per_s.is_finite()) {
            return Err(out_of_range("requests_per_s", c.requests_per_s, "a positive number"));
        }
        Ok(Self {
            requests_per_s: c.requests_per_s,
            time_per_request: Duration::from_nanos(c.time_per_request_ns),
            threads: non_zero(c.threads, "threads")?.get(),
            measured: Duration::from_millis(c.measured_ms),
        })
    }
}
