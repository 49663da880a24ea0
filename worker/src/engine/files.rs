//! Room for connections: every request in flight holds one, and every connection a descriptor and a port.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fluxfleet_proto::load::{NO_LIMIT, Warmup};
use fluxfleet_proto::trial::Share;
use rlimit::Resource;

use crate::health::ports_limit;

/// Descriptors that a trial needs beside its connections and its threads: the stream, name look-ups.
const SPARE: u64 = 64;
/// Descriptors that a load thread needs beside its connections: two alarms of two timers each, and its runtime's four (two
/// for epoll, one to wake it, one for signals).
const OF_A_THREAD: u64 = 8;

/// The room that all workers of a process make: they share its descriptors.
struct Rooms(Mutex<Need>);

/// This process's.
static ROOMS: Rooms = Rooms(Mutex::new(Need { connections: 0, threads: 0 }));

/// What trials need descriptors for.
#[derive(Clone, Copy)]
struct Need {
    connections: u64,
    threads: u64,
}

/// Room for what a trial needs, until this is dropped.
pub(super) struct Room {
    of: &'static Rooms,
    need: Need,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        taken.connections -= self.need.connections;
        taken.threads -= self.need.threads;
    }
}

/// Requests that can ever be in flight: the share's places, but no more than it has requests. Without a limit nothing is
/// known ahead, and [`make_room`] does what can be done.
pub(super) fn most_in_flight(share: Share, size: NonZeroU32, warmup: Warmup) -> u32 {
    if share.in_flight == NO_LIMIT {
        return NO_LIMIT;
    }
    let requests = |items: u64| items.div_ceil(size.get().into());
    let all = match warmup {
        Warmup::None => requests(share.items),
        Warmup::Items(items) => requests(items).saturating_add(requests(share.items)),
        Warmup::Time(_) => u64::MAX,
    };
    u32::try_from(all).map_or(share.in_flight, |all| all.min(share.in_flight))
}

/// Makes room for this many connections on so many load threads beside what is open already, raising the soft limit as far
/// as needed and allowed. Run before the load: a generator that runs out of descriptors measures itself.
///
/// # Errors
/// What is needed, what is allowed, and what to do.
pub(super) fn make_room(in_flight: u32, threads: NonZeroUsize) -> Result<Room, String> {
    ROOMS.make(in_flight, threads)
}

impl Rooms {
    fn taken(&self) -> MutexGuard<'_, Need> {
        // Numbers are whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&'static self, in_flight: u32, threads: NonZeroUsize) -> Result<Room, String> {
        let own = |connections| Need { connections, threads: threads.get() as u64 };
        let mut taken = self.taken();
        let sum = |own: Need| Need {
            connections: taken.connections + own.connections,
            threads: taken.threads + own.threads,
        };
        if in_flight == NO_LIMIT {
            // How many it will be the service decides: as much room as there is. The report says how much was used.
            if let Ok((_, hard)) = Resource::NOFILE.get() {
                let _ = Resource::NOFILE.set(hard, hard);
            }
            *taken = sum(own(0));
            return Ok(Room { of: self, need: own(0) });
        }
        let all = sum(own(in_flight.into()));
        ports(all.connections, ports_limit())?;
        let needed = needed(open_now(), all);
        raise_to(needed).map_err(|allowed| {
            let Need { connections, threads } = all;
            format!(
                "{connections} requests in flight need {needed} open files with {threads} load threads and this worker \
                 may have {allowed}; run `ulimit -n {needed}` before it, hold fewer in flight on fewer threads, or \
                 spread them over more workers"
            )
        })?;
        *taken = all;
        Ok(Room { of: self, need: own(in_flight.into()) })
    }
}

/// Raises the limit on open files where it is lower; the error is what is allowed. Where the system does not tell, the
/// load finds out.
fn raise_to(needed: u64) -> Result<(), u64> {
    let Ok((soft, hard)) = Resource::NOFILE.get() else { return Ok(()) };
    if soft >= needed || hard >= needed && Resource::NOFILE.set(needed, hard).is_ok() {
        return Ok(());
    }
    Err(soft.max(hard))
}

