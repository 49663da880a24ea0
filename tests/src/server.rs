//! A server that answers whatever a test wants, however wrong, and a gate that holds its answers back.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::process::{PATIENCE, eventually};

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST`
    pub method: String,
    /// `/generate`
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
    /// Counts the POSTs to this path from 0.
    pub number: u64,
}

/// What the server does with a request.
#[derive(Clone)]
pub enum Reply {
    /// Writes these bytes and keeps the connection.
    Bytes(Vec<u8>),
    /// Writes these bytes and closes the connection.
    Cut(Vec<u8>),
    /// Writes a head, then this many bytes of body.
    Flood(u64),
    /// Says nothing until the client or the test goes away.
    Stall,
}

impl Reply {
    /// A whole answer.
    pub fn answer(status: u16, content_type: &str, body: &str) -> Self {
        Self::Bytes(whole(status, &format!("content-type: {content_type}\r\n"), body))
    }

    /// A JSON answer with status 200.
    pub fn json(body: &str) -> Self {
        Self::answer(200, "application/json", body)
    }

    /// What flux_api would say.
    pub fn image() -> Self {
        Self::json(IMAGE)
    }

    /// The same, and the connection ends as announced.
    pub fn last_image() -> Self {
        Self::Cut(whole(200, "content-type: application/json\r\nconnection: close\r\n", IMAGE))
    }

    /// A redirect that keeps method and body.
    pub fn redirect(location: &str) -> Self {
        Self::Bytes(whole(307, &format!("location: {location}\r\n"), ""))
    }
}

const IMAGE: &str = r#"{"message":"ok","image_url":"/i.png","filename":"i.png","generation_time":"0.01s"}"#;

fn whole(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

/// Holds requests back until a test lets them go.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Waits until the gate is open.
    pub fn pass(&self) {
        let guard = self.0.0.lock().expect("no panics");
        // Nobody opens the gate of a test that failed: its threads end here.
        let _ = self.0.1.wait_timeout_while(guard, PATIENCE, |open| !*open);
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        *self.0.0.lock().expect("no panics") = true;
        self.0.1.notify_all();
    }
}

#[derive(Default)]
struct Seen {
    posts: Mutex<BTreeMap<String, u64>>,
    connections: AtomicU64,
    closing: AtomicBool,
}

/// A server of one behaviour.
pub struct Server {
    addr: SocketAddr,
    seen: Arc<Seen>,
}

impl Server {
    /// Serves on a free loopback port. OPTIONS is answered 405, as a route for POST alone does; all else is asked
    /// of `behave`.
    pub fn start(behave: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::raw(move |request| match request.method.as_str() {
            "OPTIONS" => Reply::answer(405, "text/plain", "use POST"),
            _ => behave(request),
        })
    }

    /// Serves images, holding back the requests to each path from number `held` on until the gate opens.
    pub fn holding(held: u64, gate: &Gate) -> Self {
        let gate = gate.clone();
        Self::start(move |request| {
            if request.number >= held {
                gate.pass();
            }
            Reply::image()
        })
    }

    /// Asks `behave` for everything, OPTIONS too.
    pub fn raw(behave: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let seen = Arc::new(Seen::default());
        let (shared, behave) = (seen.clone(), Arc::new(behave));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.closing.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (seen, behave) = (shared.clone(), behave.clone());
                std::thread::spawn(move || {
                    // A client that goes away in the middle is part of the game.
                    let _ = serve(stream, &seen, behave.as_ref());
                });
            }
        });
        Self { addr, seen }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// POSTs seen on a path.
    pub fn posts(&self, path: &str) -> u64 {
        self.seen.posts.lock().expect("no panics").get(path).copied().unwrap_or(0)
    }

    /// POSTs seen on any path.
    pub fn all_posts(&self) -> u64 {
        self.seen.posts.lock().expect("no panics").values().sum()
    }

    /// Connections accepted.
    pub fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// Waits until this many POSTs were seen on a path.
    pub fn wait_posts(&self, path: &str, count: u64) {
        eventually(&format!("{count} POSTs to {path}"), || self.posts(path) >= count);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.seen.closing.store(true, Ordering::Relaxed);
        // Wakes the accept loop.
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Seen,
    behave: &(dyn Fn(&Request) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some((method, path, body)) = read_request(&mut stream, &mut buffer)? {
        let mut number = 0;
        if method == "POST" {
            let mut posts = seen.posts.lock().expect("no panics");
            let count = posts.entry(path.clone()).or_default();
            number = *count;
            *count += 1;
        }
        match behave(&Request { method, path, body, number }) {
            Reply::Bytes(bytes) => stream.write_all(&bytes)?,
            Reply::Cut(bytes) => return stream.write_all(&bytes),
            Reply::Flood(length) => flood(&mut stream, length)?,
            Reply::Stall => return stall(&mut stream, seen),
        }
    }
    Ok(())
}

fn flood(stream: &mut TcpStream, length: u64) -> std::io::Result<()> {
    // Neither a length nor chunks: only counting tells the client that it is too long.
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n")?;
    let block = vec![b' '; 1 << 16];
    (0..length.div_ceil(1 << 16)).try_for_each(|_| stream.write_all(&block))?;
    stream.shutdown(std::net::Shutdown::Both)
}

fn stall(stream: &mut TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut byte = [0];
    while !seen.closing.load(Ordering::Relaxed) {
        match stream.read(&mut byte) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Method, path and body of the next request; `None` at the connection's end.
fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<(String, String, Vec<u8>)>> {
    let mut block = [0; 4096];
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                let mut words = head.split_whitespace().map(str::to_owned);
                let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                return Ok(Some((method, path, body)));
            }
        }
        match stream.read(&mut block)? {
            0 => return Ok(None),
            n => buffer.extend_from_slice(&block[..n]),
        }
    }
}
