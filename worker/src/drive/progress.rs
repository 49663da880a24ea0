//! How far a request has come, readable at any time: when it times out or is cut off, this is what is known.

use std::cell::{Cell, RefCell};
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
    /// The head of the answer.
    Head,
    /// The rest of the answer's body.
    Body,
    /// The next status poll of an asynchronous job.
    Polling,
}

/// Kept by one request, filled in by the driver and the strategy.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: Cell<Phase>,
    first_byte: Cell<Option<Mono>>,
    bytes: Cell<u64>,
    redirects: Cell<u64>,
    polls: Cell<u64>,
    call: RefCell<String>,
    job_state: RefCell<String>,
}

impl Progress {
    /// Enters a phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// The head of an answer is here. Of several answers to one request (submit and polls) the first counts.
    pub(crate) fn head_arrived(&self) {
        if self.first_byte.get().is_none() {
            self.first_byte.set(Some(Clock::now()));
        }
        self.phase.set(Phase::Body);
    }

    /// Body bytes came in.
    pub(crate) fn received(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    /// A redirect is followed: the answer that counts is yet to come. `call` names the new one.
    pub(crate) fn redirected(&self, call: String) {
        self.redirects.set(self.redirects.get() + 1);
        self.first_byte.set(None);
        self.call.replace(call);
    }

    /// A status poll goes out. `call` names it.
    pub(crate) fn polled(&self, call: String) {
        self.polls.set(self.polls.get() + 1);
        self.call.replace(call);
    }

    /// What the job said last.
    pub(crate) fn job_state(&self, state: &str) {
        let mut kept = self.job_state.borrow_mut();
        kept.clear();
        kept.push_str(state);
    }

    /// When the answer's first byte came.
    pub(crate) fn first_byte(&self) -> Option<Mono> {
        self.first_byte.get()
    }

    /// Body bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Redirects followed so far.
    pub(crate) fn redirects(&self) -> u64 {
        self.redirects.get()
    }

    /// Polls sent so far.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// The failure of a request that has not ended in time. `first_call` names the request's own call, which
    /// stands until a redirect or a poll replaces it.
    pub(crate) fn timed_out(&self, after: Duration, first_call: impl FnOnce() -> String) -> Failure {
        let (kind, what) = match self.phase.get() {
            Phase::Resolving => (FailureKind::Dns, "the host name did not resolve".to_owned()),
            Phase::Connecting => (FailureKind::Connect, "no connection".to_owned()),
            Phase::Head => (FailureKind::Timeout, "no answer".to_owned()),
            Phase::Body => {
                (FailureKind::Timeout, format!("the answer stalled after {} body bytes", self.bytes.get()))
            }
            Phase::Polling => (FailureKind::Timeout, "the job has not ended".to_owned()),
        };
        let call = self.call.borrow();
        let call = if call.is_empty() { first_call() } else { call.clone() };
        let mut text = format!("{call}: {what} within {after:?}");
        if self.polls.get() > 0 || self.phase.get() == Phase::Polling {
            let state = self.job_state.borrow();
            let state = if state.is_empty() { "none" } else { state.as_str() };
            // Writing to a String does not fail.
            let _ = write!(text, "; last state `{state}` after {} polls", self.polls.get());
        }
        Failure { kind, text }
    }
}
