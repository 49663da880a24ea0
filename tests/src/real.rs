//! Inference servers that nobody here wrote, installed from packages: see `tests/real/README.md`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

use crate::http;
use crate::process::{Process, eventually, root};

/// A real server as its own process, with its own state folder.
pub struct RealServer {
    /// Its base URL.
    pub url: String,
    process: Process,
    _state: tempfile::TempDir,
}

/// Installs the servers; does nothing when they are there.
pub fn set_up() {
    let ended = Process::spawn("tests/real/setup", Command::new(root().join("tests/real/setup"))).end();
    ended.expect_code(0);
}

impl RealServer {
    /// Starts LitServe. `max_batch` above 1 switches its dynamic batching on.
    pub fn litserve(max_batch: u32) -> Self {
        Self::start("litserve_app.py", "/health", &[("LITSERVE_MAX_BATCH", &max_batch.to_string())])
    }

    /// Starts BentoML.
    pub fn bentoml() -> Self {
        Self::start("bentoml_app.py", "/readyz", &[])
    }

    fn start(app: &str, readiness: &str, environment: &[(&str, &str)]) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let mut command = Command::new(root().join("target/real-venv/bin/python"));
        command.arg(root().join("tests/real").join(app)).arg(port.to_string()).arg(state.path());
        command.envs(environment.iter().copied()).current_dir(state.path());
        let mut process = Process::spawn(app, command);
        let url = format!("http://127.0.0.1:{port}");
        let ready = format!("{url}{readiness}");
        eventually(&format!("{app} is ready"), || {
            assert!(!process.has_ended(), "{app} ended:\n{}", process.stderr_so_far());
            matches!(http::get(&ready), Ok((200, _)))
        });
        Self { url, process, _state: state }
    }

    /// Its own exact account of the items it made.
    pub fn counts(&self) -> Value {
        http::get_json(&format!("{}/counts", self.url))
    }

    /// Ends it and waits for its children.
    pub fn stop(self) {
        self.process.signal("TERM");
        self.process.end().expect_code(0);
    }
}

/// A port below the range from which the system chooses, so that no listener of another test gets it in between.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two test programs at once begin at different places.
    let base = 20_000 + u16::try_from(std::process::id() % 100).expect("below 100") * 100;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..100).map(|_| base + NEXT.fetch_add(1, Ordering::Relaxed) % 100).find(free).expect("a free port")
}

/// Where a program of a package of Debian is: on this machine, or where `tests/real/setup` unpacked it.
pub(crate) fn debian_program(package: &str, path_in_it: &str) -> PathBuf {
    let unpacked = root().join("target").join(format!("real-{package}")).join(path_in_it);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = dirs.map(|dir| dir.join(package)).chain([unpacked]).find(|program| program.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "there is no {package} and tests/real/setup could not get it; install {package} (Debian: package \
             {package})"
        )
    })
}
