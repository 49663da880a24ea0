//! When a connection is used again, and when it must not be.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use fluxfleet_proto::failure::FailureKind;

use super::rig::{Full, OK, Rig, word};
use crate::drive::{Driver, IDLE_LIMIT, Progress};

/// A server that would answer any number of requests on each connection with these bytes, and tells which
/// connection each came by.
fn telling<D: Driver>(rig: &Rig<D>, bytes: impl Into<Vec<u8>>) -> (SocketAddr, Receiver<usize>) {
    let bytes = bytes.into();
    let (asked, requests) = mpsc::channel();
    let address = rig.server(move |number, mut wire| {
        while wire.read_request().is_some() {
            asked.send(number).unwrap();
            wire.write_all(&bytes).unwrap();
        }
    });
    (address, requests)
}

pub(super) async fn a_connection_is_used_again(rig: Rig<impl Driver>) {
    let (address, requests) = telling(&rig, OK);
    for _ in 0..5 {
        rig.answer(address).await;
    }
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), [0; 5]);
}

pub(super) async fn a_connection_of_http_1_0_is_used_again_when_the_answer_says_so(rig: Rig<impl Driver>) {
    let answer = *b"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 1\r\n\r\nx";
    let (address, requests) = telling(&rig, answer);
    for _ in 0..2 {
        rig.answer(address).await;
    }
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), [0; 2]);
}

/// Asks twice and expects two connections.
async fn not_used_again(rig: &Rig<impl Driver>, answer: &str) {
    let (address, requests) = telling(rig, answer);
    for _ in 0..2 {
        assert_eq!(&rig.answer(address).await.body[..], b"x", "{answer}");
    }
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), [0, 1], "{answer}");
}

pub(super) async fn a_connection_that_the_service_gives_up_is_not_used_again(rig: Rig<impl Driver>) {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nCONNECTION: foo, Close\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx",
    ] {
        not_used_again(&rig, answer).await;
    }
}

pub(super) async fn a_connection_whose_answer_was_framed_twice_is_not_used_again(rig: Rig<impl Driver>) {
    let answer =
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    not_used_again(&rig, answer).await;
}

pub(super) async fn a_connection_is_kept_no_longer_than_the_service_says(rig: Rig<impl Driver>) {
    not_used_again(&rig, "HTTP/1.1 200 OK\r\nkeep-alive: timeout=0\r\ncontent-length: 1\r\n\r\nx").await;
    // Waits out what is announced, less what is left for the way: a second, but half of a short time.
    let one = *b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 1\r\n\r\nx";
    let two = *b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2, max=9\r\ncontent-length: 1\r\n\r\nx";
    for ((address, requests), waited) in [(telling(&rig, one), 600), (telling(&rig, two), 1100)] {
        for pause in [0, 0, waited] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            rig.answer(address).await;
        }
        assert_eq!(requests.try_iter().collect::<Vec<_>>(), [0, 0, 1]);
    }
    assert!(Duration::from_millis(1100) < IDLE_LIMIT, "it is not the general limit that is seen here");
}

