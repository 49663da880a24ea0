//! How the generator fares, as the collector hears of it.

use std::collections::VecDeque;
use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::health::Health;

use crate::health::{self, Cores};

/// How the generator fares, interval by interval.
pub(super) struct Condition {
    /// What the load threads tell of themselves, to be added to.
    pub(super) health: Health,
    cores: Cores,
    /// By thread: processor time used and when that was read; `None`: it has not begun.
    threads: Vec<Option<(Duration, Mono)>>,
    /// By thread: processor time used, and the time it was used in. A thread that ends may have been heard twice in
    /// an interval.
    busy: Vec<(Duration, Duration)>,
    /// Connections opened within the last [`HELD`], by the time they were heard of.
    opened: VecDeque<(Mono, u64)>,
}

/// How long a port stays taken after its connection was closed: Linux's TIME_WAIT.
const HELD: Duration = Duration::from_secs(60);

impl Condition {
    /// Of so many load threads, none of which has begun.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            health: Health::default(),
            cores: Cores::default(),
            threads: vec![None; threads],
            busy: vec![(Duration::ZERO, Duration::ZERO); threads],
            opened: VecDeque::new(),
        }
    }

    /// The first look, against which the next one is compared.
    pub(super) fn begin(&mut self) {
        self.cores.busy();
    }

    /// A thread has begun, and had used so much processor time by then.
    pub(super) fn started(&mut self, thread: usize, used: Duration, at: Mono) {
        self.threads[thread] = Some((used, at));
    }

    /// A thread has used so much processor time by now.
    pub(super) fn used(&mut self, thread: usize, time: Duration, at: Mono) {
        let Some((before, since)) = self.threads[thread].replace((time, at)) else { return };
        let (used, span) = &mut self.busy[thread];
        *used += time.saturating_sub(before);
        *span += at.since(since);
    }

    /// So many connections were opened lately.
    pub(super) fn opened(&mut self, connections: u64, at: Mono) {
        if connections > 0 {
            self.opened.push_back((at, connections));
        }
    }

    /// Ports that this worker's connections hold: those opened lately, each of which holds its port even if it was
    /// closed since, or those in flight, whichever are more.
    fn ports(&mut self, in_flight: u64, now: Mono) -> u64 {
        while self.opened.front().is_some_and(|(at, _)| now.since(*at) > HELD) {
            self.opened.pop_front();
        }
        self.opened.iter().map(|(_, n)| n).sum::<u64>().max(in_flight)
    }

    /// What was seen since this was last asked.
    pub(super) fn take(&mut self, in_flight: u64, now: Mono) -> Health {
        let ports = self.ports(in_flight, now);
        let seen = std::mem::take(&mut self.health);
        let heard = self.busy.iter_mut().map(std::mem::take).filter(|(_, span)| !span.is_zero());
        Health {
            threads_busy: heard.map(|(used, span)| used.div_duration_f64(span).min(1.0)).collect(),
            cores_busy: self.cores.busy(),
            open_files: health::open_files(),
            open_files_limit: health::open_files_limit(),
            ports_used: Some(ports),
            ports_limit: health::ports_limit(),
            resident_bytes: health::resident_bytes(),
            ..seen
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_heard_twice_in_an_interval_counts_once_and_one_not_heard_not_at_all() {
        let at = |ms: u64| Mono::from_nanos(0) + Duration::from_millis(ms);
        let mut condition = Condition::new(3);
        condition.threads = vec![Some((Duration::ZERO, at(0))); 3];
        condition.used(1, Duration::from_millis(20), at(100));
        condition.used(0, Duration::from_millis(50), at(100));
        // Its last part, right behind the one it was asked for.
        condition.used(0, Duration::from_millis(70), at(200));
        assert_eq!(condition.take(0, Mono::default()).threads_busy, [0.35, 0.2]);
        condition.used(2, Duration::from_millis(90), at(100));
        assert_eq!(condition.take(0, Mono::default()).threads_busy, [0.9]);
    }

    #[test]
    fn a_port_counts_for_a_minute_after_its_connection_was_opened() {
        let at = |s| Mono::default() + Duration::from_secs(s);
        let mut condition = Condition::new(1);
        condition.opened(5, at(1));
        condition.opened(0, at(2));
        condition.opened(7, at(30));
        assert_eq!(condition.ports(3, at(61)), 12);
        assert_eq!(condition.ports(3, at(62)), 7);
        assert_eq!(condition.ports(9, at(62)), 9);
    }
}
