//! One start of NVML: the library, and the watch over its events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuEvent, GpuEventKind, GpuUuid};
use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;

use super::NvmlUnavailable;
use super::absence::absence;
use super::list::list;

/// How long the event thread waits in the driver at a time: as long as a shutdown may have to wait for it.
const WAIT_MS: u32 = 100;

/// NVML, started.
#[derive(Debug)]
pub(super) struct Session {
    nvml: Option<Arc<Nvml>>,
    over: Arc<AtomicBool>,
    events: Mutex<Receiver<GpuEvent>>,
    watcher: Option<thread::JoinHandle<()>>,
}

/// What a start of NVML brought.
pub(super) struct Opened {
    pub(super) session: Session,
    /// GPUs that can be read.
    pub(super) devices: Vec<Device>,
    /// How many are gone and may come back.
    pub(super) left_out: usize,
}

impl Session {
    /// Loads the library (`None`: the system's), starts NVML and looks for GPUs.
    ///
    /// # Errors
    /// What went wrong.
    pub(super) fn open(lib: Option<&PathBuf>) -> Result<Opened, NvmlUnavailable> {
        let unavailable = |error| NvmlUnavailable::new(lib.cloned(), error);
        let mut builder = Nvml::builder();
        if let Some(path) = lib {
            builder.lib_path(path.as_os_str());
        }
        let nvml = Arc::new(builder.init().map_err(unavailable)?);
        let (devices, left_out) = list(&nvml).map_err(unavailable)?;
        let (tell, events) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let watcher = {
            let (nvml, over, devices) = (Arc::clone(&nvml), Arc::clone(&over), devices.clone());
            // Without a thread there are no events; readings go on.
            thread::Builder::new()
                .name("gpu-events".to_owned())
                .spawn(move || watch(&nvml, devices, &over, &tell))
                .ok()
        };
        let session = Self { nvml: Some(nvml), over, events: Mutex::new(events), watcher };
        Ok(Opened { session, devices, left_out })
    }

    /// A GPU by its UUID.
    ///
    /// # Errors
    /// NVML's.
    pub(super) fn device(&self, uuid: &GpuUuid) -> Result<nvml_wrapper::Device<'_>, NvmlError> {
        self.nvml.as_ref().ok_or(NvmlError::Uninitialized)?.device_by_uuid(uuid.0.as_str())
    }

    /// What the driver reported since this was last asked.
    pub(super) fn events(&self) -> Vec<GpuEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).try_iter().collect()
    }

    /// Ends the watch over events, without which NVML is not shut down; whether it has ended.
    pub(super) fn end_watch(&self) -> bool {
        self.over.store(true, Ordering::Release);
        self.watcher.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    /// Shuts NVML down.
    pub(super) fn close(self) {
        drop(self);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(watcher) = self.watcher.take() {
            // It has nothing that could panic, and waits for a tenth of a second at most.
            let _ = watcher.join();
        }
        if let Some(nvml) = self.nvml.take() {
            // The wrapper panics when the library has no `nvmlShutdown`; that is no reason to end.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(nvml)));
        }
    }
}

/// What it means that a GPU cannot be opened by its UUID.
pub(super) fn missing(error: &NvmlError) -> Absence {
    match error {
        // Elsewhere these mean "empty now" and "asked wrongly"; here the GPU itself is what is not there.
        NvmlError::NotFound | NvmlError::InvalidArg => Absence::new(AbsenceReason::Lost, error.to_string()),
        error => absence(error),
    }
}

/// Waits for errors that the driver reports (Xid), until it is over.
fn watch(nvml: &Nvml, mut devices: Vec<Device>, over: &AtomicBool, tell: &Sender<GpuEvent>) {
    devices.retain(|device| {
        let gpu = nvml.device_by_uuid(device.uuid.0.as_str());
        gpu.and_then(|gpu| gpu.supported_event_types())
            .is_ok_and(|events| events.contains(EventTypes::CRITICAL_XID_ERROR))
    });
    // A set that refuses a GPU is lost with it: then another one without that GPU.
    let set = loop {
        if devices.is_empty() {
            return;
        }
        let Ok(set) = nvml.create_event_set() else { return };
        let mut refused = None;
        let mut set = Some(set);
        for (at, device) in devices.iter().enumerate() {
            let Some(ready) = set.take() else { break };
            let Ok(gpu) = nvml.device_by_uuid(device.uuid.0.as_str()) else {
                refused = Some(at);
                break;
            };
            match gpu.register_events(EventTypes::CRITICAL_XID_ERROR, ready) {
                Ok(ready) => set = Some(ready),
                Err(_) => refused = Some(at),
            }
        }
        match (refused, set) {
            (Some(at), _) => drop(devices.remove(at)),
            (None, Some(set)) => break set,
            (None, None) => return,
        }
    };
    while !over.load(Ordering::Acquire) {
        match set.wait(WAIT_MS) {
            Ok(event) => {
                let xid = match event.event_data {
                    Some(XidError::Value(number)) => number,
                    Some(XidError::Unknown) | None => continue,
                };
                let uuid = event.device.uuid().ok().map(GpuUuid);
                if tell.send(GpuEvent { uuid, kind: GpuEventKind::Xid(xid) }).is_err() {
                    return;
                }
            }
            Err(NvmlError::Timeout) => {}
            // The driver went away or a GPU did; readings find out and start anew.
            Err(_) => thread::sleep(Duration::from_millis(WAIT_MS.into())),
        }
    }
}
