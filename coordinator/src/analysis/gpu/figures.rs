//! What a trial did to one GPU.

use std::collections::BTreeMap;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::reading::Reading;

use super::energy::{self, Energy};
use super::log::{GpuLog, Memory};
use super::span::{Measure, Span};
use super::{held, idle};
use crate::aggregate::TrialOutcome;
use crate::analysis::report::{Missing, Value};

/// Share of a window for which readings of the power must hold to tell its mean where there is no energy.
const MOST: f64 = 0.9;

/// What holds a clock down without throttling it: nothing to do, and the clock that the user set.
const NO_THROTTLING: [&str; 2] = ["gpu_idle", "applications_clocks_setting"];

/// What a trial did to one GPU, or to all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuFigures {
    /// Energy over the window.
    pub energy: Value<Energy>,
    /// Mean power over the window, W: the energy by its length; where there is no energy, of the readings, each for as
    /// long as it holds, if they tell of most of it.
    pub power_w: Value<Measure>,
    /// Power before the first trial.
    pub idle: Value<Idle>,
    /// Energy without the idle power, J.
    pub above_idle_j: Value<Measure>,
    /// Energy by items that ended well, J.
    pub per_item_j: Value<Measure>,
    /// Energy without the idle power, by items that ended well, J.
    pub per_item_above_idle_j: Value<Measure>,
    /// How busy it was.
    pub utilization: Value<Utilization>,
    /// Most memory in use, bytes.
    pub peak_vram_bytes: Value,
    /// Most memory in use, percent of the total.
    pub peak_vram_percent: Value,
    /// Share of the window in which something throttled its clock, percent.
    pub throttled_percent: Value,
    /// The same by what it was; several may at a time.
    pub throttled_by: Vec<(String, f64)>,
}

/// Power before the first trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Idle {
    /// In W.
    pub watts: Measure,
    /// For how long it was measured, in seconds.
    pub seconds: f64,
}

/// How busy a GPU was, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Utilization {
    /// Mean over the time of the window, each reading for as long as it holds.
    pub over_time: f64,
    /// Plain mean of the readings in the window. `None`: there is none.
    pub of_readings: Option<f64>,
    /// The highest reading.
    pub highest: f64,
    /// Share of the window that readings hold for, percent.
    pub known_percent: f64,
}

impl GpuFigures {
    /// Without any figure, for one reason.
    pub(super) fn absent(why: &Missing) -> Self {
        Self {
            energy: Err(why.clone()),
            power_w: Err(why.clone()),
            idle: Err(why.clone()),
            above_idle_j: Err(why.clone()),
            per_item_j: Err(why.clone()),
            per_item_above_idle_j: Err(why.clone()),
            utilization: Err(why.clone()),
            peak_vram_bytes: Err(why.clone()),
            peak_vram_percent: Err(why.clone()),
            throttled_percent: Err(why.clone()),
            throttled_by: Vec::new(),
        }
    }

    /// Whether there is any figure of the trial.
    pub fn any(&self) -> bool {
        self.energy.is_ok()
            || self.power_w.is_ok()
            || self.utilization.is_ok()
            || self.peak_vram_bytes.is_ok()
            || self.throttled_percent.is_ok()
    }
}

/// What a trial did to a GPU. `first_trial` is when the run's first trial began.
pub(super) fn figures(
    log: &GpuLog,
    span: Span,
    trial: &TrialOutcome,
    first_trial: Option<Mono>,
) -> GpuFigures {
    let seconds = span.seconds();
    let energy = energy::over(&log.counter, &log.power, span);
    let idle = idle::idle(&log.power, first_trial);
    let above_idle_j = match (&energy, &idle) {
        (Ok(energy), Ok(idle)) => {
            let mut above = energy.joules.minus(idle.watts.times(seconds));
            above.uncertainty += idle.watts.value * span.length_error_s();
            Ok(above)
        }
        (Err(why), _) | (_, Err(why)) => Err(why.clone()),
    };
    let items = trial.tally.items_ok;
    let per_item = |joules: Value<Measure>| match items {
        0 => Err(Missing::NoSuccess),
        items => joules.map(|joules| joules.times(1.0 / items as f64)),
    };
    let (throttled_percent, throttled_by) = throttled(log, span);
    GpuFigures {
        power_w: power(log, span, &energy),
        per_item_j: per_item(energy.clone().map(|energy| energy.joules)),
        per_item_above_idle_j: per_item(above_idle_j.clone()),
        energy,
        idle,
        above_idle_j,
        utilization: utilization(log, span),
        peak_vram_bytes: peak(log, span, trial, |memory| memory.used.clone()),
        peak_vram_percent: peak(log, span, trial, |memory| {
            let (used, total) = (memory.used.clone()?, memory.total.clone()?);
            crate::analysis::host::share(Ok(used), Ok(total))
        }),
        throttled_percent,
        throttled_by,
    }
}

