//! The loop that owns the stream.

use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::message::{Acked, WorkerCommand, WorkerReport};
use fluxfleet_proto::tally::Interval;
use fluxfleet_proto::wire::{WorkerDown, WorkerUp, worker_down, worker_up};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{debug, info};

use super::desk::Desk;
use super::dial::{Dialed, refused, words};
use super::ledger::Ledger;
use super::outbound::Ping;
use crate::config::Config;
use crate::error::WorkerError;
use crate::health;

/// What is in flight may end within this when the worker is interrupted.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);
/// After the grace, the last reports get this long to reach the coordinator.
const FAREWELL: Duration = Duration::from_secs(3);

/// A stream and everything that goes over it.
pub(super) struct Session<'a> {
    config: &'a Config,
    commands: Streaming<WorkerDown>,
    pings: mpsc::Sender<Ping>,
    /// `None` once nothing more will be reported.
    reports: Option<mpsc::Sender<WorkerUp>>,
    desk: Desk,
    ledger: Ledger,
    /// The oldest report, being put into its wire form. Off this thread: histograms take a while.
    packing: Option<JoinHandle<Packed>>,
    /// The oldest report, ready for the stream.
    packed: Option<Packed>,
    welcomed: bool,
    /// Set when the worker was interrupted: when it leaves at the latest.
    leaves: Option<Instant>,
}

/// A report in its wire form.
struct Packed {
    /// Trial and number of what will be acknowledged.
    key: Option<(TrialId, Acked)>,
    up: WorkerUp,
    /// The interval that was packed, emptied: its trial may use its memory again.
    emptied: Option<Box<Interval>>,
}

impl Packed {
    /// On a thread that has nothing more urgent to do, then or later.
    fn behind_the_load(report: WorkerReport) -> Self {
        health::prefer(health::BEHIND_OTHERS);
        report.into()
    }
}

impl From<WorkerReport> for Packed {
    fn from(report: WorkerReport) -> Self {
        let key = match &report {
            WorkerReport::Interval(i) => Some((i.trial, Acked::Interval(i.seq))),
            WorkerReport::Records(r) => Some((r.trial, Acked::Records(r.seq))),
            _ => None,
        };
        let (up, emptied) = match report {
            WorkerReport::Interval(mut interval) => {
                let message = worker_up::Message::Interval((&*interval).into());
                // Here already, since that takes a while too.
                interval.tally.clear();
                (WorkerUp { message: Some(message) }, Some(interval))
            }
            report => (report.into(), None),
        };
        Self { key, up, emptied }
    }
}

/// What woke the loop.
#[expect(clippy::large_enum_variant, reason = "one at a time, for one turn of the loop")]
enum Event {
    Message(Result<Option<WorkerDown>, Status>),
    Packed(Packed),
    Sent,
    Output(Option<crate::engine::Output>),
    Interrupted,
    TimeToLeave,
}

impl<'a> Session<'a> {
    pub(super) fn new(config: &'a Config, dialed: Dialed) -> Self {
        let Dialed { feeder, commands } = dialed;
        Self {
            config,
            commands,
            pings: feeder.pings,
            reports: Some(feeder.reports),
            desk: Desk::new(config.threads),
            ledger: Ledger::default(),
            packing: None,
            packed: None,
            welcomed: false,
            leaves: None,
        }
    }

    /// Obeys until the stream ends.
    pub(super) async fn run(mut self, cancel: &CancellationToken) -> Result<(), WorkerError> {
        loop {
            self.pack_next();
            match self.next(cancel).await {
                Event::Message(Ok(Some(message))) => self.receive(message),
                Event::Message(Ok(None)) => return self.closed(),
                Event::Message(Err(status)) => return self.broken(&status),
                Event::Packed(mut report) => {
                    if let Some(interval) = report.emptied.take() {
                        self.desk.give_back(*interval);
                    }
                    self.packed = Some(report);
                }
                Event::Sent => {}
                Event::Output(output) => self.desk.gave(output),
                Event::Interrupted => {
                    self.leaves = Some(Instant::now() + INTERRUPT_GRACE + FAREWELL);
                    self.desk.stop_all(NotSentReason::Interrupted, INTERRUPT_GRACE);
                }
                Event::TimeToLeave => return Ok(()),
            }
            let nothing_left = self.desk.trial().is_none()
                && self.desk.reports.is_empty()
                && self.packing.is_none()
                && self.packed.is_none();
            if self.leaves.is_some() && nothing_left {
                // Ends our half of the stream; the coordinator ends its own when it has read everything.
                self.reports = None;
            }
        }
    }

