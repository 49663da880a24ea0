//! The null server as a child process; pins processes to cores.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// A null server in a process of its own; ended when dropped.
#[derive(Debug)]
pub struct NullServer {
    child: Child,
    url: String,
}

impl NullServer {
    /// Starts this program again as the null server, on `core` if one is given.
    ///
    /// # Errors
    /// When it cannot be started or does not say where it listens.
    pub fn start(delay: Duration, core: Option<usize>) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(core.to_string()).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .args(["null-server", "--port", "0", "--delay", &format!("{}ms", delay.as_millis())])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the null server")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).context("cannot read from the null server")?;
        }
        // From here on dropping ends the child.
        let mut server = Self { child, url: String::new() };
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            bail!("the null server did not say where it listens, but `{}`", line.trim());
        };
        server.url = format!("http://{address}");
        Ok(server)
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        // It has nothing to lose; an error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the generator and the server run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The generator's core.
    pub generator: usize,
    /// The server's core.
    pub server: usize,
}

/// Pins this process to one core and names another for the server. To be called before threads are started,
/// since they inherit the pin. The error text tells why processes are not pinned.
///
/// # Errors
/// When `taskset` is missing or refuses, or there is one core only.
pub fn pin() -> Result<Cores, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Err("one core only".to_owned());
    }
    let cores = Cores { generator: 0, server: 1 };
    let output = Command::new("taskset")
        .args(["-cp", &cores.generator.to_string(), &std::process::id().to_string()])
        .output()
        .map_err(|e| format!("`taskset` (util-linux) cannot be run: {e}"))?;
    if output.status.success() {
        Ok(cores)
    } else {
        Err(format!("`taskset` refused: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}
