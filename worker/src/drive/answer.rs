//! What came back.

use std::borrow::Cow;
use std::ops::{Deref, Range};

use bytes::Bytes;
use http::StatusCode;

use super::buffers::Loan;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// `Content-Type` as it came; empty if there was none.
    pub(crate) media: Cow<'static, str>,
    /// `Location`, when it is readable.
    pub(crate) location: Option<Box<str>>,
    /// The whole body. Of an answer without success, whose status says enough, only as much as the limit allows.
    pub(crate) body: Body,
}

/// A body: the load thread's own read buffer, lent until this is dropped, or a memory of its own.
#[derive(Debug)]
pub(crate) struct Body(Held);

#[derive(Debug)]
enum Held {
    Lent(Loan, Range<usize>),
    Owned(Bytes),
}

impl Body {
    /// A part of a read buffer.
    pub(super) fn lent(loan: Loan, range: Range<usize>) -> Self {
        Self(Held::Lent(loan, range))
    }
}

impl Deref for Body {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Lent(loan, range) => &loan[range.clone()],
            Held::Owned(bytes) => bytes,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(Held::Owned(bytes.into()))
    }
}
