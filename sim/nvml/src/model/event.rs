//! Xid errors as events.

use super::{nanoseconds, seconds};
use crate::script::Script;

/// An Xid error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XidEvent {
    /// When, on `CLOCK_MONOTONIC`.
    pub at_ns: i64,
    /// The error's number.
    pub code: u64,
}

impl Script {
    /// The first Xid error of a device after one instant and not after another, both on `CLOCK_MONOTONIC`.
    pub fn xid_between(&self, uuid: &str, after_ns: i64, until_ns: i64) -> Option<XidEvent> {
        let epoch = self.epoch_ns.cast_signed();
        let events = self.gpu(uuid)?.xid.iter();
        let mut events =
            events.map(|&(second, code)| XidEvent { at_ns: epoch.saturating_add(nanoseconds(second)), code });
        events.find(|event| (after_ns.saturating_add(1)..=until_ns).contains(&event.at_ns))
    }

    /// Whether the driver went after NVML was last started, both on `CLOCK_MONOTONIC`: it must be started again.
    pub fn driver_went_since(&self, started_ns: u64, now_ns: u64) -> bool {
        let second = |ns: u64| seconds(ns.cast_signed() - self.epoch_ns.cast_signed());
        let (started, now) = (second(started_ns), second(now_ns));
        let unloaded = self.faults.iter().filter(|f| f.kind == crate::script::FaultKind::DriverUnloaded);
        unloaded
            .into_iter()
            .any(|fault| fault.from.is_none_or(|from| from <= now) && fault.to.is_none_or(|to| started < to))
    }
}
