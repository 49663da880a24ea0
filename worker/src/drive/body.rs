//! Collects an answer's body within its limit.

use bytes::{Bytes, BytesMut};
use fluxfleet_proto::failure::FailureKind;
use http::header::{CONTENT_LENGTH, HeaderMap};

use super::{Failure, Progress};

/// Room reserved ahead of the bytes on the word of a `Content-Length`; a header alone must not claim more.
const RESERVE: u64 = 1 << 20;

/// A body as it grows. One chunk is kept as it came; more are joined.
pub(super) struct Gathered {
    limit: u64,
    announced: Option<u64>,
    first: Bytes,
    rest: BytesMut,
    /// Whether a part was left away.
    pub(super) cut: bool,
}

impl Gathered {
    /// An empty body of at most `limit` bytes.
    pub(super) fn new(headers: &HeaderMap, limit: u64) -> Self {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let cut = announced.is_some_and(|n: u64| n > limit);
        Self { limit, announced, first: Bytes::new(), rest: BytesMut::new(), cut }
    }

    /// Takes a chunk. `false`: the limit is passed, read no more.
    pub(super) fn push(&mut self, chunk: Bytes, progress: &Progress) -> bool {
        progress.received(chunk.len());
        let held = self.first.len().max(self.rest.len()) as u64;
        let room = usize::try_from(self.limit.saturating_sub(held)).unwrap_or(usize::MAX);
        let kept = chunk.len().min(room);
        self.cut |= kept < chunk.len();
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = chunk.slice(..kept);
        } else {
            if self.rest.is_empty() {
                let expected = self.announced.unwrap_or(0).min(self.limit).min(RESERVE);
                self.rest.reserve(usize::try_from(expected).unwrap_or(0).max(self.first.len() + kept));
                self.rest.extend_from_slice(&self.first);
                self.first.clear();
            }
            self.rest.extend_from_slice(&chunk[..kept]);
        }
        !self.cut
    }

    /// The body so far.
    pub(super) fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }

    /// The failure of a successful answer that is too long.
    pub(super) fn too_large(&self) -> Failure {
        let announced =
            self.announced.map_or_else(|| "no length announced".into(), |n| format!("{n} announced"));
        Failure {
            kind: FailureKind::BodyTooLarge,
            text: format!(
                "the body is longer than the limit of {} bytes ({announced}); raise the limit if that is right",
                self.limit
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_chunk_is_not_copied_and_several_are_joined() {
        let progress = Progress::default();
        let chunk = Bytes::from(vec![1u8; 10]);
        let mut body = Gathered::new(&HeaderMap::new(), 100);
        assert!(body.push(chunk.clone(), &progress));
        assert_eq!(body.into_bytes().as_ptr(), chunk.as_ptr());

        let mut body = Gathered::new(&HeaderMap::new(), 100);
        for n in 0..5u8 {
            assert!(body.push(Bytes::from(vec![n; 3]), &progress));
        }
        assert_eq!(&body.into_bytes()[..], [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        assert_eq!(progress.bytes(), 25);
    }

    #[test]
    fn exactly_the_limit_is_accepted_and_one_byte_more_is_not() {
        let progress = Progress::default();
        let mut body = Gathered::new(&HeaderMap::new(), 4);
        assert!(body.push(Bytes::from_static(b"abcd"), &progress));
        assert!(!body.push(Bytes::from_static(b"e"), &progress));
        assert_eq!(&body.into_bytes()[..], b"abcd");
    }
}
