//! Generates load: runs its share of each trial and streams what it recorded to the coordinator.
//!
//! ```text
//!   coordinator <==gRPC==> session --Assignment, start, stop--> engine
//!                             ^                                   |  load threads: schedule -> claim ->
//!                             |                                   |  strategy -> drive -> judge -> record
//!                             +------- intervals, records --------+
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`config`] | who this worker is, and whom it works for |
//! | [`session`] | the stream to the coordinator, on a thread of its own |
//! | [`engine`] | runs one trial: start barrier, load threads, merged intervals; usable without a coordinator |
//! | `schedule` | *when* requests are meant to start |
//! | `pacer` | *when* in practice: each arrival at its time |
//! | `claim` | *what* is asked for next: each item once |
//! | `stop` | *until* when |
//! | `strategy` | *how* items are asked for: bodies, calls, polls |
//! | `drive` | *how* requests travel: HTTP drivers, pools, redirects, failure kinds |
//! | `judge` | whether an answer shows the items |
//! | `health` | what the system says of this process |
//! | `record` | what a load thread records; each request once |
//! | [`error`] | why a worker ends, and its exit code |

mod claim;
pub mod config;
mod drive;
pub mod engine;
pub mod error;
mod health;
mod judge;
mod null_server;
mod pacer;
mod record;
mod schedule;
pub mod session;
mod stop;
mod strategy;

pub use config::Config;
pub use error::WorkerError;
pub use session::{run, run_within};
