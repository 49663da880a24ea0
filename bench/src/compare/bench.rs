//! What all measurements share: the generators found, the cores, and what went wrong.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::Options;
use super::report::{Missing, Version};
use crate::child::{Server, Wanted};
use crate::cores::{self, Cores};
use crate::server::Summary;
use crate::tools::drive::{Driven, Job, drive};
use crate::tools::find::{Found, find};
use crate::tools::{Shape, Tool};

/// Time between two looks at a generator that is at work: rare enough to cost nothing.
const LOOK: Duration = Duration::from_millis(50);

/// What the small version measures.
const QUICK: [Tool; 4] = [Tool::Fluxfleet, Tool::FluxfleetEngine, Tool::Wrk, Tool::Sockets];

/// The state of a comparison.
#[derive(Debug)]
pub struct Bench {
    /// Turns of each job.
    pub turns: usize,
    /// Length of a turn.
    pub turn: Duration,
    found: Vec<Found>,
    absent: Vec<Missing>,
    failed: Vec<Missing>,
    cores: Option<Cores>,
    scratch: TempDir,
}

/// A job done, as generator and server tell it.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// The generator's side.
    pub driven: Driven,
    /// The server's side.
    pub seen: Summary,
    /// Processor time of the server meanwhile.
    pub server_cpu: Duration,
}

impl Bench {
    /// Looks for all generators.
    ///
    /// # Errors
    /// When there is no place for scratch files.
    pub fn new(options: &Options, turns: usize, turn: Duration) -> anyhow::Result<Self> {
        let path = std::env::var_os("PATH");
        let (mut found, mut absent) = (Vec::new(), Vec::new());
        for tool in Tool::ALL {
            let result = if options.skip.contains(&tool) {
                Err("left out as asked".to_owned())
            } else if options.quick && !QUICK.contains(&tool) {
                Err("not part of the small version".to_owned())
            } else {
                find(tool, &options.tools, path.as_deref())
            };
            match result {
                Ok(tool) => found.push(tool),
                Err(why) => {
                    eprintln!("{}: not measured, {why}", tool.name());
                    absent.push(Missing { what: tool.name().to_owned(), why });
                }
            }
        }
        let cores = cores::two().inspect_err(|why| eprintln!("not pinned: {why}")).ok();
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        Ok(Self { turns, turn, found, absent, failed: Vec::new(), cores, scratch })
    }

    /// Whether generator and server have a core each.
    pub fn pinned(&self) -> bool {
        self.cores.is_some()
    }

    /// The two cores.
    pub fn cores(&self) -> Option<Cores> {
        self.cores
    }

    /// Directory for scripts and outputs.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The generators measured, with their versions.
    pub fn tools(&self) -> Vec<Version> {
        self.found
            .iter()
            .filter(|f| !f.tool.is_variant())
            .map(|f| Version { name: f.tool.name().to_owned(), version: f.version.clone() })
            .collect()
    }

    /// The generators that cannot be measured.
    pub fn absent(&self) -> &[Missing] {
        &self.absent
    }

    /// Jobs that were not done.
    pub fn failed(&self) -> &[Missing] {
        &self.failed
    }

    /// The generators that can do jobs of this kind.
    pub fn able(&self, shape: Shape) -> Vec<Found> {
        self.found.iter().filter(|f| f.tool.can(shape)).cloned().collect()
    }

    /// A generator, if it was found.
    pub fn found(&self, tool: Tool) -> Option<Found> {
        self.found.iter().find(|f| f.tool == tool).cloned()
    }

    /// The generator's core; none when not pinned.
    pub fn generator_core(&self) -> Vec<usize> {
        self.cores.map(|c| c.generator).into_iter().collect()
    }

    /// A server on the server's core.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn server(&self, record: bool, spin: bool) -> anyhow::Result<Server> {
        let cores = self.cores.map(|c| c.server).into_iter().collect();
        // Without a core of its own a server that never sleeps would take the generator's.
        Server::start(&Wanted { record, spin: spin && self.pinned(), cores, ..Wanted::default() })
    }

    /// One job on these cores, from an empty server on.
    ///
    /// # Errors
    /// When the generator fails or no request arrives.
    pub fn job(&self, found: &Found, server: &Server, shape: Shape, cores: &[usize]) -> anyhow::Result<Done> {
        server.reset()?;
        let before = server.cpu_time()?;
        let job = Job { url: server.url(), shape, cores, scratch: self.scratch(), look: LOOK };
        let driven = drive(found, &job, &mut |_| {})?;
        let server_cpu = server.cpu_time()?.saturating_sub(before);
        let seen = server.summary()?;
        ensure!(seen.rate().is_some(), "{} sent {} requests", found.tool.name(), seen.count);
        Ok(Done { driven, seen, server_cpu })
    }

    /// Notes a figure that this machine cannot give.
    pub fn miss(&mut self, what: &str, why: &str) {
        eprintln!("{what}: not measured, {why}");
        self.absent.push(Missing { what: what.to_owned(), why: why.to_owned() });
    }

    /// Notes a job that was not done, and goes on.
    pub fn note<T>(&mut self, what: String, result: anyhow::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(e) => {
                let why = format!("{e:#}");
                eprintln!("{what}: failed: {why}");
                let missing = Missing { what, why };
                // A job that fails in every turn is one failure.
                if !self.failed.contains(&missing) {
                    self.failed.push(missing);
                }
                None
            }
        }
    }
}
