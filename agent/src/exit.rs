//! What the process says and leaves behind.

use std::process::ExitCode;

use fluxfleet_agent::AgentError;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::Task;

const DONE: u8 = 0;
const INTERNAL: u8 = 1;
const BAD_FLAGS: u8 = 2;
const NO_FLEET: u8 = 6;
pub(crate) const INTERRUPTED: u8 = 130;

/// Sends what the agent has to say to stderr, a line each; `RUST_LOG` asks for more or less. What a probe or
/// `top` finds is in its own text.
pub(crate) fn log_to_stderr(task: &Task) {
    let level = match task {
        Task::Run(_) => LevelFilter::INFO,
        Task::Probe(_) | Task::Top(_) => LevelFilter::ERROR,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_level(false)
        .without_time()
        .init();
}

/// Says what went wrong, if anything did, and gives the exit code.
pub(crate) fn code(ended: anyhow::Result<()>, interrupted: bool) -> ExitCode {
    let Err(error) = ended else {
        return ExitCode::from(if interrupted { INTERRUPTED } else { DONE });
    };
    if let Some(error) = error.downcast_ref::<AgentError>() {
        // Its text names its cause already.
        eprintln!("error: {error}");
        ExitCode::from(number(error))
    } else {
        eprintln!("error: {error:#}");
        ExitCode::from(INTERNAL)
    }
}

fn number(error: &AgentError) -> u8 {
    match error {
        AgentError::Address(_)
        | AgentError::NoHost
        | AgentError::NothingToDo
        | AgentError::Metrics { .. } => BAD_FLAGS,
        AgentError::Unreachable { .. }
        | AgentError::Refused { .. }
        | AgentError::NoCoordinator { .. }
        | AgentError::Broken { .. }
        | AgentError::OtherRun { .. } => NO_FLEET,
        AgentError::Thread { .. }
        | AgentError::NoRandom { .. }
        | AgentError::Protocol { .. }
        | AgentError::AckBeyond { .. } => INTERNAL,
    }
}
