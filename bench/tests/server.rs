//! The server of the measurements, as a process of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use fluxfleet_bench::child::{Server, Wanted};
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
