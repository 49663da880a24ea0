//! An answer as it comes in.
//!
//! The usual answer comes in one read: it is parsed where it lies and nothing is allocated for it. Only what
//! comes in pieces gets a memory of its own, which is as large as what has come.

use std::ops::Range;

use bytes::{Buf, BytesMut};
use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::failure::FailureKind;

use super::chunked::Chunked;
use super::head::{self, Framing, Head, MAX_HEAD};
use super::heads::Heads;
use crate::drive::{Failure, Progress};

/// Room reserved ahead of the bytes on the word of a `Content-Length`; a header alone must not claim more.
pub(in crate::drive) const RESERVE: u64 = 1 << 20;
/// A rest at least this long is read to where it belongs, without a copy.
const IN_PLACE: u64 = 32 << 10;

/// How an answer ended.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::drive) struct End {
    /// Where in the bytes that were given last the body is; `None`: it is [apart](Reader::apart).
    pub(in crate::drive) here: Option<Range<usize>>,
    /// Bytes of the body were left away because of the limit.
    pub(in crate::drive) cut: bool,
    /// Nothing but the answer has come: the next one will not be mixed up with this one's remains.
    pub(in crate::drive) clean: bool,
}

/// Takes one answer's bytes as they come.
#[derive(Debug)]
pub(in crate::drive) struct Reader {
    limit: u64,
    /// The answer has no body whatever its head says: it is one to HEAD.
    bodyless: bool,
    head: Option<Head>,
    // Apart from the future of every request in flight, which it would otherwise enlarge.
    partial: Option<Box<Partial>>,
}

/// What has come of an answer that came in pieces.
#[derive(Debug)]
enum Partial {
    Head(PartHead),
    Body(PartBody),
}

#[derive(Debug)]
struct PartHead {
    held: BytesMut,
    /// Length at which it was last tried to read it.
    tried: usize,
    /// When its first byte came.
    first: Mono,
}

#[derive(Debug)]
struct PartBody {
    rest: Rest,
    body: BytesMut,
}

/// What of a body is yet to come.
#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunked(Chunked),
    Close,
}

impl Reader {
    /// For a body of at most `limit` bytes.
    pub(in crate::drive) fn new(limit: u64, bodyless: bool) -> Self {
        Self { limit, bodyless, head: None, partial: None }
    }

    /// The head of an answer that has ended.
    pub(in crate::drive) fn into_head(self) -> Option<Head> {
        self.head
    }

    /// The body of an answer that has ended, where it came in pieces.
    pub(in crate::drive) fn apart(&mut self) -> BytesMut {
        match self.partial.take().map(|part| *part) {
            Some(Partial::Body(part)) => part.body,
            Some(Partial::Head(_)) | None => BytesMut::new(),
        }
    }

    /// Takes bytes that came at `now`; `heads` reads their head. `None`: there is more to come. Of an answer with
    /// success beyond the limit as much is kept as of any other; it is for the caller to refuse it.
    ///
    /// # Errors
    /// `protocol`.
    pub(in crate::drive) fn feed(
        &mut self,
        bytes: &mut [u8],
        now: Mono,
        heads: &Heads,
        progress: &Progress,
    ) -> Result<Option<End>, Failure> {
        match self.partial.as_deref_mut() {
            None => self.head(bytes, now, now, heads, progress),
            Some(Partial::Head(part)) => {
                part.held.extend_from_slice(bytes);
                if !part.is_worth_trying(bytes.len()) {
                    return Ok(None);
                }
                let (mut held, first) = (std::mem::take(&mut part.held), part.first);
                self.partial = None;
                let end = self.head(&mut held, first, now, heads, progress)?;
                Ok(end.map(|end| match end.here {
                    None => end,
                    Some(range) => {
                        held.truncate(range.end);
                        held.advance(range.start);
                        self.partial =
                            Some(Box::new(Partial::Body(PartBody { rest: Rest::Close, body: held })));
                        End { here: None, ..end }
                    }
                }))
            }
            Some(Partial::Body(part)) => part.take(bytes, self.limit, progress),
        }
    }

