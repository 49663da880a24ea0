//! *When* requests are meant to start.
//!
//! A closed load gives each load thread its slots and each slot its intended starts ([`closed`]). An open load gives
//! each load thread its arrivals out of the fleet's ([`open`]); the arrival processes themselves are the fleet's and
//! live in `fluxfleet_proto::arrival`.

mod closed;
mod open;

pub(crate) use closed::{ClosedSlot, slots};
pub(crate) use open::Arrivals;
