//! Rates, stages, arrival processes, limits.

use std::time::Duration;

use fluxfleet_proto::arrival::{Process, Profile, Stage};
use fluxfleet_proto::load::Warmup;

use super::{duration, number};
use crate::plan::ErrorLimit;

/// Longest stage, measured time or warm-up: a week.
pub(in crate::plan) const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Shortest measured time that says anything.
const SHORTEST: Duration = Duration::from_millis(100);
/// Bounds of a rate, in items a second.
const RATES: std::ops::RangeInclusive<f64> = 1e-6..=1e9;

/// How arrivals come, before anything is read from a file.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::plan) enum Arrival {
    /// Drawn from a process.
    Drawn(Process),
    /// At the times in this file.
    Replay(String),
}

/// `10`, `0.5`, `10/s`, `30/m`: items a second.
pub(in crate::plan) fn rate(text: &str) -> Result<f64, String> {
    let given = some_rate(text)?;
    if given > 0.0 { Ok(given) } else { Err("is no load; give a rate above 0, as 10 or 0.5".to_owned()) }
}

/// A rate, or 0.
fn some_rate(text: &str) -> Result<f64, String> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("has no unit I know; write a rate as 10/s, 30/m or 100/h".to_owned()),
    };
    let given: f64 = number
        .trim()
        .parse()
        .map_err(|_| "is not a rate; give items a second, as 10 or 0.5, or 30/m for a minute".to_owned())?;
    let per_s = given / seconds;
    if per_s == 0.0 || RATES.contains(&per_s) {
        Ok(per_s)
    } else {
        Err(format!("must be between {} and {} items a second", RATES.start(), RATES.end()))
    }
}

/// `10:30s,50:1m` holds 10 a second for 30 s, then 50 for a minute; `10..50:1m` goes from one to the other.
pub(in crate::plan) fn stages(text: &str) -> Result<Profile, String> {
    let stages: Result<Vec<Stage>, String> = text.split(',').map(stage).collect();
    Profile::try_new(stages?).map_err(|e| format!("cannot be used: {e}"))
}

fn stage(text: &str) -> Result<Stage, String> {
    let name = |trouble: String| format!("has a stage '{}' that {trouble}", text.trim());
    let (rates, length) = text
        .rsplit_once(':')
        .ok_or_else(|| name("has no length; write it as 10:30s, or as 10..50:1m for a ramp".to_owned()))?;
    let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
    let length = duration(length, Duration::from_millis(1), LONGEST)
        .map_err(|trouble| name(format!("lasts '{}', which {trouble}", length.trim())))?;
    let rate = |text: &str| {
        some_rate(text).map_err(|trouble| name(format!("has the rate '{}', which {trouble}", text.trim())))
    };
    Ok(Stage { from: rate(from)?, to: rate(to)?, length: Some(whole_millis(length)) })
}

/// `constant`, `poisson`, `gamma:SHAPE`, `replay:FILE`.
pub(in crate::plan) fn arrival(text: &str) -> Result<Arrival, String> {
    let t = text.trim();
    let (kind, detail) = t.split_once(':').map_or((t, None), |(kind, detail)| (kind, Some(detail.trim())));
    let detail = detail.filter(|d| !d.is_empty());
    match (kind, detail) {
        ("constant", None) => Ok(Arrival::Drawn(Process::Constant)),
        ("poisson", None) => Ok(Arrival::Drawn(Process::Poisson)),
        ("gamma", Some(shape)) => match shape.parse() {
            Ok(shape) if Process::is_shape(shape) => Ok(Arrival::Drawn(Process::Gamma { shape })),
            _ => Err("has a shape that is no number between 0.01 and 10000; 1 is Poisson, below 1 comes in bursts, \
                 above 1 is more even"
                .to_owned()),
        },
        ("gamma", None) => Err("has no shape; write it as gamma:0.5. The shape is the burstiness: 1 is Poisson, \
             below 1 is burstier, above 1 more even"
            .to_owned()),
        ("replay", Some(file)) => Ok(Arrival::Replay(file.to_owned())),
        ("replay", None) => {
            Err("names no file; write it as replay:FILE, with one time in seconds on each line".to_owned())
        }
        _ => Err("is not a way to arrive; choose constant, poisson, gamma:SHAPE or replay:FILE".to_owned()),
    }
}

/// The measured time of a strategy.
pub(in crate::plan) fn measured_time(text: &str) -> Result<Duration, String> {
    duration(text, SHORTEST, LONGEST).map(whole_millis)
}

