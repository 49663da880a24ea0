//! Idle connections of one load thread, by origin, the youngest first.

use std::cell::RefCell;
use std::time::Duration;

use fluxfleet_proto::clock::Mono;

use super::endpoint::Origin;

/// An idle connection.
#[derive(Debug)]
struct Idle<C> {
    connection: C,
    since: Mono,
    until: Mono,
}

/// Idle connections of one origin, the youngest last.
type Kept<C> = (Origin, Vec<Idle<C>>);

/// Keeps what is idle. `C` is the connection.
pub(super) struct Pool<C> {
    // Few origins, often one: a scan beats hashing.
    origins: RefCell<Vec<Kept<C>>>,
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self { origins: RefCell::default() }
    }
}

impl<C> Pool<C> {
    /// The connection that became idle last and is still good, and how long it has been idle. Those that are not
    /// any more are dropped on the way.
    pub(super) fn take(&self, origin: &Origin, now: Mono) -> Option<(C, Duration)> {
        let mut origins = self.origins.borrow_mut();
        let (_, kept) = origins.iter_mut().find(|(o, _)| o == origin)?;
        while let Some(Idle { connection, since, until }) = kept.pop() {
            if now <= until {
                return Some((connection, now.since(since)));
            }
        }
        None
    }

    /// Keeps a connection that is idle from `now` on, for at most `limit`.
    pub(super) fn put(&self, origin: &Origin, now: Mono, limit: Duration, connection: C) {
        let mut origins = self.origins.borrow_mut();
        let at = origins.iter().position(|(o, _)| o == origin).unwrap_or_else(|| {
            origins.push((origin.clone(), Vec::new()));
            origins.len() - 1
        });
        origins[at].1.push(Idle { connection, since: now, until: now + limit });
    }

    /// Drops what has been idle for too long.
    pub(super) fn sweep(&self, now: Mono) {
        for (_, kept) in self.origins.borrow_mut().iter_mut() {
            kept.retain(|idle| now <= idle.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_connection_is_taken_and_the_stale_ones_go() {
        let pool = Pool::default();
        let origin = Origin { secure: false, host: "gpu".into(), port: 80 };
        let start = Mono::from_nanos(0);
        let at = |ms| start + Duration::from_millis(ms);
        let take = |ms| pool.take(&origin, at(ms)).map(|(name, idle)| (name, idle.as_millis()));
        let limit = Duration::from_secs(4);
        pool.put(&origin, at(0), limit, "old");
        pool.put(&origin, at(2000), limit, "young");
        assert!(pool.take(&Origin { port: 81, ..origin.clone() }, at(2000)).is_none());
        assert_eq!(take(3000), Some(("young", 1000)));
        pool.put(&origin, at(3000), limit, "young");
        pool.sweep(at(4001));
        assert_eq!(take(7000), Some(("young", 4000)));
        assert_eq!(take(7000), None);
        pool.put(&origin, at(7000), limit, "young");
        assert_eq!(take(11_001), None);
    }

    #[test]
    fn a_connection_with_a_shorter_life_does_not_take_others_with_it() {
        let pool = Pool::default();
        let origin = Origin { secure: false, host: "gpu".into(), port: 80 };
        let start = Mono::from_nanos(0);
        pool.put(&origin, start, Duration::from_secs(4), "long");
        pool.put(&origin, start, Duration::from_secs(1), "short");
        let taken = pool.take(&origin, start + Duration::from_secs(2));
        assert_eq!(taken.map(|(name, _)| name), Some("long"));
    }
}
