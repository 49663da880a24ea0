//! When to read, and one sample out of several readings.

mod grid;

use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::reading::{Device, HostSample};
use fluxfleet_proto::units::Micros;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::collect::Collectors;
use grid::Grid;

/// Takes samples and numbers them from 0 without holes.
#[derive(Debug)]
pub(crate) struct Sampler {
    collectors: Collectors,
    devices: Vec<Device>,
    next_seq: u64,
}

impl Sampler {
    /// A sampler of the host and of these devices, which are those of the greeting.
    pub(crate) fn new(collectors: Collectors, devices: Vec<Device>) -> Self {
        Self { collectors, devices, next_seq: 0 }
    }

    /// Samples as soon as there is a period, anew with each new one, until an end of a channel is gone.
    pub(crate) async fn run(
        mut self,
        mut period: watch::Receiver<Option<Duration>>,
        samples: mpsc::Sender<HostSample>,
    ) {
        loop {
            let Some(every) = *period.borrow_and_update() else {
                match period.changed().await {
                    Ok(()) => continue,
                    Err(_) => return,
                }
            };
            let (grid, start) = (Grid::new(every), Instant::now());
            let mut last = None;
            loop {
                let point = grid.next(last, start.elapsed());
                // Between readings only: one that is dropped half way would keep its thread busy.
                tokio::select! {
                    changed = period.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    () = sleep_until(start + grid.offset(point)) => {}
                }
                last = Some(point);
                let sample = self.take(every).await;
                if samples.send(sample).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn take(&mut self, within: Duration) -> HostSample {
        let (taken, wall) = (Clock::now(), Clock::wall());
        let (system, gpus) = self.collectors.read(&self.devices, within).await;
        let seq = self.next_seq;
        self.next_seq += 1;
        HostSample {
            seq,
            taken,
            wall_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
            took: Micros::from_duration(Clock::now().since(taken)),
            system,
            gpus,
        }
    }
}
