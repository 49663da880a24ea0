//! HTTP/1.1, plain or over TLS, on the connection itself.
//!
//! A request is one write and its answer, mostly, one read: nothing is allocated for them, and a connection that
//! waits holds no buffer. A request and its answer are driven together, since a service may answer, and close,
//! while a long body is still on its way to it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BufMut as _;
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::FailureKind;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::buffers::{Buffers, Loan};
use super::classify::classify;
use super::connect::{Connector, LOST, Opening};
use super::endpoint::Origin;
use super::h1::{End, Heads, Reader, Request, Unsent, too_large};
use super::pool::Pool;
use super::stream::{NotSent, Stream};
use super::tls::TlsOptions;
use super::{Answer, Body, Driver, Endpoint, Failure, IDLE_LIMIT, Phase, Progress};

/// What a connection may take to open before a request looks for one that is free. In most networks it is there by then, and
/// taking another's place would only leave one more connection that nobody needs.
const PATIENCE: Duration = Duration::from_millis(2);

/// The driver for HTTP/1.1.
#[derive(Default)]
pub(super) struct Direct {
    connector: Rc<Connector>,
    pool: Rc<Pool<Stream>>,
    /// Connections that were finished without the request that began them, and that no request has been told of.
    untold: Rc<RefCell<VecDeque<Rc<Opening>>>>,
    buffers: Rc<Buffers>,
    heads: Heads,
    /// Where requests are put together.
    scratch: RefCell<Vec<u8>>,
}

impl Direct {
    /// A driver without connections.
    pub(super) fn new(tls: TlsOptions) -> Self {
        Self { connector: Rc::new(Connector::new(tls)), ..Self::default() }
    }

    /// Sets up TLS ahead of the first request.
    ///
    /// # Errors
    /// `tls`, when it cannot be set up.
    pub(super) fn warm_up(&self, origin: &Origin) -> Result<(), Failure> {
        if origin.secure { self.connector.tls().map(drop) } else { Ok(()) }
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn sweep(&self) {
        self.pool.sweep(Clock::now());
    }

    /// An idle connection that can take a request now.
    fn kept(&self, origin: &Origin, progress: &Progress) -> Option<Stream> {
        while let Some((mut stream, idle)) = self.pool.take(origin, progress.now()) {
            if stream.is_quiet(idle) {
                return Some(stream);
            }
        }
        None
    }

    /// A new connection, or one that is free before that is open, and whether it was that.
    async fn connection(&self, origin: &Origin, progress: &Progress) -> Result<(Stream, bool), Failure> {
        let began = tokio::time::Instant::now();
        let opening = Rc::new(Opening::default());
        let told = Told { opening: &opening, progress };
        let connector = Rc::clone(&self.connector);
        let mut attempt = Box::pin(connector.open(origin.clone(), Rc::clone(&opening)));
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
        let mut waiting = None;
        let (stream, was_free) = poll_fn(|cx| {
            if waiting.is_none() && patience.as_mut().poll(cx).is_ready() {
                progress.tick();
                if let Some(stream) = self.kept(origin, progress) {
                    return Poll::Ready(Ok((stream, true)));
                }
                waiting = Some(self.pool.wait(origin));
            }
            while let Some(Poll::Ready((mut stream, since))) = waiting.as_mut().map(|line| line.poll(cx)) {
                if stream.is_quiet(Clock::now().since(since)) {
                    return Poll::Ready(Ok((stream, true)));
                }
            }
            let opened = attempt.as_mut().poll(cx);
            progress.enter(opening.phase());
            opened.map_ok(|new| (new, false))
        })
        .await?;
        if was_free {
            // Another request is told, when it is known what became of it.
            std::mem::forget(told);
            let (pool, untold) = (Rc::clone(&self.pool), Rc::clone(&self.untold));
            let origin = origin.clone();
            tokio::task::spawn_local(async move {
                let opened = finish(attempt, &opening, began).await;
                if opening.is_untold() {
                    untold.borrow_mut().push_back(opening);
                }
                if let Some(stream) = opened {
                    pool.put(&origin, Clock::now(), IDLE_LIMIT, stream);
                }
            });
        }
        Ok((stream, was_free))
    }

    /// Begins to send a request; what a socket does not take at once is left to the exchange.
    fn begin<'a>(
        &self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        endpoint: &Endpoint,
        body: &'a [u8],
    ) -> Result<Option<Box<Unsent<'a>>>, NotSent> {
        let mut scratch = self.scratch.borrow_mut();
        let request = Request::new(endpoint, body, &mut scratch);
        let written = stream.begin(cx, request)?;
        Ok(written.map(|written| Box::new(request.rest(written))))
    }

    /// Reads the answer, and writes on while there is something to write.
    fn poll_answer(
        &self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        unsent: &mut Option<Box<Unsent<'_>>>,
        reader: &mut Reader,
        progress: &Progress,
    ) -> Poll<Result<(End, Option<Loan>), Failure>> {
        loop {
            if let Some(rest) = unsent
                && rest.poll_send(cx, stream).is_ready()
                && !rest.is_broken()
            {
                *unsent = None;
            }
            let broken = |e: &std::io::Error, reader: &Reader| {
                let failure = classify(e, true);
                Failure { text: failure.text + &reader.so_far(), ..failure }
            };
            let (end, loan) = if let Some((place, left)) = reader.place() {
                let read = ready!(poll_read_buf(Pin::new(&mut *stream), cx, &mut place.limit(left)));
                progress.tick();
                match read {
                    Err(e) => return Poll::Ready(Err(broken(&e, reader))),
                    Ok(0) => (Some(reader.closed()?), None),
                    Ok(read) => (reader.placed(read, progress), None),
                }
            } else {
                let mut loan = self.buffers.lend();
                let mut buffer = ReadBuf::new(&mut loan);
                let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
                let filled = buffer.filled().len();
                let now = progress.tick();
                match read {
                    Err(e) => return Poll::Ready(Err(broken(&e, reader))),
                    // Where writing failed as well, that is what came first.
                    Ok(()) if filled == 0 => match unsent.as_mut().and_then(|rest| rest.broken()) {
                        Some(e) if !reader.has_begun() => return Poll::Ready(Err(classify(&e, true))),
                        _ => (Some(reader.closed()?), None),
                    },
                    Ok(()) => (reader.feed(&mut loan[..filled], now, &self.heads, progress)?, Some(loan)),
                }
            };
            if let Some(end) = end {
                return Poll::Ready(Ok((end, loan)));
            }
        }
    }
}

