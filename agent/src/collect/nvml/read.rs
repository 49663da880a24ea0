//! One GPU's numbers, call by call.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, GpuProcess, GpuReading, GpuUuid, Occasion, Reading, Readings,
};
use nvml_wrapper::Device as Gpu;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, PcieUtilCounter, PerformanceState, Sampling, TemperatureSensor,
};
use nvml_wrapper::enums::device::{SampleValue, UsedGpuMemory};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;

use super::absence::{Extent, absence, extent};
use super::calls::Calls;
use super::throttle::throttle_names;
use crate::collect::metrics_of;

/// Power of the instant in mW; `NVML_FI_DEV_POWER_INSTANT` of nvml.h.
const POWER_INSTANT: FieldId = FieldId(186);

/// NVLink links that a GPU has at most; `NVML_NVLINK_MAX_LINKS` of nvml.h.
const NVLINKS: u32 = 18;

/// What one reading leaves for the next, by GPU, and what calls cost.
#[derive(Debug, Default)]
pub(super) struct Memory {
    gpus: Mutex<BTreeMap<GpuUuid, Seen>>,
    pub(super) calls: Calls,
}

/// Driver stamps last seen, which the driver wants back.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    utilization: u64,
    processes: u64,
}

impl Memory {
    /// The driver was started anew: stamps begin anew with it.
    pub(super) fn forget(&self) {
        self.gpus.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn seen<T>(&self, uuid: &GpuUuid, change: impl FnOnce(&mut Seen) -> T) -> T {
        change(self.gpus.lock().unwrap_or_else(PoisonError::into_inner).entry(uuid.clone()).or_default())
    }
}

/// A GPU at work on one reading.
struct Read<'a, 'n> {
    gpu: &'a Gpu<'n>,
    uuid: &'a GpuUuid,
    memory: &'a Memory,
    /// What is gone, as a call showed.
    gone: Option<Extent>,
    driver_wall_ns: Option<u64>,
    repeated: Vec<GpuMetric>,
}

/// Reads what belongs to the occasion; beside it what is gone until NVML is started anew.
pub(super) fn read(
    gpu: &Gpu<'_>,
    uuid: &GpuUuid,
    occasion: Occasion,
    memory: &Memory,
) -> (GpuReading, Option<Extent>) {
    let mut read = Read { gpu, uuid, memory, gone: None, driver_wall_ns: None, repeated: Vec::new() };
    let mut values = Readings::default();
    for metric in metrics_of(occasion) {
        if values.get(*metric).is_none() {
            read.metric(*metric, &mut values);
        }
    }
    // Calls that answer with several numbers may have given some that were not asked for.
    let values = values.iter().filter(|(m, _)| metrics_of(occasion).contains(m));
    let values = values.map(|(metric, reading)| (metric, reading.clone())).collect();
    let throttle = (occasion == Occasion::Normal).then(|| {
        let reasons = read.call("throttle_reasons", Gpu::current_throttle_reasons_strict);
        throttle_names(reasons).map_err(|error| absence(&error))
    });
    let processes = (occasion == Occasion::Slow).then(|| read.processes());
    let Read { gone, driver_wall_ns, repeated, .. } = read;
    (GpuReading { uuid: uuid.clone(), values, repeated, driver_wall_ns, throttle, processes }, gone)
}

impl<'n> Read<'_, 'n> {
    fn call<T>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&Gpu<'n>) -> Result<T, NvmlError>,
    ) -> Result<T, NvmlError> {
        let answer = self.memory.calls.time(name, || call(self.gpu));
        if let Err(error) = &answer {
            self.gone = extent(error).or(self.gone);
        }
        answer
    }

    fn number<T>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&Gpu<'n>) -> Result<T, NvmlError>,
        value: impl FnOnce(T) -> f64,
    ) -> Reading {
        self.call(name, call).map(value).map_err(|error| absence(&error))
    }

    /// Reads a number, and with it those that its call tells besides.
    fn metric(&mut self, metric: GpuMetric, values: &mut Readings<GpuMetric>) {
        use GpuMetric as M;
        let reading = match metric {
            M::UtilizationPercent | M::MemoryUtilizationPercent => {
                let (gpu, memory) = split(self.call("utilization", Gpu::utilization_rates));
                values.set(M::UtilizationPercent, gpu.and_then(|u| percent(u.gpu)));
                values.set(M::MemoryUtilizationPercent, memory.and_then(|u| percent(u.memory)));
                self.mark_repeated();
                return;
            }
            M::MemoryUsedBytes | M::MemoryReservedBytes | M::MemoryTotalBytes => {
                let memory = self.call("memory", Gpu::memory_info).map_err(|error| absence(&error));
                let of = |pick: fn(&nvml_wrapper::struct_wrappers::device::MemoryInfo) -> u64| {
                    memory.as_ref().map(|memory| pick(memory) as f64).map_err(Clone::clone)
                };
                values.set(M::MemoryUsedBytes, of(|m| m.used));
                values.set(M::MemoryReservedBytes, of(|m| m.reserved));
                values.set(M::MemoryTotalBytes, of(|m| m.total));
                return;
            }
            M::PowerW => self.number("power", Gpu::power_usage, watts),
            M::PowerInstantW => self.power_instant(),
            M::PowerLimitW => self.number("power_limit", Gpu::enforced_power_limit, watts),
            M::EnergyJ => self.number("energy", Gpu::total_energy_consumption, |mj| mj as f64 / 1e3),
            M::TemperatureC => {
                self.number("temperature", |gpu| gpu.temperature(TemperatureSensor::Gpu), f64::from)
            }
            M::SmClockMhz => self.number("clock", |gpu| gpu.clock_info(Clock::SM), f64::from),
            M::MemoryClockMhz => self.number("clock", |gpu| gpu.clock_info(Clock::Memory), f64::from),
            M::PerformanceState => {
                let state = self.call("performance_state", Gpu::performance_state);
                state.map_err(|error| absence(&error)).and_then(performance_state)
            }
            M::EncoderPercent => {
                let busy = self.call("encoder", Gpu::encoder_utilization);
                busy.map_err(|error| absence(&error)).and_then(|u| percent(u.utilization))
            }
            M::DecoderPercent => {
                let busy = self.call("decoder", Gpu::decoder_utilization);
                busy.map_err(|error| absence(&error)).and_then(|u| percent(u.utilization))
            }
            M::PcieGeneration => self.number("pcie_link", Gpu::current_pcie_link_gen, f64::from),
            M::PcieWidth => self.number("pcie_link", Gpu::current_pcie_link_width, f64::from),
            // NVML tells KB/s, as thousands.
            M::PcieReceivedBytesPerS => {
                let call = |gpu: &Gpu<'n>| gpu.pcie_throughput(PcieUtilCounter::Receive);
                self.number("pcie_throughput", call, |kb| f64::from(kb) * 1e3)
            }
            M::PcieSentBytesPerS => {
                let call = |gpu: &Gpu<'n>| gpu.pcie_throughput(PcieUtilCounter::Send);
                self.number("pcie_throughput", call, |kb| f64::from(kb) * 1e3)
            }
            M::PcieReplays => self.number("pcie_replays", Gpu::pcie_replay_counter, f64::from),
            M::NvlinksUp => self.nvlinks(),
            M::EccCorrected => self.ecc(MemoryError::Corrected),
            M::EccUncorrected => self.ecc(MemoryError::Uncorrected),
            M::ComputeProcesses => self.number("processes", Gpu::running_compute_processes_count, f64::from),
        };
        values.set(metric, reading);
    }

    /// Utilization stands still within the driver's sample period. Its buffer tells whether there is a new sample;
    /// where it does not tell, nothing is claimed.
    fn mark_repeated(&mut self) {
        let last = self.memory.seen(self.uuid, |seen| seen.utilization);
        let newer = self.call("utilization_samples", |gpu| gpu.samples(Sampling::GpuUtilization, last));
        match newer {
            Ok(samples) => {
                let newest = samples.iter().map(|sample| sample.timestamp).max().unwrap_or(0);
                if newest > last {
                    self.memory.seen(self.uuid, |seen| seen.utilization = newest);
                } else {
                    self.repeated = vec![GpuMetric::UtilizationPercent, GpuMetric::MemoryUtilizationPercent];
                }
            }
            Err(NvmlError::NotFound) if last > 0 => {
                self.repeated = vec![GpuMetric::UtilizationPercent, GpuMetric::MemoryUtilizationPercent];
            }
            Err(_) => {}
        }
    }

    fn power_instant(&mut self) -> Reading {
        let fields = self.call("power_instant", |gpu| gpu.field_values_for(&[POWER_INSTANT]));
        let field = fields.and_then(|mut fields| fields.pop().unwrap_or(Err(NvmlError::NoData)));
        let field = field.map_err(|error| absence(&error))?;
        self.driver_wall_ns = u64::try_from(field.timestamp).ok().filter(|us| *us > 0).map(|us| us * 1000);
        let value = field.value.map_err(|error| absence(&error))?;
        Ok(match value {
            SampleValue::F64(mw) => mw / 1e3,
            SampleValue::U32(mw) => watts(mw),
            SampleValue::U64(mw) => mw as f64 / 1e3,
            SampleValue::I64(mw) => mw as f64 / 1e3,
        })
    }

    /// Links that are up; those that the GPU does not have are no error, unless it has none at all.
    fn nvlinks(&mut self) -> Reading {
        let mut up = 0;
        for link in 0..NVLINKS {
            match self.call("nvlink", |gpu| gpu.link_wrapper_for(link).is_active()) {
                Ok(active) => up += u32::from(active),
                Err(NvmlError::InvalidArg | NvmlError::NotSupported) if link > 0 => break,
                Err(error) => return Err(absence(&error)),
            }
        }
        Ok(f64::from(up))
    }

    fn ecc(&mut self, kind: MemoryError) -> Reading {
        self.number("ecc", |gpu| gpu.total_ecc_errors(kind, EccCounter::Volatile), |n| n as f64)
    }

    /// Processes that compute on it, with what they use.
    fn processes(&mut self) -> Reading<Vec<GpuProcess>> {
        let running = self.call("processes", Gpu::running_compute_processes);
        let running = running.map_err(|error| absence(&error))?;
        let last = self.memory.seen(self.uuid, |seen| seen.processes);
        let shares = self.call("process_utilization", |gpu| gpu.process_utilization_stats(last));
        if let Ok(shares) = &shares
            && let Some(newest) = shares.iter().map(|share| share.timestamp).max()
        {
            self.memory.seen(self.uuid, |seen| seen.processes = seen.processes.max(newest));
        }
        let share = |pid| match &shares {
            Ok(shares) => match shares.iter().filter(|s| s.pid == pid).max_by_key(|s| s.timestamp) {
                Some(share) => percent(share.sm_util),
                None => Err(Absence::new(AbsenceReason::NotYet, "no sample of it since the last reading")),
            },
            Err(error) => Err(absence(error)),
        };
        let one = |info: nvml_wrapper::struct_wrappers::device::ProcessInfo| GpuProcess {
            pid: info.pid,
            name: program(info.pid),
            memory_bytes: match info.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Ok(bytes as f64),
                UsedGpuMemory::Unavailable => {
                    Err(Absence::new(AbsenceReason::Unsupported, "the driver does not tell"))
                }
            },
            utilization_percent: share(info.pid),
        };
        Ok(running.into_iter().map(one).collect())
    }
}

