//! The heads of one load thread's answers.

use std::borrow::Cow;
use std::cell::RefCell;

use super::head::{self, Head};
use crate::drive::Failure;

/// Longest head remembered.
const LONGEST: usize = 1024;

/// Reads heads and remembers the last one. A service mostly begins its answers with the same bytes, but for a date that
/// changes once a second, and the same bytes say the same.
#[derive(Debug, Default)]
pub(in crate::drive) struct Heads {
    last: RefCell<Option<(Vec<u8>, Head)>>,
}

impl Heads {
    /// As [`head::parse`].
    ///
    /// # Errors
    /// `protocol`.
    pub(super) fn parse(&self, bytes: &[u8]) -> Result<Option<(usize, Head)>, Failure> {
        let mut last = self.last.borrow_mut();
        if let Some((known, head)) = &*last
            && bytes.starts_with(known)
        {
            return Ok(Some((known.len(), head.clone())));
        }
        let parsed = head::parse(bytes)?;
        // To remember one must cost less than reading it again saves.
        if let Some((length, head)) = &parsed
            && *length <= LONGEST
            && matches!(head.media, Cow::Borrowed(_))
            && head.location.is_none()
        {
            let (known, seen) = last.get_or_insert_with(|| (Vec::new(), head.clone()));
            known.clear();
            known.extend_from_slice(&bytes[..*length]);
            seen.clone_from(head);
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_what_its_own_bytes_say_whatever_came_before() {
        let heads = Heads::default();
        let seen = [
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 200 OK\r\ncontent-length: 70\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 500 OK\r\ncontent-length: 7\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-type: x/rare\r\n\r\n",
            "HTTP/1.1 307 OK\r\ncontent-length: 7\r\nlocation: /a\r\n\r\n",
            "HTTP/1.1 307 OK\r\ncontent-length: 7\r\nlocation: /b\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
        ];
        for (before, after) in seen.iter().flat_map(|a| seen.iter().map(move |b| (a, b))) {
            heads.parse(before.as_bytes()).unwrap();
            assert_eq!(
                heads.parse(after.as_bytes()).unwrap(),
                head::parse(after.as_bytes()).unwrap(),
                "{after}"
            );
        }
        assert!(heads.parse(b"SSH-2.0\r\n").is_err());
    }
}
