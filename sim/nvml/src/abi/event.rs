//! Events: Xid errors.

use std::ffi::{c_uint, c_ulonglong};
use std::ptr;
use std::thread::sleep;
use std::time::Duration;

use nvml_wrapper_sys::bindings::{
    nvmlEventData_t, nvmlEventSet_t, nvmlEventTypeXidCriticalError, nvmlReturn_t,
};

use super::put;
use crate::call::{self, LOOK, on_host, open_host};
use crate::clock::monotonic_ns;
use crate::code::{Answer, Code};
use crate::model::Device;
use crate::state::{Host, state};

const XID: c_ulonglong = nvmlEventTypeXidCriticalError as c_ulonglong;

/// The types of events that a device may have.
pub(super) fn supported(device: &Device<'_>) -> c_ulonglong {
    if device.instance_uuid().is_some() { 0 } else { XID }
}

export_host! {
    nvmlEventSetCreate(set: *mut nvmlEventSet_t) |_host| {
        if set.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        let new = state().new_event_set();
        // SAFETY: `set` is the caller's, null or valid for its type.
        unsafe { put::value(set, ptr::without_provenance_mut(new)) }
    }

    nvmlEventSetFree(set: nvmlEventSet_t) |_host| {
        state().free_event_set(set.addr())
    }
}

export_device! {
    nvmlDeviceRegisterEvents(types: c_ulonglong, set: nvmlEventSet_t) |device, host| {
        if types & !supported(&device) != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        let (uuid, now) = (device.gpu_uuid().to_owned(), host.now.monotonic_ns.cast_signed());
        let mut state = state();
        let set = state.event_set(set.addr())?;
        if types & XID != 0 && !set.iter().any(|(known, _)| *known == uuid) {
            set.push((uuid, now));
        }
        Ok(())
    }
}

/// As in nvml.h. Each Xid error is told with its own number; NVML may tell the last one's for all of them.
///
/// # Safety
/// `data` is null or valid for its type. The handle may be anything.
// SAFETY: no other code in the process defines nvml.h's names when this library is loaded as NVML.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetWait_v2(
    set: nvmlEventSet_t,
    data: *mut nvmlEventData_t,
    timeout_ms: c_uint,
) -> nvmlReturn_t {
    const SYMBOL: &str = "nvmlEventSetWait_v2";
    let began = monotonic_ns();
    let mut event = None;
    // Only the first look goes through the driver's lock and the faults; who waits for events holds up nobody.
    let mut answer = on_host(SYMBOL, |host| look(host, set, &mut event));
    while answer == Code::TIMEOUT.0 {
        let waited = Duration::from_nanos(monotonic_ns().saturating_sub(began));
        let left = Duration::from_millis(timeout_ms.into()).saturating_sub(waited);
        if left.is_zero() {
            break;
        }
        // Events are rare; who waits for them is to cost next to nothing.
        sleep(left.min(LOOK * 10));
        state().look();
        answer = call::returns(|| look(&open_host()?, set, &mut event));
    }
    call::returns(|| {
        if answer != 0 {
            return Err(Code(answer));
        }
        let (device, code) = event.ok_or(Code::UNKNOWN)?;
        let event = nvmlEventData_t {
            device: ptr::without_provenance_mut(device),
            eventType: XID,
            eventData: code,
            gpuInstanceId: c_uint::MAX,
            computeInstanceId: c_uint::MAX,
        };
        // SAFETY: as promised to this function.
        unsafe { put::value(data, event) }
    })
}

/// Takes the oldest event that a set has not told yet: the device's handle and the error's number.
fn look(host: &Host, set: nvmlEventSet_t, event: &mut Option<(usize, u64)>) -> Answer<()> {
    let now = host.now.monotonic_ns.cast_signed();
    let mut state = state();
    let set = state.event_set(set.addr())?;
    let xid = |(place, (uuid, told)): (usize, &(String, i64))| {
        host.script.xid_between(uuid, *told, now).map(|xid| (xid.at_ns, place, xid.code))
    };
    let (at, place, code) = set.iter().enumerate().filter_map(xid).min().ok_or(Code::TIMEOUT)?;
    set[place].1 = at;
    let uuid = set[place].0.clone();
    *event = Some((state.handle(&uuid), code));
    Ok(())
}
