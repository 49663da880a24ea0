//! What a trial did to each GPU: energy, power, utilization, memory, throttling.
//!
//! ```text
//!   placed samples --> one GPU's readings over the run --> energy: by the counter, else by power
//! ```

pub mod energy;
pub mod span;

pub use energy::{Energy, EnergySource};
pub use span::{Measure, Span, Taken};
