//! The simulated inference host of `fluxfleet demo` and `fluxfleet sim`.

use std::net::SocketAddr;

use fluxfleet_agent::GpuCollector;
use fluxfleet_agent::collect::metrics_of;
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuReading, GpuUuid, Occasion, Reading};
use fluxfleet_sim::{Sim, SimConfig, SimError, VirtualGpus};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A simulated host that serves in the background.
#[derive(Debug)]
pub struct DemoHost {
    addr: SocketAddr,
    gpus: VirtualGpus,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), SimError>>,
}

impl DemoHost {
    /// Starts it.
    ///
    /// # Errors
    /// When the address cannot be listened on or the settings make no sense.
    pub async fn start(addr: SocketAddr, config: SimConfig) -> Result<Self, SimError> {
        let sim = Sim::bind(addr, config).await?;
        let (addr, gpus) = (sim.local_addr(), sim.gpus());
        let cancel = CancellationToken::new();
        let task = tokio::spawn(sim.serve(cancel.clone()));
        Ok(Self { addr, gpus, cancel, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its GPUs for an embedded agent.
    pub fn collector(&self) -> VirtualGpuCollector {
        VirtualGpuCollector(self.gpus.clone())
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it had failed while serving.
    pub async fn stop(self) -> Result<(), SimError> {
        self.cancel.cancel();
        self.task.await.unwrap_or(Ok(()))
    }
}

/// The simulated host's GPUs through the same port that NVML implements.
#[derive(Debug)]
pub struct VirtualGpuCollector(VirtualGpus);

impl GpuCollector for VirtualGpuCollector {
    fn devices(&self) -> Result<Vec<Device>, Absence> {
        let device =
            |(index, g): (u32, fluxfleet_sim::GpuReading)| Device { index, ..Device::new(g.uuid, g.name) };
        Ok((0..).zip(self.0.read()).map(device).collect())
    }

    fn read(&self, uuid: &GpuUuid, occasion: Occasion) -> GpuReading {
        let mut reading = GpuReading::new(uuid.clone());
        let Some(gpu) = self.0.read().into_iter().find(|g| g.uuid == uuid.0) else {
            let lost = Absence::new(AbsenceReason::Lost, "there is no such virtual GPU");
            reading.values = metrics_of(occasion).iter().map(|m| (*m, Err(lost.clone()))).collect();
            return reading;
        };
        let value = |metric: &GpuMetric| (*metric, number(&gpu, *metric));
        reading.values = metrics_of(occasion).iter().map(value).collect();
        reading.throttle = (occasion == Occasion::Normal).then_some(Ok(gpu.throttle));
        reading
    }
}

/// A virtual GPU's number; one that it does not model is absent.
#[expect(clippy::cast_precision_loss, reason = "bytes of a GPU stay below 2^52")]
fn number(gpu: &fluxfleet_sim::GpuReading, metric: GpuMetric) -> Reading {
    Ok(match metric {
        GpuMetric::UtilizationPercent => gpu.utilization_percent,
        GpuMetric::MemoryUsedBytes => gpu.memory_used_bytes as f64,
        GpuMetric::MemoryTotalBytes => gpu.memory_total_bytes as f64,
        GpuMetric::PowerW => gpu.power_w,
        GpuMetric::EnergyJ => gpu.energy_j,
        GpuMetric::TemperatureC => gpu.temperature_c,
        GpuMetric::SmClockMhz => gpu.sm_clock_mhz.into(),
        _ => return Err(Absence::new(AbsenceReason::Unsupported, "virtual GPUs do not model it")),
    })
}
