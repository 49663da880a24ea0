//! As much HTTP/1.1 as the measurement needs: where a request ends, and what is answered.

/// What every request is answered; 112 bytes.
pub(super) const DOCUMENT: &str = concat!(
    r#"{"message":"ok","image_url":"/0.png","download_url":"/0.png","#,
    r#""generation_time":"0.00s","width":512,"seed":12345}"#
);

/// An answer with status 200.
pub(super) fn answer(content_type: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Length of the request at the front, head and body, once its head is whole. One pass: the server must stay cheaper
/// than what it measures.
pub(super) fn request_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut body) = (0, 0);
    loop {
        let line = &bytes[at..at + bytes[at..].iter().position(|&b| b == b'\n')?];
        at += line.len() + 1;
        match line {
            b"\r" | b"" => return Some(at + body),
            [b'c' | b'C', ..] => body = content_length(line).unwrap_or(body),
            _ => {}
        }
    }
}

fn content_length(line: &[u8]) -> Option<usize> {
    let (name, value) = line.split_at_checked(CONTENT_LENGTH.len())?;
    let named = name.eq_ignore_ascii_case(CONTENT_LENGTH);
    std::str::from_utf8(value).ok().filter(|_| named)?.trim().parse().ok()
}

const CONTENT_LENGTH: &[u8] = b"content-length:";

/// The path after `GET /-/`, by which the measurement talks to the server; `None` for every request of a load.
pub(super) fn control(request: &[u8]) -> Option<&str> {
    let path = request.strip_prefix(b"GET /-/")?;
    std::str::from_utf8(path.split(|&b| b == b' ').next()?).ok()
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
        assert_eq!(request_length(b"POST / HTTP/1.1\r\ncookie: 1\r\ncontent-length:7\r\n\r\n"), Some(55));
        assert_eq!(request_length(b"POST / HTTP/1.1\r\ncontent-length: 7\r\n"), None);
    }

    #[test]
    fn the_document_has_the_length_of_the_measurements_it_is_compared_with() {
        assert_eq!(DOCUMENT.len(), 112);
    }

    #[test]
    fn only_control_paths_are_taken_for_control() {
        assert_eq!(control(b"GET /-/reset HTTP/1.1\r\n\r\n"), Some("reset"));
        assert_eq!(control(b"GET /generate HTTP/1.1\r\n\r\n"), None);
        assert_eq!(control(b"POST /-/reset HTTP/1.1\r\n\r\n"), None);
    }
}
