//! Ctrl-C and friends.

use tokio::signal::unix::{SignalKind, signal};

use crate::run::Interrupt;

/// Turns the first Ctrl-C or SIGTERM into a soft stop and the second into a hard one.
pub(super) fn watch() -> std::io::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let tokens = interrupt.clone();
    tokio::spawn(async move {
        for token in [tokens.soft, tokens.hard] {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            token.cancel();
        }
    });
    Ok(interrupt)
}
