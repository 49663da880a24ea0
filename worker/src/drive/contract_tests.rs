//! What every driver has to do, against servers that misbehave in each way that services are known for.
//!
//! A new driver is one more line in [`contract!`]'s list of drivers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use fluxfleet_proto::failure::FailureKind;
use http::HeaderMap;
use url::Url;

use super::direct::Direct;
use super::tls::Tls;
use super::{Answer, Driver, Endpoint, Failure, HeaderSet, Progress};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{\"a\": 1}";
const LIMIT: u64 = 100_000;

/// A server that leaves each connection to `serve`, which gets its number from 0.
fn server(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let serve = std::sync::Arc::clone(&serve);
            std::thread::spawn(move || serve(number, stream.unwrap()));
        }
    });
    address
}

/// Reads one request; `None` when the client has gone.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head
        .lines()
        .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Some(head + std::str::from_utf8(&body).unwrap())
}

/// A server that answers each request with fixed bytes and closes after `per_connection` of them.
fn answering(bytes: impl Into<Vec<u8>>, per_connection: usize) -> SocketAddr {
    let bytes = bytes.into();
    server(move |_, mut stream| {
        for _ in 0..per_connection {
            if read_request(&mut stream).is_none() {
                return;
            }
            let _ = stream.write_all(&bytes);
        }
    })
}

async fn post<D: Driver>(driver: &D, url: impl AsRef<str>) -> (Result<Answer, Failure>, Progress) {
    let url = Url::parse(url.as_ref()).unwrap();
    let endpoint = Endpoint::post(url, &HeaderSet::new(&HeaderMap::new())).unwrap();
    let progress = Progress::default();
    let answer = driver.exchange(&endpoint, Bytes::from_static(b"{\"p\":1}"), LIMIT, &progress).await;
    (answer, progress)
}

async fn failure<D: Driver>(driver: &D, address: SocketAddr) -> Failure {
    post(driver, format!("http://{address}/x")).await.0.expect_err("a failure")
}

/// Runs on a load thread's kind of runtime; nothing may hang.
fn on_a_load_thread<T>(test: impl Future<Output = T>) -> T {
    let options = tokio::runtime::LocalOptions::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("no hang") })
}

macro_rules! contract {
    ($($test:ident)*) => {
        contract!(@driver direct, Direct::default(), $($test)*);
        contract!(@driver tls, Tls::new().unwrap(), $($test)*);
    };
    (@driver $driver:ident, $new:expr, $($test:ident)*) => {
        mod $driver {
            use super::*;
            $(#[test]
            fn $test() {
                on_a_load_thread(async { super::$test($new).await });
            })*
        }
    };
}

contract! {
    an_answer_comes_back_whole
    a_body_in_chunks_is_joined
    a_connection_is_used_again
    a_connection_that_the_server_closed_while_idle_is_not_used_again
    a_request_that_was_written_is_never_sent_again
    a_connection_cut_before_the_answer_is_disconnected
    a_connection_cut_within_the_body_is_disconnected
    garbage_is_a_protocol_failure
    a_tls_port_asked_in_plain_is_a_protocol_failure
    a_refused_connection_is_a_connect_failure
    a_name_that_does_not_resolve_is_a_dns_failure
    an_announced_body_beyond_the_limit_is_not_read
    an_endless_body_is_cut_at_the_limit
    an_error_answer_beyond_the_limit_keeps_its_status
    headers_and_body_arrive_as_they_are
}

async fn an_answer_comes_back_whole(driver: impl Driver) {
    let address = answering(OK, 1);
    let (answer, progress) = post(&driver, format!("http://{address}/x?y=1")).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{\"a\": 1}"[..]));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(progress.bytes(), 8);
    assert!(progress.first_byte().is_some());
}

async fn a_body_in_chunks_is_joined(driver: impl Driver) {
    let address = server(|_, mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        for part in [&b"3\r\n{\"a\r\n"[..], b"2\r\n\":\r\n", b"2\r\n1}\r\n", b"0\r\n\r\n"] {
            stream.write_all(part).unwrap();
            stream.flush().unwrap();
        }
    });
    assert_eq!(&post(&driver, format!("http://{address}/")).await.0.unwrap().body[..], b"{\"a\":1}");
}

async fn a_connection_is_used_again(driver: impl Driver) {
    let (connected, connections) = mpsc::channel();
    let address = server(move |number, mut stream| {
        connected.send(number).unwrap();
        while read_request(&mut stream).is_some() {
            stream.write_all(OK).unwrap();
        }
    });
    for _ in 0..5 {
        post(&driver, format!("http://{address}/")).await.0.unwrap();
    }
    assert_eq!(connections.try_iter().count(), 1);
}

async fn a_connection_that_the_server_closed_while_idle_is_not_used_again(driver: impl Driver) {
    let (closed, closes) = mpsc::channel();
    let address = server(move |number, mut stream| {
        read_request(&mut stream);
        stream.write_all(OK).unwrap();
        drop(stream);
        closed.send(number).unwrap();
    });
    for number in 0..3 {
        post(&driver, format!("http://{address}/")).await.0.unwrap();
        assert_eq!(closes.recv().unwrap(), number);
        // The close is in the socket by now; a turn of the runtime lets the connection's task see it.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_request_that_was_written_is_never_sent_again(driver: impl Driver) {
    let (asked, requests) = mpsc::channel();
    let address = server(move |number, mut stream| {
        let first = read_request(&mut stream);
        asked.send(first.is_some()).unwrap();
        if number == 0 {
            stream.write_all(OK).unwrap();
            // The second request on the kept connection is read and not answered.
            asked.send(read_request(&mut stream).is_some()).unwrap();
        }
    });
    post(&driver, format!("http://{address}/")).await.0.unwrap();
    assert_eq!(failure(&driver, address).await.kind, FailureKind::Disconnected);
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), [true, true]);
}

