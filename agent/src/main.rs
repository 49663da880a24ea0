//! `fluxfleet-agent`: reads this host's GPUs and system and streams them to a coordinator.

mod args;
mod exit;
mod signal;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use fluxfleet_agent::Config;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let config = args::Args::parse().into_config();
    exit::log_to_stderr();
    let cancel = CancellationToken::new();
    let ended = run(config, &cancel);
    exit::code(ended, cancel.is_cancelled())
}

fn run(config: Config, cancel: &CancellationToken) -> anyhow::Result<()> {
    // One thread is plenty, and a thread for each core of a GPU host would disturb what is measured there.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let ended = runtime.block_on(async {
        signal::cancel_on_signals(cancel)?;
        Ok(fluxfleet_agent::run(config, cancel.clone()).await?)
    });
    // A look-up of the coordinator's name may still hang, and nobody needs its answer.
    runtime.shutdown_background();
    ended
}
