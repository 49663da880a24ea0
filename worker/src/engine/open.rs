//! Open load on one thread: requests start at their own times.
//!
//! ```text
//!   alarm rings --+
//!                 +--> pump: Pacer::step .. --Send--> an idle place (or a new one) --> the request
//!   request ends -+                        --GiveUp-> recorder
//! ```
//!
//! Whoever comes first asks the pacer: the alarm's task, or a place whose request has just ended. So nothing that is
//! due waits behind the answers of others for the alarm's task to get its turn.
//!
//! Where much is due at once (a burst, or the processor was away for a while), it goes in turns of [`BURST`], and in
//! between the answers that have come are read, of which each sends what is due next. One more place, which may mean
//! one more connection, is taken only after a look that brought no answer. Sent all together, each request would open a
//! connection of its own since no other had its answer read yet; opening them takes longer than the time that they are
//! late by, and a load that the machine carries with ease would never be on time again.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::load::{Limits, NO_LIMIT, OpenLoad};
use tokio::sync::Notify;

use super::load::{Context, Desk};
use crate::pacer::{Alarm, Due, GIVEN_UP, Pacer, Step};
use crate::schedule::Arrivals;

/// Requests that are sent before the answers of others are looked at.
const BURST: u32 = 16;

/// One thread's part of an open load.
pub(super) struct Open {
    pacer: RefCell<Pacer<Arrivals>>,
    alarm: Alarm,
    /// When the alarm is to ring, and what it is to be set to then; it has yet to be set.
    wake_at: Cell<Option<(Mono, Option<Mono>)>>,
    /// Places without a request, the last used last: few places stay warm.
    idle: RefCell<Vec<Rc<Place>>>,
    /// Requests that have ended.
    ended: Cell<u64>,
    over: Cell<bool>,
    /// The alarm's task has something to do.
    turn: Notify,
}

/// A task that sends one request at a time.
#[derive(Default)]
struct Place {
    order: Cell<Option<Order>>,
    waker: Cell<Option<Waker>>,
}

#[derive(Clone, Copy)]
struct Order {
    due: Due,
    intended: Mono,
}

