//! A connection's bytes, plain or over TLS, behind one type.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::h1::Request;

/// A connection idle for less is looked at through the runtime alone; what the runtime has not been told by then
/// costs a system call to see.
const FRESH: Duration = Duration::from_millis(1);

/// A connection.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    // Boxed: a session is larger than all else that a request needs.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A request was not sent.
#[derive(Debug)]
pub(super) struct NotSent {
    pub(super) error: io::Error,
    /// Not a byte of it was written.
    pub(super) untouched: bool,
}

impl Stream {
    /// Whether an idle connection can take a request: it is open, and no byte waits on it that would be taken
    /// for the next answer.
    pub(super) fn is_quiet(&mut self, idle: Duration) -> bool {
        if let Self::Tls(stream) = self {
            match stream.get_mut().1.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return false,
            }
        }
        let tcp = self.tcp();
        let nothing_there =
            |seen: io::Result<()>| matches!(seen, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        // Looks only where the runtime was told of something: in the usual case this is a load from memory.
        let told = tcp.try_io(Interest::READABLE, || peek(tcp));
        nothing_there(told) && (idle < FRESH || nothing_there(peek(tcp)))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Begins to write a request, and usually ends it. `Some` tells how much was written when that is not all, or
    /// when some of it still waits for room in the socket.
    pub(super) fn begin(
        &mut self,
        cx: &mut Context<'_>,
        request: Request<'_, '_>,
    ) -> Result<Option<usize>, NotSent> {
        let written = match self {
            // Without the runtime's accounting: the slots give way by themselves.
            Self::Plain(tcp) if request.body.is_empty() => {
                tcp.try_io(Interest::WRITABLE, || write(tcp, request.front))
            }
            Self::Plain(tcp) => tcp.try_write_vectored(&request.slices()),
            Self::Tls(stream) => return begin_tls(stream, cx, request),
        };
        match written {
            Ok(written) => Ok((written < request.len()).then_some(written)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Some(0)),
            Err(error) => Err(NotSent { error, untouched: true }),
        }
    }
}

fn begin_tls(
    stream: &mut TlsStream<TcpStream>,
    cx: &mut Context<'_>,
    request: Request<'_, '_>,
) -> Result<Option<usize>, NotSent> {
    let mut written = 0;
    // TLS may have sent a part of a record before it fails.
    let not_sent = |error| NotSent { error, untouched: false };
    for part in [request.front, request.body] {
        let mut left = part;
        while !left.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, left) {
                Poll::Ready(Ok(taken)) if taken > 0 => {
                    written += taken;
                    left = &left[taken..];
                }
                Poll::Ready(Ok(_)) => return Err(not_sent(io::ErrorKind::WriteZero.into())),
                // The service may have answered before it stopped to listen; the rest will meet the error again.
                Poll::Ready(Err(_)) if written > 0 => return Ok(Some(written)),
                Poll::Ready(Err(e)) => return Err(not_sent(e)),
                Poll::Pending => return Ok(Some(written)),
            }
        }
    }
    match Pin::new(stream).poll_flush(cx) {
        Poll::Ready(Ok(())) => Ok(None),
        Poll::Ready(Err(_)) | Poll::Pending => Ok(Some(written)),
    }
}

/// Writes as much as the socket takes. Straight to the system: the C library makes of each `send` a place where a thread
/// can be cancelled, and marks its beginning and its end with locked instructions.
fn write(tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    // A broken connection is an error here, and no signal.
    #[cfg(target_os = "linux")]
    let flags = SendFlags::NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    let flags = SendFlags::empty();
    Ok(rustix::net::send(tcp, bytes, flags)?)
}

/// Looks at what a socket holds and leaves it there.
fn peek(tcp: &TcpStream) -> io::Result<()> {
    let mut byte = [0_u8; 1];
    rustix::net::recv(tcp, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(())
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
