//! Whether an answer shows the items that were asked for.
//!
//! A success status is not enough: the body must show each item, and must not report an error beside it. Only
//! [`document`] (and [`glance`], which leaves all but the plainest to it) knows JSON; the rules are here and in [`items`].
//!
//! | file | duty |
//! |---|---|
//! | [`document`] | reads the few fields that matter out of a JSON body of any size, without copying the rest |
//! | [`glance`] | sees that a short answer is plainly right, at a fraction of the cost |
//! | [`plain`] | JSON without escapes, exponents and parts, piece by piece |
//! | [`peek`] | one JSON value, looked at from outside |
//! | [`http`] | status, media type and shape of an answer: is there a JSON document to look at? |
//! | [`items`] | does a document show the items? |
//! | [`job`] | the states of an asynchronous job |
//! | [`text`] | bodies made printable for failure texts |

pub(crate) mod document;
mod glance;
mod http;
mod items;
pub(crate) mod job;
mod peek;
mod plain;
mod text;

pub(crate) use glance::Glance;
pub(crate) use http::{Content, content};
pub(crate) use items::{batch, single};
pub(crate) use text::excerpt;

use fluxfleet_proto::failure::FailureKind;
use fluxfleet_proto::units::Micros;

use crate::drive::Failure;

/// How a request ended, item by item.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Items that are there.
    pub(crate) ok: u32,
    /// The others. Together with `ok`: every item of the request.
    pub(crate) failed: Vec<Failed>,
    /// What the service says its work took.
    pub(crate) generation_time: Option<Micros>,
}

/// Items that failed in one way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) items: u32,
    pub(crate) kind: FailureKind,
    pub(crate) text: String,
}

impl Verdict {
    /// Every item is there.
    pub(crate) fn all_ok(items: u32, generation_time: Option<Micros>) -> Self {
        Self { ok: items, failed: Vec::new(), generation_time }
    }

    /// No item is there, all for one reason.
    pub(crate) fn all_failed(items: u32, failure: Failure) -> Self {
        let Failure { kind, text } = failure;
        Self { ok: 0, failed: vec![Failed { items, kind, text }], generation_time: None }
    }

    /// Puts what was asked before each failure text.
    pub(crate) fn labelled(mut self, label: impl Fn() -> String) -> Self {
        for failed in &mut self.failed {
            failed.text = format!("{}: {}", label(), failed.text);
        }
        self
    }
}
