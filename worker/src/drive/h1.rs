//! HTTP/1.1 on the wire, without any input or output: bytes in, an answer out.
//!
//! | file | duty |
//! |---|---|
//! | [`head`] | the head of an answer, and what it says about body and connection |
//! | [`chunked`] | the chunked coding |
//! | [`answer`] | an answer as it comes in, in whatever pieces |
//! | [`request`] | a request as it goes out |

mod answer;
#[cfg(test)]
mod answer_tests;
mod chunked;
mod head;
mod request;

use fluxfleet_proto::failure::FailureKind;

use super::Failure;
use super::classify::NOT_HTTP;

pub(super) use answer::{End, Reader, too_large};
pub(super) use head::media;
pub(super) use request::{Request, Unsent};

/// What came is not HTTP/1.1 as this driver understands it.
fn not_http(what: &str) -> Failure {
    Failure { kind: FailureKind::Protocol, text: format!("{what}{NOT_HTTP}") }
}
