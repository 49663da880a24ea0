//! The head of an answer: what it says about its body and its connection.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use http::StatusCode;
use httparse::{Header, ParserConfig, Response, Status};

use super::{malformed, not_http, switched};
use crate::drive::Failure;

/// Longest head accepted, in bytes.
pub(super) const MAX_HEAD: usize = 64 << 10;
/// Most headers accepted.
const MAX_HEADERS: usize = 128;

/// Media types that are kept without an allocation, as services spell them.
const COMMON_MEDIA: [&str; 8] = [
    "application/json",
    "application/json; charset=utf-8",
    "application/json;charset=UTF-8",
    "application/json; charset=UTF-8",
    "image/png",
    "image/jpeg",
    "image/webp",
    "text/plain; charset=utf-8",
];

/// Where the body ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// Where the chunked coding says so.
    Chunked,
    /// Where the connection ends.
    Close,
}

/// What of a head matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::drive) struct Head {
    pub(in crate::drive) status: StatusCode,
    /// `Content-Type` as it came; empty if there was none.
    pub(in crate::drive) media: Cow<'static, str>,
    /// `Location`, when it is readable.
    pub(in crate::drive) location: Option<Box<str>>,
    /// Another request may follow on the connection.
    pub(in crate::drive) keep: bool,
    /// Seconds after which the service closes an idle connection, as its `Keep-Alive` says.
    pub(in crate::drive) keep_seconds: Option<u32>,
    pub(super) framing: Framing,
}

impl Head {
    /// The body's length as announced.
    pub(in crate::drive) fn announced(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::Close => None,
        }
    }

    /// Whether the answer proper is yet to come.
    pub(super) fn is_interim(&self) -> bool {
        self.status.is_informational()
    }
}

/// Reads a head and tells its length; `None`: more bytes are needed.
///
/// # Errors
/// `protocol`: not HTTP/1, a head beyond the limits, or one that contradicts itself.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(usize, Head)>, Failure> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = Response::new(&mut []);
    let mut parser = ParserConfig::default();
    // RFC 9112, section 5.2: a client takes them for blanks.
    parser.allow_obsolete_multiline_headers_in_responses(true);
    let parsed = parser.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    let length = match parsed {
        Ok(Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(Status::Partial) if bytes.len() <= MAX_HEAD => return Ok(None),
        Ok(_) => return Err(malformed(&format!("the head of the answer is longer than {MAX_HEAD} bytes"))),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(malformed(&format!("the answer has more than {MAX_HEADERS} headers")));
        }
        Err(e) => return Err(not_http(&e.to_string())),
    };
    let status = StatusCode::from_u16(response.code.unwrap_or(0))
        .map_err(|_| malformed("the answer has a status below 100"))?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(switched());
    }
    let mut fields = Fields::default();
    for header in response.headers.iter() {
        fields.take(header)?;
    }
    Ok(Some((length, fields.head(status, response.version == Some(1)))))
}

/// What the headers say, as they are gone through.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    coded: bool,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    keep_seconds: Option<u32>,
    media: Option<Cow<'static, str>>,
    location: Option<Box<str>>,
}

