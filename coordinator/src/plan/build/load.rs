//! When requests start, and until when.

use std::num::NonZeroU32;
use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, Process, Profile};
use fluxfleet_proto::load::{Limits, NO_LIMIT, Warmup, WhenFull};

use super::problems::Problems;
use super::{MAX_IN_FLIGHT, MAX_ITEMS};
use crate::plan::text::load::{self as text_load, Arrival};
use crate::plan::{ErrorLimit, PlannedLoad, RawPlan, defaults, replay, text};

/// Bounds of a calibration.
const CALIBRATION: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// When the requests of every strategy start, and until when.
pub(super) struct LoadPart {
    pub(super) items: Option<u64>,
    pub(super) concurrent: NonZeroU32,
    /// In an open load: the most in flight at a time.
    pub(super) max_in_flight: Option<NonZeroU32>,
    pub(super) load: PlannedLoad,
    pub(super) limits: Limits,
    pub(super) error_limit: Option<ErrorLimit>,
    pub(super) calibrate: Option<Duration>,
}

/// Everything about when. `seed` draws the arrivals.
pub(super) fn load(raw: &RawPlan, seed: u64, p: &mut Problems) -> LoadPart {
    let given = Option::as_deref;
    // What ends a trial is looked at as it was given: a duration that cannot be read is still one.
    let ends_by_itself = raw.duration.is_some() || raw.stages.is_some() || raw.replays();
    let items = match given(&raw.requests) {
        None if ends_by_itself => None,
        requests => {
            Some(p.read("--requests", requests, defaults::REQUESTS, |t| text::number(t, 1, MAX_ITEMS)))
        }
    };
    let concurrent = p.count("--concurrent", given(&raw.concurrent), defaults::CONCURRENT, MAX_IN_FLIGHT);
    let load = if raw.is_open() { open(raw, seed, p) } else { closed(raw, p) };
    let limits = Limits {
        warmup: p.read("--warmup", given(&raw.warmup), Warmup::None, |t| text_load::warmup(t, MAX_ITEMS)),
        duration: raw
            .duration
            .as_deref()
            .and_then(|t| p.read("--duration", Some(t), None, |t| text_load::measured_time(t).map(Some))),
    };
    if let PlannedLoad::Open { arrivals, .. } = &load {
        leaves_something(raw, arrivals, limits.warmup, p);
    }
    let (shortest, longest) = CALIBRATION;
    LoadPart {
        items,
        concurrent,
        max_in_flight: matches!(load, PlannedLoad::Open { .. }).then(|| {
            let most =
                raw.max_in_flight.as_deref().map(|t| p.count("--max-in-flight", Some(t), 1, MAX_IN_FLIGHT));
            most.or(NonZeroU32::new(NO_LIMIT)).unwrap_or(NonZeroU32::MAX)
        }),
        load,
        limits,
        error_limit: p.read("--error-limit", given(&raw.error_limit), None, |t| {
            text_load::error_limit(t, MAX_ITEMS).map(Some)
        }),
        calibrate: p.read("--calibrate", given(&raw.calibrate), None, |t| {
            text::duration(t, shortest, longest).map(Some)
        }),
    }
}

fn closed(raw: &RawPlan, p: &mut Problems) -> PlannedLoad {
    for (place, given) in [
        ("--arrival", &raw.arrival),
        ("--max-in-flight", &raw.max_in_flight),
        ("--when-full", &raw.when_full),
    ] {
        if let Some(given) = given {
            let or = if place == "--max-in-flight" {
                "; for a number held in flight use --concurrent"
            } else {
                ""
            };
            let trouble =
                format!("is about requests that start at their own times; give --rate or --stages too{or}");
            p.add(place, given, trouble);
        }
    }
    PlannedLoad::Closed
}

fn open(raw: &RawPlan, seed: u64, p: &mut Problems) -> PlannedLoad {
    for (place, given) in [("--concurrent", &raw.concurrent), ("--pool-concurrent", &raw.pool_concurrent)] {
        if let Some(given) = given {
            let trouble = "means nothing when requests start at their own times; to bound how many are in flight, \
                           use --max-in-flight";
            p.add(place, given, trouble);
        }
    }
    let when_full = p.read("--when-full", raw.when_full.as_deref(), WhenFull::Wait, |t| match t {
        "wait" => Ok(WhenFull::Wait),
        "drop" if raw.max_in_flight.is_none() => {
            Err("never happens without a limit; give --max-in-flight too".to_owned())
        }
        "drop" => Ok(WhenFull::Drop),
        _ => Err("is not known; choose wait or drop".to_owned()),
    });
    PlannedLoad::Open { arrivals: arrivals(raw, seed, p), when_full }
}

fn arrivals(raw: &RawPlan, seed: u64, p: &mut Problems) -> Arrivals {
    let profile = profile(raw, p);
    let arrival =
        p.read("--arrival", raw.arrival.as_deref(), Arrival::Drawn(Process::Constant), text_load::arrival);
    match (arrival, profile) {
        (Arrival::Replay(file), _) => {
            for (place, given) in [("--rate", &raw.rate), ("--stages", &raw.stages)] {
                if let Some(given) = given {
                    p.add(
                        place,
                        given,
                        "cannot go with --arrival replay, whose file says when; leave one out",
                    );
                }
            }
            Arrivals::Replay(
                p.read("--arrival", Some(&format!("replay:{file}")), [].into(), |_| replay::read(&file)),
            )
        }
        (Arrival::Drawn(process), Some(profile)) => Arrivals::Drawn { process, profile, seed },
        // Something was wrong, and is noted.
        (Arrival::Drawn(_), None) => Arrivals::Replay([].into()),
    }
}

fn profile(raw: &RawPlan, p: &mut Problems) -> Option<Profile> {
    let steady = p.read("--rate", raw.rate.as_deref(), None, |t| {
        text_load::rate(t).and_then(|r| Profile::steady(r).map_err(|e| e.to_string())).map(Some)
    });
    let staged = p.read("--stages", raw.stages.as_deref(), None, |t| text_load::stages(t).map(Some));
    if let (Some(rate), Some(_)) = (&raw.rate, &raw.stages) {
        p.add("--rate", rate, "cannot go with --stages, which have their own rates; leave one out");
    }
    steady.or(staged)
}

/// A warm-up must not take up all arrivals.
fn leaves_something(raw: &RawPlan, arrivals: &Arrivals, warmup: Warmup, p: &mut Problems) {
    let Some(length) = arrivals.length() else { return };
    let count = arrivals.expected(length + Duration::from_nanos(1));
    let takes_all = match warmup {
        Warmup::None => false,
        Warmup::Time(time) => match arrivals {
            Arrivals::Drawn { .. } => time >= length,
            Arrivals::Replay(_) => time > length,
        },
        // How many of a replay's requests it takes depends on the strategy.
        Warmup::Items(items) => matches!(arrivals, Arrivals::Drawn { .. }) && items as f64 >= count,
    };
    // No arrivals at all: that is what is wrong then.
    if takes_all && count > 0.0 {
        let trouble = format!(
            "leaves nothing to measure: the load has {count:.0} arrivals in {} s; make it shorter",
            length.as_secs_f64()
        );
        p.add("--warmup", raw.warmup.as_deref().unwrap_or_default(), trouble);
    }
}
