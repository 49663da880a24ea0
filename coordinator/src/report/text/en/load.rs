//! English: the load, the warm-up and the generators.

use fluxfleet_proto::arrival::{Arrivals, Process};
use fluxfleet_proto::load::WhenFull;

use crate::analysis::generator::GeneratorReport;
use crate::analysis::phases::WarmupReport;
use crate::plan::PlannedLoad;
use crate::report::number;

pub(super) const HEADING: &str = "Load asked for and sent: ";
pub(super) const COLUMNS: [&str; 9] =
    ["Strategy", "Asked/s", "Sent/s", "Reached", "Late P99", "Late max", "Waited", "Given up", "Gaps/limit"];
pub(super) const FOOTNOTES: [&str; 2] = [
    "Asked, Sent: items while measuring; Late: how late the generator took up arrivals; Waited: requests that then \
     waited for a place in flight; Given up: requests that were not sent",
    "Gaps/limit: how far the gaps between sends are from those asked for (Kolmogorov-Smirnov), and how far they may be",
];
pub(super) const WARMUPS: &str = "Warm-up, part of no other figure:";
pub(super) const GENERATORS: &str = "Load generators:";

pub(super) fn load(load: &PlannedLoad) -> String {
    let PlannedLoad::Open { arrivals, when_full } = load else { return "closed".to_owned() };
    let what = match arrivals {
        Arrivals::Replay(times) => format!("a replay of {} arrivals", times.len()),
        Arrivals::Drawn { process, profile, .. } => {
            let process = match process {
                Process::Constant => "even arrivals".to_owned(),
                Process::Poisson => "Poisson arrivals".to_owned(),
                Process::Gamma { shape } => format!("gamma arrivals of shape {shape}"),
            };
            match profile.stages() {
                [only] if only.from.to_bits() == only.to.to_bits() => {
                    format!("{process}, {} items/s", number::rate(only.from))
                }
                stages => format!("{process}, items/s changing over {} stages", stages.len()),
            }
        }
    };
    match when_full {
        WhenFull::Wait => what,
        WhenFull::Drop => format!("{what}, given up when no place in flight is free"),
    }
}

pub(super) fn warmup(warmup: &WarmupReport) -> String {
    let time = warmup.seconds.map_or("not over".to_owned(), number::seconds);
    let mut parts = vec![format!("{time}, {} items before measuring", warmup.items_ended())];
    if warmup.items_failed > 0 {
        parts.push(format!("{} of them failed", warmup.items_failed));
    }
    if warmup.items_not_sent > 0 {
        parts.push(format!("{} more given up", warmup.items_not_sent));
    }
    parts.join(", ")
}

pub(super) fn generator(g: &GeneratorReport) -> Vec<String> {
    let mut parts = Vec::new();
    parts.push(match (g.ceiling, g.ceiling_percent) {
        (Some(ceiling), Some(percent)) => format!(
            "ran at {} of its ceiling of {} requests/s",
            number::part(percent),
            number::per_second(ceiling.requests_per_s)
        ),
        _ => "ceiling not measured".to_owned(),
    });
    if let (Some(mean), Some(max)) = (g.busy_mean, g.busy_max) {
        let (mean, max) = (number::percent(100.0 * mean), number::percent(100.0 * max));
        parts.push(format!("busiest thread {mean} busy on average, at most {max}"));
    }
    if let Some(p99) = g.poll_delay_p99_us {
        parts.push(format!("poll delay P99 {}", number::ms(p99 as f64)));
    }
    let used = |most: u64, limit: Option<u64>| {
        limit.map_or_else(|| most.to_string(), |limit| format!("{most} of {limit}"))
    };
    if let Some(most) = g.files.most {
        parts.push(format!("{} files", used(most, g.files.limit)));
    }
    if let Some(most) = g.ports.most {
        parts.push(format!("{} ports", used(most, g.ports.limit)));
    }
    parts.push(format!("{} socket errors", g.socket_errors));
    if let Some(memory) = g.memory {
        let (first, last) = (number::mebibytes(memory.first), number::mebibytes(memory.last));
        parts.push(format!("memory {first}, at the end {last}"));
    }
    parts
}