/// `10s`: so long; `50`: so many items.
pub(in crate::plan) fn warmup(text: &str, most: u64) -> Result<Warmup, String> {
    let t = text.trim();
    let is_time = t.ends_with(|c: char| c.is_ascii_alphabetic());
    if is_time {
        let time = duration(t, Duration::ZERO, LONGEST)
            .map_err(|trouble| format!("{trouble}; a plain number means items"))?;
        return Ok(match whole_millis(time) {
            Duration::ZERO => Warmup::None,
            time => Warmup::Time(time),
        });
    }
    match number(t, 0, most) {
        Ok(0) => Ok(Warmup::None),
        Ok(items) => Ok(Warmup::Items(items)),
        Err(trouble) => Err(format!("{trouble} items, or a time such as 10s")),
    }
}

/// `10`: so many items; `5%`: such a share of those that ended.
pub(in crate::plan) fn error_limit(text: &str, most: u64) -> Result<ErrorLimit, String> {
    let Some(percent) = text.trim().strip_suffix('%') else {
        return number(text, 0, most)
            .map(ErrorLimit::Items)
            .map_err(|trouble| format!("{trouble} items, or a share such as 5%"));
    };
    match percent.trim().parse::<f64>() {
        Ok(p) if (0.0..100.0).contains(&p) => Ok(ErrorLimit::Share(p / 100.0)),
        _ => Err("must be a share from 0% to below 100%, or a number of items".to_owned()),
    }
}

/// What peers are told travels in whole milliseconds: all must mean the same time.
fn whole_millis(d: Duration) -> Duration {
    Duration::from_millis(u64::try_from(d.as_micros().div_ceil(1000)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_fractions_too_and_know_seconds_minutes_and_hours() {
        for (text, per_s) in [("10", 10.0), ("0.5", 0.5), ("10/s", 10.0), ("30/m", 0.5), (" 360 / h", 0.1)] {
            assert_eq!(rate(text), Ok(per_s), "{text}");
        }
        for wrong in ["0", "-1", "nan", "inf", "1e10", "fast", "10/day", "", "10 items"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stages_hold_or_ramp_and_a_bad_one_is_named() {
        let profile = stages("10:30s, 10..50:1m ,0:5s").expect("valid");
        assert_eq!(profile.length(), Some(Duration::from_secs(95)));
        assert!((profile.expected(95.0) - (300.0 + 1800.0)).abs() < 1e-9);
        for (wrong, named) in [
            ("10", "'10'"),
            ("10:30s,fast:1m", "'fast:1m'"),
            ("10:30s,5:soon", "'5:soon'"),
            ("10..x:1m", "'x'"),
            ("0:10s", "above 0"),
            ("10:0s", "'10:0s'"),
            ("", "''"),
        ] {
            let error = stages(wrong).expect_err(wrong);
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_gamma_process_without_a_shape_is_told_what_a_shape_is() {
        assert_eq!(arrival("gamma:0.5"), Ok(Arrival::Drawn(Process::Gamma { shape: 0.5 })));
        assert_eq!(arrival("replay: a:b.csv"), Ok(Arrival::Replay("a:b.csv".into())));
        for wrong in ["gamma", "gamma:"] {
            assert!(arrival(wrong).expect_err(wrong).contains("burstiness"), "{wrong}");
        }
        for wrong in ["gamma:-1", "gamma:nan", "replay", "replay:", "poisson:3", "uniform", ""] {
            assert!(arrival(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_warm_up_is_a_time_with_a_unit_and_items_without() {
        assert_eq!(warmup("10s", 99), Ok(Warmup::Time(Duration::from_secs(10))));
        assert_eq!(warmup("10", 99), Ok(Warmup::Items(10)));
        assert_eq!([warmup("0", 99), warmup("0s", 99)], [Ok(Warmup::None), Ok(Warmup::None)]);
        for wrong in ["100", "-1s", "ten", "1.5", "10 parsecs", ""] {
            assert!(warmup(wrong, 99).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_error_limit_is_a_number_or_a_share() {
        assert_eq!(error_limit("10", 99), Ok(ErrorLimit::Items(10)));
        assert_eq!(error_limit("0", 99), Ok(ErrorLimit::Items(0)));
        assert_eq!(error_limit("5%", 99), Ok(ErrorLimit::Share(0.05)));
        for wrong in ["100%", "-1%", "nan%", "some", "5 %%", "100"] {
            assert!(error_limit(wrong, 99).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_that_peers_must_agree_on_are_whole_milliseconds() {
        assert_eq!(measured_time("1.0005s"), Ok(Duration::from_millis(1001)));
        assert_eq!(measured_time("1.5s"), Ok(Duration::from_millis(1500)));
    }
}
