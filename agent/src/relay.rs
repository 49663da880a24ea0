//! Samples on their way past the latest readings to the coordinator.

use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::message::Cadence;
use fluxfleet_proto::reading::{GpuEvent, GpuEventKind, HostSample, Occasion};
use tokio::sync::{mpsc, watch};

use crate::latest::Latest;

/// The pace of an agent that nobody has told another one: a plan's default.
pub(crate) const OWN_PACE: Cadence = Cadence {
    fast: Duration::from_millis(100),
    normal: Duration::from_millis(500),
    slow: Duration::from_secs(2),
};

/// Keeps the latest readings, and passes on what the coordinator asked for.
///
/// The sampler begins at once, at the agent's own pace. The coordinator, who asks later, gets no sample that was taken
/// before it did, and those that it gets are numbered from 0.
#[derive(Debug)]
pub(crate) struct Relay {
    /// From the sampler.
    pub(crate) samples: mpsc::Receiver<HostSample>,
    /// To the sampler.
    pub(crate) pace: watch::Sender<Option<Cadence>>,
    /// What the coordinator asks for; it lasts as long as the stream to it.
    pub(crate) asked: watch::Receiver<Option<Cadence>>,
    /// To the coordinator.
    pub(crate) onward: mpsc::Sender<HostSample>,
    /// For whoever looks.
    pub(crate) latest: watch::Sender<Latest>,
}

impl Relay {
    /// Works until an end of a channel is gone.
    pub(crate) async fn run(mut self) {
        let mut since: Option<Mono> = None;
        let mut next_seq = 0;
        // GPUs that neither the greeting nor what is passed on tells of.
        let mut found = Vec::new();
        self.pace.send_replace(Some(OWN_PACE));
        loop {
            tokio::select! {
                biased;
                changed = self.asked.changed() => {
                    let Ok(()) = changed else { return };
                    if let Some(cadence) = *self.asked.borrow_and_update() {
                        since = since.or_else(|| Some(Clock::now()));
                        self.pace.send_replace(Some(cadence));
                    }
                }
                sample = self.samples.recv() => {
                    let Some(mut sample) = sample else { return };
                    let pace = self.pace.borrow().unwrap_or(OWN_PACE);
                    self.latest.send_modify(|latest| latest.see(&sample, pace));
                    if since.is_none_or(|since| sample.taken < since) {
                        let news = |e: &GpuEvent| matches!(e.kind, GpuEventKind::Found(_));
                        found.extend(sample.events.into_iter().filter(news));
                    } else {
                        if !found.is_empty() {
                            let (events, wall_ns) = (std::mem::take(&mut found), sample.wall_ns);
                            let told = HostSample::new(next_seq, Occasion::Event, sample.taken);
                            next_seq += 1;
                            if self.onward.send(HostSample { events, wall_ns, ..told }).await.is_err() {
                                return;
                            }
                        }
                        sample.seq = next_seq;
                        next_seq += 1;
                        if self.onward.send(sample).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuUuid};

    use super::*;

    #[tokio::test]
    async fn a_gpu_found_before_the_coordinator_asked_is_told_first() {
        let (samples_in, samples) = mpsc::channel(4);
        let (pace, _pace_seen) = watch::channel(None);
        let (ask, asked) = watch::channel(None);
        let (onward, mut passed_on) = mpsc::channel(4);
        let (latest, mut seen) = watch::channel(Latest::default());
        let relay = tokio::spawn(Relay { samples, pace, asked, onward, latest }.run());
        let found = GpuEvent {
            uuid: Some(GpuUuid("a".to_owned())),
            kind: GpuEventKind::Found(Device::new("a", "H100")),
        };
        let early = HostSample::new(0, Occasion::Event, Clock::now());
        samples_in.send(HostSample { events: vec![found.clone()], ..early }).await.expect("the relay");
        seen.wait_for(|latest| latest.samples() == 1).await.expect("the relay");
        let none_at_first = Err(Absence::new(AbsenceReason::Lost, "no driver"));
        assert_eq!(seen.borrow().devices(&none_at_first), Ok(vec![Device::new("a", "H100")]));
        ask.send_replace(Some(OWN_PACE));
        let later = HostSample::new(1, Occasion::Fast, Clock::now() + Duration::from_secs(60));
        samples_in.send(later).await.expect("the relay");
        let told = passed_on.recv().await.expect("an event");
        assert_eq!((told.seq, told.occasion, told.events), (0, Occasion::Event, vec![found]));
        let next = passed_on.recv().await.expect("a sample");
        assert_eq!((next.seq, next.occasion, next.events), (1, Occasion::Fast, Vec::new()));
        drop(samples_in);
        relay.await.expect("no panic");
    }
}
