//! GPU readings from NVML, NVIDIA's management library.

mod absence;
mod calls;
mod list;
mod read;
mod session;
mod throttle;
mod unavailable;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuEvent, GpuReading, GpuUuid, Occasion};

use super::{Calls, GpuCollector, all_absent};
pub use absence::absence;
use absence::needs_new_start;
use read::Memory;
use session::Session;
pub use throttle::throttle_names;
pub use unavailable::NvmlUnavailable;

/// First pause between two attempts to start NVML anew; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

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
    restart: Mutex<Option<Restart>>,
    memory: Memory,
}

/// NVML is to be started anew.
#[derive(Clone, Copy, Debug)]
struct Restart {
    due: Mono,
    pause: Duration,
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
        let mut restart = self.restart.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(due) = *restart else { return };
        if now < due.due {
            return;
        }
        // While a call hangs the library cannot be shut down, and without that a new start changes nothing.
        let mut session = match self.session.try_write() {
            Ok(session) => session,
            Err(TryLockError::Poisoned(session)) => session.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if let Ok(old) =
            std::mem::replace(&mut *session, Err(Absence::new(AbsenceReason::Lost, "NVML starts anew")))
        {
            old.close();
        }
        match Session::open(self.lib.as_ref()) {
            Ok((opened, devices)) => {
                tracing::info!("NVML is back with {} GPUs", devices.len());
                *session = Ok(opened);
                // That it started does not mean that it works; the next failure waits for longer.
                *restart = None;
                self.memory.forget();
            }
            Err(unavailable) => {
                let absence = unavailable.absence();
                *session = Err(Absence { reason: AbsenceReason::Lost, ..absence });
                let pause = (due.pause * 2).min(LONGEST_PAUSE);
                *restart = Some(Restart { due: now + due.pause, pause });
            }
        }
    }

    /// A reading showed that the driver or the GPU is gone.
    fn ask_for_restart(&self, now: Mono) {
        let mut restart = self.restart.lock().unwrap_or_else(PoisonError::into_inner);
        restart.get_or_insert(Restart { due: now + FIRST_PAUSE, pause: FIRST_PAUSE });
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
                if needs_new_start(&error) {
                    self.ask_for_restart(Clock::now());
                }
                return all_absent(uuid.clone(), occasion, &session::missing(&error));
            }
        };
        let (reading, gone) = read::read(&device, uuid, occasion, &self.memory);
        if gone {
            self.ask_for_restart(Clock::now());
        }
        reading
    }

    fn calls(&self) -> Calls {
        self.memory.calls.all()
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
