//! Accepts connections and lets through those that begin as gRPC does.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::fleet::{Event, Notice};

/// How HTTP/2 begins with prior knowledge (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A connection that has not said what it is by then is closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failed accept, as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that began with HTTP/2's preface. Others are closed, with a notice that says who they were.
pub(super) fn grpc_connections(
    listener: TcpListener,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) -> ReceiverStream<io::Result<TcpStream>> {
    let (tx, rx) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    tokio::spawn(admit(stream, from, tx.clone(), events.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    });
    ReceiverStream::new(rx)
}

async fn admit(
    stream: TcpStream,
    from: SocketAddr,
    tx: mpsc::Sender<io::Result<TcpStream>>,
    events: mpsc::Sender<Event>,
) {
    let _ = stream.set_nodelay(true);
    let silent = match tokio::time::timeout(PATIENCE, begins_as_http2(&stream)).await {
        Ok(Ok(true)) => {
            let _ = tx.send(Ok(stream)).await;
            return;
        }
        // A port scan or a health check: nothing was said, nothing is worth a line.
        Ok(Err(_)) => return,
        Ok(Ok(false)) => false,
        Err(_) => true,
    };
    let _ = events.send(Event::Notice(Notice::Stranger { from, silent })).await;
}

async fn begins_as_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0u8; PREFACE.len()];
    let mut before = 0;
    loop {
        let n = stream.peek(&mut seen).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if seen[..n] != PREFACE[..n] {
            return Ok(false);
        }
        if n == PREFACE.len() {
            return Ok(true);
        }
        if n == before {
            // Readiness stays up while bytes wait to be read: give the rest time to arrive.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        before = n;
    }
}
