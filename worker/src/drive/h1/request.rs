//! A request as it goes out: one write, unless the socket takes less.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::drive::Endpoint;

/// Bodies up to this length are copied behind their head, so that both go out from one place.
const COPIED: usize = 16 << 10;

/// A request's bytes: what is copied together, and a long body where it lies.
#[derive(Clone, Copy, Debug)]
pub(in crate::drive) struct Request<'f, 'b> {
    pub(in crate::drive) front: &'f [u8],
    pub(in crate::drive) body: &'b [u8],
}

impl<'f, 'b> Request<'f, 'b> {
    /// Puts a request together in `scratch`.
    pub(in crate::drive) fn new(endpoint: &Endpoint, body: &'b [u8], scratch: &'f mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(&endpoint.head);
        if !endpoint.carries_body() {
            return Self { front: scratch, body: &[] };
        }
        scratch.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
        scratch.extend_from_slice(b"\r\n\r\n");
        if body.len() > COPIED {
            return Self { front: scratch, body };
        }
        scratch.extend_from_slice(body);
        Self { front: scratch, body: &[] }
    }

    /// Bytes in all.
    pub(in crate::drive) fn len(&self) -> usize {
        self.front.len() + self.body.len()
    }

    /// Both parts, for one write.
    pub(in crate::drive) fn slices(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(self.front), IoSlice::new(self.body)]
    }

    /// What is left of it after `written` bytes.
    pub(in crate::drive) fn rest(&self, written: usize) -> Unsent<'b> {
        let front = self.front.get(written..).unwrap_or_default().to_vec();
        let body = &self.body[written.saturating_sub(self.front.len())..];
        Unsent { front, body, at: 0, broken: None }
    }
}

/// The rest of a request that a socket did not take at once.
#[derive(Debug)]
pub(in crate::drive) struct Unsent<'a> {
    front: Vec<u8>,
    body: &'a [u8],
    at: usize,
    /// The service takes no more of it; it may answer all the same.
    broken: Option<io::Error>,
}

impl Unsent<'_> {
    /// Writes on, as far as the socket takes it. Ready: all of it is on its way, or no more of it will be.
    pub(in crate::drive) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<()> {
        if self.broken.is_some() {
            return Poll::Ready(());
        }
        match ready!(self.poll_rest(cx, stream)) {
            Ok(()) => {}
            Err(e) => self.broken = Some(e),
        }
        Poll::Ready(())
    }

    fn poll_rest<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(stream);
        while self.at < self.front.len() + self.body.len() {
            let front = self.front.get(self.at..).unwrap_or_default();
            let body = &self.body[self.at.saturating_sub(self.front.len())..];
            let slices = [IoSlice::new(front), IoSlice::new(body)];
            // An empty slice in front makes some streams write nothing at all.
            let slices = if front.is_empty() { &slices[1..] } else { &slices[..] };
            match ready!(stream.as_mut().poll_write_vectored(cx, slices))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.at += written,
            }
        }
        stream.poll_flush(cx)
    }

    /// Why the service takes no more, if it does not.
    pub(in crate::drive) fn broken(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    /// Whether writing was given up.
    pub(in crate::drive) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::HeaderMap;
    use url::Url;

    use super::*;
    use crate::drive::HeaderSet;

    #[tokio::test]
    async fn wherever_a_write_ends_the_rest_of_the_request_follows() {
        let url = Url::parse("http://gpu/x").unwrap();
        let endpoint = Endpoint::post(url, &HeaderSet::new(&HeaderMap::new())).unwrap();
        let long = vec![b'x'; COPIED + 1];
        for body in [&b"{}"[..], &long[1..], &long] {
            let mut scratch = Vec::new();
            let request = Request::new(&endpoint, body, &mut scratch);
            let whole = [request.front, request.body].concat();
            assert!(whole.ends_with(
                &[format!("\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
            ));
            let front = request.front.len();
            for written in [0, 1, front - 1, front, front + 1, whole.len() - 1, whole.len()] {
                let written = written.min(whole.len());
                let mut sent = whole[..written].to_vec();
                let mut rest = request.rest(written);
                poll_fn(|cx| rest.poll_send(cx, &mut sent)).await;
                assert!(sent == whole && !rest.is_broken(), "{} bytes, {written} at first", whole.len());
            }
        }
    }
}
