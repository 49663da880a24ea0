//! HTTP/1.1 on the wire, without any input or output: bytes in, an answer out.
//!
//! | file | duty |
//! |---|---|
//! | [`head`] | the head of an answer, and what it says about body and connection |
//! | [`heads`] | the heads of many answers, which are mostly alike |
//! | [`chunked`] | the chunked coding |
//! | [`answer`] | an answer as it comes in, in whatever pieces |
//! | [`request`] | a request as it goes out |

mod answer;
#[cfg(test)]
mod answer_tests;
mod chunked;
mod head;
mod heads;
mod request;

use fluxfleet_proto::failure::FailureKind;

use super::Failure;
use super::classify::NOT_HTTP;

pub(super) use answer::{End, RESERVE, Reader, too_large};
pub(super) use head::media;
pub(super) use heads::Heads;
pub(super) use request::{Request, Unsent};

/// What came is no HTTP/1.1, and may be something else altogether.
fn not_http(what: &str) -> Failure {
    malformed(&format!("{what}{NOT_HTTP}"))
}

/// The service would go on in another protocol.
pub(super) fn switched() -> Failure {
    malformed("the answer is 101 Switching Protocols, which nobody asked for")
}

/// What came is HTTP/1.1, and breaks its rules or this driver's limits.
fn malformed(what: &str) -> Failure {
    Failure { kind: FailureKind::Protocol, text: what.to_owned() }
}
