//! One virtual GPU as a discrete-event machine: a FIFO queue, a pool of instances, and a GPU that they share.
//!
//! Pure: it takes `now` and answers what happened. [`Engine::advance`] replays every event at the instant it was due, so
//! a caller that wakes late (a timer has a resolution of 1 ms) neither lengthens a job nor leaves an instance idle.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::SimConfig;
use crate::meter::{Load, Meter};
use crate::model::{self, Shape, Work};

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
const TOTAL_GIB: f64 = 80.0;
/// Driver and context, and the weights that all instances share.
const RESIDENT_GIB: f64 = 0.6 + 24.0;
/// Workspace of one instance.
const INSTANCE_GIB: f64 = 1.5;
/// Activations of one 512x512 image in the making.
const IMAGE_GIB: f64 = 0.75;

/// Numbers jobs in the order in which the host took them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JobNumber(pub(crate) u64);

/// A job as the engine sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) shape: Shape,
    /// Factor on its time.
    pub(crate) jitter: f64,
    /// Whether it holds its instance while its images are saved.
    pub(crate) saves: bool,
}

/// What happened to a job, and when it was due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event {
    /// An instance took the job.
    Started { number: JobNumber, at: Instant },
    /// The job left its instance.
    Finished { number: JobNumber, run: Run },
}

/// A finished job's stay on the GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    pub(crate) started: Instant,
    pub(crate) finished: Instant,
    /// Exact seconds from `started` to `finished`.
    pub(crate) seconds: f64,
    /// Bytes in use on the GPU when it finished.
    pub(crate) memory_used_bytes: u64,
}

/// The queue and the pool have no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Encode,
    Denoise,
    Save,
}

#[derive(Debug)]
struct Running {
    number: JobNumber,
    task: Task,
    work: Work,
    stage: Stage,
    /// Seconds of the stage left at full speed.
    left: f64,
    started: f64,
}

/// One virtual GPU.
#[derive(Debug)]
pub(crate) struct Engine {
    base: Duration,
    pool_size: usize,
    queue_capacity: usize,
    origin: Instant,
    /// Seconds from `origin` to which the state belongs.
    clock: f64,
    /// First in, first out: job numbers rise. A map, so that a job that leaves is found at once.
    queue: BTreeMap<JobNumber, Task>,
    running: Vec<Running>,
    meter: Meter,
    events: Vec<Event>,
}

impl Engine {
    pub(crate) fn new(config: &SimConfig, origin: Instant) -> Self {
        Self {
            base: config.base_service,
            pool_size: config.pool_size as usize,
            queue_capacity: config.queue_capacity,
            origin,
            clock: 0.0,
            queue: BTreeMap::new(),
            running: Vec::new(),
            meter: Meter::new(config.utilization_period),
            events: Vec::new(),
        }
    }

    /// Gives the job an instance, or a place in the queue.
    pub(crate) fn submit(&mut self, now: Instant, number: JobNumber, task: Task) -> Result<(), Full> {
        self.advance(now);
        if self.running.len() < self.pool_size {
            self.start(number, task);
        } else if self.queue.len() < self.queue_capacity {
            self.queue.insert(number, task);
        } else {
            return Err(Full);
        }
        Ok(())
    }

    /// Takes a job out of the queue; false when it is not there (any more).
    pub(crate) fn withdraw(&mut self, now: Instant, number: JobNumber) -> bool {
        self.advance(now);
        self.queue.remove(&number).is_some()
    }

    /// Brings the state to `now`, or leaves it when it is there already.
    pub(crate) fn advance(&mut self, now: Instant) {
        let until = now.saturating_duration_since(self.origin).as_secs_f64();
        while let Some((index, at)) = self.next_stage_end()
            && at <= until
        {
            self.pass(at - self.clock);
            self.clock = at;
            self.end_stage(index);
        }
        if until > self.clock {
            self.pass(until - self.clock);
            self.clock = until;
        }
    }

    /// What happened since the last call, oldest first.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// When the next stage ends, if the load stays as it is. Rounded up, so that `advance` then finds it due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let (_, at) = self.next_stage_end()?;
        Some(self.instant(at) + Duration::from_micros(1))
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn load(&self) -> Load {
        let denoising: Vec<u32> = self.denoising().map(|job| job.task.shape.images).collect();
        Load {
            awake: !self.running.is_empty(),
            busy: !denoising.is_empty(),
            occupancy: model::occupancy(denoising.into_iter()),
        }
    }

    pub(crate) fn memory_used_bytes(&self) -> u64 {
        let images: f64 = self.running.iter().map(|job| job.task.shape.base_images()).sum();
        let gib = RESIDENT_GIB + INSTANCE_GIB * self.pool_size as f64 + IMAGE_GIB * images;
        bytes(gib.min(TOTAL_GIB))
    }

    pub(crate) fn memory_total_bytes() -> u64 {
        bytes(TOTAL_GIB)
    }

    fn denoising(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().filter(|job| job.stage == Stage::Denoise)
    }

    fn rate(job: &Running, denoising: u32) -> f64 {
        match job.stage {
            Stage::Denoise => model::denoise_rate(denoising, job.task.shape.images),
            Stage::Encode | Stage::Save => 1.0,
        }
    }

    fn denoising_count(&self) -> u32 {
        u32::try_from(self.denoising().count()).expect("a pool holds at most 64 instances")
    }

    /// The running job whose stage ends first, and when, in seconds from the origin.
    fn next_stage_end(&self) -> Option<(usize, f64)> {
        let denoising = self.denoising_count();
        self.running
            .iter()
            .map(|job| self.clock + job.left / Self::rate(job, denoising))
            .enumerate()
            .min_by(|(_, left), (_, right)| left.total_cmp(right))
    }

    fn pass(&mut self, seconds: f64) {
        self.meter.pass(seconds, self.load());
        let denoising = self.denoising_count();
        for job in &mut self.running {
            job.left = (job.left - seconds * Self::rate(job, denoising)).max(0.0);
        }
    }

    fn end_stage(&mut self, index: usize) {
        let job = &mut self.running[index];
        match job.stage {
            Stage::Encode => (job.stage, job.left) = (Stage::Denoise, job.work.denoise),
            Stage::Denoise if job.task.saves => (job.stage, job.left) = (Stage::Save, job.work.save),
            Stage::Denoise | Stage::Save => self.finish(index),
        }
    }

    fn start(&mut self, number: JobNumber, task: Task) {
        let work = Work::of(self.base, task.shape).scaled(task.jitter);
        self.running.push(Running {
            number,
            task,
            work,
            stage: Stage::Encode,
            left: work.encode,
            started: self.clock,
        });
        let at = self.instant(self.clock);
        self.events.push(Event::Started { number, at });
    }

    fn finish(&mut self, index: usize) {
        let memory_used_bytes = self.memory_used_bytes();
        let job = self.running.remove(index);
        self.events.push(Event::Finished {
            number: job.number,
            run: Run {
                started: self.instant(job.started),
                finished: self.instant(self.clock),
                seconds: self.clock - job.started,
                memory_used_bytes,
            },
        });
        if let Some((number, task)) = self.queue.pop_first() {
            self.start(number, task);
        }
    }

    fn instant(&self, seconds: f64) -> Instant {
        self.origin + Duration::from_secs_f64(seconds)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few dozen GiB, never negative"
)]
fn bytes(gib: f64) -> u64 {
    (gib * GIB) as u64
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
