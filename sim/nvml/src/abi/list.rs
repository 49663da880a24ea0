//! Lists: processes, samples, fields.

use std::ffi::{c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings as nvml;

use super::put::{self, NoRoom};
use crate::call;
use crate::clock::Now;
use crate::code::Code;
use crate::model::{Field, FieldValue, Sampling};
use crate::script::ProcessKind;

/// What NVML writes where it has no number.
const NO_ID: c_uint = c_uint::MAX;
const NO_BYTES: c_ulonglong = c_ulonglong::MAX;

/// Exports the lists of processes of each kind.
macro_rules! export_processes {
    ($($name:ident = $kind:expr;)*) => { $(
        export_device! {
            $name(count: *mut c_uint, infos: *mut nvml::nvmlProcessInfo_t) |device, _host| {
                let entry = |process: crate::model::ProcessInUse| nvml::nvmlProcessInfo_t {
                    pid: process.pid,
                    usedGpuMemory: process.memory_bytes.unwrap_or(NO_BYTES),
                    gpuInstanceId: process.gpu_instance.unwrap_or(NO_ID),
                    computeInstanceId: process.compute_instance.unwrap_or(NO_ID),
                };
                let entries = device.processes($kind).into_iter().map(entry).collect();
                // SAFETY: both are the caller's, null or valid, `infos` for `*count` entries.
                unsafe { put::list(infos, count, entries, NoRoom::Fails) }
            }
        }
    )* };
}

export_processes! {
    nvmlDeviceGetComputeRunningProcesses_v3 = ProcessKind::Compute;
    nvmlDeviceGetGraphicsRunningProcesses_v3 = ProcessKind::Graphics;
    nvmlDeviceGetMPSComputeRunningProcesses_v3 = ProcessKind::Mps;
}

export_device! {
    nvmlDeviceGetProcessUtilization(
        samples: *mut nvml::nvmlProcessUtilizationSample_t, count: *mut c_uint, last_seen_us: c_ulonglong
    ) |device, _host| {
        let entry = |share: crate::model::ProcessShare| nvml::nvmlProcessUtilizationSample_t {
            pid: share.pid,
            timeStamp: share.stamp_us,
            smUtil: share.sm,
            memUtil: share.memory,
            encUtil: share.encoder,
            decUtil: share.decoder,
        };
        let entries = device.process_shares(last_seen_us)?.into_iter().map(entry).collect();
        // SAFETY: both are the caller's, null or valid, `samples` for `*count` entries.
        unsafe { put::list(samples, count, entries, NoRoom::Fails) }
    }

    nvmlDeviceGetSamples(
        sampling: nvml::nvmlSamplingType_t, last_seen_us: c_ulonglong, value_type: *mut nvml::nvmlValueType_t,
        count: *mut c_uint, samples: *mut nvml::nvmlSample_t
    ) |device, _host| {
        let kept = device.samples(Sampling::try_from(sampling)?, last_seen_us)?;
        let entry = |sample: crate::model::Sample| nvml::nvmlSample_t {
            timeStamp: sample.stamp_us,
            sampleValue: unsigned(sample.value),
        };
        let entries = kept.into_iter().map(entry).collect();
        // SAFETY: all are the caller's, null or valid, `samples` for `*count` entries.
        unsafe {
            put::value(value_type, nvml::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT)?;
            put::list(samples, count, entries, NoRoom::Truncates)
        }
    }

    nvmlDeviceGetFieldValues(count: c_int, values: *mut nvml::nvmlFieldValue_t) |device, host| {
        let count = usize::try_from(count).unwrap_or(0);
        if values.is_null() || count == 0 {
            return Err(Code::INVALID_ARGUMENT);
        }
        for at in 0..count {
            // SAFETY: `values` is not null, so the caller promises that it is valid for `count` entries, and
            // `at < count`; what is asked for is set in each.
            let (place, asked) = unsafe {
                let place = values.add(at);
                (place, Field { id: (*place).fieldId, scope: (*place).scopeId })
            };
            let fault = call::field_fault(host, &device, "nvmlDeviceGetFieldValues", asked.id);
            let answer = fault.map_or_else(|| device.field(asked), Err);
            let latency_us = Now::read().monotonic_ns.saturating_sub(host.now.monotonic_ns) / 1_000;
            let (code, value_type, value) = match answer {
                Ok(FieldValue::U32(value)) => {
                    (0, nvml::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT, unsigned(value))
                }
                Ok(FieldValue::U64(value)) => {
                    let value = nvml::nvmlValue_t { ullVal: value };
                    (0, nvml::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, value)
                }
                Err(Code(code)) => (code, nvml::nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE, unsigned(0)),
            };
            let answered = nvml::nvmlFieldValue_t {
                fieldId: asked.id,
                scopeId: asked.scope,
                timestamp: host.now.unix_us(),
                latencyUsec: latency_us.cast_signed(),
                valueType: value_type,
                nvmlReturn: code,
                value,
            };
            // SAFETY: as above.
            unsafe { place.write(answered) };
        }
        Ok(())
    }
}

/// A number in NVML's union, with no byte of it left unset.
fn unsigned(value: u32) -> nvml::nvmlValue_t {
    #[cfg(target_endian = "little")]
    let union = nvml::nvmlValue_t { ullVal: value.into() };
    #[cfg(target_endian = "big")]
    let union = nvml::nvmlValue_t { ullVal: u64::from(value) << 32 };
    union
}
