//! Runs the worker's engine without a coordinator.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::bail;
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::tally::{Interval, Tally};
use fluxfleet_proto::trial::{Assignment, Method, Share, Strategy, Target, TrialEnd, Workload};
use fluxfleet_worker::engine::{self, Output};

/// What is in flight at a stop may end; a request that is cut off would be a failure.
const GRACE: Duration = Duration::from_secs(60);

/// What a trial came to.
#[derive(Debug)]
pub struct Outcome {
    /// All intervals merged.
    pub tally: Tally,
    /// How it ended.
    pub end: TrialEnd,
}

/// Single requests with a JSON body of about 100 bytes.
pub fn assignment(url: &str, items: u64, in_flight: u32, records: bool) -> Assignment {
    Assignment {
        trial: TrialId(0),
        strategy: Strategy {
            name: "bench".to_owned(),
            method: Method::Single { path: "/generate".to_owned() },
        },
        target: Target {
            base_url: url.to_owned(),
            timeout: Duration::from_secs(60),
            headers: Vec::new(),
            max_body_bytes: 1 << 20,
            transport: fluxfleet_proto::trial::Transport::default(),
        },
        workload: Workload {
            prompts: ["a cat on a mat", "a dog in a bog", "a bird on a word"].map(str::to_owned).to_vec(),
            parameters_json: r#"{"width":512,"height":512}"#.to_owned(),
            seed: 1,
        },
        share: Share { first_item: 0, items, in_flight },
        load: fluxfleet_proto::load::Load::Closed,
        limits: fluxfleet_proto::load::Limits::default(),
        calibrate: None,
        record_requests: records,
        interval: Duration::from_secs(1),
    }
}

/// Runs a trial. `ready` is called when everything is built and nothing has been sent, `watch` with every
/// interval; when it breaks, the trial is stopped.
///
/// # Errors
/// When the engine reports a fault, or a request failed: a figure with failures in it means nothing.
pub fn run(
    assignment: Assignment,
    threads: NonZeroUsize,
    ready: impl FnOnce(),
    mut watch: impl FnMut(&Interval) -> ControlFlow<()>,
) -> anyhow::Result<Outcome> {
    let (handle, mut outputs) = engine::prepare(assignment, threads)?;
    let mut ready = Some(ready);
    let mut tally = Tally::default();
    while let Some(output) = outputs.blocking_recv() {
        match output {
            Output::Ready(_) => {
                if let Some(ready) = ready.take() {
                    ready();
                }
                handle.start(Clock::now());
            }
            Output::Interval(interval) => {
                tally.merge(&interval.tally);
                if watch(&interval).is_break() {
                    handle.stop(NotSentReason::Interrupted, GRACE);
                }
            }
            Output::Records(_) => {}
            Output::Done(end) => {
                if let Some((kind, seen)) = tally.failures.iter().next() {
                    bail!(
                        "{} requests failed as {kind}: {}",
                        seen.count,
                        seen.example.as_deref().unwrap_or("-")
                    );
                }
                return Ok(Outcome { tally, end });
            }
            Output::Fault(why) => bail!(why),
        }
    }
    bail!("the engine ended without a word")
}
