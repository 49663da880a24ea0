//! Servers that leave each connection to a test, and a driver to ask them with.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

use http::HeaderMap;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use url::Url;

use crate::drive::{Answer, Driver, Endpoint, Failure, HeaderSet, Progress, TlsOptions};

/// An answer with a length, after which a connection may be used again.
pub(super) const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{\"a\": 1}";
/// Longest body accepted.
pub(super) const LIMIT: u64 = 100_000;

/// A certificate for the tests' servers, and the authority that vouches for it.
struct Identity {
    server: Arc<ServerConfig>,
    authority: String,
}

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Identity { server: Arc::new(server), authority: made.cert.pem() }
});

/// Options that trust the tests' servers.
pub(super) fn trusting() -> TlsOptions {
    TlsOptions { ca_pem: Some(IDENTITY.authority.clone().into()), insecure: false }
}

/// A server's end of a connection. Closed when dropped, over TLS with a word of goodbye.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Closes this direction and leaves the other open.
    pub(super) fn close_write(&mut self) {
        self.goodbye();
        let _ = self.tcp().shutdown(Shutdown::Write);
    }

    fn goodbye(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }

    /// The session, over TLS.
    pub(super) fn session(&self) -> Option<&ServerConnection> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => Some(&stream.conn),
        }
    }

    /// Reads to the end of a head.
    pub(super) fn read_head(&mut self) -> Option<String> {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") {
            if self.read(&mut byte).unwrap_or(0) == 0 {
                return None;
            }
            text.push(byte[0]);
        }
        Some(String::from_utf8(text).unwrap())
    }

    /// Reads one request; `None` when the client has gone.
    pub(super) fn read_request(&mut self) -> Option<String> {
        let head = self.read_head()?;
        let mut body = vec![0; content_length(&head)];
        self.read_exact(&mut body).ok()?;
        Some(head + std::str::from_utf8(&body).unwrap())
    }

    /// Waits for the client to go.
    pub(super) fn wait_for_close(&mut self) {
        while self.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.goodbye();
    }
}

/// What a request's head announces.
pub(super) fn content_length(head: &str) -> usize {
    head.lines()
        .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0)
}

/// A server that leaves each connection to `serve`, which gets its number from 0.
pub(super) fn server(secure: bool, serve: impl Fn(usize, Wire) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            serve_one(secure, number, stream.unwrap(), &serve);
        }
    });
    address
}

fn serve_one(
    secure: bool,
    number: usize,
    stream: TcpStream,
    serve: &Arc<impl Fn(usize, Wire) + Send + Sync + 'static>,
) {
    let serve = Arc::clone(serve);
    stream.set_nodelay(true).unwrap();
    std::thread::spawn(move || {
        let wire = if secure {
            let session = ServerConnection::new(Arc::clone(&IDENTITY.server)).unwrap();
            Wire::Tls(Box::new(StreamOwned::new(session, stream)))
        } else {
            Wire::Plain(stream)
        };
        serve(number, wire);
    });
}

/// A socket that listens, whose system keeps no more than one or two connections that nobody has accepted.
fn narrow() -> tokio::net::TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(1).unwrap()
}

/// Connections until no more of them are answered.
async fn fill(address: SocketAddr) -> Vec<tokio::net::TcpStream> {
    let mut queued = Vec::new();
    let short = Duration::from_millis(50);
    while let Ok(Ok(stream)) = tokio::time::timeout(short, tokio::net::TcpStream::connect(address)).await {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue is bounded");
    }
    queued
}

/// A server that accepts one connection and no other.
pub(super) struct Full {
    pub(super) address: SocketAddr,
    _listener: TcpListener,
}

impl Full {
    /// See [`server`].
    pub(super) fn new(secure: bool, serve: impl Fn(usize, Wire) + Send + Sync + 'static) -> Self {
        let listener = narrow().into_std().unwrap();
        listener.set_nonblocking(false).unwrap();
        let address = listener.local_addr().unwrap();
        let first = listener.try_clone().unwrap();
        std::thread::spawn(move || serve_one(secure, 0, first.accept().unwrap().0, &Arc::new(serve)));
        Self { address, _listener: listener }
    }

