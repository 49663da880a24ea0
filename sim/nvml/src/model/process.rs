//! Who uses a device.

use super::{Device, percent, seconds, whole_u64};
use crate::code::{Answer, Code};
use crate::script::{Process, ProcessKind, Script};

/// A process in a list of those that use a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessInUse {
    /// Its id.
    pub pid: u32,
    /// Bytes it holds, if NVML can tell.
    pub memory_bytes: Option<u64>,
    /// With MIG, its GPU instance.
    pub gpu_instance: Option<u32>,
    /// With MIG, its compute instance.
    pub compute_instance: Option<u32>,
}

/// A process's shares of a span that ended at `stamp_us`, percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "NVML's names of the units")]
pub struct ProcessShare {
    pub pid: u32,
    pub stamp_us: u64,
    pub sm: u32,
    pub memory: u32,
    pub encoder: u32,
    pub decoder: u32,
}

impl Script {
    /// The name of a process on any device.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn process_name(&self, pid: u32) -> Answer<&str> {
        let mut processes = self.devices.iter().flat_map(|gpu| &gpu.processes);
        processes.find(|process| process.pid == pid).map(|p| p.name.as_str()).ok_or(Code::NOT_FOUND)
    }
}

impl<'a> Device<'a> {
    /// The processes of a kind that use the device now; on an instance, those within it.
    pub fn processes(&self, kind: ProcessKind) -> Vec<ProcessInUse> {
        let now = self.second();
        let divided = self.mig_enabled();
        self.running()
            .filter(|process| process.kind == kind)
            .map(|process| ProcessInUse {
                pid: process.pid,
                memory_bytes: process.memory_bytes.as_ref().map(|bytes| whole_u64(bytes.at(now))),
                gpu_instance: process.gpu_instance.filter(|_| divided),
                compute_instance: process.compute_instance.filter(|_| divided),
            })
            .collect()
    }

    /// The shares of each process since a stamp: the mean up to the last end of a utilization period.
    ///
    /// # Errors
    /// [`Code::NOT_SUPPORTED`] with MIG, [`Code::NOT_FOUND`] when nothing ran since.
    pub fn process_shares(&self, last_seen_us: u64) -> Answer<Vec<ProcessShare>> {
        let period_s = self.measured()?.period_s;
        let (ended, period) = self.grid(period_s);
        let stamp_us = self.stamp_us(ended * period);
        if stamp_us <= last_seen_us {
            return Err(Code::NOT_FOUND);
        }
        let kept_us = period * i64::from(self.gpu.samples.length) / 1_000;
        let since_us = (stamp_us - last_seen_us).min(kept_us.cast_unsigned()).cast_signed();
        let (from, to) = (seconds(ended * period - since_us * 1_000), seconds(ended * period));
        let share = |process: &Process| ProcessShare {
            pid: process.pid,
            stamp_us,
            sm: percent(process.sm.mean(from, to)),
            memory: percent(process.memory.mean(from, to)),
            encoder: percent(process.encoder.mean(from, to)),
            decoder: percent(process.decoder.mean(from, to)),
        };
        let worked = |share: &ProcessShare| share.sm + share.memory + share.encoder + share.decoder > 0;
        let shares: Vec<_> = self.running().map(share).filter(worked).collect();
        if shares.is_empty() { Err(Code::NOT_FOUND) } else { Ok(shares) }
    }

    fn running(&self) -> impl Iterator<Item = &'a Process> {
        let (now, instance) = (self.second(), self.instance);
        let processes: &'a [Process] = &self.gpu.processes;
        processes.iter().filter(move |process| {
            let there = process.from.is_none_or(|from| from <= now) && process.to.is_none_or(|to| now < to);
            there && instance.is_none_or(|instance| process.gpu_instance == Some(instance.gpu_instance))
        })
    }
}
