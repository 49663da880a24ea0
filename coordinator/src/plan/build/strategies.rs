//! Which strategies run, and where they find their routes.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use super::MAX_IN_FLIGHT;
use super::problems::Problems;
use crate::plan::{BUILT_IN, PlannedStrategy, RawPlan, defaults, text};

/// The strategies named, in order, each with what it may have in flight: `max_in_flight` in an open load, else its
/// own of `concurrent`.
pub(super) fn strategies(
    raw: &RawPlan,
    concurrent: NonZeroU32,
    max_in_flight: Option<NonZeroU32>,
    p: &mut Problems,
) -> Vec<PlannedStrategy> {
    let batch = p.count("--batch-size", raw.batch_size.as_deref(), defaults::BATCH_SIZE, 10_000);
    let poll = p.duration(
        "--poll-interval",
        raw.poll_interval.as_deref(),
        defaults::POLL_INTERVAL,
        Duration::from_millis(1),
        Duration::from_secs(60),
    );
    let pool =
        raw.pool_concurrent.as_deref().map(|t| p.count("--pool-concurrent", Some(t), 1, MAX_IN_FLIGHT));
    for (name, routes) in &raw.strategy {
        let place = format!("[strategy.{name}]");
        if !BUILT_IN.contains(&name.as_str()) {
            p.add(&place, "", format!("names no strategy; there are {}", BUILT_IN.join(", ")));
        }
        for (key, route) in [("path", &routes.path), ("status_path", &routes.status_path)] {
            if let Some(route) = route
                && let Err(trouble) = text::route(route)
            {
                p.add(&format!("{place} {key}"), route, trouble);
            }
        }
        if name != "async" && (routes.id_field.is_some() || routes.status_path.is_some()) {
            p.add(&place, "", "has id_field or status_path, which only async knows");
        }
        if routes.status_path.as_ref().is_some_and(|route| !route.contains("{id}")) {
            p.add(&format!("{place} status_path"), "", "has no {id} for the job's id to go");
        }
    }
    let mut names: Vec<&str> =
        raw.strategies.iter().flat_map(|s| s.split(',')).map(str::trim).filter(|s| !s.is_empty()).collect();
    if names.is_empty() {
        if !raw.strategies.is_empty() {
            p.add("--strategies", "", format!("names none; choose from {}, all", BUILT_IN.join(", ")));
        }
        names.push(BUILT_IN[0]);
    }
    if names.contains(&"all") {
        // `all` beside others still means all, once each, in the seed's order.
        let extra: Vec<&str> = names.into_iter().filter(|n| *n != "all" && !BUILT_IN.contains(n)).collect();
        names = BUILT_IN.into_iter().chain(extra).collect();
    }
    let mut seen = BTreeSet::new();
    let mut planned = Vec::new();
    for name in names {
        let routes = raw.strategy.get(name).cloned().unwrap_or_default();
        match defaults::strategy(name, &routes, batch, poll) {
            None => p.add(
                "--strategies",
                name,
                format!("is not a strategy; choose from {}, all", BUILT_IN.join(", ")),
            ),
            Some(_) if !seen.insert(name.to_owned()) => {
                p.add("--strategies", name, "is named twice; name it once");
            }
            Some(strategy) => {
                let in_flight = max_in_flight.unwrap_or_else(|| match name {
                    "model_pool" => pool.unwrap_or_else(|| defaults::pool_in_flight(concurrent)),
                    _ => concurrent,
                });
                planned.push(PlannedStrategy { strategy, in_flight });
            }
        }
    }
    planned
}
