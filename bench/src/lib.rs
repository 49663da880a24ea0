//! Measures what the generator itself costs, on loopback, and sets its peers beside it. The method is written down in
//! `bench/README.md`.
//!
//! ```text
//!   throughput -----> trial: the worker's engine ----+
//!   generate -------> the same as a child; bare loops +
//!   coordinator, soak -> fleet: the shipped programs --+--> server (this program again, a child on its own core)
//!   in_flight ----+                                    |      counts and stamps what arrives
//!   compare ------+--> tools: peers, generate, fleet --+
//!      |
//!      +-> turns -> stats -> document and JSON
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`server`] | answers everything with one fixed JSON document, at once or after a delay; stamps arrivals |
//! | [`child`] | the server as a child process, and what it is asked |
//! | [`cores`] | pins threads and children to cores |
//! | [`trial`] | runs the worker's engine without a coordinator |
//! | [`generate`] | the engine or a bare loop in a closed loop |
//! | [`fleet`] | the shipped programs, run as a user runs them |
//! | [`tools`] | the generators: where they are, how they are asked, what they say |
//! | [`grid`] | arrivals beside the ideal grid |
//! | [`throughput`] | requests a second by one load thread |
//! | [`in_flight`] | memory per request in flight |
//! | [`coordinator`] | memory of the coordinator over a long run |
//! | [`soak`] | memory of the worker over a long run |
//! | [`compare`] | every figure beside the peers', and the document |
//! | [`process`] | what the operating system says of processes |
//! | [`stats`] | median and spread of turns |

pub mod child;
pub mod compare;
pub mod coordinator;
pub mod cores;
pub mod fleet;
pub mod generate;
pub mod grid;
pub mod in_flight;
pub mod process;
pub mod server;
pub mod soak;
pub mod stats;
pub mod throughput;
pub mod tools;
pub mod trial;
