//! The server of every measurement: the least work that an HTTP server can do, and nothing of the worker in it.
//!
//! ```text
//!   acceptor (part 0) --deals connections--> part 0 .. n           one thread, one epoll each
//!                                                      read -> stamp -> answer (at once, or after the delay)
//!   GET /-/reset | /-/summary | /-/arrivals            how the measurement asks it
//! ```
//!
//! An arrival is stamped on the monotonic clock right after the read that completed the request. Kernel receive
//! stamps would be earlier, but a TCP stream gives them out only beside `recvmsg` of each segment, and on loopback
//! they are taken by the *sender's* core in the midst of its send, so a generator's own delay in `write` would be
//! missing from them. With [`Options::spin`] the server never sleeps, so no wake-up of its own is in a stamp.

mod connection;
mod http1;
mod part;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use mio::net::TcpListener;
use serde::{Deserialize, Serialize};

use part::{Acceptor, Part};

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Wait this long before each answer.
    pub delay: Duration,
    /// Keep the stamp of every arrival. Without it only the first, the last and the count are known.
    pub record: bool,
    /// Look for requests without ever sleeping.
    pub spin: bool,
    /// Threads; a connection is dealt to the one on its client's core, or in turn.
    pub threads: NonZeroUsize,
    /// Pin thread `i` to the `i`-th of these cores, starting over when there are more threads.
    pub cores: Vec<usize>,
}

impl Options {
    fn core(&self, thread: usize) -> Option<usize> {
        self.cores.get(thread % self.cores.len().max(1)).copied()
    }
}

/// What has arrived since the last reset. Stamps are in nanoseconds of the server's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Requests.
    pub count: u64,
    /// The first one's stamp.
    pub first_ns: i64,
    /// The last one's stamp.
    pub last_ns: i64,
    /// Requests that wait for their answer right now.
    pub waiting: u64,
}

impl Summary {
    /// Requests a second between the first arrival and the last; `None` below two requests.
    pub fn rate(&self) -> Option<f64> {
        let span = self.seconds();
        (self.count > 1 && span > 0.0).then(|| (self.count - 1) as f64 / span)
    }

    /// Seconds between the first arrival and the last.
    pub fn seconds(&self) -> f64 {
        (self.last_ns - self.first_ns) as f64 / 1e9
    }

    fn add(&mut self, other: Self) {
        self.waiting += other.waiting;
        if other.count == 0 {
            return;
        }
        let seen = self.count > 0;
        self.first_ns = if seen { self.first_ns.min(other.first_ns) } else { other.first_ns };
        self.last_ns = if seen { self.last_ns.max(other.last_ns) } else { other.last_ns };
        self.count += other.count;
    }
}

/// What one thread of the server has seen.
#[derive(Debug, Default)]
struct Seen {
    summary: Summary,
    stamps: Vec<i64>,
}

/// What all threads have seen, an entry for each. A thread locks its own for one request, so nobody ever waits for
/// a lock until the measurement asks.
type Ledger = Arc<Vec<Mutex<Seen>>>;

fn locked(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until the process is ended. Prints `listening on 127.0.0.1:PORT` first.
///
/// # Errors
/// When the port cannot be had or a thread cannot be started.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port).into())
        .with_context(|| format!("cannot listen on 127.0.0.1:{}", options.port))?;
    let address = listener.local_addr()?;
    let threads = options.threads.get();
    let ledger: Ledger = Arc::new((0..threads).map(|_| Mutex::default()).collect());
    let mut dealt = Vec::new();
    let mut others = Vec::new();
    for number in 1..threads {
        let (part, deal) = Part::new(number, options, Arc::clone(&ledger))?;
        dealt.push(deal);
        others.push(part);
    }
    let (mut first, own) = Part::new(0, options, Arc::clone(&ledger))?;
    dealt.insert(0, own);
    first.accept(Acceptor::new(listener, dealt))?;
    for (number, part) in others.into_iter().enumerate() {
        let core = options.core(number + 1);
        std::thread::Builder::new().name(format!("serve-{}", number + 1)).spawn(move || {
            if let Err(e) = pinned(core).and_then(|()| part.serve()) {
                eprintln!("error: {e:#}");
                std::process::exit(1);
            }
        })?;
    }
    pinned(options.core(0))?;
    println!("listening on {address}");
    std::io::stdout().flush()?;
    first.serve()
}

fn pinned(core: Option<usize>) -> anyhow::Result<()> {
    match core {
        Some(core) => crate::cores::pin_this_thread(&[core]).map_err(anyhow::Error::msg),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_saw_nothing_do_not_move_the_first_arrival() {
        let mut all = Summary::default();
        all.add(Summary { count: 0, first_ns: 0, last_ns: 0, waiting: 1 });
        all.add(Summary { count: 2, first_ns: 50, last_ns: 70, waiting: 0 });
        all.add(Summary { count: 3, first_ns: 40, last_ns: 60, waiting: 2 });
        assert_eq!(all, Summary { count: 5, first_ns: 40, last_ns: 70, waiting: 3 });
    }

    #[test]
    fn the_rate_counts_gaps() {
        let summary = Summary { count: 11, first_ns: 0, last_ns: 1_000_000_000, waiting: 0 };
        assert_eq!(summary.rate(), Some(10.0));
        assert_eq!(Summary { count: 1, ..summary }.rate(), None);
    }
}
