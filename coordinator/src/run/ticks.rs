//! When pings, patience and progress are to be looked at: often, unless a load runs as it should.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;

/// Time from one look to the next.
pub(super) const TICK: Duration = Duration::from_millis(20);
/// The same while a load runs as it should: what happens then comes from the peers, and each look takes processor time
/// that a worker on this machine may need.
const CALM_TICK: Duration = Duration::from_millis(250);

/// The last look, and what the next one depends on.
#[derive(Debug)]
pub(super) struct Ticks {
    last: Mono,
    /// Nothing is waited for but the peers' reports.
    pub(super) calm: bool,
}

impl Ticks {
    /// As if somebody had looked at `now`.
    pub(super) fn new(now: Mono) -> Self {
        Self { last: now, calm: false }
    }

    /// Somebody looks.
    pub(super) fn ticked(&mut self, now: Mono) {
        self.last = now;
    }

    /// When to look next. `settled`: all clocks are settled and all agents sample; `ping`: when the next one is due,
    /// `None` for at once.
    pub(super) fn next(&self, settled: bool, ping: Option<Mono>) -> Mono {
        let soon = self.last + TICK;
        match ping {
            Some(ping) if self.calm && settled => ping.max(soon).min(self.last + CALM_TICK),
            _ => soon,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: Mono = Mono::from_nanos(5_000_000_000);

    fn after(ms: u64) -> Mono {
        LAST + Duration::from_millis(ms)
    }

    fn next(calm: bool, settled: bool, ping: Option<u64>) -> Mono {
        let mut ticks = Ticks::new(LAST - Duration::from_secs(1));
        ticks.calm = calm;
        ticks.ticked(LAST);
        ticks.next(settled, ping.map(after))
    }

    #[test]
    fn while_a_load_runs_as_it_should_the_next_look_waits_for_a_ping_or_a_quarter_of_a_second() {
        assert_eq!(next(true, true, Some(90)), after(90));
        assert_eq!(next(true, true, Some(900)), after(250));
        assert_eq!(next(true, true, Some(3)), after(20), "never more often than at other times");
    }

    #[test]
    fn while_anything_is_waited_for_the_looks_are_frequent() {
        for (calm, settled, ping) in
            [(false, true, Some(900)), (true, false, Some(900)), (false, false, None), (true, true, None)]
        {
            assert_eq!(next(calm, settled, ping), after(20), "{calm} {settled} {ping:?}");
        }
    }
}
