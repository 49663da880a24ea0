//! What each command does.

use std::io::{IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::id::RunId;
use fluxfleet_sim::SimConfig;
use fluxfleet_top::Screen;

use super::args::{Args, Command, DemoArgs, RunArgs, SimArgs, TopArgs};
use super::{Exit, signals};
use crate::aggregate::{Ending, RunOutcome};
use crate::analysis::verdict::State;
use crate::analysis::{self, ScoreSettings};
use crate::live;
use crate::local::{DemoHost, EmbeddedFleet, LocalGpus, is_this_machine};
use crate::plan::{FleetPlan, Plan, RawPlan};
use crate::report;
use crate::rpc::Port;
use crate::run::{Rig, RunError, conduct};
use crate::top::watch_agents;

/// How long the port may take to close.
const PORT_FAREWELL: Duration = Duration::from_secs(2);

/// What the embedded peers complain of is said by the run, in its own words.
const WARNINGS: &str = "warn,fluxfleet_agent::collect=error,fluxfleet_worker::session=error";

/// Diagnostics on standard error, as `FLUXFLEET_LOG` asks; by default warnings, and errors alone when quiet.
pub(super) fn init_tracing(quiet: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FLUXFLEET_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(if quiet { "error" } else { WARNINGS }));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Does what was asked.
pub(super) async fn execute(args: Args) -> Exit {
    match args.command {
        Command::Run(args) => run(*args).await,
        Command::Demo(args) => demo(*args).await,
        Command::Sim(args) => sim(args).await,
        Command::Top(args) => top(args).await,
    }
}

fn complain(exit: Exit, error: &dyn std::fmt::Display) -> Exit {
    eprintln!("fluxfleet: {error}");
    exit
}

async fn run(args: RunArgs) -> Exit {
    let mut raw = RawPlan::default();
    if let Some(path) = &args.plan {
        let file = std::fs::read_to_string(path).map_err(|e| e.to_string());
        match file.and_then(|text| RawPlan::from_toml(&text)) {
            Ok(file) => raw = file,
            Err(error) => {
                let text = format!("cannot read the plan file {}: {error}", path.display());
                return complain(Exit::BadPlan, &text);
            }
        }
    }
    let plan = match Plan::build(&raw.overridden_by(args.into())) {
        Ok(plan) => plan,
        Err(error) => return complain(Exit::BadPlan, &error),
    };
    if is_this_machine(&plan.target.base_url) {
        carry_out(plan, Ok(LocalGpus::Driver)).await
    } else {
        let why =
            "the target is another machine; start fluxfleet-agent there and run with --listen --agents 1";
        carry_out(plan, Err(why.to_owned())).await
    }
}

async fn demo(args: DemoArgs) -> Exit {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let host = match DemoHost::start(any_port, SimConfig::default()).await {
        Ok(host) => host,
        Err(error) => return complain(Exit::Internal, &error),
    };
    let quiet = args.quiet;
    let plan = match Plan::build(&args.plan(format!("http://{}", host.addr()))) {
        Ok(plan) => plan,
        Err(error) => return complain(Exit::BadPlan, &error),
    };
    if !quiet {
        eprintln!(
            "demo: a simulated inference host with virtual GPUs; its figures are those of a simulation"
        );
    }
    let exit = carry_out(plan, Ok(LocalGpus::Custom(Box::new(host.collector())))).await;
    match host.stop().await {
        Ok(()) => exit,
        Err(error) => complain(Exit::Internal, &error),
    }
}

/// Runs a plan and reports. `gpus`: what an embedded agent reads, or why there is to be none.
async fn carry_out(plan: Plan, gpus: Result<LocalGpus, String>) -> Exit {
    let interrupt = match signals::watch() {
        Ok(interrupt) => interrupt,
        Err(error) => return complain(Exit::Internal, &format!("cannot watch for signals: {error}")),
    };
    let run = run_id();
    let dir = plan.output.dir.clone().unwrap_or_else(|| PathBuf::from("results").join(run.as_str()));
    let made = missing_ancestors(&dir);
    let wanted = [(plan.output.save, report::files::RESULTS), (plan.output.plot, report::files::PLOT)];
    let files: Vec<&str> =
        wanted.into_iter().filter_map(|(is_wanted, name)| is_wanted.then_some(name)).collect();
    if !files.is_empty()
        && let Err(error) = report::files::check_writable(&dir, &files)
    {
        remove_empty(&made);
        return complain(Exit::BadPlan, &error);
    }
    let listen = match plan.fleet {
        FleetPlan::Embedded { .. } => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        FleetPlan::Remote { listen, .. } => listen,
    };
    let port = match Port::bind(listen).await {
        Ok(port) => port,
        Err(error) => {
            remove_empty(&made);
            return complain(Exit::BadPlan, &error);
        }
    };
    let mut live = live::choose(&plan.output);
    let addr = port.addr();
    let closing = tokio_util::sync::CancellationToken::new();
    let (events, server) = port.serve(closing.clone());
    let (embedded, agents, no_agent) = match plan.fleet {
        FleetPlan::Embedded { workers } => {
            let (gpus, no_agent) = gpus.map_or_else(|why| (None, Some(why)), |gpus| (Some(gpus), None));
            let agents = u32::from(gpus.is_some());
            (Some(EmbeddedFleet::start(addr, workers, gpus)), agents, no_agent)
        }
        FleetPlan::Remote { agents, .. } => {
            live.note(&live::listening(&run, addr, plan.output.lang));
            let none =
                "no agent was asked for; start fluxfleet-agent on the inference host and run with --agents 1";
            (None, agents, (agents == 0).then(|| none.to_owned()))
        }
    };
    let rig = Rig { run, events, interrupt, live: live.as_mut(), agents, no_agent };
    let output = plan.output.clone();
    let outcome = conduct(plan, rig).await;
    // The fleet went with the run: streams are ended, peers see that it is over.
    if let Some(embedded) = embedded {
        embedded.end().await;
    }
    closing.cancel();
    let _ = tokio::time::timeout(PORT_FAREWELL, server).await;
    match outcome {
        Ok(outcome) => present(outcome, &output, &dir),
        Err(error) => {
            remove_empty(&made);
            complain(exit_of(&error), &error)
        }
    }
}

/// The directory and those above it that do not exist yet, the deepest first.
fn missing_ancestors(dir: &Path) -> Vec<PathBuf> {
    let above = dir.ancestors().filter(|d| !d.as_os_str().is_empty());
    above.take_while(|d| !d.exists()).map(Path::to_owned).collect()
}

/// Removes directories that were made for results which never came. One that holds anything stays.
fn remove_empty(made: &[PathBuf]) {
    for dir in made {
        let _ = std::fs::remove_dir(dir);
    }
}

fn exit_of(error: &RunError) -> Exit {
    match error {
        RunError::Assembly { .. } => Exit::NoFleet,
        RunError::Preflight(_) => Exit::NoTarget,
        RunError::Spool(_) | RunError::PortClosed => Exit::Internal,
    }
}

/// Prints the report, writes the files that were asked for.
fn present(mut outcome: RunOutcome, output: &crate::plan::OutputPlan, dir: &Path) -> Exit {
    let report = analysis::analyse(&outcome, &ScoreSettings::default());
    let stdout = std::io::stdout();
    let color = output.color && stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A closed pipe must not keep the files from being written.
    let _ = write!(stdout.lock(), "{}", report::console::render(&report, output.lang, color));
    let mut written = Vec::new();
    if output.save {
        match report::files::write_results(dir, &report, &mut outcome) {
            Ok(path) => written.push(path),
            Err(error) => return complain(Exit::Internal, &error),
        }
    }
    if output.plot {
        match report::files::write_plot(dir, &report, output.lang) {
            Ok(path) => written.push(path),
            Err(error) => return complain(Exit::Internal, &error),
        }
    }
    if !output.quiet {
        for path in written {
            eprintln!("{}", live::wrote(&path, output.lang));
        }
    }
    match report.verdict.state {
        _ if outcome.interrupted => Exit::Interrupted,
        _ if nothing_usable(&outcome) => Exit::NoTarget,
        State::Invalid if !output.allow_invalid => Exit::Invalid,
        State::Valid | State::Degraded | State::Invalid => Exit::Done,
    }
}

/// Whether every strategy was left out or found no endpoint when it began.
fn nothing_usable(outcome: &RunOutcome) -> bool {
    outcome.strategies.iter().all(|s| match &s.ending {
        Ending::Skipped(_) => true,
        Ending::Ran(trial) => trial.finds_no_endpoint(),
        Ending::NotStarted(_) => false,
    })
}

/// `20261124-031500-4f2a`: the date in UTC, and four digits against two runs in one second.
fn run_id() -> RunId {
    let wall = Clock::wall();
    let stamp = jiff::Timestamp::from_second(i64::try_from(wall.as_secs()).unwrap_or(0)).unwrap_or_default();
    RunId::new(format!("{}-{:04x}", stamp.strftime("%Y%m%d-%H%M%S"), wall.subsec_micros() & 0xffff))
}

async fn sim(args: SimArgs) -> Exit {
    let config = SimConfig {
        gpus: args.gpus,
        seed: args.seed,
        base_service: Duration::from_millis(args.base_ms),
        jitter: args.jitter,
        pool_size: args.pool,
        queue_capacity: args.queue,
        fail_share: args.fail_share,
        disabled_endpoints: args.without,
        nvml_script: args.nvml,
        ..SimConfig::default()
    };
    let interrupt = match signals::watch() {
        Ok(interrupt) => interrupt,
        Err(error) => return complain(Exit::Internal, &format!("cannot watch for signals: {error}")),
    };
    let host = match DemoHost::start(SocketAddr::from((args.host, args.port)), config).await {
        Ok(host) => host,
        Err(error) => return complain(Exit::BadPlan, &error),
    };
    println!("simulated inference host with {} virtual GPUs on http://{}", args.gpus, host.addr());
    let _ = std::io::stdout().flush();
    interrupt.soft.cancelled().await;
    match host.stop().await {
        Ok(()) => Exit::Done,
        Err(error) => complain(Exit::Internal, &error),
    }
}

async fn top(args: TopArgs) -> Exit {
    let interrupt = match signals::watch() {
        Ok(interrupt) => interrupt,
        Err(error) => return complain(Exit::Internal, &format!("cannot watch for signals: {error}")),
    };
    let over = interrupt.soft;
    let quit = over.clone();
    let screen = Screen::open(move || quit.cancel());
    match watch_agents(&args.agents, screen, over).await {
        // Whoever read it has seen enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => complain(Exit::Internal, &error),
        _ => Exit::Done,
    }
}
