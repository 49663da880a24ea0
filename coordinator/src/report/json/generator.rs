//! How a worker's generator fared in a trial.

use serde::Serialize;

use crate::analysis::generator::{GeneratorPoint, GeneratorReport, Memory};

use super::load::phase;
use super::stream::rfc3339;

/// A worker's generator. What its system does not tell is `null`.
#[derive(Serialize)]
pub(super) struct Generator<'a> {
    worker: &'a str,
    watched: f64,
    ceiling_requests_per_s: Option<f64>,
    requests_per_s: Option<f64>,
    highest_requests_per_s: Option<f64>,
    ceiling_percent: Option<f64>,
    ceiling_mean_percent: Option<f64>,
    busiest_thread_mean: Option<f64>,
    busiest_thread_max: Option<f64>,
    busiest_core_max: Option<f64>,
    pacer_lateness_p99_max_us: Option<u64>,
    poll_delay_count: u64,
    poll_delay_p99_us: Option<u64>,
    poll_delay_max_us: Option<u64>,
    open_files_max: Option<u64>,
    open_files_limit: Option<u64>,
    ports_max: Option<u64>,
    ports_limit: Option<u64>,
    socket_errors: u64,
    resident_memory: Option<ResidentMemory>,
    intervals: Vec<Interval>,
}

#[derive(Serialize)]
struct ResidentMemory {
    first: u64,
    last: u64,
    max: u64,
}

#[derive(Serialize)]
struct Interval {
    at: String,
    seconds: f64,
    phase: &'static str,
    requests_sent: u64,
    busiest_thread: Option<f64>,
    mean_thread: Option<f64>,
    busiest_core: Option<f64>,
    pacer_lateness_p99_us: Option<u64>,
    poll_delay_p99_us: Option<u64>,
    open_files: Option<u64>,
    ports: Option<u64>,
    socket_errors: u64,
    resident_bytes: Option<u64>,
}

impl<'a> Generator<'a> {
    pub(super) fn of(of: &'a GeneratorReport) -> Self {
        Self {
            worker: &of.worker,
            watched: of.watched_s,
            ceiling_requests_per_s: of.ceiling.map(|c| c.requests_per_s),
            requests_per_s: of.requests_per_s,
            highest_requests_per_s: of.highest_requests_per_s,
            ceiling_percent: of.ceiling_percent,
            ceiling_mean_percent: of.ceiling_mean_percent,
            busiest_thread_mean: of.busy_mean,
            busiest_thread_max: of.busy_max,
            busiest_core_max: of.core_max,
            pacer_lateness_p99_max_us: of.pacer_lateness_p99_us,
            poll_delay_count: of.poll_delays,
            poll_delay_p99_us: of.poll_delay_p99_us,
            poll_delay_max_us: of.poll_delay_max_us,
            open_files_max: of.files.most,
            open_files_limit: of.files.limit,
            ports_max: of.ports.most,
            ports_limit: of.ports.limit,
            socket_errors: of.socket_errors,
            resident_memory: of.memory.map(|Memory { first, last, most }| ResidentMemory {
                first,
                last,
                max: most,
            }),
            intervals: of.points.iter().map(interval).collect(),
        }
    }
}

fn interval(of: &GeneratorPoint) -> Interval {
    let health = &of.health;
    Interval {
        at: rfc3339(of.at),
        seconds: of.seconds,
        phase: phase(health.phase),
        requests_sent: health.requests_sent,
        busiest_thread: health.busiest_thread,
        mean_thread: health.mean_thread,
        busiest_core: health.busiest_core,
        pacer_lateness_p99_us: health.pacer_lateness_p99_us,
        poll_delay_p99_us: health.poll_delay_p99_us,
        open_files: health.open_files,
        ports: health.ports_used,
        socket_errors: health.socket_errors,
        resident_bytes: health.resident_bytes,
    }
}
