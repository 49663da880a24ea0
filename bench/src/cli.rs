//! Flags to a measurement.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use fluxfleet_bench::compare::{self, Section};
use fluxfleet_bench::tools::Tool;
use fluxfleet_bench::{coordinator, generate, in_flight, server, soak, throughput};

/// Measures what the generator itself costs, on loopback.
#[derive(Debug, Parser)]
#[command(name = "fluxfleet-bench", version)]
struct Flags {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every figure of the generator beside its peers', in turns, as a document.
    Compare(CompareFlags),
    /// Answers every request on a loopback port with one fixed JSON document.
    NullServer(ServerFlags),
    /// The same, and keeps the stamp of every arrival: `GET /-/arrivals`, `/-/summary`, `/-/reset`.
    RecordingServer(ServerFlags),
    /// Sends, and prints what came of it: what `compare` measures of the engine and the bare loops.
    Generate {
        /// What sends.
        #[arg(long, value_enum)]
        client: generate::Client,
        /// Base URL, such as http://127.0.0.1:9000.
        #[arg(long)]
        url: String,
        /// Connections, one request in flight on each.
        #[arg(long, default_value = "64")]
        connections: NonZeroU32,
        /// How long.
        #[arg(long, default_value = "5s", value_parser = duration)]
        duration: Duration,
        /// Load threads of the engine.
        #[arg(long, default_value = "1")]
        threads: NonZeroUsize,
        /// Requests a second, in an open loop that never sleeps; of `--client sockets` alone.
        #[arg(long)]
        rate: Option<NonZeroU32>,
    },
    /// Memory of the real worker over a long run at full rate.
    Soak {
        /// How long.
        #[arg(long, default_value = "30m", value_parser = duration)]
        duration: Duration,
        /// Connections, one request in flight on each.
        #[arg(long, default_value = "64")]
        connections: NonZeroU32,
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
    /// Memory per slow request in flight, of every generator that is found.
    InFlight {
        /// Requests in flight.
        #[arg(long, default_value = "15000")]
        requests: NonZeroU32,
        /// How slow the server is.
        #[arg(long, default_value = "10s", value_parser = duration)]
        delay: Duration,
        /// Leave a generator out; may be repeated.
        #[arg(long, value_enum)]
        skip: Vec<Tool>,
        /// Look for the peers here before PATH.
        #[arg(long, default_value = TOOLS)]
        tools: PathBuf,
    },
}

/// Where `bench/run` installs what no package has.
const TOOLS: &str = "target/bench-tools/bin";

#[derive(Debug, Args)]
struct ServerFlags {
    /// Port; 0 takes a free one. The address is printed.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Wait this long before each answer, such as `5s` or `20ms`.
    #[arg(long, default_value = "0s", value_parser = duration)]
    delay: Duration,
    /// Never sleep, so that no wake-up delays a stamp; takes a whole core.
    #[arg(long)]
    spin: bool,
    /// Threads; a connection is dealt to the one on its client's core, or in turn.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// Pin a thread to this core; given several times, one for each thread.
    #[arg(long = "core")]
    cores: Vec<usize>,
}

impl ServerFlags {
    fn options(self, record: bool) -> server::Options {
        let Self { port, delay, spin, threads, cores } = self;
        server::Options { port, delay, record, spin, threads, cores }
    }
}

#[derive(Debug, Args)]
struct CompareFlags {
    /// The small version: fluxfleet, wrk and bare sockets, 2 turns of 2 s, no scaling and no memory.
    #[arg(long)]
    quick: bool,
    /// Turns of each job [default: 5; quick: 2]
    #[arg(long)]
    turns: Option<NonZeroUsize>,
    /// Length of a turn, in whole seconds [default: 5s; quick: 2s]
    #[arg(long, value_parser = duration)]
    turn: Option<Duration>,
    /// A figure to measure; may be repeated [default: all; quick: pacing and throughput]
    #[arg(long = "section", value_enum)]
    sections: Vec<Section>,
    /// Leave a generator out; may be repeated.
    #[arg(long, value_enum)]
    skip: Vec<Tool>,
    /// Requests in flight when memory is measured.
    #[arg(long, default_value = "15000")]
    in_flight: NonZeroU32,
    /// Look for the peers here before PATH.
    #[arg(long, default_value = TOOLS)]
    tools: PathBuf,
    /// Write the document to this file too.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write every turn to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl From<CompareFlags> for compare::Options {
    fn from(flags: CompareFlags) -> Self {
        let CompareFlags { quick, turns, turn, sections, skip, in_flight, tools, out, json } = flags;
        Self { quick, turns, turn, sections, skip, in_flight, tools, out, json }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let Some((number, unit)) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))
    else {
        return Err("give a number with its unit, such as 20ms, 5s or 30m".to_owned());
    };
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|e| e.to_string())
}

/// Parses and measures.
pub(crate) fn run() -> anyhow::Result<()> {
    match Flags::parse().what {
        What::Compare(flags) => compare::run(&flags.into()),
        What::NullServer(flags) => server::run(&flags.options(false)),
        What::RecordingServer(flags) => server::run(&flags.options(true)),
        What::Generate { client, url, connections, duration, threads, rate } => {
            generate::run(&generate::Options { client, url, connections, duration, threads, rate })
        }
        What::Soak { duration, connections } => {
            soak::run(soak::Options { duration, connections: connections.get() })
        }
        What::Throughput { threads, in_flight, turn, turns, records, no_pin } => {
            throughput::run(&throughput::Options { threads, in_flight, turn, turns, records, pin: !no_pin })
        }
        What::Coordinator { items, in_flight, records } => {
            coordinator::run(coordinator::Options { items, in_flight, records })
        }
        What::InFlight { requests, delay, skip, tools } => {
            in_flight::run(&in_flight::Options { requests, delay, skip, tools })
        }
    }
}
