//! A load thread: one runtime, one client, its own connections and recorder.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::load::{Limits, OpenLoad};
use fluxfleet_proto::trial::Target;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::crowd::Crowd;
use super::deadline::Deadline;
use super::gate::Release;
use super::open::{Open, places, senders};
use super::poll_delay::PollDelay;
use super::precedence::{self, Precedence};
use super::shared::{Control, Finished, Flushed, Part};
use crate::claim::Claim;
use crate::drive::{Client, ClientOptions};
use crate::health::thread_time;
use crate::judge::{Glance, Verdict};
use crate::record::{Asked, Gaps, Recorder, Tallies};
use crate::schedule::{ClosedSlot, slots};
use crate::stop::StopOrder;
use crate::strategy::Strategy;

/// Turns that the tasks of an open load have before the runtime looks for what the network and the timers have brought:
/// an arrival that is due should not wait for many answers. A closed load gains from looking seldom.
const TURNS_OPEN: usize = 16;
/// See [`TURNS_OPEN`].
const TURNS_CLOSED: usize = 128;

/// How often the thread looks for what has become of its connections and of its place before others.
const SWEEP: Duration = Duration::from_secs(1);

/// What a load thread is given.
pub(super) struct Load {
    /// Its number, from 0, and how many there are.
    pub(super) thread: usize,
    pub(super) threads: usize,
    pub(super) control: Arc<Control>,
    pub(super) strategy: Arc<Strategy>,
    pub(super) target: Arc<Target>,
    /// Requests that all threads hold in flight together.
    pub(super) in_flight: u32,
    /// `None`: closed.
    pub(super) open: Option<Arc<OpenLoad>>,
    pub(super) limits: Limits,
    /// Empty ones to begin with.
    pub(super) tallies: Tallies,
    pub(super) records: bool,
    pub(super) parts: mpsc::Sender<Part>,
    /// Empty tallies for each interval that is to be handed over.
    pub(super) flushes: mpsc::Receiver<Tallies>,
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
    let runtime = Builder::new_current_thread()
        .enable_all()
        // The crowd is one task to the runtime, and knows itself how long its turn may last. Not 1: then the runtime looks
        // at the network once more, in vain, before it sleeps.
        .event_interval(2)
        // Such as look up host names.
        .on_thread_start(precedence::renounce)
        .build_local(LocalOptions::default());
    let last = match runtime {
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
    let client = match ClientOptions::of(&load.target) {
        Ok(options) => Client::new(options),
        Err(why) => return Part::Unable(why),
    };
    let warmed = {
        let _context = runtime.enter();
        client.warm_up(&load.strategy.endpoint().origin)
    };
    if let Err(failure) = warmed {
        return Part::Unable(failure.text);
    }
    // A closed load has nothing that is due, and would only take the processor from a service on the same machine.
    let precedence = load.open.as_ref().map(|_| Precedence::claim(thread_time(), Clock::now()));
    let _ = load.parts.blocking_send(Part::Ready);
    let thread = load.thread;
    let Some(planned) = load.control.gate.ordered() else {
        let recorder = RefCell::new(Recorder::new(load.tallies, load.records, None));
        return finished(thread, &recorder);
    };
    // All that can be made before the start is: what comes after it, the first requests wait for. An open load's
    // arrivals count from the planned instant, which is one for the whole fleet; a closed load's from the moment its
    // slots were really free.
    let gaps = load.open.as_ref().and_then(|open| Gaps::new(open, planned));
    let begun = {
        let _context = runtime.enter();
        load.begin(planned)
    };
    let begin = match begun {
        Ok(begin) => begin,
        Err(e) => {
            return Part::Unable(format!("no timer for the arrivals ({e}); check the limit on open files"));
        }
    };
    let (context, flushes) = load.context(client, gaps);
    let context = Rc::new(context);
    if let Some(release) = context.control.gate.pass(planned) {
        runtime.block_on(context.drive(begin, release, flushes, precedence));
    }
    finished(thread, &context.recorder)
}

fn finished(thread: usize, recorder: &RefCell<Recorder>) -> Part {
    let last = flush(recorder, Tallies::default());
    let active = recorder.borrow().active();
    Part::Finished(thread, Box::new(Finished { last, active }))
}

fn flush(recorder: &RefCell<Recorder>, spare: Tallies) -> Flushed {
    let mut recorder = recorder.borrow_mut();
    Flushed {
        tallies: recorder.swap(spare),
        records: recorder.take_records(),
        in_flight: recorder.in_flight(),
        socket_errors: recorder.take_socket_errors(),
        processor_time: thread_time(),
        at: Clock::now(),
    }
}

/// What the thread sends, when.
enum Begin {
    /// So many slots.
    Closed(usize),
    Open(Rc<Open>),
}

impl Load {
    /// What its tasks share, and where it is asked for what was recorded.
    pub(super) fn context(self, client: Client, gaps: Option<Gaps>) -> (Context, mpsc::Receiver<Tallies>) {
        let context = Context {
            thread: self.thread,
            control: self.control,
            strategy: self.strategy,
            timeout: self.target.timeout,
            client,
            glance: Glance::default(),
            recorder: RefCell::new(Recorder::new(self.tallies, self.records, gaps)),
            crowd: Crowd::default(),
            poll_delay: PollDelay::new(),
            parts: self.parts,
        };
        (context, self.flushes)
    }

