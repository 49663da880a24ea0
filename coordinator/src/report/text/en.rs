//! English.

use fluxfleet_proto::failure::{FailureKind, NotSentReason};

use crate::analysis::advice::Rule;
use crate::analysis::certify::{P95_SAMPLES, P99_SAMPLES, P999_SAMPLES};
use crate::analysis::gpu::{IDLE_LEAST, IDLE_LEAST_READINGS};
use crate::analysis::note::Note;
use crate::analysis::report::{DetailAbsent, ErrorLine, Items, Missing};
use crate::analysis::verdict::State;
use crate::report::number;

use super::Texts;

mod gpu;
mod load;
mod reason;

/// English.
pub(in crate::report) const EN: Texts = Texts {
    title: "Comparison of strategies",
    partial: "PARTIAL: the run was stopped before its end",
    columns: ["Strategy", "Throughput", "Success", "Mean response", "P95 response", "GPU util", "Score"],
    counts_heading: "Behind the figures: requests that succeeded (n), their response times, and the end of every item",
    count_columns: ["Strategy", "n", "P50", "P99", "P99.9", "Ok", "Failed", "Not sent", "Planned"],
    best: "Best strategy: ",
    no_best: "No best strategy: nothing succeeded.",
    best_figures: ["Efficiency score: ", "Throughput: ", "Mean response time: "],
    items_per_s: "items/s",
    seconds: "s",
    improvements: "Change from the baseline:",
    improvement_figures: ["throughput", "response time"],
    advice: "Advice:",
    failures: "Failures:",
    workers: "Workers:",
    notes: "Notes:",
    verdict: "Verdict: ",
    run: "run",
    comma: ", ",
    colon: ": ",
    uncertified,
    score_without_gpu: "score without GPU readings: the weights of throughput and response time are rescaled",
    state,
    reason: reason::reason,
    note,
    missing,
    not_sent,
    remedy,
    failure,
    no_success,
    rule,
    remedies,
    worker_items,
    worker_skew,
    worker_lost,
    detail_absent,
    load_heading: load::HEADING,
    load_columns: load::COLUMNS,
    load_footnotes: load::FOOTNOTES,
    load: load::load,
    warmups: load::WARMUPS,
    warmup: load::warmup,
    generators: load::GENERATORS,
    generator: load::generator,
    gpus: gpu::heading,
    gpu_columns: gpu::COLUMNS,
    gpu_uncertainty: gpu::UNCERTAINTY,
    gpu_integrated: gpu::INTEGRATED,
    plot_title: "Comparison of strategies",
    plot_load: "Open load: ",
    plot_sent: "Sent / asked for (items/s): ",
    plot_partial: "PARTIAL",
    plot_invalid: "INVALID",
    plot_verdict: "Verdict: ",
    plot_titles: ["Throughput", "Mean response time", "Efficiency score", "Profile (1 = best)"],
    plot_units: ["items per second, more is better", "seconds, less is better", "0 to 1, more is better"],
    plot_axes: ["Throughput", "Response time", "Efficiency"],
    plot_none: "n/a",
};

fn uncertified() -> String {
    format!(
        "too few requests to certify it at 99 % confidence (P95 needs {P95_SAMPLES}, \
         P99 {P99_SAMPLES}, P99.9 {P999_SAMPLES})"
    )
}

fn state(state: State) -> &'static str {
    match state {
        State::Valid => "VALID",
        State::Degraded => "DEGRADED",
        State::Invalid => "INVALID",
    }
}

fn note(note: &Note) -> String {
    match note {
        Note::Skipped { strategy, why } => format!("{strategy} was skipped: {why}"),
        Note::ScoreSaturated { reference_items_per_s, strategies, highest, throughput_items_per_s } => {
            let (reference, highest_items) =
                (number::rate(*reference_items_per_s), number::rate(*throughput_items_per_s));
            if *strategies == 1 {
                format!(
                    "{highest} reaches {reference} items/s, from where on more throughput earns no more score; it has {highest_items} items/s"
                )
            } else {
                format!(
                    "every strategy reaches {reference} items/s, from where on more throughput earns no more score; the highest \
                 throughput is that of {highest} with {highest_items} items/s"
                )
            }
        }
        Note::ScoreWithoutGpu { strategies, why } => {
            format!("score without GPU readings for {}: {}", strategies.join(", "), missing(why))
        }
        Note::BeyondRange { strategy, requests } => format!(
            "{strategy}: {requests} requests took longer than a histogram holds (71 minutes); they count in \
             mean and extremes, and percentiles among them show the longest"
        ),
        Note::SettledLate { strategy, after_s, warmup_s } if *warmup_s > 0.0 => format!(
            "{strategy} settled after {after_s} s, later than its warm-up of {}: measuring could begin there: \
             --warmup {after_s}s",
            number::seconds(*warmup_s)
        ),
        Note::SettledLate { strategy, after_s, warmup_s: _ } => {
            format!("{strategy} settled after {after_s} s: measuring could begin there: --warmup {after_s}s")
        }
        Note::Gpu { host, gpu, kind, times } => gpu::note(host, gpu.as_deref(), kind, *times),
    }
}

