//! One thread of the server: its connections, and what to do with their requests.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::Context;
use fluxfleet_proto::clock::{Clock, Mono};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::connection::{Connection, State};
use super::http1::{DOCUMENT, answer, control};
use super::{Ledger, Options, Seen, Summary, locked};

const LISTENER: Token = Token(0);
const DEALT: Token = Token(1);
const FIRST_CONNECTION: usize = 2;
/// Events taken from the operating system at once.
const EVENTS: usize = 1024;
/// Room for what one read brings.
const ROOM: usize = 64 << 10;

/// The way of a new connection to its thread.
#[derive(Debug)]
pub(super) struct Deal {
    core: Option<usize>,
    streams: Sender<TcpStream>,
    waker: Arc<Waker>,
}

/// Takes new connections and deals them: to the thread on the core where the client is, so that their traffic need not
/// cross cores, or in turn where none is there.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    parts: Vec<Deal>,
    next: usize,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, parts: Vec<Deal>) -> Self {
        Self { listener, parts, next: 0 }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let near = client_core(&stream)
                        .and_then(|core| self.parts.iter().find(|p| p.core == Some(core)));
                    let part = near.unwrap_or_else(|| {
                        self.next += 1;
                        &self.parts[self.next % self.parts.len()]
                    });
                    // Fails only when that thread is gone, and the process with it.
                    if part.streams.send(stream).is_ok() {
                        part.waker.wake()?;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The client went away before it was let in.
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(e) => return Err(e).context("cannot accept a connection"),
            }
        }
    }
}

/// The core that handled the connection's packets last: on loopback it is the client's.
#[cfg(target_os = "linux")]
fn client_core(stream: &TcpStream) -> Option<usize> {
    rustix::net::sockopt::socket_incoming_cpu(stream).ok()?.try_into().ok()
}

/// The client's core; only Linux tells.
#[cfg(not(target_os = "linux"))]
fn client_core(_stream: &TcpStream) -> Option<usize> {
    None
}

/// A thread's own half.
#[derive(Debug)]
pub(super) struct Part {
    poll: Poll,
    dealt: Receiver<TcpStream>,
    acceptor: Option<Acceptor>,
    spin: bool,
    connections: HashMap<usize, Connection>,
    /// Token of the next connection; never used twice, so a late answer cannot reach the wrong client.
    next: usize,
    work: Work,
}

/// What requests are answered with and counted in; apart from the connections, so that both can be borrowed.
#[derive(Debug)]
struct Work {
    number: usize,
    ledger: Ledger,
    record: bool,
    delay: Duration,
    document: Vec<u8>,
    /// Answers to come, by the time they are due; the delay is the same for all, so they stay in order.
    due: VecDeque<(Mono, usize)>,
}

impl Part {
    pub(super) fn new(number: usize, options: &Options, ledger: Ledger) -> anyhow::Result<(Self, Deal)> {
        let poll = Poll::new().context("cannot watch connections")?;
        let waker = Arc::new(Waker::new(poll.registry(), DEALT)?);
        let (streams, dealt) = channel();
        let work = Work {
            number,
            ledger,
            record: options.record,
            delay: options.delay,
            document: answer("application/json", DOCUMENT.as_bytes()),
            due: VecDeque::new(),
        };
        let part = Self {
            poll,
            dealt,
            acceptor: None,
            spin: options.spin,
            connections: HashMap::new(),
            next: FIRST_CONNECTION,
            work,
        };
        Ok((part, Deal { core: options.core(number), streams, waker }))
    }

    /// Makes this thread the one that takes new connections.
    pub(super) fn accept(&mut self, mut acceptor: Acceptor) -> anyhow::Result<()> {
        self.poll.registry().register(&mut acceptor.listener, LISTENER, Interest::READABLE)?;
        self.acceptor = Some(acceptor);
        Ok(())
    }