    /// The thread's own share of the load; an open one counts from `start`.
    ///
    /// # Errors
    /// When the system gives no timer.
    fn begin(&self, start: Mono) -> std::io::Result<Begin> {
        let Some(open) = &self.open else {
            return Ok(Begin::Closed(slots(self.in_flight, self.threads, self.thread)));
        };
        let senders = senders(self.in_flight, self.threads);
        let places = places(self.in_flight, senders, self.thread);
        let of = (self.thread, senders);
        let open = Open::new(open, self.limits, self.strategy.size(), of, places, start)?;
        Ok(Begin::Open(Rc::new(open)))
    }
}

/// What one task needs from request to request.
pub(super) struct Desk {
    body: Vec<u8>,
    deadline: Deadline,
}

impl Desk {
    /// For requests that may take `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { body: Vec::new(), deadline: Deadline::new(timeout) }
    }
}

/// What the tasks of a thread share. Never leaves the thread, so nothing in it is locked.
pub(super) struct Context {
    thread: usize,
    control: Arc<Control>,
    strategy: Arc<Strategy>,
    pub(super) timeout: Duration,
    client: Client,
    glance: Glance,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) crowd: Crowd,
    pub(super) poll_delay: PollDelay,
    parts: mpsc::Sender<Part>,
}

impl Context {
    /// Runs the load until all requests have ended or are cut off, and hands over intervals meanwhile.
    async fn drive(
        self: &Rc<Self>,
        begin: Begin,
        release: Release,
        mut flushes: mpsc::Receiver<Tallies>,
        mut precedence: Option<Precedence>,
    ) {
        let open = match begin {
            Begin::Closed(slots) => {
                for _ in 0..slots {
                    self.crowd.spawn(Rc::clone(self).slot(ClosedSlot::new(release.at), release.at));
                }
                None
            }
            Begin::Open(open) => {
                self.crowd.spawn(Rc::clone(&open).drive(Rc::clone(self)));
                Some(open)
            }
        };
        let looked_at = Rc::clone(self);
        let looks =
            tokio::task::spawn_local(async move { looked_at.poll_delay.run(&looked_at.recorder).await });
        // After the first requests are on their way: this may wait, they must not.
        let started = self.parts.send(Part::Started(self.thread, release.at, thread_time()));
        tokio::pin!(started);
        let (mut told, mut cut) = (false, false);
        let mut orders = self.control.orders();
        let mut cut_off = self.control.order().map(|o| o.cut_off);
        let mut sweep = tokio::time::interval_at(tokio::time::Instant::now() + SWEEP, SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ended = tokio::task::spawn_local(Rc::clone(self).run(open.is_some()));
        loop {
            if let (Some(open), Some(_)) = (&open, cut_off) {
                open.stop(self);
            }
            tokio::select! {
                _ = &mut started, if !told => told = true,
                ended = &mut ended => {
                    ended.expect("no task that sends requests panics");
                    break;
                }
                Some(spare) = flushes.recv() => {
                    let flushed = flush(&self.recorder, spare);
                    let _ = self.parts.send(Part::Flushed(self.thread, Box::new(flushed))).await;
                }
                Ok(()) = orders.changed() => cut_off = order(&mut orders).map(|o| o.cut_off),
                () = until(cut_off), if !cut => {
                    // Dropped requests count themselves as interrupted.
                    self.crowd.end();
                    cut = true;
                }
                _ = sweep.tick() => {
                    self.client.sweep();
                    if let Some(precedence) = &mut precedence {
                        precedence.review(thread_time(), Clock::now());
                    }
                }
            }
        }
        looks.abort();
        if !told {
            // A trial may be over within one turn of the loop.
            let _ = started.await;
        }
    }

    /// Runs the requests.
    async fn run(self: Rc<Self>, open: bool) {
        if open {
            self.crowd.run(TURNS_OPEN).await;
        } else {
            // The runtime's budget for a task is meant for one request at a time.
            tokio::task::coop::unconstrained(self.crowd.run(TURNS_CLOSED)).await;
        }
    }

    /// One place in a closed load: asks for the next items as soon as the last ones have ended.
    async fn slot(self: Rc<Self>, mut slot: ClosedSlot, start: Mono) {
        let mut desk = Desk::new(self.timeout);
        let size = self.strategy.size().get();
        while let Some(claim) = self.control.claims.claim(size, slot.intended().since(start)) {
            let ended = self.request(&mut desk, claim, slot.intended(), None).await;
            slot.ended(ended);
            self.hand_over_records().await;
            self.crowd.next_turn().await;
        }
    }

    /// Asks for some items and records how that ended; returns when.
    pub(super) async fn request(
        &self,
        desk: &mut Desk,
        claim: Claim,
        intended: Mono,
        lane: Option<u32>,
    ) -> Mono {
        let Desk { body, deadline } = desk;
        self.strategy.render(claim, body);
        let asked = Asked::begin(&self.recorder, claim, intended, lane);
        let verdict = {
            let Self { client, glance, .. } = self;
            let answer = pin!(self.strategy.ask(claim, body, client, glance, asked.progress()));
            deadline.within(asked.sent() + self.timeout, answer).await
        };
        let verdict = verdict.unwrap_or_else(|| {
            let label = || self.strategy.endpoint().label();
            asked.progress().tick();
            Verdict::all_failed(claim.items, asked.progress().timed_out(self.timeout, label))
        });
        let ended = asked.end(verdict);
        // A request that fails without waiting for anything (no descriptors left) must not keep the thread from its
        // intervals and orders.
        tokio::task::coop::consume_budget().await;
        ended
    }

    /// Gives the collector its records once there are enough of them.
    pub(super) async fn hand_over_records(&self) {
        let full = self.recorder.borrow_mut().take_full_records();
        if let Some(records) = full {
            // Waits while the reader is behind: a closed load slows down, and no record is lost.
            let _ = self.parts.send(Part::Records(records)).await;
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
