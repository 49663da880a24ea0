//! Workers and agent as tasks of this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use fluxfleet_agent::{GpuCollector, GpuSource};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Where the embedded agent gets its GPU readings.
pub enum LocalGpus {
    /// This machine's driver.
    Driver,
    /// Something else, such as the simulated host's.
    Custom(Box<dyn GpuCollector>),
}

/// Embedded peers under way.
#[derive(Debug)]
pub struct EmbeddedFleet {
    tasks: Vec<JoinHandle<()>>,
    cancel: CancellationToken,
}

/// How long an embedded peer may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

impl EmbeddedFleet {
    /// Starts workers, and an agent if there are GPUs for it to read, all dialling `coordinator`.
    pub fn start(coordinator: SocketAddr, workers: NonZeroU32, agent: Option<LocalGpus>) -> Self {
        let cancel = CancellationToken::new();
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // Together they use the machine's cores once.
        let threads = NonZeroUsize::new(cores / workers.get() as usize).unwrap_or(NonZeroUsize::MIN);
        let mut tasks = Vec::new();
        for number in 1..=workers.get() {
            let config = fluxfleet_worker::Config {
                coordinator: coordinator.to_string(),
                name: format!("local-{number}"),
                threads,
                labels: BTreeMap::new(),
            };
            let cancel = cancel.clone();
            tasks.push(tokio::spawn(async move {
                if let Err(error) = fluxfleet_worker::run(config, cancel).await {
                    tracing::warn!(%error, "an embedded worker ended");
                }
            }));
        }
        if let Some(gpus) = agent {
            let gpus = match gpus {
                LocalGpus::Driver => GpuSource::Nvml { lib: None },
                LocalGpus::Custom(collector) => GpuSource::Custom(collector),
            };
            let config =
                fluxfleet_agent::Config { gpus, ..fluxfleet_agent::Config::new(coordinator.to_string()) };
            let cancel = cancel.clone();
            tasks.push(tokio::spawn(async move {
                if let Err(error) = fluxfleet_agent::run(config, cancel).await {
                    tracing::warn!(%error, "the embedded agent ended");
                }
            }));
        }
        Self { tasks, cancel }
    }

    /// Waits for the peers to notice that the run is over; ends those that do not.
    pub async fn end(self) {
        for mut task in self.tasks {
            if tokio::time::timeout(FAREWELL, &mut task).await.is_err() {
                self.cancel.cancel();
                task.abort();
            }
        }
    }
}