    /// Serves for ever.
    pub(super) fn serve(mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut room = vec![0; ROOM];
        loop {
            match self.poll.poll(&mut events, self.patience()) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other.context("cannot wait for requests")?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => {
                        if let Some(acceptor) = &mut self.acceptor {
                            acceptor.accept()?;
                        }
                    }
                    DEALT => self.welcome()?,
                    Token(id) => self.attend(id, event, &mut room),
                }
            }
            self.answer_due();
        }
    }

    /// How long to sleep when nothing happens.
    fn patience(&self) -> Option<Duration> {
        if self.spin {
            return Some(Duration::ZERO);
        }
        self.work.due.front().map(|(at, _)| at.since(Clock::now()))
    }

    fn welcome(&mut self) -> anyhow::Result<()> {
        while let Ok(stream) = self.dealt.try_recv() {
            // A client that has left already shows at the first read.
            let _ = stream.set_nodelay(true);
            let mut connection = Connection::new(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(connection.stream(), Token(self.next), interest)?;
            self.connections.insert(self.next, connection);
            self.next += 1;
        }
        Ok(())
    }

    fn attend(&mut self, id: usize, event: &Event, room: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut state = State::Open;
        if event.is_writable() {
            state = connection.flush();
        }
        if state == State::Open {
            let work = &mut self.work;
            state = connection.read(room, |connection, request| work.take(id, connection, request));
        }
        // The end may have come with the last bytes, and is not told twice.
        if state == State::Closed || event.is_read_closed() {
            self.connections.remove(&id);
        }
    }

    fn answer_due(&mut self) {
        if self.work.due.is_empty() {
            return;
        }
        let now = Clock::now();
        while let Some(&(at, id)) = self.work.due.front()
            && at <= now
        {
            self.work.due.pop_front();
            locked(self.work.own()).summary.waiting -= 1;
            if let Some(connection) = self.connections.get_mut(&id)
                && connection.send(&self.work.document) == State::Closed
            {
                self.connections.remove(&id);
            }
        }
    }
}

impl Work {
    fn own(&self) -> &std::sync::Mutex<Seen> {
        &self.ledger[self.number]
    }

    /// Counts a request, and answers it now or has it answered later.
    fn take(&mut self, id: usize, connection: &mut Connection, request: &[u8]) {
        if let Some(path) = control(request) {
            // A client that does not take its answer shows at the next read.
            let _ = connection.send(&self.told(path));
            return;
        }
        let now = Clock::now();
        {
            let seen = &mut *locked(self.own());
            if seen.summary.count == 0 {
                seen.summary.first_ns = now.as_nanos();
            }
            seen.summary.last_ns = now.as_nanos();
            seen.summary.count += 1;
            if self.record {
                seen.stamps.push(now.as_nanos());
            }
            seen.summary.waiting += u64::from(!self.delay.is_zero());
        }
        if self.delay.is_zero() {
            let _ = connection.send(&self.document);
        } else {
            self.due.push_back((now + self.delay, id));
        }
    }

    /// The answer to the measurement's own question.
    fn told(&self, path: &str) -> Vec<u8> {
        match path {
            "reset" => {
                for seen in self.ledger.iter() {
                    let seen = &mut *locked(seen);
                    seen.summary = Summary { waiting: seen.summary.waiting, ..Summary::default() };
                    seen.stamps.clear();
                }
                answer("text/plain", b"ok")
            }
            "arrivals" => {
                let mut bytes = Vec::new();
                for seen in self.ledger.iter() {
                    bytes.extend(locked(seen).stamps.iter().flat_map(|s| s.to_le_bytes()));
                }
                answer("application/octet-stream", &bytes)
            }
            _ => {
                let mut all = Summary::default();
                for seen in self.ledger.iter() {
                    all.add(locked(seen).summary);
                }
                let text = serde_json::to_vec(&all).unwrap_or_default();
                answer("application/json", &text)
            }
        }
    }
}
