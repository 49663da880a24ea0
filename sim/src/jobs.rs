//! The asynchronous jobs: what each was asked, how far it is, and when it is forgotten. Pure: it takes `now`.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::counters::Ending;
use crate::engine::JobNumber;
use crate::host::Made;
use crate::model::Shape;

/// Names a job to its client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RequestId(pub(crate) String);

/// One image to make, with every value within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImageSpec {
    pub(crate) prompt: String,
    pub(crate) steps: u32,
    pub(crate) guidance_scale: f64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) seed: Option<u64>,
}

impl ImageSpec {
    pub(crate) fn shape(&self, images: u32) -> Shape {
        Shape { steps: self.steps, pixels: self.width * self.height, images }
    }
}

/// How far a job is, in flux_api's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    /// The word that the JSON has.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One asynchronous job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) number: JobNumber,
    pub(crate) image: ImageSpec,
    pub(crate) status: Status,
    pub(crate) created: Instant,
    pub(crate) started: Option<Instant>,
    pub(crate) finished: Option<Instant>,
    pub(crate) made: Option<Made>,
    cancel_requested: bool,
}

/// What came of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// No job has this id.
    Unknown,
    /// The job had ended already.
    Over(Status),
    /// The job ends as cancelled when its instance is done with it.
    Requested(JobNumber),
    /// The job waited and is gone.
    Dropped,
}

/// All jobs that are not forgotten.
#[derive(Debug)]
pub(crate) struct JobBoard {
    jobs: HashMap<RequestId, Job>,
    /// Ended jobs, the one that ended first in front.
    ended: VecDeque<(Instant, RequestId)>,
    kept: usize,
    ttl: Duration,
}

impl JobBoard {
    /// A board that keeps at most `kept` ended jobs, each for at most `ttl`.
    pub(crate) fn new(kept: usize, ttl: Duration) -> Self {
        Self { jobs: HashMap::new(), ended: VecDeque::new(), kept, ttl }
    }

    pub(crate) fn insert(&mut self, now: Instant, id: RequestId, number: JobNumber, image: ImageSpec) {
        self.prune(now);
        let job = Job {
            number,
            image,
            status: Status::Pending,
            created: now,
            started: None,
            finished: None,
            made: None,
            cancel_requested: false,
        };
        self.jobs.insert(id, job);
    }

    /// Removes a job that was not taken in after all.
    pub(crate) fn forget(&mut self, id: &RequestId) {
        self.jobs.remove(id);
    }

    pub(crate) fn get(&mut self, now: Instant, id: &RequestId) -> Option<&Job> {
        self.prune(now);
        self.jobs.get(id)
    }

    pub(crate) fn started(&mut self, id: &RequestId, at: Instant) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.status = Status::Processing;
            job.started = Some(at);
        }
    }

    pub(crate) fn request_cancel(&mut self, now: Instant, id: &RequestId) -> Cancel {
        self.prune(now);
        match self.jobs.get_mut(id) {
            None => Cancel::Unknown,
            Some(job) if job.finished.is_some() => Cancel::Over(job.status),
            Some(job) => {
                job.cancel_requested = true;
                Cancel::Requested(job.number)
            }
        }
    }

    /// Ends a job with what was made of it; `None` for one that was cancelled before it started. Answers how its item
    /// ended, or nothing when it had ended before.
    pub(crate) fn finish(&mut self, id: &RequestId, at: Instant, made: Option<Made>) -> Option<Ending> {
        let job = self.jobs.get_mut(id).filter(|job| job.finished.is_none())?;
        let (status, ending) = match &made {
            Some(made) if !job.cancel_requested && made.failed => (Status::Failed, Ending::Failed),
            Some(_) if !job.cancel_requested => (Status::Completed, Ending::Completed),
            _ => (Status::Cancelled, Ending::Cancelled),
        };
        job.status = status;
        job.finished = Some(at);
        job.made = made;
        self.ended.push_back((at, id.clone()));
        self.prune(at);
        Some(ending)
    }

    fn prune(&mut self, now: Instant) {
        while let Some((at, _)) = self.ended.front()
            && (self.ended.len() > self.kept || now.saturating_duration_since(*at) > self.ttl)
        {
            if let Some((_, id)) = self.ended.pop_front() {
                self.jobs.remove(&id);
            }
        }
    }
}
