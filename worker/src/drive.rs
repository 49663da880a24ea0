//! *How* a request travels: HTTP/1.1 drivers behind one port.
//!
//! ```text
//!   strategy --Endpoint, body--> Client --(redirects, up to 5)--> Driver --> Answer or Failure
//!                                          http:  Direct  hyper's connection, own keep-alive pool
//!                                          https: Tls     reqwest over rustls
//! ```
//!
//! | file | duty |
//! |---|---|
//! | [`client`] | picks the driver by scheme, follows redirects |
//! | [`direct`] | plain HTTP on `hyper::client::conn::http1` |
//! | [`tls`] | HTTPS through reqwest |
//! | [`pool`] | idle connections of [`direct`] |
//! | [`resolve`] | host names to addresses |
//! | [`endpoint`] | a URL with its headers, worked out once |
//! | [`body`] | collects an answer's body within its limit |
//! | [`progress`] | how far a request has come, for timeouts |
//! | [`classify`] | error chain to failure kind |
//!
//! # Nothing is sent twice
//! A request goes to the service once. The one exception is a kept connection that turns out to be closed
//! before a single byte of the request was written to it: hyper hands such a request back
//! (`TrySendError::take_message`), and only then it goes out on another connection. hyper-util, under reqwest,
//! has the same rule: its `retry_canceled_requests` resends only a request that hyper handed back. reqwest's
//! own retries are switched off.
//!
//! # One more driver
//! is one file with a [`Driver`] in it, and one line in [`client`]; the contract suite at the end of
//! `drive/contract_tests.rs` runs it through every misbehaviour that a service is known for.

mod body;
mod classify;
mod client;
#[cfg(test)]
mod contract_tests;
mod direct;
mod endpoint;
mod pool;
mod progress;
mod resolve;
mod tls;

use bytes::Bytes;
use fluxfleet_proto::failure::FailureKind;
use http::{HeaderMap, StatusCode};

pub(crate) use client::Client;
pub(crate) use endpoint::{Endpoint, HeaderSet, InvalidUrl};
pub(crate) use progress::{Phase, Progress};

/// A connection idle for longer is not used again. uvicorn and hypercorn close theirs after 5 s, and a request
/// written into that close is lost.
pub(crate) const IDLE_LIMIT: std::time::Duration = std::time::Duration::from_secs(4);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The whole body. Of an answer without success, whose status says enough, only as much as the limit allows.
    pub(crate) body: Bytes,
}

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
        body: Bytes,
        limit: u64,
        progress: &Progress,
    ) -> Result<Answer, Failure>;
}
