//! Where readings come from: the port for GPUs, what stands behind it, and the threads that ask.

mod cgroup;
mod gpus;
mod lane;
pub mod nvml;
mod system;

use std::time::Duration;

use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuReading, GpuUuid, SystemReading};

pub(crate) use gpus::fit;
use lane::{Lane, Silence};
use system::System;

use crate::config::GpuSource;
use crate::error::AgentError;

/// Reads the GPUs of one host.
///
/// It lives on an OS thread of its own and may block there. What it has to hold to is checked by
/// [`testing::check_gpu_collector`](crate::testing::check_gpu_collector).
pub trait GpuCollector: Send {
    /// The GPUs, in an order that stays; UUIDs are unique and never empty. An empty list: there are none.
    ///
    /// # Errors
    /// Why they cannot be seen. Then [`read`](Self::read) answers with nothing.
    fn devices(&mut self) -> Result<Vec<Device>, Absence>;

    /// One reading per device, now. What cannot be read is absent with its reason.
    fn read(&mut self) -> Vec<GpuReading>;
}

/// A GPU of which nothing can be read.
pub fn all_absent(uuid: GpuUuid, absence: &Absence) -> GpuReading {
    let absent = || Err(absence.clone());
    GpuReading {
        uuid,
        utilization_percent: absent(),
        memory_used_bytes: absent(),
        memory_total_bytes: absent(),
        power_w: absent(),
        energy_j: absent(),
        temperature_c: absent(),
        sm_clock_mhz: absent(),
        throttle: Err(absence.clone()),
    }
}

/// The threads that read, one for the GPUs and one for the host.
///
/// A thread that hangs in a driver is left behind: dropping this never waits for it.
#[derive(Debug)]
pub(crate) struct Collectors {
    gpus: Lane<Box<dyn GpuCollector>>,
    system: Lane<System>,
}

impl Collectors {
    /// Starts both threads. The GPU library is loaded on its thread, so this does not wait for it.
    pub(crate) fn start(gpus: GpuSource) -> Result<Self, AgentError> {
        let started = |reads| move |source| AgentError::Thread { reads, source };
        let open = move || -> Box<dyn GpuCollector> {
            match gpus {
                GpuSource::Nvml { lib } => Box::new(nvml::NvmlCollector::open(lib)),
                GpuSource::Custom(collector) => collector,
            }
        };
        Ok(Self {
            gpus: Lane::start("gpu", open).map_err(started("GPUs"))?,
            system: Lane::start("system", System::new).map_err(started("system metrics"))?,
        })
    }

    /// The GPUs, or why they cannot be seen.
    pub(crate) async fn devices(&self, within: Duration) -> Result<Vec<Device>, Absence> {
        match self.gpus.ask(within, |gpus| gpus.devices()).await {
            Ok(devices) => devices,
            Err(silence) => {
                let absence = silence.absence("GPU", within);
                tracing::warn!("{}: GPU readings are absent, system metrics go on", absence.detail);
                Err(absence)
            }
        }
    }

    /// Reads host and GPUs at the same time. What does not answer within the period is absent as stale.
    pub(crate) async fn read(
        &self,
        devices: &[Device],
        within: Duration,
    ) -> (SystemReading, Vec<GpuReading>) {
        let gpus = async {
            if devices.is_empty() {
                return Vec::new();
            }
            match self.gpus.ask(within, |gpus| gpus.read()).await {
                Ok(readings) => fit(devices, readings),
                Err(silence) => {
                    let absence = silence.absence("GPU", within);
                    devices.iter().map(|device| all_absent(device.uuid.clone(), &absence)).collect()
                }
            }
        };
        let system = async {
            match self.system.ask(within, System::read).await {
                Ok(reading) => reading,
                Err(silence) => system::all_absent(&silence.absence("system", within)),
            }
        };
        tokio::join!(system, gpus)
    }
}

impl Silence {
    /// What it means for the readings that were asked for.
    fn absence(self, thread: &str, within: Duration) -> Absence {
        let ms = within.as_millis();
        match self {
            Self::Late => Absence::new(
                AbsenceReason::Stale,
                format!("the {thread} thread did not answer within {ms} ms"),
            ),
            Self::Busy => Absence::new(
                AbsenceReason::Stale,
                format!("the {thread} thread still hangs in an earlier reading"),
            ),
            Self::Gone => Absence::new(AbsenceReason::Error, format!("the {thread} thread has crashed")),
        }
    }
}
