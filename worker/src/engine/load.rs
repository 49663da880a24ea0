//! A load thread: one runtime, one client, its own connections and recorder.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::tally::Tally;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::shared::{Control, Finished, Flushed, Part};
use crate::drive::{Client, ClientOptions};
use crate::judge::Verdict;
use crate::record::{Asked, Recorder};
use crate::schedule::ClosedSlot;
use crate::stop::StopOrder;
use crate::strategy::Strategy;

/// What a load thread is given.
pub(super) struct Load {
    /// Its number, from 0.
    pub(super) thread: usize,
    pub(super) control: Arc<Control>,
    pub(super) strategy: Arc<Strategy>,
    pub(super) timeout: Duration,
    pub(super) max_body_bytes: u64,
    /// Requests this thread holds in flight.
    pub(super) slots: usize,
    pub(super) records: bool,
    pub(super) parts: mpsc::Sender<Part>,
    /// An empty tally for each interval that is to be handed over.
    pub(super) flushes: mpsc::Receiver<Box<Tally>>,
}

/// Tells the collector when the thread panics, so that it does not wait for ever.
struct Obituary(Option<mpsc::Sender<Part>>);

impl Drop for Obituary {
    fn drop(&mut self) {
        if let Some(parts) = self.0.take() {
            // Fails only when the collector is gone too.
            let _ = parts.blocking_send(Part::Died);
        }
    }
}

/// The thread's body.
pub(super) fn run(load: Load) {
    let mut obituary = Obituary(Some(load.parts.clone()));
    let parts = load.parts.clone();
    let last = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        // The collector is gone when a send fails, and then nobody misses the part.
        Ok(runtime) => ready(load, &runtime),
        Err(e) => {
            Part::Unable(format!("cannot start a load thread's runtime ({e}); check the limit on open files"))
        }
    };
    let _ = parts.blocking_send(last);
    obituary.0 = None;
}

fn ready(load: Load, runtime: &tokio::runtime::LocalRuntime) -> Part {
    let client = Client::new(ClientOptions { limit: load.max_body_bytes, ..ClientOptions::default() });
    let warmed = {
        let _context = runtime.enter();
        client.warm_up(&load.strategy.endpoint().origin)
    };
    if let Err(failure) = warmed {
        return Part::Unable(failure.text);
    }
    let recorder = RefCell::new(Recorder::new(load.records));
    let _ = load.parts.blocking_send(Part::Ready);
    let thread = load.thread;
    let finished = |recorder: &RefCell<Recorder>| {
        let last = flush(recorder, Box::default());
        let active = recorder.borrow().active();
        Part::Finished(thread, Box::new(Finished { last, active }))
    };
    let Some(released) = load.control.gate.wait() else { return finished(&recorder) };
    let Load { control, strategy, timeout, slots, parts, flushes, .. } = load;
    let context = Rc::new(Context { thread, control, strategy, timeout, client, recorder, parts });
    runtime.block_on(context.drive(slots, released, flushes));
    finished(&context.recorder)
}

fn flush(recorder: &RefCell<Recorder>, spare: Box<Tally>) -> Flushed {
    let mut recorder = recorder.borrow_mut();
    Flushed {
        tally: recorder.swap(spare),
        records: recorder.take_records(),
        in_flight: recorder.in_flight(),
        at: Clock::now(),
    }
}

/// What the slots of a thread share. Never leaves the thread, so nothing in it is locked.
struct Context {
    thread: usize,
    control: Arc<Control>,
    strategy: Arc<Strategy>,
    timeout: Duration,
    client: Client,
    recorder: RefCell<Recorder>,
    parts: mpsc::Sender<Part>,
}

impl Context {
    /// Runs the slots until all have ended or are cut off, and hands over intervals meanwhile.
    async fn drive(self: &Rc<Self>, slots: usize, released: Mono, mut flushes: mpsc::Receiver<Box<Tally>>) {
        let mut running = JoinSet::new();
        for _ in 0..slots {
            running.spawn_local(Rc::clone(self).slot(ClosedSlot::new(released)));
        }
        // After the first slots are on their way: this may wait, they must not.
        let started = self.parts.send(Part::Started(released));
        tokio::pin!(started);
        let mut told = false;
        let mut orders = self.control.orders();
        let mut cut_off = self.control.order().map(|o| o.cut_off);
        let mut sweep = tokio::time::interval(Duration::from_secs(1));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut started, if !told => told = true,
                ended = running.join_next() => match ended {
                    None => break,
                    // A bug in a slot must not look like a result: the thread dies of it.
                    Some(Err(e)) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
                    Some(_) => {}
                },
                Some(spare) = flushes.recv() => {
                    let part = Part::Flushed(self.thread, Box::new(flush(&self.recorder, spare)));
                    let _ = self.parts.send(part).await;
                }
                Ok(()) = orders.changed() => cut_off = order(&mut orders).map(|o| o.cut_off),
                () = until(cut_off) => {
                    // Dropped requests count themselves as interrupted.
                    running.shutdown().await;
                    break;
                }
                _ = sweep.tick() => self.client.sweep(),
            }
        }
        if !told {
            // A trial may be over within one turn of the loop.
            let _ = started.await;
        }
    }

    /// One place in flight: asks for the next items as soon as the last ones have ended.
    async fn slot(self: Rc<Self>, mut slot: ClosedSlot) {
        let size = self.strategy.size();
        let mut body = Vec::new();
        while let Some(claim) = self.control.claims.claim(size) {
            self.strategy.render(claim, &mut body);
            let asked = Asked::begin(&self.recorder, claim, slot.intended());
            let deadline = Instant::from_std(Clock::instant(asked.sent() + self.timeout));
            let answer = self.strategy.ask(claim, &body, &self.client, asked.progress());
            let verdict = tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| {
                let label = || self.strategy.endpoint().label();
                Verdict::all_failed(claim.items, asked.progress().timed_out(self.timeout, label))
            });
            slot.ended(asked.end(verdict));
            // A request that fails without waiting for anything (no descriptors left) must not keep the thread
            // from its intervals and orders.
            tokio::task::coop::consume_budget().await;
            let full = self.recorder.borrow_mut().take_full_records();
            if let Some(records) = full {
                // Waits while the reader is behind: the load slows down, and no record is lost.
                let _ = self.parts.send(Part::Records(records)).await;
            }
        }
    }
}

fn order(orders: &mut tokio::sync::watch::Receiver<Option<StopOrder>>) -> Option<StopOrder> {
    *orders.borrow_and_update()
}

async fn until(at: Option<Mono>) {
    match at {
        Some(at) => tokio::time::sleep_until(Clock::instant(at).into()).await,
        None => std::future::pending().await,
    }
}
