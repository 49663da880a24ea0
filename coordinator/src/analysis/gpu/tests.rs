use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::{Absence, AbsenceReason, GpuEventKind};

use super::*;
use crate::aggregate::RunOutcome;
use crate::analysis::note::Note;
use crate::analysis::testing::{
    AGENT, RunSketch, Sketch, at, gone_run, gpu_event, gpu_run, partitioned, seed_run, trial,
};
use crate::analysis::verdict::{Reason, State};
use crate::analysis::{Report, ScoreSettings, analyse};

fn report(run: RunSketch) -> Report {
    analyse(&run.done(), &ScoreSettings::default())
}

fn gpus(report: &Report, strategy: usize) -> &GpusReport {
    &report.strategies[strategy].measured.as_ref().expect("it ran").gpus
}

fn near(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-6, "{got} is not {want}");
}

/// Changes every reading of a metric.
fn change(run: &mut RunOutcome, metric: GpuMetric, to: impl Fn(i64, f64) -> Result<f64, Absence>) {
    for placed in &mut run.samples {
        let ms = placed.at.as_nanos() / 1_000_000;
        for gpu in &mut placed.sample.gpus {
            if let Some(Ok(value)) = gpu.values.get(metric).cloned() {
                gpu.values.set(metric, to(ms, value));
            }
        }
    }
}

#[test]
fn each_gpu_has_its_own_figures() {
    let report = report(gpu_run(1));
    let first = &gpus(&report, 0).gpus[0];
    assert_eq!((first.host.as_str(), first.uuid.as_str()), ("gpu-host-1", "GPU-00000000"));
    let figures = &first.figures;
    let energy = figures.energy.clone().unwrap();
    // 5 s of 260 W. Both edges lie on readings, so nothing but the resolution of 0.5 J is unsure.
    assert_eq!(energy.by, EnergySource::Counter);
    near(energy.joules.value, 1_300.0);
    near(energy.joules.uncertainty, 0.5);
    near(figures.power_w.clone().unwrap().value, 260.0);
    near(figures.power_w.clone().unwrap().uncertainty, 0.1);
    let idle = figures.idle.clone().unwrap();
    near(idle.watts.value, 60.0);
    near(idle.seconds, 1.0);
    near(figures.above_idle_j.clone().unwrap().value, 1_000.0);
    near(figures.per_item_j.clone().unwrap().value, 65.0);
    near(figures.per_item_j.clone().unwrap().uncertainty, 0.025);
    near(figures.per_item_above_idle_j.clone().unwrap().value, 50.0);
    assert_eq!(
        figures.utilization,
        Ok(Utilization { over_time: 90.0, of_readings: Some(90.0), highest: 90.0, known_percent: 100.0 })
    );
    near(figures.peak_vram_bytes.clone().unwrap(), 20.0 * f64::from(1 << 30));
    near(figures.peak_vram_percent.clone().unwrap(), 50.0);
    // Throttled until 3.5 s of the window from 1 s to 6 s.
    near(figures.throttled_percent.clone().unwrap(), 50.0);
    assert_eq!(figures.throttled_by, [("sw_power_cap".to_owned(), 50.0)]);
    near(gpus(&report, 1).gpus[0].figures.energy.clone().unwrap().joules.value, 650.0);
    assert_eq!(gpus(&report, 1).gpus[0].figures.throttled_percent, Ok(0.0));
}

