//! What a device is and does, a value at a time.

use std::ffi::{c_uint, c_ulonglong};
use std::thread::sleep;
use std::time::Duration;

use nvml_wrapper_sys::bindings as nvml;

use super::put;
use crate::code::Code;

/// `NVML_STRUCT_VERSION(Memory, 2)`: the size, and 2 in the highest byte.
#[expect(clippy::cast_possible_truncation, reason = "40")]
pub(super) const MEMORY_V2: c_uint = size_of::<nvml::nvmlMemory_v2_t>() as c_uint | 2 << 24;

export_value! {
    nvmlDeviceGetMinorNumber(): c_uint = |device| device.minor()?;
    nvmlDeviceGetArchitecture(): nvml::nvmlDeviceArchitecture_t = |device| device.architecture();
    nvmlDeviceGetPowerUsage(): c_uint = |device| device.power_mw()?;
    nvmlDeviceGetEnforcedPowerLimit(): c_uint = |device| device.power_limit_mw()?;
    nvmlDeviceGetTotalEnergyConsumption(): c_ulonglong = |device| device.energy_mj()?;
    nvmlDeviceGetTemperature(sensor: nvml::nvmlTemperatureSensors_t): c_uint = |device| match sensor {
        nvml::nvmlTemperatureSensors_enum_NVML_TEMPERATURE_GPU => device.temperature_c()?,
        _ => return Err(Code::INVALID_ARGUMENT),
    };
    nvmlDeviceGetClockInfo(domain: nvml::nvmlClockType_t): c_uint = |device| device.clock_mhz(domain)?;
    nvmlDeviceGetMaxClockInfo(domain: nvml::nvmlClockType_t): c_uint = |device| device.max_clock_mhz(domain)?;
    nvmlDeviceGetPerformanceState(): nvml::nvmlPstates_t = |device| device.performance_state()?;
    nvmlDeviceGetCurrPcieLinkGeneration(): c_uint = |device| device.pcie_generation()?;
    nvmlDeviceGetCurrPcieLinkWidth(): c_uint = |device| device.pcie_width()?;
    nvmlDeviceGetPcieReplayCounter(): c_uint = |device| device.pcie_replays()?;
    nvmlDeviceGetPcieThroughput(direction: nvml::nvmlPcieUtilCounter_t): c_uint = |device| {
        let throughput = device.pcie_throughput(direction)?;
        sleep(Duration::from_millis(device.pcie_throughput_ms()));
        throughput
    };
    nvmlDeviceGetCurrentClocksThrottleReasons(): c_ulonglong = |device| device.throttle()?;
    nvmlDeviceGetTotalEccErrors(kind: nvml::nvmlMemoryErrorType_t, counter: nvml::nvmlEccCounterType_t):
        c_ulonglong = |device| device.ecc_errors(kind, counter)?;
    nvmlDeviceGetMaxMigDeviceCount(): c_uint = |device| device.max_mig_devices()?;
    nvmlDeviceIsMigDeviceHandle(): c_uint = |device| device.instance_uuid().is_some().into();
    nvmlDeviceGetNvLinkState(link: c_uint): nvml::nvmlEnableState_t = |device| device.nvlink_active(link)?.into();
    nvmlDeviceGetSupportedEventTypes(): c_ulonglong = |device| super::event::supported(&device);
    nvmlDeviceGetUtilizationRates(): nvml::nvmlUtilization_t = |device| {
        let (gpu, memory) = device.utilization()?;
        nvml::nvmlUtilization_t { gpu, memory }
    };
    nvmlDeviceGetViolationStatus(policy: nvml::nvmlPerfPolicyType_t): nvml::nvmlViolationTime_t = |device| {
        let (held_ns, at_us) = device.violation(policy)?;
        nvml::nvmlViolationTime_t { referenceTime: at_us, violationTime: held_ns }
    };
}

export_device! {
    nvmlDeviceGetMemoryInfo_v2(out: *mut nvml::nvmlMemory_v2_t) |device, _host| {
        if out.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        // SAFETY: it is not null, and the caller promises that its version is set.
        let version = unsafe { (&raw const (*out).version).read() };
        if version != MEMORY_V2 {
            return Err(Code::ARGUMENT_VERSION_MISMATCH);
        }
        let [total, reserved, free, used] = device.memory()?;
        // SAFETY: `out` is the caller's, null or valid for its type.
        unsafe { put::value(out, nvml::nvmlMemory_v2_t { version, total, reserved, free, used }) }
    }

    nvmlDeviceGetEncoderUtilization(share: *mut c_uint, period_us: *mut c_uint) |device, _host| {
        let answer = device.encoder()?;
        // SAFETY: both are the caller's, null or valid for their type.
        unsafe { pair(share, period_us, answer) }
    }

    nvmlDeviceGetDecoderUtilization(share: *mut c_uint, period_us: *mut c_uint) |device, _host| {
        let answer = device.decoder()?;
        // SAFETY: both are the caller's, null or valid for their type.
        unsafe { pair(share, period_us, answer) }
    }

    nvmlDeviceGetEccMode(now: *mut nvml::nvmlEnableState_t, pending: *mut nvml::nvmlEnableState_t)
    |device, _host| {
        let (is, will_be) = device.ecc_mode()?;
        // SAFETY: both are the caller's, null or valid for their type.
        unsafe { pair(now, pending, (is.into(), will_be.into())) }
    }

    nvmlDeviceGetMigMode(now: *mut c_uint, pending: *mut c_uint) |device, _host| {
        let (is, will_be) = device.mig_mode()?;
        // SAFETY: both are the caller's, null or valid for their type.
        unsafe { pair(now, pending, (is.into(), will_be.into())) }
    }
}

/// Writes two values, or none when one has no place.
///
/// # Safety
/// Both pointers are null or valid for a write.
unsafe fn pair(first: *mut c_uint, second: *mut c_uint, values: (c_uint, c_uint)) -> crate::code::Answer<()> {
    if second.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: as promised to this function.
    unsafe {
        put::value(first, values.0)?;
        put::value(second, values.1)
    }
}
