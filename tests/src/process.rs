//! Real processes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// No step of a test takes longer than this unless something hangs.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace").to_owned()
}

/// One of the workspace's programs, built beside this test. `cargo test --workspace` builds them all; where a
/// single package is tested they are built here.
pub fn program(name: &str) -> PathBuf {
    let mut dir = std::env::current_exe().expect("this test's path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    let path = dir.join(name);
    if !path.exists() {
        let package = if name == "fluxfleet" { "fluxfleet" } else { name };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--package", package, "--bins"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(built.success() && path.exists(), "cargo built no {}", path.display());
    }
    path
}

/// Text that a process has written so far; readers wait for more.
#[derive(Clone, Default)]
struct Text(Arc<(Mutex<(String, bool)>, Condvar)>);

impl Text {
    fn follow(stream: impl std::io::Read + Send + 'static) -> Self {
        let text = Self::default();
        let writer = text.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut raw = Vec::new();
            while matches!(lines.read_until(b'\n', &mut raw), Ok(n) if n > 0) {
                writer.0.0.lock().expect("no panics").0.push_str(&String::from_utf8_lossy(&raw));
                writer.0.1.notify_all();
                raw.clear();
            }
            writer.0.0.lock().expect("no panics").1 = true;
            writer.0.1.notify_all();
        });
        text
    }

    fn so_far(&self) -> String {
        self.0.0.lock().expect("no panics").0.clone()
    }

    /// Waits until something in the text is found. What another text holds helps to understand a failure.
    fn wait<T>(&self, what: &str, other: &Self, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = now() + PATIENCE;
        let mut guard = self.0.0.lock().expect("no panics");
        loop {
            if let Some(found) = find(&guard.0) {
                return found;
            }
            let left = deadline.saturating_duration_since(now());
            let over = guard.1 || left.is_zero();
            assert!(!over, "{what} never came; there was:\n{}\n{}", guard.0, other.so_far());
            guard = self.0.1.wait_timeout(guard, left).expect("no panics").0;
        }
    }

    fn whole(&self) -> String {
        let deadline = now() + PATIENCE;
        let mut guard = self.0.0.lock().expect("no panics");
        while !guard.1 && now() < deadline {
            guard = self.0.1.wait_timeout(guard, Duration::from_millis(100)).expect("no panics").0;
        }
        guard.0.clone()
    }
}

#[expect(clippy::disallowed_methods, reason = "tests wait on the wall, not on the fleet's clock")]
fn now() -> Instant {
    Instant::now()
}

/// Waits until something holds; fails when it does not within [`PATIENCE`].
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !holds() {
        assert!(now() < deadline, "{what}: that did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running program; killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    stdout: Text,
    stderr: Text,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All it wrote to standard output.
    pub stdout: String,
    /// All it wrote to standard error.
    pub stderr: String,
}

impl Ended {
    /// Fails with everything it wrote unless it ended with this code.
    pub fn expect_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.stdout, self.stderr);
    }

    /// Fails with everything it wrote unless each of these texts is on standard error.
    pub fn expect_stderr(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not on standard error:\n{}", self.stderr);
        }
    }

    /// Fails with everything it wrote unless each of these texts is on standard output, however its lines are
    /// broken.
    pub fn expect_stdout(&self, texts: &[&str]) {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = flat(&self.stdout);
        for text in texts {
            assert!(said.contains(&flat(text)), "{text:?} is not on standard output:\n{}", self.stdout);
        }
    }
}

impl Process {
    /// Starts one of the workspace's programs in English, whatever the locale.
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program(name));
        command.args(args);
        Self::spawn(name, command)
    }

    /// Starts any command.
    pub fn spawn(name: &str, command: Command) -> Self {
        let mut child = begin(name, command);
        let stdout = Text::follow(child.stdout.take().expect("piped"));
        let stderr = Text::follow(child.stderr.take().expect("piped"));
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    /// Starts one of the workspace's programs with nobody at the other end of its standard output.
    pub fn start_unheard(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program(name));
        command.args(args);
        let mut child = begin(name, command);
        drop(child.stdout.take());
        let stdout = Text::follow(std::io::empty());
        let stderr = Text::follow(child.stderr.take().expect("piped"));
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error so far.
    pub fn stderr_so_far(&self) -> String {
        self.stderr.so_far()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_some()
    }

    /// Waits for a text on standard error.
    pub fn wait_stderr(&self, needle: &str) {
        let what = format!("{needle:?} from {}", self.name);
        self.stderr.wait(&what, &self.stdout, |text| text.contains(needle).then_some(()));
    }

    /// Waits for a text on standard output.
    pub fn wait_stdout(&self, needle: &str) {
        let what = format!("{needle:?} from {}", self.name);
        self.stdout.wait(&what, &self.stderr, |text| text.contains(needle).then_some(()));
    }

    /// Waits for a whole line on standard error that has this text, and gives the line.
    pub fn wait_stderr_line(&self, needle: &str) -> String {
        let what = format!("a line with {needle:?} from {}", self.name);
        let line = |text: &str| {
            let whole = &text[..text.rfind('\n')?];
            whole.lines().find(|line| line.contains(needle)).map(str::to_owned)
        };
        self.stderr.wait(&what, &self.stdout, line)
    }

    /// Waits for a word on standard output that begins with `prefix`, and gives the rest of that word.
    pub fn wait_stdout_word(&self, prefix: &str) -> String {
        let what = format!("{prefix:?} from {}", self.name);
        self.stdout.wait(&what, &self.stderr, |text| word_after(text, prefix))
    }

    /// Waits for a word on standard error that begins with `prefix`, and gives the rest of that word.
    pub fn wait_stderr_word(&self, prefix: &str) -> String {
        let what = format!("{prefix:?} from {}", self.name);
        self.stderr.wait(&what, &self.stdout, |text| word_after(text, prefix))
    }

    /// Sends a signal by name, such as `INT`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "{} was gone before the signal", self.name);
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let status = self.wait();
        Ended { code: status.code(), stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(
                now() < deadline,
                "{} does not end; it said:\n{}\n{}",
                self.name,
                self.stdout.so_far(),
                self.stderr.so_far()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn begin(name: &str, mut command: Command) -> Child {
    let asked: Vec<_> = command.get_envs().map(|(variable, _)| variable.to_owned()).collect();
    for variable in ["LC_ALL", "LC_MESSAGES", "LANG", "RUST_LOG", "FLUXFLEET_LOG", "FLUXFLEET_COORDINATOR"] {
        if !asked.iter().any(|a| a == variable) {
            command.env_remove(variable);
        }
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{name} does not start: {e}"))
}

/// The rest of the first whole word that begins with `prefix`.
fn word_after(text: &str, prefix: &str) -> Option<String> {
    let rest = &text[text.find(prefix)? + prefix.len()..];
    let end = rest.find(char::is_whitespace)?;
    Some(rest[..end].to_owned())
}

/// Runs `fluxfleet` to its end.
pub fn fluxfleet(args: &[&str]) -> Ended {
    Process::start("fluxfleet", args).end()
}