/// A process's program; empty when the system does not tell, as for another container's process.
fn program(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// One answer, for two readings.
fn split<T: Clone>(answer: Result<T, NvmlError>) -> (Result<T, Absence>, Result<T, Absence>) {
    let answer = answer.map_err(|error| absence(&error));
    (answer.clone(), answer)
}

fn watts(milliwatts: u32) -> f64 {
    f64::from(milliwatts) / 1e3
}

fn performance_state(state: PerformanceState) -> Reading {
    // `NVML_PSTATE_0` is 0; unknown is 32.
    match state.as_c() {
        number @ 0..=15 => Ok(f64::from(number)),
        _ => Err(Absence::new(AbsenceReason::NotYet, "the performance state is unknown")),
    }
}

fn percent(said: u32) -> Reading {
    if said > 100 {
        return Err(Absence::new(AbsenceReason::Error, format!("NVML said {said} %")));
    }
    Ok(f64::from(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_above_all_of_it_is_no_reading() {
        assert_eq!(percent(0), Ok(0.0));
        assert_eq!(percent(100), Ok(100.0));
        assert_eq!(percent(u32::MAX).unwrap_err().reason, AbsenceReason::Error);
    }

    #[test]
    fn a_performance_state_is_its_number_and_the_unknown_one_is_none() {
        assert_eq!(performance_state(PerformanceState::Zero), Ok(0.0));
        assert_eq!(performance_state(PerformanceState::Fifteen), Ok(15.0));
        assert!(performance_state(PerformanceState::Unknown).is_err());
    }
}
