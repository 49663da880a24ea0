//! Memory per request in flight.

use std::num::NonZeroU32;
use std::time::Duration;

use super::bench::Bench;
use super::report::{Memory, Turns};
use crate::in_flight::weigh;
use crate::tools::Shape;

/// Memory varies little; more turns would only take time.
const MOST_TURNS: usize = 3;
/// Long enough for every generator to open all its connections before the first answer comes.
pub const DELAY: Duration = Duration::from_secs(10);

/// Every generator that can hold so many requests, in turns.
pub fn measure(bench: &mut Bench, requests: NonZeroU32) -> Vec<Memory> {
    let tools = bench.able(Shape::Held { requests: requests.get(), delay: DELAY });
    let none = Turns::default;
    let mut rows: Vec<_> = tools
        .iter()
        .map(|found| Memory {
            tool: found.tool,
            requests: requests.get(),
            few_kb: none(),
            many_kb: none(),
            each_kb: none(),
        })
        .collect();
    for turn in 1..=bench.turns.min(MOST_TURNS) {
        for (found, row) in tools.iter().zip(&mut rows) {
            let what = format!("{} with {requests} requests in flight", found.tool.name());
            let weight = weigh(found, requests, DELAY, bench.cores(), bench.scratch());
            let Some(weight) = bench.note(what.clone(), weight) else { continue };
            eprintln!("turn {turn}: {what}: {:.1} kB each", weight.each_kb);
            row.few_kb.0.push(weight.few_kb as f64);
            row.many_kb.0.push(weight.many_kb as f64);
            row.each_kb.0.push(weight.each_kb);
        }
    }
    rows.retain(|row| !row.each_kb.0.is_empty());
    rows
}