    /// Sees to it that no attempt to connect is answered any more. What is returned holds the places.
    pub(super) async fn fill(&self) -> impl Sized {
        fill(self.address).await
    }
}

/// A driver, and whether its servers speak TLS.
pub(super) struct Rig<D> {
    pub(super) driver: D,
    pub(super) secure: bool,
}

impl<D: Driver> Rig<D> {
    pub(super) fn new(driver: D, secure: bool) -> Self {
        Self { driver, secure }
    }

    pub(super) fn server(&self, serve: impl Fn(usize, Wire) + Send + Sync + 'static) -> SocketAddr {
        server(self.secure, serve)
    }

    /// A server that answers each request with fixed bytes and closes after `per_connection` of them.
    pub(super) fn answering(&self, bytes: impl Into<Vec<u8>>, per_connection: usize) -> SocketAddr {
        let bytes = bytes.into();
        self.server(move |_, mut wire| {
            for _ in 0..per_connection {
                if wire.read_request().is_none() {
                    return;
                }
                let _ = wire.write_all(&bytes);
            }
        })
    }

    pub(super) fn url(&self, address: SocketAddr) -> String {
        format!("{}://{address}/x?y=1", if self.secure { "https" } else { "http" })
    }

    /// Asks a URL.
    pub(super) async fn ask(
        &self,
        url: &str,
        body: &[u8],
        limit: u64,
    ) -> (Result<Answer, Failure>, Progress) {
        let endpoint = endpoint(url);
        let progress = Progress::default();
        let answer = self.driver.exchange(&endpoint, body, limit, &progress).await;
        (answer, progress)
    }

    /// Asks a server.
    pub(super) async fn post(&self, address: SocketAddr) -> (Result<Answer, Failure>, Progress) {
        self.ask(&self.url(address), b"{\"p\":1}", LIMIT).await
    }

    /// Asks a server that answers.
    pub(super) async fn answer(&self, address: SocketAddr) -> Answer {
        self.post(address).await.0.unwrap()
    }

    /// Asks a URL that does not answer in time.
    pub(super) async fn cut_off(&self, url: &str, after: Duration) -> Failure {
        self.cut_off_when(url, after, tokio::time::sleep(after)).await
    }

    /// Asks a URL that does not answer, until `when`; a failure text speaks of `after`.
    pub(super) async fn cut_off_when<T>(
        &self,
        url: &str,
        after: Duration,
        when: impl Future<Output = T>,
    ) -> Failure {
        let endpoint = endpoint(url);
        let progress = Progress::default();
        tokio::select! {
            ended = self.driver.exchange(&endpoint, b"{}", LIMIT, &progress) => {
                ended.expect_err("there was no answer to come")
            }
            _ = when => progress.timed_out(after, || "POST /x".to_owned()),
        }
    }

    /// Asks a server that does not.
    pub(super) async fn failure(&self, address: SocketAddr) -> Failure {
        self.post(address).await.0.expect_err("a failure")
    }
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::post(Url::parse(url).unwrap(), &HeaderSet::new(&HeaderMap::new())).unwrap()
}

/// An address where connections are neither accepted nor refused.
pub(in crate::drive) struct Silent {
    pub(in crate::drive) address: SocketAddr,
    _listener: tokio::net::TcpListener,
    _queued: Vec<tokio::net::TcpStream>,
}

impl Silent {
    /// Fills the queue of a socket that nobody accepts from: attempts beyond it are not answered.
    pub(in crate::drive) async fn new() -> Self {
        let listener = narrow();
        let address = listener.local_addr().unwrap();
        let queued = fill(address).await;
        Self { address, _listener: listener, _queued: queued }
    }
}

/// Waits for a server's word without holding up the load thread.
pub(super) async fn word<T: Send + 'static>(words: &mpsc::Receiver<T>) -> T {
    loop {
        match words.try_recv() {
            Ok(word) => return word,
            Err(mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(e) => panic!("the server has gone: {e}"),
        }
    }
}

/// Runs on a load thread's kind of runtime; nothing may hang.
pub(super) fn on_a_load_thread<T>(test: impl Future<Output = T>) -> T {
    let options = tokio::runtime::LocalOptions::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("no hang") })
}
