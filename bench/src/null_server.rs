//! Answers every request with one fixed JSON document: the least work a server can do, on one thread.
//!
//! It speaks as much HTTP/1.1 as the measurement needs: keep-alive, `Content-Length` bodies, no pipelining.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is answered; 112 bytes.
const DOCUMENT: &str = concat!(
    r#"{"message":"ok","image_url":"/0.png","download_url":"/0.png","#,
    r#""generation_time":"0.00s","width":512,"seed":12345}"#
);
/// Longest request held, head and body.
const MAX_REQUEST: usize = 64 << 10;
/// Room a connection starts with; enough for the requests of the measurement, little enough for thousands.
const FIRST_ROOM: usize = 1024;

/// Serves until the process is ended. Prints `listening on 127.0.0.1:PORT` first.
///
/// # Errors
/// When the port cannot be had.
pub fn run(port: u16, delay: Duration) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
        println!("listening on {}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let answer: &'static str = Box::leak(
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{DOCUMENT}",
                DOCUMENT.len()
            )
            .into_boxed_str(),
        );
        loop {
            let (stream, _) = listener.accept().await.context("cannot accept a connection")?;
            // A connection that breaks is the client's business.
            tokio::spawn(async move { serve(stream, answer.as_bytes(), delay).await.ok() });
        }
    })
}

async fn serve(mut stream: TcpStream, answer: &[u8], delay: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; FIRST_ROOM];
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
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            stream.write_all(answer).await?;
        }
        if held == buffer.len() {
            if held >= MAX_REQUEST {
                return Ok(());
            }
            buffer.resize(held * 2, 0);
        }
    }
}

/// Length of the request at the front, once its head is whole.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let body = bytes[..head]
        .split(|&b| b == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|&b| b == b':')?;
            let (name, value) = line.split_at(colon);
            name.eq_ignore_ascii_case(b"content-length").then(|| &value[1..])
        })
        .find_map(|value| std::str::from_utf8(value).ok()?.trim().parse().ok())
        .unwrap_or(0);
    Some(head + body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_where_its_length_says() {
        let request = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(request_length(request), Some(request.len()));
        assert_eq!(request_length(&request[..request.len() - 8]), None);
        assert_eq!(request_length(b"GET / HTTP/1.1\r\n\r\nmore"), Some(18));
    }

    #[test]
    fn the_document_has_the_length_of_the_measurements_it_is_compared_with() {
        assert_eq!(DOCUMENT.len(), 112);
    }
}
