//! What a worker is to run.

use std::time::Duration;

use super::common::{millis, non_zero, text};
use super::{InvalidMessage, out_of_range, require};
use crate::id::TrialId;
use crate::load::{Limits, Load, Warmup};
use crate::trial::{
    Assignment, DriverChoice, HttpVersion, Method, Share, Strategy, Target, Transport, Workload,
};
use crate::wire;

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
