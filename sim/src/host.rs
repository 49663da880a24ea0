//! What stands between the routes and the GPUs: numbers a job, finds it a GPU, and sees that its items end once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::config::SimConfig;
use crate::counters::{Counters, Ending, Tally};
use crate::draw::{Draws, Purpose, jitter_factor};
use crate::endpoint::Endpoint;
use crate::engine::{Event, Full, JobNumber, Run, Task};
use crate::gpu::{Gpu, VirtualGpus};
use crate::jobs::{Cancel, ImageSpec, Job, JobBoard, RequestId};
use crate::model::Shape;

/// The state that all requests share.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) config: SimConfig,
    pub(crate) gpus: VirtualGpus,
    pub(crate) tally: Arc<Tally>,
    pub(crate) clock: WallClock,
    stopping: CancellationToken,
    next_job: AtomicU64,
    waiting: Mutex<HashMap<JobNumber, oneshot::Sender<Made>>>,
    jobs: Mutex<JobBoard>,
}

/// What came of a job.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) number: JobNumber,
    pub(crate) gpu_uuid: String,
    pub(crate) run: Run,
    pub(crate) failed: bool,
}

/// Why a host made nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No GPU has room.
    Full,
    /// The work was done and failed.
    Failed,
    /// The host stops.
    Stopping,
}

