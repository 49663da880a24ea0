//! The best strategy, and each one against the baseline.

use super::report::{Best, Improvement, Measured, Missing, Profile, StrategyReport, Value};

/// Name of the strategy that the others are compared with.
pub const BASELINE: &str = "baseline";

/// The highest score; among equal ones the higher throughput, then the earlier in the plan.
pub(super) fn best(strategies: &[StrategyReport]) -> Option<Best> {
    let mut best: Option<Best> = None;
    for strategy in strategies {
        let Some(candidate) = candidate(strategy) else { continue };
        let key = |b: &Best| (b.score, b.throughput_items_per_s);
        if best.as_ref().is_none_or(|b| key(b) < key(&candidate)) {
            best = Some(candidate);
        }
    }
    best
}

fn candidate(strategy: &StrategyReport) -> Option<Best> {
    let measured = strategy.measured.as_ref().ok()?;
    Some(Best {
        strategy: strategy.name.clone(),
        score: *measured.score.as_ref().ok()?,
        throughput_items_per_s: *measured.throughput_items_per_s.as_ref().ok()?,
        mean_response_s: *measured.response.mean_s.as_ref().ok()?,
    })
}

/// Every other strategy against the baseline, in the plan's order.
pub(super) fn improvements(strategies: &[StrategyReport]) -> Result<Vec<Improvement>, Missing> {
    if strategies.len() < 2 {
        return Err(Missing::NothingToCompare);
    }
    let baseline = strategies.iter().find(|s| s.name == BASELINE).ok_or(Missing::NoBaseline)?;
    Ok(strategies
        .iter()
        .filter(|s| s.name != BASELINE)
        .map(|s| Improvement {
            strategy: s.name.clone(),
            throughput_percent: change(s, baseline, |m| &m.throughput_items_per_s),
            response_time_percent: change(s, baseline, |m| &m.response.mean_s),
        })
        .collect())
}

/// From the baseline's value to the strategy's, in percent. A side without a success has nothing to compare:
/// that its throughput of zero is 100 % less would be true and tell nobody anything.
fn change(strategy: &StrategyReport, baseline: &StrategyReport, pick: fn(&Measured) -> &Value) -> Value {
    let of = |row: &StrategyReport| -> Value {
        let measured = row.measured.as_ref().map_err(Clone::clone)?;
        // The score has a value exactly where there was a success.
        measured.score.clone().and_then(|_| pick(measured).clone())
    };
    let before = of(baseline).map_err(|missing| Missing::BaselineMissing(Box::new(missing)))?;
    let after = of(strategy)?;
    if before > 0.0 {
        Ok(100.0 * (after / before - 1.0))
    } else {
        // A response faster than the clock's microsecond.
        Err(Missing::BaselineMissing(Box::new(Missing::NoTime)))
    }
}

/// Each strategy's figures as shares of the best ones; where even the best is zero, so is the share.
pub(super) fn profiles(strategies: &[StrategyReport]) -> Vec<Profile> {
    let figures: Vec<Value<[f64; 3]>> = strategies.iter().map(figures).collect();
    let best = |i: usize, pick: fn(f64, f64) -> f64| figures.iter().flatten().map(|f| f[i]).reduce(pick);
    let (throughput, response, score) = (best(0, f64::max), best(1, f64::min), best(2, f64::max));
    let share = |part: f64, whole: Option<f64>| whole.filter(|&w| w > 0.0).map_or(0.0, |w| part / w);
    strategies
        .iter()
        .zip(&figures)
        .enumerate()
        .map(|(index, (strategy, figures))| Profile {
            index,
            strategy: strategy.name.clone(),
            shares: figures.clone().map(|[t, r, s]| {
                // The shorter the better; no time at all is the best there is.
                let inverted = if r > 0.0 { response.unwrap_or(0.0) / r } else { 1.0 };
                [share(t, throughput), inverted, share(s, score)]
            }),
        })
        .collect()
}

