//! Samples on their way past the latest readings to the coordinator.

use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::message::Cadence;
use fluxfleet_proto::reading::{GpuEvent, GpuEventKind, HostSample};
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
                        sample.events.append(&mut found);
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
