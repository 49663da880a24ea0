//! One strategy's statistics.

use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::load::NO_LIMIT;
use fluxfleet_proto::tally::Tally;
use fluxfleet_proto::units::Micros;

use crate::aggregate::{Ending, RunOutcome, StrategyOutcome, TrialOutcome, WorkerTrial};
use crate::plan::PlannedLoad;

use super::WorkerNames;
use super::certify::Rank;
use super::gpu::GpuLogs;
use super::report::{
    ErrorLine, HostMeans, Items, Measured, Missing, Percentile, Requests, StrategyReport, Times, Value,
    WorkerPart,
};
use super::score::ScoreSettings;
use super::steady::{self, Steady};
use super::{generator, host, load, phases};

/// A strategy's row.
pub(super) fn report(
    outcome: &StrategyOutcome,
    run: &RunOutcome,
    names: &WorkerNames<'_>,
    gpus: &GpuLogs<'_>,
    score: ScoreSettings,
) -> StrategyReport {
    let (items, measured) = match &outcome.ending {
        Ending::Ran(trial) => {
            (items_of(trial), Ok(Box::new(measure(outcome, trial, run, names, gpus, score))))
        }
        Ending::Skipped(why) => {
            (none_sent(run.plan.items.unwrap_or_default()), Err(Missing::Skipped(why.clone())))
        }
        Ending::NotStarted(reason) => {
            (none_sent(run.plan.items.unwrap_or_default()), Err(Missing::NotStarted(*reason)))
        }
    };
    let strategy = &outcome.planned.strategy;
    StrategyReport {
        name: strategy.name.clone(),
        path: strategy.path().to_owned(),
        items_per_request: strategy.items_per_request().get(),
        in_flight: Some(outcome.planned.in_flight.get()).filter(|&most| most != NO_LIMIT),
        items,
        measured,
    }
}

fn items_of(trial: &TrialOutcome) -> Items {
    Items {
        planned: trial.items_planned,
        ok: trial.tally.items_ok,
        failed: trial.tally.items_failed,
        not_sent: trial.not_sent.values().sum(),
    }
}

fn none_sent(planned: u64) -> Items {
    Items { planned, not_sent: planned, ..Items::default() }
}

fn measure(
    outcome: &StrategyOutcome,
    trial: &TrialOutcome,
    run: &RunOutcome,
    names: &WorkerNames<'_>,
    gpus: &GpuLogs<'_>,
    score: ScoreSettings,
) -> Measured {
    let tally = &trial.tally;
    let no_endpoint = trial.finds_no_endpoint();
    let no_success = if no_endpoint {
        Missing::NoEndpoint
    } else if tally.requests_sent == 0 {
        Missing::NothingSent
    } else {
        Missing::NoSuccess
    };
    let host = host::means(run, trial.window);
    let response = times(&tally.response_time, &no_success);
    let total_time_s = total_time(trial);
    let throughput_items_per_s =
        if no_endpoint { Err(Missing::NoEndpoint) } else { throughput(tally, &total_time_s) };
    let score_value = score_of(&throughput_items_per_s, &response, &host, &no_success, tally.items_ok, score);
    // The service may answer well and still not say how long it took.
    let not_reported = if tally.items_ok == 0 { no_success.clone() } else { Missing::NotReported };
    let generation = times(&tally.generation_time, &not_reported);
    let no_arrivals = match run.plan.load {
        PlannedLoad::Closed => Missing::ClosedLoad,
        PlannedLoad::Open { .. } => Missing::NothingSent,
    };
    let all_sent = match run.plan.load {
        PlannedLoad::Closed => Missing::ClosedLoad,
        PlannedLoad::Open { .. } => Missing::AllSent,
    };
    let no_tls = if tally.connections == 0 { Missing::NoConnection } else { Missing::NoTls };
    Measured {
        window: trial.window.map(|w| (run.wall(w.from), run.wall(w.to))),
        total_time_s,
        throughput_items_per_s,
        success_rate_percent: if no_endpoint { Err(Missing::NoEndpoint) } else { success_rate(tally) },
        requests: requests(tally),
        not_sent: trial.not_sent.iter().filter(|&(_, &n)| n > 0).map(|(&reason, &n)| (reason, n)).collect(),
        load: load::report(outcome, trial, run),
        warmup: phases::warmup(trial, run.plan.limits),
        steady: steady_since(trial, &run.plan.load),
        series: phases::series(trial),
        service: times(&tally.service_time, &no_success),
        first_byte: times(&tally.first_byte, &no_success),
        failed_response: times(&tally.failed_response_time, &Missing::NothingFailed),
        send_lateness: times(&tally.send_lateness, &Missing::NothingSent),
        generation,
        pacer_lateness: times(&tally.pacer_lateness, &no_arrivals),
        not_sent_wait: times(&tally.not_sent_wait, &all_sent),
        connect: times(&tally.connect_time, &Missing::NoConnection),
        tls: times(&tally.tls_time, &no_tls),
        score_without_gpu: score_value.is_ok() && host.gpu_percent.is_err(),
        score: score_value,
        host,
        gpus: gpus.trial(trial),
        response,
        errors: errors(tally),
        workers: trial.workers.iter().map(|w| part(w, names)).collect(),
        generators: generator::of_trial(&trial.workers, run, names),
        response_histogram: tally.response_time.clone(),
        service_histogram: tally.service_time.clone(),
    }
}

