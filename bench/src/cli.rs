//! Flags to a measurement.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use clap::{Parser, Subcommand};
use fluxfleet_bench::{coordinator, in_flight, null_server, throughput};

/// Measures what the generator itself costs, on loopback.
#[derive(Debug, Parser)]
#[command(name = "fluxfleet-bench", version)]
struct Flags {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Answers every request on a loopback port with one fixed JSON document.
    NullServer {
        /// Port; 0 takes a free one. The address is printed.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Wait this long before each answer, such as `5s` or `20ms`.
        #[arg(long, default_value = "0s", value_parser = duration)]
        delay: Duration,
    },
    /// Requests a second by the worker's engine against the null server.
    Throughput {
        /// Load threads.
        #[arg(long, default_value = "1")]
        threads: NonZeroUsize,
        /// Requests in flight.
        #[arg(long, default_value = "64")]
        in_flight: NonZeroU32,
        /// Length of a turn.
        #[arg(long, default_value = "5s", value_parser = duration)]
        turn: Duration,
        /// Turns measured; one more runs before them and does not count.
        #[arg(long, default_value = "5")]
        turns: NonZeroUsize,
        /// Send a record of each request too.
        #[arg(long)]
        records: bool,
        /// Let the operating system place the processes.
        #[arg(long)]
        no_pin: bool,
    },
    /// The coordinator's memory over a long run.
    Coordinator {
        /// Items of the run.
        #[arg(long, default_value = "1000000")]
        items: u64,
        /// Requests in flight.
        #[arg(long, default_value = "64")]
        in_flight: u32,
        /// Keep a record of each request too.
        #[arg(long)]
        records: bool,
    },
    /// Memory per slow request in flight.
    InFlight {
        /// Requests in flight.
        #[arg(long, default_value = "5000")]
        requests: NonZeroU32,
        /// How slow the server is.
        #[arg(long, default_value = "5s", value_parser = duration)]
        delay: Duration,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1e-3),
        (None, Some(number)) => (number, 1.0),
        (None, None) => return Err("give a number with its unit, such as 5s or 20ms".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|e| e.to_string())
}

/// Parses and measures.
pub(crate) fn run() -> anyhow::Result<()> {
    match Flags::parse().what {
        What::NullServer { port, delay } => null_server::run(port, delay),
        What::Throughput { threads, in_flight, turn, turns, records, no_pin } => {
            throughput::run(&throughput::Options { threads, in_flight, turn, turns, records, pin: !no_pin })
        }
        What::Coordinator { items, in_flight, records } => {
            coordinator::run(coordinator::Options { items, in_flight, records })
        }
        What::InFlight { requests, delay } => in_flight::run(requests, delay),
    }
}
