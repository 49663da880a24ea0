//! `fluxfleet-agent`: reads this host's GPUs and system and streams them to a coordinator.

mod args;
mod exit;
mod signal;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use args::Task;
use clap::Parser as _;
use fluxfleet_agent::config::host_name;
use fluxfleet_agent::{GpuSource, Probe};
use fluxfleet_top::{HostView, Screen};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let task = args::Args::parse().into_task().unwrap_or_else(|error| error.exit());
    exit::log_to_stderr(&task);
    let cancel = CancellationToken::new();
    let ended = run(task, &cancel);
    exit::code(ended, cancel.is_cancelled())
}

fn run(task: Task, cancel: &CancellationToken) -> anyhow::Result<()> {
    // One thread is plenty, and a thread for each core of a GPU host would disturb what is measured there.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let ended = runtime.block_on(async {
        if !matches!(task, Task::Top(_)) {
            signal::cancel_on_signals(cancel)?;
        }
        match task {
            Task::Run(args) => Ok(fluxfleet_agent::run(args.into_config().await?, cancel.clone()).await?),
            Task::Probe(gpus) => probe(gpus, cancel).await,
            Task::Top(gpus) => top(gpus).await,
        }
    });
    // A look-up of the coordinator's name may still hang, and nobody needs its answer.
    runtime.shutdown_background();
    ended
}

async fn probe(gpus: GpuSource, cancel: &CancellationToken) -> anyhow::Result<()> {
    let Some(probe) = cancel.run_until_cancelled(Probe::take(host_name(), gpus)).await else { return Ok(()) };
    let text = probe?.to_string();
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// However it is ended, that is how it is meant to end: with code 0.
async fn top(gpus: GpuSource) -> anyhow::Result<()> {
    let over = CancellationToken::new();
    signal::cancel_on_signals(&over)?;
    let quit = over.clone();
    let mut screen = Screen::open(move || quit.cancel());
    let title = format!("fluxfleet-agent top   {}", screen.hint());
    let draw = |host: HostView| screen.draw(&fluxfleet_top::frame(&title, &[host]));
    match fluxfleet_agent::top(host_name(), gpus, draw, over).await? {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