fn steady_since(trial: &TrialOutcome, load: &PlannedLoad) -> Steady {
    match phases::start(trial) {
        _ if !load::is_even(load) => Steady::LoadChanges,
        Some(start) => steady::judge(start, &trial.series),
        None => Steady::TooShort { points: 0, responses: 0 },
    }
}

fn total_time(trial: &TrialOutcome) -> Value {
    trial.window.map(|w| w.length().as_secs_f64()).ok_or(Missing::NothingSent)
}

/// Zero when everything failed: that nothing got done in this time was measured.
fn throughput(tally: &Tally, total_time_s: &Value) -> Value {
    match total_time_s {
        Ok(seconds) if *seconds > 0.0 => Ok(tally.items_ok as f64 / seconds),
        Ok(_) => Err(Missing::NoTime),
        Err(missing) => Err(missing.clone()),
    }
}

fn success_rate(tally: &Tally) -> Value {
    match tally.items_ended() {
        0 => Err(Missing::NothingSent),
        ended => Ok(100.0 * tally.items_ok as f64 / ended as f64),
    }
}

fn score_of(
    throughput: &Value,
    response: &Times,
    host: &HostMeans,
    no_success: &Missing,
    items_ok: u64,
    settings: ScoreSettings,
) -> Value {
    if items_ok == 0 {
        return Err(no_success.clone());
    }
    let throughput = throughput.clone()?;
    let mean = response.mean_s.clone()?;
    Ok(settings.score(throughput, mean, host.gpu_percent.as_ref().ok().copied()))
}

fn requests(tally: &Tally) -> Requests {
    Requests {
        sent: tally.requests_sent,
        ok: tally.requests_ok,
        failed: tally.requests_failed,
        polls: tally.polls_sent,
        redirects: tally.redirects,
        connections: tally.connections,
        bytes_received: tally.bytes_received,
    }
}

fn errors(tally: &Tally) -> Vec<ErrorLine> {
    let mut errors: Vec<_> = tally
        .failures
        .iter()
        .map(|(kind, seen)| ErrorLine { kind, count: seen.count, example: seen.example.clone() })
        .collect();
    errors.sort_by_key(|e| std::cmp::Reverse(e.count));
    errors
}

fn part(worker: &WorkerTrial, names: &WorkerNames<'_>) -> WorkerPart {
    WorkerPart {
        worker: names.name(worker.peer),
        items: Items {
            planned: worker.items_planned,
            ok: worker.items_ok,
            failed: worker.items_failed,
            not_sent: worker.items_not_sent,
        },
        start_skew_us: worker.start_skew_us,
    }
}

