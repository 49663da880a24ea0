//! Answers every request with one fixed JSON document: the least work that a server can do.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What is answered: a document that shows an item.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 35\r\n\r\n\
    {\"image_url\":\"/0.png\",\"width\":512}\n";

/// Longest request held; the workload's prompts decide how long they are.
const MOST: usize = 4 << 20;

/// Waited after a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(10);

/// A server on a thread of its own; ends when dropped.
#[derive(Debug)]
pub(crate) struct NullServer {
    address: SocketAddr,
    _ends: DropGuard,
}

impl NullServer {
    /// Starts one on a free port of this machine's loopback address.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let end = CancellationToken::new();
        let ended = end.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("null-server".to_owned()).spawn(move || {
            runtime.block_on(async move {
                // Cannot fail on a socket that has just been made, and without it nobody is answered.
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let _ = ended.run_until_cancelled(accept(listener)).await;
            });
        })?;
        Ok(Self { address, _ends: end.drop_guard() })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move { serve(stream).await.ok() });
            }
            // The connection was ended before it was taken, or there is no file descriptor for it. In that case it
            // stays there to be taken, and asking for it without a pause would use up a core.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 4096];
    let mut held = 0;
    loop {
        let read = stream.read(&mut buffer[held..]).await?;
        if read == 0 {
            return Ok(());
        }
        held += read;
        while let Some(length) = request_length(&buffer[..held]).filter(|&n| n <= held) {
            buffer.copy_within(length..held, 0);
            held -= length;
            stream.write_all(ANSWER).await?;
        }
        if held == buffer.len() {
            if held >= MOST {
                return Ok(());
            }
            buffer.resize(held * 2, 0);
        }
    }
}

/// Length of the request at the front, once its head is whole.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).ok()? else { return None };
    let length = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let body = length.and_then(|h| std::str::from_utf8(h.value).ok()?.trim().parse().ok()).unwrap_or(0);
    head.checked_add(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_where_its_length_says() {
        let request = b"POST /x HTTP/1.1\r\nhost: a\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(request_length(request), Some(request.len()));
        assert_eq!(request_length(&request[..20]), None);
        assert_eq!(request_length(b"GET / HTTP/1.1\r\n\r\nmore"), Some(18));
    }

    #[test]
    fn each_request_is_answered_however_long_and_however_many_come_at_once() {
        use std::io::{Read as _, Write as _};
        let server = NullServer::start().unwrap();
        let mut client = std::net::TcpStream::connect(server.address).unwrap();
        let long = [&b"POST / HTTP/1.1\r\ncontent-length: 100000\r\n\r\n"[..], &vec![b'x'; 100_000]].concat();
        let short = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        client.write_all(&[&short[..], &short[..], &long, &short[..]].concat()).unwrap();
        let mut answers = vec![0; 4 * ANSWER.len()];
        client.read_exact(&mut answers).unwrap();
        assert!(answers.chunks(ANSWER.len()).all(|answer| answer == ANSWER));
    }

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
