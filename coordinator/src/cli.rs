//! Arguments, signals, exit codes.

mod args;
mod commands;
mod exit;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

pub use args::Args;
pub use exit::Exit;

/// The whole program: parse, build, run, map the outcome to an exit code.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            // `--help` and `--version` come this way too.
            return if error.use_stderr() { Exit::BadPlan.into() } else { Exit::Done.into() };
        }
    };
    commands::init_tracing(args.command.quiet());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("fluxfleet: cannot start its runtime: {error}; are threads or descriptors used up?");
            return Exit::Internal.into();
        }
    };
    let exit = runtime.block_on(commands::execute(args));
    // A task that hangs must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    exit.into()
}