#[test]
fn gpus_of_several_hosts_add_up_with_their_uncertainties() {
    let report = report(gpu_run(2));
    let total = &gpus(&report, 0).total;
    assert_eq!((total.gpus, total.hosts), (4, 2));
    let figures = &total.figures;
    let energy = figures.energy.clone().unwrap();
    near(energy.joules.value, 2.0 * (1_300.0 + 1_500.0));
    near(energy.joules.uncertainty, 4.0 * 0.5);
    near(figures.power_w.clone().unwrap().value, 2.0 * (260.0 + 300.0));
    near(figures.idle.clone().unwrap().watts.value, 2.0 * (60.0 + 70.0));
    near(figures.per_item_j.clone().unwrap().value, 280.0);
    near(figures.per_item_above_idle_j.clone().unwrap().value, 280.0 - 65.0);
    let utilization = figures.utilization.clone().unwrap();
    near(utilization.over_time, 90.5);
    near(utilization.highest, 91.0);
    near(figures.peak_vram_bytes.clone().unwrap(), 80.0 * f64::from(1 << 30));
    near(figures.throttled_percent.clone().unwrap(), 25.0);
    assert_eq!(figures.throttled_by, [("sw_power_cap".to_owned(), 25.0)]);
}

#[test]
fn an_instance_is_listed_and_not_added_to_its_gpu() {
    let report = report(gpu_run(1).with(partitioned));
    let gpus = gpus(&report, 0);
    assert_eq!(gpus.gpus.len(), 3);
    assert_eq!(gpus.gpus[2].parent.as_deref(), Some("GPU-00000000"));
    near(gpus.gpus[2].figures.energy.clone().unwrap().joules.value, 650.0);
    assert_eq!(gpus.total.gpus, 2);
    near(gpus.total.figures.energy.clone().unwrap().joules.value, 2_800.0);
}

#[test]
fn a_gpu_that_is_gone_takes_the_sum_with_it_and_degrades_the_verdict() {
    let report = report(gone_run());
    let lost = Absence::new(AbsenceReason::Lost, "NVML: GPU is lost");
    let gpus = gpus(&report, 0);
    let why = Missing::NotRead(lost.clone());
    let of_gpu = |why: &Missing| Missing::OfGpu {
        host: "gpu-host-1".into(),
        gpu: Some("GPU-00000001".into()),
        why: Box::new(why.clone()),
    };
    // It is back after the window and its counter went on, so its energy is known; the rest is of part of the window.
    let energy = gpus.gpus[1].figures.energy.clone().unwrap().joules;
    assert!((energy.value - 1_500.0).abs() < energy.uncertainty && energy.uncertainty < 700.0, "{energy:?}");
    near(gpus.gpus[1].figures.utilization.clone().unwrap().known_percent, 30.0);
    assert_eq!(report.verdict.state, State::Degraded);
    let (strategy, host) = ("baseline".to_owned(), "gpu-host-1".to_owned());
    assert_eq!(
        report.verdict.reasons,
        [
            Reason::GpuXid {
                strategy: strategy.clone(),
                host: host.clone(),
                gpu: Some("GPU-00000000".into()),
                number: 79,
                times: 1
            },
            Reason::GpuGone { strategy, host, gpu: Some("GPU-00000001".into()), why: lost.clone() },
        ]
    );
    let events: Vec<_> = report.gpu_events.iter().map(|e| (&e.kind, e.strategy.as_deref())).collect();
    assert_eq!(events.len(), 3);
    assert_eq!(events[0], (&GpuEventKind::Xid(79), Some("baseline")));
    assert_eq!(events[2], (&GpuEventKind::Back, None));
    assert_eq!(report.notes.iter().filter(|n| matches!(n, Note::Gpu { .. })).count(), 3);
    // Gone for good, it has no energy, and the sum has none.
    let gone = self::report(gone_run().with(|run| {
        run.samples.retain(|s| s.at < at(8_000) || s.agent != AGENT);
    }));
    let gpus = self::gpus(&gone, 0);
    assert_eq!(gpus.gpus[1].figures.energy, Err(why.clone()));
    assert_eq!(gpus.total.figures.energy, Err(of_gpu(&why)));
    assert_eq!(gpus.total.figures.per_item_j, Err(of_gpu(&why)));
    assert!(gpus.gpus[0].figures.energy.is_ok());
}

