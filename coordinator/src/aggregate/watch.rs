//! Places the agents' samples on the coordinator's clock.

use std::collections::BTreeMap;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::id::PeerId;
use fluxfleet_proto::reading::{Absence, AbsenceReason, GpuReading, GpuUuid, HostSample, Occasion};

use super::PlacedSample;

/// Something happened between these two instants of our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Not before.
    pub earliest: Mono,
    /// Not after.
    pub latest: Mono,
}

/// Samples of all agents so far. They keep their own stamps and are placed when the run is over: an estimate of a clock
/// that came after a sample says as much of it as one that came before.
#[derive(Debug, Default)]
pub struct SampleMerge {
    /// Agent, when it arrived, and what. Each agent's are in the order in which they were taken.
    samples: Vec<(PeerId, Mono, HostSample)>,
    agents: BTreeMap<PeerId, Account>,
}

/// What one agent delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    next: u64,
    received: u64,
    gaps: u64,
    newest: Option<Mono>,
}

impl SampleMerge {
    /// Adds a sample, taken at `taken` by what is known of the agent's clock now. One that was merged before changes
    /// nothing (`false`); numbers left out are counted as a gap.
    pub fn sample(&mut self, agent: PeerId, arrived: Mono, taken: Mono, sample: HostSample) -> bool {
        let account = self.agents.entry(agent).or_default();
        if sample.seq < account.next {
            return false;
        }
        account.gaps = account.gaps.saturating_add(sample.seq - account.next);
        account.next = sample.seq.saturating_add(1);
        account.received += 1;
        account.newest = account.newest.max(Some(taken));
        self.samples.push((agent, arrived, sample));
        true
    }

    /// Counts the samples up to `last` that have not come as taken and dropped, and tells how many these are.
    pub fn gap(&mut self, agent: PeerId, last: u64) -> u64 {
        let account = self.agents.entry(agent).or_default();
        if last < account.next {
            return 0;
        }
        let missed = (last - account.next).saturating_add(1);
        account.gaps = account.gaps.saturating_add(missed);
        account.next = last.saturating_add(1);
        missed
    }

    /// The number of the next sample that an agent is expected to send; all before it have come or never will.
    pub fn next(&self, agent: PeerId) -> u64 {
        self.agents.get(&agent).map_or(0, |account| account.next)
    }

    /// When the newest sample received from an agent was taken.
    pub fn newest(&self, agent: PeerId) -> Option<Mono> {
        self.agents.get(&agent).and_then(|account| account.newest)
    }

    /// Samples received from an agent, and samples it took and could not deliver.
    pub fn account(&self, agent: PeerId) -> (u64, u64) {
        let account = self.agents.get(&agent).copied().unwrap_or_default();
        (account.received, account.gaps)
    }

    /// The latest sample of any agent's normal lane.
    pub fn latest(&self) -> Option<&HostSample> {
        self.samples.iter().map(|(_, _, sample)| sample).rfind(|sample| sample.occasion == Occasion::Normal)
    }

    /// All samples by time, and in each agent's own order. `place` tells between which instants of ours an agent's clock
    /// showed a stamp, of which we learned at the later instant given.
    pub fn finish(self, place: impl Fn(PeerId, Mono, Mono) -> Option<Span>) -> Vec<PlacedSample> {
        let placed = |(agent, arrived, sample): (PeerId, Mono, HostSample)| {
            // Samples are taken only from agents whose clock is known.
            let span = place(agent, sample.taken, arrived)?;
            Some((agent, span, sample))
        };
        let mut samples: Vec<_> = self.samples.into_iter().filter_map(placed).collect();
        in_order(&mut samples);
        let mut samples: Vec<_> = samples.into_iter().map(PlacedSample::new).collect();
        samples.sort_by_key(|s| s.at);
        tell_of_unseen(&mut samples);
        samples
    }
}