/// Whether there are ports for this many connections to one address. Where the system does not
/// tell, the load finds out.
fn ports(connections: u64, limit: Option<u64>) -> Result<(), String> {
    let Some(limit) = limit else { return Ok(()) };
    // A port may be used once for each address connected to; so only what can never fit is refused.
    if connections <= limit {
        return Ok(());
    }
    Err(format!(
        "{connections} requests in flight need as many ports and this machine has {limit} for outgoing \
         connections; widen `net.ipv4.ip_local_port_range`, hold fewer in flight, or spread them over more \
         machines"
    ))
}

fn needed(open: u64, all: Need) -> u64 {
    open + all.connections + OF_A_THREAD * all.threads + SPARE
}

/// Descriptors open now; none where the system does not tell.
fn open_now() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

    #[test]
    fn a_trial_needs_what_is_open_its_connections_what_its_threads_need_and_some_to_spare() {
        assert_eq!(needed(20, Need { connections: 3_000, threads: 10 }), 3_164);
    }

    #[test]
    fn no_more_room_is_needed_than_there_are_requests() {
        let most = |items, in_flight, size, warmup| {
            let size = NonZeroU32::new(size).expect("above 0");
            most_in_flight(Share { first_item: 0, items, in_flight }, size, warmup)
        };
        assert_eq!(most(20, 1_000, 1, Warmup::None), 20);
        assert_eq!(most(20, 1_000, 6, Warmup::None), 4);
        assert_eq!(most(20, 1_000, 1, Warmup::Items(10)), 30);
        assert_eq!(most(20, 10, 1, Warmup::None), 10);
        assert_eq!(most(Share::UNBOUNDED, 1_000, 4, Warmup::Items(1)), 1_000);
        assert_eq!(most(20, 1_000, 1, Warmup::Time(Duration::ZERO)), 1_000);
        assert_eq!(most(20, NO_LIMIT, 1, Warmup::None), NO_LIMIT);
    }

    #[test]
    fn more_than_any_system_allows_is_told_with_what_to_do() {
        // Linux allows at most fs.nr_open, 2^20 by default and 2^31 - 8 at the very most.
        let error = make_room(u32::MAX - 1, ONE).map(drop).expect_err("four thousand million ports");
        assert!(error.contains("ip_local_port_range"), "{error}");
    }

    #[test]
    fn workers_of_one_process_share_its_room_while_they_have_it() {
        static OWN: Rooms = Rooms(Mutex::new(Need { connections: 0, threads: 0 }));
        let ports = ports_limit().expect("Linux tells");
        let nearly_all = u32::try_from(ports).expect("at most 65,535") - 5;
        let first = OWN.make(10, ONE).map_err(drop).expect("room for a few");
        let error = OWN.make(nearly_all, ONE).map(drop).expect_err("five more than there are ports");
        assert!(error.starts_with(&format!("{} requests", ports + 5)), "{error}");
        drop(first);
        // Whether there are descriptors enough is up to the system.
        let again = OWN.make(nearly_all, ONE).map(drop);
        assert!(again.as_ref().err().is_none_or(|e| e.contains("open files")), "{again:?}");
    }

    #[test]
    fn an_open_load_without_a_limit_gets_all_the_room_there_is() {
        assert!(make_room(NO_LIMIT, ONE).is_ok());
        let (soft, hard) = Resource::NOFILE.get().expect("a limit");
        assert_eq!(soft, hard);
    }

    #[test]
    fn more_connections_than_ports_are_refused_before_the_load() {
        assert_eq!(ports(28_232, Some(28_232)), Ok(()));
        let error = ports(28_233, Some(28_232)).expect_err("one too many");
        assert!(error.contains("28232"), "{error}");
        assert_eq!(ports(u64::MAX, None), Ok(()));
    }
}