fn missing(missing: &Missing) -> String {
    match missing {
        Missing::Skipped(why) => format!("skipped: {why}"),
        Missing::NotStarted(reason) => format!("not started: {}", not_sent(*reason)),
        Missing::NothingSent => "no request was sent".to_owned(),
        Missing::NoSuccess => "no item succeeded".to_owned(),
        Missing::NoEndpoint => "the service has no such endpoint".to_owned(),
        Missing::NothingFailed => "no request failed as a whole".to_owned(),
        Missing::NoTime => "no time passed that could be measured".to_owned(),
        Missing::OneValue => "there is only one value".to_owned(),
        Missing::NotReported => "the service does not say".to_owned(),
        Missing::ClosedLoad => "a closed load has no arrivals".to_owned(),
        Missing::OpenLoad => "an open load holds no number in flight".to_owned(),
        Missing::TooFew { count, least } => format!("there are {count} of the {least} that it takes"),
        Missing::EvenGaps => {
            "even gaps have no distribution; the lateness tells how even they were".to_owned()
        }
        Missing::ShortGaps { mean_us, least_us } => format!(
            "gaps of {mean_us} us on average have no distribution that can be told from lateness ({least_us} us); \
             the lateness tells"
        ),
        Missing::NoLaw => "a replay follows no law".to_owned(),
        Missing::Stopped => "the load was cut short".to_owned(),
        Missing::NoConnection => "no connection was opened while measuring".to_owned(),
        Missing::NoTls => "no connection with TLS was opened while measuring".to_owned(),
        Missing::AllSent => "every arrival was sent".to_owned(),
        Missing::NoAgent(why) if why.is_empty() => "no agent took part".to_owned(),
        Missing::NoAgent(why) => format!("no agent took part: {why}"),
        Missing::NoGpu => "the host has no GPU".to_owned(),
        Missing::NoSample => "no sample was taken while the strategy ran".to_owned(),
        Missing::NotRead(absence) => absence.to_string(),
        Missing::CounterReset => {
            "lost: the energy counter began anew, as when the driver is loaded anew".to_owned()
        }
        Missing::CounterStill => "the energy counter never moved".to_owned(),
        Missing::NotEnclosed => "no reading was taken both before and after it".to_owned(),
        Missing::ReadingGap { gap_ms, longest_ms } => {
            format!("no reading for {gap_ms} ms, and {longest_ms} ms is the longest that may pass")
        }
        Missing::IdleTooShort { readings, seen_ms } => format!(
            "not measured: {readings} readings over {seen_ms} ms before the first strategy, and it takes \
             {IDLE_LEAST_READINGS} over {} ms",
            IDLE_LEAST.as_millis()
        ),
        Missing::OfGpu { host, gpu: Some(gpu), why } => format!("{gpu} on {host}: {}", self::missing(why)),
        Missing::OfGpu { host, gpu: None, why } => format!("the GPUs on {host}: {}", self::missing(why)),
        Missing::NoBaseline => "the strategy `baseline` was not asked for".to_owned(),
        Missing::NothingToCompare => "there is only one strategy".to_owned(),
        Missing::BaselineMissing(why) => format!("the baseline has no value: {}", self::missing(why)),
    }
}

fn not_sent(reason: NotSentReason) -> &'static str {
    match reason {
        NotSentReason::Interrupted => "the run was stopped",
        NotSentReason::WorkerLost => "their worker was lost, and whether it had sent them is not known",
        NotSentReason::WorkerFault => "their worker could not go on",
        NotSentReason::NotStarted => "the run ended before it",
        NotSentReason::NoEndpoint => "the service has no such endpoint",
        NotSentReason::NoPlace => "no place in flight came free in time (--max-in-flight)",
        NotSentReason::TimeUp => "the time was up (--duration)",
        NotSentReason::ErrorLimit => "more had failed than --error-limit allows",
    }
}

