//! Measures what the generator itself costs, on loopback. The method is written down in `bench/README.md`.
//!
//! ```text
//!   throughput, in_flight --spawn, pin--> null-server (this program again, one thread)
//!            |                                ^
//!            +-- trial: the worker's engine --+
//!            v
//!   turns -> stats -> text and JSON
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`null_server`] | answers everything with one fixed JSON document, at once or after a delay |
//! | [`child`] | the null server as a child process; pins processes to cores |
//! | [`trial`] | runs the worker's engine without a coordinator |
//! | [`throughput`] | requests a second by one load thread |
//! | [`in_flight`] | memory per request in flight |
//! | [`coordinator`] | memory of the coordinator over a long run, with the shipped programs |
//! | [`process`] | what the operating system says of this process |
//! | [`stats`] | median and spread of turns |

pub mod child;
pub mod coordinator;
pub mod in_flight;
pub mod null_server;
pub mod process;
pub mod stats;
pub mod throughput;
pub mod trial;
