//! Requests that take a while to send.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;

use super::rig::{LIMIT, OK, Rig, content_length};
use crate::drive::Driver;

/// More than a loopback connection's buffers hold.
const LONG: usize = 8 << 20;

fn long_body() -> Vec<u8> {
    (0..LONG).map(|n| b"0123456789abc"[n % 13]).collect()
}

pub(super) async fn a_long_body_arrives_whole_at_a_slow_reader(rig: Rig<impl Driver>) {
    let (arrived, arrivals) = mpsc::channel();
    let address = rig.server(move |_, mut wire| {
        while let Some(head) = wire.read_head() {
            let mut body = Vec::new();
            let length = content_length(&head);
            let mut piece = [0; 10_000];
            while body.len() < length {
                let most = piece.len().min(length - body.len());
                let read = wire.read(&mut piece[..most]).unwrap();
                body.extend_from_slice(&piece[..read]);
                std::thread::yield_now();
            }
            arrived.send(body).unwrap();
            wire.write_all(OK).unwrap();
        }
    });
    // The longest that is copied, and those around it.
    for length in [LONG, 16 << 10, (16 << 10) + 1, 0, 1] {
        let body = &long_body()[..length];
        assert_eq!(rig.ask(&rig.url(address), body, LIMIT).await.0.unwrap().status.as_u16(), 200);
        assert!(arrivals.recv().unwrap() == body, "{length}");
    }
}

pub(super) async fn an_early_answer_is_the_result_while_the_connection_stays(rig: Rig<impl Driver>) {
    let (asked, requests) = mpsc::channel();
    let address = rig.server(move |number, mut wire| {
        wire.read_head().unwrap();
        asked.send(number).unwrap();
        // Nothing of the body is read: who waits for it to be taken waits for ever.
        wire.write_all(
            b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig",
        )
        .unwrap();
        wire.flush().unwrap();
        // Held open until the test ends.
        std::thread::park();
    });
    for number in 0..2 {
        let answer = rig.ask(&rig.url(address), &long_body(), LIMIT).await.0.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (413, &b"big"[..]));
        assert_eq!(requests.recv().unwrap(), number, "the rest of a request is on the old connection");
    }
}

pub(super) async fn an_early_answer_is_the_result_though_the_service_closes(rig: Rig<impl Driver>) {
    let address = rig.server(move |_, mut wire| {
        wire.read_head().unwrap();
        wire.write_all(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig").unwrap();
        wire.flush().unwrap();
        // Closed with the body unread, which resets the connection.
    });
    for body in [&long_body()[..], b"{\"p\":1}"] {
        let answer = rig.ask(&rig.url(address), body, LIMIT).await.0.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (413, &b"big"[..]));
    }
}

pub(super) async fn an_answer_that_begins_before_the_request_has_ended_does_not_stop_it(
    rig: Rig<impl Driver>,
) {
    let address = rig.server(move |_, mut wire| {
        while let Some(head) = wire.read_head() {
            wire.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").unwrap();
            wire.flush().unwrap();
            // The answer ends only after the whole request has come.
            let mut body = vec![0; content_length(&head)];
            wire.read_exact(&mut body).unwrap();
            wire.write_all(b"1\r\nb\r\n0\r\n\r\n").unwrap();
        }
    });
    for _ in 0..2 {
        let answer = rig.ask(&rig.url(address), &long_body(), LIMIT).await.0.unwrap();
        assert_eq!(&answer.body[..], b"ab");
    }
}
