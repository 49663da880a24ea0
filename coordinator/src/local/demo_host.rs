//! The simulated inference host of `fluxfleet demo` and `fluxfleet sim`.

use std::net::SocketAddr;

use fluxfleet_agent::GpuCollector;
use fluxfleet_proto::reading::{Absence, Device, GpuReading, GpuUuid};
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
    fn devices(&mut self) -> Result<Vec<Device>, Absence> {
        let device = |g: fluxfleet_sim::GpuReading| Device { uuid: GpuUuid(g.uuid), name: g.name };
        Ok(self.0.read().into_iter().map(device).collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes of a GPU stay below 2^52")]
    fn read(&mut self) -> Vec<GpuReading> {
        let reading = |g: fluxfleet_sim::GpuReading| GpuReading {
            uuid: GpuUuid(g.uuid),
            utilization_percent: Ok(g.utilization_percent),
            memory_used_bytes: Ok(g.memory_used_bytes as f64),
            memory_total_bytes: Ok(g.memory_total_bytes as f64),
            power_w: Ok(g.power_w),
            energy_j: Ok(g.energy_j),
            temperature_c: Ok(g.temperature_c),
            sm_clock_mhz: Ok(g.sm_clock_mhz.into()),
            throttle: Ok(g.throttle),
        };
        self.0.read().into_iter().map(reading).collect()
    }
}
