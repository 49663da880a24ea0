//! A worker's ceiling: what it can do at most, measured against a server that does next to nothing.
//!
//! The server runs in this process and takes processor time of its own, so the rate seen is not the ceiling. What a
//! request costs a load thread is, and that is measured: with a core for each thread the worker reaches as many
//! requests a second as fit into its threads' time.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::load::{Limits, Load, Warmup};
use fluxfleet_proto::trial::{
    Assignment, DriverChoice, Method, Share, Strategy, Target, Transport, Workload,
};

use super::shared::Control;
use super::{Output, prepare};
use crate::null_server::NullServer;

/// Requests that each load thread holds in flight.
const IN_FLIGHT: u32 = 32;
/// Not measured: connections are opened, buffers and caches warm up.
const WARMUP: Duration = Duration::from_millis(200);
/// How often its load threads are asked for what they have used.
const INTERVAL: Duration = Duration::from_millis(100);

/// Measures for `measure` what a worker of so many load threads can do, with a workload of its own. Blocks.
///
/// # Errors
/// When the server cannot be started, a request fails, or nothing was measured.
pub fn alone(threads: NonZeroUsize, measure: Duration) -> Result<Ceiling, String> {
    let workload = Workload {
        prompts: ["a cat on a mat", "a dog in a bog", "a bird on a word"].map(str::to_owned).to_vec(),
        parameters_json: r#"{"width":512,"height":512,"num_inference_steps":25}"#.to_owned(),
        seed: 1,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start a runtime ({e})"))?;
    runtime.block_on(ceiling(&workload, DriverChoice::Auto, threads, measure))
}

/// Measures the ceiling when the assignment asks for it.
pub(super) async fn before(
    assignment: &Assignment,
    threads: NonZeroUsize,
    control: &Arc<Control>,
) -> Result<Option<Ceiling>, String> {
    let Some(measure) = assignment.calibrate else { return Ok(None) };
    let mut orders = control.orders();
    tokio::select! {
        ceiling = ceiling(
            &assignment.workload,
            assignment.target.transport.driver,
            threads,
            measure,
        ) => ceiling.map(Some),
        // The trial was stopped before it began: then nobody wants to know.
        _ = orders.wait_for(Option::is_some) => Ok(None),
    }
}

async fn ceiling(
    workload: &Workload,
    driver: DriverChoice,
    threads: NonZeroUsize,
    measure: Duration,
) -> Result<Ceiling, String> {
    let server = NullServer::start().map_err(|e| format!("no server to measure against ({e})"))?;
    let count = u32::try_from(threads.get()).unwrap_or(u32::MAX);
    let trial = Assignment {
        trial: TrialId(u32::MAX),
        strategy: Strategy { name: "calibrate".into(), method: Method::Single { path: "/generate".into() } },
        target: Target {
            base_url: server.url(),
            timeout: Duration::from_secs(10),
            headers: Vec::new(),
            max_body_bytes: 1 << 20,
            transport: Transport { driver, ..Transport::default() },
        },
        share: Share { first_item: 0, items: Share::UNBOUNDED, in_flight: IN_FLIGHT.saturating_mul(count) },
        load: Load::Closed,
        limits: Limits { warmup: Warmup::Time(WARMUP), duration: Some(measure) },
        calibrate: None,
        record_requests: false,
        interval: INTERVAL,
        workload: workload.clone(),
    };
    let (handle, mut outputs) = prepare(trial, threads).map_err(|e| e.to_string())?;
    let (mut used, mut requests, mut span) = (0.0, 0u64, Duration::ZERO);
    while let Some(output) = outputs.recv().await {
        match output {
            Output::Ready(_) => handle.start(Clock::now()),
            Output::Interval(i) => {
                if let Some((kind, seen)) = i.tally.failures.iter().next() {
                    handle.stop(NotSentReason::WorkerFault, Duration::ZERO);
                    return Err(format!("{kind}: {}", seen.example.as_deref().unwrap_or("-")));
                }
                // An interval with both phases in it says only for both together what they used.
                if let (fluxfleet_proto::tally::Phase::Measure, Some(health)) = (i.phase, &i.health) {
                    let length = i.to.since(i.from);
                    used += health.threads_busy.iter().sum::<f64>() * length.as_secs_f64();
                    requests += i.tally.requests_ok;
                    span += length;
                }
            }
            Output::Records(_) => {}
            Output::Done(_) => break,
            Output::Fault(why) => return Err(why),
        }
    }
    if requests == 0 || used <= 0.0 {
        return Err(format!("nothing was measured within {measure:?}; measure for longer"));
    }
    let each = used / requests as f64;
    Ok(Ceiling {
        requests_per_s: f64::from(count) / each,
        time_per_request: Duration::from_secs_f64(each),
        threads: count,
        measured: span,
    })
}
