//! How far a request has come, readable at any time: when it times out or is cut off, this is what is known.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt::Write as _;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::FailureKind;

use super::Failure;

/// What a request waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The host name's addresses.
    #[default]
    Resolving,
    /// A connection.
    Connecting,
    /// The handshake of TLS.
    Securing,
    /// The head of the answer.
    Head,
    /// The rest of the answer's body.
    Body,
    /// The next status poll of an asynchronous job.
    Polling,
}

/// Kept by one request, filled in by the driver and the strategy.
#[derive(Debug)]
pub(crate) struct Progress {
    phase: Cell<Phase>,
    /// The last time that the clock was read for this request.
    now: Cell<Mono>,
    first_byte: Cell<Option<Mono>>,
    bytes: Cell<u64>,
    // Apart: most requests have nothing of it, and each is made, moved and kept while it is in flight.
    rare: OnceCell<Box<Rare>>,
}

/// What few requests come to: a new connection, a redirect, polls.
#[derive(Debug, Default)]
struct Rare {
    connections: Cell<u32>,
    resolving: Cell<Option<Duration>>,
    connecting: Cell<Option<Duration>>,
    securing: Cell<Option<Duration>>,
    redirects: Cell<u64>,
    polls: Cell<u64>,
    call: RefCell<String>,
    job_state: RefCell<String>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::starting(Clock::now())
    }
}

impl Progress {
    /// Of a request that goes out now.
    pub(crate) fn starting(now: Mono) -> Self {
        Self {
            phase: Cell::default(),
            now: Cell::new(now),
            first_byte: Cell::default(),
            bytes: Cell::default(),
            rare: OnceCell::new(),
        }
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// The last time that the clock was read for this request; of one that has ended, when it did. Reading it again
    /// would cost each request a part of its time, and nothing that a driver decides by it is that close.
    pub(crate) fn now(&self) -> Mono {
        self.now.get()
    }

    /// Reads the clock.
    pub(crate) fn tick(&self) -> Mono {
        let now = Clock::now();
        self.now.set(now);
        now
    }

    /// Enters a phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// The head of an answer is here, and its first byte came at `first`. Of several answers to one request
    /// (submit and polls) the first counts.
    pub(crate) fn head_arrived(&self, first: Mono) {
        if self.first_byte.get().is_none() {
            self.first_byte.set(Some(first));
        }
        self.phase.set(Phase::Body);
    }

    /// A host name's addresses are there. Of several connections for one request the last counts, here and below.
    pub(crate) fn resolved(&self, took: Duration) {
        self.rare().resolving.set(Some(took));
    }

    /// A connection was opened; resolving is part of what it took.
    pub(crate) fn connected(&self, took: Duration) {
        let rare = self.rare();
        rare.connections.set(rare.connections.get() + 1);
        rare.connecting.set(Some(took));
        rare.securing.set(None);
    }

    /// A connection is secure, after a handshake that took so long.
    pub(crate) fn secured(&self, took: Duration) {
        self.rare().securing.set(Some(took));
    }

    /// Body bytes came in.
    pub(crate) fn received(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    /// A redirect is followed: the answer that counts is yet to come. `call` names the new one.
    pub(crate) fn redirected(&self, call: String) {
        let rare = self.rare();
        rare.redirects.set(rare.redirects.get() + 1);
        self.first_byte.set(None);
        rare.call.replace(call);
    }

    /// A status poll goes out. `call` names it.
    pub(crate) fn polled(&self, call: String) {
        self.tick();
        let rare = self.rare();
        rare.polls.set(rare.polls.get() + 1);
        rare.call.replace(call);
    }

    /// What the job said last.
    pub(crate) fn job_state(&self, state: &str) {
        let mut kept = self.rare().job_state.borrow_mut();
        kept.clear();
        kept.push_str(state);
    }

    /// When the answer's first byte came.
    pub(crate) fn first_byte(&self) -> Option<Mono> {
        self.first_byte.get()
    }

    /// Connections opened for this request.
    pub(crate) fn connections(&self) -> u32 {
        self.rare.get().map_or(0, |rare| rare.connections.get())
    }

    /// What resolving the host name took, if a connection was opened.
    #[cfg_attr(not(test), expect(dead_code, reason = "not recorded yet"))]
    pub(crate) fn resolving(&self) -> Option<Duration> {
        self.rare.get()?.resolving.get()
    }

    /// What opening a connection took, name and TCP, if one was opened.
    pub(crate) fn connecting(&self) -> Option<Duration> {
        self.rare.get()?.connecting.get()
    }

    /// What the handshake of TLS took, if there was one.
    pub(crate) fn securing(&self) -> Option<Duration> {
        self.rare.get()?.securing.get()
    }

    /// Body bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Redirects followed so far.
    pub(crate) fn redirects(&self) -> u64 {
        self.rare.get().map_or(0, |rare| rare.redirects.get())
    }

    /// Polls sent so far.
    pub(crate) fn polls(&self) -> u64 {
        self.rare.get().map_or(0, |rare| rare.polls.get())
    }

    /// The failure of a request that has not ended in time. `first_call` names the request's own call, which
    /// stands until a redirect or a poll replaces it.
    pub(crate) fn timed_out(&self, after: Duration, first_call: impl FnOnce() -> String) -> Failure {
        let (kind, what) = match self.phase.get() {
            Phase::Resolving => (FailureKind::Dns, "the host name did not resolve".to_owned()),
            Phase::Connecting => (FailureKind::Connect, "no connection".to_owned()),
            Phase::Securing => (FailureKind::Tls, "connected, but no TLS handshake".to_owned()),
            Phase::Head => (FailureKind::Timeout, "no answer".to_owned()),
            Phase::Body => {
                (FailureKind::Timeout, format!("the answer stalled after {} body bytes", self.bytes.get()))
            }
            Phase::Polling => (FailureKind::Timeout, "the job has not ended".to_owned()),
        };
        let rare = self.rare();
        let call = rare.call.borrow();
        let call = if call.is_empty() { first_call() } else { call.clone() };
        let mut text = format!("{call}: {what} within {after:?}");
        if self.polls() > 0 || self.phase.get() == Phase::Polling {
            let state = rare.job_state.borrow();
            let state = if state.is_empty() { "none" } else { state.as_str() };
            // Writing to a String does not fail.
            let _ = write!(text, "; last state `{state}` after {} polls", self.polls());
        }
        Failure { kind, text }
    }
}
