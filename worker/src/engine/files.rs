//! Open files: every request in flight holds a connection, and every connection a descriptor.

use rlimit::Resource;

/// Descriptors that a trial needs beside its connections: runtimes, the stream, name look-ups.
const SPARE: u64 = 64;

/// Makes room for this many connections beside what is open already, raising the soft limit as far as needed and
/// allowed. Run before the load: a generator that runs out of descriptors measures itself.
///
/// # Errors
/// What is needed, what is allowed, and what to do.
pub(super) fn make_room(in_flight: u32) -> Result<(), String> {
    let Ok((soft, hard)) = Resource::NOFILE.get() else { return Ok(()) };
    let needed = needed(open_now(), in_flight);
    if soft >= needed {
        return Ok(());
    }
    if hard >= needed && Resource::NOFILE.set(needed, hard).is_ok() {
        return Ok(());
    }
    Err(format!(
        "{in_flight} requests in flight need {needed} open files and this worker may have {}; run \
         `ulimit -n {needed}` before it, hold fewer in flight, or spread them over more workers",
        soft.max(hard)
    ))
}

fn needed(open: u64, in_flight: u32) -> u64 {
    open + u64::from(in_flight) + SPARE
}

/// Descriptors open now; none where the system does not tell.
fn open_now() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_needs_what_is_open_its_connections_and_some_to_spare() {
        assert_eq!(needed(20, 3_000), 3_084);
    }

    #[test]
    fn more_than_any_system_allows_is_told_with_what_to_do() {
        // Linux allows at most fs.nr_open, 2^20 by default and 2^31 - 8 at the very most.
        let error = make_room(u32::MAX).expect_err("four thousand million descriptors");
        assert!(error.contains("ulimit -n") && error.contains("more workers"), "{error}");
    }
}