#[test]
fn a_gpu_that_was_gone_before_counts_until_it_is_back() {
    let lost = || GpuEventKind::Gone(Absence::new(AbsenceReason::Lost, ""));
    let troubles = |back: Option<i64>| {
        let report = report(gpu_run(1).with(|run| {
            gpu_event(run, AGENT, 7_000, Some(0), lost());
            gpu_event(run, AGENT, 7_000, Some(0), GpuEventKind::Xid(13));
            if let Some(back) = back {
                gpu_event(run, AGENT, back, Some(0), GpuEventKind::Back);
            }
        }));
        [0, 1].map(|strategy| gpus(&report, strategy).troubles.len())
    };
    assert_eq!(troubles(None), [0, 1]);
    assert_eq!(troubles(Some(15_000)), [0, 0]);
    assert_eq!(troubles(Some(17_000)), [0, 1]);
}

#[test]
fn what_is_noticed_within_a_period_after_the_window_belongs_to_it() {
    let troubles = |ms| {
        let report = report(gpu_run(1).with(|run| {
            gpu_event(run, AGENT, ms, None, GpuEventKind::Xid(13));
            gpu_event(run, AGENT, ms, None, GpuEventKind::Xid(13));
        }));
        gpus(&report, 0).troubles.clone()
    };
    let twice = Trouble::Xid { number: 13, times: 2 };
    assert_eq!(troubles(6_500), [GpuTrouble { host: "gpu-host-1".into(), gpu: None, what: twice }]);
    assert_eq!(troubles(6_501), []);
}

#[test]
fn without_a_counter_the_fast_lanes_power_is_integrated() {
    let unsupported = Absence::new(AbsenceReason::Unsupported, "");
    let report = report(gpu_run(1).with(|run| {
        change(run, GpuMetric::EnergyJ, |_, _| Err(unsupported.clone()));
    }));
    let energy = gpus(&report, 0).total.figures.energy.clone().unwrap();
    assert_eq!(energy.by, EnergySource::Power);
    // The first piece goes from idle to busy, at most half of which is wrong.
    let halves = 0.05 * (200.0 + 230.0);
    near(energy.joules.value, 2_800.0 - halves);
    near(energy.joules.uncertainty, halves);
}

#[test]
fn a_counter_that_begins_anew_and_no_power_leave_no_energy() {
    let unsupported = Absence::new(AbsenceReason::Unsupported, "");
    let anew = |run: &mut RunOutcome| {
        change(run, GpuMetric::EnergyJ, |ms, joules| Ok(if ms < 3_000 { joules } else { joules - 5_000.0 }));
    };
    let both = report(gpu_run(1).with(anew));
    assert_eq!(gpus(&both, 0).total.figures.energy.clone().unwrap().by, EnergySource::Power);
    let neither = report(gpu_run(1).with(anew).with(|run| {
        change(run, GpuMetric::PowerW, |_, _| Err(unsupported.clone()));
        change(run, GpuMetric::PowerInstantW, |_, _| Err(unsupported.clone()));
    }));
    let figures = &gpus(&neither, 0).gpus[0].figures;
    assert_eq!(figures.energy, Err(Missing::CounterReset));
    assert_eq!(figures.power_w, Err(Missing::CounterReset));
    assert_eq!(figures.idle, Err(Missing::NotRead(unsupported)));
    // The second window is whole.
    near(gpus(&neither, 1).gpus[0].figures.energy.clone().unwrap().joules.value, 650.0);
}

#[test]
fn unsure_clocks_of_workers_widen_the_edges() {
    let report = report(gpu_run(1).with(|run| {
        run.workers[0].clock.as_mut().expect("a clock").most_error_ns = 1_000_000;
    }));
    let energy = gpus(&report, 0).gpus[0].figures.energy.clone().unwrap();
    near(energy.joules.value, 1_300.0);
    // A millisecond of up to 400 W at each edge; the resolution is 0.5 J.
    assert!(energy.joules.uncertainty > 0.5 && energy.joules.uncertainty <= 0.5 + 0.8, "{energy:?}");
    let figures = &gpus(&report, 0).gpus[0].figures;
    let above = figures.above_idle_j.clone().unwrap();
    near(above.uncertainty, energy.joules.uncertainty + 60.0 * 0.002);
    let power = figures.power_w.clone().unwrap();
    near(power.uncertainty, energy.joules.uncertainty / 5.0 + 260.0 * 0.002 / 5.0);
}

