//! HTTPS through a proxy: a tunnel by CONNECT, and what may be in its way.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};

use fluxfleet_proto::failure::FailureKind;
use url::Url;

use super::rig::{OK, Rig, Wire, on_a_load_thread, server, trusting};
use crate::drive::general::General;
use crate::drive::{Failure, HttpVersion, TlsOptions};

/// A driver over TLS that goes through this proxy.
fn through(proxy: &str, tls: &TlsOptions) -> Rig<General> {
    let proxy = Url::parse(proxy).unwrap();
    Rig::new(General::new(Some(tls), HttpVersion::One, Some(&proxy)).unwrap(), true)
}

/// A proxy that opens a tunnel to wherever it is asked to, and tells what it was asked.
fn tunnelling() -> (String, Receiver<String>) {
    let (asked, requests) = mpsc::channel();
    let address = server(false, move |_, mut wire| {
        let Some(head) = wire.read_head() else { return };
        let service = TcpStream::connect(head.split(' ').nth(1).unwrap()).unwrap();
        // Not every test listens.
        let _ = asked.send(head);
        wire.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let Wire::Plain(client) = &wire else { return };
        std::thread::scope(|both| {
            both.spawn(|| pass_on(client, &service));
            both.spawn(|| pass_on(&service, client));
        });
    });
    (format!("http://{address}"), requests)
}

fn pass_on(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn service() -> (SocketAddr, Receiver<String>) {
    let (asked, requests) = mpsc::channel();
    let address = server(true, move |_, mut wire| {
        while let Some(request) = wire.read_request() {
            let _ = asked.send(request);
            wire.write_all(OK).unwrap();
        }
    });
    (address, requests)
}

/// What becomes of a request through a proxy that answers CONNECT with these bytes and closes.
async fn answered(connect: &'static [u8]) -> Failure {
    let proxy = server(false, move |_, mut wire| {
        wire.read_head();
        wire.write_all(connect).unwrap();
    });
    through(&format!("http://{proxy}"), &trusting()).failure(service().0).await
}

#[test]
fn https_through_a_proxy_is_a_tunnel_that_is_used_again() {
    on_a_load_thread(async {
        let ((proxy, tunnels), (address, requests)) = (tunnelling(), service());
        let rig = through(&proxy, &trusting());
        for _ in 0..2 {
            assert_eq!(rig.answer(address).await.body[..], *b"{\"a\": 1}");
            let request = requests.recv().unwrap();
            assert!(request.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{request}");
        }
        let tunnels: Vec<_> = tunnels.try_iter().collect();
        assert_eq!(tunnels.len(), 1);
        assert!(tunnels[0].starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")), "{}", tunnels[0]);
    });
}

#[test]
fn a_proxy_that_opens_no_tunnel_is_a_connect_failure() {
    on_a_load_thread(async {
        for connect in [
            &b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nbad",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"",
        ] {
            let failure = answered(connect).await;
            assert_eq!(failure.kind, FailureKind::Connect, "{}: {}", connect.escape_ascii(), failure.text);
            assert!(failure.text.starts_with("through the proxy 127.0.0.1:"), "{}", failure.text);
        }
    });
}

#[test]
fn a_proxy_that_cannot_be_reached_is_told_from_the_service() {
    on_a_load_thread(async {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address = service().0;
        for (proxy, kind) in [
            (format!("http://{closed}"), FailureKind::Connect),
            ("http://no-such-host.invalid:3128".to_owned(), FailureKind::Dns),
        ] {
            let failure = through(&proxy, &trusting()).failure(address).await;
            assert_eq!(failure.kind, kind, "{}", failure.text);
            assert!(failure.text.starts_with("through the proxy "), "{}", failure.text);
        }
    });
}

#[test]
fn what_is_no_tls_at_the_end_of_a_tunnel_is_a_tls_failure() {
    on_a_load_thread(async {
        let proxy = tunnelling().0;
        let plain = server(false, |_, mut wire| {
            // What came before the handshake has begun would be lost with the proxy's own answer.
            let _ = wire.read(&mut [0; 1000]);
            let _ = wire.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            wire.wait_for_close();
        });
        let closing = server(false, |_, mut wire| {
            let _ = wire.read(&mut [0; 1000]);
        });
        for (address, tls) in
            [(plain, trusting()), (closing, trusting()), (service().0, TlsOptions::default())]
        {
            let failure = through(&proxy, &tls).failure(address).await;
            assert_eq!(failure.kind, FailureKind::Tls, "{}", failure.text);
        }
    });
}
