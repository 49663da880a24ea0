//! Ctrl-C and SIGTERM.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit;

/// Cancels when the process is asked to end; a second request ends it at once.
pub(crate) fn cancel_on_signals(cancel: &CancellationToken) -> anyhow::Result<()> {
    let mut asked = requests().context("could not listen for the signals that end the process")?;
    let cancel = cancel.clone();
    tokio::spawn(async move {
        asked.recv().await;
        cancel.cancel();
        asked.recv().await;
        std::process::exit(exit::INTERRUPTED.into());
    });
    Ok(())
}

struct Requests {
    interrupt: Signal,
    terminate: Signal,
}

impl Requests {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn requests() -> std::io::Result<Requests> {
    Ok(Requests { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
}