    /// Reads the head at the front of the bytes, of which the first came at `first`, and interim ones before it.
    fn head(
        &mut self,
        bytes: &mut [u8],
        mut first: Mono,
        now: Mono,
        heads: &Heads,
        progress: &Progress,
    ) -> Result<Option<End>, Failure> {
        let mut from = 0;
        while from < bytes.len() {
            match heads.parse(&bytes[from..])? {
                Some((length, head)) if head.is_interim() => {
                    from += length;
                    // An interim answer is read as soon as it is there, so what follows it came with its end.
                    first = now;
                }
                Some((length, head)) => {
                    progress.head_arrived(first);
                    let framing = if self.bodyless { Framing::Length(0) } else { head.framing };
                    self.head = Some(head);
                    return self.body(framing, bytes, from + length, progress);
                }
                None => {
                    let held = BytesMut::from(&bytes[from..]);
                    let part = PartHead { tried: held.len(), held, first };
                    self.partial = Some(Box::new(Partial::Head(part)));
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// The head is read, and the body begins at `from`.
    fn body(
        &mut self,
        framing: Framing,
        bytes: &mut [u8],
        from: usize,
        progress: &Progress,
    ) -> Result<Option<End>, Failure> {
        let coming = bytes.len() - from;
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
        // What came of the body, whether that is all, whether it is all that came.
        let (kept, done, clean, rest) = match framing {
            Framing::Length(length) => {
                let kept = usize::try_from(length).unwrap_or(usize::MAX).min(coming);
                // More than is accepted: that is known before it comes.
                let done = kept as u64 == length || length > self.limit;
                (kept, done, kept == coming, Rest::Length(length - kept as u64))
            }
            Framing::Chunked => {
                let mut chunked = Chunked::default();
                let decoded = chunked.decode(&mut bytes[from..])?;
                (decoded.kept, decoded.done, decoded.used == coming, Rest::Chunked(chunked))
            }
            Framing::Close => (coming, false, true, Rest::Close),
        };
        progress.received(kept);
        let cut = kept > most || matches!(framing, Framing::Length(length) if length > self.limit);
        if cut || done {
            return Ok(Some(End { here: Some(from..from + kept.min(most)), cut, clean }));
        }
        let mut body = BytesMut::new();
        if let Framing::Length(length) = framing {
            body.reserve(usize::try_from(length.min(RESERVE)).unwrap_or(0));
        }
        body.extend_from_slice(&bytes[from..from + kept]);
        self.partial = Some(Box::new(Partial::Body(PartBody { rest, body })));
        Ok(None)
    }

    /// Where a long rest of the body goes, and how long it is. [`Self::placed`] tells that it was put there.
    pub(in crate::drive) fn place(&mut self) -> Option<(&mut BytesMut, usize)> {
        match self.partial.as_deref_mut() {
            Some(Partial::Body(PartBody { rest: Rest::Length(left), body })) if *left >= IN_PLACE => {
                if body.len() == body.capacity() {
                    body.reserve(usize::try_from((*left).min(RESERVE)).unwrap_or(0));
                }
                Some((body, usize::try_from(*left).unwrap_or(usize::MAX)))
            }
            _ => None,
        }
    }

    /// So many bytes came into the [place](Self::place).
    pub(in crate::drive) fn placed(&mut self, bytes: usize, progress: &Progress) -> Option<End> {
        progress.received(bytes);
        match self.partial.as_deref_mut() {
            Some(Partial::Body(PartBody { rest: Rest::Length(left), .. })) => {
                *left = left.saturating_sub(bytes as u64);
                (*left == 0).then_some(End { here: None, cut: false, clean: true })
            }
            _ => None,
        }
    }

    /// Nothing more will come.
    ///
    /// # Errors
    /// `disconnected` when the answer is not whole, `protocol` when what has come is no answer.
    pub(in crate::drive) fn closed(&mut self) -> Result<End, Failure> {
        let what = match self.partial.as_deref_mut() {
            Some(Partial::Body(PartBody { rest: Rest::Close, .. })) => {
                return Ok(End { here: None, cut: false, clean: false });
            }
            Some(Partial::Body(_)) => format!("the connection was closed within the answer{}", self.so_far()),
            Some(Partial::Head(part)) => {
                head::parse(&part.held)?;
                "the connection was closed within the head of the answer".to_owned()
            }
            None => "the connection was closed before the answer".to_owned(),
        };
        Err(Failure { kind: FailureKind::Disconnected, text: what })
    }

    /// Whether any of the answer has come.
    pub(in crate::drive) fn has_begun(&self) -> bool {
        self.partial.is_some()
    }

    /// How much of the body has come, for failure texts; empty before the body.
    pub(in crate::drive) fn so_far(&self) -> String {
        match self.partial.as_deref() {
            Some(Partial::Body(part)) => format!(" after {} body bytes", part.body.len()),
            _ => String::new(),
        }
    }
}

impl PartHead {
    /// Reading a head again with each byte of it takes quadratic time. So it is read when its end is there, and
    /// now and then before: what is no HTTP may never have such an end.
    fn is_worth_trying(&mut self, added: usize) -> bool {
        let from = (self.held.len() - added).saturating_sub(2);
        let ends = |at: usize| matches!(self.held[..at], [.., b'\n'] | [.., b'\n', b'\r']);
        let ended = (from..self.held.len()).any(|at| self.held[at] == b'\n' && ends(at));
        let tried = ended || self.held.len() >= 2 * self.tried || self.held.len() > MAX_HEAD;
        if tried {
            self.tried = self.held.len();
        }
        tried
    }
}

impl PartBody {
    /// Takes more of the body.
    fn take(&mut self, bytes: &mut [u8], limit: u64, progress: &Progress) -> Result<Option<End>, Failure> {
        let (take, used, done) = match &mut self.rest {
            Rest::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= take as u64;
                (take, take, *left == 0)
            }
            Rest::Chunked(chunked) => {
                let decoded = chunked.decode(bytes)?;
                (decoded.kept, decoded.used, decoded.done)
            }
            Rest::Close => (bytes.len(), bytes.len(), false),
        };
        progress.received(take);
        let room = limit.saturating_sub(self.body.len() as u64);
        let kept = take.min(usize::try_from(room).unwrap_or(usize::MAX));
        self.body.extend_from_slice(&bytes[..kept]);
        let cut = kept < take;
        let clean = done && used == bytes.len();
        Ok((cut || done).then_some(End { here: None, cut, clean }))
    }
}

/// The failure of a successful answer that is too long.
pub(in crate::drive) fn too_large(announced: Option<u64>, limit: u64) -> Failure {
    let announced = announced.map_or_else(|| "no length announced".into(), |n| format!("{n} announced"));
    Failure {
        kind: FailureKind::BodyTooLarge,
        text: format!(
            "the body is longer than the limit of {limit} bytes ({announced}); raise the limit if that is right"
        ),
    }
}
