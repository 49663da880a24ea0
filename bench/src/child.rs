//! The server of a measurement as a child process, and what it is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::process::cpu_time_of;
use crate::server::Summary;

/// How long a question to the server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What kind of server is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Wait this long before each answer.
    pub delay: Duration,
    /// Keep the stamp of every arrival.
    pub record: bool,
    /// Never sleep.
    pub spin: bool,
    /// One thread on each of these cores; one thread anywhere when there are none.
    pub cores: Vec<usize>,
}

/// A server in a process of its own; ended when dropped.
#[derive(Debug)]
pub struct Server {
    child: Ended,
    address: String,
    url: String,
}

/// A child process that is ended when dropped.
#[derive(Debug)]
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It has nothing to lose; an error means that it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts this program again as the server.
    ///
    /// # Errors
    /// When it cannot be started or does not say where it listens.
    pub fn start(wanted: &Wanted) -> anyhow::Result<Self> {
        Self::of(&std::env::current_exe().context("cannot find this program's own file")?, wanted)
    }

    /// Starts `program`, which is a `fluxfleet-bench`, as the server.
    ///
    /// # Errors
    /// When it cannot be started or does not say where it listens.
    pub fn of(program: &Path, wanted: &Wanted) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.arg(if wanted.record { "recording-server" } else { "null-server" });
        command.args(["--port", "0", "--delay", &format!("{}ms", wanted.delay.as_millis())]);
        command.args(["--threads", &wanted.cores.len().max(1).to_string()]);
        for core in &wanted.cores {
            command.args(["--core", &core.to_string()]);
        }
        if wanted.spin {
            command.arg("--spin");
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server of the measurement")?;
        // From here on dropping ends the child.
        let mut server = Self { child: Ended(child), address: String::new(), url: String::new() };
        let mut line = String::new();
        if let Some(stdout) = server.child.0.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).context("cannot read from the server")?;
        }
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            bail!("the server did not say where it listens, but `{}`", line.trim());
        };
        server.url = format!("http://{address}");
        address.clone_into(&mut server.address);
        Ok(server)
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Forgets all arrivals so far.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn reset(&self) -> anyhow::Result<()> {
        self.ask("reset").map(|_| ())
    }

    /// What arrived since the last reset.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn summary(&self) -> anyhow::Result<Summary> {
        serde_json::from_slice(&self.ask("summary")?).context("the server's summary cannot be read")
    }

    /// The stamp of each arrival since the last reset, in nanoseconds of the server's clock, not in order when it has
    /// more threads than one. None unless it was started to record.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn arrivals(&self) -> anyhow::Result<Vec<i64>> {
        let bytes = self.ask("arrivals")?;
        let (stamps, rest) = bytes.as_chunks::<8>();
        ensure!(rest.is_empty(), "the server's stamps end in the middle of one");
        Ok(stamps.iter().map(|s| i64::from_le_bytes(*s)).collect())
    }

    /// Processor time that the server has used.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        cpu_time_of(self.child.0.id())
    }

    fn ask(&self, what: &str) -> anyhow::Result<Vec<u8>> {
        self.exchange(what).with_context(|| format!("cannot ask the server for its {what}"))
    }

    fn exchange(&self, what: &str) -> anyhow::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /-/{what} HTTP/1.1\r\nhost: bench\r\n\r\n")?;
        let mut reader = BufReader::new(stream);
        let mut length = None;
        loop {
            let mut line = String::new();
            ensure!(reader.read_line(&mut line)? > 0, "it closed the connection");
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Some(value.trim().parse::<usize>()?);
            }
        }
        let mut body = vec![0; length.context("it did not say how long its answer is")?];
        reader.read_exact(&mut body)?;
        Ok(body)
    }
}
