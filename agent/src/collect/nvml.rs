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
use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuEvent, GpuReading, GpuUuid, Occasion};
use fluxfleet_proto::units::Micros;

use super::{Calls, GpuCollector, all_absent};
pub use absence::absence;
use absence::extent;
use read::Memory;
use restart::Restart;
use session::Session;
pub use throttle::throttle_names;
pub use unavailable::NvmlUnavailable;

/// Reads every GPU that NVML shows.
///
/// GPUs are known by UUID, because their order may change with a reboot. NVML's calls serialise on a lock of the driver
/// and may block: use it on a thread of its own. When the driver goes away, NVML is started anew until it is back; the
/// GPUs of the first start are looked for again by their UUIDs.
pub struct NvmlCollector {
    lib: Option<PathBuf>,
    devices: Result<Vec<Device>, Absence>,
    /// `Err`: why NVML could not be started anew.
    session: RwLock<Result<Session, Absence>>,
    restart: Mutex<Restart>,
    memory: Memory,
}

impl NvmlCollector {
    /// Loads the library (`None`: the system's) and looks for GPUs. When that fails, a warning says what it means and
    /// what to do, and the collector has the reason instead of devices.
    pub fn open(lib: Option<PathBuf>) -> Self {
        let opened = Session::open(lib.as_ref()).map_err(|unavailable| {
            tracing::warn!("{unavailable}");
            unavailable.absence()
        });
        let (session, devices) = match opened {
            Ok((session, devices)) => (Ok(session), Ok(devices)),
            Err(absence) => (Err(absence.clone()), Err(absence)),
        };
        Self {
            lib,
            devices,
            session: RwLock::new(session),
            restart: Mutex::default(),
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
        let starting = Absence::new(AbsenceReason::Lost, "NVML is being started anew");
        if let Ok(old) = std::mem::replace(&mut *session, Err(starting)) {
            old.close();
        }
        let opened = Session::open(self.lib.as_ref());
        self.restart().tried(Clock::now(), opened.is_ok());
        *session = match opened {
            Ok((opened, devices)) => {
                tracing::info!("NVML is back with {} GPUs", devices.len());
                self.memory.forget();
                Ok(opened)
            }
            Err(unavailable) => Err(Absence { reason: AbsenceReason::Lost, ..unavailable.absence() }),
        };
    }

    fn restart(&self) -> MutexGuard<'_, Restart> {
        self.restart.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GpuCollector for NvmlCollector {
    fn devices(&self) -> Result<Vec<Device>, Absence> {
        self.devices.clone()
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
        let session = self.session.read().unwrap_or_else(PoisonError::into_inner);
        session.as_ref().map(Session::events).unwrap_or_default()
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