impl Place {
    fn give(&self, order: Order) {
        self.order.set(Some(order));
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The next order; `None`: there will be none.
    async fn order(&self, open: &Open) -> Option<Order> {
        std::future::poll_fn(|cx| {
            if let Some(order) = self.order.take() {
                return Poll::Ready(Some(order));
            }
            if open.over.get() {
                return Poll::Ready(None);
            }
            self.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }
}

impl Open {
    /// A thread's part: the lanes that fall to thread `of.0` of `of.1`, in `places` places.
    ///
    /// # Errors
    /// When the system gives no timer.
    pub(super) fn new(
        load: &Arc<OpenLoad>,
        limits: Limits,
        size: NonZeroU32,
        of: (usize, usize),
        places: usize,
        start: Mono,
    ) -> std::io::Result<Self> {
        let arrivals = Arrivals::new(load, limits, size, of);
        Ok(Self {
            pacer: RefCell::new(Pacer::new(arrivals, start, places, load.when_full)),
            alarm: Alarm::new()?,
            wake_at: Cell::new(None),
            idle: RefCell::default(),
            ended: Cell::new(0),
            over: Cell::new(false),
            turn: Notify::new(),
        })
    }

    /// Sends what is due until nothing is left, each request in a task of `context`'s crowd.
    pub(super) async fn drive(self: Rc<Self>, context: Rc<Context>) {
        let mut grow = true;
        loop {
            while self.pump(&context, BURST, grow) {
                let ended = self.ended.get();
                // Comes back after the runtime has looked at the network, and answers have been read.
                tokio::task::yield_now().await;
                grow = self.ended.get() == ended;
            }
            if self.over.get() {
                return;
            }
            // Sends first: setting a timer takes the system as long as some microseconds, which they would be late by.
            context.crowd.next_turn().await;
            self.set_alarm();
            tokio::select! {
                rung = self.alarm.rung() => {
                    if let Some(rung) = rung {
                        context.poll_delay.heard(rung, &context.recorder);
                    }
                    grow = true;
                }
                () = self.turn.notified() => grow = false,
            }
        }
    }

    /// Sends nothing more. What is still to come, or waits for a place, the collector counts as not sent.
    pub(super) fn stop(self: &Rc<Self>, context: &Rc<Context>) {
        if !self.over.get() {
            self.pacer.borrow_mut().close();
            self.pump(context, 1, false);
        }
    }

    /// Sends what is due, at most so many, and at most one of them, where it may `grow`, in a new place. Whether more is
    /// due.
    fn pump(self: &Rc<Self>, context: &Rc<Context>, most: u32, mut grow: bool) -> bool {
        let mut sent = 0;
        loop {
            // Anew for each: a burst of sends takes time itself.
            let now = Clock::now();
            let enough = sent == most || (!grow && self.idle.borrow().is_empty());
            if enough && self.pacer.borrow().is_due(now) {
                return true;
            }
            let step = self.pacer.borrow_mut().step(now);
            match step {
                Step::Send { due, intended, lateness } => {
                    sent += 1;
                    if let Some(lateness) = lateness {
                        context.recorder.borrow_mut().took_up(due.claim.phase, lateness);
                    }
                    grow &= !self.send(context, Order { due, intended });
                }
                Step::GiveUp { due, intended } => {
                    context.recorder.borrow_mut().gave_up(due.claim, intended, GIVEN_UP, now);
                }
                Step::Wait { at, then } => {
                    self.wake_at.set(Some((at, then)));
                    return false;
                }
                Step::Full(until) => {
                    self.wake_at.set(until.map(|until| (until, None)));
                    return false;
                }
                Step::Done => {
                    self.over.set(true);
                    self.turn.notify_one();
                    self.idle.borrow().iter().for_each(|place| place.wake());
                    return false;
                }
            }
        }
    }

    /// Sets the alarm to what was to be waited for last.
    fn set_alarm(&self) {
        if let Some((at, then)) = self.wake_at.take() {
            self.alarm.set(at, then);
        }
    }

    /// Whether it went to a new place.
    fn send(self: &Rc<Self>, context: &Rc<Context>, order: Order) -> bool {
        let idle = self.idle.borrow_mut().pop();
        if let Some(place) = idle {
            place.give(order);
            return false;
        }
        let place = Rc::new(Place::default());
        place.order.set(Some(order));
        context.crowd.spawn(Rc::clone(self).place(Rc::clone(context), place));
        true
    }

    async fn place(self: Rc<Self>, context: Rc<Context>, place: Rc<Place>) {
        let mut desk = Desk::new(context.timeout);
        while let Some(Order { due, intended }) = place.order(&self).await {
            let ended = context.request(&mut desk, due.claim, intended, Some(due.lane)).await;
            context.hand_over_records().await;
            self.pacer.borrow_mut().release(ended);
            self.idle.borrow_mut().push(Rc::clone(&place));
            self.ended.set(self.ended.get() + 1);
            // Its connection has just become free for one, and one alone.
            if self.pump(&context, 1, false) {
                self.turn.notify_one();
            } else {
                self.set_alarm();
            }
        }
    }
}

/// Places that a thread needs at least to be worth having: with fewer, one thread would often be full while another
/// has places to spare, and with none it could never send what falls to it.
const PLACES_OF_A_THREAD: u32 = 128;

/// Threads that share an open load when `in_flight` are allowed together, out of `threads`.
pub(super) fn senders(in_flight: u32, threads: usize) -> usize {
    let worth = usize::try_from(in_flight / PLACES_OF_A_THREAD).unwrap_or(usize::MAX);
    worth.clamp(1, threads)
}

/// Places of thread `index` out of `senders`.
pub(super) fn places(in_flight: u32, senders: usize, index: usize) -> usize {
    match in_flight {
        NO_LIMIT => usize::MAX / 2,
        _ if index >= senders => 0,
        _ => crate::schedule::slots(in_flight, senders, index),
    }
}

#[cfg(test)]
mod burst_tests;
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_limit_holds_and_no_sender_is_without_a_place(in_flight in 1u32..5_000, threads in 1usize..70) {
            let senders = senders(in_flight, threads);
            let places: Vec<_> = (0..threads).map(|i| places(in_flight, senders, i)).collect();
            prop_assert_eq!(places.iter().sum::<usize>(), in_flight as usize);
            prop_assert!(places[..senders].iter().all(|p| *p > 0));
        }
    }

    #[test]
    fn without_a_limit_every_thread_sends() {
        assert_eq!(senders(NO_LIMIT, 7), 7);
    }
}