pub(super) async fn a_connection_that_the_server_closed_while_idle_is_not_used_again(rig: Rig<impl Driver>) {
    let (closed, closes) = mpsc::channel();
    let address = rig.server(move |number, mut wire| {
        wire.read_request();
        wire.write_all(OK).unwrap();
        drop(wire);
        closed.send(number).unwrap();
    });
    for number in 0..3 {
        rig.answer(address).await;
        assert_eq!(closes.recv().unwrap(), number);
        // The close is in the socket by now; a turn of the runtime lets whoever watches it see that.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) async fn a_half_closed_connection_is_not_used_again(rig: Rig<impl Driver>) {
    let (closed, closes) = mpsc::channel();
    let address = rig.server(move |number, mut wire| {
        wire.read_request();
        wire.write_all(OK).unwrap();
        wire.close_write();
        closed.send(number).unwrap();
        // Whatever is still sent here is read, and never answered.
        wire.wait_for_close();
    });
    for number in 0..3 {
        rig.answer(address).await;
        assert_eq!(word(&closes).await, number);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) async fn bytes_after_an_answer_are_never_taken_for_the_next_one(rig: Rig<impl Driver>) {
    for garbage in [&b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"[..], b"x", b"\r\n\r\n"] {
        let (address, requests) = telling(&rig, [OK, garbage].concat());
        for _ in 0..3 {
            let answer = rig.answer(address).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{\"a\": 1}"[..]));
        }
        assert_eq!(requests.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}

pub(super) async fn bytes_on_an_idle_connection_are_never_taken_for_an_answer(rig: Rig<impl Driver>) {
    let (sent, sends) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let address = rig.server(move |number, mut wire| {
        wire.read_request();
        wire.write_all(OK).unwrap();
        gone.lock().unwrap().recv().unwrap();
        wire.write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").unwrap();
        sent.send(number).unwrap();
        wire.wait_for_close();
    });
    for number in 0..3 {
        assert_eq!(rig.answer(address).await.status.as_u16(), 200);
        go.send(()).unwrap();
        assert_eq!(word(&sends).await, number);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) async fn a_request_that_was_written_is_never_sent_again(rig: Rig<impl Driver>) {
    let (asked, requests) = mpsc::channel();
    let address = rig.server(move |number, mut wire| {
        let first = wire.read_request();
        asked.send(first.is_some()).unwrap();
        if number == 0 {
            wire.write_all(OK).unwrap();
            // The second request on the kept connection is read and not answered.
            asked.send(wire.read_request().is_some()).unwrap();
        }
    });
    rig.answer(address).await;
    assert_eq!(rig.failure(address).await.kind, FailureKind::Disconnected);
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), [true, true]);
}

pub(super) async fn requests_in_flight_do_not_wait_for_each_other(rig: Rig<impl Driver>) {
    // Nobody is answered before all have asked.
    let together = std::sync::Barrier::new(20);
    let address = rig.server(move |_, mut wire| {
        while wire.read_request().is_some() {
            together.wait();
            wire.write_all(OK).unwrap();
        }
    });
    for _ in 0..3 {
        let answers = futures_util::future::join_all((0..20).map(|_| rig.answer(address))).await;
        assert!(answers.iter().all(|a| a.body[..] == *b"{\"a\": 1}"));
    }
}

pub(super) async fn what_a_new_connection_took_is_known(rig: Rig<impl Driver>) {
    let (address, _requests) = telling(&rig, OK);
    let (_, first) = rig.post(address).await;
    assert_eq!(first.connections(), 1);
    assert!(first.resolving().unwrap() <= first.connecting().unwrap());
    assert_eq!(first.securing().is_some(), rig.secure);
    let (_, second) = rig.post(address).await;
    assert_eq!((second.connections(), second.connecting(), second.securing()), (0, None, None));
}

pub(super) async fn connections_of_requests_in_flight_all_count(rig: Rig<impl Driver>) {
    // Nobody is answered before all have asked.
    let together = std::sync::Barrier::new(20);
    let address = rig.server(move |_, mut wire| {
        wire.read_request();
        together.wait();
        wire.write_all(OK).unwrap();
    });
    let ended = futures_util::future::join_all((0..20).map(|_| rig.post(address))).await;
    assert_eq!(ended.iter().map(|(_, progress)| progress.connections()).sum::<u32>(), 20);
}

pub(super) async fn a_request_takes_what_becomes_free_before_its_own_connection_is_open(
    rig: Rig<impl Driver>,
) {
    let (asked, requests) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    let answers = std::sync::Mutex::new(answers);
    let server = Full::new(rig.secure, move |number, mut wire| {
        while wire.read_request().is_some() {
            asked.send(number).unwrap();
            answers.lock().unwrap().recv().unwrap();
            wire.write_all(OK).unwrap();
        }
    });
    let meanwhile = async {
        assert_eq!(word(&requests).await, 0);
        let _places = server.fill().await;
        let service = async {
            // Whoever wants to connect waits by now, and would for a second.
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer.send(()).unwrap();
            assert_eq!(word(&requests).await, 0, "it came on the first one's connection");
            answer.send(()).unwrap();
        };
        let ((second, progress), ()) = tokio::join!(rig.post(server.address), service);
        assert_eq!((second.unwrap().status.as_u16(), progress.connections()), (200, 0));
    };
    tokio::join!(rig.answer(server.address), meanwhile);
}

pub(super) async fn a_connection_that_was_begun_for_a_request_counts_with_another(rig: Rig<impl Driver>) {
    let (asked, requests) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let address = rig.server(move |number, mut wire| {
        if number > 0 {
            // Over TLS the handshake waits with it.
            gone.lock().unwrap().recv().unwrap();
        }
        while wire.read_request().is_some() {
            asked.send(number).unwrap();
            if number == 0 {
                std::thread::sleep(Duration::from_millis(30));
            }
            wire.write_all(OK).unwrap();
        }
    });
    let meanwhile = async {
        assert_eq!(word(&requests).await, 0);
        if rig.secure {
            // Not one of the two waits for the handshake.
            let second = rig.post(address).await.1;
            go.send(()).unwrap();
            second
        } else {
            go.send(()).unwrap();
            rig.post(address).await.1
        }
    };
    let ((_, first), second) = tokio::join!(rig.post(address), meanwhile);
    let mut told = vec![first, second];
    while told.iter().map(Progress::connections).sum::<u32>() < 2 {
        told.push(rig.post(address).await.1);
    }
    let secured = told.iter().filter(|progress| progress.securing().is_some()).count();
    assert_eq!(rig.secure, secured > 0);
    assert_eq!(rig.post(address).await.1.connections(), 0, "each of the two counts once");
}

pub(super) async fn a_name_that_is_looked_up_is_part_of_what_a_connection_took(rig: Rig<impl Driver>) {
    let (address, _requests) = telling(&rig, OK);
    let url = rig.url(address).replace("127.0.0.1", "localhost");
    let (answer, progress) = rig.ask(&url, b"{}", 100).await;
    assert_eq!(answer.unwrap().status.as_u16(), 200);
    let (resolving, connecting) = (progress.resolving().unwrap(), progress.connecting().unwrap());
    assert!(Duration::ZERO < resolving && resolving < connecting, "{resolving:?} of {connecting:?}");
}
