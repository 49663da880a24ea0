//! The coordinator: hands strategies to workers, merges what they and the agents report, and says which way of
//! serving is best.
//!
//! ```text
//!            flags, plan file                              workers      agents
//!                   |                                          \         /
//!                 [plan]                                        [rpc] gRPC streams
//!                   | validated                                    | events
//!                   v                                              v
//!  [cli] ------> [run]: assemble, preflight, trials ---------> [fleet]: who is there, clocks, shares
//!                   |            |
//!                   |         [live]: progress
//!                   v
//!             [aggregate]: merged tallies, samples, records, all on one clock
//!                   |
//!               [analysis]: rows, score, best, advice, verdict
//!                   |
//!                [report]: console, JSON, PNG
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`plan`] | flags and files become one validated plan |
//! | [`fleet`] | registration, clocks, liveness, partition; synchronous |
//! | [`rpc`] | the port: streams become events |
//! | [`run`] | the story of a run; owns all state |
//! | [`aggregate`] | merging |
//! | [`analysis`] | what the numbers mean; prints nothing |
//! | [`report`] | what is shown; computes nothing |
//! | [`live`] | progress while it runs |
//! | [`local`] | embedded workers, agent and simulated host; the only user of those crates |
//! | [`top`] | live readings of hosts, from their agents; apart from any run |
//! | [`cli`] | arguments, signals, exit codes |

pub mod aggregate;
pub mod analysis;
pub mod cli;
pub mod fleet;
pub mod live;
pub mod local;
pub mod plan;
pub mod report;
pub mod rpc;
pub mod run;
pub mod top;
