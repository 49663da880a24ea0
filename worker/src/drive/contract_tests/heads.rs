//! What stands before a body, in both directions.

use std::io::Write as _;
use std::sync::mpsc;

use fluxfleet_proto::failure::FailureKind;
use http::HeaderMap;
use url::Url;

use super::rig::{LIMIT, OK, Rig};
use crate::drive::{Driver, Endpoint, HeaderSet, Progress};

pub(super) async fn interim_answers_are_passed_over(rig: Rig<impl Driver>) {
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
    ] {
        for apart in [false, true] {
            let address = rig.server(move |_, mut wire| {
                while wire.read_request().is_some() {
                    if apart {
                        wire.write_all(interim.as_bytes()).unwrap();
                        wire.flush().unwrap();
                        wire.write_all(OK).unwrap();
                    } else {
                        wire.write_all(&[interim.as_bytes(), OK].concat()).unwrap();
                    }
                }
            });
            for _ in 0..2 {
                let answer = rig.answer(address).await;
                assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{\"a\": 1}"[..]));
            }
        }
    }
}

pub(super) async fn a_switch_of_protocols_is_a_protocol_failure(rig: Rig<impl Driver>) {
    let answer = *b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let failure = rig.failure(rig.answering(answer, 1)).await;
    assert_eq!(failure.kind, FailureKind::Protocol, "{}", failure.text);
    assert!(failure.text.contains("101"), "{}", failure.text);
}

pub(super) async fn large_heads_are_read_and_endless_ones_are_not(rig: Rig<impl Driver>) {
    let head = |headers: usize| {
        let mut head = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n".to_vec();
        for n in 0..headers {
            head.extend(format!("x-{n:05}: {}\r\n", "v".repeat(990)).bytes());
        }
        head.extend(b"\r\nx");
        head
    };
    let address = rig.answering(head(60), usize::MAX);
    for _ in 0..2 {
        assert_eq!(&rig.answer(address).await.body[..], b"x");
    }
    let failure = rig.failure(rig.answering(head(1000), 1)).await;
    assert_eq!(failure.kind, FailureKind::Protocol, "{}", failure.text);
    let endless = [&b"HTTP/1.1 200 OK\r\nx: "[..], &vec![b'v'; 1 << 20], b"\r\n\r\n"].concat();
    let failure = rig.failure(rig.answering(endless, 1)).await;
    assert_eq!(failure.kind, FailureKind::Protocol, "{}", failure.text);
    assert!(failure.text.contains("head"), "{}", failure.text);
}

pub(super) async fn contradicting_lengths_are_a_protocol_failure(rig: Rig<impl Driver>) {
    for lengths in
        ["content-length: 1\r\ncontent-length: 2\r\n", "content-length: 1x\r\n", "content-length: -1\r\n"]
    {
        let failure = rig.failure(rig.answering(format!("HTTP/1.1 200 OK\r\n{lengths}\r\nxy"), 1)).await;
        assert_eq!(failure.kind, FailureKind::Protocol, "{lengths}: {}", failure.text);
    }
}

pub(super) async fn headers_and_body_arrive_as_they_are(rig: Rig<impl Driver>) {
    let (asked, requests) = mpsc::channel();
    let address = rig.server(move |_, mut wire| {
        while let Some(request) = wire.read_request() {
            asked.send(request).unwrap();
            wire.write_all(OK).unwrap();
        }
    });
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-key", "k1"), ("x-many", "a"), ("x-many", "b")] {
        headers.append(name, value.parse().unwrap());
    }
    let scheme = if rig.secure { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://{address}/a/b?c=d")).unwrap();
    let headers = HeaderSet::new(&headers);
    let endpoint = Endpoint::post(url.clone(), &headers).unwrap();
    rig.driver.exchange(&endpoint, b"{}", LIMIT, &Progress::default()).await.unwrap();
    let request = requests.recv().unwrap().to_lowercase();
    assert!(request.starts_with("post /a/b?c=d http/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{}"), "{request}");
    let address = format!("host: {address}");
    for line in [
        &address,
        "x-key: k1",
        "x-many: a",
        "x-many: b",
        "content-type: application/json",
        "content-length: 2",
    ] {
        assert_eq!(request.lines().filter(|l| l == &line).count(), 1, "{line} in {request}");
    }
    assert!(!request.contains("accept-encoding"), "{request}");

    let endpoint = Endpoint::get(url, &headers).unwrap();
    rig.driver.exchange(&endpoint, &[], LIMIT, &Progress::default()).await.unwrap();
    let request = requests.recv().unwrap().to_lowercase();
    assert!(request.starts_with("get /a/b?c=d http/1.1\r\n") && request.ends_with("\r\n\r\n"), "{request}");
    assert!(!request.contains("content-length") && !request.contains("content-type"), "{request}");
}
