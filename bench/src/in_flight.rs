//! Memory per slow request in flight.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{bail, ensure};
use serde_json::json;

use crate::child::NullServer;
use crate::process::{open_files_limit, resident_kb};
use crate::trial;

/// Descriptors that a process needs beside its connections.
const SPARE_FILES: u64 = 64;

/// Measures and prints.
///
/// # Errors
/// When the descriptors do not suffice, the server cannot be started, or a request fails.
pub fn run(requests: NonZeroU32, delay: Duration) -> anyhow::Result<()> {
    let needed = u64::from(requests.get()) + SPARE_FILES;
    if let Some(limit) = open_files_limit()?
        && limit < needed
    {
        bail!(
            "{requests} connections need {needed} open files and the limit is {limit}; run `ulimit -n {needed}`"
        );
    }
    let server = NullServer::start(delay, None)?;
    let count = u64::from(requests.get());
    let mut assignment = trial::assignment(server.url(), count, requests.get(), false);
    assignment.interval = Duration::from_millis(100);
    // Resident memory while every request was in flight, and how often that was seen.
    let mut peak: Option<(u64, u32)> = None;
    let mut before = 0;
    let outcome = trial::run(
        assignment,
        NonZeroUsize::MIN,
        || before = resident_kb().unwrap_or(0),
        |interval| {
            if interval.in_flight == count
                && let Ok(now) = resident_kb()
            {
                peak = Some(peak.map_or((now, 1), |(most, seen)| (most.max(now), seen + 1)));
            }
            ControlFlow::Continue(())
        },
    )?;
    ensure!(before > 0, "cannot read this process's resident memory");
    ensure!(
        outcome.tally.requests_ok == count,
        "{} of {count} requests were answered",
        outcome.tally.requests_ok
    );
    let Some((during, seen)) = peak else {
        bail!("the {count} requests were never in flight together; give a longer --delay");
    };
    let each = during.saturating_sub(before) as f64 / count as f64;
    println!("{before} kB before, {during} kB with {count} requests in flight (seen {seen} times)");
    println!("{each:.1} kB per request in flight");
    println!(
        "{}",
        json!({
            "measure": "in_flight", "unit": "kB per request", "requests": count, "delay_s": delay.as_secs_f64(),
            "before_kb": before, "during_kb": during, "each_kb": each,
        })
    );
    Ok(())
}
