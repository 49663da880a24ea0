//! Checks what `fluxfleet demo --out DIR` wrote: schema, sums, the order that the simulated host must show, and that
//! the picture is one.

use std::path::PathBuf;
use std::process::ExitCode;

use fluxfleet_tests::results::Results;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: check-demo DIR");
        return ExitCode::from(2);
    };
    let results = Results::read_dir(&dir);
    results.check_demo();
    let picture = std::fs::read(dir.join("performance_comparison.png")).expect("the picture");
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n") && picture.len() > 10_000, "the picture is no PNG");
    println!("the demo's results hold: schema, sums, quantiles, order, picture");
    ExitCode::SUCCESS
}
