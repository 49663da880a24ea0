//! The chunked transfer coding (RFC 9112, section 7.1), taken apart in place.
//!
//! Lines of the coding itself must end in CRLF; the fields of a trailer may end in LF alone, as those of a head.

use super::malformed;
use crate::drive::Failure;

/// Bytes of extensions accepted on one chunk's line.
const MAX_EXTENSION: u32 = 16 << 10;
/// Bytes of trailer fields accepted.
const MAX_TRAILERS: u32 = 64 << 10;

/// Where in the coding the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first digit of a chunk's size.
    FirstDigit,
    /// Within the size.
    Size,
    /// Blanks after the size, or an extension: passed over.
    Extension,
    /// After the CR of a chunk's line.
    SizeLf,
    /// Within a chunk.
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a trailer's line.
    LineStart,
    /// Within a trailer's line.
    Line,
    /// After a CR at the beginning of a line: the very end.
    EndLf,
    Done,
}

/// Takes chunks apart as they come in.
#[derive(Debug)]
pub(super) struct Chunked {
    at: At,
    /// Size of the chunk being read, then what is left of it.
    left: u64,
    /// Bytes passed over on this line, or in the trailer.
    skipped: u32,
}

/// What became of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// This many bytes of the body are now at the front.
    pub(super) kept: usize,
    /// This many bytes belonged to the body's coding.
    pub(super) used: usize,
    /// The body has ended.
    pub(super) done: bool,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { at: At::FirstDigit, left: 0, skipped: 0 }
    }
}

impl Chunked {
    /// Takes the coding out of the bytes and moves what is left, the body, to their front.
    ///
    /// # Errors
    /// `protocol`, when it is not the chunked coding.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, Failure> {
        let (mut kept, mut used) = (0, 0);
        while used < bytes.len() && self.at != At::Done {
            if self.at == At::Data {
                // A chunk longer than memory still fits what is on hand.
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - used);
                bytes.copy_within(used..used + take, kept);
                kept += take;
                used += take;
                self.left -= take as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.at = self.step(bytes[used])?;
                used += 1;
            }
        }
        Ok(Decoded { kept, used, done: self.at == At::Done })
    }

    fn step(&mut self, byte: u8) -> Result<At, Failure> {
        Ok(match (self.at, byte) {
            (At::FirstDigit, _) => {
                self.left = digit(byte)?;
                At::Size
            }
            (At::Size | At::Extension, b'\r') => At::SizeLf,
            (At::Size, b';' | b' ' | b'\t') => {
                self.skipped = 0;
                At::Extension
            }
            (At::Size, _) => {
                let digit = digit(byte)?;
                if self.left > u64::MAX >> 4 {
                    return Err(malformed("a chunk's size beyond 64 bits"));
                }
                self.left = self.left << 4 | digit;
                At::Size
            }
            (At::Extension, b'\n') => return Err(malformed("a line feed within a chunk's extension")),
            (At::Extension, _) => {
                self.skip(MAX_EXTENSION, "a chunk's extension")?;
                At::Extension
            }
            (At::SizeLf, b'\n') if self.left == 0 => {
                self.skipped = 0;
                At::LineStart
            }
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::FirstDigit,
            (At::LineStart, b'\r') => At::EndLf,
            (At::LineStart | At::EndLf, b'\n') => At::Done,
            (At::Line, b'\n') => At::LineStart,
            (At::LineStart | At::Line, _) => {
                self.skip(MAX_TRAILERS, "the trailer")?;
                At::Line
            }
            (At::SizeLf | At::DataCr | At::DataLf | At::EndLf | At::Data | At::Done, _) => {
                return Err(malformed("a chunk that does not end where its size says"));
            }
        })
    }

    fn skip(&mut self, most: u32, what: &str) -> Result<(), Failure> {
        self.skipped += 1;
        if self.skipped > most {
            return Err(malformed(&format!("{what} is longer than {most} bytes")));
        }
        Ok(())
    }
}

fn digit(byte: u8) -> Result<u64, Failure> {
    char::from(byte).to_digit(16).map(u64::from).ok_or_else(|| malformed("a chunk's size is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(coded: &[u8]) -> Result<(Vec<u8>, Decoded), Failure> {
        let mut bytes = coded.to_vec();
        let decoded = Chunked::default().decode(&mut bytes)?;
        bytes.truncate(decoded.kept);
        Ok((bytes, decoded))
    }

    #[test]
    fn extensions_and_trailers_are_passed_over_and_what_follows_is_left() {
        let coded = b"3;a=b;c=\"d;\"\r\nabc\r\n0002 \r\nde\r\n0\r\nx-sum: 1\r\ny: z\n\r\nHTTP/1.1";
        let (body, decoded) = whole(coded).unwrap();
        assert_eq!(body, b"abcde");
        assert_eq!(decoded, Decoded { kept: 5, used: coded.len() - 8, done: true });
    }

    #[test]
    fn what_is_not_the_coding_is_refused() {
        for coded in [
            &b"\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b"3\nabc",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n",
            b"3;a\nb\r\n",
            b"0\r\n\rx",
            b"10000000000000000\r\n",
            b"fffffffffffffffff\r\n",
        ] {
            assert!(whole(coded).is_err(), "{}", coded.escape_ascii());
        }
        assert!(!whole(b"ffffffffffffffff\r\nabc").unwrap().1.done, "the largest size is one");
        assert!(whole(&[&b"1;"[..], &b"x".repeat(20_000)].concat()).is_err());
        assert!(whole(&[&b"0\r\n"[..], &b"x: y\r\n".repeat(20_000)].concat()).is_err());
    }

    proptest! {
        #[test]
        fn however_the_coding_is_cut_into_reads_the_body_is_the_same(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in proptest::collection::vec(1usize..30, 0..40),
        ) {
            let mut coded = Vec::new();
            for chunk in &chunks {
                coded.extend(format!("{:x};e\r\n", chunk.len()).bytes());
                coded.extend(chunk);
                coded.extend(b"\r\n");
            }
            coded.extend(b"0\r\nt: 1\r\n\r\n");
            let (mut body, mut decoder, mut done) = (Vec::new(), Chunked::default(), false);
            let mut rest = &mut coded[..];
            let mut cuts = cuts.into_iter();
            while !rest.is_empty() {
                let cut = cuts.next().unwrap_or(usize::MAX).min(rest.len());
                let (now, later) = rest.split_at_mut(cut);
                let decoded = decoder.decode(now).unwrap();
                prop_assert_eq!(decoded.used, now.len());
                body.extend_from_slice(&now[..decoded.kept]);
                done = decoded.done;
                rest = later;
            }
            prop_assert!(done);
            prop_assert_eq!(body, chunks.concat());
        }

        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Chunked::default().decode(&mut bytes);
        }
    }
}
