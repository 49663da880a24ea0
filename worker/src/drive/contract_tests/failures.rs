//! What keeps an answer from coming.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use fluxfleet_proto::failure::FailureKind;

use super::rig::{LIMIT, OK, Rig, Silent, word};
use crate::drive::Driver;

pub(super) async fn a_connection_cut_before_the_answer_is_disconnected(rig: Rig<impl Driver>) {
    for bytes in
        [&b""[..], b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 100 Continue\r\n\r\n"]
    {
        assert_eq!(rig.failure(rig.answering(bytes, 1)).await.kind, FailureKind::Disconnected);
    }
}

pub(super) async fn a_connection_cut_within_the_body_is_disconnected(rig: Rig<impl Driver>) {
    let known = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789";
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n";
    let trailer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\nx: y\r\n";
    for bytes in [&known[..], chunked, trailer] {
        let failure = rig.failure(rig.answering(bytes, 1)).await;
        assert_eq!(failure.kind, FailureKind::Disconnected, "{}", failure.text);
        assert!(failure.text.contains("after 10 body bytes"), "{}", failure.text);
    }
}

pub(super) async fn a_connection_half_closed_at_once_is_disconnected(rig: Rig<impl Driver>) {
    let address = rig.server(|_, mut wire| {
        // Over TLS, not before there is a session to end.
        if wire.session().is_some() {
            wire.read_request();
        }
        wire.close_write();
        wire.wait_for_close();
    });
    assert_eq!(rig.failure(address).await.kind, FailureKind::Disconnected);
}

pub(super) async fn garbage_is_a_protocol_failure(rig: Rig<impl Driver>) {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.6\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        // The alert that a TLS server answers to something that is no ClientHello.
        b"\x15\x03\x03\x00\x02\x02\x16",
    ] {
        let address = rig.server(move |_, mut wire| {
            wire.read_request();
            let _ = wire.write_all(bytes);
            // Such services wait for more; it is for the client to see that this leads nowhere.
            wire.wait_for_close();
        });
        let failure = rig.failure(address).await;
        assert_eq!(failure.kind, FailureKind::Protocol, "{}", failure.text);
        assert!(failure.text.contains("https"), "{}", failure.text);
    }
}

pub(super) async fn chunks_that_are_none_are_a_failure(rig: Rig<impl Driver>) {
    for chunk in ["zz\r\n", "3\r\nabcd\r\n", "fffffffffffffffff\r\nx"] {
        let bytes = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
        let failure = rig.failure(rig.answering(bytes, 1)).await;
        // hyper calls them cut.
        assert!(
            matches!(failure.kind, FailureKind::Protocol | FailureKind::Disconnected),
            "{:?} {}",
            failure.kind,
            failure.text
        );
    }
}

pub(super) async fn a_refused_connection_is_a_connect_failure(rig: Rig<impl Driver>) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = rig.failure(address).await;
    assert_eq!(failure.kind, FailureKind::Connect);
    assert!(failure.text.to_lowercase().contains("refused"), "{}", failure.text);
}

pub(super) async fn a_name_that_does_not_resolve_is_a_dns_failure(rig: Rig<impl Driver>) {
    let failure = rig.ask("http://no-such-host.invalid/x", b"{}", LIMIT).await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Dns, "{}", failure.text);
    assert!(failure.text.contains("no-such-host.invalid"), "{}", failure.text);
}

pub(super) async fn a_connection_that_never_comes_is_told_from_a_slow_answer(rig: Rig<impl Driver>) {
    let silent = Silent::new().await;
    let failure = rig.cut_off(&rig.url(silent.address), Duration::from_millis(100)).await;
    assert_eq!(failure.kind, FailureKind::Connect);
    assert_eq!(failure.text, "POST /x: no connection within 100ms");
}

pub(super) async fn a_slow_answer_is_a_timeout_on_a_new_connection_and_on_a_kept_one(rig: Rig<impl Driver>) {
    let (asked, requests) = mpsc::channel();
    let address = rig.server(move |number, mut wire| {
        if number == 1 {
            wire.read_request();
            wire.write_all(OK).unwrap();
        }
        wire.read_request();
        asked.send(()).unwrap();
        wire.wait_for_close();
    });
    let url = rig.url(address);
    for is_kept in [false, true] {
        if is_kept {
            rig.answer(address).await;
        }
        let failure = rig.cut_off_when(&url, Duration::from_secs(1), word(&requests)).await;
        assert_eq!(failure.kind, FailureKind::Timeout, "{}", failure.text);
        assert_eq!(failure.text, "POST /x: no answer within 1s");
    }
}
