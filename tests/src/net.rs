//! Two network namespaces and a wire between them with a delay of its own each way.
//!
//! The namespaces live as long as the processes that hold them, and those end with their standard input: nothing is left
//! behind, even by a test that is killed. Whoever is not root gets a user namespace around them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use crate::process::{program, root};

/// What to do where the machine lacks something; a test that cannot run has failed.
const NEEDS: &str = "tests with a network of their own need Linux with network namespaces and /dev/net/tun, unshare and \
                     nsenter (Debian: util-linux), ip (iproute2) and Python 3.11; as root, or where user namespaces are allowed";

/// One end of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// 10.77.0.1.
    Here,
    /// 10.77.0.2.
    There,
}

/// How the wire is.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// From here to there, and what may come on top, in milliseconds.
    pub there_ms: (u32, u32),
    /// Back.
    pub back_ms: (u32, u32),
}

/// Two namespaces and the wire.
pub struct Net {
    here: Held,
    there: Held,
    wire: Held,
    delays: Delays,
    as_root: bool,
}

/// A process that ends with its standard input, and what it says.
struct Held {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Net {
    /// The address of the end that is here.
    pub const HERE: &str = "10.77.0.1";

    /// Both ends up, and the wire with these delays.
    pub fn new(delays: Delays) -> Self {
        let id = Command::new("id").arg("-u").output().expect("id runs");
        let as_root = id.stdout.trim_ascii() == b"0";
        let hold = ["--net", "sh", "-c", "echo ready; exec cat"];
        let user: &[&str] = if as_root { &[] } else { &["--user", "--map-root-user"] };
        let here = Held::start(Command::new("unshare").args(user).args(hold), "ready");
        let mut other = if as_root { Command::new("unshare") } else { enter(&here, as_root, &["unshare"]) };
        let there = Held::start(other.args(hold), "ready");
        let mut wire = enter(&here, as_root, &["--net", "python3"]);
        wire.arg(root().join("tests/net/wire.py")).arg(format!("/proc/{}/ns/net", there.child.id()));
        let wire = Held::start(&mut wire, "ready");
        let mut net = Self { here, there, wire, delays, as_root };
        net.set("up");
        net
    }

    /// One of the workspace's programs at one end, to be given its arguments. Its process id is the program's own.
    pub fn command(&self, end: End, name: &str) -> Command {
        let mut command = self.bare(end);
        command.arg(program(name));
        command
    }

    /// As [`command`](Self::command), with variables set for the program alone.
    pub fn command_with(&self, end: End, name: &str, environment: &[(&str, &str)]) -> Command {
        let mut command = self.bare(end);
        command
            .arg("env")
            .args(environment.iter().map(|(name, value)| format!("{name}={value}")))
            .arg(program(name));
        command
    }

    fn bare(&self, end: End) -> Command {
        let holder = if end == End::Here { &self.here } else { &self.there };
        enter(holder, self.as_root, &["--net"])
    }

    /// Nothing gets through any more, what is under way neither.
    pub fn cut(&mut self) {
        self.set("down");
    }

    /// Everything gets through again.
    pub fn mend(&mut self) {
        self.set("up");
    }

    fn set(&mut self, state: &str) {
        let Delays { there_ms: (there, j), back_ms: (back, k) } = self.delays;
        let order = format!("{there} {j} {back} {k} {state}\n");
        let mut orders = self.wire.child.stdin.as_ref().expect("piped");
        orders.write_all(order.as_bytes()).expect("the wire listens");
        self.wire.expect("set");
    }
}

/// A command in the namespaces of a holder.
fn enter(holder: &Held, as_root: bool, more: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &holder.child.id().to_string()]);
    if !as_root {
        command.args(["--user", "--preserve-credentials"]);
    }
    command.args(more);
    command
}

impl Held {
    fn start(command: &mut Command, first_word: &str) -> Self {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|e| panic!("{command:?} does not start: {e}; {NEEDS}"));
        let said = BufReader::new(child.stdout.take().expect("piped"));
        let mut held = Self { child, said };
        held.expect(first_word);
        held
    }

    fn expect(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        assert!(line.trim_end() == word, "it says {line:?} and perhaps more above; {NEEDS}");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