/// Tells the request that waits for a connection what has become of it, wherever the request is cut off.
struct Told<'a> {
    opening: &'a Opening,
    progress: &'a Progress,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.opening.tell(self.progress);
    }
}

/// Opens a connection, begun then, that nobody waits for any more.
async fn finish(
    mut attempt: Pin<Box<impl Future<Output = Result<Stream, Failure>>>>,
    opening: &Opening,
    began: tokio::time::Instant,
) -> Option<Stream> {
    match tokio::time::timeout_at(began + LOST, attempt.as_mut()).await {
        Ok(opened) => opened.ok(),
        // A handshake is the service's own work, which may take it longer when it is busy.
        Err(_) if opening.phase() == Phase::Securing => {
            tokio::time::timeout(IDLE_LIMIT, attempt).await.ok()?.ok()
        }
        Err(_) => None,
    }
}

impl Driver for Direct {
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        body: &[u8],
        limit: u64,
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        let (mut stream, mut unsent) = loop {
            let (mut stream, reused) = match self.kept(&endpoint.origin, progress) {
                Some(stream) => (stream, true),
                // Boxed: rare, and large.
                None => Box::pin(self.connection(&endpoint.origin, progress)).await?,
            };
            progress.enter(Phase::Head);
            match poll_fn(|cx| Poll::Ready(self.begin(cx, &mut stream, endpoint, body))).await {
                Ok(unsent) => break (stream, unsent),
                // Not a byte was written: the kept connection had been closed. See the module above.
                Err(NotSent { untouched: true, .. }) if reused => {}
                Err(NotSent { error, .. }) => return Err(classify(&error, true)),
            }
        };
        if let Some(opening) = self.untold.borrow_mut().pop_front() {
            opening.tell(progress);
        }
        let mut reader = Reader::new(limit, endpoint.method == http::Method::HEAD);
        let (end, loan) =
            poll_fn(|cx| self.poll_answer(cx, &mut stream, &mut unsent, &mut reader, progress)).await?;
        let body = match (end.here, loan) {
            (Some(range), Some(loan)) => Body::lent(loan, range),
            _ => Body::from(reader.apart()),
        };
        let Some(head) = reader.into_head() else {
            let text = "an answer without a head, which is a bug of this worker".to_owned();
            return Err(Failure { kind: FailureKind::Protocol, text });
        };
        if end.cut && head.status.is_success() {
            return Err(too_large(head.announced(), limit));
        }
        // An answer that came before the whole request was sent leaves the rest of it on the connection.
        if head.keep && end.clean && !end.cut && unsent.is_none() && !endpoint.close {
            let idle = head.keep_seconds.map_or(IDLE_LIMIT, |announced| {
                // A second for the way there and back: a request must not meet the close. Of a short time, half:
                // else a service that keeps connections for one second would get a new one for each request.
                let announced = Duration::from_secs(announced.into());
                IDLE_LIMIT.min((announced / 2).max(announced.saturating_sub(Duration::from_secs(1))))
            });
            if !idle.is_zero() {
                self.pool.put(&endpoint.origin, progress.now(), idle, stream);
            }
        }
        Ok(Answer { status: head.status, media: head.media, location: head.location, body })
    }
}
