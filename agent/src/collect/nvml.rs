//! GPU readings from NVML, NVIDIA's management library.

mod absence;
mod calls;
mod list;
mod read;
mod restart;
mod session;
mod throttle;
mod unavailable;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, Device, GpuEvent, GpuEventKind, GpuReading, GpuUuid, Occasion,
};
use fluxfleet_proto::units::Micros;

use super::{Calls, GpuCollector, all_absent};
pub use absence::absence;
use absence::extent;
use read::Memory;
use restart::{Restart, Start};
use session::{Opened, Session};
pub use throttle::throttle_names;
pub use unavailable::NvmlUnavailable;

/// Reads every GPU that NVML shows.
///
/// GPUs are known by UUID, because their order may change with a reboot. NVML's calls serialise on a lock of the driver
/// and may block: use it on a thread of its own. When the driver goes away, NVML is started anew until it is back; the
/// GPUs of earlier starts are looked for again by their UUIDs, and new ones are told of.
pub struct NvmlCollector {
    lib: Option<PathBuf>,
    /// All that any start has found. `Err`: why none has yet.
    devices: Mutex<Result<Vec<Device>, Absence>>,
    /// GPUs found by later starts, still to be told of.
    found: Mutex<Vec<GpuEvent>>,
    /// `Err`: why NVML could not be started anew.
    session: RwLock<Result<Session, Absence>>,
    restart: Mutex<Restart>,
    memory: Memory,
}

impl NvmlCollector {
    /// Loads the library (`None`: the system's) and looks for GPUs. When that fails, a warning says what it means and
    /// what to do, and the collector has the reason instead of devices.
    pub fn open(lib: Option<PathBuf>) -> Self {
        let mut restart = Restart::default();
        let (session, devices) = match Session::open(lib.as_ref()) {
            Ok(Opened { session, devices, left_out }) => {
                if left_out > 0 {
                    restart.tried(Clock::now(), Start::LeftOut);
                }
                (Ok(session), Ok(devices))
            }
            Err(unavailable) => {
                tracing::warn!("{unavailable}");
                restart.tried(Clock::now(), Start::Failed);
                (Err(unavailable.absence()), Err(unavailable.absence()))
            }
        };
        Self {
            lib,
            devices: Mutex::new(devices),
            found: Mutex::default(),
            session: RwLock::new(session),
            restart: Mutex::new(restart),
            memory: Memory::default(),
        }
    }

    /// Starts NVML anew when that is due.
    fn heal(&self, now: Mono) {
        if !self.restart().is_due(now) {
            return;
        }
        // While a call hangs the library cannot be shut down, and without that a new start changes nothing.
        let mut session = match self.session.try_write() {
            Ok(session) => session,
            Err(TryLockError::Poisoned(session)) => session.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        // Until its events' thread has looked up, readings go on.
        if session.as_ref().is_ok_and(|session| !session.end_watch()) {
            return;
        }
        let starting = Absence::new(AbsenceReason::Lost, "NVML is being started anew");
        if let Ok(old) = std::mem::replace(&mut *session, Err(starting)) {
            old.close();
        }
        let opened = Session::open(self.lib.as_ref());
        let how = match &opened {
            Ok(Opened { left_out: 0, .. }) => Start::Well,
            Ok(_) => Start::LeftOut,
            Err(_) => Start::Failed,
        };
        self.restart().tried(Clock::now(), how);
        *session = match opened {
            Ok(Opened { session, devices, .. }) => {
                tracing::info!("NVML is back with {} GPUs", devices.len());
                self.memory.forget();
                self.learn(devices);
                Ok(session)
            }
            Err(unavailable) => Err(Absence { reason: AbsenceReason::Lost, ..unavailable.absence() }),
        };
    }

    /// Takes in what a later start has found.
    fn learn(&self, found: Vec<Device>) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let known = devices.as_deref().unwrap_or_default();
        let new: Vec<Device> =
            { found.into_iter() }.filter(|f| known.iter().all(|k| k.uuid != f.uuid)).collect();
        let tell = |device: &Device| GpuEvent {
            uuid: Some(device.uuid.clone()),
            kind: GpuEventKind::Found(device.clone()),
        };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(new.iter().map(tell));
        match &mut *devices {
            Ok(known) => known.extend(new),
            none => *none = Ok(new),
        }
    }

    fn restart(&self) -> MutexGuard<'_, Restart> {
        self.restart.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GpuCollector for NvmlCollector {
    fn devices(&self) -> Result<Vec<Device>, Absence> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look(&self) {
        self.heal(Clock::now());
    }

    fn read(&self, uuid: &GpuUuid, occasion: Occasion) -> GpuReading {
        self.heal(Clock::now());
        let session = self.session.read().unwrap_or_else(PoisonError::into_inner);
        let session = match &*session {
            Ok(session) => session,
            Err(absence) => return all_absent(uuid.clone(), occasion, absence),
        };
        let device = match session.device(uuid) {
            Ok(device) => device,
            Err(error) => {
                if let Some(extent) = extent(&error) {
                    self.restart().failed(uuid, extent, Clock::now());
                }
                return all_absent(uuid.clone(), occasion, &session::missing(&error));
            }
        };
        let (reading, gone) = read::read(&device, uuid, occasion, &self.memory);
        match gone {
            Some(extent) => self.restart().failed(uuid, extent, Clock::now()),
            None => self.restart().answered(uuid),
        }
        reading
    }

    fn calls(&self) -> Calls {
        self.memory.calls.by_name()
    }

    fn call_quantile(&self, q: f64) -> Option<Micros> {
        self.memory.calls.quantile(q)
    }

    fn events(&self) -> Vec<GpuEvent> {
        let mut events = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        // Never waits: while NVML is started anew there are none.
        if let Ok(session) = self.session.try_read() {
            events.extend(session.as_ref().map(Session::events).unwrap_or_default());
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_gpu_collector;

    fn missing() -> NvmlCollector {
        NvmlCollector::open(Some(PathBuf::from("/nonexistent/libnvidia-ml.so.1")))
    }

    #[test]
    fn without_a_library_there_is_a_reason_instead_of_devices() {
        let absence = missing().devices().unwrap_err();
        assert_eq!(absence.reason, AbsenceReason::Unsupported);
        assert!(absence.detail.contains("no NVML library at /nonexistent/libnvidia-ml.so.1"), "{absence}");
    }

    #[test]
    fn nvml_without_a_library_keeps_to_the_contract() {
        check_gpu_collector(|| Box::new(missing()));
    }
}
