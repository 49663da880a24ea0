//! When to read, and one sample out of several readings.

mod grid;
mod presence;
mod schedule;

use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::message::Cadence;
use fluxfleet_proto::reading::{Device, GpuEvent, GpuEventKind, HostSample, Occasion, SystemReading};
use fluxfleet_proto::units::Micros;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::collect::{Calls, Collectors};
use presence::Presence;
use schedule::Schedule;

/// Least time that a reading off the normal lane has. A fast lane of 20 ms must not call a call of 30 ms stale.
const LEAST_WITHIN: Duration = Duration::from_millis(100);

/// Time that the slow lane and the edges have: their calls block.
const SLOW_WITHIN: Duration = Duration::from_secs(1);

/// A sample to be taken at an edge of a trial; `None`: at once.
pub(crate) type Mark = (Occasion, Option<Mono>);

/// Takes samples and numbers them from 0 without holes.
#[derive(Debug)]
pub(crate) struct Sampler {
    collectors: Collectors,
    devices: Vec<Device>,
    presence: Presence,
    /// The GPU that the slow lane comes to next.
    slow: usize,
    next_seq: u64,
    /// Whom to tell how long calls took.
    calls: Option<watch::Sender<Calls>>,
}

impl Sampler {
    /// A sampler of the host and of these devices, which are those of the greeting, and of those that are found later.
    pub(crate) fn new(collectors: Collectors, devices: Vec<Device>) -> Self {
        Self { collectors, devices, presence: Presence::default(), slow: 0, next_seq: 0, calls: None }
    }

    /// With someone to tell, after each sample of the slow lane, how long the collector's calls took.
    pub(crate) fn telling(self, calls: watch::Sender<Calls>) -> Self {
        Self { calls: Some(calls), ..self }
    }

    /// Samples as soon as there is a cadence, anew with each new one, until an end of a channel is gone.
    pub(crate) async fn run(
        mut self,
        mut cadence: watch::Receiver<Option<Cadence>>,
        mut marks: mpsc::Receiver<Mark>,
        samples: mpsc::Sender<HostSample>,
    ) {
        loop {
            let Some(pace) = *cadence.borrow_and_update() else {
                match cadence.changed().await {
                    Ok(()) => continue,
                    Err(_) => return,
                }
            };
            let start = Instant::now();
            let mut schedule = Schedule::new(pace, self.devices.len());
            loop {
                let turn = schedule.next(start.elapsed());
                // Between readings only: one that is dropped half way would keep its thread busy.
                tokio::select! {
                    biased;
                    changed = cadence.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    Some((edge, at)) = marks.recv() => {
                        let wait = at.map_or(Duration::ZERO, |at| at.since(Clock::now()));
                        schedule.mark(edge, start.elapsed() + wait);
                        continue;
                    }
                    () = sleep_until(start + turn.due) => {}
                }
                schedule.take(turn);
                let mut taken = vec![self.take(turn.occasion, pace).await];
                if turn.occasion == Occasion::Normal {
                    let known = self.devices.len();
                    let events = self.events(&taken[0]);
                    taken.extend(events);
                    if self.devices.len() > known {
                        schedule.grow(pace, self.devices.len());
                    }
                }
                for sample in taken {
                    if samples.send(sample).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn take(&mut self, occasion: Occasion, pace: Cadence) -> HostSample {
        let (taken, wall) = (Clock::now(), Clock::wall());
        let (devices, within) = match occasion {
            Occasion::Normal => (&self.devices[..], pace.normal),
            Occasion::Fast => (&self.devices[..], pace.fast.max(LEAST_WITHIN)),
            Occasion::Slow => (one(&self.devices, &mut self.slow), SLOW_WITHIN),
            Occasion::Start(_) | Occasion::End(_) => (&self.devices[..], SLOW_WITHIN),
            Occasion::Event => (&[][..], Duration::ZERO),
        };
        let (system, gpus) = self.collectors.read(devices, occasion, within).await;
        if let (Occasion::Slow, Some(calls)) = (occasion, &self.calls) {
            calls.send_replace(self.collectors.calls());
        }
        self.sample(occasion, taken, wall, system, gpus)
    }

    fn sample(
        &mut self,
        occasion: Occasion,
        taken: Mono,
        wall: Duration,
        system: SystemReading,
        gpus: Vec<fluxfleet_proto::reading::GpuReading>,
    ) -> HostSample {
        let seq = self.next_seq;
        self.next_seq += 1;
        HostSample {
            wall_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
            took: Micros::from_duration(Clock::now().since(taken)),
            system,
            gpus,
            ..HostSample::new(seq, occasion, taken)
        }
    }

    /// What happened to GPUs up to this sample, if something did.
    fn events(&mut self, sample: &HostSample) -> Option<HostSample> {
        let mut events: Vec<GpuEvent> = self.presence.see(&sample.gpus);
        events.extend(self.collectors.events());
        if events.is_empty() {
            return None;
        }
        for event in &events {
            if let GpuEventKind::Found(device) = &event.kind
                && self.devices.iter().all(|known| known.uuid != device.uuid)
            {
                self.devices.push(device.clone());
            }
        }
        let (now, wall) = (Clock::now(), Clock::wall());
        let mut sample = self.sample(Occasion::Event, now, wall, SystemReading::default(), Vec::new());
        sample.events = events;
        Some(sample)
    }
}

/// The device whose turn it is.
fn one<'a>(devices: &'a [Device], next: &mut usize) -> &'a [Device] {
    let at = *next % devices.len().max(1);
    *next = at + 1;
    devices.get(at..=at).unwrap_or_default()
}