fn power(log: &GpuLog, span: Span, energy: &Value<Energy>) -> Value<Measure> {
    let seconds = span.seconds();
    if seconds <= 0.0 {
        return Err(Missing::NoTime);
    }
    let missing = match energy {
        Ok(energy) => {
            let mut power = energy.joules.times(1.0 / seconds);
            power.uncertainty += power.value * span.length_error_s() / seconds;
            return Ok(power);
        }
        Err(missing) => missing,
    };
    let readings = log.power.readings();
    let instants: Vec<_> = readings.iter().map(super::Taken::middle).collect();
    let weights = held::weights(&instants, log.power.period(), span);
    let held_s: f64 = weights.iter().sum();
    if held_s < MOST * seconds {
        return Err(missing.clone());
    }
    // Until a reading the power was between its predecessor's and its own.
    let (mut sum, mut wrong) = (0.0, 0.0);
    for (at, weight) in weights.iter().enumerate() {
        let value = readings[at].value;
        let before = at.checked_sub(1).map_or(value, |before| readings[before].value);
        sum += value * weight;
        wrong += (value - before).abs() * weight;
    }
    Ok(Measure { value: sum / held_s, uncertainty: wrong / held_s })
}

fn utilization(log: &GpuLog, span: Span) -> Value<Utilization> {
    let instants: Vec<_> = log.normal.iter().map(|normal| normal.at).collect();
    let readings: Vec<_> = log.normal.iter().map(|normal| normal.utilization.clone()).collect();
    let weights = held::weights(&instants, log.period, span);
    let (over_time, known_percent) = held::mean(&readings, &weights, span.seconds())?;
    let held = readings.iter().zip(&weights).filter(|(_, weight)| **weight > 0.0);
    let highest = held.filter_map(|(reading, _)| reading.as_ref().ok().copied()).fold(0.0, f64::max);
    let within = log.normal.iter().filter(|normal| normal.at > span.from && normal.at <= span.to);
    let within: Vec<f64> = within.filter_map(|n| n.utilization.as_ref().ok().copied()).collect();
    let of_readings = (!within.is_empty()).then(|| within.iter().sum::<f64>() / within.len() as f64);
    Ok(Utilization { over_time, of_readings, highest, known_percent })
}

/// The highest of the readings within the window and of the one at the trial's end.
fn peak(log: &GpuLog, span: Span, trial: &TrialOutcome, of: impl Fn(&Memory) -> Reading) -> Value {
    let counts = |memory: &&Memory| {
        memory.end_of == Some(trial.trial) || (memory.at >= span.from && memory.at <= span.to)
    };
    let mut peak = Err(Missing::NoSample);
    for reading in log.memory.iter().filter(counts).map(of) {
        peak = match (peak, reading) {
            (Ok(peak), Ok(value)) => Ok(f64::max(peak, value)),
            (Err(_), Ok(value)) => Ok(value),
            (Err(Missing::NoSample), Err(absence)) => Err(Missing::NotRead(absence)),
            (peak, Err(_)) => peak,
        };
    }
    peak
}

fn throttled(log: &GpuLog, span: Span) -> (Value, Vec<(String, f64)>) {
    let instants: Vec<_> = log.normal.iter().map(|normal| normal.at).collect();
    let weights = held::weights(&instants, log.period, span);
    let (mut known_s, mut throttled_s, mut why) = (0.0, 0.0, None);
    let mut by_reason: BTreeMap<&str, f64> = BTreeMap::new();
    for (normal, weight) in log.normal.iter().zip(&weights).filter(|(_, weight)| **weight > 0.0) {
        match &normal.throttle {
            Ok(reasons) => {
                known_s += weight;
                let mut any = false;
                for reason in reasons.iter().filter(|reason| !NO_THROTTLING.contains(&reason.as_str())) {
                    any = true;
                    *by_reason.entry(reason).or_default() += weight;
                }
                throttled_s += if any { *weight } else { 0.0 };
            }
            Err(absence) => why = why.or(Some(Missing::NotRead(absence.clone()))),
        }
    }
    if known_s <= 0.0 {
        return (Err(why.unwrap_or(Missing::NoSample)), Vec::new());
    }
    let share = |s: f64| 100.0 * s / known_s;
    (Ok(share(throttled_s)), by_reason.into_iter().map(|(r, s)| (r.to_owned(), share(s))).collect())
}
