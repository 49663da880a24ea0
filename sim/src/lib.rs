//! A simulated inference host: flux_api's HTTP routes over virtual GPUs, for demonstrations and tests.
//!
//! Nothing is drawn; only time, memory, power and heat are, by a model that is written down in [`model`]. What a load
//! test measures here follows from that model and from real queues, connections and clocks.
//!
//! ```text
//!  HTTP client                                                                collector port of an agent
//!      |                                                                                  |
//!      v            make / submit_job           submit / withdraw                         | read
//!  +-------+  spec  +--------------+   task   +-----------------------------+             v
//!  |  api  | -----> |     host     | -------> |  gpu: engine (+ its driver) | <----- VirtualGpus
//!  +-------+ <----- +--------------+ <------- +-----------------------------+
//!     ^  answers      |          |    events     |  model: how long it takes
//!     |               v          v               |  meter: what it draws
//!  counters <------ tally       jobs             v
//!                               (async)       GpuReading
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`model`] | how long work takes on a virtual GPU, and why strategies differ; pure |
//! | `meter` | utilization, power, energy and temperature as exact functions of the load; pure |
//! | `engine` | one GPU as a discrete-event machine: queue, pool, shared kernels; pure, takes `now` |
//! | `gpu` | an engine behind a lock, the task that drives it, the handle that reads it |
//! | `host` | numbers a job, picks a GPU, sees that every item ends exactly once |
//! | `jobs` | asynchronous jobs until they are forgotten; pure, takes `now` |
//! | `draw` | seeded draws by purpose and job number |
//! | `counters` | what is counted, and the snapshot that `/queue-stats` answers |
//! | `api` | the routes: bodies in, JSON out |
//! | `nvml` | the virtual GPUs for an agent of another process, by a control file of the NVML stand-in |
//! | `server` | binds, serves, stops |
//! | `config`, `endpoint`, `error`, `reading` | the words of the interface |
//!
//! ```
//! # use fluxfleet_sim::{Sim, SimConfig};
//! # use tokio_util::sync::CancellationToken;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sim = Sim::bind("127.0.0.1:0".parse()?, SimConfig { gpus: 2, ..SimConfig::default() }).await?;
//! let (gpus, counters) = (sim.gpus(), sim.counters());
//! let cancel = CancellationToken::new();
//! let server = tokio::spawn(sim.serve(cancel.clone()));
//!
//! assert!(gpus.read()[0].name.starts_with("Virtual GPU"));
//! assert_eq!(counters.snapshot().items_completed, 0);
//!
//! cancel.cancel();
//! server.await??;
//! # Ok(())
//! # }
//! ```

mod api;
mod config;
mod counters;
mod draw;
mod endpoint;
mod engine;
mod error;
mod gpu;
mod host;
mod jobs;
mod meter;
pub mod model;
mod nvml;
mod reading;
mod server;

pub use config::{Problem, SimConfig, WhenFull};
pub use counters::{CounterSnapshot, Counters, GpuDepth};
pub use error::SimError;
pub use gpu::VirtualGpus;
pub use reading::GpuReading;
pub use server::Sim;
