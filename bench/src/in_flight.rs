//! Memory per slow request in flight, of every generator that can hold so many.
//!
//! Each is run twice against a server that answers late: with few requests and with many. Resident memory is read
//! only while the server says that all of them wait for their answers, and the difference of the two readings is
//! divided by the difference in requests, so that what a program takes anyway is in neither.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::child::{Server, Wanted};
use crate::cores::Cores;
use crate::process::{make_room_for_files, resident_kb_of};
use crate::tools::drive::{Job, drive};
use crate::tools::find::{Found, find};
use crate::tools::{Shape, Tool};

/// Requests in the run that is subtracted.
pub const FEW: u32 = 64;
/// The server's delay in that run.
const SHORT_DELAY: Duration = Duration::from_secs(2);
/// Descriptors that a process needs beside its connections.
const SPARE_FILES: u64 = 256;
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// What one generator weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight {
    /// Resident with [`FEW`] requests in flight, in kB.
    pub few_kb: u64,
    /// Resident with all of them in flight, in kB.
    pub many_kb: u64,
    /// kB for each request more.
    pub each_kb: f64,
}

/// Weighs a generator with so many requests in flight.
///
/// # Errors
/// When there is no room for the connections, the generator fails, or its requests were never in flight together.
pub fn weigh(
    found: &Found,
    requests: NonZeroU32,
    delay: Duration,
    cores: Option<Cores>,
    scratch: &Path,
) -> anyhow::Result<Weight> {
    ensure!(requests.get() > FEW, "give more than {FEW} requests");
    make_room_for_files(u64::from(requests.get()) + SPARE_FILES)?;
    let few_kb = resident(found, FEW, SHORT_DELAY.min(delay), cores, scratch)?;
    let many_kb = resident(found, requests.get(), delay, cores, scratch)?;
    let each_kb = many_kb.saturating_sub(few_kb) as f64 / f64::from(requests.get() - FEW);
    Ok(Weight { few_kb, many_kb, each_kb })
}

/// The most resident memory while this many requests were in flight.
fn resident(
    found: &Found,
    requests: u32,
    delay: Duration,
    cores: Option<Cores>,
    scratch: &Path,
) -> anyhow::Result<u64> {
    let wanted = Wanted { delay, cores: cores.map(|c| c.server).into_iter().collect(), ..Wanted::default() };
    let server = Server::start(&wanted)?;
    let mut most = None;
    let generator = cores.map(|c| [c.generator]);
    let job = Job {
        url: server.url(),
        shape: Shape::Held { requests, delay },
        cores: generator.as_ref().map_or(&[], |c| c.as_slice()),
        scratch,
        look: LOOK,
    };
    drive(found, &job, &mut |process| {
        // Both may fail while the generator ends.
        if let (Ok(seen), Ok(kb)) = (server.summary(), resident_kb_of(process))
            && seen.waiting == u64::from(requests)
        {
            most = Some(most.map_or(kb, |most: u64| most.max(kb)));
        }
    })?;
    most.with_context(|| {
        format!(
            "{requests} requests of {} were never in flight together; give a longer --delay",
            found.tool.name()
        )
    })
}

/// What to weigh.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests in flight.
    pub requests: NonZeroU32,
    /// How slow the server is.
    pub delay: Duration,
    /// Generators left out.
    pub skip: Vec<Tool>,
    /// Directory looked into before `PATH`.
    pub tools: std::path::PathBuf,
}

/// Weighs every generator that is found, and prints.
///
/// # Errors
/// When one that was found fails; the others are weighed first.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let cores = crate::cores::two().inspect_err(|why| println!("not pinned: {why}")).ok();
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let shape = Shape::Held { requests: options.requests.get(), delay: options.delay };
    let (mut figures, mut failed) = (Vec::new(), 0);
    for tool in Tool::ALL.into_iter().filter(|t| t.can(shape)) {
        let found = find(tool, &options.tools, std::env::var_os("PATH").as_deref());
        let found = if options.skip.contains(&tool) { Err("left out as asked".to_owned()) } else { found };
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                println!("{}: not measured, {why}", tool.name());
                continue;
            }
        };
        match weigh(&found, options.requests, options.delay, cores, scratch.path()) {
            Ok(Weight { few_kb, many_kb, each_kb }) => {
                println!(
                    "{}: {few_kb} kB with {FEW} in flight, {many_kb} kB with {}; {each_kb:.1} kB each",
                    tool.name(),
                    options.requests
                );
                figures.push(json!({
                    "tool": tool, "few_kb": few_kb, "many_kb": many_kb, "each_kb": each_kb,
                }));
            }
            Err(e) => {
                println!("{}: failed: {e:#}", tool.name());
                failed += 1;
            }
        }
    }
    println!(
        "{}",
        json!({
            "measure": "in_flight", "unit": "kB per request", "requests": options.requests, "few": FEW,
            "delay_s": options.delay.as_secs_f64(), "tools": figures,
        })
    );
    ensure!(failed == 0, "{failed} of the generators failed");
    Ok(())
}
