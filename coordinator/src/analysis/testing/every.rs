//! One of each thing that a report puts into words.

use fluxfleet_proto::arrival::GapLaw;
use fluxfleet_proto::failure::{FailureKind, NotSentReason};
use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuEventKind};

use crate::analysis::load::GapTest;
use crate::analysis::note::Note;
use crate::analysis::report::{Items, Missing};
use crate::analysis::steady::{Drift, Moving};
use crate::analysis::verdict::{Reason, State};

pub(crate) fn states() -> [State; 3] {
    [State::Valid, State::Degraded, State::Invalid]
}

/// One of each reason.
pub(crate) fn reasons() -> Vec<Reason> {
    let (strategy, worker, host) = ("batch".to_owned(), "w2".to_owned(), "gpu-host-1".to_owned());
    let items = Items { planned: 20, ok: 11, failed: 3, not_sent: 5 };
    let mut reasons = vec![
        Reason::NothingSucceeded,
        Reason::DoesNotAddUp { strategy: strategy.clone(), worker: None, items },
        Reason::DoesNotAddUp { strategy: strategy.clone(), worker: Some(worker.clone()), items },
        Reason::Interrupted,
        Reason::WorkerLost { worker: worker.clone(), why: "stream closed".into() },
        Reason::AgentLost { host: host.clone(), why: "stream closed".into() },
        Reason::NotStarted { strategy: strategy.clone(), reason: NotSentReason::Interrupted },
        Reason::NotSent { strategy: strategy.clone(), reason: NotSentReason::WorkerLost, items: 7 },
        Reason::SampleGaps { host: host.clone(), samples: 4 },
        Reason::AgentSilent { host: host.clone() },
        Reason::StartSkew { strategy: strategy.clone(), worker: worker.clone(), skew_us: -6_100 },
        Reason::UnsureClock { peer: host.clone(), error_us: Some(51_000.0) },
        Reason::UnsureClock { peer: host.clone(), error_us: None },
        Reason::ClockStepped { peer: host.clone(), steps: 2, error_us: 5_000_000.0 },
    ];
    reasons.extend(gpu_reasons(&strategy, &host));
    reasons.extend(load_reasons(&strategy));
    reasons.extend(generator_reasons(&strategy, &worker));
    reasons
}

fn gpu_reasons(strategy: &str, host: &str) -> Vec<Reason> {
    let gone = |gpu: Option<&str>| Reason::GpuGone {
        strategy: strategy.to_owned(),
        host: host.to_owned(),
        gpu: gpu.map(str::to_owned),
        why: Absence::new(AbsenceReason::Lost, "NVML: GPU is lost"),
    };
    let xid = |gpu: Option<&str>, times| Reason::GpuXid {
        strategy: strategy.to_owned(),
        host: host.to_owned(),
        gpu: gpu.map(str::to_owned),
        number: 79,
        times,
    };
    vec![gone(Some("GPU-1")), gone(None), xid(Some("GPU-1"), 1), xid(None, 12)]
}

fn load_reasons(strategy: &str) -> Vec<Reason> {
    let strategy = strategy.to_owned();
    let test = GapTest { law: GapLaw::Exponential, gaps: 900, distance: 0.21, limit: 0.104 };
    vec![
        Reason::RateMissed { strategy: strategy.clone(), intended: 50.0, achieved: 41.0, percent: 82.0 },
        Reason::LoadNotSent { strategy: strategy.clone(), items: 180, planned: 1_000 },
        Reason::Waited { strategy: strategy.clone(), requests: 40, sent: 820, longest_s: 3.5 },
        Reason::PacerLate { strategy: strategy.clone(), p99_us: 2_300.0, budget_us: 1_000.0 },
        Reason::ArrivalsOff { strategy: strategy.clone(), test },
        Reason::InFlightMissed {
            strategy: strategy.clone(),
            planned: 64,
            used_percent: 71.0,
            empty_us: 2_500.0,
        },
        Reason::TooFewSamples { strategy: strategy.clone(), count: 4, least: 5 },
        Reason::NeverSettled {
            strategy: strategy.clone(),
            drift: Drift { what: Moving::ResponseTime, change: 0.4 },
        },
        Reason::NeverSettled {
            strategy: strategy.clone(),
            drift: Drift { what: Moving::Throughput, change: -0.25 },
        },
        Reason::NeverSettled { strategy, drift: Drift { what: Moving::Throughput, change: f64::INFINITY } },
    ]
}

fn generator_reasons(strategy: &str, worker: &str) -> Vec<Reason> {
    let (strategy, worker) = (strategy.to_owned(), worker.to_owned());
    let busy =
        |closed| Reason::Busy { strategy: strategy.clone(), worker: worker.clone(), percent: 93.4, closed };
    vec![
        busy(true),
        busy(false),
        Reason::PollDelay {
            strategy: strategy.clone(),
            worker: worker.clone(),
            p99_us: 14_000.0,
            budget_us: 10_000.0,
        },
        Reason::FewFiles { strategy: strategy.clone(), worker: worker.clone(), most: 1_000, limit: 1_024 },
        Reason::Exhausted { strategy: strategy.clone(), items: 218, planned: 300 },
        Reason::FewPorts { strategy, worker, most: 27_900, limit: 28_232 },
    ]
}

