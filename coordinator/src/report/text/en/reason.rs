//! English: why a verdict is not valid.

use crate::analysis::report::Items;
use crate::analysis::steady::{Drift, Moving};
use crate::analysis::verdict::Reason;
use crate::report::number;

use super::not_sent;

pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::NothingSucceeded => "nothing succeeded in any strategy".to_owned(),
        Reason::DoesNotAddUp { strategy, worker, items } => {
            let whose = worker.as_ref().map_or_else(String::new, |w| format!(" of worker {w}"));
            let Items { planned, ok, failed, not_sent } = items;
            format!(
                "{strategy}: the items{whose} do not add up: {planned} planned, but {ok} ok + {failed} failed \
                 + {not_sent} not sent"
            )
        }
        Reason::Interrupted => "the run was stopped before its end".to_owned(),
        Reason::WorkerLost { worker, why } => format!("worker {worker} was lost: {why}"),
        Reason::AgentLost { host, why } => format!("the agent on {host} was lost: {why}"),
        Reason::NotStarted { strategy, reason } => {
            format!("{strategy} was not started: {}", not_sent(*reason))
        }
        Reason::NotSent { strategy, reason, items } => {
            format!("{strategy}: {items} items were not sent: {}", not_sent(*reason))
        }
        Reason::SampleGaps { host, samples } => {
            format!("the agent on {host} could not deliver {samples} of its samples")
        }
        Reason::AgentSilent { host } => format!("the agent on {host} delivered no sample"),
        Reason::GpuGone { .. } | Reason::GpuXid { .. } => super::gpu::reason(reason),
        Reason::StartSkew { strategy, worker, skew_us } => {
            format!("{strategy}: worker {worker} began {} off the planned start", number::signed_ms(*skew_us))
        }
        Reason::UnsureClock { peer, error_us } => unsure_clock(peer, *error_us),
        Reason::ClockStepped { peer, steps, error_us } => format!(
            "the clock of {peer} jumped or stood still (steps seen: {steps}); around a step it is sure only to +/-{}",
            number::ms(*error_us)
        ),
        Reason::RateMissed { strategy, intended, achieved, percent } => format!(
            "{strategy}: {} items/s were asked for and {} sent: {} of the load",
            number::rate(*intended),
            number::rate(*achieved),
            number::percent(*percent)
        ),
        Reason::LoadNotSent { strategy, items, planned } => format!(
            "{strategy}: {items} of {planned} items of the load were given up: it is not the load that was asked for"
        ),
        Reason::Waited { strategy, requests, sent, longest_s } => format!(
            "{strategy}: the load asked for was not the load sent: {requests} of {sent} requests waited for a place \
             in flight, up to {} (--max-in-flight)",
            number::seconds(*longest_s)
        ),
        Reason::PacerLate { strategy, p99_us, budget_us } => format!(
            "{strategy}: the generator was {} late (P99), which is part of the response times; its \
             budget is {}",
            number::ms(*p99_us),
            number::ms(*budget_us)
        ),
        Reason::ArrivalsOff { strategy, test } => format!(
            "{strategy}: the gaps between sends are not those asked for: distance {:.3} in {} gaps, limit {:.3}",
            test.distance, test.gaps, test.limit
        ),
        Reason::InFlightMissed { strategy, planned, used_percent, empty_us } => format!(
            "{strategy}: of {planned} places in flight {} of the time was used; one stood empty for {} between two \
             requests",
            number::percent(*used_percent),
            number::ms(*empty_us)
        ),
        Reason::TooFewSamples { strategy, count, least } => format!(
            "{strategy}: too few samples ({count}): with fewer than {least} measured requests that succeeded even the \
             median may be chance"
        ),
        Reason::NeverSettled { strategy, drift } => never_settled(strategy, *drift),
        Reason::Busy { strategy, worker, percent, closed } => {
            let so = if *closed {
                "the throughput is, or is near, the generator's limit and not the service's"
            } else {
                "what it measures contains its own delays"
            };
            format!(
                "{strategy}: a load thread of worker {worker} was busy {} of the time: {so}; give it more threads or \
                 workers",
                number::percent(*percent)
            )
        }
        Reason::PollDelay { strategy, worker, p99_us, budget_us } => format!(
            "{strategy}: worker {worker} came {} late to what was due (P99); its budget is {}",
            number::ms(*p99_us),
            number::ms(*budget_us)
        ),
        Reason::FewFiles { strategy, worker, most, limit } => {
            format!(
                "{strategy}: worker {worker} had {most} of {limit} files open; raise its limit (ulimit -n)"
            )
        }
        Reason::Exhausted { strategy, items, planned } => format!(
            "{strategy}: {items} of {planned} items failed since their worker could not open another file; raise its limit \
             (ulimit -n)"
        ),
        Reason::FewPorts { strategy, worker, most, limit } => format!(
            "{strategy}: worker {worker} used {most} of its machine's {limit} ports for outgoing connections"
        ),
    }
}

fn unsure_clock(peer: &str, error_us: Option<f64>) -> String {
    match error_us {
        Some(error) => format!("the clock of {peer} is known only to +/-{}", number::ms(error)),
        None => format!("the clock of {peer} was never measured"),
    }
}

fn never_settled(strategy: &str, Drift { what, change }: Drift) -> String {
    let what = match what {
        Moving::Throughput => "the throughput",
        Moving::ResponseTime => "the response times",
    };
    format!("{strategy}: it never settled: {what} {} from its first third to its last", moved(change))
}

fn moved(change: f64) -> String {
    if !change.is_finite() {
        "grew from nothing".to_owned()
    } else if change < 0.0 {
        format!("fell by {}", number::percent(-100.0 * change))
    } else {
        format!("grew by {}", number::percent(100.0 * change))
    }
}
