//! What a stretch of load recorded: deltas that merge, intervals and records made of them.

use crate::clock::Mono;
use crate::failure::{FailureKind, Failures, NotSent, NotSentReason};
use crate::health::Health;
use crate::id::TrialId;
use crate::latency::Latency;
use crate::units::Micros;

/// Counts and latencies of any stretch of a trial. Merging the tallies of all parts gives the whole's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Requests sent; an asynchronous job counts once, its polls apart.
    pub requests_sent: u64,
    /// Status polls sent.
    pub polls_sent: u64,
    /// Items that ended well.
    pub items_ok: u64,
    /// Items that failed. Equals the total of `failures`.
    pub items_failed: u64,
    /// Requests that ended with every item ok.
    pub requests_ok: u64,
    /// Requests that ended with at least one item failed.
    pub requests_failed: u64,
    /// Response bytes received, bodies only.
    pub bytes_received: u64,
    /// Redirects followed.
    pub redirects: u64,
    /// Connections opened.
    pub connections: u64,
    /// From the intended start to the end, of requests with at least one item ok.
    pub response_time: Latency,
    /// From the actual send to the end, of the same requests.
    pub service_time: Latency,
    /// From the actual send to the first byte of the answer, of the same requests.
    pub first_byte: Latency,
    /// Actual send minus intended start, of all requests.
    pub send_lateness: Latency,
    /// From the intended start to the end, of requests whose items all failed.
    pub failed_response_time: Latency,
    /// What the service itself says a generation took, where it says so.
    pub generation_time: Latency,
    /// From the intended start to the moment the pacer took it up, of all arrivals of an open load. What a request
    /// waits for a place in flight afterwards is part of `send_lateness` alone.
    pub pacer_lateness: Latency,
    /// Gaps between the sends of one lane of an open load, in millionths of the gap expected at that time.
    pub send_gap: Latency,
    /// From the intended start to the moment it was given up, of arrivals that were not sent.
    pub not_sent_wait: Latency,
    /// Name look-up and TCP connection, of connections opened.
    pub connect_time: Latency,
    /// TLS handshake, of connections opened.
    pub tls_time: Latency,
    /// Failed items by kind.
    pub failures: Failures,
    /// Items of arrivals that were not sent.
    pub not_sent: NotSent,
}

impl Tally {
    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        // Destructured so that a new field cannot be forgotten.
        let Self {
            requests_sent,
            polls_sent,
            items_ok,
            items_failed,
            requests_ok,
            requests_failed,
            bytes_received,
            redirects,
            connections,
            response_time,
            service_time,
            first_byte,
            send_lateness,
            failed_response_time,
            generation_time,
            pacer_lateness,
            send_gap,
            not_sent_wait,
            connect_time,
            tls_time,
            failures,
            not_sent,
        } = other;
        self.requests_sent += requests_sent;
        self.polls_sent += polls_sent;
        self.items_ok += items_ok;
        self.items_failed += items_failed;
        self.requests_ok += requests_ok;
        self.requests_failed += requests_failed;
        self.bytes_received += bytes_received;
        self.redirects += redirects;
        self.connections += connections;
        self.response_time.merge(response_time);
        self.service_time.merge(service_time);
        self.first_byte.merge(first_byte);
        self.send_lateness.merge(send_lateness);
        self.failed_response_time.merge(failed_response_time);
        self.generation_time.merge(generation_time);
        self.pacer_lateness.merge(pacer_lateness);
        self.send_gap.merge(send_gap);
        self.not_sent_wait.merge(not_sent_wait);
        self.connect_time.merge(connect_time);
        self.tls_time.merge(tls_time);
        self.failures.merge(failures);
        self.not_sent.merge(not_sent);
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        let Self {
            requests_sent,
            polls_sent,
            items_ok,
            items_failed,
            requests_ok,
            requests_failed,
            bytes_received,
            redirects,
            connections,
            response_time,
            service_time,
            first_byte,
            send_lateness,
            failed_response_time,
            generation_time,
            pacer_lateness,
            send_gap,
            not_sent_wait,
            connect_time,
            tls_time,
            failures,
            not_sent,
        } = self;
        for count in [
            requests_sent,
            polls_sent,
            items_ok,
            items_failed,
            requests_ok,
            requests_failed,
            bytes_received,
            redirects,
            connections,
        ] {
            *count = 0;
        }
        for latency in [
            response_time,
            service_time,
            first_byte,
            send_lateness,
            failed_response_time,
            generation_time,
            pacer_lateness,
            send_gap,
            not_sent_wait,
            connect_time,
            tls_time,
        ] {
            latency.clear();
        }
        failures.clear();
        not_sent.clear();
    }

    /// Whether everything that ended says that the strategy has no endpoint at this service.
    pub fn finds_no_endpoint(&self) -> bool {
        self.items_ok == 0
            && self.items_failed > 0
            && self.failures.iter().all(|(kind, _)| kind.means_no_endpoint())
    }

    /// Items that were sent and reached an end.
    pub fn items_ended(&self) -> u64 {
        self.items_ok + self.items_failed
    }

    /// Whether nothing at all happened.
    pub fn is_empty(&self) -> bool {
        self.requests_sent == 0
            && self.items_ended() == 0
            && self.not_sent.total() == 0
            && self.pacer_lateness.is_empty()
    }
}

/// Which part of a trial something belongs to, by its intended start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before measuring begins; counted apart.
    Warmup,
    /// What the results are made of.
    #[default]
    Measure,
}

/// What one worker recorded since its previous interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// The trial it belongs to.
    pub trial: TrialId,
    /// Counts a worker's intervals of a trial from 0 without holes.
    pub seq: u64,
    /// Span covered, on the worker's clock.
    pub from: Mono,
    /// End of the span.
    pub to: Mono,
    /// Which phase the tally is of. A worker gives off an interval for each phase in which something happened.
    pub phase: Phase,
    /// Requests in flight at `to`, of both phases.
    pub in_flight: u64,
    /// Everything that happened in the span.
    pub tally: Tally,
    /// How the generator itself fared. `None` on the second interval of a span.
    pub health: Option<Box<Health>>,
}

/// Some requests that ended, in detail.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// The trial they belong to.
    pub trial: TrialId,
    /// Counts a worker's record messages of a trial from 0 without holes.
    pub seq: u64,
    /// The requests, in the order of their end.
    pub records: Vec<Record>,
}

/// One request that ended, or an arrival that was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which phase it belongs to.
    pub phase: Phase,
    /// Index of its first item.
    pub first_item: u64,
    /// Items it asked for.
    pub items: u32,
    /// Items that ended well; at most `items`.
    pub items_ok: u32,
    /// Intended start on the worker's clock.
    pub intended: Mono,
    /// Intended start to end: exactly the value in the histogram.
    pub response_time: Micros,
    /// Actual send to end.
    pub service_time: Micros,
    /// The service's own figure.
    pub generation_time: Option<Micros>,
    /// What went wrong, when not every item was ok.
    pub error: Option<(FailureKind, String)>,
    /// Set when it was never sent; `response_time` is then what it had waited, `service_time` zero.
    pub not_sent: Option<NotSentReason>,
}
