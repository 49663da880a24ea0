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
use crate::drive::{Failure, Progress};

/// Room reserved ahead of the bytes on the word of a `Content-Length`; a header alone must not claim more.
const RESERVE: u64 = 1 << 20;
/// A rest at least this long is read to where it belongs, without a copy.
const IN_PLACE: u64 = 32 << 10;

/// A whole answer.
#[derive(Debug)]
pub(in crate::drive) struct Whole {
    pub(in crate::drive) head: Head,
    pub(in crate::drive) body: Place,
    /// Bytes of the body that were left away because of the limit.
    pub(in crate::drive) cut: bool,
    /// Nothing but the answer has come: the next one will not be mixed up with this one's remains.
    pub(in crate::drive) clean: bool,
    /// The body's length as announced.
    pub(in crate::drive) announced: Option<u64>,
}

/// Where a body is.
#[derive(Debug)]
pub(in crate::drive) enum Place {
    /// In the bytes that were given last.
    Here(Range<usize>),
    /// In a memory of its own.
    Apart(BytesMut),
}

/// Takes one answer's bytes as they come.
#[derive(Debug)]
pub(in crate::drive) struct Reader {
    limit: u64,
    /// The answer has no body whatever its head says: it is one to HEAD.
    bodyless: bool,
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
    head: Head,
    rest: Rest,
    body: BytesMut,
    announced: Option<u64>,
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
        Self { limit, bodyless, partial: None }
    }

    /// Takes bytes that came at `now`. `None`: there is more to come. Of an answer with success beyond the limit
    /// as much is kept as of any other; it is for the caller to refuse it.
    ///
    /// # Errors
    /// `protocol`.
    pub(in crate::drive) fn feed(
        &mut self,
        bytes: &mut [u8],
        now: Mono,
        progress: &Progress,
    ) -> Result<Option<Whole>, Failure> {
        match self.partial.as_deref_mut() {
            None => self.head(bytes, now, progress),
            Some(Partial::Head(part)) => {
                part.held.extend_from_slice(bytes);
                if !part.is_worth_trying(bytes.len()) {
                    return Ok(None);
                }
                let (mut held, first) = (std::mem::take(&mut part.held), part.first);
                self.partial = None;
                let whole = self.head_after(&mut held, first, now, progress)?;
                Ok(whole.map(|whole| match whole.body {
                    Place::Apart(_) => whole,
                    Place::Here(range) => {
                        held.truncate(range.end);
                        held.advance(range.start);
                        Whole { body: Place::Apart(held), ..whole }
                    }
                }))
            }
            Some(Partial::Body(part)) => {
                let more = part.take(bytes, self.limit, progress)?;
                Ok(more.map(|more| self.end(more)))
            }
        }
    }

    fn head(&mut self, bytes: &mut [u8], now: Mono, progress: &Progress) -> Result<Option<Whole>, Failure> {
        self.head_after(bytes, now, now, progress)
    }

    /// Reads the head at the front of the bytes, of which the first came at `first`, and interim ones before it.
    fn head_after(
        &mut self,
        bytes: &mut [u8],
        mut first: Mono,
        now: Mono,
        progress: &Progress,
    ) -> Result<Option<Whole>, Failure> {
        let mut from = 0;
        while from < bytes.len() {
            match head::parse(&bytes[from..])? {
                Some((length, head)) if head.is_interim() => {
                    from += length;
                    // An interim answer is read as soon as it is there, so what follows it came with its end.
                    first = now;
                }
                Some((length, head)) => {
                    progress.head_arrived(first);
                    return self.body(head, bytes, from + length, progress);
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
        head: Head,
        bytes: &mut [u8],
        from: usize,
        progress: &Progress,
    ) -> Result<Option<Whole>, Failure> {
        let framing = if self.bodyless { Framing::Length(0) } else { head.framing };
        let here = bytes.len() - from;
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut part = PartBody { head, rest: Rest::Close, body: BytesMut::new(), announced: None };
        match framing {
            Framing::Length(length) => {
                let take = usize::try_from(length).unwrap_or(usize::MAX).min(here);
                let (cut, whole) = (length > self.limit, take as u64 == length);
                part.announced = Some(length);
                if cut || whole {
                    progress.received(take);
                    let body = Place::Here(from..from + take.min(most));
                    return Ok(Some(part.whole(body, cut, take == here && whole)));
                }
                let room = length.min(RESERVE);
                part.body.reserve(usize::try_from(room).unwrap_or(0));
                part.rest = Rest::Length(length);
            }
            Framing::Chunked => {
                let mut chunked = Chunked::default();
                let decoded = chunked.decode(&mut bytes[from..])?;
                progress.received(decoded.kept);
                let cut = decoded.kept > most;
                if cut || decoded.done {
                    let body = Place::Here(from..from + decoded.kept.min(most));
                    return Ok(Some(part.whole(body, cut, decoded.used == here)));
                }
                part.body.extend_from_slice(&bytes[from..from + decoded.kept]);
                part.rest = Rest::Chunked(chunked);
                self.partial = Some(Box::new(Partial::Body(part)));
                return Ok(None);
            }
            Framing::Close => {}
        }
        let more = part.take(&mut bytes[from..], self.limit, progress)?;
        self.partial = Some(Box::new(Partial::Body(part)));
        Ok(more.map(|more| self.end(more)))
    }

    /// The answer in pieces is whole.
    fn end(&mut self, end: End) -> Whole {
        match self.partial.take().map(|part| *part) {
            Some(Partial::Body(mut part)) => {
                let body = Place::Apart(std::mem::take(&mut part.body));
                part.whole(body, end.cut, end.clean)
            }
            // Only a body ends.
            Some(Partial::Head(_)) | None => unreachable!("an end without a body"),
        }
    }

    /// Where a long rest of the body goes, and how long it is. [`Self::placed`] tells that it was put there.
    pub(in crate::drive) fn place(&mut self) -> Option<(&mut BytesMut, usize)> {
        match self.partial.as_deref_mut() {
            Some(Partial::Body(PartBody { rest: Rest::Length(left), body, .. })) if *left >= IN_PLACE => {
                if body.len() == body.capacity() {
                    body.reserve(usize::try_from((*left).min(RESERVE)).unwrap_or(0));
                }
                Some((body, usize::try_from(*left).unwrap_or(usize::MAX)))
            }
            _ => None,
        }
    }

    /// So many bytes came into the [place](Self::place).
    pub(in crate::drive) fn placed(&mut self, bytes: usize, progress: &Progress) -> Option<Whole> {
        progress.received(bytes);
        match self.partial.as_deref_mut() {
            Some(Partial::Body(PartBody { rest: Rest::Length(left), .. })) => {
                *left = left.saturating_sub(bytes as u64);
                (*left == 0).then(|| self.end(End { cut: false, clean: true }))
            }
            _ => None,
        }
    }

    /// Nothing more will come.
    ///
    /// # Errors
    /// `disconnected` when the answer is not whole, `protocol` when what has come is no answer.
    pub(in crate::drive) fn closed(&mut self) -> Result<Whole, Failure> {
        let what = match self.partial.as_deref_mut() {
            Some(Partial::Body(PartBody { rest: Rest::Close, .. })) => {
                return Ok(self.end(End { cut: false, clean: false }));
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

/// How a body in pieces ended.
struct End {
    cut: bool,
    clean: bool,
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
        Ok((cut || done).then_some(End { cut, clean: done && used == bytes.len() }))
    }

    fn whole(self, body: Place, cut: bool, clean: bool) -> Whole {
        Whole { head: self.head, body, cut, clean, announced: self.announced }
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