/// A GPU that an agent found later has its place in the earlier samples of the normal lane too, without numbers.
fn tell_of_unseen(samples: &mut [PlacedSample]) {
    let normal = |placed: &&PlacedSample| placed.sample.occasion == Occasion::Normal;
    let mut unseen: BTreeMap<PeerId, BTreeMap<GpuUuid, GpuReading>> = BTreeMap::new();
    for placed in samples.iter().filter(normal) {
        let known = unseen.entry(placed.agent).or_default();
        for gpu in &placed.sample.gpus {
            if !known.contains_key(&gpu.uuid) {
                known.insert(gpu.uuid.clone(), not_there_yet(gpu));
            }
        }
    }
    for placed in samples.iter_mut().filter(|placed| normal(&&**placed)) {
        let gpus = &mut placed.sample.gpus;
        let all = unseen.get(&placed.agent).into_iter().flatten();
        let missing: Vec<_> = all.filter(|(uuid, _)| gpus.iter().all(|gpu| gpu.uuid != **uuid)).collect();
        gpus.extend(missing.into_iter().map(|(_, reading)| reading.clone()));
    }
}

/// The reading of a GPU that was not there, of what was read of it later.
fn not_there_yet(later: &GpuReading) -> GpuReading {
    let absence = Absence::new(AbsenceReason::NotYet, "the GPU was found later");
    GpuReading {
        values: later.values.iter().map(|(metric, _)| (metric, Err(absence.clone()))).collect(),
        throttle: later.throttle.is_some().then_some(Err(absence)),
        ..GpuReading::new(later.uuid.clone())
    }
}

/// A sample was taken after those with lower numbers and before those with higher ones: what bounds them bounds it.
/// Earliest and latest instants then rise with the numbers, and so do the middles between them.
fn in_order(samples: &mut [(PeerId, Span, HostSample)]) {
    let mut earliest = BTreeMap::new();
    for (agent, span, _) in samples.iter_mut() {
        let before = earliest.entry(*agent).or_insert(span.earliest);
        span.earliest = span.earliest.max(*before);
        *before = span.earliest;
    }
    let mut latest = BTreeMap::new();
    for (agent, span, _) in samples.iter_mut().rev() {
        let after = latest.entry(*agent).or_insert(span.latest);
        span.latest = span.latest.min(*after);
        *after = span.latest;
    }
}

impl PlacedSample {
    /// In the middle of its span. A span that ends before it begins comes of stamps that contradict each other: then
    /// it is somewhere between the two.
    fn new((agent, span, sample): (PeerId, Span, HostSample)) -> Self {
        let (from, to) = (span.earliest.min(span.latest), span.earliest.max(span.latest));
        let at = Mono::from_nanos(from.as_nanos().midpoint(to.as_nanos()));
        let error = at.since(from).max(to.since(at));
        Self { agent, at, error_ns: u64::try_from(error.as_nanos()).unwrap_or(u64::MAX), sample }
    }
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::metric::GpuMetric;

    use super::*;

    fn sample(seq: u64, taken: i64) -> HostSample {
        HostSample::new(seq, Occasion::Normal, Mono::from_nanos(taken))
    }

    fn at(ns: i64) -> Mono {
        Mono::from_nanos(ns)
    }

    /// A clock that is 5 behind, give or take.
    fn give_or_take(ns: i64) -> impl Fn(PeerId, Mono, Mono) -> Option<Span> {
        move |_, taken, _| {
            let middle = taken.as_nanos() + 5;
            Some(Span { earliest: at(middle - ns), latest: at(middle + ns) })
        }
    }

    #[test]
    fn repetitions_count_once_and_holes_count_as_gaps() {
        let (a, b) = (PeerId(1), PeerId(2));
        let mut merge = SampleMerge::default();
        merge.sample(b, at(0), at(0), sample(0, 50));
        merge.sample(a, at(0), at(0), sample(0, 10));
        merge.sample(a, at(0), at(0), sample(0, 10));
        merge.sample(a, at(0), at(0), sample(3, 40));
        merge.gap(a, 6);
        merge.gap(a, 6);
        merge.sample(a, at(0), at(0), sample(7, 60));
        assert_eq!(merge.account(a), (3, 5));
        assert_eq!(merge.account(b), (1, 0));
        let placed = merge.finish(give_or_take(1));
        let at: Vec<_> = placed.iter().map(|s| s.at.as_nanos()).collect();
        assert_eq!(at, [15, 45, 55, 65]);
        assert!(placed.iter().all(|s| s.error_ns == 1));
    }