fn remedy(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Dns => "check the host name in --url",
        FailureKind::Connect => "check that the service runs at --url and that nothing blocks its port",
        FailureKind::Exhausted => {
            "raise the workers' limit on open files (ulimit -n), or hold fewer in flight (--max-in-flight)"
        }
        FailureKind::Tls => "check the service's certificate, or whether it speaks plain http",
        FailureKind::Timeout => "lower the load (--concurrent or --rate), or raise --timeout",
        FailureKind::Disconnected => {
            "look for restarts in the service's log, or lower the load (--concurrent or --rate)"
        }
        FailureKind::Protocol => "check that --url leads to an HTTP service",
        FailureKind::Overloaded => "the service is full: lower the load (--concurrent or --rate)",
        FailureKind::Redirect => "give the final address in --url",
        FailureKind::EmptyBody
        | FailureKind::NotJson
        | FailureKind::InvalidJson
        | FailureKind::MissingField => {
            "check that --url leads to the inference service itself, and what it answers on this path"
        }
        FailureKind::BodyTooLarge => "ask for smaller items, or for links in place of data",
        FailureKind::ShortAnswer => "lower --batch-size",
        FailureKind::JobCancelled => "find out who cancels jobs on the service",
        FailureKind::JobLost => "check whether the service restarted or forgets jobs early",
        FailureKind::Interrupted => "let the run come to its end",
        FailureKind::Http(404 | 405 | 410 | 501) => {
            "the service has no such path: leave the strategy out of --strategies"
        }
        FailureKind::Http(401 | 403 | 407) => "send the credentials that the service asks for",
        FailureKind::Http(400..=499) => "compare the request with what the service accepts",
        FailureKind::ServiceError | FailureKind::JobFailed | FailureKind::Http(_) => "see the service's log",
    }
}

fn failure(line: &ErrorLine, example: Option<&str>) -> String {
    let ErrorLine { kind, count, .. } = line;
    match example {
        Some(example) => format!("{kind} x {count}, for example: {example}"),
        None => format!("{kind} x {count}"),
    }
}

fn no_success(items: Items, main: Option<&ErrorLine>) -> String {
    match main {
        Some(main) => {
            let example = main.example.as_deref().map_or_else(String::new, |e| format!(", for example: {e}"));
            format!(
                "none of {} items succeeded, most often because of {} ({} times{example})",
                items.planned, main.kind, main.count
            )
        }
        None => format!("none of {} items was sent", items.planned),
    }
}

fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::LowGpuUtilization => "low GPU utilization (< 50 %)",
        Rule::LongResponseTime => "long response time (> 20 s)",
        Rule::HighVramUsage => "high VRAM usage (> 90 %)",
        Rule::LowThroughput => "low throughput (< 0.5 items/s)",
    }
}

fn remedies(rule: Rule) -> [&'static str; 3] {
    match rule {
        Rule::LowGpuUtilization => ["raise the concurrency", "use a model pool", "switch on batch inference"],
        Rule::LongResponseTime => {
            ["take fewer inference steps", "use a faster model", "use asynchronous inference"]
        }
        Rule::HighVramUsage => ["improve memory management", "use a quantized model", "lower the batch size"],
        Rule::LowThroughput => ["use a model pool", "raise the concurrency", "speed up the inference itself"],
    }
}

fn worker_items(items: Items) -> String {
    let Items { planned, ok, failed, not_sent } = items;
    format!("{ok} ok + {failed} failed + {not_sent} not sent = {planned} items")
}

fn worker_skew(skew: &str) -> String {
    format!("worst start skew {skew}")
}

fn worker_lost(why: &str) -> String {
    format!("LOST: {why}")
}

fn detail_absent(absent: DetailAbsent) -> String {
    match absent {
        DetailAbsent::NotAsked => "not asked for; run with --records all".to_owned(),
        DetailAbsent::TooMany { items: None, limit } => format!(
            "the run has no planned number of items, and every request is kept up to {limit} only; run with \
             --records all"
        ),
        DetailAbsent::TooMany { items: Some(items), limit } => format!(
            "the run plans {items} items, more than the {limit} up to which every request is kept; run with \
             --records all"
        ),
    }
}
