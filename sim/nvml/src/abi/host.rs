//! Starting, stopping, the host, and finding devices.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use super::put;
use crate::call;
use crate::code::{self, Answer, Code};
use crate::model::pci_address;

/// As in nvml.h.
// SAFETY: no other code in the process defines nvml.h's names when this library is loaded as NVML.
#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    call::starts("nvmlInit_v2")
}

/// As in nvml.h; the flags change nothing, since no GPU is attached anyway.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    call::starts("nvmlInitWithFlags")
}

/// As in nvml.h.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    call::stops("nvmlShutdown")
}

/// As in nvml.h.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    code::text(result).as_ptr()
}

export_host! {
    nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) |host| {
        // SAFETY: `version` is the caller's, null or valid for `length` bytes.
        unsafe { put::text(version, length, &host.script.driver_version) }
    }

    nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) |host| {
        // SAFETY: `version` is the caller's, null or valid for `length` bytes.
        unsafe { put::text(version, length, &host.script.nvml_version) }
    }

    nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) |host| {
        // SAFETY: `version` is the caller's, null or valid for its type.
        unsafe { put::value(version, host.script.cuda_version) }
    }

    nvmlSystemGetProcessName(pid: c_uint, name: *mut c_char, length: c_uint) |host| {
        let whole = host.script.process_name(pid)?;
        let most = whole.floor_char_boundary((length as usize).saturating_sub(1));
        // SAFETY: `name` is the caller's, null or valid for `length` bytes.
        unsafe { put::text(name, length, &whole[..most]) }
    }

    nvmlDeviceGetCount_v2(count: *mut c_uint) |host| {
        let present = host.script.present(host.starts).len();
        // SAFETY: `count` is the caller's, null or valid for its type.
        unsafe { put::value(count, c_uint::try_from(present).unwrap_or(c_uint::MAX)) }
    }
}

/// As in nvml.h.
///
/// # Safety
/// `device` is null or valid for its type.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) -> nvmlReturn_t {
    let find = |host: &crate::state::Host| {
        let present = host.script.present(host.starts);
        present.get(index as usize).map(|gpu| gpu.uuid.clone()).ok_or(Code::INVALID_ARGUMENT)
    };
    // SAFETY: as promised to this function.
    call::finds("nvmlDeviceGetHandleByIndex_v2", find, |handle| unsafe { give(device, handle) })
}

/// As in nvml.h. A MIG instance is found by its UUID too.
///
/// # Safety
/// `uuid` is null or a text that ends in a zero; `device` is null or valid for its type.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByUUID(
    uuid: *const c_char,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    let find = |host: &crate::state::Host| {
        // SAFETY: as promised to this function.
        let uuid = unsafe { text(uuid) }?;
        let gpu = host.script.device(&uuid, host.now)?.gpu_uuid();
        let present = host.script.present(host.starts).iter().any(|there| there.uuid == gpu);
        if present { Ok(uuid) } else { Err(Code::NOT_FOUND) }
    };
    // SAFETY: as promised to this function.
    call::finds("nvmlDeviceGetHandleByUUID", find, |handle| unsafe { give(device, handle) })
}

/// As in nvml.h.
///
/// # Safety
/// `bus_id` is null or a text that ends in a zero; `device` is null or valid for its type.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(
    bus_id: *const c_char,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    let find = |host: &crate::state::Host| {
        // SAFETY: as promised to this function.
        let address = pci_address(&unsafe { text(bus_id) }?).ok_or(Code::INVALID_ARGUMENT)?;
        let present = host.script.present(host.starts);
        let there = present
            .into_iter()
            .find(|gpu| host.script.device(&gpu.uuid, host.now).is_ok_and(|device| device.pci() == address));
        there.map(|gpu| gpu.uuid.clone()).ok_or(Code::NOT_FOUND)
    };
    // SAFETY: as promised to this function.
    call::finds("nvmlDeviceGetHandleByPciBusId_v2", find, |handle| unsafe { give(device, handle) })
}

/// Reads the caller's text.
///
/// # Safety
/// It is null or ends in a zero.
unsafe fn text(from: *const c_char) -> Answer<String> {
    if from.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: it is not null, and the caller promises the rest.
    let text = unsafe { CStr::from_ptr(from) };
    text.to_str().map(str::to_owned).map_err(|_| Code::INVALID_ARGUMENT)
}

/// Gives the caller a handle.
///
/// # Safety
/// `device` is null or valid for a write.
pub(super) unsafe fn give(device: *mut nvmlDevice_t, handle: usize) -> Answer<()> {
    // SAFETY: as promised to this function.
    unsafe { put::value(device, ptr::without_provenance_mut(handle)) }
}
