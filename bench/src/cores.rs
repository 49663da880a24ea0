//! Which core runs what. A child inherits the cores of the thread that starts it, so nothing but the operating
//! system is needed to place a program before its first instruction.

use std::process::{Child, Command};

use anyhow::Context;

/// Where the generator and the server run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The generator's core.
    pub generator: usize,
    /// The server's core.
    pub server: usize,
}

/// Two cores that this process may use. The error text tells why there are none.
///
/// # Errors
/// When there is one core only, or the operating system does not say.
pub fn two() -> Result<Cores, String> {
    match *allowed()?.as_slice() {
        [generator, server, ..] => Ok(Cores { generator, server }),
        _ => Err("there is one core only".to_owned()),
    }
}

/// The cores that this process may use, in order.
///
/// # Errors
/// When the operating system does not say.
#[cfg(target_os = "linux")]
pub fn allowed() -> Result<Vec<usize>, String> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None).map_err(|e| format!("cannot ask for this process's cores: {e}"))?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// The cores that this process may use, in order.
///
/// # Errors
/// Always: only Linux tells.
#[cfg(not(target_os = "linux"))]
pub fn allowed() -> Result<Vec<usize>, String> {
    Err("programs can be pinned to cores on Linux only".to_owned())
}

/// Pins the calling thread, and what it starts from now on.
///
/// # Errors
/// When the operating system refuses.
#[cfg(target_os = "linux")]
pub fn pin_this_thread(cores: &[usize]) -> Result<(), String> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None, &set).map_err(|e| format!("cannot pin to cores {cores:?}: {e}"))
}

/// Pins the calling thread, and what it starts from now on.
///
/// # Errors
/// Always: only Linux does it.
#[cfg(not(target_os = "linux"))]
pub fn pin_this_thread(_cores: &[usize]) -> Result<(), String> {
    allowed().map(|_| ())
}

/// Starts a child on these cores; on any when none are given.
///
/// # Errors
/// When it cannot be pinned or started.
pub fn spawn(command: &mut Command, cores: &[usize]) -> anyhow::Result<Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    let started = if cores.is_empty() {
        command.spawn()
    } else {
        // A thread of its own takes the pin and leaves with it.
        std::thread::scope(|scope| {
            let started = scope.spawn(|| {
                pin_this_thread(cores).map_err(std::io::Error::other)?;
                command.spawn()
            });
            started.join().unwrap_or_else(|_| Err(std::io::Error::other("the starting thread died")))
        })
    };
    started.with_context(|| format!("cannot start {name}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_child_starts_on_its_core_and_this_thread_stays_where_it_was() {
        let before = allowed().expect("Linux tells");
        let core = *before.last().expect("at least one core");
        let mut command = Command::new("grep");
        command.args(["Cpus_allowed_list", "/proc/self/status"]).stdout(std::process::Stdio::piped());
        let child = spawn(&mut command, &[core]).expect("grep is everywhere");
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.split_whitespace().last(), Some(core.to_string().as_str()));
        assert_eq!(allowed().expect("Linux tells"), before);
    }
}