impl Host {
    pub(crate) fn new(
        config: SimConfig,
        gpus: VirtualGpus,
        tally: Arc<Tally>,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            jobs: Mutex::new(JobBoard::new(config.finished_jobs_kept, config.finished_jobs_ttl)),
            config,
            gpus,
            tally,
            clock: WallClock::start(),
            stopping,
            next_job: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Starts the task of each GPU; they end with the host.
    pub(crate) fn drive(self: &Arc<Self>) -> JoinSet<()> {
        let mut drivers = JoinSet::new();
        for gpu in self.gpus.each() {
            let (host, gpu) = (Arc::clone(self), Arc::clone(gpu));
            let span = tracing::debug_span!("virtual_gpu", uuid = gpu.uuid());
            let driver = async move {
                let stop = host.stopping.clone();
                gpu.drive(|gpu, event| host.report(gpu, event), stop).await;
            };
            drivers.spawn(driver.instrument(span));
        }
        drivers
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters::new(Arc::clone(&self.tally), self.gpus.clone())
    }

    /// Makes a request's items and waits for them. Dropping the future abandons them.
    pub(crate) async fn make(&self, endpoint: Endpoint, shape: Shape) -> Result<Made, Refusal> {
        let number = self.number();
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(number, sender);
        let task = self.task(number, shape, true);
        let Ok(gpu) = self.admit(number, task) else {
            lock(&self.waiting).remove(&number);
            return Err(Refusal::Full);
        };
        let items = Items { host: self, gpu, number, endpoint, count: shape.images, ended: false };
        tokio::select! {
            biased;
            Ok(made) = receiver => {
                items.end(if made.failed { Ending::Failed } else { Ending::Completed });
                if made.failed { Err(Refusal::Failed) } else { Ok(made) }
            }
            () = self.stopping.cancelled() => {
                items.end(Ending::Failed);
                Err(Refusal::Stopping)
            }
        }
    }

    /// Takes a job in and answers its id at once.
    pub(crate) fn submit_job(&self, image: ImageSpec) -> Result<RequestId, Refusal> {
        let number = self.number();
        let id = self.request_id(number);
        let shape = image.shape(1);
        lock(&self.jobs).insert(Instant::now(), id.clone(), number, image);
        if self.admit(number, self.task(number, shape, false)).is_err() {
            lock(&self.jobs).forget(&id);
            return Err(Refusal::Full);
        }
        Ok(id)
    }

    /// Drops a job that waits, or marks one that runs to end as cancelled.
    pub(crate) fn cancel_job(&self, id: &RequestId) -> Cancel {
        let cancel = lock(&self.jobs).request_cancel(Instant::now(), id);
        let Cancel::Requested(number) = cancel else {
            return cancel;
        };
        let now = Instant::now();
        if !self.gpus.each().iter().any(|gpu| gpu.withdraw(now, number)) {
            return cancel;
        }
        self.end_job(id, now, None);
        Cancel::Dropped
    }

    /// Looks at a job.
    pub(crate) fn job<T>(&self, id: &RequestId, look: impl FnOnce(&Job) -> T) -> Option<T> {
        lock(&self.jobs).get(Instant::now(), id).map(look)
    }

    /// Passes on what a GPU's engine did.
    pub(crate) fn report(&self, gpu: &Gpu, event: Event) {
        match event {
            Event::Started { number, at } => {
                if !lock(&self.waiting).contains_key(&number) {
                    lock(&self.jobs).started(&self.request_id(number), at);
                }
            }
            Event::Finished { number, run } => {
                let made = Made { number, gpu_uuid: gpu.uuid().to_owned(), run, failed: self.fails(number) };
                let waiter = lock(&self.waiting).remove(&number);
                match waiter {
                    // A client that left has counted its items as abandoned already.
                    Some(waiter) => drop(waiter.send(made)),
                    None => self.end_job(&self.request_id(number), run.finished, Some(made)),
                }
            }
        }
    }

    fn end_job(&self, id: &RequestId, at: Instant, made: Option<Made>) {
        let ending = lock(&self.jobs).finish(id, at, made);
        if let Some(ending) = ending {
            self.tally.ended(Endpoint::AsyncGenerate, 1, ending);
        }
    }

    fn number(&self) -> JobNumber {
        JobNumber(self.next_job.fetch_add(1, Ordering::Relaxed))
    }

    fn request_id(&self, number: JobNumber) -> RequestId {
        RequestId(Draws::new(self.config.seed, Purpose::RequestId, number.0).uuid())
    }

    fn fails(&self, number: JobNumber) -> bool {
        Draws::new(self.config.seed, Purpose::Failure, number.0).uniform() < self.config.fail_share
    }

    fn task(&self, number: JobNumber, shape: Shape, answers: bool) -> Task {
        Task {
            shape,
            jitter: jitter_factor(self.config.seed, number.0, self.config.jitter),
            saves: answers && !self.fails(number),
        }
    }

    /// Puts the task on the GPU with the fewest requests that has room; among equals, the job's number decides.
    fn admit(&self, number: JobNumber, task: Task) -> Result<Arc<Gpu>, Full> {
        let now = Instant::now();
        let gpus = self.gpus.each();
        let turn = usize::try_from(number.0 % gpus.len() as u64).unwrap_or_default();
        let (before, after) = gpus.split_at(turn);
        let mut candidates: Vec<_> = after
            .iter()
            .chain(before)
            .map(|gpu| {
                let depth = gpu.depth(now);
                (depth.queued + depth.running, gpu)
            })
            .collect();
        candidates.sort_by_key(|(requests, _)| *requests);
        self.tally.admitted(task.shape.images);
        let taker = candidates.into_iter().find(|(_, gpu)| gpu.submit(now, number, task).is_ok());
        taker.map(|(_, gpu)| Arc::clone(gpu)).ok_or_else(|| {
            self.tally.refused(task.shape.images);
            Full
        })
    }
}

/// The items of a request that waits: they end by [`end`](Items::end), or as abandoned when the request is dropped.
struct Items<'a> {
    host: &'a Host,
    gpu: Arc<Gpu>,
    number: JobNumber,
    endpoint: Endpoint,
    count: u32,
    ended: bool,
}

impl Items<'_> {
    fn end(mut self, ending: Ending) {
        self.ended = true;
        self.host.tally.ended(self.endpoint, self.count, ending);
    }
}

impl Drop for Items<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.host.tally.ended(self.endpoint, self.count, Ending::Abandoned);
        if self.gpu.withdraw(Instant::now(), self.number) {
            lock(&self.host.waiting).remove(&self.number);
        }
    }
}

/// The only way from the host's clock to a wall-clock stamp.
#[derive(Debug)]
pub(crate) struct WallClock {
    origin: Instant,
    unix_s: f64,
}

impl WallClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "a simulated host is another machine to the fleet: it has its own clock, and its stamps stay in its JSON"
    )]
    fn start() -> Self {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self { origin: Instant::now(), unix_s: unix.unwrap_or_default().as_secs_f64() }
    }

    /// Seconds since 1970.
    pub(crate) fn unix_s(&self, at: Instant) -> f64 {
        self.unix_s + at.duration_since(self.origin).as_secs_f64()
    }

    /// Seconds since the host began to serve.
    pub(crate) fn uptime_s(&self) -> f64 {
        self.origin.elapsed().as_secs_f64()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
