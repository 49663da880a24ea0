//! Names and addresses of a device, and its instances.

use std::ffi::{c_char, c_uint};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlPciInfo_t, nvmlReturn_t};

use super::{host, put};
use crate::call;
use crate::model::PciAddress;

export_device! {
    nvmlDeviceGetName(name: *mut c_char, length: c_uint) |device, _host| {
        // SAFETY: `name` is the caller's, null or valid for `length` bytes.
        unsafe { put::text(name, length, device.name()) }
    }

    nvmlDeviceGetUUID(uuid: *mut c_char, length: c_uint) |device, _host| {
        // SAFETY: `uuid` is the caller's, null or valid for `length` bytes.
        unsafe { put::text(uuid, length, device.uuid()) }
    }

    nvmlDeviceGetSerial(serial: *mut c_char, length: c_uint) |device, _host| {
        // SAFETY: `serial` is the caller's, null or valid for `length` bytes.
        unsafe { put::text(serial, length, device.serial()?) }
    }

    nvmlDeviceGetIndex(index: *mut c_uint) |device, host| {
        // SAFETY: `index` is the caller's, null or valid for its type.
        unsafe { put::value(index, device.index(host.starts)?) }
    }

    nvmlDeviceGetPciInfo_v3(out: *mut nvmlPciInfo_t) |device, _host| {
        let PciAddress { domain, bus, device: slot } = device.pci();
        let text = device.pci().to_string();
        // The old form has four digits of the domain.
        let info = nvmlPciInfo_t {
            busIdLegacy: chars(&text[4..]),
            domain,
            bus,
            device: slot,
            pciDeviceId: 0x20B2_10DE,
            pciSubSystemId: 0x1463_10DE,
            busId: chars(&text),
        };
        // SAFETY: `out` is the caller's, null or valid for its type.
        unsafe { put::value(out, info) }
    }
}

/// As in nvml.h.
///
/// # Safety
/// `instance` is null or valid for its type. The handle may be anything.
// SAFETY: no other code in the process defines nvml.h's names when this library is loaded as NVML.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: nvmlDevice_t,
    index: c_uint,
    instance: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    call::on_device("nvmlDeviceGetMigDeviceHandleByIndex", device.addr(), |device, _host| {
        let handle = crate::state::state().handle(device.mig_device(index)?);
        // SAFETY: as promised to this function.
        unsafe { host::give(instance, handle) }
    })
}

/// A text and zeros after it; what does not fit before the last zero is cut off.
fn chars<const N: usize>(text: &str) -> [c_char; N] {
    let mut chars = [0; N];
    for (to, byte) in chars.iter_mut().take(N - 1).zip(text.bytes()) {
        *to = byte.cast_signed();
    }
    chars
}
