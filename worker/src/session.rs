//! The stream to the coordinator.
//!
//! ```text
//!   run() ---- thread `session`, own runtime ------------------------------------------------
//!                dial -> Hello -> loop: command | engine output | cancel  (one owner: Session)
//!                                   |                                   |
//!                                Desk: what to do now (synchronous)   outbound: pongs first, then reports
//! ```
//!
//! | file | duty |
//! |---|---|
//! | `dial` | finds the coordinator, introduces the worker, understands refusals |
//! | `live` | the loop that owns the stream |
//! | `desk` | which trial is on, what a command means for it |
//! | `outbound` | the stream up; clock answers overtake reports |
//! | `ledger` | what was sent and not acknowledged yet |
//!
//! Load threads never touch the stream, and nothing that takes long runs on this thread, so that clock pings
//! are answered at once under full load.

mod desk;
mod dial;
mod ledger;
mod live;
mod outbound;

use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::WorkerError;

/// How long a coordinator is looked for by [`run`].
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Works for the coordinator until it closes the stream.
///
/// Cancelling stops cleanly: nothing more is sent, what is in flight gets a short grace, what was recorded is
/// reported, and the result is `Ok`.
///
/// # Errors
/// When the coordinator cannot be reached within [`CONNECT_TIMEOUT`], refuses this worker, or goes away in a way
/// other than closing the stream between trials.
pub async fn run(config: Config, cancel: CancellationToken) -> Result<(), WorkerError> {
    run_within(config, CONNECT_TIMEOUT, cancel).await
}

/// As [`run`], with another patience for a coordinator that is not there yet.
///
/// # Errors
/// As [`run`].
pub async fn run_within(
    config: Config,
    connect_timeout: Duration,
    cancel: CancellationToken,
) -> Result<(), WorkerError> {
    let (done, result) = oneshot::channel();
    // Dropping this future must end the session, not orphan it.
    let cancel = cancel.child_token();
    let _guard = cancel.clone().drop_guard();
    std::thread::Builder::new().name("session".to_owned()).spawn(move || {
        let result = session(config, connect_timeout, cancel);
        // Nobody waits any more when the caller was dropped.
        let _ = done.send(result);
    })?;
    result.await.unwrap_or(Err(WorkerError::Vanished))
}

fn session(config: Config, connect_timeout: Duration, cancel: CancellationToken) -> Result<(), WorkerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match dial::dial(&config, connect_timeout, &cancel).await? {
            Some(stream) => live::Session::new(&config, stream).run(&cancel).await,
            // Cancelled while it looked for the coordinator.
            None => Ok(()),
        }
    })
}
