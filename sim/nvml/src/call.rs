//! What every call goes through: it is counted, delayed or struck by the script's faults, and then answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use nvml_wrapper_sys::bindings::{nvmlReturn_enum_NVML_SUCCESS, nvmlReturn_t};

use crate::clock::Now;
use crate::code::{Answer, Code};
use crate::model::Device;
use crate::script::{Called, FaultKind};
use crate::state::{Host, state};

/// How often a call that waits looks whether the script has changed.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// The driver's lock, for scripts that are `serial`.
static DRIVER: Mutex<()> = Mutex::new(());

/// Turns an answer into a return code. Nothing unwinds into the caller, who may be no Rust.
pub(crate) fn returns(answer: impl FnOnce() -> Answer<()>) -> nvmlReturn_t {
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(Ok(())) => nvmlReturn_enum_NVML_SUCCESS,
        Ok(Err(Code(code))) => code,
        Err(_) => Code::UNKNOWN.0,
    }
}

/// What a call is about.
#[derive(Debug, Clone, Default)]
struct Subject {
    gpu: Option<String>,
    instance: Option<String>,
    reads: bool,
}

/// A call about the host.
pub(crate) fn on_host(symbol: &'static str, answer: impl FnOnce(&Host) -> Answer<()>) -> nvmlReturn_t {
    returns(|| {
        state().count(symbol);
        started(symbol, &Subject::default(), |host| answer(&host))
    })
}

/// A call that finds a device; `find` gives its UUID, `found` its handle to the caller.
pub(crate) fn finds(
    symbol: &'static str,
    find: impl Fn(&Host) -> Answer<String>,
    found: impl FnOnce(usize) -> Answer<()>,
) -> nvmlReturn_t {
    returns(|| {
        state().count(symbol);
        let host = open_host()?;
        let uuid = find(&host)?;
        let subject = subject(&host, &uuid, false)?;
        started(symbol, &subject, |_| {
            let handle = state().handle(&uuid);
            found(handle)
        })
    })
}

/// A call that reads the device of a handle.
pub(crate) fn on_device(
    symbol: &'static str,
    handle: usize,
    answer: impl FnOnce(Device<'_>, &Host) -> Answer<()>,
) -> nvmlReturn_t {
    returns(|| {
        state().count(symbol);
        let host = open_host()?;
        let uuid = state().uuid(handle)?;
        let subject = subject(&host, &uuid, true)?;
        started(symbol, &subject, |host| {
            let device = host.script.device(&uuid, host.now).map_err(|_| Code::GPU_IS_LOST)?;
            answer(device, &host)
        })
    })
}

/// The call that starts NVML.
pub(crate) fn starts(symbol: &'static str) -> nvmlReturn_t {
    returns(|| {
        state().count(symbol);
        let host = pass_faults(symbol, &Subject::default())?;
        state().start(host.now);
        Ok(())
    })
}

/// The call that stops NVML: it stops even when a fault makes it answer otherwise.
pub(crate) fn stops(symbol: &'static str) -> nvmlReturn_t {
    returns(|| {
        state().count(symbol);
        state().stop()?;
        match pass_faults(symbol, &Subject::default()) {
            Err(Code::DRIVER_NOT_LOADED) => Ok(()),
            other => other.map(|_| ()),
        }
    })
}

/// A host whose NVML was started and whose driver is there, and has been since.
pub(crate) fn open_host() -> Answer<Host> {
    let host = state().host()?;
    if !host.open {
        return Err(Code::UNINITIALIZED);
    }
    let mut lasting = host.script.faults.iter().filter(|fault| fault.lasts(host.second()));
    if lasting.any(|fault| fault.kind == FaultKind::DriverUnloaded) {
        return Err(Code::DRIVER_NOT_LOADED);
    }
    if host.script.driver_went_since(host.started_ns, host.now.monotonic_ns) {
        return Err(Code::UNINITIALIZED);
    }
    Ok(host)
}

fn subject(host: &Host, uuid: &str, reads: bool) -> Answer<Subject> {
    let device = host.script.device(uuid, host.now).map_err(|_| Code::GPU_IS_LOST)?;
    let gpu = Some(device.gpu_uuid().to_owned());
    Ok(Subject { gpu, instance: device.instance_uuid().map(str::to_owned), reads })
}

fn started(symbol: &'static str, subject: &Subject, answer: impl FnOnce(Host) -> Answer<()>) -> Answer<()> {
    let serial = open_host()?.script.serial;
    let _driver = serial.then(|| DRIVER.lock().unwrap_or_else(PoisonError::into_inner));
    pass_faults(symbol, subject)?;
    answer(open_host()?)
}

/// Waits as long as the call hangs or is slow, then tells what strikes it. The host is the one after the wait.
fn pass_faults(symbol: &'static str, subject: &Subject) -> Answer<Host> {
    let began = Now::read().monotonic_ns;
    loop {
        let host = state().host()?;
        let second = host.second();
        let called = subject.called(symbol);
        let waited = Duration::from_nanos(host.now.monotonic_ns.saturating_sub(began));
        let mut rest = Duration::ZERO;
        for fault in host.script.faults.iter().filter(|fault| fault.strikes(called, second)) {
            let left = match fault.kind {
                FaultKind::Hung => LOOK,
                FaultKind::Slow => Duration::from_millis(fault.ms.unwrap_or(0)).saturating_sub(waited),
                _ => continue,
            };
            rest = rest.max(left);
        }
        if rest.is_zero() {
            let lasting = |kind| host.script.faults.iter().any(|f| f.kind == kind && f.lasts(second));
            if lasting(FaultKind::DriverUnloaded) {
                return Err(Code::DRIVER_NOT_LOADED);
            }
            let mut struck = host.script.faults.iter().filter(|fault| fault.strikes(called, second));
            return match struck.find_map(crate::script::Fault::answer) {
                Some(code) => Err(code),
                None => Ok(host),
            };
        }
        sleep(rest.min(LOOK));
        state().look();
    }
}

impl Subject {
    fn called<'a>(&'a self, symbol: &'a str) -> Called<'a> {
        let Self { gpu, instance, reads } = self;
        Called { symbol, device: gpu.as_deref(), instance: instance.as_deref(), reads: *reads }
    }
}

/// What strikes one field of a device.
pub(crate) fn field_fault(host: &Host, device: &Device<'_>, symbol: &str, field: u32) -> Option<Code> {
    let called =
        Called { symbol, device: Some(device.gpu_uuid()), instance: device.instance_uuid(), reads: true };
    let mut faults = host.script.faults.iter();
    faults
        .find(|fault| fault.strikes_field(called, field, host.second()))
        .and_then(crate::script::Fault::answer)
}
