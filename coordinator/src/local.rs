//! The embedded fleet: workers and agent inside this process, over the same gRPC path as remote ones.

mod demo_host;
mod embedded;
mod here;

pub use demo_host::{DemoHost, VirtualGpuCollector};
pub use embedded::{EmbeddedFleet, LocalGpus};
pub use here::is_this_machine;
