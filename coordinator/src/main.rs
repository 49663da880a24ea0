//! `fluxfleet`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    fluxfleet::cli::main()
}