#[test]
fn without_a_success_there_is_an_energy_and_none_per_item() {
    let report = report(gpu_run(1).with(|run| trial(run, 0).tally.items_ok = 0));
    let figures = &gpus(&report, 0).total.figures;
    near(figures.energy.clone().unwrap().joules.value, 2_800.0);
    assert_eq!(figures.per_item_j, Err(Missing::NoSuccess));
}

#[test]
fn idle_power_needs_time_before_the_first_strategy() {
    let late = report(gpu_run(1).with(|run| run.samples.retain(|s| s.at >= at(800))));
    let figures = &gpus(&late, 0).gpus[0].figures;
    assert_eq!(figures.idle, Err(Missing::IdleTooShort { readings: 4, seen_ms: 200 }));
    assert_eq!(figures.above_idle_j, Err(Missing::IdleTooShort { readings: 4, seen_ms: 200 }));
    assert!(figures.per_item_j.is_ok());
}

#[test]
fn where_there_is_no_gpu_the_sum_says_why() {
    let total = |run| gpus(&report(run), 0).total.figures.energy.clone().map(|_| ());
    let ran = |run: RunSketch| run.ran(Sketch::new("a", 1.0, 1.0, 0.0));
    assert_eq!(total(ran(RunSketch::new().without_gpus())), Err(Missing::NoGpu));
    assert_eq!(
        total(ran(RunSketch::new().without_agent("elsewhere"))),
        Err(Missing::NoAgent("elsewhere".into()))
    );
    let denied = Absence::new(AbsenceReason::Denied, "");
    let unseen = |run: &mut RunOutcome| run.agents[0].hello.devices = Err(denied.clone());
    assert_eq!(total(gpu_run(1).with(unseen)), Err(Missing::NotRead(denied.clone())));
    let why = Box::new(Missing::NotRead(denied.clone()));
    assert_eq!(
        total(gpu_run(2).with(unseen)),
        Err(Missing::OfGpu { host: "gpu-host-1".into(), gpu: None, why })
    );
    assert_eq!(total(gpu_run(1).with(|run| trial(run, 0).window = None)), Err(Missing::NothingSent));
}

#[test]
fn a_gpu_that_two_agents_of_a_host_tell_of_is_one() {
    let report = report(gpu_run(2).with(|run| {
        run.agents[1].hello.host = "gpu-host-1".into();
        run.samples.retain(|s| (s.agent == AGENT) == (s.at < at(3_000)));
    }));
    assert_eq!(gpus(&report, 0).total.gpus, 2);
    near(gpus(&report, 0).total.figures.energy.clone().unwrap().joules.value, 2_800.0);
}

#[test]
fn one_reading_a_second_of_a_mean_power_is_enough_where_there_is_no_fast_lane() {
    let report = report(seed_run());
    let figures = &gpus(&report, 0).total.figures;
    let energy = figures.energy.clone().unwrap().joules;
    assert!((energy.value - 2.0 * 212.5 * 80.0).abs() <= energy.uncertainty, "{energy:?}");
    near(figures.throttled_percent.clone().unwrap(), 100.0);
    assert_eq!(
        figures.idle.clone().map(|_| ()).unwrap_err(),
        Missing::OfGpu {
            host: "gpu-host-1".into(),
            gpu: Some("GPU-00000000".into()),
            why: Box::new(Missing::IdleTooShort { readings: 0, seen_ms: 0 }),
        }
    );
}
