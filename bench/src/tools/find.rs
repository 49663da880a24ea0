//! Where a peer is, and its version.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Tool;

/// A generator that can be run.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which.
    pub tool: Tool,
    /// Its program; this program itself for what the workspace has.
    pub program: PathBuf,
    /// Its version, as it states it.
    pub version: String,
}

/// Looks for a generator in `tools` and then in `PATH`. The error text says why it cannot be measured.
///
/// # Errors
/// When it is nowhere, or would not differ from another one.
pub fn find(tool: Tool, tools: &Path, path: Option<&OsStr>) -> Result<Found, String> {
    if tool == Tool::FluxfleetUnprivileged && !rustix::process::geteuid().is_root() {
        return Err("fluxfleet itself has no privileges in this run".to_owned());
    }
    let program = match tool.program() {
        None => std::env::current_exe().map_err(|e| format!("this program's own file is unknown: {e}"))?,
        Some(name) => std::iter::once(tools.to_owned())
            .chain(path.into_iter().flat_map(std::env::split_paths))
            .map(|dir| dir.join(name))
            .find(|file| file.is_file())
            .ok_or_else(|| format!("`{name}` was found neither in {} nor in PATH", tools.display()))?,
    };
    let version = version(tool, &program);
    Ok(Found { tool, program, version })
}

fn version(tool: Tool, program: &Path) -> String {
    let said = |args: &[&str]| said_by(program, args);
    let told = match tool {
        Tool::Fluxfleet
        | Tool::FluxfleetEngine
        | Tool::FluxfleetRecords
        | Tool::FluxfleetUnprivileged
        | Tool::Sockets => Some(env!("CARGO_PKG_VERSION").to_owned()),
        Tool::Hyper => locked("hyper"),
        Tool::Reqwest => locked("reqwest"),
        // `wrk debian/4.1.0-3 [epoll] Copyright ..`, with an exit code of 1
        Tool::Wrk | Tool::Wrk2 => said(&["-v"]).and_then(|text| second_word(&text)),
        Tool::Oha => said(&["--version"]).and_then(|text| second_word(&text)),
        Tool::K6 => said(&["version"]).and_then(|text| second_word(&text)),
        // It has no way to ask; Debian knows what it installed.
        Tool::Hey => said_by(Path::new("dpkg-query"), &["-W", "-f", "${Version}", "hey"]),
    };
    told.unwrap_or_else(|| "unknown".to_owned())
}

/// What a program prints when asked for its version; the exit code means nothing.
fn said_by(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn second_word(text: &str) -> Option<String> {
    text.split_whitespace().nth(1).map(str::to_owned)
}

/// A crate's version in this workspace's lock file; the lowest when there are several.
fn locked(name: &str) -> Option<String> {
    locked_in(include_str!("../../../Cargo.lock"), name)
}

fn locked_in(lock: &str, name: &str) -> Option<String> {
    let entry = lock.split("[[package]]").find(|p| p.contains(&format!("\nname = \"{name}\"\n")))?;
    let version = entry.lines().find_map(|line| line.strip_prefix("version = "))?;
    Some(version.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_places_looked_at() {
        let why =
            find(Tool::K6, Path::new("no-such-dir"), Some(OsStr::new("/no-such-path"))).expect_err("nowhere");
        assert_eq!(why, "`k6` was found neither in no-such-dir nor in PATH");
    }

    #[test]
    fn versions_of_crates_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"hyper-util\"\nversion = \"0.1.2\"\n\n[[package]]\nname = \"hyper\"\nversion = \"1.2.3\"\n";
        assert_eq!(locked_in(lock, "hyper").as_deref(), Some("1.2.3"));
        assert_eq!(locked_in(lock, "wrk"), None);
    }

    #[test]
    fn versions_are_the_second_word() {
        assert_eq!(second_word("wrk debian/4.1.0-3 [epoll] Copyright").as_deref(), Some("debian/4.1.0-3"));
        assert_eq!(second_word("oha 1.16.0").as_deref(), Some("1.16.0"));
    }
}
