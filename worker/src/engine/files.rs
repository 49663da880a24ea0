//! Room for connections: every request in flight holds one, and every connection a descriptor and a port.

use fluxfleet_proto::load::NO_LIMIT;
use rlimit::Resource;

use crate::health::ports_limit;

/// Descriptors that a trial needs beside its connections: runtimes, the stream, name look-ups.
const SPARE: u64 = 64;

/// Makes room for this many connections beside what is open already, raising the soft limit as far as needed and
/// allowed. Run before the load: a generator that runs out of descriptors measures itself.
///
/// # Errors
/// What is needed, what is allowed, and what to do.
pub(super) fn make_room(in_flight: u32) -> Result<(), String> {
    if in_flight == NO_LIMIT {
        // How many it will be the service decides: as much room as there is. The report says how much was used.
        if let Ok((_, hard)) = Resource::NOFILE.get() {
            let _ = Resource::NOFILE.set(hard, hard);
        }
        return Ok(());
    }
    ports(in_flight, ports_limit())?;
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

/// Whether there are ports for this many connections to one address. Where the system does not
/// tell, the load finds out.
fn ports(in_flight: u32, limit: Option<u64>) -> Result<(), String> {
    let Some(limit) = limit else { return Ok(()) };
    // A port may be used once for each address connected to; so only what can never fit is refused.
    if u64::from(in_flight) <= limit {
        return Ok(());
    }
    Err(format!(
        "{in_flight} requests in flight need as many ports and this machine has {limit} for outgoing \
         connections; widen `net.ipv4.ip_local_port_range`, hold fewer in flight, or spread them over more \
         machines"
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
        let few = make_room(1);
        assert_eq!(few, Ok(()));
        let error = make_room(u32::MAX - 1).expect_err("four thousand million ports");
        assert!(error.contains("ip_local_port_range"), "{error}");
    }

    #[test]
    fn an_open_load_without_a_limit_gets_all_the_room_there_is() {
        assert_eq!(make_room(NO_LIMIT), Ok(()));
        let (soft, hard) = Resource::NOFILE.get().expect("a limit");
        assert_eq!(soft, hard);
    }

    #[test]
    fn more_connections_than_ports_are_refused_before_the_load() {
        assert_eq!(ports(28_232, Some(28_232)), Ok(()));
        let error = ports(28_233, Some(28_232)).expect_err("one too many");
        assert!(error.contains("28232"), "{error}");
        assert_eq!(ports(u32::MAX, None), Ok(()));
    }
}
