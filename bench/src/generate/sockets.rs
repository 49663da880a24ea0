//! Loops over bare sockets: one write and one read for each request, and nothing else. How fast the closed one is, and
//! how punctual the open one, which never sleeps, is what the machine gives; no generator that sends each request by a
//! system call can be expected to do better.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fluxfleet_proto::clock::Clock;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::{BODY, Options, PATH};

/// Room for an answer; the bench's own server sends far less.
const ROOM: usize = 4096;
/// Longest time that the bench's own server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How every answer begins.
const OK: &[u8] = b"HTTP/1.1 200 ";

/// One connection on which at most one answer is awaited.
struct Connection {
    stream: TcpStream,
    awaited: bool,
}

impl Connection {
    /// Sends a request, whole: a socket on which nothing else waits has room for it.
    fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let sent = self.stream.write(request).context("cannot send a request")?;
        ensure!(sent == request.len(), "a request was not sent in one piece");
        self.awaited = true;
        Ok(())
    }

    /// Waits, without sleeping, for the awaited answer, if there is one.
    fn wait(&mut self) -> anyhow::Result<()> {
        let limit = Clock::now() + PATIENCE;
        while self.awaited && !self.receive()? {
            ensure!(Clock::now() < limit, "no answer within {PATIENCE:?}");
        }
        Ok(())
    }

    /// Reads the awaited answer; `false` while it is not there.
    fn receive(&mut self) -> anyhow::Result<bool> {
        let mut room = [0; ROOM];
        match self.stream.read(&mut room) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => {
                ensure!(room[..read].starts_with(OK), "a request was not answered 200");
                self.awaited = false;
                Ok(true)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e).context("cannot read an answer"),
        }
    }
}

/// The request, and connections to send it on.
fn ready(options: &Options) -> anyhow::Result<(Vec<u8>, Vec<Connection>)> {
    let host = super::host(&options.url)?;
    let address: SocketAddr = host.parse().context("the URL must name an address and a port")?;
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let connections = (0..options.connections.get())
        .map(|_| {
            let stream = std::net::TcpStream::connect(address).context("cannot connect")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(Connection { stream: TcpStream::from_std(stream), awaited: false })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok((request.into_bytes(), connections))
}

/// Reads the answers that are there, and then sends on each connection that had one; returns the number of answers.
pub(super) fn closed(options: &Options) -> anyhow::Result<u64> {
    let (request, mut connections) = ready(options)?;
    let mut poll = Poll::new()?;
    for (number, connection) in connections.iter_mut().enumerate() {
        poll.registry().register(&mut connection.stream, Token(number), Interest::READABLE)?;
        connection.send(&request)?;
    }
    let until = Clock::now() + options.duration;
    let mut events = Events::with_capacity(connections.len());
    let mut answered = Vec::new();
    let mut requests = 0;
    while Clock::now() < until {
        poll.poll(&mut events, Some(PATIENCE))?;
        for Token(number) in events.iter().map(mio::event::Event::token) {
            if connections[number].receive()? {
                answered.push(number);
            }
        }
        requests += answered.len() as u64;
        for number in answered.drain(..) {
            connections[number].send(&request)?;
        }
    }
    Ok(requests)
}

/// Sends at a constant rate, on one connection after the other, and never sleeps; returns the number of answers.
pub(super) fn open(options: &Options, rate: NonZeroU32) -> anyhow::Result<u64> {
    let (request, mut connections) = ready(options)?;
    let gap = 1.0 / f64::from(rate.get());
    let start = Clock::now();
    let mut requests = 0_u64;
    let mut at = 0;
    loop {
        let after = Duration::from_secs_f64(requests as f64 * gap);
        if after >= options.duration {
            break;
        }
        let connection = &mut connections[at];
        at = (at + 1) % options.connections.get() as usize;
        connection.wait()?;
        while Clock::now() < start + after {
            std::hint::spin_loop();
        }
        connection.send(&request)?;
        requests += 1;
    }
    connections.iter_mut().try_for_each(Connection::wait)?;
    Ok(requests)
}
