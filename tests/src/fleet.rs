//! A simulated host, a coordinator with its workers and agents.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::gpus::Gpus;
use crate::http;
use crate::network::Network;
use crate::process::{Ended, Process, program};
use crate::results::Results;

fn command(name: &str) -> Command {
    Command::new(program(name))
}

/// A simulated inference host as its own process.
pub struct Sim {
    /// Its base URL.
    pub url: String,
    process: Process,
}

impl Sim {
    /// Starts one on a free port, fast enough for tests: 20 ms for an image.
    pub fn start(args: &[&str]) -> Self {
        let mut all = vec!["sim", "--port", "0"];
        if !args.contains(&"--base-ms") {
            all.extend(["--base-ms", "20"]);
        }
        all.extend(args);
        Self::spawn(command("fluxfleet"), &all)
    }

    /// Starts one as [`start`](Self::start) does, somewhere else: `at` is the program there.
    pub fn start_at(at: Command, args: &[&str]) -> Self {
        Self::spawn(at, &[&["sim", "--port", "0", "--base-ms", "20"], args].concat())
    }

    fn spawn(mut command: Command, args: &[&str]) -> Self {
        command.args(args);
        let process = Process::spawn("fluxfleet sim", command);
        let url = format!("http://{}", process.wait_stdout_word("http://"));
        Self { url, process }
    }

    /// Its own counters.
    pub fn stats(&self) -> Value {
        http::get_json(&format!("{}/queue-stats", self.url))
    }

    /// Items it says it completed on one of its routes.
    pub fn completed(&self, route: &str) -> u64 {
        self.stats()["items_completed_by_endpoint"][route].as_u64().unwrap_or(0)
    }

    /// Requests with a whole body that it says it took on one of its routes.
    pub fn requests(&self, route: &str) -> u64 {
        self.stats()["requests"][route].as_u64().unwrap_or(0)
    }

    /// Ends it from outside.
    pub fn kill(self) {
        drop(self.process);
    }
}

/// A coordinator that listens for its fleet.
pub struct Coordinator {
    /// Where peers join.
    pub addr: String,
    /// The process.
    pub process: Process,
    out: PathBuf,
}

impl Coordinator {
    /// Starts `fluxfleet run --listen` on a free port, writing into `out`.
    pub fn start(url: &str, out: &Path, args: &[&str]) -> Self {
        Self::start_at(command("fluxfleet"), "127.0.0.1", url, out, args)
    }

    /// Starts one as [`start`](Self::start) does, somewhere else: `at` is the program there, `address` its address.
    pub fn start_at(mut at: Command, address: &str, url: &str, out: &Path, args: &[&str]) -> Self {
        let out = out.to_owned();
        let text = out.to_str().expect("a test's directory is UTF-8").to_owned();
        let listen = format!("{address}:0");
        let mut all = vec!["run", "--listen", &listen, "--url", url, "--save", "--out", &text];
        if !args.contains(&"--cooldown") {
            all.extend(["--cooldown", "0s"]);
        }
        all.extend(args);
        at.args(all);
        let process = Process::spawn("fluxfleet", at);
        let addr = process.wait_stderr_word("listens on ");
        Self { addr, process, out }
    }

    /// Starts a worker process that joins under this name.
    pub fn worker(&self, name: &str) -> Process {
        self.worker_at(command("fluxfleet-worker"), name)
    }

    /// Starts a worker process somewhere else: `at` is the program there.
    pub fn worker_at(&self, mut at: Command, name: &str) -> Process {
        at.args(["--coordinator", &self.addr, "--name", name, "--threads", "1"]);
        Process::spawn("fluxfleet-worker", at)
    }

    /// Starts an agent process that joins under this host name.
    pub fn agent(&self, host: &str) -> Process {
        self.agent_at(command("fluxfleet-agent"), host)
    }

    /// Starts an agent process somewhere else: `at` is the program there.
    pub fn agent_at(&self, mut at: Command, host: &str) -> Process {
        at.args(["--coordinator", &self.addr, "--host", host]);
        Process::spawn("fluxfleet-agent", at)
    }

    /// As [`agent`](Self::agent), reading these GPUs.
    pub fn agent_of(&self, host: &str, gpus: &Gpus) -> Process {
        self.nvml_agent(host, &gpus.library(), &gpus.script())
    }

    /// Starts an agent process that joins under this host name and reads NVML's stand-in, as a control file has it.
    pub fn nvml_agent(&self, host: &str, library: &Path, script: &Path) -> Process {
        let mut command = Command::new(program("fluxfleet-agent"));
        command.args(["--coordinator", &self.addr, "--host", host, "--nvml-lib"]).arg(library);
        command.env(fluxfleet_nvml::SCRIPT_VARIABLE, script);
        Process::spawn("fluxfleet-agent", command)
    }

    /// Starts an agent process that joins under this host name over a network.
    pub fn agent_over(network: &Network, host: &str, args: &[&str]) -> Process {
        let all = [&["--coordinator", &network.addr, "--host", host], args].concat();
        Process::start("fluxfleet-agent", &all)
    }

    /// Waits for the end and reads the results.
    pub fn results(self) -> (Ended, Results) {
        let out = self.out.clone();
        let ended = self.process.end();
        let results = Results::read(&out, &ended);
        (ended, results)
    }
}

/// `fluxfleet run` with its embedded fleet, under way.
pub struct Run {
    /// The process.
    pub process: Process,
    out: tempfile::TempDir,
}

impl Run {
    /// Starts one against a service, with neither pauses nor rare samples.
    pub fn start(url: &str, args: &[&str]) -> Self {
        let out = tempfile::tempdir().expect("a directory");
        let dir = out.path().to_str().expect("a test's directory is UTF-8");
        let mut all = vec!["run", "--url", url, "--save", "--out", dir, "--sample-period", "50ms"];
        if !args.contains(&"--cooldown") {
            all.extend(["--cooldown", "0s"]);
        }
        all.extend(args);
        Self { process: Process::start("fluxfleet", &all), out }
    }

    /// Waits for the end and reads the results.
    pub fn results(self) -> (Ended, Results) {
        let ended = self.process.end();
        let results = Results::read(self.out.path(), &ended);
        (ended, results)
    }
}

/// Runs `fluxfleet run` with its embedded fleet against a service to its end.
pub fn run(url: &str, args: &[&str]) -> (Ended, Results) {
    Run::start(url, args).results()
}
