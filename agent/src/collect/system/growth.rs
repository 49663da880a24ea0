//! Rates of counters that only grow.

use std::collections::BTreeMap;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::reading::{Absence, AbsenceReason};

/// Counters by the name of what they count for.
pub(super) type Counters<const N: usize> = BTreeMap<String, [u64; N]>;

/// How fast counters grow from one reading to the next.
#[derive(Debug)]
pub(super) struct Growth<const N: usize> {
    /// What the counters count for, as in messages.
    of: &'static str,
    last: Option<(Mono, Counters<N>)>,
}

impl<const N: usize> Growth<N> {
    pub(super) const fn new(of: &'static str) -> Self {
        Self { of, last: None }
    }

    /// Growth a second since the previous reading, of all together.
    ///
    /// There is none where what is counted has changed in between, or where a counter fell: what came to the
    /// missing one until it went is unknown, and a new one may have counted elsewhere before.
    pub(super) fn per_second(&mut self, now: Mono, counters: Counters<N>) -> Result<[f64; N], Absence> {
        let not_yet = |detail: String| Err(Absence::new(AbsenceReason::NotYet, detail));
        let Some((then, before)) = &self.last else {
            self.last = Some((now, counters));
            return not_yet("a rate needs two readings".to_owned());
        };
        let seconds = now.since(*then).as_secs_f64();
        if seconds == 0.0 {
            return not_yet("no time has passed since the last reading".to_owned());
        }
        let growth = grown(self.of, before, &counters);
        self.last = Some((now, counters));
        growth.map(|growth| growth.map(|n| n as f64 / seconds)).or_else(not_yet)
    }
}

fn grown<const N: usize>(of: &str, before: &Counters<N>, now: &Counters<N>) -> Result<[u64; N], String> {
    if let Some(gone) = before.keys().find(|name| !now.contains_key(*name)) {
        return Err(format!("{of} {gone} has gone since the last reading"));
    }
    let mut sum = [0_u64; N];
    for (name, counts) in now {
        let Some(earlier) = before.get(name) else {
            return Err(format!("{of} {name} has come since the last reading"));
        };
        for ((sum, count), earlier) in sum.iter_mut().zip(counts).zip(earlier) {
            let growth = count.checked_sub(*earlier);
            *sum = growth
                .and_then(|growth| sum.checked_add(growth))
                .ok_or_else(|| format!("a counter of {of} {name} fell since the last reading"))?;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const START: Mono = Mono::from_nanos(0);

    fn at(seconds: u64) -> Mono {
        START + Duration::from_secs(seconds)
    }

    fn counters<const N: usize>(all: &[(&str, [u64; N])]) -> Counters<N> {
        all.iter().map(|(name, counts)| ((*name).to_owned(), *counts)).collect()
    }

    fn not_yet(growth: Result<[f64; 1], Absence>) -> String {
        let absence = growth.unwrap_err();
        assert_eq!(absence.reason, AbsenceReason::NotYet);
        absence.detail
    }

    #[test]
    fn a_rate_is_of_all_and_of_the_time_between_two_readings() {
        let mut growth = Growth::new("interface");
        let first = growth.per_second(START, counters(&[("a", [10, 0]), ("b", [5, 7])]));
        assert_eq!(first.unwrap_err().reason, AbsenceReason::NotYet);
        let second = growth.per_second(at(2), counters(&[("a", [20, 1]), ("b", [15, 7])]));
        assert_eq!(second, Ok([10.0, 0.5]));
        assert_eq!(growth.per_second(at(3), counters(&[("a", [20, 1]), ("b", [15, 7])])), Ok([0.0, 0.0]));
    }

    #[test]
    fn a_counter_that_fell_or_went_or_came_gives_no_rate_once() {
        let mut growth = Growth::new("disk");
        not_yet(growth.per_second(START, counters(&[("a", [10])])));
        let fell = not_yet(growth.per_second(at(1), counters(&[("a", [9])])));
        assert_eq!(fell, "a counter of disk a fell since the last reading");
        assert_eq!(growth.per_second(at(2), counters(&[("a", [12])])), Ok([3.0]));
        let came = not_yet(growth.per_second(at(3), counters(&[("a", [13]), ("b", [900])])));
        assert_eq!(came, "disk b has come since the last reading");
        let gone = not_yet(growth.per_second(at(4), counters(&[("b", [990])])));
        assert_eq!(gone, "disk a has gone since the last reading");
        assert_eq!(growth.per_second(at(5), counters(&[("b", [991])])), Ok([1.0]));
    }

    #[test]
    fn without_time_in_between_the_next_rate_counts_from_the_earlier_reading() {
        let mut growth = Growth::new("disk");
        not_yet(growth.per_second(START, counters(&[("a", [10])])));
        assert!(not_yet(growth.per_second(START, counters(&[("a", [11])]))).starts_with("no time"));
        assert_eq!(growth.per_second(at(1), counters(&[("a", [12])])), Ok([2.0]));
    }
}