/// Statistics of a set of durations; where it is empty, `missing` says why.
fn times(latency: &Latency, missing: &Missing) -> Times {
    let seconds = |value: Option<f64>| value.map(|us| us / 1e6).ok_or_else(|| missing.clone());
    let micros = |value: Option<Micros>| value.map(Micros::as_secs_f64).ok_or_else(|| missing.clone());
    let count = latency.count();
    let percentile = |rank: Rank| Percentile {
        seconds: micros(latency.quantile(rank.share())),
        certified: rank.certified_by(count),
    };
    let std_dev_s = match latency.std_dev_us() {
        None if count == 1 => Err(Missing::OneValue),
        other => seconds(other),
    };
    Times {
        count,
        overflow: latency.overflow(),
        mean_s: seconds(latency.mean_us()),
        std_dev_s,
        min_s: micros(latency.min()),
        max_s: micros(latency.max()),
        p50: percentile(Rank::P50),
        p90: percentile(Rank::P90),
        p95: percentile(Rank::P95),
        p99: percentile(Rank::P99),
        p999: percentile(Rank::P999),
    }
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::failure::{FailureKind, NotSentReason};

    use super::*;
    use crate::analysis::testing::{RunSketch, Sketch, seed_run, stopped_run, trial, troubled_run};
    use crate::analysis::{Report, analyse};

    fn analysed(run: RunSketch) -> Report {
        analyse(&run.done(), &ScoreSettings::default())
    }

    fn near(got: &Value, want: f64) {
        let got = got.as_ref().expect("a value");
        assert!((got - want).abs() < 1e-3 * want.max(1e-3), "{got} is not {want}");
    }

    fn measured(report: &Report, index: usize) -> &Measured {
        report.strategies[index].measured.as_ref().expect("it ran")
    }

    #[test]
    fn figures_are_those_of_the_sketch() {
        let report = analysed(seed_run());
        let m = measured(&report, 0);
        near(&m.total_time_s, 80.0);
        near(&m.throughput_items_per_s, 0.25);
        near(&m.success_rate_percent, 100.0);
        near(&m.response.mean_s, 15.23);
        near(&m.response.min_s, 15.23 * 0.8);
        near(&m.response.max_s, 15.23 * 1.2);
        near(&m.response.p50.seconds, 15.07);
        near(&m.score, 0.5 * 0.25 + 0.3 * (1.0 - 15.23 / 30.0) + 0.2 * 0.452);
        assert!(!m.score_without_gpu);
        assert_eq!(m.requests, Requests { sent: 20, ok: 20, bytes_received: 2_000, ..Requests::default() });
    }

    #[test]
    fn throughput_counts_items_that_ended_well_over_the_whole_window() {
        let report = analysed(troubled_run());
        near(&measured(&report, 0).throughput_items_per_s, 13.0 / 80.0);
        near(&measured(&report, 0).success_rate_percent, 100.0 * 13.0 / 18.0);
    }

    #[test]
    fn a_strategy_without_success_measured_a_throughput_of_zero_and_no_response_time() {
        let report = analysed(troubled_run());
        let m = measured(&report, 1);
        assert_eq!(m.throughput_items_per_s, Ok(0.0));
        assert_eq!(m.success_rate_percent, Ok(0.0));
        assert_eq!(m.response.mean_s, Err(Missing::NoSuccess));
        assert_eq!(m.score, Err(Missing::NoSuccess));
        assert_eq!(m.failed_response.count, 20);
    }

    #[test]
    fn a_strategy_that_finds_no_endpoint_has_no_figures_and_leaves_the_verdict_alone() {
        let batch = Sketch::new("batch", 1.0, 1.0, 0.0).items(0).failing(FailureKind::Http(404), 3, "404");
        let baseline = Sketch::new("baseline", 1.0, 3.0, 0.0);
        let report =
            analysed(RunSketch::new().ran(baseline).ran(batch.unsent(NotSentReason::NoEndpoint, 17)));
        let m = measured(&report, 1);
        assert_eq!(m.throughput_items_per_s, Err(Missing::NoEndpoint));
        assert_eq!(m.success_rate_percent, Err(Missing::NoEndpoint));
        assert_eq!(m.score, Err(Missing::NoEndpoint));
        assert_eq!(report.strategies[1].items, Items { planned: 20, ok: 0, failed: 3, not_sent: 17 });
        assert_eq!(report.verdict.state, crate::analysis::verdict::State::Valid);
    }

    #[test]
    fn a_warm_up_that_finds_no_endpoint_says_so_and_one_that_finds_it_makes_the_rest_a_failure() {
        let missing = Sketch::new("batch", 1.0, 1.0, 0.0).items(0).unsent(NotSentReason::NoEndpoint, 20);
        let answered = |kind, items_ok| {
            let mut warmup =
                Tally { requests_sent: 4, items_ok, items_failed: 4 - items_ok, ..Tally::default() };
            warmup.failures.add(kind, 4 - items_ok, None);
            warmup
        };
        let stopped = RunSketch::new()
            .ran(Sketch::new("baseline", 1.0, 3.0, 0.0))
            .ran(missing)
            .with(|run| trial(run, 1).warmup = answered(FailureKind::Http(404), 0));
        let report = analysed(stopped);
        let m = measured(&report, 1);
        assert_eq!(m.throughput_items_per_s, Err(Missing::NoEndpoint));
        assert_eq!(m.success_rate_percent, Err(Missing::NoEndpoint));
        assert_eq!(m.response.mean_s, Err(Missing::NoEndpoint));
        let gone = Sketch::new("batch", 1.0, 1.0, 0.0).items(0).failing(FailureKind::Http(404), 20, "404");
        let report = analysed(
            RunSketch::new().ran(gone).with(|run| trial(run, 0).warmup = answered(FailureKind::Timeout, 3)),
        );
        assert_eq!(measured(&report, 0).throughput_items_per_s, Ok(0.0));
    }

    #[test]
    fn errors_come_with_the_most_frequent_first() {
        let report = analysed(troubled_run());
        let kinds: Vec<_> = measured(&report, 0).errors.iter().map(|e| (e.kind, e.count)).collect();
        assert_eq!(kinds, [(FailureKind::Overloaded, 3), (FailureKind::Timeout, 2)]);
    }

    #[test]
    fn one_request_has_no_deviation_and_certifies_its_median_alone() {
        let report = analysed(RunSketch::new().ran(Sketch::new("a", 1.0, 1.0, 0.0).items(1)));
        let m = measured(&report, 0);
        assert_eq!(m.response.std_dev_s, Err(Missing::OneValue));
        assert!(m.response.p50.certified && !m.response.p95.certified);
    }

    #[test]
    fn certification_goes_by_requests() {
        let report = analysed(RunSketch::new().ran(Sketch::new("a", 1.0, 1.0, 0.0).items(700)));
        let m = measured(&report, 0);
        assert!(m.response.p95.certified && m.response.p99.certified && !m.response.p999.certified);
    }

    #[test]
    fn a_service_that_does_not_tell_its_generation_time_is_not_taken_for_a_failing_one() {
        let report = analysed(seed_run().with(|run| trial(run, 0).tally.generation_time.clear()));
        assert_eq!(measured(&report, 0).generation.mean_s, Err(Missing::NotReported));
    }

    #[test]
    fn a_strategy_that_sent_nothing_has_no_window() {
        let sketch = Sketch::new("a", 1.0, 1.0, 0.0).items(0).unsent(NotSentReason::WorkerFault, 20);
        let report = analysed(RunSketch::new().ran(sketch));
        let m = measured(&report, 0);
        assert_eq!((m.window, &m.total_time_s), (None, &Err(Missing::NothingSent)));
        assert_eq!(m.success_rate_percent, Err(Missing::NothingSent));
        assert_eq!(m.host.gpu_percent, Err(Missing::NothingSent));
    }

    #[test]
    fn a_window_of_no_length_has_no_throughput() {
        let report = analysed(seed_run().with(|run| {
            let window = trial(run, 0).window.as_mut().expect("a window");
            window.to = window.from;
        }));
        assert_eq!(measured(&report, 0).throughput_items_per_s, Err(Missing::NoTime));
        assert_eq!(measured(&report, 0).score, Err(Missing::NoTime));
    }

    #[test]
    fn a_strategy_that_did_not_run_has_all_its_items_not_sent() {
        let report = analysed(stopped_run());
        let row = &report.strategies[2];
        assert_eq!(row.items, Items { planned: 20, not_sent: 20, ..Items::default() });
        assert_eq!(row.measured, Err(Missing::NotStarted(NotSentReason::Interrupted)));
    }
}