async fn a_connection_cut_before_the_answer_is_disconnected(driver: impl Driver) {
    for bytes in [&b""[..], b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-le"] {
        assert_eq!(failure(&driver, answering(bytes, 1)).await.kind, FailureKind::Disconnected);
    }
}

async fn a_connection_cut_within_the_body_is_disconnected(driver: impl Driver) {
    let known = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789";
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n";
    for bytes in [&known[..], chunked] {
        let failure = failure(&driver, answering(bytes, 1)).await;
        assert_eq!(failure.kind, FailureKind::Disconnected, "{}", failure.text);
        assert!(failure.text.contains("after 10 body bytes"), "{}", failure.text);
    }
}

async fn garbage_is_a_protocol_failure(driver: impl Driver) {
    for bytes in [&b"SSH-2.0-OpenSSH_9.6\r\n\r\n"[..], b"\x00\x01\x02\x03\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"] {
        let failure = failure(&driver, answering(bytes, 1)).await;
        assert_eq!(failure.kind, FailureKind::Protocol, "{}", failure.text);
    }
}

async fn a_tls_port_asked_in_plain_is_a_protocol_failure(driver: impl Driver) {
    // The alert that a TLS server answers to something that is no ClientHello.
    let failure = failure(&driver, answering(*b"\x15\x03\x03\x00\x02\x02\x16", 1)).await;
    assert_eq!(failure.kind, FailureKind::Protocol, "{}", failure.text);
    assert!(failure.text.contains("https"), "{}", failure.text);
}

async fn a_refused_connection_is_a_connect_failure(driver: impl Driver) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = failure(&driver, address).await;
    assert_eq!(failure.kind, FailureKind::Connect);
    assert!(failure.text.to_lowercase().contains("refused"), "{}", failure.text);
}

async fn a_name_that_does_not_resolve_is_a_dns_failure(driver: impl Driver) {
    let failure = post(&driver, "http://no-such-host.invalid/x").await.0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Dns, "{}", failure.text);
    assert!(failure.text.contains("no-such-host.invalid"), "{}", failure.text);
}

async fn an_announced_body_beyond_the_limit_is_not_read(driver: impl Driver) {
    let address = answering(*b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\nxxxx", 1);
    let failure = failure(&driver, address).await;
    assert_eq!(failure.kind, FailureKind::BodyTooLarge);
    assert!(failure.text.contains("100000") && failure.text.contains("104857600"), "{}", failure.text);
}

async fn an_endless_body_is_cut_at_the_limit(driver: impl Driver) {
    let (ended, end) = mpsc::channel();
    let address = server(move |_, mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        let chunk = [&b"1000\r\n"[..], &[b'x'; 0x1000], b"\r\n"].concat();
        // Ends by the client's closing the connection, and only by that.
        while stream.write_all(&chunk).is_ok() {}
        ended.send(()).unwrap();
    });
    let (answer, progress) = post(&driver, format!("http://{address}/")).await;
    assert_eq!(answer.unwrap_err().kind, FailureKind::BodyTooLarge);
    assert!((LIMIT..LIMIT + 1_000_000).contains(&progress.bytes()), "{}", progress.bytes());
    tokio::task::spawn_blocking(move || end.recv().unwrap()).await.unwrap();
}

async fn an_error_answer_beyond_the_limit_keeps_its_status(driver: impl Driver) {
    let mut bytes = b"HTTP/1.1 500 Oops\r\ncontent-length: 200000\r\n\r\nqueue is full".to_vec();
    bytes.resize(bytes.len() + 200_000, b'x');
    let answer = post(&driver, format!("http://{}/", answering(bytes, 1))).await.0.unwrap();
    assert_eq!(answer.status.as_u16(), 500);
}

async fn headers_and_body_arrive_as_they_are(driver: impl Driver) {
    let (asked, requests) = mpsc::channel();
    let address = server(move |_, mut stream| {
        asked.send(read_request(&mut stream).unwrap()).unwrap();
        stream.write_all(OK).unwrap();
    });
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-key", "k1"), ("x-many", "a"), ("x-many", "b")] {
        headers.append(name, value.parse().unwrap());
    }
    let url = Url::parse(&format!("http://{address}/a/b?c=d")).unwrap();
    let endpoint = Endpoint::post(url, &HeaderSet::new(&headers)).unwrap();
    driver.exchange(&endpoint, Bytes::from_static(b"{}"), LIMIT, &Progress::default()).await.unwrap();
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
}

#[test]
fn https_to_a_plain_port_is_a_tls_failure() {
    on_a_load_thread(async {
        let plain = server(|_, mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            // Held open until the client goes.
            while stream.read(&mut [0; 1000]).is_ok_and(|n| n > 0) {}
        });
        let failure = post(&Tls::new().unwrap(), format!("https://{plain}/")).await.0.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Tls, "{}", failure.text);
        assert!(failure.text.contains("http://"), "{}", failure.text);
    });
}
