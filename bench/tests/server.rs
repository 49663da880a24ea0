//! The server of the measurements, as a process of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use fluxfleet_bench::child::{Server, Wanted};
use fluxfleet_bench::generate::{self, Client, Options};
use fluxfleet_proto::clock::Clock;

const REQUEST: &[u8] = b"POST /generate HTTP/1.1\r\nhost: a\r\nContent-Length: 4\r\n\r\n{  }";

fn start(wanted: Wanted) -> Server {
    Server::of(Path::new(env!("CARGO_BIN_EXE_fluxfleet-bench")), &wanted).expect("the server starts")
}

fn connect(server: &Server) -> TcpStream {
    let address = server.url().strip_prefix("http://").expect("a plain URL");
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket takes a timeout");
    stream
}

/// Reads so many answers; each ends with the document's last field.
fn answers(stream: &mut TcpStream, count: usize) {
    let mut seen = Vec::new();
    let mut room = [0; 4096];
    while seen.windows(b"12345}".len()).filter(|w| *w == b"12345}").count() < count {
        let read = stream.read(&mut room).expect("an answer comes");
        assert!(read > 0, "the server closed the connection");
        seen.extend_from_slice(&room[..read]);
    }
}

#[test]
fn every_request_is_answered_and_stamped_however_it_is_cut() {
    let server = start(Wanted { record: true, ..Wanted::default() });
    let mut stream = connect(&server);
    stream.write_all(&REQUEST.repeat(3)).expect("it is sent");
    answers(&mut stream, 3);
    for byte in REQUEST {
        stream.write_all(&[*byte]).expect("it is sent");
    }
    answers(&mut stream, 1);
    let summary = server.summary().expect("it answers");
    let arrivals = server.arrivals().expect("it answers");
    assert_eq!((summary.count, arrivals.len()), (4, 4));
    assert!(arrivals.is_sorted());
    assert_eq!((arrivals[0], arrivals[3]), (summary.first_ns, summary.last_ns));
    server.reset().expect("it answers");
    assert_eq!(server.summary().expect("it answers").count, 0);
    assert!(server.arrivals().expect("it answers").is_empty());
}

#[test]
fn a_delayed_answer_waits_and_is_given() {
    let delay = Duration::from_millis(300);
    let server = start(Wanted { delay, ..Wanted::default() });
    let mut clients: Vec<_> = (0..5).map(|_| connect(&server)).collect();
    for client in &mut clients {
        client.write_all(REQUEST).expect("it is sent");
    }
    // One has left by the time its answer is due; the others get theirs.
    drop(clients.pop());
    for client in &mut clients {
        answers(client, 1);
    }
    // Of the one that left, the server knows no later than a delay after its request.
    let asked = Clock::now();
    let summary = loop {
        assert!(Clock::now().since(asked) < Duration::from_secs(30), "an answer still waits for nobody");
        let summary = server.summary().expect("it answers");
        if summary.waiting == 0 {
            break summary;
        }
    };
    assert_eq!(summary.count, 5);
    assert!(server.arrivals().expect("it answers").is_empty(), "nothing was to be recorded");
}

/// Bare sockets on three connections.
fn bare(server: &Server, duration: Duration, rate: Option<u32>) {
    let sent = generate::run(&Options {
        client: Client::Sockets,
        url: server.url().to_owned(),
        connections: NonZeroU32::new(3).expect("not zero"),
        duration,
        threads: NonZeroUsize::MIN,
        rate: rate.and_then(NonZeroU32::new),
    });
    sent.expect("every request is answered");
}

#[test]
fn the_bare_socket_loop_sends_what_its_rate_asks_for_and_nothing_early() {
    let server = start(Wanted { record: true, ..Wanted::default() });
    let begun = Clock::now();
    bare(&server, Duration::from_millis(100), Some(1000));
    assert!(Clock::now().since(begun) >= Duration::from_millis(99), "the last one is due then");
    assert_eq!(server.arrivals().expect("it answers").len(), 100);
}

#[test]
fn the_bare_socket_loop_sends_when_it_is_answered() {
    let server = start(Wanted { delay: Duration::from_millis(20), ..Wanted::default() });
    bare(&server, Duration::from_secs(1), None);
    let count = server.summary().expect("it answers").count;
    // At first, and then whenever 20 ms have passed, however late the machine is.
    assert!((6..=3 + 3 * 50).contains(&count), "{count} on three connections");
}

#[test]
fn only_bare_sockets_take_a_rate() {
    let server = start(Wanted::default());
    let options = Options {
        client: Client::Hyper,
        url: server.url().to_owned(),
        connections: NonZeroU32::MIN,
        duration: Duration::from_millis(10),
        threads: NonZeroUsize::MIN,
        rate: NonZeroU32::new(10),
    };
    let error = generate::run(&options).expect_err("a rate is not taken in silence");
    assert!(error.to_string().contains("--client sockets"), "{error}");
}
