//! What the end-to-end tests stand on: the shipped programs as real processes, servers that behave or misbehave,
//! and results read back from disk.
//!
//! | module | duty |
//! |---|---|
//! | [`process`] | starts programs, reads their lines, signals them by id, ends them |
//! | [`fleet`] | a simulated host, a coordinator with its workers and agents, a run without them |
//! | [`network`] | a network that can be cut, stalled and restored |
//! | [`fake`] | a worker that says over gRPC whatever a test wants, however false |
//! | [`server`] | an inference server that answers whatever a test wants, however wrong |
//! | [`gpus`] | scripted GPUs behind a library with NVML's C ABI |
//! | [`real`] | inference servers that nobody here wrote |
//! | [`prometheus`] | a Prometheus server that scrapes, and what it says when it is asked |
//! | [`peers`] | HTTP servers and proxies that nobody here wrote |
//! | [`access`] | what such a server logged, held against the report |
//! | [`net`] | two network namespaces and a wire between them, slow or cut |
//! | [`faketime`] | a program's clocks, set by a test |
//! | [`http`] | the simplest of clients, for what a server says of itself |
//! | [`results`] | `results.json` read back and checked against its schema and its own sums |

pub mod access;
pub mod fake;
pub mod faketime;
pub mod fleet;
pub mod gpus;
pub mod http;
pub mod net;
pub mod network;
pub mod peers;
pub mod process;
pub mod prometheus;
pub mod real;
pub mod results;
pub mod server;
