//! Where readings come from: the port for GPUs, what stands behind it, and the threads that ask.

mod cgroup;
mod gpus;
pub mod nvml;
mod own;
mod poller;
mod reader;
mod system;

use std::collections::BTreeMap;
use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, Device, GpuEvent, GpuReading, GpuUuid, Occasion, Readings, SystemReading,
};
use fluxfleet_proto::units::Micros;

pub(crate) use own::{processor_seconds, resident};

use own::Own;
use poller::Poller;
use reader::{Reader, Silence};
use system::{Processes, System};

use crate::config::{GpuSource, Watched};
use crate::error::AgentError;

/// How long calls took, by their names.
pub type Calls = BTreeMap<&'static str, Latency>;

/// Reads the GPUs of one host.
///
/// It is used on OS threads of their own and may block there: on one, unless a call hangs, and then on another one for
/// the GPUs that do not. What it has to hold to is checked by
/// [`testing::check_gpu_collector`](crate::testing::check_gpu_collector).
pub trait GpuCollector: Send + Sync {
    /// The GPUs, in an order that stays; UUIDs are unique and never empty. An empty list: there are none. Those that are
    /// found later come last, and [`events`](Self::events) tells of them.
    ///
    /// # Errors
    /// Why they cannot be seen. They are then not read.
    fn devices(&self) -> Result<Vec<Device>, Absence>;

    /// Looks for GPUs that were not there before, and for a driver that was not. Comes before readings of the normal
    /// lane.
    fn look(&self) {}

    /// One GPU's numbers, now: those of [`metrics_of`] the occasion, each read or absent with its reason.
    fn read(&self, uuid: &GpuUuid, occasion: Occasion) -> GpuReading;

    /// How long its calls took so far, by their names. Never waits.
    fn calls(&self) -> Calls {
        Calls::new()
    }

    /// What the share `q` (0 to 1) of all its calls so far did not exceed. Never waits.
    fn call_quantile(&self, _q: f64) -> Option<Micros> {
        None
    }

    /// What the driver reported of GPUs, and which ones were found, since this was last asked. Never waits.
    fn events(&self) -> Vec<GpuEvent> {
        Vec::new()
    }
}

/// The numbers of a GPU that are read on an occasion.
pub fn metrics_of(occasion: Occasion) -> &'static [GpuMetric] {
    use GpuMetric as M;
    match occasion {
        Occasion::Fast => &[M::PowerW, M::PowerInstantW, M::EnergyJ],
        Occasion::Normal => &[
            M::UtilizationPercent,
            M::MemoryUtilizationPercent,
            M::MemoryUsedBytes,
            M::MemoryReservedBytes,
            M::MemoryTotalBytes,
            M::PowerW,
            M::PowerInstantW,
            M::EnergyJ,
            M::TemperatureC,
            M::SmClockMhz,
            M::MemoryClockMhz,
            M::PerformanceState,
        ],
        Occasion::Slow => &[
            M::PowerLimitW,
            M::EncoderPercent,
            M::DecoderPercent,
            M::PcieGeneration,
            M::PcieWidth,
            M::PcieReceivedBytesPerS,
            M::PcieSentBytesPerS,
            M::PcieReplays,
            M::NvlinksUp,
            M::EccCorrected,
            M::EccUncorrected,
            M::ComputeProcesses,
        ],
        Occasion::Start(_) | Occasion::End(_) => {
            &[M::MemoryUsedBytes, M::MemoryReservedBytes, M::MemoryTotalBytes, M::PowerW, M::EnergyJ]
        }
        Occasion::Event => &[],
    }
}

/// A GPU of which nothing can be read.
pub fn all_absent(uuid: GpuUuid, occasion: Occasion, absence: &Absence) -> GpuReading {
    let normal = occasion == Occasion::Normal;
    let slow = occasion == Occasion::Slow;
    GpuReading {
        values: metrics_of(occasion).iter().map(|metric| (*metric, Err(absence.clone()))).collect(),
        throttle: normal.then(|| Err(absence.clone())),
        processes: slow.then(|| Err(absence.clone())),
        ..GpuReading::new(uuid)
    }
}

/// The threads that read: one for the GPUs, one for the host, and one for processes where some are watched. To read
/// of a process may hang with it, and must not take the host's other numbers along.
///
/// A thread that hangs in a driver is left behind: dropping this never waits for it.
#[derive(Debug)]
pub(crate) struct Collectors {
    gpus: Poller,
    system: Reader<System>,
    processes: Option<Reader<Processes>>,
    own: Own,
}

impl Collectors {
    /// Starts the threads. The GPU library is loaded on its thread, so this does not wait for it.
    pub(crate) fn start(gpus: GpuSource, watched: Vec<Watched>) -> Result<Self, AgentError> {
        let started = |reads| move |source| AgentError::Thread { reads, source };
        let open = move || -> Box<dyn GpuCollector> {
            match gpus {
                GpuSource::Nvml { lib } => Box::new(nvml::NvmlCollector::open(lib)),
                GpuSource::Custom(collector) => collector,
            }
        };
        let processes = (!watched.is_empty())
            .then(|| Reader::start("processes", move || Processes::new(watched)))
            .transpose();
        Ok(Self {
            gpus: Poller::start(open).map_err(started("GPUs"))?,
            system: Reader::start("system", System::new).map_err(started("system metrics"))?,
            processes: processes.map_err(started("processes"))?,
            own: Own::default(),
        })
    }

    /// The GPUs, or why they cannot be seen.
    pub(crate) async fn devices(&mut self, within: Duration) -> Result<Vec<Device>, Absence> {
        let devices = self.gpus.devices(within).await;
        if let Err(silence) = &devices {
            let absence = silence.absence("GPU", within);
            tracing::warn!("{}: GPU readings are absent, system metrics go on", absence.detail);
            return Err(absence);
        }
        devices.unwrap_or_else(|silence| Err(silence.absence("GPU", within)))
    }

    /// Reads the host, and these GPUs at the same time. What does not answer in time is absent as stale.
    pub(crate) async fn read(
        &mut self,
        devices: &[Device],
        occasion: Occasion,
        within: Duration,
    ) -> (SystemReading, Vec<GpuReading>) {
        let Self { gpus, system, processes, own } = self;
        let call = |q| gpus.call_quantile(q);
        let own = if occasion == Occasion::Slow { own.read(Clock::now(), call) } else { Readings::default() };
        let system = async {
            match occasion {
                Occasion::Normal => match system.ask(within, System::read).await {
                    Ok(reading) => reading,
                    Err(silence) => system::all_absent(&silence.absence("system", within)),
                },
                Occasion::Slow => {
                    let mut values = own;
                    // The slow lane comes to GPU after GPU; a walk through all processes is due no more often than the
                    // agent's own numbers.
                    if let Some(processes) = processes.as_mut().filter(|_| !values.is_empty()) {
                        let read = processes.ask(within, |processes| processes.read(Clock::now())).await;
                        let read = read.unwrap_or_else(|silence| {
                            system::processes_absent(&silence.absence("process", within))
                        });
                        for (metric, reading) in read.iter() {
                            values.set(metric, reading.clone());
                        }
                    }
                    SystemReading { values, core_percent: None }
                }
                _ => SystemReading::default(),
            }
        };
        tokio::join!(system, gpus.read(devices, occasion, within))
    }

    /// How long the collector's calls took so far.
    pub(crate) fn calls(&self) -> Calls {
        self.gpus.calls()
    }

    /// What the driver reported of GPUs since this was last asked.
    pub(crate) fn events(&self) -> Vec<GpuEvent> {
        self.gpus.events()
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
