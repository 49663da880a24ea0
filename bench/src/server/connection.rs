//! One connection of a client: bytes in, answers out, nothing blocks.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;

use super::http1::request_length;

/// Longest request held, head and body.
const MAX_REQUEST: usize = 64 << 10;

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Closed,
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The front of a request whose rest has not come yet.
    held: Vec<u8>,
    /// The rest of an answer that the socket had no room for.
    unsent: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, held: Vec::new(), unsent: Vec::new() }
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads what is there and calls `request` with each whole request, in order.
    pub(super) fn read(&mut self, room: &mut [u8], mut request: impl FnMut(&mut Self, &[u8])) -> State {
        loop {
            let read = match self.stream.read(room) {
                Ok(0) => return State::Closed,
                Ok(read) => read,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return State::Open,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return State::Closed,
            };
            // Nearly always a read is exactly one request; then nothing is copied.
            let mut held = std::mem::take(&mut self.held);
            let mut bytes: &[u8] = if held.is_empty() {
                &room[..read]
            } else {
                held.extend_from_slice(&room[..read]);
                &held
            };
            while let Some(length) = request_length(bytes).filter(|&n| n <= bytes.len()) {
                request(self, &bytes[..length]);
                bytes = &bytes[length..];
            }
            if bytes.len() > MAX_REQUEST {
                return State::Closed;
            }
            self.held = bytes.to_vec();
            // A read that left room has drained the socket; epoll(7) says so of streams.
            if read < room.len() {
                return State::Open;
            }
        }
    }

    /// Sends, and keeps what does not fit for [`Self::flush`].
    pub(super) fn send(&mut self, answer: &[u8]) -> State {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(answer);
            return State::Open;
        }
        match self.stream.write(answer) {
            Ok(sent) if sent == answer.len() => State::Open,
            Ok(sent) => {
                self.unsent = answer[sent..].to_vec();
                self.flush()
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                self.unsent = answer.to_vec();
                State::Open
            }
            Err(_) => State::Closed,
        }
    }

    /// Sends on what did not fit before.
    pub(super) fn flush(&mut self) -> State {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return State::Open,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return State::Closed,
            }
        }
        State::Open
    }
}
