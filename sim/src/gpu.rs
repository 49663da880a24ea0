//! The virtual GPUs that a host shares: an engine each, a task that drives it, and a handle that reads it.
//!
//! An engine sits behind a mutex rather than in its task's hands, because three callers need its answer at once and at
//! the exact instant: a request needs to know whether there is room, a disconnect frees its place, and a reading is
//! the state *now*. The lock is held for the few microseconds of such a call and never across an await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::SimConfig;
use crate::draw::{Draws, Purpose};
use crate::engine::{Engine, Event, Full, JobNumber, Task};
use crate::reading::GpuReading;

const NAME: &str = "Virtual GPU 80GB";

/// One virtual GPU.
#[derive(Debug)]
pub(crate) struct Gpu {
    uuid: String,
    engine: Mutex<Engine>,
    changed: Notify,
}

/// Jobs of a virtual GPU at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) queued: usize,
    pub(crate) running: usize,
}

impl Gpu {
    fn new(config: &SimConfig, index: u32, origin: Instant) -> Self {
        let uuid = Draws::new(config.seed, Purpose::GpuId, u64::from(index)).uuid();
        Self {
            uuid: format!("GPU-{uuid}"),
            engine: Mutex::new(Engine::new(config, origin)),
            changed: Notify::new(),
        }
    }

    pub(crate) fn uuid(&self) -> &str {
        &self.uuid
    }

    pub(crate) fn depth(&self, now: Instant) -> Depth {
        let mut engine = self.lock();
        engine.advance(now);
        Depth { queued: engine.queued(), running: engine.running() }
    }

    pub(crate) fn submit(&self, now: Instant, number: JobNumber, task: Task) -> Result<(), Full> {
        self.lock().submit(now, number, task)?;
        self.changed.notify_one();
        Ok(())
    }

    /// Takes a job out of the queue; false when it is not there (any more).
    pub(crate) fn withdraw(&self, now: Instant, number: JobNumber) -> bool {
        self.lock().withdraw(now, number)
    }

    /// Reports each event as it falls due, until `stop`.
    pub(crate) async fn drive(&self, report: impl Fn(&Self, Event), stop: CancellationToken) {
        loop {
            let (events, due) = {
                let mut engine = self.lock();
                engine.advance(Instant::now());
                (engine.take_events(), engine.next_due())
            };
            for event in events {
                report(self, event);
            }
            let wake = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                () = wake => {}
            }
        }
    }

    fn read(&self, now: Instant) -> GpuReading {
        let mut engine = self.lock();
        engine.advance(now);
        let (load, meter) = (engine.load(), engine.meter());
        GpuReading {
            uuid: self.uuid.clone(),
            name: NAME.to_owned(),
            utilization_percent: meter.utilization_percent(),
            memory_used_bytes: engine.memory_used_bytes(),
            memory_total_bytes: Engine::memory_total_bytes(),
            power_w: load.power_w(),
            energy_j: meter.energy_j(),
            temperature_c: meter.temperature_c(),
            sm_clock_mhz: load.sm_clock_mhz(),
            throttle: load.throttle(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The virtual GPUs of one host. Clones are cheap and read the same devices, also while and after the host serves.
#[derive(Debug, Clone)]
pub struct VirtualGpus {
    gpus: Arc<[Arc<Gpu>]>,
}

impl VirtualGpus {
    pub(crate) fn new(config: &SimConfig, origin: Instant) -> Self {
        let gpus = (0..config.gpus).map(|index| Arc::new(Gpu::new(config, index, origin)));
        Self { gpus: gpus.collect() }
    }

    /// Every GPU's state now, in the order of their indices.
    pub fn read(&self) -> Vec<GpuReading> {
        let now = Instant::now();
        self.gpus.iter().map(|gpu| gpu.read(now)).collect()
    }

    pub(crate) fn each(&self) -> &[Arc<Gpu>] {
        &self.gpus
    }
}