fn figures(strategy: &StrategyReport) -> Value<[f64; 3]> {
    let measured = strategy.measured.as_ref().map_err(Clone::clone)?;
    let score = measured.score.clone()?;
    Ok([measured.throughput_items_per_s.clone()?, measured.response.mean_s.clone()?, score])
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::failure::FailureKind;

    use super::*;
    use crate::aggregate::Ending;
    use crate::analysis::testing::{RunSketch, Sketch, seed_run, stopped_run};
    use crate::analysis::{Report, ScoreSettings, analyse};

    fn report(run: RunSketch) -> Report {
        analyse(&run.done(), &ScoreSettings::default())
    }

    fn near(got: &Value, want: f64) {
        let got = got.as_ref().expect("a value");
        assert!((got - want).abs() < 0.05, "{got} is not {want}");
    }

    fn failing(name: &str) -> Sketch {
        Sketch::new(name, 1.0, 1.0, 0.0).items(0).failing(FailureKind::Timeout, 20, "none")
    }

    #[test]
    fn improvements_are_those_of_the_seed_tools_example() {
        let improvements = report(seed_run()).improvements.expect("a comparison");
        let wanted = [(360.0, -15.5), (68.0, -11.7), (12.0, -28.5)];
        assert_eq!(improvements.len(), wanted.len());
        for (got, (throughput, response)) in improvements.iter().zip(wanted) {
            near(&got.throughput_percent, throughput);
            near(&got.response_time_percent, response);
        }
    }

    #[test]
    fn a_slower_strategy_has_the_signs_the_other_way_round() {
        let run = RunSketch::new()
            .ran(Sketch::new("a", 0.5, 30.0, 0.0))
            .ran(Sketch::new("baseline", 1.0, 20.0, 0.0));
        let improvements = report(run).improvements.expect("a comparison");
        near(&improvements[0].throughput_percent, -50.0);
        near(&improvements[0].response_time_percent, 50.0);
    }

    #[test]
    fn a_baseline_without_success_compares_with_nothing_and_divides_by_nothing() {
        let run = RunSketch::new().ran(failing("baseline")).ran(Sketch::new("batch", 1.0, 1.0, 0.0));
        let improvements = report(run).improvements.expect("a comparison");
        let missing = Missing::BaselineMissing(Box::new(Missing::NoSuccess));
        assert_eq!(improvements[0].throughput_percent, Err(missing.clone()));
        assert_eq!(improvements[0].response_time_percent, Err(missing));
    }

    #[test]
    fn a_skipped_or_absent_baseline_says_so() {
        let batch = || Sketch::new("batch", 1.0, 1.0, 0.0);
        let skipped = RunSketch::new().ended("baseline", Ending::Skipped("404".into())).ran(batch());
        let improvements = report(skipped).improvements.expect("a comparison");
        assert_eq!(
            improvements[0].throughput_percent,
            Err(Missing::BaselineMissing(Box::new(Missing::Skipped("404".into()))))
        );
        let absent = RunSketch::new().ran(batch()).ran(Sketch::new("async", 1.0, 1.0, 0.0));
        assert_eq!(report(absent).improvements, Err(Missing::NoBaseline));
        assert_eq!(report(RunSketch::new().ran(batch())).improvements, Err(Missing::NothingToCompare));
    }

    #[test]
    fn a_strategy_without_success_improves_nothing() {
        let run = RunSketch::new().ran(Sketch::new("baseline", 1.0, 1.0, 0.0)).ran(failing("batch"));
        let improvements = report(run).improvements.expect("a comparison");
        assert_eq!(improvements[0].throughput_percent, Err(Missing::NoSuccess));
    }

    #[test]
    fn the_best_has_the_highest_score_then_the_highest_throughput() {
        assert_eq!(report(seed_run()).best.expect("a best").strategy, "model_pool");
        // Both saturate and take no time to speak of, so their scores are equal.
        let tie = RunSketch::new()
            .ran(Sketch::new("a", 4.0, 0.0, 50.0))
            .ran(Sketch::new("b", 8.0, 0.0, 50.0))
            .ran(Sketch::new("c", 2.0, 0.0, 50.0));
        assert_eq!(report(tie).best.expect("a best").strategy, "b");
        assert_eq!(report(RunSketch::new().ran(failing("baseline"))).best, None);
    }

    #[test]
    fn shares_are_relative_to_the_best_and_absent_without_values() {
        let profiles = report(stopped_run()).profiles;
        let shares = profiles[0].shares.clone().expect("shares");
        assert!((shares[0] - 0.25 / 0.9).abs() < 1e-6, "{shares:?}");
        assert!((shares[1] - 12.87 / 15.23).abs() < 1e-6, "{shares:?}");
        assert!(profiles[1].shares.clone().is_ok_and(|s| s.iter().all(|&s| (s - 1.0).abs() < 1e-9)));
        assert!(profiles[2].shares.is_err());
    }

    #[test]
    fn figures_of_zero_are_shares_of_zero() {
        let profiles = report(RunSketch::new().ran(Sketch::new("a", 1.0, 0.0, 0.0))).profiles;
        assert_eq!(profiles[0].shares, Ok([1.0, 1.0, 1.0]));
    }
}
