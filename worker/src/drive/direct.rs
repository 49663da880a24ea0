//! Plain HTTP/1.1 on hyper's connection, without a client layer above it.
//!
//! Each connection is a task of the load thread. Whether it still lives is known without asking: its task
//! watches the socket, and a closed one refuses the next request before a byte of it is written.

use std::io;

use bytes::Bytes;
use fluxfleet_proto::clock::Clock;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::Gathered;
use super::classify::classify;
use super::endpoint::Origin;
use super::pool::Pool;
use super::resolve::Resolver;
use super::{Answer, Driver, Endpoint, Failure, Phase, Progress};

type Sender = SendRequest<Full<Bytes>>;

/// The driver for `http://`.
#[derive(Default)]
pub(super) struct Direct {
    pool: Pool<Sender>,
    resolver: Resolver,
}

impl Direct {
    /// Closes connections that have been idle for too long.
    pub(super) fn sweep(&self) {
        self.pool.sweep(Clock::now());
    }

    /// An idle connection that can take a request now.
    async fn kept(&self, origin: &Origin) -> Option<Sender> {
        while let Some(mut sender) = self.pool.take(origin, Clock::now()) {
            // One that just ended a request gets ready within this turn of the loop.
            if !sender.is_closed() && sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
        None
    }

    async fn open(&self, origin: &Origin, progress: &Progress) -> Result<Sender, Failure> {
        progress.enter(Phase::Resolving);
        let addresses =
            self.resolver.addresses(&origin.host, origin.port).await.map_err(|e| classify(&e, false))?;
        progress.enter(Phase::Connecting);
        let stream = connect(&addresses).await.map_err(|e| {
            let Failure { kind, text } = classify(&e, false);
            Failure { kind, text: format!("no connection to {}:{}: {text}", origin.host, origin.port) }
        })?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| classify(&e, true))?;
        // Its errors reach the request in flight; an idle connection's end is no news.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Tries the addresses in turn. The last one's error is the result's.
async fn connect(addresses: &[std::net::SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for &address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

impl Driver for Direct {
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        body: Bytes,
        limit: u64,
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = endpoint.method.clone();
        *request.uri_mut() = endpoint.uri.clone();
        *request.headers_mut() = endpoint.headers.clone();
        let (sender, response) = loop {
            let kept = self.kept(&endpoint.origin).await;
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.open(&endpoint.origin, progress).await?,
            };
            progress.enter(Phase::Head);
            match sender.try_send_request(request).await {
                Ok(response) => break (sender, response),
                Err(mut e) => match e.take_message() {
                    // Not a byte was written: the kept connection had been closed. See the module above.
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(classify(&e.into_error(), true)),
                },
            }
        };
        progress.head_arrived();
        let (head, mut incoming) = response.into_parts();
        let mut gathered = Gathered::new(&head.headers, limit);
        while !gathered.cut {
            match incoming.frame().await {
                None => break,
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        gathered.push(chunk, progress);
                    }
                }
                Some(Err(e)) => {
                    let failure = classify(&e, true);
                    let text = format!("{} after {} body bytes", failure.text, progress.bytes());
                    return Err(Failure { text, ..failure });
                }
            }
        }
        if gathered.cut {
            // Dropping the sender and the body closes the connection; nothing more is read.
            drop((sender, incoming));
            if head.status.is_success() {
                return Err(gathered.too_large());
            }
        } else if !sender.is_closed() {
            self.pool.put(&endpoint.origin, Clock::now(), sender);
        }
        Ok(Answer { status: head.status, headers: head.headers, body: gathered.into_bytes() })
    }
}
