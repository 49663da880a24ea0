//! *When* requests are meant to start.
//!
//! A load gives each load thread its slots and each slot its intended starts. Closed load is the one there is;
//! an arrival process is another file beside [`closed`].

mod closed;

pub(crate) use closed::{ClosedSlot, slots};
