//! *How* a request travels: drivers behind one port.
//!
//! ```text
//!   strategy --Endpoint, body--> Client --(redirects, up to 5)--> Driver --> Answer or Failure
//!                                          Direct   HTTP/1.1, plain or TLS, on the connection itself
//!                                          General  HTTP/2 and proxies, through reqwest
//!
//!   Direct:  Pool (free?) -- else Connector, or Pool again --> Stream -- one write --> service
//!            Answer <-- Reader <-- one read into a lent buffer <-- Stream
//! ```
//!
//! | file | duty |
//! |---|---|
//! | [`client`] | picks the driver, follows redirects |
//! | [`direct`] | one exchange on a connection of HTTP/1.1 |
//! | [`general`] | one exchange through reqwest, and the connections that it opens |
//! | [`h1`] | HTTP/1.1 as bytes, without input and output |
//! | [`connect`] | from an origin to a connection |
//! | [`stream`] | a connection's bytes, plain or over TLS |
//! | [`tls`] | whom to trust |
//! | [`pool`] | free connections of [`direct`], and who waits for one |
//! | [`buffers`] | the read buffers of a load thread |
//! | [`resolve`] | host names to addresses |
//! | [`endpoint`] | a URL with its headers, worked out once |
//! | [`answer`] | what came back |
//! | [`progress`] | how far a request has come, for timeouts |
//! | [`classify`] | error chain to failure kind |
//!
//! # Nothing is sent twice
//! A request goes to the service once. The one exception is a kept connection that turns out to be closed
//! before a single byte of the request was written to it: only then it goes out on another connection. Over TLS
//! it cannot be told what was written before an error, so there the look at the connection beforehand has to
//! do. hyper-util, under reqwest, has the same rule: its `retry_canceled_requests` resends only a request that
//! was handed back unsent. reqwest's own retries are switched off for HTTP/1.1.
//!
//! HTTP/2 tells more: a service that ends a connection names the last request that it has begun (GOAWAY), and may
//! refuse one (REFUSED_STREAM). What it has not begun, reqwest sends again, at most twice; without that, each end
//! of a connection, which nginx brings about after a thousand requests, would fail all that is in flight on it.
//!
//! # Kept connections
//! Before a kept connection is used, what the runtime knows about its socket is looked at: a close, or bytes
//! that nobody asked for, end it. The runtime is told of such things once in a turn, so a connection that has
//! been idle for a millisecond or more is looked at by a system call as well.
//!
//! # New connections
//! A request that finds no connection free begins to open one. If that takes long, it takes whichever comes first: its
//! own, or one that becomes free. Where a service was held up, its system drops attempts to connect beyond those that wait
//! to be accepted already, and until they are made again the service has long answered on the connections that it has.
//! What was begun is finished for others, unless it seems lost, and counts with one of the next requests. hyper-util's
//! pool, under reqwest, has nearly the same rule: there a request does not wait at all before it looks for another.
//!
//! # One more driver
//! is one file with a [`Driver`] in it, and one line in [`client`]; the contract suite at the end of
//! `drive/contract_tests` runs it through every misbehaviour that a service is known for.

mod answer;
mod buffers;
mod classify;
mod client;
mod connect;
#[cfg(test)]
mod contract_tests;
mod direct;
mod endpoint;
mod general;
mod h1;
mod pool;
mod progress;
mod resolve;
mod stream;
mod tls;

use fluxfleet_proto::failure::FailureKind;

pub(crate) use answer::{Answer, Body};
pub(crate) use client::{Client, ClientOptions};
pub(crate) use endpoint::{Endpoint, HeaderSet, InvalidUrl};
#[cfg(test)]
pub(crate) use fluxfleet_proto::trial::DriverChoice;
pub(crate) use fluxfleet_proto::trial::HttpVersion;
pub(crate) use progress::{Phase, Progress};
#[cfg(test)]
pub(crate) use tls::TlsOptions;

/// A connection idle for longer is not used again. uvicorn and hypercorn close theirs after 5 s, and a request
/// written into that close is lost.
pub(crate) const IDLE_LIMIT: std::time::Duration = std::time::Duration::from_secs(4);

/// Why there is no answer, or why the answer is no item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// What was asked, what came back, what to do.
    pub(crate) text: String,
}

/// Sends one request and collects its answer. Does not follow redirects, does not watch the time: the caller
/// drops the future when the time is up, and the connection with it.
pub(crate) trait Driver {
    /// One exchange. `limit` is the longest body accepted, in bytes.
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        body: &[u8],
        limit: u64,
        progress: &Progress,
    ) -> Result<Answer, Failure>;
}