impl Fields {
    fn take(&mut self, header: &Header<'_>) -> Result<(), Failure> {
        let Header { name, value } = *header;
        let name = name.as_bytes();
        // The length rules out nearly every other header at once.
        match name.len() {
            14 if is(name, b"content-length") => self.content_length(value)?,
            17 if is(name, b"transfer-encoding") => self.transfer_encoding(value)?,
            12 if is(name, b"content-type") && self.media.is_none() => self.media = Some(media(value)),
            10 if is(name, b"connection") => {
                for token in tokens(value) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            10 if is(name, b"keep-alive") => {
                self.keep_seconds = tokens(value)
                    .find_map(|token| {
                        let (name, seconds) = token.split_at_checked(8)?;
                        let seconds = std::str::from_utf8(seconds).ok()?.trim().trim_matches('"');
                        name.eq_ignore_ascii_case(b"timeout=").then(|| seconds.parse().ok())?
                    })
                    .or(self.keep_seconds);
            }
            8 if is(name, b"location") && self.location.is_none() => {
                self.location = std::str::from_utf8(value).ok().map(|l| l.trim().into());
            }
            _ => {}
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Failure> {
        // A proxy may have joined repeated headers into one list.
        for token in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
            let Some(length) = whole(token) else {
                return Err(malformed(&format!(
                    "the Content-Length `{}` is no length",
                    value.escape_ascii()
                )));
            };
            if self.length.is_some_and(|known| known != length) {
                return Err(malformed("the answer has two Content-Lengths that differ"));
            }
            self.length = Some(length);
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Failure> {
        self.coded = true;
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            // Nothing may follow `chunked`, and nothing else was asked for.
            if self.chunked || !token.eq_ignore_ascii_case(b"chunked") {
                return Err(malformed(&format!(
                    "the Transfer-Encoding `{}` was not asked for",
                    value.escape_ascii()
                )));
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn head(self, status: StatusCode, one_one: bool) -> Head {
        let bodyless = status.is_informational() || matches!(status.as_u16(), 204 | 304);
        let framing = match self.length {
            _ if bodyless => Framing::Length(0),
            _ if self.chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::Close,
        };
        // An answer framed twice, or in a way that its version does not know, says that something between here
        // and there is confused (RFC 9112, section 6.1). Chunks announced for an answer without a body may come all
        // the same, and later than it.
        let doubtful = self.coded && (self.length.is_some() || !one_one || bodyless);
        let keep = !self.close && !doubtful && framing != Framing::Close && (one_one || self.keep_alive);
        Head {
            status,
            media: self.media.unwrap_or_default(),
            location: self.location,
            keep,
            keep_seconds: self.keep_seconds,
            framing,
        }
    }
}

/// Whether a header's name is this one, which is written in small letters and hyphens. Of the characters that a name
/// may have, setting the bit of small letters makes those and no others of them (and of both cases of a letter one).
fn is<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    <&[u8; N]>::try_from(name).is_ok_and(|name| name.map(|b| b | 0x20) == *known)
}

/// A number of digits alone.
fn whole(digits: &[u8]) -> Option<u64> {
    let digit = |b: u8| b.is_ascii_digit().then(|| u64::from(b - b'0'));
    let (&first, rest) = digits.split_first()?;
    rest.iter().try_fold(digit(first)?, |n, &b| n.checked_mul(10)?.checked_add(digit(b)?))
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
}

/// A media type, borrowed where it is a common one.
pub(in crate::drive) fn media(value: &[u8]) -> Cow<'static, str> {
    let known = COMMON_MEDIA.iter().find(|known| known.as_bytes() == value);
    known.map_or_else(
        || Cow::Owned(String::from_utf8_lossy(value).into_owned()),
        |&known| Cow::Borrowed(known),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> Result<Head, Failure> {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        parse(text.as_bytes()).map(|parsed| {
            let (length, head) = parsed.unwrap();
            assert_eq!(length, text.len());
            head
        })
    }

    #[test]
    fn the_body_ends_where_the_head_says() {
        for (fields, framing, keep) in [
            ("Content-Length: 7\r\n", Framing::Length(7), true),
            ("content-length: 7\r\nCONTENT-LENGTH: 7\r\n", Framing::Length(7), true),
            ("content-length: 7, 7\r\n", Framing::Length(7), true),
            ("Transfer-Encoding: Chunked\r\n", Framing::Chunked, true),
            ("transfer-encoding: identity, chunked\r\n", Framing::Chunked, true),
            ("transfer-encoding: chunked\r\ncontent-length: 7\r\n", Framing::Chunked, false),
            ("content-length: 7\r\ntransfer-encoding: chunked\r\n", Framing::Chunked, false),
            ("", Framing::Close, false),
            ("content-length: 7\r\nConnection: foo, CLOSE\r\n", Framing::Length(7), false),
            (
                "content-length: 7\r\nConnection: keep-alive\r\nconnection: Close\r\n",
                Framing::Length(7),
                false,
            ),
        ] {
            let head = head(fields).unwrap();
            assert_eq!((head.framing, head.keep), (framing, keep), "{fields}");
        }
    }

    #[test]
    fn a_head_that_contradicts_itself_is_refused() {
        for fields in [
            "content-length: 7\r\ncontent-length: 8\r\n",
            "content-length: 7, 8\r\n",
            "content-length: +7\r\n",
            "content-length: 7x\r\n",
            "content-length: \r\n",
            "content-length: 18446744073709551616\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            let failure = head(fields).unwrap_err();
            // It is HTTP, so nobody is sent to look for another port.
            assert!(!failure.text.contains("not HTTP"), "{fields}: {}", failure.text);
        }
    }

    #[test]
    fn names_are_known_in_either_case_and_no_others_for_them() {
        for known in ["content-length", "Content-Length", "CONTENT-LENGTH", "cOnTeNt-lEnGtH"] {
            assert!(is(known.as_bytes(), b"content-length"), "{known}");
        }
        for other in
            ["content_length", "content-lengti", "content-lengt", "content-length2", "c0ntent-length"]
        {
            assert!(!is(other.as_bytes(), b"content-length"), "{other}");
        }
        // Of the characters that a name may have (RFC 9110, section 5.6.2).
        let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        for b in (0..=u8::MAX).filter(token) {
            assert_eq!(is(&[b], b"-"), b == b'-', "{b}");
            assert_eq!(is(&[b], b"a"), b.eq_ignore_ascii_case(&b'a'), "{b}");
        }
    }

    #[test]
    fn version_and_status_decide_what_happens_to_the_connection() {
        let parsed = |text: &str| parse(text.as_bytes()).unwrap().unwrap().1;
        assert!(!parsed("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n").keep);
        assert!(parsed("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: Keep-Alive\r\n\r\n").keep);
        assert!(!parsed("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n").keep);
        for status in ["204 No Content", "304 Not Modified", "100 Continue"] {
            let head = parsed(&format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n"));
            assert_eq!((head.framing, head.keep), (Framing::Length(0), true));
        }
        let chunks = "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!((parsed(chunks).framing, parsed(chunks).keep), (Framing::Length(0), false));
        assert!(parse(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n").is_err());
        assert!(parse(b"HTTP/2.0 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn the_service_tells_how_long_it_keeps_a_connection() {
        let keep =
            |value| head(&format!("content-length: 0\r\nkeep-alive: {value}\r\n")).unwrap().keep_seconds;
        assert_eq!(keep("timeout=5, max=100"), Some(5));
        assert_eq!(keep("max=100,Timeout=\"72\""), Some(72));
        assert_eq!(keep("timeout=soon"), None);
        assert_eq!(keep("é"), None);
    }

    #[test]
    fn media_types_arrive_as_they_are_and_the_common_ones_without_a_copy() {
        let media = |value| head(&format!("content-length: 0\r\nContent-Type: {value}\r\n")).unwrap().media;
        assert!(matches!(media("application/json"), Cow::Borrowed("application/json")));
        assert_eq!(media("text/x; a=b"), "text/x; a=b");
        assert_eq!(head("content-length: 0\r\n").unwrap().media, "");
    }

    #[test]
    fn folded_lines_and_bare_line_feeds_are_read() {
        let text = b"HTTP/1.1 200 OK\nx: a\r\n b\nlocation:  /x \ncontent-length: 0\n\n";
        let head = parse(text).unwrap().unwrap().1;
        assert_eq!(head.location.as_deref(), Some("/x"));
    }
}
