//! From an origin to an open connection.

use std::cell::{Cell, OnceCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::FailureKind;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::classify::{classify, describe};
use super::endpoint::Origin;
use super::resolve::Resolver;
use super::stream::Stream;
use super::tls::TlsOptions;
use super::{Failure, Phase, Progress};

/// What an address may take while there are others to try.
const SLICE: Duration = Duration::from_secs(2);

/// An attempt to connect that is not answered by then was lost: systems make it again after a second (RFC 6298, section 2).
///
/// It is made anew here before that, or given up where nobody waits for it. Where a service was held up, the system would
/// repeat many of them at the same tick, and more than the service's system has room for: it may answer some and then
/// forget them, and what is sent on such a connection is never heard of again. Made anew, one goes after the other.
pub(super) const LOST: Duration = Duration::from_millis(900);
/// Attempts at one address, each given twice the time of the one before: two minutes together, as systems have it.
const ATTEMPTS: u32 = 7;

/// Opens connections.
#[derive(Default)]
pub(super) struct Connector {
    resolver: Resolver,
    options: TlsOptions,
    // Reading the trust store takes a while; only an https target pays for it.
    tls: OnceCell<TlsConnector>,
}

impl Connector {
    /// Knows no address yet, and has not set up TLS.
    pub(super) fn new(options: TlsOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The way to TLS, set up by whoever asks first.
    ///
    /// # Errors
    /// `tls`, when it cannot be set up.
    pub(super) fn tls(&self) -> Result<&TlsConnector, Failure> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let config = self.options.config(&[b"http/1.1"])?;
        Ok(self.tls.get_or_init(|| TlsConnector::from(Arc::new(config))))
    }

    /// Opens a connection. Needs nobody who waits for it: what it has come to is in `opening`.
    ///
    /// # Errors
    /// `dns`, `connect` and `tls`.
    pub(super) async fn open(
        self: Rc<Self>,
        origin: Origin,
        opening: Rc<Opening>,
    ) -> Result<Stream, Failure> {
        let began = Clock::now();
        opening.phase.set(Phase::Resolving);
        let addresses =
            self.resolver.addresses(&origin.host, origin.port).await.map_err(|e| classify(&e, false))?;
        opening.resolving.set(Clock::now().since(began));
        opening.phase.set(Phase::Connecting);
        let stream = connect(&addresses, SLICE).await.map_err(|e| {
            let Failure { kind, text } = classify(&e, false);
            Failure { kind, text: format!("no connection to {}:{}: {text}", origin.host, origin.port) }
        })?;
        let connected = Clock::now();
        opening.connecting.set(Some(connected.since(began)));
        if !origin.secure {
            return Ok(Stream::Plain(stream));
        }
        opening.phase.set(Phase::Securing);
        // Connected, but no TLS: whatever became of the connection.
        let fail = |e: &(dyn std::error::Error + 'static)| Failure {
            text: format!("no TLS with {}:{}: {}", origin.host, origin.port, describe(e, FailureKind::Tls)),
            kind: FailureKind::Tls,
        };
        let name = ServerName::try_from(origin.host.clone()).map_err(|e| fail(&e))?;
        let stream = self.tls()?.connect(name, stream).await.map_err(|e| fail(&e))?;
        opening.securing.set(Some(Clock::now().since(connected)));
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// How far the opening of a connection has come, and what that took.
#[derive(Debug, Default)]
pub(super) struct Opening {
    phase: Cell<Phase>,
    resolving: Cell<Duration>,
    connecting: Cell<Option<Duration>>,
    securing: Cell<Option<Duration>>,
}

impl Opening {
    /// What it waits for.
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Tells a request what was reached since a request was last told: a connection counts once.
    pub(super) fn tell(&self, progress: &Progress) {
        if let Some(took) = self.connecting.take() {
            progress.resolved(self.resolving.get());
            progress.connected(took);
        }
        if let Some(took) = self.securing.take() {
            progress.secured(took);
        }
    }

    /// Whether there is a connection, and no request has been told.
    pub(super) fn is_untold(&self) -> bool {
        self.connecting.get().is_some()
    }
}

async fn reach(address: SocketAddr) -> io::Result<TcpStream> {
    for attempt in 0..ATTEMPTS {
        if let Ok(connected) =
            tokio::time::timeout(LOST * 2_u32.pow(attempt), TcpStream::connect(address)).await
        {
            return connected;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Tries the addresses in turn. The last one's error is the result's.
async fn connect(addresses: &[SocketAddr], slice: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for (at, &address) in addresses.iter().enumerate() {
        let attempt = reach(address);
        let connected = if at + 1 == addresses.len() {
            attempt.await
        } else {
            // One that is not reachable must not take the time of one that is.
            tokio::time::timeout(slice, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match connected {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::contract_tests::Silent;

    #[tokio::test]
    async fn an_address_that_answers_is_found_behind_others_that_refuse_or_are_silent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let silent = Silent::new().await;
        let short = Duration::from_millis(50);
        let stream = connect(&[closed, silent.address, good], short).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert_eq!(
            connect(&[good, closed][1..], short).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
