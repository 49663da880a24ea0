//! Connections of one load thread that are free, by origin, the youngest first, and who waits for one.
//!
//! A connection that becomes free goes to whoever has waited longest; idle ones are left only where nobody waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
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

/// The connections of one origin.
struct Kept<C> {
    origin: Origin,
    /// The youngest last.
    idle: Vec<Idle<C>>,
    /// By their numbers, which grow: the oldest first.
    waiting: BTreeMap<u64, Rc<Place<C>>>,
}

/// Where somebody waits.
struct Place<C> {
    given: Cell<Option<Idle<C>>>,
    waker: RefCell<Option<Waker>>,
}

/// Keeps what is free. `C` is the connection.
pub(super) struct Pool<C> {
    // Few origins, often one: a scan beats hashing.
    origins: RefCell<Vec<Kept<C>>>,
    /// Of the next one who waits.
    next: Cell<u64>,
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self { origins: RefCell::default(), next: Cell::default() }
    }
}

impl<C> Pool<C> {
    /// The connection that became idle last and is still good, and how long it has been idle. Those that are not
    /// any more are dropped on the way.
    pub(super) fn take(&self, origin: &Origin, now: Mono) -> Option<(C, Duration)> {
        let mut origins = self.origins.borrow_mut();
        let kept = origins.iter_mut().find(|kept| kept.origin == *origin)?;
        while let Some(Idle { connection, since, until }) = kept.idle.pop() {
            if now <= until {
                return Some((connection, now.since(since)));
            }
        }
        None
    }

    /// Keeps a connection that is free from `now` on, for at most `limit`.
    pub(super) fn put(&self, origin: &Origin, now: Mono, limit: Duration, connection: C) {
        self.give(origin, Idle { connection, since: now, until: now + limit });
    }

    fn give(&self, origin: &Origin, idle: Idle<C>) {
        self.of(origin, |kept| match kept.waiting.pop_first() {
            None => kept.idle.push(idle),
            Some((_, place)) => {
                place.given.set(Some(idle));
                if let Some(waker) = place.waker.take() {
                    waker.wake();
                }
            }
        });
    }

    /// Gets in line for a connection that becomes free.
    pub(super) fn wait<'a>(&'a self, origin: &'a Origin) -> Waiting<'a, C> {
        let number = self.next.get();
        self.next.set(number + 1);
        let place = Rc::new(Place { given: Cell::new(None), waker: RefCell::new(None) });
        Waiting { pool: self, origin, number, place }
    }

    /// Drops what has been idle for too long.
    pub(super) fn sweep(&self, now: Mono) {
        for kept in self.origins.borrow_mut().iter_mut() {
            kept.idle.retain(|idle| now <= idle.until);
        }
    }

    fn of<T>(&self, origin: &Origin, with: impl FnOnce(&mut Kept<C>) -> T) -> T {
        let mut origins = self.origins.borrow_mut();
        let at = origins.iter().position(|kept| kept.origin == *origin).unwrap_or_else(|| {
            origins.push(Kept { origin: origin.clone(), idle: Vec::new(), waiting: BTreeMap::new() });
            origins.len() - 1
        });
        with(&mut origins[at])
    }
}

/// Somebody who waits for a connection. Whoever goes before one came leaves the line, and what came too late for them
/// goes to the next.
pub(super) struct Waiting<'a, C> {
    pool: &'a Pool<C>,
    origin: &'a Origin,
    number: u64,
    place: Rc<Place<C>>,
}

impl<C> Waiting<'_, C> {
    /// A connection, and since when it is free. May be asked again, as one who has waited as long as before.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(C, Mono)> {
        if let Some(Idle { connection, since, .. }) = self.place.given.take() {
            return Poll::Ready((connection, since));
        }
        self.place.waker.replace(Some(cx.waker().clone()));
        self.pool.of(self.origin, |kept| {
            kept.waiting.entry(self.number).or_insert_with(|| Rc::clone(&self.place));
        });
        Poll::Pending
    }
}

impl<C> Drop for Waiting<'_, C> {
    fn drop(&mut self) {
        self.pool.of(self.origin, |kept| kept.waiting.remove(&self.number));
        if let Some(idle) = self.place.given.take() {
            self.pool.give(self.origin, idle);
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
    fn what_becomes_free_goes_to_whoever_has_waited_longest() {
        let pool = Pool::default();
        let origin = Origin { secure: false, host: "gpu".into(), port: 80 };
        let now = Mono::from_nanos(0);
        let put = |name| pool.put(&origin, now, Duration::from_secs(4), name);
        let cx = &mut Context::from_waker(Waker::noop());
        let [mut first, mut second, mut third] = [(); 3].map(|()| pool.wait(&origin));
        assert!([&mut first, &mut second, &mut third].into_iter().all(|w| w.poll(cx).is_pending()));
        put("a");
        assert!(pool.take(&origin, now).is_none(), "it is not idle");
        assert!(second.poll(cx).is_pending());
        assert_eq!(first.poll(cx), Poll::Ready(("a", now)));
        // That one was no good: it goes on waiting, before those who came later.
        assert!(first.poll(cx).is_pending());
        put("b");
        // Too late for the one it was meant for.
        drop(first);
        assert_eq!(second.poll(cx), Poll::Ready(("b", now)));
        drop(second);
        drop(third);
        put("c");
        assert_eq!(pool.take(&origin, now).map(|(name, _)| name), Some("c"), "nobody waits any more");
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
