//! GPU readings from NVML, NVIDIA's management library.

mod absence;
mod throttle;
mod unavailable;

use std::path::PathBuf;

use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuReading, GpuUuid, Reading};
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;

use super::{GpuCollector, all_absent};
pub use absence::absence;
pub use throttle::throttle_names;
pub use unavailable::NvmlUnavailable;

/// Reads every GPU that NVML shows.
///
/// GPUs are known by UUID, because their order may change with a reboot. NVML's calls serialise on a lock of
/// the driver and may block: use it on a thread of its own.
pub struct NvmlCollector {
    // The library is kept only with GPUs to read.
    opened: Result<(Nvml, Vec<Device>), Absence>,
}

impl NvmlCollector {
    /// Loads the library (`None`: the system's) and looks for GPUs. When that fails, a warning says what it
    /// means and what to do, and the collector has the reason instead of devices.
    pub fn open(lib: Option<PathBuf>) -> Self {
        let opened = Self::try_open(lib).map_err(|unavailable| {
            tracing::warn!("{unavailable}");
            unavailable.absence()
        });
        Self { opened }
    }

    fn try_open(lib: Option<PathBuf>) -> Result<(Nvml, Vec<Device>), NvmlUnavailable> {
        let mut builder = Nvml::builder();
        if let Some(path) = &lib {
            builder.lib_path(path.as_os_str());
        }
        let nvml = builder.init().map_err(|error| NvmlUnavailable::new(lib.clone(), error))?;
        let devices = list(&nvml).map_err(|error| NvmlUnavailable::new(lib, error))?;
        Ok((nvml, devices))
    }
}

impl GpuCollector for NvmlCollector {
    fn devices(&mut self) -> Result<Vec<Device>, Absence> {
        match &self.opened {
            Ok((_, devices)) => Ok(devices.clone()),
            Err(absence) => Err(absence.clone()),
        }
    }

    fn read(&mut self) -> Vec<GpuReading> {
        let Ok((nvml, devices)) = &self.opened else { return Vec::new() };
        devices.iter().map(|device| read_one(nvml, &device.uuid)).collect()
    }
}

/// The GPUs that can be opened. One that cannot has no UUID to report it under, so a warning names it.
fn list(nvml: &Nvml) -> Result<Vec<Device>, NvmlError> {
    let mut devices = Vec::new();
    let mut last_error = None;
    for index in 0..nvml.device_count()? {
        match nvml.device_by_index(index).and_then(|gpu| Ok((gpu.uuid()?, gpu.name()))) {
            Ok((uuid, name)) => {
                let name = name.unwrap_or_else(|error| format!("GPU without a name ({error})"));
                devices.push(Device { uuid: GpuUuid(uuid), name });
            }
            Err(error) => {
                tracing::warn!("GPU {index} is left out: NVML cannot open it ({error})");
                last_error = Some(error);
            }
        }
    }
    match last_error {
        Some(error) if devices.is_empty() => Err(error),
        _ => Ok(devices),
    }
}

fn read_one(nvml: &Nvml, uuid: &GpuUuid) -> GpuReading {
    let gpu = match nvml.device_by_uuid(uuid.0.as_str()) {
        Ok(gpu) => gpu,
        // Elsewhere this means "empty now"; here the GPU itself is what is not there.
        Err(error @ NvmlError::NotFound) => {
            return all_absent(uuid.clone(), &Absence::new(AbsenceReason::Lost, error.to_string()));
        }
        Err(error) => return all_absent(uuid.clone(), &absence(&error)),
    };
    let (memory_used_bytes, memory_total_bytes) = match gpu.memory_info() {
        Ok(memory) => (Ok(memory.used as f64), Ok(memory.total as f64)),
        Err(error) => (Err(absence(&error)), Err(absence(&error))),
    };
    let or_absent = |reading: Result<f64, NvmlError>| reading.map_err(|error| absence(&error));
    GpuReading {
        uuid: uuid.clone(),
        utilization_percent: gpu.utilization_rates().map_err(|e| absence(&e)).and_then(|u| percent(u.gpu)),
        memory_used_bytes,
        memory_total_bytes,
        power_w: or_absent(gpu.power_usage().map(|mw| f64::from(mw) / 1e3)),
        energy_j: or_absent(gpu.total_energy_consumption().map(|mj| mj as f64 / 1e3)),
        temperature_c: or_absent(gpu.temperature(TemperatureSensor::Gpu).map(f64::from)),
        sm_clock_mhz: or_absent(gpu.clock_info(Clock::SM).map(f64::from)),
        throttle: throttle_names(gpu.current_throttle_reasons_strict()).map_err(|error| absence(&error)),
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
    use crate::testing::check_gpu_collector;

    #[test]
    fn without_a_library_there_is_a_reason_instead_of_devices() {
        let missing = || NvmlCollector::open(Some(PathBuf::from("/nonexistent/libnvidia-ml.so.1")));
        let absence = missing().devices().unwrap_err();
        assert_eq!(absence.reason, AbsenceReason::Unsupported);
        assert!(absence.detail.contains("no NVML library at /nonexistent/libnvidia-ml.so.1"), "{absence}");
        assert!(missing().read().is_empty());
    }

    #[test]
    fn nvml_without_a_library_keeps_to_the_contract() {
        check_gpu_collector(|| {
            Box::new(NvmlCollector::open(Some(PathBuf::from("/nonexistent/libnvidia-ml.so.1"))))
        });
    }

    #[test]
    fn a_share_above_all_of_it_is_no_reading() {
        assert_eq!(percent(0), Ok(0.0));
        assert_eq!(percent(100), Ok(100.0));
        assert_eq!(percent(u32::MAX).unwrap_err().reason, AbsenceReason::Error);
    }
}
