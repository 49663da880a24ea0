//! Where an answer's body ends, and how much of it is accepted.

use std::io::Write as _;
use std::sync::mpsc;

use fluxfleet_proto::failure::FailureKind;

use super::rig::{LIMIT, OK, Rig, word};
use crate::drive::Driver;

pub(super) async fn an_answer_comes_back_whole(rig: Rig<impl Driver>) {
    let (answer, progress) = rig.post(rig.answering(OK, 1)).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{\"a\": 1}"[..]));
    assert_eq!(answer.media, "application/json");
    assert_eq!(progress.bytes(), 8);
    assert!(progress.first_byte().is_some());
}

pub(super) async fn chunks_are_joined_and_their_extensions_and_trailers_left_away(rig: Rig<impl Driver>) {
    let head = &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"[..];
    let parts =
        [head, b"3\r\n{\"a\r\n", b"2;ext=1;q=\"x\"\r\n\":\r\n", b"0002\r\n1}\r\n", b"0\r\nx-sum: 7\r\n\r\n"];
    let together = rig.answering(parts.concat(), 1);
    let apart = rig.server(move |_, mut wire| {
        wire.read_request();
        for part in parts {
            wire.write_all(part).unwrap();
            wire.flush().unwrap();
        }
    });
    for address in [together, apart] {
        let (answer, progress) = rig.post(address).await;
        assert_eq!((&answer.unwrap().body[..], progress.bytes()), (&b"{\"a\":1}"[..], 7));
    }
}

pub(super) async fn a_body_without_a_length_ends_with_the_connection(rig: Rig<impl Driver>) {
    let address = rig.answering(*b"HTTP/1.1 200 OK\r\n\r\nall of it", 1);
    assert_eq!(&rig.answer(address).await.body[..], b"all of it");
    let address = rig.answering(*b"HTTP/1.1 200 OK\r\n\r\n", 1);
    assert_eq!(&rig.answer(address).await.body[..], b"");
}

pub(super) async fn an_answer_of_http_1_0_is_read(rig: Rig<impl Driver>) {
    for bytes in [&b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc"[..], b"HTTP/1.0 200\r\n\r\nabc"] {
        assert_eq!(&rig.answer(rig.answering(bytes, 1)).await.body[..], b"abc");
    }
}

pub(super) async fn some_answers_have_no_body_whatever_they_announce(rig: Rig<impl Driver>) {
    for (head, status) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n", 304),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
    ] {
        let address = rig.answering(head, usize::MAX);
        for _ in 0..2 {
            let answer = rig.answer(address).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0));
        }
    }
}

pub(super) async fn an_answer_that_drips_in_byte_by_byte_is_the_same(rig: Rig<impl Driver>) {
    for bytes in [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
          3;x\r\n{\"a\r\n5\r\n\": 1}\r\n0\r\nx: y\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n{\"a\": 1}",
    ] {
        let address = rig.server(move |_, mut wire| {
            wire.read_request();
            for byte in bytes {
                wire.write_all(&[*byte]).unwrap();
                wire.flush().unwrap();
            }
        });
        assert_eq!(&rig.answer(address).await.body[..], b"{\"a\": 1}");
    }
}

pub(super) async fn an_answer_cut_anywhere_is_the_same(rig: Rig<impl Driver>) {
    // One connection serves them all, so a byte left over from one answer would show in the next.
    let address = rig.server(move |_, mut wire| {
        for cut in 1..OK.len() {
            if wire.read_request().is_none() {
                return;
            }
            let (first, second) = OK.split_at(cut);
            wire.write_all(first).unwrap();
            wire.flush().unwrap();
            std::thread::yield_now();
            wire.write_all(second).unwrap();
        }
    });
    for _ in 1..OK.len() {
        assert_eq!(&rig.answer(address).await.body[..], b"{\"a\": 1}");
    }
}

pub(super) async fn a_long_body_comes_back_whole(rig: Rig<impl Driver>) {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let known =
        [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    let chunks: Vec<u8> = body
        .chunks(70_000)
        .flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat())
        .collect();
    let chunked =
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &chunks[..], b"0\r\n\r\n"].concat();
    let to_the_end = [b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat();
    for (bytes, per_connection) in [(known, 2), (chunked, 2), (to_the_end, 1)] {
        let address = rig.answering(bytes, per_connection);
        for _ in 0..2 {
            let (answer, progress) = rig.ask(&rig.url(address), b"{}", 3_000_000).await;
            assert!(answer.unwrap().body[..] == body[..]);
            assert_eq!(progress.bytes(), 3_000_000);
        }
    }
}

pub(super) async fn an_announced_body_beyond_the_limit_is_not_read(rig: Rig<impl Driver>) {
    let failure =
        rig.failure(rig.answering(*b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\nxxxx", 1)).await;
    assert_eq!(failure.kind, FailureKind::BodyTooLarge);
    assert!(failure.text.contains("100000") && failure.text.contains("104857600"), "{}", failure.text);
}

pub(super) async fn an_endless_body_is_cut_at_the_limit(rig: Rig<impl Driver>) {
    for framing in ["transfer-encoding: chunked\r\n", ""] {
        let (ended, end) = mpsc::channel();
        let address = rig.server(move |_, mut wire| {
            wire.read_request();
            write!(wire, "HTTP/1.1 200 OK\r\n{framing}\r\n").unwrap();
            let chunk = [&b"1000\r\n"[..], &[b'x'; 0x1000], b"\r\n"].concat();
            // Ends by the client's closing the connection, and only by that.
            while wire.write_all(&chunk).is_ok() {}
            ended.send(()).unwrap();
        });
        let (answer, progress) = rig.post(address).await;
        assert_eq!(answer.unwrap_err().kind, FailureKind::BodyTooLarge);
        assert!((LIMIT..LIMIT + 1_000_000).contains(&progress.bytes()), "{}", progress.bytes());
        word(&end).await;
    }
}

pub(super) async fn an_error_answer_beyond_the_limit_keeps_its_status(rig: Rig<impl Driver>) {
    for framing in ["content-length: 200000\r\n", ""] {
        let mut bytes = format!("HTTP/1.1 500 Oops\r\n{framing}\r\nqueue is full").into_bytes();
        bytes.resize(bytes.len() + 200_000, b'x');
        let answer = rig.answer(rig.answering(bytes, 1)).await;
        assert_eq!(answer.status.as_u16(), 500);
        assert!(answer.body.len() as u64 <= LIMIT);
    }
}