    #[test]
    fn what_comes_again_after_a_break_counts_once_and_what_came_is_no_gap() {
        let a = PeerId(1);
        let mut merge = SampleMerge::default();
        assert_eq!((merge.next(a), merge.newest(a)), (0, None));
        for seq in 0..4 {
            assert!(merge.sample(a, at(0), at(15), sample(seq, 10)));
        }
        assert_eq!(merge.next(a), 4);
        // 2 and 3 were not acknowledged; meanwhile the agent had to drop 2 to 5, of which 4 and 5 never came.
        assert!(!merge.sample(a, at(0), at(15), sample(1, 10)));
        assert_eq!(merge.gap(a, 5), 2);
        assert_eq!(merge.gap(a, 5), 0);
        assert!(merge.sample(a, at(0), at(95), sample(6, 90)));
        assert_eq!(merge.account(a), (5, 2));
        assert_eq!(merge.newest(a), Some(Mono::from_nanos(95)));
    }

    #[test]
    fn a_gpu_that_was_found_later_is_absent_and_not_left_out_before() {
        let mut merge = SampleMerge::default();
        let agent = PeerId(1);
        let of = |seq, gpus: &[&str]| {
            let read = |uuid: &&str| GpuReading {
                values: [(GpuMetric::PowerW, Ok(100.0))].into_iter().collect(),
                throttle: Some(Ok(Vec::new())),
                ..GpuReading::new(GpuUuid((*uuid).to_owned()))
            };
            HostSample {
                gpus: gpus.iter().map(read).collect(),
                ..sample(seq, 10 * i64::try_from(seq).unwrap())
            }
        };
        for sample in [of(0, &[]), of(1, &["a"]), of(2, &["a", "b"])] {
            merge.sample(agent, at(0), sample.taken, sample);
        }
        let placed = merge.finish(give_or_take(1));
        let power = |at: usize, gpu: usize| placed[at].sample.gpus[gpu].values.value(GpuMetric::PowerW);
        for (at, gpu) in [(0, 0), (0, 1), (1, 1)] {
            assert_eq!(power(at, gpu).unwrap_err().to_string(), "not_yet: the GPU was found later");
        }
        assert_eq!((power(1, 0), power(2, 1)), (Ok(100.0), Ok(100.0)));
        assert!(placed.iter().all(|placed| placed.sample.gpus.len() == 2));
    }

    #[test]
    fn an_absurd_number_is_counted_and_stops_nothing() {
        let a = PeerId(1);
        let mut merge = SampleMerge::default();
        merge.gap(a, u64::MAX);
        merge.sample(a, at(0), at(0), sample(u64::MAX, 10));
        merge.gap(a, u64::MAX);
        assert_eq!(merge.account(a), (1, u64::MAX));
    }

    #[test]
    fn stamps_that_go_backwards_keep_their_order_and_say_how_wrong_they_are() {
        let a = PeerId(1);
        let mut merge = SampleMerge::default();
        for (seq, taken) in [100, 200, 60, 300].into_iter().enumerate() {
            merge.sample(a, at(0), at(0), sample(seq as u64, taken));
        }
        let placed = merge.finish(give_or_take(1));
        let seqs: Vec<_> = placed.iter().map(|s| s.sample.seq).collect();
        assert_eq!(seqs, [0, 1, 2, 3]);
        assert!(placed.is_sorted_by_key(|s| s.at));
        // Each of the stamps that contradict each other could be the wrong one.
        assert!(placed[1].error_ns >= 65 && placed[2].error_ns >= 65, "{placed:?}");
        assert_eq!(placed[3].error_ns, 1);
    }

    #[test]
    fn neighbours_narrow_what_a_clock_leaves_open() {
        let a = PeerId(1);
        let mut merge = SampleMerge::default();
        for seq in 0..3 {
            merge.sample(a, at(0), at(0), sample(seq, 100 * i64::try_from(seq).unwrap()));
        }
        let unsure = |_, taken: Mono, _| {
            let wide = if taken == at(100) { 1_000 } else { 1 };
            Some(Span {
                earliest: taken - std::time::Duration::from_nanos(wide),
                latest: taken + std::time::Duration::from_nanos(wide),
            })
        };
        let placed = merge.finish(unsure);
        assert_eq!((placed[1].at, placed[1].error_ns), (at(100), 101));
    }
}
