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
//! | [`real`] | inference servers that nobody here wrote |
//! | [`peers`] | HTTP servers and proxies that nobody here wrote |
//! | [`access`] | what such a server logged, held against the report |
//! | [`http`] | the simplest of clients, for what a server says of itself |
//! | [`results`] | `results.json` read back and checked against its schema and its own sums |

pub mod access;
pub mod fake;
pub mod fleet;
pub mod http;
pub mod network;
pub mod peers;
pub mod process;
pub mod real;
pub mod results;
pub mod server;
