//! Idle connections of one load thread, by origin, the youngest first.

use std::cell::RefCell;
use std::collections::VecDeque;

use fluxfleet_proto::clock::Mono;

use super::IDLE_LIMIT;
use super::endpoint::Origin;

/// Idle connections of one origin with the beginning of their idleness, the youngest last.
type Idle<C> = VecDeque<(Mono, C)>;

/// Keeps what is idle. `C` is the connection.
pub(super) struct Pool<C> {
    // Few origins, often one: a scan beats hashing.
    origins: RefCell<Vec<(Origin, Idle<C>)>>,
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self { origins: RefCell::default() }
    }
}

impl<C> Pool<C> {
    /// The connection that became idle last, unless even that one has been idle for too long. The others that
    /// have are dropped on the way.
    pub(super) fn take(&self, origin: &Origin, now: Mono) -> Option<C> {
        let mut origins = self.origins.borrow_mut();
        let (_, idle) = origins.iter_mut().find(|(o, _)| o == origin)?;
        let (since, connection) = idle.pop_back()?;
        if now.since(since) > IDLE_LIMIT {
            idle.clear();
            return None;
        }
        Some(connection)
    }

    /// Keeps a connection that is idle from `now` on.
    pub(super) fn put(&self, origin: &Origin, now: Mono, connection: C) {
        let mut origins = self.origins.borrow_mut();
        let at = origins.iter().position(|(o, _)| o == origin).unwrap_or_else(|| {
            origins.push((origin.clone(), VecDeque::new()));
            origins.len() - 1
        });
        origins[at].1.push_back((now, connection));
    }

    /// Drops what has been idle for too long.
    pub(super) fn sweep(&self, now: Mono) {
        for (_, idle) in self.origins.borrow_mut().iter_mut() {
            while idle.front().is_some_and(|(since, _)| now.since(*since) > IDLE_LIMIT) {
                idle.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_youngest_connection_is_taken_and_the_stale_ones_go() {
        let pool = Pool::default();
        let origin = Origin { secure: false, host: "gpu".into(), port: 80 };
        let start = Mono::from_nanos(0);
        let at = |ms| start + Duration::from_millis(ms);
        pool.put(&origin, at(0), "old");
        pool.put(&origin, at(2000), "young");
        assert_eq!(pool.take(&Origin { port: 81, ..origin.clone() }, at(2000)), None);
        assert_eq!(pool.take(&origin, at(3000)), Some("young"));
        pool.put(&origin, at(3000), "young");
        pool.sweep(at(4001));
        assert_eq!(pool.take(&origin, at(7000)), Some("young"));
        assert_eq!(pool.take(&origin, at(7000)), None);
        pool.put(&origin, at(7000), "young");
        assert_eq!(pool.take(&origin, at(11_001)), None);
    }
}
