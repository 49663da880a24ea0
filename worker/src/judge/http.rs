//! Status, media type and shape of an answer.

use fluxfleet_proto::failure::FailureKind;
use http::StatusCode;

use super::document::{Document, Wanted};
use super::text::{excerpt, of_answer};
use crate::drive::{Answer, Failure};

/// Words by which services say that they are full, in lower case.
const FULL: [&str; 5] = ["queue is full", "queue full", "overloaded", "too many requests", "at capacity"];

/// Bytes of an error body that are searched for those words.
const SEARCHED: usize = 4096;

/// What a successful answer holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// An image as it is.
    Image,
    /// A JSON document.
    Json(Document),
}

/// Looks at an answer as far as HTTP and JSON go.
///
/// # Errors
/// `http_NNN`, `overloaded`, `empty_body`, `not_json` and `invalid_json`.
pub(crate) fn content(answer: &Answer, wanted: Wanted<'_>) -> Result<Content, Failure> {
    let fail = |kind, text| Err(Failure { kind, text });
    if !answer.status.is_success() {
        return fail(status_kind(answer), of_answer(answer));
    }
    if answer.body.is_empty() {
        return fail(FailureKind::EmptyBody, of_answer(answer));
    }
    if is_image(answer) {
        return Ok(Content::Image);
    }
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body);
    // The first byte decides, since services are careless with the media type in both directions.
    let opens = body.iter().find(|b| !b.is_ascii_whitespace()).copied();
    if !matches!(opens, Some(b'{' | b'[')) && !is_media(answer, "application/json") {
        let media = if answer.media.is_empty() { "no media type" } else { &answer.media };
        return fail(FailureKind::NotJson, format!("{} ({media}): {}", answer.status, excerpt(body)));
    }
    match wanted.read(body) {
        Ok(document) => Ok(Content::Json(document)),
        Err(e) => fail(FailureKind::InvalidJson, format!("{}: {e}: {}", answer.status, excerpt(body))),
    }
}

/// Whether the answer is an image as it is.
pub(super) fn is_image(answer: &Answer) -> bool {
    is_media(answer, "image/")
}

fn is_media(answer: &Answer, prefix: &str) -> bool {
    answer.media.get(..prefix.len()).is_some_and(|m| m.eq_ignore_ascii_case(prefix))
}

fn status_kind(answer: &Answer) -> FailureKind {
    let status = answer.status;
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) || says_full(answer)
    {
        FailureKind::Overloaded
    } else {
        FailureKind::Http(status.as_u16())
    }
}

fn says_full(answer: &Answer) -> bool {
    if !answer.status.is_client_error() && !answer.status.is_server_error() {
        return false;
    }
    let body = &answer.body[..answer.body.len().min(SEARCHED)];
    let body = String::from_utf8_lossy(body).to_ascii_lowercase();
    FULL.iter().any(|words| body.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, media: &'static str, body: &'static str) -> Result<(), String> {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, media: media.into(), location: None, body: body.into() };
        content(&answer, Wanted::default()).map(drop).map_err(|f| f.kind.to_string())
    }

    #[test]
    fn each_answer_gets_its_kind() {
        for (status, media, body, expected) in [
            (200, "application/json", r#"{"a":1}"#, ""),
            (201, "text/plain", r#" {"a":1}"#, ""),
            (200, "image/png", "\u{1}PNG", ""),
            (200, "image/png", "", "empty_body"),
            (204, "", "", "empty_body"),
            (200, "text/html", "<html>hello", "not_json"),
            (200, "application/octet-stream", "bytes", "not_json"),
            (200, "application/json", r#"{"a":"#, "invalid_json"),
            (200, "application/json; charset=utf-8", "<html>", "invalid_json"),
            (200, "application/json", "   ", "invalid_json"),
            (404, "application/json", r#"{"a":1}"#, "http_404"),
            (500, "text/plain", "broken", "http_500"),
            (500, "application/json", r#"{"detail":"Queue is FULL"}"#, "overloaded"),
            (409, "application/json", "Already at capacity", "overloaded"),
            (429, "", "", "overloaded"),
            (503, "text/html", "<h1>", "overloaded"),
            (304, "", "overloaded", "http_304"),
        ] {
            let got = kind(status, media, body).err().unwrap_or_default();
            assert_eq!(got, expected, "{status} {media} {body}");
        }
    }
}
