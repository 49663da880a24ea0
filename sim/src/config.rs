//! What a simulated host is like: its size, its speed, its bounds and its faults.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::endpoint::Endpoint;

/// GPUs that the NVML stand-in takes.
const NVML_GPUS: u32 = 16;

/// How a simulated host is built. Every field has a default; [`SimConfig::validate`] finds what cannot work.
#[derive(Debug, Clone, PartialEq)]
pub struct SimConfig {
    /// Virtual GPUs, 1 to 64.
    pub gpus: u32,
    /// Fixes the jitter, the faults, the GPU identifiers and the request ids: the job with a given number is the same
    /// in every run with this seed.
    pub seed: u64,
    /// Model instances on each GPU, 1 to 64: how many requests one GPU works on at once.
    pub pool_size: u32,
    /// Requests that may wait for one GPU, on top of those its pool works on. 0 means nobody waits.
    pub queue_capacity: usize,
    /// What a full host answers.
    pub when_full: WhenFull,
    /// Time that one 512x512 image of 25 steps takes on an idle GPU, without jitter; 1 ms to 1 h.
    pub base_service: Duration,
    /// Relative standard deviation of the service time of a request, 0 to 1 (0.05 is 5 %).
    pub jitter: f64,
    /// Largest number of prompts that `/batch-generate` takes, 1 to 256.
    pub max_batch: u32,
    /// Period over which a GPU's utilization is measured. NVML documents 1/6 s to 1 s by product.
    pub utilization_period: Duration,
    /// Finished asynchronous jobs whose status is kept; the oldest is forgotten first.
    pub finished_jobs_kept: usize,
    /// Time for which a finished asynchronous job's status is kept at most.
    pub finished_jobs_ttl: Duration,
    /// Share of requests that fail with HTTP 500 (or end as `failed` when asynchronous) after their GPU work, 0 to 1.
    /// A batch fails as a whole, so this is the share of items as well.
    pub fail_share: f64,
    /// Routes that answer 404, by path, such as `/batch-generate` or `/request-status/{id}`.
    pub disabled_endpoints: Vec<String>,
    /// Where to keep a control file of the NVML stand-in, so that agents read the GPUs through NVML; with it, at most
    /// 16 GPUs. It is there as long as the host.
    pub nvml_script: Option<PathBuf>,
}

/// What a host answers to a request for which no GPU has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// `500 {"detail": "Queue is full .."}`, as flux_api does.
    InternalError,
    /// `503` with the same body and a `Retry-After` header of this many whole seconds.
    Unavailable {
        /// Seconds in `Retry-After`.
        retry_after_s: u32,
    },
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            gpus: 2,
            seed: 42,
            pool_size: 6,
            queue_capacity: 100,
            when_full: WhenFull::InternalError,
            base_service: Duration::from_millis(800),
            jitter: 0.05,
            max_batch: 16,
            utilization_period: Duration::from_millis(250),
            finished_jobs_kept: 10_000,
            finished_jobs_ttl: Duration::from_mins(10),
            fail_share: 0.0,
            disabled_endpoints: Vec::new(),
            nvml_script: None,
        }
    }
}

/// One thing in a [`SimConfig`] that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field of [`SimConfig`].
    pub field: &'static str,
    /// What it holds and what it may hold.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.message)
    }
}

impl SimConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Every problem there is, in the order of the fields.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        let mut found = Findings::default();
        found.range("gpus", self.gpus, 1, 64);
        found.range("pool_size", self.pool_size, 1, 64);
        found.duration("base_service", self.base_service, Duration::from_millis(1), Duration::from_hours(1));
        found.share("jitter", self.jitter);
        found.range("max_batch", self.max_batch, 1, 256);
        found.duration(
            "utilization_period",
            self.utilization_period,
            Duration::from_millis(1),
            Duration::from_mins(1),
        );
        found.share("fail_share", self.fail_share);
        for path in &self.disabled_endpoints {
            if !Endpoint::ALL.iter().any(|known| known.path() == path) {
                let known = Endpoint::ALL.map(Endpoint::path).join(", ");
                found.add("disabled_endpoints", format!("names {path:?}, which is not one of {known}"));
            }
        }
        if self.nvml_script.is_some() && self.gpus > NVML_GPUS {
            found.add("nvml_script", format!("shows at most {NVML_GPUS} GPUs, but there are {}", self.gpus));
        }
        if found.0.is_empty() { Ok(()) } else { Err(found.0) }
    }

    pub(crate) fn serves(&self, endpoint: Endpoint) -> bool {
        !self.disabled_endpoints.iter().any(|path| path == endpoint.path())
    }
}

#[derive(Default)]
struct Findings(Vec<Problem>);

impl Findings {
    fn add(&mut self, field: &'static str, message: String) {
        self.0.push(Problem { field, message });
    }

    fn range(&mut self, field: &'static str, value: u32, low: u32, high: u32) {
        if !(low..=high).contains(&value) {
            self.add(field, format!("is {value}, but must be {low} to {high}"));
        }
    }

    fn duration(&mut self, field: &'static str, value: Duration, low: Duration, high: Duration) {
        if !(low..=high).contains(&value) {
            self.add(field, format!("is {value:?}, but must be {low:?} to {high:?}"));
        }
    }

    fn share(&mut self, field: &'static str, value: f64) {
        if !(0.0..=1.0).contains(&value) {
            self.add(field, format!("is {value}, but must be 0 to 1"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_host_is_valid() {
        assert_eq!(SimConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_control_file_of_the_nvml_stand_in_takes_sixteen_gpus() {
        let config = |gpus| SimConfig { gpus, nvml_script: Some("nvml.json".into()), ..SimConfig::default() };
        assert_eq!(config(16).validate(), Ok(()));
        assert_eq!(config(17).validate().unwrap_err()[0].field, "nvml_script");
    }

    #[test]
    fn every_problem_is_found_at_once() {
        let config = SimConfig {
            gpus: 0,
            pool_size: 65,
            base_service: Duration::ZERO,
            jitter: f64::NAN,
            max_batch: 0,
            utilization_period: Duration::ZERO,
            fail_share: 1.5,
            disabled_endpoints: vec!["/health".into(), "batch-generate".into()],
            ..SimConfig::default()
        };
        let problems = config.validate().expect_err("eight fields are wrong");
        let fields: Vec<_> = problems.iter().map(|problem| problem.field).collect();
        assert_eq!(
            fields,
            [
                "gpus",
                "pool_size",
                "base_service",
                "jitter",
                "max_batch",
                "utilization_period",
                "fail_share",
                "disabled_endpoints"
            ]
        );
        assert_eq!(problems[0].to_string(), "gpus is 0, but must be 1 to 64");
        assert!(problems[7].message.contains("\"batch-generate\""));
    }
}
