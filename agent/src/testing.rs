//! For tests: a scripted collector, and the contract that every collector passes.

mod contract;
mod scripted;

pub use contract::check_gpu_collector;
pub use scripted::{ScriptedCollector, Step, device, gate, reading};
