//! Generated from `proto/fluxfleet/v1`; the comments there are the documentation.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

tonic::include_proto!("fluxfleet.v1");
