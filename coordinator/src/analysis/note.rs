//! What a reader should know and what does not touch the verdict.

use fluxfleet_proto::reading::GpuEventKind;

use super::gpu::GpuHappening;
use super::report::{Missing, StrategyReport};
use super::score::ScoreSettings;
use super::steady::Steady;

/// What a reader should know and what does not touch the verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// Preflight left a strategy out.
    Skipped {
        /// The strategy.
        strategy: String,
        /// Why, and what to do.
        why: String,
    },
    /// Every strategy earns the full throughput term, so the score cannot tell their throughputs apart.
    ScoreSaturated {
        /// The throughput that earns the full term, in items per second.
        reference_items_per_s: f64,
        /// How many they are.
        strategies: usize,
        /// The strategy with the highest throughput.
        highest: String,
        /// That throughput, in items per second.
        throughput_items_per_s: f64,
    },
    /// Scores stand without GPU readings.
    ScoreWithoutGpu {
        /// The strategies.
        strategies: Vec<String>,
        /// Why there is no reading for the first of them.
        why: Missing,
    },
    /// Durations longer than a histogram holds. They count in means and extremes.
    BeyondRange {
        /// The strategy.
        strategy: String,
        /// How many.
        requests: u64,
    },
    /// A trial became steady after measuring had begun: its beginning is part of the figures.
    SettledLate {
        /// The strategy.
        strategy: String,
        /// After how long, from the start of the trial, in whole seconds, rounded up.
        after_s: u64,
        /// How long its warm-up was, in seconds.
        warmup_s: f64,
    },
    /// Something happened to a GPU.
    Gpu {
        /// Its host.
        host: String,
        /// Its UUID. `None`: all of the host, or the driver does not say.
        gpu: Option<String>,
        /// What.
        kind: GpuEventKind,
        /// How often.
        times: u64,
    },
}

impl Note {
    /// Whether a table shows a mark with a footnote that says the same.
    pub fn has_footnote(&self) -> bool {
        matches!(self, Self::Skipped { .. } | Self::ScoreWithoutGpu { .. })
    }
}

/// What a reader should know besides.
pub(super) fn notes(
    strategies: &[StrategyReport],
    events: &[GpuHappening],
    score: ScoreSettings,
) -> Vec<Note> {
    let mut notes: Vec<_> = strategies
        .iter()
        .filter_map(|s| match &s.measured {
            Err(Missing::Skipped(why)) => Some(Note::Skipped { strategy: s.name.clone(), why: why.clone() }),
            _ => None,
        })
        .collect();
    notes.extend(saturated(strategies, score));
    notes.extend(without_gpu(strategies));
    notes.extend(strategies.iter().filter_map(|s| {
        let requests = s.measured.as_ref().ok()?.response.overflow;
        (requests > 0).then(|| Note::BeyondRange { strategy: s.name.clone(), requests })
    }));
    notes.extend(strategies.iter().filter_map(settled_late));
    notes.extend(happened(events));
    notes
}

fn saturated(strategies: &[StrategyReport], score: ScoreSettings) -> Option<Note> {
    let throughputs: Vec<_> = strategies
        .iter()
        .filter(|s| s.items.ok > 0)
        .filter_map(|s| Some((s, *s.measured.as_ref().ok()?.throughput_items_per_s.as_ref().ok()?)))
        .collect();
    if !throughputs.iter().all(|&(_, t)| score.saturates(t)) {
        return None;
    }
    let strategies = throughputs.len();
    let (highest, throughput_items_per_s) = throughputs.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Note::ScoreSaturated {
        reference_items_per_s: score.throughput_items_per_s(),
        strategies,
        highest: highest.name.clone(),
        throughput_items_per_s,
    })
}

/// Only trials that were long enough are judged, and at least half of each was steady: a warm-up of that length
/// leaves enough to measure.
fn settled_late(row: &StrategyReport) -> Option<Note> {
    let measured = row.measured.as_ref().ok()?;
    let Steady::From(after) = measured.steady else { return None };
    let warmup_s = measured.warmup.as_ref().map_or(Some(0.0), |w| w.seconds)?;
    let after_s = after.as_millis().div_ceil(1_000);
    let after_s = u64::try_from(after_s).ok()?;
    (after.as_secs_f64() > warmup_s).then(|| Note::SettledLate {
        strategy: row.name.clone(),
        after_s,
        warmup_s,
    })
}

/// What happened to GPUs, the like of it in one note.
fn happened(events: &[GpuHappening]) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for event in events {
        let like = |note: &&mut Note| {
            matches!(note, Note::Gpu { host, gpu, kind, .. }
                if *host == event.host && *gpu == event.gpu && *kind == event.kind)
        };
        match notes.iter_mut().find(like) {
            Some(Note::Gpu { times, .. }) => *times += 1,
            _ => notes.push(Note::Gpu {
                host: event.host.clone(),
                gpu: event.gpu.clone(),
                kind: event.kind.clone(),
                times: 1,
            }),
        }
    }
    notes
}

fn without_gpu(strategies: &[StrategyReport]) -> Option<Note> {
    let mut why = None;
    let mut names = Vec::new();
    for strategy in strategies {
        let Ok(measured) = &strategy.measured else { continue };
        if measured.score_without_gpu {
            names.push(strategy.name.clone());
            why = why.or_else(|| measured.host.gpu_percent.clone().err());
        }
    }
    Some(Note::ScoreWithoutGpu { strategies: names, why: why? })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fluxfleet_proto::load::Warmup;
    use fluxfleet_proto::units::Micros;

    use super::*;
    use crate::analysis::analyse;
    use crate::analysis::testing::{RunSketch, limited_run, remote_run, seed_run, trial};

    fn noted(run: RunSketch) -> Vec<Note> {
        analyse(&run.done(), &ScoreSettings::default()).notes
    }

    #[test]
    fn a_score_that_saturates_for_all_is_noted_with_the_highest_throughput() {
        let notes = noted(remote_run());
        assert!(
            notes.iter().any(|n| matches!(n, Note::ScoreSaturated { highest, .. } if highest == "baseline"))
        );
        let only_one = noted(seed_run());
        assert_eq!(only_one, []);
    }

    #[test]
    fn durations_beyond_the_histogram_are_noted() {
        let notes = noted(seed_run().with(|run| {
            let tally = &mut trial(run, 3).tally;
            tally.response_time.record(Micros(1 << 33));
        }));
        assert_eq!(notes, [Note::BeyondRange { strategy: "async".into(), requests: 1 }]);
    }

    #[test]
    fn a_trial_that_settled_after_its_warm_up_is_noted_with_the_warm_up_it_needs() {
        let notes = noted(limited_run());
        let late = notes.iter().find(|n| matches!(n, Note::SettledLate { .. })).expect("a note");
        // Its windows are of four seconds, and its response times fall in the 22nd.
        assert_eq!(*late, Note::SettledLate { strategy: "baseline".into(), after_s: 24, warmup_s: 10.0 });
        let long_enough = limited_run().with(|run| {
            run.plan.limits.warmup = Warmup::Time(Duration::from_secs(30));
        });
        assert!(!noted(long_enough).iter().any(|n| matches!(n, Note::SettledLate { .. })));
    }
}
