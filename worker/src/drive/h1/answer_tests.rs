//! An answer is the same however it is cut into reads.

use fluxfleet_proto::clock::Mono;
use proptest::prelude::*;

use super::answer::{End, Reader};
use super::heads::Heads;
use crate::drive::{Failure, Progress};

/// What is compared: status, body, whether it was cut, whether the connection may be used again, bytes counted.
type Read = (u16, Vec<u8>, bool, bool, u64);

/// Feeds bytes in pieces of these lengths, the last one as often as needed, and then the end of the connection.
fn read(bytes: &[u8], pieces: &[usize], limit: u64) -> Result<Read, Failure> {
    let (heads, progress) = (Heads::default(), Progress::default());
    let mut reader = Reader::new(limit, false);
    let mut pieces = pieces.iter().copied();
    let mut piece = usize::MAX;
    let mut rest = bytes;
    while !rest.is_empty() {
        piece = pieces.next().unwrap_or(piece).clamp(1, rest.len());
        let (now, later) = rest.split_at(piece);
        let mut now = now.to_vec();
        rest = later;
        if let Some(end) = reader.feed(&mut now, Mono::default(), &heads, &progress)? {
            // What comes later is as unasked for as what came at once.
            return Ok(seen(reader, end, &now, rest.is_empty(), &progress));
        }
    }
    let end = reader.closed()?;
    Ok(seen(reader, end, &[], true, &progress))
}

fn seen(mut reader: Reader, end: End, last: &[u8], ended: bool, progress: &Progress) -> Read {
    let End { here, cut, clean } = end;
    let body = here.map_or_else(|| reader.apart().to_vec(), |range| last[range].to_vec());
    let head = reader.into_head().unwrap();
    if cut {
        // Nothing more is read then, so how much there is depends on the reads.
        return (head.status.as_u16(), Vec::new(), true, false, 0);
    }
    (head.status.as_u16(), body, false, head.keep && clean && ended, progress.bytes())
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    let interim = prop_oneof![
        Just(""),
        Just("HTTP/1.1 100 Continue\r\n\r\n"),
        Just("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\nx: y\r\n\r\n"),
    ];
    let status = prop_oneof![
        Just("HTTP/1.1 200 OK"),
        Just("HTTP/1.0 200"),
        Just("HTTP/1.1 204 No"),
        Just("HTTP/1.1 500 Oh")
    ];
    let body = proptest::collection::vec(any::<u8>(), 0..60);
    let after = prop_oneof![3 => Just(&b""[..]), 1 => Just(&b"HTTP/1.1 500 x\r\n\r\n"[..])];
    (interim, status, body, 0..4, after, any::<bool>()).prop_map(
        |(interim, status, body, framing, after, close)| {
            let mut bytes = format!("{interim}{status}\r\nContent-Type: a/b\r\n").into_bytes();
            if close {
                bytes.extend(b"connection: close\r\n");
            }
            match framing {
                0 => {
                    bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
                    bytes.extend(&body);
                }
                1 => {
                    bytes.extend(b"\r\n");
                    bytes.extend(&body);
                }
                2 => {
                    bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
                    for chunk in body.chunks(7) {
                        bytes.extend(format!("{:x};e=1\r\n", chunk.len()).bytes());
                        bytes.extend(chunk);
                        bytes.extend(b"\r\n");
                    }
                    bytes.extend(b"0\r\nt: u\r\n\r\n");
                }
                // Cut short.
                _ => {
                    bytes.extend(format!("content-length: {}\r\n\r\n", body.len() + 1).bytes());
                    bytes.extend(&body);
                    return bytes;
                }
            }
            bytes.extend(after);
            bytes
        },
    )
}

proptest! {
    #[test]
    fn any_cut_into_reads_gives_the_same_answer(
        answer in answers(),
        pieces in proptest::collection::vec(1usize..40, 1..30),
        limit in prop_oneof![Just(1000_u64), 0u64..60],
    ) {
        let whole = read(&answer, &[], limit);
        prop_assert_eq!(&read(&answer, &pieces, limit), &whole);
        prop_assert_eq!(&read(&answer, &[1], limit), &whole);
    }

    #[test]
    fn no_bytes_panic(
        front in prop_oneof![Just(&b""[..]), Just(&b"HTTP/1.1 200 OK\r\n"[..]), Just(&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..])],
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        pieces in proptest::collection::vec(1usize..40, 1..30),
    ) {
        let bytes = [front, &bytes].concat();
        let _ = read(&bytes, &pieces, 50);
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_is_read_in_a_moment() {
    let head =
        [&b"HTTP/1.1 200 OK\r\nx: "[..], &vec![b'v'; 60_000], b"\r\ncontent-length: 1\r\n\r\nx"].concat();
    assert_eq!(read(&head, &[1], 9), Ok((200, b"x".to_vec(), false, true, 1)));
    let endless = [&b"HTTP/1.1 200 OK\r\nx: "[..], &vec![b'v'; 70_000]].concat();
    let failure = read(&endless, &[1], 9).unwrap_err();
    assert!(failure.text.contains("65536"), "{}", failure.text);
}

#[test]
fn an_answer_in_one_read_is_left_where_it_lies() {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n".to_vec();
    let mut reader = Reader::new(9, false);
    let end =
        reader.feed(&mut bytes, Mono::default(), &Heads::default(), &Progress::default()).unwrap().unwrap();
    assert_eq!(&bytes[end.here.unwrap()], b"abc");
    assert!(end.clean);
}

#[test]
fn an_answer_to_head_has_no_body() {
    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n".to_vec();
    let mut reader = Reader::new(9, true);
    let end =
        reader.feed(&mut bytes, Mono::default(), &Heads::default(), &Progress::default()).unwrap().unwrap();
    assert!(end.clean && end.here.unwrap().is_empty() && reader.into_head().unwrap().keep);
}