    async fn next(&mut self, cancel: &CancellationToken) -> Event {
        let idle = self.packing.is_none() && self.packed.is_none() && self.desk.reports.is_empty();
        let leaving = self.leaves.is_some();
        tokio::select! {
            // In this order: a ping waits for nothing.
            biased;
            message = self.commands.message() => Event::Message(message),
            () = cancel.cancelled(), if !leaving => Event::Interrupted,
            () = until(self.leaves), if leaving => Event::TimeToLeave,
            report = packed(&mut self.packing) => {
                self.packing = None;
                Event::Packed(report)
            }
            Some(permit) = room(self.reports.as_ref()), if self.packed.is_some() => {
                if let Some(Packed { key, up, .. }) = self.packed.take() {
                    if let Some((trial, number)) = key {
                        self.ledger.sent(trial, number, up.clone());
                    }
                    permit.send(up);
                }
                Event::Sent
            }
            // Taken only when the one before is on its way: the engine feels a slow coordinator.
            output = self.desk.output(), if idle => Event::Output(output),
        }
    }

    /// Begins to pack the oldest report if none is being packed.
    fn pack_next(&mut self) {
        if self.packing.is_none()
            && self.packed.is_none()
            && let Some(report) = self.desk.reports.pop_front()
        {
            self.packing = Some(tokio::task::spawn_blocking(move || Packed::behind_the_load(report)));
        }
    }

    fn receive(&mut self, message: WorkerDown) {
        let received = Clock::now();
        if let Some(worker_down::Message::ClockPing(ping)) = &message.message {
            let _ = self.pings.try_send(Ping { id: ping.id, received });
            return;
        }
        let trial = concerned(&message);
        match WorkerCommand::try_from(message) {
            Ok(WorkerCommand::Welcome(welcome)) => {
                self.welcomed = true;
                info!("joined run {} as {} ({})", welcome.run, self.config.name, welcome.peer);
            }
            Ok(WorkerCommand::Ack(trial, acked)) => self.ledger.acknowledged(trial, acked),
            // Too late for another trial.
            Ok(WorkerCommand::Prepare(_)) if self.leaves.is_some() => {}
            Ok(command) => {
                debug!(?command);
                self.desk.command(command);
            }
            Err(e) => self.desk.nonsense(trial, &e.to_string()),
        }
    }

    /// The coordinator has closed the stream.
    fn closed(self) -> Result<(), WorkerError> {
        if self.leaves.is_some() || self.desk.trial().is_none() {
            return Ok(());
        }
        Err(self.lost("it closed the stream".to_owned()))
    }

    /// The stream broke, or the coordinator ended it with an error. Dropping the desk stops all load at once.
    fn broken(self, status: &Status) -> Result<(), WorkerError> {
        if !self.welcomed {
            return Err(refused(&self.config.coordinator, status));
        }
        if self.leaves.is_some() {
            return Ok(());
        }
        Err(self.lost(words(status)))
    }

    fn lost(&self, problem: String) -> WorkerError {
        WorkerError::Lost {
            address: self.config.coordinator.clone(),
            during: self.desk.trial().map_or_else(|| "between trials".to_owned(), |t| format!("during {t}")),
            problem,
            unacked: self.ledger.len(),
        }
    }
}

/// The trial that a message is about, readable even when the message as a whole makes no sense.
fn concerned(message: &WorkerDown) -> Option<TrialId> {
    match message.message.as_ref()? {
        worker_down::Message::Prepare(p) => Some(TrialId(p.trial_id)),
        worker_down::Message::Start(s) => Some(TrialId(s.trial_id)),
        worker_down::Message::Stop(s) => Some(TrialId(s.trial_id)),
        worker_down::Message::Update(u) => Some(TrialId(u.trial_id)),
        worker_down::Message::Welcome(_)
        | worker_down::Message::ClockPing(_)
        | worker_down::Message::Ack(_) => None,
    }
}

async fn packed(packing: &mut Option<JoinHandle<Packed>>) -> Packed {
    match packing {
        Some(task) => match task.await {
            Ok(report) => report,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        },
        None => std::future::pending().await,
    }
}

/// Room for one report; waits for ever when the stream is ending or has ended, which its other half tells.
async fn room(reports: Option<&mpsc::Sender<WorkerUp>>) -> Option<mpsc::Permit<'_, WorkerUp>> {
    match reports {
        Some(reports) => match reports.reserve().await {
            Ok(permit) => Some(permit),
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_packed_behind_the_load_and_named_by_what_is_acknowledged() {
        let records = fluxfleet_proto::tally::Records { trial: TrialId(3), seq: 7, records: Vec::new() };
        let packing = std::thread::spawn(|| {
            let packed = Packed::behind_the_load(WorkerReport::Records(records));
            (packed.key, health::preference())
        });
        let behind = Some(health::BEHIND_OTHERS);
        let (key, preference) = packing.join().unwrap();
        assert_eq!(key, Some((TrialId(3), Acked::Records(7))));
        assert!(preference >= behind, "{preference:?}");
    }
}