/// One of each note.
pub(crate) fn notes() -> Vec<Note> {
    let gpu = |gpu: Option<&str>, kind, times| Note::Gpu {
        host: "gpu-host-1".into(),
        gpu: gpu.map(str::to_owned),
        kind,
        times,
    };
    vec![
        Note::Skipped { strategy: "async".into(), why: "404".into() },
        Note::ScoreSaturated {
            reference_items_per_s: 1.0,
            strategies: 1,
            highest: "batch".into(),
            throughput_items_per_s: 7.5,
        },
        Note::ScoreSaturated {
            reference_items_per_s: 1.0,
            strategies: 2,
            highest: "batch".into(),
            throughput_items_per_s: 7.5,
        },
        Note::ScoreWithoutGpu { strategies: vec!["batch".into()], why: Missing::NoGpu },
        Note::BeyondRange { strategy: "batch".into(), requests: 2 },
        Note::SettledLate { strategy: "batch".into(), after_s: 12, warmup_s: 0.0 },
        Note::SettledLate { strategy: "batch".into(), after_s: 12, warmup_s: 5.0 },
        gpu(Some("GPU-1"), GpuEventKind::Xid(79), 1),
        gpu(None, GpuEventKind::Xid(13), 4),
        gpu(Some("GPU-1"), GpuEventKind::Gone(Absence::new(AbsenceReason::Lost, "NVML")), 1),
        gpu(Some("GPU-1"), GpuEventKind::Back, 2),
        gpu(Some("GPU-1"), GpuEventKind::Found(Device::new("GPU-1", "H100")), 1),
    ]
}

/// One of each reason for a missing value.
pub(crate) fn missing() -> Vec<Missing> {
    let reasons = [
        AbsenceReason::Unsupported,
        AbsenceReason::Denied,
        AbsenceReason::Lost,
        AbsenceReason::Stale,
        AbsenceReason::Error,
        AbsenceReason::NotYet,
    ];
    let simple = [
        Missing::Skipped("404".into()),
        Missing::NotStarted(NotSentReason::Interrupted),
        Missing::NothingSent,
        Missing::NoSuccess,
        Missing::NoEndpoint,
        Missing::NothingFailed,
        Missing::NoTime,
        Missing::OneValue,
        Missing::NotReported,
        Missing::ClosedLoad,
        Missing::OpenLoad,
        Missing::TooFew { count: 12, least: 50 },
        Missing::EvenGaps,
        Missing::ShortGaps { mean_us: 50, least_us: 100 },
        Missing::NoLaw,
        Missing::Stopped,
        Missing::NoConnection,
        Missing::NoTls,
        Missing::AllSent,
        Missing::NoAgent(String::new()),
        Missing::NoAgent("it is another machine".into()),
        Missing::NoGpu,
        Missing::NoSample,
        Missing::NoBaseline,
        Missing::NothingToCompare,
        Missing::BaselineMissing(Box::new(Missing::NoSuccess)),
        Missing::CounterReset,
        Missing::CounterStill,
        Missing::NotEnclosed,
        Missing::ReadingGap { gap_ms: 1_200, longest_ms: 300 },
        Missing::IdleTooShort { readings: 2, seen_ms: 100 },
        Missing::OfGpu {
            host: "gpu-host-1".into(),
            gpu: Some("GPU-1".into()),
            why: Box::new(Missing::CounterReset),
        },
        Missing::OfGpu { host: "gpu-host-1".into(), gpu: None, why: Box::new(Missing::NoSample) },
    ];
    let read = reasons.map(|reason| Missing::NotRead(Absence::new(reason, "NVML")));
    simple.into_iter().chain(read).collect()
}

pub(crate) fn failure_kinds() -> Vec<FailureKind> {
    let named = [
        "dns",
        "connect",
        "exhausted",
        "tls",
        "timeout",
        "disconnected",
        "protocol",
        "overloaded",
        "redirect",
        "empty_body",
        "not_json",
        "invalid_json",
        "missing_field",
        "body_too_large",
        "service_error",
        "short_answer",
        "job_failed",
        "job_cancelled",
        "job_lost",
        "interrupted",
        "http_404",
        "http_403",
        "http_422",
        "http_503",
    ];
    named.iter().map(|name| name.parse().expect("a kind")).collect()
}

pub(crate) fn not_sent_reasons() -> [NotSentReason; 8] {
    [
        NotSentReason::Interrupted,
        NotSentReason::WorkerLost,
        NotSentReason::WorkerFault,
        NotSentReason::NotStarted,
        NotSentReason::NoEndpoint,
        NotSentReason::NoPlace,
        NotSentReason::TimeUp,
        NotSentReason::ErrorLimit,
    ]
}
