//! The stream to the coordinator.

mod backoff;
mod counts;
mod dial;
mod line;
mod outbound;
mod ranges;
mod ring;
mod session;
mod status;

use std::time::Duration;

use tonic::transport::Uri;

pub(crate) use counts::Counts;
pub(crate) use dial::dial;
pub(crate) use session::Session;

/// Where the coordinator is and how long it may take to answer.
#[derive(Clone, Debug)]
pub(crate) struct Coordinator {
    /// What is dialled.
    pub(crate) uri: Uri,
    /// As the user gave it.
    pub(crate) address: String,
    /// How long to try to reach it, and to wait for its first word.
    pub(crate) connect_timeout: Duration,
    /// How long to try to reach it again after the stream broke.
    pub(crate) reconnect_for: Duration,
    /// For how long samples are kept that it has not confirmed.
    pub(crate) keep: Duration,
}
